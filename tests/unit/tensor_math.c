/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors: arithmetic, broadcasting, comparisons, products, reductions. */
#include <math.h>

#include "tensor_help.h"
#include "test.h"

/* Calls fn(a, b, &out) on two texts. */
typedef bdl_status (*binary_fn)(const bdl_tensor *, const bdl_tensor *, bdl_tensor **);
typedef bdl_status (*unary_fn)(const bdl_tensor *, bdl_tensor **);

static void expect_binary(binary_fn fn, const char *a, const char *b, const char *result)
{
    bdl_tensor *const left = tensor_of(a);
    bdl_tensor *const right = tensor_of(b);
    EXPECT_TENSOR(fn(left, right, &out), result);
    bdl_tensor_free(left);
    bdl_tensor_free(right);
}

static void refuse_binary(binary_fn fn, const char *a, const char *b, bdl_status code,
                          const char *part)
{
    bdl_tensor *const left = tensor_of(a);
    bdl_tensor *const right = tensor_of(b);
    EXPECT_FAILURE(fn(left, right, &out), code, part);
    bdl_tensor_free(left);
    bdl_tensor_free(right);
}

static void expect_unary(unary_fn fn, const char *a, const char *result)
{
    bdl_tensor *const tensor = tensor_of(a);
    EXPECT_TENSOR(fn(tensor, &out), result);
    bdl_tensor_free(tensor);
}

BDL_TEST(arithmetic_in_every_type)
{
    expect_binary(bdl_tensor_add, "f32 3: 1 2 3", "f32 3: 0.5 0.5 -3", "f32 3: 1.5 2.5 0");
    expect_binary(bdl_tensor_sub, "f64 2: 1 2", "f64 2: 3 0.25", "f64 2: -2 1.75");
    expect_binary(bdl_tensor_mul, "i32 2: 3 -4", "i32 2: 5 6", "i32 2: 15 -24");
    expect_binary(bdl_tensor_div, "f32 3: 1 -1 0", "f32 3: 0 0 0", "f32 3: inf -inf nan");
    expect_binary(bdl_tensor_div, "i64 4: 7 -7 7 -7", "i64 4: 2 2 -2 -2", "i64 4: 3 -3 -3 3");
    expect_binary(bdl_tensor_pow, "f64 2: 2 9", "f64 2: 10 0.5", "f64 2: 1024 3");
    expect_binary(bdl_tensor_pow, "i32 4: 2 -3 0 5", "i32 4: 10 3 0 1", "i32 4: 1024 -27 1 5");
    expect_binary(bdl_tensor_maximum, "f32 3: 1 nan 3", "f32 3: 2 1 nan", "f32 3: 2 nan nan");
    expect_binary(bdl_tensor_minimum, "u8 2: 1 200", "u8 2: 2 100", "u8 2: 1 100");
}

BDL_TEST(integers_wrap_around)
{
    expect_binary(bdl_tensor_add, "u8 1: 250", "u8 1: 10", "u8 1: 4");
    expect_binary(bdl_tensor_sub, "u8 1: 0", "u8 1: 1", "u8 1: 255");
    expect_binary(bdl_tensor_add, "i32 1: 2147483647", "i32 1: 1", "i32 1: -2147483648");
    expect_binary(bdl_tensor_mul, "i64 1: 4611686018427387904", "i64 1: 2",
                  "i64 1: -9223372036854775808");
    expect_binary(bdl_tensor_div, "i32 1: -2147483648", "i32 1: -1", "i32 1: -2147483648");
    expect_unary(bdl_tensor_neg, "i64 1: -9223372036854775808", "i64 1: -9223372036854775808");
    expect_unary(bdl_tensor_abs, "i32 2: -2147483648 -5", "i32 2: -2147483648 5");
    expect_unary(bdl_tensor_neg, "u8 2: 1 0", "u8 2: 255 0");
    refuse_binary(bdl_tensor_div, "i32 2: 1 1", "i32 2: 1 0", BDL_ERR_NUMERIC, "got 0");
    refuse_binary(bdl_tensor_pow, "i64 1: 2", "i64 1: -1", BDL_ERR_NUMERIC, "negative");
}

