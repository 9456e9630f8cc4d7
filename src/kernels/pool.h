/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pooling over planes of one, two or three axes: (c, d, h, w) -> (c, od, oh, ow), a missing axis
 * having the size 1. Windows are described by tables, one an axis, so that strides, padding,
 * dilation and adaptive windows are the same loop.
 */
#ifndef BDL_KERNELS_POOL_H
#define BDL_KERNELS_POOL_H

#include "kernels/family.h"

/* The windows along one axis. Window o has the input positions begin[o] + k * dilation,
 * k < count[o]; positions in the padding are not counted. */
typedef struct bdl__pool_axis {
    int64_t n_in, n_out;
    int64_t n_window; /* most positions of a window */
    int64_t dilation;
    const int64_t *begin;
    const int64_t *count;
} bdl__pool_axis;

typedef struct bdl__pool_shape {
    bdl__pool_axis axis[3]; /* depth, height, width */
    bool is_wide;           /* positions are saved as int32, not as bytes (windows above 256) */
    const double *scale;    /* average: the inverse of each window's divisor, in the order of dst */
} bdl__pool_shape;

/*
 * max_pool_forward    dst = the window's first maximum (a NaN is one). `index`, if not NULL, gets
 *                     its position (kz * KY + ky) * KX + kx for each sample, as a byte or an int32.
 * max_pool_backward   diff_src from diff_dst and index.
 * max_pool_2x2_...    the same for windows of 2x2, stride 2, no padding, of planes with one more
 *                     row or column at most than the windows take.
 * mean_pool_...       average, over the whole plane in ..._plane_... (one value a channel).
 * Channels [begin, end); backward adds to diff_src, or writes all of it.
 */
#define BDL__POOL_KERNELS(X)                                                                       \
    X(max_pool_forward, (const real *src, real *dst, void *index, const bdl__pool_shape *shape,    \
                         int64_t begin, int64_t end))                                              \
    X(max_pool_backward, (const real *diff_dst, const void *index, real *diff_src, bool adds,      \
                          const bdl__pool_shape *shape, int64_t begin, int64_t end))               \
    X(max_pool_2x2_forward, (const real *src, real *dst, void *index,                              \
                             const bdl__pool_shape *shape, int64_t begin, int64_t end))            \
    X(max_pool_2x2_backward, (const real *diff_dst, const void *index, real *diff_src, bool adds,  \
                              const bdl__pool_shape *shape, int64_t begin, int64_t end))           \
    X(mean_pool_forward,                                                                           \
      (const real *src, real *dst, const bdl__pool_shape *shape, int64_t begin, int64_t end))      \
    X(mean_pool_backward, (const real *diff_dst, real *diff_src, bool adds,                        \
                           const bdl__pool_shape *shape, int64_t begin, int64_t end))              \
    X(mean_pool_plane_forward,                                                                     \
      (const real *src, real *dst, const bdl__pool_shape *shape, int64_t begin, int64_t end))      \
    X(mean_pool_plane_backward, (const real *diff_dst, real *diff_src, bool adds,                  \
                                 const bdl__pool_shape *shape, int64_t begin, int64_t end))
BDL__KERNEL_FAMILY(pool, BDL__POOL_KERNELS)

#endif
