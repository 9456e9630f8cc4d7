/* SPDX-License-Identifier: Apache-2.0 */
/* The public tensor functions: arguments are checked for NULL, the rest is in src/tensor. */
#include <string.h>

#include "tensor/tensor.h"

/* The user's allocator, or the default one. */
static bdl_status choose_allocator(const bdl_allocator *given, const bdl_allocator **chosen)
{
    *chosen = given == NULL ? bdl__default_allocator() : given;
    BDL__CHECK((*chosen)->struct_size >= sizeof(bdl_allocator) && (*chosen)->alloc != NULL &&
                   (*chosen)->free != NULL,
               BDL_ERR_INVALID_ARGUMENT,
               "allocator: expected struct_size %zu, alloc and free, got struct_size %zu",
               sizeof(bdl_allocator), (*chosen)->struct_size);
    return BDL_OK;
}

/* ---- making tensors ------------------------------------------------------------------------ */

bdl_status bdl_tensor_create(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                             const int64_t *shape, const void *data, bdl_tensor **out)
{
    bdl__shape checked;
    bdl_tensor *made = NULL;
    BDL__TRY(bdl__need_arguments(out != NULL, __func__));
    BDL__TRY(choose_allocator(allocator, &allocator));
    BDL__TRY(bdl__dtype_check(dtype));
    BDL__TRY(bdl__shape_make(rank, shape, "tensor", &checked));
    BDL__TRY(bdl__tensor_new(allocator, dtype, &checked, &made));
    if (data != NULL) {
        memcpy(made->data, data, (size_t)bdl__tensor_count(made) * bdl__dtype_size(dtype));
    }
    *out = made;
    return BDL_OK;
}

bdl_status bdl_tensor_zeros(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                            const int64_t *shape, bdl_tensor **out)
{
    return bdl_tensor_create(allocator, dtype, rank, shape, NULL, out);
}

bdl_status bdl_tensor_ones(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                           const int64_t *shape, bdl_tensor **out)
{
    return bdl_tensor_full(allocator, dtype, rank, shape, 1, out);
}

bdl_status bdl_tensor_full(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                           const int64_t *shape, double value, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(out != NULL, __func__));
    BDL__TRY(bdl__dtype_check(dtype));
    BDL__TRY(bdl__value_check(dtype, value));
    BDL__TRY(bdl_tensor_create(allocator, dtype, rank, shape, NULL, out));
    return bdl__tensor_fill(*out, value); /* cannot fail any more */
}

bdl_status bdl_tensor_arange(const bdl_allocator *allocator, bdl_dtype dtype, double start,
                             double end, double step, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(out != NULL, __func__));
    BDL__TRY(choose_allocator(allocator, &allocator));
    return bdl__tensor_arange(allocator, dtype, start, end, step, out);
}

static bdl_status make_random(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                              const int64_t *shape, uint64_t seed, bool normal, bdl_tensor **out)
{
    bdl__shape checked;
    BDL__TRY(choose_allocator(allocator, &allocator));
    BDL__TRY(bdl__shape_make(rank, shape, "tensor", &checked));
    return bdl__tensor_random(allocator, dtype, &checked, seed, normal, out);
}

bdl_status bdl_tensor_rand(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                           const int64_t *shape, uint64_t seed, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(out != NULL, __func__));
    return make_random(allocator, dtype, rank, shape, seed, false, out);
}

bdl_status bdl_tensor_randn(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                            const int64_t *shape, uint64_t seed, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(out != NULL, __func__));
    return make_random(allocator, dtype, rank, shape, seed, true, out);
}

void bdl_tensor_free(bdl_tensor *tensor)
{
    bdl__tensor_free(tensor);
}

/* ---- looking at them ----------------------------------------------------------------------- */

bdl_dtype bdl_tensor_dtype(const bdl_tensor *tensor)
{
    return tensor->dtype;
}

int32_t bdl_tensor_rank(const bdl_tensor *tensor)
{
    return tensor->shape.rank;
}

const int64_t *bdl_tensor_shape(const bdl_tensor *tensor)
{
    return tensor->shape.dim;
}

const int64_t *bdl_tensor_strides(const bdl_tensor *tensor)
{
    return tensor->stride;
}

int64_t bdl_tensor_count(const bdl_tensor *tensor)
{
    return bdl__tensor_count(tensor);
}

void *bdl_tensor_data(const bdl_tensor *tensor)
{
    return tensor->data;
}

bool bdl_tensor_is_contiguous(const bdl_tensor *tensor)
{
    return bdl__tensor_is_contiguous(tensor);
}

