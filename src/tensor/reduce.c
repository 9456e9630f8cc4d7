/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions: one number from all elements, or from each line along an axis. */
#include <math.h>

#include "tensor/loops.h"
#include "tensor/walk.h"

typedef struct reduction {
    const bdl__loops *loops;
    bdl__reduce_op op;
    double number;
    int64_t n;    /* elements of a line */
    int64_t step; /* bytes from one to the next */
} reduction;

/* at[0] are results, at[1] the lines' first elements. */
static bool reduce_run(void *arg, int64_t n, char *const at[], const int64_t step[])
{
    const reduction *const r = arg;
    for (int64_t i = 0; i < n; i++) {
        r->loops->reduce(r->op, r->number, r->n, at[1] + i * step[1], r->step,
                         at[0] + i * step[0]);
    }
    return true;
}

static bdl_status result_type(bdl__reduce_op op, double number, bdl_dtype dtype, bdl_dtype *result)
{
    *result = dtype;
    switch (op) {
    case BDL__SUM:
        *result = bdl__dtype_is_float(dtype) ? dtype : BDL_I64;
        return BDL_OK;
    case BDL__ARGMAX:
    case BDL__ARGMIN:
        *result = BDL_I64;
        return BDL_OK;
    case BDL__MAX_OF:
    case BDL__MIN_OF:
        return BDL_OK;
    case BDL__NORM:
        BDL__CHECK(number >= 0, BDL_ERR_INVALID_ARGUMENT, "norm: expected p from 0 on, got %g",
                   number);
        break;
    case BDL__MEAN:
    case BDL__VAR:
    case BDL__STD:
        break;
    }
    BDL__CHECK(bdl__dtype_is_float(dtype), BDL_ERR_UNSUPPORTED,
               "mean, norm, var and std: expected a tensor of f32 or f64, got %s; convert it",
               bdl__dtype_name(dtype));
    return BDL_OK;
}

/* The shape without an axis, or with size 1 in its place. */
static bdl__shape reduced_shape(const bdl__shape *shape, int32_t axis, bool keep_dims)
{
    bdl__shape reduced = {0};
    for (int32_t i = 0; i < shape->rank; i++) {
        const bool goes = axis == BDL_ALL_AXES || i == axis;
        if (!goes || keep_dims) {
            reduced.dim[reduced.rank++] = goes ? 1 : shape->dim[i];
        }
    }
    return reduced;
}

/* `lines` is the tensor with size 1 on the reduced axis, `dst` has that shape. */
static void reduce_into(reduction *r, bdl_tensor *dst, const bdl_tensor *lines)
{
    bdl__walk walk;
    bdl__walk_init(&walk, &lines->shape);
    (void)bdl__walk_add(&walk, dst);
    (void)bdl__walk_add(&walk, lines);
    (void)bdl__walk_run(&walk, reduce_run, r);
}

static bdl_status reduce_axis(reduction *r, const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                              bdl_dtype dtype, bdl_tensor **out)
{
    const bdl__shape kept = reduced_shape(&tensor->shape, axis, true);
    const bdl__shape shape = reduced_shape(&tensor->shape, axis, keep_dims);
    bdl_tensor *made = NULL;
    bdl_tensor lines = *tensor;
    lines.shape = kept;
    r->n = tensor->shape.dim[axis];
    r->step = tensor->stride[axis] * (int64_t)bdl__dtype_size(tensor->dtype);
    BDL__TRY(bdl__tensor_like(tensor, dtype, &shape, &made));
    bdl_tensor dst = *made;
    dst.shape = kept;
    bdl__row_major(&kept, dst.stride);
    reduce_into(r, &dst, &lines);
    *out = made;
    return BDL_OK;
}

static bdl_status reduce_all(reduction *r, const bdl_tensor *tensor, bool keep_dims,
                             bdl_dtype dtype, bdl_tensor **out)
{
    const bdl__shape shape = reduced_shape(&tensor->shape, BDL_ALL_AXES, keep_dims);
    bdl_tensor *flat = NULL;
    bdl_tensor *made = NULL;
    BDL__TRY(bdl__tensor_contiguous(tensor, &flat));
    const bdl_status status = bdl__tensor_like(tensor, dtype, &shape, &made);
    if (status == BDL_OK) {
        r->loops->reduce(r->op, r->number, bdl__tensor_count(flat), flat->data,
                         (int64_t)bdl__dtype_size(flat->dtype), made->data);
        *out = made;
    }
    bdl__tensor_free(flat);
    return status;
}

bdl_status bdl__tensor_reduce(bdl__reduce_op op, double number, const bdl_tensor *tensor,
                              int32_t axis, bool keep_dims, bdl_tensor **out)
{
    bdl_dtype dtype = BDL_F32;
    reduction r = {.loops = bdl__loops_of(tensor->dtype), .op = op, .number = number};
    BDL__TRY(result_type(op, number, tensor->dtype, &dtype));
    if (axis == BDL_ALL_AXES) {
        return reduce_all(&r, tensor, keep_dims, dtype, out);
    }
    BDL__TRY(bdl__tensor_axis(tensor, axis, &axis));
    return reduce_axis(&r, tensor, axis, keep_dims, dtype, out);
}
