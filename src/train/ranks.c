/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks: shares of a batch, and small exchanges. */
#include "train/ranks.h"

#include <string.h>

static bdl_status exchange(void *arg, const int64_t *counts, double *values);
static bdl_status agree(void *arg, bool *is_cancelled);

static void ignore_ready(void *arg, int64_t begin, int64_t end)
{
    (void)arg;
    (void)begin;
    (void)end;
}

static bdl_status allocate(bdl__ranks *ranks)
{
    const size_t n = (size_t)ranks->n;
    void *memory = NULL;
    BDL__TRY(bdl__alloc(ranks->allocator, (n + 1) * sizeof(int64_t), &memory));
    ranks->bounds = memory;
    BDL__TRY(bdl__alloc(ranks->allocator, (n + 1) * sizeof(int64_t), &memory));
    ranks->shard_bounds = memory;
    BDL__TRY(bdl__alloc(ranks->allocator, n * sizeof(int64_t), &memory));
    ranks->node_counts = memory;
    BDL__TRY(bdl__alloc(ranks->allocator, n * sizeof(int64_t), &memory));
    ranks->no_counts = memory;
    return BDL_OK;
}

bdl_status bdl__ranks_create(const bdl_allocator *allocator, bdl__group *group, const bdl__cancel *cancel,
                             bdl__ranks **ranks)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **ranks, &memory));
    bdl__ranks *const made = memory;
    made->allocator = allocator;
    made->group = group;
    made->cancel.outer = cancel;
    made->rank = bdl__group_rank(group);
    made->n = bdl__group_size(group);
    made->reduce = (bdl__reduce){.arg = made,
                                 .rank = made->rank,
                                 .n_ranks = made->n,
                                 .exchange = exchange,
                                 .agree = agree,
                                 .ready = ignore_ready};
    const bdl_status status = allocate(made);
    if (status != BDL_OK) {
        bdl__ranks_free(made);
        return status;
    }
    *ranks = made;
    return BDL_OK;
}

void bdl__ranks_free(bdl__ranks *ranks)
{
    if (ranks) {
        const bdl_allocator *const a = ranks->allocator;
        bdl__free(a, ranks->bounds, ((size_t)ranks->n + 1) * sizeof(int64_t));
        bdl__free(a, ranks->shard_bounds, ((size_t)ranks->n + 1) * sizeof(int64_t));
        bdl__free(a, ranks->node_counts, (size_t)ranks->n * sizeof(int64_t));
        bdl__free(a, ranks->no_counts, (size_t)ranks->n * sizeof(int64_t));
        bdl__free(a, ranks->nodes, (size_t)ranks->nodes_capacity * sizeof *ranks->nodes);
        bdl__free(a, ranks->blocks, (size_t)ranks->blocks_capacity * sizeof(double));
        bdl__free(a, ranks, sizeof *ranks);
    }
}

/* ---- shares of a batch -------------------------------------------------------------------------- */

void bdl__ranks_slices(const bdl__ranks *ranks, int r, int64_t n_slices, int64_t n_shards,
                       int64_t *begin, int64_t *end)
{
    bdl__split_range(n_shards, r, ranks->n, begin, end);
    *begin = *begin * n_slices / n_shards;
    *end = *end * n_slices / n_shards;
}

/* Where files may be broken, only their readers know how many slices there are, and in how many shards. */
static bdl_status tell_counts(bdl__ranks *ranks, int64_t n_slices, int64_t n_shards)
{
    void *memory = NULL;
    const size_t size = (size_t)ranks->n * 2 * sizeof(double);
    BDL__TRY(bdl__alloc(ranks->allocator, size, &memory));
    double *const counts = memory;
    counts[2 * ranks->rank] = (double)n_slices;
    counts[2 * ranks->rank + 1] = (double)n_shards;
    const bdl_status status = bdl__ranks_gather(ranks, 2, counts);
    for (int r = 0; r < ranks->n && status == BDL_OK; r++) {
        ranks->bounds[r + 1] = ranks->bounds[r] + (int64_t)counts[2 * r];
        ranks->shard_bounds[r + 1] = ranks->shard_bounds[r] + (int64_t)counts[2 * r + 1];
    }
    bdl__free(ranks->allocator, memory, size);
    BDL__TRY(status);
    BDL__CHECK(ranks->bounds[ranks->n] > 0, BDL_ERR_FORMAT, "every file of a batch is broken");
    return BDL_OK;
}

