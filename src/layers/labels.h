/* SPDX-License-Identifier: Apache-2.0 */
/* labels.h: what criterions and metrics check about an input and its target. */
#ifndef BDL_LAYERS_LABELS_H
#define BDL_LAYERS_LABELS_H

#include "layers/layer.h"

#include <string.h>

/* Whether labels have the scores' shape (classes, ...) without its first axis; one label may have a
 * rank of 1. */
static inline bool bdl__labels_fit(const bdl__shape *scores, const bdl__shape *labels)
{
    if (scores->rank <= 1) {
        return scores->rank == 1 && bdl__shape_count(labels) == 1 && labels->rank <= 1;
    }
    bdl__shape expected = {.rank = scores->rank - 1};
    memcpy(expected.dim, scores->dim + 1, (size_t)expected.rank * sizeof expected.dim[0]);
    return bdl__shape_equal(&expected, labels);
}

/* Whether both inputs hold a single number, whatever their ranks. */
static inline bool bdl__both_single(const bdl__infer_in *in)
{
    return bdl__shape_count(&in->shape[0]) == 1 && bdl__shape_count(&in->shape[1]) == 1;
}

/* "needs <expected>, got 10x4 and 5" */
static inline bdl_status bdl__fail_pair(const bdl__infer_in *in, const char *expected)
{
    char input[BDL__SHAPE_TEXT_SIZE], target[BDL__SHAPE_TEXT_SIZE];
    return bdl__fail(BDL_ERR_SHAPE, "needs %s, got %s and %s", expected,
                     bdl__shape_text(&in->shape[0], input, sizeof input),
                     bdl__shape_text(&in->shape[1], target, sizeof target));
}

#endif
