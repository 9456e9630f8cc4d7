/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax, softmin and log_softmax: the maximum is taken off first, so that the exponentials stay
 * within range. Sums run in the order of the axis.
 *
 *     softmax       y = e^(s x - m) / sum e^(s x - m)      dx = s y (dy - sum(y dy))
 *     log_softmax   y = (x - m) - log(sum e^(x - m))       dx = dy - e^y sum(dy)
 */
#include "kernels/softmax.h"

#include "kernels/real_math.h"

BDL__KERNEL_DECLARE(BDL__SOFTMAX_KERNELS)

/* Where column `i` begins. */
R_INLINE int64_t column(const bdl__softmax_shape *shape, int64_t i)
{
    return i / shape->inner * shape->n * shape->inner + i % shape->inner;
}

/* The largest of sign x. */
R_INLINE real largest(const real *x, scalar sign, int64_t n, int64_t stride)
{
    real m = sign * x[0];
    for (int64_t k = 1; k < n; k++) {
        m = r_max(m, sign * x[k * stride]);
    }
    return m;
}

R_INLINE void store(real *to, real value, bool add)
{
    *to = add ? *to + value : value;
}

void K(softmax_forward)(const bdl__softmax_shape *shape, double sign_in, const real *src, real *dst,
                        int64_t begin, int64_t end)
{
    const scalar sign = (scalar)sign_in;
    const int64_t n = shape->n, stride = shape->inner;
    for (int64_t i = begin; i < end; i++) {
        const real *x = src + column(shape, i);
        real *y = dst + column(shape, i);
        const real m = largest(x, sign, n, stride);
        real sum = R(0);
        for (int64_t k = 0; k < n; k++) {
            const real e = r_exp(sign * x[k * stride] - m);
            y[k * stride] = e;
            sum += e;
        }
        const real scale = R(1) / sum;
        for (int64_t k = 0; k < n; k++) {
            y[k * stride] *= scale;
        }
    }
}

void K(softmax_backward)(const bdl__softmax_shape *shape, double sign_in, const real *dst,
                         const real *diff_dst, real *diff_src, int64_t begin, int64_t end, bool add)
{
    const scalar sign = (scalar)sign_in;
    const int64_t n = shape->n, stride = shape->inner;
    for (int64_t i = begin; i < end; i++) {
        const real *y = dst + column(shape, i);
        const real *dy = diff_dst + column(shape, i);
        real *dx = diff_src + column(shape, i);
        real dot = R(0);
        for (int64_t k = 0; k < n; k++) {
            dot = r_fma(y[k * stride], dy[k * stride], dot);
        }
        for (int64_t k = 0; k < n; k++) {
            store(&dx[k * stride], sign * y[k * stride] * (dy[k * stride] - dot), add);
        }
    }
}

void K(log_softmax_forward)(const bdl__softmax_shape *shape, const real *src, real *dst,
                            int64_t begin, int64_t end)
{
    const int64_t n = shape->n, stride = shape->inner;
    for (int64_t i = begin; i < end; i++) {
        const real *x = src + column(shape, i);
        real *y = dst + column(shape, i);
        const real m = largest(x, 1, n, stride);
        real sum = R(0);
        for (int64_t k = 0; k < n; k++) {
            sum += r_exp(x[k * stride] - m);
        }
        const real log_sum = r_log(sum);
        for (int64_t k = 0; k < n; k++) {
            y[k * stride] = (x[k * stride] - m) - log_sum;
        }
    }
}

void K(log_softmax_backward)(const bdl__softmax_shape *shape, const real *dst, const real *diff_dst,
                             real *diff_src, int64_t begin, int64_t end, bool add)
{
    const int64_t n = shape->n, stride = shape->inner;
    for (int64_t i = begin; i < end; i++) {
        const real *y = dst + column(shape, i);
        const real *dy = diff_dst + column(shape, i);
        real *dx = diff_src + column(shape, i);
        real sum = R(0);
        for (int64_t k = 0; k < n; k++) {
            sum += dy[k * stride];
        }
        for (int64_t k = 0; k < n; k++) {
            store(&dx[k * stride], r_fma(-r_exp(y[k * stride]), sum, dy[k * stride]), add);
        }
    }
}

BDL__KERNEL_TABLE(softmax, BDL__SOFTMAX_KERNELS)
