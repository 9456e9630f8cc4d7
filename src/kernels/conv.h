/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv.h: two-dimensional convolution, all its kernels and what they share.
 *
 *     dst[o][y][x] = bias[o] + sum over c, ky, kx of
 *                    weights[o][c][ky][kx] * src[c][y * sh - ph + ky * dh][x * sw - pw + kx * dw]
 *
 * src is (ic, ih, iw), dst (oc, oh, ow), weights (oc, ic / groups, kh, kw); outside of src there
 * are zeros. The direct kernels take any stride, padding, dilation and groups.
 */
#ifndef BDL_KERNELS_CONV_H
#define BDL_KERNELS_CONV_H

#include "kernels/parts.h"
#include "kernels/tile.h"

typedef struct bdl__conv_dims {
    int64_t ic, ih, iw;
    int64_t oc, oh, ow;
    int64_t kh, kw, sh, sw;
    int64_t ph, pw; /* zeros above and left of src; those below and right follow from oh, ow */
    int64_t dh, dw;
    int64_t groups;
} bdl__conv_dims;

/* One call of a forward or backward-data kernel: from `src` and packed weights to `dst`. (Backward
 * data reads the gradient of the output as src and writes that of the input as dst.) */
typedef struct bdl__conv_call {
    const bdl__conv_dims *dims;
    bdl__parts src, dst;
    int64_t n_parts;
    const void *packed;
    const void *bias; /* NULL = none */
    bool add;         /* add to dst */
    int64_t begin, end; /* units of output channels, see ..._units */
    void *scratch;
} bdl__conv_call;

/* One call of a weight-gradient kernel: the gradients of weights (and bias) of the output channels
 * [begin, end), summed over positions, the samples of each part, and the parts, in this order. */
typedef struct bdl__conv_wgrad_call {
    const bdl__conv_dims *dims;
    bdl__parts src, diff_dst;
    int64_t n_parts;
    void *diff_weights; /* scalars, of output channel `begin`; NULL = not wanted */
    void *diff_bias;    /* the same */
    bool add;           /* add to diff_weights and diff_bias */
    int64_t begin, end;
    void *scratch;
} bdl__conv_wgrad_call;

/* ---- direct ---------------------------------------------------------------------------------- */

/* Packed weights are as many as weights. Units are register tiles of a group's output channels
 * (forward) or input channels (backward data): tile.h. Scratch: conv_axis.h. */
static inline int64_t bdl__conv_direct_units(const bdl__conv_dims *dims, bool backward)
{
    return dims->groups * bdl__n_tiles((backward ? dims->ic : dims->oc) / dims->groups);
}

#define BDL__CONV_DIRECT_KERNELS(X)                                                                \
    X(conv_direct_pack, (const bdl__conv_dims *dims, bool backward, const scalar *weights,         \
                         scalar *packed, int64_t begin, int64_t end))                              \
    X(conv_direct_forward, (const bdl__conv_call *call))                                           \
    X(conv_direct_backward, (const bdl__conv_call *call))
BDL__KERNEL_FAMILY(conv_direct, BDL__CONV_DIRECT_KERNELS)

/* ---- weight gradients ------------------------------------------------------------------------ */

/* Bytes of scratch of conv_wgrad_lane_sums: a padded plane, and the sums of a tile before their
 * lanes are added. */
static inline size_t bdl__conv_lane_sums_scratch(const bdl__conv_dims *d, size_t real_size)
{
    const int64_t plane = d->ih * (d->iw + d->kw * d->dw + d->ow * d->sw + d->pw);
    return (size_t)(plane + 2 * (BDL__TILE_M * d->kh * d->kw + 16)) * real_size;
}

#define BDL__CONV_WGRAD_KERNELS(X)                                                                 \
    X(conv_wgrad_lane_sums, (const bdl__conv_wgrad_call *call))                                    \
    X(conv_wgrad_bias, (const bdl__conv_wgrad_call *call))
BDL__KERNEL_FAMILY(conv_wgrad, BDL__CONV_WGRAD_KERNELS)

/* Output channels in the lanes at once, and positions of a transposed block (32 KB of floats). */
#define BDL__CONV_FEATURES 64
#define BDL__CONV_POSITIONS 8

/* Bytes of sums that may be kept at once beside what is read: half a level-2 cache. */
#define BDL__CONV_SUMS_SIZE (512 * 1024)

/* Blocks of BDL__CONV_FEATURES outputs of a group whose sums are kept at once: all, so that src is
 * read once for them, or one. */
static inline int64_t bdl__conv_features_kept(const bdl__conv_dims *d)
{
    const int64_t ocg = d->oc / d->groups;
    const int64_t n_blocks = (ocg + BDL__CONV_FEATURES - 1) / BDL__CONV_FEATURES;
    const int64_t size = d->ic / d->groups * d->kh * d->kw * BDL__CONV_FEATURES * 4;
    return n_blocks * size <= BDL__CONV_SUMS_SIZE ? n_blocks : 1;
}

/* Bytes of scratch of conv_wgrad_features: the block, and the sums that are kept. */
static inline size_t bdl__conv_features_scratch(const bdl__conv_dims *d, size_t real_size,
                                                size_t scalar_size)
{
    const int64_t length = d->ic / d->groups * d->kh * d->kw;
    return BDL__CONV_POSITIONS * BDL__CONV_FEATURES * real_size +
           (size_t)(bdl__conv_features_kept(d) * length * BDL__CONV_FEATURES) * scalar_size;
}

