/* SPDX-License-Identifier: Apache-2.0 */
/* Storage and the making of tensors; single elements. */
#include "tensor/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "dlpack.h"

size_t bdl__dtype_size(bdl_dtype dtype)
{
    switch (dtype) {
    case BDL_F64:
    case BDL_I64:
        return 8;
    case BDL_F32:
    case BDL_I32:
        return 4;
    case BDL_BF16:
        return 2;
    case BDL_U8:
        return 1;
    }
    return 0;
}

const char *bdl__dtype_name(bdl_dtype dtype)
{
    switch (dtype) {
    case BDL_F32:
        return "f32";
    case BDL_F64:
        return "f64";
    case BDL_I32:
        return "i32";
    case BDL_I64:
        return "i64";
    case BDL_U8:
        return "u8";
    case BDL_BF16:
        return "bf16";
    }
    return "unknown";
}

bool bdl__dtype_is_float(bdl_dtype dtype)
{
    return dtype == BDL_F32 || dtype == BDL_F64;
}

bdl_status bdl__dtype_check(bdl_dtype dtype)
{
    BDL__CHECK(dtype != BDL_BF16, BDL_ERR_UNSUPPORTED,
               "tensors are of f32, f64, i32, i64 or u8, got bf16");
    BDL__CHECK(bdl__dtype_size(dtype) != 0, BDL_ERR_INVALID_ARGUMENT,
               "tensors are of f32, f64, i32, i64 or u8, got type number %d", (int)dtype);
    return BDL_OK;
}

/* ---- shapes and strides -------------------------------------------------------------------- */

bdl_status bdl__shape_make(int32_t rank, const int64_t *dims, const char *what, bdl__shape *shape)
{
    bdl__shape made = {.rank = rank};
    BDL__CHECK(rank >= 0 && rank <= BDL_MAX_RANK, BDL_ERR_SHAPE,
               "%s: the rank must be 0 to %d, got %" PRId32, what, BDL_MAX_RANK, rank);
    BDL__CHECK(rank == 0 || dims != NULL, BDL_ERR_INVALID_ARGUMENT,
               "%s: expected %" PRId32 " dimensions, got NULL", what, rank);
    for (int32_t i = 0; i < rank; i++) {
        made.dim[i] = dims[i];
    }
    BDL__TRY(bdl__shape_check(&made, what));
    *shape = made;
    return BDL_OK;
}

void bdl__row_major(const bdl__shape *shape, int64_t stride[BDL_MAX_RANK])
{
    int64_t step = 1;
    for (int32_t i = shape->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= shape->dim[i];
    }
}

int64_t bdl__tensor_count(const bdl_tensor *tensor)
{
    return bdl__shape_count(&tensor->shape);
}

bool bdl__tensor_is_contiguous(const bdl_tensor *tensor)
{
    int64_t step = 1;
    for (int32_t i = tensor->shape.rank - 1; i >= 0; i--) {
        if (tensor->shape.dim[i] != 1 && tensor->stride[i] != step) {
            return false;
        }
        step *= tensor->shape.dim[i];
    }
    return true;
}

bdl_status bdl__tensor_axis(const bdl_tensor *tensor, int32_t axis, int32_t *checked)
{
    const int32_t rank = tensor->shape.rank;
    BDL__CHECK(rank > 0, BDL_ERR_INVALID_ARGUMENT,
               "axis: expected a tensor that has axes, got one of rank 0 and axis %" PRId32, axis);
    BDL__CHECK(axis >= -rank && axis < rank, BDL_ERR_INVALID_ARGUMENT,
               "axis: expected %" PRId32 " to %" PRId32 " for rank %" PRId32 ", got %" PRId32,
               -rank, rank - 1, rank, axis);
    *checked = axis < 0 ? axis + rank : axis;
    return BDL_OK;
}

/* ---- storage ------------------------------------------------------------------------------- */

void bdl__storage_release(bdl__storage *storage)
{
    if (atomic_fetch_sub_explicit(&storage->n_users, 1, memory_order_acq_rel) != 1) {
        return;
    }
    const bdl_allocator allocator = storage->allocator;
    if (storage->managed == NULL) {
        bdl__free(&allocator, storage->data, storage->size);
    } else if (storage->managed->deleter != NULL) {
        storage->managed->deleter(storage->managed);
    }
    bdl__free(&allocator, storage, sizeof *storage);
}

