/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile.h: the register tile under convolution and linear: up to 6 outputs times up to TILE_N
 * columns of one sample, summed over channels, then kernel rows, then kernel columns, one fused
 * multiply-add after the other. The order of an output's sum does not depend on the tile, so tiles
 * may be cut anywhere.
 *
 * Weights are packed so that a tile's outputs are neighbors: packed[tile][channel][ky][kx][m]. A
 * number of outputs is cut into tiles by bdl__tile_at, and the tile that begins at output o begins
 * o times the length of a sum into the packed weights.
 */
#ifndef BDL_KERNELS_TILE_H
#define BDL_KERNELS_TILE_H

#include "kernels/family.h"

#define BDL__TILE_M 6

static inline int64_t bdl__n_tiles(int64_t n_outputs)
{
    return (n_outputs + BDL__TILE_M - 1) / BDL__TILE_M;
}

/* The outputs [first, first + m) of tile t. Tiles of one or two outputs would leave the multipliers
 * waiting for each other, so the last two share what they have. */
static inline int bdl__tile_at(int64_t n_outputs, int64_t t, int64_t *first)
{
    const int64_t n = bdl__n_tiles(n_outputs);
    const int64_t rest = n_outputs - (n - 2) * BDL__TILE_M; /* outputs of the last two */
    *first = t * BDL__TILE_M;
    if (n < 2 || t < n - 2) {
        return n < 2 ? (int)n_outputs : BDL__TILE_M;
    }
    const int64_t half = rest <= 9 ? (rest + 1) / 2 : BDL__TILE_M;
    *first = (n - 2) * BDL__TILE_M + (t == n - 1 ? half : 0);
    return (int)(t == n - 1 ? rest - half : half);
}

#if defined(R_LANES)

/* Columns of a tile: 6 x 4 sums want 32 vector registers, 6 x 2 want 16. */
#if defined(BDL_TARGET_AVX512) || defined(BDL_TARGET_NEON)
#define TILE_N 4
#else
#define TILE_N 2
#endif

#if defined(__clang__)
#define R_UNROLL _Pragma("clang loop unroll(full)")
#else
#define R_UNROLL _Pragma("GCC unroll 32")
#endif

/* Asks for memory that will be read (written) soon; any address is allowed. */
#define R_PREFETCH(address) __builtin_prefetch(address)
#define R_PREFETCH_TO(address) __builtin_prefetch((address), 1)

/* Where a tile's sums run: steps of src in reals, of packed weights in scalars. */
typedef struct tile_loop {
    int64_t n_c, n_y, n_x;
    int64_t src_c, src_y, src_x;
    int64_t src_col; /* from a column of the tile to the next */
    int64_t w_c, w_y, w_x;
    int64_t w_tile;  /* from the first tile of a pair to the second */
    int64_t dst_m;   /* from an output to the next, in reals */
    int64_t dst_col; /* from a column to the next */
    bool add;        /* add to dst */
    bool resume;     /* sums start from dst, where earlier channels left them, instead of bias */
    const void *ahead; /* prefetched meanwhile, a cache line every second channel; NULL = nothing */
    int64_t ahead_c;   /* bytes from such a line to the next */
} tile_loop;

/* dst[m][col] (+)= bias[m] + sum of w * src. bias may be NULL. */
typedef void tile_fn(const tile_loop *loop, const real *src, const scalar *w, const scalar *bias,
                     real *dst);

/* Kernels over all three sums, and "flat" ones over channels alone (matrix products). In both,
 * src_col 1 has a form of its own. m = 2 * BDL__TILE_M is a pair of full tiles, for one column (or
 * two). */
tile_fn *K(tile_window)(int m, int n, int64_t src_col);
tile_fn *K(tile_flat)(int m, int n, int64_t src_col);

/* The widest tile of n columns: a pair where one column would leave multipliers waiting. */
#define TILE_PAIR_N (TILE_N / 2)

/* The tiles [begin, end) of n_outputs outputs, whose sums have `length` weights each. */
typedef struct tile_set {
    int64_t n_outputs, length;
    int64_t begin, end;
    const scalar *packed; /* of output 0 */
    const scalar *bias;   /* of output 0, or NULL */
    /* What the tiles prefetch: the TILE_N columns of n_c channels from loop->ahead on, half a column
     * by each tile from this one on; or the weights so many bytes ahead. */
    int64_t ahead_tile;
    int64_t weights_ahead; /* 0 = none */
} tile_set;

/* Runs a set of tiles over n columns. The loop's steps of weights are those of one output; the sums
 * start at weight `i_first` of a channel. `dst` is that of output 0. */
void K(tile_outputs)(const tile_set *set, const tile_loop *loop, int n, int64_t i_first,
                     const real *src, real *dst);

#endif
#endif