bdl_status bdl_tensor_get(const bdl_tensor *tensor, const int64_t *index, double *value)
{
    void *element = NULL;
    BDL__TRY(bdl__need_arguments(tensor != NULL && value != NULL, __func__));
    BDL__TRY(bdl__tensor_element(tensor, index, &element));
    *value = bdl__value_load(tensor->dtype, element);
    return BDL_OK;
}

static bdl_status need_integers(const bdl_tensor *tensor, const char *function)
{
    BDL__CHECK(!bdl__dtype_is_float(tensor->dtype), BDL_ERR_UNSUPPORTED,
               "%s: expected a tensor of i32, i64 or u8, got %s", function,
               bdl__dtype_name(tensor->dtype));
    return BDL_OK;
}

bdl_status bdl_tensor_get_i64(const bdl_tensor *tensor, const int64_t *index, int64_t *value)
{
    void *element = NULL;
    BDL__TRY(bdl__need_arguments(tensor != NULL && value != NULL, __func__));
    BDL__TRY(need_integers(tensor, __func__));
    BDL__TRY(bdl__tensor_element(tensor, index, &element));
    *value = tensor->dtype == BDL_I64 ? *(const int64_t *)element
                                      : (int64_t)bdl__value_load(tensor->dtype, element);
    return BDL_OK;
}

bdl_status bdl_tensor_set(bdl_tensor *tensor, const int64_t *index, double value)
{
    void *element = NULL;
    BDL__TRY(bdl__need_arguments(tensor != NULL, __func__));
    BDL__TRY(bdl__tensor_check_writable(tensor));
    BDL__TRY(bdl__value_check(tensor->dtype, value));
    BDL__TRY(bdl__tensor_element(tensor, index, &element));
    bdl__value_store(tensor->dtype, value, element);
    return BDL_OK;
}

bdl_status bdl_tensor_set_i64(bdl_tensor *tensor, const int64_t *index, int64_t value)
{
    void *element = NULL;
    BDL__TRY(bdl__need_arguments(tensor != NULL, __func__));
    BDL__TRY(need_integers(tensor, __func__));
    if (tensor->dtype != BDL_I64) { /* a double holds all that fits */
        return bdl_tensor_set(tensor, index, (double)value);
    }
    BDL__TRY(bdl__tensor_check_writable(tensor));
    BDL__TRY(bdl__tensor_element(tensor, index, &element));
    *(int64_t *)element = value;
    return BDL_OK;
}

bdl_status bdl_tensor_to_text(const bdl_tensor *tensor, char *buffer, size_t size, size_t *length)
{
    bdl__text text;
    BDL__TRY(bdl__need_arguments(tensor != NULL && (buffer != NULL || size == 0), __func__));
    bdl__text_init(&text, &tensor->storage->allocator);
    bdl__tensor_print(tensor, &text);
    const bdl_status status = bdl__text_status(&text);
    if (status == BDL_OK && size > 0) {
        const size_t kept = BDL__MIN(text.size, size - 1);
        memcpy(buffer, bdl__text_get(&text), kept);
        buffer[kept] = '\0';
    }
    if (status == BDL_OK && length != NULL) {
        *length = text.size;
    }
    bdl__text_free(&text);
    return status;
}

/* ---- views --------------------------------------------------------------------------------- */

bdl_status bdl_tensor_narrow(const bdl_tensor *tensor, int32_t axis, int64_t begin, int64_t length,
                             bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_narrow(tensor, axis, begin, length, out);
}

bdl_status bdl_tensor_select(const bdl_tensor *tensor, int32_t axis, int64_t index,
                             bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_select(tensor, axis, index, out);
}

bdl_status bdl_tensor_transpose(const bdl_tensor *tensor, int32_t axis_a, int32_t axis_b,
                                bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_transpose(tensor, axis_a, axis_b, out);
}

bdl_status bdl_tensor_permute(const bdl_tensor *tensor, const int32_t *axes, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL && (axes != NULL || tensor->shape.rank == 0),
                  __func__));
    return bdl__tensor_permute(tensor, axes, out);
}

bdl_status bdl_tensor_view(const bdl_tensor *tensor, int32_t rank, const int64_t *shape,
                           bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_view(tensor, rank, shape, false, out);
}

bdl_status bdl_tensor_reshape(const bdl_tensor *tensor, int32_t rank, const int64_t *shape,
                              bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_view(tensor, rank, shape, true, out);
}

bdl_status bdl_tensor_expand(const bdl_tensor *tensor, int32_t rank, const int64_t *shape,
                             bdl_tensor **out)
{
    bdl__shape checked;
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    BDL__TRY(bdl__shape_make(rank, shape, "expand", &checked));
    return bdl__tensor_expand(tensor, &checked, out);
}

/* ---- copying ------------------------------------------------------------------------------- */

bdl_status bdl_tensor_contiguous(const bdl_tensor *tensor, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_contiguous(tensor, out);
}

