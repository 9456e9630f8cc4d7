/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register tiles (tile.h), instantiated. A tile of 6 x 4 reads 6 weights and 4 columns for 24
 * multiply-adds; on avx512 all 24 sums stay in registers.
 */
#include "kernels/tile.h"

/* Sums of `m` outputs (of each of n_tiles tiles) and n columns. All flags are constants at the
 * call. */
R_INLINE void run(const int m, const int n_tiles, const int n, const bool flat, const bool dense,
                  const tile_loop *loop, const real *src, const scalar *w, const scalar *bias,
                  real *dst)
{
    real acc[2 * BDL__TILE_M][TILE_N];
    const int rows = m * n_tiles;
    const int64_t col = dense ? 1 : loop->src_col;
    R_UNROLL for (int k = 0; k < rows; k++) {
        R_UNROLL for (int j = 0; j < n; j++) {
            acc[k][j] = bias != NULL ? R(bias[k]) : R(0);
            if (loop->resume) {
                acc[k][j] = dst[k * loop->dst_m + j * loop->dst_col];
            }
        }
    }
    const char *ahead = loop->ahead != NULL ? loop->ahead : src;
    const int64_t ahead_c = loop->ahead != NULL ? loop->ahead_c : 0;
    R_UNROLL for (int k = 0; k < rows; k++) {
        R_UNROLL for (int j = 0; j < n; j++) {
            R_PREFETCH_TO(dst + k * loop->dst_m + j * loop->dst_col);
        }
    }
    const int64_t n_y = flat ? 1 : loop->n_y;
    const int64_t n_x = flat ? 1 : loop->n_x;
    for (int64_t c = 0; c < loop->n_c; c++) {
        R_PREFETCH(ahead);
        ahead += c % 2 * ahead_c;
        for (int64_t y = 0; y < n_y; y++) {
            const real *s = src + (flat ? 0 : y * loop->src_y);
            const scalar *v = w + (flat ? 0 : y * loop->w_y);
            for (int64_t x = 0; x < n_x; x++) {
                real column[TILE_N];
                R_UNROLL for (int j = 0; j < n; j++) {
                    column[j] = s[j * col];
                }
                R_UNROLL for (int k = 0; k < rows; k++) {
                    const scalar *from = k < m ? v + k : v + loop->w_tile + (k - m);
                    const real b = R(*from);
                    R_UNROLL for (int j = 0; j < n; j++) {
                        acc[k][j] = r_fma(b, column[j], acc[k][j]);
                    }
                }
                s += loop->src_x;
                v += loop->w_x;
            }
        }
        src += loop->src_c;
        w += loop->w_c;
    }
    R_UNROLL for (int k = 0; k < rows; k++) {
        R_UNROLL for (int j = 0; j < n; j++) {
            real *to = dst + k * loop->dst_m + j * loop->dst_col;
            *to = loop->add ? *to + acc[k][j] : acc[k][j];
        }
    }
}

#define TILE(name, m, n_tiles, n, flat)                                                            \
    static void name(const tile_loop *loop, const real *src, const scalar *w, const scalar *bias,  \
                     real *dst)                                                                    \
    {                                                                                              \
        run(m, n_tiles, n, flat, true, loop, src, w, bias, dst);                                   \
    }                                                                                              \
    static void name##_spaced(const tile_loop *loop, const real *src, const scalar *w,             \
                              const scalar *bias, real *dst)                                       \
    {                                                                                              \
        run(m, n_tiles, n, flat, false, loop, src, w, bias, dst);                                  \
    }
