/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weight gradients of a 3x3 convolution, stride 1, by Winograd's filtering turned round: inputs are
 * transformed as in forward, gradients of outputs by A, and their products are added up over tiles
 * and samples before they are transformed to 3x3 by G'. The sums are in feature lanes (features.h),
 * 64 output channels at once, so the order is tiles, then samples, then parts.
 */
#include "kernels/conv.h"
#include "kernels/features.h"
#include "kernels/winograd.h"

BDL__KERNEL_DECLARE(BDL__WINOGRAD_WGRAD_KERNELS)

/* What is computed for one part. */
struct job {
    const bdl__conv_wgrad_call *call;
    bdl__winograd_wgrad_sizes sizes;
    int64_t i_part;
    int64_t n_x, n_tiles;
    int64_t first, n;          /* tiles of the block */
    int64_t o, n_o, n_features; /* outputs, features rounded up to whole reals */
    real *inputs;     /* [element][channel][tile] */
    scalar *features; /* [element][tile][sample][feature] */
    scalar *sums;     /* [element][channel][feature] */
    scalar *scratch;  /* of transposing, and for gradients before they are turned */
};

/* A tile's m + 2 rows and columns of a plane, zeros around it; side is how many lie beside each
 * other. */
R_INLINE void copy_patch(const real *plane, int64_t h, int64_t w, int64_t y, int64_t x,
                         const int side, real *copy)
{
    for (int64_t i = 0; i < side; i++) {
        const bool inside = y + i >= 0 && y + i < h;
        for (int64_t k = 0; k < side; k++) {
            copy[i * side + k] =
                inside && x + k >= 0 && x + k < w ? plane[(y + i) * w + x + k] : R(0);
        }
    }
}

R_INLINE void transform_inputs(const struct job *job, const int m)
{
    const bdl__conv_dims *d = job->call->dims;
    const int side = WINOGRAD_SIDE(m);
    const real *plane = r_part(&job->call->src, job->i_part, 0);
    for (int64_t c = 0; c < d->ic; c++, plane += d->ih * d->iw) {
        for (int64_t t = 0; t < job->n; t++) {
            const int64_t y = (job->first + t) / job->n_x * m - d->ph;
            const int64_t x = (job->first + t) % job->n_x * m - d->pw;
            const bool inside = y >= 0 && x >= 0 && y + side <= d->ih && x + side <= d->iw;
            real copy[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];
            real tile[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];
            if (!inside) {
                copy_patch(plane, d->ih, d->iw, y, x, side, copy);
            }
            const real *next = plane + d->ih * d->iw + y * d->iw + x;
            R_UNROLL for (int i = 0; i < side; i++) {
                R_UNROLL for (int k = 1; k <= m; k++) {
                    R_PREFETCH(next + i * d->iw + k);
                }
            }
            const real *from = inside ? plane + y * d->iw + x : copy;
            const int step = inside ? (int)d->iw : side;
            WINOGRAD_TILE(winograd_input, m, side, side, from, step, tile);
            R_UNROLL for (int e = 0; e < side * side; e++) {
                job->inputs[e * job->sizes.inputs_step + c * job->sizes.tiles + t] = tile[e];
            }
        }
    }
}

/* One tile of R_LANES output channels: positions are transposed, then samples transformed. */
R_INLINE void transform_features(const struct job *job, const int m, int64_t t, int64_t o)
{
    const bdl__conv_dims *d = job->call->dims;
    const int side = WINOGRAD_SIDE(m);
    const int64_t y = (job->first + t) / job->n_x * m;
    const int64_t x = (job->first + t) % job->n_x * m;
    const real *plane = r_part(&job->call->diff_dst, job->i_part, (job->o + o) * d->oh * d->ow);
    real turned[4 * 4 * R_LANES];
    for (int64_t i = 0; i < m * m; i++) {
        const int64_t at_y = y + i / m;
        const int64_t at_x = x + i % m;
        if (at_y < d->oh && at_x < d->ow) {
            K(feature_transpose)(plane + at_y * d->ow + at_x, d->oh * d->ow,
                                 BDL__MIN(job->n_o - o, R_LANES), R_LANES,
                                 (scalar *)(turned + i * R_LANES), R_LANES);
        } else {
            memset(turned + i * R_LANES, 0, R_LANES * sizeof(real));
        }
    }
    for (int64_t s = 0; s < R_LANES; s++) {
        real tile[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];
        real patch[4 * 4];
        R_UNROLL for (int i = 0; i < m * m; i++) {
            patch[i] = turned[i * R_LANES + s];
        }
        WINOGRAD_TILE(winograd_diff_output, m, m, side, patch, m, tile);
        scalar *to = job->features + (t * R_LANES + s) * job->n_features + o;
        R_UNROLL for (int e = 0; e < side * side; e++) {
            memcpy(to + e * job->sizes.features_step, &tile[e], sizeof(real));
        }
    }
}

