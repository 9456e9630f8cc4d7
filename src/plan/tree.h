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
/* The shard that slice i is in; n_shards for i = n_slices. */
int64_t bdl__shard_of(int64_t i_slice, int64_t n_shards, int64_t n_slices);

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
    const double *rows; /* of the slices from first_slice on, stride doubles apart */
    int64_t stride;
    int64_t n_slices; /* of the whole batch */
    int64_t first_slice;
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
