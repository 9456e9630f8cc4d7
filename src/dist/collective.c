/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collectives, built on messages. Sums take the elements of all ranks to the one that owns them, which adds them in
 * tree order; so no sum depends on when data arrives.
 *
 * Large data goes in pieces: while the caller adds one, the next few are on their way, and the memory needed is a
 * few pieces for each rank, whatever the size of the data. The tags of a collective are its number, which all ranks
 * count alike.
 */
#include <string.h>

#include "base/bf16.h"
#include "dist/internal.h"

enum {
    DEPTH = 4,               /* pieces on their way at a time */
    MOST_PIECE = 256 * 1024, /* bytes; fits the level-2 cache with those beside it */
    LEAST_PIECE = 16 * 1024,
    PIECES_SIZE = 1024 * 1024, /* of one piece from every rank */
    MOST_DIRECT = 64 * 1024,   /* up to so much in all, everybody sends everything to everybody */
    BLOCK = 64,                /* bf16 elements added at a time */
};

static uint64_t next_tag(bdl__group *group)
{
    return (UINT64_C(1) << 63) | group->n_collectives++ << 1;
}

static size_t element_size(bdl_dtype dtype)
{
    return dtype == BDL_BF16 ? 2 : 4;
}

static bdl_status check_call(bdl__group *group, bdl_dtype dtype, const void *data, int64_t n)
{
    BDL__CHECK(dtype == BDL_F32 || dtype == BDL_BF16, BDL_ERR_INVALID_ARGUMENT,
               "collectives take float32 and bf16, not type %d", (int)dtype);
    BDL__CHECK(n >= 0 && (data || n == 0), BDL_ERR_INVALID_ARGUMENT,
               "a collective needs data and a count >= 0, got %lld", (long long)n);
    return bdl__group_status(group);
}

void bdl__group_part(const bdl__group *group, int rank, int64_t n, int64_t *begin, int64_t *end)
{
    bdl__split_range(n, rank, group->n_ranks, begin, end);
}

/* ---- sums in tree order ------------------------------------------------------------------------------------------ */

static void add(const float *a, const float *b, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        dst[i] = a[i] + b[i];
    }
}

/* dst := sum of the leaves, which it uses as scratch; dst is one of them. */
static void sum_f32(float **leaves, int n_leaves, float *dst, int64_t n)
{
    int step = 1;
    for (; 2 * step < n_leaves; step *= 2) {
        for (int i = 0; i + step < n_leaves; i += 2 * step) {
            add(leaves[i], leaves[i + step], leaves[i], n);
        }
    }
    add(leaves[0], leaves[step], dst, n);
}

/* sum := leaves [first, first + n_leaves) of one block. */
static void sum_block(uint16_t *const *leaves, int n_leaves, int64_t at, int64_t n, float *sum)
{
    float right[BLOCK];
    if (n_leaves == 1) {
        for (int64_t i = 0; i < n; i++) {
            sum[i] = bdl__from_bf16(leaves[0][at + i]);
        }
        return;
    }
    int half = 1;
    while (2 * half < n_leaves) {
        half *= 2;
    }
    sum_block(leaves, half, at, n, sum);
    sum_block(leaves + half, n_leaves - half, at, n, right);
    add(sum, right, sum, n);
}

static void sum_bf16(uint16_t **leaves, int n_leaves, uint16_t *dst, int64_t n)
{
    float sum[BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t size = BDL__MIN(n - at, (int64_t)BLOCK);
        sum_block(leaves, n_leaves, at, size, sum);
        for (int64_t i = 0; i < size; i++) {
            dst[at + i] = bdl__to_bf16(sum[i]);
        }
    }
}

/* As the workers do it: small numbers are flushed to zero. */
static void sum_leaves(bdl_dtype dtype, void **leaves, int n_leaves, void *dst, int64_t n)
{
    const uint64_t state = bdl__fp_state_enter();
    if (dtype == BDL_F32) {
        sum_f32((float **)leaves, n_leaves, dst, n);
    } else {
        sum_bf16((uint16_t **)leaves, n_leaves, dst, n);
    }
    bdl__fp_state_leave(state);
}

/* ---- the memory of a collective ------------------------------------------------------------------------------------- */

typedef enum request_kind { SEND = 0, RECEIVE, GIVE, TAKE, N_KINDS } request_kind;

