/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that compare two runs: targets, batches, workers, surroundings. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"

/* ---- comparing -------------------------------------------------------------------------------
 * */

enum { MOST_COMPLAINTS = 4 };

void complain(check *k, const char *format, ...)
{
    if (k->n_failures++ < MOST_COMPLAINTS) {
        va_list arguments;
        va_start(arguments, format);
        printf("%s %s: ", k->subject, k->name);
        vprintf(format, arguments);
        putchar('\n');
        va_end(arguments);
    }
}

run_options float_run(bdl__target target, bool is_training)
{
    return (run_options){.target = target, .n_workers = 1, .is_training = is_training};
}

run_options exact_run(void)
{
    return float_run(BDL__TARGET_F64, true);
}

int float_targets(bdl__target targets[BDL__N_TARGETS])
{
    static const bdl__target by_speed[] = {BDL__TARGET_AVX512, BDL__TARGET_AVX2, BDL__TARGET_NEON,
                                           BDL__TARGET_SSE4, BDL__TARGET_LANE1};
    int n = 0;
    for (int64_t i = 0; i < BDL__COUNT_OF(by_speed); i++) {
        if (bdl__target_available(by_speed[i])) {
            targets[n++] = by_speed[i];
        }
    }
    return n;
}

bool run_or_complain(check *k, const problem *p, const run_options *options, run_result *result)
{
    if (run_problem(p, options, k->arena, result) != BDL_OK) {
        complain(k, "%s, %d workers, %s: %s", bdl__target_name(options->target), options->n_workers,
                 options->is_training ? "training" : "evaluation", bdl_last_error());
        return false;
    }
    return true;
}

bool make_or_complain(check *k, surroundings around, int64_t first_sample, int64_t n_samples,
                      problem *p)
{
    if (make_problem(k->c, around, first_sample, n_samples, k->seed, k->arena, p) != BDL_OK) {
        complain(k, "%s", bdl_last_error());
        free_problem(p);
        return false;
    }
    return true;
}

static double root_mean_square(const tensor *t)
{
    double sum = 0;
    const int64_t n = t->n_samples * t->count;
    for (int64_t i = 0; i < n; i++) {
        sum += isfinite(t->data[i]) ? t->data[i] * t->data[i] : 0;
    }
    return sqrt(sum / (double)BDL__MAX(n, 1));
}

bool compare(check *k, const char *what, const tensor *a, const tensor *b, double rounding)
{
    const int64_t n = BDL__MIN(a->n_samples, b->n_samples) * b->count;
    const double common = root_mean_square(b);
    double worst = 0;
    int64_t at = -1;
    for (int64_t i = 0; i < n; i++) {
        if (a->data[i] == b->data[i] || (isnan(a->data[i]) && isnan(b->data[i]))) {
            continue;
        }
        const double bound = rounding * 0x1p-24 * (fabs(b->data[i]) + common);
        const double excess = bound > 0 ? fabs(a->data[i] - b->data[i]) / bound : INFINITY;
        if (!(excess <= 1) && !(excess <= worst)) {
            worst = excess;
            at = i;
        }
    }
    if (at >= 0) {
        complain(k, "%s: number %lld of sample %lld is %.9g, not %.9g (%.3g times the bound)", what,
                 (long long)(at % b->count), (long long)(at / b->count), a->data[at], b->data[at],
                 worst);
    }
    return at < 0;
}

static bool compare_part(check *k, const char *what, const char *part, int64_t i, const tensor *a,
                         const tensor *b, double rounding)
{
    char text[160];
    (void)snprintf(text, sizeof text, "%s: %s %lld", what, part, (long long)i);
    if (!a->data && !b->data) {
        return true;
    }
    if (!a->data || !b->data) {
        complain(k, "%s is missing", text);
        return false;
    }
    return compare(k, text, a, b, rounding);
}

