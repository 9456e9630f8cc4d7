/* SPDX-License-Identifier: Apache-2.0 */
/* Weights shared out among ranks: ranges, buckets, and what travels in an iteration. */
#include "train/shares.h"

#include <assert.h>
#include <string.h>

#include "base/bf16.h"

/* Requests of one kind in an iteration. */
typedef struct requests {
    bdl__request *all; /* owned */
    int64_t n, capacity;
} requests;

struct bdl__shares {
    bdl__ranks *ranks;
    const bdl__model *model;
    size_t scalar_size;
    size_t wire_size; /* of a scalar that travels */
    bool rounds;      /* bf16 travels */
    bool overlaps;    /* buckets leave during backward */
    int64_t *ranges; /* [n_ranks + 1] */
    bdl__bucket *buckets;
    int64_t n_buckets, first_own, end_own;
    bool knows_plan; /* `needed` is set */
    char *partials, *received; /* gradients of own nodes, and of the others' for the own range */
    size_t partials_size, received_size;
    uint16_t *outgoing; /* bf16 of the own nodes' gradients */
    size_t outgoing_size;
    uint16_t *changes; /* bf16 of what an iteration adds to each weight */
    bdl__node_grads *nodes; /* [n_nodes] for the own range */
    int64_t nodes_capacity;
    int64_t n_leaves;
    requests arriving; /* [own buckets][foreign nodes] */
    requests leaving;  /* partials */
    requests updates;  /* new weights, both ways */
    bdl_status status; /* of a send that `ready` has started */
};

/* ---- ranges and buckets ------------------------------------------------------------------------- */

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

/* Live blocks are shared out evenly; frozen ones go with their left neighbors. */
static void cut_ranges(bdl__shares *s, const bool *is_live, int64_t n_blocks)
{
    int64_t n_live = 0, seen = 0, begin, end;
    for (int64_t b = 0; b < n_blocks; b++) {
        n_live += is_live[b];
    }
    int r = 0;
    for (int64_t b = 0; b < n_blocks; b++) {
        bdl__split_range(n_live, r, s->ranks->n, &begin, &end);
        while (is_live[b] && seen == end && r + 1 < s->ranks->n) {
            s->ranges[++r] = b * BDL__BLOCK;
            bdl__split_range(n_live, r, s->ranks->n, &begin, &end);
        }
        seen += is_live[b];
    }
    while (r < s->ranks->n) {
        s->ranges[++r] = n_blocks * BDL__BLOCK;
    }
}

static bool any_live(const bool *is_live, int64_t begin, int64_t end)
{
    for (int64_t b = begin / BDL__BLOCK; b < end / BDL__BLOCK; b++) {
        if (is_live[b]) {
            return true;
        }
    }
    return false;
}

/* Buckets of a size, counted only where `buckets` is NULL. */
static int64_t cut_buckets(const bdl__shares *s, const bool *is_live, int64_t step,
                           bdl__bucket *buckets)
{
    int64_t n = 0;
    for (int r = 0; r < s->ranks->n; r++) {
        for (int64_t at = s->ranges[r]; at < s->ranges[r + 1]; at += step, n++) {
            const int64_t end = BDL__MIN(at + step, s->ranges[r + 1]);
            if (buckets) {
                buckets[n] = (bdl__bucket){.begin = at,
                                           .end = end,
                                           .owner = r,
                                           .is_live = any_live(is_live, at, end)};
            }
        }
    }
    return n;
}