BDL_TEST(shapes_broadcast)
{
    expect_binary(bdl_tensor_add, "i32 2x1: 10 20", "i32 3: 1 2 3",
                  "i32 2x3: 11 12 13 21 22 23");
    expect_binary(bdl_tensor_mul, "i32: 2", "i32 2x1x2: 1 2 3 4", "i32 2x1x2: 2 4 6 8");
    expect_binary(bdl_tensor_sub, "f32 1x2: 1 2", "f32 2x2: 1 1 1 1", "f32 2x2: 0 1 0 1");
    refuse_binary(bdl_tensor_add, "i32 2x3: 1 2 3 4 5 6", "i32 2: 1 2", BDL_ERR_SHAPE,
                  "add: expected shapes that broadcast, got 2x3 and 2");
    refuse_binary(bdl_tensor_add, "i32 1: 1", "f32 1: 1", BDL_ERR_UNSUPPORTED, "i32 and f32");
}

BDL_TEST(comparisons_give_bytes)
{
    static const char a[] = "f32 4: 1 2 3 nan";
    static const char b[] = "f32 4: 2 2 2 nan";
    expect_binary(bdl_tensor_eq, a, b, "u8 4: 0 1 0 0");
    expect_binary(bdl_tensor_ne, a, b, "u8 4: 1 0 1 1");
    expect_binary(bdl_tensor_lt, a, b, "u8 4: 1 0 0 0");
    expect_binary(bdl_tensor_le, a, b, "u8 4: 1 1 0 0");
    expect_binary(bdl_tensor_gt, a, b, "u8 4: 0 0 1 0");
    expect_binary(bdl_tensor_ge, a, b, "u8 4: 0 1 1 0");
    expect_binary(bdl_tensor_lt, "i64 2x1: 1 5", "i64: 3", "u8 2x1: 1 0");
}

BDL_TEST(functions_of_one_tensor)
{
    expect_unary(bdl_tensor_exp, "f64 2: 0 1", "f64 2: 1 2.71828183");
    expect_unary(bdl_tensor_log, "f32 2: 1 0", "f32 2: 0 -inf");
    expect_unary(bdl_tensor_sqrt, "f32 2: 4 2.25", "f32 2: 2 1.5");
    expect_unary(bdl_tensor_tanh, "f64 2: 0 0.5", "f64 2: 0 0.462117157");
    expect_unary(bdl_tensor_sigmoid, "f64 3: 0 100 -2", "f64 3: 0.5 1 0.119202922");
    expect_unary(bdl_tensor_neg, "f32 2: 1 -0.5", "f32 2: -1 0.5");
    expect_unary(bdl_tensor_abs, "f32 2: 1 -0.5", "f32 2: 1 0.5");
    bdl_tensor *const t = tensor_of("i32 2: 1 2");
    EXPECT_FAILURE(bdl_tensor_exp(t, &out), BDL_ERR_UNSUPPORTED, "exp: expected a tensor of f32");
    EXPECT_FAILURE(bdl_tensor_mean(t, 0, false, &out), BDL_ERR_UNSUPPORTED, "got i32");
    bdl_tensor_free(t);
}

BDL_TEST(values_are_clamped)
{
    bdl_tensor *const f = tensor_of("f32 4: -3 0.5 9 nan");
    bdl_tensor *const u = tensor_of("u8 3: 0 100 255");
    EXPECT_TENSOR(bdl_tensor_clamp(f, -1, 1, &out), "f32 4: -1 0.5 1 nan");
    EXPECT_TENSOR(bdl_tensor_clamp(u, -INFINITY, 50, &out), "u8 3: 0 50 50");
    EXPECT_FAILURE(bdl_tensor_clamp(f, 1, 0, &out), BDL_ERR_INVALID_ARGUMENT, "got 1 and 0");
    EXPECT_FAILURE(bdl_tensor_clamp(u, -1, 1, &out), BDL_ERR_INVALID_ARGUMENT, "got -1");
    bdl_tensor_free(f);
    bdl_tensor_free(u);
}

BDL_TEST(values_join_in)
{
    bdl_tensor *const t = tensor_of("i32 2: 6 7");
    bdl_tensor *const f = tensor_of("f64 2: 6 7");
    EXPECT_TENSOR(bdl_tensor_add_value(t, 3, &out), "i32 2: 9 10");
    EXPECT_TENSOR(bdl_tensor_sub_value(t, 3, &out), "i32 2: 3 4");
    EXPECT_TENSOR(bdl_tensor_mul_value(f, 0.5, &out), "f64 2: 3 3.5");
    EXPECT_TENSOR(bdl_tensor_div_value(t, 4, &out), "i32 2: 1 1");
    EXPECT_TENSOR(bdl_tensor_pow_value(f, 2, &out), "f64 2: 36 49");
    EXPECT_FAILURE(bdl_tensor_div_value(t, 0, &out), BDL_ERR_NUMERIC, "got 0");
    EXPECT_FAILURE(bdl_tensor_add_value(t, 0.5, &out), BDL_ERR_INVALID_ARGUMENT, "got 0.5");
    bdl_tensor_free(t);
    bdl_tensor_free(f);
}

