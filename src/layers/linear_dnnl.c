/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear through oneDNN, as a 1x1 convolution of one image: its rows are the positions, its columns the
 * samples of a part, which are neighbors in memory, and its channels the features.
 */
#include "layers/linear_dnnl.h"

/* As in conv_dnnl.c, in multiply-adds of the kernels. */
#define LEAST_WORK 4000000
#define LAYOUT_COST 66

/* What the kernels and oneDNN take for a sample: the products, in bf16 at half or (AMX) a fifth of the
 * time, and the weights from memory: 4 bytes for many parts at once, or 2 bytes for each. */
static bool wants_bf16(const bdl__step *step, int64_t n_positions, int64_t n_in, int64_t n_out)
{
    const bdl__bf16_kind kind = bdl__bf16_available();
    const int64_t n_weights = n_in * n_out;
    const int64_t work = n_positions * n_weights;
    if (step->precision != BDL__BF16 || kind == BDL__BF16_NONE) {
        return false;
    }
    if (step->few_samples || work < LEAST_WORK) {
        return step->few_samples;
    }
    const int64_t products = kind == BDL__BF16_AMX ? work / 5 : work / 2;
    return products + n_weights * 3 / 4 + LAYOUT_COST * n_positions * (n_in + n_out) <
           work + n_weights / 2;
}

bdl_status bdl__linear_dnnl_choose(bdl__planner *planner, bdl__step *step, int64_t n_positions,
                                   int64_t n_in, int64_t n_out, bdl__dnnl_step **mine)
{
    const bool is_bf16 = wants_bf16(step, n_positions, n_in, n_out);
    if (!is_bf16 && !step->few_samples) {
        return BDL_OK;
    }
    const int64_t lanes = step->lanes;
    bdl__dnnl_conv conv = {.direction = BDL__DNNL_FORWARD,
                           .is_bf16 = is_bf16,
                           .is_training = step->is_training,
                           .has_bias = step->n_weights > 1,
                           .n = 1, .groups = 1,
                           .ic = n_in, .ih = n_positions, .iw = lanes,
                           .oc = n_out, .oh = n_positions, .ow = lanes,
                           .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1,
                           .src_stride = {n_in * n_positions * lanes, lanes, n_in * lanes, 1},
                           .dst_stride = {n_out * n_positions * lanes, lanes, n_out * lanes, 1}};
    bool is_made = false;
    BDL__TRY(bdl__dnnl_step_add(planner, step, mine, &conv, &is_made));
    if (step->needs_diff_src[0]) {
        conv.direction = BDL__DNNL_BACKWARD_DATA;
        BDL__TRY(bdl__dnnl_step_add(planner, step, mine, &conv, &is_made));
    }
    return BDL_OK;
}
