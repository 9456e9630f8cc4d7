/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: how good outputs are, without a gradient. Each sample gives two reals, a value and a
 * count; the metric over a data set is the quotient of their sums.
 */
#include "kernels/metric.h"
#include "layers/labels.h"
#include "layers/layer.h"

/* ---- params ---------------------------------------------------------------------------------- */

typedef struct top_params {
    int64_t ignore_index;
    int64_t k;
} top_params;

typedef struct mae_params {
    int64_t ignore_index;
} mae_params;

#define IGNORE_INDEX(type)                                                                         \
    BDL_FIELD(type, ignore_index, .def.i64 = -100, .range = BDL_IN(-2e9, 2e9),                     \
              .doc = "Label that does not count.")

static const bdl__field top_fields[] = {
    IGNORE_INDEX(top_params),
};

static const bdl__field top_k_fields[] = {
    BDL_FIELD(top_params, k, .required = true, .range = BDL_IN(1, 1e6),
              .doc = "How many classes may be guessed."),
    IGNORE_INDEX(top_params),
};

static const bdl__field mae_fields[] = {
    IGNORE_INDEX(mae_params),
};

/* A descriptor, and how many guesses its metric allows; 0 = by the parameter. */
typedef struct top_layer {
    bdl__layer layer; /* first: hooks find the rest from it */
    int64_t k;
} top_layer;

/* ---- infer ----------------------------------------------------------------------------------- */

static bdl_status declare(bdl__decl *decl)
{
    const bdl__shape out = {.rank = 1, .dim = {2}};
    return bdl__decl_out(decl, &out, false);
}

/* Labels for scores of classes; or, for one score a sample, a real target that 1/2 divides too. */
static bdl_status top_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    (void)params;
    BDL__TRY(bdl__need_float(in, 0));
    const bool is_one = bdl__both_single(in);
    if (in->integer[1] ? !bdl__labels_fit(&in->shape[0], &in->shape[1]) : !is_one) {
        return bdl__fail_pair(in, "scores (classes, ...) and labels (...)");
    }
    return declare(decl);
}

static bdl_status mae_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    (void)params;
    BDL__TRY(bdl__need_float(in, 0));
    const bool is_one = bdl__both_single(in);
    if (!is_one && (in->integer[1] ? !bdl__labels_fit(&in->shape[0], &in->shape[1])
                                   : !bdl__shape_equal(&in->shape[0], &in->shape[1]))) {
        return bdl__fail_pair(
            in, "two tensors of one shape, or scores (classes, ...) and labels (...)");
    }
    return declare(decl);
}

/* ---- forward --------------------------------------------------------------------------------- */

static bdl__metric_shape shape_of(const bdl__step *step, int64_t ignore_index)
{
    const bdl__shape *src = &step->src_shape[0];
    const int64_t n_classes = src->rank > 0 ? src->dim[0] : 1;
    return (bdl__metric_shape){.n_classes = n_classes,
                               .n_positions = bdl__shape_count(src) / n_classes,
                               .ignore_index = (int32_t)ignore_index};
}

static void top_forward(const bdl__step *step, bdl__cx *cx)
{
    const top_params *p = step->params;
    const int64_t fixed_k = ((const top_layer *)(const void *)step->layer)->k;
    const bdl__metric_shape shape = shape_of(step, p->ignore_index);
    const struct bdl__metric_kernels *kernels = bdl__metric_kernels(step->target);
    if (step->src_integer[1]) {
        kernels->top_k(&shape, fixed_k > 0 ? fixed_k : p->k, cx->src[0].data, cx->src[1].data,
                       cx->dst[0].data);
    } else {
        kernels->same_side(1, cx->src[0].data, cx->src[1].data, cx->dst[0].data);
    }
}

static void mae_forward(const bdl__step *step, bdl__cx *cx)
{
    const mae_params *p = step->params;
    const bdl__metric_shape shape = shape_of(step, p->ignore_index);
    const struct bdl__metric_kernels *kernels = bdl__metric_kernels(step->target);
    const int64_t n = bdl__shape_count(&step->src_shape[0]);
    if (!step->src_integer[1]) {
        kernels->distance(n, cx->src[0].data, NULL, cx->src[1].data, cx->dst[0].data);
    } else if (n == 1) {
        kernels->distance(1, cx->src[0].data, cx->src[1].data, NULL, cx->dst[0].data);
    } else {
        kernels->class_distance(&shape, cx->src[0].data, cx->src[1].data, cx->dst[0].data);
    }
}

/* ---- descriptors ----------------------------------------------------------------------------- */

#define METRIC .ports = "input,target", .kind = BDL__METRIC, .flags = BDL__NO_GRADIENT

static const top_layer top1 = {
    .layer = {METRIC, .name = "top1", .names = {.torch = "Top1Accuracy"}, .since = "0.1",
              .summary = "Share of labels with the largest score.",
              .doc =
                  "Scores (classes, ...) and labels (...) from 0; of equal scores the first is "
                  "the largest. A single score stands for label 1 from 1/2 on, else for label 0.",
              .schema = BDL_SCHEMA("top1", top_fields, top_params), .infer = top_infer,
              .forward = top_forward},
    .k = 1,
};

static const top_layer top5 = {
    .layer = {METRIC, .name = "top5", .names = {.torch = "Top5Accuracy"}, .since = "0.1",
              .summary = "Share of labels among the five largest scores.",
              .doc = "As top_k with k=5.", .schema = BDL_SCHEMA("top5", top_fields, top_params),
              .infer = top_infer, .forward = top_forward},
    .k = 5,
};

static const top_layer top_k = {
    .layer = {METRIC, .name = "top_k", .since = "0.1",
              .summary = "Share of labels among the k largest scores.",
              .doc =
                  "Scores (classes, ...) and labels (...) from 0; of equal scores the first comes "
                  "first.",
              .schema = BDL_SCHEMA("top_k", top_k_fields, top_params), .infer = top_infer,
              .forward = top_forward},
};

static const bdl__layer mae = {
    METRIC,
    .name = "mae",
    .names = {.torch = "MAE"},
    .since = "0.1",
    .summary = "Mean distance of outputs from targets.",
    .doc = "|x - t| of two tensors of one shape; for scores (classes, ...) and labels (...), the "
           "distance of the largest score's place from the label, as in BigDL.",
    .schema = BDL_SCHEMA("mae", mae_fields, mae_params),
    .infer = mae_infer,
    .forward = mae_forward,
};

BDL_LAYER_FAMILY(metric, &mae, &top1.layer, &top5.layer, &top_k.layer)
