/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/* The worker pool, barriers, ranges, background threads, forks and the floating point state. */
#include "base/thread.h"

#include <fenv.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counting_allocator.h"
#include "test.h"

enum { MOST = 8 };

/* Runs until the whole test is over: how often each worker was called, without any atomics. */
typedef struct tally {
    int64_t calls[MOST][16]; /* a cache line or more for each worker */
    pthread_t threads[MOST];
} tally;

static void count_call(void *arg, int worker)
{
    tally *const all = arg;
    all->calls[worker][0]++;
    all->threads[worker] = pthread_self();
}

BDL_TEST(every_worker_runs_once_a_call)
{
    const int n_runs = bdl_test_small() ? 200 : 5000;
    for (int n = 1; n <= MOST; n++) {
        tally all = {.calls = {{0}}};
        bdl__pool *pool = NULL;
        REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), n, &pool));
        CHECK_EQ_I64(bdl__pool_size(pool), n);
        const int runs = n <= 2 ? n_runs : n_runs / 25;
        for (int i = 0; i < runs; i++) {
            REQUIRE_OK(bdl__pool_run(pool, count_call, &all));
        }
        for (int i = 0; i < n; i++) {
            CHECK_EQ_I64(all.calls[i][0], runs);
        }
        CHECK(pthread_equal(all.threads[0], pthread_self()));
        bdl__pool_free(pool);
    }
    bdl__pool_free(NULL);
}

BDL_TEST(sleeping_workers_are_woken)
{
    tally all = {.calls = {{0}}};
    bdl__pool *pool = NULL;
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), 3, &pool));
    for (int i = 0; i < 100; i++) {
        const double start = bdl__now();
        while (bdl__now() - start < 1e-6 * i) { /* around the 30 us after which workers sleep */
        }
        REQUIRE_OK(bdl__pool_run(pool, count_call, &all));
    }
    CHECK_EQ_I64(all.calls[2][0], 100);
    bdl__pool_free(pool);
}

BDL_TEST(worker_counts_are_checked)
{
    bdl__pool *pool = NULL;
    CHECK_EQ_I64(bdl__pool_create(bdl__default_allocator(), 0, &pool), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_EQ(bdl_last_error(), "the number of workers must be between 1 and 4096, got 0");
    CHECK_EQ_I64(bdl__pool_create(bdl__default_allocator(), 5000, &pool), BDL_ERR_INVALID_ARGUMENT);
    CHECK(pool == NULL);
}

/* Workers hand numbers around a ring; a barrier that lets someone through early shows as a
 * wrong number (or as a data race). */
typedef struct ring {
    bdl__barrier barrier;
    int n;
    int n_rounds;
    int64_t values[MOST][16];
    int64_t n_wrong[MOST][16];
} ring;

static void go_round(void *arg, int worker)
{
    ring *const r = arg;
    for (int64_t i = 0; i < r->n_rounds; i++) {
        r->values[worker][0] = i * r->n + worker;
        if ((i * 7 + worker) % 64 == 0) {
            const double start = bdl__now();
            while (bdl__now() - start < 40e-6) { /* the others go to sleep */
            }
        }
        bdl__barrier_wait(&r->barrier, r->n);
        const int64_t next = (worker + 1) % r->n;
        r->n_wrong[worker][0] += r->values[next][0] != i * r->n + next;
        bdl__barrier_wait(&r->barrier, r->n);
    }
}

BDL_TEST(barriers_separate_phases)
{
    for (int n = 1; n <= MOST; n = n < 4 ? n + 1 : n * 2) {
        static _Alignas(64) ring r;
        memset(&r, 0, sizeof r);
        r.n = n;
        r.n_rounds = bdl_test_small() ? 100 : n <= 2 ? 4000 : 150;
        bdl__pool *pool = NULL;
        REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), n, &pool));
        REQUIRE_OK(bdl__pool_run(pool, go_round, &r));
        bdl__pool_free(pool);
        for (int i = 0; i < n; i++) {
            CHECK_EQ_I64(r.n_wrong[i][0], 0);
        }
    }
}

