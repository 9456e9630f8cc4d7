/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

static const layer_case cases[] = {
    {"max_pool2d", "2", "3x8x6"},
    {"max_pool2d", "2", "2x7x5"},
    {"max_pool2d", "2, stride=1", "2x5x4"},
    {"max_pool2d", "3, stride=2, padding=1", "2x9x8"},
    {"max_pool2d", "3, stride=2, ceil_mode=true", "2x8x7"},
    {"max_pool2d", "3, stride=1, padding=1", "2x6x5"},
    {"max_pool2d", "[3, 2], stride=[1, 3], padding=[1, 0]", "2x6x8"},
    {"max_pool2d", "2, stride=1, dilation=[2, 3]", "2x6x7"},
    {"max_pool2d", "3, stride=2, padding=1, dilation=2, ceil_mode=true", "2x9x11"},
    {"max_pool2d", "2, stride=3", "2x8x9"},
    {"max_pool2d", "17, stride=1", "1x18x19"},
    {"max_pool2d", "1", "2x3x4"},
    {"avg_pool2d", "2", "3x8x6"},
    {"avg_pool2d", "3, stride=2, padding=1", "2x9x8"},
    {"avg_pool2d", "3, stride=2, padding=1, count_include_pad=false", "2x9x8"},
    {"avg_pool2d", "3, stride=2, padding=1, ceil_mode=true", "2x8x8"},
    {"avg_pool2d", "3, stride=2, padding=1, ceil_mode=true, count_include_pad=false", "2x8x8"},
    {"avg_pool2d", "2, divisor_override=3", "2x4x5"},
    {"avg_pool2d", "[2, 3], stride=[1, 2]", "2x5x8"},
    {"avg_pool2d", "[7, 9]", "3x7x9"},
    {"avg_pool2d", "2, stride=3", "2x8x9"},
    {"adaptive_max_pool2d", "", "3x6x7"},
    {"adaptive_max_pool2d", "[3, 4]", "2x7x5"},
    {"adaptive_max_pool2d", "5", "2x3x8"},
    {"adaptive_max_pool2d", "1", "1x20x19"},
    {"adaptive_avg_pool2d", "", "3x9x8"},
    {"adaptive_avg_pool2d", "[3, 4]", "2x7x5"},
    {"adaptive_avg_pool2d", "4", "2x2x8"},
};

BDL_LAYER_CASES(pool, cases)
