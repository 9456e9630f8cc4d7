/* SPDX-License-Identifier: Apache-2.0 */
/* Goldens: reading the files that README.md describes, batches in sample lanes, and comparisons. */
#ifndef BDL_TESTS_GOLDEN_H
#define BDL_TESTS_GOLDEN_H

#include "exec/exec.h"
#include "formats/safetensors.h"

#include "test.h"

typedef struct golden {
    bdl__arena arena;
    bdl__bytes text;
    bdl__json *json;        /* <name>.json */
    bdl__safetensors *file; /* <name>.safetensors, or NULL */
} golden;

/* Opens <name>.json and, with `has_tensors`, <name>.safetensors beside this file. */
bdl_status golden_open(const char *name, bool has_tensors, golden *g);
void golden_close(golden *g);

/* Zeroed memory until golden_close; the test ends the process if there is none. */
void *golden_alloc(golden *g, size_t size);

/* Tensor "<prefix><name>" as doubles (integers too); NULL if it is not there. */
const bdl__st_tensor *golden_tensor(const golden *g, const char *prefix, const char *name);
double *golden_values(golden *g, const bdl__st_tensor *tensor);
/* An array of numbers. */
double *golden_numbers(golden *g, const bdl__json *array, int64_t *n);
/* Number i, or the only one, of unit_error's member `key`. */
double golden_unit(const bdl__json *unit_error, const char *key, int64_t i);

/* A batch in sample lanes: `n` samples of `count` values. */
typedef struct golden_lanes {
    void *data;
    int64_t stride; /* bytes from part to part */
    int64_t n_slices;
    int32_t *valid; /* [n_slices] */
} golden_lanes;

/* Lanes beyond the last sample repeat the first of their slice; of gradients they are 0. */
typedef enum golden_kind { GOLDEN_VALUES, GOLDEN_LABELS, GOLDEN_GRADIENTS } golden_kind;
golden_lanes golden_pack(golden *g, bdl__target target, golden_kind kind, const double *values,
                         int64_t n, int64_t count);
/* The samples' values, in order. */
double *golden_unpack(golden *g, bdl__target target, bdl__span span, int64_t n, int64_t count);

/* Scalars of a weight or buffer vector as doubles, and back. */
double *golden_scalars(golden *g, bdl__target target, const void *data, int64_t n);
void golden_set_scalars(bdl__target target, void *data, const double *values, int64_t n);

/* Checks |got[i] * scale - want[i]| <= bound for all; a failure names `where` and `what`. */
void golden_near(const char *where, const char *what, const double *got, double scale,
                 const double *want, int64_t n, double bound);

/* What one rounding of float32 becomes on this target. */
double golden_rounding(bdl__target target);

/* The targets that run here, the float64 one last; returns how many. */
int golden_targets(bdl__target targets[BDL__N_TARGETS]);

#endif
