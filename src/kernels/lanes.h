/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanes.h: work across lanes: transposing blocks of R_LANES x R_LANES numbers, and the sums over
 * lanes of R_LANES reals at once, with the same bits as r_sum_lanes. Both go by halves: the lanes
 * whose number has a bit change places with the reals whose number has it.
 */
#ifndef BDL_KERNELS_LANES_H
#define BDL_KERNELS_LANES_H

#include "kernels/real.h"

#if R_LANES > 1

/* Element l of the low (high) halves of blocks of 2 * h lanes of a, then of b. */
#define R_LOW_(l, h) ((l) & (h) ? R_LANES + (l) - (h) : (l))
#define R_HIGH_(l, h) ((l) & (h) ? R_LANES + (l) : (l) + (h))
#if R_LANES == 16
#define R_INDICES_(of, h)                                                                          \
    of(0, h), of(1, h), of(2, h), of(3, h), of(4, h), of(5, h), of(6, h), of(7, h), of(8, h),      \
        of(9, h), of(10, h), of(11, h), of(12, h), of(13, h), of(14, h), of(15, h)
#elif R_LANES == 8
#define R_INDICES_(of, h)                                                                          \
    of(0, h), of(1, h), of(2, h), of(3, h), of(4, h), of(5, h), of(6, h), of(7, h)
#else
#define R_INDICES_(of, h) of(0, h), of(1, h), of(2, h), of(3, h)
#endif
#define R_LOW_HALVES(a, b, h) __builtin_shufflevector(a, b, R_INDICES_(R_LOW_, h))
#define R_HIGH_HALVES(a, b, h) __builtin_shufflevector(a, b, R_INDICES_(R_HIGH_, h))

#define R_TRANSPOSE_STEP_(r, h)                                                                    \
    for (int i = 0; i < R_LANES; i++) {                                                            \
        if ((i & (h)) == 0) {                                                                      \
            const real low = R_LOW_HALVES(r[i], r[i + (h)], h);                                    \
            r[i + (h)] = R_HIGH_HALVES(r[i], r[i + (h)], h);                                       \
            r[i] = low;                                                                            \
        }                                                                                          \
    }
#define R_SUM_STEP_(r, h)                                                                          \
    for (int i = 0; i < (h); i++) {                                                                \
        r[i] = R_LOW_HALVES(r[i], r[i + (h)], h) + R_HIGH_HALVES(r[i], r[i + (h)], h);             \
    }

#endif

/* Lane l of r[i] becomes lane i of r[l]. */
R_INLINE void r_transpose(real r[R_LANES])
{
#if R_LANES == 1
    (void)r;
#else
#if R_LANES == 16
    R_TRANSPOSE_STEP_(r, 8)
#endif
#if R_LANES >= 8
    R_TRANSPOSE_STEP_(r, 4)
#endif
    R_TRANSPOSE_STEP_(r, 2)
    R_TRANSPOSE_STEP_(r, 1)
#endif
}

/* Lane i of the result is r_sum_lanes(r[i]); r is clobbered. */
R_INLINE real r_sum_lanes_of(real r[R_LANES])
{
#if R_LANES == 16
    R_SUM_STEP_(r, 8)
#endif
#if R_LANES >= 8
    R_SUM_STEP_(r, 4)
#endif
#if R_LANES > 1
    R_SUM_STEP_(r, 2)
    R_SUM_STEP_(r, 1)
#endif
    return r[0];
}

/* sums[i] (+)= r_sum_lanes(r[i]); r has room for n rounded up to R_LANES and is clobbered. */
R_INLINE void r_sum_lanes_into(real *r, int64_t n, bool add, scalar *sums)
{
    for (int64_t i = 0; i < n; i += R_LANES) {
        const int64_t left = n - i < R_LANES ? n - i : R_LANES;
        scalar got[R_LANES];
        for (int64_t k = left; k < R_LANES; k++) {
            r[i + k] = R(0);
        }
        const real sum = r_sum_lanes_of(r + i);
        memcpy(got, &sum, sizeof got);
        for (int64_t k = 0; k < left; k++) {
            sums[i + k] = add ? sums[i + k] + got[k] : got[k];
        }
    }
}

#endif
