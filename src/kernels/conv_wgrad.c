/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weight gradients of a convolution as lane sums: the products of up to 6 output channels with the
 * taps of a kernel row are added up over positions in registers, each lane for its sample, and the
 * lanes are added at the end. For planes of many positions and few channels; the adding of lanes
 * costs about as much as 3 positions. Also the bias gradient for all forms.
 */
#include "kernels/conv.h"
#include "kernels/conv_axis.h"
#include "kernels/lanes.h"

BDL__KERNEL_DECLARE(BDL__CONV_WGRAD_KERNELS)

/* Taps of a tile; with them the outputs are limited so that all sums stay in registers. */
#define TAPS 5
#if TILE_N == 4
#define M_OF_TAPS(n) ((n) == 5 ? 4 : (n) == 4 ? 5 : 6)
#else
#define M_OF_TAPS(n) ((n) == 5 ? 2 : (n) >= 3 ? 3 : 4)
#endif

/* Positions of a tile: rows of src and of diff_dst that meet at a kernel row. */
struct area {
    int64_t n_y, n_x;
    int64_t src_y, src_x, src_tap;
    int64_t dst_y, dst_m;
    int64_t sum_m; /* from an output's sums to the next */
};

typedef void sums_fn(const struct area *area, const real *src, const real *diff_dst, real *sums);

/* sums[m][tap] = sum over positions of diff_dst[m] * src[tap] */
R_INLINE void run(const int m, const int n, const struct area *area, const real *src,
                  const real *diff_dst, real *sums)
{
    real acc[BDL__TILE_M][TAPS];
    const int64_t tap = area->src_tap;
    R_UNROLL for (int k = 0; k < m; k++) {
        R_UNROLL for (int j = 0; j < n; j++) {
            acc[k][j] = R(0);
        }
    }
    for (int64_t y = 0; y < area->n_y; y++) {
        const real *s = src + y * area->src_y;
        const real *g = diff_dst + y * area->dst_y;
        for (int64_t x = 0; x < area->n_x; x++) {
            real column[TAPS];
            R_UNROLL for (int j = 0; j < n; j++) {
                column[j] = s[j * tap];
            }
            R_UNROLL for (int k = 0; k < m; k++) {
                const real b = g[k * area->dst_m];
                R_UNROLL for (int j = 0; j < n; j++) {
                    acc[k][j] = r_fma(b, column[j], acc[k][j]);
                }
            }
            s += area->src_x;
            g++;
        }
    }
    R_UNROLL for (int k = 0; k < m; k++) {
        R_UNROLL for (int j = 0; j < n; j++) {
            sums[k * area->sum_m + j] = acc[k][j];
        }
    }
}

#define SUMS(m, n)                                                                                 \
    static void sums_##m##x##n(const struct area *area, const real *src, const real *diff_dst,     \
                               real *sums)                                                         \
    {                                                                                              \
        run(BDL__MIN(m, M_OF_TAPS(n)), n, area, src, diff_dst, sums);                              \
    }
#define SUMS_OF_M(m) SUMS(m, 1) SUMS(m, 2) SUMS(m, 3) SUMS(m, 4) SUMS(m, 5)
#define ROW_OF_M(m) {sums_##m##x1, sums_##m##x2, sums_##m##x3, sums_##m##x4, sums_##m##x5}
SUMS_OF_M(1)
SUMS_OF_M(2)
SUMS_OF_M(3)
SUMS_OF_M(4)
SUMS_OF_M(5)
SUMS_OF_M(6)
static sums_fn *const sums_table[BDL__TILE_M][TAPS] = {ROW_OF_M(1), ROW_OF_M(2), ROW_OF_M(3),
                                                       ROW_OF_M(4), ROW_OF_M(5), ROW_OF_M(6)};

/* A channel's plane with zeros left and right, so that all taps meet something; in place where they
 * do anyway. Gives the distance between rows and the column that tap 0 of position 0 meets. */
static const real *pad(const bdl__conv_dims *d, const real *src, real *scratch, int64_t *width,
                       int64_t *column)
{
    const bdl__conv_axis x = bdl__conv_axis_forward(d->iw, d->ow, d->kw, d->sw, d->pw, d->dw);
    int64_t least;
    const int64_t most = bdl__conv_axis_reach(&x, 0, d->ow, &least);
    if (least >= 0 && most <= d->iw) {
        *width = d->iw;
        *column = least;
        return src;
    }
    *width = most - least;
    *column = 0;
    for (int64_t y = 0; y < d->ih; y++) {
        for (int64_t i = 0; i < *width; i++) {
            const int64_t at = least + i;
            scratch[y * *width + i] = at >= 0 && at < d->iw ? src[y * d->iw + at] : R(0);
        }
    }
    return scratch;
}

