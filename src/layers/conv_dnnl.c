/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions through oneDNN: precision bf16 where that is faster than the kernels of this library, and
 * inference of few samples. Tensors stay in float sample lanes outside; each call changes the layout of
 * one part, computes, and changes it back. docs/design/0001-onednn.md has the measurements.
 *
 * The choice is a pure function of shapes, precision and how the processor multiplies bf16.
 */
#include "base/memory.h"
#include "layers/conv_internal.h"
#include "layers/dnnl_step.h"
#include "layers/slices.h"

/* Multiply-adds of a sample below which a layer is left to the kernels: calls and layouts cost more. */
#define LEAST_WORK 4000000
/* Channels (of a group) below which oneDNN's tiles are mostly padding. */
#define LEAST_CHANNELS 16
/* A value's way into oneDNN's layout, or out of it, in multiply-adds of the kernels. */
#define LAYOUT_COST 66

/* Hundredths of a kernel's multiply-add that oneDNN's takes, in bf16. On AVX512-BF16 as measured. AMX
 * multiplies eight times as fast as that; a quarter is left for what is not multiplying. */
static int64_t bf16_cost(bdl__bf16_kind kind, bdl__dnnl_direction direction)
{
    const bool is_weights = direction == BDL__DNNL_BACKWARD_WEIGHTS;
    return kind == BDL__BF16_AMX ? (is_weights ? 25 : 20) : (is_weights ? 71 : 50);
}

static bool wants_bf16(const bdl__step *step, const bdl__conv_state *s, bdl__dnnl_direction direction)
{
    const bdl__conv_dims *const d = &s->dims;
    const bdl__bf16_kind kind = bdl__bf16_available();
    const int64_t n_weights = d->ic / d->groups * d->oc * d->kh * d->kw;
    const int64_t work = n_weights * d->oh * d->ow;
    if (step->precision != BDL__BF16 || kind == BDL__BF16_NONE) {
        return false;
    }
    if (step->few_samples) {
        return true;
    }
    if (work < LEAST_WORK ||
        BDL__MIN(d->ic, d->oc) / d->groups < LEAST_CHANNELS) {
        return false;
    }
    int64_t cost = work / 100 * bf16_cost(kind, direction) +
                   LAYOUT_COST * (d->ic * d->ih * d->iw + d->oc * d->oh * d->ow);
    /* Weights are half as large as floats; their gradients are written and change layout once a part. */
    cost += direction == BDL__DNNL_BACKWARD_WEIGHTS ? LAYOUT_COST * n_weights / step->lanes
                                                    : n_weights * BDL__CONV_WEIGHT_COST / 200;
    return cost < bdl__conv_cost(s, direction);
}

static bdl__dnnl_conv describe(const bdl__step *step, const bdl__conv_dims *d,
                               bdl__dnnl_direction direction, bool is_bf16)
{
    const int64_t n = step->lanes;
    return (bdl__dnnl_conv){.direction = direction,
                            .is_bf16 = is_bf16,
                            .is_training = step->is_training,
                            .has_bias = step->n_weights > 1,
                            .n = n,
                            .groups = d->groups,
                            .ic = d->ic, .ih = d->ih, .iw = d->iw,
                            .oc = d->oc, .oh = d->oh, .ow = d->ow,
                            .kh = d->kh, .kw = d->kw,
                            .sh = d->sh, .sw = d->sw,
                            .dh = d->dh, .dw = d->dw,
                            .ph = d->ph, .pw = d->pw,
                            .src_stride = {1, d->ih * d->iw * n, d->iw * n, n},
                            .dst_stride = {1, d->oh * d->ow * n, d->ow * n, n}};
}

static bool is_needed(const bdl__step *step, const bdl__conv_state *s, bdl__dnnl_direction direction)
{
    switch (direction) {
    case BDL__DNNL_FORWARD:
        return true;
    case BDL__DNNL_BACKWARD_DATA:
        return step->needs_diff_src[0] && s->propagates;
    case BDL__DNNL_BACKWARD_WEIGHTS:
        return step->needs_diff_weights;
    }
    return false;
}

bdl_status bdl__conv_dnnl_choose(bdl__planner *planner, bdl__step *step, bdl__conv_state *s)
{
    bdl__conv_impl *const impl[] = {&s->forward, &s->backward_data, &s->backward_weights};
    for (int i = BDL__DNNL_FORWARD; i <= BDL__DNNL_BACKWARD_WEIGHTS; i++) {
        const bdl__dnnl_direction direction = (bdl__dnnl_direction)i;
        const bool is_bf16 = wants_bf16(step, s, direction);
        if (!is_needed(step, s, direction) || (!is_bf16 && !step->few_samples)) {
            continue;
        }
        const bdl__dnnl_conv conv = describe(step, &s->dims, direction, is_bf16);
        bool is_made = false;
        BDL__TRY(bdl__dnnl_step_add(planner, step, &s->dnnl, &conv, &is_made));
        if (is_made) {
            *impl[i] = is_bf16 ? BDL__CONV_ONEDNN_BF16 : BDL__CONV_ONEDNN;
        }
    }
    return BDL_OK;
}

static void pack(const bdl__step *step, bdl__dnnl_direction direction, const void *const *weights,
                 void *packed, int64_t begin, int64_t end)
{
    const bdl__conv_state *const s = step->state;
    bdl__dnnl_step_pack(step, s->dnnl, direction, weights[0], packed, begin, end);
}

static void pack_forward(const bdl__step *step, const void *const *weights, void *packed,
                         int64_t begin, int64_t end)
{
    pack(step, BDL__DNNL_FORWARD, weights, packed, begin, end);
}

static void pack_backward(const bdl__step *step, const void *const *weights, void *packed,
                          int64_t begin, int64_t end)
{
    pack(step, BDL__DNNL_BACKWARD_DATA, weights, packed, begin, end);
}

bdl_status bdl__conv_dnnl_book(bdl__planner *planner, bdl__step *step, const bdl__conv_state *s,
                               int i_packed)
{
    return bdl__dnnl_step_book(planner, step, s->dnnl, (bdl__dnnl_direction)i_packed,
                               i_packed == 0 ? pack_forward : pack_backward);
}

void bdl__conv_dnnl_forward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__conv_state *const s = step->state;
    bdl__dnnl_step_forward(s->dnnl, cx, step->n_weights > 1 ? cx->weights[1] : NULL);
}

void bdl__conv_dnnl_backward_data(const bdl__step *step, bdl__cx *cx)
{
    const bdl__conv_state *const s = step->state;
    bdl__dnnl_step_backward_data(s->dnnl, cx);
}

void bdl__conv_dnnl_backward_weights(const bdl__step *step, bdl__cx *cx)
{
    const bdl__conv_state *const s = step->state;
    if (cx->team_rank == 0 && bdl__wants_weights(cx, 0)) {
        const bdl__dnnl_call call = {.src = cx->src[0].data,
                                     .dst_in = cx->diff_dst[0].data,
                                     .result = cx->diff_weights[0],
                                     .scratch = cx->scratch,
                                     .add = cx->diff_weights_mode[0] == BDL__ADD};
        bdl__dnnl_step_run(s->dnnl, BDL__DNNL_BACKWARD_WEIGHTS, &call);
    }
}

void bdl__conv_release(bdl__step *step)
{
    const bdl__conv_state *const s = step->state;
    if (s) {
        bdl__dnnl_step_release(s->dnnl);
    }
}
