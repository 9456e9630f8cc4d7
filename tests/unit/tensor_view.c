/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors: making, views, copies, conversions, single elements. */
#include <math.h>
#include <string.h>

#include "tensor/tensor.h"
#include "tensor_help.h"
#include "test.h"

BDL_TEST(tensors_are_made_with_their_values)
{
    static const int64_t shape[] = {2, 3};
    static const float data[] = {1, 2, 3, 4, 5, 6};
    EXPECT_TENSOR(bdl_tensor_create(NULL, BDL_F32, 2, shape, data, &out), "f32 2x3: 1 2 3 4 5 6");
    EXPECT_TENSOR(bdl_tensor_zeros(NULL, BDL_I32, 2, shape, &out), "i32 2x3: 0 0 0 0 0 0");
    EXPECT_TENSOR(bdl_tensor_ones(NULL, BDL_U8, 1, shape, &out), "u8 2: 1 1");
    EXPECT_TENSOR(bdl_tensor_full(NULL, BDL_I64, 1, shape, -7, &out), "i64 2: -7 -7");
    EXPECT_TENSOR(bdl_tensor_full(NULL, BDL_F64, 0, NULL, 2.5, &out), "f64: 2.5");
    EXPECT_TENSOR(bdl_tensor_arange(NULL, BDL_I32, 0, 5, 2, &out), "i32 3: 0 2 4");
    EXPECT_TENSOR(bdl_tensor_arange(NULL, BDL_F64, 1, 0, -0.25, &out), "f64 4: 1 0.75 0.5 0.25");
}

BDL_TEST(impossible_tensors_are_refused)
{
    static const int64_t empty[] = {2, 0};
    static const int64_t huge[] = {INT64_C(1) << 40, INT64_C(1) << 40};
    EXPECT_FAILURE(bdl_tensor_zeros(NULL, BDL_F32, 2, empty, &out), BDL_ERR_SHAPE, "got 0");
    EXPECT_FAILURE(bdl_tensor_zeros(NULL, BDL_F32, 2, huge, &out), BDL_ERR_SHAPE, "2^40");
    EXPECT_FAILURE(bdl_tensor_zeros(NULL, BDL_F32, 9, huge, &out), BDL_ERR_SHAPE, "got 9");
    EXPECT_FAILURE(bdl_tensor_zeros(NULL, BDL_F32, 1, NULL, &out), BDL_ERR_INVALID_ARGUMENT,
                   "NULL");
    EXPECT_FAILURE(bdl_tensor_zeros(NULL, BDL_BF16, 1, huge, &out), BDL_ERR_UNSUPPORTED, "bf16");
    EXPECT_FAILURE(bdl_tensor_zeros(NULL, (bdl_dtype)77, 1, huge, &out), BDL_ERR_INVALID_ARGUMENT,
                   "77");
    EXPECT_FAILURE(bdl_tensor_full(NULL, BDL_U8, 0, NULL, 256, &out), BDL_ERR_INVALID_ARGUMENT,
                   "u8 holds exactly, got 256");
    EXPECT_FAILURE(bdl_tensor_full(NULL, BDL_I32, 0, NULL, 0.5, &out), BDL_ERR_INVALID_ARGUMENT,
                   "got 0.5");
    EXPECT_FAILURE(bdl_tensor_full(NULL, BDL_I64, 0, NULL, NAN, &out), BDL_ERR_INVALID_ARGUMENT,
                   "got ");
    EXPECT_FAILURE(bdl_tensor_arange(NULL, BDL_F32, 0, 1, 0, &out), BDL_ERR_INVALID_ARGUMENT,
                   "step other than 0");
    EXPECT_FAILURE(bdl_tensor_arange(NULL, BDL_F32, 1, 0, 1, &out), BDL_ERR_SHAPE, "got 0");
    EXPECT_FAILURE(bdl_tensor_arange(NULL, BDL_I32, 0, 1, 0.5, &out), BDL_ERR_INVALID_ARGUMENT,
                   "got 0.5");
    EXPECT_FAILURE(bdl_tensor_rand(NULL, BDL_I32, 0, NULL, 1, &out), BDL_ERR_UNSUPPORTED, "i32");
}

