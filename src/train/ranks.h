/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ranks of a run: which slices of a batch are whose, and the exchange of small vectors that exec asks for.
 * Every rank makes the same calls in the same order.
 */
#ifndef BDL_TRAIN_RANKS_H
#define BDL_TRAIN_RANKS_H

#include "data/data.h"
#include "dist/dist.h"
#include "exec/exec.h"

/* What a rank wants all to know; each is heard by all in the next exchange. */
enum {
    BDL__RANKS_CANCEL = 1, /* somebody was told to stop */
    BDL__RANKS_TIME = 2,   /* the time is up */
    BDL__RANKS_SLOW = 4,   /* its last iteration took so long that a cancel should not wait for the end of one */
};

/* Tags of messages, so that kinds never meet. */
enum {
    BDL__TAG_EXCHANGE = 1,
    BDL__TAG_STATE = 2,
    BDL__TAG_GRADS = 3,
    BDL__TAG_WEIGHTS = 4,
};
static inline uint64_t bdl__ranks_tag(int kind, int64_t i) { return (uint64_t)kind << 56 | (uint64_t)i; }

typedef struct bdl__ranks {
    const bdl_allocator *allocator;
    bdl__group *group; /* borrowed */
    int rank, n;
    bdl__cancel cancel; /* of this rank's trainer, or heard of from another */
    unsigned own_flags; /* goes out with every exchange, as does whether there is a cancel */
    unsigned flags;     /* of all ranks, since bdl__ranks_begin */
    bool agrees; /* on whether to give a batch up, which takes an exchange more; the same on all ranks */
    int64_t *no_counts; /* [n] zeros: of an exchange of flags alone */
    bdl__reduce reduce;
    struct bdl__shares *shares; /* borrowed: who is told what is ready */
    /* owned: [n + 1] of the current batch: rank r has slices [bounds[r], bounds[r + 1]), which are shards
     * [shard_bounds[r], shard_bounds[r + 1]) */
    int64_t *bounds, *shard_bounds;
    bdl__tree_node *nodes;
    int64_t *node_counts; /* [n] */
    int64_t nodes_capacity;
    double *blocks; /* of an exchange, those of this rank first */
    int64_t blocks_capacity;
} bdl__ranks;

/* `group` is connected; it and `cancel` are borrowed. */
bdl_status bdl__ranks_create(const bdl_allocator *allocator, bdl__group *group, const bdl__cancel *cancel,
                             bdl__ranks **ranks);
void bdl__ranks_free(bdl__ranks *ranks); /* NULL ok */

/* At the start of a run: nothing has been heard yet. */
void bdl__ranks_restart(bdl__ranks *ranks);
/* At the start of an iteration, about which this rank wants all to know `own_flags`. */
void bdl__ranks_begin(bdl__ranks *ranks, unsigned own_flags);

/* The slices of rank r in a full batch of n_slices in n_shards: whole shards, even to one shard. */
void bdl__ranks_slices(const bdl__ranks *ranks, int r, int64_t n_slices, int64_t n_shards,
                       int64_t *begin, int64_t *end);

/* Sets bounds and nodes for a batch, of which each rank has its slices of n_slices in n_shards. */
bdl_status bdl__ranks_place(bdl__ranks *ranks, const bdl__batcher *batcher, int64_t n_slices,
                            int64_t n_shards, const bdl__batch *batch);

/* values[r * n ...] are given by rank r; its own are in their place before. */
bdl_status bdl__ranks_gather(bdl__ranks *ranks, int64_t n, double *values);
/* The text of rank `root` on all; allocated in the arena on the others. */
bdl_status bdl__ranks_share_text(bdl__ranks *ranks, int root, bdl__arena *arena, const char **text);

#endif
