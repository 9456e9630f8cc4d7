/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doubles in the lanes of a real, for sums whose error must not grow with their length: kernels sum
 * a block of values in a real, then add the block to an r_wide.
 */
#ifndef BDL_KERNELS_REAL_WIDE_H
#define BDL_KERNELS_REAL_WIDE_H

#include "kernels/real.h"

/* Positions that are summed in reals before they join an r_wide, in so many chains: enough to hide
 * the latency of an addition and the cost of an r_wide. */
enum { R_BLOCK = 32, R_CHAINS = 4 };

#if R_LANES > 1
typedef double r_wide __attribute__((vector_size(8 * R_LANES)));
R_INLINE r_wide r_to_wide(real x)
{
    return __builtin_convertvector(x, r_wide);
}
R_INLINE real r_from_wide(r_wide x)
{
    return __builtin_convertvector(x, real);
}
#else
typedef double r_wide;
R_INLINE r_wide r_to_wide(real x)
{
    return x;
}
R_INLINE real r_from_wide(r_wide x)
{
    return (real)x;
}
#endif

/* A number in every lane. */
R_INLINE r_wide r_wide_of(double x)
{
    return x - (r_wide){0};
}

/* 1 in the first n lanes, else 0. */
R_INLINE r_wide r_wide_first_lanes(int64_t n)
{
    return r_to_wide(r_select(r_first_lanes(n), R(1), R(0)));
}

/* The lanes' sum as a fixed tree. */
R_INLINE double r_wide_sum(r_wide x)
{
    double lane[R_LANES];
    memcpy(lane, &x, sizeof lane);
    for (int half = R_LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
            lane[i] += lane[i + half];
        }
    }
    return lane[0];
}

R_INLINE real r_sum_chains(const real *chain)
{
    return (chain[0] + chain[1]) + (chain[2] + chain[3]);
}

/* What is left of n from i on, at most a block. */
R_INLINE int64_t r_block_size(int64_t i, int64_t n)
{
    return n - i < R_BLOCK ? n - i : R_BLOCK;
}

#endif
