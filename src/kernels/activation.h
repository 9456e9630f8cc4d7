/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Element-wise functions of one argument, as one pair of kernels with a table behind it:
 *
 *     forward    dst[i] = f(src[i])
 *     backward   diff_src[i] (+)= f'(...) diff_dst[i]
 *
 * `params` are up to three numbers whose meaning depends on the function. Backward reads src or
 * dst, whichever the list says (`x`), or nothing. dst may be src, and diff_src may be diff_dst.
 */
#ifndef BDL_KERNELS_ACTIVATION_H
#define BDL_KERNELS_ACTIVATION_H

#include "kernels/family.h"

/* X(name, what backward reads) */
#define BDL__ACTIVATION_LIST(X)                                                                    \
    X(relu, DST)                                                                                   \
    X(leaky_relu, DST)          /* slope >= 0 */                                                   \
    X(leaky_relu_from_src, SRC) /* any slope */                                                    \
    X(elu, DST)                 /* factor >= 0, outer scale */                                     \
    X(gelu, SRC)                                                                                   \
    X(gelu_tanh, SRC)                                                                              \
    X(silu, SRC)                                                                                   \
    X(mish, SRC)                                                                                   \
    X(sigmoid, DST)                                                                                \
    X(log_sigmoid, DST)                                                                            \
    X(tanh, DST)                                                                                   \
    X(tanh_shrink, SRC)                                                                            \
    X(softplus, SRC)            /* beta, threshold */                                              \
    X(softsign, DST)                                                                               \
    X(soft_shrink, DST)         /* lambda */                                                       \
    X(hard_shrink, DST)         /* lambda */                                                       \
    X(threshold, DST)           /* threshold, value <= threshold */                                \
    X(threshold_from_src, SRC)  /* threshold, any value */                                         \
    X(clamp, DST)               /* least, most */                                                  \
    X(hard_sigmoid, DST)        /* slope */                                                        \
    X(hard_swish, SRC)                                                                             \
    X(exp, DST)                                                                                    \
    X(expm1, DST)                                                                                  \
    X(log, SRC)                                                                                    \
    X(log1p, SRC)                                                                                  \
    X(erf, SRC)                                                                                    \
    X(sqrt, DST)                                                                                   \
    X(square, SRC)                                                                                 \
    X(abs, SRC)                                                                                    \
    X(floor, NOTHING)                                                                              \
    X(reciprocal, DST)                                                                             \
    X(power, SRC)               /* power, scale, shift */                                          \
    X(affine, NOTHING)          /* scale, shift */                                                 \
    X(gradient_reversal, NOTHING) /* lambda */

typedef enum bdl__activation {
#define BDL__ACTIVATION_ENUM(name, reads) BDL__ACTIVATION_##name,
    BDL__ACTIVATION_LIST(BDL__ACTIVATION_ENUM)
#undef BDL__ACTIVATION_ENUM
        BDL__N_ACTIVATIONS
} bdl__activation;

#define BDL__ACTIVATION_PARAMS 3

/* `i_function` is a bdl__activation; `params` holds three numbers. x is NULL where nothing is
 * read. */
#define BDL__ACTIVATION_KERNELS(X)                                                                 \
    X(activation_forward,                                                                          \
      (int i_function, const double *params, const real *src, real *dst, int64_t n))               \
    X(activation_backward, (int i_function, const double *params, const real *x,                   \
                            const real *diff_dst, real *diff_src, int64_t n, bool add))

BDL__KERNEL_FAMILY(activation, BDL__ACTIVATION_KERNELS)

#endif
