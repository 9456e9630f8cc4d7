/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data: readers give samples by number, a chain of transforms prepares them, and the batcher writes
 * batches straight into sample lanes on background threads.
 *
 *     dataset (reader, u8 or f32 rows) -> chain (scale, normalize, crop ...) -> batcher -> lanes
 *
 * A data set is named by a text `name[:source][(params)]`: "digits", "mnist:/data/mnist",
 * "csv:iris.csv(label=species)", "npy:x.npy,y.npy", "synthetic(shape=[3,32,32], classes=10)". A
 * chain is a text of transforms, "pad(4), crop(32, at=random), flip, normalize(mean=[0.5], std=[0.25],
 * divide=255)", or the JSON made from it, which saved models carry. Readers and transforms are
 * constant descriptors with field tables, found by CMake from lines BDL_READER(...) and
 * BDL_TRANSFORM(...).
 */
#ifndef BDL_DATA_DATA_H
#define BDL_DATA_DATA_H

#include "base/cancel.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/thread.h"
#include "schema/schema.h"
#include "tensor/shape.h"

enum {
    BDL__SLICE_ROWS = 16,  /* samples of a slice; a batch is cut into slices */
    BDL__CHUNK_ROWS = 4096 /* neighbours by key that an epoch's permutation keeps together */
};

/* ---- samples -------------------------------------------------------------------------------- */

typedef enum bdl__element { BDL__ELEMENT_U8, BDL__ELEMENT_F32 } bdl__element;

typedef enum bdl__label_kind {
    BDL__LABEL_NONE,  /* nothing is known of the samples: data to predict */
    BDL__LABEL_CLASS, /* a number in [0, n_classes) */
    BDL__LABEL_FLOATS /* values of target_shape */
} bdl__label_kind;

/* A growing buffer; zero-initialised is ready. */
typedef struct bdl__buffer {
    const bdl_allocator *allocator; /* borrowed; set before the first use */
    void *data;                     /* owned */
    size_t size;
} bdl__buffer;

/* Makes room for `size` bytes; the content is undefined afterwards. */
bdl_status bdl__buffer_need(bdl__buffer *buffer, size_t size);
void bdl__buffer_free(bdl__buffer *buffer);

/* One sample: values in row-major order, images as planes (c, h, w). Used by one thread at a
 * time. */
typedef struct bdl__sample {
    bdl__element element;
    bdl__shape shape;
    const void *data;    /* borrowed: in the data set's memory, or in `buffer` */
    bdl__buffer buffer;  /* owned */
    bdl__buffer scratch; /* owned: for whoever makes the sample */
    int32_t label;       /* with BDL__LABEL_CLASS */
    const float *target; /* with BDL__LABEL_FLOATS; borrowed from the data set */
    bool takes_packed;   /* set by the user: values of a packed data set may be bytes, see bdl__dataset */
} bdl__sample;

void bdl__sample_init(bdl__sample *sample, const bdl_allocator *allocator);
void bdl__sample_free(bdl__sample *sample);

/* ---- readers and data sets ------------------------------------------------------------------ */

typedef enum bdl__data_part { BDL__PART_TRAIN, BDL__PART_TEST, BDL__PART_ALL } bdl__data_part;

struct bdl__reader;

typedef struct bdl__dataset {
    const struct bdl__reader *reader;
    const bdl_allocator *allocator; /* borrowed */
    const bdl__log *log;            /* borrowed, may be NULL */
    bdl__arena arena;               /* owned: names, paths, params */
    const char *text;               /* what the user wrote, for error texts */
    bdl__data_part part;
    const char *default_transform; /* a chain used when the user gives none; "" = none */

    int64_t n;
    bdl__shape shape; /* of a sample as read; of images the first one's */
    bdl__element element;
    bool is_fixed_shape; /* false: images may differ in size */
    bool is_packed;      /* floats, all of which are whole numbers from 0 to 255 and can be had as bytes */
    bdl__label_kind label_kind;
    int64_t n_classes;              /* with BDL__LABEL_CLASS */
    const char *const *class_names; /* [n_classes], or NULL where classes have numbers only */
    bdl__shape target_shape;        /* with BDL__LABEL_FLOATS */

    const int32_t *class_map; /* NULL, or what labels become: see bdl__dataset_map_classes */
    bool is_view;             /* the reader's state belongs to another data set */
    bool is_part;             /* of several ranks each has rows of its own, to be exchanged among them */
    bool is_sorted;           /* rows are numbered by rising key, over all ranks; only those of */
    int64_t first_row, end_row; /* [first_row, end_row) are here */
    void *state;              /* the reader's own, from the arena or freed by its close */
} bdl__dataset;

