/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer contract. A layer is a constant descriptor with a field table and five hooks; criterions
 * and metrics are layers too. Three lifetimes, three structs: params (in the graph) · step (in the plan,
 * immutable once planned, shared by threads) · cx (one execution: pointers and position).
 *
 * Data. Shapes are those of one sample: the batch axis is not in them. Where a user names an axis,
 * axis 0 is the batch, axis 1 the first of the sample, negative ones count from the end
 * (bdl__layer_axis). A tensor of a *part* is an array of `real` in the sample's row-major order, each
 * real holding the samples of the part (16 on avx512, 8 on avx2, 4 on sse4 and neon, 1 on lane1 and
 * f64). A slice is 16 samples: 16 / lanes parts. Integer tensors (labels) hold `r_int`.
 * Weights, their gradients and running buffers are plain `scalar` arrays (float; double on f64).
 */
#ifndef BDL_LAYERS_LAYER_H
#define BDL_LAYERS_LAYER_H

#include <stdatomic.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "schema/schema.h"
#include "tensor/shape.h"

#define BDL__MAX_PORTS 64   /* inputs or outputs of a layer */
#define BDL__MAX_WEIGHTS 8  /* weight tensors, or running buffers, of a layer */
#define BDL__MAX_SAVED 8    /* saved areas of a step */
#define BDL__SLICE 16       /* samples of a slice */

/* ---- what infer declares ------------------------------------------------------------------- */

/* A weight tensor. `init` is the text of an initialiser ("torch", "normal(std=0.01)", tensor/init.h);
 * fans are for it. */
typedef struct bdl__weight_decl {
    const char *name; /* "weight", "bias" */
    bdl__shape shape;
    const char *init;
    int64_t fan_in;
    int64_t fan_out;
    bool no_decay; /* weight decay is usually not wanted here (bias, batch norm) */
} bdl__weight_decl;

/* A running buffer, such as batch norm's running mean: saved with the model, no gradient. */
typedef struct bdl__buffer_decl {
    const char *name;
    bdl__shape shape;
    double value; /* at the start */
} bdl__buffer_decl;

typedef struct bdl__decl {
    int n_out;
    bdl__shape out[BDL__MAX_PORTS];
    bool out_integer[BDL__MAX_PORTS];
    int n_weights;
    bdl__weight_decl weights[BDL__MAX_WEIGHTS];
    int n_buffers;
    bdl__buffer_decl buffers[BDL__MAX_WEIGHTS];
    bool backward_reads_src; /* backward needs the inputs' values ... */
    bool backward_reads_dst; /* ... or the outputs' (then they are kept from forward to backward) */
} bdl__decl;

/* Inputs as infer sees them. */
typedef struct bdl__infer_in {
    int n;
    const bdl__shape *shape;
    const bool *integer;
} bdl__infer_in;

/* ---- what plan sees and books ---------------------------------------------------------------- */

typedef enum bdl__precision {
    BDL__FP32,       /* Winograd allowed within its documented bound */
    BDL__FP32_EXACT, /* direct sums only */
    BDL__BF16,
    BDL__F64_PRECISION
} bdl__precision;

struct bdl__layer;
typedef struct bdl__planner bdl__planner; /* opaque: in plan/ */

/* Hooks cannot fail, but what they call may lack memory. The first to fail in a run is noted, and the run with it. */
typedef struct bdl__failure {
    _Atomic(const char *) error; /* static text; NULL = none */
    const char *library;         /* that said so */
    const char *name;            /* of the node */
} bdl__failure;

