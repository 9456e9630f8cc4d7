/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic of several tensors: add, sub, mul, div, maximum, minimum. Shapes of samples are
 * aligned at their last axis; an axis of size 1, or one that is missing, repeats to fit the others,
 * and its gradient is the sum over the repetitions.
 */
#include "kernels/arith.h"
#include "layers/layer.h"

#include <string.h>

/* A descriptor, and which operation it is. */
typedef struct arith_layer {
    bdl__layer layer; /* first: hooks find the rest from it */
    bdl__arith_op op;
} arith_layer;

/* ---- infer and plan -------------------------------------------------------------------------- */

/* Size of the axis that is `i` before the last; 1 if there is none. */
static int64_t size_from_end(const bdl__shape *shape, int32_t i)
{
    return i < shape->rank ? shape->dim[shape->rank - 1 - i] : 1;
}

static bdl_status infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    (void)params;
    bdl__shape out = in->shape[0];
    BDL__TRY(bdl__need_float(in, 0));
    for (int j = 1; j < in->n; j++) {
        const bdl__shape *other = &in->shape[j];
        bdl__shape both = {.rank = BDL__MAX(out.rank, other->rank)};
        BDL__TRY(bdl__need_float(in, j));
        for (int32_t i = 0; i < both.rank; i++) {
            const int64_t a = size_from_end(&out, i), b = size_from_end(other, i);
            char text[BDL__SHAPE_TEXT_SIZE], other_text[BDL__SHAPE_TEXT_SIZE];
            BDL__CHECK(a == b || a == 1 || b == 1, BDL_ERR_SHAPE,
                       "shapes %s and %s do not fit together",
                       bdl__shape_text(&out, text, sizeof text),
                       bdl__shape_text(other, other_text, sizeof other_text));
            both.dim[both.rank - 1 - i] = a == 1 ? b : a;
        }
        out = both;
    }
    return bdl__decl_out(decl, &out, false);
}

static bdl_status infer_reads_src(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    decl->backward_reads_src = true;
    return infer(params, in, decl);
}

static bdl_status infer_reads_both(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    decl->backward_reads_dst = true;
    return infer_reads_src(params, in, decl);
}

typedef struct arith_state {
    bdl__arith_shape shape;
    bool *repeats; /* [n_in] */
    bool is_flat;  /* nothing repeats: all tensors are one run of elements */
    int64_t n;     /* of the output */
} arith_state;

/* Strides of a tensor as it is seen from the output. */
static void strides_in(const bdl__shape *tensor, const bdl__arith_shape *shape, int64_t *stride)
{
    int64_t size = 1;
    for (int32_t i = 0; i < BDL__ARITH_RANK; i++) {
        const int64_t n = size_from_end(tensor, i);
        const int k = BDL__ARITH_RANK - 1 - i;
        stride[k] = n == 1 && shape->dim[k] != 1 ? 0 : size;
        size *= n;
    }
}

static bdl_status plan(bdl__planner *planner, bdl__step *step)
{
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(arith_state), &memory));
    arith_state *state = step->state = memory;
    bdl__arith_shape *shape = &state->shape;
    BDL__TRY(bdl__plan_alloc(planner, (size_t)step->n_in * sizeof *shape->src_stride, &memory));
    shape->src_stride = memory;
    BDL__TRY(bdl__plan_alloc(planner, (size_t)step->n_in * sizeof(bool), &memory));
    state->repeats = memory;

    const bdl__shape *dst = &step->dst_shape[0];
    shape->n_in = step->n_in;
    state->n = bdl__shape_count(dst);
    state->is_flat = true;
    for (int32_t i = 0; i < BDL__ARITH_RANK; i++) {
        shape->dim[BDL__ARITH_RANK - 1 - i] = size_from_end(dst, i);
    }
    strides_in(dst, shape, shape->dst_stride);
    for (int j = 0; j < step->n_in; j++) {
        strides_in(&step->src_shape[j], shape, shape->src_stride[j]);
        state->repeats[j] = bdl__shape_count(&step->src_shape[j]) != state->n;
        state->is_flat = state->is_flat && !state->repeats[j];
    }
    step->splits = state->is_flat;
    step->impl = state->is_flat ? "flat" : "broadcast";
    return BDL_OK;
}

/* ---- forward and backward -------------------------------------------------------------------- */

/* What one call works on: all rows, or a run of elements as one row. */
typedef struct work {
    bdl__arith_shape shape;
    int64_t n_rows;
    int64_t offset; /* of the first element, in bytes */
} work;

static work work_of(const bdl__step *step, const bdl__cx *cx)
{
    const arith_state *state = step->state;
    const int last = BDL__ARITH_RANK - 1;
    work w = {.shape = state->shape, .n_rows = state->n / state->shape.dim[last]};
    if (state->is_flat) {
        int64_t begin, end;
        bdl__cx_split(cx, state->n, &begin, &end);
        memset(w.shape.dim, 0, sizeof w.shape.dim);
        w.shape.dim[last] = end - begin;
        w.n_rows = 1;
        w.offset = begin * (int64_t)step->real_size;
    }
    return w;
}

static void *shifted(void *data, int64_t offset)
{
    return data != NULL ? (char *)data + offset : NULL;
}

