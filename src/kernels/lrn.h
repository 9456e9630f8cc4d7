/* SPDX-License-Identifier: Apache-2.0 */
/* Local response normalization across channels: (c, n) -> (c, n), n positions of a plane. */
#ifndef BDL_KERNELS_LRN_H
#define BDL_KERNELS_LRN_H

#include "kernels/family.h"

/* dst = src / (k + alpha / size * sum of src^2 over channels c - before .. c + after)^beta */
typedef struct bdl__lrn_shape {
    int64_t n_channels;
    int64_t n;
    int64_t before, after;
    double alpha; /* already divided by the window's size */
    double beta;
    double k;
} bdl__lrn_shape;

/* Positions that lrn_backward does at a time; its scratch holds 2 * n_channels reals for each. */
#define BDL__LRN_BLOCK 4

/* Positions [begin, end) of every channel. */
#define BDL__LRN_KERNELS(X)                                                                        \
    X(lrn_forward,                                                                                 \
      (const real *src, real *dst, const bdl__lrn_shape *shape, int64_t begin, int64_t end))       \
    X(lrn_backward, (const real *src, const real *diff_dst, real *diff_src, bool adds,             \
                     real *scratch, const bdl__lrn_shape *shape, int64_t begin, int64_t end))
BDL__KERNEL_FAMILY(lrn, BDL__LRN_KERNELS)

#endif
