/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of rows in training, from the rows' keys alone, so that neither the files' order nor
 * the number of machines has a say (docs/design/rows.md).
 *
 * With n rows, batch B and Q_s = min(16 s, B), slice s owns the sorted rows from floor(n Q_s / B)
 * to floor(n Q_{s+1} / B). For n = B (T - 1) + r with 1 <= r <= B those are (T - 1) q_s rows for
 * the steps before the last, q_s = Q_{s+1} - Q_s, and between 0 and q_s rows for the last: every
 * step but the last is full in every slice, and the counts sum to n.
 *
 * An epoch permutes each slice in two levels: the order of its chunks of 4,096 neighbouring rows, then the rows of
 * each chunk. Data that are larger than memory can so be read chunk by chunk; and the rule is the same for all data,
 * so that where they lie does not matter.
 */
#include "data/data_private.h"

#include <string.h>

struct bdl__order {
    const bdl_allocator *allocator; /* borrowed */
    int64_t n;
    int64_t batch;
    int64_t n_steps;
    int64_t n_slices;
    int64_t first, n_here; /* the sorted rows [first, first + n_here) are here: all, but for data sets that are sorted
                              over ranks, of which whole slices are here */
    bdl__key *keys;    /* owned, [n_here] by row, from `first` where the data set is sorted */
    uint32_t *sorted;  /* owned, [n_here] rows by rising key */
    uint32_t *current; /* owned, [n_here] the same, permuted within each slice for the epoch */
    uint32_t *chunks;  /* owned, [n_chunks] for the order of a slice's chunks */
};

static int64_t most_chunks(int64_t n)
{
    return n / BDL__CHUNK_ROWS + 1;
}

static uint32_t digit_of(bdl__key key, int pass)
{
    return (uint32_t)((pass < 4 ? key.low : key.high) >> 16 * (pass % 4)) & 0xffff;
}

/* One pass of a radix sort, on 16 bits of the keys from the lowest. Stable. */
static void sort_pass(const bdl__key *keys, const uint32_t *from, uint32_t *to, int64_t n, int pass,
                      uint32_t *counts)
{
    memset(counts, 0, 65536 * sizeof(uint32_t));
    for (int64_t i = 0; i < n; i++) {
        counts[digit_of(keys[i], pass)]++;
    }
    uint32_t begin = 0;
    for (int64_t i = 0; i < 65536; i++) {
        const uint32_t count = counts[i];
        counts[i] = begin;
        begin += count;
    }
    for (int64_t i = 0; i < n; i++) {
        to[counts[digit_of(keys[from[i]], pass)]++] = from[i];
    }
}

/* Passes from the first one to the last, of which there is an even number: the result is in `sorted`. */
static void sort_from(int first, const bdl__key *keys, int64_t n, uint32_t *sorted,
                      uint32_t *scratch, uint32_t *counts)
{
    for (int64_t i = 0; i < n; i++) {
        sorted[i] = (uint32_t)i;
    }
    for (int pass = first; pass < 8; pass++) {
        uint32_t *from = pass % 2 == 0 ? sorted : scratch;
        uint32_t *to = pass % 2 == 0 ? scratch : sorted;
        sort_pass(keys, from, to, n, pass, counts);
    }
}

static bool is_in_order(const bdl__key *keys, const uint32_t *sorted, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        const bdl__key a = keys[sorted[i - 1]], b = keys[sorted[i]];
        if (a.high == b.high && a.low > b.low) {
            return false;
        }
    }
    return true;
}

/* Rows with equal high words are equal rows nearly always. Not where a program names its rows. */
bdl_status bdl__sort_keys(const bdl_allocator *allocator, const bdl__key *keys, int64_t n,
                          uint32_t *sorted, uint32_t *scratch)
{
    void *counts = NULL;
    BDL__TRY(bdl__alloc(allocator, 65536 * sizeof(uint32_t), &counts));
    sort_from(4, keys, n, sorted, scratch, counts);
    if (!is_in_order(keys, sorted, n)) {
        sort_from(0, keys, n, sorted, scratch, counts);
    }
    bdl__free(allocator, counts, 65536 * sizeof(uint32_t));
    return BDL_OK;
}

static bdl_status sort_rows(bdl__order *order)
{
    BDL__TRY(bdl__sort_keys(order->allocator, order->keys, order->n, order->sorted, order->current));
    memcpy(order->current, order->sorted, (size_t)order->n * sizeof(uint32_t));
    return BDL_OK;
}