typedef struct bdl__step {
    const struct bdl__layer *layer;
    const void *params;
    const char *name; /* of the node, for error texts and listings */
    int64_t i_node;   /* position in the graph; part of the random stream's key */
    int n_in, n_out, n_weights, n_buffers;
    const bdl__shape *src_shape; /* [n_in] */
    const bdl__shape *dst_shape; /* [n_out] */
    const bdl__shape *weights_shape;
    const bool *src_integer;
    bool is_training;
    bool needs_diff_src[BDL__MAX_PORTS];
    bool needs_diff_weights; /* some weight of the step is not frozen */
    bdl__precision precision;
    bdl__target target;
    int lanes;           /* samples in a real */
    size_t real_size;    /* bytes of a real: 4 * lanes, or 8 on f64 */
    size_t scalar_size;  /* bytes of a scalar */
    int64_t global_batch;
    bool few_samples; /* prediction of a few samples by a large net: one sample a part, see plan.h */
    bdl__failure *failure; /* the plan's; see bdl__step_fail */

    /* Set by the layer's plan hook. */
    const char *impl;          /* "direct", "winograd4": printed by inspect --plan */
    const char *impl_backward_data, *impl_backward_weights; /* NULL = as impl */
    void *state;               /* from bdl__plan_alloc, or NULL */
    bool takes_many;           /* forward/backward handle cx->n_parts > 1 and split over the team */
    bool splits;               /* with one part, splits over the team (bdl__cx_split) */
    int n_forward_passes;      /* 0 is taken as 1; see bdl__plan_sums */
    int n_backward_passes;
} bdl__step;

/* Called in forward, backward or packing by any worker: the run's results are of no use. */
void bdl__step_fail(const bdl__step *step, const char *library, const char *error);

/* Zeroed memory that lives as long as the plan. */
bdl_status bdl__plan_alloc(bdl__planner *planner, size_t size, void **memory);

/* Books `size` bytes a part, kept from forward to backward: cx->saved[i_saved]. */
bdl_status bdl__plan_save(bdl__planner *planner, bdl__step *step, int i_saved, size_t size);

/* Books scratch for one call: cx->scratch, `size` bytes a worker (64-byte aligned, not zeroed). */
bdl_status bdl__plan_scratch(bdl__planner *planner, bdl__step *step, size_t size);

/* Books a packed copy of the weights: cx->packed[i_packed], `size` bytes, filled by
 * pack(step, weights, packed, begin, end) over units [0, n_units) split between all workers, after each
 * update of the weights. Even areas are for forward, odd ones for backward: models whose copies would
 * need much memory pack each area just before the direction that reads it. */
typedef void (*bdl__pack_fn)(const bdl__step *step, const void *const *weights, void *packed,
                             int64_t begin, int64_t end);
bdl_status bdl__plan_packed(bdl__planner *planner, bdl__step *step, int i_packed, size_t size,
                            int64_t n_units, bdl__pack_fn pack);

/* Makes the pass `i_pass` of forward (or backward) end in a sum over the batch: the hook fills
 * cx->sums (n doubles) for its part; when all parts are done, they are merged in the fixed tree by
 * `merge(into, from, n)` (into = into and from) and the next pass finds the result in cx->totals. Sets
 * the step's n_..._passes to at least i_pass + 2. The last pass has no sums. */
typedef void (*bdl__merge_fn)(double *into, const double *from, int64_t n);
bdl_status bdl__plan_sums(bdl__planner *planner, bdl__step *step, bool is_backward, int i_pass,
                          int64_t n, bdl__merge_fn merge);
/* into[i] += from[i] */
void bdl__merge_add(double *into, const double *from, int64_t n);
/* Triples (count, mean, M2), merged by Chan, Golub, LeVeque (1979). n is a multiple of 3. */
void bdl__merge_moments(double *into, const double *from, int64_t n);

/* ---- what forward and backward see ------------------------------------------------------------ */

/* A tensor of the parts of this call: part i begins `stride` bytes after part i - 1. */
typedef struct bdl__span {
    void *data;
    int64_t stride;
} bdl__span;

static inline void *bdl__span_part(bdl__span span, int64_t i)
{
    return (char *)span.data + i * span.stride;
}

typedef enum bdl__write_mode {
    BDL__SKIP,  /* nobody wants it: the pointer is NULL */
    BDL__WRITE, /* the old content is undefined */
    BDL__ADD    /* add to the content */
} bdl__write_mode;