/* What has rows in a step follows from the order of all rows. */
static void count_all(bdl__ranks *ranks, const bdl__batcher *batcher, int64_t step, int64_t n_slices,
                      int64_t n_shards)
{
    int64_t slices = 0, shards = 0;
    for (int r = 0; r < ranks->n; r++) {
        int64_t first, last;
        bdl__split_range(n_shards, r, ranks->n, &first, &last);
        for (int64_t i = first; i < last; i++) {
            int64_t begin, end;
            bdl__shard_slices(i, n_shards, n_slices, &begin, &end);
            const int64_t n = bdl__batcher_count_slices(batcher, step, begin, end);
            slices += n;
            shards += n > 0;
        }
        ranks->bounds[r + 1] = slices;
        ranks->shard_bounds[r + 1] = shards;
    }
}

static bdl_status place_nodes(bdl__ranks *ranks)
{
    bdl__reduce *const reduce = &ranks->reduce;
    const int64_t most = (int64_t)ranks->n * BDL__TREE_PLACES;
    if (ranks->nodes_capacity < most) {
        void *memory = NULL;
        BDL__TRY(bdl__alloc(ranks->allocator, (size_t)most * sizeof *ranks->nodes, &memory));
        ranks->nodes = memory;
        ranks->nodes_capacity = most;
    }
    reduce->n_nodes = 0;
    for (int r = 0; r < ranks->n; r++) {
        reduce->own_node = r == ranks->rank ? reduce->n_nodes : reduce->own_node;
        ranks->node_counts[r] = bdl__tree_nodes(ranks->shard_bounds[r], ranks->shard_bounds[r + 1],
                                                ranks->nodes + reduce->n_nodes);
        reduce->n_nodes += ranks->node_counts[r];
    }
    reduce->nodes = ranks->nodes;
    reduce->node_counts = ranks->node_counts;
    return BDL_OK;
}

bdl_status bdl__ranks_place(bdl__ranks *ranks, const bdl__batcher *batcher, int64_t n_slices,
                            int64_t n_shards, const bdl__batch *batch)
{
    ranks->bounds[0] = ranks->shard_bounds[0] = 0;
    if (bdl__batcher_may_lack(batcher)) {
        const int64_t n = bdl__shards_cut(n_shards, n_slices, batch->places, batch->n_slices, 0, NULL);
        BDL__TRY(tell_counts(ranks, batch->n_slices, n));
    } else {
        count_all(ranks, batcher, batch->step, n_slices, n_shards);
    }
    return place_nodes(ranks);
}

/* ---- exchanges ---------------------------------------------------------------------------------- */

static int rank_after(const bdl__ranks *ranks, int64_t steps)
{
    return (int)((ranks->rank + steps + ranks->n) % ranks->n);
}

/* Doubles of the blocks of `n` ranks from `rank` on, a block being the flags and the rank's values. */
static int64_t blocks_size(const bdl__ranks *ranks, const int64_t *counts, int rank, int64_t n)
{
    int64_t size = 0;
    for (int64_t i = 0; i < n; i++) {
        size += 1 + counts[(rank + i) % ranks->n];
    }
    return size;
}

/* Sends the first `n` blocks against the direction of the ring, and receives as many from the rank whose blocks
 * are wanted next (Bruck and others, 1997). */
static bdl_status pass_blocks(bdl__ranks *ranks, const int64_t *counts, int64_t distance, int64_t n)
{
    const int to = rank_after(ranks, -distance), from = rank_after(ranks, distance);
    const size_t send_size = (size_t)blocks_size(ranks, counts, ranks->rank, n) * sizeof(double);
    const size_t recv_size = (size_t)blocks_size(ranks, counts, from, n) * sizeof(double);
    double *const place = ranks->blocks + blocks_size(ranks, counts, ranks->rank, distance);
    const uint64_t tag = bdl__ranks_tag(BDL__TAG_EXCHANGE, distance);
    bdl__request requests[2] = {0};
    bdl_status status = bdl__group_recv(ranks->group, from, tag, place, recv_size, &requests[0]);
    if (status == BDL_OK) {
        status =
            bdl__group_send(ranks->group, to, tag, ranks->blocks, send_size, &requests[1]);
    }
    for (int i = 0; i < 2; i++) { /* both must have ended before the requests go */
        const bdl_status ended = bdl__group_wait(ranks->group, &requests[i]);
        status = status == BDL_OK ? ended : status;
    }
    return status;
}

