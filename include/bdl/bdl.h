/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bdl.h: the public interface of libbdl.
 *
 * Conventions. Every fallible function returns a bdl_status, BDL_OK being 0, and gives its results
 * through its last parameters, which are written only on success. bdl_last_error() explains the
 * last failure on the calling thread. Objects are opaque; `..._free(NULL)` does nothing. Inputs are
 * borrowed unless a function's name says `take`. Only what is marked [nullable] may be NULL: elsewhere it is
 * BDL_ERR_INVALID_ARGUMENT, and the few functions that give no bdl_status do not check it. Structs of options start with `struct_size`,
 * which the caller sets to sizeof the struct; members that the shorter struct of an older header lacks are taken for zeros. Labels, indices and axes count from 0.
 */
#ifndef BDL_BDL_H
#define BDL_BDL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bdl/version.h>

#if defined(__GNUC__)
#define BDL_API __attribute__((visibility("default")))
#else
#define BDL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Result of a call: 0 or one of the codes below. @since 0.1 */
typedef int32_t bdl_status;

/* One line a code: name, number, short text. Numbers never change. */
#define BDL_STATUS_LIST(X)                                                                         \
    X(BDL_OK, 0, "success")                                                                        \
    X(BDL_ERR_INVALID_ARGUMENT, 1, "invalid argument")                                             \
    X(BDL_ERR_OUT_OF_MEMORY, 2, "out of memory")                                                   \
    X(BDL_ERR_IO, 3, "input or output failed")                                                     \
    X(BDL_ERR_FORMAT, 4, "malformed file or text")                                                 \
    X(BDL_ERR_NOT_FOUND, 5, "not found")                                                           \
    X(BDL_ERR_SHAPE, 6, "shapes do not fit")                                                       \
    X(BDL_ERR_UNSUPPORTED, 7, "not supported")                                                     \
    X(BDL_ERR_CANCELLED, 8, "cancelled")                                                           \
    X(BDL_ERR_NUMERIC, 9, "not a finite number")                                                   \
    X(BDL_ERR_FORKED, 10, "used in a forked child")                                                \
    X(BDL_ERR_STATE, 11, "called in the wrong state")                                              \
    X(BDL_ERR_INTERNAL, 12, "internal error")

enum {
#define BDL_STATUS_ENUM(name, number, text) name = number,
    BDL_STATUS_LIST(BDL_STATUS_ENUM)
#undef BDL_STATUS_ENUM
};

/** Element types of tensors and files. @since 0.1 */
typedef enum bdl_dtype {
    BDL_F32 = 0,
    BDL_F64 = 1,
    BDL_I32 = 2,
    BDL_I64 = 3,
    BDL_U8 = 4,
    BDL_BF16 = 5
} bdl_dtype;

/** Most axes that a tensor can have, the batch included. @since 0.1 */
#define BDL_MAX_RANK 8

/**
 * Memory functions of a context. `alloc` returns memory aligned to 64 bytes or NULL; `free` accepts
 * what `alloc` returned with the size that was asked for. Both may be called from any thread.
 * @since 0.1
 */
typedef struct bdl_allocator {
    size_t struct_size;
    void *(*alloc)(void *user, size_t size);
    void (*free)(void *user, void *memory, size_t size);
    void *user;
} bdl_allocator;

/** Text that explains the last failure on this thread: one line, never NULL. @since 0.1 */
BDL_API const char *bdl_last_error(void);

/** The short text of a status code, such as "out of memory". @since 0.1 */
BDL_API const char *bdl_status_text(bdl_status status);

/* ---- context ---------------------------------------------------------------------------------- */

/** Workers, memory functions and log of everything made from it. Any thread may use one. @since 0.1 */
typedef struct bdl_context bdl_context;

/** Receives log lines: level 0 error, 1 warning, 2 information, 3 debugging. @since 0.1 */
typedef void (*bdl_log_fn)(void *user, int level, const char *line);

/** How a context is made; zeros are good defaults. @since 0.1 */
typedef struct bdl_context_options {
    size_t struct_size;             /**< sizeof(bdl_context_options) */
    int32_t n_threads;              /**< workers; 0 = one for each processor this process may use */
    const bdl_allocator *allocator; /**< copied; NULL = the C library's */
    bdl_log_fn log;                 /**< NULL = lines on stderr */
    void *log_user;                 /**< passed to `log` */
    int32_t log_level;              /**< most detailed level passed on; 0 = errors only */
} bdl_context_options;

