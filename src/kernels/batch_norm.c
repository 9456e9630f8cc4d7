/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch normalization. Sums run in the lanes over blocks of positions that stay in the first-level
 * cache, and are added up in double, lane by lane, so that the error does not grow with the plane
 * and dead lanes can be left out at the end. A block's squared deviations are taken from the
 * block's own mean, and its mean from its first value: no digits are lost where the mean is large
 * against the deviation.
 */
#include "kernels/batch_norm.h"
#include "kernels/real_wide.h"

BDL__KERNEL_DECLARE(BDL__BATCH_NORM_KERNELS)

/* ---- statistics ------------------------------------------------------------------------------ */

/* A lane's sums over blocks: of count * offset, count * offset^2 and M2, where `offset` is the
 * block's mean less a number that all lanes share. */
typedef struct lane_moments {
    r_wide first;
    r_wide second;
    r_wide m2;
} lane_moments;

/* Mean and M2 of n positions: *mean is relative to x[0]. */
R_INLINE void block_moments(const real *x, int64_t n, real *mean, real *m2)
{
    const real origin = x[0];
    real sum[R_CHAINS] = {R(0), R(0), R(0), R(0)};
    real square[R_CHAINS] = {R(0), R(0), R(0), R(0)};
    int64_t i = 0;
    for (; i + R_CHAINS <= n; i += R_CHAINS) {
        for (int j = 0; j < R_CHAINS; j++) {
            sum[j] += x[i + j] - origin;
        }
    }
    for (; i < n; i++) {
        sum[0] += x[i] - origin;
    }
    const real center = r_sum_chains(sum) * R(1.0 / (double)n);
    for (i = 0; i + R_CHAINS <= n; i += R_CHAINS) {
        for (int j = 0; j < R_CHAINS; j++) {
            const real deviation = (x[i + j] - origin) - center;
            square[j] = r_fma(deviation, deviation, square[j]);
        }
    }
    for (; i < n; i++) {
        const real deviation = (x[i] - origin) - center;
        square[0] = r_fma(deviation, deviation, square[0]);
    }
    *mean = center;
    *m2 = r_sum_chains(square);
}

R_INLINE void add_block(lane_moments *sums, const real *x, int64_t n, r_wide shift)
{
    real mean = R(0);
    real m2 = R(0);
    if (n > 1) {
        block_moments(x, n, &mean, &m2);
    }
    const r_wide offset = (r_to_wide(x[0]) - shift) + r_to_wide(mean);
    const r_wide weighted = offset * r_wide_of((double)n);
    sums->first += weighted;
    sums->second += weighted * offset;
    sums->m2 += r_to_wide(m2);
}

/* src (c,n) -> moments (c,3) */
void K(batch_norm_moments)(const real *src, double *moments, const bdl__channels *channels)
{
    const int64_t n = channels->n;
    const r_wide is_valid = r_wide_first_lanes(channels->n_valid);
    const double count = (double)(n * channels->n_valid);
    for (int64_t c = channels->begin; c < channels->end; c++) {
        const real *x = src + c * n;
        const double shift = (double)r_load_lane(x[0], 0);
        lane_moments sums = {r_wide_of(0), r_wide_of(0), r_wide_of(0)};
        for (int64_t i = 0; i < n; i += R_BLOCK) {
            add_block(&sums, x + i, r_block_size(i, n), r_wide_of(shift));
        }
        const double first = r_wide_sum(sums.first * is_valid);
        const double second = r_wide_sum(sums.second * is_valid);
        const double m2 = r_wide_sum(sums.m2 * is_valid);
        const double spread = second - first * (first / count);
        moments[3 * c] = count;
        moments[3 * c + 1] = shift + first / count;
        moments[3 * c + 2] = m2 + (spread < 0 ? 0 : spread);
    }
}

/* moments (c,3) or running (c), (c) -> stats (c,3) */
void K(batch_norm_stats)(const double *moments, const scalar *running_mean,
                         const scalar *running_var, double eps, double *stats,
                         const bdl__channels *channels)
{
    for (int64_t c = channels->begin; c < channels->end; c++) {
        double mean, variance, count = 0;
        if (moments == NULL || (moments[3 * c] <= 1 && running_mean != NULL)) {
            mean = (double)running_mean[c];
            variance = (double)running_var[c];
        } else {
            count = moments[3 * c];
            mean = moments[3 * c + 1];
            variance = moments[3 * c + 2] / count;
        }
        stats[3 * c] = mean;
        stats[3 * c + 1] = 1 / __builtin_sqrt(variance + eps);
        stats[3 * c + 2] = count;
    }
}

/* moments (c,3) -> running (c), (c) */
void K(batch_norm_update)(const double *moments, scalar *running_mean, scalar *running_var,
                          double keep, int64_t n_channels)
{
    for (int64_t c = 0; c < n_channels; c++) {
        const double count = moments[3 * c];
        if (count <= 1) {
            continue;
        }
        const double variance = moments[3 * c + 2] / (count - 1);
        const double mean = moments[3 * c + 1];
        running_mean[c] = (scalar)(keep * (double)running_mean[c] + (1 - keep) * mean);
        running_var[c] = (scalar)(keep * (double)running_var[c] + (1 - keep) * variance);
    }
}

/* ---- forward --------------------------------------------------------------------------------- */

/* A channel's numbers; the mean in two, of which the second corrects the first's rounding. */
typedef struct channel_stats {
    scalar mean;
    double mean_rest;
    double inverse;
    double count;
} channel_stats;

