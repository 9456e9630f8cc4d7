/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Criterions over one sample; sums over positions are kept in doubles, because planes are large.
 *
 *     nll             w_y (-x_y)
 *     cross_entropy   -sum_c u_c log p_c, p = softmax(x), u_c = (1 - s) w_y [c = y] + s / C w_c
 *                     gradient: p_c sum(u) - u_c
 *
 * A label outside [0, classes) that is not the ignored one gives a loss that is not a number, and
 * no gradient; nothing is read for it.
 */
#include "kernels/loss.h"

#include "kernels/real_math.h"
#include "kernels/real_wide.h"

BDL__KERNEL_DECLARE(BDL__LOSS_KERNELS)

R_INLINE void store(real *to, real value, bool add)
{
    *to = add ? *to + value : value;
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* The label of each sample at one position. */
typedef struct label {
    r_mask live; /* counts */
    r_mask bad;  /* neither a class nor ignored */
    r_int index; /* 0 where not live */
    real weight; /* 0 where not live */
} label;

R_INLINE real gather(const real *x, r_int index, int64_t stride)
{
    real y = R(0);
    for (int lane = 0; lane < R_LANES; lane++) {
        r_store_lane(&y, lane, r_load_lane(x[r_load_lane_int(index, lane) * stride], lane));
    }
    return y;
}

R_INLINE real gather_weight(const double *weights, r_int index)
{
    real y = R(1);
    if (weights != NULL) {
        for (int lane = 0; lane < R_LANES; lane++) {
            r_store_lane(&y, lane, (scalar)weights[r_load_lane_int(index, lane)]);
        }
    }
    return y;
}

R_INLINE label read_label(const bdl__class_loss *loss, r_int y)
{
    const r_mask ignored = y == R_I(loss->ignore_index);
    const r_mask inside = (y >= R_I(0)) & (y < R_I(loss->n_classes));
    label result = {.live = inside & r_not(ignored), .bad = r_not(inside) & r_not(ignored)};
    result.index = r_select_int(result.live, y, R_I(0));
    result.weight = r_select(result.live, gather_weight(loss->weights, result.index), R(0));
    return result;
}

R_INLINE real weight_of(const bdl__class_loss *loss, int64_t c)
{
    return loss->weights != NULL ? R(loss->weights[c]) : R(1);
}

/* ---- nll ------------------------------------------------------------------------------------- */

#define LEAST_PROBABILITY 1e-8 /* smaller ones count as this, as in BigDL */

void K(nll_forward)(const bdl__class_loss *loss, const real *src, const r_int *labels, real *dst)
{
    r_wide sum = r_wide_of(0), divisor = r_wide_of(0);
    for (int64_t p = 0; p < loss->n_positions; p++) {
        const label y = read_label(loss, labels[p]);
        const real x = gather(src + p, y.index, loss->n_positions);
        const real log_p = loss->is_log ? x : r_log(r_max(R(LEAST_PROBABILITY), x));
        const real value = r_select(y.live, -y.weight * log_p, R(0));
        sum += r_to_wide(r_select(y.bad, R(R_NAN), value));
        divisor += r_to_wide(y.weight);
    }
    dst[0] = r_from_wide(sum);
    dst[1] = loss->is_mean ? r_from_wide(divisor) : R(0);
}

void K(nll_backward)(const bdl__class_loss *loss, const real *src, const r_int *labels,
                     real *diff_src, bool add)
{
    const int64_t stride = loss->n_positions;
    for (int64_t p = 0; p < stride; p++) {
        const label y = read_label(loss, labels[p]);
        real at_label = -y.weight;
        if (!loss->is_log) {
            at_label /= r_max(R(LEAST_PROBABILITY), gather(src + p, y.index, stride));
        }
        for (int64_t c = 0; c < loss->n_classes; c++) {
            const r_mask here = y.live & (y.index == R_I(c));
            store(&diff_src[c * stride + p], r_select(here, at_label, R(0)), add);
        }
    }
}

/* ---- cross_entropy --------------------------------------------------------------------------- */

/* log p_c = (x_c - maximum) - log_sum */
typedef struct normalizer {
    real maximum;
    real log_sum;
} normalizer;

R_INLINE normalizer normalize(const real *x, int64_t n_classes, int64_t stride)
{
    real maximum = x[0];
    for (int64_t c = 1; c < n_classes; c++) {
        maximum = r_max(maximum, x[c * stride]);
    }
    real sum = R(0);
    for (int64_t c = 0; c < n_classes; c++) {
        sum += r_exp(x[c * stride] - maximum);
    }
    return (normalizer){.maximum = maximum, .log_sum = r_log(sum)};
}

R_INLINE real log_probability(real x, normalizer n)
{
    return (x - n.maximum) - n.log_sum;
}

/* Loss of one position against a label. */
R_INLINE real label_loss(const bdl__class_loss *loss, const real *x, label y, normalizer n)
{
    const int64_t stride = loss->n_positions;
    const real at_label = -y.weight * log_probability(gather(x, y.index, stride), n);
    real value = at_label;
    if (loss->smoothing > 0) {
        real all = R(0);
        for (int64_t c = 0; c < loss->n_classes; c++) {
            all -= weight_of(loss, c) * log_probability(x[c * stride], n);
        }
        value =
            R(1 - loss->smoothing) * at_label + R(loss->smoothing / (double)loss->n_classes) * all;
    }
    return r_select(y.bad, R(R_NAN), r_select(y.live, value, R(0)));
}

/* Share of class c in a target given as probabilities, times the class's weight. */
R_INLINE real target_share(const bdl__class_loss *loss, real t, int64_t c)
{
    const real smooth =
        r_fma(t, R(1 - loss->smoothing), R(loss->smoothing / (double)loss->n_classes));
    return weight_of(loss, c) * smooth;
}

R_INLINE real target_loss(const bdl__class_loss *loss, const real *x, const real *t, normalizer n)
{
    real value = R(0);
    for (int64_t c = 0; c < loss->n_classes; c++) {
        const int64_t at = c * loss->n_positions;
        value -= target_share(loss, t[at], c) * log_probability(x[at], n);
    }
    return value;
}

void K(cross_entropy_forward)(const bdl__class_loss *loss, const real *src, const r_int *labels,
                              const real *target, real *dst, real *saved)
{
    r_wide sum = r_wide_of(0), divisor = r_wide_of(0);
    for (int64_t p = 0; p < loss->n_positions; p++) {
        const normalizer n = normalize(src + p, loss->n_classes, loss->n_positions);
        if (saved != NULL) {
            saved[2 * p] = n.maximum;
            saved[2 * p + 1] = n.log_sum;
        }
        if (labels != NULL) {
            const label y = read_label(loss, labels[p]);
            sum += r_to_wide(label_loss(loss, src + p, y, n));
            divisor += r_to_wide(y.weight);
        } else {
            sum += r_to_wide(target_loss(loss, src + p, target + p, n));
            divisor += r_wide_of(1);
        }
    }
    dst[0] = r_from_wide(sum);
    dst[1] = loss->is_mean ? r_from_wide(divisor) : R(0);
}

static void label_gradient(const bdl__class_loss *loss, const real *x, label y, normalizer n,
                           real *diff, bool add)
{
    const int64_t stride = loss->n_positions;
    const double share = loss->smoothing / (double)loss->n_classes;
    const real at_label = R(1 - loss->smoothing) * y.weight;
    const real total = at_label + r_select(y.live, R(share * loss->weights_sum), R(0));
    for (int64_t c = 0; c < loss->n_classes; c++) {
        const real p = r_exp(log_probability(x[c * stride], n));
        const real mine =
            r_select(y.index == R_I(c), at_label, R(0)) + R(share) * weight_of(loss, c);
        store(&diff[c * stride], r_select(y.live, r_fma(p, total, -mine), R(0)), add);
    }
}

static void target_gradient(const bdl__class_loss *loss, const real *x, const real *t, normalizer n,
                            real *diff, bool add)
{
    const int64_t stride = loss->n_positions;
    real total = R(0);
    for (int64_t c = 0; c < loss->n_classes; c++) {
        total += target_share(loss, t[c * stride], c);
    }
    for (int64_t c = 0; c < loss->n_classes; c++) {
        const real p = r_exp(log_probability(x[c * stride], n));
        store(&diff[c * stride], r_fma(p, total, -target_share(loss, t[c * stride], c)), add);
    }
}

void K(cross_entropy_backward)(const bdl__class_loss *loss, const real *src, const r_int *labels,
                               const real *target, const real *saved, real *diff_src, bool add)
{
    for (int64_t p = 0; p < loss->n_positions; p++) {
        const normalizer n = {.maximum = saved[2 * p], .log_sum = saved[2 * p + 1]};
        if (labels != NULL) {
            label_gradient(loss, src + p, read_label(loss, labels[p]), n, diff_src + p, add);
        } else {
            target_gradient(loss, src + p, target + p, n, diff_src + p, add);
        }
    }
}

/* ---- criterions of elements ------------------------------------------------------------------ */

/* f_<name> is the loss of input x and target t, d_<name> its derivative by x; p is the number. */
#define F(name) R_INLINE real f_##name(real x, real t, scalar p)
#define D(name) R_INLINE real d_##name(real x, real t, scalar p)

F(mse)
{
    (void)p;
    return (x - t) * (x - t);
}
D(mse)
{
    (void)p;
    return (x - t) + (x - t);
}

F(l1)
{
    (void)p;
    return r_abs(x - t);
}
D(l1)
{
    (void)p;
    return r_select(x > t, R(1), r_select(x < t, R(-1), R(0)));
}

F(smooth_l1)
{
    const real size = r_abs(x - t);
    return r_select(size < R(p), R(0.5) * size * size / R(p), size - R(0.5) * p);
}
D(smooth_l1)
{
    return r_select(r_abs(x - t) < R(p), (x - t) / R(p), d_l1(x, t, p));
}

/* Logarithms are limited to -100, as in PyTorch. */
F(bce)
{
    (void)p;
    const real yes = r_max(R(-100), r_log(x)), no = r_max(R(-100), r_log1p(-x));
    return -(t * yes + (R(1) - t) * no);
}
D(bce)
{
    (void)p;
    return (x - t) / r_max(R(1e-12), x * (R(1) - x));
}

/* (1 - t) x + (1 + (p - 1) t) log(1 + e^-x) */
F(bce_with_logits)
{
    return r_fma(r_fma(t, R(p) - R(1), R(1)), r_softplus(-x), (R(1) - t) * x);
}
D(bce_with_logits)
{
    return r_fma(-r_fma(t, R(p) - R(1), R(1)), r_sigmoid(-x), R(1) - t);
}

R_INLINE real read_target(const r_int *labels, const real *target, int64_t i)
{
    return labels != NULL ? r_from_int(labels[i]) : target[i];
}

R_INLINE scalar cycle(const double *values, int64_t n, int64_t i)
{
    return (scalar)(n == 1 ? values[0] : values[i % n]);
}

#define LOOPS(name)                                                                                \
    static r_wide forward_##name(const bdl__element_loss *loss, const real *src,                   \
                                 const r_int *labels, const real *target)                          \
    {                                                                                              \
        r_wide sum = r_wide_of(0);                                                                 \
        for (int64_t begin = 0; begin < loss->n; begin += R_BLOCK) {                               \
            const int64_t end = begin + r_block_size(begin, loss->n);                              \
            real part = R(0);                                                                      \
            for (int64_t i = begin; i < end; i++) {                                                \
                real value = f_##name(src[i], read_target(labels, target, i),                      \
                                      cycle(loss->params, loss->n_params, i));                     \
                if (loss->n_weights > 0) {                                                         \
                    value *= cycle(loss->weights, loss->n_weights, i);                             \
                }                                                                                  \
                part += value;                                                                     \
            }                                                                                      \
            sum += r_to_wide(part);                                                                \
        }                                                                                          \
        return sum;                                                                                \
    }                                                                                              \
    static void backward_##name(const bdl__element_loss *loss, const real *src,                    \
                                const r_int *labels, const real *target, real *diff_src, bool add) \
    {                                                                                              \
        for (int64_t i = 0; i < loss->n; i++) {                                                    \
            real value = d_##name(src[i], read_target(labels, target, i),                          \
                                  cycle(loss->params, loss->n_params, i));                         \
            if (loss->n_weights > 0) {                                                             \
                value *= cycle(loss->weights, loss->n_weights, i);                                 \
            }                                                                                      \
            store(&diff_src[i], value, add);                                                       \
        }                                                                                          \
    }
BDL__ELEMENT_LOSS_LIST(LOOPS)

void K(element_loss_forward)(int kind, const bdl__element_loss *loss, const real *src,
                             const r_int *labels, const real *target, real *dst)
{
    static r_wide (*const forwards[])(const bdl__element_loss *, const real *, const r_int *,
                                      const real *) = {
#define FORWARD_ENTRY(name) forward_##name,
        BDL__ELEMENT_LOSS_LIST(FORWARD_ENTRY)};
    dst[0] = r_from_wide(forwards[kind](loss, src, labels, target));
    dst[1] = loss->is_mean ? R((double)loss->n) : R(0);
}

void K(element_loss_backward)(int kind, const bdl__element_loss *loss, const real *src,
                              const r_int *labels, const real *target, real *diff_src, bool add)
{
    static void (*const backwards[])(const bdl__element_loss *, const real *, const r_int *,
                                     const real *, real *, bool) = {
#define BACKWARD_ENTRY(name) backward_##name,
        BDL__ELEMENT_LOSS_LIST(BACKWARD_ENTRY)};
    backwards[kind](loss, src, labels, target, diff_src, add);
}

BDL__KERNEL_TABLE(loss, BDL__LOSS_KERNELS)