/* All taps of up to 6 outputs and one channel: sums[m][kh * kw]. */
static void run_taps(const bdl__conv_dims *d, struct area *area, int m, const real *plane,
                     int64_t width, int64_t column, const real *diff_dst, real *sums)
{
    const bdl__conv_axis y = bdl__conv_axis_forward(d->ih, d->oh, d->kh, d->sh, d->ph, d->dh);
    for (int64_t ky = 0; ky < d->kh; ky++) {
        const int64_t off = y.off0 + ky * d->dh;
        int64_t first = off < 0 ? (-off + d->sh - 1) / d->sh : 0;
        const int64_t last = BDL__MIN(off < d->ih ? (d->ih - 1 - off) / d->sh : -1, d->oh - 1);
        area->n_y = BDL__MAX(last + 1 - first, 0);
        first = area->n_y > 0 ? first : 0;
        const real *src = plane + (area->n_y > 0 ? (off + first * d->sh) * width : 0) + column;
        for (int64_t kx = 0; kx < d->kw; kx += TAPS) {
            const int n = (int)BDL__MIN(d->kw - kx, TAPS);
            sums_table[m - 1][n - 1](area, src + kx * d->dw, diff_dst + first * d->ow,
                                     sums + ky * d->kw + kx);
        }
    }
}

/* One part and the outputs [begin, end) of one group; `diff` is the gradient of output `begin`. */
static void run_group(const bdl__conv_wgrad_call *call, int64_t i_part, int64_t g, int64_t begin,
                      int64_t end, bool add, scalar *diff)
{
    const bdl__conv_dims *d = call->dims;
    const int64_t icg = d->ic / d->groups;
    const int64_t taps = d->kh * d->kw;
    const int64_t most = M_OF_TAPS((int)BDL__MIN(d->kw, TAPS));
    const int64_t n_tiles = (end - begin + most - 1) / most;
    real *sums = call->scratch;
    scalar *lanes = (scalar *)(sums + BDL__TILE_M * taps + 16);
    real *padded = sums + 2 * (BDL__TILE_M * taps + 16);
    struct area area = {.n_x = d->ow, .src_x = d->sw, .src_tap = d->dw, .dst_y = d->ow,
                        .dst_m = d->oh * d->ow, .sum_m = taps};
    for (int64_t c = 0; c < icg; c++) {
        int64_t width;
        int64_t column;
        const real *plane = pad(d, r_part(&call->src, i_part, (g * icg + c) * d->ih * d->iw),
                                padded, &width, &column);
        area.src_y = d->sh * width;
        for (int64_t t = 0; t < n_tiles; t++) {
            const int64_t o = begin + t * (end - begin) / n_tiles;
            const int m = (int)(begin + (t + 1) * (end - begin) / n_tiles - o);
            run_taps(d, &area, m, plane, width, column,
                     r_part(&call->diff_dst, i_part, o * d->oh * d->ow), sums);
            r_sum_lanes_into(sums, m * taps, false, lanes);
            for (int k = 0; k < m; k++) {
                scalar *to = diff + ((o - begin + k) * icg + c) * taps;
                for (int64_t i = 0; i < taps; i++) {
                    to[i] = add ? to[i] + lanes[k * taps + i] : lanes[k * taps + i];
                }
            }
        }
    }
}

void K(conv_wgrad_lane_sums)(const bdl__conv_wgrad_call *call)
{
    const bdl__conv_dims *d = call->dims;
    const int64_t ocg = d->oc / d->groups;
    const int64_t length = d->ic / d->groups * d->kh * d->kw;
    for (int64_t i = 0; i < call->n_parts; i++) {
        for (int64_t o = call->begin; o < call->end;) {
            const int64_t end = BDL__MIN((o / ocg + 1) * ocg, call->end);
            scalar *diff = (scalar *)call->diff_weights + (o - call->begin) * length;
            run_group(call, i, o / ocg, o, end, call->add || i > 0, diff);
            o = end;
        }
    }
}

/* sums[k] = sum over n positions of plane k */
R_INLINE void sum_planes(const int m, const real *g, int64_t n, real *sums)
{
    real acc[4];
    R_UNROLL for (int k = 0; k < m; k++) {
        acc[k] = R(0);
    }
    for (int64_t x = 0; x < n; x++) {
        R_UNROLL for (int k = 0; k < m; k++) {
            acc[k] += g[k * n + x];
        }
    }
    R_UNROLL for (int k = 0; k < m; k++) {
        sums[k] = acc[k];
    }
}

/* diff_bias[o] = sum of diff_dst over positions, then lanes, then parts */
void K(conv_wgrad_bias)(const bdl__conv_wgrad_call *call)
{
    const int64_t n = call->dims->oh * call->dims->ow;
    for (int64_t i = 0; i < call->n_parts; i++) {
        for (int64_t o = call->begin; o < call->end; o += 16) {
            const int64_t m = BDL__MIN(call->end - o, 16);
            const real *g = r_part(&call->diff_dst, i, o * n);
            real sums[16 + R_LANES];
            int64_t k = 0;
            for (; k + 4 <= m; k += 4) {
                sum_planes(4, g + k * n, n, sums + k);
            }
            for (; k < m; k++) {
                sum_planes(1, g + k * n, n, sums + k);
            }
            r_sum_lanes_into(sums, m, call->add || i > 0,
                             (scalar *)call->diff_bias + (o - call->begin));
        }
    }
}

BDL__KERNEL_TABLE(conv_wgrad, BDL__CONV_WGRAD_KERNELS)
