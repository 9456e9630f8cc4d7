/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of parts that schedules are made of: field tables and formulas. */
#ifndef BDL_OPTIM_SCHEDULE_KINDS_H
#define BDL_OPTIM_SCHEDULE_KINDS_H

#include "optim/schedule.h"

typedef enum bdl__schedule_unit {
    BDL__UNIT_ITERATION,
    BDL__UNIT_EPOCH,
    BDL__UNIT_EPOCH_FRACTION
} bdl__schedule_unit;

/* How each kind's params struct begins. */
typedef struct bdl__schedule_params {
    bdl__choice unit; /* a bdl__schedule_unit */
    int64_t lasts;    /* in the unit; 0 = not given */
} bdl__schedule_params;

struct bdl__schedule_kind {
    const char *torch;   /* BigDL's name; NULL where there is none */
    const char *pytorch;
    const char *since;
    const char *doc; /* formula: t is the position in the part, lr its first rate */
    bdl__schema schema;
    bool by_epoch; /* the unit is always whole epochs */
    /* NULL in plateau, whose rate is in its state */
    double (*rate)(const void *params, double lr, double t);
    int64_t (*length)(const void *params); /* NULL: the part has no end of its own */
};

/* What plateau remembers. */
typedef struct bdl__plateau_state {
    bool has_best;
    double best;
    int64_t n_bad;    /* observations since the last better one */
    int64_t cooldown; /* observations still to be ignored */
    double scale;     /* factor of the rate by now */
} bdl__plateau_state;

bdl_status bdl__plateau_check(const void *params);
const char *bdl__plateau_monitor(const void *params);
double bdl__plateau_rate(const void *params, const bdl__plateau_state *state, double lr);
bool bdl__plateau_observe(const void *params, bdl__plateau_state *state, double value);

#endif
