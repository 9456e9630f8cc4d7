/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which kernels run a convolution. Choices depend on shapes, precision and kernel target only, never on
 * a measurement or on the machine, because they can change a bit.
 */
#include "base/memory.h"
#include "layers/conv_internal.h"

const char *bdl__conv_impl_name(bdl__conv_impl impl)
{
    switch (impl) {
    case BDL__CONV_DIRECT:
        return "direct";
    case BDL__CONV_LANE_SUMS:
        return "lane_sums";
    case BDL__CONV_FEATURE_LANES:
        return "feature_lanes";
    }
    return "?";
}

void bdl__conv_choose(const bdl__step *step, bdl__conv_state *state)
{
    const int64_t outputs = state->dims.oc / state->dims.groups;
    const int64_t filled = outputs * 4 / bdl__round_up(outputs, step->lanes);
    state->forward = BDL__CONV_DIRECT;
    state->backward_data = BDL__CONV_DIRECT;
    state->backward_weights = filled >= 3 ? BDL__CONV_FEATURE_LANES : BDL__CONV_LANE_SUMS;
}
