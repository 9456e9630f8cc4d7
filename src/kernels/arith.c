/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, products, quotients and extremes of several tensors; inputs are combined in their order. */
#include "kernels/arith.h"

#include "kernels/real_math.h"

BDL__KERNEL_DECLARE(BDL__ARITH_KERNELS)

enum { LAST = BDL__ARITH_RANK - 1 };

/* Where row `i` of the output begins in a tensor with these strides. */
R_INLINE int64_t row(const bdl__arith_shape *shape, const int64_t *stride, int64_t i)
{
    int64_t offset = 0;
    for (int k = LAST - 1; k >= 0 && i > 0; k--) {
        offset += i % shape->dim[k] * stride[k];
        i /= shape->dim[k];
    }
    return offset;
}

R_INLINE real plus(real a, real b)
{
    return a + b;
}
R_INLINE real minus(real a, real b)
{
    return a - b;
}
R_INLINE real times(real a, real b)
{
    return a * b;
}
R_INLINE real over(real a, real b)
{
    return a / b;
}
/* Of equal ones the first; what is not a number wins. */
R_INLINE real maximum(real a, real b)
{
    return r_select((b > a) | r_is_nan(b), b, a);
}
R_INLINE real minimum(real a, real b)
{
    return r_select((b < a) | r_is_nan(b), b, a);
}

/* A row of the output: to[k] = a[k] op b[k]; `to` may be `a`. */
#define COMBINE(f)                                                                                 \
    static void row_##f(const real *a, int64_t a_stride, const real *b, int64_t b_stride,          \
                        real *to, int64_t n)                                                       \
    {                                                                                              \
        for (int64_t k = 0; k < n; k++) {                                                          \
            to[k] = f(a[k * a_stride], b[k * b_stride]);                                           \
        }                                                                                          \
    }
COMBINE(plus)
COMBINE(minus)
COMBINE(times)
COMBINE(over)
COMBINE(maximum)
COMBINE(minimum)

typedef void (*row_fn)(const real *a, int64_t a_stride, const real *b, int64_t b_stride, real *to,
                       int64_t n);

static row_fn row_function(int op)
{
    static const row_fn functions[] = {
        [BDL__ARITH_ADD] = row_plus, [BDL__ARITH_SUB] = row_minus,   [BDL__ARITH_MUL] = row_times,
        [BDL__ARITH_DIV] = row_over, [BDL__ARITH_MAX] = row_maximum, [BDL__ARITH_MIN] = row_minimum,
    };
    return functions[op];
}

void K(arith_forward)(int op, const bdl__arith_shape *shape, const real *const *src, real *dst,
                      int64_t begin, int64_t end)
{
    const row_fn combine = row_function(op);
    const int64_t n = shape->dim[LAST];
    for (int64_t i = begin; i < end; i++) {
        real *to = dst + row(shape, shape->dst_stride, i);
        const real *first = src[0] + row(shape, shape->src_stride[0], i);
        int64_t first_stride = shape->src_stride[0][LAST];
        if (shape->n_in == 1) {
            for (int64_t k = 0; k < n; k++) {
                to[k] = first[k * first_stride];
            }
        }
        for (int j = 1; j < shape->n_in; j++) {
            combine(first, first_stride, src[j] + row(shape, shape->src_stride[j], i),
                    shape->src_stride[j][LAST], to, n);
            first = to;
            first_stride = 1;
        }
    }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* One row as backward sees it. */
typedef struct row_view {
    const bdl__arith_shape *shape;
    const real *src[BDL__ARITH_INPUTS]; /* NULL where they are not read */
    const real *dst;
    const real *diff_dst;
    real *diff_src;
} row_view;

R_INLINE real input(const row_view *v, int j, int64_t k)
{
    return v->src[j][k * v->shape->src_stride[j][LAST]];
}

R_INLINE real mul_gradient(const row_view *v, int i_in, int64_t k)
{
    real g = v->diff_dst[k];
    for (int j = 0; j < v->shape->n_in; j++) {
        if (j != i_in) {
            g *= input(v, j, k);
        }
    }
    return g;
}

R_INLINE real div_gradient(const row_view *v, int i_in, int64_t k)
{
    const real b = input(v, 1, k);
    const real g = v->diff_dst[k] / b;
    return i_in == 0 ? g : -g * (input(v, 0, k) / b);
}

R_INLINE void store(real *to, real value, bool add)
{
    *to = add ? *to + value : value;
}

/* All of it goes to the first input that is the extreme. */
R_INLINE real extreme_gradient(const row_view *v, int i_in, int64_t k)
{
    const real y = v->dst[k];
    r_mask mine = input(v, i_in, k) == y;
    for (int j = 0; j < i_in; j++) {
        mine = mine & (input(v, j, k) != y);
    }
    return r_select(mine, v->diff_dst[k], R(0));
}

static void row_backward(int op, const row_view *v, int i_in, bool add)
{
    const int64_t n = v->shape->dim[LAST], stride = v->shape->src_stride[i_in][LAST];
    switch (op) {
    case BDL__ARITH_ADD:
        for (int64_t k = 0; k < n; k++) {
            store(&v->diff_src[k * stride], v->diff_dst[k], add);
        }
        break;
    case BDL__ARITH_SUB:
        for (int64_t k = 0; k < n; k++) {
            store(&v->diff_src[k * stride], i_in == 0 ? v->diff_dst[k] : -v->diff_dst[k], add);
        }
        break;
    case BDL__ARITH_MUL:
        for (int64_t k = 0; k < n; k++) {
            store(&v->diff_src[k * stride], mul_gradient(v, i_in, k), add);
        }
        break;
    case BDL__ARITH_DIV:
        for (int64_t k = 0; k < n; k++) {
            store(&v->diff_src[k * stride], div_gradient(v, i_in, k), add);
        }
        break;
    default:
        for (int64_t k = 0; k < n; k++) {
            store(&v->diff_src[k * stride], extreme_gradient(v, i_in, k), add);
        }
        break;
    }
}

void K(arith_backward)(int op, const bdl__arith_shape *shape, int i_in, const real *const *src,
                       const real *dst, const real *diff_dst, real *diff_src, int64_t begin,
                       int64_t end, bool add)
{
    const bool reads_src = op != BDL__ARITH_ADD && op != BDL__ARITH_SUB;
    const bool reads_dst = op == BDL__ARITH_MAX || op == BDL__ARITH_MIN;
    row_view v = {.shape = shape};
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = row(shape, shape->dst_stride, i);
        for (int j = 0; j < shape->n_in && reads_src; j++) {
            v.src[j] = src[j] + row(shape, shape->src_stride[j], i);
        }
        v.dst = reads_dst ? dst + at : NULL;
        v.diff_dst = diff_dst + at;
        v.diff_src = diff_src + row(shape, shape->src_stride[i_in], i);
        row_backward(op, &v, i_in, add);
    }
}

BDL__KERNEL_TABLE(arith, BDL__ARITH_KERNELS)
