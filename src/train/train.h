/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training, evaluation and prediction on one machine. Options are params structs with field tables, which
 * the command line, the help texts and the bindings read. What happens is reported as events.
 */
#ifndef BDL_TRAIN_TRAIN_H
#define BDL_TRAIN_TRAIN_H

#include "base/cancel.h"
#include "base/log.h"
#include "optim/optim.h"
#include "optim/schedule.h"
#include "train/runner.h"
#include "train/trigger.h"

/* What training, evaluation and prediction share with their caller. Everything is borrowed. */
typedef struct bdl__session {
    const bdl_allocator *allocator;
    const bdl__log *log;
    bdl__pool *pool;
    bdl__target target;          /* the kernel target for float32 */
    const bdl__cancel *cancel;   /* asked for by Ctrl-C and the like */
    bdl__group *group;           /* connected; NULL = alone */
    bdl__ranks *ranks;           /* the trainer's own, made from the group */
} bdl__session;

/* ---- saved models (saved.c) ----------------------------------------------------------------- */

/* A model with what is needed to use it: a directory with model.json and weights.safetensors. */
typedef struct bdl__saved {
    const bdl_allocator *allocator;
    bdl__model *model;        /* owned */
    bdl__chain *chain;        /* owned: the preprocessing; may be NULL */
    bdl__arena arena;
    const char *transform;    /* the chain as text, in the arena */
    const char *const *class_names; /* [n_classes] in the arena, or NULL */
    int64_t n_classes;
    const char *loss;         /* text of the criterion it was trained with, or NULL */
} bdl__saved;

bdl_status bdl__saved_write(const bdl__saved *saved, const char *directory);
/* Checks everything (shapes, sizes, checksum of the weights). */
bdl_status bdl__saved_read(const bdl_allocator *allocator, const char *directory,
                           bdl__saved **saved);
void bdl__saved_free(bdl__saved *saved); /* NULL ok */

/* A model by what the user wrote: a directory, a .json file (fresh weights), or a zoo name with
 * parameters. */
bdl_status bdl__saved_open(const bdl_allocator *allocator, const char *text, uint64_t seed,
                           bdl_dtype dtype, bdl__saved **saved);

/* A model with fresh weights from the text of a .json file: a graph, or a saved model's model.json. */
bdl_status bdl__saved_parse(const bdl_allocator *allocator, const char *text, size_t size,
                            const char *where, uint64_t seed, bdl_dtype dtype, bdl__saved **saved);

/* A model of its own with the same values. */
bdl_status bdl__saved_clone(const bdl__saved *saved, bdl__saved **clone);

/* ---- heads (heads.c) -------------------------------------------------------------------------- */

/* The criterion and the metrics of a run, with their params. */
#define BDL__MAX_HEADS 16

typedef struct bdl__heads {
    bdl__arena arena;
    int n; /* head 0 is the criterion */
    bdl__head head[BDL__MAX_HEADS];
    const char *name[BDL__MAX_HEADS]; /* "loss", "top1", ... */
    bdl__shape target_shape;
    bool target_integer;
    bool target_is_input;
} bdl__heads;

/* `loss` "" = by the last layer and the labels: nll after log_softmax, else cross_entropy for classes, mse
 * for floats. `metrics` "" = top1 and top5 (with more than five classes), or mae. `target` is "label" or
 * "input". */
bdl_status bdl__heads_create(const bdl_allocator *allocator, const bdl__model *model,
                             const bdl__dataset *dataset, const char *loss, const char *metrics,
                             const char *target, bdl__heads **heads);
void bdl__heads_free(bdl__heads *heads); /* NULL ok */
/* Whether the heads can measure other data: labels of the same kind, and no more classes than outputs. */
bdl_status bdl__heads_check(const bdl__heads *heads, const bdl__model *model,
                            const bdl__dataset *dataset);

/* ---- training ---------------------------------------------------------------------------------- */

/* What gradients and weights are while they travel between ranks. */
typedef enum bdl__wire_format { BDL__WIRE_FP32, BDL__WIRE_BF16 } bdl__wire_format;

typedef struct bdl__train_params {
    const char *model, *data, *val;
    int64_t batch, shards, epochs, iterations, seed, keep;
    const char *optim, *schedule, *loss, *metrics, *precision, *transform, *clip, *until, *target;
    const char *checkpoint, *every, *save, *log, *summary;
    const char *start;
    bool resume;
    double seconds;
    int64_t bucket;
    bdl__choice wire; /* a bdl__wire_format */
    double most_broken;
    int64_t readers;
} bdl__train_params;

