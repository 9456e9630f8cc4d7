/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of src/data share with each other, with its tests and with its fuzzers. */
#ifndef BDL_DATA_DATA_PRIVATE_H
#define BDL_DATA_DATA_PRIVATE_H

#include "data/data.h"

/* ---- readers ---- */

/* A data set without a reader yet; `text` is what error texts call it. */
bdl_status bdl__dataset_create(const bdl_allocator *allocator, const bdl__log *log,
                               const char *text, bdl__data_part part, bdl__dataset **dataset);

/* The choices of a reader's field `part`: "auto" takes what the caller of bdl__dataset_open asked
 * for. */
extern const char *const bdl__part_choices[];
bdl__data_part bdl__part_of(bdl__choice choice, bdl__data_part asked);

/* "zero" ... "nine" are not what people call digits: class names "0" to "9" for ten classes. */
extern const char *const bdl__digit_names[10];

/* A range over a pool, or on this thread where there is none. */
bdl_status bdl__data_parallel(bdl__pool *pool, int64_t n, int64_t grain, bdl__range_fn fn,
                              void *arg);

/* ---- formats, from bytes; `where` is the file's name for error texts ---- */

/* IDX, MNIST's format: magic 0 0 type rank, then the dimensions as big-endian 32-bit numbers. */
typedef struct bdl__idx {
    bdl__shape shape;
    const uint8_t *data; /* in the bytes that were parsed */
} bdl__idx;

/* Unsigned bytes of the given rank. */
bdl_status bdl__idx_parse(const uint8_t *bytes, size_t size, int32_t rank, const char *where,
                          bdl__idx *idx);

enum { BDL__CIFAR10_RECORD = 3073 }; /* a label, then 3 x 32 x 32 values */

/* Checks a CIFAR-10 file's size and labels; gives the number of records. */
bdl_status bdl__cifar10_check(const uint8_t *bytes, size_t size, const char *where, int64_t *n);

/* Parses a .npy header; npy->data points into `bytes`. */
bdl_status bdl__npy_parse(const uint8_t *bytes, size_t size, const char *where, bdl__npy *npy);
/* Value i as a float64. */
double bdl__npy_value(const bdl__npy *npy, int64_t i);
/* `count` values from `first` on, as float32. */
void bdl__npy_floats(const bdl__npy *npy, int64_t first, int64_t count, float *values);

/* ---- chains, in two halves ---- */

/* Runs steps [begin, end) on `src`; bytes stay bytes. */
bdl_status bdl__chain_run(const bdl__chain *chain, int64_t begin, int64_t end,
                          const bdl__sample *src, bdl__chain_scratch *scratch, bdl__rng *rng,
                          const bdl__sample **result);

bool bdl__chain_is_pointwise(const bdl__chain *chain);

/* What a chain does to samples of one shape: after `n_prefix` steps the values are `element`s of
 * `shape`; if those are bytes, all further steps are pointwise and `tables` says what they do: 256
 * floats for each of n_channels equal runs of the elements. */
typedef struct bdl__chain_plan {
    int64_t n_prefix;
    bdl__shape shape;
    bdl__element element;
    int64_t n_channels;
    float *tables; /* owned, or NULL */
    const bdl_allocator *allocator;
    bool is_random;
} bdl__chain_plan;

bdl_status bdl__chain_plan_create(const bdl_allocator *allocator, const bdl__chain *chain,
                                  const bdl__shape *shape, bdl__element element,
                                  bdl__chain_plan *plan);
void bdl__chain_plan_free(bdl__chain_plan *plan);

/* Channels that pointwise transforms tell apart: entries of the first axis, or 1 where those are
 * more than a parameter list can hold. */
int64_t bdl__channels_of(const bdl__shape *shape);

/* ---- lanes ---- */

/* Sixteen rows of n values to the 16 / lanes parts of a slice, dst + part * stride. */
typedef struct bdl__lanes {
    int lanes;
    bool is_f64;
    int64_t n;      /* values of a row */
    int64_t stride; /* bytes from part to part */
} bdl__lanes;

/* tables as in bdl__chain_plan */
void bdl__lanes_from_u8(const bdl__lanes *lanes, const uint8_t *const rows[BDL__SLICE_ROWS],
                        const float *tables, int64_t n_channels, void *dst);
void bdl__lanes_from_f32(const bdl__lanes *lanes, const float *const rows[BDL__SLICE_ROWS],
                         void *dst);

#endif
