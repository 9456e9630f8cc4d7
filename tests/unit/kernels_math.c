/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of real_math.h on every target, through the kernels that apply them element by element:
 * errors against long double, special values, derivatives against differences, same bits on targets
 * that do the same arithmetic.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/activation.h"
#include "test.h"

enum { N = 1 << 16, N_SPECIAL = 16 };

/* Numbers as the target holds them. */
typedef struct vector {
    bdl__target target;
    int64_t n; /* a multiple of 16 */
    void *data;
} vector;

static bool is_f64(bdl__target target)
{
    return target == BDL__TARGET_F64;
}

static vector vector_make(bdl__target target, int64_t n)
{
    return (vector){
        .target = target, .n = n, .data = aligned_alloc(64, (size_t)n * sizeof(double))};
}

static double get(const vector *v, int64_t i)
{
    return is_f64(v->target) ? ((const double *)v->data)[i] : (double)((const float *)v->data)[i];
}

static void put(vector *v, int64_t i, double value)
{
    if (is_f64(v->target)) {
        ((double *)v->data)[i] = value;
    } else {
        ((float *)v->data)[i] = (float)value;
    }
}

static void apply(bdl__activation function, const double *params, const vector *src, vector *dst)
{
    bdl__activation_kernels(src->target)
        ->activation_forward((int)function, params, src->data, dst->data,
                             src->n / bdl__target_lanes(src->target));
}

static int64_t count(void)
{
    return bdl_test_small() ? N / 64 : N;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static long double sigmoid_exact(long double x)
{
    return 1 / (1 + expl(-x));
}

static long double softplus_exact(long double x)
{
    return (x > 0 ? x : 0) + log1pl(expl(-fabsl(x)));
}

static double exponent; /* of pow_exact; tests run one after another */

static long double pow_exact(long double x)
{
    return powl(x, (long double)exponent);
}

typedef struct interval {
    double low, high;
    bool logarithmic; /* evenly spread exponents; low and high have one sign */
} interval;

static double at(const interval *range, double share)
{
    if (!range->logarithmic) {
        return range->low + (range->high - range->low) * share;
    }
    const double size = exp(log(fabs(range->low)) * (1 - share) + log(fabs(range->high)) * share);
    return copysign(size, range->low);
}

/* |y - exact| in units of the last place of exact; on f64 in units of 1e-15 exact. Results near the
 * smallest normal number and beyond the largest do not count. */
static double error_of(const vector *v, double y, long double exact)
{
    const long double most = is_f64(v->target) ? 1.7e308L : 3.4e38L;
    const long double least = is_f64(v->target) ? 0x1p-1000L : 0x1p-120L;
    if (fabsl(exact) > most || fabsl(exact) < least) {
        return 0;
    }
    const long double unit =
        is_f64(v->target) ? fabsl(exact) * 1e-15L : ldexpl(1, ilogbl(exact) - 23);
    return (double)(fabsl((long double)y - exact) / unit);
}

static void check_error(bdl__activation function, const double *params,
                        long double (*exact)(long double), interval range, double bound)
{
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        if (!bdl__target_available((bdl__target)t)) {
            continue;
        }
        vector src = vector_make((bdl__target)t, count());
        vector dst = vector_make((bdl__target)t, count());
        for (int64_t i = 0; i < src.n; i++) {
            const double jitter = (double)(bdl_test_random() >> 11) * 0x1p-53;
            put(&src, i, at(&range, ((double)i + jitter) / (double)src.n));
        }
        apply(function, params, &src, &dst);
        double worst = 0;
        for (int64_t i = 0; i < src.n; i++) {
            const double error = error_of(&dst, get(&dst, i), exact((long double)get(&src, i)));
            worst = error > worst || isnan(error) ? error : worst;
        }
        CHECK_NEAR(worst, 0, is_f64((bdl__target)t) ? fmax(1, bound / 3) : bound);
        free(src.data);
        free(dst.data);
    }
}

static const double none[3];

