/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimization methods on ranges of the flat parameter vector. The vector is cut into blocks of
 * BDL__BLOCK scalars; each parameter tensor starts at a multiple of 16 scalars, and what lies
 * between tensors is zero and stays zero. An update is element-wise: any split of the vector into
 * parts that begin and end at multiples of 16 gives the same bits.
 *
 * One iteration:
 *
 *     bdl__optim_begin(optim, iteration, rate, 1 / divisor, &clip, &step)
 *     if (clip.max_norm > 0) {                            two passes over the gradients
 *         bdl__optim_square_sums(...) by all workers, each a range of blocks
 *         bdl__optim_clip_norm(&step, bdl__optim_norm(sums, n_blocks))
 *     }
 *     bdl__optim_update(&step, ...) by all workers, each a range
 */
#ifndef BDL_OPTIM_OPTIM_H
#define BDL_OPTIM_OPTIM_H

#include "base/cpu.h"
#include "kernels/optim.h"
#include "optim/clip.h"
#include "schema/schema.h"

#define BDL__BLOCK 4096
#define BDL__MAX_OPTIM_STATES 3

/* One parameter tensor, or neighbours that are treated alike. Lists of ranges are sorted by begin
 * and do not overlap; `begin` is a multiple of 16. */
typedef struct bdl__param_range {
    int64_t begin, end; /* scalars */
    double lr_scale;    /* multiplies the learning rate */
    double decay_scale; /* multiplies the weight decay */
    bool frozen;        /* neither read nor written, and no part of the norm */
} bdl__param_range;

typedef struct bdl__param_ranges {
    const bdl__param_range *range;
    int64_t n;
} bdl__param_ranges;

typedef struct bdl__optim bdl__optim;

/* The scalars of one iteration, shared read-only by all workers. */
typedef struct bdl__optim_step {
    const struct bdl__optim_method *method;
    bdl__optim_constants constants; /* before lr_scale and decay_scale */
    double weight_decay;
    double max_norm; /* 0 = none */
    int n_states;
} bdl__optim_step;

/* A method: constant descriptor, found by name. */
typedef struct bdl__optim_method {
    const char *name;    /* "sgd" */
    const char *pytorch; /* "SGD"; NULL where there is none */
    const char *torch;   /* name in Torch and BigDL */
    const char *since;
    const char *summary;
    const char *doc; /* formula and source */
    bdl__schema
        schema;     /* has the fields lr and weight_decay, which come first in the params struct */
    bool decoupled; /* weight decay shrinks the weights instead of joining the gradient */

    bdl_status (*check)(const void *params); /* what ranges of fields cannot say; NULL = nothing */
    int (*n_states)(const void *params);
    /* Sets the method's own constants for update number `iteration` (from 0), and may change the
     * rate. */
    void (*begin)(const void *params, int64_t iteration, bdl__optim_constants *constants);
    void (*update)(const struct bdl__optim_kernels *kernels, real *weights, const real *grads,
                   real *const states[BDL__MAX_OPTIM_STATES], int64_t n,
                   const bdl__optim_constants *constants);
} bdl__optim_method;

/* How each method's params struct begins. */
typedef struct bdl__optim_params {
    double lr;
    double weight_decay;
} bdl__optim_params;

/* From "sgd(lr=0.05, momentum=0.9)"; a misspelt name or field gets the nearest one offered. */
bdl_status bdl__optim_create(const bdl_allocator *allocator, const char *text, bdl__optim **optim);
/* From {"name": "sgd", "params": {"lr": 0.05}}; `where` names the source for the error text. */
bdl_status bdl__optim_from_json(const bdl_allocator *allocator, const bdl__json *object,
                                const char *where, bdl__optim **optim);
void bdl__optim_free(bdl__optim *optim);

const bdl__optim_method *bdl__optim_method_of(const bdl__optim *optim);
const void *bdl__optim_params_of(const bdl__optim *optim);
double bdl__optim_lr(const bdl__optim *optim); /* the base rate that schedules start from */
/* State vectors (0 .. BDL__MAX_OPTIM_STATES), laid out as the weights; they start as zeros. */
int bdl__optim_n_states(const bdl__optim *optim);
/* "sgd(lr=0.05, momentum=0.9)": the changed fields. */
void bdl__optim_to_text(const bdl__optim *optim, bdl__text *out);
/* {"name": "sgd", "params": {...}}: all fields. */
void bdl__optim_to_json(const bdl__optim *optim, bdl__json_writer *writer);

/* Starts update number `iteration` (from 0) with this learning rate. The gradients are sums: they
 * are multiplied by `grad_scale` (1 / divisor of the loss) within the update. `clip` may be NULL.
 */
void bdl__optim_begin(const bdl__optim *optim, int64_t iteration, double rate, double grad_scale,
                      const bdl__clip *clip, bdl__optim_step *step);

/* Updates [begin, end) of the vectors, which start at scalar 0: multiples of 16, or of BDL__BLOCK.
 * dtype of the vectors: double on BDL__TARGET_F64, else float. */
void bdl__optim_update(const bdl__optim_step *step, bdl__target target, void *weights,
                       const void *grads, void *const states[], bdl__param_ranges ranges,
                       int64_t begin, int64_t end);

/* sums[i] = sum of squares of block i's gradients (as they are, not scaled), for the blocks of
 * [begin, end), which are multiples of BDL__BLOCK. */
void bdl__optim_square_sums(bdl__target target, const void *grads, bdl__param_ranges ranges,
                            int64_t begin, int64_t end, double *sums);
/* Square root of the blocks' sum, added in a fixed tree over the block numbers. */
double bdl__optim_norm(const double *sums, int64_t n_blocks);
/* Scales the step's gradients by min(1, max_norm / (norm + 1e-6)), as PyTorch does, where `norm` is
 * multiplied by the step's grad_scale first. Returns that scaled norm. */
double bdl__optim_clip_norm(bdl__optim_step *step, double norm);

/* Method number i, sorted by family, for help texts and the schema dump; NULL beyond the last. */
const bdl__optim_method *bdl__optim_method_at(int64_t i);

/* At the end of a method's file: BDL_OPTIM_FAMILY(adam, &adam, &adamw) */
#define BDL_OPTIM_FAMILY(family, ...)                                                              \
    static const bdl__optim_method *const bdl__optim_methods_##family[] = {__VA_ARGS__};           \
    extern const bdl__optim_family bdl__optim_family_##family;                                     \
    const bdl__optim_family bdl__optim_family_##family = {                                         \
        bdl__optim_methods_##family, BDL__COUNT_OF(bdl__optim_methods_##family)};

typedef struct bdl__optim_family {
    const bdl__optim_method *const *methods;
    int64_t n;
} bdl__optim_family;

#endif