typedef struct bdl__open_args {
    bdl__pool *pool;    /* used while opening, for data that are generated; may be NULL */
    const char *source; /* the text after the colon, or NULL */
    const void *params;
} bdl__open_args;

typedef struct bdl__reader {
    const char *name;
    const char *source; /* what follows the colon: "DIR"; NULL where nothing does */
    bool needs_source;
    const char *summary; /* a line */
    const char *doc;     /* files, shapes, parts, defaults */
    bdl__schema schema;
    /* Fills what describes the data: n, shape, element, labels, default_transform, state. */
    bdl_status (*open)(bdl__dataset *dataset, const bdl__open_args *args);
    /* Sample i; any number of threads, each with a sample of its own. */
    bdl_status (*read)(const bdl__dataset *dataset, int64_t i, bdl__sample *sample);
    /* A name for row i that does not depend on its place; NULL = bdl__row_key of the sample. */
    bdl__key (*key)(const bdl__dataset *dataset, int64_t i);
    /* Where sample i comes from ("cat/0001.jpg"), for reports and predictions; NULL = its
     * number. */
    const char *(*name_of)(const bdl__dataset *dataset, int64_t i);
    void (*close)(bdl__dataset *dataset); /* NULL = the arena is all */
} bdl__reader;

#define BDL_READER(name, descriptor)                                                               \
    extern const bdl__reader *const bdl__reader_##name;                                            \
    const bdl__reader *const bdl__reader_##name = (descriptor)

/* All readers, sorted by name. */
int64_t bdl__readers_count(void);
const bdl__reader *bdl__reader_at(int64_t i);
/* Errors offer the nearest name. */
bdl_status bdl__reader_find(const char *name, const bdl__reader **reader);

/* Opens `text`. `part` is the part to read unless the text names one: train reads the training
 * part, eval the test part. `pool` and `log` may be NULL. */
bdl_status bdl__dataset_open(const bdl_allocator *allocator, const bdl__log *log, bdl__pool *pool,
                             const char *text, bdl__data_part part, bdl__dataset **dataset);
/* Image files by their paths, without labels: what `predict DIR FILES...` reads. `channels` is 1 or
 * 3. */
bdl_status bdl__dataset_open_images(const bdl_allocator *allocator, const bdl__log *log,
                                    const char *const *paths, int64_t n_paths, int64_t channels,
                                    bdl__dataset **dataset);
/* Whether there are samples, of shapes that can be. */
bdl_status bdl__dataset_check(const bdl__dataset *dataset);
/* The same samples in a data set of its own, whose labels can be mapped; `dataset` must outlive it. */
bdl_status bdl__dataset_view(const bdl__dataset *dataset, bdl__dataset **view);
void bdl__dataset_free(bdl__dataset *dataset); /* NULL ok */

/* Makes labels those of a model whose classes have these names: a class of the data set becomes the
 * model's class of the same name. An error if one is missing there. Nothing happens where either
 * has no names. */
bdl_status bdl__dataset_map_classes(bdl__dataset *dataset, const char *const *names, int64_t n);

/* Errors name the data set and the row. */
bdl_status bdl__dataset_read(const bdl__dataset *dataset, int64_t i, bdl__sample *sample);
/* The row's key (architecture 7); `sample` is scratch. */
bdl_status bdl__dataset_key(const bdl__dataset *dataset, int64_t i, bdl__sample *sample,
                            bdl__key *key);
