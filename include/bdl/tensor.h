/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensor.h: tensors, included by bdl.h.
 *
 * A bdl_tensor is a view of a storage: element type, shape, strides, first element. Views (narrow,
 * select, transpose ...) share the storage and keep it alive; each has to be freed. Functions whose
 * result is `out` make a new tensor and leave their arguments alone.
 *
 * Rules for all functions here:
 * - Types are BDL_F32, BDL_F64, BDL_I32, BDL_I64, BDL_U8. Arguments of one operation have the same
 *   type (bdl_tensor_convert changes it), and shapes that broadcast as in NumPy and PyTorch:
 *   aligned at the last axis, a missing axis or one of size 1 is repeated. Dimensions are at least
 *   1, at most 2^40 elements in all; rank 0 is a single number. Integer arithmetic wraps around.
 * - Errors: BDL_ERR_INVALID_ARGUMENT (NULL, bad axis, index or value), BDL_ERR_SHAPE (shapes that
 *   do not fit), BDL_ERR_UNSUPPORTED (an element type that the operation does not take),
 *   BDL_ERR_OUT_OF_MEMORY; others where named. The text says what was expected and what was found.
 *   Nothing is changed then.
 * - Threads: any thread may use any tensor; calls that write to elements must not run at the same
 *   time as others on the same storage. Views may be made and freed by several threads at once.
 */
#ifndef BDL_TENSOR_H
#define BDL_TENSOR_H

#include <bdl/bdl.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A strided view of typed elements. @since 0.1 */
typedef struct bdl_tensor bdl_tensor;

/** As axis of a reduction: all axes at once. @since 0.1 */
#define BDL_ALL_AXES INT32_MIN

/* ---- making tensors ------------------------------------------------------------------------ */

/**
 * Makes a contiguous tensor. `allocator` [nullable: malloc and free] gives its memory and that of
 * all that is made from it; the struct is copied. `shape` has `rank` dimensions (0 ..
 * BDL_MAX_RANK). `data` [nullable: zeros] has the elements in row-major order; they are copied.
 * @since 0.1
 */
BDL_API bdl_status bdl_tensor_create(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                                     const int64_t *shape, const void *data, bdl_tensor **out);
/** Makes a tensor of zeros. Arguments as in bdl_tensor_create. @since 0.1 */
BDL_API bdl_status bdl_tensor_zeros(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                                    const int64_t *shape, bdl_tensor **out);
/** Makes a tensor of ones. Arguments as in bdl_tensor_create. @since 0.1 */
BDL_API bdl_status bdl_tensor_ones(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                                   const int64_t *shape, bdl_tensor **out);
/** Makes a tensor whose elements are all `value`, which an integer type must hold exactly.
 * @since 0.1 */
BDL_API bdl_status bdl_tensor_full(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                                   const int64_t *shape, double value, bdl_tensor **out);
/**
 * Makes the row start, start + step, start + 2 * step ... up to but without `end`: ceil((end -
 * start) / step) elements, at least one. `step` may be negative but not 0. @since 0.1
 */
BDL_API bdl_status bdl_tensor_arange(const bdl_allocator *allocator, bdl_dtype dtype, double start,
                                     double end, double step, bdl_tensor **out);
/** Fills a new BDL_F32 or BDL_F64 tensor evenly from [0, 1). The same seed gives the same elements
 * on every machine. @since 0.1 */
BDL_API bdl_status bdl_tensor_rand(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                                   const int64_t *shape, uint64_t seed, bdl_tensor **out);
/** The same with normal numbers of mean 0 and variance 1. @since 0.1 */
BDL_API bdl_status bdl_tensor_randn(const bdl_allocator *allocator, bdl_dtype dtype, int32_t rank,
                                    const int64_t *shape, uint64_t seed, bdl_tensor **out);
/** Frees a tensor [nullable]; its storage goes with the last view. @since 0.1 */
BDL_API void bdl_tensor_free(bdl_tensor *tensor);

/* ---- looking at them ----------------------------------------------------------------------- */

