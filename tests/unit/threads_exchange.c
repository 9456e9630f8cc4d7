/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/* Rows find their rank: after the exchange each rank has exactly the rows that a sort of all rows gives it. */
#include "train/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dist_ranks.h"
#include "test.h"

enum { COUNT = 5, MOST_ROWS = 4000 };

/* What a run exchanges: row i has values made of `content[i]` and is pushed by rank `owner[i]`. */
typedef struct scenario {
    int64_t n;
    int64_t batch;
    bool has_targets; /* else classes */
    bool is_wrapped;
    bool is_whole; /* values are whole numbers, but for those of 30 rows */
    int64_t memory_limit;
    int bad_rank; /* pushes rows of another shape; -1 = none */
    const char *lost_directory; /* where rank 1 spills; removed before the exchange; NULL = none */
    uint32_t content[MOST_ROWS];
    int owner[MOST_ROWS];
    /* the truth: keys in order */
    bdl__key keys[MOST_ROWS];
    bool fits[MOST_TEST_RANKS];
    int64_t spilled[MOST_TEST_RANKS];
} scenario;

static void row_values(const scenario *s, int64_t i, float values[COUNT], double *label, float targets[2])
{
    for (int k = 0; k < COUNT; k++) {
        values[k] = (float)(s->content[i] % 1000) + (float)k * 0.25f + (float)(s->content[i] / 1000);
        if (s->is_whole) {
            values[k] = (float)((s->content[i] >> 4 * k) % 256) + (i % 32 == 31 && i < 960 ? 0.5f : 0);
        }
    }
    *label = s->content[i] % 7;
    targets[0] = (float)s->content[i];
    targets[1] = -values[1];
}

static bdl__rows_options options_of(const scenario *s)
{
    bdl__rows_options o = {.name = "rows",
                           .shape = {.rank = 1, .dim = {COUNT}},
                           .element = BDL__ELEMENT_F32,
                           .label_kind = s->has_targets ? BDL__LABEL_FLOATS : BDL__LABEL_CLASS,
                           .target_shape = {.rank = 1, .dim = {2}},
                           .memory_limit = s->memory_limit};
    return o;
}

/* This rank's rows, in one array each. */
typedef struct own_rows {
    float values[MOST_ROWS * COUNT], targets[MOST_ROWS * 2];
    double labels[MOST_ROWS];
} own_rows;

static bdl_status make_rows(const scenario *s, int rank, own_rows *own, bdl__dataset **rows)
{
    bdl__rows_options options = options_of(s);
    bdl__rows all = {.values = own->values, .labels = own->labels, .targets = own->targets};
    for (int64_t i = 0; i < s->n; i++) {
        if (rank < 0 || s->owner[i] == rank) {
            row_values(s, i, own->values + COUNT * all.n, &own->labels[all.n], own->targets + 2 * all.n);
            all.n++;
        }
    }
    if (rank == 1) {
        options.spill_directory = s->lost_directory;
    }
    if (rank >= 0 && rank == s->bad_rank) {
        options.shape.dim[0] = COUNT - 1;
    }
    if (s->is_wrapped) {
        return bdl__rows_wrap(bdl__default_allocator(), NULL, &options, &all, rows);
    }
    BDL__TRY(bdl__rows_create(bdl__default_allocator(), NULL, &options, rows));
    BDL__TRY(bdl__rows_push(*rows, NULL, &all));
    return bdl__rows_finish(*rows);
}

static int by_key(const void *a, const void *b)
{
    const bdl__key *const x = a, *const y = b;
    if (x->high != y->high) {
        return x->high < y->high ? -1 : 1;
    }
    return x->low < y->low ? -1 : x->low > y->low;
}

/* Keys of all rows, sorted by the C library. */
static void find_truth(scenario *s)
{
    own_rows *const own = malloc(sizeof *own);
    bdl__dataset *all = NULL;
    bdl__sample sample;
    REQUIRE(own != NULL);
    REQUIRE_OK(make_rows(s, -1, own, &all));
    bdl__sample_init(&sample, bdl__default_allocator());
    for (int64_t i = 0; i < s->n; i++) {
        CHECK_OK(bdl__dataset_key(all, i, &sample, &s->keys[i]));
    }
    qsort(s->keys, (size_t)s->n, sizeof s->keys[0], by_key);
    bdl__sample_free(&sample);
    bdl__dataset_free(all);
    free(own);
}

/* Whether the rows here are those of the truth, and each row's content has the key it is filed under. */
static bool check_rows(const scenario *s, const bdl__dataset *sorted, int64_t first, int64_t end)
{
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    bool ok = sorted->n == s->n && sorted->first_row == first && sorted->end_row == end;
    for (int64_t i = first; i < end && ok; i++) {
        bdl__key filed, of_content;
        ok = bdl__dataset_key(sorted, i, &sample, &filed) == BDL_OK &&
             bdl__dataset_read(sorted, i, &sample) == BDL_OK &&
             bdl__row_key(sorted, &sample, &sample.scratch, &of_content) == BDL_OK &&
             memcmp(&filed, &s->keys[i], sizeof filed) == 0 &&
             memcmp(&of_content, &filed, sizeof filed) == 0;
    }
    bdl__sample_free(&sample);
    return ok;
}

