/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalization within a sample, the same in training and evaluation:
 *
 *     layer_norm     over the last axes            Ba, Kiros, Hinton 2016
 *     rms_norm       the same without the mean     Zhang and Sennrich 2019
 *     group_norm     over groups of channels       Wu and He 2018
 *     instance_norm  over each channel's plane     Ulyanov, Vedaldi, Lempitsky 2016
 *
 * All are rows of n neighboring positions; they differ in how positions share weights. Backward
 * reads x and the (mean, inverse deviation) of each row and sample that forward saved.
 */
#include "kernels/layer_norm.h"
#include "layers/layer.h"

/* ---- params ----------------------------------------------------------------------------------
 * */

typedef struct layer_norm_params {
    bdl__i64s normalized_shape;
    double eps;
    bool elementwise_affine;
    bool bias;
} layer_norm_params;

typedef struct rms_norm_params {
    bdl__i64s normalized_shape;
    double eps;
    bool elementwise_affine;
} rms_norm_params;

typedef struct group_norm_params {
    int64_t num_groups;
    int64_t num_channels;
    double eps;
    bool affine;
} group_norm_params;

typedef struct instance_norm_params {
    int64_t num_features;
    double eps;
    bool affine;
} instance_norm_params;

#define EPS_RANGE BDL_IN(0, 1e6)

static const bdl__field layer_norm_fields[] = {
    BDL_FIELD(layer_norm_params, normalized_shape, .most_n = BDL_MAX_RANK, .range = BDL_IN(1, 1e12),
              .doc =
                  "Sizes of the last axes, which are normalized together; the last axis where it "
                  "is not given."),
    BDL_FIELD(layer_norm_params, eps, .def.f64 = 1e-5, .range = EPS_RANGE,
              .doc = "Added to the variance."),
    BDL_FIELD(layer_norm_params, elementwise_affine, .def.b = true,
              .doc = "Scale by a learned weight, one for each normalized position."),
    BDL_FIELD(layer_norm_params, bias, .def.b = true,
              .doc = "Add a learned bias too (with elementwise_affine)."),
};

static const bdl__field rms_norm_fields[] = {
    BDL_FIELD(rms_norm_params, normalized_shape, .most_n = BDL_MAX_RANK, .range = BDL_IN(1, 1e12),
              .doc =
                  "Sizes of the last axes, which are normalized together; the last axis where it "
                  "is not given."),
    BDL_FIELD(rms_norm_params, eps, .def.f64 = 1.1920928955078125e-07, .range = EPS_RANGE,
              .doc = "Added to the mean square; 2^-23 by default."),
    BDL_FIELD(rms_norm_params, elementwise_affine, .def.b = true,
              .doc = "Scale by a learned weight, one for each normalized position."),
};

static const bdl__field group_norm_fields[] = {
    BDL_FIELD(group_norm_params, num_groups, .required = true, .range = BDL_AT_LEAST(1),
              .doc = "Number of groups, a divisor of the number of channels."),
    BDL_FIELD(group_norm_params, num_channels, .def.i64 = 0, .range = BDL_IN(0, 1 << 24),
              .inferred = true, .doc = "Channels of the input; 0 takes them from the input."),
    BDL_FIELD(group_norm_params, eps, .def.f64 = 1e-5, .range = EPS_RANGE,
              .doc = "Added to the variance."),
    BDL_FIELD(group_norm_params, affine, .def.b = true,
              .doc = "Scale by a learned weight and add a learned bias, one of each a channel."),
};

static const bdl__field instance_norm_fields[] = {
    BDL_FIELD(instance_norm_params, num_features, .def.i64 = 0, .range = BDL_IN(0, 1 << 24),
              .inferred = true, .doc = "Channels of the input; 0 takes them from the input."),
    BDL_FIELD(instance_norm_params, eps, .def.f64 = 1e-5, .range = EPS_RANGE,
              .doc = "Added to the variance."),
    BDL_FIELD(instance_norm_params, affine, .def.b = false,
              .doc = "Scale by a learned weight and add a learned bias, one of each a channel."),
};

/* ---- infer -----------------------------------------------------------------------------------
 * */