/**
 * Makes a context. `options` [in, nullable]. The kernel target is the processor's best, or the one that the
 * environment variable BDL_TARGET names (sse4, avx2, avx512, neon). Errors: BDL_ERR_INVALID_ARGUMENT,
 * BDL_ERR_OUT_OF_MEMORY. @since 0.1
 */
BDL_API bdl_status bdl_context_create(const bdl_context_options *options, bdl_context **context);

/** Ends the workers. Everything made from the context must be freed before. @since 0.1 */
BDL_API void bdl_context_free(bdl_context *context);

/** Makes long calls on this context end soon with BDL_ERR_CANCELLED. May be called from a signal handler
 *  and from any thread. @since 0.1 */
BDL_API void bdl_context_cancel(bdl_context *context);

/** Takes a cancel back, so that the context can be used again. @since 0.1 */
BDL_API void bdl_context_clear_cancel(bdl_context *context);

/** Number of workers. @since 0.1 */
BDL_API int32_t bdl_context_threads(const bdl_context *context);

/** Frees a text that a function of this library gave. NULL is fine. @since 0.1 */
BDL_API void bdl_text_free(char *text);

/** A model: a graph of layers and, once finished, its weights. Finished models may be shared by threads for
 *  reading. @since 0.1 */
typedef struct bdl_model bdl_model;

/* ---- options ----------------------------------------------------------------------------------- */

/** The options of train, eval, predict or inspect: names and defaults come from their field tables.
 *  One thread at a time. @since 0.1 */
typedef struct bdl_options bdl_options;

/** Makes the options of `verb`: "train", "eval", "predict", "inspect", "learn". @since 0.1 */
BDL_API bdl_status bdl_options_create(bdl_context *context, const char *verb,
                                      bdl_options **options);
/** Frees options. NULL is fine. @since 0.1 */
BDL_API void bdl_options_free(bdl_options *options);

/** Sets an option from text, as on the command line: ("batch", "128"), ("resume", "true"). Underscores
 *  and hyphens are the same. Setting one again replaces it. An unknown name is BDL_ERR_NOT_FOUND and the
 *  nearest is offered; a value that it does not take is BDL_ERR_INVALID_ARGUMENT. @since 0.1 */
BDL_API bdl_status bdl_options_set(bdl_options *options, const char *name, const char *value);

/** Whether all options are there that must be, those that another one needs among them: BDL_ERR_INVALID_ARGUMENT names
 *  the first that is not.
 *  @since 0.1 */
BDL_API bdl_status bdl_options_check(const bdl_options *options);

/** Whether the option is a switch that needs no value; false for unknown names. @since 0.1 */
BDL_API bool bdl_options_is_switch(const bdl_options *options, const char *name);

/** One line an option: name, type, default, meaning. Free with bdl_text_free. @since 0.1 */
BDL_API bdl_status bdl_options_help(const bdl_options *options, char **text);

/* ---- data ---------------------------------------------------------------------------------------- */

/** Rows of samples to train on, to evaluate or to predict. While rows are pushed, one thread at a time; then any
 *  thread may read. @since 0.1 */
typedef struct bdl_data bdl_data;

/** What each row has beside its values. @since 0.1 */
typedef enum bdl_label_kind {
    BDL_LABEL_NONE = 0,  /**< nothing: rows to predict, or whose target is the input itself */
    BDL_LABEL_CLASS = 1, /**< a class number from 0 */
    BDL_LABEL_FLOATS = 2 /**< values of `target_shape` */
} bdl_label_kind;

/** What rows look like and where they are kept; zeros are good defaults but for dtype and shape. All texts and
 *  arrays are copied. @since 0.1 */
