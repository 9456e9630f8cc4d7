/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear: y = x W^T + b over the last axis.
 *
 * src (..., in_features) -> dst (..., out_features); the axes before the last are positions that
 * share the weights. weight (out, in), bias (out), as PyTorch keeps them. Register tiles over
 * columns forward and backward; weight gradients in feature lanes (kernels/linear.h). Above a
 * million weights the step takes many parts at once, so that weights pass through the caches once
 * for all of them.
 */
#include "kernels/linear.h"
#include "layers/layer.h"
#include "layers/linear_dnnl.h"
#include "layers/slices.h"

typedef struct linear_params {
    int64_t in_features;
    int64_t out_features;
    bool bias;
    const char *weight_init;
    const char *bias_init;
} linear_params;

static const bdl__field fields[] = {
    BDL_FIELD(linear_params, in_features, .def.i64 = 0, .range = BDL_IN(0, 1 << 30),
              .inferred = true, .doc = "Features of the input; 0 takes them from the input."),
    BDL_FIELD(linear_params, out_features, .required = true, .range = BDL_IN(1, 1 << 30),
              .doc = "Features of the output."),
    BDL_FIELD(linear_params, bias, .def.b = true, .doc = "Whether a bias is added."),
    BDL_FIELD(linear_params, weight_init, .def.s = "torch", .doc = "Initialiser of the weights."),
    BDL_FIELD(linear_params, bias_init, .def.s = "torch", .doc = "Initialiser of the bias."),
};

/* Weights from which a step takes many parts. A count, so that plans are the same everywhere. */
#define MANY_WEIGHTS (1 << 20)
/* Bytes of gradients that are computed before they are handed on. */
#define TILE_SIZE (512 * 1024)

struct state {
    int64_t n_positions, n_in, n_out;
    int64_t tile; /* outputs whose gradients are handed on at once */
    size_t scratch_size; /* of the kernel; values for the sink follow */
    bdl__dnnl_step *dnnl; /* owned; NULL where oneDNN has no part in it */
};

static bdl_status infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const linear_params *p = params;
    bdl__shape out = in->shape[0];
    BDL__TRY(bdl__need_float(in, 0));
    BDL__CHECK(out.rank >= 1, BDL_ERR_SHAPE, "needs an input with at least one axis");
    const int64_t n_in = out.dim[out.rank - 1];
    BDL__CHECK(p->in_features == 0 || p->in_features == n_in, BDL_ERR_SHAPE,
               "in_features is %lld, but the input's last axis has %lld",
               (long long)p->in_features, (long long)n_in);
    out.dim[out.rank - 1] = p->out_features;
    BDL__TRY(bdl__shape_check(&out, "output"));
    BDL__TRY(bdl__decl_out(decl, &out, false));
    const bdl__weight_decl weight = {.name = "weight",
                                     .shape = {.rank = 2, .dim = {p->out_features, n_in}},
                                     .init = p->weight_init,
                                     .fan_in = n_in,
                                     .fan_out = p->out_features};
    BDL__TRY(bdl__shape_check(&weight.shape, "weight"));
    BDL__TRY(bdl__decl_weights(decl, &weight));
    if (p->bias) {
        const bdl__weight_decl bias = {.name = "bias",
                                       .shape = {.rank = 1, .dim = {p->out_features}},
                                       .init = p->bias_init,
                                       .fan_in = n_in,
                                       .fan_out = p->out_features,
                                       .no_decay = true};
        BDL__TRY(bdl__decl_weights(decl, &bias));
    }
    decl->backward_reads_src = true;
    return BDL_OK;
}

static void pack_forward(const bdl__step *step, const void *const *weights, void *packed,
                         int64_t begin, int64_t end)
{
    const struct state *s = step->state;
    bdl__linear_kernels(step->target)
        ->linear_pack(weights[0], s->n_in, s->n_out, 1, s->n_in, packed, begin, end);
}

static void pack_backward(const bdl__step *step, const void *const *weights, void *packed,
                          int64_t begin, int64_t end)
{
    const struct state *s = step->state;
    bdl__linear_kernels(step->target)
        ->linear_pack(weights[0], s->n_out, s->n_in, s->n_in, 1, packed, begin, end);
}

static void pack_dnnl_forward(const bdl__step *step, const void *const *weights, void *packed,
                              int64_t begin, int64_t end)
{
    const struct state *s = step->state;
    bdl__dnnl_step_pack(step, s->dnnl, BDL__DNNL_FORWARD, weights[0], packed, begin, end);
}

