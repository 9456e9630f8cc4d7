/* SPDX-License-Identifier: Apache-2.0 */
/* Range reduction and Taylor series, each cut where the next term is below 2^-53 of the result. */
#include "optim/rate_math.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* log 2 in two parts: `high` has 21 zero bits at its end, so that its product with an exponent is
 * exact. */
static const double log2_high = 0x1.62e42feep-1;
static const double log2_low = 0x1.a39ef35793c76p-33;

/* 2^exponent for normal results. */
static double power_of_two(int64_t exponent)
{
    const uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double bdl__rate_exp(double x)
{
    if (!(x > -708)) {
        return x != x ? x : 0;
    }
    if (x > 709) {
        return HUGE_VAL;
    }
    const double scaled = x * 0x1.71547652b82fep0 + (x < 0 ? -0.5 : 0.5);
    const int64_t n = (int64_t)scaled;
    const double rest = x - (double)n * log2_high - (double)n * log2_low;
    double sum = 1;
    for (int i = 14; i > 0; i--) {
        sum = 1 + sum * rest / i;
    }
    return sum * power_of_two(n);
}

double bdl__rate_log(double x)
{
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof bits);
    int64_t exponent = (int64_t)(bits >> 52) - 1023;
    double mantissa = x * power_of_two(-exponent);
    if (mantissa > 1.4142135623730951) {
        mantissa /= 2;
        exponent++;
    }
    /* log m = 2 artanh s, where s = (m - 1) / (m + 1) and |s| < 0.172 */
    const double s = (mantissa - 1) / (mantissa + 1);
    double sum = 0;
    for (int i = 21; i > 0; i -= 2) {
        sum = sum * s * s + 1.0 / i;
    }
    const double e = (double)exponent;
    return e * log2_high + (e * log2_low + 2 * s * sum);
}

double bdl__rate_cos_pi(double x)
{
    if (x > 0.5) {
        return -bdl__rate_cos_pi(1 - x);
    }
    static const double pi = 3.141592653589793;
    const bool use_sine = x > 0.25; /* cos(pi x) = sin(pi (1/2 - x)) */
    const double angle = use_sine ? pi * (0.5 - x) : pi * x;
    const double square = angle * angle;
    double sum = 1;
    for (int i = 18; i > 0; i -= 2) {
        const double next = use_sine ? (double)i * (i + 1) : (double)i * (i - 1);
        sum = 1 - sum * square / next;
    }
    return use_sine ? sum * angle : sum;
}

double bdl__rate_power(double base, int64_t exponent)
{
    double power = 1;
    for (double square = base; exponent > 0; exponent /= 2, square *= square) {
        if (exponent % 2 == 1) {
            power *= square;
        }
    }
    return power;
}

double bdl__rate_pow(double base, double exponent)
{
    if (exponent >= 0 && exponent < 1e9 && exponent == (double)(int64_t)exponent) {
        return bdl__rate_power(base, (int64_t)exponent);
    }
    return base > 0 ? bdl__rate_exp(exponent * bdl__rate_log(base)) : 0;
}