BDL_TEST(random_tensors_repeat_and_have_their_moments)
{
    static const int64_t n = 20000;
    bdl_tensor *a = NULL;
    bdl_tensor *b = NULL;
    bool same = false;
    double sum = 0;
    double squares = 0;
    REQUIRE_OK(bdl_tensor_randn(NULL, BDL_F64, 1, &n, 5, &a));
    REQUIRE_OK(bdl_tensor_randn(NULL, BDL_F64, 1, &n, 5, &b));
    CHECK_OK(bdl_tensor_equal(a, b, &same));
    CHECK(same);
    for (int64_t i = 0; i < n; i++) {
        const double x = ((const double *)bdl_tensor_data(a))[i];
        sum += x;
        squares += x * x;
    }
    CHECK_NEAR(sum / (double)n, 0, 0.03);
    CHECK_NEAR(squares / (double)n, 1, 0.05);
    bdl_tensor_free(b);
    REQUIRE_OK(bdl_tensor_randn(NULL, BDL_F64, 1, &n, 6, &b));
    CHECK_OK(bdl_tensor_equal(a, b, &same));
    CHECK(!same);
    bdl_tensor_free(a);
    bdl_tensor_free(b);
    REQUIRE_OK(bdl_tensor_rand(NULL, BDL_F32, 1, &n, 5, &a));
    for (int64_t i = 0; i < n; i++) {
        const float x = ((const float *)bdl_tensor_data(a))[i];
        CHECK(x >= 0 && x < 1);
    }
    bdl_tensor_free(a);
}

BDL_TEST(views_share_elements)
{
    bdl_tensor *const t = tensor_of("i32 2x3: 1 2 3 4 5 6");
    bdl_tensor *narrow = NULL;
    bdl_tensor *column = NULL;
    EXPECT_TENSOR(bdl_tensor_narrow(t, 1, 1, 2, &out), "i32 2x2: 2 3 5 6");
    EXPECT_TENSOR(bdl_tensor_narrow(t, -1, -2, 1, &out), "i32 2x1: 2 5");
    EXPECT_TENSOR(bdl_tensor_select(t, 0, 1, &out), "i32 3: 4 5 6");
    EXPECT_TENSOR(bdl_tensor_transpose(t, 0, 1, &out), "i32 3x2: 1 4 2 5 3 6");
    REQUIRE_OK(bdl_tensor_narrow(t, 1, 1, 2, &narrow));
    REQUIRE_OK(bdl_tensor_select(narrow, -1, -1, &column));
    CHECK(!bdl_tensor_is_contiguous(narrow) && bdl_tensor_is_contiguous(t));
    CHECK_EQ_I64(bdl_tensor_strides(column)[0], 3);
    CHECK_OK(bdl_tensor_fill(column, 9));
    CHECK_STR_EQ(tensor_text(t), "i32 2x3: 1 2 9 4 5 9");
    bdl_tensor_free(t); /* the storage lives on */
    bdl_tensor_free(narrow);
    CHECK_STR_EQ(tensor_text(column), "i32 2: 9 9");
    bdl_tensor_free(column);
}

BDL_TEST(axes_can_be_permuted)
{
    static const int32_t order[] = {2, 0, -2};
    static const int32_t twice[] = {0, 1, 1};
    bdl_tensor *const t = tensor_of("u8 2x3x2: 1 2 3 4 5 6 7 8 9 10 11 12");
    EXPECT_TENSOR(bdl_tensor_permute(t, order, &out),
                  "u8 2x2x3: 1 3 5 7 9 11 2 4 6 8 10 12");
    EXPECT_FAILURE(bdl_tensor_permute(t, twice, &out), BDL_ERR_INVALID_ARGUMENT, "axis 1 twice");
    bdl_tensor_free(t);
}

