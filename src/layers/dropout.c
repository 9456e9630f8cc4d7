/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dropout (Srivastava et al. 2014): in training each element, or each channel, is set to 0 with
 * probability p, and the others are divided by 1 - p; in evaluation the input passes. Which go
 * depends on the run's seed, the node, the iteration, the sample's number in the batch and the
 * position. The decisions are kept as bits for backward.
 */
#include "kernels/dropout.h"
#include "base/rng.h"
#include "kernels/activation.h"
#include "layers/layer.h"

/* ---- params ---------------------------------------------------------------------------------- */

typedef struct dropout_params {
    double p;
    bool scale;
} dropout_params;

static const bdl__field dropout_fields[] = {
    BDL_FIELD(dropout_params, p, .def.f64 = 0.5, .range = BDL_IN(0, 1),
              .doc = "Probability that an element becomes 0."),
    BDL_FIELD(dropout_params, scale, .def.b = true,
              .doc =
                  "Divide what stays by 1 - p in training; else multiply by 1 - p in evaluation."),
};

static const bdl__field spatial_dropout_fields[] = {
    BDL_FIELD(dropout_params, p, .def.f64 = 0.5, .range = BDL_IN(0, 1),
              .doc = "Probability that a channel becomes 0."),
    BDL_FIELD(dropout_params, scale, .def.b = true,
              .doc =
                  "Divide what stays by 1 - p in training; else multiply by 1 - p in evaluation."),
};

/* ---- infer and plan -------------------------------------------------------------------------- */

static bdl_status infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const dropout_params *p = params;
    BDL__TRY(bdl__need_float(in, 0));
    BDL__CHECK(p->p < 1, BDL_ERR_INVALID_ARGUMENT, "p must be below 1, got %g", p->p);
    return bdl__decl_same(in, decl);
}

static bdl_status spatial_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    BDL__CHECK(in->shape[0].rank >= 1, BDL_ERR_SHAPE, "needs (channels, ...), got a scalar");
    return infer(params, in, decl);
}

typedef struct dropout_state {
    int64_t n_units; /* elements or channels */
    int64_t size;    /* elements of a unit */
} dropout_state;

static bdl_status plan_units(bdl__planner *planner, bdl__step *step, int64_t n_units)
{
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(dropout_state), &memory));
    dropout_state *state = step->state = memory;
    state->n_units = n_units;
    state->size = bdl__shape_count(&step->src_shape[0]) / n_units;
    step->splits = true;
    if (!step->is_training) {
        return BDL_OK;
    }
    return bdl__plan_save(planner, step, 0, (size_t)n_units * sizeof(uint16_t));
}

static bdl_status plan(bdl__planner *planner, bdl__step *step)
{
    return plan_units(planner, step, bdl__shape_count(&step->src_shape[0]));
}

static bdl_status spatial_plan(bdl__planner *planner, bdl__step *step)
{
    return plan_units(planner, step, step->src_shape[0].dim[0]);
}

/* ---- forward and backward -------------------------------------------------------------------- */

/* Two words of Philox make the key of this node in this iteration. */
static uint64_t key_of(const bdl__step *step, const bdl__cx *cx)
{
    const uint32_t counter[4] = {(uint32_t)cx->rng_step, (uint32_t)(cx->rng_step >> 32),
                                 (uint32_t)step->i_node, BDL__RNG_DROPOUT};
    const uint32_t seed[2] = {(uint32_t)cx->rng_seed, (uint32_t)(cx->rng_seed >> 32)};
    uint32_t key[4];
    bdl__philox(counter, seed, key);
    return (uint64_t)key[1] << 32 | key[0];
}

/* What stays is multiplied by this. */
static double scale_of(const bdl__step *step)
{
    const dropout_params *p = step->params;
    if (step->is_training) {
        return p->scale ? 1 / (1 - p->p) : 1;
    }
    return p->scale ? 1 : 1 - p->p;
}