typedef struct bdl__grad_sink bdl__grad_sink; /* opaque: in exec/ */

typedef struct bdl__cx {
    int64_t n_parts;  /* 1 unless the step takes_many */
    int64_t i_part;   /* number of the first part within the batch */
    int64_t n_valid;  /* with one part: its samples that exist, 1..lanes; the lanes beyond repeat a real
                       * sample and arrive in backward with a gradient of 0 */
    int pass;         /* see bdl__plan_sums */
    int team_rank, team_size;

    bdl__span src[BDL__MAX_PORTS];      /* NULL data in backward unless backward_reads_src */
    bdl__span dst[BDL__MAX_PORTS];      /* NULL data in backward unless backward_reads_dst */
    bdl__span diff_dst[BDL__MAX_PORTS]; /* NULL data for an output that nobody used */
    bdl__span diff_src[BDL__MAX_PORTS];
    bdl__write_mode diff_src_mode[BDL__MAX_PORTS];

    const void *weights[BDL__MAX_WEIGHTS];
    /* Backward writes diff_weights in pass 0 only, and diff_src in its last pass only (in the other
     * passes the pointers are NULL, the modes BDL__SKIP). NULL and SKIP where frozen. Where the step
     * takes_many the pointers are NULL, and a mode other than SKIP says that the gradient is wanted:
     * see bdl__grad_commit. */
    void *diff_weights[BDL__MAX_WEIGHTS];
    bdl__write_mode diff_weights_mode[BDL__MAX_WEIGHTS];
    void *buffers[BDL__MAX_WEIGHTS]; /* written only by forward's last pass, when is_buffer_writer */
    bool is_buffer_writer;
    const void *packed[BDL__MAX_SAVED];

    bdl__span saved[BDL__MAX_SAVED];
    void *scratch;
    double *sums;
    const double *totals;
    bdl__grad_sink *grad_sink;

    uint64_t rng_seed; /* with step->i_node, rng_step, i_part and the position: the random key */
    uint64_t rng_step; /* iteration number */
    int64_t first_sample; /* number of lane 0's sample within the global batch */
} bdl__cx;

/* The calling team member's share of [0, n). */
void bdl__cx_split(const bdl__cx *cx, int64_t n, int64_t *begin, int64_t *end);

/* For steps that take many parts: adds `count` gradients of weight `i_weight` from `offset` on, summed
 * over the parts of one slice (part numbers i_slice * 16 / lanes ...), into the fixed tree. Every slice
 * of the call must commit every element once, slices in rising order for each element; members of a
 * team commit disjoint ranges. `values` is clobbered. */
void bdl__grad_commit(bdl__cx *cx, int i_weight, int64_t offset, int64_t count, int64_t i_slice,
                      void *values);

/* ---- the descriptor ---------------------------------------------------------------------------- */

typedef enum bdl__batch_kind {
    BDL__SAMPLE, /* any slice alone */
    BDL__STATS,  /* needs sums over the batch (bdl__plan_sums) in training */
    BDL__WHOLE   /* needs all samples at once */
} bdl__batch_kind;

typedef enum bdl__layer_kind {
    BDL__LAYER,
    BDL__CRITERION, /* src: input, target[, weight]; dst: 2 reals a sample (loss, divisor) */
    BDL__METRIC     /* src: input, target; dst: 2 reals a sample (value, count); no backward */
} bdl__layer_kind;

enum {
    BDL__IN_PLACE = 1,        /* dst may be src: kernels read index i before they write it */
    BDL__NEEDS_RNG = 2,
    BDL__DIFFERS_IN_TRAINING = 4,
    BDL__NO_GRADIENT = 8,     /* output does not depend smoothly on the input */
    BDL__HAS_KINKS = 16,      /* gradient checks must avoid points of non-differentiability */
    BDL__VIEW = 32,           /* dst has src's elements in the same order: the planner makes dst an
                               * alias and may skip the step */
    BDL__MASKS = 64,          /* in training, each element of dst is src's times a positive number, or 0
                               * and passes no gradient */
    BDL__READS_SIGN = 128     /* backward only asks which elements of dst are above 0 */
};