BDL_TEST(shapes_can_be_viewed_where_strides_allow)
{
    static const int64_t to_6[] = {-1};
    static const int64_t to_1x3x2x1[] = {1, 3, 2, 1};
    static const int64_t to_4[] = {4, -1};
    static const int64_t two_missing[] = {-1, -1};
    bdl_tensor *const t = tensor_of("f32 2x3: 1 2 3 4 5 6");
    bdl_tensor *turned = NULL;
    bdl_tensor *wide = NULL;
    bdl_tensor *cut = NULL;
    EXPECT_TENSOR(bdl_tensor_view(t, 1, to_6, &out), "f32 6: 1 2 3 4 5 6");
    EXPECT_TENSOR(bdl_tensor_view(t, 4, to_1x3x2x1, &out), "f32 1x3x2x1: 1 2 3 4 5 6");
    EXPECT_FAILURE(bdl_tensor_view(t, 2, to_4, &out), BDL_ERR_SHAPE, "6 elements for 2x3");
    EXPECT_FAILURE(bdl_tensor_view(t, 2, two_missing, &out), BDL_ERR_SHAPE, "at most one -1");
    REQUIRE_OK(bdl_tensor_transpose(t, 0, 1, &turned));
    EXPECT_FAILURE(bdl_tensor_view(turned, 1, to_6, &out), BDL_ERR_SHAPE, "use reshape");
    EXPECT_TENSOR(bdl_tensor_reshape(turned, 1, to_6, &out), "f32 6: 1 4 2 5 3 6");
    EXPECT_TENSOR(bdl_tensor_view(turned, 4, (const int64_t[]){3, 1, 2, 1}, &out),
                  "f32 3x1x2x1: 1 4 2 5 3 6");
    REQUIRE_OK(bdl_tensor_arange(NULL, BDL_I32, 0, 24, 1, &wide));
    bdl_tensor *grid = NULL;
    REQUIRE_OK(bdl_tensor_view(wide, 2, (const int64_t[]){4, 6}, &grid));
    REQUIRE_OK(bdl_tensor_narrow(grid, 0, 1, 2, &cut)); /* rows stay joined */
    EXPECT_TENSOR(bdl_tensor_view(cut, 2, (const int64_t[]){3, 4}, &out),
                  "i32 3x4: 6 7 8 9 10 11 12 13 14 15 16 17");
    bdl_tensor_free(cut);
    REQUIRE_OK(bdl_tensor_narrow(grid, 1, 0, 4, &cut)); /* rows have gaps */
    EXPECT_FAILURE(bdl_tensor_view(cut, 1, (const int64_t[]){16}, &out), BDL_ERR_SHAPE, "reshape");
    EXPECT_TENSOR(bdl_tensor_view(cut, 3, (const int64_t[]){4, 2, 2}, &out),
                  "i32 4x2x2: 0 1 2 3 6 7 8 9 12 13 14 15 18 19 20 21");
    bdl_tensor_free(t);
    bdl_tensor_free(turned);
    bdl_tensor_free(wide);
    bdl_tensor_free(grid);
    bdl_tensor_free(cut);
}

BDL_TEST(single_numbers_have_views_too)
{
    bdl_tensor *const t = tensor_of("f64: 3");
    EXPECT_TENSOR(bdl_tensor_view(t, 2, (const int64_t[]){1, 1}, &out), "f64 1x1: 3");
    EXPECT_TENSOR(bdl_tensor_expand(t, 1, (const int64_t[]){3}, &out), "f64 3: 3 3 3");
    EXPECT_FAILURE(bdl_tensor_select(t, 0, 0, &out), BDL_ERR_INVALID_ARGUMENT, "rank 0");
    bdl_tensor_free(t);
}