static bdl_status cut(bdl__shares *s, int64_t bucket_size, bool *is_live)
{
    const int64_t count = s->model->graph->weights_count;
    const int64_t block_size = BDL__BLOCK * (int64_t)s->scalar_size;
    const int64_t step = s->overlaps
                             ? (bucket_size + block_size - 1) / block_size * BDL__BLOCK
                             : BDL__MAX(count, 1);
    void *memory = NULL;
    mark_live(s->model->graph, is_live);
    cut_ranges(s, is_live, count / BDL__BLOCK);
    s->n_buckets = cut_buckets(s, is_live, step, NULL);
    BDL__TRY(bdl__alloc(s->ranks->allocator, (size_t)s->n_buckets * sizeof *s->buckets, &memory));
    s->buckets = memory;
    (void)cut_buckets(s, is_live, step, s->buckets);
    while (s->first_own < s->n_buckets && s->buckets[s->first_own].owner < s->ranks->rank) {
        s->first_own++;
    }
    s->end_own = s->first_own;
    while (s->end_own < s->n_buckets && s->buckets[s->end_own].owner == s->ranks->rank) {
        s->end_own++;
    }
    return BDL_OK;
}

static size_t changes_size(const bdl__shares *s)
{
    return s->rounds ? (size_t)s->model->graph->weights_count * sizeof(uint16_t) : 0;
}

static bdl_status set_up(bdl__shares *s, int64_t bucket_size)
{
    const bdl_allocator *const allocator = s->ranks->allocator;
    const size_t n_blocks = (size_t)(s->model->graph->weights_count / BDL__BLOCK);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, ((size_t)s->ranks->n + 1) * sizeof(int64_t), &memory));
    s->ranges = memory;
    BDL__TRY(bdl__alloc(allocator, n_blocks, &memory));
    const bdl_status status = cut(s, bucket_size, memory);
    bdl__free(allocator, memory, n_blocks);
    BDL__TRY(status);
    if (s->rounds) {
        BDL__TRY(bdl__alloc(allocator, changes_size(s), &memory));
        s->changes = memory;
    }
    return BDL_OK;
}

bdl_status bdl__shares_create(bdl__ranks *ranks, const bdl__model *model, int64_t bucket_size,
                              bool is_bf16, bdl__shares **shares)
{
    assert(!is_bf16 || model->dtype == BDL_F32);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(ranks->allocator, sizeof **shares, &memory));
    bdl__shares *const made = memory;
    made->ranks = ranks;
    made->model = model;
    made->scalar_size = bdl__scalar_size(model->dtype);
    made->rounds = is_bf16 && ranks->n > 1;
    made->wire_size = made->rounds ? sizeof(uint16_t) : made->scalar_size;
    made->overlaps = bucket_size > 0;
    const bdl_status status = set_up(made, bucket_size);
    if (status != BDL_OK) {
        bdl__shares_free(made);
        return status;
    }
    *shares = made;
    return BDL_OK;
}

static void free_requests(const bdl__shares *s, requests *r)
{
    bdl__free(s->ranks->allocator, r->all, (size_t)r->capacity * sizeof *r->all);
}

void bdl__shares_free(bdl__shares *s)
{
    if (!s) {
        return;
    }
    const bdl_allocator *const allocator = s->ranks->allocator;
    (void)bdl__shares_end(s); /* after a failure too: nothing may move once its memory is gone */
    free_requests(s, &s->arriving);
    free_requests(s, &s->leaving);
    free_requests(s, &s->updates);
    bdl__free(allocator, s->partials, s->partials_size);
    bdl__free(allocator, s->received, s->received_size);
    bdl__free(allocator, s->outgoing, s->outgoing_size);
    bdl__free(allocator, s->changes, changes_size(s));
    bdl__free(allocator, s->nodes, (size_t)s->nodes_capacity * sizeof *s->nodes);
    bdl__free(allocator, s->buckets, (size_t)s->n_buckets * sizeof *s->buckets);
    bdl__free(allocator, s->ranges, ((size_t)s->ranks->n + 1) * sizeof(int64_t));
    bdl__free(allocator, s, sizeof *s);
}

void bdl__shares_range(const bdl__shares *shares, int r, int64_t *begin, int64_t *end)
{
    *begin = shares->ranges[r];
    *end = shares->ranges[r + 1];
}

