/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear.h: dst[p][o] = bias[o] + sum over i of weights[o][i] * src[p][i], for each position p.
 * src is (positions, in), dst (positions, out), weights (out, in).
 */
#ifndef BDL_KERNELS_LINEAR_H
#define BDL_KERNELS_LINEAR_H

#include "kernels/parts.h"
#include "kernels/tile.h"

/* One call of forward or backward data, the same product with weights packed across. */
typedef struct bdl__linear_call {
    int64_t n_positions;
    int64_t n_in, n_out; /* of this product: backward data sums over the layer's outputs */
    bdl__parts src, dst;
    int64_t n_parts;
    const void *packed;
    const void *bias;   /* NULL = none */
    bool add;           /* add to dst */
    int64_t begin, end; /* register tiles of outputs: bdl__n_tiles(n_out) */
} bdl__linear_call;

/* Gradients of weights and bias of the outputs [begin, end), summed over positions and samples of
 * each part, and the parts, in this order. */
typedef struct bdl__linear_wgrad_call {
    int64_t n_positions, n_in, n_out;
    bdl__parts src, diff_dst;
    int64_t n_parts;
    void *diff_weights; /* scalars, of output `begin`; NULL = not wanted */
    void *diff_bias;    /* the same */
    bool add;           /* sums start from the old content */
    int64_t begin, end;
    void *scratch; /* bdl__linear_scratch bytes */
} bdl__linear_wgrad_call;

/* Positions that are transposed at once, and their inputs: a copy that stays in a level-1 cache. */
#define BDL__LINEAR_POSITIONS 8
#define BDL__LINEAR_FEATURES 64

static inline size_t bdl__linear_scratch(int64_t n_out, size_t real_size, size_t scalar_size)
{
    const int64_t n = BDL__LINEAR_POSITIONS;
    return (size_t)(n * BDL__LINEAR_FEATURES) * real_size +
           (size_t)(n_out * BDL__LINEAR_FEATURES) * scalar_size;
}

#define BDL__LINEAR_KERNELS(X)                                                                     \
    X(linear_pack, (const scalar *weights, int64_t n_in, int64_t n_out, int64_t step_in,           \
                    int64_t step_out, scalar *packed, int64_t begin, int64_t end))                 \
    X(linear_product, (const bdl__linear_call *call))                                              \
    X(linear_wgrad, (const bdl__linear_wgrad_call *call))                                          \
    X(linear_bgrad, (const bdl__linear_wgrad_call *call))
BDL__KERNEL_FAMILY(linear, BDL__LINEAR_KERNELS)

#endif