/* The sums of channels [c, c + n) over the block's tiles. */
static void multiply(const struct job *job, int n_elements, int64_t c, int64_t n)
{
    const feature_loop loop = {.n_y = 1,
                               .n_x = 1,
                               .n_s = job->n * R_LANES,
                               .row_m = job->sizes.tiles * R_LANES,
                               .feature_s = job->n_features,
                               .sum_m = job->n_features,
                               .add = job->first > 0};
    for (int e = 0; e < n_elements; e++) {
        const real *rows = job->inputs + e * job->sizes.inputs_step + c * job->sizes.tiles;
        K(feature_rows)(&loop, n, (int)(job->n_features / R_LANES), (const scalar *)rows,
                        job->features + e * job->sizes.features_step,
                        job->sums + e * job->sizes.sums_step);
    }
}

/* Sums of the channels [c, c + n) -> gradients of their kernels. */
R_INLINE void transform_sums(const struct job *job, const int m, int64_t c, int64_t n, bool add)
{
    const int side = WINOGRAD_SIDE(m);
    const int64_t length = job->call->dims->ic * 9;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t f = 0; f < job->n_features; f += R_LANES) {
            const scalar *from = job->sums + i * job->n_features + f;
            scalar *to = job->scratch + i * 9 * job->n_features + f;
            real sums[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];
            real kernel[9];
            R_UNROLL for (int e = 0; e < side * side; e++) {
                memcpy(&sums[e], from + e * job->sizes.sums_step, sizeof(real));
            }
            WINOGRAD_TILE(winograd_diff_weights, m, side, 3, sums, side, kernel);
            R_UNROLL for (int k = 0; k < 9; k++) {
                memcpy(to + k * job->n_features, &kernel[k], sizeof(real));
            }
        }
    }
    K(feature_untranspose)(job->scratch, n * 9, job->n_o, job->n_features, add,
                           (scalar *)job->call->diff_weights +
                               (job->o - job->call->begin) * length + c * 9,
                           length);
}

/* Up to 64 outputs over the block's tiles; the last block gives the gradients. Where there is one
 * block only, sums are kept for a few channels at a time, so that they stay in a level-2 cache. */
R_INLINE void run_outputs(struct job *job, const int m, bool add)
{
    const int side = WINOGRAD_SIDE(m);
    const int64_t ic = job->call->dims->ic;
    const bool is_last = job->first + job->n == job->n_tiles;
    scalar *const sums = job->sums;
    for (int64_t t = 0; t < job->n; t++) {
        for (int64_t o = 0; o < job->n_features; o += R_LANES) {
            transform_features(job, m, t, o);
        }
    }
    for (int64_t c = 0; c < ic; c += BDL__WINOGRAD_CHANNELS) {
        const int64_t n = BDL__MIN(ic - c, BDL__WINOGRAD_CHANNELS);
        multiply(job, side * side, c, n);
        if (is_last) {
            transform_sums(job, m, c, n, add);
        }
        job->sums += job->sizes.is_whole ? 0 : n * job->n_features;
    }
    job->sums = sums;
}

R_INLINE void run(const bdl__conv_wgrad_call *call, const int m)
{
    const bdl__conv_dims *d = call->dims;
    const int side = WINOGRAD_SIDE(m);
    struct job job = {.call = call, .sizes = bdl__winograd_wgrad_sizes_of(d, m, R_LANES)};
    job.n_x = (d->ow + m - 1) / m;
    job.n_tiles = (d->oh + m - 1) / m * job.n_x;
    job.inputs = call->scratch;
    job.features = (scalar *)(job.inputs + side * side * job.sizes.inputs_step);
    job.scratch = job.features + side * side * job.sizes.features_step;
    scalar *const sums = job.scratch + BDL__WINOGRAD_CHANNELS * 9 * BDL__CONV_FEATURES;
    for (job.i_part = 0; job.i_part < call->n_parts; job.i_part++) {
        for (job.first = 0; job.first < job.n_tiles; job.first += job.n) {
            job.n = BDL__MIN(job.n_tiles - job.first, job.sizes.tiles);
            job.sums = sums;
            transform_inputs(&job, m);
            for (job.o = call->begin; job.o < call->end; job.o += job.n_o) {
                job.n_o = BDL__MIN(call->end - job.o, BDL__CONV_FEATURES);
                job.n_features = (job.n_o + R_LANES - 1) / R_LANES * R_LANES;
                run_outputs(&job, m, call->add || job.i_part > 0);
                job.sums += job.sizes.is_whole ? 0 : side * side * job.sizes.sums_step;
            }
        }
    }
}

void K(conv_winograd4_wgrad)(const bdl__conv_wgrad_call *call)
{
    run(call, 4);
}

void K(conv_winograd2_wgrad)(const bdl__conv_wgrad_call *call)
{
    run(call, 2);
}

BDL__KERNEL_TABLE(winograd_wgrad, BDL__WINOGRAD_WGRAD_KERNELS)