const bdl__bucket *bdl__shares_buckets(const bdl__shares *shares, int64_t *n)
{
    *n = shares->end_own - shares->first_own;
    return shares->buckets + shares->first_own;
}

/* ---- an iteration ------------------------------------------------------------------------------- */

static int64_t overlap(const bdl__bucket *bucket, int64_t begin, int64_t end)
{
    return BDL__MAX(BDL__MIN(bucket->end, end) - BDL__MAX(bucket->begin, begin), 0);
}

/* Counts what each bucket waits for; all plans of the model make the same gradients. */
static bdl_status learn_plan(bdl__shares *s, const bdl__plan *plan)
{
    for (int64_t i = 0; i < plan->n_leaf_ranges && !s->knows_plan; i++) {
        const bdl__leaf_range *const range = &plan->leaf_ranges[i];
        const bdl__param *const p = &plan->graph->params[range->i_param];
        BDL__CHECK(!range->adds, BDL_ERR_UNSUPPORTED,
                   "'%s' is shared by layers with a sum over the batch between them (batch "
                   "normalization): such a model trains on one rank only",
                   p->name);
        for (int64_t b = 0; b < s->n_buckets; b++) {
            s->buckets[b].needed +=
                overlap(&s->buckets[b], p->offset,
                        p->offset + bdl__round_up(p->count, BDL__PARAM_ALIGNMENT));
        }
    }
    s->knows_plan = true;
    return BDL_OK;
}

static bdl_status reserve(const bdl__shares *s, size_t size, size_t *capacity, void *to)
{
    void *memory = NULL;
    if (size <= *capacity) {
        return BDL_OK;
    }
    bdl__free(s->ranks->allocator, *(void **)to, *capacity);
    *(void **)to = NULL;
    *capacity = 0;
    BDL__TRY(bdl__alloc(s->ranks->allocator, size, &memory));
    *(void **)to = memory;
    *capacity = size;
    return BDL_OK;
}

static bdl_status reserve_requests(const bdl__shares *s, requests *r, int64_t n)
{
    size_t capacity = (size_t)r->capacity * sizeof *r->all;
    BDL__TRY(reserve(s, (size_t)n * sizeof *r->all, &capacity, &r->all));
    r->capacity = (int64_t)(capacity / sizeof *r->all);
    return BDL_OK;
}

static int64_t own_nodes(const bdl__shares *s)
{
    return s->ranks->node_counts[s->ranks->rank];
}

static int64_t own_count(const bdl__shares *s)
{
    return s->ranges[s->ranks->rank + 1] - s->ranges[s->ranks->rank];
}

static bdl_status make_room(bdl__shares *s)
{
    const int64_t n_own = own_nodes(s), n_foreign = s->ranks->reduce.n_nodes - n_own;
    const size_t vector_size = (size_t)s->model->graph->weights_count * s->scalar_size;
    size_t nodes_size = (size_t)s->nodes_capacity * sizeof *s->nodes;
    BDL__TRY(reserve(s, (size_t)n_own * vector_size, &s->partials_size, &s->partials));
    BDL__TRY(reserve(s, (size_t)(n_foreign * own_count(s)) * s->wire_size, &s->received_size,
                     &s->received));
    BDL__TRY(reserve(s, (size_t)n_own * changes_size(s), &s->outgoing_size, &s->outgoing));
    BDL__TRY(reserve(s, (size_t)s->ranks->reduce.n_nodes * sizeof *s->nodes, &nodes_size, &s->nodes));
    s->nodes_capacity = (int64_t)(nodes_size / sizeof *s->nodes);
    BDL__TRY(reserve_requests(s, &s->arriving, (s->end_own - s->first_own) * n_foreign));
    BDL__TRY(reserve_requests(s, &s->leaving, s->n_buckets * n_own));
    return reserve_requests(s, &s->updates, s->n_buckets * s->ranks->n);
}

