/* SPDX-License-Identifier: Apache-2.0 */
/*
 * real.h: the language in which kernels are written, once for one sample and compiled per target.
 *
 * `real` is one number of one sample; on the vector targets it holds 4, 8 or 16 samples, one in each
 * lane, and no kernel knows how many. `scalar` is one parameter, the same for all samples, and
 * broadcasts in arithmetic with a `real`. Comparisons of reals give an `r_mask`; `?:`, `if` and `&&`
 * on reals do not compile on the vector targets and are not wanted. A fused multiply-add is written
 * r_fma and is unfused on targets without one (sse4, lane1, f64): contraction is off, so GCC and Clang
 * compute the same bits.
 *
 * target   real                    for
 * sse4     4 floats                any x86-64-v2
 * avx2     8 floats                x86-64-v3
 * avx512   16 floats               x86-64-v4
 * neon     4 floats                aarch64
 * lane1    1 float                 layers whose control flow differs from sample to sample
 * f64      1 double                float64 models, gradient checks, the oracle for the others
 *
 * Only kernel files include this header (others see `real` as an opaque type, kernels/family.h), and
 * only here intrinsics are allowed.
 */
#ifndef BDL_KERNELS_REAL_H
#define BDL_KERNELS_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(BDL_TARGET_AVX512)
#include <immintrin.h>
#define R_TARGET avx512
#define R_LANES 16
#elif defined(BDL_TARGET_AVX2)
#include <immintrin.h>
#define R_TARGET avx2
#define R_LANES 8
#elif defined(BDL_TARGET_SSE4)
#define R_TARGET sse4
#define R_LANES 4
#elif defined(BDL_TARGET_NEON)
#include <arm_neon.h>
#define R_TARGET neon
#define R_LANES 4
#elif defined(BDL_TARGET_LANE1)
#define R_TARGET lane1
#define R_LANES 1
#elif defined(BDL_TARGET_F64)
#define R_TARGET f64
#define R_LANES 1
#else
#error "kernel files are compiled with one BDL_TARGET_... defined"
#endif

#define R_PASTE_(a, b) a##_##b
#define R_PASTE(a, b) R_PASTE_(a, b)
/* The symbol of a kernel on this target: K(relu_forward) is bdl__k_relu_forward_avx512. */
#define K(name) R_PASTE(bdl__k_##name, R_TARGET)

#define R_INLINE static inline __attribute__((always_inline, unused))

#if defined(BDL_TARGET_F64)
typedef double scalar;
#else
typedef float scalar;
#endif

#if R_LANES > 1
typedef float real __attribute__((vector_size(4 * R_LANES)));
typedef int32_t r_int __attribute__((vector_size(4 * R_LANES)));
typedef uint32_t r_u32 __attribute__((vector_size(4 * R_LANES)));
typedef r_int r_mask; /* all bits of a lane set, or none */
#else
typedef scalar real;
typedef int32_t r_int;
typedef uint32_t r_u32;
typedef int r_mask; /* 1 or 0 */
#endif

#if R_LANES > 1

/* A number in every lane. Subtracting zeros is free, where adding them would cost an addition. */
#define R(x) ((scalar)(x) - (real){0})
#define R_I(x) ((r_int){0} + (int32_t)(x))

R_INLINE real r_select(r_mask mask, real yes, real no)
{
    return (real)((mask & (r_int)yes) | (~mask & (r_int)no));
}
R_INLINE r_int r_select_int(r_mask mask, r_int yes, r_int no)
{
    return (mask & yes) | (~mask & no);
}
R_INLINE r_mask r_not(r_mask mask) { return ~mask; }
R_INLINE scalar r_load_lane(real x, int lane) { return x[lane]; }
R_INLINE void r_store_lane(real *x, int lane, scalar value) { (*x)[lane] = value; }
R_INLINE int32_t r_load_lane_int(r_int x, int lane) { return x[lane]; }
R_INLINE void r_store_lane_int(r_int *x, int lane, int32_t value) { (*x)[lane] = value; }
R_INLINE real r_from_int(r_int x) { return __builtin_convertvector(x, real); }
/* Truncates towards zero; the value must fit. */
R_INLINE r_int r_to_int(real x) { return __builtin_convertvector(x, r_int); }

#else

#define R(x) ((real)(x))
#define R_I(x) ((int32_t)(x))

