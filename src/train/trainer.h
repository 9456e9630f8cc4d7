/* SPDX-License-Identifier: Apache-2.0 */
/* The trainer's state, shared by the files that open it (trainer.c) and run it (loop.c). */
#ifndef BDL_TRAIN_TRAINER_H
#define BDL_TRAIN_TRAINER_H

#include <stdio.h>

#include "train/train.h"

struct bdl__trainer {
    bdl__session session;
    bdl__arena arena;
    bdl__train_params params; /* strings borrowed from the caller's params */
    bdl__precision precision;
    bdl__target target;

    bdl__saved *saved;
    bdl__dataset *data, *val;
    bdl__chain *chain, *own_chain; /* own_chain is freed here; chain may be the saved model's */
    bdl__heads *heads;
    bdl__batcher *batcher;
    bdl__workspace *workspace;
    bdl__runner *runner;

    bdl__optim *optim;
    bdl__schedule *schedule;
    bdl__clip clip;
    bdl__trigger *until; /* in the arena, or NULL */
    void *grads;
    void *states[BDL__MAX_OPTIM_STATES];
    bdl__param_range *ranges; /* in the arena */
    int64_t n_ranges;
    double *square_sums; /* a block's each, with clipping by norm */

    bdl__position position;
    int64_t steps; /* of an epoch */
    int64_t max_epochs, max_iterations;
    int64_t every; /* iterations between checkpoints, 0 = at the end of each epoch */
    const char *settings; /* JSON, see bdl__checkpoint_io */

    FILE *log_file;
    bdl__summary *train_summary, *val_summary;

    /* of the current step */
    double rate;
    double loss; /* of the last step */
    bdl__optim_step step;
    /* of the run */
    double start, validating; /* seconds */
    int64_t n_samples;
    double values[BDL__MAX_HEADS]; /* of the last validation; NaN before */
    double mean_loss;              /* of the last epoch; NaN before */
    bdl__event_fn fn;
    void *fn_arg;
};

bdl__checkpoint_io bdl__trainer_io(const bdl__trainer *trainer);

#endif
