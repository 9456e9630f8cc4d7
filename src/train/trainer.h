/* SPDX-License-Identifier: Apache-2.0 */
/* The trainer's state, shared by the files that open it (trainer.c) and run it (loop.c). */
#ifndef BDL_TRAIN_TRAINER_H
#define BDL_TRAIN_TRAINER_H

#include <stdio.h>

#include "train/shares.h"
#include "train/train.h"

struct bdl__trainer {
    bdl__session session; /* its cancel is `stop` */
    bdl__cancel stop;     /* of this trainer alone; within the caller's */
    bdl__arena arena;
    bdl__train_params params; /* strings borrowed from the caller's params */
    bdl__precision precision;
    bdl__target target;

    bdl__train_sources sources;
    bdl__saved *saved;             /* owned unless it is sources.model */
    bdl__dataset *data, *val;      /* owned; views of the sources' */
    bdl__key key_sum;              /* of the rows of a program: over all ranks */
    bdl__chain *chain, *own_chain; /* own_chain is freed here; chain may be the saved model's */
    bdl__heads *heads;
    bdl__batcher *batcher;
    bdl__workspace *workspace;
    bdl__runner *runner;

    /* with other ranks; else NULL */
    bdl__ranks *ranks;
    bdl__shares *shares;
    int64_t *block_counts; /* [n ranks] blocks that each owns, in the arena */
    char fingerprint[65]; /* of the last run's end */
    bdl_status update_status; /* of what worker 0 said to the others */
    const bdl__bucket *bucket; /* that is being updated; NULL = none */
    int64_t n_updated; /* own buckets, from the last on, in this iteration; with clipping those are none until its end */
    void *undo[1 + BDL__MAX_OPTIM_STATES]; /* [own_count] weights and states from before this iteration's updates; NULL
                                            * until an iteration may be given up after some of them */
    bool keeps; /* in this iteration */

    bdl__optim *optim;
    bdl__schedule *schedule;
    bdl__clip clip;
    bdl__trigger *until; /* in the arena, or NULL */
    char condition[256]; /* what of `until` held */
    int64_t own_count; /* scalars that this rank updates: alone, all; else those of its buckets, one after the other */
    void *grads;       /* [own_count] */
    void *states[BDL__MAX_OPTIM_STATES]; /* [own_count] */
    bdl__param_range *ranges;            /* of what is owned, counted as it is; in the arena */
    int64_t n_ranges;
    double *square_sums; /* a block's each, with clipping by norm; with other ranks by owner */
    double *block_sums;  /* the same in the order of the blocks */

    const bdl__batch *held; /* of an iteration that a cancel has ended: the next begins with it */
    bdl__position position;
    int64_t steps; /* of an epoch */
    int64_t n_slices, n_shards; /* of a full batch */
    int64_t max_epochs, max_iterations;
    int64_t every; /* iterations between checkpoints, 0 = at the end of each epoch */
    const char *settings; /* JSON, see bdl__checkpoint_io */

    FILE *log_file;
    int log_errno; /* of the first failed write */
    bdl__summary *train_summary, *val_summary;

    /* of the current step */
    double rate;
    double loss; /* of the last step */
    bool is_time; /* params.seconds have passed */
    bool is_slow; /* the last iteration took long, or there was none; see BDL__RANKS_SLOW */
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
/* Takes over the checkpoint that the params name: a file, or the newest of a directory. BDL_ERR_NOT_FOUND if there
 * is none. */
bdl_status bdl__trainer_read(bdl__trainer *trainer, const bdl__checkpoint_io *io, const char **path);
/* Epochs are counted from 1, as wherever people read of them. */
void bdl__trainer_log_resume(const bdl__trainer *trainer, const char *path);
/* Tells the other ranks, if there are any, that this one has failed, and why. */
void bdl__trainer_abort(const bdl__trainer *trainer, bdl_status status);
/* SHA-256 over the model's vectors and these states. */
void bdl__trainer_hash(const bdl__trainer *trainer, void *const *states, char hex[65]);

/* ---- update.c ----------------------------------------------------------------------------------- */

/* Called by every worker with the gradients of the batch: updates the weights. A loss that is not finite leaves
 * them alone; the loop then stops. A failure is in update_status. */
void bdl__trainer_update(void *arg, const bdl__exec_worker *w);
/* Before an iteration with other ranks: makes ready for giving it up. */
bdl_status bdl__trainer_begin_update(bdl__trainer *trainer);
void bdl__trainer_forget_undo(bdl__trainer *trainer);
/* After an iteration that all ranks give up: all is as before it. */
bdl_status bdl__trainer_give_up(bdl__trainer *trainer);

/* ---- together.c: with other ranks ---------------------------------------------------------------- */

/* Before anything is opened: the ranks are of one build, and agree on a kernel target. */
bdl_status bdl__together_meet(bdl__trainer *trainer);
/* When model, data and method are open: all ranks do the same. */
bdl_status bdl__together_check(bdl__trainer *trainer);
/* Goes on from the newest checkpoint that any rank has found. */
bdl_status bdl__together_resume(bdl__trainer *trainer);
/* The method's states of all ranks on rank 0, in memory that bdl__together_forget frees; NULL on the others. */
bdl_status bdl__together_states(bdl__trainer *trainer, void *states[BDL__MAX_OPTIM_STATES]);
void bdl__together_forget(bdl__trainer *trainer, void *states[BDL__MAX_OPTIM_STATES]);
/* What follows a batch: buffers of ranks without samples follow those of the others. */
bdl_status bdl__together_follow(bdl__trainer *trainer);
/* The fingerprint, made by rank 0 for all. */
bdl_status bdl__together_fingerprint(bdl__trainer *trainer);

/* ---- division.c --------------------------------------------------------------------------------- */

/* Sets the batch, of n_samples at most, and its slices and shards. Fails where these are too few for what was asked for. */
bdl_status bdl__trainer_divide(bdl__trainer *trainer, int64_t n_samples);
/* Says how well the shards divide among ranks and threads, where somebody has chosen shards or ranks. */
void bdl__trainer_say_division(const bdl__trainer *trainer);

/* ---- deal.c ------------------------------------------------------------------------------------- */

/* Samples of a batch of a validation on n samples. */
int64_t bdl__trainer_val_batch(const bdl__trainer *trainer, int64_t n);
/* With other ranks: `*data`, the own rows of many, becomes those that this rank computes. The batch of training must
 * be set before that of a validation is known. */
bdl_status bdl__trainer_deal(bdl__trainer *trainer, bool is_val, bdl__dataset **data);

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
