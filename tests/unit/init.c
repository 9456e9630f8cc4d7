/* SPDX-License-Identifier: Apache-2.0 */
/* Initializers: spread and limits, reproducible numbers, formulas of the fixed ones, refusals. */
#include "tensor/init.h"

#include <math.h>
#include <string.h>

#include "test.h"

enum { N = 40000 };

static double values[N];

static const bdl__shape matrix = {.rank = 2, .dim = {200, 200}};

typedef struct moments {
    double mean, std, least, most;
} moments;

static moments fill_matrix(const char *text, int64_t fan_in, int64_t fan_out)
{
    moments m = {.least = (double)INFINITY, .most = -(double)INFINITY};
    CHECK_OK(bdl__init_fill(text, &matrix, fan_in, fan_out, 1, 2, BDL_F64, values));
    for (int i = 0; i < N; i++) {
        m.mean += values[i] / N;
        m.least = fmin(m.least, values[i]);
        m.most = fmax(m.most, values[i]);
    }
    for (int i = 0; i < N; i++) {
        m.std += (values[i] - m.mean) * (values[i] - m.mean) / N;
    }
    m.std = sqrt(m.std);
    return m;
}

/* Uniform within +-bound: the limits are nearly reached and never passed. */
static void check_uniform(const char *text, double bound)
{
    const moments m = fill_matrix(text, 50, 150);
    CHECK_NEAR(m.mean, 0, bound * 0.015);
    CHECK_NEAR(m.std, bound / sqrt(3), bound * 0.01);
    CHECK(m.least >= -bound && m.least < -0.999 * bound);
    CHECK(m.most <= bound && m.most > 0.999 * bound);
}

static void check_normal(const char *text, double mean, double std)
{
    const moments m = fill_matrix(text, 50, 150);
    CHECK_NEAR(m.mean, mean, std * 0.025);
    CHECK_NEAR(m.std, std, std * 0.02);
    CHECK(m.most > mean + 3 * std && m.most < mean + 7 * std);
}

BDL_TEST(uniform_kinds_keep_their_bounds)
{
    check_uniform("torch", 1 / sqrt(50));
    check_uniform("xavier_uniform", sqrt(6.0 / 200));
    check_uniform("xavier_uniform(gain=2)", 2 * sqrt(6.0 / 200));
    check_uniform("kaiming_uniform", sqrt(6.0 / 50));
    check_uniform("kaiming_uniform(mode=fan_out)", sqrt(6.0 / 150));
    check_uniform("kaiming_uniform(a=1)", sqrt(3.0 / 50));
    check_uniform("kaiming_uniform(nonlinearity=linear)", sqrt(3.0 / 50));
    check_uniform("uniform(-0.5, 0.5)", 0.5);
}

BDL_TEST(normal_kinds_have_their_spread)
{
    check_normal("normal(std=0.01)", 0, 0.01);
    check_normal("normal(mean=3,std=2)", 3, 2);
    check_normal("xavier_normal", 0, sqrt(2.0 / 200));
    check_normal("kaiming_normal", 0, sqrt(2.0 / 50));
    check_normal("kaiming_normal(nonlinearity=tanh)", 0, 5.0 / 3 / sqrt(50));
    check_normal("kaiming_normal(nonlinearity=selu)", 0, 0.75 / sqrt(50));
    check_normal("kaiming_normal(nonlinearity=sigmoid,mode=fan_out)", 0, 1 / sqrt(150));
    check_normal("kaiming_normal(nonlinearity=relu)", 0, sqrt(2.0 / 50));
}

BDL_TEST(constants_are_constant)
{
    const moments zeros = fill_matrix("zeros", 1, 1), ones = fill_matrix("ones", 1, 1);
    const moments halves = fill_matrix("constant(0.5)", 1, 1);
    CHECK(zeros.least == 0 && zeros.most == 0);
    CHECK(ones.least == 1 && ones.most == 1);
    CHECK(halves.least == 0.5 && halves.most == 0.5);
}