bdl_status bdl__tensor_of_storage(bdl__storage *storage, const bdl_tensor *header, bdl_tensor **out)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(&storage->allocator, sizeof **out, &memory));
    bdl_tensor *const made = memory;
    *made = *header;
    made->storage = storage;
    *out = made;
    return BDL_OK;
}

bdl_status bdl__tensor_share(const bdl_tensor *header, bdl_tensor **out)
{
    atomic_fetch_add_explicit(&header->storage->n_users, 1, memory_order_relaxed);
    const bdl_status status = bdl__tensor_of_storage(header->storage, header, out);
    if (status != BDL_OK) {
        bdl__storage_release(header->storage);
    }
    return status;
}

void bdl__tensor_free(bdl_tensor *tensor)
{
    if (tensor != NULL) {
        bdl__storage *const storage = tensor->storage;
        const bdl_allocator allocator = storage->allocator;
        bdl__free(&allocator, tensor, sizeof *tensor);
        bdl__storage_release(storage);
    }
}

/* Storage of `size` zeroed bytes with one user. */
static bdl_status make_storage(const bdl_allocator *allocator, size_t size, bdl__storage **out)
{
    void *memory = NULL;
    void *data = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **out, &memory));
    const bdl_status status = bdl__alloc(allocator, size, &data);
    if (status != BDL_OK) {
        bdl__free(allocator, memory, sizeof **out);
        return status;
    }
    bdl__storage *const made = memory;
    made->allocator = *allocator;
    atomic_init(&made->n_users, 1);
    made->data = data;
    made->size = size;
    *out = made;
    return BDL_OK;
}

bdl_status bdl__tensor_new(const bdl_allocator *allocator, bdl_dtype dtype, const bdl__shape *shape,
                           bdl_tensor **out)
{
    size_t size = 0;
    bdl__storage *storage = NULL;
    BDL__TRY(bdl__dtype_check(dtype));
    if (!bdl__bytes_of(bdl__shape_count(shape), bdl__dtype_size(dtype), &size)) {
        return bdl__out_of_memory(SIZE_MAX);
    }
    BDL__TRY(make_storage(allocator, size, &storage));
    bdl_tensor header = {.dtype = dtype, .shape = *shape, .data = storage->data};
    bdl__row_major(shape, header.stride);
    const bdl_status status = bdl__tensor_of_storage(storage, &header, out);
    if (status != BDL_OK) {
        bdl__storage_release(storage);
    }
    return status;
}

bdl_status bdl__tensor_like(const bdl_tensor *like, bdl_dtype dtype, const bdl__shape *shape,
                            bdl_tensor **out)
{
    return bdl__tensor_new(&like->storage->allocator, dtype, shape, out);
}

/* ---- elements ------------------------------------------------------------------------------ */

/* The limits of the integer types; a double of 2^63 is just too large for i64. */
static bool fits(bdl_dtype dtype, double value)
{
    switch (dtype) {
    case BDL_I32:
        return value >= INT32_MIN && value <= INT32_MAX;
    case BDL_I64:
        return value >= -0x1p63 && value < 0x1p63;
    case BDL_U8:
        return value >= 0 && value <= UINT8_MAX;
    case BDL_F32:
    case BDL_F64:
    case BDL_BF16:
        return true;
    }
    return false;
}

bdl_status bdl__value_check(bdl_dtype dtype, double value)
{
    const bool is_exact =
        fits(dtype, value) && (bdl__dtype_is_float(dtype) || trunc(value) == value);
    BDL__CHECK(is_exact, BDL_ERR_INVALID_ARGUMENT, "expected a value that %s holds exactly, got %g",
               bdl__dtype_name(dtype), value);
    return BDL_OK;
}

void bdl__value_store(bdl_dtype dtype, double value, void *element)
{
    switch (dtype) {
    case BDL_F32:
        *(float *)element = (float)value;
        return;
    case BDL_F64:
        *(double *)element = value;
        return;
    case BDL_I32:
        *(int32_t *)element = (int32_t)value;
        return;
    case BDL_I64:
        *(int64_t *)element = (int64_t)value;
        return;
    case BDL_U8:
        *(uint8_t *)element = (uint8_t)value;
        return;
    case BDL_BF16:
        return;
    }
}

