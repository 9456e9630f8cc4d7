/* SPDX-License-Identifier: Apache-2.0 */
/* Views: new shapes and strides over the same storage, and broadcasting. */
#include <inttypes.h>

#include "tensor/tensor.h"

static int64_t byte_offset(const bdl_tensor *tensor, int64_t n_elements)
{
    return n_elements * (int64_t)bdl__dtype_size(tensor->dtype);
}

bdl_status bdl__tensor_narrow(const bdl_tensor *tensor, int32_t axis, int64_t begin, int64_t length,
                              bdl_tensor **out)
{
    bdl_tensor header = *tensor;
    BDL__TRY(bdl__tensor_axis(tensor, axis, &axis));
    const int64_t dim = tensor->shape.dim[axis];
    const int64_t first = begin < 0 ? begin + dim : begin;
    BDL__CHECK(first >= 0 && first < dim && length >= 1 && length <= dim - first,
               BDL_ERR_INVALID_ARGUMENT,
               "narrow: expected 1 or more of the %" PRId64 " indices of axis %" PRId32
               ", got %" PRId64 " from %" PRId64 " on",
               dim, axis, length, begin);
    header.shape.dim[axis] = length;
    header.data += byte_offset(tensor, first * tensor->stride[axis]);
    return bdl__tensor_share(&header, out);
}

bdl_status bdl__tensor_select(const bdl_tensor *tensor, int32_t axis, int64_t index,
                              bdl_tensor **out)
{
    bdl_tensor header = *tensor;
    BDL__TRY(bdl__tensor_axis(tensor, axis, &axis));
    const int64_t dim = tensor->shape.dim[axis];
    BDL__CHECK(index >= -dim && index < dim, BDL_ERR_INVALID_ARGUMENT,
               "select: expected an index of %" PRId64 " to %" PRId64 " for axis %" PRId32
               ", got %" PRId64,
               -dim, dim - 1, axis, index);
    header.data += byte_offset(tensor, (index < 0 ? index + dim : index) * tensor->stride[axis]);
    header.shape.rank--;
    for (int32_t i = axis; i < header.shape.rank; i++) {
        header.shape.dim[i] = tensor->shape.dim[i + 1];
        header.stride[i] = tensor->stride[i + 1];
    }
    return bdl__tensor_share(&header, out);
}

bdl_status bdl__tensor_permute(const bdl_tensor *tensor, const int32_t *axes, bdl_tensor **out)
{
    bdl_tensor header = *tensor;
    bool is_taken[BDL_MAX_RANK] = {false};
    for (int32_t i = 0; i < tensor->shape.rank; i++) {
        int32_t axis = 0;
        BDL__TRY(bdl__tensor_axis(tensor, axes[i], &axis));
        BDL__CHECK(!is_taken[axis], BDL_ERR_INVALID_ARGUMENT,
                   "permute: expected each axis once, got axis %" PRId32 " twice", axis);
        is_taken[axis] = true;
        header.shape.dim[i] = tensor->shape.dim[axis];
        header.stride[i] = tensor->stride[axis];
    }
    return bdl__tensor_share(&header, out);
}

bdl_status bdl__tensor_transpose(const bdl_tensor *tensor, int32_t axis_a, int32_t axis_b,
                                 bdl_tensor **out)
{
    bdl_tensor header = *tensor;
    BDL__TRY(bdl__tensor_axis(tensor, axis_a, &axis_a));
    BDL__TRY(bdl__tensor_axis(tensor, axis_b, &axis_b));
    header.shape.dim[axis_a] = tensor->shape.dim[axis_b];
    header.shape.dim[axis_b] = tensor->shape.dim[axis_a];
    header.stride[axis_a] = tensor->stride[axis_b];
    header.stride[axis_b] = tensor->stride[axis_a];
    return bdl__tensor_share(&header, out);
}

/* ---- another shape ------------------------------------------------------------------------- */

/* The dimension that stands for -1, given the product of the others; 0 if there is none. */
static int64_t missing_dim(int64_t count, int64_t known)
{
    return known > 0 && count % known == 0 ? count / known : 0;
}

static bdl_status fail_count(const bdl_tensor *tensor, int32_t rank, const int64_t *dims)
{
    char found[BDL__SHAPE_TEXT_SIZE];
    char wanted[BDL__SHAPE_TEXT_SIZE];
    bdl__shape shape = {.rank = rank};
    for (int32_t i = 0; i < rank; i++) {
        shape.dim[i] = dims[i];
    }
    return bdl__fail(BDL_ERR_SHAPE, "view: expected a shape of %" PRId64 " elements for %s, got %s",
                     bdl__tensor_count(tensor),
                     bdl__shape_text(&tensor->shape, found, sizeof found),
                     bdl__shape_text(&shape, wanted, sizeof wanted));
}

/* Replaces -1 and checks that the number of elements stays. */
static bdl_status resolve_shape(const bdl_tensor *tensor, int32_t rank, const int64_t *dims,
                                bdl__shape *shape)
{
    int32_t i_missing = -1;
    int64_t known = 1;
    int64_t resolved[BDL_MAX_RANK] = {0};
    BDL__CHECK(rank >= 0 && rank <= BDL_MAX_RANK && (rank == 0 || dims != NULL), BDL_ERR_SHAPE,
               "view: expected 0 to %d dimensions, got %" PRId32, BDL_MAX_RANK, rank);
    for (int32_t i = 0; i < rank; i++) {
        resolved[i] = dims[i];
        if (dims[i] == -1) {
            BDL__CHECK(i_missing < 0, BDL_ERR_SHAPE, "view: expected at most one -1, got two");
            i_missing = i;
        } else if (!bdl__mul_i64(known, dims[i], &known)) {
            return fail_count(tensor, rank, dims);
        }
    }
    if (i_missing >= 0) {
        resolved[i_missing] = missing_dim(bdl__tensor_count(tensor), known);
        known *= resolved[i_missing];
    }
    if (known != bdl__tensor_count(tensor)) {
        return fail_count(tensor, rank, dims);
    }
    return bdl__shape_make(rank, resolved, "view", shape);
}