/* An order whose keys are still to be filled, for n rows of which [first, end) are here. */
static bdl_status create_empty(const bdl_allocator *allocator, int64_t n, int64_t first, int64_t end,
                               int64_t batch, bdl__order **order)
{
    BDL__CHECK(batch >= 1 && batch <= INT32_MAX, BDL_ERR_INVALID_ARGUMENT,
               "batch must be in [1, 2^31), got %lld", (long long)batch);
    BDL__CHECK(n >= 1 && n < UINT32_MAX, BDL_ERR_UNSUPPORTED,
               "a data set has 1 to 2^32 - 2 rows, this one %lld", (long long)n);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__order), &memory));
    bdl__order *made = memory;
    *made = (bdl__order){.allocator = allocator,
                         .n = n,
                         .first = first,
                         .n_here = end - first,
                         .batch = batch,
                         .n_steps = (n + batch - 1) / batch,
                         .n_slices = (batch + BDL__SLICE_ROWS - 1) / BDL__SLICE_ROWS};
    void *keys = NULL, *sorted = NULL, *current = NULL, *chunks = NULL;
    bdl_status status;
    BDL__TRY_DONE(status, bdl__alloc(allocator, (size_t)made->n_here * sizeof(bdl__key), &keys));
    made->keys = keys;
    BDL__TRY_DONE(status, bdl__alloc(allocator, (size_t)made->n_here * sizeof(uint32_t), &sorted));
    made->sorted = sorted;
    BDL__TRY_DONE(status, bdl__alloc(allocator, (size_t)made->n_here * sizeof(uint32_t), &current));
    made->current = current;
    BDL__TRY_DONE(status,
                  bdl__alloc(allocator, (size_t)most_chunks(made->n_here) * sizeof(uint32_t), &chunks));
    made->chunks = chunks;
    *order = made;
    return BDL_OK;
done:
    bdl__order_free(made);
    return status;
}

void bdl__order_free(bdl__order *order)
{
    if (order == NULL) {
        return;
    }
    const bdl_allocator *allocator = order->allocator;
    if (order->keys != NULL) {
        bdl__free(allocator, order->keys, (size_t)order->n_here * sizeof(bdl__key));
    }
    if (order->sorted != NULL) {
        bdl__free(allocator, order->sorted, (size_t)order->n_here * sizeof(uint32_t));
    }
    if (order->current != NULL) {
        bdl__free(allocator, order->current, (size_t)order->n_here * sizeof(uint32_t));
    }
    bdl__free(allocator, order->chunks, (size_t)most_chunks(order->n_here) * sizeof(uint32_t));
    bdl__free(allocator, order, sizeof(bdl__order));
}

bdl_status bdl__order_from_keys(const bdl_allocator *allocator, const bdl__key *keys, int64_t n,
                                int64_t batch, bdl__order **order)
{
    bdl__order *made;
    BDL__TRY(create_empty(allocator, n, 0, n, batch, &made));
    memcpy(made->keys, keys, (size_t)n * sizeof(bdl__key));
    const bdl_status status = sort_rows(made);
    if (status != BDL_OK) {
        bdl__order_free(made);
        return status;
    }
    *order = made;
    return BDL_OK;
}

typedef struct key_work {
    const bdl__dataset *dataset;
    bdl__key *keys;
    int64_t first;          /* row of keys[0] */
    _Atomic int64_t failed; /* a row whose key could not be computed, or -1 */
} key_work;

static void compute_keys(void *arg, int64_t begin, int64_t end, int worker)
{
    key_work *work = arg;
    (void)worker;
    bdl__sample sample;
    bdl__sample_init(&sample, work->dataset->allocator);
    for (int64_t i = begin; i < end; i++) {
        if (bdl__dataset_key(work->dataset, work->first + i, &sample, &work->keys[i]) != BDL_OK) {
            atomic_store(&work->failed, work->first + i);
            break;
        }
    }
    bdl__sample_free(&sample);
}

/* Says again, on this thread, why the key of a row could not be computed. */
static bdl_status key_failure(const bdl__dataset *dataset, int64_t row)
{
    bdl__sample sample;
    bdl__key key;
    bdl__sample_init(&sample, dataset->allocator);
    bdl_status status = bdl__dataset_key(dataset, row, &sample, &key);
    bdl__sample_free(&sample);
    if (status == BDL_OK) {
        status = bdl__fail(BDL_ERR_OUT_OF_MEMORY, "data '%s': no memory for the key of sample %lld",
                           dataset->text, (long long)row);
    }
    return status;
}

/* keys[i] := the key of row first + i, for n rows. */
static bdl_status find_keys(const bdl__dataset *dataset, bdl__pool *pool, int64_t first, int64_t n,
                            bdl__key *keys)
{
    key_work work = {.dataset = dataset, .keys = keys, .first = first, .failed = -1};
    BDL__TRY(bdl__data_parallel(pool, n, 256, compute_keys, &work));
    const int64_t failed = atomic_load(&work.failed);
    return failed >= 0 ? key_failure(dataset, failed) : BDL_OK;
}

bdl_status bdl__dataset_sum_keys(const bdl_allocator *allocator, const bdl__dataset *dataset,
                                 bdl__pool *pool, bdl__key *sum)
{
    const int64_t first = dataset->is_sorted ? dataset->first_row : 0;
    const int64_t n = dataset->is_sorted ? dataset->end_row - first : dataset->n;
    const size_t size = (size_t)n * sizeof(bdl__key);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, size, &memory));
    bdl__key *keys = memory;
    const bdl_status status = find_keys(dataset, pool, first, n, keys);
    *sum = (bdl__key){0};
    for (int64_t i = 0; i < n && status == BDL_OK; i++) {
        bdl__key_add(sum, keys[i]);
    }
    bdl__free(allocator, memory, size);
    return status;
}

