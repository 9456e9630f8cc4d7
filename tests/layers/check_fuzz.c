/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random parameters and shapes: a layer refuses them with a text that names it, or runs. What runs
 * must not be right here, but clean under the sanitizers, and the same twice.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "test.h"

enum { N_TRIALS = 150, TEXT_SIZE = 600 };

typedef struct dice {
    bdl__rng rng;
} dice;

static int64_t roll(dice *d, int64_t n)
{
    return (int64_t)bdl__rng_below(&d->rng, (uint64_t)n);
}

static bool once_in(dice *d, int64_t n)
{
    return roll(d, n) == 0;
}

/* ---- parameters ------------------------------------------------------------------------------
 * */

static double random_number(dice *d, const bdl__field *field, bool is_whole)
{
    const bdl__range *range = &field->range;
    double value = is_whole ? (double)(1 + roll(d, 4)) : (double)roll(d, 2000) / 500 - 1;
    if (once_in(d, 8)) {
        value = range->given ? range->least : -1;
    } else if (once_in(d, 30)) {
        value = range->given && range->most < 1e15 ? range->most : 1e6;
    } else if (once_in(d, 10)) {
        value = -value;
    }
    return is_whole ? floor(value) : value;
}

static size_t append_numbers(dice *d, const bdl__field *field, bool is_whole, char *text,
                             size_t size)
{
    const int64_t most = field->most_n > 0 ? field->most_n : 4;
    const int64_t n = BDL__MIN(field->least_n + roll(d, most - field->least_n + 1), 6);
    size_t used = (size_t)snprintf(text, size, "[");
    for (int64_t i = 0; i < n; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%.9g", i > 0 ? "," : "",
                                 random_number(d, field, is_whole));
    }
    return used + (size_t)snprintf(text + used, size - used, "]");
}

static size_t append_value(dice *d, const bdl__field *field, char *text, size_t size)
{
    static const char *const strings[] = {"ones", "normal(std=0.1)", "torch", "none", "x(", ""};
    int n_choices = 0;
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        return (size_t)snprintf(text, size, "%s", once_in(d, 2) ? "true" : "false");
    case BDL__FIELD_I64:
        return (size_t)snprintf(text, size, "%.0f", random_number(d, field, true));
    case BDL__FIELD_F64:
        return (size_t)snprintf(text, size, "%.9g", random_number(d, field, false));
    case BDL__FIELD_STRING:
        return (size_t)snprintf(text, size, "'%s'", strings[roll(d, BDL__COUNT_OF(strings))]);
    case BDL__FIELD_CHOICE:
        while (field->choices[n_choices]) {
            n_choices++;
        }
        return (size_t)snprintf(text, size, "'%s'", field->choices[roll(d, n_choices)]);
    case BDL__FIELD_I64S:
    case BDL__FIELD_F64S:
        return append_numbers(d, field, field->kind == BDL__FIELD_I64S, text, size);
    }
    return 0;
}

static void random_params(dice *d, const bdl__schema *schema, char *text)
{
    size_t used = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < schema->n_fields; i++) {
        const bdl__field *field = &schema->fields[i];
        if ((field->required || once_in(d, 2)) && used < TEXT_SIZE - 120) {
            used += (size_t)snprintf(text + used, TEXT_SIZE - used, "%s%s=", used > 0 ? ", " : "",
                                     field->name);
            used += append_value(d, field, text + used, TEXT_SIZE - used);
        }
    }
}

/* ---- inputs ----------------------------------------------------------------------------------
 * */

static int count_ports(dice *d, const char *ports)
{
    int n = 1;
    for (const char *c = ports; *c; c++) {
        n += *c == ',';
    }
    const size_t size = strlen(ports);
    if (size > 3 && strcmp(ports + size - 3, "...") == 0) {
        n += (int)roll(d, 3);
    }
    return BDL__MIN(n, MOST_INPUTS);
}