R_INLINE channel_stats stats_of(const double *stats, int64_t c)
{
    const scalar mean = (scalar)stats[3 * c];
    return (channel_stats){.mean = mean,
                           .mean_rest = stats[3 * c] - (double)mean,
                           .inverse = stats[3 * c + 1],
                           .count = stats[3 * c + 2]};
}

/* src (c,n) -> dst (c,n), which may be src */
void K(batch_norm_forward)(const real *src, real *dst, const double *stats, const scalar *gamma,
                           const scalar *beta, const bdl__channels *channels)
{
    const int64_t n = channels->n;
    for (int64_t c = channels->begin; c < channels->end; c++) {
        const channel_stats s = stats_of(stats, c);
        const double scale = gamma != NULL ? (double)gamma[c] * s.inverse : s.inverse;
        const double shift = (beta != NULL ? (double)beta[c] : 0) - s.mean_rest * scale;
        const real mean_all = R(s.mean);
        const real scale_all = R(scale);
        const real shift_all = R(shift);
        for (int64_t i = c * n; i < (c + 1) * n; i++) {
            dst[i] = r_fma(src[i] - mean_all, scale_all, shift_all);
        }
    }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* Adds sums over n positions of g and of g * (x - mean). */
R_INLINE void add_block_sums(const real *x, const real *g, int64_t n, real mean, r_wide *sum_g,
                             r_wide *sum_gx)
{
    real chain_g[R_CHAINS] = {R(0), R(0), R(0), R(0)};
    real chain_gx[R_CHAINS] = {R(0), R(0), R(0), R(0)};
    int64_t i = 0;
    for (; i + R_CHAINS <= n; i += R_CHAINS) {
        for (int j = 0; j < R_CHAINS; j++) {
            chain_g[j] += g[i + j];
            chain_gx[j] = r_fma(g[i + j], x[i + j] - mean, chain_gx[j]);
        }
    }
    for (; i < n; i++) {
        chain_g[0] += g[i];
        chain_gx[0] = r_fma(g[i], x[i] - mean, chain_gx[0]);
    }
    *sum_g += r_to_wide(r_sum_chains(chain_g));
    *sum_gx += r_to_wide(r_sum_chains(chain_gx));
}

/* src, diff_dst (c,n) -> sums (c,2) */
void K(batch_norm_sums)(const real *src, const real *diff_dst, const double *stats, double *sums,
                        const bdl__channels *channels)
{
    const int64_t n = channels->n;
    for (int64_t c = channels->begin; c < channels->end; c++) {
        const channel_stats s = stats_of(stats, c);
        r_wide sum_g = r_wide_of(0);
        r_wide sum_gx = r_wide_of(0);
        for (int64_t i = 0; i < n; i += R_BLOCK) {
            add_block_sums(src + c * n + i, diff_dst + c * n + i, r_block_size(i, n), R(s.mean),
                           &sum_g, &sum_gx);
        }
        sums[2 * c] = r_wide_sum(sum_g);
        sums[2 * c + 1] = r_wide_sum(sum_gx) - s.mean_rest * sums[2 * c];
    }
}

/* sums (c,2) -> diff_gamma, diff_beta (c) */
void K(batch_norm_diff_weights)(const double *sums, const double *stats, scalar *diff_gamma,
                                bool gamma_adds, scalar *diff_beta, bool beta_adds,
                                const bdl__channels *channels)
{
    for (int64_t c = channels->begin; c < channels->end; c++) {
        if (diff_gamma != NULL) {
            const scalar value = (scalar)(sums[2 * c + 1] * stats[3 * c + 1]);
            diff_gamma[c] = gamma_adds ? diff_gamma[c] + value : value;
        }
        if (diff_beta != NULL) {
            const scalar value = (scalar)sums[2 * c];
            diff_beta[c] = beta_adds ? diff_beta[c] + value : value;
        }
    }
}

/*
 * With N values in a channel: diff_src = gamma inverse (g - sum(g) / N
 *                                          - (x - mean) inverse^2 sum(g (x - mean)) / N),
 * and without the two last terms where the statistics are constants. Dead lanes get 0.
 */
void K(batch_norm_backward)(const real *src, const real *diff_dst, real *diff_src, bool adds,
                            const double *stats, const double *sums, const scalar *gamma,
                            const bdl__channels *channels)
{
    const int64_t n = channels->n;
    const r_mask is_valid = r_first_lanes(channels->n_valid);
    for (int64_t c = channels->begin; c < channels->end; c++) {
        const channel_stats s = stats_of(stats, c);
        const double scale = gamma != NULL ? (double)gamma[c] * s.inverse : s.inverse;
        double slope = 0;
        double offset = 0;
        if (s.count > 0) {
            slope = -s.inverse * s.inverse * sums[2 * c + 1] / s.count;
            offset = -sums[2 * c] / s.count - slope * s.mean_rest;
        }
        const real mean_all = R(s.mean);
        const real slope_all = R(slope);
        const real offset_all = R(offset);
        const real scale_valid = r_select(is_valid, R(scale), R(0));
        for (int64_t i = c * n; i < (c + 1) * n; i++) {
            const real centered = r_fma(src[i] - mean_all, slope_all, diff_dst[i] + offset_all);
            diff_src[i] = adds ? r_fma(centered, scale_valid, diff_src[i]) : centered * scale_valid;
        }
    }
}

BDL__KERNEL_TABLE(batch_norm, BDL__BATCH_NORM_KERNELS)
