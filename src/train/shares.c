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
    int64_t *counts;      /* [n_ranks] scalars of each rank's buckets */
    bdl__bucket *buckets; /* by owner, then by place */
    int64_t n_buckets, first_own, end_own;
    bool knows_plan; /* `needed` is set */
    char *partials; /* gradients of own nodes */
    char *received; /* of the others' nodes for the own buckets, one after the other */
    size_t partials_size, received_size;
    uint16_t *outgoing; /* bf16 of the own nodes' gradients */
    size_t outgoing_size;
    uint16_t *changes; /* bf16 of what an iteration adds to each weight */
    bdl__node_grads *nodes; /* [n_nodes] for the bucket that is being summed */
    int64_t nodes_capacity;
    int64_t n_leaves;
    int64_t i_next;   /* own bucket that is updated next, from the last on */
    bool is_updating; /* new weights are received */
    requests arriving; /* [own buckets][foreign nodes] */
    requests leaving;  /* partials */
    requests updates;  /* new weights, both ways */
    bdl_status status; /* of a send that `ready` has started */
};

/* ---- buckets ------------------------------------------------------------------------- */

static bdl_status cut(bdl__shares *s, int64_t bucket_size)
{
    const int64_t block_size = BDL__BLOCK * (int64_t)s->scalar_size;
    void *memory = NULL;
    BDL__TRY(bdl__buckets_cut(s->ranks->allocator, s->model->graph, s->ranks->n,
                              (bucket_size + block_size - 1) / block_size, &s->buckets,
                              &s->n_buckets));
    BDL__TRY(bdl__alloc(s->ranks->allocator, (size_t)s->ranks->n * sizeof *s->counts, &memory));
    s->counts = memory;
    for (int64_t b = 0; b < s->n_buckets; b++) {
        const bdl__bucket *const bucket = &s->buckets[b];
        s->counts[bucket->owner] += bucket->end - bucket->begin;
        s->first_own += bucket->owner < s->ranks->rank;
        s->end_own += bucket->owner <= s->ranks->rank;
    }
    return BDL_OK;
}

static size_t changes_size(const bdl__shares *s)
{
    return s->rounds ? (size_t)s->model->graph->weights_count * sizeof(uint16_t) : 0;
}

