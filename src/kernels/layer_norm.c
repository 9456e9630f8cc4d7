/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalization of rows within a sample. Sums run in the lanes over blocks and are added up in
 * double (real_wide.h); each lane has its own statistics, so nothing crosses lanes but weight
 * gradients.
 */
#include "kernels/layer_norm.h"
#include "kernels/real_wide.h"

BDL__KERNEL_DECLARE(BDL__LAYER_NORM_KERNELS)

/* ---- weights along a row ----------------------------------------------------------------- */

/* A row is cut into segments in which a weight is one number (step 0) or one a position (step 1). */
typedef struct segments {
    int64_t n_segments;
    int64_t n;
    int64_t step;
} segments;

R_INLINE segments segments_of(const bdl__norm_rows *rows, bool has_weights)
{
    if (!has_weights || rows->run == 1) {
        return (segments){.n_segments = 1, .n = rows->n, .step = has_weights};
    }
    return (segments){.n_segments = rows->n / rows->run, .n = rows->run, .step = 0};
}

R_INLINE int64_t first_weight(const bdl__norm_rows *rows, int64_t row, int64_t i_segment)
{
    return row * rows->row_weights + i_segment;
}

/* ---- statistics -------------------------------------------------------------------------- */

/* A row's center in two numbers, so that it is exact where it is large against the deviation: its
 * first value, and the mean less that. */
typedef struct row_center {
    real origin;
    real offset;
} row_center;

R_INLINE row_center center_of(const real *x, real offset, const bdl__norm_rows *rows)
{
    return (row_center){.origin = rows->is_centered ? x[0] : R(0), .offset = offset};
}

R_INLINE real deviation_of(real x, row_center center)
{
    return (x - center.origin) - center.offset;
}

/* The mean of n values, less the first. */
R_INLINE real mean_of(const real *x, int64_t n)
{
    const real origin = x[0];
    r_wide total = r_wide_of(0);
    for (int64_t from = 0; from < n; from += R_BLOCK) {
        const int64_t end = from + r_block_size(from, n);
        real chain[R_CHAINS] = {R(0), R(0), R(0), R(0)};
        int64_t i = from;
        for (; i + R_CHAINS <= end; i += R_CHAINS) {
            for (int j = 0; j < R_CHAINS; j++) {
                chain[j] += x[i + j] - origin;
            }
        }
        for (; i < end; i++) {
            chain[0] += x[i] - origin;
        }
        total += r_to_wide(r_sum_chains(chain));
    }
    return r_from_wide(total * r_wide_of(1.0 / (double)n));
}

/* The mean of the squared deviations. */
R_INLINE real mean_square(const real *x, int64_t n, row_center center)
{
    r_wide total = r_wide_of(0);
    for (int64_t from = 0; from < n; from += R_BLOCK) {
        const int64_t end = from + r_block_size(from, n);
        real chain[R_CHAINS] = {R(0), R(0), R(0), R(0)};
        int64_t i = from;
        for (; i + R_CHAINS <= end; i += R_CHAINS) {
            for (int j = 0; j < R_CHAINS; j++) {
                const real deviation = deviation_of(x[i + j], center);
                chain[j] = r_fma(deviation, deviation, chain[j]);
            }
        }
        for (; i < end; i++) {
            const real deviation = deviation_of(x[i], center);
            chain[0] = r_fma(deviation, deviation, chain[0]);
        }
        total += r_to_wide(r_sum_chains(chain));
    }
    return r_from_wide(total * r_wide_of(1.0 / (double)n));
}

/* ---- forward ----------------------------------------------------------------------------- */

R_INLINE void normalize(const real *src, real *dst, int64_t n, row_center center, real inverse,
                        const scalar *gamma, int64_t gamma_step, const scalar *beta,
                        int64_t beta_step)
{
    for (int64_t i = 0; i < n; i++) {
        const real normal = deviation_of(src[i], center) * inverse;
        dst[i] = r_fma(normal, R(gamma[i * gamma_step]), R(beta[i * beta_step]));
    }
}

/* src (rows,n) -> dst (rows,n), stats (rows,2) */
void K(row_norm_forward)(const real *src, real *dst, real *stats, const scalar *gamma,
                         const scalar *beta, const bdl__norm_rows *rows, int64_t begin, int64_t end)
{
    const scalar one = 1;
    const scalar zero = 0;
    const segments cut = segments_of(rows, gamma != NULL);
    for (int64_t row = begin; row < end; row++) {
        const real *x = src + row * rows->n;
        const real offset = rows->is_centered ? mean_of(x, rows->n) : R(0);
        const row_center center = center_of(x, offset, rows);
        const real variance = mean_square(x, rows->n, center);
        const real inverse = R(1) / r_sqrt(variance + R(rows->eps));
        if (stats != NULL) {
            stats[2 * row] = offset;
            stats[2 * row + 1] = inverse;
        }
        for (int64_t s = 0; s < cut.n_segments; s++) {
            const int64_t w = first_weight(rows, row, s);
            const int64_t i = row * rows->n + s * cut.n;
            normalize(src + i, dst + i, cut.n, center, inverse, gamma != NULL ? gamma + w : &one,
                      cut.step, beta != NULL ? beta + w : &zero, beta != NULL ? cut.step : 0);
        }
    }
}

/* ---- backward ---------------------------------------------------------------------------- */

