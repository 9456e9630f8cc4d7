/* SPDX-License-Identifier: Apache-2.0 */
/* Copies, conversions and fills, and what may overlap in memory. */
#include <inttypes.h>

#include "tensor/loops.h"
#include "tensor/walk.h"

/* ---- overlap ------------------------------------------------------------------------------- */

bdl_status bdl__tensor_check_writable(const bdl_tensor *tensor)
{
    for (int32_t i = 0; i < tensor->shape.rank; i++) {
        BDL__CHECK(
            tensor->stride[i] != 0 || tensor->shape.dim[i] == 1, BDL_ERR_INVALID_ARGUMENT,
            "expected a tensor whose elements are all different to write to, got an expanded "
            "view (axis %" PRId32 ")",
            i);
    }
    return BDL_OK;
}

/* The bytes that a tensor reaches: [*first, *end). */
static void extent(const bdl_tensor *tensor, uintptr_t *first, uintptr_t *end)
{
    const int64_t size = (int64_t)bdl__dtype_size(tensor->dtype);
    int64_t before = 0;
    int64_t behind = size;
    for (int32_t i = 0; i < tensor->shape.rank; i++) {
        const int64_t reach = (tensor->shape.dim[i] - 1) * tensor->stride[i] * size;
        before += BDL__MIN(reach, 0);
        behind += BDL__MAX(reach, 0);
    }
    *first = (uintptr_t)tensor->data + (uintptr_t)before;
    *end = (uintptr_t)tensor->data + (uintptr_t)behind;
}

static bool is_same_view(const bdl_tensor *a, const bdl_tensor *b)
{
    if (a->data != b->data || a->dtype != b->dtype || !bdl__shape_equal(&a->shape, &b->shape)) {
        return false;
    }
    for (int32_t i = 0; i < a->shape.rank; i++) {
        if (a->shape.dim[i] != 1 && a->stride[i] != b->stride[i]) {
            return false;
        }
    }
    return true;
}

bool bdl__tensor_overlaps(const bdl_tensor *dst, const bdl_tensor *src)
{
    uintptr_t first_dst = 0;
    uintptr_t end_dst = 0;
    uintptr_t first_src = 0;
    uintptr_t end_src = 0;
    extent(dst, &first_dst, &end_dst);
    extent(src, &first_src, &end_src);
    /* The same view is safe: each element is read before it is written. */
    return first_dst < end_src && first_src < end_dst && !is_same_view(dst, src);
}

/* ---- copying ------------------------------------------------------------------------------- */

typedef struct conversion {
    bdl_dtype from, to;
} conversion;

static bool convert_run(void *arg, int64_t n, char *const at[], const int64_t step[])
{
    const conversion *const types = arg;
    return bdl__loops_of(types->from)->convert(types->to, n, at, step);
}

/* dst = src, which broadcasts to it and does not overlap it. */
static bdl_status convert_into(bdl_tensor *dst, const bdl_tensor *src)
{
    bdl__walk walk;
    conversion types = {.from = src->dtype, .to = dst->dtype};
    bdl__walk_init(&walk, &dst->shape);
    (void)bdl__walk_add(&walk, dst);
    (void)bdl__walk_add(&walk, src);
    BDL__CHECK(bdl__walk_run(&walk, convert_run, &types), BDL_ERR_NUMERIC,
               "expected numbers that %s can hold, got one that is too large or not a number",
               bdl__dtype_name(dst->dtype));
    return BDL_OK;
}

bdl_status bdl__tensor_convert(const bdl_tensor *tensor, bdl_dtype dtype, bdl_tensor **out)
{
    bdl_tensor *made = NULL;
    BDL__TRY(bdl__tensor_like(tensor, dtype, &tensor->shape, &made));
    const bdl_status status = convert_into(made, tensor);
    if (status != BDL_OK) {
        bdl__tensor_free(made);
        return status;
    }
    *out = made;
    return BDL_OK;
}

bdl_status bdl__tensor_contiguous(const bdl_tensor *tensor, bdl_tensor **out)
{
    return bdl__tensor_is_contiguous(tensor) ? bdl__tensor_share(tensor, out)
                                             : bdl__tensor_convert(tensor, tensor->dtype, out);
}

bdl_status bdl__tensor_copy(bdl_tensor *dst, const bdl_tensor *src)
{
    int64_t stride[BDL_MAX_RANK];
    BDL__TRY(bdl__tensor_check_writable(dst));
    if (!bdl__broadcast_strides(src, &dst->shape, stride)) {
        char found[BDL__SHAPE_TEXT_SIZE];
        char wanted[BDL__SHAPE_TEXT_SIZE];
        BDL__FAIL(BDL_ERR_SHAPE, "copy: expected a shape that broadcasts to %s, got %s",
                  bdl__shape_text(&dst->shape, wanted, sizeof wanted),
                  bdl__shape_text(&src->shape, found, sizeof found));
    }
    const bool may_fail = bdl__dtype_is_float(src->dtype) && !bdl__dtype_is_float(dst->dtype);
    if (!may_fail && !bdl__tensor_overlaps(dst, src)) {
        return convert_into(dst, src);
    }
    bdl_tensor *converted = NULL;
    BDL__TRY(bdl__tensor_convert(src, dst->dtype, &converted));
    const bdl_status status = convert_into(dst, converted);
    bdl__tensor_free(converted);
    return status;
}

bdl_status bdl__tensor_fill(bdl_tensor *tensor, double value)
{
    bdl__element element = {0};
    bdl_tensor single = {.dtype = tensor->dtype, .data = (char *)&element};
    BDL__TRY(bdl__tensor_check_writable(tensor));
    BDL__TRY(bdl__value_check(tensor->dtype, value));
    bdl__value_store(tensor->dtype, value, &element);
    return convert_into(tensor, &single);
}
