/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the flat vector is cut into buckets, and who owns them. Every stretch of the vector is shared out among all ranks, a
 * bucket each, in turn: so whatever gradients backward has ready go to all ranks at once, and no rank's link has to
 * take what all the others send while theirs are idle. Blocks in which no weight can change belong to nobody.
 */
#include <assert.h>

#include "train/shares.h"

typedef struct cutter {
    const bool *is_live; /* [n_blocks] */
    int64_t n_blocks, n_live;
    int n_pieces; /* of the live blocks, even to one block; piece i is rank i % n_ranks's */
    int n_ranks;
} cutter;

/* Marks the blocks in which a weight can change. */
static void mark_live(const bdl__graph *graph, bool *is_live)
{
    for (int64_t i = 0; i < graph->n_params; i++) {
        const bdl__param *const p = &graph->params[i];
        if (p->frozen || p->count == 0) {
            continue;
        }
        for (int64_t b = p->offset / BDL__BLOCK; b <= (p->offset + p->count - 1) / BDL__BLOCK; b++) {
            is_live[b] = true;
        }
    }
}

/* The buckets of an owner, only counted where `buckets` is NULL. A piece with a gap is several. */
static int64_t cut_of(const cutter *c, int owner, bdl__bucket *buckets)
{
    int64_t n = 0, n_seen = 0, begin, end, own_at = 0;
    int piece = 0;
    bool is_open = false;
    bdl__split_range(c->n_live, piece, c->n_pieces, &begin, &end);
    for (int64_t b = 0; b < c->n_blocks; b++) {
        while (n_seen == end && piece + 1 < c->n_pieces) {
            bdl__split_range(c->n_live, ++piece, c->n_pieces, &begin, &end);
            is_open = false;
        }
        n_seen += c->is_live[b];
        if (!c->is_live[b] || piece % c->n_ranks != owner) {
            is_open = false;
            continue;
        }
        n += !is_open;
        if (buckets && !is_open) {
            buckets[n - 1] =
                (bdl__bucket){.begin = b * BDL__BLOCK, .owner = owner, .own_at = own_at};
        }
        if (buckets) {
            buckets[n - 1].end = (b + 1) * BDL__BLOCK;
        }
        is_open = true;
        own_at += BDL__BLOCK;
    }
    return n;
}

static bdl_status cut_all(const bdl_allocator *allocator, const cutter *c, bdl__bucket **buckets,
                          int64_t *n_buckets)
{
    void *memory = NULL;
    int64_t n = 0;
    for (int r = 0; r < c->n_ranks; r++) {
        n += cut_of(c, r, NULL);
    }
    BDL__TRY(bdl__alloc(allocator, (size_t)n * sizeof **buckets, &memory));
    *buckets = memory;
    *n_buckets = n;
    bdl__bucket *next = memory;
    for (int r = 0; r < c->n_ranks; r++) {
        next += cut_of(c, r, next);
    }
    return BDL_OK;
}

bdl_status bdl__buckets_cut(const bdl_allocator *allocator, const bdl__graph *graph, int n_ranks,
                            int64_t bucket_blocks, bdl__bucket **buckets, int64_t *n_buckets)
{
    void *memory = NULL;
    cutter c = {.n_blocks = graph->weights_count / BDL__BLOCK, .n_ranks = n_ranks};
    BDL__TRY(bdl__alloc(allocator, (size_t)c.n_blocks, &memory));
    mark_live(graph, memory);
    c.is_live = memory;
    for (int64_t b = 0; b < c.n_blocks; b++) {
        c.n_live += c.is_live[b];
    }
    const int64_t at_once = n_ranks * BDL__MAX(bucket_blocks / n_ranks, 1);
    const int64_t n_rounds = bucket_blocks > 0 ? (c.n_live + at_once - 1) / at_once : 1;
    const int64_t n_pieces = n_ranks * BDL__MAX(n_rounds, 1);
    assert(n_pieces <= INT32_MAX); /* a piece is 16 KiB at least */
    c.n_pieces = (int)n_pieces;
    const bdl_status status = cut_all(allocator, &c, buckets, n_buckets);
    bdl__free(allocator, memory, (size_t)c.n_blocks);
    return status;
}