BDL_TEST(arithmetic_in_place)
{
    bdl_tensor *const t = tensor_of("f64 2x2: 1 2 3 4");
    bdl_tensor *const row = tensor_of("f64 2: 10 20");
    bdl_tensor *const wide = tensor_of("f64 3: 1 2 3");
    bdl_tensor *const zero = tensor_of("i32 1: 0");
    bdl_tensor *const one = tensor_of("i32 1: 1");
    bdl_tensor *turned = NULL;
    CHECK_OK(bdl_tensor_add_in_place(t, row));
    CHECK_STR_EQ(tensor_text(t), "f64 2x2: 11 22 13 24");
    CHECK_OK(bdl_tensor_sub_in_place(t, row));
    CHECK_OK(bdl_tensor_mul_in_place(t, t));
    CHECK_STR_EQ(tensor_text(t), "f64 2x2: 1 4 9 16");
    CHECK_OK(bdl_tensor_div_in_place(t, row));
    CHECK_STR_EQ(tensor_text(t), "f64 2x2: 0.1 0.2 0.9 0.8");
    CHECK_OK(bdl_tensor_mul_in_place(t, row));
    REQUIRE_OK(bdl_tensor_transpose(t, 0, 1, &turned));
    CHECK_OK(bdl_tensor_add_in_place(t, turned)); /* overlapping */
    CHECK_STR_EQ(tensor_text(t), "f64 2x2: 2 13 13 32");
    CHECK_EQ_I64(bdl_tensor_add_in_place(t, wide), BDL_ERR_SHAPE);
    CHECK_STR_HAS(bdl_last_error(), "broadcasts to 2x2, got 3");
    CHECK_EQ_I64(bdl_tensor_div_in_place(one, zero), BDL_ERR_NUMERIC);
    CHECK_EQ_I64(bdl_tensor_add_in_place(one, row), BDL_ERR_UNSUPPORTED);
    CHECK_STR_EQ(tensor_text(one), "i32 1: 1");
    bdl_tensor_free(t);
    bdl_tensor_free(row);
    bdl_tensor_free(wide);
    bdl_tensor_free(zero);
    bdl_tensor_free(one);
    bdl_tensor_free(turned);
}

BDL_TEST(products_follow_the_ranks)
{
    static const char m23[] = "f32 2x3: 1 2 3 4 5 6";
    static const char m32[] = "f32 3x2: 1 0 0 1 1 1";
    expect_binary(bdl_tensor_matmul, m23, m32, "f32 2x2: 4 5 10 11");
    expect_binary(bdl_tensor_matmul, m23, "f32 3: 1 1 1", "f32 2: 6 15");
    expect_binary(bdl_tensor_matmul, "f32 2: 1 2", m23, "f32 3: 9 12 15");
    expect_binary(bdl_tensor_matmul, "f64 3: 1 2 3", "f64 3: 4 5 6", "f64: 32");
    expect_binary(bdl_tensor_dot, "i64 3: 1 2 3", "i64 3: 4 5 6", "i64: 32");
    expect_binary(bdl_tensor_matmul, "u8 1x1: 20", "u8 1x1: 20", "u8 1x1: 144");
    expect_binary(bdl_tensor_matmul, "i32 2x1x2: 1 2 3 4", "i32 2x1: 10 1", "i32 2x1x1: 12 34");
    expect_binary(bdl_tensor_matmul, "i32 2x1x1x2: 1 2 3 4", "i32 2x2x1: 1 1 1 -1",
                  "i32 2x2x1x1: 3 -1 7 -1");
    refuse_binary(bdl_tensor_matmul, m23, m23, BDL_ERR_SHAPE, "got 2x3 and 2x3");
    refuse_binary(bdl_tensor_matmul, "f32: 1", m23, BDL_ERR_SHAPE, "got scalar and 2x3");
    refuse_binary(bdl_tensor_matmul, m23, "f64 3: 1 1 1", BDL_ERR_UNSUPPORTED, "f32 and f64");
    refuse_binary(bdl_tensor_dot, m23, "f32 3: 1 1 1", BDL_ERR_SHAPE, "two vectors");
    refuse_binary(bdl_tensor_dot, "f32 2: 1 1", "f32 3: 1 1 1", BDL_ERR_SHAPE, "got 2 and 3");
}

