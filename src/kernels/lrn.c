/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local response normalization. The sum over the window is formed anew for each channel: a running
 * sum would be cheaper for wide windows, but collects rounding errors.
 */
#include "kernels/lrn.h"
#include "kernels/real_math.h"

BDL__KERNEL_DECLARE(BDL__LRN_KERNELS)

R_INLINE int64_t window_begin(int64_t c, int64_t before)
{
    return c > before ? c - before : 0;
}

R_INLINE int64_t window_end(int64_t c, int64_t after, int64_t n_channels)
{
    return c + after + 1 < n_channels ? c + after + 1 : n_channels;
}

/* k + alpha * the sum of squares around channel c, at position i. */
R_INLINE real base_of(const real *src, const bdl__lrn_shape *shape, int64_t c, int64_t i)
{
    const int64_t end = window_end(c, shape->after, shape->n_channels);
    real sum = R(0);
    for (int64_t w = window_begin(c, shape->before); w < end; w++) {
        const real x = src[w * shape->n + i];
        sum = r_fma(x, x, sum);
    }
    return r_fma(R(shape->alpha), sum, R(shape->k));
}

/* base^-beta; 0.75, which everybody uses, without logarithms. */
R_INLINE real power_of(real base, double beta)
{
    if (beta == 0.75) {
        const real root = r_sqrt(base);
        return R(1) / (root * r_sqrt(root));
    }
    return r_pow(base, -beta);
}

/* src (c,n) -> dst (c,n) */
void K(lrn_forward)(const real *src, real *dst, const bdl__lrn_shape *shape, int64_t begin,
                    int64_t end)
{
    for (int64_t c = 0; c < shape->n_channels; c++) {
        for (int64_t i = begin; i < end; i++) {
            const real power = power_of(base_of(src, shape, c, i), shape->beta);
            dst[c * shape->n + i] = src[c * shape->n + i] * power;
        }
    }
}

/* Up to BDL__LRN_BLOCK positions: power = base^-beta, ratio = g x power / base of all channels. */
R_INLINE void backward_block(const real *src, const real *diff_dst, real *diff_src, bool adds,
                             real *scratch, const bdl__lrn_shape *shape, int64_t begin, int64_t n)
{
    const int64_t n_channels = shape->n_channels;
    const real factor = R(-2 * shape->alpha * shape->beta);
    real *power = scratch;
    real *ratio = scratch + n_channels * BDL__LRN_BLOCK;
    for (int64_t c = 0; c < n_channels; c++) {
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = c * shape->n + begin + i;
            const real base = base_of(src, shape, c, begin + i);
            const real p = power_of(base, shape->beta);
            power[c * BDL__LRN_BLOCK + i] = p;
            ratio[c * BDL__LRN_BLOCK + i] = diff_dst[at] * src[at] * p / base;
        }
    }
    for (int64_t c = 0; c < n_channels; c++) {
        /* The channels whose window holds c. */
        const int64_t first = window_begin(c, shape->after);
        const int64_t end = window_end(c, shape->before, n_channels);
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = c * shape->n + begin + i;
            real sum = R(0);
            for (int64_t w = first; w < end; w++) {
                sum += ratio[w * BDL__LRN_BLOCK + i];
            }
            const real own = diff_dst[at] * power[c * BDL__LRN_BLOCK + i];
            const real value = r_fma(factor * src[at], sum, own);
            diff_src[at] = adds ? diff_src[at] + value : value;
        }
    }
}

/* diff_src = g base^-beta - 2 alpha beta src * sum of (g src base^(-beta - 1)) over the channels
 * whose window holds this one; src, diff_dst (c,n) -> diff_src (c,n) */
void K(lrn_backward)(const real *src, const real *diff_dst, real *diff_src, bool adds,
                     real *scratch, const bdl__lrn_shape *shape, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += BDL__LRN_BLOCK) {
        const int64_t n = end - i < BDL__LRN_BLOCK ? end - i : BDL__LRN_BLOCK;
        backward_block(src, diff_dst, diff_src, adds, scratch, shape, i, n);
    }
}

BDL__KERNEL_TABLE(lrn, BDL__LRN_KERNELS)
