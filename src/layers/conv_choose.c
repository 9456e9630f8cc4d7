/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which kernels run a convolution. Choices depend on shapes, precision and kernel target only,
 * never on a measurement or on the machine, because they can change a bit.
 */
#include "base/memory.h"
#include "layers/conv_internal.h"

const char *bdl__conv_impl_name(bdl__conv_impl impl)
{
    switch (impl) {
    case BDL__CONV_DIRECT:
        return "direct";
    case BDL__CONV_WINOGRAD4:
        return "winograd4x4";
    case BDL__CONV_WINOGRAD2:
        return "winograd2x2";
    case BDL__CONV_LANE_SUMS:
        return "lane_sums";
    case BDL__CONV_FEATURE_LANES:
        return "feature_lanes";
    case BDL__CONV_ONEDNN_BF16:
        return "onednn_bf16";
    case BDL__CONV_ONEDNN:
        return "onednn";
    }
    return "?";
}

/* Products of kernel rows (or columns) with lines of the input that exist. */
static int64_t useful(int64_t in, int64_t out, int64_t kernel, int64_t pad)
{
    int64_t n = 0;
    for (int64_t y = 0; y < out; y++) {
        for (int64_t k = 0; k < kernel; k++) {
            n += y + k - pad >= 0 && y + k - pad < in;
        }
    }
    return n;
}

/* Multiply-adds of a convolution of n_c channels and n_o outputs by tiles of m x m: 36 (16)
 * products for each pair, and the transforms of inputs and outputs in the time of multiply-adds, as
 * measured. */
static int64_t winograd_cost(int64_t n_c, int64_t n_o, int64_t out_h, int64_t out_w, int64_t m)
{
    const int64_t n_tiles = ((out_h + m - 1) / m) * ((out_w + m - 1) / m);
    const int64_t each = m == 4 ? 36 * n_c * n_o + 400 * n_c + 300 * n_o
                                : 16 * n_c * n_o + 160 * n_c + 100 * n_o;
    return n_tiles * each;
}

/* The cheapest of `direct`, whose multiply-adds are counted, and Winograd, which must save a fifth.
 * `extra` is what Winograd costs once for a part. */
static bdl__conv_impl cheapest(bdl__conv_impl direct, int64_t direct_cost, int64_t n_c, int64_t n_o,
                               int64_t out_h, int64_t out_w, int64_t extra)
{
    const int64_t cost4 = winograd_cost(n_c, n_o, out_h, out_w, 4) + extra;
    const int64_t cost2 = winograd_cost(n_c, n_o, out_h, out_w, 2) + extra / 2;
    if (BDL__MIN(cost4, cost2) > direct_cost / 5 * 4) {
        return direct;
    }
    return cost4 <= cost2 ? BDL__CONV_WINOGRAD4 : BDL__CONV_WINOGRAD2;
}

static bool suits_winograd(const bdl__step *step, const bdl__conv_dims *d)
{
    const bool is_allowed = step->precision == BDL__FP32 || step->precision == BDL__BF16;
    return is_allowed && d->kh == 3 && d->kw == 3 && d->sh == 1 && d->sw == 1 &&
           d->dh == 1 && d->dw == 1 && d->groups == 1 && d->ph <= 2 && d->pw <= 2;
}

/* Feature lanes want most lanes filled and enough products for each transposed number; below, lane
 * sums are faster where there are positions enough to add up. */
static bdl__conv_impl choose_weights(const bdl__step *step, const bdl__conv_dims *d)
{
    const int64_t outputs = d->oc / d->groups;
    const int64_t length = d->ic / d->groups * d->kh * d->kw;
    const bool is_filled = outputs * 4 >= bdl__round_up(outputs, step->lanes) * 3;
    const bool is_short = outputs < 16 || length < 64;
    return d->oh * d->ow >= 64 && (is_short || !is_filled) ? BDL__CONV_LANE_SUMS
                                                           : BDL__CONV_FEATURE_LANES;
}

void bdl__conv_choose(const bdl__step *step, bdl__conv_state *state)
{
    const bdl__conv_dims *d = &state->dims;
    state->forward = BDL__CONV_DIRECT;
    state->backward_data = BDL__CONV_DIRECT;
    state->backward_weights = choose_weights(step, d);
    if (suits_winograd(step, d)) {
        const int64_t cost =
            useful(d->ih, d->oh, 3, d->ph) * useful(d->iw, d->ow, 3, d->pw) * d->ic * d->oc;
        state->forward = cheapest(BDL__CONV_DIRECT, cost, d->ic, d->oc, d->oh, d->ow, 0);
        state->backward_data = cheapest(BDL__CONV_DIRECT, cost, d->oc, d->ic, d->ih, d->iw, 0);
        /* The last transform takes the time of 25 multiply-adds a kernel. */
        state->backward_weights = cheapest(state->backward_weights, cost, d->ic, d->oc, d->oh,
                                           d->ow, 25 * d->ic * d->oc);
    }
}

int64_t bdl__conv_cost(const bdl__conv_state *state, bdl__dnnl_direction direction)
{
    const bdl__conv_dims *d = &state->dims;
    const bool is_data = direction == BDL__DNNL_BACKWARD_DATA;
    const bool is_weights = direction == BDL__DNNL_BACKWARD_WEIGHTS;
    const bdl__conv_impl impl = is_data      ? state->backward_data
                                : is_weights ? state->backward_weights
                                             : state->forward;
    const int64_t n_pairs = d->ic / d->groups * d->oc;
    if (impl == BDL__CONV_WINOGRAD4 || impl == BDL__CONV_WINOGRAD2) {
        const int64_t m = impl == BDL__CONV_WINOGRAD4 ? 4 : 2;
        const int64_t weights = is_weights ? 25 * n_pairs
                                           : (m + 2) * (m + 2) * n_pairs * BDL__CONV_WEIGHT_COST / 100;
        return weights + (is_data ? winograd_cost(d->oc, d->ic, d->ih, d->iw, m)
                                  : winograd_cost(d->ic, d->oc, d->oh, d->ow, m));
    }
    const bool is_dense = d->sh == 1 && d->sw == 1 && d->dh == 1 && d->dw == 1;
    const int64_t n = is_dense
                          ? useful(d->ih, d->oh, d->kh, d->ph) * useful(d->iw, d->ow, d->kw, d->pw)
                          : d->oh * d->kh * d->ow * d->kw;
    return is_weights ? n_pairs * n / 10 * 17 /* 60 % of the other kernels' speed */
                      : n_pairs * (n + d->kh * d->kw * BDL__CONV_WEIGHT_COST / 100);
}
