/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors as text for tests: "f64 2x3: 1 2 3 4 5 6", "i32: 7" for rank 0; elements in row-major
 * order. */
#ifndef BDL_TESTS_UNIT_TENSOR_HELP_H
#define BDL_TESTS_UNIT_TENSOR_HELP_H

#include <bdl/bdl.h>

/* Makes the tensor of a text; the test fails if the text is wrong. */
bdl_tensor *tensor_of(const char *text);
/* Checks that a tensor has this text, elements printed with %.9g, and frees it. */
#define EXPECT_TENSOR(call_of_out, text)                                                           \
    do {                                                                                           \
        bdl_tensor *out = NULL;                                                                    \
        CHECK_OK(call_of_out);                                                                     \
        CHECK_STR_EQ(tensor_text(out), text);                                                      \
        bdl_tensor_free(out);                                                                      \
    } while (0)
/* Checks that a call fails with this code and part of its text, and gives nothing. */
#define EXPECT_FAILURE(call_of_out, code, part)                                                    \
    do {                                                                                           \
        bdl_tensor *out = NULL;                                                                    \
        CHECK_EQ_I64(call_of_out, code);                                                           \
        CHECK(out == NULL);                                                                        \
        CHECK_STR_HAS(bdl_last_error(), part);                                                     \
    } while (0)
/* The text of a tensor [nullable]; valid until the next call. */
const char *tensor_text(const bdl_tensor *tensor);

#endif