#define EVENLY(from, to) ((interval){.low = (from), .high = (to)})
#define OVER_SIZES(from, to) ((interval){.low = (from), .high = (to), .logarithmic = true})
#define CHECK_ERROR(function, exact, bound, range_)                                                \
    check_error(BDL__ACTIVATION_##function, none, exact, (range_), (bound))

BDL_TEST(exponentials_are_exact)
{
    CHECK_ERROR(exp, expl, 2, EVENLY(-86.2, 88.7));
    CHECK_ERROR(exp, expl, 2, EVENLY(-1, 1));
    CHECK_ERROR(expm1, expm1l, 2, EVENLY(-30, 88.7));
    CHECK_ERROR(expm1, expm1l, 2, EVENLY(-2, 2));
    CHECK_ERROR(expm1, expm1l, 2, OVER_SIZES(1e-20, 1));
    CHECK_ERROR(expm1, expm1l, 2, OVER_SIZES(-1e-20, -1));
}

BDL_TEST(logarithms_are_exact)
{
    CHECK_ERROR(log, logl, 2, OVER_SIZES(2e-38, 3e38));
    CHECK_ERROR(log, logl, 2, EVENLY(0.5, 2));
    CHECK_ERROR(log1p, log1pl, 2, EVENLY(-0.9999, 3));
    CHECK_ERROR(log1p, log1pl, 2, OVER_SIZES(1e-20, 1e30));
    CHECK_ERROR(log1p, log1pl, 2, OVER_SIZES(-1e-20, -0.999));
}

BDL_TEST(sigmoids_are_exact)
{
    const double params[3] = {1, 1e30};
    CHECK_ERROR(tanh, tanhl, 3, EVENLY(-10, 10));
    CHECK_ERROR(tanh, tanhl, 3, EVENLY(-1, 1));
    CHECK_ERROR(tanh, tanhl, 3, OVER_SIZES(1e-20, 1));
    CHECK_ERROR(sigmoid, sigmoid_exact, 3, EVENLY(-80, 80));
    CHECK_ERROR(sigmoid, sigmoid_exact, 3, EVENLY(-5, 5));
    check_error(BDL__ACTIVATION_softplus, params, softplus_exact, EVENLY(-80, 80), 3);
    check_error(BDL__ACTIVATION_softplus, params, softplus_exact, EVENLY(-5, 5), 3);
}

BDL_TEST(error_function_is_exact)
{
    CHECK_ERROR(erf, erfl, 3, EVENLY(-6.5, 6.5));
    CHECK_ERROR(erf, erfl, 3, EVENLY(-1.1, 1.1));
    CHECK_ERROR(erf, erfl, 3, OVER_SIZES(1e-20, 1));
}

BDL_TEST(floor_is_exact)
{
    CHECK_ERROR(floor, floorl, 0, EVENLY(-3, 3));
    CHECK_ERROR(floor, floorl, 0, EVENLY(-1e7, 1e7));
    CHECK_ERROR(floor, floorl, 0, OVER_SIZES(1e5, 1e30));
}

BDL_TEST(powers_are_exact)
{
    const double powers[] = {-0.75, 0.5, 1.0 / 3, 2, 3, 7, -1, -5, 20, 0.75};
    for (int i = 0; i < (int)(sizeof powers / sizeof powers[0]); i++) {
        const double params[3] = {powers[i], 1, 0};
        exponent = powers[i];
        check_error(BDL__ACTIVATION_power, params, pow_exact, OVER_SIZES(1e-3, 1e3),
                    2 + fabs(exponent) / 2);
    }
    const double params[3] = {-0.75, 1, 0};
    exponent = -0.75;
    check_error(BDL__ACTIVATION_power, params, pow_exact, OVER_SIZES(2e-38, 3e38), 3);
}

/* ---- special values -------------------------------------------------------------------------- */

/* Whether f(x) is `expected`, NaN being equal to itself, on all targets. */
static void check_value(bdl__activation function, const double *params, double x, double expected)
{
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        if (!bdl__target_available((bdl__target)t)) {
            continue;
        }
        vector src = vector_make((bdl__target)t, N_SPECIAL);
        vector dst = vector_make((bdl__target)t, N_SPECIAL);
        for (int64_t i = 0; i < N_SPECIAL; i++) {
            put(&src, i, x);
        }
        apply(function, params, &src, &dst);
        for (int64_t i = 0; i < N_SPECIAL; i++) {
            const double y = get(&dst, i);
            CHECK(isnan(expected) ? isnan(y) : y == expected);
        }
        free(src.data);
        free(dst.data);
    }
}

