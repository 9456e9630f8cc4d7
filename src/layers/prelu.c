/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prelu: a rectifier whose slope below zero is learned (He, Zhang, Ren, Sun 2015).
 *
 *     y = x > 0 ? x : w x        dx = x > 0 ? dy : w dy        dw = sum of x dy where x <= 0
 *
 * src (c, ...) -> dst of the same shape; weight (1), shared by all, or (c), one for each channel. With
 * one weight the sample is seen as a single channel. Backward reads src.
 */
#include "kernels/prelu.h"
#include "layers/layer.h"

typedef struct prelu_params {
    int64_t num_parameters;
    const char *weight_init;
} prelu_params;

static const bdl__field fields[] = {
    BDL_FIELD(prelu_params, num_parameters, .def.i64 = 1, .range = BDL_IN(1, 1 << 30),
              .doc = "Number of slopes: 1 for all values, or as many as channels."),
    BDL_FIELD(prelu_params, weight_init, .def.s = "constant(0.25)",
              .doc = "Initialiser of the slopes."),
};

static bdl_status infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const prelu_params *p = params;
    const int64_t n_channels = in->shape[0].rank > 0 ? in->shape[0].dim[0] : 1;
    BDL__TRY(bdl__need_float(in, 0));
    BDL__CHECK(p->num_parameters == 1 || p->num_parameters == n_channels, BDL_ERR_SHAPE,
               "num_parameters must be 1 or the number of channels, %lld, got %lld",
               (long long)n_channels, (long long)p->num_parameters);
    const bdl__weight_decl weight = {.name = "weight",
                                     .shape = {.rank = 1, .dim = {p->num_parameters}},
                                     .init = p->weight_init,
                                     .fan_in = 1,
                                     .fan_out = 1,
                                     .no_decay = true};
    decl->backward_reads_src = true;
    BDL__TRY(bdl__decl_weights(decl, &weight));
    return bdl__decl_same(in, decl);
}

static bdl_status plan(bdl__planner *planner, bdl__step *step)
{
    (void)planner;
    step->splits = true;
    return BDL_OK;
}

/* Positions that share a slope. */
static int64_t run_of(const bdl__step *step)
{
    return bdl__shape_count(&step->src_shape[0]) / step->weights_shape[0].dim[0];
}

static void forward(const bdl__step *step, bdl__cx *cx)
{
    int64_t begin, end;
    bdl__cx_split(cx, step->weights_shape[0].dim[0], &begin, &end);
    bdl__prelu_kernels(step->target)
        ->prelu_forward(cx->src[0].data, cx->dst[0].data, cx->weights[0], run_of(step), begin, end);
}

static void backward(const bdl__step *step, bdl__cx *cx)
{
    const struct bdl__prelu_kernels *kernels = bdl__prelu_kernels(step->target);
    int64_t begin, end;
    bdl__cx_split(cx, step->weights_shape[0].dim[0], &begin, &end);
    if (cx->diff_weights_mode[0] != BDL__SKIP) {
        kernels->prelu_diff_weights(cx->src[0].data, cx->diff_dst[0].data, cx->diff_weights[0],
                                    cx->diff_weights_mode[0] == BDL__ADD, run_of(step), begin, end);
    }
    if (cx->diff_src_mode[0] != BDL__SKIP) {
        kernels->prelu_backward(cx->src[0].data, cx->diff_dst[0].data, cx->diff_src[0].data,
                                cx->diff_src_mode[0] == BDL__ADD, cx->weights[0], run_of(step),
                                begin, end);
    }
}

static const bdl__layer prelu = {
    .name = "prelu",
    .names = {.pytorch = "PReLU", .torch = "PReLU"},
    .since = "0.1",
    .summary = "ReLU with a learned slope below zero.",
    .doc = "(c, ...) -> the same: y = x above zero, else weight x; weight (num_parameters), one for "
           "all or one for each channel. Torch writes nOutputPlane = 0 for one weight. He, Zhang, Ren and "
           "Sun 2015.",
    .schema = BDL_SCHEMA("prelu", fields, prelu_params),
    .ports = "input",
    .flags = BDL__HAS_KINKS,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

BDL_LAYER_FAMILY(prelu, &prelu)
