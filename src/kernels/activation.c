/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The element-wise functions f_<name>(x, p), and d_<name>(x, g, p), which is g times the
 * derivative; x is src or dst as activation.h lists it. A kernel loop is made around each. A select
 * keeps values that are not numbers: the branch for "not greater" is the one that passes x on.
 */
#include "kernels/activation.h"

#include "kernels/real_math.h"

BDL__KERNEL_DECLARE(BDL__ACTIVATION_KERNELS)

typedef struct numbers {
    scalar v[BDL__ACTIVATION_PARAMS];
    double power; /* the first, unrounded */
} numbers;

#define F(name) R_INLINE real f_##name(real x, const numbers *p)
#define D(name) R_INLINE real d_##name(real x, real g, const numbers *p)

/* ---- rectifiers ------------------------------------------------------------------------------ */

F(relu)
{
    return (void)p, r_max(R(0), x);
}
D(relu)
{
    return (void)p, r_select(x > R(0), g, R(0));
}

F(leaky_relu)
{
    return r_select(x < R(0), x * p->v[0], x);
}
D(leaky_relu)
{
    return r_select(x > R(0), g, g * p->v[0]);
}
F(leaky_relu_from_src)
{
    return f_leaky_relu(x, p);
}
D(leaky_relu_from_src)
{
    return d_leaky_relu(x, g, p);
}

/* scale * (x > 0 ? x : alpha (e^x - 1)); below zero the derivative is dst + scale alpha. */
F(elu)
{
    const real below = p->v[0] * r_expm1(r_min(R(0), x));
    return p->v[1] * r_select(x > R(0), x, below);
}
D(elu)
{
    return g * r_select(x > R(0), R(p->v[1]), x + p->v[0] * p->v[1]);
}

F(soft_shrink)
{
    const real inside = r_select(r_is_nan(x), x, R(0));
    return r_select(x > R(p->v[0]), x - p->v[0], r_select(x < R(-p->v[0]), x + p->v[0], inside));
}
D(soft_shrink)
{
    return (void)p, r_select(x == R(0), R(0), g);
}

F(hard_shrink)
{
    return r_select(r_abs(x) <= R(p->v[0]), R(0), x);
}
D(hard_shrink)
{
    return (void)p, r_select(x == R(0), R(0), g);
}

F(threshold)
{
    return r_select(x <= R(p->v[0]), R(p->v[1]), x);
}
D(threshold)
{
    return r_select(x > R(p->v[0]), g, R(0));
}
F(threshold_from_src)
{
    return f_threshold(x, p);
}
D(threshold_from_src)
{
    return d_threshold(x, g, p);
}

F(clamp)
{
    return r_min(R(p->v[1]), r_max(R(p->v[0]), x));
}
D(clamp)
{
    return r_select((x > R(p->v[0])) & (x < R(p->v[1])), g, R(0));
}

F(hard_sigmoid)
{
    return r_min(R(1), r_max(R(0), r_fma(x, R(p->v[0]), R(0.5))));
}
D(hard_sigmoid)
{
    return r_select((x > R(0)) & (x < R(1)), g * p->v[0], R(0));
}

F(hard_swish)
{
    (void)p;
    return x * r_min(R(6), r_max(R(0), x + R(3))) * R(1.0 / 6);
}
D(hard_swish)
{
    (void)p;
    const real inside = r_fma(x, R(1.0 / 3), R(0.5));
    return g * r_select(x <= R(-3), R(0), r_select(x >= R(3), R(1), inside));
}

/* ---- sigmoids and what is made of them ------------------------------------------------------- */

F(sigmoid)
{
    return (void)p, r_sigmoid(x);
}
D(sigmoid)
{
    return (void)p, g * (x * (R(1) - x));
}

F(log_sigmoid)
{
    return (void)p, -r_softplus(-x);
}
D(log_sigmoid)
{
    return (void)p, g * -r_expm1(x);
}

F(tanh)
{
    return (void)p, r_tanh(x);
}
D(tanh)
{
    return (void)p, g * r_fma(-x, x, R(1));
}

F(tanh_shrink)
{
    return (void)p, x - r_tanh(x);
}
D(tanh_shrink)
{
    (void)p;
    const real y = r_tanh(x);
    return g * (y * y);
}

F(softplus)
{
    const real bx = x * p->v[0];
    return r_select(bx > R(p->v[1]), x, r_softplus(bx) / R(p->v[0]));
}
D(softplus)
{
    const real bx = x * p->v[0];
    return g * r_select(bx > R(p->v[1]), R(1), r_sigmoid(bx));
}

F(softsign)
{
    return (void)p, x / (R(1) + r_abs(x));
}
D(softsign)
{
    (void)p;
    const real rest = R(1) - r_abs(x); /* 1 / (1 + |src|) */
    return g * (rest * rest);
}

/* x Phi(x), Phi being the normal distribution; derivative Phi(x) + x phi(x). */
F(gelu)
{
    (void)p;
    return x * r_fma(r_erf(x * R(0.70710678118654752440)), R(0.5), R(0.5));
}
D(gelu)
{
    (void)p;
    const real cumulative = r_fma(r_erf(x * R(0.70710678118654752440)), R(0.5), R(0.5));
    const real density = R(0.39894228040143267794) * r_exp(R(-0.5) * x * x);
    return g * r_fma(x, density, cumulative);
}