enum { WEIGHT, BIAS }; /* weights */
enum { SAVED_STATS };  /* saved: mean and inverse deviation of each row */

static bdl_status declare(const bdl__infer_in *in, const bdl__shape *weights, bool has_weight,
                          bool has_bias, bdl__decl *decl)
{
    BDL__TRY(bdl__decl_same(in, decl));
    decl->backward_reads_src = true;
    if (has_weight) {
        const bdl__weight_decl weight = {.name = "weight",
                                         .shape = *weights,
                                         .init = "ones",
                                         .fan_in = 1,
                                         .fan_out = 1,
                                         .no_decay = true};
        BDL__TRY(bdl__decl_weights(decl, &weight));
    }
    if (has_weight && has_bias) {
        const bdl__weight_decl bias = {.name = "bias",
                                       .shape = *weights,
                                       .init = "zeros",
                                       .fan_in = 1,
                                       .fan_out = 1,
                                       .no_decay = true};
        BDL__TRY(bdl__decl_weights(decl, &bias));
    }
    return BDL_OK;
}

/* The normalized axes of a sample: the last ones, of these sizes. */
static bdl_status last_axes(const bdl__shape *sample, const bdl__i64s *sizes, bdl__shape *axes)
{
    char got[BDL__SHAPE_TEXT_SIZE];
    BDL__CHECK(sample->rank >= 1, BDL_ERR_SHAPE, "needs at least one axis, got a scalar");
    *axes = (bdl__shape){.rank = sizes->n > 0 ? sizes->n : 1};
    BDL__CHECK(axes->rank <= sample->rank, BDL_ERR_SHAPE,
               "normalized_shape has %d axes, the sample is %s", (int)axes->rank,
               bdl__shape_text(sample, got, sizeof got));
    for (int32_t i = 0; i < axes->rank; i++) {
        axes->dim[i] = sample->dim[sample->rank - axes->rank + i];
        BDL__CHECK(sizes->n == 0 || sizes->v[i] == axes->dim[i], BDL_ERR_SHAPE,
                   "normalized_shape must be the sample's last sizes, which are %s",
                   bdl__shape_text(sample, got, sizeof got));
    }
    return BDL_OK;
}

static bdl_status layer_norm_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const layer_norm_params *p = params;
    bdl__shape axes;
    BDL__TRY(bdl__need_float(in, 0));
    BDL__TRY(last_axes(&in->shape[0], &p->normalized_shape, &axes));
    return declare(in, &axes, p->elementwise_affine, p->bias, decl);
}

static bdl_status rms_norm_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const rms_norm_params *p = params;
    bdl__shape axes;
    BDL__TRY(bdl__need_float(in, 0));
    BDL__TRY(last_axes(&in->shape[0], &p->normalized_shape, &axes));
    return declare(in, &axes, p->elementwise_affine, false, decl);
}

static bdl_status group_norm_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const group_norm_params *p = params;
    BDL__TRY(bdl__need_float(in, 0));
    BDL__CHECK(in->shape[0].rank >= 1, BDL_ERR_SHAPE,
               "needs (channels) or (channels, ...), got a scalar");
    const bdl__shape channels = {.rank = 1, .dim = {in->shape[0].dim[0]}};
    BDL__CHECK(p->num_channels == 0 || p->num_channels == channels.dim[0], BDL_ERR_SHAPE,
               "num_channels is %lld, but the input has %lld channels", (long long)p->num_channels,
               (long long)channels.dim[0]);
    BDL__CHECK(channels.dim[0] % p->num_groups == 0, BDL_ERR_SHAPE,
               "num_groups must divide the %lld channels, got %lld", (long long)channels.dim[0],
               (long long)p->num_groups);
    return declare(in, &channels, p->affine, true, decl);
}

static bdl_status instance_norm_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const instance_norm_params *p = params;
    BDL__TRY(bdl__need_float(in, 0));
    BDL__CHECK(in->shape[0].rank >= 2, BDL_ERR_SHAPE,
               "needs (channels, positions, ...): a channel of one value has no deviation");
    const bdl__shape channels = {.rank = 1, .dim = {in->shape[0].dim[0]}};
    BDL__CHECK(p->num_features == 0 || p->num_features == channels.dim[0], BDL_ERR_SHAPE,
               "num_features is %lld, but the input has %lld channels", (long long)p->num_features,
               (long long)channels.dim[0]);
    return declare(in, &channels, p->affine, true, decl);
}