BDL_TEST(expanded_views_can_be_read_but_not_written)
{
    static const int64_t shape[] = {2, 3};
    bdl_tensor *const t = tensor_of("i64 2x1: 7 8");
    bdl_tensor *wide = NULL;
    REQUIRE_OK(bdl_tensor_expand(t, 2, shape, &wide));
    CHECK_STR_EQ(tensor_text(wide), "i64 2x3: 7 7 7 8 8 8");
    CHECK_EQ_I64(bdl_tensor_fill(wide, 1), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "expanded view");
    CHECK_EQ_I64(bdl_tensor_set(wide, shape, 1), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_copy(wide, t), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_add_in_place(wide, t), BDL_ERR_INVALID_ARGUMENT);
    EXPECT_TENSOR(bdl_tensor_contiguous(wide, &out), "i64 2x3: 7 7 7 8 8 8");
    EXPECT_FAILURE(bdl_tensor_expand(wide, 1, shape, &out), BDL_ERR_SHAPE, "2x3");
    bdl_tensor_free(t);
    bdl_tensor_free(wide);
}

BDL_TEST(copies_are_independent)
{
    bdl_tensor *const t = tensor_of("f64 2x2: 1 2 3 4");
    bdl_tensor *turned = NULL;
    bdl_tensor *copied = NULL;
    bdl_tensor *shared = NULL;
    REQUIRE_OK(bdl_tensor_transpose(t, 0, 1, &turned));
    REQUIRE_OK(bdl_tensor_clone(turned, &copied));
    REQUIRE_OK(bdl_tensor_contiguous(t, &shared));
    CHECK_OK(bdl_tensor_fill(t, 0));
    CHECK_STR_EQ(tensor_text(copied), "f64 2x2: 1 3 2 4");
    CHECK_STR_EQ(tensor_text(shared), "f64 2x2: 0 0 0 0");
    CHECK_OK(bdl_tensor_copy(turned, copied));
    CHECK_STR_EQ(tensor_text(t), "f64 2x2: 1 2 3 4");
    CHECK_OK(bdl_tensor_copy(t, turned)); /* overlapping: in effect a transposition in place */
    CHECK_STR_EQ(tensor_text(t), "f64 2x2: 1 3 2 4");
    bdl_tensor_free(t);
    bdl_tensor_free(turned);
    bdl_tensor_free(copied);
    bdl_tensor_free(shared);
}

BDL_TEST(shifted_views_may_be_copied_onto_each_other)
{
    bdl_tensor *const t = tensor_of("i32 5: 1 2 3 4 5");
    bdl_tensor *low = NULL;
    bdl_tensor *high = NULL;
    REQUIRE_OK(bdl_tensor_narrow(t, 0, 0, 4, &low));
    REQUIRE_OK(bdl_tensor_narrow(t, 0, 1, 4, &high));
    CHECK_OK(bdl_tensor_copy(high, low));
    CHECK_STR_EQ(tensor_text(t), "i32 5: 1 1 2 3 4");
    CHECK_OK(bdl_tensor_add_in_place(low, high));
    CHECK_STR_EQ(tensor_text(t), "i32 5: 2 3 5 7 4");
    CHECK_EQ_I64(bdl_tensor_copy(low, t), BDL_ERR_SHAPE);
    CHECK_STR_HAS(bdl_last_error(), "broadcasts to 4, got 5");
    bdl_tensor_free(t);
    bdl_tensor_free(low);
    bdl_tensor_free(high);
}

BDL_TEST(types_are_converted)
{
    bdl_tensor *const f = tensor_of("f64 4: 1.75 -1.75 255.5 0");
    bdl_tensor *const i = tensor_of("i64 3: -1 4294967298 300");
    bdl_tensor *const bad = tensor_of("f32 2: 1 3e9");
    bdl_tensor *const edge = tensor_of("f64 2: -9223372036854775808 2147483647.5");
    bdl_tensor *const small = tensor_of("i32 2: 5 5");
    EXPECT_TENSOR(bdl_tensor_convert(f, BDL_I32, &out), "i32 4: 1 -1 255 0");
    EXPECT_TENSOR(bdl_tensor_convert(f, BDL_F32, &out), "f32 4: 1.75 -1.75 255.5 0");
    EXPECT_FAILURE(bdl_tensor_convert(f, BDL_U8, &out), BDL_ERR_NUMERIC, "u8 can hold");
    EXPECT_TENSOR(bdl_tensor_convert(i, BDL_I32, &out), "i32 3: -1 2 300");
    EXPECT_TENSOR(bdl_tensor_convert(i, BDL_U8, &out), "u8 3: 255 2 44");
    EXPECT_TENSOR(bdl_tensor_convert(i, BDL_F64, &out), "f64 3: -1 4.2949673e+09 300");
    EXPECT_TENSOR(bdl_tensor_convert(edge, BDL_I64, &out),
                  "i64 2: -9223372036854775808 2147483647");
    EXPECT_FAILURE(bdl_tensor_convert(bad, BDL_I32, &out), BDL_ERR_NUMERIC, "i32");
    EXPECT_FAILURE(bdl_tensor_convert(f, BDL_BF16, &out), BDL_ERR_UNSUPPORTED, "bf16");
    CHECK_EQ_I64(bdl_tensor_copy(small, bad), BDL_ERR_NUMERIC);
    CHECK_STR_EQ(tensor_text(small), "i32 2: 5 5"); /* unchanged */
    bdl_tensor_free(f);
    bdl_tensor_free(i);
    bdl_tensor_free(bad);
    bdl_tensor_free(edge);
    bdl_tensor_free(small);
}