typedef struct bdl_data_options {
    size_t struct_size;             /**< sizeof(bdl_data_options) */
    const char *name;               /**< for error texts and checkpoints; NULL = "data" */
    int32_t dtype;                  /**< of values: BDL_U8 or BDL_F32 */
    int32_t rank;                   /**< axes of a row, the batch axis apart */
    int64_t shape[BDL_MAX_RANK];    /**< of a row; of encoded images the number of channels: rank 1, [1] or [3] */
    bool is_encoded;                /**< rows are JPEG or PNG files; dtype is BDL_U8 */
    bool check_finite;              /**< refuse float rows with values that are not finite */
    int32_t label_kind;             /**< bdl_label_kind */
    int64_t n_classes;              /**< 0 = the largest label plus one */
    const char *const *class_names; /**< [n_classes], or NULL */
    int32_t target_rank;            /**< with BDL_LABEL_FLOATS */
    int64_t target_shape[BDL_MAX_RANK];
    const char *transform;       /**< preprocessing where the user of the data names none, such as
                                      "normalize(mean=[0.5], std=[0.25], divide=255)"; NULL = none */
    int64_t memory_limit;        /**< bytes of rows kept in memory; those beyond go to a file. 0 = half of the memory
                                      that the process may use (the machine's, or its control group's limit) */
    const char *spill_directory; /**< where that file is made, in a private directory, and unlinked at once: nothing
                                      is left however the process ends. NULL = TMPDIR, else /tmp; "" = no file
                                      may be made: rows beyond the limit are BDL_ERR_OUT_OF_MEMORY */
} bdl_data_options;

/** Sizes, and sums over the keys of rows, which tell whether two sets of rows are equal. @since 0.1 */
typedef struct bdl_data_stats {
    size_t struct_size;
    int64_t n_rows;
    int64_t n_classes;
    int64_t memory_size;  /**< bytes of pushed rows, labels and keys in memory */
    int64_t spilled_size; /**< bytes of pushed rows in the file */
    uint8_t key_xor[16];  /**< of all pushed rows' keys; zeros for other data */
    uint8_t key_sum[16];  /**< their sum modulo 2^128, as two 64-bit words (high, low), each little-endian */
} bdl_data_stats;

/** Starts a data set that rows are pushed into. @since 0.1 */
BDL_API bdl_status bdl_data_create(bdl_context *context, const bdl_data_options *options,
                                   bdl_data **data);

/** Adds `n` rows; everything is copied. `values` hold n rows one after another in row-major order. `labels`
 *  [nullable] are n class numbers, `targets` [nullable] n times the target's values; which of them is there says
 *  the options' label_kind. `keys` [nullable] are 16 bytes a row that name it wherever it lies, well mixed (a part of a
 *  SHA-256, say); without them a row's key is a hash of its content. The order of training follows from the keys
 *  alone: neither the order of pushes nor their sizes have a say.
 *
 *  A label that is no class number (not whole, negative, not-a-number, too large) is BDL_ERR_INVALID_ARGUMENT, a value
 *  that is not finite BDL_ERR_NUMERIC; the text has the row's number, counted over all pushes, and what was found. Then no
 *  row of this call is added. After BDL_ERR_IO (the disk is full) or BDL_ERR_OUT_OF_MEMORY the data can only be freed.
 *  @since 0.1 */
BDL_API bdl_status bdl_data_push(bdl_data *data, int64_t n, const void *values, const double *labels,
                                 const float *targets, const uint8_t *keys);

/** Adds `n` JPEG or PNG files, `sizes[i]` bytes at `files[i]`; the rest is as in bdl_data_push. Files are decoded when
 *  they are used: broken ones are left out and counted then. @since 0.1 */
BDL_API bdl_status bdl_data_push_encoded(bdl_data *data, int64_t n, const void *const *files,
                                         const int64_t *sizes, const double *labels,
                                         const float *targets, const uint8_t *keys);

/** Ends the pushes; the data can be used from now on. Data without rows are refused where they are used. Where more than
 *  half of the memory that the process may use is in a file, it is written anew in the order of keys, which takes as much
 *  room on the disk for that time; without it, rows are read as they came, and a warning is logged. BDL_ERR_CANCELLED
 *  leaves the rows as they are: call it again.
 *  @since 0.1 */
BDL_API bdl_status bdl_data_finish(bdl_data *data);

/** A finished data set over the caller's arrays, without a copy of `values` and `targets` [borrowed until free; so
 *  are `keys`]. Labels are copied. The arguments are those of bdl_data_push. @since 0.1 */
BDL_API bdl_status bdl_data_wrap(bdl_context *context, const bdl_data_options *options, int64_t n,
                                 const void *values, const double *labels, const float *targets,
                                 const uint8_t *keys, bdl_data **data);

/** Opens data by name, "mnist:DIR", as the command does. `part` is "train", "test" or "all", for sets that have
 *  parts and a text that names none. @since 0.1 */
