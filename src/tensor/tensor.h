/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors: reference-counted storage and strided views. The functions do what their public
 * namesakes in <bdl/tensor.h> say; those only check for NULL first.
 */
#ifndef BDL_TENSOR_TENSOR_H
#define BDL_TENSOR_TENSOR_H

#include <bdl/tensor.h>
#include <stdatomic.h>

#include "tensor/shape.h"

/* Elements shared by views. */
typedef struct bdl__storage {
    bdl_allocator allocator; /* of data and of this struct */
    _Atomic int64_t n_users;
    void *data; /* owned, or the property of `managed` */
    size_t size;
    struct DLManagedTensor *managed; /* from outside, or NULL */
} bdl__storage;

struct bdl_tensor {
    bdl__storage *storage; /* NULL in operands that live on the stack */
    bdl_dtype dtype;
    bdl__shape shape;
    int64_t stride[BDL_MAX_RANK]; /* in elements */
    char *data;                   /* the first element */
};

/* Room for one element of any type. */
typedef union bdl__element {
    float f32;
    double f64;
    int32_t i32;
    int64_t i64;
    uint8_t u8;
} bdl__element;

size_t bdl__dtype_size(bdl_dtype dtype);
const char *bdl__dtype_name(bdl_dtype dtype); /* "f32" */
bool bdl__dtype_is_float(bdl_dtype dtype);
/* Fails unless it is one that tensors have. */
bdl_status bdl__dtype_check(bdl_dtype dtype);

/* ---- tensor.c ------------------------------------------------------------------------------ */

/* A shape from the user's numbers, checked. */
bdl_status bdl__shape_make(int32_t rank, const int64_t *dims, const char *what, bdl__shape *shape);
/* A contiguous tensor of zeros; the shape was checked. */
bdl_status bdl__tensor_new(const bdl_allocator *allocator, bdl_dtype dtype, const bdl__shape *shape,
                           bdl_tensor **out);
/* A new tensor with the allocator of `like`. */
bdl_status bdl__tensor_like(const bdl_tensor *like, bdl_dtype dtype, const bdl__shape *shape,
                            bdl_tensor **out);
/* A tensor that takes the storage's first use over; it is the caller's still if this fails. */
bdl_status bdl__tensor_of_storage(bdl__storage *storage, const bdl_tensor *header,
                                  bdl_tensor **out);
/* Another view of header's storage, as `header` describes it. */
bdl_status bdl__tensor_share(const bdl_tensor *header, bdl_tensor **out);
void bdl__tensor_free(bdl_tensor *tensor);
void bdl__storage_release(bdl__storage *storage);

void bdl__row_major(const bdl__shape *shape, int64_t stride[BDL_MAX_RANK]);
int64_t bdl__tensor_count(const bdl_tensor *tensor);
bool bdl__tensor_is_contiguous(const bdl_tensor *tensor);
/* A user's axis, negative from the end, as 0 .. rank - 1. */
bdl_status bdl__tensor_axis(const bdl_tensor *tensor, int32_t axis, int32_t *checked);
/* Fails where an integer type cannot hold the value exactly. */
bdl_status bdl__value_check(bdl_dtype dtype, double value);
/* Stores a checked value. */
void bdl__value_store(bdl_dtype dtype, double value, void *element);
double bdl__value_load(bdl_dtype dtype, const void *element);

bdl_status bdl__tensor_arange(const bdl_allocator *allocator, bdl_dtype dtype, double start,
                              double end, double step, bdl_tensor **out);
bdl_status bdl__tensor_random(const bdl_allocator *allocator, bdl_dtype dtype,
                              const bdl__shape *shape, uint64_t seed, bool normal,
                              bdl_tensor **out);
/* The element at a user's index, negative numbers from the end. */
bdl_status bdl__tensor_element(const bdl_tensor *tensor, const int64_t *index, void **element);

/* ---- view.c -------------------------------------------------------------------------------- */

bdl_status bdl__tensor_narrow(const bdl_tensor *tensor, int32_t axis, int64_t begin, int64_t length,
                              bdl_tensor **out);
bdl_status bdl__tensor_select(const bdl_tensor *tensor, int32_t axis, int64_t index,
                              bdl_tensor **out);
bdl_status bdl__tensor_permute(const bdl_tensor *tensor, const int32_t *axes, bdl_tensor **out);
bdl_status bdl__tensor_transpose(const bdl_tensor *tensor, int32_t axis_a, int32_t axis_b,
                                 bdl_tensor **out);