BDL_TEST(bilinear_interpolates)
{
    const bdl__shape kernel = {.rank = 4, .dim = {1, 2, 4, 3}};
    const double rows[] = {0.25, 0.75, 0.75, 0.25}, columns[] = {0.5, 1, 0.5};
    REQUIRE_OK(bdl__init_fill("bilinear", &kernel, 1, 1, 1, 2, BDL_F64, values));
    for (int i = 0; i < 24; i++) {
        CHECK_NEAR(values[i], rows[i / 3 % 4] * columns[i % 3], 1e-15);
    }
    const bdl__shape vector = {.rank = 1, .dim = {4}};
    CHECK(bdl__init_fill("bilinear", &vector, 1, 1, 1, 2, BDL_F64, values) == BDL_ERR_SHAPE);
}

/* How many of the first 1,000 values two fills share. */
static int n_equal(uint64_t seed, uint32_t stream)
{
    static double again[N];
    int n = 0;
    CHECK_OK(bdl__init_fill("normal", &matrix, 1, 1, 1, 2, BDL_F64, values));
    CHECK_OK(bdl__init_fill("normal", &matrix, 1, 1, seed, stream, BDL_F64, again));
    for (int i = 0; i < 1000; i++) {
        n += values[i] == again[i];
    }
    return n;
}

BDL_TEST(values_follow_from_seed_and_stream)
{
    CHECK_EQ_I64(n_equal(1, 2), 1000);
    CHECK_EQ_I64(n_equal(2, 2), 0);
    CHECK_EQ_I64(n_equal(1, 3), 0);
}

BDL_TEST(f32_is_f64_rounded)
{
    static float rounded[N];
    REQUIRE_OK(bdl__init_fill("torch", &matrix, 50, 1, 9, 9, BDL_F64, values));
    REQUIRE_OK(bdl__init_fill("torch", &matrix, 50, 1, 9, 9, BDL_F32, rounded));
    int n_different = 0;
    for (int i = 0; i < N; i++) {
        n_different += rounded[i] != (float)values[i];
    }
    CHECK_EQ_I64(n_different, 0);
    CHECK(bdl__init_fill("torch", &matrix, 50, 1, 9, 9, BDL_I32, values) == BDL_ERR_UNSUPPORTED);
}

BDL_TEST(wrong_texts_are_refused)
{
    CHECK_OK(bdl__init_check("normal(std=0.01)"));
    CHECK(bdl__init_check("xavier_unifrom") == BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "'xavier_uniform'");
    CHECK(bdl__init_check("xavier") == BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "torch, uniform, xavier_normal, xavier_uniform, zeros");
    CHECK(bdl__init_check("normal(std=-1)") == BDL_ERR_INVALID_ARGUMENT);
    CHECK(bdl__init_check("normal(sdt=1)") == BDL_ERR_INVALID_ARGUMENT);
    CHECK(bdl__init_check("constant") == BDL_ERR_INVALID_ARGUMENT);
    CHECK(bdl__init_check("kaiming_normal(mode=fan)") == BDL_ERR_INVALID_ARGUMENT);
}

BDL_TEST(schemas_have_distinct_names)
{
    int64_t n = 0;
    const bdl__schema *const *schemas = bdl__init_schemas(&n);
    CHECK(n >= 11);
    for (int64_t i = 0; i < n; i++) {
        CHECK(schemas[i]->name != NULL && schemas[i]->summary != NULL);
        for (int64_t j = 0; j < i; j++) {
            CHECK(strcmp(schemas[i]->name, schemas[j]->name) != 0);
        }
    }
}

BDL_TEST_MAIN(uniform_kinds_keep_their_bounds, normal_kinds_have_their_spread,
              constants_are_constant, bilinear_interpolates, values_follow_from_seed_and_stream,
              f32_is_f64_rounded, wrong_texts_are_refused, schemas_have_distinct_names)