BDL_API bdl_status bdl_data_open(bdl_context *context, const char *text, const char *part,
                                 bdl_data **data);

/** `stats->struct_size` is set by the caller. @since 0.1 */
BDL_API bdl_status bdl_data_get_stats(const bdl_data *data, bdl_data_stats *stats);

/** Shape of a sample as it is read, before any transform; of images the first one's. @since 0.1 */
BDL_API bdl_status bdl_data_shape(const bdl_data *data, int64_t shape[BDL_MAX_RANK], int32_t *rank);
/** Shape of a sample as a model gets it: after `transform`, as the option of that name is written, or (NULL) after the data's
 *  own. Errors: those of the option. @since 0.1 */
BDL_API bdl_status bdl_data_prepared_shape(const bdl_data *data, const char *transform, int64_t shape[BDL_MAX_RANK],
                                           int32_t *rank);
/** Reads the samples `first` .. `first` + `n` - 1 as they are before any transform: into `values` n times a sample's values
 *  (bytes become 0 .. 255), into `labels` [nullable] n class numbers. Samples of another shape than bdl_data_shape are
 *  BDL_ERR_SHAPE, labels of data without classes BDL_ERR_UNSUPPORTED. @since 0.1 */
BDL_API bdl_status bdl_data_read(const bdl_data *data, int64_t first, int64_t n, float *values,
                                 double *labels);

/** Frees data; trainers that use them must be freed before. NULL is fine. @since 0.1 */
BDL_API void bdl_data_free(bdl_data *data);

/* ---- groups ------------------------------------------------------------------------------------ */

/** The ranks (processes, on one host or many) that train one model together, as one of them sees it. The result
 *  is that of one process, to the last bit. @since 0.1 */
typedef struct bdl_group bdl_group;

/** How a rank joins; zeros are good defaults but for the first three. @since 0.1 */
typedef struct bdl_group_options {
    size_t struct_size; /**< sizeof(bdl_group_options) */
    int32_t rank;       /**< 0 .. n_ranks - 1 */
    int32_t n_ranks;
    const uint8_t *secret;    /**< 32 random bytes, the same on all ranks and known to nobody else; copied */
    const char *bind;         /**< address, host or network interface to listen on; NULL = 127.0.0.1 */
    int32_t first_port;       /**< ports to try, both ends included; 0, 0 = any */
    int32_t last_port;
    double connect_seconds;   /**< for all ranks to come; 0 = 60 */
    double wait_seconds;      /**< for any one wait in training; 0 = 600 */
    double silence_seconds;   /**< after which a rank that says nothing is taken for dead; 0 = 30 */
    bool encrypt;             /**< by TLS 1.3; BDL_ERR_UNSUPPORTED in builds without it */
} bdl_group_options;

/** Starts to listen for the other ranks. @since 0.1 */
BDL_API bdl_status bdl_group_create(bdl_context *context, const bdl_group_options *options,
                                    bdl_group **group);
/** Where this rank listens, such as "10.0.0.7:41234", for the others; "" with one rank. Lives as long as the group.
 *  @since 0.1 */
BDL_API const char *bdl_group_address(const bdl_group *group);
/** Connects to all: `addresses[rank]` is what bdl_group_address gave there. Then nothing listens any more. A rank
 *  that does not come in time, does not know the secret, or runs another version is an error. Ranks train with the
 *  best kernels that all of them have. A cancel of the context ends it. @since 0.1 */
BDL_API bdl_status bdl_group_connect(bdl_group *group, const char *const *addresses);
/** Ends the work of all ranks with this text as the cause. From any thread; does not wait. @since 0.1 */
BDL_API void bdl_group_abort(bdl_group *group, const char *cause);
/** Leaves the group; the trainers that use it must be freed before. NULL is fine. @since 0.1 */
BDL_API void bdl_group_free(bdl_group *group);

/** Makes trainers with these options (of "train") train together with the other ranks of a connected `group`
 *  [borrowed, nullable], which make trainers with the same options. Every rank makes the same calls on its trainer.
 *  Only rank 0 writes: `log`, `summary`, `save` and checkpoints, which are those of one process. A failure on one rank
 *  ends all, with its text. @since 0.1 */
BDL_API bdl_status bdl_options_set_group(bdl_options *options, bdl_group *group);

/* ---- training ---------------------------------------------------------------------------------- */

