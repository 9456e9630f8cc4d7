/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax, softmin and log_softmax along an axis; shapes stay. Backward reads the output:
 *
 *     softmax       y = e^x / sum(e^x)            dx = y (dy - sum(y dy))
 *     softmin       y = e^-x / sum(e^-x)          dx = -y (dy - sum(y dy))
 *     log_softmax   y = x - log(sum(e^x))         dx = dy - e^y sum(dy)
 */
#include "kernels/softmax.h"
#include "layers/layer.h"

/* ---- params ---------------------------------------------------------------------------------- */

typedef struct softmax_params {
    int64_t axis;
} softmax_params;

static const bdl__field softmax_fields[] = {
    BDL_FIELD(softmax_params, axis, .def.i64 = -1, .range = BDL_IN(-8, 8), .torch_name = "dim",
              .doc = "Axis along which values sum to one; 0 is the batch, 1 the sample's first."),
};

/* ---- infer and plan -------------------------------------------------------------------------- */

static bdl_status infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const softmax_params *p = params;
    int32_t axis;
    BDL__TRY(bdl__need_float(in, 0));
    BDL__TRY(bdl__layer_axis(p->axis, in->shape[0].rank, &axis));
    decl->backward_reads_dst = true;
    return bdl__decl_same(in, decl);
}

typedef struct softmax_state {
    bdl__softmax_shape shape;
    int64_t n_columns;
} softmax_state;

static bdl_status plan(bdl__planner *planner, bdl__step *step)
{
    const softmax_params *p = step->params;
    const bdl__shape *src = &step->src_shape[0];
    void *memory;
    int32_t axis;
    BDL__TRY(bdl__layer_axis(p->axis, src->rank, &axis));
    BDL__TRY(bdl__plan_alloc(planner, sizeof(softmax_state), &memory));
    softmax_state *state = step->state = memory;
    state->shape.n = src->dim[axis];
    state->shape.inner = 1;
    for (int32_t i = axis + 1; i < src->rank; i++) {
        state->shape.inner *= src->dim[i];
    }
    state->n_columns = bdl__shape_count(src) / state->shape.n;
    step->splits = true;
    return BDL_OK;
}

/* ---- forward and backward -------------------------------------------------------------------- */

static void softmax_any_forward(const bdl__step *step, bdl__cx *cx, double sign)
{
    const softmax_state *state = step->state;
    int64_t begin, end;
    bdl__cx_split(cx, state->n_columns, &begin, &end);
    bdl__softmax_kernels(step->target)
        ->softmax_forward(&state->shape, sign, cx->src[0].data, cx->dst[0].data, begin, end);
}

static void softmax_any_backward(const bdl__step *step, bdl__cx *cx, double sign)
{
    const softmax_state *state = step->state;
    int64_t begin, end;
    if (cx->diff_src_mode[0] == BDL__SKIP) {
        return;
    }
    bdl__cx_split(cx, state->n_columns, &begin, &end);
    bdl__softmax_kernels(step->target)
        ->softmax_backward(&state->shape, sign, cx->dst[0].data, cx->diff_dst[0].data,
                           cx->diff_src[0].data, begin, end, cx->diff_src_mode[0] == BDL__ADD);
}

static void softmax_forward(const bdl__step *step, bdl__cx *cx)
{
    softmax_any_forward(step, cx, 1);
}

static void softmax_backward(const bdl__step *step, bdl__cx *cx)
{
    softmax_any_backward(step, cx, 1);
}

static void softmin_forward(const bdl__step *step, bdl__cx *cx)
{
    softmax_any_forward(step, cx, -1);
}

static void softmin_backward(const bdl__step *step, bdl__cx *cx)
{
    softmax_any_backward(step, cx, -1);
}

static void log_softmax_forward(const bdl__step *step, bdl__cx *cx)
{
    const softmax_state *state = step->state;
    int64_t begin, end;
    bdl__cx_split(cx, state->n_columns, &begin, &end);
    bdl__softmax_kernels(step->target)
        ->log_softmax_forward(&state->shape, cx->src[0].data, cx->dst[0].data, begin, end);
}

static void log_softmax_backward(const bdl__step *step, bdl__cx *cx)
{
    const softmax_state *state = step->state;
    int64_t begin, end;
    if (cx->diff_src_mode[0] == BDL__SKIP) {
        return;
    }
    bdl__cx_split(cx, state->n_columns, &begin, &end);
    bdl__softmax_kernels(step->target)
        ->log_softmax_backward(&state->shape, cx->dst[0].data, cx->diff_dst[0].data,
                               cx->diff_src[0].data, begin, end, cx->diff_src_mode[0] == BDL__ADD);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static const bdl__layer softmax = {
    .name = "softmax",
    .names = {.pytorch = "Softmax", .torch = "SoftMax", .keras = "Softmax"},
    .since = "0.1",
    .summary = "Positive values that sum to one.",
    .doc = "e^x / sum(e^x) along the axis, any shape; the largest x is taken off first.",
    .schema = BDL_SCHEMA("softmax", softmax_fields, softmax_params),
    .ports = "input",
    .flags = BDL__IN_PLACE,
    .infer = infer,
    .plan = plan,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

static const bdl__layer softmin = {
    .name = "softmin",
    .names = {.pytorch = "Softmin", .torch = "SoftMin"},
    .since = "0.1",
    .summary = "Softmax of the negative input.",
    .doc = "e^-x / sum(e^-x) along the axis, any shape.",
    .schema = BDL_SCHEMA("softmin", softmax_fields, softmax_params),
    .ports = "input",
    .flags = BDL__IN_PLACE,
    .infer = infer,
    .plan = plan,
    .forward = softmin_forward,
    .backward = softmin_backward,
};

static const bdl__layer log_softmax = {
    .name = "log_softmax",
    .names = {.pytorch = "LogSoftmax", .torch = "LogSoftMax"},
    .since = "0.1",
    .summary = "Logarithm of softmax.",
    .doc = "x - log(sum(e^x)) along the axis, any shape; the largest x is taken off first.",
    .schema = BDL_SCHEMA("log_softmax", softmax_fields, softmax_params),
    .ports = "input",
    .flags = BDL__IN_PLACE,
    .infer = infer,
    .plan = plan,
    .forward = log_softmax_forward,
    .backward = log_softmax_backward,
};

BDL_LAYER_FAMILY(softmax, &log_softmax, &softmax, &softmin)