bdl_status bdl_tensor_clone(const bdl_tensor *tensor, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_convert(tensor, tensor->dtype, out);
}

bdl_status bdl_tensor_convert(const bdl_tensor *tensor, bdl_dtype dtype, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_convert(tensor, dtype, out);
}

bdl_status bdl_tensor_copy(bdl_tensor *dst, const bdl_tensor *src)
{
    BDL__TRY(bdl__need_arguments(dst != NULL && src != NULL, __func__));
    return bdl__tensor_copy(dst, src);
}

bdl_status bdl_tensor_fill(bdl_tensor *tensor, double value)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL, __func__));
    return bdl__tensor_fill(tensor, value);
}

/* ---- arithmetic ---------------------------------------------------------------------------- */

static bdl_status binary(bdl__binary_op op, const bdl_tensor *a, const bdl_tensor *b,
                         bdl_tensor **out, const char *function)
{
    BDL__TRY(bdl__need_arguments(a != NULL && b != NULL && out != NULL, function));
    return bdl__tensor_binary(op, a, b, out);
}

bdl_status bdl_tensor_add(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__ADD, a, b, out, __func__);
}

bdl_status bdl_tensor_sub(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__SUB, a, b, out, __func__);
}

bdl_status bdl_tensor_mul(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__MUL, a, b, out, __func__);
}

bdl_status bdl_tensor_div(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__DIV, a, b, out, __func__);
}

bdl_status bdl_tensor_pow(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__POW, a, b, out, __func__);
}

bdl_status bdl_tensor_maximum(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__MAXIMUM, a, b, out, __func__);
}

bdl_status bdl_tensor_minimum(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__MINIMUM, a, b, out, __func__);
}

bdl_status bdl_tensor_eq(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__EQ, a, b, out, __func__);
}

bdl_status bdl_tensor_ne(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__NE, a, b, out, __func__);
}

bdl_status bdl_tensor_lt(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__LT, a, b, out, __func__);
}

bdl_status bdl_tensor_le(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__LE, a, b, out, __func__);
}

bdl_status bdl_tensor_gt(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__GT, a, b, out, __func__);
}

bdl_status bdl_tensor_ge(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    return binary(BDL__GE, a, b, out, __func__);
}

static bdl_status with_value(bdl__binary_op op, const bdl_tensor *tensor, double value,
                             bdl_tensor **out, const char *function)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, function));
    return bdl__tensor_binary_value(op, tensor, value, out);
}

bdl_status bdl_tensor_add_value(const bdl_tensor *tensor, double value, bdl_tensor **out)
{
    return with_value(BDL__ADD, tensor, value, out, __func__);
}

bdl_status bdl_tensor_sub_value(const bdl_tensor *tensor, double value, bdl_tensor **out)
{
    return with_value(BDL__SUB, tensor, value, out, __func__);
}

bdl_status bdl_tensor_mul_value(const bdl_tensor *tensor, double value, bdl_tensor **out)
{
    return with_value(BDL__MUL, tensor, value, out, __func__);
}

bdl_status bdl_tensor_div_value(const bdl_tensor *tensor, double value, bdl_tensor **out)
{
    return with_value(BDL__DIV, tensor, value, out, __func__);
}

bdl_status bdl_tensor_pow_value(const bdl_tensor *tensor, double value, bdl_tensor **out)
{
    return with_value(BDL__POW, tensor, value, out, __func__);
}

static bdl_status in_place(bdl__binary_op op, bdl_tensor *dst, const bdl_tensor *src,
                           const char *function)
{
    BDL__TRY(bdl__need_arguments(dst != NULL && src != NULL, function));
    return bdl__tensor_binary_in_place(op, dst, src);
}

bdl_status bdl_tensor_add_in_place(bdl_tensor *dst, const bdl_tensor *src)
{
    return in_place(BDL__ADD, dst, src, __func__);
}

bdl_status bdl_tensor_sub_in_place(bdl_tensor *dst, const bdl_tensor *src)
{
    return in_place(BDL__SUB, dst, src, __func__);
}

bdl_status bdl_tensor_mul_in_place(bdl_tensor *dst, const bdl_tensor *src)
{
    return in_place(BDL__MUL, dst, src, __func__);
}

bdl_status bdl_tensor_div_in_place(bdl_tensor *dst, const bdl_tensor *src)
{
    return in_place(BDL__DIV, dst, src, __func__);
}

static bdl_status unary(bdl__unary_op op, const bdl_tensor *tensor, bdl_tensor **out,
                        const char *function)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, function));
    return bdl__tensor_unary(op, tensor, out);
}

bdl_status bdl_tensor_neg(const bdl_tensor *tensor, bdl_tensor **out)
{
    return unary(BDL__NEG, tensor, out, __func__);
}

