/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic of several tensors, element by element. Tensors are boxes of eight axes; an axis along
 * which a tensor repeats has stride 0 in it. Rows are the runs along the last axis.
 */
#ifndef BDL_KERNELS_ARITH_H
#define BDL_KERNELS_ARITH_H

#include "kernels/family.h"

#define BDL__ARITH_RANK 8
#define BDL__ARITH_INPUTS 64

typedef enum bdl__arith_op {
    BDL__ARITH_ADD,
    BDL__ARITH_SUB, /* two inputs */
    BDL__ARITH_MUL,
    BDL__ARITH_DIV, /* two inputs */
    BDL__ARITH_MAX,
    BDL__ARITH_MIN
} bdl__arith_op;

typedef struct bdl__arith_shape {
    int n_in;
    int64_t dim[BDL__ARITH_RANK]; /* of the output */
    int64_t dst_stride[BDL__ARITH_RANK];
    int64_t (*src_stride)[BDL__ARITH_RANK]; /* [n_in] */
} bdl__arith_shape;

/* Output rows `begin` to `end`. Backward gives the gradient of input i_in; one that repeats
 * needs `add` and zeros. It reads src for all but add and sub, dst for max and min. */
#define BDL__ARITH_KERNELS(X)                                                                      \
    X(arith_forward, (int op, const bdl__arith_shape *shape, const real *const *src, real *dst,    \
                      int64_t begin, int64_t end))                                                 \
    X(arith_backward,                                                                              \
      (int op, const bdl__arith_shape *shape, int i_in, const real *const *src, const real *dst,   \
       const real *diff_dst, real *diff_src, int64_t begin, int64_t end, bool add))

BDL__KERNEL_FAMILY(arith, BDL__ARITH_KERNELS)

#endif