#define CHECK_VALUE(function, x, expected)                                                         \
    check_value(BDL__ACTIVATION_##function, none, (x), (expected))

BDL_TEST(special_values)
{
    const double inf = (double)INFINITY;
    const double nan_value = (double)NAN;
    CHECK_VALUE(exp, inf, inf);
    CHECK_VALUE(exp, 1e4, inf);
    CHECK_VALUE(exp, -inf, 0);
    CHECK_VALUE(exp, -1e4, 0);
    CHECK_VALUE(exp, 0, 1);
    CHECK_VALUE(expm1, inf, inf);
    CHECK_VALUE(expm1, -inf, -1);
    CHECK_VALUE(expm1, 0, 0);
    CHECK_VALUE(log, 0, -inf);
    CHECK_VALUE(log, -1, nan_value);
    CHECK_VALUE(log, inf, inf);
    CHECK_VALUE(log, 1, 0);
    CHECK_VALUE(log1p, -1, -inf);
    CHECK_VALUE(log1p, -2, nan_value);
    CHECK_VALUE(log1p, inf, inf);
    CHECK_VALUE(log1p, 0, 0);
    CHECK_VALUE(tanh, inf, 1);
    CHECK_VALUE(tanh, -inf, -1);
    CHECK_VALUE(tanh, 0, 0);
    CHECK_VALUE(sigmoid, inf, 1);
    CHECK_VALUE(sigmoid, -inf, 0);
    CHECK_VALUE(sigmoid, -1000, 0);
    CHECK_VALUE(erf, inf, 1);
    CHECK_VALUE(erf, -inf, -1);
    CHECK_VALUE(floor, inf, inf);
    CHECK_VALUE(floor, -0.5, -1);
    CHECK_VALUE(log_sigmoid, -1000, -1000);
    CHECK_VALUE(log_sigmoid, 1000, 0);
}

BDL_TEST(special_powers)
{
    const double inf = (double)INFINITY;
    const double cubed[3] = {3, 1, 0}, inverse[3] = {-1, 1, 0}, root[3] = {0.5, 1, 0};
    const double zeroth[3] = {0, 1, 0};
    check_value(BDL__ACTIVATION_power, cubed, -2, -8);
    check_value(BDL__ACTIVATION_power, cubed, 0, 0);
    check_value(BDL__ACTIVATION_power, cubed, -inf, -inf);
    check_value(BDL__ACTIVATION_power, inverse, 0, inf);
    check_value(BDL__ACTIVATION_power, inverse, inf, 0);
    check_value(BDL__ACTIVATION_power, root, -1, (double)NAN);
    check_value(BDL__ACTIVATION_power, zeroth, 5, 1);
}

BDL_TEST(not_a_number_stays)
{
    const double params[3] = {0.5, 1, 0};
    for (int f = 0; f < BDL__N_ACTIVATIONS; f++) {
        check_value((bdl__activation)f, params, (double)NAN, (double)NAN);
    }
}

/* ---- derivatives ----------------------------------------------------------------------------- */

/* Numbers that suit every function, and where it is smooth. */
typedef struct sample {
    double params[3];
    double low, high;
    double kinks[3];
    int n_kinks;
} sample;

static sample sample_of(bdl__activation function)
{
    sample s = {.params = {0.5, 0.25, 0}, .low = -3, .high = 3};
    switch ((int)function) {
    case BDL__ACTIVATION_elu:
        s.params[1] = 1.5;
        s.n_kinks = 1;
        break;
    case BDL__ACTIVATION_leaky_relu_from_src:
        s.params[0] = -0.5;
        s.n_kinks = 1;
        break;
    case BDL__ACTIVATION_softplus:
        s.params[0] = 2;
        s.params[1] = 4;
        s.kinks[0] = 2;
        s.n_kinks = 1;
        break;
    case BDL__ACTIVATION_threshold:
    case BDL__ACTIVATION_threshold_from_src:
        s.params[1] = function == BDL__ACTIVATION_threshold ? 0.25 : 2;
        s.kinks[0] = 0.5;
        s.n_kinks = 1;
        break;
    case BDL__ACTIVATION_soft_shrink:
    case BDL__ACTIVATION_hard_shrink:
        s.kinks[0] = 0.5;
        s.kinks[1] = -0.5;
        s.n_kinks = 2;
        break;
    case BDL__ACTIVATION_clamp:
        s.params[0] = -1;
        s.params[1] = 2;
        s.kinks[0] = -1;
        s.kinks[1] = 2;
        s.n_kinks = 2;
        break;
    case BDL__ACTIVATION_hard_sigmoid:
        s.kinks[0] = -1;
        s.kinks[1] = 1;
        s.n_kinks = 2;
        break;
    case BDL__ACTIVATION_hard_swish:
        s.kinks[0] = -3;
        s.kinks[1] = 3;
        s.n_kinks = 2;
        break;
    case BDL__ACTIVATION_log:
    case BDL__ACTIVATION_sqrt:
    case BDL__ACTIVATION_reciprocal:
    case BDL__ACTIVATION_log1p:
        s.low = 0.2;
        break;
    case BDL__ACTIVATION_power:
        s.params[0] = 2.5;
        s.params[1] = 0.5;
        s.params[2] = 2;
        break;
    case BDL__ACTIVATION_relu:
    case BDL__ACTIVATION_leaky_relu:
    case BDL__ACTIVATION_abs:
        s.n_kinks = 1;
        break;
    default:
        break;
    }
    return s;
}

static bool near_kink(const sample *s, bdl__activation function, double x)
{
    if (function == BDL__ACTIVATION_floor && fabs(x - round(x)) < 1e-3) {
        return true;
    }
    for (int i = 0; i < s->n_kinks; i++) {
        if (fabs(x - s->kinks[i]) < 1e-3) {
            return true;
        }
    }
    return false;
}

static char reads_of(bdl__activation function)
{
#define FIRST_LETTER(name, reads) #reads[0],
    static const char letters[] = {BDL__ACTIVATION_LIST(FIRST_LETTER)};
    return letters[function];
}

/* The gradient for diff_dst = 2, by the kernel; with `add`, on top of 1. */
static void gradient(bdl__activation function, const sample *s, const vector *src,
                     const vector *dst, vector *diff, bool add)
{
    vector diff_dst = vector_make(src->target, src->n);
    for (int64_t i = 0; i < src->n; i++) {
        put(&diff_dst, i, 2);
        put(diff, i, 1);
    }
    const char reads = reads_of(function);
    const void *x = reads == 'S' ? src->data : reads == 'D' ? dst->data : NULL;
    bdl__activation_kernels(src->target)
        ->activation_backward((int)function, s->params, x, diff_dst.data, diff->data,
                              src->n / bdl__target_lanes(src->target), add);
    free(diff_dst.data);
}

/* Values and gradients of the f64 target, which the others are compared with. */
typedef struct oracle {
    vector src, dst, diff;
} oracle;

static oracle oracle_make(bdl__activation function, const sample *s, int64_t n)
{
    oracle o = {.src = vector_make(BDL__TARGET_F64, n),
                .dst = vector_make(BDL__TARGET_F64, n),
                .diff = vector_make(BDL__TARGET_F64, n)};
    for (int64_t i = 0; i < n; i++) {
        const double x = s->low + (s->high - s->low) * ((double)i + 0.5) / (double)n;
        put(&o.src, i, (double)(float)x);
    }
    apply(function, s->params, &o.src, &o.dst);
    gradient(function, s, &o.src, &o.dst, &o.diff, false);
    return o;
}

static void oracle_free(oracle *o)
{
    free(o->src.data);
    free(o->dst.data);
    free(o->diff.data);
}

BDL_TEST(derivatives_match_differences)
{
    const double h = 1e-6;
    for (int f = 0; f < BDL__N_ACTIVATIONS; f++) {
        if (f == BDL__ACTIVATION_gradient_reversal) {
            continue;
        }
        const bdl__activation function = (bdl__activation)f;
        const sample s = sample_of(function);
        oracle o = oracle_make(function, &s, 512);
        vector low = vector_make(BDL__TARGET_F64, 512), high = vector_make(BDL__TARGET_F64, 512);
        for (int64_t i = 0; i < 512; i++) {
            put(&low, i, get(&o.src, i) - h);
            put(&high, i, get(&o.src, i) + h);
        }
        apply(function, s.params, &low, &low);
        apply(function, s.params, &high, &high);
        for (int64_t i = 0; i < 512; i++) {
            if (!near_kink(&s, function, get(&o.src, i))) {
                const double slope = (get(&high, i) - get(&low, i)) / (2 * h);
                CHECK_NEAR(get(&o.diff, i), 2 * slope, 1e-7 * (1 + fabs(slope)));
            }
        }
        free(low.data);
        free(high.data);
        oracle_free(&o);
    }
}

BDL_TEST(targets_agree_with_f64)
{
    for (int f = 0; f < BDL__N_ACTIVATIONS; f++) {
        const bdl__activation function = (bdl__activation)f;
        const sample s = sample_of(function);
        oracle o = oracle_make(function, &s, 512);
        for (int t = 0; t < BDL__N_TARGETS; t++) {
            if (!bdl__target_available((bdl__target)t)) {
                continue;
            }
            vector src = vector_make((bdl__target)t, 512), dst = vector_make((bdl__target)t, 512);
            vector diff = vector_make((bdl__target)t, 512), sum = vector_make((bdl__target)t, 512);
            for (int64_t i = 0; i < 512; i++) {
                put(&src, i, get(&o.src, i));
            }
            apply(function, s.params, &src, &dst);
            gradient(function, &s, &src, &dst, &diff, false);
            gradient(function, &s, &src, &dst, &sum, true);
            for (int64_t i = 0; i < 512; i++) {
                const double y = get(&o.dst, i), d = get(&o.diff, i);
                CHECK_NEAR(get(&dst, i), y, 1e-6 * (1 + fabs(y)));
                CHECK_NEAR(get(&diff, i), d, 4e-6 * (1 + fabs(d)));
                CHECK_NEAR(get(&sum, i), 1 + get(&diff, i), 4e-7 * (2 + fabs(d)));
            }
            free(src.data);
            free(dst.data);
            free(diff.data);
            free(sum.data);
        }
        oracle_free(&o);
    }
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* Targets with the same arithmetic give the same bits: those that fuse, and those that do not. */
static void check_same_bits(bdl__target one, bdl__target other)
{
    if (!bdl__target_available(one) || !bdl__target_available(other)) {
        return;
    }
    for (int f = 0; f < BDL__N_ACTIVATIONS; f++) {
        const sample s = sample_of((bdl__activation)f);
        vector src = vector_make(one, count());
        vector dst[2] = {vector_make(one, count()), vector_make(other, count())};
        vector same_src = src;
        same_src.target = other;
        for (int64_t i = 0; i < src.n; i++) {
            put(&src, i, 8 * (s.low + (s.high - s.low) * (double)i / (double)src.n));
        }
        apply((bdl__activation)f, s.params, &src, &dst[0]);
        apply((bdl__activation)f, s.params, &same_src, &dst[1]);
        int64_t n_different = 0;
        for (int64_t i = 0; i < src.n; i++) {
            const double a = get(&dst[0], i), b = get(&dst[1], i);
            n_different += !(a == b || (isnan(a) && isnan(b)));
        }
        CHECK_EQ_I64(n_different, 0);
        free(src.data);
        free(dst[0].data);
        free(dst[1].data);
    }
}

BDL_TEST(same_arithmetic_gives_same_bits)
{
    check_same_bits(BDL__TARGET_AVX2, BDL__TARGET_AVX512);
    check_same_bits(BDL__TARGET_SSE4, BDL__TARGET_LANE1);
}

BDL_TEST_MAIN(exponentials_are_exact, logarithms_are_exact, sigmoids_are_exact,
              error_function_is_exact, floor_is_exact, powers_are_exact, special_values,
              special_powers, not_a_number_stays, derivatives_match_differences,
              targets_agree_with_f64, same_arithmetic_gives_same_bits)
