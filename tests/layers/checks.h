/* SPDX-License-Identifier: Apache-2.0 */
/* The generic checks: each runs on every case, or on every registered layer. */
#ifndef BDL_TESTS_LAYERS_CHECKS_H
#define BDL_TESTS_LAYERS_CHECKS_H

#include "cases.h"

/* One check of one case or layer. */
typedef struct check {
    const char *name;    /* of the check */
    const char *subject; /* "conv2d/17", or "conv2d" */
    const layer_case *c; /* NULL for checks of a layer */
    const bdl__layer *layer;
    uint64_t seed;
    bdl__arena *arena; /* freed after the check */
    int n_failures;
} check;

/* Prints and counts a failure; more than a few of one check are only counted. */
void complain(check *k, const char *format, ...) BDL__PRINTF(2, 3);

/* Runs, complaining where that fails. */
bool run_or_complain(check *k, const problem *p, const run_options *options, run_result *result);
bool make_or_complain(check *k, surroundings around, int64_t first_sample, int64_t n_samples,
                      problem *p);

/* Complains about the worst number of a that is further from b than
 * `rounding` * 2^-24 * (its size + the root mean square of b); rounding 0 wants equal numbers. */
bool compare(check *k, const char *what, const tensor *a, const tensor *b, double rounding);
/* The same for all that two runs of a problem give. `rounding` NULL wants equal numbers. */
typedef struct roundings {
    double out, in_diff, grads;
} roundings;
bool compare_results(check *k, const char *what, const problem *p, const run_result *a,
                     const run_result *b, const roundings *rounding);
/* Bounds for a float target: they grow with the root of the number of terms in a sum. */
roundings roundings_of(const layer_case *c, const problem *p);

run_options float_run(bdl__target target, bool is_training);
run_options exact_run(void); /* f64, one worker, training */

/* Kernel targets other than f64 that run here, the best first. */
int float_targets(bdl__target targets[BDL__N_TARGETS]);

/* ---- of a case -------------------------------------------------------------------------------
 * */

void check_targets(check *k);       /* every target agrees with f64 */
void check_gradient(check *k);      /* backward is the derivative of forward, on f64 */
void check_padding(check *k);       /* a sample's result does not depend on its neighbors */
void check_deterministic(check *k); /* any number of workers gives the same bits */
void check_adding(check *k);        /* gradients are added where another user's stand already */
void check_in_place(check *k);      /* writing over the input changes nothing */
void check_skipping(check *k);      /* unwanted gradients change nothing */
void check_json(check *k);          /* parameters survive JSON and text */
void check_empty(check *k);         /* no samples: nothing to compute, or refused */
void check_reference(check *k);     /* f64 agrees with the formulas beside the cases, where there are */

/* ---- of a layer ------------------------------------------------------------------------------
 * */

void check_descriptor(check *k); /* names, documentation, fields */
void check_refusals(check *k);   /* bad parameters are refused by name */
void check_fuzz(check *k);       /* any parameters and shapes are refused or run */

#endif
