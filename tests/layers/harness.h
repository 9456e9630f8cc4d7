/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one layer on given numbers, on any kernel target and number of workers, through the graph,
 * plan and exec that training uses. Numbers are doubles that floats hold exactly, sample after
 * sample, so that all targets get the same.
 */
#ifndef BDL_TESTS_LAYERS_HARNESS_H
#define BDL_TESTS_LAYERS_HARNESS_H

#include "exec/exec.h"

#define MOST_INPUTS 8
#define MOST_OUTPUTS 16
#define MOST_WORKERS 3

/* A batch of samples, or one weight tensor (a batch of 1). */
typedef struct tensor {
    bdl__shape shape; /* of one sample */
    bool integer;
    int64_t n_samples;
    int64_t count; /* of one sample */
    double *data;  /* [n_samples][count] */
} tensor;

/* A graph of one layer and what goes in. For criterions and metrics, the graph copies its input
 * and the layer is the plan's head. */
typedef struct problem {
    bdl__graph *graph; /* owned */
    const bdl__layer *head;
    const void *head_params;
    int64_t n_samples;
    int n_in, n_out;
    tensor in[MOST_INPUTS];
    tensor target;                 /* heads only */
    tensor out_diff[MOST_OUTPUTS]; /* gradients of the graph's outputs */
    int64_t n_weights, n_buffers;
    tensor *weights;
    tensor *buffers;
} problem;

typedef struct run_options {
    bdl__target target;
    int n_workers;
    bool is_training;
    bool no_input_diffs;
    bdl__precision precision; /* of float targets */
    bool few_samples;         /* see plan.h; the problem has one sample */
} run_options;

typedef struct run_result {
    tensor out[MOST_OUTPUTS];
    tensor in_diff[MOST_INPUTS]; /* data NULL where there is none */
    tensor *grads;               /* of weights; data NULL without training */
    tensor *buffers;             /* after the run */
    double head[2];              /* the sums of a head's two values */
} run_result;

/* All memory comes from the arena. A failure leaves its text in bdl_last_error(). */
bdl_status run_problem(const problem *p, const run_options *options, bdl__arena *arena,
                       run_result *result);

/* `count` doubles from the arena; tests end when memory does. */
double *make_doubles(bdl__arena *arena, int64_t count);
tensor make_tensor(bdl__arena *arena, const bdl__shape *shape, bool integer, int64_t n_samples);

/* Stops the workers that run_problem started. */
void end_workers(void);

#endif
