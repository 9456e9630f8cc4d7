/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels of linear. Forward and backward data are register tiles over columns, which are positions
 * or, where there is one position, parts. Weight gradients are in feature lanes: inputs in the
 * lanes, so that gradients leave in the order of the weights.
 */
#include "kernels/linear.h"
#include "kernels/features.h"

BDL__KERNEL_DECLARE(BDL__LINEAR_KERNELS)

/* weights with these steps -> packed [tile][in][m] */
void K(linear_pack)(const scalar *weights, int64_t n_in, int64_t n_out, int64_t step_in,
                    int64_t step_out, scalar *packed, int64_t begin, int64_t end)
{
    for (int64_t t = begin; t < end; t++) {
        int64_t first;
        const int m = bdl__tile_at(n_out, t, &first);
        const scalar *from = weights + first * step_out;
        scalar *to = packed + first * n_in;
        for (int64_t i = 0; i < n_in; i++) {
            for (int k = 0; k < m; k++) {
                *to++ = from[i * step_in + k * step_out];
            }
        }
    }
}

/* Tiles of outputs whose weights stay in a level-2 cache while all columns pass. */
#define TILES_SIZE (256 * 1024)

/* Bytes of weights between what is multiplied and what is prefetched: they pass through once. */
#define WEIGHTS_AHEAD 2048

/* n columns, spaced as the loop says. */
static void run_columns(const tile_set *set, const tile_loop *loop, int64_t n, const real *src,
                        real *dst)
{
    const int64_t n_tiles = (n + TILE_N - 1) / TILE_N;
    for (int64_t t = 0; t < n_tiles; t++) {
        const int64_t first = t * n / n_tiles;
        K(tile_outputs)(set, loop, (int)((t + 1) * n / n_tiles - first), 0,
                        src + first * loop->src_col, dst + first * loop->dst_col);
    }
}

void K(linear_product)(const bdl__linear_call *call)
{
    const int64_t size = call->n_in * BDL__TILE_M * (int64_t)sizeof(scalar);
    const int64_t step = BDL__MAX(TILES_SIZE / size, 2);
    const bool across = call->n_positions == 1;
    tile_loop loop = {.n_c = call->n_in, .n_y = 1, .n_x = 1, .src_c = 1, .w_c = 1, .dst_m = 1,
                      .add = call->add};
    loop.src_col = across ? call->src.stride / (int64_t)sizeof(real) : call->n_in;
    loop.dst_col = across ? call->dst.stride / (int64_t)sizeof(real) : call->n_out;
    const int64_t n_columns = across ? call->n_parts : call->n_positions;
    for (int64_t t = call->begin; t < call->end; t += step) {
        const tile_set set = {.n_outputs = call->n_out,
                              .length = call->n_in,
                              .begin = t,
                              .end = BDL__MIN(t + step, call->end),
                              .packed = call->packed,
                              .bias = call->bias,
                              .weights_ahead = WEIGHTS_AHEAD};
        for (int64_t i = 0; i < (across ? 1 : call->n_parts); i++) {
            run_columns(&set, &loop, n_columns, r_part(&call->src, i, 0), r_part(&call->dst, i, 0));
        }
    }
}

/* A run of positions as the tiles of weight gradients see it: positions of a part or, where each part
 * has one, parts. Steps in scalars. */
struct run {
    const real *src, *diff_dst;
    int64_t n, src_step, diff_step;
};

static struct run run_of(const bdl__linear_wgrad_call *call, int64_t i_part, int64_t begin,
                         int64_t end)
{
    struct run run = {.n = end - begin};
    if (call->n_positions == 1) {
        run.src = r_part(&call->src, begin, 0);
        run.diff_dst = r_part(&call->diff_dst, begin, call->begin);
        run.src_step = call->src.stride / (int64_t)sizeof(scalar);
        run.diff_step = call->diff_dst.stride / (int64_t)sizeof(scalar);
    } else {
        run.src = r_part(&call->src, i_part, begin * call->n_in);
        run.diff_dst = r_part(&call->diff_dst, i_part, begin * call->n_out + call->begin);
        run.src_step = call->n_in * R_LANES;
        run.diff_step = call->n_out * R_LANES;
    }
    return run;
}