extern const bdl__schema bdl__train_schema;

typedef enum bdl__event_kind {
    BDL__EVENT_START,      /* everything is open; nothing is trained yet */
    BDL__EVENT_STEP,       /* after an iteration; the receiver limits the rate of printing */
    BDL__EVENT_VALIDATION, /* validation has run */
    BDL__EVENT_EPOCH,      /* an epoch has ended, after its validation */
    BDL__EVENT_CHECKPOINT, /* one was written: `path` */
    BDL__EVENT_END,
    BDL__EVENT_VALIDATING  /* within a validation: so many samples, `step`, of `steps` are done */
} bdl__event_kind;

typedef struct bdl__event {
    bdl__event_kind kind;
    int64_t epoch;            /* whole epochs done */
    int64_t iteration;        /* updates done */
    int64_t step, steps;      /* within the epoch */
    double loss;              /* of the iteration; mean of the epoch with EPOCH; validation's */
    double rate;              /* learning rate */
    double samples_per_second; /* since training began, validation apart */
    double seconds;           /* since training began */
    double seconds_left;      /* of training proper, to its end where epochs or iterations limit it, else to
                               * the epoch's end; NaN before the first iteration */
    int64_t epochs;           /* the limit, or 0 */
    int n_metrics;            /* with VALIDATION, EPOCH and END, when there is validation */
    const char *const *metric_names;
    const double *metrics;
    const char *path;
    const char *reason;       /* with END: "epochs", "iterations", "until", "seconds", "cancelled" */
    const char *condition;    /* with the reason "until": what of it held */
    int64_t shards;           /* of a full batch */
} bdl__event;

typedef void (*bdl__event_fn)(void *arg, const bdl__event *event);

typedef struct bdl__trainer bdl__trainer;

/* What a trainer uses instead of what its params name. All borrowed; NULL = by name. */
typedef struct bdl__train_sources {
    bdl__saved *model; /* trained in place; gets the preprocessing and the classes of the data */
    const bdl__dataset *data, *val;
} bdl__train_sources;

/* Opens data and model, resumes from a checkpoint if asked to. `sources` may be NULL. */
bdl_status bdl__trainer_create(const bdl__session *session, const bdl__train_params *params,
                               const bdl__train_sources *sources, bdl__trainer **trainer);
/* Trains to the end. BDL_ERR_CANCELLED after a cancel, a checkpoint having been written if anything was trained. An
 * iteration whose update has not begun is given up, with other ranks by all of them; there, one of less than a quarter of a
 * second is finished instead. */
bdl_status bdl__trainer_run(bdl__trainer *trainer, bdl__event_fn fn, void *arg);
/* A cancel of this trainer alone, from any thread: of the run that is, or else of the next. The run's end takes it back. */
void bdl__trainer_stop(bdl__trainer *trainer);
void bdl__trainer_free(bdl__trainer *trainer); /* NULL ok */
/* Whether this rank writes what the run leaves behind: rank 0 of a group, or a trainer that is alone. */
bool bdl__trainer_is_writer(const bdl__trainer *trainer);
/* Writes a checkpoint file; every rank of a group calls it. */
bdl_status bdl__trainer_checkpoint(bdl__trainer *trainer, const char *path);
/* The model with its preprocessing, for saving; belongs to the trainer. */
const bdl__saved *bdl__trainer_saved(const bdl__trainer *trainer);
/* SHA-256 (hex) over weights, buffers and optimizer state: equal only for equal bits. */
void bdl__trainer_fingerprint(const bdl__trainer *trainer, char hex[65]);

/* What the update treats differently, from the graph's weights; in the arena (ranges.c). */
bdl_status bdl__train_ranges(bdl__arena *arena, const bdl__graph *graph, bdl__param_range **ranges,
                             int64_t *n_ranges);

/* ---- evaluation and prediction ------------------------------------------------------------------ */

/* What is measured, and how. Everything is borrowed. */
typedef struct bdl__evaluation {
    const bdl__dataset *dataset;
    const bdl__chain *chain;
    const bdl__heads *heads;
    bdl__precision precision;
    int64_t batch;
    double most_broken; /* share of image files that may be broken: they are left out with a warning */
    void (*on_batch)(void *arg, int64_t n_done); /* after a batch: samples so far, those of all ranks; may be NULL */
    void *arg;
} bdl__evaluation;