/* Whether the own slices have the same rows in the same order as where one rank has all. */
static bool check_order(const scenario *s, const bdl__dataset *sorted, int64_t first_slice, int64_t end_slice)
{
    const bdl_allocator *const allocator = bdl__default_allocator();
    bdl__order *whole = NULL, *part = NULL;
    bool ok = bdl__order_from_keys(allocator, s->keys, s->n, s->batch, &whole) == BDL_OK &&
              bdl__order_create(allocator, sorted, NULL, s->batch, &part) == BDL_OK;
    for (int64_t epoch = 0; epoch < 2 && ok; epoch++) {
        bdl__order_shuffle(whole, 3, epoch);
        bdl__order_shuffle(part, 3, epoch);
        for (int64_t i = first_slice * bdl__order_steps(whole); i < end_slice * bdl__order_steps(whole); i++) {
            int64_t a[BDL__SLICE_ROWS], b[BDL__SLICE_ROWS];
            const int64_t slice = i / bdl__order_steps(whole), step = i % bdl__order_steps(whole);
            const int n = bdl__order_rows(whole, step, slice, a);
            ok = ok && bdl__order_rows(part, step, slice, b) == n;
            for (int k = 0; k < n && ok; k++) {
                ok = memcmp(bdl__order_key(whole, a[k]), bdl__order_key(part, b[k]), sizeof(bdl__key)) == 0;
            }
        }
    }
    bdl__order_free(whole);
    bdl__order_free(part);
    return ok;
}

/* Whether the ranks' sum of keys is that of all rows. */
static bool check_sum(const scenario *s, bdl__key sum)
{
    bdl__key want = {0};
    for (int64_t i = 0; i < s->n; i++) {
        bdl__key_add(&want, s->keys[i]);
    }
    return memcmp(&sum, &want, sizeof sum) == 0;
}

static bdl_status exchange(test_rank *rank, own_rows *own)
{
    scenario *const s = rank->arg;
    const bdl_allocator *const allocator = bdl__default_allocator();
    int64_t cuts[MOST_TEST_RANKS + 1];
    bdl__dataset *rows = NULL, *sorted = NULL;
    bdl__exchange_info info = {0};
    BDL__TRY(make_rows(s, rank->rank, own, &rows));
    if (s->lost_directory && rank->rank == 1) { /* its file is open and goes on without a name */
        (void)rmdir(s->lost_directory);
    }
    bdl_status status = bdl__exchange_meet(allocator, rank->group, rows, &info);
    const int64_t n_slices = (s->batch + BDL__SLICE_ROWS - 1) / BDL__SLICE_ROWS;
    for (int r = 0; r <= rank->n_ranks; r++) {
        cuts[r] = bdl__slice_begin(info.n, s->batch, n_slices * r / rank->n_ranks);
    }
    if (status == BDL_OK) {
        status = bdl__exchange_rows(allocator, rank->group, rows, &info, cuts, &sorted);
    }
    bdl__dataset_free(rows); /* the exchanged rows are a copy */
    BDL__TRY(status);
    bdl__rows_stats stats;
    status = bdl__rows_get_stats(sorted, &stats);
    s->spilled[rank->rank] = stats.spilled_size;
    s->fits[rank->rank] = status == BDL_OK && (s->has_targets || info.n_classes == 7 || s->n < 7) &&
                          check_sum(s, info.key_sum) &&
                          check_rows(s, sorted, cuts[rank->rank], cuts[rank->rank + 1]) &&
                          (s->n == 0 || check_order(s, sorted, n_slices * rank->rank / rank->n_ranks,
                                                    n_slices * (rank->rank + 1) / rank->n_ranks));
    bdl__dataset_free(sorted);
    return status;
}

static void run_rank(test_rank *rank)
{
    own_rows *const own = malloc(sizeof *own);
    dist_note(rank, own ? exchange(rank, own) : bdl__out_of_memory(sizeof *own));
    free(own);
}

static void run_scenario(scenario *s, int n_ranks)
{
    dist_run *const run = calloc(1, sizeof *run);
    REQUIRE(run != NULL);
    run->n_ranks = n_ranks;
    run->fn = run_rank;
    run->arg = s;
    memset(s->fits, 0, sizeof s->fits);
    dist_run_ranks(run);
    if (s->lost_directory) {
        for (int r = 0; r < n_ranks; r++) { /* all hear what went wrong on one */
            CHECK_EQ_I64(run->ranks[r].status, BDL_ERR_IO);
            CHECK_STR_HAS(run->ranks[r].error, s->lost_directory);
            CHECK_STR_HAS(run->ranks[r].error, "No such file");
        }
    } else if (s->bad_rank < 0) {
        CHECK(dist_all_ok(run));
        for (int r = 0; r < n_ranks; r++) {
            CHECK(s->fits[r]);
        }
    } else {
        for (int r = 0; r < n_ranks; r++) { /* all hear why */
            CHECK(run->ranks[r].status != BDL_OK);
            CHECK_STR_HAS(run->ranks[r].error, "rank 1 of shape 4");
        }
    }
    free(run);
}

