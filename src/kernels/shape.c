/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of boxes of elements, row by row. */
#include "kernels/shape.h"

BDL__KERNEL_DECLARE(BDL__SHAPE_KERNELS)

/* Where row `i` begins in a tensor with these strides. */
R_INLINE int64_t row(const bdl__box *box, const int64_t *stride, int64_t offset, int64_t i)
{
    for (int k = BDL__BOX_RANK - 2; k >= 0 && i > 0; k--) {
        offset += i % box->dim[k] * stride[k];
        i /= box->dim[k];
    }
    return offset;
}

void K(box_forward)(const bdl__box *box, const real *src, real *dst, int64_t begin, int64_t end)
{
    const int last = BDL__BOX_RANK - 1;
    for (int64_t i = begin; i < end; i++) {
        const real *from = src + row(box, box->src_stride, box->src_offset, i);
        real *to = dst + row(box, box->dst_stride, box->dst_offset, i);
        for (int64_t k = 0; k < box->dim[last]; k++) {
            to[k * box->dst_stride[last]] = from[k * box->src_stride[last]];
        }
    }
}

void K(box_forward_int)(const bdl__box *box, const r_int *src, r_int *dst, int64_t begin,
                        int64_t end)
{
    const int last = BDL__BOX_RANK - 1;
    for (int64_t i = begin; i < end; i++) {
        const r_int *from = src + row(box, box->src_stride, box->src_offset, i);
        r_int *to = dst + row(box, box->dst_stride, box->dst_offset, i);
        for (int64_t k = 0; k < box->dim[last]; k++) {
            to[k * box->dst_stride[last]] = from[k * box->src_stride[last]];
        }
    }
}

void K(box_backward)(const bdl__box *box, const real *diff_dst, real *diff_src, int64_t begin,
                     int64_t end, bool add)
{
    const int last = BDL__BOX_RANK - 1;
    for (int64_t i = begin; i < end; i++) {
        const real *from = diff_dst + row(box, box->dst_stride, box->dst_offset, i);
        real *to = diff_src + row(box, box->src_stride, box->src_offset, i);
        for (int64_t k = 0; k < box->dim[last]; k++) {
            const real value = from[k * box->dst_stride[last]];
            real *at = &to[k * box->src_stride[last]];
            *at = add ? *at + value : value;
        }
    }
}

void K(fill)(real *dst, double value, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        dst[i] = R(value);
    }
}

void K(fill_int)(r_int *dst, double value, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        dst[i] = R_I(value);
    }
}

BDL__KERNEL_TABLE(shape, BDL__SHAPE_KERNELS)
