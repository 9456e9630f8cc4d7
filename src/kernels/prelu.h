/* SPDX-License-Identifier: Apache-2.0 */
/* Rectifiers whose slope below zero is learned, one for each channel. */
#ifndef BDL_KERNELS_PRELU_H
#define BDL_KERNELS_PRELU_H

#include "kernels/family.h"

/*
 * Channels [begin, end) of n neighboring positions each, channel c with the slope slopes[c].
 *
 * prelu_forward       dst = src > 0 ? src : slope src
 * prelu_backward      diff_src = src > 0 ? diff_dst : slope diff_dst
 * prelu_diff_weights  diff_slopes[c] = sum of src diff_dst over positions and samples where src <= 0
 */
#define BDL__PRELU_KERNELS(X)                                                                      \
    X(prelu_forward, (const real *src, real *dst, const scalar *slopes, int64_t n, int64_t begin,  \
                      int64_t end))                                                                \
    X(prelu_backward, (const real *src, const real *diff_dst, real *diff_src, bool adds,           \
                       const scalar *slopes, int64_t n, int64_t begin, int64_t end))               \
    X(prelu_diff_weights, (const real *src, const real *diff_dst, scalar *diff_slopes, bool adds,  \
                           int64_t n, int64_t begin, int64_t end))
BDL__KERNEL_FAMILY(prelu, BDL__PRELU_KERNELS)

#endif