typedef struct exchange {
    bdl__group *group;
    bdl_dtype dtype;
    uint8_t *data;
    int64_t n;
    int64_t piece; /* elements */
    uint64_t tag;
    bool gathers;    /* the sums go to everybody */
    uint8_t *memory; /* owned: all that follows */
    size_t memory_size;
    bdl__request *requests; /* [DEPTH][N_KINDS][n_ranks] */
    uint8_t *scratch;       /* [DEPTH][n_ranks][piece] */
    void **leaves;          /* [n_ranks] */
} exchange;

static bdl_status exchange_open(exchange *x, int depth)
{
    const size_t n_ranks = (size_t)x->group->n_ranks;
    const size_t size = element_size(x->dtype);
    const size_t requests_size =
        bdl__align_up((size_t)depth * N_KINDS * n_ranks * sizeof(bdl__request), BDL__ALIGNMENT);
    const size_t leaves_size = bdl__align_up(n_ranks * sizeof(void *), BDL__ALIGNMENT);
    void *memory = NULL;
    x->memory_size =
        requests_size + leaves_size + (size_t)depth * n_ranks * (size_t)x->piece * size;
    BDL__TRY(bdl__alloc(x->group->allocator, x->memory_size, &memory));
    x->memory = memory;
    x->requests = memory;
    x->leaves = (void **)(x->memory + requests_size);
    x->scratch = x->memory + requests_size + leaves_size;
    return BDL_OK;
}

/* Every request must have ended before: the thread writes into them. */
static bdl_status exchange_close(exchange *x, int depth, bdl_status status)
{
    if (status != BDL_OK) { /* the others must not wait for what will not come */
        bdl__group_abort(x->group, status, bdl_last_error());
    }
    const bdl_status waited =
        bdl__group_wait_all(x->group, x->requests, (int64_t)depth * N_KINDS * x->group->n_ranks);
    bdl__free(x->group->allocator, x->memory, x->memory_size);
    return status == BDL_OK ? waited : bdl__group_status(x->group);
}

static bdl__request *request_of(const exchange *x, int64_t k, request_kind kind, int rank)
{
    return &x->requests[((k % DEPTH) * N_KINDS + kind) * x->group->n_ranks + rank];
}

/* Piece k of the part that `rank` owns; false when it has none. */
static bool piece_of(const exchange *x, int rank, int64_t k, int64_t *begin, int64_t *n)
{
    int64_t end;
    bdl__group_part(x->group, rank, x->n, begin, &end);
    *begin += k * x->piece;
    *n = BDL__MIN(end - *begin, x->piece);
    return *n > 0;
}

static uint8_t *element(const exchange *x, int64_t i)
{
    return x->data + (size_t)i * element_size(x->dtype);
}

static uint8_t *scratch_of(const exchange *x, int64_t k, int rank)
{
    return x->scratch +
           (size_t)(((k % DEPTH) * x->group->n_ranks + rank) * x->piece) * element_size(x->dtype);
}

/* ---- large sums -------------------------------------------------------------------------------------------------------- */

/* Starts piece k: own pieces to their owners, everybody's of the own part to scratch. */
static bdl_status start_piece(exchange *x, int64_t k)
{
    bdl__group *const g = x->group;
    const size_t size = element_size(x->dtype);
    int64_t begin;
    int64_t n;
    for (int step = 1; step < g->n_ranks; step++) {
        const int peer = (g->rank + step) % g->n_ranks;
        if (piece_of(x, g->rank, k, &begin, &n)) {
            BDL__TRY(bdl__group_recv(g, peer, x->tag, scratch_of(x, k, peer), (size_t)n * size,
                                     request_of(x, k, RECEIVE, peer)));
        }
        if (piece_of(x, peer, k, &begin, &n)) {
            BDL__TRY(bdl__group_send(g, peer, x->tag, element(x, begin), (size_t)n * size,
                                     request_of(x, k, SEND, peer)));
        }
    }
    return BDL_OK;
}

/* The sums of piece k go to everybody, everybody's come here: over elements that were sent before. */
static bdl_status gather_piece(exchange *x, int64_t k)
{
    bdl__group *const g = x->group;
    const size_t size = element_size(x->dtype);
    int64_t begin;
    int64_t n;
    for (int step = 1; step < g->n_ranks; step++) {
        const int peer = (g->rank + step) % g->n_ranks;
        BDL__TRY(bdl__group_wait(g, request_of(x, k, SEND, peer)));
        if (piece_of(x, peer, k, &begin, &n)) {
            BDL__TRY(bdl__group_recv(g, peer, x->tag + 1, element(x, begin), (size_t)n * size,
                                     request_of(x, k, TAKE, peer)));
        }
        if (piece_of(x, g->rank, k, &begin, &n)) {
            BDL__TRY(bdl__group_send(g, peer, x->tag + 1, element(x, begin), (size_t)n * size,
                                     request_of(x, k, GIVE, peer)));
        }
    }
    return BDL_OK;
}