/* Where the gradients of every node lie for the own range. */
static void place_nodes(bdl__shares *s)
{
    const bdl__reduce *const reduce = &s->ranks->reduce;
    const int64_t own_begin = s->ranges[s->ranks->rank];
    int64_t foreign = 0;
    for (int64_t k = 0; k < reduce->n_nodes; k++) {
        const int64_t own = k - reduce->own_node;
        const bool is_own = own >= 0 && own < own_nodes(s);
        const char *data;
        if (is_own) {
            const int64_t at = own * s->model->graph->weights_count + own_begin;
            data = s->partials + (size_t)at * s->scalar_size;
        } else { /* there is no memory where this rank owns no range */
            const int64_t at = foreign++ * own_count(s);
            data = s->received ? s->received + (size_t)at * s->wire_size : NULL;
        }
        s->nodes[k] = (bdl__node_grads){
            .node = reduce->nodes[k], .is_bf16 = s->rounds && !is_own, .data = data};
    }
    s->n_leaves = bdl__n_shards(s->ranks->bounds[s->ranks->n]);
}

/* A bucket's message of its sender's node k. */
static uint64_t grads_tag(const bdl__shares *s, const bdl__bucket *bucket, int64_t k)
{
    return bdl__ranks_tag(BDL__TAG_GRADS, (bucket - s->buckets) * BDL__TREE_PLACES + k);
}

static bdl_status receive_bucket(bdl__shares *s, const bdl__bucket *bucket)
{
    const size_t size = (size_t)(bucket->end - bucket->begin) * s->wire_size;
    const size_t at = (size_t)(bucket->begin - s->ranges[s->ranks->rank]) * s->wire_size;
    int64_t foreign = 0;
    for (int r = 0; r < s->ranks->n; r++) {
        for (int64_t k = 0; k < s->ranks->node_counts[r] && r != s->ranks->rank; k++, foreign++) {
            char *const data =
                s->received + (size_t)(foreign * own_count(s)) * s->wire_size + at;
            BDL__TRY(bdl__group_recv(s->ranks->group, r, grads_tag(s, bucket, k), data, size,
                                     &s->arriving.all[s->arriving.n]));
            s->arriving.n++;
        }
    }
    return BDL_OK;
}

/* `count` gradients of an own node as they travel; `at` counts through all own nodes. */
static const void *pack(bdl__shares *s, int64_t at, int64_t count)
{
    const char *const grads = s->partials + (size_t)at * s->scalar_size;
    if (!s->rounds) {
        return grads;
    }
    const float *const src = (const float *)grads;
    uint16_t *const packed = s->outgoing + at;
    for (int64_t i = 0; i < count; i++) {
        packed[i] = bdl__to_bf16(src[i]);
    }
    return packed;
}

static bdl_status send_bucket(bdl__shares *s, bdl__bucket *bucket)
{
    const int64_t count = bucket->end - bucket->begin;
    bucket->has_left = true;
    for (int64_t k = 0; k < own_nodes(s) && bucket->owner != s->ranks->rank; k++) {
        const int64_t at = k * s->model->graph->weights_count + bucket->begin;
        BDL__TRY(bdl__group_send(s->ranks->group, bucket->owner, grads_tag(s, bucket, k),
                                 pack(s, at, count), (size_t)count * s->wire_size,
                                 &s->leaving.all[s->leaving.n]));
        s->leaving.n++;
    }
    return BDL_OK;
}

/* Called by exec. */
static void ready(void *arg, int64_t begin, int64_t end)
{
    bdl__shares *const s = ((bdl__ranks *)arg)->shares;
    for (int64_t b = 0; s && b < s->n_buckets && s->status == BDL_OK; b++) {
        bdl__bucket *const bucket = &s->buckets[b];
        bucket->have += overlap(bucket, begin, end);
        if (s->overlaps && bucket->is_live && !bucket->has_left && bucket->have == bucket->needed) {
            s->status = send_bucket(s, bucket);
        }
    }
}

