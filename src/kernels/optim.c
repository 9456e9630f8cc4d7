/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updates of the optimization methods (formulas in optim.h). Each is one pass: gradient and weights
 * are read once, scaled, clipped, decayed and applied. Memory bound: about 12 to 28 bytes a weight.
 */
#include "kernels/optim.h"

BDL__KERNEL_DECLARE(BDL__OPTIM_KERNELS)

/* The constants that all methods use, in registers. */
typedef struct common {
    scalar grad_scale, clip_least, clip_most, decay, keep;
} common;

R_INLINE common common_of(const bdl__optim_constants *constants)
{
    return (common){
        .grad_scale = (scalar)constants->grad_scale,
        .clip_least = (scalar)constants->clip_least,
        .clip_most = (scalar)constants->clip_most,
        .decay = (scalar)constants->decay,
        .keep = (scalar)constants->keep,
    };
}

/* The gradient, scaled, clipped and decayed. r_max and r_min give their second argument where one
 * is not a number, so that a NaN passes through to the weights, where it is noticed. */
R_INLINE real gradient(const common *with, real g, real w)
{
    const real scaled = g * with->grad_scale;
    const real clipped = r_min(R(with->clip_most), r_max(R(with->clip_least), scaled));
    return r_fma(R(with->decay), w, clipped);
}

void K(optim_sgd)(real *weights, const real *grads, real *state0, real *state1, real *state2,
                  int64_t n, const bdl__optim_constants *constants)
{
    (void)state1, (void)state2;
    const common with = common_of(constants);
    const real minus_rate = R(-constants->rate);
    if (state0 == NULL) {
        for (int64_t i = 0; i < n / R_LANES; i++) {
            const real w = weights[i] * with.keep;
            weights[i] = r_fma(minus_rate, gradient(&with, grads[i], w), w);
        }
        return;
    }
    const scalar momentum = (scalar)constants->momentum;
    const scalar fresh = (scalar)constants->fresh;
    const bool nesterov = constants->nesterov;
    for (int64_t i = 0; i < n / R_LANES; i++) {
        const real w = weights[i] * with.keep;
        const real g = gradient(&with, grads[i], w);
        const real velocity = r_fma(R(momentum), state0[i], g * fresh);
        const real direction = nesterov ? r_fma(R(momentum), velocity, g) : velocity;
        state0[i] = velocity;
        weights[i] = r_fma(minus_rate, direction, w);
    }
}

void K(optim_adam)(real *weights, const real *grads, real *state0, real *state1, real *state2,
                   int64_t n, const bdl__optim_constants *constants)
{
    const common with = common_of(constants);
    const scalar beta1 = (scalar)constants->beta1;
    const scalar beta2 = (scalar)constants->beta2;
    const scalar fresh1 = (scalar)(1 - constants->beta1);
    const scalar fresh2 = (scalar)(1 - constants->beta2);
    const scalar rescale = (scalar)(1 / constants->correction2);
    const scalar eps = (scalar)constants->eps;
    const scalar minus_step = (scalar)(-constants->rate / constants->correction1);
    const bool amsgrad = constants->amsgrad;
    for (int64_t i = 0; i < n / R_LANES; i++) {
        const real w = weights[i] * with.keep;
        const real g = gradient(&with, grads[i], w);
        const real mean = r_fma(R(beta1), state0[i], g * fresh1);
        real square = r_fma(R(beta2), state1[i], g * g * fresh2);
        state0[i] = mean;
        state1[i] = square;
        if (amsgrad) {
            square = r_max(state2[i], square);
            state2[i] = square;
        }
        const real root = r_fma(r_sqrt(square), R(rescale), R(eps));
        weights[i] = w + mean / root * minus_step;
    }
}

