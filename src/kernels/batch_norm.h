/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch normalization of (c, n): c channels of n positions. Statistics are doubles: `moments` are
 * triples (count, mean, M2 = sum of squared deviations) of a part or the whole batch; `stats` are
 * triples (mean, 1 / sqrt(variance + eps), count), the count being 0 where mean and variance do not
 * depend on the batch.
 */
#ifndef BDL_KERNELS_BATCH_NORM_H
#define BDL_KERNELS_BATCH_NORM_H

#include "kernels/family.h"

/* Channels [begin, end) of n positions each; the first n_valid samples of a real exist. */
typedef struct bdl__channels {
    int64_t begin, end;
    int64_t n;
    int64_t n_valid;
} bdl__channels;

/*
 * ..._moments       moments of src.
 * ..._stats         stats from moments, or from running mean and variance (moments = NULL, or those
 *                   of one value a channel and running_mean != NULL).
 * ..._update        running = keep * running + (1 - keep) * the batch's; the variance is the
 *                   unbiased one. Moments of one value a channel change nothing.
 * ..._forward       dst = (src - mean) * inverse deviation * gamma + beta; those two may be NULL.
 * ..._sums          pairs: sum of diff_dst, sum of diff_dst * (src - mean).
 * ..._diff_weights  from these sums; diff_gamma or diff_beta may be NULL.
 * ..._backward      diff_src, given the sums over the whole batch.
 */
#define BDL__BATCH_NORM_KERNELS(X)                                                                 \
    X(batch_norm_moments, (const real *src, double *moments, const bdl__channels *channels))       \
    X(batch_norm_stats,                                                                            \
      (const double *moments, const scalar *running_mean, const scalar *running_var, double eps,   \
       double *stats, const bdl__channels *channels))                                              \
    X(batch_norm_update, (const double *moments, scalar *running_mean, scalar *running_var,        \
                          double keep, int64_t n_channels))                                        \
    X(batch_norm_forward, (const real *src, real *dst, const double *stats, const scalar *gamma,   \
                           const scalar *beta, const bdl__channels *channels))                     \
    X(batch_norm_sums, (const real *src, const real *diff_dst, const double *stats, double *sums,  \
                        const bdl__channels *channels))                                            \
    X(batch_norm_diff_weights,                                                                     \
      (const double *sums, const double *stats, scalar *diff_gamma, bool gamma_adds,               \
       scalar *diff_beta, bool beta_adds, const bdl__channels *channels))                          \
    X(batch_norm_backward,                                                                         \
      (const real *src, const real *diff_dst, real *diff_src, bool adds, const double *stats,      \
       const double *sums, const scalar *gamma, const bdl__channels *channels))
BDL__KERNEL_FAMILY(batch_norm, BDL__BATCH_NORM_KERNELS)

#endif