static void pack_dnnl_backward(const bdl__step *step, const void *const *weights, void *packed,
                               int64_t begin, int64_t end)
{
    const struct state *s = step->state;
    bdl__dnnl_step_pack(step, s->dnnl, BDL__DNNL_BACKWARD_DATA, weights[0], packed, begin, end);
}

/* Chooses who computes, and books the packed weights. */
static bdl_status book_weights(bdl__planner *planner, bdl__step *step, struct state *s)
{
    const size_t size = (size_t)(s->n_in * s->n_out) * step->scalar_size;
    BDL__TRY(bdl__linear_dnnl_choose(planner, step, s->n_positions, s->n_in, s->n_out, &s->dnnl));
    if (bdl__dnnl_has(s->dnnl, BDL__DNNL_FORWARD)) {
        step->impl = s->dnnl->name[BDL__DNNL_FORWARD];
        BDL__TRY(bdl__dnnl_step_book(planner, step, s->dnnl, BDL__DNNL_FORWARD, pack_dnnl_forward));
    } else {
        BDL__TRY(bdl__plan_packed(planner, step, 0, size, bdl__n_tiles(s->n_out), pack_forward));
    }
    if (bdl__dnnl_has(s->dnnl, BDL__DNNL_BACKWARD_DATA)) {
        step->impl_backward_data = s->dnnl->name[BDL__DNNL_BACKWARD_DATA];
        return bdl__dnnl_step_book(planner, step, s->dnnl, BDL__DNNL_BACKWARD_DATA,
                                   pack_dnnl_backward);
    }
    return step->needs_diff_src[0] ? bdl__plan_packed(planner, step, 1, size,
                                                      bdl__n_tiles(s->n_in), pack_backward)
                                   : BDL_OK;
}

static bdl_status plan(bdl__planner *planner, bdl__step *step)
{
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(struct state), &memory));
    struct state *s = memory;
    const bdl__shape *src = &step->src_shape[0];
    s->n_in = src->dim[src->rank - 1];
    s->n_out = step->weights_shape[0].dim[0];
    s->n_positions = bdl__shape_count(src) / s->n_in;
    const int64_t n_weights = s->n_in * s->n_out;
    step->state = s;
    step->impl = "lanes";
    step->impl_backward_data = "lanes";
    step->impl_backward_weights = "feature_lanes";
    step->takes_many = n_weights >= MANY_WEIGHTS && !step->few_samples;
    step->splits = true;
    BDL__TRY(book_weights(planner, step, s));
    if (step->needs_diff_weights) {
        const int64_t rows = TILE_SIZE / (s->n_in * (int64_t)step->scalar_size);
        s->tile = BDL__MIN(BDL__MAX(rows / BDL__TILE_M, 1) * BDL__TILE_M, s->n_out);
        s->scratch_size = bdl__align_up(
            bdl__linear_scratch(step->takes_many ? s->tile : s->n_out, step->real_size,
                                step->scalar_size),
            BDL__ALIGNMENT);
        const size_t values = (size_t)(s->tile * s->n_in) * step->scalar_size;
        BDL__TRY(bdl__plan_scratch(planner, step,
                                   s->scratch_size + (step->takes_many ? values : 0)));
    }
    return BDL_OK;
}

static void forward(const bdl__step *step, bdl__cx *cx)
{
    const struct state *s = step->state;
    if (bdl__dnnl_has(s->dnnl, BDL__DNNL_FORWARD)) {
        bdl__dnnl_step_forward(s->dnnl, cx, step->n_weights > 1 ? cx->weights[1] : NULL);
        return;
    }
    bdl__linear_call call = {.n_positions = s->n_positions,
                             .n_in = s->n_in,
                             .n_out = s->n_out,
                             .src = {cx->src[0].data, cx->src[0].stride},
                             .dst = {cx->dst[0].data, cx->dst[0].stride},
                             .n_parts = cx->n_parts,
                             .packed = cx->packed[0],
                             .bias = step->n_weights > 1 ? cx->weights[1] : NULL};
    bdl__cx_split(cx, bdl__n_tiles(s->n_out), &call.begin, &call.end);
    bdl__linear_kernels(step->target)->linear_product(&call);
}

