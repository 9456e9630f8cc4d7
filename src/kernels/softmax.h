/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax and its relatives along one axis. A tensor is seen as (rows, axis, inner); `columns` are the
 * rows x inner vectors along the axis, and a call does those from `begin` to `end`. dst may be src,
 * and diff_src may be diff_dst.
 */
#ifndef BDL_KERNELS_SOFTMAX_H
#define BDL_KERNELS_SOFTMAX_H

#include "kernels/family.h"

typedef struct bdl__softmax_shape {
    int64_t n;     /* values that sum to one */
    int64_t inner; /* distance between them */
} bdl__softmax_shape;

/* `sign` is 1, or -1 for softmin. */
#define BDL__SOFTMAX_KERNELS(X)                                                                    \
    X(softmax_forward, (const bdl__softmax_shape *shape, double sign, const real *src, real *dst,  \
                        int64_t begin, int64_t end))                                               \
    X(softmax_backward,                                                                            \
      (const bdl__softmax_shape *shape, double sign, const real *dst, const real *diff_dst,        \
       real *diff_src, int64_t begin, int64_t end, bool add))                                      \
    X(log_softmax_forward,                                                                         \
      (const bdl__softmax_shape *shape, const real *src, real *dst, int64_t begin, int64_t end))   \
    X(log_softmax_backward,                                                                        \
      (const bdl__softmax_shape *shape, const real *dst, const real *diff_dst, real *diff_src,     \
       int64_t begin, int64_t end, bool add))

BDL__KERNEL_FAMILY(softmax, BDL__SOFTMAX_KERNELS)

#endif