/* Ports: "input", "input,target"; a trailing "..." means one or more of the last. */
typedef struct bdl__layer {
    const char *name; /* "conv2d" */
    struct {
        const char *pytorch; /* "Conv2d" */
        const char *torch;   /* "SpatialConvolution": Torch and BigDL */
        const char *keras;   /* "Conv2D"; NULL where there is none */
    } names;
    const char *since;
    const char *summary; /* a line */
    const char *doc;     /* formula, shapes, defaults, source */
    bdl__schema schema;
    const char *ports;
    bdl__layer_kind kind;
    bdl__batch_kind batch;
    unsigned flags;

    bdl_status (*infer)(const void *params, const bdl__infer_in *in, bdl__decl *decl);
    bdl_status (*plan)(bdl__planner *planner, bdl__step *step); /* NULL = impl "kernel", no bookings */
    void (*forward)(const bdl__step *step, bdl__cx *cx);
    void (*backward)(const bdl__step *step, bdl__cx *cx); /* NULL with BDL__NO_GRADIENT, METRIC */
    void (*release)(bdl__step *step); /* NULL = nothing to free */
} bdl__layer;

/* An array of pointers to descriptors, exported by a family file. */
typedef struct bdl__layer_family {
    const bdl__layer *const *layers;
    int64_t n;
} bdl__layer_family;

/* At the end of a family file: BDL_LAYER_FAMILY(softmax, &softmax, &log_softmax) */
#define BDL_LAYER_FAMILY(family, ...)                                                              \
    static const bdl__layer *const bdl__family_layers_##family[] = {__VA_ARGS__};                  \
    extern const bdl__layer_family bdl__family_##family;                                           \
    const bdl__layer_family bdl__family_##family = {                                               \
        bdl__family_layers_##family,                                                               \
        sizeof bdl__family_layers_##family / sizeof bdl__family_layers_##family[0]};

/* The schema of a layer: its fields and params struct, under the layer's name. */
#define BDL_SCHEMA(layer_name, table, type)                                                        \
    {                                                                                              \
        .name = (layer_name), .fields = (table), .n_fields = BDL__COUNT_OF(table),                 \
        .params_size = sizeof(type)                                                                \
    }
/* ... of one without parameters. */
#define BDL_NO_FIELDS(layer_name)                                                                  \
    {                                                                                              \
        .name = (layer_name)                                                                       \
    }

/* All registered layers, sorted by name. */
const bdl__layer *const *bdl__layers_all(int64_t *n);
/* The layer of this name (any of its names, case-sensitive); the error offers the nearest. */
bdl_status bdl__layer_find(const char *name, const bdl__layer **layer);

/* ---- helpers for infer ------------------------------------------------------------------------ */

bdl_status bdl__decl_out(bdl__decl *decl, const bdl__shape *shape, bool integer);
bdl_status bdl__decl_weights(bdl__decl *decl, const bdl__weight_decl *weights);
bdl_status bdl__decl_buffer(bdl__decl *decl, const char *name, const bdl__shape *shape,
                            double value);
/* One output of the first input's shape. */
bdl_status bdl__decl_same(const bdl__infer_in *in, bdl__decl *decl);
/* Fails unless input i has this rank: "needs (channels, height, width), got 784". */
bdl_status bdl__need_rank(const bdl__infer_in *in, int i, int32_t rank, const char *expected);
bdl_status bdl__need_float(const bdl__infer_in *in, int i);
/* A user's axis (0 = batch, refused; negative from the end) as an axis of the sample, [0, rank). */
bdl_status bdl__layer_axis(int64_t axis, int32_t rank, int32_t *sample_axis);
/* A list field that holds one number or `n`: gives all n, or `fallback` for an empty list. */
void bdl__expand(const bdl__i64s *list, int n, int64_t fallback, int64_t *values);

#endif