BDL_TEST(split_range_is_contiguous_and_even)
{
    for (int64_t n = 0; n < 50; n++) {
        for (int n_parts = 1; n_parts < 9; n_parts++) {
            int64_t expected = 0;
            int64_t last_size = INT64_MAX;
            for (int i = 0; i < n_parts; i++) {
                int64_t begin = -1;
                int64_t end = -1;
                bdl__split_range(n, i, n_parts, &begin, &end);
                REQUIRE(begin == expected && end >= begin && end - begin <= last_size);
                REQUIRE(end - begin == n / n_parts || end - begin == n / n_parts + 1);
                last_size = end - begin;
                expected = end;
            }
            REQUIRE(expected == n);
        }
    }
}

typedef struct marks {
    unsigned char seen[1000];
    int64_t shortest[MOST][16];
} marks;

static void mark(void *arg, int64_t begin, int64_t end, int worker)
{
    marks *const m = arg;
    for (int64_t i = begin; i < end; i++) {
        m->seen[i]++;
    }
    m->shortest[worker][0] = end - begin;
}

BDL_TEST(parallel_for_covers_the_range_once)
{
    static const int64_t sizes[] = {0, 1, 3, 4, 99, 100, 1000};
    static const int64_t grains[] = {-1, 0, 1, 7, 50, 5000};
    bdl__pool *pool = NULL;
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), 4, &pool));
    for (int64_t k = 0; k < BDL__COUNT_OF(sizes); k++) {
        for (int64_t g = 0; g < BDL__COUNT_OF(grains); g++) {
            marks m = {.seen = {0}};
            REQUIRE_OK(bdl__parallel_for(pool, sizes[k], grains[g], mark, &m));
            for (int64_t i = 0; i < BDL__COUNT_OF(m.seen); i++) {
                REQUIRE(m.seen[i] == (i < sizes[k]));
            }
            for (int w = 0; w < 4; w++) {
                const int64_t size = m.shortest[w][0];
                CHECK(size == 0 || size >= BDL__MIN(grains[g], sizes[k]));
            }
        }
    }
    CHECK_EQ_I64(bdl__parallel_for(pool, -1, 1, mark, NULL), BDL_ERR_INVALID_ARGUMENT);
    bdl__pool_free(pool);
}

typedef struct fp_seen {
    float product[MOST];
    bool rounds_up[MOST];
    bool blocked[MOST];
} fp_seen;

static void see_fp(void *arg, int worker)
{
    fp_seen *const seen = arg;
    volatile float small = 1e-38F;
    seen->product[worker] = small * 0.01F;
    volatile float one = 1;
    volatile float sum = one + 1e-8F;
    seen->rounds_up[worker] = sum > one;
    sigset_t mask;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    seen->blocked[worker] = sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1;
}

BDL_TEST(work_runs_with_denormals_flushed_and_rounding_to_nearest)
{
    fp_seen seen = {.product = {1, 1, 1}};
    bdl__pool *pool = NULL;
    REQUIRE(fesetround(FE_UPWARD) == 0);
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), 3, &pool));
    REQUIRE_OK(bdl__pool_run(pool, see_fp, &seen));
    bdl__pool_free(pool);
    CHECK_EQ_I64(fegetround(), FE_UPWARD); /* the caller's state came back */
    REQUIRE(fesetround(FE_TONEAREST) == 0);
    volatile float small = 1e-38F;
    CHECK(small * 0.01F != 0);
    for (int i = 0; i < 3; i++) {
        CHECK(seen.product[i] == 0);
        CHECK(!seen.rounds_up[i]);
        CHECK_EQ_I64(seen.blocked[i], i > 0);
    }
}

static void set_flag(void *arg)
{
    int *const flag = arg;
    *flag += 1;
}