bdl_status bdl_tensor_abs(const bdl_tensor *tensor, bdl_tensor **out)
{
    return unary(BDL__ABS, tensor, out, __func__);
}

bdl_status bdl_tensor_exp(const bdl_tensor *tensor, bdl_tensor **out)
{
    return unary(BDL__EXP, tensor, out, __func__);
}

bdl_status bdl_tensor_log(const bdl_tensor *tensor, bdl_tensor **out)
{
    return unary(BDL__LOG, tensor, out, __func__);
}

bdl_status bdl_tensor_sqrt(const bdl_tensor *tensor, bdl_tensor **out)
{
    return unary(BDL__SQRT, tensor, out, __func__);
}

bdl_status bdl_tensor_tanh(const bdl_tensor *tensor, bdl_tensor **out)
{
    return unary(BDL__TANH, tensor, out, __func__);
}

bdl_status bdl_tensor_sigmoid(const bdl_tensor *tensor, bdl_tensor **out)
{
    return unary(BDL__SIGMOID, tensor, out, __func__);
}

bdl_status bdl_tensor_clamp(const bdl_tensor *tensor, double least, double most, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_clamp(tensor, least, most, out);
}

/* ---- products ------------------------------------------------------------------------------ */

bdl_status bdl_tensor_matmul(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(a != NULL && b != NULL && out != NULL, __func__));
    return bdl__tensor_matmul(a, b, out);
}

bdl_status bdl_tensor_dot(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(a != NULL && b != NULL && out != NULL, __func__));
    return bdl__tensor_dot(a, b, out);
}

/* ---- reductions ---------------------------------------------------------------------------- */

static bdl_status reduce(bdl__reduce_op op, double number, const bdl_tensor *tensor, int32_t axis,
                         bool keep_dims, bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, "bdl_tensor reduction"));
    return bdl__tensor_reduce(op, number, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_sum(const bdl_tensor *tensor, int32_t axis, bool keep_dims, bdl_tensor **out)
{
    return reduce(BDL__SUM, 0, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_mean(const bdl_tensor *tensor, int32_t axis, bool keep_dims, bdl_tensor **out)
{
    return reduce(BDL__MEAN, 0, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_max(const bdl_tensor *tensor, int32_t axis, bool keep_dims, bdl_tensor **out)
{
    return reduce(BDL__MAX_OF, 0, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_min(const bdl_tensor *tensor, int32_t axis, bool keep_dims, bdl_tensor **out)
{
    return reduce(BDL__MIN_OF, 0, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_argmax(const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                             bdl_tensor **out)
{
    return reduce(BDL__ARGMAX, 0, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_argmin(const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                             bdl_tensor **out)
{
    return reduce(BDL__ARGMIN, 0, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_norm(const bdl_tensor *tensor, double p, int32_t axis, bool keep_dims,
                           bdl_tensor **out)
{
    return reduce(BDL__NORM, p, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_var(const bdl_tensor *tensor, int64_t correction, int32_t axis,
                          bool keep_dims, bdl_tensor **out)
{
    return reduce(BDL__VAR, (double)correction, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_std(const bdl_tensor *tensor, int64_t correction, int32_t axis,
                          bool keep_dims, bdl_tensor **out)
{
    return reduce(BDL__STD, (double)correction, tensor, axis, keep_dims, out);
}

bdl_status bdl_tensor_equal(const bdl_tensor *a, const bdl_tensor *b, bool *result)
{
    BDL__TRY(bdl__need_arguments(a != NULL && b != NULL && result != NULL, __func__));
    return bdl__tensor_equal(a, b, result);
}

bdl_status bdl_tensor_all_close(const bdl_tensor *a, const bdl_tensor *b, double rtol, double atol,
                                bool *result)
{
    BDL__TRY(bdl__need_arguments(a != NULL && b != NULL && result != NULL, __func__));
    return bdl__tensor_all_close(a, b, rtol, atol, result);
}

/* ---- DLPack -------------------------------------------------------------------------------- */

bdl_status bdl_tensor_to_dlpack(const bdl_tensor *tensor, struct DLManagedTensor **out)
{
    BDL__TRY(bdl__need_arguments(tensor != NULL && out != NULL, __func__));
    return bdl__tensor_to_dlpack(tensor, out);
}

bdl_status bdl_tensor_take_dlpack(const bdl_allocator *allocator, struct DLManagedTensor *managed,
                                  bdl_tensor **out)
{
    BDL__TRY(bdl__need_arguments(managed != NULL && out != NULL, __func__));
    BDL__TRY(choose_allocator(allocator, &allocator));
    return bdl__tensor_take_dlpack(allocator, managed, out);
}
