/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

static const layer_case cases[] = {
    {"linear", "0, 5", "7"},
    {"linear", "0, 1", "3"},
    {"linear", "0, 16, bias=false", "32"},
    {"linear", "0, 33", "19"},
    {"linear", "0, 4", "3x5"},
    {"linear", "0, 6, weight_init='kaiming_normal', bias_init='zeros'", "2x3x4"},
    {"linear", "0, 70", "130"},
    {"conv2d", "0, 6, 5", "1x12x12"},
    /* Winograd in all three directions by tiles of 4x4, of 2x2, and of 4x4 that are cut; tiles of 2x2
     * that are cut, forward and backward weights, and backward data */
    {"conv2d", "0, 32, 3, padding=1", "32x8x8 ~8"},
    {"conv2d", "0, 52, 3, padding=1", "52x6x6 ~8"},
    {"conv2d", "0, 31, 3, padding=1", "33x7x8 ~8"},
    {"conv2d", "0, 42, 3", "39x7x8 ~8"},
    {"conv2d", "0, 43, 3, padding=2", "41x5x6 ~8"},
    {"conv2d", "0, 4, 3", "3x6x7"},
    {"conv2d", "0, 5, kernel_size=[3, 2], stride=[2, 1], padding=[1, 0]", "2x7x6"},
    {"conv2d", "0, 3, 3, padding=2, dilation=2", "2x7x6"},
    {"conv2d", "0, 3, 3, stride=2, padding=1, dilation=[2, 1]", "2x9x8"},
    {"conv2d", "0, 4, 3, padding=1, groups=2", "6x5x5"},
    {"conv2d", "0, 4, 3, stride=2, padding=1, groups=4", "4x7x7"},
    {"conv2d", "0, 6, 3, padding=1, groups=3", "3x5x5"},
    {"conv2d", "0, 4, 3, padding=1, bias=false", "2x5x5"},
    {"conv2d", "0, 9, 1", "5x4x3"},
    {"conv2d", "0, 3, 1, stride=2", "4x5x5"},
    {"conv2d", "0, 3, 1, padding=1", "2x3x3"},
    {"conv2d", "0, 4, 3, pad_mode='same', stride=2", "3x6x7"},
    {"conv2d", "0, 2, [2, 4], pad_mode='same'", "2x5x6"},
    {"conv2d", "0, 3, 3, propagate_back=false", "2x5x5 !0"},
    {"conv2d", "0, 17, 3, padding=1", "16x9x8"},
    {"conv2d", "0, 24, 3", "16x7x11"},
    {"conv2d", "0, 40, 3, padding=1", "36x3x2"},
    {"conv2d", "0, 16, 3, padding=2", "20x6x6"},
    {"conv2d", "0, 2, [1, 7], padding=[0, 3]", "3x4x9"},
    {"conv2d", "0, 3, 5, stride=3", "2x13x14"},
    {"conv2d", "0, 2, 4, padding=3", "2x2x2"},
};

BDL_LAYER_CASES(product, cases)