/** Kinds of events. @since 0.1 */
typedef enum bdl_event_kind {
    BDL_EVENT_START = 0,      /**< everything is open, nothing is trained yet */
    BDL_EVENT_STEP = 1,       /**< after an iteration */
    BDL_EVENT_VALIDATION = 2, /**< validation has run */
    BDL_EVENT_EPOCH = 3,      /**< an epoch and its validation have ended */
    BDL_EVENT_CHECKPOINT = 4, /**< a checkpoint was written to `path` */
    BDL_EVENT_END = 5,        /**< training has ended, for `reason` */
    BDL_EVENT_VALIDATING = 6  /**< within a validation, after a batch: `step` of `steps` samples are done */
} bdl_event_kind;

/** What happened in training. Valid during the call that gives it. @since 0.1 */
typedef struct bdl_event {
    size_t struct_size;
    int32_t kind;              /**< bdl_event_kind */
    int64_t epoch;             /**< whole epochs done */
    int64_t iteration;         /**< updates done */
    int64_t step;              /**< updates done in this epoch ... */
    int64_t steps;             /**< ... of so many */
    double loss;               /**< of the iteration; with EPOCH and END the mean of the last epoch */
    double rate;               /**< learning rate */
    double samples_per_second; /**< since training began, validation apart */
    double seconds;            /**< since training began */
    int32_t n_metrics;         /**< with validation data: its loss and metrics */
    const char *const *metric_names;
    const double *metrics; /**< not-a-number before the first validation */
    const char *path;
    const char *reason; /**< "epochs", "iterations", "until", "seconds", "cancelled" */
    int64_t epochs;     /**< the limit of epochs, or 0 */
    double seconds_left; /**< of training without validation: to its end where epochs or iterations limit it,
                              else to the end of the epoch; not-a-number before the first iteration */
    const char *condition; /**< with the reason "until": what of the condition held, "top1 >= 0.98"; else NULL */
    int64_t shards;        /**< parts of a full batch whose gradients are added in a tree: option `shards` */
} bdl_event;

typedef void (*bdl_event_fn)(void *user, const bdl_event *event);

/** Training of one model on one data set. One thread at a time. @since 0.1 */
typedef struct bdl_trainer bdl_trainer;

/** Opens model and data, and the newest good checkpoint if asked to resume. `options` [borrowed] are those
 *  of "train" and must outlive the trainer. @since 0.1 */
BDL_API bdl_status bdl_trainer_create(bdl_context *context, const bdl_options *options,
                                      bdl_trainer **trainer);
/** The same with objects instead of names. `model` [nullable, borrowed] is trained in place and gets the
 *  preprocessing and the class names of the data; `data` and `val` [nullable, borrowed] are finished. What is NULL
 *  comes from the options `model`, `data` and `val`, which must not be set for what is given. Model and data must
 *  outlive the trainer.
 *
 *  In a group, pushed and wrapped rows are those of this rank: any rows, none is fine too. The ranks exchange them
 *  here, so that each has the rows that it computes, and train what one process with all rows would. Then the trainer
 *  does not need `data` and `val` any more, and they can be freed. @since 0.1 */
BDL_API bdl_status bdl_trainer_create_on(bdl_context *context, const bdl_options *options,
                                         bdl_model *model, const bdl_data *data,
                                         const bdl_data *val, bdl_trainer **trainer);
/** Trains to the end and, with option `save`, saves the model. After a cancel a checkpoint is written (if
 *  checkpoints are on and this run has trained at least one iteration) and the status is BDL_ERR_CANCELLED. An iteration that
 *  has not updated anything is given up; in a group by all ranks, or, where iterations take less than a quarter of a second,
 *  by none. `fn` [nullable] is called on this thread. @since 0.1 */
BDL_API bdl_status bdl_trainer_run(bdl_trainer *trainer, bdl_event_fn fn, void *user);
/** Ends the run of this trainer, and of no other, as a cancel of its context would: see bdl_trainer_run. In a group
 *  one rank's stop ends the run on all; a rank that computes hears of it when it next exchanges sums with the others. A
 *  stop before bdl_trainer_run ends the run that follows; the end of a run takes it back, so that another call goes on where
 *  this one stopped. From any thread, from `fn`, and from a signal handler. NULL is fine. @since 0.1 */
