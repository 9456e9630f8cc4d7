/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features.h: the register tile of weight gradients in feature lanes. Lanes hold neighboring
 * features (outputs of a convolution, inputs of linear), and the sum runs over positions and then
 * samples in order: up to 6 rows, whose numbers are broadcast as they lie in memory, times up to
 * TILE_N reals of features from a transposed copy. So no sum over lanes is needed, however few the
 * positions.
 */
#ifndef BDL_KERNELS_FEATURES_H
#define BDL_KERNELS_FEATURES_H

#include "kernels/lanes.h"
#include "kernels/tile.h"

/* Steps in scalars. Rows of `features` follow each other in the order of the sum, except from a y
 * to the next. */
typedef struct feature_loop {
    int64_t n_y, n_x, n_s;
    int64_t row_m, row_y, row_x; /* of the broadcast numbers; samples are neighbors */
    int64_t feature_y, feature_x, feature_s;
    int64_t sum_m; /* from a row's sums to the next */
    bool add;      /* sums start from their old content, not from 0 */
    int64_t rows_ahead; /* prefetched rows, scalars from those that are read; 0 = none */
    /* Prefetched in turn while summing, ahead_s bytes apart: by each tile of rows a line for every
     * second sample, the tile after it those beside them. NULL = nothing. */
    const void *ahead;
    int64_t ahead_s;
} feature_loop;

/* sums[m][n reals] = sum of rows[m] * features */
typedef void feature_fn(const feature_loop *loop, const scalar *rows, const scalar *features,
                        scalar *sums);
feature_fn *K(feature_tile)(int m, int n);

/* Runs tiles over all n_rows rows and n_reals reals of features. */
void K(feature_rows)(const feature_loop *loop, int64_t n_rows, int n_reals, const scalar *rows,
                     const scalar *features, scalar *sums);

/* from[k][lane], k < n, of reals `step` apart -> to[lane][k]: features of one position, zero from n
 * to n_features (a multiple of R_LANES); to_s scalars from a sample to the next. */
void K(feature_transpose)(const real *from, int64_t step, int64_t n, int64_t n_features, scalar *to,
                          int64_t to_s);

/* sums[k][feature], k < n -> to[feature][k] (+)=, `step` scalars from a feature to the next; only
 * the first `n_outputs` features of n_features. */
void K(feature_untranspose)(const scalar *sums, int64_t n, int64_t n_outputs, int64_t n_features,
                            bool add, scalar *to, int64_t step);

#endif
