/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning-rate schedules: rate = f(base rate, position). Only `plateau` has a state, which goes
 * into checkpoints. Parts follow one another: "warmup(500) then cosine(9500)"; a part starts from
 * the rate that the one before ended at. A part's position counts from its own start, in its unit:
 * iteration, epoch (whole ones, as PyTorch's schedulers are stepped) or epoch_fraction. How long a
 * part lasts is its `length` (warmup, cosine, poly), or `lasts` in its unit; the last part needs
 * neither.
 *
 * The arithmetic is bdl's own (optim/rate_math.h), so that a rate has the same bits on every
 * machine.
 */
#ifndef BDL_OPTIM_SCHEDULE_H
#define BDL_OPTIM_SCHEDULE_H

#include "schema/schema.h"

/* Where training stands. */
typedef struct bdl__progress {
    int64_t iteration;        /* updates done */
    int64_t epoch;            /* whole epochs done */
    int64_t i_in_epoch;       /* updates done in this epoch */
    int64_t epoch_iterations; /* updates of an epoch */
} bdl__progress;

typedef struct bdl__schedule bdl__schedule;

/* From text; NULL or "" is "constant". Parts are joined by "then". */
bdl_status bdl__schedule_create(const bdl_allocator *allocator, const char *text,
                                bdl__schedule **schedule);
void bdl__schedule_free(bdl__schedule *schedule);

/* The rate for the next update. A pure function of its arguments and of plateau's state. */
double bdl__schedule_rate(const bdl__schedule *schedule, double base,
                          const bdl__progress *progress);

/* What the running part wants to be told at the end of each epoch: "loss", "score" or a metric's
 * name; NULL if nothing. */
const char *bdl__schedule_monitor(const bdl__schedule *schedule, const bdl__progress *progress);
/* Tells it. True if that lowered the rate. */
bool bdl__schedule_observe(bdl__schedule *schedule, const bdl__progress *progress, double value);

/* The state for checkpoints: an array with an object a part. Reading fails on another schedule's
 * state and changes nothing then. */
void bdl__schedule_state_to_json(const bdl__schedule *schedule, bdl__json_writer *writer);
bdl_status bdl__schedule_state_from_json(bdl__schedule *schedule, const bdl__json *state,
                                         const char *where);

/* As bdl__schedule_create reads it. */
void bdl__schedule_to_text(const bdl__schedule *schedule, bdl__text *out);

/* Number i of the kinds of parts, for help texts and the schema dump; NULL beyond the last. */
typedef struct bdl__schedule_kind bdl__schedule_kind; /* optim/schedule_kinds.h */
const bdl__schedule_kind *bdl__schedule_kind_at(int64_t i);

#endif