BDL_API void bdl_trainer_stop(bdl_trainer *trainer);
/** Saves the model as it is now into a directory: model.json and weights.safetensors. @since 0.1 */
BDL_API bdl_status bdl_trainer_save(const bdl_trainer *trainer, const char *directory);
/** Writes a checkpoint of the trainer's state into `path`, which option `start` of another run can go on from. In a
 *  group every rank calls it, and rank 0 writes. @since 0.1 */
BDL_API bdl_status bdl_trainer_checkpoint(bdl_trainer *trainer, const char *path);
/** SHA-256 in hex (64 characters and a NUL) over weights, running buffers and the method's state: equal only
 *  for equal bits. In a group that of the end of the last run. @since 0.1 */
BDL_API void bdl_trainer_fingerprint(const bdl_trainer *trainer, char hex[65]);
/** Frees a trainer. NULL is fine. @since 0.1 */
BDL_API void bdl_trainer_free(bdl_trainer *trainer);

/* ---- evaluation, prediction, listings ------------------------------------------------------------ */

/** Evaluates a model; gives one line of JSON: {"n":10000,"loss":...,"top1":0.9912,...}. `options` are those
 *  of "eval". Free `json` with bdl_text_free. @since 0.1 */
BDL_API bdl_status bdl_evaluate(bdl_context *context, const bdl_options *options, char **json);

/** The same with objects instead of names: `model` [nullable] and `data` [nullable] instead of the options.
 *  @since 0.1 */
BDL_API bdl_status bdl_evaluate_on(bdl_context *context, const bdl_options *options,
                                   bdl_model *model, const bdl_data *data, char **json);

/** A sample's prediction. Valid during the call that gives it. @since 0.1 */
typedef struct bdl_prediction {
    size_t struct_size;
    int64_t row;          /**< its number in the data */
    const char *name;     /**< file name, or NULL */
    bool is_class;        /**< scores of classes: `order` and `scores` hold the best `n` */
    int32_t n;            /**< entries below */
    const int32_t *order; /**< classes, best first; NULL for numbers */
    const double *scores; /**< probabilities in that order; or the model's numbers */
    const char *const *class_names; /**< names in that order, or NULL */
} bdl_prediction;

/** Returns BDL_OK to go on. @since 0.1 */
typedef bdl_status (*bdl_prediction_fn)(void *user, const bdl_prediction *prediction);

/** Predicts every sample of the option `data`, or of `n_files` image files. `options` are those of
 *  "predict". @since 0.1 */
BDL_API bdl_status bdl_predict(bdl_context *context, const bdl_options *options,
                               const char *const *files, int64_t n_files, bdl_prediction_fn fn,
                               void *user);

/** The model's outputs for all rows of `data`, after the model's own preprocessing (the option `transform` names
 *  another), in the rows' order: n_rows times the element count of output 0, as float32. `options` [nullable] are
 *  those of "predict"; `model` and `data` are given here. Images that cannot be decoded get not-a-numbers and are
 *  counted in `n_broken` [nullable]. The model keeps plans and memory for the next call, so one thread at a time may
 *  predict with it. @since 0.1 */
BDL_API bdl_status bdl_predict_on(bdl_context *context, const bdl_options *options,
                                  bdl_model *model, const bdl_data *data, float *dst,
                                  int64_t *n_broken);

/** Describes a model: layers, shapes, weights; with option `plan` how it will be run. @since 0.1 */
BDL_API bdl_status bdl_inspect(bdl_context *context, const bdl_options *options, char **text);

/** Lists all layers, or describes one. `name` [nullable]. @since 0.1 */
BDL_API bdl_status bdl_layers_text(bdl_context *context, const char *name, char **text);

/** Everything that has a field table, as JSON: layers, methods, schedules, initializers, readers,
 *  transforms, models, options. Bindings and reference pages are made from it. @since 0.1 */
BDL_API bdl_status bdl_schema_json(bdl_context *context, char **json);

/** What this machine offers and what bdl makes of it: CPU, kernel target, oneDNN, threads, limits, library
 *  path, and advice. @since 0.1 */
BDL_API bdl_status bdl_doctor(bdl_context *context, bool as_json, char **text);

/** Measures a case, such as "lenet_train": gives a line of JSON {"case", "unit", "median", "p10", "p90",
 *  "peak_rss_mib"}; before it, for case "conv", a line for each kernel. @since 0.1 */