/* The tensor's axes, without those of size 1 and with neighbours joined where they lie in memory
 * like one axis. */
static bdl_tensor joined_axes(const bdl_tensor *tensor)
{
    bdl_tensor joined = {.dtype = tensor->dtype};
    int32_t n = 0;
    for (int32_t i = 0; i < tensor->shape.rank; i++) {
        const int64_t dim = tensor->shape.dim[i];
        const int64_t stride = tensor->stride[i];
        if (dim == 1) {
            continue;
        }
        if (n > 0 && joined.stride[n - 1] == dim * stride) {
            joined.shape.dim[n - 1] *= dim;
            joined.stride[n - 1] = stride;
            continue;
        }
        joined.shape.dim[n] = dim;
        joined.stride[n] = stride;
        n++;
    }
    joined.shape.rank = n;
    return joined;
}

/* Strides of `shape` over the same elements: each joined axis must be covered by whole new axes.
 * False if the strides do not allow it. */
static bool view_strides(const bdl_tensor *tensor, const bdl__shape *shape,
                         int64_t stride[BDL_MAX_RANK])
{
    const bdl_tensor old = joined_axes(tensor);
    int32_t i_new = shape->rank - 1;
    for (int32_t i = old.shape.rank - 1; i >= 0; i--) {
        int64_t covered = 1;
        for (; i_new >= 0 && covered < old.shape.dim[i]; i_new--) {
            stride[i_new] = old.stride[i] * covered;
            covered *= shape->dim[i_new];
        }
        if (covered != old.shape.dim[i]) {
            return false;
        }
    }
    for (; i_new >= 0; i_new--) { /* of size 1 */
        stride[i_new] = 1;
    }
    return true;
}

bdl_status bdl__tensor_view(const bdl_tensor *tensor, int32_t rank, const int64_t *dims,
                            bool may_copy, bdl_tensor **out)
{
    bdl__shape shape;
    BDL__TRY(resolve_shape(tensor, rank, dims, &shape));
    bdl_tensor header = *tensor;
    header.shape = shape;
    if (view_strides(tensor, &shape, header.stride)) {
        return bdl__tensor_share(&header, out);
    }
    BDL__CHECK(may_copy, BDL_ERR_SHAPE,
               "view: the strides do not allow that shape without a copy; use reshape");
    bdl_tensor *made = NULL;
    BDL__TRY(bdl__tensor_convert(tensor, tensor->dtype, &made));
    made->shape = shape;
    bdl__row_major(&shape, made->stride);
    *out = made;
    return BDL_OK;
}

/* ---- broadcasting -------------------------------------------------------------------------- */

bool bdl__broadcast_strides(const bdl_tensor *tensor, const bdl__shape *shape,
                            int64_t stride[BDL_MAX_RANK])
{
    const int32_t n_missing = shape->rank - tensor->shape.rank;
    if (n_missing < 0) {
        return false;
    }
    for (int32_t i = 0; i < shape->rank; i++) {
        const int32_t axis = i - n_missing;
        const int64_t dim = axis < 0 ? 1 : tensor->shape.dim[axis];
        if (dim != shape->dim[i] && dim != 1) {
            return false;
        }
        stride[i] = dim == 1 ? 0 : tensor->stride[axis];
    }
    return true;
}

bdl_status bdl__broadcast_shape(const bdl__shape *a, const bdl__shape *b, const char *what,
                                bdl__shape *shape)
{
    bdl__shape made = {.rank = BDL__MAX(a->rank, b->rank)};
    for (int32_t i = 1; i <= made.rank; i++) {
        const int64_t dim_a = i <= a->rank ? a->dim[a->rank - i] : 1;
        const int64_t dim_b = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (dim_a != dim_b && dim_a != 1 && dim_b != 1) {
            char text_a[BDL__SHAPE_TEXT_SIZE];
            char text_b[BDL__SHAPE_TEXT_SIZE];
            BDL__FAIL(BDL_ERR_SHAPE, "%s: expected shapes that broadcast, got %s and %s", what,
                      bdl__shape_text(a, text_a, sizeof text_a),
                      bdl__shape_text(b, text_b, sizeof text_b));
        }
        made.dim[made.rank - i] = BDL__MAX(dim_a, dim_b);
    }
    BDL__TRY(bdl__shape_check(&made, what));
    *shape = made;
    return BDL_OK;
}

bdl_status bdl__tensor_expand(const bdl_tensor *tensor, const bdl__shape *shape, bdl_tensor **out)
{
    bdl_tensor header = *tensor;
    if (!bdl__broadcast_strides(tensor, shape, header.stride)) {
        char found[BDL__SHAPE_TEXT_SIZE];
        char wanted[BDL__SHAPE_TEXT_SIZE];
        BDL__FAIL(BDL_ERR_SHAPE, "expand: expected a shape that %s broadcasts to, got %s",
                  bdl__shape_text(&tensor->shape, found, sizeof found),
                  bdl__shape_text(shape, wanted, sizeof wanted));
    }
    header.shape = *shape;
    return bdl__tensor_share(&header, out);
}