R_INLINE real r_select(r_mask mask, real yes, real no) { return mask ? yes : no; }
R_INLINE r_int r_select_int(r_mask mask, r_int yes, r_int no) { return mask ? yes : no; }
R_INLINE r_mask r_not(r_mask mask) { return !mask; }
R_INLINE scalar r_load_lane(real x, int lane) { return (void)lane, x; }
R_INLINE void r_store_lane(real *x, int lane, scalar value) { (void)lane, *x = value; }
R_INLINE int32_t r_load_lane_int(r_int x, int lane) { return (void)lane, x; }
R_INLINE void r_store_lane_int(r_int *x, int lane, int32_t value) { (void)lane, *x = value; }
R_INLINE real r_from_int(r_int x) { return (real)x; }
R_INLINE r_int r_to_int(real x) { return (r_int)x; }

#endif

/* a * b + c, fused where the target has it. */
#if defined(BDL_TARGET_AVX512)
R_INLINE real r_fma(real a, real b, real c) { return _mm512_fmadd_ps(a, b, c); }
R_INLINE real r_sqrt(real x) { return _mm512_sqrt_ps(x); }
#elif defined(BDL_TARGET_AVX2)
R_INLINE real r_fma(real a, real b, real c) { return _mm256_fmadd_ps(a, b, c); }
R_INLINE real r_sqrt(real x) { return _mm256_sqrt_ps(x); }
#elif defined(BDL_TARGET_NEON)
R_INLINE real r_fma(real a, real b, real c) { return vfmaq_f32(c, a, b); }
R_INLINE real r_sqrt(real x) { return vsqrtq_f32(x); }
#elif defined(BDL_TARGET_SSE4)
R_INLINE real r_fma(real a, real b, real c) { return a * b + c; }
R_INLINE real r_sqrt(real x) { return __builtin_ia32_sqrtps(x); }
#elif defined(BDL_TARGET_F64)
R_INLINE real r_fma(real a, real b, real c) { return a * b + c; }
R_INLINE real r_sqrt(real x) { return __builtin_sqrt(x); }
#else
R_INLINE real r_fma(real a, real b, real c) { return a * b + c; }
R_INLINE real r_sqrt(real x) { return __builtin_sqrtf(x); }
#endif

/* b where either is not a number. */
#if defined(BDL_TARGET_AVX512)
R_INLINE real r_max(real a, real b) { return _mm512_max_ps(a, b); }
R_INLINE real r_min(real a, real b) { return _mm512_min_ps(a, b); }
#elif defined(BDL_TARGET_AVX2)
R_INLINE real r_max(real a, real b) { return _mm256_max_ps(a, b); }
R_INLINE real r_min(real a, real b) { return _mm256_min_ps(a, b); }
#else
R_INLINE real r_max(real a, real b) { return r_select(a > b, a, b); }
R_INLINE real r_min(real a, real b) { return r_select(a < b, a, b); }
#endif

R_INLINE real r_abs(real x) { return r_max(x, -x); }

/* One bit a sample, lane 0 in bit 0; and back. */
#if R_LANES == 1
R_INLINE uint32_t r_bits(r_mask mask) { return (uint32_t)mask; }
R_INLINE r_mask r_from_bits(uint32_t bits) { return (r_mask)(bits & 1u); }
#elif defined(BDL_TARGET_AVX512)
R_INLINE uint32_t r_bits(r_mask mask) { return _mm512_movepi32_mask((__m512i)mask); }
R_INLINE r_mask r_from_bits(uint32_t bits) { return (r_mask)_mm512_movm_epi32((__mmask16)bits); }
#else
R_INLINE uint32_t r_bits(r_mask mask)
{
    uint32_t bits = 0;
    for (int lane = 0; lane < R_LANES; lane++) {
        bits |= ((uint32_t)mask[lane] & 1u) << lane;
    }
    return bits;
}
R_INLINE r_mask r_from_bits(uint32_t bits)
{
    r_mask lane_bit = {0};
    for (int lane = 0; lane < R_LANES; lane++) {
        lane_bit[lane] = (int32_t)(1u << lane);
    }
    return (lane_bit & (int32_t)bits) != 0;
}
#endif


/* True in the first n lanes. */
R_INLINE r_mask r_first_lanes(int64_t n)
{
    return r_from_bits(n >= R_LANES ? 0xffffu : (1u << n) - 1u);
}

/* The lanes' sum as a fixed tree: halves are added until one number is left. */
R_INLINE scalar r_sum_lanes(real x)
{
#if R_LANES == 1
    return x;
#else
    scalar lane[R_LANES];
    memcpy(lane, &x, sizeof lane);
    for (int half = R_LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
            lane[i] += lane[i + half];
        }
    }
    return lane[0];
#endif
}

#endif
