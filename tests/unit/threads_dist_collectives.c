/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/* Collectives of 1, 2, 3 and 5 ranks against sums that the test forms itself, bit by bit. */
#include <stdlib.h>
#include <string.h>

#include "dist_ranks.h"
#include "test.h"

static const int rank_counts[] = {1, 2, 3, 5};

/* Element i of a rank's data: numbers whose sum depends on the order. */
static float element(int rank, int64_t i)
{
    const uint64_t x =
        ((uint64_t)rank * 0x9E3779B97F4A7C15 + (uint64_t)i * 0xD1B54A32D192ED03) >> 11;
    const double magnitudes[4] = {1.0, 1e-3, 1e4, 3e-7};
    return (float)(((double)(x % 100003) / 50000.0 - 1.0) * magnitudes[x % 4]);
}

static float bf16_value(uint16_t x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The nearest bf16, found by comparing both neighbors. */
static uint16_t nearest_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t low = (uint16_t)(bits >> 16);
    const uint16_t high = (uint16_t)(low + 1);
    const double to_low = (double)x - (double)bf16_value(low);
    const double to_high = (double)bf16_value(high) - (double)x;
    const double a = to_low < 0 ? -to_low : to_low;
    const double b = to_high < 0 ? -to_high : to_high;
    return a < b || (a == b && low % 2 == 0) ? low : high;
}

/* The sum of ranks [first, first + n) by the rule of dist.h. */
static float tree_sum(int first, int n, int64_t i, bool is_bf16)
{
    if (n == 1) {
        return is_bf16 ? bf16_value(nearest_bf16(element(first, i))) : element(first, i);
    }
    int half = 1;
    while (2 * half < n) {
        half *= 2;
    }
    return tree_sum(first, half, i, is_bf16) + tree_sum(first + half, n - half, i, is_bf16);
}

typedef struct work {
    bdl_dtype dtype;
    int64_t n;
    void *data[MOST_TEST_RANKS];
} work;

static size_t size_of(bdl_dtype dtype)
{
    return dtype == BDL_F32 ? 4 : 2;
}

static void store(const work *w, int rank, int64_t i, float value)
{
    if (w->dtype == BDL_F32) {
        ((float *)w->data[rank])[i] = value;
    } else {
        ((uint16_t *)w->data[rank])[i] = nearest_bf16(value);
    }
}

static bool has(const work *w, int rank, int64_t i, float value)
{
    if (w->dtype == BDL_F32) {
        return memcmp((float *)w->data[rank] + i, &value, sizeof value) == 0;
    }
    return ((uint16_t *)w->data[rank])[i] == nearest_bf16(value);
}

static void all_reduce(test_rank *r)
{
    const work *const w = r->arg;
    dist_note(r, bdl__group_all_reduce(r->group, w->dtype, w->data[r->rank], w->n));
}

static void reduce_scatter(test_rank *r)
{
    const work *const w = r->arg;
    dist_note(r, bdl__group_reduce_scatter(r->group, w->dtype, w->data[r->rank], w->n));
}

static void all_gather(test_rank *r)
{
    const work *const w = r->arg;
    dist_note(r, bdl__group_all_gather(r->group, w->dtype, w->data[r->rank], w->n));
}

static void broadcast_last(test_rank *r)
{
    const work *const w = r->arg;
    dist_note(r, bdl__group_broadcast(r->group, r->n_ranks - 1, w->data[r->rank],
                                      (size_t)w->n * size_of(w->dtype)));
}

static void own_part(int64_t n, int rank, int n_ranks, int64_t *begin, int64_t *end)
{
    *begin = n / n_ranks * rank + (rank < n % n_ranks ? rank : n % n_ranks);
    *end = *begin + n / n_ranks + (rank < n % n_ranks);
}

static void fill(work *w, int n_ranks)
{
    for (int rank = 0; rank < n_ranks; rank++) {
        w->data[rank] = malloc((size_t)w->n * size_of(w->dtype) + 1);
        for (int64_t i = 0; i < w->n; i++) {
            store(w, rank, i, element(rank, i));
        }
    }
}

static void empty(work *w, int n_ranks)
{
    for (int rank = 0; rank < n_ranks; rank++) {
        free(w->data[rank]);
    }
}

/* What element i of `rank` must be afterwards. */
static float wanted(test_rank_fn fn, const work *w, int rank, int n_ranks, int64_t i)
{
    int owner = 0;
    int64_t begin;
    int64_t end;
    for (own_part(w->n, 0, n_ranks, &begin, &end); i >= end; owner++) {
        own_part(w->n, owner + 1, n_ranks, &begin, &end);
    }
    if (fn == all_reduce || (fn == reduce_scatter && owner == rank)) {
        return tree_sum(0, n_ranks, i, w->dtype == BDL_BF16);
    }
    return element(fn == all_gather ? owner : fn == broadcast_last ? n_ranks - 1 : rank, i);
}

static void check_collective(test_rank_fn fn, bdl_dtype dtype, int64_t n, int n_ranks, bool tls)
{
    work w = {.dtype = dtype, .n = n};
    fill(&w, n_ranks);
    dist_run run = {
        .n_ranks = n_ranks, .fn = fn, .arg = &w, .options = {.wait_seconds = 120, .tls = tls}};
    dist_run_ranks(&run);
    CHECK(dist_all_ok(&run));
    int64_t n_wrong = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        for (int64_t i = 0; i < n; i++) {
            n_wrong += !has(&w, rank, i, wanted(fn, &w, rank, n_ranks, i));
        }
    }
    CHECK_EQ_I64(n_wrong, 0);
    empty(&w, n_ranks);
}

static void check_sizes(test_rank_fn fn)
{
    static const int64_t sizes[] = {0, 1, 7, 1000, 70001, 1200007};
    const int64_t n_sizes = BDL__COUNT_OF(sizes) - bdl_test_small();
    for (int64_t k = 0; k < BDL__COUNT_OF(rank_counts); k++) {
        for (int64_t s = 0; s < n_sizes; s++) {
            check_collective(fn, BDL_F32, sizes[s], rank_counts[k], false);
            check_collective(fn, BDL_BF16, sizes[s], rank_counts[k], false);
        }
    }
}

BDL_TEST(all_reduce_sums_in_tree_order)
{
    check_sizes(all_reduce);
}
BDL_TEST(reduce_scatter_sums_the_own_part)
{
    check_sizes(reduce_scatter);
}
BDL_TEST(all_gather_takes_each_part_from_its_owner)
{
    check_sizes(all_gather);
}
BDL_TEST(broadcast_copies_the_root)
{
    check_sizes(broadcast_last);
}

#ifdef BDL_WITH_TLS
BDL_TEST(tls_changes_no_bit)
{
    for (int64_t k = 0; k < BDL__COUNT_OF(rank_counts); k++) {
        check_collective(all_reduce, BDL_F32, 0, rank_counts[k], true);
        check_collective(all_reduce, BDL_F32, 1000, rank_counts[k], true);
        check_collective(all_reduce, BDL_F32, 500009, rank_counts[k], true);
    }
}
#define TLS_TESTS tls_changes_no_bit,
#else
#define TLS_TESTS
#endif

BDL_TEST_MAIN(TLS_TESTS all_reduce_sums_in_tree_order, reduce_scatter_sums_the_own_part,
              all_gather_takes_each_part_from_its_owner, broadcast_copies_the_root)