/* The row's name, or NULL where it has only its number. */
const char *bdl__dataset_name_of(const bdl__dataset *dataset, int64_t i);

/* sum += key, modulo 2^128. */
static inline void bdl__key_add(bdl__key *sum, bdl__key key)
{
    sum->low += key.low;
    sum->high += key.high + (sum->low < key.low ? 1 : 0);
}

/* The sum of the keys of all rows that are here: what tells data apart, in whatever order they came. */
bdl_status bdl__dataset_sum_keys(const bdl_allocator *allocator, const bdl__dataset *dataset,
                                 bdl__pool *pool, bdl__key *sum);

/* The canonical key of a row: a hash of its values as little-endian float32, then of its label or
 * of each target value as little-endian float64. */
bdl_status bdl__row_key(const bdl__dataset *dataset, const bdl__sample *sample,
                        bdl__buffer *scratch, bdl__key *key);

/* ---- rows of the caller --------------------------------------------------------------------- */

/* Data sets whose rows come from a program: pushed and kept in a store, or used where they are. */
typedef struct bdl__rows_options {
    const char *name; /* for error texts; NULL = "data" */
    bdl__shape shape; /* of a row; of encoded images the number of channels, {1} or {3} */
    bdl__element element;
    bool is_encoded; /* rows are JPEG or PNG files */
    bool check_finite; /* refuse rows with values that are not finite */
    bdl__label_kind label_kind;
    int64_t n_classes;              /* 0 = the largest label plus one */
    const char *const *class_names; /* [n_classes], copied, or NULL */
    bdl__shape target_shape;
    const char *transform;       /* the chain used when the user gives none; NULL = none */
    int64_t memory_limit;        /* bytes of rows in memory; 0 = half of what the process may use */
    const char *spill_directory; /* NULL = the environment's TMPDIR, else /tmp; "" = no file may be made */
} bdl__rows_options;

/* n rows to push. Encoded rows have `files` and `sizes`, others `values`, one row after another. */
typedef struct bdl__rows {
    int64_t n;
    const void *values;
    const void *const *files;
    const int64_t *sizes;
    const double *labels; /* [n] with BDL__LABEL_CLASS */
    const float *targets; /* [n] times the target's count, with BDL__LABEL_FLOATS */
    const uint8_t *keys;  /* [n][16] names of the rows that do not depend on their place; NULL = by content */
} bdl__rows;

typedef struct bdl__rows_stats {
    int64_t n, n_classes;
    int64_t memory_size, spilled_size; /* bytes */
    bdl__key key_xor, key_sum;         /* over all rows */
} bdl__rows_stats;

/* A data set to push rows into; it can be read once finished. `log` may be NULL. */
bdl_status bdl__rows_create(const bdl_allocator *allocator, const bdl__log *log,
                            const bdl__rows_options *options, bdl__dataset **dataset);
/* Labels and values are checked first: a push that refuses a row adds none. After other failures the data set can
 * only be freed. `pool` may be NULL. */
bdl_status bdl__rows_push(bdl__dataset *dataset, bdl__pool *pool, const bdl__rows *rows);
/* Where at least so many bytes of rows are in a file, puts them in the order of their keys, which is that of reading but
 * for chunks of neighbours. A file that cannot be written anew stays as it is, and a warning says so. To be called
 * before bdl__rows_finish. */
bdl_status bdl__rows_sort(bdl__dataset *dataset, int64_t least, const bdl__cancel *cancel);
bdl_status bdl__rows_finish(bdl__dataset *dataset);
bool bdl__rows_is_finished(const bdl__dataset *dataset);
bdl_status bdl__rows_get_stats(const bdl__dataset *dataset, bdl__rows_stats *stats);

/* What a row is kept as, to be carried to another rank: its key, label, and record (in `buffer` or in the data set's
 * memory). */
typedef struct bdl__row_record {
    bdl__key key;
    int32_t label;
    const void *bytes;
    size_t size;
} bdl__row_record;

bdl_status bdl__rows_record(const bdl__dataset *dataset, int64_t i, bdl__sample *sample,
                            bdl__row_record *record);

