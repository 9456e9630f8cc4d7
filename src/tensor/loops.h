/* SPDX-License-Identifier: Apache-2.0 */
/* The innermost loops over elements, one set for each element type (loops.inc). */
#ifndef BDL_TENSOR_LOOPS_H
#define BDL_TENSOR_LOOPS_H

#include "tensor/tensor.h"

typedef enum bdl__element_test {
    BDL__IS_ZERO,
    BDL__IS_NEGATIVE
} bdl__element_test;

/* Elements lie at at[i] + j * step[i], steps in bytes; at[0] is the destination. */
typedef struct bdl__loops {
    void (*binary)(bdl__binary_op op, int64_t n, char *const at[], const int64_t step[]);
    void (*unary)(bdl__unary_op op, int64_t n, char *const at[], const int64_t step[]);
    void (*clamp)(double least, double most, int64_t n, char *const at[], const int64_t step[]);
    /* at[0] = at[1], as elements of another type; false where an integer cannot hold a float. */
    bool (*convert)(bdl_dtype dtype, int64_t n, char *const at[], const int64_t step[]);
    /* Whether an element of at[0] is so. */
    bool (*any)(bdl__element_test test, int64_t n, char *const at[], const int64_t step[]);
    /* Whether all of at[0] and at[1] are close; with tolerances of 0: equal. */
    bool (*close)(double rtol, double atol, int64_t n, char *const at[], const int64_t step[]);
    /* Reduces n elements to one; its type is what bdl__tensor_reduce says. */
    void (*reduce)(bdl__reduce_op op, double number, int64_t n, const char *src, int64_t step,
                   void *dst);
    /* c (m,n) += a (m,k) b (k,n), row-major. */
    void (*matmul)(int64_t m, int64_t n, int64_t k, const void *a, const void *b, void *c);
} bdl__loops;

const bdl__loops *bdl__loops_of(bdl_dtype dtype);

#endif