#define BDL__CONV_FEATURES_KERNELS(X) X(conv_wgrad_features, (const bdl__conv_wgrad_call *call))
BDL__KERNEL_FAMILY(conv_features, BDL__CONV_FEATURES_KERNELS)

/* ---- Winograd, tiles of m x m outputs, m = 4 or 2 -------------------------------------------- */

/* Tiles of a block, for n_c channels and n_o outputs. Few tiles stay in a level-2 cache; but each
 * block reads all weights, so where these come from farther away, more tiles pay. */
#define BDL__WINOGRAD_BLOCK 16
static inline int64_t bdl__conv_winograd_block(int64_t n_c, int64_t n_o, int m)
{
    const int64_t n = (int64_t)(m + 2) * (m + 2) * n_c * n_o; /* weights */
    return n <= 5 << 18 ? 4 : n <= 5 << 19 ? BDL__WINOGRAD_BLOCK : 8;
}

/* Bytes of scratch of the forward and backward-data kernels. */
static inline size_t bdl__conv_winograd_scratch(int64_t n_c, int64_t n_o, int m, size_t real_size)
{
    const int64_t block = bdl__conv_winograd_block(n_c, n_o, m);
    return (size_t)((m + 2) * (m + 2) * ((n_c + n_o) * block + 2)) * real_size;
}

/* Packed weights are (m + 2) * (m + 2) for each channel and output; units as for direct kernels. */
#define BDL__CONV_WINOGRAD_KERNELS(X)                                                              \
    X(conv_winograd_pack, (const bdl__conv_dims *dims, int m, bool backward,                       \
                           const scalar *weights, scalar *packed, int64_t begin, int64_t end))     \
    X(conv_winograd4_forward, (const bdl__conv_call *call))                                        \
    X(conv_winograd4_backward, (const bdl__conv_call *call))                                       \
    X(conv_winograd2_forward, (const bdl__conv_call *call))                                        \
    X(conv_winograd2_backward, (const bdl__conv_call *call))
BDL__KERNEL_FAMILY(conv_winograd, BDL__CONV_WINOGRAD_KERNELS)

/* Transformed inputs of a block of tiles are limited to this many numbers of one sample; channels
 * whose sums are kept at once where a block holds all tiles. */
#define BDL__WINOGRAD_INPUTS (18 * 1024)
#define BDL__WINOGRAD_CHANNELS 48

/* Steps from an element to the next: of inputs in reals, of features and sums in scalars. Odd
 * numbers of cache lines, so that elements do not meet in the same places of a cache. */
typedef struct bdl__winograd_wgrad_sizes {
    int64_t tiles; /* of a block */
    bool is_whole; /* a block holds all tiles of a part */
    int64_t inputs_step, features_step, sums_step;
} bdl__winograd_wgrad_sizes;

static inline bdl__winograd_wgrad_sizes bdl__winograd_wgrad_sizes_of(const bdl__conv_dims *d, int m,
                                                                     int64_t lanes)
{
    const int64_t n_tiles = ((d->oh + m - 1) / m) * ((d->ow + m - 1) / m);
    const int64_t fit = BDL__WINOGRAD_INPUTS / ((m + 2) * (m + 2) * d->ic);
    const int64_t n_blocks = (n_tiles + BDL__MAX(fit, 4) - 1) / BDL__MAX(fit, 4);
    bdl__winograd_wgrad_sizes sizes = {.tiles = (n_tiles + n_blocks - 1) / n_blocks,
                                       .is_whole = n_blocks == 1};
    const int64_t kept = sizes.is_whole ? BDL__MIN(d->ic, BDL__WINOGRAD_CHANNELS) : d->ic;
    sizes.inputs_step = (d->ic * sizes.tiles) | 1;
    sizes.features_step = sizes.tiles * lanes * BDL__CONV_FEATURES + 16;
    sizes.sums_step = kept * BDL__CONV_FEATURES + 16;
    return sizes;
}

/* Bytes of scratch for calls of up to n_outputs outputs. */
static inline size_t bdl__winograd_wgrad_scratch(const bdl__conv_dims *d, int m, int64_t n_outputs,
                                                 size_t real_size, size_t scalar_size)
{
    const bdl__winograd_wgrad_sizes sizes =
        bdl__winograd_wgrad_sizes_of(d, m, (int64_t)(real_size / scalar_size));
    const int64_t n_blocks =
        sizes.is_whole ? 1 : (n_outputs + BDL__CONV_FEATURES - 1) / BDL__CONV_FEATURES;
    const int64_t n_elements = (m + 2) * (m + 2);
    return (size_t)(n_elements * sizes.inputs_step) * real_size +
           (size_t)(n_elements * (sizes.features_step + n_blocks * sizes.sums_step) +
                    BDL__WINOGRAD_CHANNELS * 9 * BDL__CONV_FEATURES) *
               scalar_size;
}

#define BDL__WINOGRAD_WGRAD_KERNELS(X)                                                             \
    X(conv_winograd4_wgrad, (const bdl__conv_wgrad_call *call))                                    \
    X(conv_winograd2_wgrad, (const bdl__conv_wgrad_call *call))
BDL__KERNEL_FAMILY(winograd_wgrad, BDL__WINOGRAD_WGRAD_KERNELS)

#endif
