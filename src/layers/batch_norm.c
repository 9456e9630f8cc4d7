/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch normalization (Ioffe and Szegedy, "Batch normalization", 2015): (c) or (c, ...) -> the
 * same, each channel over all its positions and the samples of the batch:
 *
 *     y = (x - mean) / sqrt(variance + eps) * weight + bias
 *
 * In training the mean and the (biased) variance are those of the whole batch, so the step has two
 * passes: pass 0 of forward gives the moments of a part, pass 0 of backward the sums of diff_dst
 * and diff_dst * (x - mean), and also the part's gradients of weight and bias. Backward reads x
 * and the statistics that forward saved.
 */
#include "kernels/batch_norm.h"
#include "layers/layer.h"
#include "tensor/init.h"

typedef struct batch_norm_params {
    int64_t num_features;
    double eps;
    double momentum;
    bdl__choice momentum_kind;
    bool affine;
    bool track_running_stats;
    const char *weight_init;
    const char *bias_init;
} batch_norm_params;

enum { MOMENTUM_NEW, MOMENTUM_OLD };
static const char *const momentum_kinds[] = {"new", "old", NULL};

static const bdl__field fields[] = {
    BDL_FIELD(batch_norm_params, num_features, .def.i64 = 0, .range = BDL_IN(0, 1 << 24),
              .inferred = true, .doc = "Channels of the input; 0 takes them from the input."),
    BDL_FIELD(batch_norm_params, eps, .def.f64 = 1e-5, .range = BDL_IN(0, 1e6),
              .doc = "Added to the variance."),
    BDL_FIELD(batch_norm_params, momentum, .def.f64 = 0.1, .range = BDL_IN(0, 1),
              .doc = "Share of the newest batch, or of the old value, in the running statistics."),
    BDL_FIELD(batch_norm_params, affine, .def.b = true,
              .doc = "Scale by a learned weight and add a learned bias, one of each a channel."),
    BDL_FIELD(batch_norm_params, track_running_stats, .def.b = true,
              .doc = "Keep running statistics for evaluation; without them evaluation uses the "
                     "batch's own."),
    BDL_FIELD(batch_norm_params, momentum_kind, .def.s = "new", .choices = momentum_kinds,
              .doc = "new: running = (1 - momentum) running + momentum batch (Torch, PyTorch); "
                     "old: running = momentum running + (1 - momentum) batch (Caffe, Keras)."),
    BDL_FIELD(batch_norm_params, weight_init, .def.s = "ones", .doc = "Initializer of the weight."),
    BDL_FIELD(batch_norm_params, bias_init, .def.s = "zeros", .doc = "Initializer of the bias."),
};

enum { WEIGHT, BIAS };              /* weights */
enum { RUNNING_MEAN, RUNNING_VAR }; /* buffers */
enum { SAVED_STATS };               /* saved: (mean, inverse deviation, count) a channel */
enum { N_MOMENTS = 3, N_SUMS = 2, N_STATS = 3 }; /* doubles a channel */

/* ---- infer -----------------------------------------------------------------------------------
 * */

static bdl_status infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const batch_norm_params *p = params;
    const bdl__shape channels = {.rank = 1, .dim = {in->shape[0].dim[0]}};
    BDL__CHECK(in->shape[0].rank >= 1, BDL_ERR_SHAPE,
               "needs (channels) or (channels, ...), got a scalar");
    BDL__CHECK(p->num_features == 0 || p->num_features == channels.dim[0], BDL_ERR_SHAPE,
               "num_features is %lld, but the input has %lld channels", (long long)p->num_features,
               (long long)channels.dim[0]);
    BDL__TRY(bdl__need_float(in, 0));
    BDL__TRY(bdl__decl_same(in, decl));
    decl->backward_reads_src = true;
    if (p->affine) {
        BDL__TRY(bdl__init_check(p->weight_init));
        BDL__TRY(bdl__init_check(p->bias_init));
        const bdl__weight_decl weight = {.name = "weight",
                                         .shape = channels,
                                         .init = p->weight_init,
                                         .fan_in = 1,
                                         .fan_out = 1,
                                         .no_decay = true};
        const bdl__weight_decl bias = {.name = "bias",
                                       .shape = channels,
                                       .init = p->bias_init,
                                       .fan_in = 1,
                                       .fan_out = 1,
                                       .no_decay = true};
        BDL__TRY(bdl__decl_weights(decl, &weight));
        BDL__TRY(bdl__decl_weights(decl, &bias));
    }
    if (p->track_running_stats) {
        BDL__TRY(bdl__decl_buffer(decl, "running_mean", &channels, 0));
        BDL__TRY(bdl__decl_buffer(decl, "running_var", &channels, 1));
    }
    return BDL_OK;
}

/* ---- plan ------------------------------------------------------------------------------------
 * */

static int64_t n_channels(const bdl__step *step)
{
    return step->src_shape[0].dim[0];
}

/* Whether statistics are the batch's: then there are two passes. */
static bool uses_batch(const bdl__step *step)
{
    const batch_norm_params *p = step->params;
    return step->is_training || !p->track_running_stats;
}

