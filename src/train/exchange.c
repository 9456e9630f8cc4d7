/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange of rows between ranks.
 *
 * 1. Where the cuts fall among the own rows. The key at a cut's position in the order of all rows is found byte by byte,
 *    from the highest: a histogram of the next byte among the keys that share the bytes so far, summed over ranks, says
 *    which byte comes next. After 16 rounds the key is known, and how many rows of all come before it. Rows with that
 *    very key (equal rows) are cut by count, the lower ranks' first.
 * 2. The rows themselves. In round k each rank sends to rank + k and hears from rank - k, in frames of about 1 MiB of
 *    rows in the order of keys; a frame is on its way while the other one's is stored.
 *
 * Rows that arrive are stored as pushed ones are, in memory up to a limit and then in a file.
 */
#include "train/exchange.h"

#include <string.h>

enum { N_BYTES = 16, FRAME_SIZE = 1 << 20, MOST_RECORD = INT32_MAX };

/* Tags of messages: kind 5 of those that ranks use. */
#define TAG(i) (UINT64_C(5) << 56 | (uint64_t)(i))

typedef struct exchange {
    const bdl_allocator *allocator;
    bdl__group *group;
    const bdl__dataset *rows;
    int rank, n_ranks;
    bdl__key *keys;      /* owned, [n] of the own rows */
    uint32_t *order;     /* owned, [n] rows by key */
    int64_t *places;     /* owned, [n_ranks + 1] own rows for rank r: order[places[r] .. places[r + 1]) */
    bdl__dataset *sorted; /* owned until it is given away */
    bdl__sample sample;  /* for reading */
    bdl__buffer out, in; /* frames */
} exchange;

/* ---- small sums --------------------------------------------------------------------------------- */

/* values[0 .. n) := sums over ranks, on all. */
static bdl_status sum_all(const exchange *x, int64_t *values, int64_t n)
{
    const size_t size = (size_t)n * sizeof *values;
    bdl__request request = {0};
    if (x->rank > 0) {
        BDL__TRY(bdl__group_send(x->group, 0, TAG(0), values, size, &request));
        BDL__TRY(bdl__group_wait(x->group, &request));
        return bdl__group_broadcast(x->group, 0, values, size);
    }
    bdl__buffer other = {.allocator = x->allocator};
    bdl_status status = bdl__buffer_need(&other, size);
    for (int r = 1; r < x->n_ranks && status == BDL_OK; r++) {
        status = bdl__group_recv(x->group, r, TAG(0), other.data, size, &request);
        if (status == BDL_OK) {
            status = bdl__group_wait(x->group, &request);
        }
        for (int64_t i = 0; i < n && status == BDL_OK; i++) {
            values[i] += ((const int64_t *)other.data)[i];
        }
    }
    bdl__buffer_free(&other);
    BDL__TRY(status);
    return bdl__group_broadcast(x->group, 0, values, size);
}

/* all[r][0 .. n) := the n numbers of rank r, on all; the own ones are in their place before, the others zero. */
static bdl_status gather(const exchange *x, int64_t *all, int64_t n)
{
    return sum_all(x, all, n * x->n_ranks);
}

/* ---- meeting ------------------------------------------------------------------------------------ */

enum {
    SAY_N,
    SAY_CLASSES,
    SAY_KEYS_HIGH,
    SAY_KEYS_LOW,
    SAY_ELEMENT,
    SAY_LABELS,
    SAY_FIXED,
    SAY_RANK,
    SAY_DIMS,
    SAY_TARGET_RANK = SAY_DIMS + BDL_MAX_RANK,
    SAY_TARGET_DIMS,
    N_SAID = SAY_TARGET_DIMS + BDL_MAX_RANK
};

static bdl_status say(const exchange *x, int64_t *said)
{
    const bdl__dataset *const rows = x->rows;
    bdl__key key_sum;
    BDL__TRY(bdl__dataset_sum_keys(x->allocator, rows, NULL, &key_sum));
    said[SAY_N] = rows->n;
    said[SAY_CLASSES] = rows->n_classes;
    said[SAY_KEYS_HIGH] = (int64_t)key_sum.high;
    said[SAY_KEYS_LOW] = (int64_t)key_sum.low;
    said[SAY_ELEMENT] = (int64_t)rows->element;
    said[SAY_LABELS] = (int64_t)rows->label_kind;
    said[SAY_FIXED] = rows->is_fixed_shape;
    said[SAY_RANK] = rows->shape.rank;
    memcpy(said + SAY_DIMS, rows->shape.dim, (size_t)rows->shape.rank * sizeof *said);
    said[SAY_TARGET_RANK] = rows->target_shape.rank;
    memcpy(said + SAY_TARGET_DIMS, rows->target_shape.dim,
           (size_t)rows->target_shape.rank * sizeof *said);
    return BDL_OK;
}