/* `may_copy`: where no view is possible, a copy. */
bdl_status bdl__tensor_view(const bdl_tensor *tensor, int32_t rank, const int64_t *dims,
                            bool may_copy, bdl_tensor **out);
bdl_status bdl__tensor_expand(const bdl_tensor *tensor, const bdl__shape *shape, bdl_tensor **out);
/* Sets the strides of `tensor` broadcast to a shape; false if it does not fit. */
bool bdl__broadcast_strides(const bdl_tensor *tensor, const bdl__shape *shape,
                            int64_t stride[BDL_MAX_RANK]);
/* The shape that two shapes broadcast to; `what` names the operation for the error text. */
bdl_status bdl__broadcast_shape(const bdl__shape *a, const bdl__shape *b, const char *what,
                                bdl__shape *shape);

/* ---- copy.c -------------------------------------------------------------------------------- */

bdl_status bdl__tensor_contiguous(const bdl_tensor *tensor, bdl_tensor **out);
bdl_status bdl__tensor_convert(const bdl_tensor *tensor, bdl_dtype dtype, bdl_tensor **out);
bdl_status bdl__tensor_copy(bdl_tensor *dst, const bdl_tensor *src);
bdl_status bdl__tensor_fill(bdl_tensor *tensor, double value);
/* Fails if several indices are the same element (expanded views). */
bdl_status bdl__tensor_check_writable(const bdl_tensor *tensor);
/* Whether writing to `dst` could change what is read later from `src`. */
bool bdl__tensor_overlaps(const bdl_tensor *dst, const bdl_tensor *src);

/* ---- math.c -------------------------------------------------------------------------------- */

/* The order is that of the tables in loops.inc. */
typedef enum bdl__binary_op {
    BDL__ADD, BDL__SUB, BDL__MUL, BDL__DIV, BDL__POW, BDL__MAXIMUM, BDL__MINIMUM,
    BDL__EQ, BDL__NE, BDL__LT, BDL__LE, BDL__GT, BDL__GE /* from here on the result is u8 */
} bdl__binary_op;

typedef enum bdl__unary_op {
    BDL__NEG, BDL__ABS, BDL__EXP, BDL__LOG, BDL__SQRT, BDL__TANH, BDL__SIGMOID
} bdl__unary_op;

bdl_status bdl__tensor_binary(bdl__binary_op op, const bdl_tensor *a, const bdl_tensor *b,
                              bdl_tensor **out);
bdl_status bdl__tensor_binary_value(bdl__binary_op op, const bdl_tensor *a, double value,
                                    bdl_tensor **out);
bdl_status bdl__tensor_binary_in_place(bdl__binary_op op, bdl_tensor *dst, const bdl_tensor *src);
bdl_status bdl__tensor_unary(bdl__unary_op op, const bdl_tensor *tensor, bdl_tensor **out);
bdl_status bdl__tensor_clamp(const bdl_tensor *tensor, double least, double most, bdl_tensor **out);
bdl_status bdl__tensor_equal(const bdl_tensor *a, const bdl_tensor *b, bool *result);
bdl_status bdl__tensor_all_close(const bdl_tensor *a, const bdl_tensor *b, double rtol, double atol,
                                 bool *result);

/* ---- matmul.c ------------------------------------------------------------------------------ */

bdl_status bdl__tensor_matmul(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
bdl_status bdl__tensor_dot(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);

/* ---- reduce.c ------------------------------------------------------------------------------ */

typedef enum bdl__reduce_op {
    BDL__SUM, BDL__MEAN, BDL__MAX_OF, BDL__MIN_OF, BDL__ARGMAX, BDL__ARGMIN, BDL__NORM, BDL__VAR,
    BDL__STD
} bdl__reduce_op;

/* `number`: p of the norm, correction of the variance. */
bdl_status bdl__tensor_reduce(bdl__reduce_op op, double number, const bdl_tensor *tensor,
                              int32_t axis, bool keep_dims, bdl_tensor **out);

/* ---- print.c, dlpack.c --------------------------------------------------------------------- */

void bdl__tensor_print(const bdl_tensor *tensor, bdl__text *text);
bdl_status bdl__tensor_to_dlpack(const bdl_tensor *tensor, struct DLManagedTensor **out);
bdl_status bdl__tensor_take_dlpack(const bdl_allocator *allocator, struct DLManagedTensor *managed,
                                   bdl_tensor **out);

#endif
