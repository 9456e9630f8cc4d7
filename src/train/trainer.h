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

    bdl__train_sources sources;
    bdl__saved *saved;             /* owned unless it is sources.model */
    bdl__dataset *data, *val;      /* owned; views of the sources' */
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
    int log_errno; /* of the first failed write */
    bdl__summary *train_summary, *val_summary;

    /* of the current step */
    double rate;
    double loss; /* of the last step */
    bdl__optim_step step;
    /* of the run */
    double start, validating; /* seconds */
    int64_t first_iteration;
    int64_t n_samples;
    int64_t validated; /* the iteration that `values` belong to, -1 before */
    double values[BDL__MAX_HEADS]; /* of the last validation; NaN before */
    double mean_loss;              /* of the last epoch; NaN before */
    int64_t results_key;           /* which results `values` are, see bdl__position */
    bdl__event_fn fn;
    void *fn_arg;
};

bdl__checkpoint_io bdl__trainer_io(const bdl__trainer *trainer);

/* ---- outputs.c ---------------------------------------------------------------------------------- */

/* Fails if a place that the run will write to cannot be written, or holds another run's checkpoints. */
bdl_status bdl__trainer_try_outputs(bdl__trainer *trainer);
bdl_status bdl__trainer_open_reports(bdl__trainer *trainer);
/* Fails if a line of the log could not be written. */
bdl_status bdl__trainer_check_log(const bdl__trainer *trainer);

/* ---- fit.c -------------------------------------------------------------------------------------- */

/* Whether the text names a ready-made model; then its parameters are checked. */
bdl_status bdl__fit_check(bdl__arena *arena, const char *text, bool *is_ready_made);
/* The text of a ready-made model with `classes`, `outputs` and `shape`, where it takes them and the user has
 * not written them, from the data and the shape of a prepared sample. In the arena. */
bdl_status bdl__fit_text(bdl__arena *arena, const char *text, const bdl__dataset *data,
                         const bdl__shape *shape, const char **fitted);

#endif