static bdl_status reserve_blocks(bdl__ranks *ranks, int64_t size)
{
    void *memory = NULL;
    if (size <= ranks->blocks_capacity) {
        return BDL_OK;
    }
    BDL__TRY(bdl__alloc(ranks->allocator, (size_t)size * sizeof(double), &memory));
    bdl__free(ranks->allocator, ranks->blocks, (size_t)ranks->blocks_capacity * sizeof(double));
    ranks->blocks = memory;
    ranks->blocks_capacity = size;
    return BDL_OK;
}

/* Where rank r's values begin. */
static double *values_of(double *values, const int64_t *counts, int r)
{
    for (int i = 0; i < r; i++) {
        values += counts[i];
    }
    return values;
}

static bdl_status exchange(void *arg, const int64_t *counts, double *values)
{
    bdl__ranks *const ranks = arg;
    BDL__TRY(reserve_blocks(ranks, blocks_size(ranks, counts, 0, ranks->n)));
    const unsigned own_cancel = bdl__is_cancelled(&ranks->cancel) ? BDL__RANKS_CANCEL : 0;
    ranks->blocks[0] = (double)(ranks->own_flags | own_cancel);
    memcpy(ranks->blocks + 1, values_of(values, counts, ranks->rank),
           (size_t)counts[ranks->rank] * sizeof(double));
    for (int64_t distance = 1; distance < ranks->n; distance *= 2) {
        BDL__TRY(pass_blocks(ranks, counts, distance, BDL__MIN(distance, ranks->n - distance)));
    }
    const double *block = ranks->blocks;
    for (int64_t i = 0; i < ranks->n; i++) {
        const int r = rank_after(ranks, i);
        ranks->flags |= (unsigned)block[0];
        memcpy(values_of(values, counts, r), block + 1, (size_t)counts[r] * sizeof(double));
        block += 1 + counts[r];
    }
    if (ranks->flags & BDL__RANKS_CANCEL) { /* what is still computed here will be given up */
        atomic_store(&ranks->cancel.is_asked, 1);
    }
    return BDL_OK;
}

/* A cancel that was taken back meanwhile counts: calls have been left out. */
static bdl_status agree(void *arg, bool *is_cancelled)
{
    bdl__ranks *const ranks = arg;
    double nothing;
    if (*is_cancelled) {
        atomic_store(&ranks->cancel.is_asked, 1);
    }
    BDL__TRY(exchange(ranks, ranks->no_counts, &nothing));
    *is_cancelled = ranks->flags & BDL__RANKS_CANCEL;
    return BDL_OK;
}

void bdl__ranks_restart(bdl__ranks *ranks)
{
    ranks->own_flags = 0;
    ranks->flags = BDL__RANKS_SLOW; /* nobody knows better */
    ranks->agrees = true;
    atomic_store(&ranks->cancel.is_asked, 0);
}

void bdl__ranks_begin(bdl__ranks *ranks, unsigned own_flags)
{
    ranks->agrees = ranks->flags & BDL__RANKS_SLOW;
    ranks->own_flags = own_flags;
    ranks->flags = 0;
    atomic_store(&ranks->cancel.is_asked, 0);
}

bdl_status bdl__ranks_gather(bdl__ranks *ranks, int64_t n, double *values)
{
    void *memory = NULL;
    const size_t size = (size_t)ranks->n * sizeof(int64_t);
    BDL__TRY(bdl__alloc(ranks->allocator, size, &memory));
    int64_t *const counts = memory;
    for (int r = 0; r < ranks->n; r++) {
        counts[r] = n;
    }
    const bdl_status status = exchange(ranks, counts, values);
    bdl__free(ranks->allocator, memory, size);
    return status;
}

bdl_status bdl__ranks_share_text(bdl__ranks *ranks, int root, bdl__arena *arena, const char **text)
{
    uint64_t size = ranks->rank == root ? strlen(*text) + 1 : 0;
    void *memory = NULL;
    BDL__TRY(bdl__group_broadcast(ranks->group, root, &size, sizeof size));
    BDL__CHECK(size < ((uint64_t)1 << 32), BDL_ERR_FORMAT, "a text of %llu bytes from rank %d",
               (unsigned long long)size, root);
    BDL__TRY(bdl__arena_alloc(arena, (size_t)size + 1, &memory));
    if (ranks->rank == root) {
        memcpy(memory, *text, (size_t)size);
    }
    BDL__TRY(bdl__group_broadcast(ranks->group, root, memory, (size_t)size));
    *text = memory;
    return BDL_OK;
}
