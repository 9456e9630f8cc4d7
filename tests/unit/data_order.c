/* SPDX-License-Identifier: Apache-2.0 */
/* The order of rows: slices at exact quantiles, permutations, independence of the rows' place. */
#include <stdlib.h>
#include <string.h>

#include "counting_allocator.h"
#include "data_helpers.h"
#include "test.h"

static bdl__key *random_keys(int64_t n)
{
    bdl__key *keys = malloc((size_t)n * sizeof *keys);
    for (int64_t i = 0; keys != NULL && i < n; i++) {
        keys[i] = (bdl__key){bdl_test_random(), bdl_test_random()};
    }
    return keys;
}

static void check_epoch(bdl__order *order, int64_t n, int64_t batch, uint8_t *seen)
{
    int64_t rows[BDL__SLICE_ROWS], total = 0;
    memset(seen, 0, (size_t)n);
    const int64_t n_steps = bdl__order_steps(order);
    for (int64_t step = 0; step < n_steps; step++) {
        int64_t of_step = 0;
        for (int64_t slice = 0; slice < bdl__order_slices(order); slice++) {
            const int64_t quota = BDL__MIN(INT64_C(16), batch - 16 * slice);
            const int got = bdl__order_rows(order, step, slice, rows);
            REQUIRE(got >= 0 && got <= quota);
            REQUIRE(step == n_steps - 1 || got == quota);
            for (int i = 0; i < got; i++) {
                REQUIRE(rows[i] >= 0 && rows[i] < n && !seen[rows[i]]);
                seen[rows[i]] = 1;
            }
            of_step += got;
        }
        REQUIRE(of_step == BDL__MIN(batch, n - step * batch));
        total += of_step;
    }
    CHECK_EQ_I64(total, n);
}

BDL_TEST(every_row_comes_once_an_epoch_and_only_the_last_step_is_short)
{
    static const int64_t sizes[] = {1, 2, 15, 16, 17, 100, 257, 1000, 4099};
    static const int64_t batches[] = {1, 3, 15, 16, 17, 31, 32, 33, 100, 128, 130, 5000};
    for (int64_t i = 0; i < BDL__COUNT_OF(sizes); i++) {
        bdl__key *keys = random_keys(sizes[i]);
        uint8_t *seen = malloc((size_t)sizes[i]);
        for (int64_t j = 0; j < BDL__COUNT_OF(batches); j++) {
            bdl__order *order = NULL;
            REQUIRE_OK(
                bdl__order_from_keys(bdl__default_allocator(), keys, sizes[i], batches[j], &order));
            CHECK_EQ_I64(bdl__order_steps(order), (sizes[i] + batches[j] - 1) / batches[j]);
            check_epoch(order, sizes[i], batches[j], seen);
            bdl__order_shuffle(order, 7, 3);
            check_epoch(order, sizes[i], batches[j], seen);
            bdl__order_free(order);
        }
        free(seen);
        free(keys);
    }
}

/* The keys of a step's rows, in order. */
static int step_keys(const bdl__order *order, int64_t step, bdl__key *keys)
{
    int64_t rows[BDL__SLICE_ROWS];
    int n = 0;
    for (int64_t slice = 0; slice < bdl__order_slices(order); slice++) {
        const int got = bdl__order_rows(order, step, slice, rows);
        for (int i = 0; i < got; i++) {
            keys[n++] = *bdl__order_key(order, rows[i]);
        }
    }
    return n;
}

BDL_TEST(order_depends_on_content_and_not_on_place)
{
    enum { N = 1000, BATCH = 50 };
    bdl__key *keys = random_keys(N), reversed[N], a[BATCH], b[BATCH];
    for (int i = 0; i < N; i++) {
        keys[i].high = i % 10 == 0 ? keys[0].high : keys[i].high; /* ties in the first word */
    }
    for (int i = 0; i < N; i++) {
        reversed[i] = keys[N - 1 - i];
    }
    bdl__order *one = NULL, *other = NULL;
    REQUIRE_OK(bdl__order_from_keys(bdl__default_allocator(), keys, N, BATCH, &one));
    REQUIRE_OK(bdl__order_from_keys(bdl__default_allocator(), reversed, N, BATCH, &other));
    bdl__order_shuffle(one, 1, 2);
    bdl__order_shuffle(other, 1, 2);
    for (int64_t step = 0; step < bdl__order_steps(one); step++) {
        const int n = step_keys(one, step, a);
        REQUIRE(step_keys(other, step, b) == n);
        REQUIRE(memcmp(a, b, (size_t)n * sizeof a[0]) == 0);
    }
    step_keys(one, 0, a);
    bdl__order_shuffle(one, 1, 3);
    step_keys(one, 0, b);
    CHECK(memcmp(a, b, sizeof a) != 0); /* another epoch */
    bdl__order_shuffle(one, 1, 2);
    step_keys(one, 0, b);
    CHECK(memcmp(a, b, sizeof a) == 0); /* the same one again */
    bdl__order_shuffle(one, 2, 2);
    step_keys(one, 0, b);
    CHECK(memcmp(a, b, sizeof a) != 0); /* another seed */
    bdl__order_free(one);
    bdl__order_free(other);
    free(keys);
}

