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

/* How many shards a batch has where nobody says: one a slice, at most BDL__MAX_SHARDS. */
int64_t bdl__n_shards(int64_t n_slices);
/* The slices of a full batch in one of its n_shards <= n_slices shards, which are even runs. */
void bdl__shard_slices(int64_t i_shard, int64_t n_shards, int64_t n_slices, int64_t *begin,
                       int64_t *end);

/* The shards of a step. Where slices of the full batch have no samples, a shard is what is left of its run, and shards
 * of which nothing is left do not count. */
typedef struct bdl__shards {
    int64_t n;             /* of the whole step ... */
    int64_t first, end;    /* ... and those of this rank */
    const int64_t *bounds; /* [end - first + 1]: shard first + k has slices [bounds[k], bounds[k + 1]) of the step */
} bdl__shards;

/* Cuts slices of a step into the shards of a full batch of n_slices: those with the places `places` (NULL: from 0 on)
 * in the full batch, n_here of them, numbered from `first` on in the step. Fills bounds (NULL = not wanted) and gives
 * how many shards there are, at most BDL__MIN(n_here, n_shards). */
int64_t bdl__shards_cut(int64_t n_shards, int64_t n_slices, const int64_t *places, int64_t n_here,
                        int64_t first, int64_t *bounds);
/* The shard that a slice of the step is in, which is one of this rank. */
int64_t bdl__shards_find(const bdl__shards *shards, int64_t i_slice);
static inline void bdl__shards_slices(const bdl__shards *shards, int64_t i_shard, int64_t *begin,
                                      int64_t *end)
{
    *begin = shards->bounds[i_shard - shards->first];
    *end = shards->bounds[i_shard - shards->first + 1];
}

/* Where a run keeps node (level, i): at most one node of each (level, parity) is waiting at a time. */
static inline int bdl__tree_place(int level, int64_t i) { return 2 * level + (int)(i & 1); }

/* Whether node (level, i) of a run that starts at leaf `first` is added to its left sibling now. */
static inline bool bdl__tree_merges(int64_t first, int level, int64_t i)
{
    return (i & 1) && ((i - 1) << level) >= first;
}

/* Numbers the places that a run [first, end) uses: slot[place] = 0, 1 ... or -1; returns how many. */
int bdl__tree_slots(int64_t first, int64_t end, int8_t slot[BDL__TREE_PLACES]);

typedef struct bdl__tree_node {
    int level;
    int64_t i;
} bdl__tree_node;

/* The root of a tree of n leaves. */
bdl__tree_node bdl__tree_root(int64_t n_leaves);
/* The maximal nodes of a run of leaves, from left to right; returns how many. */
int bdl__tree_nodes(int64_t first, int64_t end, bdl__tree_node nodes[BDL__TREE_PLACES]);

/* Small vectors of doubles: a leaf is the merge, in order, of the rows of its shard. */
typedef struct bdl__tree_sum {
    const double *rows; /* of this rank's slices, stride doubles apart */
    int64_t stride;
    const bdl__shards *shards;
    int64_t n_parts_slice; /* rows of a slice */
    bdl__merge_fn merge;
} bdl__tree_sum;
/* The sum of a node, whose leaves all have rows, elements [begin, end) of `totals`. */
void bdl__tree_sum_node(const bdl__tree_sum *sum, bdl__tree_node node, int64_t begin, int64_t end,
                        double *totals);

/* Merges the sums of the nodes that together make a whole tree, from left to right: values[k * stride]
 * begins the sum of nodes[k]. Elements [begin, end); the result replaces that of node 0. */
void bdl__tree_finish(const bdl__tree_node *nodes, int64_t n_nodes, double *values, int64_t stride,
                      bdl__merge_fn merge, int64_t begin, int64_t end);

#endif
