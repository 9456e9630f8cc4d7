/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What exec needs from the ranks that have the rest of a batch: a table of functions, filled by whoever
 * knows them (train). A rank sums the maximal nodes of the tree that lie in its run of shards. The nodes of
 * small vectors (losses, moments) go to every rank, and each finishes the tree for itself; those of the
 * gradients lie in `partials` and go to the rank that owns the range of weights, which finishes theirs.
 */
#ifndef BDL_EXEC_REDUCE_H
#define BDL_EXEC_REDUCE_H

#include "plan/tree.h"

/* Called by worker 0 only, which is the thread that called bdl__exec_run. */
typedef struct bdl__reduce {
    void *arg;
    int rank, n_ranks;
    /* Of the batch: the nodes of all ranks in the order of the ranks, node_counts[r] of each; those of this
     * rank begin at own_node. */
    const bdl__tree_node *nodes;
    const int64_t *node_counts;
    int64_t n_nodes, own_node;
    void *partials; /* gradients of this rank's nodes: weights_count scalars each */
    /* Gives every rank everybody's doubles, in the order of the ranks: counts[rank] of them are in their
     * place in `values` already. A failure ends the run. */
    bdl_status (*exchange)(void *arg, const int64_t *counts, double *values);
    /* At the end of a run with a cancel: *is_cancelled is whether this rank has left calls out, and becomes whether any
     * has heard of a cancel. So all ranks give a run up, or none does. */
    bdl_status (*agree)(void *arg, bool *is_cancelled);
    /* Scalars [begin, end) of all partials are complete, and nothing reads these weights any more in this run. */
    void (*ready)(void *arg, int64_t begin, int64_t end);
} bdl__reduce;

/* Scalars that bdl__nodes_sum takes at once at most. */
#define BDL__NODES_CHUNK 1024

/* The gradients of one node. */
typedef struct bdl__node_grads {
    bdl__tree_node node;
    bool is_bf16;     /* as it travels between ranks; else floats or doubles */
    const void *data;
} bdl__node_grads;

/* dst = the sum of `node` of a tree of n_leaves, formed in the order of the tree from the nodes below it,
 * `count` scalars from `offset` on. */
void bdl__nodes_sum(const bdl__node_grads *nodes, int64_t n_nodes, int64_t n_leaves,
                    bdl__tree_node node, int64_t offset, int64_t count, bool is_f64, void *dst);

#endif
