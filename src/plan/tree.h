/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed binary tree in which sums over a batch are formed. Node (level, i) covers the leaves
 * [i << level, (i + 1) << level) that exist; its sum is left + right, or left where there is no right.
 * So the tree depends on the number of leaves alone. Whoever owns a run of neighbouring leaves adds up
 * every node that lies in the run as soon as both children are there, and keeps the maximal ones.
 */
#ifndef BDL_PLAN_TREE_H
#define BDL_PLAN_TREE_H

#include "layers/layer.h"

#define BDL__MAX_SHARDS 1024
#define BDL__TREE_LEVELS 11 /* 2^10 leaves */
#define BDL__TREE_PLACES (2 * BDL__TREE_LEVELS)

/* Shards of a batch: one a slice up to BDL__MAX_SHARDS, then even runs of slices. */
int64_t bdl__n_shards(int64_t n_slices);
void bdl__shard_slices(int64_t i_shard, int64_t n_shards, int64_t n_slices, int64_t *begin,
                       int64_t *end);

/* Where a run keeps node (level, i): at most one node of each (level, parity) is waiting at a time. */
static inline int bdl__tree_place(int level, int64_t i) { return 2 * level + (int)(i & 1); }

/* Whether node (level, i) of a run that starts at leaf `first` is added to its left sibling now. */
static inline bool bdl__tree_merges(int64_t first, int level, int64_t i)
{
    return (i & 1) && ((i - 1) << level) >= first;
}

/* Numbers the places that a run [first, end) uses: slot[place] = 0, 1 ... or -1; returns how many. */
int bdl__tree_slots(int64_t first, int64_t end, int8_t slot[BDL__TREE_PLACES]);

/* The tree over `n_leaves` vectors of doubles, elements [begin, end): leaf l is the merge, in order, of
 * rows [l * n_leaf_rows ...) of `rows` (stride doubles apart). n_rows rows in all; leaves are the
 * batch's shards. `merge` takes whole multiples of `grain` elements. */
typedef struct bdl__tree_sum {
    const double *rows;
    int64_t stride;
    int64_t n_slices;
    int64_t n_parts_slice; /* rows of a slice */
    bdl__merge_fn merge;
} bdl__tree_sum;
void bdl__tree_sum_range(const bdl__tree_sum *sum, int64_t begin, int64_t end, double *totals);

#endif