static bdl_status sum_piece(exchange *x, int64_t k)
{
    bdl__group *const g = x->group;
    int64_t begin;
    int64_t n;
    for (int rank = 0; rank < g->n_ranks; rank++) {
        BDL__TRY(bdl__group_wait(g, request_of(x, k, RECEIVE, rank)));
    }
    if (piece_of(x, g->rank, k, &begin, &n)) {
        for (int rank = 0; rank < g->n_ranks; rank++) {
            x->leaves[rank] = rank == g->rank ? element(x, begin) : scratch_of(x, k, rank);
        }
        sum_leaves(x->dtype, x->leaves, g->n_ranks, element(x, begin), n);
    }
    return x->gathers ? gather_piece(x, k) : BDL_OK;
}

/* Waits until nothing of piece k is on its way. */
static bdl_status end_piece(exchange *x, int64_t k)
{
    return bdl__group_wait_all(x->group, request_of(x, k, SEND, 0),
                               (int64_t)N_KINDS * x->group->n_ranks);
}

static bdl_status reduce_pieces(bdl__group *group, bdl_dtype dtype, void *data, int64_t n,
                                bool gathers)
{
    const int64_t size = (int64_t)element_size(dtype);
    const int64_t piece_size =
        BDL__MAX(BDL__MIN(PIECES_SIZE / group->n_ranks, MOST_PIECE), LEAST_PIECE);
    exchange x = {.group = group,
                  .dtype = dtype,
                  .data = data,
                  .n = n,
                  .piece = piece_size / size,
                  .tag = next_tag(group),
                  .gathers = gathers};
    const int64_t longest = (n + group->n_ranks - 1) / group->n_ranks;
    const int64_t n_pieces = (longest + x.piece - 1) / x.piece;
    bdl_status status;
    BDL__TRY(exchange_open(&x, DEPTH));
    for (int64_t k = 0; k < BDL__MIN(n_pieces, (int64_t)DEPTH); k++) {
        BDL__TRY_DONE(status, start_piece(&x, k));
    }
    for (int64_t k = 0; k < n_pieces; k++) {
        BDL__TRY_DONE(status, sum_piece(&x, k));
        const int64_t old = k - DEPTH / 2;
        if (old >= 0 && old + DEPTH < n_pieces) {
            BDL__TRY_DONE(status, end_piece(&x, old));
            BDL__TRY_DONE(status, start_piece(&x, old + DEPTH));
        }
    }
    status = BDL_OK;
done:
    return exchange_close(&x, DEPTH, status);
}

/* ---- small sums: one step ------------------------------------------------------------------------------------------------ */

static bdl_status reduce_direct(bdl__group *group, bdl_dtype dtype, void *data, int64_t n)
{
    exchange x = {
        .group = group, .dtype = dtype, .data = data, .n = n, .piece = n, .tag = next_tag(group)};
    const size_t size = (size_t)n * element_size(dtype);
    bdl_status status;
    BDL__TRY(exchange_open(&x, 1));
    /* What leaves is a copy: the sum may be there before the last of it has left. */
    memcpy(scratch_of(&x, 0, group->rank), data, size);
    for (int step = 1; step < group->n_ranks; step++) {
        const int to = (group->rank + step) % group->n_ranks;
        BDL__TRY_DONE(status, bdl__group_recv(group, to, x.tag, scratch_of(&x, 0, to), size,
                                              request_of(&x, 0, RECEIVE, to)));
        BDL__TRY_DONE(status,
                      bdl__group_send(group, to, x.tag, data, size, request_of(&x, 0, SEND, to)));
    }
    status = BDL_OK;
    for (int rank = 0; rank < group->n_ranks; rank++) {
        BDL__TRY_DONE(status, bdl__group_wait(group, request_of(&x, 0, RECEIVE, rank)));
        BDL__TRY_DONE(status, bdl__group_wait(group, request_of(&x, 0, SEND, rank)));
        x.leaves[rank] = scratch_of(&x, 0, rank);
    }
    sum_leaves(dtype, x.leaves, group->n_ranks, data, n);
done:
    return exchange_close(&x, 1, status);
}

/* ---- the collectives --------------------------------------------------------------------------------------------------------- */

