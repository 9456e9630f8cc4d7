/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: up to eight dimensions, outermost first, with overflow-checked arithmetic. */
#ifndef BDL_TENSOR_SHAPE_H
#define BDL_TENSOR_SHAPE_H

#include "base/text.h"

typedef struct bdl__shape {
    int32_t rank;
    int64_t dim[BDL_MAX_RANK];
} bdl__shape;

/* Product of the dimensions; shapes that passed bdl__shape_check do not overflow. */
int64_t bdl__shape_count(const bdl__shape *shape);
/* Every dimension >= 1 and at most 2^40 elements in all; the error text starts with `what`. */
bdl_status bdl__shape_check(const bdl__shape *shape, const char *what);
bool bdl__shape_equal(const bdl__shape *a, const bdl__shape *b);
/* "3x32x32", or "scalar". Gives `buffer`. */
const char *bdl__shape_text(const bdl__shape *shape, char *buffer, size_t size);
#define BDL__SHAPE_TEXT_SIZE 192

#endif
