/* SPDX-License-Identifier: Apache-2.0 */
/* The register tiles of weight gradients in feature lanes (features.h), instantiated. */
#include "kernels/features.h"

R_INLINE real load(const scalar *from)
{
    real x;
    memcpy(&x, from, sizeof x);
    return x;
}

R_INLINE void run(const int m, const int n, const feature_loop *loop, const scalar *rows,
                  const scalar *features, scalar *sums)
{
    real acc[BDL__TILE_M][TILE_N];
    const int64_t row_m = loop->row_m;
    R_UNROLL for (int k = 0; k < m; k++) {
        R_UNROLL for (int j = 0; j < n; j++) {
            acc[k][j] = loop->add ? load(sums + k * loop->sum_m + j * R_LANES) : R(0);
        }
    }
    R_UNROLL for (int k = 0; k < m; k++) {
        R_UNROLL for (int j = 0; j < n; j++) { /* the next tile's */
            R_PREFETCH_TO(sums + (k + m) * loop->sum_m + j * R_LANES);
        }
    }
    const char *ahead = loop->ahead != NULL ? loop->ahead : (const void *)rows;
    const int64_t ahead_s = loop->ahead != NULL ? loop->ahead_s : 0;
    for (int64_t y = 0; y < loop->n_y; y++) {
        for (int64_t x = 0; x < loop->n_x; x++) {
            const scalar *b = rows + y * loop->row_y + x * loop->row_x;
            const scalar *f = features + y * loop->feature_y + x * loop->feature_x;
            R_UNROLL for (int k = 0; k < m; k++) {
                R_PREFETCH(b + k * row_m + loop->rows_ahead);
            }
            for (int64_t s = 0; s < loop->n_s; s++) {
                R_PREFETCH(ahead);
                ahead += s % 2 * ahead_s;
                real feature[TILE_N];
                R_UNROLL for (int j = 0; j < n; j++) {
                    feature[j] = load(f + j * R_LANES);
                }
                R_UNROLL for (int k = 0; k < m; k++) {
                    const real row = R(b[k * row_m]);
                    R_UNROLL for (int j = 0; j < n; j++) {
                        acc[k][j] = r_fma(row, feature[j], acc[k][j]);
                    }
                }
                b++;
                f += loop->feature_s;
            }
        }
    }
    R_UNROLL for (int k = 0; k < m; k++) {
        R_UNROLL for (int j = 0; j < n; j++) {
            memcpy(sums + k * loop->sum_m + j * R_LANES, &acc[k][j], sizeof(real));
        }
    }
}

#define TILE(m, n)                                                                                 \
    static void tile_##m##x##n(const feature_loop *loop, const scalar *rows,                       \
                               const scalar *features, scalar *sums)                               \
    {                                                                                              \
        run(m, n, loop, rows, features, sums);                                                     \
    }
#define TILES_OF_N(n) TILE(1, n) TILE(2, n) TILE(3, n) TILE(4, n) TILE(5, n) TILE(6, n)
#define ROW_OF_N(n) {tile_1x##n, tile_2x##n, tile_3x##n, tile_4x##n, tile_5x##n, tile_6x##n}
TILES_OF_N(1)
TILES_OF_N(2)
#if TILE_N == 4
TILES_OF_N(3)
TILES_OF_N(4)
static feature_fn *const table[TILE_N][BDL__TILE_M] = {ROW_OF_N(1), ROW_OF_N(2), ROW_OF_N(3),
                                                       ROW_OF_N(4)};
#else
static feature_fn *const table[TILE_N][BDL__TILE_M] = {ROW_OF_N(1), ROW_OF_N(2)};
#endif

feature_fn *K(feature_tile)(int m, int n)
{
    return table[n - 1][m - 1];
}

void K(feature_rows)(const feature_loop *loop, int64_t n_rows, int n_reals, const scalar *rows,
                     const scalar *features, scalar *sums)
{
    const int64_t n_tiles = bdl__n_tiles(n_rows);
    feature_loop each = *loop;
    for (int64_t t = 0; t < n_tiles; t++) {
        int64_t first;
        const int m = bdl__tile_at(n_rows, t, &first);
        each.ahead = loop->ahead != NULL ? (const real *)loop->ahead + t : NULL;
        for (int j = 0; j < n_reals; j += TILE_N) {
            const int n = (int)BDL__MIN(n_reals - j, TILE_N);
            table[n - 1][m - 1](&each, rows + first * loop->row_m, features + j * R_LANES,
                                sums + first * loop->sum_m + j * R_LANES);
        }
    }
}

void K(feature_transpose)(const real *from, int64_t step, int64_t n, int64_t n_features, scalar *to,
                          int64_t to_s)
{
    for (int64_t k = 0; k < n_features; k += R_LANES) {
        real block[R_LANES];
        if (k + R_LANES <= n) {
            R_UNROLL for (int i = 0; i < R_LANES; i++) {
                block[i] = from[(k + i) * step];
            }
        } else {
            for (int i = 0; i < R_LANES; i++) {
                block[i] = k + i < n ? from[(k + i) * step] : R(0);
            }
        }
        r_transpose(block);
        R_UNROLL for (int i = 0; i < R_LANES; i++) {
            memcpy(to + i * to_s + k, &block[i], sizeof(real));
        }
    }
}

void K(feature_untranspose)(const scalar *sums, int64_t n, int64_t n_outputs, int64_t n_features,
                            bool add, scalar *to, int64_t step)
{
    for (int64_t o = 0; o < n_outputs; o += R_LANES) {
        const int64_t rows = BDL__MIN(n_outputs - o, R_LANES);
        for (int64_t k = 0; k < n; k += R_LANES) {
            const int64_t left = BDL__MIN(n - k, R_LANES);
            real block[R_LANES];
            for (int64_t i = 0; i < R_LANES; i++) {
                block[i] = i < left ? load(sums + (k + i) * n_features + o) : R(0);
            }
            r_transpose(block);
            for (int64_t i = 0; i < rows; i++) {
                scalar *at = to + (o + i) * step + k;
                if (left == R_LANES) {
                    const real sum = add ? load(at) + block[i] : block[i];
                    memcpy(at, &sum, sizeof sum);
                } else {
                    for (int64_t l = 0; l < left; l++) {
                        at[l] = add ? at[l] + r_load_lane(block[i], (int)l)
                                    : r_load_lane(block[i], (int)l);
                    }
                }
            }
        }
    }
}