/* The gradients of inputs [first, first + n) from a run of positions. A block that is not full goes
 * through a copy, because tiles write whole reals. */
static void run_block(const bdl__linear_wgrad_call *call, const struct run *run, int64_t first,
                      int64_t n, bool add)
{
    const int64_t n_rows = call->end - call->begin;
    const int n_reals = (int)((n + R_LANES - 1) / R_LANES);
    const int64_t n_features = (int64_t)n_reals * R_LANES;
    scalar *features = call->scratch;
    scalar *diff = (scalar *)call->diff_weights + first;
    for (int64_t p = 0; p < run->n; p++) {
        K(feature_transpose)((const real *)((const scalar *)run->src + p * run->src_step) + first, 1,
                             n, n_features, features + p * R_LANES * n_features, n_features);
    }
    feature_loop loop = {.n_y = 1,
                         .n_x = run->n,
                         .n_s = R_LANES,
                         .row_m = R_LANES,
                         .row_x = run->diff_step,
                         .feature_x = R_LANES * n_features,
                         .feature_s = n_features,
                         .sum_m = call->n_in,
                         .add = add};
    const scalar *rows = (const scalar *)run->diff_dst;
    if (n == n_features) {
        K(feature_rows)(&loop, n_rows, n_reals, rows, features, diff);
        return;
    }
    scalar *sums = features + run->n * R_LANES * n_features;
    for (int64_t k = 0; add && k < n_rows; k++) {
        memcpy(sums + k * n_features, diff + k * call->n_in, (size_t)n * sizeof(scalar));
    }
    loop.sum_m = n_features;
    K(feature_rows)(&loop, n_rows, n_reals, rows, features, sums);
    for (int64_t k = 0; k < n_rows; k++) {
        memcpy(diff + k * call->n_in, sums + k * n_features, (size_t)n * sizeof(scalar));
    }
}

void K(linear_wgrad)(const bdl__linear_wgrad_call *call)
{
    const bool across = call->n_positions == 1;
    const int64_t n_positions = across ? call->n_parts : call->n_positions;
    for (int64_t i = 0; i < (across ? 1 : call->n_parts); i++) {
        for (int64_t p = 0; p < n_positions; p += BDL__LINEAR_POSITIONS) {
            const int64_t end = BDL__MIN(p + BDL__LINEAR_POSITIONS, n_positions);
            const struct run run = run_of(call, i, p, end);
            for (int64_t first = 0; first < call->n_in; first += BDL__LINEAR_FEATURES) {
                run_block(call, &run, first, BDL__MIN(call->n_in - first, BDL__LINEAR_FEATURES),
                          call->add || i > 0 || p > 0);
            }
        }
    }
}

/* diff_bias[o] = sum over positions, then lanes, then parts */
void K(linear_bgrad)(const bdl__linear_wgrad_call *call)
{
    for (int64_t i = 0; i < call->n_parts; i++) {
        for (int64_t o = call->begin; o < call->end; o += 16) {
            const int64_t n = BDL__MIN(call->end - o, 16);
            real sums[16 + R_LANES];
            memset(sums, 0, sizeof sums);
            for (int64_t p = 0; p < call->n_positions; p++) {
                const real *g = r_part(&call->diff_dst, i, p * call->n_out + o);
                for (int64_t k = 0; k < n; k++) {
                    sums[k] += g[k];
                }
            }
            r_sum_lanes_into(sums, n, call->add || i > 0,
                             (scalar *)call->diff_bias + (o - call->begin));
        }
    }
}

BDL__KERNEL_TABLE(linear, BDL__LINEAR_KERNELS)