/* x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3). */
R_INLINE real gelu_argument(real x)
{
    const real cubic = r_fma(x * x, R(0.044715), R(1));
    return R(0.79788456080286535588) * x * cubic;
}
F(gelu_tanh)
{
    (void)p;
    return R(0.5) * x * (R(1) + r_tanh(gelu_argument(x)));
}
D(gelu_tanh)
{
    (void)p;
    const real t = r_tanh(gelu_argument(x));
    const real slope = R(0.79788456080286535588) * r_fma(x * x, R(3 * 0.044715), R(1));
    const real bend = R(0.5) * x * r_fma(-t, t, R(1)) * slope;
    return g * r_fma(t, R(0.5), R(0.5) + bend);
}

F(silu)
{
    return (void)p, x * r_sigmoid(x);
}
D(silu)
{
    (void)p;
    const real s = r_sigmoid(x);
    return g * (s * r_fma(x, R(1) - s, R(1)));
}

F(mish)
{
    return (void)p, x * r_tanh(r_softplus(x));
}
D(mish)
{
    (void)p;
    const real t = r_tanh(r_softplus(x));
    return g * r_fma(x * r_sigmoid(x), r_fma(-t, t, R(1)), t);
}

/* ---- elementary functions -------------------------------------------------------------------- */

F(exp)
{
    return (void)p, r_exp(x);
}
D(exp)
{
    return (void)p, g * x;
}

F(expm1)
{
    return (void)p, r_expm1(x);
}
D(expm1)
{
    return (void)p, g * (x + R(1));
}

F(log)
{
    return (void)p, r_log(x);
}
D(log)
{
    return (void)p, g / x;
}

F(log1p)
{
    return (void)p, r_log1p(x);
}
D(log1p)
{
    return (void)p, g / (R(1) + x);
}

F(erf)
{
    return (void)p, r_erf(x);
}
D(erf)
{
    return (void)p, g * (R(1.12837916709551257390) * r_exp(-x * x));
}

F(sqrt)
{
    return (void)p, r_sqrt(x);
}
D(sqrt)
{
    return (void)p, g / (x + x);
}

F(square)
{
    return (void)p, x * x;
}
D(square)
{
    return (void)p, g * (x + x);
}

F(abs)
{
    return (void)p, r_copy_sign(x, R(0));
}
D(abs)
{
    return (void)p, r_select(x > R(0), g, r_select(x < R(0), -g, R(0)));
}

F(floor)
{
    return (void)p, r_floor(x);
}
D(floor)
{
    return (void)x, (void)g, (void)p, R(0);
}

F(reciprocal)
{
    return (void)p, R(1) / x;
}
D(reciprocal)
{
    return (void)p, -g * (x * x);
}

F(power)
{
    return r_pow(r_fma(x, R(p->v[1]), R(p->v[2])), p->power);
}
D(power)
{
    const real base = r_fma(x, R(p->v[1]), R(p->v[2]));
    return g * (p->v[0] * p->v[1] * r_pow(base, p->power - 1));
}

F(affine)
{
    return r_fma(x, R(p->v[0]), R(p->v[1]));
}
D(affine)
{
    return (void)x, g * p->v[0];
}

F(gradient_reversal)
{
    return (void)p, x;
}
D(gradient_reversal)
{
    return (void)x, g * -p->v[0];
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* What backward passes as x, so that a function that reads nothing gets no pointer to follow. */
#define READ_DST(x, i) (x)[i]
#define READ_SRC(x, i) (x)[i]
#define READ_NOTHING(x, i) ((void)(x), R(0))

#define LOOPS(name, reads)                                                                         \
    static void forward_##name(const numbers *numbers_in, const real *src, real *dst, int64_t n)   \
    {                                                                                              \
        const numbers p = *numbers_in;                                                             \
        for (int64_t i = 0; i < n; i++) {                                                          \
            dst[i] = f_##name(src[i], &p);                                                         \
        }                                                                                          \
    }                                                                                              \
    static void backward_##name(const numbers *numbers_in, const real *x, const real *diff_dst,    \
                                real *diff_src, int64_t n, bool add)                               \
    {                                                                                              \
        const numbers p = *numbers_in;                                                             \
        if (add) {                                                                                 \
            for (int64_t i = 0; i < n; i++) {                                                      \
                diff_src[i] += d_##name(READ_##reads(x, i), diff_dst[i], &p);                      \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t i = 0; i < n; i++) {                                                      \
                diff_src[i] = d_##name(READ_##reads(x, i), diff_dst[i], &p);                       \
            }                                                                                      \
        }                                                                                          \
    }
BDL__ACTIVATION_LIST(LOOPS)

typedef void (*forward_fn)(const numbers *p, const real *src, real *dst, int64_t n);
typedef void (*backward_fn)(const numbers *p, const real *x, const real *diff_dst, real *diff_src,
                            int64_t n, bool add);

#define FORWARD_ENTRY(name, reads) forward_##name,
static const forward_fn forwards[] = {BDL__ACTIVATION_LIST(FORWARD_ENTRY)};
#define BACKWARD_ENTRY(name, reads) backward_##name,
static const backward_fn backwards[] = {BDL__ACTIVATION_LIST(BACKWARD_ENTRY)};

static numbers round_numbers(const double *params)
{
    numbers p = {.power = params[0]};
    for (int i = 0; i < BDL__ACTIVATION_PARAMS; i++) {
        p.v[i] = (scalar)params[i];
    }
    return p;
}

void K(activation_forward)(int i_function, const double *params, const real *src, real *dst,
                           int64_t n)
{
    const numbers p = round_numbers(params);
    forwards[i_function](&p, src, dst, n);
}

void K(activation_backward)(int i_function, const double *params, const real *x,
                            const real *diff_dst, real *diff_src, int64_t n, bool add)
{
    const numbers p = round_numbers(params);
    backwards[i_function](&p, x, diff_dst, diff_src, n, add);
}

BDL__KERNEL_TABLE(activation, BDL__ACTIVATION_KERNELS)