/* An empty data set for rows such as those of `dataset`, to be filled with records. It keeps in memory what
 * `dataset` leaves of its limit. */
bdl_status bdl__rows_create_like(const bdl__dataset *dataset, bdl__dataset **like);
bdl_status bdl__rows_add_record(bdl__dataset *dataset, const bdl__row_record *record);
/* Ends a data set of records: they are the rows [first, first + their number) of n in the order of keys. `n_classes`
 * and `shape` are those of the rows of all ranks. */
bdl_status bdl__rows_finish_sorted(bdl__dataset *dataset, int64_t n, int64_t first,
                                   int64_t n_classes, const bdl__shape *shape);

/* A finished data set over arrays that the caller keeps until it is freed; labels are copied. */
bdl_status bdl__rows_wrap(const bdl_allocator *allocator, const bdl__log *log,
                          const bdl__rows_options *options, const bdl__rows *rows,
                          bdl__dataset **dataset);

/* ---- transforms ----------------------------------------------------------------------------- */

enum {
    BDL__TRANSFORM_POINTWISE = 1, /* a value's result depends on it and its channel only; the same of a byte and of a
                                     float */
    BDL__TRANSFORM_RANDOM = 2,    /* draws random numbers in training */
    BDL__TRANSFORM_IMAGE = 4      /* needs (channels, height, width) */
};

struct bdl__transform;

/* A transform with its parameters, in a chain. Immutable once planned. */
typedef struct bdl__transform_step {
    const struct bdl__transform *transform;
    const void *params;
    bdl__arena *arena; /* of the chain, for what plan makes */
    void *state;       /* made by plan */
} bdl__transform_step;

typedef struct bdl__transform {
    const char *name;
    const char *summary;
    const char *doc;
    bdl__schema schema;
    unsigned flags;
    /* Checks params beyond their ranges, reads files. NULL = nothing to do. */
    bdl_status (*plan)(bdl__transform_step *step);
    /* Shape and element of the result, from those of the input. NULL = the same. */
    bdl_status (*infer)(const bdl__transform_step *step, bdl__shape *shape, bdl__element *element);
    /* dst has shape, element and memory as infer said. `rng` is NULL in evaluation. */
    bdl_status (*apply)(const bdl__transform_step *step, const bdl__sample *src, bdl__sample *dst,
                        bdl__rng *rng);
} bdl__transform;

#define BDL_TRANSFORM(name, descriptor)                                                            \
    extern const bdl__transform *const bdl__transform_##name;                                      \
    const bdl__transform *const bdl__transform_##name = (descriptor)

/* All transforms, sorted by name. */
int64_t bdl__transforms_count(void);
const bdl__transform *bdl__transform_at(int64_t i);
/* Errors offer the nearest name. */
bdl_status bdl__transform_find(const char *name, const bdl__transform **transform);

/* A chain of transforms; after the last one values are floats, bytes being taken as 0 .. 255. */
typedef struct bdl__chain bdl__chain;

/* "" or NULL is the empty chain, and so is a chain that is NULL. */
bdl_status bdl__chain_from_text(const bdl_allocator *allocator, const char *text,
                                bdl__chain **chain);
/* An array of objects {"type": "crop", "params": {...}}; `where` is for error texts. */
bdl_status bdl__chain_from_json(const bdl_allocator *allocator, const bdl__json *array,
                                const char *where, bdl__chain **chain);
void bdl__chain_to_json(const bdl__chain *chain, bdl__json_writer *writer);
void bdl__chain_to_text(const bdl__chain *chain, bdl__text *out);
void bdl__chain_free(bdl__chain *chain); /* NULL ok */
int64_t bdl__chain_size(const bdl__chain *chain);

/* The shape after the chain, for samples of this shape and element. */
bdl_status bdl__chain_infer(const bdl__chain *chain, const bdl__shape *shape, bdl__element element,
                            bdl__shape *result);

/* Two samples that a chain uses in turn; one for each thread. */
typedef struct bdl__chain_scratch {
    bdl__sample sample[2];
} bdl__chain_scratch;

