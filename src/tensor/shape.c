/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: counting, checking against overflow, comparing, printing. */
#include "tensor/shape.h"

#include <inttypes.h>
#include <stdio.h>

/* Large enough for any real tensor, small enough that bytes and offsets never overflow. */
#define MOST_ELEMENTS (INT64_C(1) << 40)

int64_t bdl__shape_count(const bdl__shape *shape)
{
    int64_t count = 1;
    for (int32_t i = 0; i < shape->rank; i++) {
        count *= shape->dim[i];
    }
    return count;
}

bdl_status bdl__shape_check(const bdl__shape *shape, const char *what)
{
    BDL__CHECK(shape->rank >= 0 && shape->rank <= BDL_MAX_RANK, BDL_ERR_SHAPE,
               "%s: the rank must be 0 to %d, got %" PRId32, what, BDL_MAX_RANK, shape->rank);
    int64_t count = 1;
    for (int32_t i = 0; i < shape->rank; i++) {
        BDL__CHECK(shape->dim[i] >= 1, BDL_ERR_SHAPE,
                   "%s: dimension %" PRId32 " must be at least 1, got %" PRId64, what, i,
                   shape->dim[i]);
        BDL__CHECK(bdl__mul_i64(count, shape->dim[i], &count) && count <= MOST_ELEMENTS,
                   BDL_ERR_SHAPE, "%s: more than 2^40 elements", what);
    }
    return BDL_OK;
}

bool bdl__shape_equal(const bdl__shape *a, const bdl__shape *b)
{
    if (a->rank != b->rank) {
        return false;
    }
    for (int32_t i = 0; i < a->rank; i++) {
        if (a->dim[i] != b->dim[i]) {
            return false;
        }
    }
    return true;
}

const char *bdl__shape_text(const bdl__shape *shape, char *buffer, size_t size)
{
    if (shape->rank == 0) {
        snprintf(buffer, size, "scalar");
        return buffer;
    }
    size_t used = 0;
    buffer[0] = '\0';
    for (int32_t i = 0; i < shape->rank && used < size; i++) {
        const int n =
            snprintf(buffer + used, size - used, "%s%" PRId64, i > 0 ? "x" : "", shape->dim[i]);
        used += (size_t)n;
    }
    return buffer;
}
