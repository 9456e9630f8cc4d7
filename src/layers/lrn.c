/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local response normalization across channels (Krizhevsky, Sutskever, Hinton 2012): (c, ...) ->
 * the same,
 *
 *     y[c] = x[c] / (k + alpha / size * sum of x[i]^2 over the window)^beta
 *
 * with i from c - size / 2 to c + (size - 1) / 2, as far as there are channels (PyTorch's rule,
 * which for odd sizes is everybody's). Backward reads x and computes the powers again.
 */
#include "kernels/lrn.h"
#include "layers/layer.h"

typedef struct lrn_params {
    int64_t size;
    double alpha;
    double beta;
    double k;
} lrn_params;

static const bdl__field fields[] = {
    BDL_FIELD(lrn_params, size, .def.i64 = 5, .range = BDL_IN(1, 1 << 20),
              .doc = "Channels of the window."),
    BDL_FIELD(lrn_params, alpha, .def.f64 = 1, .range = BDL_IN(0, 1e6),
              .doc = "Factor of the window's mean square."),
    BDL_FIELD(lrn_params, beta, .def.f64 = 0.75, .range = BDL_IN(-100, 100), .doc = "The power."),
    BDL_FIELD(lrn_params, k, .def.f64 = 1, .range = BDL_IN(1e-6, 1e6),
              .doc = "Added to the mean square."),
};

static bdl_status infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    (void)params;
    BDL__CHECK(in->shape[0].rank >= 1, BDL_ERR_SHAPE,
               "needs (channels) or (channels, ...), got a scalar");
    BDL__TRY(bdl__need_float(in, 0));
    decl->backward_reads_src = true;
    return bdl__decl_same(in, decl);
}

static bdl_status plan(bdl__planner *planner, bdl__step *step)
{
    const lrn_params *p = step->params;
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(bdl__lrn_shape), &memory));
    bdl__lrn_shape *shape = step->state = memory;
    const int64_t n_channels = step->src_shape[0].dim[0];
    *shape = (bdl__lrn_shape){.n_channels = n_channels,
                              .n = bdl__shape_count(&step->src_shape[0]) / n_channels,
                              .before = p->size / 2,
                              .after = (p->size - 1) / 2,
                              .alpha = p->alpha / (double)p->size,
                              .beta = p->beta,
                              .k = p->k};
    step->splits = true;
    if (!step->is_training) {
        return BDL_OK;
    }
    return bdl__plan_scratch(planner, step,
                             2 * (size_t)n_channels * BDL__LRN_BLOCK * step->real_size);
}

static void forward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__lrn_shape *shape = step->state;
    int64_t begin, end;
    bdl__cx_split(cx, shape->n, &begin, &end);
    bdl__lrn_kernels(step->target)
        ->lrn_forward(cx->src[0].data, cx->dst[0].data, shape, begin, end);
}

static void backward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__lrn_shape *shape = step->state;
    int64_t begin, end;
    if (cx->diff_src_mode[0] == BDL__SKIP) {
        return;
    }
    bdl__cx_split(cx, shape->n, &begin, &end);
    bdl__lrn_kernels(step->target)
        ->lrn_backward(cx->src[0].data, cx->diff_dst[0].data, cx->diff_src[0].data,
                       cx->diff_src_mode[0] == BDL__ADD, cx->scratch, shape, begin, end);
}

static const bdl__layer lrn = {
    .name = "lrn",
    .names = {.pytorch = "LocalResponseNorm", .torch = "SpatialCrossMapLRN"},
    .since = "0.1",
    .summary =
        "Divides each value by a power of the mean square of its neighbors in other channels.",
    .doc = "(c, ...) -> the same: y[c] = x[c] / (k + alpha / size * sum of x[i]^2)^beta, i running "
           "from c - size / 2 to c + (size - 1) / 2 as far as there are channels. Krizhevsky, "
           "Sutskever and Hinton 2012.",
    .schema = BDL_SCHEMA("lrn", fields, lrn_params),
    .ports = "input",
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

BDL_LAYER_FAMILY(lrn, &lrn)