void bdl__chain_scratch_init(bdl__chain_scratch *scratch, const bdl_allocator *allocator);
void bdl__chain_scratch_free(bdl__chain_scratch *scratch);

/* Runs the chain on `src`; the result is floats, in `src` or in the scratch. `rng` NULL =
 * evaluation. */
bdl_status bdl__chain_apply(const bdl__chain *chain, const bdl__sample *src,
                            bdl__chain_scratch *scratch, bdl__rng *rng, const bdl__sample **result);

/* ---- batches -------------------------------------------------------------------------------- */

typedef struct bdl__batch_options {
    int64_t batch;    /* samples a step, >= 1 */
    int lanes;        /* samples in a real: 16, 8, 4 or 1 */
    size_t real_size; /* bytes of a real: 4 * lanes, or 8 (f64) */
    bool is_training; /* random transforms draw; rows are ordered by key and shuffled */
    bool no_shuffle;  /* in training: the order by key, the same in every epoch */
    bool by_key;      /* not in training: the order by key all the same */
    uint64_t seed;
    int64_t n_epochs;    /* in all, counted from epoch 0; 0 = without end */
    int64_t first_epoch; /* with first_step the place where a resumed run goes on */
    int64_t first_step;
    int64_t first_slice; /* with n_slices the slices of a full batch that are wanted here, the rest being */
    int64_t n_slices;    /* elsewhere; n_slices 0 = all */
    int n_threads;      /* background threads; 0 = all work happens in bdl__batcher_next */
    int n_slots;        /* batches that are prepared ahead, 2 .. 8; 0 = 3 */
    double most_broken; /* share of the rows whose files may be broken and are left out */
    const bdl__cancel *cancel; /* asked = bdl__batcher_next fails with BDL_ERR_CANCELLED; may be NULL */
} bdl__batch_options;

/* A batch in lanes. Slice s has parts s * 16 / lanes ... ; part p begins at input + p *
 * input_stride. Lanes that a slice lacks repeat its first sample. */
typedef struct bdl__batch {
    int64_t epoch; /* from 0 */
    int64_t step;  /* within the epoch, from 0 */
    bool is_last;  /* of its epoch */
    int64_t n_samples;
    int64_t whole_samples; /* of the whole batch, slices elsewhere and broken files included */
    int64_t n_slices;      /* 0 only where the rest of the batch is elsewhere */
    const int32_t *valid; /* [n_slices] samples of each slice, 1 .. 16 */
    const int64_t *rows;  /* [n_slices * 16] numbers of the samples; -1 for lanes that repeat */
    const int64_t *places; /* [n_slices] numbers of the slices in a full batch, rising; NULL: 0, 1 ... */
    const void *input;    /* parts of `elements` reals, in the sample's row-major order */
    int64_t input_stride; /* bytes from part to part */
    const void *target;   /* parts of one int32 a lane, of reals, or NULL */
    int64_t target_stride;
} bdl__batch;

typedef struct bdl__batcher bdl__batcher;

/* `dataset` and `chain` are borrowed and must outlive the batcher. `pool` (may be NULL) is used
 * only here, to compute the rows' keys. */
bdl_status bdl__batcher_create(const bdl_allocator *allocator, const bdl__dataset *dataset,
                               const bdl__chain *chain, bdl__pool *pool,
                               const bdl__batch_options *options, bdl__batcher **batcher);
void bdl__batcher_free(bdl__batcher *batcher); /* stops its threads; NULL ok */

/* Shape of a sample in the batches (after the chain). */
const bdl__shape *bdl__batcher_shape(const bdl__batcher *batcher);
int64_t bdl__batcher_steps(const bdl__batcher *batcher); /* of an epoch: ceil(n / batch) */
/* How many of slices [begin, end) of a full batch have rows in a step. Files that turn out to be broken can make it
 * less: see bdl__batcher_may_lack. */