static void backward_data(const bdl__step *step, bdl__cx *cx)
{
    const struct state *s = step->state;
    if (bdl__dnnl_has(s->dnnl, BDL__DNNL_BACKWARD_DATA)) {
        bdl__dnnl_step_backward_data(s->dnnl, cx);
        return;
    }
    bdl__linear_call call = {.n_positions = s->n_positions,
                             .n_in = s->n_out,
                             .n_out = s->n_in,
                             .src = {cx->diff_dst[0].data, cx->diff_dst[0].stride},
                             .dst = {cx->diff_src[0].data, cx->diff_src[0].stride},
                             .n_parts = cx->n_parts,
                             .packed = cx->packed[1],
                             .add = cx->diff_src_mode[0] == BDL__ADD};
    bdl__cx_split(cx, bdl__n_tiles(s->n_in), &call.begin, &call.end);
    bdl__linear_kernels(step->target)->linear_product(&call);
}

/* Gradients of the outputs of this member of the team, straight into their place. */
static void backward_weights(const bdl__step *step, bdl__cx *cx, bdl__linear_wgrad_call *call)
{
    const struct bdl__linear_kernels *kernels = bdl__linear_kernels(step->target);
    const struct state *s = step->state;
    const size_t size = step->scalar_size;
    if (bdl__wants_weights(cx, 0)) {
        call->add = cx->diff_weights_mode[0] == BDL__ADD;
        call->diff_weights =
            (char *)cx->diff_weights[0] + (size_t)(call->begin * s->n_in) * size;
        kernels->linear_wgrad(call);
    }
    if (step->n_weights > 1 && bdl__wants_weights(cx, 1)) {
        call->add = cx->diff_weights_mode[1] == BDL__ADD;
        call->diff_bias = (char *)cx->diff_weights[1] + (size_t)call->begin * size;
        kernels->linear_bgrad(call);
    }
}

/* The same in tiles of outputs, each for all slices, handed to the sum over the batch. */
static void commit_weights(const bdl__step *step, bdl__cx *cx, bdl__linear_wgrad_call *call)
{
    const struct bdl__linear_kernels *kernels = bdl__linear_kernels(step->target);
    const struct state *s = step->state;
    const int64_t begin = call->begin;
    const int64_t end = call->end;
    void *values = (char *)cx->scratch + s->scratch_size;
    call->diff_weights = values;
    call->diff_bias = values;
    for (int64_t o = begin; o < end; o += s->tile) {
        call->begin = o;
        call->end = BDL__MIN(o + s->tile, end);
        for (int64_t i = 0; i < cx->n_parts; i += call->n_parts) {
            call->n_parts = bdl__slice_parts(step, cx, i);
            call->src.data = bdl__span_part(cx->src[0], i);
            call->diff_dst.data = bdl__span_part(cx->diff_dst[0], i);
            if (bdl__wants_weights(cx, 0)) {
                kernels->linear_wgrad(call);
                bdl__grad_commit(cx, 0, o * s->n_in, (call->end - o) * s->n_in,
                                 bdl__slice_number(step, cx, i), values);
            }
            if (step->n_weights > 1 && bdl__wants_weights(cx, 1)) {
                kernels->linear_bgrad(call);
                bdl__grad_commit(cx, 1, o, call->end - o, bdl__slice_number(step, cx, i), values);
            }
        }
    }
}

static void backward(const bdl__step *step, bdl__cx *cx)
{
    const struct state *s = step->state;
    if (cx->diff_src_mode[0] != BDL__SKIP) {
        backward_data(step, cx);
    }
    if (!step->needs_diff_weights) {
        return;
    }
    bdl__linear_wgrad_call call = {.n_positions = s->n_positions,
                                   .n_in = s->n_in,
                                   .n_out = s->n_out,
                                   .src = {cx->src[0].data, cx->src[0].stride},
                                   .diff_dst = {cx->diff_dst[0].data, cx->diff_dst[0].stride},
                                   .n_parts = cx->n_parts,
                                   .scratch = cx->scratch};
    bdl__cx_split(cx, s->n_out, &call.begin, &call.end);
    if (step->takes_many) {
        commit_weights(step, cx, &call);
    } else {
        backward_weights(step, cx, &call);
    }
}

static void release(bdl__step *step)
{
    const struct state *s = step->state;
    if (s) {
        bdl__dnnl_step_release(s->dnnl);
    }
}

static const bdl__layer linear = {
    .name = "linear",
    .names = {.pytorch = "Linear", .torch = "Linear", .keras = "Dense"},
    .since = "0.1",
    .summary = "Matrix product with learned weights over the last axis.",
    .doc = "y = x W^T + b. Input (..., in_features), output (..., out_features); weight "
           "(out_features, in_features), bias (out_features). By default both are drawn from "
           "U(-1/sqrt(in_features), 1/sqrt(in_features)).",
    .schema = BDL_SCHEMA("linear", fields, linear_params),
    .ports = "input",
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .release = release,
};

BDL_LAYER_FAMILY(linear, &linear)
