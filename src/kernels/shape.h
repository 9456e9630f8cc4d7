/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of boxes of elements between tensors with strides: what all layers that move data do. */
#ifndef BDL_KERNELS_SHAPE_H
#define BDL_KERNELS_SHAPE_H

#include "kernels/family.h"

#define BDL__BOX_RANK 8

/* Elements i (i_0 ... i_7) go from src[src_offset + sum i_k src_stride_k] to dst likewise. Axes that
 * are not used have dim 1. No two elements go to the same place. */
typedef struct bdl__box {
    int64_t dim[BDL__BOX_RANK];
    int64_t src_offset, dst_offset;
    int64_t src_stride[BDL__BOX_RANK];
    int64_t dst_stride[BDL__BOX_RANK];
} bdl__box;

/* Rows are the runs along the last axis; a call copies those from `begin` to `end`. Backward copies
 * diff_dst to diff_src along the same box. The _int form is for integer tensors. */
#define BDL__SHAPE_KERNELS(X)                                                                      \
    X(box_forward, (const bdl__box *box, const real *src, real *dst, int64_t begin, int64_t end))  \
    X(box_forward_int,                                                                             \
      (const bdl__box *box, const r_int *src, r_int *dst, int64_t begin, int64_t end))             \
    X(box_backward, (const bdl__box *box, const real *diff_dst, real *diff_src, int64_t begin,     \
                     int64_t end, bool add))                                                       \
    X(fill, (real * dst, double value, int64_t begin, int64_t end))                                \
    X(fill_int, (r_int * dst, double value, int64_t begin, int64_t end))

BDL__KERNEL_FAMILY(shape, BDL__SHAPE_KERNELS)

#endif