BDL_TEST(elements_are_read_and_written)
{
    bdl_tensor *const t = tensor_of("i64 2x2: 1 2 3 9007199254740993");
    bdl_tensor *const f = tensor_of("f32 1: 0.5");
    int64_t whole = 0;
    double value = 0;
    CHECK_OK(bdl_tensor_get_i64(t, (const int64_t[]){1, -1}, &whole));
    CHECK_EQ_I64(whole, INT64_C(9007199254740993));
    CHECK_OK(bdl_tensor_set_i64(t, (const int64_t[]){-2, 0}, INT64_MIN));
    CHECK_OK(bdl_tensor_get(t, (const int64_t[]){0, 0}, &value));
    CHECK_NEAR(value, -0x1p63, 0);
    CHECK_EQ_I64(bdl_tensor_get(t, (const int64_t[]){0, 2}, &value), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "expected -2 to 1, got 2");
    CHECK_EQ_I64(bdl_tensor_get(t, NULL, &value), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_set(t, (const int64_t[]){0, 0}, 0.5), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_get_i64(f, (const int64_t[]){0}, &whole), BDL_ERR_UNSUPPORTED);
    bdl_tensor_free(t);
    bdl_tensor_free(f);
}

BDL_TEST(bad_views_are_explained)
{
    bdl_tensor *const t = tensor_of("f32 2x3: 1 2 3 4 5 6");
    EXPECT_FAILURE(bdl_tensor_narrow(t, 2, 0, 1, &out), BDL_ERR_INVALID_ARGUMENT,
                   "expected -2 to 1 for rank 2, got 2");
    EXPECT_FAILURE(bdl_tensor_narrow(t, 1, 2, 2, &out), BDL_ERR_INVALID_ARGUMENT, "got 2 from 2");
    EXPECT_FAILURE(bdl_tensor_narrow(t, 1, 0, 0, &out), BDL_ERR_INVALID_ARGUMENT, "got 0 from 0");
    EXPECT_FAILURE(bdl_tensor_select(t, 0, 2, &out), BDL_ERR_INVALID_ARGUMENT, "got 2");
    EXPECT_FAILURE(bdl_tensor_transpose(t, 0, -3, &out), BDL_ERR_INVALID_ARGUMENT, "got -3");
    EXPECT_FAILURE(bdl_tensor_narrow(NULL, 0, 0, 1, &out), BDL_ERR_INVALID_ARGUMENT,
                   "bdl_tensor_narrow");
    bdl_tensor_free(t);
    bdl_tensor_free(NULL);
}

BDL_TEST_MAIN(tensors_are_made_with_their_values, impossible_tensors_are_refused,
              random_tensors_repeat_and_have_their_moments, views_share_elements,
              axes_can_be_permuted, shapes_can_be_viewed_where_strides_allow,
              single_numbers_have_views_too, expanded_views_can_be_read_but_not_written,
              copies_are_independent, shifted_views_may_be_copied_onto_each_other,
              types_are_converted, elements_are_read_and_written, bad_views_are_explained)