static bdl__shape shape_said(const int64_t *said, int at)
{
    bdl__shape shape = {.rank = (int32_t)said[at]};
    memcpy(shape.dim, said + at + 1, (size_t)shape.rank * sizeof *said);
    return shape;
}

/* Ranks must have rows of one kind; images may differ in size, and a rank without any knows none. */
static bdl_status check_alike(const bdl__dataset *rows, const int64_t *all, int n_ranks)
{
    const int64_t *const first = all;
    for (int r = 0; r < n_ranks; r++) {
        const int64_t *const said = all + (int64_t)r * N_SAID;
        BDL__CHECK(said[SAY_N] >= 0 && said[SAY_RANK] >= 0 && said[SAY_RANK] <= BDL_MAX_RANK,
                   BDL_ERR_FORMAT, "rank %d says that it has %lld rows of %lld dimensions", r,
                   (long long)said[SAY_N], (long long)said[SAY_RANK]);
        const bool is_alike = memcmp(said + SAY_ELEMENT, first + SAY_ELEMENT,
                                     (SAY_RANK - SAY_ELEMENT) * sizeof *said) == 0 &&
                              memcmp(said + SAY_TARGET_RANK, first + SAY_TARGET_RANK,
                                     (1 + BDL_MAX_RANK) * sizeof *said) == 0 &&
                              (!first[SAY_FIXED] || memcmp(said + SAY_RANK, first + SAY_RANK,
                                                           (1 + BDL_MAX_RANK) * sizeof *said) == 0);
        const bdl__shape want = shape_said(first, SAY_RANK), got = shape_said(said, SAY_RANK);
        char wanted[BDL__SHAPE_TEXT_SIZE], found[BDL__SHAPE_TEXT_SIZE];
        BDL__CHECK(is_alike, BDL_ERR_SHAPE,
                   "data '%s': rank 0 has rows of shape %s, type %d and labels of kind %d, rank %d of "
                   "shape %s, type %d and kind %d",
                   rows->text, bdl__shape_text(&want, wanted, sizeof wanted), (int)first[SAY_ELEMENT],
                   (int)first[SAY_LABELS], r, bdl__shape_text(&got, found, sizeof found),
                   (int)said[SAY_ELEMENT], (int)said[SAY_LABELS]);
    }
    return BDL_OK;
}

static bdl_status meet(const exchange *x, int64_t *all, bdl__exchange_info *info)
{
    BDL__TRY(say(x, all + (int64_t)x->rank * N_SAID));
    BDL__TRY(gather(x, all, N_SAID));
    BDL__TRY(check_alike(x->rows, all, x->n_ranks));
    bdl__exchange_info found = {.shape = shape_said(all, SAY_RANK)};
    for (int r = x->n_ranks - 1; r >= 0; r--) {
        const int64_t *const said = all + (int64_t)r * N_SAID;
        found.n += said[SAY_N];
        found.n_classes = BDL__MAX(found.n_classes, said[SAY_CLASSES]);
        bdl__key_add(&found.key_sum, (bdl__key){.high = (uint64_t)said[SAY_KEYS_HIGH],
                                                .low = (uint64_t)said[SAY_KEYS_LOW]});
        found.shape = said[SAY_N] > 0 ? shape_said(said, SAY_RANK) : found.shape;
    }
    *info = found;
    return BDL_OK;
}

static exchange exchange_of(const bdl_allocator *allocator, bdl__group *group,
                            const bdl__dataset *rows)
{
    return (exchange){.allocator = allocator,
                      .group = group,
                      .rows = rows,
                      .rank = bdl__group_rank(group),
                      .n_ranks = bdl__group_size(group),
                      .out.allocator = allocator,
                      .in.allocator = allocator};
}

bdl_status bdl__exchange_meet(const bdl_allocator *allocator, bdl__group *group,
                              const bdl__dataset *rows, bdl__exchange_info *info)
{
    const exchange x = exchange_of(allocator, group, rows);
    const size_t size = (size_t)x.n_ranks * N_SAID * sizeof(int64_t);
    void *all = NULL;
    bdl_status status = bdl__alloc(allocator, size, &all);
    if (status == BDL_OK) {
        status = meet(&x, all, info);
        bdl__free(allocator, all, size);
    }
    if (status != BDL_OK) {
        bdl__group_abort(group, status, bdl_last_error());
    }
    return status;
}

