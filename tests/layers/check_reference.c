/* SPDX-License-Identifier: Apache-2.0 */
/* A layer on f64 against the formulas that stand beside its cases, where there are. */
#include <string.h>

#include "checks.h"

/* Zeros where the reference writes; running buffers are not its business. */
static void make_expected(check *k, const problem *p, const run_result *result,
                          run_result *expected)
{
    const size_t size = sizeof(tensor) / sizeof(double) + 1;
    *expected = (run_result){.buffers = result->buffers};
    for (int i = 0; i < p->n_out; i++) {
        expected->out[i] = make_tensor(k->arena, &result->out[i].shape, false, p->n_samples);
    }
    for (int i = 0; i < p->n_in; i++) {
        if (result->in_diff[i].data) {
            expected->in_diff[i] = make_tensor(k->arena, &p->in[i].shape, false, p->n_samples);
        }
    }
    expected->grads = (tensor *)(void *)make_doubles(k->arena, p->n_weights * (int64_t)size);
    for (int64_t w = 0; w < p->n_weights; w++) {
        expected->grads[w] = make_tensor(k->arena, &p->weights[w].shape, false, 1);
    }
}

void check_reference(check *k)
{
    const layer_reference reference = reference_of(k->layer->name);
    const run_options options = exact_run();
    const roundings rounding = {.out = 1e-6, .in_diff = 1e-6, .grads = 1e-6};
    run_result result, expected;
    problem p;
    if (!reference || !make_or_complain(k, ALONE, 0, 21, &p)) {
        return;
    }
    if (run_or_complain(k, &p, &options, &result)) {
        make_expected(k, &p, &result, &expected);
        reference(&p, &expected);
        compare_results(k, "f64 and formula", &p, &result, &expected, &rounding);
    }
    free_problem(&p);
}