bdl_status bdl__order_create(const bdl_allocator *allocator, const bdl__dataset *dataset,
                             bdl__pool *pool, int64_t batch, bdl__order **order)
{
    bdl__order *made;
    const int64_t first = dataset->is_sorted ? dataset->first_row : 0;
    const int64_t end = dataset->is_sorted ? dataset->end_row : dataset->n;
    BDL__TRY(create_empty(allocator, dataset->n, first, end, batch, &made));
    bdl_status status;
    BDL__TRY_DONE(status, find_keys(dataset, pool, first, made->n_here, made->keys));
    if (dataset->is_sorted) {
        for (int64_t i = 0; i < made->n_here; i++) {
            made->sorted[i] = made->current[i] = (uint32_t)(first + i);
        }
    } else {
        BDL__TRY_DONE(status, sort_rows(made));
    }
    *order = made;
    return BDL_OK;
done:
    bdl__order_free(made);
    return status;
}

int64_t bdl__order_steps(const bdl__order *order)
{
    return order->n_steps;
}

int64_t bdl__order_slices(const bdl__order *order)
{
    return order->n_slices;
}

const bdl__key *bdl__order_key(const bdl__order *order, int64_t row)
{
    return &order->keys[row - order->first];
}

/* Samples of the slices before slice s in a full step. */
static int64_t quota_before(const bdl__order *order, int64_t slice)
{
    return BDL__MIN(slice * BDL__SLICE_ROWS, order->batch);
}

/* floor(n Q / B) without overflow: with n = a B + b it is a Q + floor(b Q / B). */
int64_t bdl__slice_begin(int64_t n, int64_t batch, int64_t slice)
{
    const int64_t quota = BDL__MIN(slice * BDL__SLICE_ROWS, batch);
    return n / batch * quota + n % batch * quota / batch;
}

static int64_t slice_begin(const bdl__order *order, int64_t slice)
{
    return bdl__slice_begin(order->n, order->batch, slice);
}

/* Permutes n rows by numbers of the slice's stream (Fisher and Yates, from the end). */
static void permute(bdl__rng *rng, uint32_t *rows, int64_t n)
{
    for (int64_t left = n; left > 1; left--) {
        const uint64_t other = bdl__rng_below(rng, (uint64_t)left);
        const uint32_t row = rows[other];
        rows[other] = rows[left - 1];
        rows[left - 1] = row;
    }
}

/* A slice's n sorted rows, chunk by chunk, the chunks in a new order, into `to`. `chunks` has room for all. */
static void permute_chunks(bdl__rng *rng, const uint32_t *from, uint32_t *to, int64_t n,
                           uint32_t *chunks)
{
    const int64_t n_chunks = (n + BDL__CHUNK_ROWS - 1) / BDL__CHUNK_ROWS;
    for (int64_t i = 0; i < n_chunks; i++) {
        chunks[i] = (uint32_t)i;
    }
    permute(rng, chunks, n_chunks);
    for (int64_t i = 0; i < n_chunks; i++) {
        const int64_t begin = (int64_t)chunks[i] * BDL__CHUNK_ROWS;
        const int64_t size = BDL__MIN((int64_t)BDL__CHUNK_ROWS, n - begin);
        memcpy(to, from + begin, (size_t)size * sizeof(uint32_t));
        permute(rng, to, size);
        to += size;
    }
}

void bdl__order_shuffle(bdl__order *order, uint64_t seed, int64_t epoch)
{
    for (int64_t slice = 0; slice < order->n_slices; slice++) {
        const int64_t begin = slice_begin(order, slice);
        const int64_t n = slice_begin(order, slice + 1) - begin;
        const int64_t at = begin - order->first;
        if (at < 0 || at + n > order->n_here) {
            continue; /* elsewhere */
        }
        bdl__rng rng;
        bdl__rng_init(&rng, seed, BDL__RNG_SHUFFLE, (uint32_t)slice, (uint32_t)epoch);
        permute_chunks(&rng, order->sorted + at, order->current + at, n, order->chunks);
    }
}

/* Where the rows of a slice in a step begin and end in the permutation. */
static void find_rows(const bdl__order *order, int64_t step, int64_t slice, int64_t *begin,
                      int64_t *end)
{
    const int64_t quota = quota_before(order, slice + 1) - quota_before(order, slice);
    const int64_t last = slice_begin(order, slice + 1);
    *begin = BDL__MIN(slice_begin(order, slice) + step * quota, last);
    *end = BDL__MIN(*begin + quota, last);
}

int64_t bdl__order_count(const bdl__order *order, int64_t step, int64_t slice)
{
    int64_t begin, end;
    find_rows(order, step, slice, &begin, &end);
    return end - begin;
}

int bdl__order_rows(const bdl__order *order, int64_t step, int64_t slice,
                    int64_t rows[BDL__SLICE_ROWS])
{
    int64_t begin, end;
    find_rows(order, step, slice, &begin, &end);
    int n = 0;
    for (int64_t i = begin; i < end; i++) {
        rows[n++] = order->current[i - order->first];
    }
    return n;
}