/* ---- the own rows in order ---------------------------------------------------------------------- */

static bdl_status sort_own(exchange *x)
{
    const int64_t n = x->rows->n;
    const size_t size = (size_t)n * sizeof(uint32_t);
    void *memory = NULL;
    BDL__CHECK(n < UINT32_MAX, BDL_ERR_UNSUPPORTED, "a rank pushes fewer than 2^32 - 1 rows, this one %lld",
               (long long)n);
    BDL__TRY(bdl__alloc(x->allocator, (size_t)n * sizeof(bdl__key), &memory));
    x->keys = memory;
    BDL__TRY(bdl__alloc(x->allocator, size, &memory));
    x->order = memory;
    for (int64_t i = 0; i < n; i++) {
        BDL__TRY(bdl__dataset_key(x->rows, i, &x->sample, &x->keys[i]));
    }
    BDL__TRY(bdl__alloc(x->allocator, size, &memory));
    const bdl_status status = bdl__sort_keys(x->allocator, x->keys, n, x->order, memory);
    bdl__free(x->allocator, memory, size);
    return status;
}

static bool is_less(bdl__key a, bdl__key b)
{
    return a.high != b.high ? a.high < b.high : a.low < b.low;
}

/* The first of the sorted rows [begin, end) whose key is not less. */
static int64_t find(const exchange *x, int64_t begin, int64_t end, bdl__key key)
{
    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;
        if (is_less(x->keys[x->order[middle]], key)) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

/* ---- cuts --------------------------------------------------------------------------------------- */

/* A search for the key at a position in the order of all rows. */
typedef struct search {
    int64_t position;   /* 0 < position < n, else nothing is searched */
    bdl__key key;       /* its bytes so far, the rest zero */
    int64_t before;     /* rows of all ranks with lower keys */
    int64_t begin, end; /* own rows whose keys have these bytes */
} search;

static bdl__key with_byte(bdl__key key, int i_byte, int64_t value)
{
    if (i_byte < 8) {
        key.high |= (uint64_t)value << (56 - 8 * i_byte);
    } else {
        key.low |= (uint64_t)value << (120 - 8 * i_byte);
    }
    return key;
}

/* begins[v] = the first own row whose next byte is at least v, for v in 0 .. 256. */
static void split_by_byte(const exchange *x, const search *s, int i_byte, int64_t begins[257])
{
    begins[0] = s->begin;
    begins[256] = s->end;
    for (int64_t v = 1; v < 256; v++) {
        begins[v] = find(x, begins[v - 1], s->end, with_byte(s->key, i_byte, v));
    }
}

/* One round: the next byte of every key. `counts` has 256 numbers a search. */
static bdl_status refine(const exchange *x, search *searches, int64_t n_searches, int i_byte,
                         int64_t *counts)
{
    int64_t begins[257];
    for (int64_t i = 0; i < n_searches; i++) {
        split_by_byte(x, &searches[i], i_byte, begins);
        for (int64_t v = 0; v < 256; v++) {
            counts[256 * i + v] = begins[v + 1] - begins[v];
        }
    }
    BDL__TRY(sum_all(x, counts, 256 * n_searches));
    for (int64_t i = 0; i < n_searches; i++) {
        search *const s = &searches[i];
        int64_t v = 0;
        while (v < 255 && s->before + counts[256 * i + v] <= s->position) {
            s->before += counts[256 * i + v++];
        }
        split_by_byte(x, s, i_byte, begins);
        s->begin = begins[v];
        s->end = begins[v + 1];
        s->key = with_byte(s->key, i_byte, v);
    }
    return BDL_OK;
}

/* Own rows that lie before each position: those with lower keys, and this rank's share of the equal ones. */
static bdl_status cut_equal_rows(const exchange *x, const search *searches, int64_t n_searches,
                                 int64_t n_all, int64_t *equal)
{
    for (int64_t i = 0; i < n_searches; i++) {
        equal[n_searches * x->rank + i] = searches[i].end - searches[i].begin;
    }
    BDL__TRY(gather(x, equal, n_searches));
    for (int64_t i = 0; i < n_searches; i++) {
        const search *const s = &searches[i];
        int64_t left = s->position - s->before;
        for (int r = 0; r < x->rank; r++) {
            left -= equal[n_searches * r + i];
        }
        const int64_t own = s->end - s->begin;
        x->places[i + 1] = s->begin + BDL__MAX(0, BDL__MIN(left, own));
        if (s->position <= 0 || s->position >= n_all) {
            x->places[i + 1] = s->position <= 0 ? 0 : x->rows->n;
        }
    }
    return BDL_OK;
}

static bdl_status find_places(exchange *x, int64_t n_all, const int64_t *cuts)
{
    const int64_t n = x->n_ranks - 1; /* cuts between ranks */
    bdl__arena arena;
    void *places = NULL, *searches = NULL, *counts = NULL, *equal = NULL;
    BDL__TRY(bdl__alloc(x->allocator, (size_t)(n + 2) * sizeof(int64_t), &places));
    x->places = places;
    x->places[n + 1] = x->rows->n;
    bdl__arena_init(&arena, x->allocator);
    bdl_status status;
    BDL__TRY_DONE(status, bdl__arena_alloc(&arena, (size_t)(n + 1) * sizeof(search), &searches));
    BDL__TRY_DONE(status, bdl__arena_alloc(&arena, (size_t)(n + 1) * 256 * sizeof(int64_t), &counts));
    BDL__TRY_DONE(status, bdl__arena_alloc(&arena, (size_t)((n + 1) * x->n_ranks) * sizeof(int64_t),
                                           &equal));
    for (int64_t i = 0; i < n; i++) {
        ((search *)searches)[i] = (search){.position = cuts[i + 1], .end = x->rows->n};
    }
    for (int i_byte = 0; i_byte < N_BYTES && n > 0; i_byte++) {
        BDL__TRY_DONE(status, refine(x, searches, n, i_byte, counts));
    }
    BDL__TRY_DONE(status, n > 0 ? cut_equal_rows(x, searches, n, n_all, equal) : BDL_OK);
done:
    bdl__arena_free(&arena);
    return status;
}

/* ---- frames ------------------------------------------------------------------------------------- */

/* Before a frame goes its header; a frame of no rows is the last. */
typedef struct frame_header {
    int64_t n_rows, size;
} frame_header;

/* Before each record. Records are padded to 8 bytes. */
typedef struct record_header {
    bdl__key key;
    int64_t size;
    int64_t label;
} record_header;

/* Grows without losing what is in it, unlike bdl__buffer_need. */
static bdl_status extend(bdl__buffer *buffer, size_t size)
{
    if (size > buffer->size) {
        const size_t more = BDL__MAX(size, 2 * buffer->size);
        BDL__TRY(bdl__realloc(buffer->allocator, buffer->size, more, &buffer->data));
        buffer->size = more;
    }
    return BDL_OK;
}

/* Fills a frame with own rows from `*at` on. */
static bdl_status fill_frame(exchange *x, int64_t *at, int64_t end, frame_header *header)
{
    *header = (frame_header){0};
    while (*at < end && header->size < FRAME_SIZE) {
        bdl__row_record record;
        BDL__TRY(bdl__rows_record(x->rows, x->order[*at], &x->sample, &record));
        BDL__CHECK(record.size <= MOST_RECORD, BDL_ERR_UNSUPPORTED,
                   "data '%s': a row has %zu bytes, more than %d", x->rows->text, record.size,
                   MOST_RECORD);
        const record_header head = {
            .key = record.key, .size = (int64_t)record.size, .label = record.label};
        const size_t begin = (size_t)header->size;
        const size_t next = begin + sizeof head + bdl__align_up(record.size, 8);
        BDL__TRY(extend(&x->out, next));
        char *const to = (char *)x->out.data + begin;
        memcpy(to, &head, sizeof head);
        memcpy(to + sizeof head, record.bytes, record.size);
        header->size = (int64_t)next;
        header->n_rows++;
        ++*at;
    }
    return BDL_OK;
}

/* Keeps the rows of a frame that has come from `peer`. */
static bdl_status keep_frame(exchange *x, int peer, const frame_header *header)
{
    const char *at = x->in.data;
    const char *const end = at + header->size;
    for (int64_t i = 0; i < header->n_rows; i++) {
        record_header head = {.size = -1};
        if (end - at >= (int64_t)sizeof head) {
            memcpy(&head, at, sizeof head);
        }
        BDL__CHECK(head.size >= 0 && head.size <= end - at - (int64_t)sizeof head, BDL_ERR_FORMAT,
                   "rank %d sent rows that end too early", peer);
        const bdl__row_record record = {.key = head.key,
                                        .label = (int32_t)head.label,
                                        .bytes = at + sizeof head,
                                        .size = (size_t)head.size};
        BDL__TRY(bdl__rows_add_record(x->sorted, &record));
        at += sizeof head + bdl__align_up((size_t)head.size, 8);
    }
    return BDL_OK;
}

static bdl_status receive_frame(exchange *x, int peer, bool *is_last)
{
    frame_header header;
    bdl__request request = {0};
    BDL__TRY(bdl__group_recv(x->group, peer, TAG(1), &header, sizeof header, &request));
    BDL__TRY(bdl__group_wait(x->group, &request));
    *is_last = header.n_rows == 0;
    if (*is_last) {
        return BDL_OK;
    }
    const int64_t most = FRAME_SIZE + (int64_t)MOST_RECORD + 64;
    BDL__CHECK(header.n_rows > 0 && header.size > 0 && header.size <= most, BDL_ERR_FORMAT,
               "rank %d sent a frame of %lld rows in %lld bytes", peer, (long long)header.n_rows,
               (long long)header.size);
    BDL__TRY(bdl__buffer_need(&x->in, (size_t)header.size));
    BDL__TRY(bdl__group_recv(x->group, peer, TAG(2), x->in.data, (size_t)header.size, &request));
    BDL__TRY(bdl__group_wait(x->group, &request));
    return keep_frame(x, peer, &header);
}

/* Frames to one rank and from another until both are done. */
static bdl_status swap_rows(exchange *x, int to, int from)
{
    int64_t at = x->places[to];
    bool has_sent = false, has_all = false;
    while (!has_sent || !has_all) {
        frame_header header;
        bdl__request requests[2] = {{0}};
        bdl_status status = BDL_OK;
        if (!has_sent) {
            BDL__TRY(fill_frame(x, &at, x->places[to + 1], &header));
            has_sent = header.n_rows == 0;
            BDL__TRY(bdl__group_send(x->group, to, TAG(1), &header, sizeof header, &requests[0]));
            if (!has_sent) {
                status = bdl__group_send(x->group, to, TAG(2), x->out.data, (size_t)header.size,
                                         &requests[1]);
            }
        }
        if (status == BDL_OK && !has_all) {
            status = receive_frame(x, from, &has_all);
        }
        if (status != BDL_OK) { /* the requests end with the group */
            bdl__group_abort(x->group, status, bdl_last_error());
        }
        const bdl_status sent = bdl__group_wait_all(x->group, requests, 2);
        BDL__TRY(status);
        BDL__TRY(sent);
    }
    return BDL_OK;
}

static bdl_status keep_own(exchange *x)
{
    for (int64_t i = x->places[x->rank]; i < x->places[x->rank + 1]; i++) {
        bdl__row_record record;
        BDL__TRY(bdl__rows_record(x->rows, x->order[i], &x->sample, &record));
        BDL__TRY(bdl__rows_add_record(x->sorted, &record));
    }
    return BDL_OK;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static bdl_status move_rows(exchange *x, const bdl__exchange_info *info, const int64_t *cuts)
{
    BDL__TRY(sort_own(x));
    BDL__TRY(find_places(x, info->n, cuts));
    BDL__TRY(bdl__rows_create_like(x->rows, &x->sorted));
    BDL__TRY(keep_own(x));
    for (int k = 1; k < x->n_ranks; k++) {
        BDL__TRY(swap_rows(x, (x->rank + k) % x->n_ranks, (x->rank - k + x->n_ranks) % x->n_ranks));
    }
    const int64_t expected = cuts[x->rank + 1] - cuts[x->rank];
    BDL__CHECK(x->sorted->n == expected, BDL_ERR_INTERNAL,
               "data '%s': expected %lld rows from the exchange, got %lld", x->rows->text,
               (long long)expected, (long long)x->sorted->n);
    return bdl__rows_finish_sorted(x->sorted, info->n, cuts[x->rank], info->n_classes, &info->shape);
}

bdl_status bdl__exchange_rows(const bdl_allocator *allocator, bdl__group *group,
                              const bdl__dataset *rows, const bdl__exchange_info *info,
                              const int64_t *cuts, bdl__dataset **sorted)
{
    exchange x = exchange_of(allocator, group, rows);
    bdl__sample_init(&x.sample, allocator);
    const bdl_status status = move_rows(&x, info, cuts);
    if (status == BDL_OK) {
        *sorted = x.sorted;
    } else {
        bdl__group_abort(group, status, bdl_last_error());
        bdl__dataset_free(x.sorted);
    }
    bdl__sample_free(&x.sample);
    bdl__buffer_free(&x.in);
    bdl__buffer_free(&x.out);
    bdl__free(allocator, x.keys, (size_t)rows->n * sizeof(bdl__key));
    bdl__free(allocator, x.order, (size_t)rows->n * sizeof(uint32_t));
    bdl__free(allocator, x.places, (size_t)(x.n_ranks + 1) * sizeof(int64_t));
    return status;
}