/* ---- plan ------------------------------------------------------------------------------------
 * */

static bdl_status plan_rows(bdl__planner *planner, bdl__step *step, const bdl__norm_rows *rows)
{
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof *rows, &memory));
    bdl__norm_rows *state = step->state = memory;
    *state = *rows;
    step->splits = true;
    if (!step->is_training) {
        return BDL_OK;
    }
    return bdl__plan_save(planner, step, SAVED_STATS, 2 * (size_t)rows->n_rows * step->real_size);
}

static bdl_status plan_last_axes(bdl__planner *planner, bdl__step *step, const bdl__i64s *sizes,
                                 double eps, bool is_centered)
{
    bdl__shape axes;
    BDL__TRY(last_axes(&step->src_shape[0], sizes, &axes));
    const int64_t n = bdl__shape_count(&axes);
    const bdl__norm_rows rows = {.n_rows = bdl__shape_count(&step->src_shape[0]) / n,
                                 .n = n,
                                 .run = 1,
                                 .eps = eps,
                                 .is_centered = is_centered};
    return plan_rows(planner, step, &rows);
}

static bdl_status plan_groups(bdl__planner *planner, bdl__step *step, int64_t n_groups, double eps)
{
    const int64_t n_channels = step->src_shape[0].dim[0];
    const int64_t n = bdl__shape_count(&step->src_shape[0]);
    const bdl__norm_rows rows = {.n_rows = n_groups,
                                 .n = n / n_groups,
                                 .run = n / n_channels,
                                 .row_weights = n_channels / n_groups,
                                 .eps = eps,
                                 .is_centered = true};
    return plan_rows(planner, step, &rows);
}

static bdl_status layer_norm_plan(bdl__planner *planner, bdl__step *step)
{
    const layer_norm_params *p = step->params;
    return plan_last_axes(planner, step, &p->normalized_shape, p->eps, true);
}

static bdl_status rms_norm_plan(bdl__planner *planner, bdl__step *step)
{
    const rms_norm_params *p = step->params;
    return plan_last_axes(planner, step, &p->normalized_shape, p->eps, false);
}

static bdl_status group_norm_plan(bdl__planner *planner, bdl__step *step)
{
    const group_norm_params *p = step->params;
    return plan_groups(planner, step, p->num_groups, p->eps);
}

static bdl_status instance_norm_plan(bdl__planner *planner, bdl__step *step)
{
    const instance_norm_params *p = step->params;
    return plan_groups(planner, step, step->src_shape[0].dim[0], p->eps);
}

/* ---- forward and backward --------------------------------------------------------------------
 * */

static const void *weight_of(const bdl__step *step, const bdl__cx *cx, int i)
{
    return i < step->n_weights ? cx->weights[i] : NULL;
}

static void forward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__norm_rows *rows = step->state;
    int64_t begin, end;
    bdl__cx_split(cx, rows->n_rows, &begin, &end);
    bdl__layer_norm_kernels(step->target)
        ->row_norm_forward(cx->src[0].data, cx->dst[0].data,
                           step->is_training ? cx->saved[SAVED_STATS].data : NULL,
                           weight_of(step, cx, WEIGHT), weight_of(step, cx, BIAS), rows, begin,
                           end);
}

/* Gradients of the weights read all of diff_dst, so diff_src must not lie over it: the layers do
 * not work in place. */