BDL_API bdl_status bdl_bench(bdl_context *context, const char *name, double seconds, char **json);
/** Names of the cases, a line each with what they measure. @since 0.1 */
BDL_API bdl_status bdl_bench_list(bdl_context *context, char **text);

/* ---- models ------------------------------------------------------------------------------------- */

/** Starts an empty model. `name` [nullable]. @since 0.1 */
BDL_API bdl_status bdl_model_create(bdl_context *context, const char *name, bdl_model **model);
/** Opens a ready-made model ("lenet(classes=10)"), a model.json (fresh weights) or a saved directory.
 *  @since 0.1 */
BDL_API bdl_status bdl_model_open(bdl_context *context, const char *text, uint64_t seed,
                                  bdl_model **model);
/** Makes a finished model with fresh weights from the text of a graph, as bdl_model_to_json gives it: {"inputs":
 *  [{"name", "shape"}], "nodes": [{"name", "type", "params", "inputs", "share", "frozen", ...}], "outputs": [...]}.
 *  A layer that shares the weights of an earlier one learns as that one: its own "frozen", "lr_scale" and "decay_scale"
 *  count for nothing. @since 0.1 */
BDL_API bdl_status bdl_model_parse(bdl_context *context, const char *json, uint64_t seed,
                                   bdl_model **model);
/** Adds an input of this shape, the batch axis apart. @since 0.1 */
BDL_API bdl_status bdl_model_add_input(bdl_model *model, const char *name, const int64_t *shape,
                                       int32_t rank);
/** Adds a layer. `params_json` [nullable] is an object of its parameters; `inputs` name layers or inputs
 *  ("split1:2" for output 2), and with `n_inputs` 0 it takes the layer before; `name` [nullable].
 *  @since 0.1 */
BDL_API bdl_status bdl_model_add(bdl_model *model, const char *type, const char *name,
                                 const char *params_json, const char *const *inputs,
                                 int64_t n_inputs);
/** Infers all shapes and makes the weights; the model cannot change any more. @since 0.1 */
BDL_API bdl_status bdl_model_finish(bdl_model *model, uint64_t seed);
/** The graph as JSON. @since 0.1 */
BDL_API bdl_status bdl_model_to_json(const bdl_model *model, char **json);
/** Saves a finished model into a directory: model.json and weights.safetensors. @since 0.1 */
BDL_API bdl_status bdl_model_save(const bdl_model *model, const char *directory);
/** Number of weight tensors; 0 before bdl_model_finish. @since 0.1 */
BDL_API int64_t bdl_model_n_params(const bdl_model *model);
/** Weight tensor `i`: its name, type, shape and values, all [borrowed] from the model.
 *  BDL_ERR_INVALID_ARGUMENT if there is no such tensor. @since 0.1 */
BDL_API bdl_status bdl_model_param(const bdl_model *model, int64_t i, const char **name,
                                   bdl_dtype *dtype, int64_t shape[BDL_MAX_RANK], int32_t *rank,
                                   void **data);
/** Sets the values of weight tensor `i` from row-major `data`, whose type and shape must be the tensor's.
 *  @since 0.1 */
BDL_API bdl_status bdl_model_set_param(bdl_model *model, int64_t i, bdl_dtype dtype,
                                       const int64_t *shape, int32_t rank, const void *data);
/** Number of running buffers, such as batch normalization's means; 0 before bdl_model_finish. @since 0.1 */
BDL_API int64_t bdl_model_n_buffers(const bdl_model *model);
/** Running buffer `i`, as bdl_model_param. @since 0.1 */
BDL_API bdl_status bdl_model_buffer(const bdl_model *model, int64_t i, const char **name,
                                    bdl_dtype *dtype, int64_t shape[BDL_MAX_RANK], int32_t *rank,
                                    void **data);
/** Sets a running buffer's values, as bdl_model_set_param. @since 0.1 */
BDL_API bdl_status bdl_model_set_buffer(bdl_model *model, int64_t i, bdl_dtype dtype,
                                        const int64_t *shape, int32_t rank, const void *data);
/** Must be called after values were written through a borrowed pointer of bdl_model_param: prepared copies of
 *  the weights are made anew. @since 0.1 */
BDL_API bdl_status bdl_model_touch(bdl_model *model);
/** Whether training changes the weights of the layer `name` (of all layers if NULL). Not while a trainer or
 *  learner of the model exists. @since 0.1 */