static bdl__dropout dropout_of(const bdl__step *step, const bdl__cx *cx)
{
    const dropout_params *p = step->params;
    const dropout_state *state = step->state;
    return (bdl__dropout){.key = key_of(step, cx),
                          .first_sample = cx->first_sample,
                          .p = p->p,
                          .scale = scale_of(step),
                          .size = state->size};
}

static void *element(const bdl__step *step, void *data, int64_t i)
{
    return (char *)data + i * (int64_t)step->real_size;
}

static void forward(const bdl__step *step, bdl__cx *cx)
{
    const dropout_state *state = step->state;
    int64_t begin, end;
    bdl__cx_split(cx, state->n_units, &begin, &end);
    if (step->is_training) {
        const bdl__dropout dropout = dropout_of(step, cx);
        bdl__dropout_kernels(step->target)
            ->dropout_forward(&dropout, cx->src[0].data, cx->dst[0].data, cx->saved[0].data, begin,
                              end);
        return;
    }
    const double numbers[BDL__ACTIVATION_PARAMS] = {scale_of(step)};
    if (cx->src[0].data != cx->dst[0].data || numbers[0] != 1) {
        bdl__activation_kernels(step->target)
            ->activation_forward(BDL__ACTIVATION_affine, numbers,
                                 element(step, cx->src[0].data, begin * state->size),
                                 element(step, cx->dst[0].data, begin * state->size),
                                 (end - begin) * state->size);
    }
}

static void backward(const bdl__step *step, bdl__cx *cx)
{
    const dropout_state *state = step->state;
    const bool adds = cx->diff_src_mode[0] == BDL__ADD;
    int64_t begin, end;
    if (cx->diff_src_mode[0] == BDL__SKIP) {
        return;
    }
    bdl__cx_split(cx, state->n_units, &begin, &end);
    if (step->is_training) {
        const bdl__dropout dropout = dropout_of(step, cx);
        bdl__dropout_kernels(step->target)
            ->dropout_backward(&dropout, cx->saved[0].data, cx->diff_dst[0].data,
                               cx->diff_src[0].data, begin, end, adds);
        return;
    }
    const double numbers[BDL__ACTIVATION_PARAMS] = {scale_of(step)};
    bdl__activation_kernels(step->target)
        ->activation_backward(BDL__ACTIVATION_affine, numbers, NULL,
                              element(step, cx->diff_dst[0].data, begin * state->size),
                              element(step, cx->diff_src[0].data, begin * state->size),
                              (end - begin) * state->size, adds);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static const bdl__layer dropout = {
    .name = "dropout",
    .names = {.pytorch = "Dropout", .torch = "Dropout", .keras = "Dropout"},
    .since = "0.1",
    .summary = "Sets random elements to zero in training.",
    .doc = "x / (1 - p) or, with probability p, 0; any shape. In evaluation x. Srivastava et al. "
           "2014.",
    .schema = BDL_SCHEMA("dropout", dropout_fields, dropout_params),
    .ports = "input",
    .flags = BDL__IN_PLACE | BDL__MASKS | BDL__NEEDS_RNG | BDL__DIFFERS_IN_TRAINING,
    .infer = infer,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

static const bdl__layer spatial_dropout = {
    .name = "spatial_dropout",
    .names = {.pytorch = "Dropout2d", .torch = "SpatialDropout2D", .keras = "SpatialDropout2D"},
    .since = "0.1",
    .summary = "Sets random channels to zero in training.",
    .doc =
        "(channels, ...): x / (1 - p) or, with probability p for a whole channel, 0. In evaluation "
        "x. BigDL's layer has scale=false. Tompson et al. 2015.",
    .schema = BDL_SCHEMA("spatial_dropout", spatial_dropout_fields, dropout_params),
    .ports = "input",
    .flags = BDL__IN_PLACE | BDL__MASKS | BDL__NEEDS_RNG | BDL__DIFFERS_IN_TRAINING,
    .infer = spatial_infer,
    .plan = spatial_plan,
    .forward = forward,
    .backward = backward,
};

BDL_LAYER_FAMILY(dropout, &dropout, &spatial_dropout)