bdl_status bdl__shares_begin(bdl__shares *s, const bdl__plan *plan)
{
    BDL__TRY(learn_plan(s, plan));
    BDL__TRY(make_room(s));
    place_nodes(s);
    s->ranks->reduce.partials = s->partials;
    s->ranks->reduce.ready = ready;
    s->ranks->shares = s;
    s->status = BDL_OK;
    for (int64_t b = 0; b < s->n_buckets; b++) {
        s->buckets[b].have = 0;
        s->buckets[b].has_left = false;
    }
    for (int64_t b = s->first_own; b < s->end_own; b++) {
        if (s->buckets[b].is_live) {
            BDL__TRY(receive_bucket(s, &s->buckets[b]));
        }
    }
    return BDL_OK;
}

bdl_status bdl__shares_flush(bdl__shares *s)
{
    BDL__TRY(s->status);
    for (int64_t b = 0; b < s->n_buckets; b++) {
        if (s->buckets[b].is_live && !s->buckets[b].has_left) {
            BDL__TRY(send_bucket(s, &s->buckets[b]));
        }
    }
    return BDL_OK;
}

bdl_status bdl__shares_wait(bdl__shares *s, const bdl__bucket *bucket)
{
    const int64_t n_foreign = s->ranks->reduce.n_nodes - own_nodes(s);
    int64_t before = 0;
    for (const bdl__bucket *b = s->buckets + s->first_own; b < bucket; b++) {
        before += b->is_live;
    }
    return bucket->is_live ? bdl__group_wait_all(s->ranks->group,
                                                 s->arriving.all + before * n_foreign, n_foreign)
                           : BDL_OK;
}

void bdl__shares_sum(const bdl__shares *s, int64_t begin, int64_t end, void *grads)
{
    const bdl__tree_node root = bdl__tree_root(s->n_leaves);
    for (int64_t at = begin; at < end; at += BDL__NODES_CHUNK) {
        bdl__nodes_sum(s->nodes, s->ranks->reduce.n_nodes, s->n_leaves, root, at,
                       BDL__MIN(BDL__NODES_CHUNK, end - at), s->scalar_size == 8,
                       (char *)grads + (size_t)at * s->scalar_size);
    }
}

/* ---- new weights, or what they have changed by ---- */

bool bdl__shares_rounds(const bdl__shares *shares)
{
    return shares->rounds;
}

/* No change leaves even the sign of a zero. */
static float moved(float old, uint16_t change)
{
    const float sum = old + bdl__from_bf16(change);
    return (change & 0x7FFF) == 0 ? old : sum;
}

void bdl__shares_round(const bdl__shares *s, int64_t begin, int64_t end, const float *old)
{
    const int64_t own_begin = s->ranges[s->ranks->rank];
    float *const weights = (float *)s->model->weights + own_begin + begin;
    uint16_t *const changes = s->changes + own_begin + begin;
    for (int64_t i = 0; i < end - begin; i++) {
        changes[i] = bdl__to_bf16(weights[i] - old[i]);
        weights[i] = moved(old[i], changes[i]);
    }
}

void bdl__shares_follow(const bdl__shares *s, int64_t begin, int64_t end)
{
    float *const weights = s->model->weights;
    for (int64_t b = 0; b < s->n_buckets; b++) {
        const bdl__bucket *const bucket = &s->buckets[b];
        const bool is_news = bucket->is_live && bucket->owner != s->ranks->rank;
        const int64_t to = is_news ? BDL__MIN(end, bucket->end) : 0;
        for (int64_t i = BDL__MAX(begin, bucket->begin); i < to; i++) {
            weights[i] = moved(weights[i], s->changes[i]);
        }
    }
}

/* Where what travels of the weights from i on lies. */
static char *update_at(const bdl__shares *s, int64_t i)
{
    char *const all = s->rounds ? (char *)s->changes : (char *)s->model->weights;
    return all + (size_t)i * s->wire_size;
}