/** Element type. @since 0.1 */
BDL_API bdl_dtype bdl_tensor_dtype(const bdl_tensor *tensor);
/** Number of axes, 0 .. BDL_MAX_RANK. @since 0.1 */
BDL_API int32_t bdl_tensor_rank(const bdl_tensor *tensor);
/** The dimensions, `rank` of them [borrowed]. @since 0.1 */
BDL_API const int64_t *bdl_tensor_shape(const bdl_tensor *tensor);
/** Elements from one index of an axis to the next, `rank` of them [borrowed]. @since 0.1 */
BDL_API const int64_t *bdl_tensor_strides(const bdl_tensor *tensor);
/** Number of elements. @since 0.1 */
BDL_API int64_t bdl_tensor_count(const bdl_tensor *tensor);
/** The first element [borrowed]; the others follow by the strides. @since 0.1 */
BDL_API void *bdl_tensor_data(const bdl_tensor *tensor);
/** Whether the elements lie one after another in row-major order. @since 0.1 */
BDL_API bool bdl_tensor_is_contiguous(const bdl_tensor *tensor);
/** Reads the element at `index` (`rank` numbers; NULL for rank 0) as a double. @since 0.1 */
BDL_API bdl_status bdl_tensor_get(const bdl_tensor *tensor, const int64_t *index, double *value);
/** The same for integer types, whole. @since 0.1 */
BDL_API bdl_status bdl_tensor_get_i64(const bdl_tensor *tensor, const int64_t *index,
                                      int64_t *value);
/** Writes one element; an integer type must hold `value` exactly. @since 0.1 */
BDL_API bdl_status bdl_tensor_set(bdl_tensor *tensor, const int64_t *index, double value);
/** The same for integer types, whole. @since 0.1 */
BDL_API bdl_status bdl_tensor_set_i64(bdl_tensor *tensor, const int64_t *index, int64_t value);
/**
 * Prints in Torch's form: rows of aligned columns, a common factor or powers of ten where
 * magnitudes differ, one matrix after another for higher ranks, and at last "[bdl.DoubleTensor of
 * size 2x2]". Above 1,000 elements only both ends of long axes are shown. Writes at most `size`
 * bytes to `buffer` [nullable with size 0], the last one 0; `length` [nullable] becomes the whole
 * text's length without the 0.
 * @since 0.1
 */
BDL_API bdl_status bdl_tensor_to_text(const bdl_tensor *tensor, char *buffer, size_t size,
                                      size_t *length);

/* ---- views --------------------------------------------------------------------------------- */

/** View of `length` indices of an axis from `begin` on. @since 0.1 */
BDL_API bdl_status bdl_tensor_narrow(const bdl_tensor *tensor, int32_t axis, int64_t begin,
                                     int64_t length, bdl_tensor **out);
/** View of one index of an axis, which disappears. @since 0.1 */
BDL_API bdl_status bdl_tensor_select(const bdl_tensor *tensor, int32_t axis, int64_t index,
                                     bdl_tensor **out);
/** View with two axes exchanged. @since 0.1 */
BDL_API bdl_status bdl_tensor_transpose(const bdl_tensor *tensor, int32_t axis_a, int32_t axis_b,
                                        bdl_tensor **out);
/** View with the axes in another order: axis i of the view is axis `axes[i]`. @since 0.1 */
BDL_API bdl_status bdl_tensor_permute(const bdl_tensor *tensor, const int32_t *axes,
                                      bdl_tensor **out);
/** View of another shape with as many elements in the same order; one dimension may be -1. Fails
 * with BDL_ERR_SHAPE where strides do not allow it (bdl_tensor_reshape copies then). @since 0.1 */
BDL_API bdl_status bdl_tensor_view(const bdl_tensor *tensor, int32_t rank, const int64_t *shape,
                                   bdl_tensor **out);
/** As bdl_tensor_view where that is possible, else a copy. @since 0.1 */
BDL_API bdl_status bdl_tensor_reshape(const bdl_tensor *tensor, int32_t rank, const int64_t *shape,
                                      bdl_tensor **out);
/** View broadcast to a larger shape, with strides of 0. It can be read but not written.
 * @since 0.1 */
BDL_API bdl_status bdl_tensor_expand(const bdl_tensor *tensor, int32_t rank, const int64_t *shape,
                                     bdl_tensor **out);

/* ---- copying ------------------------------------------------------------------------------- */

/** A view of the same elements if they are contiguous, else a contiguous copy. @since 0.1 */
BDL_API bdl_status bdl_tensor_contiguous(const bdl_tensor *tensor, bdl_tensor **out);
/** A contiguous copy. @since 0.1 */
BDL_API bdl_status bdl_tensor_clone(const bdl_tensor *tensor, bdl_tensor **out);
/** A contiguous copy of another type. Floats lose their fraction; one that an integer type cannot
 * hold is BDL_ERR_NUMERIC. Integers wrap around. @since 0.1 */
BDL_API bdl_status bdl_tensor_convert(const bdl_tensor *tensor, bdl_dtype dtype, bdl_tensor **out);
/** Copies `src`, broadcast and converted as in bdl_tensor_convert, into the elements of `dst`. They
 * may overlap. @since 0.1 */