/* Means over a data set: values[i] belongs to heads->name[i]. */
bdl_status bdl__evaluate(const bdl__session *session, const bdl__saved *saved,
                         const bdl__evaluation *how, double *values, int64_t *n_samples);

/* What predictions of one model can use again: plans and memory. Zero-initialised is ready; one thread at a time. */
typedef struct bdl__predictor {
    bdl__workspace *workspace;
    bdl__runner *runner;
    bdl__precision precision;
    int64_t batch;
    bool few_samples;
} bdl__predictor;

void bdl__predictor_free(bdl__predictor *predictor);

/* Outputs of the model, sample by sample in order: output 0 as `n_values` doubles. Image files that cannot be
 * read are left out with a warning and counted; all others are predicted. */
typedef bdl_status (*bdl__prediction_fn)(void *arg, int64_t row, const double *values,
                                         int64_t n_values);
bdl_status bdl__predict(const bdl__session *session, const bdl__saved *saved,
                        const bdl__dataset *dataset, const bdl__chain *chain,
                        bdl__precision precision, int64_t batch, bdl__predictor *predictor,
                        bdl__prediction_fn fn, void *arg, int64_t *n_broken);

/* "fp32", "fp32_exact", "bf16", "f64". */
bdl_status bdl__precision_from_name(const char *name, bdl__precision *precision);
/* The same, but fp32 instead of bf16, with a warning, where the processor does not multiply bf16. */
bdl_status bdl__precision_choose(const bdl__log *log, const char *name, bdl__precision *precision);

/* ---- checkpoints (checkpoint.c) ---------------------------------------------------------------- */

/* What a checkpoint holds beside the vectors. */
typedef struct bdl__position {
    int64_t epoch, step;  /* the next step to train */
    int64_t iteration;    /* updates done */
    double epoch_loss, epoch_divisor; /* sums so far in this epoch, or in the last if validation_due */
    bool validation_due; /* step is 0, and what follows an epoch has not been done */
    /* What stop conditions see between epochs: the last epoch's mean loss, then the validation's values.
     * None before the first epoch has ended. `results_key` is a hash of data and metrics they belong to. */
    int64_t n_results, results_key;
    double results[1 + BDL__MAX_HEADS];
} bdl__position;

typedef struct bdl__checkpoint_io {
    const bdl_allocator *allocator;
    bdl__model *model;
    const bdl__optim *optim;
    void *const *states; /* [n_states] flat vectors */
    bdl__schedule *schedule;
    const char *settings; /* JSON text of what must not differ in mid-epoch: batch, data, seed, target */
    bdl__target target;
} bdl__checkpoint_io;

/* Writes DIR/step-<iteration>.bdlckpt, then removes all but the newest `keep`. `path` in the arena.
 * BDL_ERR_STATE if DIR holds one of a later iteration, which must be another run's. */
bdl_status bdl__checkpoint_write(const bdl__checkpoint_io *io, const bdl__position *position,
                                 const char *directory, int64_t keep, bdl__arena *arena,
                                 const char **path);
/* Reads the newest good checkpoint in DIR; damaged ones are named in warnings and renamed to
 * "<name>.damaged". BDL_ERR_NOT_FOUND if there is none at all, BDL_ERR_FORMAT if all are damaged. Settings
 * that differ are refused in mid-epoch, and logged at an epoch's end. */
bdl_status bdl__checkpoint_read(const bdl__checkpoint_io *io, const bdl__log *log,
                                const char *directory, bdl__position *position, bdl__arena *arena,
                                const char **path);

/* Fails with BDL_ERR_STATE if DIR holds checkpoints: a new run must not mix with an older one. */
bdl_status bdl__checkpoint_check_new(const bdl_allocator *allocator, const char *directory);

/* ---- TensorBoard event files (summary.c) -------------------------------------------------------- */

typedef struct bdl__summary bdl__summary;

/* Creates DIR/<part>/bdl.tfevents.<seconds>.<host>. */
bdl_status bdl__summary_create(const bdl_allocator *allocator, const char *directory,
                               const char *part, bdl__summary **summary);
bdl_status bdl__summary_scalar(bdl__summary *summary, const char *tag, int64_t step, double value);
bdl_status bdl__summary_flush(bdl__summary *summary);
void bdl__summary_free(bdl__summary *summary); /* NULL ok */

#endif
