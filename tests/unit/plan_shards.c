/* SPDX-License-Identifier: Apache-2.0 */
/* Shards: even runs of slices, steps that lack slices, and sums of small vectors in the order of the tree. */
#include <string.h>

#include "plan/tree.h"
#include "test.h"

enum { MOST = 3000 };

static int64_t bounds[MOST + 1], places[MOST];

/* Counts of slices, and of shards that they are cut into. */
static const struct {
    int64_t n_slices, n_shards;
} cuts[] = {{1, 1}, {7, 5}, {7, 7}, {8, 4}, {32, 3}, {32, 1}, {33, 32}, {100, 7}, {1025, 1024}, {2999, 1024}};

/* The shard of a slice of the full batch, by the definition: shard s begins at floor(s n / S). */
static int64_t shard_of(int64_t slice, int64_t n_slices, int64_t n_shards)
{
    int64_t shard = 0;
    while (shard + 1 < n_shards && (shard + 1) * n_slices / n_shards <= slice) {
        shard++;
    }
    return shard;
}

BDL_TEST(full_batches_are_cut_evenly)
{
    for (int64_t c = 0; c < BDL__COUNT_OF(cuts); c++) {
        const int64_t n = cuts[c].n_slices, n_shards = cuts[c].n_shards;
        REQUIRE(bdl__shards_cut(n_shards, n, NULL, n, 0, bounds) == n_shards);
        const bdl__shards shards = {.n = n_shards, .end = n_shards, .bounds = bounds};
        for (int64_t s = 0; s < n_shards; s++) {
            int64_t begin, end;
            bdl__shard_slices(s, n_shards, n, &begin, &end);
            CHECK(begin == bounds[s] && end == bounds[s + 1]);
            CHECK(end - begin == n / n_shards || end - begin == n / n_shards + 1);
        }
        CHECK(bounds[0] == 0 && bounds[n_shards] == n);
        for (int64_t i = 0; i < n; i++) {
            REQUIRE(bdl__shards_find(&shards, i) == shard_of(i, n, n_shards));
        }
    }
}

/* Every third slice is left, and none of the first quarter: shards are what is left of the full batch's. */
BDL_TEST(steps_that_lack_slices_keep_the_cuts)
{
    for (int64_t c = 0; c < BDL__COUNT_OF(cuts); c++) {
        const int64_t n = cuts[c].n_slices, n_shards = cuts[c].n_shards, first = 40;
        int64_t n_here = 0, n_found = 0;
        for (int64_t i = n / 4; i < n; i += 3) {
            places[n_here++] = i;
        }
        const int64_t got = bdl__shards_cut(n_shards, n, places, n_here, first, bounds);
        CHECK_EQ_I64(bdl__shards_cut(n_shards, n, places, n_here, first, NULL), got);
        const bdl__shards shards = {.n = 5 + got, .first = 5, .end = 5 + got, .bounds = bounds};
        for (int64_t i = 0; i < n_here; i++) {
            const bool is_new = i == 0 || shard_of(places[i], n, n_shards) != shard_of(places[i - 1], n, n_shards);
            n_found += is_new;
            REQUIRE(bdl__shards_find(&shards, first + i) == 5 + n_found - 1);
            CHECK(!is_new || bounds[n_found - 1] == first + i);
        }
        CHECK_EQ_I64(got, n_found);
        CHECK_EQ_I64(bounds[got], first + n_here);
    }
}

BDL_TEST(nothing_has_no_shards)
{
    CHECK_EQ_I64(bdl__shards_cut(3, 7, places, 0, 12, bounds), 0);
    CHECK_EQ_I64(bounds[0], 12);
}

/* Numbers whose sum depends on the order. */
static double row_value(int64_t i, int64_t k) { return (double)((i * 37 + k * 11) % 101) * 0.1 + 1e-3 / (double)(i + 1); }

/* The sum of shards [first, first + 2^level), as the definition says. */
static double tree(const bdl__shards *shards, int level, int64_t first, int64_t k)
{
    if (level == 0) {
        double sum = row_value(shards->bounds[first], k);
        for (int64_t i = shards->bounds[first] + 1; i < shards->bounds[first + 1]; i++) {
            sum += row_value(i, k);
        }
        return sum;
    }
    const int64_t middle = first + ((int64_t)1 << (level - 1));
    const double left = tree(shards, level - 1, first, k);
    return middle < shards->n ? left + tree(shards, level - 1, middle, k) : left;
}

BDL_TEST(small_vectors_are_added_shard_by_shard)
{
    static double rows[MOST][2];
    for (int64_t i = 0; i < MOST; i++) {
        rows[i][0] = row_value(i, 0);
        rows[i][1] = row_value(i, 1);
    }
    int n_other = 0;
    for (int64_t c = 0; c < BDL__COUNT_OF(cuts); c++) {
        const int64_t n = cuts[c].n_slices, n_shards = cuts[c].n_shards;
        double totals[2], in_order = 0;
        (void)bdl__shards_cut(n_shards, n, NULL, n, 0, bounds);
        const bdl__shards shards = {.n = n_shards, .end = n_shards, .bounds = bounds};
        const bdl__tree_sum sum = {.rows = rows[0], .stride = 2, .shards = &shards, .n_parts_slice = 1,
                                   .merge = bdl__merge_add};
        const bdl__tree_node root = bdl__tree_root(n_shards);
        bdl__tree_sum_node(&sum, root, 0, 2, totals);
        for (int64_t i = 0; i < n; i++) {
            in_order += rows[i][1];
        }
        for (int64_t k = 0; k < 2; k++) {
            const double want = tree(&shards, root.level, 0, k);
            CHECK(memcmp(&want, &totals[k], sizeof want) == 0);
        }
        n_other += memcmp(&in_order, &totals[1], sizeof in_order) != 0;
    }
    CHECK(n_other > 3); /* the order matters */
}

BDL_TEST_MAIN(full_batches_are_cut_evenly, steps_that_lack_slices_keep_the_cuts, nothing_has_no_shards,
              small_vectors_are_added_shard_by_shard)
