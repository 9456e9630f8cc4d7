/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels of the optimization methods. A part of the flat parameter vector is an array of reals
 * (its begin is a multiple of 16 scalars); `n` counts scalars and is a multiple of 16. Everything
 * is element-wise, so results do not depend on how the vector was split.
 */
#ifndef BDL_KERNELS_OPTIM_H
#define BDL_KERNELS_OPTIM_H

#include "kernels/family.h"

/* What the kernels read, the same for a whole range; a method sets what it uses. */
typedef struct bdl__optim_constants {
    double rate;  /* learning rate of this range */
    double decay; /* weight decay of this range, added to the gradient: g += decay * w */
    double keep;  /* weights are multiplied by this first (decoupled decay); 1 = no decay */

    double grad_scale;             /* g *= grad_scale, then ... */
    double clip_least, clip_most;  /* ... g = min(max(g, clip_least), clip_most) */

    double momentum; /* old velocity's factor */
    double fresh;    /* gradient's factor in the velocity: 1 - dampening, or 1 in the first step */
    double beta1, beta2;   /* factors of the old averages of g and of g * g */
    double eps;
    double correction1;    /* 1 - beta1^t */
    double correction2;    /* sqrt(1 - beta2^t) */
    double start;          /* adagrad: initial value of the sum */
    bool nesterov;
    bool amsgrad;
    bool centered;
} bdl__optim_constants;

/* state0, state1, state2: the method's state vectors, NULL where it has fewer. */
#define BDL__OPTIM_UPDATE_ARGUMENTS                                                                \
    (real *weights, const real *grads, real *state0, real *state1, real *state2, int64_t n,        \
     const bdl__optim_constants *constants)

/*
 * optim_sgd       v = momentum * v + fresh * g;  w -= rate * (nesterov ? g + momentum * v : v)
 *                 state0 = v; NULL: w -= rate * g
 * optim_adam      m, s = averages of g, g * g;
 *                 w -= rate / correction1 * m / (sqrt(s) / correction2 + eps)
 *                 state0 = m, state1 = s, state2 = largest s so far (amsgrad)
 * optim_adamax    m = average of g, u = max(beta2 * u, |g| + eps);  w -= rate / correction1 * m / u
 *                 state0 = m, state1 = u
 * optim_adagrad   s += g * g;  w -= rate * g / (sqrt(start + s) + eps);  state0 = s
 * optim_rmsprop   s = average of g * g, a = average of g (centered);
 *                 d = g / (sqrt(s - a * a) + eps);  v = momentum * v + d;  w -= rate * v
 *                 state0 = s, state1 = v (NULL: momentum 0), state2 = a (NULL: not centered)
 * optim_adadelta  s = average of g * g;  d = sqrt(x + eps) / sqrt(s + eps) * g;
 *                 x = average of d * d;  w -= rate * d;  state0 = s, state1 = x
 * optim_square_sum  *sum = sum of g * g in double, in an order that is the same on all targets
 */
#define BDL__OPTIM_KERNELS(X)                                                                      \
    X(optim_sgd, BDL__OPTIM_UPDATE_ARGUMENTS)                                                      \
    X(optim_adam, BDL__OPTIM_UPDATE_ARGUMENTS)                                                     \
    X(optim_adamax, BDL__OPTIM_UPDATE_ARGUMENTS)                                                   \
    X(optim_adagrad, BDL__OPTIM_UPDATE_ARGUMENTS)                                                  \
    X(optim_rmsprop, BDL__OPTIM_UPDATE_ARGUMENTS)                                                  \
    X(optim_adadelta, BDL__OPTIM_UPDATE_ARGUMENTS)                                                 \
    X(optim_square_sum, (const scalar *grads, int64_t n, double *sum))

BDL__KERNEL_FAMILY(optim, BDL__OPTIM_KERNELS)

#endif
