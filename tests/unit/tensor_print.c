/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors printed: literal texts. */
#include <stdlib.h>
#include <string.h>

#include "tensor_help.h"
#include "test.h"

static void expect_text(const bdl_tensor *tensor, const char *expected)
{
    static char text[1 << 16];
    size_t length = 0;
    CHECK_OK(bdl_tensor_to_text(tensor, text, sizeof text, &length));
    CHECK_EQ_I64(length, strlen(text));
    CHECK_STR_EQ(text, expected);
}

static void expect(const char *from, const char *expected)
{
    bdl_tensor *const tensor = tensor_of(from);
    expect_text(tensor, expected);
    bdl_tensor_free(tensor);
}

BDL_TEST(the_article_s_tensor)
{
    expect("f64 2x2: 1 1 1 1", "1.0  1.0\n"
                               "1.0  1.0\n"
                               "[bdl.DoubleTensor of size 2x2]\n");
}

BDL_TEST(columns_are_aligned)
{
    expect("f32 2x3: 1 -2 3 10 200 -3000", "    1.0     -2.0      3.0\n"
                                           "   10.0    200.0  -3000.0\n"
                                           "[bdl.FloatTensor of size 2x3]\n");
}

BDL_TEST(fractions_scales_and_powers)
{
    expect("f64 1x3: 0.5 1.25 -3", " 0.5000   1.2500  -3.0000\n"
                                   "[bdl.DoubleTensor of size 1x3]\n");
    expect("f64 1x2: 123456.5 654321", "100000 *\n"
                                       "1.2346  6.5432\n"
                                       "[bdl.DoubleTensor of size 1x2]\n");
    expect("f64 1x2: 0.001 0.0025", "0.001 *\n"
                                    "1.0000  2.5000\n"
                                    "[bdl.DoubleTensor of size 1x2]\n");
    expect("f64 1x3: 0.001 1 100000", "1.0000e-03  1.0000e+00  1.0000e+05\n"
                                      "[bdl.DoubleTensor of size 1x3]\n");
    expect("f64 1x1: 12345678901", "1.2346e+10\n[bdl.DoubleTensor of size 1x1]\n");
    expect("f64 2x2: 0.5 nan inf -inf", "0.5000     nan\n"
                                        "   inf    -inf\n"
                                        "[bdl.DoubleTensor of size 2x2]\n");
}

BDL_TEST(integers_are_exact)
{
    expect("i64 2: 9223372036854775807 -1", "9223372036854775807\n"
                                            "                 -1\n"
                                            "[bdl.LongTensor of size 2]\n");
    expect("u8 2: 0 255", "  0\n255\n[bdl.ByteTensor of size 2]\n");
    expect("i32: -7", "-7\n[bdl.IntTensor of rank 0]\n");
}

BDL_TEST(higher_ranks_are_printed_by_matrices)
{
    expect("i32 2x1x2x2: 1 2 3 4 5 6 7 8", "(0,0,.,.) =\n"
                                           " 1  2\n"
                                           " 3  4\n"
                                           "\n"
                                           "(1,0,.,.) =\n"
                                           " 5  6\n"
                                           " 7  8\n"
                                           "[bdl.IntTensor of size 2x1x2x2]\n");
}

BDL_TEST(wide_matrices_are_printed_in_parts)
{
    bdl_tensor *row = NULL;
    bdl_tensor *matrix = NULL;
    REQUIRE_OK(bdl_tensor_arange(NULL, BDL_I32, 100, 118, 1, &row));
    REQUIRE_OK(bdl_tensor_view(row, 2, (const int64_t[]){1, 18}, &matrix));
    expect_text(matrix,
                "Columns 0 to 15\n"
                "100  101  102  103  104  105  106  107  108  109  110  111  112  113  114  115\n"
                "\n"
                "Columns 16 to 17\n"
                "116  117\n"
                "[bdl.IntTensor of size 1x18]\n");
    bdl_tensor_free(row);
    bdl_tensor_free(matrix);
}

BDL_TEST(large_tensors_show_their_ends)
{
    bdl_tensor *row = NULL;
    bdl_tensor *matrix = NULL;
    REQUIRE_OK(bdl_tensor_arange(NULL, BDL_F64, 0, 10000, 1, &row));
    REQUIRE_OK(bdl_tensor_view(row, 2, (const int64_t[]){100, 100}, &matrix));
    expect_text(matrix, "   0.0     1.0     2.0  ...    97.0    98.0    99.0\n"
                        " 100.0   101.0   102.0  ...   197.0   198.0   199.0\n"
                        " 200.0   201.0   202.0  ...   297.0   298.0   299.0\n"
                        "...\n"
                        "9700.0  9701.0  9702.0  ...  9797.0  9798.0  9799.0\n"
                        "9800.0  9801.0  9802.0  ...  9897.0  9898.0  9899.0\n"
                        "9900.0  9901.0  9902.0  ...  9997.0  9998.0  9999.0\n"
                        "[bdl.DoubleTensor of size 100x100]\n");
    expect_text(row, "   0.0\n   1.0\n   2.0\n...\n9997.0\n9998.0\n9999.0\n"
                     "[bdl.DoubleTensor of size 10000]\n");
    bdl_tensor_free(row);
    bdl_tensor_free(matrix);
}

BDL_TEST(short_buffers_are_filled_and_the_length_is_told)
{
    bdl_tensor *const t = tensor_of("u8 1: 5");
    char small[4] = "xxx";
    size_t length = 0;
    CHECK_OK(bdl_tensor_to_text(t, NULL, 0, &length));
    CHECK_EQ_I64(length, strlen("5\n[bdl.ByteTensor of size 1]\n"));
    CHECK_OK(bdl_tensor_to_text(t, small, sizeof small, NULL));
    CHECK_STR_EQ(small, "5\n[");
    CHECK_EQ_I64(bdl_tensor_to_text(t, NULL, 1, NULL), BDL_ERR_INVALID_ARGUMENT);
    bdl_tensor_free(t);
}

BDL_TEST_MAIN(the_article_s_tensor, columns_are_aligned, fractions_scales_and_powers,
              integers_are_exact, higher_ranks_are_printed_by_matrices,
              wide_matrices_are_printed_in_parts, large_tensors_show_their_ends,
              short_buffers_are_filled_and_the_length_is_told)
