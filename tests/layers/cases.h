/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of cases: a row is a layer with parameters and inputs, and every generic check runs on
 * it.
 *
 *     static const layer_case cases[] = {
 *         {"max_pool2d", "3, stride=2, padding=1", "2x7x6"},
 *         {"nll", "", "5 logprob; scalar class5"},
 *     };
 *     BDL_LAYER_CASES(pool, cases)
 *
 * Inputs are separated by ';', each a shape of one sample ("scalar", "10", "3x8x8") and how it is
 * filled:
 *
 *     normal    mean 0, deviation 1: what is meant where nothing is said
 *     far       mean 1000, deviation 1
 *     positive  between 0.1 and 4
 *     unit      between 0.05 and 0.95
 *     inner     between -0.9 and 0.9
 *     sign      -1 or 1
 *     bit       0 or 1
 *     share     positive, summing to 1 along the first axis
 *     logprob   the logarithm of such
 *     apart     no two values nearer than 1/count
 *     classN    whole numbers from 0 to N - 1
 *
 * "~10" at the end allows rounding errors ten times as large as usual; "!-0.5" says that backward
 * gives the inputs, on purpose, -0.5 times their gradient.
 */
#ifndef BDL_TESTS_LAYERS_CASES_H
#define BDL_TESTS_LAYERS_CASES_H

#include <math.h>

#include "harness.h"
#include "tensor/init.h"

typedef struct layer_case {
    const char *layer;
    const char *params; /* as on the command line; "" = defaults */
    const char *inputs;
} layer_case;

typedef struct layer_cases {
    const layer_case *cases;
    int64_t n;
} layer_cases;

#define BDL_LAYER_CASES(family, table)                                                             \
    extern const layer_cases layer_cases_##family;                                                 \
    const layer_cases layer_cases_##family = {table, BDL__COUNT_OF(table)};

/* A layer's formulas in plain C, for the generic check "reference": fills the outputs, the gradients of
 * the inputs and those of the weights, which hold zeros. One of a layer, in the file of its cases. */
typedef void (*layer_reference)(const problem *p, run_result *expected);
#define BDL_LAYER_REFERENCE(name, function)                                                        \
    extern const layer_reference layer_reference_##name;                                           \
    const layer_reference layer_reference_##name = function;

/* The reference of the layer of this name, or NULL. */
layer_reference reference_of(const char *layer);

/* Case i of all, or NULL at the end; `name` gets "conv2d/17", counted within the layer. */
const layer_case *case_at(int64_t i, char *name, size_t size);
#define CASE_NAME_SIZE 64

/* What stands around the layer. */
typedef enum surroundings {
    ALONE,
    BESIDE_SILENT, /* a second node of the same kind on the same inputs, whose gradient is 0 */
    BESIDE,        /* ... whose gradient is not */
    SHARING,       /* ... with the layer's weights */
    SECOND_ALONE,  /* only the second node of BESIDE */
    OTHER_DIFFS,   /* the first node with the gradient that the second has in BESIDE and SHARING */
    AFTER_COPY,    /* each input copied by a layer of its own */
    AFTER_KEPT_COPY, /* ... the copies being outputs too, so that nothing is written over them */
    FROZEN           /* the weights get no gradient */
} surroundings;

/* The problem of a case: n_samples from number `first_sample` on; numbers depend on (seed, sample,
 * position) alone. Free it with free_problem. */
bdl_status make_problem(const layer_case *c, surroundings around, int64_t first_sample,
                        int64_t n_samples, uint64_t seed, bdl__arena *arena, problem *p);
void free_problem(problem *p);
/* Part of the error when the case is well-formed, but has more numbers than a test should. */
extern const char too_large_for_a_test[];

/* The case's inputs; the graph's only, without a head's target, are the first n - has_target. */
typedef struct input_spec {
    bdl__shape shape;
    bool integer;
    char fill[16];
    int64_t n_classes;
} input_spec;
bdl_status parse_inputs(const char *text, input_spec specs[MOST_INPUTS], int *n);
double case_slack(const layer_case *c);
double case_factor(const layer_case *c);
void fill_tensor(tensor *t, const input_spec *spec, uint64_t seed, uint32_t key,
                 int64_t first_sample);

/* A number in [0, 1) for this key and position. */
double random_unit(uint64_t seed, uint32_t key, uint64_t position, uint32_t i_draw);
double random_normal(uint64_t seed, uint32_t key, uint64_t position);

#endif