static scenario *new_scenario(int64_t n)
{
    scenario *const s = calloc(1, sizeof *s);
    if (s) {
        s->n = n;
        s->batch = 128;
        s->bad_rank = -1;
        for (int64_t i = 0; i < n; i++) {
            s->content[i] = (uint32_t)(bdl_test_random() % 100000);
        }
    }
    return s;
}

/* Owners at random, unevenly: the first rank has half of all. */
static void deal(scenario *s, int n_ranks)
{
    for (int64_t i = 0; i < s->n; i++) {
        s->owner[i] = bdl_test_random() % 2 == 0 ? 0 : (int)(bdl_test_random() % (uint64_t)n_ranks);
    }
}

static const int rank_counts[] = {1, 2, 3, 5};

BDL_TEST(ranks_get_the_rows_of_their_slices)
{
    scenario *const s = new_scenario(2711);
    REQUIRE(s != NULL);
    find_truth(s);
    for (int i = 0; i < 4; i++) {
        deal(s, rank_counts[i]);
        run_scenario(s, rank_counts[i]);
    }
    free(s);
}

BDL_TEST(targets_and_wrapped_rows_travel_too)
{
    scenario *const s = new_scenario(900);
    REQUIRE(s != NULL);
    s->has_targets = true;
    find_truth(s);
    deal(s, 3);
    run_scenario(s, 3);
    s->is_wrapped = true;
    run_scenario(s, 3);
    free(s);
}

/* Ranks keep them in one way or another, as their rows come. */
BDL_TEST(whole_numbers_travel_too)
{
    for (int i = 0; i < 4; i++) {
        scenario *const s = new_scenario(i % 2 == 0 ? 2000 : 30); /* 30: whole numbers all of them */
        REQUIRE(s != NULL);
        s->is_whole = true;
        s->has_targets = i >= 2;
        s->memory_limit = i % 2;
        find_truth(s);
        deal(s, 3);
        run_scenario(s, 3);
        free(s);
    }
}

BDL_TEST(equal_rows_are_cut_by_count)
{
    scenario *const s = new_scenario(1500);
    REQUIRE(s != NULL);
    for (int64_t i = 0; i < s->n; i++) {
        s->content[i] = i % 2 == 0 ? 6 : s->content[i]; /* half of all rows are one */
    }
    find_truth(s);
    for (int i = 0; i < 4; i++) {
        deal(s, rank_counts[i]);
        run_scenario(s, rank_counts[i]);
    }
    for (int64_t i = 0; i < s->n; i++) {
        s->content[i] = 6; /* all are */
    }
    find_truth(s);
    deal(s, 5);
    run_scenario(s, 5);
    free(s);
}

BDL_TEST(ranks_may_push_nothing_and_get_nothing)
{
    scenario *s = new_scenario(600);
    REQUIRE(s != NULL);
    find_truth(s);
    for (int64_t i = 0; i < s->n; i++) {
        s->owner[i] = 2;
    }
    run_scenario(s, 3);
    free(s);
    s = new_scenario(1); /* one row for five ranks */
    REQUIRE(s != NULL);
    s->owner[0] = 3;
    find_truth(s);
    run_scenario(s, 5);
    free(s);
    s = new_scenario(0);
    REQUIRE(s != NULL);
    run_scenario(s, 3);
    free(s);
}

BDL_TEST(rows_beyond_the_limit_are_spilled_where_they_arrive)
{
    scenario *const s = new_scenario(MOST_ROWS);
    REQUIRE(s != NULL);
    s->memory_limit = 1;
    find_truth(s);
    deal(s, 3);
    run_scenario(s, 3);
    int64_t spilled = 0;
    for (int r = 0; r < 3; r++) {
        spilled += s->spilled[r];
    }
    CHECK_EQ_I64(spilled, MOST_ROWS * COUNT * (int64_t)sizeof(float));
    free(s);
}

BDL_TEST(a_rank_that_cannot_store_rows_ends_all)
{
    scenario *const s = new_scenario(2000);
    char directory[600];
    REQUIRE(s != NULL);
    snprintf(directory, sizeof directory, "%s/spill", bdl_test_dir());
    REQUIRE_OK(bdl__make_directories(directory));
    s->memory_limit = 1;
    s->lost_directory = directory;
    deal(s, 3);
    run_scenario(s, 3);
    free(s);
}

BDL_TEST(ranks_with_other_rows_are_refused)
{
    scenario *const s = new_scenario(100);
    REQUIRE(s != NULL);
    s->bad_rank = 1;
    deal(s, 3);
    run_scenario(s, 3);
    free(s);
}

BDL_TEST_MAIN(ranks_get_the_rows_of_their_slices, targets_and_wrapped_rows_travel_too,
              whole_numbers_travel_too,
              equal_rows_are_cut_by_count, ranks_may_push_nothing_and_get_nothing,
              rows_beyond_the_limit_are_spilled_where_they_arrive,
              a_rank_that_cannot_store_rows_ends_all, ranks_with_other_rows_are_refused)