bdl_status bdl__group_all_reduce(bdl__group *group, bdl_dtype dtype, void *data, int64_t n)
{
    BDL__TRY(check_call(group, dtype, data, n));
    if (group->n_ranks == 1 || n == 0) {
        return BDL_OK;
    }
    const bool is_small = n <= MOST_DIRECT / group->n_ranks / (int64_t)element_size(dtype);
    return is_small ? reduce_direct(group, dtype, data, n)
                    : reduce_pieces(group, dtype, data, n, true);
}

bdl_status bdl__group_reduce_scatter(bdl__group *group, bdl_dtype dtype, void *data, int64_t n)
{
    BDL__TRY(check_call(group, dtype, data, n));
    return group->n_ranks == 1 || n == 0 ? BDL_OK : reduce_pieces(group, dtype, data, n, false);
}

/* Every rank gives `bytes` of its own part to all. */
static bdl_status gather_bytes(bdl__group *group, uint8_t *bytes, int64_t n, size_t size)
{
    exchange x = {.group = group, .tag = next_tag(group)};
    bdl_status status;
    BDL__TRY(exchange_open(&x, 1));
    for (int step = 1; step < group->n_ranks; step++) {
        const int peer = (group->rank + step) % group->n_ranks;
        int64_t begin;
        int64_t end;
        bdl__group_part(group, peer, n, &begin, &end);
        BDL__TRY_DONE(status, bdl__group_recv(group, peer, x.tag, bytes + (size_t)begin * size,
                                              (size_t)(end - begin) * size,
                                              request_of(&x, 0, RECEIVE, peer)));
        bdl__group_part(group, group->rank, n, &begin, &end);
        BDL__TRY_DONE(status,
                      bdl__group_send(group, peer, x.tag, bytes + (size_t)begin * size,
                                      (size_t)(end - begin) * size, request_of(&x, 0, SEND, peer)));
    }
    status = BDL_OK;
done:
    return exchange_close(&x, 1, status);
}

bdl_status bdl__group_all_gather(bdl__group *group, bdl_dtype dtype, void *data, int64_t n)
{
    BDL__TRY(check_call(group, dtype, data, n));
    return group->n_ranks == 1 || n == 0 ? BDL_OK
                                         : gather_bytes(group, data, n, element_size(dtype));
}

/* The root gives each rank its part, or everything. */
static bdl_status scatter_bytes(bdl__group *group, int root, uint8_t *bytes, size_t size,
                                bool everything)
{
    exchange x = {.group = group, .tag = next_tag(group)};
    bdl_status status;
    BDL__TRY(exchange_open(&x, 1));
    for (int step = 1; step < group->n_ranks; step++) {
        const int peer = (root + step) % group->n_ranks;
        int64_t begin = 0;
        int64_t end = (int64_t)size;
        if (!everything) {
            bdl__group_part(group, peer, (int64_t)size, &begin, &end);
        }
        if (group->rank == root) {
            BDL__TRY_DONE(status,
                          bdl__group_send(group, peer, x.tag, bytes + begin, (size_t)(end - begin),
                                          request_of(&x, 0, SEND, peer)));
        } else if (group->rank == peer) {
            BDL__TRY_DONE(status,
                          bdl__group_recv(group, root, x.tag, bytes + begin, (size_t)(end - begin),
                                          request_of(&x, 0, RECEIVE, root)));
        }
    }
    status = BDL_OK;
done:
    return exchange_close(&x, 1, status);
}

bdl_status bdl__group_broadcast(bdl__group *group, int root, void *data, size_t size)
{
    BDL__CHECK(root >= 0 && root < group->n_ranks, BDL_ERR_INVALID_ARGUMENT,
               "the root of a broadcast must be between 0 and %d, got %d", group->n_ranks - 1,
               root);
    BDL__CHECK(size <= INT64_MAX, BDL_ERR_INVALID_ARGUMENT, "a broadcast of %zu bytes", size);
    BDL__TRY(bdl__group_status(group));
    if (group->n_ranks == 1 || size == 0) {
        return BDL_OK;
    }
    const bool is_small = size <= BDL__EAGER_SIZE || group->n_ranks == 2;
    BDL__TRY(scatter_bytes(group, root, data, size, is_small));
    return is_small ? BDL_OK : gather_bytes(group, data, (int64_t)size, 1);
}

bdl_status bdl__group_barrier(bdl__group *group)
{
    uint8_t nothing = 0;
    BDL__TRY(bdl__group_status(group));
    return group->n_ranks == 1 ? BDL_OK : gather_bytes(group, &nothing, 0, 0);
}
