/* SPDX-License-Identifier: Apache-2.0 */
/*
 * real_math.h: elementary functions over `real`, included by kernel files after family.h. No libm,
 * and only selects: a lane never decides what the others compute. Polynomials are minimax fits made
 * for this file; on f64 they are longer. A value that is not a number (NaN) stays one everywhere,
 * because the trainer looks for it.
 *
 * Largest error, in units of the last place (tests/unit/kernels_math.c), and special values:
 *
 *     r_exp      2    0 below -86.29 (f64 -707.3) instead of denormals; inf above 88.72 (709.78)
 *     r_expm1    2    -1 at -inf
 *     r_log      2    -inf at 0, NaN below; denormals are taken as what they are, or as 0 where the
 *                     processor flushes them
 *     r_log1p    2    -inf at -1, NaN below
 *     r_tanh     3    |result| <= 1
 *     r_sigmoid  3    1 / (1 + exp(-x))
 *     r_softplus 3    log(1 + exp(x))
 *     r_erf      3
 *     r_pow      2 + |power| / 2   NaN for a negative x unless the power is a whole number
 *     r_floor    0
 *
 * On f64 the relative error of each is below 1e-15 instead (r_pow: times 1 + |power|).
 */
#ifndef BDL_KERNELS_REAL_MATH_H
#define BDL_KERNELS_REAL_MATH_H

#include "kernels/real.h"

/* ---- bits ------------------------------------------------------------------------------------ */

