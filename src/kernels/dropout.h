/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dropout: which elements stay is decided by random numbers (real_math.h) that depend on the key,
 * the sample and the position alone, so on no target and no worker. A word of 16 bits holds the
 * decisions for the lanes of a real, lane 0 in bit 0.
 */
#ifndef BDL_KERNELS_DROPOUT_H
#define BDL_KERNELS_DROPOUT_H

#include "kernels/family.h"

/* Units `begin` to `end`, each of `size` elements that stay or go together. Backward multiplies
 * what stayed by the same scale. dst may be src, and diff_src may be diff_dst. */
typedef struct bdl__dropout {
    uint64_t key;
    int64_t first_sample; /* number of lane 0's sample */
    double p;             /* probability of going, below 1 */
    double scale;         /* of what stays */
    int64_t size;
} bdl__dropout;

#define BDL__DROPOUT_KERNELS(X)                                                                    \
    X(dropout_forward, (const bdl__dropout *dropout, const real *src, real *dst, uint16_t *mask,   \
                        int64_t begin, int64_t end))                                               \
    X(dropout_backward, (const bdl__dropout *dropout, const uint16_t *mask, const real *diff_dst,  \
                         real *diff_src, int64_t begin, int64_t end, bool add))

BDL__KERNEL_FAMILY(dropout, BDL__DROPOUT_KERNELS)

#endif
