/* SPDX-License-Identifier: Apache-2.0 */
/* What pushed rows (pushed.c) and wrapped arrays (wrapped.c) share: checks, labels, descriptions. */
#ifndef BDL_DATA_ROWS_H
#define BDL_DATA_ROWS_H

#include "data/data_private.h"

enum { BDL__MOST_CLASSES = 1000000 };

/* A data set as the options describe it, still without reader and rows. */
bdl_status bdl__rows_describe(const bdl_allocator *allocator, const bdl__log *log,
                              const bdl__rows_options *options, bdl__dataset **dataset);

/* Fails unless all rows can be taken: what must be there is, labels are classes, targets (and where asked, values) are
 * finite. `first` is the number of the first row, for the text. */
bdl_status bdl__rows_check(const bdl__dataset *dataset, const bdl__rows_options *options,
                           bdl__pool *pool, int64_t first, const bdl__rows *rows);

/* The largest class among n labels that were checked. */
int64_t bdl__rows_largest(const double *labels, int64_t n);

/* Keys from bytes: eight of the high word, then eight of the low one, little-endian. */
bdl__key bdl__key_from_bytes(const uint8_t bytes[16]);

#endif