bool compare_results(check *k, const char *what, const problem *p, const run_result *a,
                     const run_result *b, const roundings *rounding)
{
    const roundings r = rounding ? *rounding : (roundings){0};
    bool ok = true;
    for (int i = 0; i < p->n_out; i++) {
        ok &= compare_part(k, what, "output", i, &a->out[i], &b->out[i], r.out);
    }
    for (int i = 0; i < p->n_in; i++) {
        ok &= compare_part(k, what, "gradient of input", i, &a->in_diff[i], &b->in_diff[i],
                           r.in_diff);
    }
    for (int64_t i = 0; i < p->n_weights; i++) {
        ok &= compare_part(k, what, "gradient of weight", i, &a->grads[i], &b->grads[i], r.grads);
    }
    for (int64_t i = 0; i < p->n_buffers; i++) {
        ok &= compare_part(k, what, "running buffer", i, &a->buffers[i], &b->buffers[i], r.out);
    }
    for (int i = 0; i < 2 && p->head; i++) {
        double head_a = a->head[i], head_b = b->head[i];
        const tensor number_a = {.n_samples = 1, .count = 1, .data = &head_a};
        const tensor number_b = {.n_samples = 1, .count = 1, .data = &head_b};
        ok &= compare_part(k, what, "sum", i, &number_a, &number_b, r.out);
    }
    return ok;
}

roundings roundings_of(const layer_case *c, const problem *p)
{
    double n_in = 0, n_out = 0;
    for (int i = 0; i < p->n_in; i++) {
        n_in += (double)p->in[i].count;
    }
    for (int i = 0; i < p->n_out; i++) {
        n_out += (double)p->out_diff[i].count;
    }
    const double slack = case_slack(c);
    return (roundings){
        .out = slack * (16 + 4 * sqrt(n_in)),
        .in_diff = slack * (16 + 4 * sqrt(n_in + n_out)),
        .grads = slack * (16 + 4 * sqrt(n_out * (double)p->n_samples)),
    };
}

/* ---- targets ---------------------------------------------------------------------------------
 * */

static void compare_targets(check *k, int64_t n_samples, bool is_training)
{
    problem p;
    run_result exact, rounded;
    if (!make_or_complain(k, ALONE, 0, n_samples, &p)) {
        return;
    }
    run_options options = float_run(BDL__TARGET_F64, is_training);
    bdl__target targets[BDL__N_TARGETS];
    const int n_targets = float_targets(targets);
    const roundings rounding = roundings_of(k->c, &p);
    bool ok = run_or_complain(k, &p, &options, &exact);
    for (int i = 0; i < n_targets && ok; i++) {
        char what[80];
        (void)snprintf(what, sizeof what, "%s, %lld samples, %s", bdl__target_name(targets[i]),
                       (long long)n_samples, is_training ? "training" : "evaluation");
        for (int is_exact = 0; is_exact < 2; is_exact++) {
            options = float_run(targets[i], is_training);
            options.precision = is_exact ? BDL__FP32_EXACT : BDL__FP32;
            if (run_or_complain(k, &p, &options, &rounded)) {
                compare_results(k, what, &p, &rounded, &exact, &rounding);
            }
        }
    }
    free_problem(&p);
}

void check_targets(check *k)
{
    compare_targets(k, 5, true);
    compare_targets(k, 5, false);
    compare_targets(k, 20, true);
}

/* ---- neighbors -------------------------------------------------------------------------------
 * */

/* Sample `sample` of a result as a tensor of one sample. */
static tensor sample_of(const tensor *t, int64_t sample)
{
    tensor one = *t;
    one.n_samples = 1;
    one.data = t->data ? t->data + sample * t->count : NULL;
    return one;
}

/* In a batch of n, some samples against the same samples alone; without running buffers, layers
 * that need statistics mix samples in evaluation too. */
static void compare_alone(check *k, bdl__target target, int64_t n, bool is_training)
{
    const int64_t samples[] = {0, 4, 12, 15, 16, 32};
    const run_options options = float_run(target, is_training);
    problem together, alone;
    run_result all, one;
    if (!make_or_complain(k, ALONE, 0, n, &together)) {
        return;
    }
    const roundings rounding = roundings_of(k->c, &together);
    const bool is_mixed = k->layer->batch == BDL__STATS && together.n_buffers == 0;
    bool ok = !is_mixed && run_or_complain(k, &together, &options, &all);
    for (int64_t s = 0; s < BDL__COUNT_OF(samples) && samples[s] < n && ok; s++) {
        char what[80];
        (void)snprintf(what, sizeof what, "%s, sample %lld of %lld", bdl__target_name(target),
                       (long long)samples[s], (long long)n);
        ok = make_or_complain(k, ALONE, samples[s], 1, &alone) &&
             run_or_complain(k, &alone, &options, &one);
        for (int i = 0; i < together.n_out && ok; i++) {
            const tensor mine = sample_of(&all.out[i], samples[s]);
            ok = compare_part(k, what, "output", i, &mine, &one.out[i], rounding.out);
        }
        for (int i = 0; i < together.n_in && ok; i++) {
            const tensor mine = sample_of(&all.in_diff[i], samples[s]);
            ok = compare_part(k, what, "gradient of input", i, &mine, &one.in_diff[i],
                              rounding.in_diff);
        }
        free_problem(&alone);
    }
    free_problem(&together);
}