bdl_status bdl__shares_expect(bdl__shares *s)
{
    for (int64_t b = 0; b < s->n_buckets; b++) {
        const bdl__bucket *const bucket = &s->buckets[b];
        if (!bucket->is_live || bucket->owner == s->ranks->rank) {
            continue;
        }
        BDL__TRY(bdl__group_recv(s->ranks->group, bucket->owner, bdl__ranks_tag(BDL__TAG_WEIGHTS, b),
                                 update_at(s, bucket->begin),
                                 (size_t)(bucket->end - bucket->begin) * s->wire_size,
                                 &s->updates.all[s->updates.n]));
        s->updates.n++;
    }
    return BDL_OK;
}

bdl_status bdl__shares_send(bdl__shares *s, const bdl__bucket *bucket)
{
    const uint64_t tag = bdl__ranks_tag(BDL__TAG_WEIGHTS, bucket - s->buckets);
    for (int i = 1; i < s->ranks->n && bucket->is_live; i++) { /* each rank begins with another one */
        BDL__TRY(bdl__group_send(s->ranks->group, (s->ranks->rank + i) % s->ranks->n, tag,
                                 update_at(s, bucket->begin),
                                 (size_t)(bucket->end - bucket->begin) * s->wire_size,
                                 &s->updates.all[s->updates.n]));
        s->updates.n++;
    }
    return BDL_OK;
}

/* Waits for all requests, whatever becomes of the first. */
static bdl_status wait_for(bdl__shares *s, requests *r)
{
    bdl_status status = BDL_OK;
    for (int64_t i = 0; i < r->n; i++) {
        const bdl_status ended = bdl__group_wait(s->ranks->group, &r->all[i]);
        status = status == BDL_OK ? ended : status;
        r->all[i] = (bdl__request){0};
    }
    r->n = 0;
    return status;
}

bdl_status bdl__shares_end(bdl__shares *s)
{
    s->ranks->shares = NULL; /* between iterations nobody sends */
    const bdl_status arrived = wait_for(s, &s->arriving);
    const bdl_status left = wait_for(s, &s->leaving);
    const bdl_status updated = wait_for(s, &s->updates);
    BDL__TRY(arrived);
    BDL__TRY(left);
    return updated;
}

/* ---- between iterations ------------------------------------------------------------------------- */

/* Moves the ranges of a vector between their owners and the rank that has all. */
static bdl_status move_ranges(bdl__shares *s, int root, char *full, char *own, bool to_root)
{
    bdl__ranks *const ranks = s->ranks;
    const uint64_t tag = bdl__ranks_tag(BDL__TAG_STATE, 0);
    const size_t own_size = (size_t)own_count(s) * s->scalar_size;
    bdl__request request = {0};
    if (ranks->rank != root) {
        BDL__TRY(to_root ? bdl__group_send(ranks->group, root, tag, own, own_size, &request)
                         : bdl__group_recv(ranks->group, root, tag, own, own_size, &request));
        return bdl__group_wait(ranks->group, &request);
    }
    for (int r = 0; r < ranks->n; r++) {
        char *const range = full + (size_t)s->ranges[r] * s->scalar_size;
        const size_t size = (size_t)(s->ranges[r + 1] - s->ranges[r]) * s->scalar_size;
        if (r == root) {
            memcpy(to_root ? range : own, to_root ? own : range, size);
            continue;
        }
        BDL__TRY(to_root ? bdl__group_recv(ranks->group, r, tag, range, size, &request)
                         : bdl__group_send(ranks->group, r, tag, range, size, &request));
        BDL__TRY(bdl__group_wait(ranks->group, &request));
    }
    return BDL_OK;
}

bdl_status bdl__shares_gather(bdl__shares *s, const void *own, void *full)
{
    return move_ranges(s, 0, full, (char *)(uintptr_t)own, true);
}

bdl_status bdl__shares_scatter(bdl__shares *s, int root, const void *full, void *own)
{
    return move_ranges(s, root, (char *)(uintptr_t)full, own, false);
}