BDL_API bdl_status bdl_model_set_trainable(bdl_model *model, const char *name, bool is_trainable);
/** A finished model of its own with the same layers, values, preprocessing and class names. @since 0.1 */
BDL_API bdl_status bdl_model_clone(const bdl_model *model, bdl_model **clone);
/** Number of outputs; 0 before bdl_model_finish. @since 0.1 */
BDL_API int64_t bdl_model_n_outputs(const bdl_model *model);
/** Shape of a sample of output `i`. BDL_ERR_INVALID_ARGUMENT if there is no such output. @since 0.1 */
BDL_API bdl_status bdl_model_output_shape(const bdl_model *model, int64_t i,
                                          int64_t shape[BDL_MAX_RANK], int32_t *rank);
/** Lists a finished model's layers, shapes and weights. Free with bdl_text_free. @since 0.1 */
BDL_API bdl_status bdl_model_describe(const bdl_model *model, char **text);
/** Runs the model forward on `n` samples of row-major float32 values; `dst` takes n times the output's
 *  element count. Input 0 and output 0 only. A cancel of the context ends it. @since 0.1 */
BDL_API bdl_status bdl_model_forward(bdl_model *model, const float *src, int64_t n, float *dst);
/** Element counts of a sample of input 0 and of output 0. @since 0.1 */
BDL_API bdl_status bdl_model_sizes(const bdl_model *model, int64_t *src_count, int64_t *dst_count);
/** Frees a model. NULL is fine. @since 0.1 */
BDL_API void bdl_model_free(bdl_model *model);

/* ---- training by hand ---------------------------------------------------------------------------- */

/** Training of a model step by step: forward and backward or a loss, then a step. Gradients add up until they are
 *  cleared. One thread at a time. @since 0.1 */
typedef struct bdl_learner bdl_learner;

/** `options` are those of "learn" (optim, loss, clip, precision, seed). `model` [borrowed] is finished, has one input
 *  and float32 weights, and must outlive the learner. @since 0.1 */
BDL_API bdl_status bdl_learner_create(bdl_context *context, const bdl_options *options,
                                      bdl_model *model, bdl_learner **learner);
/** Runs `n` row-major samples forward as in training (dropout drops, batch normalization uses the batch's statistics
 *  and updates its running ones) into `dst`, n times the output's values. Batches of one size reuse their plan.
 *  @since 0.1 */
BDL_API bdl_status bdl_learner_forward(bdl_learner *learner, int64_t n, const float *src, float *dst);
/** After bdl_learner_forward, once: adds the gradients that belong to `diff_dst`, the gradient of a loss by that
 *  output. `diff_src` [nullable] gets the gradient by the input. It computes the forward pass again, with the same
 *  random numbers. @since 0.1 */
BDL_API bdl_status bdl_learner_backward(bdl_learner *learner, const float *diff_dst, float *diff_src);
/** The mean loss of `n` samples by the criterion of the options, and adds its gradients. Either `labels`, n class
 *  numbers, or `targets`, n times the output's values, is given. A loss that is not finite is BDL_ERR_NUMERIC, and
 *  leaves gradients and running buffers as they were. @since 0.1 */
BDL_API bdl_status bdl_learner_loss(bdl_learner *learner, int64_t n, const float *src,
                                    const double *labels, const float *targets, double *loss);
/** Updates the weights by the gradients so far. `rate` is the learning rate; 0 = that of the option `optim`, below
 *  it or not finite = BDL_ERR_INVALID_ARGUMENT. @since 0.1 */
BDL_API bdl_status bdl_learner_step(bdl_learner *learner, double rate);
/** Sets all gradients to zero. @since 0.1 */
BDL_API bdl_status bdl_learner_zero_grad(bdl_learner *learner);
/** The gradient of weight tensor `i` [borrowed]: row-major, as long as the learner lives. It may be changed before
 *  a step. @since 0.1 */
BDL_API bdl_status bdl_learner_grad(const bdl_learner *learner, int64_t i, float **grad);
/** Frees a learner; the model stays as it was trained. NULL is fine. @since 0.1 */
BDL_API void bdl_learner_free(bdl_learner *learner);

/** Version as text, "0.1.0". @since 0.1 */
BDL_API const char *bdl_version(void);

#ifdef __cplusplus
}
#endif

#include <bdl/tensor.h>

#endif