/* Adds what one run gives for the whole batch to the sums. */
static void add_result(const problem *p, const run_result *one, run_result *sum)
{
    for (int64_t w = 0; w < p->n_weights; w++) {
        for (int64_t i = 0; i < one->grads[w].count; i++) {
            sum->grads[w].data[i] += one->grads[w].data[i];
        }
    }
    sum->head[0] += one->head[0];
    sum->head[1] += one->head[1];
}

/* Gradients of the weights and a head's sums of n samples against the sum of each sample's. */
static void compare_sums(check *k, bdl__target target, int64_t n)
{
    const run_options options = float_run(target, true);
    problem p = {0};
    run_result all, one, sum;
    bool ok = true;
    for (int64_t s = 0; s < n && ok; s++) {
        ok = make_or_complain(k, ALONE, s, 1, &p) && run_or_complain(k, &p, &options, &one);
        if (ok && s > 0) {
            add_result(&p, &one, &sum);
        } else {
            sum = one;
        }
        free_problem(&p);
    }
    if (ok && make_or_complain(k, ALONE, 0, n, &p)) {
        const roundings rounding = roundings_of(k->c, &p);
        if (run_or_complain(k, &p, &options, &all)) {
            for (int64_t w = 0; w < p.n_weights; w++) {
                compare_part(k, "sum over samples", "gradient of weight", w, &all.grads[w],
                             &sum.grads[w], rounding.grads);
            }
            for (int i = 0; i < 2 && p.head; i++) {
                const tensor got = {.n_samples = 1, .count = 1, .data = &all.head[i]};
                const tensor expected = {.n_samples = 1, .count = 1, .data = &sum.head[i]};
                compare_part(k, "sum over samples", "sum", i, &got, &expected, rounding.out);
            }
        }
        free_problem(&p);
    }
}

void check_padding(check *k)
{
    bdl__target targets[BDL__N_TARGETS];
    const int n_targets = float_targets(targets);
    if (k->layer->batch == BDL__STATS) {
        compare_alone(k, targets[0], 5, false);
        return;
    }
    const bool is_training = !(k->layer->flags & BDL__NEEDS_RNG);
    for (int i = 0; i < n_targets; i++) {
        compare_alone(k, targets[i], 5, is_training);
        compare_alone(k, targets[i], 17, is_training);
    }
    compare_alone(k, targets[0], 16, is_training);
    compare_alone(k, targets[0], 33, is_training);
    if (is_training) {
        compare_sums(k, targets[0], 5);
    }
}

/* ---- workers ---------------------------------------------------------------------------------
 * */

static void compare_workers(check *k, bdl__target target, int64_t n_samples)
{
    problem p;
    run_result one, many;
    run_options options = float_run(target, true);
    if (!make_or_complain(k, ALONE, 0, n_samples, &p)) {
        return;
    }
    bool ok = run_or_complain(k, &p, &options, &one);
    for (int workers = 1; workers <= MOST_WORKERS && ok; workers++) {
        char what[80];
        (void)snprintf(what, sizeof what, "%s, %lld samples, %d workers", bdl__target_name(target),
                       (long long)n_samples, workers);
        options.n_workers = workers;
        ok = run_or_complain(k, &p, &options, &many) &&
             compare_results(k, what, &p, &many, &one, NULL);
    }
    free_problem(&p);
}

void check_deterministic(check *k)
{
    bdl__target targets[BDL__N_TARGETS];
    const int n_targets = float_targets(targets);
    for (int i = 0; i < n_targets; i++) {
        compare_workers(k, targets[i], 5);
    }
    compare_workers(k, targets[0], 40);
    compare_workers(k, BDL__TARGET_F64, 20);
}

/* ---- surroundings ----------------------------------------------------------------------------
 * */

static bool run_in(check *k, surroundings around, const run_options *options, problem *p,
                   run_result *result)
{
    return make_or_complain(k, around, 0, 20, p) && run_or_complain(k, p, options, result);
}

static void add_tensor(tensor *sum, const tensor *t)
{
    for (int64_t i = 0; i < sum->n_samples * sum->count && t->data && sum->data; i++) {
        sum->data[i] += t->data[i];
    }
}