/* r_word: unsigned integers as wide as a real's lanes; its bits. */
#if R_LANES > 1
typedef r_u32 r_word;
R_INLINE r_word r_word_of(real x)
{
    return (r_word)x;
}
R_INLINE real r_real_of(r_word x)
{
    return (real)x;
}
R_INLINE real r_from_word(r_word x)
{
    return __builtin_convertvector((r_int)x, real);
}
/* Keeps the sign when bits move right. */
R_INLINE r_word r_shift_signed(r_word x, int n)
{
    return (r_word)((r_int)x >> n);
}
#elif defined(BDL_TARGET_F64)
typedef uint64_t r_word;
R_INLINE r_word r_word_of(real x)
{
    r_word bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
R_INLINE real r_real_of(r_word bits)
{
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
R_INLINE real r_from_word(r_word x)
{
    return (real)(int64_t)x;
}
R_INLINE r_word r_shift_signed(r_word x, int n)
{
    return (r_word)((int64_t)x >> n);
}
#else
typedef uint32_t r_word;
R_INLINE r_word r_word_of(real x)
{
    r_word bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
R_INLINE real r_real_of(r_word bits)
{
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
R_INLINE real r_from_word(r_word x)
{
    return (real)(int32_t)x;
}
R_INLINE r_word r_shift_signed(r_word x, int n)
{
    return (r_word)((int32_t)x >> n);
}
#endif

#if defined(BDL_TARGET_F64)
#define R_MANTISSA 52        /* bits after the leading one */
#define R_BIAS 1023          /* of the exponent */
#define R_ROUNDER 0x1.8p52   /* added and taken off again it leaves the nearest whole number */
#define R_WHOLE 0x1p52       /* from here on every number is whole */
#define R_SMALLEST 0x1p-1022 /* normal number */
#define R_LN2_HIGH 0x1.62e42feep-1 /* ends in zeros: its product with an exponent is exact */
#define R_LN2_LOW 0x1.a39ef35793c76p-33
#else
#define R_MANTISSA 23
#define R_BIAS 127
#define R_ROUNDER 0x1.8p23
#define R_WHOLE 0x1p23
#define R_SMALLEST 0x1p-126
#define R_LN2_HIGH 0x1.62ep-1
#define R_LN2_LOW 0x1.0bfbe8p-15
#endif
#define R_LOG2_E 1.44269504088896340736
#define R_LN2 0.69314718055994530942
#define R_SQRT_HALF 0.70710678118654752440
#define R_INFINITY __builtin_inf()
#define R_NAN __builtin_nan("")

R_INLINE r_mask r_is_nan(real x)
{
    return x != x;
}
R_INLINE r_mask r_is_finite(real x)
{
    return x - x == R(0);
}

/* |x| with the sign of `sign`. */
R_INLINE real r_copy_sign(real x, real sign)
{
    const r_word bit = r_word_of(-R(0));
    return r_real_of((r_word_of(x) & ~bit) | (r_word_of(sign) & bit));
}

/* c[0] + c[1] x + ... + c[n-1] x^(n-1); n and c are constants where it is called. */
R_INLINE real r_polynomial(real x, const scalar *c, int n)
{
    real y = R(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) {
        y = r_fma(y, x, R(c[i]));
    }
    return y;
}
#define R_POLYNOMIAL(x, ...)                                                                       \
    r_polynomial((x), (const scalar[]){__VA_ARGS__},                                               \
                 (int)(sizeof((const scalar[]){__VA_ARGS__}) / sizeof(scalar)))

/* ---- rounding -------------------------------------------------------------------------------- */

/* The largest whole number that is not above x. */
R_INLINE real r_floor(real x)
{
    const real big = R(R_WHOLE);
    const real size = r_abs(x);
    const real nearest = r_copy_sign((size + big) - big, x);
    const real below = nearest - r_select(nearest > x, R(1), R(0));
    return r_select(size < big, below, x);
}

/* ---- exponentials ---------------------------------------------------------------------------- */

/* e^r - 1 for |r| <= ln 2 / 2. */
R_INLINE real r_expm1_near_zero(real r)
{
#if defined(BDL_TARGET_F64)
    const real p =
        R_POLYNOMIAL(r, 5.0000000000000102245e-1, 1.666666666666667453e-1, 4.166666666652199074e-2,
                     8.3333333333222072959e-3, 1.3888888947820891418e-3, 1.984126988659099934e-4,
                     2.4801487326012336596e-5, 2.7557242336680357124e-6, 2.7632655759332030799e-7,
                     2.5110049895858716253e-8);
#else
    const real p = R_POLYNOMIAL(r, 4.99999934e-1f, 1.66665206e-1f, 4.16683882e-2f, 8.36871589e-3f,
                                1.38145889e-3f);
#endif
    return r_fma(r * r, p, r);
}

/* x = n ln 2 + r: gives e^r - 1, and 2^(n-1): half, because n may be one more than the exponent can
 * hold. Rounding to n adds a number whose last bits are the exponent's bias already, so that
 * shifting the last bits of the sum to the exponent's place makes the power of two. */
typedef struct r_exp_parts {
    real er;
    real half;
} r_exp_parts;

R_INLINE r_exp_parts r_exp_reduce(real x)
{
    const real rounder = R(R_ROUNDER + R_BIAS - 1);
    const real shifted = r_fma(x, R(R_LOG2_E), rounder);
    const real n = shifted - rounder;
    const real r = r_fma(n, R(-R_LN2_LOW), r_fma(n, R(-R_LN2_HIGH), x));
    return (r_exp_parts){.er = r_expm1_near_zero(r),
                         .half = r_real_of(r_word_of(shifted) << R_MANTISSA)};
}

#if defined(BDL_TARGET_F64)
#define R_EXP_LEAST (-707.3) /* from here on no intermediate result is denormal */
#define R_EXP_MOST 709.9
#define R_EXPM1_LEAST (-40.0)
#define R_TANH_MOST 20.0
#else
#define R_EXP_LEAST (-86.29)
#define R_EXP_MOST 88.9
#define R_EXPM1_LEAST (-20.0)
#define R_TANH_MOST 9.1
#endif

R_INLINE real r_exp(real x)
{
    const real inside = r_min(R(R_EXP_MOST), r_max(R(R_EXP_LEAST), x));
    const r_exp_parts e = r_exp_reduce(inside);
    const real half = (R(1) + e.er) * e.half;
    return r_select(x < R(R_EXP_LEAST), R(0), half + half);
}

/* e^x - 1, exact where it is small. */
R_INLINE real r_expm1(real x)
{
    const real inside = r_min(R(R_EXP_MOST), r_max(R(R_EXPM1_LEAST), x));
    const r_exp_parts e = r_exp_reduce(inside);
    const real half = r_fma(e.half, e.er, e.half - R(0.5));
    return half + half;
}

/* ---- logarithms ------------------------------------------------------------------------------ */

/* log(x) for x > 0 that is normal and finite: x = 2^k (1 + f) with 1 + f between sqrt(1/2) and
 * sqrt(2). */
R_INLINE real r_log_normal(real x, real k_offset)
{
    const r_word middle = r_word_of(R(R_SQRT_HALF));
    const r_word exponent = r_shift_signed(r_word_of(x) - middle, R_MANTISSA);
    const real f = r_real_of(r_word_of(x) - (exponent << R_MANTISSA)) - R(1);
    const real k = r_from_word(exponent) + k_offset;
#if defined(BDL_TARGET_F64)
    const real s = f / (R(2) + f); /* log(1 + f) = 2 artanh(s) = f - s (f - ...) */
    const real z = s * s;
    const real p =
        R_POLYNOMIAL(z, 6.6666666666666663368e-1, 4.0000000000004810048e-1,
                     2.8571428569358910784e-1, 2.2222222625642625576e-1, 1.8181776199205138076e-1,
                     1.538710484274147887e-1, 1.3249168751190509306e-1, 1.3264309869961289514e-1);
    const real half_square = R(0.5) * f * f;
    const real correction = half_square - r_fma(s, half_square + z * p, k * R(R_LN2_LOW));
#else
    const real p = R_POLYNOMIAL(f, 3.33333317e-1f, -2.50008215e-1f, 2.00012268e-1f, -1.66233388e-1f,
                                1.42017428e-1f, -1.31603662e-1f, 1.27617956e-1f, -7.6342664e-2f);
    const real f2 = f * f;
    const real correction = r_fma(R(0.5), f2, -r_fma(f2, f * p, k * R(R_LN2_LOW)));
#endif
    return r_fma(k, R(R_LN2_HIGH), f - correction);
}

R_INLINE real r_log(real x)
{
    const r_mask tiny = x < R(R_SMALLEST);
    const real raised = r_select(tiny, x * R(R_WHOLE), x);
    const real y = r_log_normal(raised, r_select(tiny, R(-R_MANTISSA), R(0)));
    const real at_zero = r_select(x == R(0), R(-R_INFINITY), R(R_NAN));
    return r_select(x > R(0), r_select(x < R(R_INFINITY), y, x), r_select(r_is_nan(x), x, at_zero));
}

/* log(1 + x), exact where x is small. */
R_INLINE real r_log1p(real x)
{
    const real u = R(1) + x;
    /* What rounding took from u, as far as it matters; u - 1 is exact or x is large. */
    const real lost = (x - (u - R(1))) / u;
    return r_log(u) + r_select(r_is_finite(lost), lost, R(0));
}

/* ---- sigmoids -------------------------------------------------------------------------------- */

/* e / (e + 2) with e = e^(2x) - 1. On avx512 0.13 ns a number; a rational fit takes 0.11 and is off
 * by 5.5 units near +-1, where here the errors of e cancel (so n ln 2 needs no second part). Beyond
 * the bound the result rounds to +-1. */
R_INLINE real r_tanh(real x)
{
    const real rounder = R(R_ROUNDER + R_BIAS);
    const real inside = r_min(R(R_TANH_MOST), r_max(R(-R_TANH_MOST), x));
    const real twice = inside + inside;
    const real shifted = r_fma(twice, R(R_LOG2_E), rounder);
    const real n = shifted - rounder;
    const real r = r_fma(n, R(-R_LN2), twice);
    const real scale = r_real_of(r_word_of(shifted) << R_MANTISSA);
    const real e = r_fma(scale, r_expm1_near_zero(r), scale - R(1));
    return e / (e + R(2));
}

R_INLINE real r_sigmoid(real x)
{
    return R(1) / (R(1) + r_exp(-x));
}

/* log(1 + e^x) without overflow. */
R_INLINE real r_softplus(real x)
{
    return r_max(R(0), x) + r_log1p(r_exp(-r_abs(x)));
}

/* ---- error function -------------------------------------------------------------------------- */

/* x P(x^2) up to 1, 1 - erfc(|x|) beyond. */
R_INLINE real r_erf(real x)
{
    const real size = r_abs(x);
#if defined(BDL_TARGET_F64)
    const real z = r_min(R(5.95), size);
    const real x2 = r_min(R(1), size) * r_min(R(1), size);
    const real inner = x * R_POLYNOMIAL(x2, 1.1283791670955125656, -3.7612638903183519289e-1,
                                        1.1283791670944174739e-1, -2.6866170643109852952e-2,
                                        5.2239776061049615679e-3, -8.5483259286532587684e-4,
                                        1.2055293556729420197e-4, -1.4924711907190838057e-5,
                                        1.6447126612901327402e-6, -1.620627514296118836e-7,
                                        1.3710810675594775166e-8, -7.7791467899925421642e-10);
    /* erfc(z) e^(z^2) as a polynomial of t = 1 / (z + 4). */
    const real t = R(1) / (z + R(4));
    const real scaled = R_POLYNOMIAL(
        t, -4.0956587578305976316e-4, 5.8923668343280193346e-1, 1.5844900980886150663,
        1.8944784818420427918e+1, -5.8978707181782968608e+1, 5.3664532367339485139e+2,
        8.1539826133615524332e+2, -1.8167446340747038268e+4, 1.3989757625682248418e+5,
        -4.9101180628339360717e+5, 1.0580026353041147678e+6, -8.2392797997916019669e+5);
    const real outer = R(1) - r_exp(-z * z) * scaled;
#else
    const real z = r_min(R(3.93), size);
    const real x2 = r_min(R(1), size) * r_min(R(1), size);
    const real inner =
        x * R_POLYNOMIAL(x2, 1.128379166f, -3.761262582e-1f, 1.128358505e-1f, -2.685380749e-2f,
                         5.188318457e-3f, -8.010105272e-4f, 7.853544859e-5f);
    /* log(erfc(z)) as a polynomial of z. */
    const real log_erfc =
        R_POLYNOMIAL(z, -1.801998883e-4f, -1.128029114f, -6.359318267e-1f, -1.058598826e-1f,
                     2.380275543e-2f, -3.754740088e-3f, 3.635762557e-4f, -1.607709133e-5f);
    const real outer = R(1) - r_exp(log_erfc);
#endif
    return r_select(size > R(1), r_copy_sign(outer, x), inner);
}

/* ---- powers ---------------------------------------------------------------------------------- */

/* size^power for size > 0, size = 2^k m: 2^(power k) e^(power log m). The product power k is formed
 * in two parts, the larger exact, so that the result's error does not grow with k. */
R_INLINE real r_pow_positive(real size, double power)
{
    const r_mask tiny = size < R(R_SMALLEST);
    const real raised = r_select(tiny, size * R(R_WHOLE), size);
    const r_word middle = r_word_of(R(R_SQRT_HALF));
    const r_word exponent = r_shift_signed(r_word_of(raised) - middle, R_MANTISSA);
    const real m = r_real_of(r_word_of(raised) - (exponent << R_MANTISSA));
    const real k = r_from_word(exponent) - r_select(tiny, R(R_MANTISSA), R(0));

    const double power_high = (double)(int64_t)(power * 4096) / 4096;
    const real high = k * R(power_high);
    const real n = r_floor(high + R(0.5));
    const real part = (high - n) + k * R(power - power_high);
    const real rest = r_fma(part, R(R_LN2), R(power) * r_log_normal(m, R(0)));

    /* 2^n in two factors, since n may be beyond the exponent's range where the result is not. */
    const real bounded = r_min(R(2 * R_BIAS), r_max(R(-2 * R_BIAS), n));
    const real n_first = r_floor(bounded * R(0.5));
    const r_word first = r_word_of((n_first + R(R_BIAS)) + R(R_ROUNDER)) << R_MANTISSA;
    const r_word second = r_word_of((bounded - n_first + R(R_BIAS)) + R(R_ROUNDER)) << R_MANTISSA;
    return r_exp(rest) * r_real_of(first) * r_real_of(second);
}

/* x^power for |power| <= 1e6. */
R_INLINE real r_pow(real x, double power)
{
    if (!(power != 0)) {
        return R(1);
    }
    const bool is_whole = (double)(int64_t)power == power;
    const bool is_odd = is_whole && ((int64_t)power & 1) != 0;
    const real size = r_abs(x);
    real y = r_pow_positive(size, power);
    y = r_select(size == R(0), power > 0 ? R(0) : R(R_INFINITY), y);
    y = r_select(size == R(R_INFINITY), power > 0 ? R(R_INFINITY) : R(0), y);
    const real at_negative = is_odd ? -y : is_whole ? y : R(R_NAN);
    return r_select(r_is_nan(x), x, r_select(x < R(0), at_negative, y));
}

/* ---- random numbers -------------------------------------------------------------------------- */

/* Counter-based: a number is a hash of (key, sample, position), so it does not matter which target
 * or worker asks for it. Sample and position are mixed by themselves first; numbers of different
 * samples are then not shifted copies of each other. The mixing is a multiply-xorshift of 32 bits;
 * its constants are the least biased ones that the public-domain search "hash-prospector" lists. */
R_INLINE r_u32 r_mix(r_u32 x)
{
    x ^= x >> 16;
    x *= 0x21f0aaadu;
    x ^= x >> 15;
    x *= 0xd35a2d97u;
    x ^= x >> 15;
    return x;
}

R_INLINE uint32_t r_mix_scalar(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x21f0aaadu;
    x ^= x >> 15;
    x *= 0xd35a2d97u;
    x ^= x >> 15;
    return x;
}

/* The stream of each lane's sample; lane 0's sample has the number `first_sample`. */
R_INLINE r_u32 r_random_streams(uint64_t key, int64_t first_sample)
{
    uint32_t sample[R_LANES];
    for (int lane = 0; lane < R_LANES; lane++) {
        sample[lane] = (uint32_t)(first_sample + lane);
    }
    r_u32 x;
    memcpy(&x, sample, sizeof x);
    return r_mix(r_mix(x + (uint32_t)key) ^ (uint32_t)(key >> 32));
}

/* 32 random bits a sample for this position. */
R_INLINE r_u32 r_random(r_u32 streams, uint64_t key, uint32_t position)
{
    return r_mix(streams ^ r_mix_scalar(position ^ (uint32_t)(key >> 32)));
}

/* True with the probability 1 - p, to 2^-31; `threshold` is r_random_threshold(p). */
R_INLINE r_mask r_random_keeps(r_u32 random, int32_t threshold)
{
    return (r_int)(random >> 1) >= threshold;
}

/* p in [0, 1). */
R_INLINE int32_t r_random_threshold(double p)
{
    return (int32_t)(p * 0x1p31);
}

#endif