BDL_TEST(slices_hold_runs_of_sorted_keys)
{
    enum { N = 640, BATCH = 64 };
    bdl__key *keys = random_keys(N), step[BATCH];
    bdl__order *order = NULL;
    REQUIRE_OK(bdl__order_from_keys(bdl__default_allocator(), keys, N, BATCH, &order));
    bdl__order_shuffle(order, 5, 0);
    uint64_t most[4] = {0}, least[4];
    memset(least, 0xff, sizeof least);
    for (int64_t t = 0; t < bdl__order_steps(order); t++) {
        REQUIRE(step_keys(order, t, step) == BATCH);
        for (int i = 0; i < BATCH; i++) {
            most[i / 16] = BDL__MAX(most[i / 16], step[i].high);
            least[i / 16] = BDL__MIN(least[i / 16], step[i].high);
        }
    }
    for (int s = 1; s < 4; s++) {
        CHECK(most[s - 1] < least[s]);
    }
    bdl__order_free(order);
    free(keys);
}

/* In a slice of 10,000 rows, places 0 to 4,095 of the epoch hold one chunk of sorted neighbors, and so on. */
BDL_TEST(long_slices_are_permuted_chunk_by_chunk)
{
    enum { N = 10000, CHUNK = 4096, N_EPOCHS = 8 };
    bdl__key *keys = random_keys(N);
    int64_t *place = malloc(N * sizeof *place), rows[BDL__SLICE_ROWS];
    bdl__order *order = NULL;
    bool has_moved = false;
    REQUIRE(keys != NULL && place != NULL);
    for (int64_t i = 0; i < N; i++) {
        keys[i].high = (uint64_t)i << 40; /* row i is number i in order */
    }
    REQUIRE_OK(bdl__order_from_keys(bdl__default_allocator(), keys, N, 16, &order));
    for (int64_t epoch = 0; epoch < N_EPOCHS; epoch++) {
        bdl__order_shuffle(order, 11, epoch);
        for (int64_t t = 0; t < N / 16; t++) {
            REQUIRE(bdl__order_rows(order, t, 0, rows) == 16);
            memcpy(place + 16 * t, rows, sizeof rows);
        }
        int64_t n_in_order = 0;
        for (int64_t at = 0; at < N;) {
            const int64_t chunk = place[at] / CHUNK;
            const int64_t size = BDL__MIN((int64_t)CHUNK, N - chunk * CHUNK);
            has_moved = has_moved || chunk != at / CHUNK;
            for (int64_t i = 0; i < size; i++) {
                REQUIRE(place[at + i] / CHUNK == chunk);
                n_in_order += place[at + i] == chunk * CHUNK + i;
            }
            at += size;
        }
        CHECK(n_in_order < 100);
    }
    CHECK(has_moved);
    bdl__order_free(order);
    free(place);
    free(keys);
}

BDL_TEST(order_refuses_a_batch_of_none)
{
    const bdl__key key = {1, 2};
    bdl__order *order = NULL;
    CHECK_EQ_I64(bdl__order_from_keys(bdl__default_allocator(), &key, 1, 0, &order),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "batch");
}

BDL_TEST(order_survives_failing_allocations)
{
    const bdl__key keys[3] = {{3, 0}, {1, 0}, {2, 0}};
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__order *order = NULL;
        const bdl_status status = bdl__order_from_keys(&counter.allocator, keys, 3, 2, &order);
        CHECK(status == BDL_OK || status == BDL_ERR_OUT_OF_MEMORY);
        bdl__order_free(order);
    }
}

/* Keys that a program gives may be numbers, all in the low word: many of them, in the worst order. */
BDL_TEST(keys_that_are_numbers_are_sorted_too)
{
    enum { N = 500000 };
    bdl__key *keys = malloc(N * sizeof *keys);
    uint32_t *sorted = malloc(N * sizeof *sorted), *scratch = malloc(N * sizeof *scratch);
    REQUIRE(keys != NULL && sorted != NULL && scratch != NULL);
    for (uint32_t i = 0; i < N; i++) { /* each number twice */
        keys[i] = (bdl__key){.high = 7, .low = (N - 1 - i) / 2 * UINT64_C(0x100000001)};
    }
    REQUIRE_OK(bdl__sort_keys(bdl__default_allocator(), keys, N, sorted, scratch));
    bool is_right = true;
    for (uint32_t i = 0; i < N; i++) {
        is_right = is_right && sorted[i] == (N - 2 - i / 2 * 2) + i % 2;
    }
    CHECK(is_right);
    free(keys);
    free(sorted);
    free(scratch);
}

BDL_TEST_MAIN(every_row_comes_once_an_epoch_and_only_the_last_step_is_short,
              order_depends_on_content_and_not_on_place, slices_hold_runs_of_sorted_keys,
              long_slices_are_permuted_chunk_by_chunk, keys_that_are_numbers_are_sorted_too,
              order_refuses_a_batch_of_none, order_survives_failing_allocations)
