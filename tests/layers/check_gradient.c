/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backward against forward, in float64: L = sum(out_diff * out) is moved along random directions
 * of inputs and weights, and its central difference compared with the sum of gradient * direction.
 * A direction that crosses a kink, where the differences of two step sizes disagree, is skipped.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"

enum { N_DIRECTIONS = 3, N_SAMPLES = 4, MOST_MOVED = 64 };

static const double step_size = 1e-5;
static const double tolerance = 2e-6;

/* A tensor that may be moved, its gradient, and the direction. `factor` is what the layer
 * multiplies the gradient by on purpose. */
typedef struct moved {
    double factor;
    tensor *t;
    const tensor *gradient;
    double *start;
    double *direction;
} moved;

typedef struct walk {
    check *k;
    problem *p;
    moved moved[MOST_MOVED];
    int n;
} walk;

static bool loss_at(walk *w, double distance, double *loss)
{
    const run_options options = exact_run();
    run_result result;
    for (int i = 0; i < w->n; i++) {
        const moved *m = &w->moved[i];
        for (int64_t j = 0; j < m->t->n_samples * m->t->count; j++) {
            m->t->data[j] = m->start[j] + distance * m->direction[j];
        }
    }
    if (!run_or_complain(w->k, w->p, &options, &result)) {
        return false;
    }
    *loss = result.head[0];
    for (int o = 0; o < w->p->n_out; o++) {
        const tensor *diff = &w->p->out_diff[o];
        for (int64_t j = 0; j < diff->n_samples * diff->count; j++) {
            *loss += diff->data[j] * result.out[o].data[j];
        }
    }
    return true;
}

static bool slope_at(walk *w, double step, double *slope)
{
    double ahead, behind;
    if (!loss_at(w, step, &ahead) || !loss_at(w, -step, &behind)) {
        return false;
    }
    *slope = (ahead - behind) / (2 * step);
    return true;
}

/* Tensor i, or all where i < 0, gets a direction; returns the slope that the gradients promise,
 * and how large its terms are. */
static double aim(walk *w, int only, uint32_t i_direction, double *size)
{
    double slope = 0, squares = 0;
    for (int i = 0; i < w->n; i++) {
        const moved *m = &w->moved[i];
        for (int64_t j = 0; j < m->t->n_samples * m->t->count; j++) {
            const uint64_t position = ((uint64_t)i << 40) + (uint64_t)j;
            const bool is_moved = only < 0 ? m->factor == 1 : only == i;
            m->direction[j] = is_moved ? random_normal(w->k->seed, 900 + i_direction, position) : 0;
            const double term = m->direction[j] * m->gradient->data[j];
            slope += term;
            squares += term * term;
        }
    }
    *size = sqrt(squares) + fabs(slope) + 1e-6;
    return slope;
}

/* Compares along one direction; false if it was skipped for a kink. */
static bool compare_slope(walk *w, int only, uint32_t i_direction)
{
    double size, slope, nearer;
    const double promised = aim(w, only, i_direction, &size);
    if (!slope_at(w, step_size, &slope)) {
        return true;
    }
    const double factor = only < 0 ? 1 : w->moved[only].factor;
    slope *= factor;
    if (fabs(slope - promised) <= tolerance * size) {
        return true;
    }
    if (w->k->layer->flags & BDL__HAS_KINKS) {
        if (!slope_at(w, step_size / 8, &nearer) ||
            fabs(factor * nearer - promised) <= tolerance * size) {
            return true;
        }
        if (fabs(factor * nearer - slope) > tolerance * size) {
            return false;
        }
    }
    char what[32] = "all tensors";
    if (only >= 0) {
        (void)snprintf(what, sizeof what, "tensor %d", only);
    }
    complain(w->k, "%s, direction %u: slope %.12g, gradient %.12g, terms of %.3g", what,
             i_direction, slope, promised, size);
    return true;
}

static void add_moved(walk *w, tensor *t, const tensor *gradient, double factor)
{
    if (!gradient->data || t->integer || w->n == MOST_MOVED) {
        return;
    }
    const int64_t n = t->n_samples * t->count;
    moved *m = &w->moved[w->n++];
    *m = (moved){.factor = factor, .t = t, .gradient = gradient};
    m->start = make_doubles(w->k->arena, n);
    m->direction = make_doubles(w->k->arena, n);
    memcpy(m->start, t->data, (size_t)n * sizeof *t->data);
}

static void walk_all(walk *w)
{
    int n_skipped = 0, n_compared = 0;
    for (int only = -1; only < w->n; only++) {
        for (uint32_t d = 0; d < N_DIRECTIONS; d++) {
            n_skipped += !compare_slope(w, only, d);
            n_compared++;
        }
    }
    if (n_skipped * 2 > n_compared) {
        complain(w->k, "%d of %d directions crossed a kink", n_skipped, n_compared);
    }
}

void check_gradient(check *k)
{
    problem p;
    run_result result;
    const run_options options = exact_run();
    if (k->layer->kind == BDL__METRIC || k->layer->flags & BDL__NO_GRADIENT ||
        !make_or_complain(k, ALONE, 0, N_SAMPLES, &p)) {
        return;
    }
    walk w = {.k = k, .p = &p};
    if (run_or_complain(k, &p, &options, &result)) {
        for (int i = 0; i < p.n_in; i++) {
            add_moved(&w, &p.in[i], &result.in_diff[i], case_factor(k->c));
        }
        for (int64_t i = 0; i < p.n_weights; i++) {
            add_moved(&w, &p.weights[i], &result.grads[i], 1);
        }
        walk_all(&w);
    }
    free_problem(&p);
}