/* Adds the sums of gamma g and of gamma g (x - mean) over n positions. */
R_INLINE void add_sums(const real *x, const real *g, int64_t n, row_center center,
                       const scalar *gamma, int64_t step, r_wide *sum_g, r_wide *sum_gx)
{
    for (int64_t from = 0; from < n; from += R_BLOCK) {
        const int64_t end = from + r_block_size(from, n);
        real chain_g[2] = {R(0), R(0)};
        real chain_gx[2] = {R(0), R(0)};
        for (int64_t i = from; i < end; i++) {
            const real weighted = g[i] * R(gamma[i * step]);
            chain_g[i & 1] += weighted;
            chain_gx[i & 1] = r_fma(weighted, deviation_of(x[i], center), chain_gx[i & 1]);
        }
        *sum_g += r_to_wide(chain_g[0] + chain_g[1]);
        *sum_gx += r_to_wide(chain_gx[0] + chain_gx[1]);
    }
}

/* diff_src = inverse gamma g + slope (x - mean) + offset */
R_INLINE void spread(const real *x, const real *g, real *diff_src, bool adds, int64_t n,
                     row_center center, real inverse, const scalar *gamma, int64_t step, real slope,
                     real offset)
{
    for (int64_t i = 0; i < n; i++) {
        const real weighted = g[i] * (inverse * R(gamma[i * step]));
        const real value = r_fma(deviation_of(x[i], center), slope, weighted) + offset;
        diff_src[i] = adds ? diff_src[i] + value : value;
    }
}

/*
 * With the means over a row of G = gamma g and of G (x - mean):
 *     diff_src = inverse (G - mean(G) - (x - mean) inverse^2 mean(G (x - mean)))
 * without the mean(G) where rows are not centered. A dead lane's g is 0, and so is its diff_src.
 */
void K(row_norm_backward)(const real *src, const real *diff_dst, real *diff_src, bool adds,
                          const real *stats, const scalar *gamma, const bdl__norm_rows *rows,
                          int64_t begin, int64_t end)
{
    const scalar one = 1;
    const segments cut = segments_of(rows, gamma != NULL);
    const r_wide share = r_wide_of(1.0 / (double)rows->n);
    for (int64_t row = begin; row < end; row++) {
        const row_center center = center_of(src + row * rows->n, stats[2 * row], rows);
        const real inverse = stats[2 * row + 1];
        r_wide sum_g = r_wide_of(0);
        r_wide sum_gx = r_wide_of(0);
        for (int64_t s = 0; s < cut.n_segments; s++) {
            const int64_t i = row * rows->n + s * cut.n;
            add_sums(src + i, diff_dst + i, cut.n, center,
                     gamma != NULL ? gamma + first_weight(rows, row, s) : &one, cut.step, &sum_g,
                     &sum_gx);
        }
        const real mean_g = rows->is_centered ? r_from_wide(sum_g * share) : R(0);
        const real slope = -inverse * inverse * inverse * r_from_wide(sum_gx * share);
        const real offset = -inverse * mean_g;
        for (int64_t s = 0; s < cut.n_segments; s++) {
            const int64_t i = row * rows->n + s * cut.n;
            spread(src + i, diff_dst + i, diff_src + i, adds, cut.n, center, inverse,
                   gamma != NULL ? gamma + first_weight(rows, row, s) : &one, cut.step, slope,
                   offset);
        }
    }
}

/* ---- gradients of the weights ------------------------------------------------------------ */

/* Adds the sums of g and of g (x - mean) inverse over the run of positions that a weight has in a
 * row. */
R_INLINE void add_run(const real *x, const real *g, int64_t n, row_center center, real inverse,
                      r_wide *sum_g, r_wide *sum_gx)
{
    for (int64_t from = 0; from < n; from += R_BLOCK) {
        const int64_t end = from + r_block_size(from, n);
        real block_g = R(0);
        real block_gx = R(0);
        for (int64_t i = from; i < end; i++) {
            block_g += g[i];
            block_gx = r_fma(g[i], deviation_of(x[i], center) * inverse, block_gx);
        }
        *sum_g += r_to_wide(block_g);
        *sum_gx += r_to_wide(block_gx);
    }
}

R_INLINE void put(scalar *place, double value, bool adds)
{
    *place = adds ? *place + (scalar)value : (scalar)value;
}

/* src, diff_dst (rows,n) -> diff_gamma, diff_beta */
void K(row_norm_diff_weights)(const real *src, const real *diff_dst, const real *stats,
                              scalar *diff_gamma, bool gamma_adds, scalar *diff_beta,
                              bool beta_adds, const bdl__norm_rows *rows, int64_t begin,
                              int64_t end)
{
    const bool is_shared = rows->row_weights == 0;
    for (int64_t w = begin; w < end; w++) {
        const int64_t first_row = is_shared ? 0 : w / rows->row_weights;
        const int64_t end_row = is_shared ? rows->n_rows : first_row + 1;
        const int64_t at = (is_shared ? w : w % rows->row_weights) * rows->run;
        r_wide sum_g = r_wide_of(0);
        r_wide sum_gx = r_wide_of(0);
        for (int64_t row = first_row; row < end_row; row++) {
            const int64_t i = row * rows->n + at;
            const row_center center = center_of(src + row * rows->n, stats[2 * row], rows);
            add_run(src + i, diff_dst + i, rows->run, center, stats[2 * row + 1], &sum_g, &sum_gx);
        }
        if (diff_gamma != NULL) {
            put(diff_gamma + w, r_wide_sum(sum_gx), gamma_adds);
        }
        if (diff_beta != NULL) {
            put(diff_beta + w, r_wide_sum(sum_g), beta_adds);
        }
    }
}

BDL__KERNEL_TABLE(layer_norm, BDL__LAYER_NORM_KERNELS)