static int op_of(const bdl__step *step)
{
    return (int)((const arith_layer *)(const void *)step->layer)->op;
}

static void forward(const bdl__step *step, bdl__cx *cx)
{
    const work w = work_of(step, cx);
    const real *src[BDL__MAX_PORTS];
    for (int j = 0; j < step->n_in; j++) {
        src[j] = shifted(cx->src[j].data, w.offset);
    }
    bdl__arith_kernels(step->target)
        ->arith_forward(op_of(step), &w.shape, (const real *const *)src,
                        shifted(cx->dst[0].data, w.offset), 0, w.n_rows);
}

static void backward(const bdl__step *step, bdl__cx *cx)
{
    const arith_state *state = step->state;
    const work w = work_of(step, cx);
    const real *src[BDL__MAX_PORTS];
    for (int j = 0; j < step->n_in; j++) {
        src[j] = shifted(cx->src[j].data, w.offset);
    }
    for (int j = 0; j < step->n_in; j++) {
        const bdl__write_mode mode = cx->diff_src_mode[j];
        if (mode == BDL__SKIP) {
            continue;
        }
        if (state->repeats[j] && mode == BDL__WRITE) {
            const int64_t n = bdl__shape_count(&step->src_shape[j]);
            memset(cx->diff_src[j].data, 0, (size_t)n * step->real_size);
        }
        bdl__arith_kernels(step->target)
            ->arith_backward(op_of(step), &w.shape, j, (const real *const *)src,
                             shifted(cx->dst[0].data, w.offset),
                             shifted(cx->diff_dst[0].data, w.offset),
                             shifted(cx->diff_src[j].data, w.offset), 0, w.n_rows,
                             state->repeats[j] || mode == BDL__ADD);
    }
}

/* ---- descriptors ----------------------------------------------------------------------------- */

#define ARITH_HOOKS .plan = plan, .forward = forward, .backward = backward

static const arith_layer add = {
    .layer = {ARITH_HOOKS, .name = "add",
              .names = {.pytorch = "add", .torch = "CAddTable", .keras = "Add"}, .since = "0.1",
              .summary = "Sum of tensors.",
              .doc = "x1 + x2 + ..., one or more inputs; axes of size 1 repeat.",
              .schema = BDL_NO_FIELDS("add"), .ports = "input...", .infer = infer},
    .op = BDL__ARITH_ADD,
};

static const arith_layer sub = {
    .layer = {ARITH_HOOKS, .name = "sub",
              .names = {.pytorch = "sub", .torch = "CSubTable", .keras = "Subtract"},
              .since = "0.1", .summary = "Difference of two tensors.",
              .doc = "x1 - x2; axes of size 1 repeat.", .schema = BDL_NO_FIELDS("sub"),
              .ports = "input,other", .infer = infer},
    .op = BDL__ARITH_SUB,
};

static const arith_layer mul = {
    .layer = {ARITH_HOOKS, .name = "mul",
              .names = {.pytorch = "mul", .torch = "CMulTable", .keras = "Multiply"},
              .since = "0.1", .summary = "Product of tensors, element by element.",
              .doc = "x1 x2 ..., one or more inputs; axes of size 1 repeat.",
              .schema = BDL_NO_FIELDS("mul"), .ports = "input...", .infer = infer_reads_src},
    .op = BDL__ARITH_MUL,
};

static const arith_layer div_layer = {
    .layer = {ARITH_HOOKS, .name = "div", .names = {.pytorch = "div", .torch = "CDivTable"},
              .since = "0.1", .summary = "Quotient of two tensors, element by element.",
              .doc = "x1 / x2; axes of size 1 repeat.", .schema = BDL_NO_FIELDS("div"),
              .ports = "input,other", .infer = infer_reads_src},
    .op = BDL__ARITH_DIV,
};

static const arith_layer maximum = {
    .layer = {ARITH_HOOKS, .name = "maximum",
              .names = {.pytorch = "maximum", .torch = "CMaxTable", .keras = "Maximum"},
              .since = "0.1", .summary = "Largest of tensors, element by element.",
              .doc =
                  "max(x1, x2, ...), one or more inputs; axes of size 1 repeat. Of equal ones the "
                  "first gets the gradient.",
              .schema = BDL_NO_FIELDS("maximum"), .ports = "input...", .flags = BDL__HAS_KINKS,
              .infer = infer_reads_both},
    .op = BDL__ARITH_MAX,
};

static const arith_layer minimum = {
    .layer = {ARITH_HOOKS, .name = "minimum",
              .names = {.pytorch = "minimum", .torch = "CMinTable", .keras = "Minimum"},
              .since = "0.1", .summary = "Smallest of tensors, element by element.",
              .doc =
                  "min(x1, x2, ...), one or more inputs; axes of size 1 repeat. Of equal ones the "
                  "first gets the gradient.",
              .schema = BDL_NO_FIELDS("minimum"), .ports = "input...", .flags = BDL__HAS_KINKS,
              .infer = infer_reads_both},
    .op = BDL__ARITH_MIN,
};

BDL_LAYER_FAMILY(arith, &add.layer, &div_layer.layer, &maximum.layer, &minimum.layer, &mul.layer,
                 &sub.layer)
