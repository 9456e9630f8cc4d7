/* SPDX-License-Identifier: Apache-2.0 */
/* A model with its heads, ready to run batches of any size: plans and execs are made once a size. */
#ifndef BDL_TRAIN_RUNNER_H
#define BDL_TRAIN_RUNNER_H

#include "data/data.h"
#include "exec/exec.h"
#include "train/shares.h"

typedef struct bdl__runner_options {
    bool is_training;
    bdl__precision precision;
    bdl__target target;
    int64_t batch; /* samples of a full batch */
    int64_t n_shards; /* of a full batch; 0 = as many as it has by default */
    const bdl__head *heads; /* borrowed */
    int n_heads;
    bdl__shape target_shape;
    bool target_integer;
    bool target_is_input; /* the target is the input itself (autoencoders) */
    bool few_samples;     /* batches of one sample, with the target lane1: see plan.h */
    void *grads;          /* see bdl__exec_create */
    bdl__ranks *ranks;    /* NULL = alone; else placed for each batch before it runs */
    bdl__shares *shares;  /* of training with others */
    int64_t bucket_count; /* see bdl__plan_options */
    const bdl__cancel *cancel; /* see bdl__exec_batch; with other ranks theirs */
} bdl__runner_options;

typedef struct bdl__runner bdl__runner;

/* Everything is borrowed. */
bdl_status bdl__runner_create(const bdl_allocator *allocator, bdl__model *model, bdl__pool *pool,
                              bdl__workspace *workspace, const bdl__runner_options *options,
                              bdl__runner **runner);
void bdl__runner_free(bdl__runner *runner); /* NULL ok */

/* Runs a batch; `exec` gives its results. `seed` and `step` are for dropout. */
bdl_status bdl__runner_run(bdl__runner *runner, const bdl__batch *batch, uint64_t seed,
                           uint64_t step, bdl__exec_hook hook, void *hook_arg, bdl__exec **exec);

/* Names the first node with a value that is not finite for this batch, or NULL. */
bdl_status bdl__runner_find_nonfinite(bdl__runner *runner, const bdl__batch *batch, uint64_t seed,
                                      uint64_t step, const char **node_name);

/* ---- lanes.c ---- */

/* `n` row-major samples of `count` floats into sample lanes, the last one repeated to the end of its slice; `dst` has
 * room for whole slices. */
void bdl__to_lanes(const float *src, int64_t n, int64_t count, int lanes, float *dst);
/* And back. */
void bdl__from_lanes(bdl__span span, int64_t n, int64_t count, int lanes, float *dst);

#endif