static double at(const bdl_tensor *t, int64_t i, int64_t j)
{
    const int64_t index[] = {i, j};
    double value = 0;
    CHECK_OK(bdl_tensor_get(t, index, &value));
    return value;
}

/* A product larger than the blocks, from a transposed view, against three plain loops. */
BDL_TEST(large_products_match_plain_loops)
{
    static const int64_t shape_a[] = {131, 37};
    static const int64_t shape_b[] = {131, 523};
    bdl_tensor *a = NULL;
    bdl_tensor *b = NULL;
    bdl_tensor *turned = NULL;
    bdl_tensor *c = NULL;
    REQUIRE_OK(bdl_tensor_randn(NULL, BDL_F64, 2, shape_a, 1, &a));
    REQUIRE_OK(bdl_tensor_randn(NULL, BDL_F64, 2, shape_b, 2, &b));
    REQUIRE_OK(bdl_tensor_transpose(a, 0, 1, &turned));
    REQUIRE_OK(bdl_tensor_matmul(turned, b, &c));
    double worst = 0;
    for (int64_t i = 0; i < 37; i++) {
        for (int64_t j = 0; j < 523; j++) {
            double sum = 0;
            for (int64_t k = 0; k < 131; k++) {
                sum += at(a, k, i) * at(b, k, j);
            }
            worst = fmax(worst, fabs(sum - at(c, i, j)));
        }
    }
    CHECK(worst < 1e-12);
    bdl_tensor_free(a);
    bdl_tensor_free(b);
    bdl_tensor_free(turned);
    bdl_tensor_free(c);
}

BDL_TEST(sums_and_means)
{
    bdl_tensor *const t = tensor_of("f32 2x3: 1 2 3 4 5 6");
    bdl_tensor *const u = tensor_of("u8 2x2: 200 100 50 250");
    bdl_tensor *turned = NULL;
    EXPECT_TENSOR(bdl_tensor_sum(t, BDL_ALL_AXES, false, &out), "f32: 21");
    EXPECT_TENSOR(bdl_tensor_sum(t, BDL_ALL_AXES, true, &out), "f32 1x1: 21");
    EXPECT_TENSOR(bdl_tensor_sum(t, 0, false, &out), "f32 3: 5 7 9");
    EXPECT_TENSOR(bdl_tensor_sum(t, -1, true, &out), "f32 2x1: 6 15");
    EXPECT_TENSOR(bdl_tensor_mean(t, 1, false, &out), "f32 2: 2 5");
    EXPECT_TENSOR(bdl_tensor_sum(u, 1, false, &out), "i64 2: 300 300");
    REQUIRE_OK(bdl_tensor_transpose(t, 0, 1, &turned));
    EXPECT_TENSOR(bdl_tensor_sum(turned, 0, false, &out), "f32 2: 6 15");
    EXPECT_TENSOR(bdl_tensor_argmax(turned, BDL_ALL_AXES, false, &out), "i64: 5");
    EXPECT_FAILURE(bdl_tensor_sum(t, 2, false, &out), BDL_ERR_INVALID_ARGUMENT, "got 2");
    EXPECT_FAILURE(bdl_tensor_sum(NULL, 2, false, &out), BDL_ERR_INVALID_ARGUMENT, "NULL");
    bdl_tensor_free(t);
    bdl_tensor_free(u);
    bdl_tensor_free(turned);
}

BDL_TEST(extremes_and_their_places)
{
    bdl_tensor *const t = tensor_of("i32 2x3: 1 7 7 -4 5 -4");
    bdl_tensor *const f = tensor_of("f64 2x2: 1 nan 3 2");
    EXPECT_TENSOR(bdl_tensor_max(t, 1, false, &out), "i32 2: 7 5");
    EXPECT_TENSOR(bdl_tensor_min(t, 0, true, &out), "i32 1x3: -4 5 -4");
    EXPECT_TENSOR(bdl_tensor_argmax(t, 1, false, &out), "i64 2: 1 1");
    EXPECT_TENSOR(bdl_tensor_argmin(t, BDL_ALL_AXES, false, &out), "i64: 3");
    EXPECT_TENSOR(bdl_tensor_max(f, 1, false, &out), "f64 2: nan 3");
    EXPECT_TENSOR(bdl_tensor_argmin(f, 0, false, &out), "i64 2: 0 0");
    bdl_tensor_free(t);
    bdl_tensor_free(f);
}