/* Two nodes: the inputs' gradients are the sum of both, the weights' too where they are shared. */
static void compare_sum_of_two(check *k, bdl__target target, surroundings both, surroundings second)
{
    const run_options options = float_run(target, true);
    problem p[3] = {{0}};
    run_result all, one, two;
    if (run_in(k, both, &options, &p[0], &all) && run_in(k, ALONE, &options, &p[1], &one) &&
        run_in(k, second, &options, &p[2], &two)) {
        const char *what = both == SHARING ? "shared weights" : "two users of the input";
        roundings rounding = roundings_of(k->c, &p[1]);
        for (int i = 0; i < p[1].n_in; i++) {
            add_tensor(&one.in_diff[i], &two.in_diff[i]);
            compare_part(k, what, "gradient of input", i, &all.in_diff[i], &one.in_diff[i],
                         rounding.in_diff);
        }
        for (int64_t w = 0; w < p[1].n_weights && both == SHARING; w++) {
            add_tensor(&one.grads[w], &two.grads[w]);
            compare_part(k, what, "gradient of weight", w, &all.grads[w], &one.grads[w],
                         rounding.grads);
        }
    }
    for (int i = 0; i < 3; i++) {
        free_problem(&p[i]);
    }
}

static void compare_silent(check *k, bdl__target target)
{
    const run_options options = float_run(target, true);
    problem p[2] = {{0}};
    run_result both, one;
    if (run_in(k, BESIDE_SILENT, &options, &p[0], &both) &&
        run_in(k, ALONE, &options, &p[1], &one)) {
        for (int i = 0; i < p[1].n_in; i++) {
            compare_part(k, "added onto 0", "gradient of input", i, &both.in_diff[i],
                         &one.in_diff[i], 0);
        }
    }
    free_problem(&p[0]);
    free_problem(&p[1]);
}

void check_adding(check *k)
{
    bdl__target targets[BDL__N_TARGETS];
    const int n_targets = float_targets(targets);
    if (k->layer->kind != BDL__LAYER || k->layer->flags & BDL__NO_GRADIENT) {
        return;
    }
    for (int i = 0; i < n_targets; i++) {
        compare_silent(k, targets[i]);
    }
    if (!(k->layer->flags & BDL__NEEDS_RNG)) {
        compare_sum_of_two(k, targets[0], BESIDE, SECOND_ALONE);
        compare_sum_of_two(k, BDL__TARGET_F64, BESIDE, SECOND_ALONE);
        compare_sum_of_two(k, targets[0], SHARING, OTHER_DIFFS);
    }
}

static void compare_surroundings(check *k, surroundings a, surroundings b,
                                 const run_options *options_a, const run_options *options_b,
                                 const char *what)
{
    problem p[2] = {{0}};
    run_result result_a, result_b;
    if (run_in(k, a, options_a, &p[0], &result_a) && run_in(k, b, options_b, &p[1], &result_b)) {
        for (int i = 0; i < BDL__MIN(p[0].n_out, p[1].n_out); i++) {
            compare_part(k, what, "output", i, &result_a.out[i], &result_b.out[i], 0);
        }
        for (int i = 0; i < p[0].n_in && !options_b->no_input_diffs; i++) {
            compare_part(k, what, "gradient of input", i, &result_a.in_diff[i],
                         &result_b.in_diff[i], 0);
        }
        for (int64_t w = 0; w < p[0].n_weights && b != FROZEN; w++) {
            compare_part(k, what, "gradient of weight", w, &result_a.grads[w], &result_b.grads[w],
                         0);
        }
    }
    free_problem(&p[0]);
    free_problem(&p[1]);
}

void check_in_place(check *k)
{
    bdl__target targets[BDL__N_TARGETS];
    (void)float_targets(targets);
    if (k->layer->kind != BDL__LAYER) {
        return;
    }
    for (int is_training = 0; is_training < 2; is_training++) {
        const run_options options = float_run(targets[0], is_training);
        compare_surroundings(k, AFTER_COPY, AFTER_KEPT_COPY, &options, &options, "in place");
    }
}

void check_skipping(check *k)
{
    bdl__target targets[BDL__N_TARGETS];
    (void)float_targets(targets);
    const run_options all = float_run(targets[0], true);
    run_options some = all;
    some.no_input_diffs = true;
    if (k->layer->kind != BDL__LAYER) {
        return;
    }
    compare_surroundings(k, ALONE, ALONE, &all, &some, "without gradients of the inputs");
    compare_surroundings(k, ALONE, FROZEN, &all, &all, "with frozen weights");
}