#define TILES_OF_N(kind, n, flat)                                                                  \
    TILE(kind##_1x##n, 1, 1, n, flat)                                                              \
    TILE(kind##_2x##n, 2, 1, n, flat)                                                              \
    TILE(kind##_3x##n, 3, 1, n, flat)                                                              \
    TILE(kind##_4x##n, 4, 1, n, flat)                                                              \
    TILE(kind##_5x##n, 5, 1, n, flat)                                                              \
    TILE(kind##_6x##n, 6, 1, n, flat)
#define ROW_OF_N(kind, n, spaced)                                                                  \
    {                                                                                              \
        kind##_1x##n##spaced, kind##_2x##n##spaced, kind##_3x##n##spaced, kind##_4x##n##spaced,    \
            kind##_5x##n##spaced, kind##_6x##n##spaced                                             \
    }

TILES_OF_N(window, 1, false)
TILES_OF_N(window, 2, false)
TILES_OF_N(flat, 1, true)
TILES_OF_N(flat, 2, true)
TILE(window_12x1, 6, 2, 1, false)
TILE(flat_12x1, 6, 2, 1, true)
#if TILE_N == 4
TILES_OF_N(window, 3, false)
TILES_OF_N(window, 4, false)
TILES_OF_N(flat, 3, true)
TILES_OF_N(flat, 4, true)
TILE(window_12x2, 6, 2, 2, false)
TILE(flat_12x2, 6, 2, 2, true)
#define TABLE(kind, spaced)                                                                        \
    {                                                                                              \
        ROW_OF_N(kind, 1, spaced), ROW_OF_N(kind, 2, spaced), ROW_OF_N(kind, 3, spaced),           \
            ROW_OF_N(kind, 4, spaced)                                                              \
    }
#define PAIRS(kind, spaced) {kind##_12x1##spaced, kind##_12x2##spaced}
#else
#define TABLE(kind, spaced) {ROW_OF_N(kind, 1, spaced), ROW_OF_N(kind, 2, spaced)}
#define PAIRS(kind, spaced) {kind##_12x1##spaced}
#endif

static tile_fn *const window_table[2][TILE_N][BDL__TILE_M] = {TABLE(window, ),
                                                              TABLE(window, _spaced)};
static tile_fn *const flat_table[2][TILE_N][BDL__TILE_M] = {TABLE(flat, ), TABLE(flat, _spaced)};
static tile_fn *const window_pairs[2][TILE_PAIR_N] = {PAIRS(window, ), PAIRS(window, _spaced)};
static tile_fn *const flat_pairs[2][TILE_PAIR_N] = {PAIRS(flat, ), PAIRS(flat, _spaced)};

tile_fn *K(tile_window)(int m, int n, int64_t src_col)
{
    const int spaced = src_col != 1;
    return m > BDL__TILE_M ? window_pairs[spaced][n - 1] : window_table[spaced][n - 1][m - 1];
}

tile_fn *K(tile_flat)(int m, int n, int64_t src_col)
{
    const int spaced = src_col != 1;
    return m > BDL__TILE_M ? flat_pairs[spaced][n - 1] : flat_table[spaced][n - 1][m - 1];
}

void K(tile_outputs)(const tile_set *set, const tile_loop *loop, int n, int64_t i_first,
                     const real *src, real *dst)
{
    const bool is_flat = loop->n_y == 1 && loop->n_x == 1;
    tile_fn *(*const pick)(int, int, int64_t) = is_flat ? K(tile_flat) : K(tile_window);
    tile_loop each = *loop;
    for (int64_t t = set->begin; t < set->end;) {
        int64_t first;
        int64_t second;
        const int m = bdl__tile_at(set->n_outputs, t, &first);
        const bool pair = n <= TILE_PAIR_N && m == BDL__TILE_M && t + 1 < set->end &&
                          bdl__tile_at(set->n_outputs, t + 1, &second) == BDL__TILE_M;
        each.w_c = loop->w_c * m;
        each.w_y = loop->w_y * m;
        each.w_x = loop->w_x * m;
        each.w_tile = set->length * m;
        const scalar *const weights = set->packed + first * set->length + i_first * m;
        const int64_t i_ahead = t - set->ahead_tile;
        if (set->weights_ahead > 0) {
            each.ahead = (const char *)weights + set->weights_ahead;
            each.ahead_c = 2 * each.w_c * (int64_t)sizeof(scalar);
        } else {
            each.ahead = loop->ahead != NULL && i_ahead < 2 * TILE_N
                             ? (const char *)loop->ahead + i_ahead / 2 * (int64_t)sizeof(real) +
                                   i_ahead % 2 * (loop->n_c / 2) * loop->ahead_c
                             : NULL;
        }
        pick(pair ? 2 * m : m, n, loop->src_col)(
            &each, src, weights,
            set->bias != NULL ? set->bias + first : NULL, dst + first * loop->dst_m);
        t += pair ? 2 : 1;
    }
}