static bdl_status set_up(bdl__shares *s, int64_t bucket_size)
{
    void *memory = NULL;
    BDL__TRY(cut(s, bucket_size));
    if (s->rounds) {
        BDL__TRY(bdl__alloc(s->ranks->allocator, changes_size(s), &memory));
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
    bdl__free(allocator, s->counts, (size_t)s->ranks->n * sizeof *s->counts);
    bdl__free(allocator, s, sizeof *s);
}

int64_t bdl__shares_count(const bdl__shares *shares, int r)
{
    return shares->counts[r];
}

void bdl__shares_in_order(const bdl__shares *shares, const double *by_owner, double *by_block)
{
    for (int64_t b = 0; b < shares->n_buckets; b++) {
        const bdl__bucket *const bucket = &shares->buckets[b];
        for (int64_t i = bucket->begin; i < bucket->end; i += BDL__BLOCK) {
            by_block[i / BDL__BLOCK] = *by_owner++;
        }
    }
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

/* Counts what each bucket waits for; all plans of the model settle the same. */
static bdl_status learn_plan(bdl__shares *s, const bdl__plan *plan)
{
    const bdl__param *const params = plan->graph->params;
    for (int64_t i = 0; i < plan->n_leaf_ranges && !s->knows_plan; i++) {
        const bdl__leaf_range *const range = &plan->leaf_ranges[i];
        BDL__CHECK(!range->adds, BDL_ERR_UNSUPPORTED,
                   "'%s' is shared by layers with a sum over the batch between them (batch "
                   "normalization): such a model trains on one rank only",
                   params[range->i_param].name);
    }
    for (int64_t i = 0; i < plan->n_settled && !s->knows_plan; i++) {
        const bdl__param *const p = &params[plan->settled[i]];
        for (int64_t b = 0; b < s->n_buckets; b++) {
            s->buckets[b].needed += overlap(&s->buckets[b], p->offset,
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
    return s->counts[s->ranks->rank];
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
    return reserve_requests(s, &s->updates,
                            s->n_buckets + (s->end_own - s->first_own) * (s->ranks->n - 1));
}

/* Where gradients of own nodes lie as they travel; `at` counts through all nodes. */
static const char *gradients_at(const bdl__shares *s, int64_t at)
{
    const char *const all = s->rounds ? (const char *)s->outgoing : s->partials;
    return all + (size_t)at * s->wire_size;
}

/* Where the gradients of every node lie for an own bucket, counted as the own vectors are: a bucket never lies before
 * its place in the whole vector. */
static void place_nodes(bdl__shares *s, const bdl__bucket *bucket)
{
    const bdl__reduce *const reduce = &s->ranks->reduce;
    const int64_t shift = bucket->begin - bucket->own_at;
    int64_t foreign = 0;
    for (int64_t k = 0; k < reduce->n_nodes; k++) {
        const int64_t own = k - reduce->own_node;
        const char *data;
        if (own >= 0 && own < own_nodes(s)) {
            data = gradients_at(s, own * s->model->graph->weights_count + shift);
        } else {
            data = s->received + (size_t)(foreign++ * own_count(s)) * s->wire_size;
        }
        s->nodes[k] = (bdl__node_grads){
            .node = reduce->nodes[k], .is_bf16 = s->rounds, .data = data};
    }
}

/* A bucket's message of its sender's node k. */
static uint64_t grads_tag(const bdl__shares *s, const bdl__bucket *bucket, int64_t k)
{
    return bdl__ranks_tag(BDL__TAG_GRADS, (bucket - s->buckets) * BDL__TREE_PLACES + k);
}

static bdl_status receive_bucket(bdl__shares *s, const bdl__bucket *bucket)
{
    const size_t size = (size_t)(bucket->end - bucket->begin) * s->wire_size;
    const size_t at = (size_t)bucket->own_at * s->wire_size;
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

/* Rounds gradients of own nodes, those that stay here too: so who owns them changes no bit. */
static void pack(const bdl__shares *s, int64_t at, int64_t count)
{
    const float *const src = (const float *)s->partials + at;
    for (int64_t i = 0; i < count; i++) {
        s->outgoing[at + i] = bdl__to_bf16(src[i]);
    }
}

static bdl_status send_bucket(bdl__shares *s, bdl__bucket *bucket)
{
    const int64_t count = bucket->end - bucket->begin;
    bucket->has_left = true;
    for (int64_t k = 0; k < own_nodes(s); k++) {
        const int64_t at = k * s->model->graph->weights_count + bucket->begin;
        if (s->rounds) {
            pack(s, at, count);
        }
        if (bucket->owner != s->ranks->rank) {
            BDL__TRY(bdl__group_send(s->ranks->group, bucket->owner, grads_tag(s, bucket, k),
                                     gradients_at(s, at), (size_t)count * s->wire_size,
                                     &s->leaving.all[s->leaving.n]));
            s->leaving.n++;
        }
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
        if (s->overlaps && !bucket->has_left && bucket->have == bucket->needed) {
            s->status = send_bucket(s, bucket);
        }
    }
}

bdl_status bdl__shares_begin(bdl__shares *s, const bdl__plan *plan)
{
    BDL__TRY(learn_plan(s, plan));
    BDL__TRY(make_room(s));
    s->n_leaves = s->ranks->shard_bounds[s->ranks->n];
    s->ranks->reduce.partials = s->partials;
    s->ranks->reduce.ready = ready;
    s->ranks->shares = s;
    s->status = BDL_OK;
    s->i_next = s->end_own - 1;
    s->is_updating = false;
    for (int64_t b = 0; b < s->n_buckets; b++) {
        s->buckets[b].have = 0;
        s->buckets[b].has_left = false;
    }
    for (int64_t b = s->first_own; b < s->end_own; b++) {
        BDL__TRY(receive_bucket(s, &s->buckets[b]));
    }
    return BDL_OK;
}

bdl_status bdl__shares_flush(bdl__shares *s)
{
    BDL__TRY(s->status);
    for (int64_t b = 0; b < s->n_buckets; b++) {
        if (!s->buckets[b].has_left) {
            BDL__TRY(send_bucket(s, &s->buckets[b]));
        }
    }
    return BDL_OK;
}

/* Where what travels of the weights from i on lies. */
static char *update_at(const bdl__shares *s, int64_t i)
{
    char *const all = s->rounds ? (char *)s->changes : (char *)s->model->weights;
    return all + (size_t)i * s->wire_size;
}

/* Starts to receive the new weights (or their changes) of the others' buckets. */
static bdl_status expect_updates(bdl__shares *s)
{
    for (int64_t b = 0; b < s->n_buckets; b++) {
        const bdl__bucket *const bucket = &s->buckets[b];
        if (bucket->owner == s->ranks->rank) {
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

/* The requests for an own bucket's partial gradients; NULL if there are none. */
static bdl__request *arriving_for(const bdl__shares *s, const bdl__bucket *bucket, int64_t *n)
{
    *n = s->ranks->reduce.n_nodes - own_nodes(s);
    return *n > 0 ? s->arriving.all + (bucket - s->buckets - s->first_own) * *n : NULL;
}

static bool is_here(const bdl__shares *s, const bdl__bucket *bucket)
{
    int64_t n;
    const bdl__request *const all = arriving_for(s, bucket, &n);
    bool is_here = bucket->has_left;
    for (int64_t i = 0; i < n && is_here; i++) {
        is_here = bdl__group_test(&all[i]);
    }
    return is_here;
}

bdl_status bdl__shares_next(bdl__shares *s, bool waits, const bdl__bucket **bucket)
{
    *bucket = NULL;
    if (!s->is_updating) {
        s->is_updating = true;
        BDL__TRY(expect_updates(s));
    }
    if (waits) {
        BDL__TRY(bdl__shares_flush(s));
    }
    if (s->i_next < s->first_own || (!waits && !is_here(s, &s->buckets[s->i_next]))) {
        return BDL_OK;
    }
    const bdl__bucket *const next = &s->buckets[s->i_next--];
    int64_t n;
    bdl__request *const all = arriving_for(s, next, &n);
    if (n > 0) {
        BDL__TRY(bdl__group_wait_all(s->ranks->group, all, n));
    }
    place_nodes(s, next);
    *bucket = next;
    return BDL_OK;
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

void bdl__shares_round(const bdl__shares *s, const bdl__bucket *bucket, int64_t begin, int64_t end,
                       const float *old)
{
    const int64_t shift = bucket->begin - bucket->own_at;
    float *const weights = (float *)s->model->weights + shift + begin;
    uint16_t *const changes = s->changes + shift + begin;
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
        const int64_t to = bucket->owner == s->ranks->rank ? 0 : BDL__MIN(end, bucket->end);
        for (int64_t i = BDL__MAX(begin, bucket->begin); i < to; i++) {
            weights[i] = moved(weights[i], s->changes[i]);
        }
    }
}

bdl_status bdl__shares_send(bdl__shares *s, const bdl__bucket *bucket)
{
    const uint64_t tag = bdl__ranks_tag(BDL__TAG_WEIGHTS, bucket - s->buckets);
    for (int i = 1; i < s->ranks->n; i++) { /* each rank begins with another one */
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

bdl_status bdl__shares_give_up(bdl__shares *s, int64_t n_sent)
{
    BDL__TRY(bdl__shares_flush(s));
    if (!s->is_updating) {
        BDL__TRY(expect_updates(s));
    }
    for (int64_t b = s->first_own; b < s->end_own - n_sent; b++) {
        BDL__TRY(bdl__shares_send(s, &s->buckets[b]));
    }
    return bdl__shares_end(s);
}

bdl_status bdl__shares_share_again(bdl__shares *s)
{
    if (s->rounds) { /* the others' weights have not followed */
        return BDL_OK;
    }
    BDL__TRY(expect_updates(s));
    for (int64_t b = s->first_own; b < s->end_own; b++) {
        BDL__TRY(bdl__shares_send(s, &s->buckets[b]));
    }
    return bdl__shares_end(s);
}

/* ---- between iterations ------------------------------------------------------------------------- */

/* Copies a rank's buckets from or to the whole vector. */
static void move_buckets(const bdl__shares *s, int r, char *full, char *own, bool to_full)
{
    for (int64_t b = 0; b < s->n_buckets; b++) {
        const bdl__bucket *const bucket = &s->buckets[b];
        if (bucket->owner == r) {
            char *const whole = full + (size_t)bucket->begin * s->scalar_size;
            char *const part = own + (size_t)bucket->own_at * s->scalar_size;
            memcpy(to_full ? whole : part, to_full ? part : whole,
                   (size_t)(bucket->end - bucket->begin) * s->scalar_size);
        }
    }
}

/* What the rank that has all does for rank r, by way of `own`, which has room for any rank's buckets. */
static bdl_status exchange_with(bdl__shares *s, int r, char *full, char *own, bool to_root)
{
    const size_t size = (size_t)s->counts[r] * s->scalar_size;
    const uint64_t tag = bdl__ranks_tag(BDL__TAG_STATE, 0);
    bdl__request request = {0};
    if (to_root) {
        BDL__TRY(bdl__group_recv(s->ranks->group, r, tag, own, size, &request));
        BDL__TRY(bdl__group_wait(s->ranks->group, &request));
        move_buckets(s, r, full, own, true);
        return BDL_OK;
    }
    move_buckets(s, r, full, own, false);
    BDL__TRY(bdl__group_send(s->ranks->group, r, tag, own, size, &request));
    return bdl__group_wait(s->ranks->group, &request);
}

static bdl_status move_all(bdl__shares *s, char *full, char *own, bool to_root)
{
    void *room = NULL;
    int64_t most = 0;
    for (int r = 0; r < s->ranks->n; r++) {
        most = BDL__MAX(most, s->counts[r]);
    }
    BDL__TRY(bdl__alloc(s->ranks->allocator, (size_t)most * s->scalar_size, &room));
    move_buckets(s, s->ranks->rank, full, own, to_root);
    bdl_status status = BDL_OK;
    for (int r = 0; r < s->ranks->n && status == BDL_OK; r++) {
        if (r != s->ranks->rank) {
            status = exchange_with(s, r, full, room, to_root);
        }
    }
    bdl__free(s->ranks->allocator, room, (size_t)most * s->scalar_size);
    return status;
}

/* Moves what ranks own of a vector between them and the rank that has all. */
static bdl_status move_owned(bdl__shares *s, int root, char *full, char *own, bool to_root)
{
    const uint64_t tag = bdl__ranks_tag(BDL__TAG_STATE, 0);
    const size_t size = (size_t)own_count(s) * s->scalar_size;
    bdl__request request = {0};
    if (s->ranks->rank == root) {
        return move_all(s, full, own, to_root);
    }
    BDL__TRY(to_root ? bdl__group_send(s->ranks->group, root, tag, own, size, &request)
                     : bdl__group_recv(s->ranks->group, root, tag, own, size, &request));
    return bdl__group_wait(s->ranks->group, &request);
}

bdl_status bdl__shares_gather(bdl__shares *s, const void *own, void *full)
{
    return move_owned(s, 0, full, (char *)(uintptr_t)own, true);
}

bdl_status bdl__shares_scatter(bdl__shares *s, int root, const void *full, void *own)
{
    return move_owned(s, root, (char *)(uintptr_t)full, own, false);
}