static size_t random_shape(dice *d, char *text, size_t size)
{
    const int64_t rank = once_in(d, 2) ? 3 : roll(d, 5);
    size_t used = 0;
    if (rank == 0) {
        return (size_t)snprintf(text, size, "scalar");
    }
    for (int64_t i = 0; i < rank; i++) {
        const int64_t dim = once_in(d, 4) ? 1 : 1 + roll(d, i == 0 ? 6 : 9);
        used +=
            (size_t)snprintf(text + used, size - used, "%s%lld", i > 0 ? "x" : "", (long long)dim);
    }
    return used;
}

static void random_inputs(dice *d, const bdl__layer *layer, char *text)
{
    static const char *const fills[] = {"normal", "normal", "positive", "unit", "class3"};
    const int n = count_ports(d, layer->ports);
    const bool same = !once_in(d, 3);
    char shape[80];
    size_t used = 0;
    (void)random_shape(d, shape, sizeof shape);
    for (int i = 0; i < n; i++) {
        if (!same) {
            (void)random_shape(d, shape, sizeof shape);
        }
        const bool is_target = layer->kind != BDL__LAYER && i == 1;
        const bool may_be_integer = is_target || (layer->kind == BDL__LAYER && once_in(d, 12));
        const int64_t i_fill = roll(d, may_be_integer ? BDL__COUNT_OF(fills) : 4);
        const char *first_shape = is_target && once_in(d, 3) ? "scalar" : shape;
        used += (size_t)snprintf(text + used, TEXT_SIZE - used, "%s%s %s", i > 0 ? "; " : "",
                                 first_shape, fills[i_fill]);
    }
}

/* ---- trials ----------------------------------------------------------------------------------
 * */

static bool is_own_refusal(const check *k)
{
    const char *error = bdl_last_error();
    return strstr(error, k->layer->name) || strstr(error, too_large_for_a_test);
}

/* Runs on a target twice; the bits must agree. */
static void run_twice(check *k, const problem *p, bdl__target target)
{
    run_result first, second;
    run_options options = float_run(target, true);
    if (p->head && run_problem(p, &options, k->arena, &first) != BDL_OK) {
        /* Heads are inferred by the plan. */
        if (!is_own_refusal(k)) {
            complain(k, "the error does not name the layer: %s", bdl_last_error());
        }
    } else if (run_or_complain(k, p, &options, &first)) {
        options.n_workers = 2;
        if (run_or_complain(k, p, &options, &second)) {
            compare_results(k, "the same twice", p, &second, &first, NULL);
        }
    }
}

static void try_once(check *k, uint32_t trial)
{
    char params[TEXT_SIZE], inputs[TEXT_SIZE];
    bdl__target targets[BDL__N_TARGETS];
    const int n_targets = float_targets(targets);
    dice d;
    bdl__rng_init(&d.rng, k->seed, BDL__RNG_TEST, trial, 0);
    random_params(&d, &k->layer->schema, params);
    random_inputs(&d, k->layer, inputs);
    const layer_case c = {.layer = k->layer->name, .params = params, .inputs = inputs};
    const int64_t n_samples = once_in(&d, 2) ? 3 : 18;
    const int n_failures = k->n_failures;
    problem p;
    if (make_problem(&c, ALONE, 0, n_samples, k->seed, k->arena, &p) != BDL_OK) {
        if (!is_own_refusal(k)) {
            complain(k, "the error does not name the layer: %s", bdl_last_error());
        }
    } else {
        const int64_t i_target = roll(&d, n_targets + 1);
        run_twice(k, &p, i_target == n_targets ? BDL__TARGET_F64 : targets[i_target]);
    }
    free_problem(&p);
    if (k->n_failures > n_failures) {
        complain(k, "in trial %u: %s(%s) on %s", trial, c.layer, params, inputs);
    }
}

void check_fuzz(check *k)
{
    const uint32_t n_trials = bdl_test_small() ? 10 : N_TRIALS;
    for (uint32_t trial = 0; trial < n_trials; trial++) {
        bdl__arena_free(k->arena);
        bdl__arena_init(k->arena, bdl__default_allocator());
        try_once(k, trial);
    }
}