BDL_TEST(norms_and_variances)
{
    bdl_tensor *const t = tensor_of("f64 2x2: 3 -4 0 12");
    EXPECT_TENSOR(bdl_tensor_norm(t, 2, BDL_ALL_AXES, false, &out), "f64: 13");
    EXPECT_TENSOR(bdl_tensor_norm(t, 2, 1, false, &out), "f64 2: 5 12");
    EXPECT_TENSOR(bdl_tensor_norm(t, 1, 0, false, &out), "f64 2: 3 16");
    EXPECT_TENSOR(bdl_tensor_norm(t, 0, 1, false, &out), "f64 2: 2 1");
    EXPECT_TENSOR(bdl_tensor_norm(t, INFINITY, 1, false, &out), "f64 2: 4 12");
    EXPECT_TENSOR(bdl_tensor_norm(t, 3, 1, false, &out), "f64 2: 4.49794145 12");
    EXPECT_FAILURE(bdl_tensor_norm(t, -1, 1, false, &out), BDL_ERR_INVALID_ARGUMENT, "got -1");
    EXPECT_TENSOR(bdl_tensor_var(t, 1, 1, false, &out), "f64 2: 24.5 72");
    EXPECT_TENSOR(bdl_tensor_var(t, 0, 1, true, &out), "f64 2x1: 12.25 36");
    EXPECT_TENSOR(bdl_tensor_std(t, 0, 1, false, &out), "f64 2: 3.5 6");
    EXPECT_TENSOR(bdl_tensor_var(t, 2, 1, false, &out), "f64 2: nan nan");
    bdl_tensor_free(t);
}

static bool close_to(const char *a, const char *b, double rtol, double atol)
{
    bdl_tensor *const left = tensor_of(a);
    bdl_tensor *const right = tensor_of(b);
    bool result = false;
    CHECK_OK(bdl_tensor_all_close(left, right, rtol, atol, &result));
    bdl_tensor_free(left);
    bdl_tensor_free(right);
    return result;
}

BDL_TEST(closeness_as_in_numpy)
{
    CHECK(close_to("f64 2: 1 100", "f64 2: 1.01 101", 0.01, 0));
    CHECK(!close_to("f64 2: 1 100", "f64 2: 1.02 101", 0.01, 0));
    CHECK(close_to("f64 2: 0 0.5", "f64: 0.25", 0, 0.25));
    CHECK(close_to("f32 2: inf -inf", "f32 2: inf -inf", 0, 0));
    CHECK(!close_to("f32 1: 1", "f32 1: inf", 1, 1));
    CHECK(!close_to("f32 1: inf", "f32 1: 1", 1, 1));
    CHECK(!close_to("f32 1: nan", "f32 1: nan", 1, 1));
    CHECK(!close_to("i64 1: 9007199254740993", "i64 1: 9007199254740992", 0, 0));
}

BDL_TEST(equality_needs_type_and_shape)
{
    bdl_tensor *const a = tensor_of("f32 2: 1 2");
    bdl_tensor *const b = tensor_of("f64 2: 1 2");
    bdl_tensor *const c = tensor_of("f32 1x2: 1 2");
    bool same = true;
    CHECK_OK(bdl_tensor_equal(a, a, &same));
    CHECK(same);
    CHECK_OK(bdl_tensor_equal(a, b, &same));
    CHECK(!same);
    CHECK_OK(bdl_tensor_equal(a, c, &same));
    CHECK(!same);
    CHECK_EQ_I64(bdl_tensor_all_close(a, b, 0, 0, &same), BDL_ERR_UNSUPPORTED);
    CHECK_EQ_I64(bdl_tensor_all_close(a, c, -1, 0, &same), BDL_ERR_INVALID_ARGUMENT);
    bdl_tensor_free(a);
    bdl_tensor_free(b);
    bdl_tensor_free(c);
}

BDL_TEST_MAIN(arithmetic_in_every_type, integers_wrap_around, shapes_broadcast,
              comparisons_give_bytes, functions_of_one_tensor, values_are_clamped, values_join_in,
              arithmetic_in_place, products_follow_the_ranks, large_products_match_plain_loops,
              sums_and_means, extremes_and_their_places, norms_and_variances,
              closeness_as_in_numpy, equality_needs_type_and_shape)
