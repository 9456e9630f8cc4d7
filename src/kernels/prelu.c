/* SPDX-License-Identifier: Apache-2.0 */
/* Rectifiers with learned slopes. A value that is not a number passes: it is not greater than 0. */
#include "kernels/prelu.h"

#include "kernels/real_wide.h"

BDL__KERNEL_DECLARE(BDL__PRELU_KERNELS)

/* src (c,n) -> dst (c,n) */
void K(prelu_forward)(const real *src, real *dst, const scalar *slopes, int64_t n, int64_t begin,
                      int64_t end)
{
    for (int64_t c = begin; c < end; c++) {
        const scalar slope = slopes[c];
        for (int64_t i = c * n; i < (c + 1) * n; i++) {
            dst[i] = r_select(src[i] > R(0), src[i], slope * src[i]);
        }
    }
}

/* src, diff_dst (c,n) -> diff_src (c,n) */
void K(prelu_backward)(const real *src, const real *diff_dst, real *diff_src, bool adds,
                       const scalar *slopes, int64_t n, int64_t begin, int64_t end)
{
    for (int64_t c = begin; c < end; c++) {
        const scalar slope = slopes[c];
        for (int64_t i = c * n; i < (c + 1) * n; i++) {
            const real value = r_select(src[i] > R(0), diff_dst[i], slope * diff_dst[i]);
            diff_src[i] = adds ? diff_src[i] + value : value;
        }
    }
}

/* src, diff_dst (c,n) -> diff_slopes (c) */
void K(prelu_diff_weights)(const real *src, const real *diff_dst, scalar *diff_slopes, bool adds,
                           int64_t n, int64_t begin, int64_t end)
{
    for (int64_t c = begin; c < end; c++) {
        const real *x = src + c * n;
        const real *g = diff_dst + c * n;
        r_wide sum = r_wide_of(0);
        for (int64_t from = 0; from < n; from += R_BLOCK) {
            real block = R(0);
            for (int64_t i = from; i < from + r_block_size(from, n); i++) {
                block = r_fma(r_select(x[i] > R(0), R(0), x[i]), g[i], block);
            }
            sum += r_to_wide(block);
        }
        const scalar value = (scalar)r_wide_sum(sum);
        diff_slopes[c] = adds ? diff_slopes[c] + value : value;
    }
}

BDL__KERNEL_TABLE(prelu, BDL__PRELU_KERNELS)