double bdl__value_load(bdl_dtype dtype, const void *element)
{
    switch (dtype) {
    case BDL_F32:
        return (double)*(const float *)element;
    case BDL_F64:
        return *(const double *)element;
    case BDL_I32:
        return *(const int32_t *)element;
    case BDL_I64:
        return (double)*(const int64_t *)element;
    case BDL_U8:
        return *(const uint8_t *)element;
    case BDL_BF16:
        return 0;
    }
    return 0;
}

bdl_status bdl__tensor_element(const bdl_tensor *tensor, const int64_t *index, void **element)
{
    int64_t offset = 0;
    BDL__CHECK(index != NULL || tensor->shape.rank == 0, BDL_ERR_INVALID_ARGUMENT,
               "expected an index of %" PRId32 " numbers, got NULL", tensor->shape.rank);
    for (int32_t i = 0; i < tensor->shape.rank; i++) {
        const int64_t dim = tensor->shape.dim[i];
        BDL__CHECK(index[i] >= -dim && index[i] < dim, BDL_ERR_INVALID_ARGUMENT,
                   "index of axis %" PRId32 ": expected %" PRId64 " to %" PRId64 ", got %" PRId64,
                   i, -dim, dim - 1, index[i]);
        offset += (index[i] < 0 ? index[i] + dim : index[i]) * tensor->stride[i];
    }
    *element = tensor->data + offset * (int64_t)bdl__dtype_size(tensor->dtype);
    return BDL_OK;
}

/* ---- filled tensors ------------------------------------------------------------------------ */

bdl_status bdl__tensor_arange(const bdl_allocator *allocator, bdl_dtype dtype, double start,
                              double end, double step, bdl_tensor **out)
{
    const double count = ceil((end - start) / step);
    BDL__TRY(bdl__dtype_check(dtype));
    BDL__CHECK(isfinite(start) && isfinite(end) && isfinite(step) && step != 0,
               BDL_ERR_INVALID_ARGUMENT,
               "arange: expected finite numbers and a step other than 0, got %g, %g and %g", start,
               end, step);
    BDL__CHECK(count >= 1 && count <= 0x1p40, BDL_ERR_SHAPE,
               "arange: expected 1 to 2^40 elements, got %g from %g to %g by %g",
               count < 0 ? 0 : count, start, end, step);
    const bdl__shape shape = {.rank = 1, .dim = {(int64_t)count}};
    BDL__TRY(bdl__value_check(dtype, start));
    BDL__TRY(bdl__value_check(dtype, step));
    BDL__TRY(bdl__value_check(dtype, start + (count - 1) * step));
    bdl_tensor *made = NULL;
    BDL__TRY(bdl__tensor_new(allocator, dtype, &shape, &made));
    const size_t size = bdl__dtype_size(dtype);
    for (int64_t i = 0; i < shape.dim[0]; i++) {
        bdl__value_store(dtype, start + (double)i * step, made->data + (size_t)i * size);
    }
    *out = made;
    return BDL_OK;
}

bdl_status bdl__tensor_random(const bdl_allocator *allocator, bdl_dtype dtype,
                              const bdl__shape *shape, uint64_t seed, bool normal, bdl_tensor **out)
{
    bdl__rng rng;
    bdl_tensor *made = NULL;
    BDL__CHECK(bdl__dtype_is_float(dtype), BDL_ERR_UNSUPPORTED,
               "random numbers: expected f32 or f64, got %s", bdl__dtype_name(dtype));
    BDL__TRY(bdl__tensor_new(allocator, dtype, shape, &made));
    bdl__rng_init(&rng, seed, BDL__RNG_TENSOR, 0, 0);
    const int64_t count = bdl__shape_count(shape);
    for (int64_t i = 0; i < count; i++) {
        const double value = normal ? bdl__rng_normal(&rng) : bdl__rng_uniform(&rng);
        if (dtype == BDL_F64) {
            ((double *)(void *)made->data)[i] = value;
        } else {
            /* 24 bits, so that rounding cannot reach 1. */
            ((float *)(void *)made->data)[i] =
                (float)(normal ? value : floor(value * 0x1p24) * 0x1p-24);
        }
    }
    *out = made;
    return BDL_OK;
}
