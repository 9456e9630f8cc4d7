/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over the elements of up to three tensors of one (broadcast) shape, in runs along an
 * axis. */
#ifndef BDL_TENSOR_WALK_H
#define BDL_TENSOR_WALK_H

#include "tensor/tensor.h"

#define BDL__WALK_OPERANDS 3

typedef struct bdl__walk {
    bdl__shape shape;
    int n;                                           /* operands */
    char *at[BDL__WALK_OPERANDS];                    /* first elements */
    int64_t step[BDL__WALK_OPERANDS][BDL_MAX_RANK]; /* bytes from index to index */
} bdl__walk;

void bdl__walk_init(bdl__walk *walk, const bdl__shape *shape);
/* Adds an operand, broadcast to the shape; false if it does not fit. */
bool bdl__walk_add(bdl__walk *walk, const bdl_tensor *tensor);

/* Takes `n` elements of each operand: operand i's lie at at[i] + j * step[i]. False ends the
 * walk. */
typedef bool (*bdl__walk_fn)(void *arg, int64_t n, char *const at[], const int64_t step[]);
/* Calls fn for runs that cover the shape in row-major order; false if a call was. */
bool bdl__walk_run(const bdl__walk *walk, bdl__walk_fn fn, void *arg);

#endif