static bdl_status plan(bdl__planner *planner, bdl__step *step)
{
    const int64_t c = n_channels(step);
    const size_t stats_size = (size_t)c * N_STATS * sizeof(double);
    step->splits = true;
    step->impl = uses_batch(step) ? "batch" : "running";
    if (uses_batch(step)) {
        BDL__TRY(bdl__plan_sums(planner, step, false, 0, c * N_MOMENTS, bdl__merge_moments));
    }
    if (!step->is_training) {
        return bdl__plan_scratch(planner, step, stats_size);
    }
    BDL__TRY(bdl__plan_save(planner, step, SAVED_STATS, stats_size));
    return bdl__plan_sums(planner, step, true, 0, c * N_SUMS, bdl__merge_add);
}

/* ---- forward ---------------------------------------------------------------------------------
 * */

static bdl__channels channels_of(const bdl__step *step, const bdl__cx *cx)
{
    const int64_t c = n_channels(step);
    bdl__channels channels = {.n = bdl__shape_count(&step->src_shape[0]) / c,
                              .n_valid = cx->n_valid};
    bdl__cx_split(cx, c, &channels.begin, &channels.end);
    return channels;
}

/* Only one part's call does this, for all channels. */
static void update_buffers(const bdl__step *step, const bdl__cx *cx)
{
    const batch_norm_params *p = step->params;
    const double keep = p->momentum_kind.i == MOMENTUM_NEW ? 1 - p->momentum : p->momentum;
    bdl__batch_norm_kernels(step->target)
        ->batch_norm_update(cx->totals, cx->buffers[RUNNING_MEAN], cx->buffers[RUNNING_VAR], keep,
                            n_channels(step));
}

static void forward(const bdl__step *step, bdl__cx *cx)
{
    const batch_norm_params *p = step->params;
    const struct bdl__batch_norm_kernels *kernels = bdl__batch_norm_kernels(step->target);
    const bdl__channels channels = channels_of(step, cx);
    if (uses_batch(step) && cx->pass == 0) {
        kernels->batch_norm_moments(cx->src[0].data, cx->sums, &channels);
        return;
    }
    const void *running_mean = p->track_running_stats ? cx->buffers[RUNNING_MEAN] : NULL;
    const void *running_var = p->track_running_stats ? cx->buffers[RUNNING_VAR] : NULL;
    double *stats = step->is_training ? cx->saved[SAVED_STATS].data : cx->scratch;
    kernels->batch_norm_stats(uses_batch(step) ? cx->totals : NULL, running_mean, running_var,
                              p->eps, stats, &channels);
    kernels->batch_norm_forward(cx->src[0].data, cx->dst[0].data, stats,
                                p->affine ? cx->weights[WEIGHT] : NULL,
                                p->affine ? cx->weights[BIAS] : NULL, &channels);
    if (step->is_training && p->track_running_stats && cx->is_buffer_writer) {
        update_buffers(step, cx);
    }
}

/* ---- backward --------------------------------------------------------------------------------
 * */

static void backward(const bdl__step *step, bdl__cx *cx)
{
    const batch_norm_params *p = step->params;
    const struct bdl__batch_norm_kernels *kernels = bdl__batch_norm_kernels(step->target);
    const bdl__channels channels = channels_of(step, cx);
    const double *stats = cx->saved[SAVED_STATS].data;
    if (cx->pass == 0) {
        kernels->batch_norm_sums(cx->src[0].data, cx->diff_dst[0].data, stats, cx->sums, &channels);
        if (p->affine) {
            kernels->batch_norm_diff_weights(cx->sums, stats, cx->diff_weights[WEIGHT],
                                             cx->diff_weights_mode[WEIGHT] == BDL__ADD,
                                             cx->diff_weights[BIAS],
                                             cx->diff_weights_mode[BIAS] == BDL__ADD, &channels);
        }
    } else if (cx->diff_src_mode[0] != BDL__SKIP) {
        kernels->batch_norm_backward(cx->src[0].data, cx->diff_dst[0].data, cx->diff_src[0].data,
                                     cx->diff_src_mode[0] == BDL__ADD, stats, cx->totals,
                                     p->affine ? cx->weights[WEIGHT] : NULL, &channels);
    }
}

/* ---- descriptor ------------------------------------------------------------------------------
 * */

static const bdl__layer batch_norm = {
    .name = "batch_norm",
    .names = {.pytorch = "BatchNorm2d",
              .torch = "SpatialBatchNormalization",
              .keras = "BatchNormalization"},
    .since = "0.1",
    .summary = "Normalizes each channel over the batch and its positions.",
    .doc =
        "(c) or (c, ...) -> the same: y = (x - mean) / sqrt(variance + eps) * weight + bias. In "
        "training mean and variance (divided by n) are those of the batch, and the running "
        "statistics follow them, the variance divided by n - 1; in evaluation they are the running "
        "statistics. One value a channel (a batch of one vector) has no variance: then training "
        "uses the running statistics too. Serves 1-d (BatchNorm1d) and planes (BatchNorm2d, "
        "BatchNorm3d). Ioffe and Szegedy 2015.",
    .schema = BDL_SCHEMA("batch_norm", fields, batch_norm_params),
    .ports = "input",
    .batch = BDL__STATS,
    .flags = BDL__IN_PLACE | BDL__DIFFERS_IN_TRAINING,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

BDL_LAYER_FAMILY(batch_norm, &batch_norm)
