/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors as text for tests. */
#include "tensor_help.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

static const char *const type_names[] = {"f32", "f64", "i32", "i64", "u8"};

static bdl_dtype parse_type(const char **text)
{
    for (int i = 0; i < 5; i++) {
        const size_t size = strlen(type_names[i]);
        if (strncmp(*text, type_names[i], size) == 0) {
            *text += size;
            return (bdl_dtype)i;
        }
    }
    CHECK_STR_EQ(*text, "a type");
    return BDL_F32;
}

bdl_tensor *tensor_of(const char *text)
{
    int64_t shape[BDL_MAX_RANK] = {0};
    int64_t index[BDL_MAX_RANK] = {0};
    int32_t rank = 0;
    bdl_tensor *tensor = NULL;
    char *end = NULL;
    const bdl_dtype dtype = parse_type(&text);
    for (; *text == ' ' || *text == 'x'; text = end) {
        shape[rank++] = strtoll(text + 1, &end, 10);
    }
    CHECK_OK(bdl_tensor_create(NULL, dtype, rank, shape, NULL, &tensor));
    if (tensor == NULL) {
        return NULL;
    }
    text++; /* ':' */
    for (int64_t i = 0; i < bdl_tensor_count(tensor); i++, text = end) {
        int64_t rest = i;
        for (int32_t axis = rank - 1; axis >= 0; axis--) {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        if (dtype == BDL_I64) {
            CHECK_OK(bdl_tensor_set_i64(tensor, index, strtoll(text, &end, 10)));
        } else {
            CHECK_OK(bdl_tensor_set(tensor, index, strtod(text, &end)));
        }
        CHECK(end != text);
    }
    return tensor;
}

const char *tensor_text(const bdl_tensor *tensor)
{
    static char text[8192];
    if (tensor == NULL) {
        return "NULL";
    }
    const int32_t rank = bdl_tensor_rank(tensor);
    const int64_t *const shape = bdl_tensor_shape(tensor);
    int n = snprintf(text, sizeof text, "%s", type_names[bdl_tensor_dtype(tensor)]);
    for (int32_t i = 0; i < rank; i++) {
        n += snprintf(text + n, sizeof text - (size_t)n, "%c%lld", i == 0 ? ' ' : 'x',
                      (long long)shape[i]);
    }
    n += snprintf(text + n, sizeof text - (size_t)n, ":");
    for (int64_t i = 0; i < bdl_tensor_count(tensor) && n < 8000; i++) {
        int64_t index[BDL_MAX_RANK] = {0};
        int64_t rest = i;
        double value = 0;
        int64_t whole = 0;
        for (int32_t axis = rank - 1; axis >= 0; axis--) {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        CHECK_OK(bdl_tensor_get(tensor, index, &value));
        if (bdl_tensor_dtype(tensor) >= BDL_I32) {
            CHECK_OK(bdl_tensor_get_i64(tensor, index, &whole));
            n += snprintf(text + n, sizeof text - (size_t)n, " %lld", (long long)whole);
        } else {
            n +=
                snprintf(text + n, sizeof text - (size_t)n, isnan(value) ? " nan" : " %.9g", value);
        }
    }
    return text;
}