void K(optim_adamax)(real *weights, const real *grads, real *state0, real *state1, real *state2,
                     int64_t n, const bdl__optim_constants *constants)
{
    (void)state2;
    const common with = common_of(constants);
    const scalar beta1 = (scalar)constants->beta1;
    const scalar fresh1 = (scalar)(1 - constants->beta1);
    const scalar beta2 = (scalar)constants->beta2;
    const scalar eps = (scalar)constants->eps;
    const scalar minus_step = (scalar)(-constants->rate / constants->correction1);
    for (int64_t i = 0; i < n / R_LANES; i++) {
        const real w = weights[i] * with.keep;
        const real g = gradient(&with, grads[i], w);
        const real mean = r_fma(R(beta1), state0[i], g * fresh1);
        const real largest = r_max(state1[i] * beta2, r_abs(g) + eps);
        state0[i] = mean;
        state1[i] = largest;
        weights[i] = w + mean / largest * minus_step;
    }
}

void K(optim_adagrad)(real *weights, const real *grads, real *state0, real *state1, real *state2,
                      int64_t n, const bdl__optim_constants *constants)
{
    (void)state1, (void)state2;
    const common with = common_of(constants);
    const scalar start = (scalar)constants->start;
    const scalar eps = (scalar)constants->eps;
    const scalar minus_rate = (scalar)-constants->rate;
    for (int64_t i = 0; i < n / R_LANES; i++) {
        const real w = weights[i] * with.keep;
        const real g = gradient(&with, grads[i], w);
        const real sum = r_fma(g, g, state0[i]);
        state0[i] = sum;
        weights[i] = w + g / (r_sqrt(sum + start) + eps) * minus_rate;
    }
}

void K(optim_rmsprop)(real *weights, const real *grads, real *state0, real *state1, real *state2,
                      int64_t n, const bdl__optim_constants *constants)
{
    const common with = common_of(constants);
    const scalar beta2 = (scalar)constants->beta2;
    const scalar fresh2 = (scalar)(1 - constants->beta2);
    const scalar momentum = (scalar)constants->momentum;
    const scalar eps = (scalar)constants->eps;
    const scalar minus_rate = (scalar)-constants->rate;
    for (int64_t i = 0; i < n / R_LANES; i++) {
        const real w = weights[i] * with.keep;
        const real g = gradient(&with, grads[i], w);
        real square = r_fma(R(beta2), state0[i], g * g * fresh2);
        state0[i] = square;
        if (state2 != NULL) {
            const real mean = r_fma(R(beta2), state2[i], g * fresh2);
            state2[i] = mean;
            /* A variance; rounding may leave it a little below zero. */
            square = r_max(square - mean * mean, R(0));
        }
        real direction = g / (r_sqrt(square) + eps);
        if (state1 != NULL) {
            direction = r_fma(R(momentum), state1[i], direction);
            state1[i] = direction;
        }
        weights[i] = w + direction * minus_rate;
    }
}

void K(optim_adadelta)(real *weights, const real *grads, real *state0, real *state1, real *state2,
                       int64_t n, const bdl__optim_constants *constants)
{
    (void)state2;
    const common with = common_of(constants);
    const scalar beta2 = (scalar)constants->beta2;
    const scalar fresh2 = (scalar)(1 - constants->beta2);
    const scalar eps = (scalar)constants->eps;
    const scalar minus_rate = (scalar)-constants->rate;
    for (int64_t i = 0; i < n / R_LANES; i++) {
        const real w = weights[i] * with.keep;
        const real g = gradient(&with, grads[i], w);
        const real square = r_fma(R(beta2), state0[i], g * g * fresh2);
        const real direction = r_sqrt(state1[i] + eps) / r_sqrt(square + eps) * g;
        state0[i] = square;
        state1[i] = r_fma(R(beta2), state1[i], direction * direction * fresh2);
        weights[i] = w + direction * minus_rate;
    }
}

void K(optim_square_sum)(const scalar *grads, int64_t n, double *sum)
{
    /* 16 partial sums whatever the target's lanes, so that all targets add in one order. */
    double partial[16] = {0};
    for (int64_t i = 0; i < n; i += 16) {
        for (int64_t j = 0; j < 16; j++) {
            const double g = (double)grads[i + j];
            partial[j] += g * g;
        }
    }
    for (int half = 8; half > 0; half /= 2) {
        for (int j = 0; j < half; j++) {
            partial[j] += partial[j + half];
        }
    }
    *sum = partial[0];
}

BDL__KERNEL_TABLE(optim, BDL__OPTIM_KERNELS)
