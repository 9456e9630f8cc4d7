/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pushed rows are kept as: one record a row, [values][targets] or [encoded file][targets].
 *
 * Floats that are whole numbers from 0 to 255, as the pixels of images mostly are, are kept as bytes: a quarter of the
 * memory, and faster to read. That goes on until the first row that has another value; it and all later ones are kept
 * as floats.
 */
#ifndef BDL_DATA_RECORDS_H
#define BDL_DATA_RECORDS_H

#include "data/data.h"

typedef struct bdl__records bdl__records;

typedef struct bdl__records_options {
    size_t values_size;    /* bytes of a row's values; 0 = encoded files, whose sizes differ */
    size_t targets_size;   /* bytes of a row's targets, floats; may be 0 */
    bdl__element element;  /* of the values */
    int64_t memory_limit;  /* bytes of records in memory, >= 0 */
    const char *directory; /* borrowed; for the file with the others */
} bdl__records_options;

bdl_status bdl__records_create(const bdl_allocator *allocator, const bdl__records_options *options,
                               bdl__records **records);
void bdl__records_free(bdl__records *records); /* NULL ok */

/* Adds a row. `size` is that of the values (the values_size, where there is one). After a failure the records can
 * only be freed. */
bdl_status bdl__records_append(bdl__records *records, const void *values, size_t size,
                               const void *targets);
/* Adds a record that bdl__records_read gave, here or on another rank. BDL_ERR_FORMAT where none can have its size. */
bdl_status bdl__records_append_record(bdl__records *records, const void *bytes, size_t size);
/* After the last row, before the first read. */
bdl_status bdl__records_seal(bdl__records *records);

typedef struct bdl__record {
    const void *bytes; /* in the records' memory or in the reader's buffer */
    size_t size;
    size_t values_size; /* the rest of `bytes` are targets, from targets_begin on */
    size_t targets_begin;
} bdl__record;

/* Puts what is in files in the order of these n records, as bdl__store_sort says. */
bdl_status bdl__records_sort(bdl__records *records, const uint32_t *order, int64_t n,
                             const bdl__cancel *cancel);

bool bdl__records_is_packed(const bdl__records *records, int64_t i); /* record i: floats kept as bytes */
/* Record i as it is kept. Any number of threads, each with its own buffer. */
bdl_status bdl__records_read(const bdl__records *records, int64_t i, bdl__buffer *buffer,
                             bdl__record *record);
/* Makes a packed record [floats][targets], in `buffer`, which must not be where it lies. */
bdl_status bdl__records_unpack(const bdl__records *records, bdl__buffer *buffer, bdl__record *record);

bool bdl__records_are_packed(const bdl__records *records); /* all of them, so far */
int64_t bdl__records_memory(const bdl__records *records);  /* bytes allocated */
int64_t bdl__records_spilled(const bdl__records *records); /* bytes in files */

#endif
