/* SPDX-License-Identifier: Apache-2.0 */
/*
 * winograd.h: the transforms of Winograd's minimal filtering (Lavin and Gray, 2016) for 3x3
 * kernels, on tiles of 4x4 outputs, F(4x4,3x3), and 2x2 outputs, F(2x2,3x3). Names as there: Y = A'
 * [(G g G') * (B' d B)] A. Points 0, 1, -1, 2, -2, infinity for 4; 0, 1, -1, infinity for 2.
 *
 * Each function works on one line of numbers; a tile is transformed by columns and then by rows.
 */
#ifndef BDL_KERNELS_WINOGRAD_H
#define BDL_KERNELS_WINOGRAD_H

#include "kernels/real.h"

/* Side of a tile of inputs, for tiles of m outputs. */
#define WINOGRAD_SIDE(m) ((m) + 2)

/* B' d: inputs. */
R_INLINE void winograd_input(const int m, const real *d, const int step, real *to,
                             const int to_step)
{
    if (m == 4) {
        const real d1 = d[step];
        const real d2 = d[2 * step];
        const real d3 = d[3 * step];
        const real d4 = d[4 * step];
        const real a = r_fma(R(-4), d2, d4);
        const real b = r_fma(R(-4), d1, d3);
        const real c = d4 - d2;
        const real e = d3 - d1;
        to[0] = r_fma(R(4), d[0], r_fma(R(-5), d2, d4));
        to[to_step] = a + b;
        to[2 * to_step] = a - b;
        to[3 * to_step] = r_fma(R(2), e, c);
        to[4 * to_step] = r_fma(R(-2), e, c);
        to[5 * to_step] = r_fma(R(4), d1, r_fma(R(-5), d3, d[5 * step]));
    } else {
        const real d1 = d[step];
        const real d2 = d[2 * step];
        to[0] = d[0] - d2;
        to[to_step] = d1 + d2;
        to[2 * to_step] = d2 - d1;
        to[3 * to_step] = d1 - d[3 * step];
    }
}

/* A' m: products to outputs. */
R_INLINE void winograd_output(const int m, const real *p, const int step, real *to,
                              const int to_step)
{
    if (m == 4) {
        const real a = p[step] + p[2 * step];
        const real b = p[step] - p[2 * step];
        const real c = p[3 * step] + p[4 * step];
        const real e = p[3 * step] - p[4 * step];
        to[0] = p[0] + (a + c);
        to[to_step] = r_fma(R(2), e, b);
        to[2 * to_step] = r_fma(R(4), c, a);
        to[3 * to_step] = r_fma(R(8), e, b) + p[5 * step];
    } else {
        to[0] = p[0] + (p[step] + p[2 * step]);
        to[to_step] = (p[step] - p[2 * step]) - p[3 * step];
    }
}

/* A g: gradients of outputs to those of products. */
R_INLINE void winograd_diff_output(const int m, const real *g, const int step, real *to,
                                   const int to_step)
{
    if (m == 4) {
        const real a = g[0] + g[2 * step];
        const real b = g[step] + g[3 * step];
        const real c = r_fma(R(4), g[2 * step], g[0]);
        const real e = r_fma(R(8), g[3 * step], R(2) * g[step]);
        to[0] = g[0];
        to[to_step] = a + b;
        to[2 * to_step] = a - b;
        to[3 * to_step] = c + e;
        to[4 * to_step] = c - e;
        to[5 * to_step] = g[3 * step];
    } else {
        to[0] = g[0];
        to[to_step] = g[0] + g[step];
        to[2 * to_step] = g[0] - g[step];
        to[3 * to_step] = R(0) - g[step];
    }
}

/* G g: weights. */
R_INLINE void winograd_weights(const int m, const real *g, const int step, real *to,
                               const int to_step)
{
    const real g1 = g[step];
    if (m == 4) {
        const real a = R(-1.0 / 6) * (g[0] + g[2 * step]);
        const real b = r_fma(R(1.0 / 6), g[2 * step], R(1.0 / 24) * g[0]);
        to[0] = R(0.25) * g[0];
        to[to_step] = r_fma(R(-1.0 / 6), g1, a);
        to[2 * to_step] = r_fma(R(1.0 / 6), g1, a);
        to[3 * to_step] = r_fma(R(1.0 / 12), g1, b);
        to[4 * to_step] = r_fma(R(-1.0 / 12), g1, b);
        to[5 * to_step] = g[2 * step];
    } else {
        const real a = R(0.5) * (g[0] + g[2 * step]);
        to[0] = g[0];
        to[to_step] = r_fma(R(0.5), g1, a);
        to[2 * to_step] = r_fma(R(-0.5), g1, a);
        to[3 * to_step] = g[2 * step];
    }
}

/* G' w: sums of products to gradients of weights. */
R_INLINE void winograd_diff_weights(const int m, const real *w, const int step, real *to,
                                    const int to_step)
{
    if (m == 4) {
        const real a = w[step] + w[2 * step];
        const real b = w[2 * step] - w[step];
        const real c = w[3 * step] + w[4 * step];
        const real e = w[3 * step] - w[4 * step];
        to[0] = r_fma(R(1.0 / 24), c, r_fma(R(-1.0 / 6), a, R(0.25) * w[0]));
        to[to_step] = r_fma(R(1.0 / 12), e, R(1.0 / 6) * b);
        to[2 * to_step] = r_fma(R(1.0 / 6), c - a, w[5 * step]);
    } else {
        const real a = w[step] + w[2 * step];
        to[0] = r_fma(R(0.5), a, w[0]);
        to[to_step] = R(0.5) * (w[step] - w[2 * step]);
        to[2 * to_step] = r_fma(R(0.5), a, w[3 * step]);
    }
}

/* A transform of n lines of `in` numbers to `out`, and then of the columns of the result:
 * from[in][in], rows `from_step` apart, -> to[out][out]. */
#define WINOGRAD_TILE(transform, m, in, out, from, from_step, to)                                  \
    do {                                                                                           \
        real half_[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];                                           \
        R_UNROLL for (int i_ = 0; i_ < (in); i_++) {                                               \
            transform(m, (from) + i_, (from_step), half_ + i_, (in));                              \
        }                                                                                          \
        R_UNROLL for (int i_ = 0; i_ < (out); i_++) {                                              \
            transform(m, half_ + i_ * (in), 1, (to) + i_ * (out), 1);                              \
        }                                                                                          \
    } while (0)

#endif
