/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows find their rank: each rank has pushed any rows, and gets those of the shards that it owns. All rows together
 * are sorted by key; rank r gets positions [cuts[r], cuts[r + 1]). So the result does not depend on who pushed what.
 */
#ifndef BDL_TRAIN_EXCHANGE_H
#define BDL_TRAIN_EXCHANGE_H

#include "data/data.h"
#include "dist/dist.h"

/* What is known of the rows of all ranks. */
typedef struct bdl__exchange_info {
    int64_t n;
    int64_t n_classes;
    bdl__key key_sum; /* of all rows' keys */
    bdl__shape shape; /* of images the first one's of the first rank that has one */
} bdl__exchange_info;

/* Called by all ranks, as all functions here. `rows` is finished and may be empty. Ranks whose rows are not alike
 * (type, shape, kind of labels) are refused. */
bdl_status bdl__exchange_meet(const bdl_allocator *allocator, bdl__group *group,
                              const bdl__dataset *rows, bdl__exchange_info *info);
/* cuts [ranks + 1] rise from 0 to info->n and are the same on all ranks. Memory stays within the limit of `rows`. A
 * failure aborts the group. */
bdl_status bdl__exchange_rows(const bdl_allocator *allocator, bdl__group *group,
                              const bdl__dataset *rows, const bdl__exchange_info *info,
                              const int64_t *cuts, bdl__dataset **sorted);

#endif