BDL_API bdl_status bdl_tensor_copy(bdl_tensor *dst, const bdl_tensor *src);
/** Sets all elements; an integer type must hold `value` exactly. @since 0.1 */
BDL_API bdl_status bdl_tensor_fill(bdl_tensor *tensor, double value);

/* ---- arithmetic, element by element -------------------------------------------------------- */

/** a + b. @since 0.1 */
BDL_API bdl_status bdl_tensor_add(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** a - b. @since 0.1 */
BDL_API bdl_status bdl_tensor_sub(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** a * b, element by element. @since 0.1 */
BDL_API bdl_status bdl_tensor_mul(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** a / b; integers are cut towards 0, and a divisor of 0 is BDL_ERR_NUMERIC. @since 0.1 */
BDL_API bdl_status bdl_tensor_div(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** a to the power of b; an integer's negative exponent is BDL_ERR_NUMERIC. @since 0.1 */
BDL_API bdl_status bdl_tensor_pow(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** The larger one; not a number where either is not. @since 0.1 */
BDL_API bdl_status bdl_tensor_maximum(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** The smaller one; not a number where either is not. @since 0.1 */
BDL_API bdl_status bdl_tensor_minimum(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);

/** tensor + value; an integer type must hold `value` exactly, here and in the next four.
 * @since 0.1 */
BDL_API bdl_status bdl_tensor_add_value(const bdl_tensor *tensor, double value, bdl_tensor **out);
/** tensor - value. @since 0.1 */
BDL_API bdl_status bdl_tensor_sub_value(const bdl_tensor *tensor, double value, bdl_tensor **out);
/** tensor * value. @since 0.1 */
BDL_API bdl_status bdl_tensor_mul_value(const bdl_tensor *tensor, double value, bdl_tensor **out);
/** tensor / value, as bdl_tensor_div. @since 0.1 */
BDL_API bdl_status bdl_tensor_div_value(const bdl_tensor *tensor, double value, bdl_tensor **out);
/** tensor to the power of value, as bdl_tensor_pow. @since 0.1 */
BDL_API bdl_status bdl_tensor_pow_value(const bdl_tensor *tensor, double value, bdl_tensor **out);

/** dst = dst + src, in place; src is broadcast to dst's shape, and they may overlap. @since 0.1 */
BDL_API bdl_status bdl_tensor_add_in_place(bdl_tensor *dst, const bdl_tensor *src);
/** dst = dst - src, in place. @since 0.1 */
BDL_API bdl_status bdl_tensor_sub_in_place(bdl_tensor *dst, const bdl_tensor *src);
/** dst = dst * src, in place. @since 0.1 */
BDL_API bdl_status bdl_tensor_mul_in_place(bdl_tensor *dst, const bdl_tensor *src);
/** dst = dst / src, in place, as bdl_tensor_div. @since 0.1 */
BDL_API bdl_status bdl_tensor_div_in_place(bdl_tensor *dst, const bdl_tensor *src);

/** 1 where a == b, else 0, as BDL_U8. @since 0.1 */
BDL_API bdl_status bdl_tensor_eq(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** 1 where a != b. @since 0.1 */
BDL_API bdl_status bdl_tensor_ne(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** 1 where a < b. @since 0.1 */
BDL_API bdl_status bdl_tensor_lt(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** 1 where a <= b. @since 0.1 */
BDL_API bdl_status bdl_tensor_le(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** 1 where a > b. @since 0.1 */
BDL_API bdl_status bdl_tensor_gt(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** 1 where a >= b. @since 0.1 */
BDL_API bdl_status bdl_tensor_ge(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);

/** -tensor. @since 0.1 */
BDL_API bdl_status bdl_tensor_neg(const bdl_tensor *tensor, bdl_tensor **out);
/** Absolute value. @since 0.1 */
BDL_API bdl_status bdl_tensor_abs(const bdl_tensor *tensor, bdl_tensor **out);
/** e to the power of tensor. This and the next four take BDL_F32 and BDL_F64. @since 0.1 */
BDL_API bdl_status bdl_tensor_exp(const bdl_tensor *tensor, bdl_tensor **out);
/** Natural logarithm. @since 0.1 */
BDL_API bdl_status bdl_tensor_log(const bdl_tensor *tensor, bdl_tensor **out);
/** Square root. @since 0.1 */
BDL_API bdl_status bdl_tensor_sqrt(const bdl_tensor *tensor, bdl_tensor **out);
/** Hyperbolic tangent. @since 0.1 */
BDL_API bdl_status bdl_tensor_tanh(const bdl_tensor *tensor, bdl_tensor **out);
/** 1 / (1 + exp(-tensor)). @since 0.1 */
BDL_API bdl_status bdl_tensor_sigmoid(const bdl_tensor *tensor, bdl_tensor **out);
/** min(max(tensor, least), most). An integer type takes infinite limits, and finite ones it holds
 * exactly; least must not be above most. @since 0.1 */
BDL_API bdl_status bdl_tensor_clamp(const bdl_tensor *tensor, double least, double most,
                                    bdl_tensor **out);

/* ---- products ------------------------------------------------------------------------------ */

/**
 * Matrix product over the last two axes, the axes before them broadcast:
 * (..., m, k) x (..., k, n) -> (..., m, n). A vector on the left is a row, on the right a column,
 * and that axis is left out of the result. Rank 0 is an error. @since 0.1
 */
BDL_API bdl_status bdl_tensor_matmul(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);
/** Sum of the products of two vectors of one length, as a tensor of rank 0. @since 0.1 */
BDL_API bdl_status bdl_tensor_dot(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out);

/* ---- reductions ---------------------------------------------------------------------------- */
/*
 * Over one axis, or over all with BDL_ALL_AXES. The axis disappears, or stays with size 1 if
 * keep_dims. Floats are added as doubles, in row-major order.
 */

/** Sum; of integers as BDL_I64. @since 0.1 */
BDL_API bdl_status bdl_tensor_sum(const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                                  bdl_tensor **out);
/** Mean, of floats. @since 0.1 */
BDL_API bdl_status bdl_tensor_mean(const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                                   bdl_tensor **out);
/** Largest element; not a number if one is not. @since 0.1 */
BDL_API bdl_status bdl_tensor_max(const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                                  bdl_tensor **out);
/** Smallest element; not a number if one is not. @since 0.1 */
BDL_API bdl_status bdl_tensor_min(const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                                  bdl_tensor **out);
/** Index of the first largest element (or first that is not a number) as BDL_I64; with BDL_ALL_AXES
 * its position in row-major order. @since 0.1 */
BDL_API bdl_status bdl_tensor_argmax(const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                                     bdl_tensor **out);
/** Index of the first smallest element, as bdl_tensor_argmax. @since 0.1 */
BDL_API bdl_status bdl_tensor_argmin(const bdl_tensor *tensor, int32_t axis, bool keep_dims,
                                     bdl_tensor **out);
/** (sum of |x|^p)^(1/p), of floats: p = 2 is the length, infinity the largest |x|, 0 counts what is
 * not 0. @since 0.1 */
BDL_API bdl_status bdl_tensor_norm(const bdl_tensor *tensor, double p, int32_t axis, bool keep_dims,
                                   bdl_tensor **out);
/** Variance, of floats: squared distances from the mean, divided by n - correction (1: of a sample,
 * 0: of a whole population). Not a number if that is not above 0. @since 0.1 */
BDL_API bdl_status bdl_tensor_var(const bdl_tensor *tensor, int64_t correction, int32_t axis,
                                  bool keep_dims, bdl_tensor **out);
/** Square root of bdl_tensor_var. @since 0.1 */
BDL_API bdl_status bdl_tensor_std(const bdl_tensor *tensor, int64_t correction, int32_t axis,
                                  bool keep_dims, bdl_tensor **out);

/** Whether type, shape and all elements are equal (nothing equals a NaN). @since 0.1 */
BDL_API bdl_status bdl_tensor_equal(const bdl_tensor *a, const bdl_tensor *b, bool *result);
/** Whether |a - b| <= atol + rtol * |b| everywhere, after broadcasting; infinities are close to
 *  themselves, a NaN to nothing. @since 0.1 */
BDL_API bdl_status bdl_tensor_all_close(const bdl_tensor *a, const bdl_tensor *b, double rtol,
                                        double atol, bool *result);

/* ---- DLPack -------------------------------------------------------------------------------- */

struct DLManagedTensor; /* in dlpack.h, which is not needed to compile this header */

/** Shares the elements by DLPack (github.com/dmlc/dlpack, ABI 0.x): `out` keeps the storage alive
 * until its consumer calls out->deleter(out). @since 0.1 */
BDL_API bdl_status bdl_tensor_to_dlpack(const bdl_tensor *tensor, struct DLManagedTensor **out);
/** Takes over a DLPack tensor in CPU memory without copying; its deleter is called when the last
 * view is freed. On failure it stays the caller's. @since 0.1 */
BDL_API bdl_status bdl_tensor_take_dlpack(const bdl_allocator *allocator,
                                          struct DLManagedTensor *managed, bdl_tensor **out);

#ifdef __cplusplus
}
#endif

#endif