int64_t bdl__batcher_count_slices(const bdl__batcher *batcher, int64_t step, int64_t begin, int64_t end);
/* Whether slices may come out empty because all of their files are broken. */
bool bdl__batcher_may_lack(const bdl__batcher *batcher);
/* The next batch in order, or NULL after the last epoch. It stays valid until it is given back; up
 * to n_slots - 1 may be held. */
bdl_status bdl__batcher_next(bdl__batcher *batcher, const bdl__batch **batch);
void bdl__batcher_release(bdl__batcher *batcher, const bdl__batch *batch);
/* Rows left out so far because their files are broken. */
int64_t bdl__batcher_n_broken(const bdl__batcher *batcher);
/* Seconds that bdl__batcher_next has waited for data, in all. */
double bdl__batcher_waited(const bdl__batcher *batcher);

/* ---- the order of rows ---------------------------------------------------------------------- */

/*
 * Rows sorted by key and cut into ceil(batch / 16) slices at exact quantiles: slice s owns the
 * sorted rows from floor(n Q_s / B) to floor(n Q_{s+1} / B), where Q_s = min(16 s, B). Then every
 * step before the last takes min(16, B - 16 s) rows of each slice, and the last takes what is left.
 */
typedef struct bdl__order bdl__order;

bdl_status bdl__order_create(const bdl_allocator *allocator, const bdl__dataset *dataset,
                             bdl__pool *pool, int64_t batch, bdl__order **order);
/* The same from keys that the caller has (n of them, borrowed for the call). */
bdl_status bdl__order_from_keys(const bdl_allocator *allocator, const bdl__key *keys, int64_t n,
                                int64_t batch, bdl__order **order);
void bdl__order_free(bdl__order *order);
int64_t bdl__order_steps(const bdl__order *order);
int64_t bdl__order_slices(const bdl__order *order);
/* Permutes the rows within their slices, in two levels (chunks, then rows of a chunk), by random numbers of (seed,
 * epoch, slice). */
void bdl__order_shuffle(bdl__order *order, uint64_t seed, int64_t epoch);
/* Rows of slice s in step t: gives how many (0 .. 16), in `rows`. */
int bdl__order_rows(const bdl__order *order, int64_t step, int64_t slice,
                    int64_t rows[BDL__SLICE_ROWS]);
int64_t bdl__order_count(const bdl__order *order, int64_t step, int64_t slice);
const bdl__key *bdl__order_key(const bdl__order *order, int64_t row);
/* The first sorted row of a slice; for the number of slices it is n. */
int64_t bdl__slice_begin(int64_t n, int64_t batch, int64_t slice);

/* Rows sorted by key, stable: sorted[0 .. n) are their numbers. `scratch` has n elements. */
bdl_status bdl__sort_keys(const bdl_allocator *allocator, const bdl__key *keys, int64_t n,
                          uint32_t *sorted, uint32_t *scratch);

/* ---- images --------------------------------------------------------------------------------- */

/*
 * Decodes a JPEG or PNG into planes (channels, h, w) of bytes, channels 1 or 3. Grey, RGB, CMYK and
 * YCCK JPEGs; PNGs of any color type and depth, 16 bits cut to 8, transparency blended on white.
 * Images above 64 megapixels are refused. `where` is for error texts. BDL_ERR_FORMAT for broken
 * images, BDL_ERR_UNSUPPORTED in a build without images.
 */
bdl_status bdl__image_decode(const void *bytes, size_t size, int64_t channels, const char *where,
                             bdl__sample *sample);
/* Width, height and whether it has colors, from the header alone. */
bdl_status bdl__image_info(const void *bytes, size_t size, const char *where, int64_t *width,
                           int64_t *height, int *n_channels);

/* ---- arrays --------------------------------------------------------------------------------- */

/* A NumPy file (.npy 1.0 - 3.0; C order; u1 i4 i8 f4 f8, little-endian), mapped. */
typedef struct bdl__npy {
    bdl__map map; /* owned */
    bdl__shape shape;
    bdl_dtype dtype;
    const void *data; /* in the map */
} bdl__npy;

bdl_status bdl__npy_open(const char *path, bdl__npy *npy);
void bdl__npy_close(bdl__npy *npy);

#endif
