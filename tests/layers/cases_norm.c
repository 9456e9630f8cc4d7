/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

static const layer_case cases[] = {
    {"batch_norm", "", "3x5x4"},
    {"batch_norm", "", "7"},
    {"batch_norm", "", "4x3"},
    {"batch_norm", "", "2x3x2x3"},
    {"batch_norm", "", "3x9x8 far"},
    {"batch_norm", "eps=0.1, momentum=0.3, momentum_kind='old'", "3x5x4"},
    {"batch_norm", "affine=false", "3x5x4"},
    {"batch_norm", "track_running_stats=false", "3x5x4"},
    {"batch_norm", "weight_init='uniform', bias_init='normal'", "5x2"},
    {"layer_norm", "", "9"},
    {"layer_norm", "", "4x9"},
    {"layer_norm", "[3, 4]", "2x3x4"},
    {"layer_norm", "[2, 5, 9]", "2x5x9 far"},
    {"layer_norm", "elementwise_affine=false", "3x8"},
    {"layer_norm", "bias=false, eps=0.01", "3x8"},
    {"rms_norm", "", "9"},
    {"rms_norm", "[3, 4], eps=0.1", "2x3x4"},
    {"rms_norm", "elementwise_affine=false", "3x8"},
    {"group_norm", "2", "4x3x3"},
    {"group_norm", "1", "3x4"},
    {"group_norm", "2", "8"},
    {"group_norm", "2, affine=false", "4x7x6"},
    {"instance_norm", "", "3x4x4"},
    {"instance_norm", "affine=true, eps=0.01", "3x11x4"},
    {"lrn", "", "7x3x2"},
    {"lrn", "3, alpha=0.5, beta=0.5, k=2", "6x5"},
    {"lrn", "4, alpha=2", "6x3x2"},
    {"lrn", "2, beta=1.3", "3"},
    {"lrn", "9", "4x3x3"},
};

BDL_LAYER_CASES(norm, cases)
