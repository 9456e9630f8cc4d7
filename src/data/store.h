/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store of rows, each a run of bytes: the first ones stay in memory, up to a limit, the others go to a file that has
 * no name any more, so that nothing is left behind however the process ends.
 */
#ifndef BDL_DATA_STORE_H
#define BDL_DATA_STORE_H

#include "data/data.h"

typedef struct bdl__store bdl__store;

typedef struct bdl__store_options {
    size_t row_size;       /* bytes of each row; 0 = sizes differ */
    int64_t memory_limit;  /* bytes of rows in memory, >= 0 */
    const char *directory; /* copied; where the file is made, in a private directory of its own */
} bdl__store_options;

bdl_status bdl__store_create(const bdl_allocator *allocator, const bdl__store_options *options,
                             bdl__store **store);
void bdl__store_free(bdl__store *store); /* NULL ok; the file's space is free then */

/* Adds a row of `size` bytes (the row_size, where there is one). After a failure the store can only be freed. */
bdl_status bdl__store_append(bdl__store *store, const void *row, size_t size);
/* After the last row, before the first read: what is still in the write buffer goes to the file. */
bdl_status bdl__store_seal(bdl__store *store);
/* After the last row: writes the file anew so that rows which are neighbours in `order` lie together, in runs of run_rows.
 * `order` are n numbers of rows of which this store has those from `first` on. It takes the file's size of the disk once
 * more and 8 KiB of memory a run for as long as it lasts, and 4 bytes a row from then on. Nothing happens where rows are
 * of any size or larger than 8 KiB: each is several pages of its own anyway. After a failure the store is as before;
 * `cancel` may be NULL. */
bdl_status bdl__store_sort(bdl__store *store, const uint32_t *order, int64_t n, int64_t first,
                           int64_t run_rows, const bdl__cancel *cancel);

/* Row i: in the store's memory, or read into `buffer`. Any number of threads, each with its own buffer. */
bdl_status bdl__store_read(const bdl__store *store, int64_t i, bdl__buffer *buffer,
                           const void **row, size_t *size);

int64_t bdl__store_count(const bdl__store *store);
int64_t bdl__store_memory(const bdl__store *store);  /* bytes allocated */
int64_t bdl__store_spilled(const bdl__store *store); /* bytes in the file */

#endif