static void backward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__norm_rows *rows = step->state;
    const struct bdl__layer_norm_kernels *kernels = bdl__layer_norm_kernels(step->target);
    const void *stats = cx->saved[SAVED_STATS].data;
    int64_t begin, end;
    if (step->n_weights > 0 && (cx->diff_weights[WEIGHT] != NULL ||
                                (step->n_weights > BIAS && cx->diff_weights[BIAS] != NULL))) {
        bdl__cx_split(cx, bdl__shape_count(&step->weights_shape[0]), &begin, &end);
        kernels->row_norm_diff_weights(
            cx->src[0].data, cx->diff_dst[0].data, stats, cx->diff_weights[WEIGHT],
            cx->diff_weights_mode[WEIGHT] == BDL__ADD,
            step->n_weights > BIAS ? cx->diff_weights[BIAS] : NULL,
            step->n_weights > BIAS && cx->diff_weights_mode[BIAS] == BDL__ADD, rows, begin, end);
    }
    if (cx->diff_src_mode[0] != BDL__SKIP) {
        bdl__cx_split(cx, rows->n_rows, &begin, &end);
        kernels->row_norm_backward(cx->src[0].data, cx->diff_dst[0].data, cx->diff_src[0].data,
                                   cx->diff_src_mode[0] == BDL__ADD, stats,
                                   weight_of(step, cx, WEIGHT), rows, begin, end);
    }
}

/* ---- descriptors -----------------------------------------------------------------------------
 * */

static const bdl__layer layer_norm = {
    .name = "layer_norm",
    .names = {.pytorch = "LayerNorm", .torch = "LayerNormalization", .keras = "LayerNormalization"},
    .since = "0.1",
    .summary = "Normalizes each sample over its last axes.",
    .doc = "(..., normalized_shape) -> the same: y = (x - mean) / sqrt(variance + eps) * weight + "
           "bias, with the mean and the variance (divided by n) over the normalized axes of the "
           "sample. Ba, Kiros and Hinton 2016.",
    .schema = BDL_SCHEMA("layer_norm", layer_norm_fields, layer_norm_params),
    .ports = "input",
    .infer = layer_norm_infer,
    .plan = layer_norm_plan,
    .forward = forward,
    .backward = backward,
};

static const bdl__layer rms_norm = {
    .name = "rms_norm",
    .names = {.pytorch = "RMSNorm", .keras = "RMSNormalization"},
    .since = "0.1",
    .summary = "Divides each sample by the root of its mean square over the last axes.",
    .doc = "(..., normalized_shape) -> the same: y = x / sqrt(mean(x^2) + eps) * weight, the mean "
           "being over the normalized axes of the sample. Zhang and Sennrich 2019.",
    .schema = BDL_SCHEMA("rms_norm", rms_norm_fields, rms_norm_params),
    .ports = "input",
    .infer = rms_norm_infer,
    .plan = rms_norm_plan,
    .forward = forward,
    .backward = backward,
};

static const bdl__layer group_norm = {
    .name = "group_norm",
    .names = {.pytorch = "GroupNorm", .keras = "GroupNormalization"},
    .since = "0.1",
    .summary = "Normalizes each sample over groups of channels and all their positions.",
    .doc =
        "(c, ...) -> the same: y = (x - mean) / sqrt(variance + eps) * weight + bias, with the "
        "mean and the variance (divided by n) over the c / num_groups channels of a group, and one "
        "weight and bias a channel. Wu and He 2018.",
    .schema = BDL_SCHEMA("group_norm", group_norm_fields, group_norm_params),
    .ports = "input",
    .infer = group_norm_infer,
    .plan = group_norm_plan,
    .forward = forward,
    .backward = backward,
};

static const bdl__layer instance_norm = {
    .name = "instance_norm",
    .names = {.pytorch = "InstanceNorm2d"},
    .since = "0.1",
    .summary = "Normalizes each channel of each sample over its positions.",
    .doc = "(c, ...) -> the same: y = (x - mean) / sqrt(variance + eps) * weight + bias, with the "
           "mean and the variance (divided by n) over the positions of a channel. Also "
           "InstanceNorm1d and InstanceNorm3d. Ulyanov, Vedaldi and Lempitsky 2016.",
    .schema = BDL_SCHEMA("instance_norm", instance_norm_fields, instance_norm_params),
    .ports = "input",
    .infer = instance_norm_infer,
    .plan = instance_norm_plan,
    .forward = forward,
    .backward = backward,
};

BDL_LAYER_FAMILY(layer_norm, &group_norm, &instance_norm, &layer_norm, &rms_norm)