BDL_TEST(background_threads_run_and_join)
{
    counting_allocator counter;
    counting_allocator_init(&counter);
    int flag = 0;
    for (int i = 0; i < 20; i++) {
        bdl__thread *thread = NULL;
        REQUIRE_OK(bdl__thread_start(&counter.allocator, set_flag, &flag, &thread));
        bdl__thread_join(thread);
        CHECK_EQ_I64(flag, i + 1);
    }
    bdl__thread_join(NULL);
    CHECK_EQ_I64(counter.n_live, 0);
    CHECK(!counter.wrong_size);
}

/* In the child: 0 if the pool refused to run and could be freed. */
static int try_in_child(bdl__pool *pool, bdl__thread *thread)
{
    tally all = {.calls = {{0}}};
    marks m = {.seen = {0}};
    if (bdl__pool_run(pool, count_call, &all) != BDL_ERR_FORKED || all.calls[0][0] != 0) {
        return 1;
    }
    if (strstr(bdl_last_error(), "create the context after the fork") == NULL) {
        return 2;
    }
    if (bdl__parallel_for(pool, 1, 1, mark, &m) != BDL_ERR_FORKED) {
        return 3;
    }
    bdl__pool_free(pool);
    bdl__thread_join(thread);
    return 0;
}

BDL_TEST(a_forked_child_is_refused)
{
    bdl__pool *pool = NULL;
    bdl__thread *thread = NULL;
    tally all = {.calls = {{0}}};
    int flag = 0;
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), 2, &pool));
    REQUIRE_OK(bdl__thread_start(bdl__default_allocator(), set_flag, &flag, &thread));
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        _exit(try_in_child(pool, thread));
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_EQ_I64(WEXITSTATUS(status), 0);
    CHECK_OK(bdl__pool_run(pool, count_call, &all)); /* the parent's pool still works */
    CHECK_EQ_I64(all.calls[1][0], 1);
    bdl__pool_free(pool);
    bdl__thread_join(thread);
}

BDL_TEST(pool_survives_each_failed_allocation)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__pool *pool = NULL;
        bdl__thread *thread = NULL;
        int flag = 0;
        bdl_status status = bdl__pool_create(&counter.allocator, 2, &pool);
        if (status == BDL_OK) {
            status = bdl__thread_start(&counter.allocator, set_flag, &flag, &thread);
        }
        CHECK_EQ_I64(status, counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
        bdl__thread_join(thread);
        bdl__pool_free(pool);
    }
}

/* One of several callers of a pool. */
typedef struct caller {
    bdl__pool *pool;
    tally all;
    int n_failed;
} caller;

static void run_often(void *arg)
{
    caller *const self = arg;
    for (int i = 0; i < 500; i++) {
        self->n_failed += bdl__pool_run(self->pool, count_call, &self->all) != BDL_OK;
    }
}

BDL_TEST(callers_on_several_threads_take_turns)
{
    static caller callers[3];
    bdl__thread *threads[3] = {NULL, NULL, NULL};
    bdl__pool *pool = NULL;
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), 3, &pool));
    for (int i = 0; i < 3; i++) {
        callers[i] = (caller){.pool = pool};
        REQUIRE_OK(bdl__thread_start(bdl__default_allocator(), run_often, &callers[i], &threads[i]));
    }
    for (int i = 0; i < 3; i++) {
        bdl__thread_join(threads[i]);
        CHECK_EQ_I64(callers[i].n_failed, 0);
        for (int w = 0; w < 3; w++) {
            CHECK_EQ_I64(callers[i].all.calls[w][0], 500);
        }
    }
    bdl__pool_free(pool);
}

BDL_TEST_MAIN(callers_on_several_threads_take_turns, every_worker_runs_once_a_call, sleeping_workers_are_woken, worker_counts_are_checked,
              barriers_separate_phases, split_range_is_contiguous_and_even,
              parallel_for_covers_the_range_once,
              work_runs_with_denormals_flushed_and_rounding_to_nearest,
              background_threads_run_and_join, a_forked_child_is_refused,
              pool_survives_each_failed_allocation)
