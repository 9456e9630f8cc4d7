/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Philox 4x32-10 and what is made of its numbers.
 *
 *     key     = { seed low, seed high }
 *     counter = { block, position, sub_stream, use }
 *
 * `use` and `sub_stream` name the stream (dropout of layer 7), `position` the place in it (a shard, a
 * sample, a tensor's part), `block` counts groups of four numbers from 0. A position has 2^34 numbers
 * before it runs into the next one. The normal generator is Box-Muller on 53-bit uniforms with the
 * logarithm, sine and cosine below: additions, multiplications, divisions and a square root, all
 * rounded to nearest by IEEE 754, so every compiler and processor gives the same bits (the build
 * forbids contraction to fused multiply-adds).
 */
#include "base/rng.h"

#include <string.h>

enum { N_ROUNDS = 10 };

void bdl__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0];
    uint32_t c1 = counter[1];
    uint32_t c2 = counter[2];
    uint32_t c3 = counter[3];
    uint32_t k0 = key[0];
    uint32_t k1 = key[1];
    for (int i = 0; i < N_ROUNDS; i++) {
        const uint64_t product0 = UINT64_C(0xD2511F53) * c0;
        const uint64_t product1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void bdl__rng_init(bdl__rng *rng, uint64_t seed, bdl__rng_use use, uint32_t sub_stream,
                   uint32_t position)
{
    *rng = (bdl__rng){
        .seed = seed,
        .stream = (uint64_t)use << 32 | sub_stream,
        .counter = (uint64_t)position << 32,
    };
}

static void refill(bdl__rng *rng)
{
    const uint32_t counter[4] = {(uint32_t)rng->counter, (uint32_t)(rng->counter >> 32),
                                 (uint32_t)rng->stream, (uint32_t)(rng->stream >> 32)};
    const uint32_t key[2] = {(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)};
    bdl__philox(counter, key, rng->block);
    rng->counter++;
    rng->left = 4;
}

uint32_t bdl__rng_u32(bdl__rng *rng)
{
    if (rng->left == 0) {
        refill(rng);
    }
    return rng->block[4 - rng->left--];
}

static uint64_t next_u64(bdl__rng *rng)
{
    const uint64_t low = bdl__rng_u32(rng);
    return (uint64_t)bdl__rng_u32(rng) << 32 | low;
}

double bdl__rng_uniform(bdl__rng *rng)
{
    return (double)(next_u64(rng) >> 11) * 0x1p-53;
}

uint64_t bdl__rng_below(bdl__rng *rng, uint64_t n)
{
    if (n == 0) {
        return 0;
    }
    const uint64_t n_refused = (UINT64_MAX - n + 1) % n; /* 2^64 mod n */
    uint64_t number = next_u64(rng);
    while (number < n_refused) {
        number = next_u64(rng);
    }
    return number % n;
}

/* Horner's rule: sum of coefficients[i] x^i. */
static double polynomial(const double *coefficients, int n, double x)
{
    double sum = coefficients[n - 1];
    for (int i = n - 2; i >= 0; i--) {
        sum = sum * x + coefficients[i];
    }
    return sum;
}

/* log(x), x > 0 and normal: x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh s with
 * s = (m - 1)/(m + 1), |s| <= 0.172; the series to s^23 leaves less than 2^-60. */
static double log_of(double x)
{
    static const double series[] = {1.0,      1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11,
                                    1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t exponent = (int64_t)(bits >> 52) - 1023;
    bits = (bits & UINT64_C(0x000FFFFFFFFFFFFF)) | UINT64_C(0x3FF0000000000000);
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    const double s = (m - 1.0) / (m + 1.0);
    return (double)exponent * 0.69314718055994530942 + 2.0 * s * polynomial(series, 12, s * s);
}

/* cos(2 pi u), u in [0, 1): the nearest quarter turn, exact in binary, then Taylor's polynomials of
 * cos(x) and sin(x)/x in x^2, |x| <= pi/4, which leave less than 2^-54. */
static double cos_turns(double u)
{
    static const double cosine[] = {1.0,
                                    -1.0 / 2,
                                    1.0 / 24,
                                    -1.0 / 720,
                                    1.0 / 40320,
                                    -1.0 / 3628800,
                                    1.0 / 479001600,
                                    -1.0 / 87178291200.0,
                                    1.0 / 20922789888000.0};
    static const double sine[] = {1.0,
                                  -1.0 / 6,
                                  1.0 / 120,
                                  -1.0 / 5040,
                                  1.0 / 362880,
                                  -1.0 / 39916800,
                                  1.0 / 6227020800.0,
                                  -1.0 / 1307674368000.0,
                                  1.0 / 355687428096000.0};
    const int quarter = (int)(4.0 * u + 0.5);
    const double x = (4.0 * u - quarter) * 1.57079632679489661923;
    const double x2 = x * x;
    const double cos_x = polynomial(cosine, 9, x2);
    const double sin_x = x * polynomial(sine, 9, x2);
    switch (quarter & 3) {
    case 0:
        return cos_x;
    case 1:
        return -sin_x;
    case 2:
        return -cos_x;
    default:
        return sin_x;
    }
}

double bdl__rng_normal(bdl__rng *rng)
{
    const double u = 1.0 - bdl__rng_uniform(rng); /* (0, 1] */
    const double turns = bdl__rng_uniform(rng);
    return __builtin_sqrt(-2.0 * log_of(u)) * cos_turns(turns);
}
