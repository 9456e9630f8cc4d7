/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalization within a sample, of rows of n neighboring positions: layer norm, RMS norm, group
 * norm and instance norm. Each row has its own mean and deviation in each sample.
 */
#ifndef BDL_KERNELS_LAYER_NORM_H
#define BDL_KERNELS_LAYER_NORM_H

#include "kernels/family.h"

/* Position i of row r has the weight r * row_weights + i / run: layer norm has run = 1 and
 * row_weights = 0 (rows share weights), group norm a run of one plane and row_weights channels a
 * row. */
typedef struct bdl__norm_rows {
    int64_t n_rows;
    int64_t n;
    int64_t run;
    int64_t row_weights;
    double eps;
    bool is_centered; /* false: no mean is subtracted (RMS norm) */
} bdl__norm_rows;

/*
 * row_norm_forward       dst = (src - mean) / sqrt(variance + eps) * gamma + beta in rows [begin,
 *                        end); gamma and beta may be NULL. `stats` (rows,2), if not NULL, gets the
 *                        mean less the row's first value, and the inverse deviation.
 * row_norm_backward      diff_src of rows [begin, end).
 * row_norm_diff_weights  of the weights [begin, end); diff_gamma or diff_beta may be NULL.
 */
#define BDL__LAYER_NORM_KERNELS(X)                                                                 \
    X(row_norm_forward,                                                                            \
      (const real *src, real *dst, real *stats, const scalar *gamma, const scalar *beta,           \
       const bdl__norm_rows *rows, int64_t begin, int64_t end))                                    \
    X(row_norm_backward,                                                                           \
      (const real *src, const real *diff_dst, real *diff_src, bool adds, const real *stats,        \
       const scalar *gamma, const bdl__norm_rows *rows, int64_t begin, int64_t end))               \
    X(row_norm_diff_weights,                                                                       \
      (const real *src, const real *diff_dst, const real *stats, scalar *diff_gamma,               \
       bool gamma_adds, scalar *diff_beta, bool beta_adds, const bdl__norm_rows *rows,             \
       int64_t begin, int64_t end))
BDL__KERNEL_FAMILY(layer_norm, BDL__LAYER_NORM_KERNELS)

#endif
