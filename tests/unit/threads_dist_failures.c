/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/* Ranks that die, abort, hang or leave: every other rank ends in time, with the first cause. Nothing is left behind. */
#define _GNU_SOURCE /* pipe2 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counting_allocator.h"
#include "dist_ranks.h"
#include "test.h"

enum { DATA = 300 * 1000 };
#define LIMIT 20.0 /* far above every deadline of these tests, far below the default ones */

static void check_causes(const dist_run *run, int failing, const char *cause, const char *who)
{
    for (int i = 0; i < run->n_ranks; i++) {
        const test_rank *const r = &run->ranks[i];
        CHECK(r->status != BDL_OK);
        CHECK_STR_HAS(r->error, cause);
        if (i != failing) {
            CHECK_STR_HAS(r->error, who);
        }
        CHECK(r->seconds < LIMIT);
    }
}

/* ---- aborts ------------------------------------------------------------------------------------------------ */

/* At which call rank 1 gives up; the others go on. */
typedef enum stage { BEFORE_ALL, AMID_ALL_REDUCE, BEFORE_BARRIER, N_STAGES } stage;

static void abort_at(test_rank *r)
{
    const stage at = *(const stage *)r->arg;
    float *const data = calloc(DATA, sizeof *data);
    bdl_status status = BDL_OK;
    for (stage s = BEFORE_ALL; s < N_STAGES && status == BDL_OK; s++) {
        if (r->rank == 1 && s == at) {
            bdl__group_abort(r->group, BDL_ERR_NUMERIC, "the loss of step 7 is not a number");
            status = bdl__group_status(r->group);
        } else if (s == BEFORE_BARRIER) {
            status = bdl__group_barrier(r->group);
        } else {
            status = bdl__group_all_reduce(r->group, BDL_F32, data, DATA);
        }
    }
    while (status == BDL_OK) {
        status = bdl__group_barrier(r->group);
    }
    dist_note(r, status);
    CHECK(bdl__group_barrier(r->group) == status);
    free(data);
}

BDL_TEST(an_abort_reaches_every_rank_with_its_cause)
{
    for (int n_ranks = 2; n_ranks <= 5; n_ranks++) {
        for (stage at = BEFORE_ALL; at < N_STAGES; at++) {
            dist_run run = {.n_ranks = n_ranks, .fn = abort_at, .arg = &at};
            dist_run_ranks(&run);
            check_causes(&run, -1, "the loss of step 7 is not a number", "rank 1: ");
            CHECK_EQ_I64(run.ranks[0].status, BDL_ERR_NUMERIC);
        }
    }
}

/* ---- leaving, hanging, deadlines ---------------------------------------------------------------------------------- */

static void leave_early(test_rank *r)
{
    if (r->rank == 2) {
        dist_note(r, BDL_OK);
        return;
    }
    dist_note(r, bdl__group_barrier(r->group));
}

BDL_TEST(a_rank_that_leaves_early_is_named)
{
    dist_run run = {.n_ranks = 3, .fn = leave_early};
    dist_run_ranks(&run);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_I64(run.ranks[i].status, BDL_ERR_STATE);
        CHECK_STR_HAS(run.ranks[i].error, "rank 2: it left the run");
        CHECK(run.ranks[i].seconds < LIMIT);
    }
}

static void compute_for_ever(test_rank *r)
{
    if (r->rank == 0) {
        bdl_status status = BDL_OK;
        while ((status = bdl__group_status(r->group)) == BDL_OK) {
            (void)usleep(1000);
        }
        dist_note(r, status);
        return;
    }
    dist_note(r, bdl__group_barrier(r->group));
}

BDL_TEST(a_wait_has_a_deadline)
{
    dist_run run = {.n_ranks = 3, .fn = compute_for_ever, .options = {.wait_seconds = 0.3}};
    dist_run_ranks(&run);
    check_causes(&run, -1, "waited for 0.3 seconds", "rank ");
}

static bdl__cancel asked_cancel;

static void cancel_soon(test_rank *r)
{
    if (r->rank == 0) {
        (void)usleep(20 * 1000);
        atomic_store(&asked_cancel.is_asked, 1);
        (void)usleep(200 * 1000);
    }
    dist_note(r, bdl__group_barrier(r->group));
    if (r->rank == 0) {
        CHECK_EQ_I64(r->status, BDL_ERR_CANCELLED);
    }
}

static void cancel_of_rank_1(bdl__group_options *options, int rank)
{
    options->cancel = rank == 1 ? &asked_cancel : NULL;
}

BDL_TEST(a_cancel_ends_all_ranks)
{
    atomic_store(&asked_cancel.is_asked, 0);
    dist_run run = {.n_ranks = 2, .fn = cancel_soon, .change = cancel_of_rank_1};
    dist_run_ranks(&run);
    check_causes(&run, -1, "cancelled", "rank 1: ");
}

/* ---- connecting ---------------------------------------------------------------------------------------------------------- */

static const uint8_t other_secret[BDL__SECRET_SIZE] = {9, 9, 9};

static void secret_of_rank_2(bdl__group_options *options, int rank)
{
    options->secret = rank == 2 ? other_secret : options->secret;
}

static void do_nothing(test_rank *r)
{
    dist_note(r, BDL_OK);
}

BDL_TEST(another_secret_does_not_connect)
{
    for (int tls = 0; tls <= 1; tls++) {
        dist_log log;
        dist_log_init(&log);
        dist_run run = {.n_ranks = 3,
                        .fn = do_nothing,
                        .change = secret_of_rank_2,
                        .log = &log.log,
                        .options = {.connect_seconds = 0.6, .tls = tls != 0}};
        dist_run_ranks(&run);
#ifdef BDL_WITH_TLS
        check_causes(&run, -1, "did not connect", "rank ");
        CHECK_STR_HAS(log.text, "refused a connection from 127.0.0.1:");
        CHECK_STR_HAS(log.text, tls ? "TLS was refused" : "does not know the secret");
#else
        CHECK(tls == 0 || run.ranks[0].status == BDL_ERR_UNSUPPORTED);
        CHECK(tls == 1 || strstr(log.text, "does not know the secret"));
#endif
        CHECK(!strstr(log.text, "\x09\x09"));
    }
}

BDL_TEST(a_rank_that_does_not_come_is_named)
{
    bdl__group *group = NULL;
    const bdl__group_options options = {
        .rank = 1, .n_ranks = 2, .secret = dist_test_secret, .connect_seconds = 0.3};
    REQUIRE_OK(bdl__group_listen(bdl__default_allocator(), &dist_quiet_log, &options, &group));
    const char *const addresses[2] = {"127.0.0.1:9", bdl__group_address(group)};
    const double start = bdl__now();
    CHECK_EQ_I64(bdl__group_connect(group, addresses), BDL_ERR_IO);
    CHECK_STR_HAS(bdl_last_error(), "rank 0 at 127.0.0.1:9");
    CHECK_STR_HAS(bdl_last_error(), "refused");
    CHECK(bdl__now() - start < LIMIT);
    bdl__group_free(group);
}

/* ---- processes ------------------------------------------------------------------------------------------------------------- */

typedef struct child {
    pid_t pid;
    int to;   /* addresses go in */
    int from; /* the own address, later the error text, come out */
} child;

/* A rank in a process of its own: writes its address, reads all, connects, and then waits at barriers. */
static void child_main(int rank, int n_ranks, int in, int out)
{
    char all[MOST_TEST_RANKS][64];
    const char *addresses[MOST_TEST_RANKS];
    char own[64] = "";
    char error[256] = "";
    bdl__group *group = NULL;
    const bdl__group_options options = {.rank = rank,
                                        .n_ranks = n_ranks,
                                        .secret = dist_test_secret,
                                        .silence_seconds = 0.8,
                                        .wait_seconds = 10,
                                        .connect_seconds = 10};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    bdl_status status =
        bdl__group_listen(bdl__default_allocator(), &dist_quiet_log, &options, &group);
    if (status == BDL_OK) {
        (void)strncat(own, bdl__group_address(group), sizeof own - 1);
        status = write(out, own, sizeof own) == sizeof own &&
                         read(in, all, (size_t)n_ranks * sizeof *all) ==
                             (ssize_t)((size_t)n_ranks * sizeof *all)
                     ? BDL_OK
                     : BDL_ERR_IO;
    }
    for (int i = 0; i < n_ranks; i++) {
        addresses[i] = all[i];
    }
    status = status == BDL_OK ? bdl__group_connect(group, addresses) : status;
    if (status == BDL_OK) {
        (void)!write(out, "connected", 10);
    }
    while (status == BDL_OK) {
        status = bdl__group_barrier(group);
    }
    (void)strncat(error, bdl_last_error(), sizeof error - 1);
    (void)!write(out, error, sizeof error);
    bdl__group_free(group);
    _exit(0);
}

static bool start_child(child *c, int rank, int n_ranks)
{
    int to[2];
    int from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
        return false;
    }
    c->pid = fork();
    if (c->pid == 0) {
        child_main(rank, n_ranks, to[0], from[1]);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    c->to = to[1];
    c->from = from[0];
    return c->pid > 0;
}

static void check_signal(int signal_number, const char *cause)
{
    enum { N = 3 };
    child children[N];
    char all[N][64];
    char text[256];
    for (int i = 0; i < N; i++) {
        REQUIRE(start_child(&children[i], i, N));
        REQUIRE(read(children[i].from, all[i], sizeof all[i]) == sizeof all[i]);
    }
    for (int i = 0; i < N; i++) {
        REQUIRE(write(children[i].to, all, sizeof all) == sizeof all);
    }
    for (int i = 0; i < N; i++) {
        REQUIRE(read(children[i].from, text, 10) == 10);
    }
    CHECK(kill(children[1].pid, signal_number) == 0);
    const double start = bdl__now();
    for (int i = 0; i < N; i += 2) {
        REQUIRE(read(children[i].from, text, sizeof text) == sizeof text);
        CHECK_STR_HAS(text, "rank 1: ");
        CHECK_STR_HAS(text, cause);
    }
    CHECK(bdl__now() - start < LIMIT);
    (void)kill(children[1].pid, SIGKILL);
    for (int i = 0; i < N; i++) {
        (void)close(children[i].to);
        (void)close(children[i].from);
        CHECK(waitpid(children[i].pid, NULL, 0) == children[i].pid);
    }
}

BDL_TEST(a_killed_process_is_named)
{
    check_signal(SIGKILL, "its process has died");
}

BDL_TEST(a_stopped_process_is_named)
{
    check_signal(SIGSTOP, "nothing came from it");
}

/* ---- nothing is left behind --------------------------------------------------------------------------------------------------- */

static void reduce_once(test_rank *r)
{
    float *const data = calloc(DATA, sizeof *data);
    dist_note(r, bdl__group_all_reduce(r->group, BDL_F32, data, DATA));
    free(data);
}

BDL_TEST(sockets_and_threads_are_gone_at_the_end)
{
    const int n_fds = dist_count_fds();
    const int n_threads = dist_count_threads();
    for (int i = 0; i < 5; i++) {
        stage at = AMID_ALL_REDUCE;
        dist_run good = {.n_ranks = 4, .fn = reduce_once};
        dist_run bad = {.n_ranks = 4, .fn = abort_at, .arg = &at};
        dist_run_ranks(&good);
        CHECK(dist_all_ok(&good));
        dist_run_ranks(&bad);
    }
    CHECK_EQ_I64(dist_count_fds(), n_fds);
    CHECK_EQ_I64(dist_count_threads_settled(n_threads), n_threads);
}

/* Requests of both ranks' threads go through the counter, so they take turns there. */
typedef struct shared_counter {
    bdl_allocator allocator;
    counting_allocator counter;
    pthread_mutex_t mutex;
} shared_counter;

static void *shared_alloc(void *user, size_t size)
{
    shared_counter *const s = user;
    pthread_mutex_lock(&s->mutex);
    void *const memory = s->counter.allocator.alloc(s->counter.allocator.user, size);
    pthread_mutex_unlock(&s->mutex);
    return memory;
}

static void shared_free(void *user, void *memory, size_t size)
{
    shared_counter *const s = user;
    pthread_mutex_lock(&s->mutex);
    s->counter.allocator.free(s->counter.allocator.user, memory, size);
    pthread_mutex_unlock(&s->mutex);
}

static void stray_and_reduce(test_rank *r)
{
    bdl__request request;
    uint8_t small[100] = {0};
    const int other = 1 - r->rank;
    bdl_status status = bdl__group_send(r->group, other, 5, small, sizeof small, &request);
    if (status == BDL_OK) {
        status = bdl__group_wait(r->group, &request);
    }
    reduce_once(r);
    if (status == BDL_OK && r->status == BDL_OK) {
        status = bdl__group_recv(r->group, other, 5, small, sizeof small, &request);
        dist_note(r, status == BDL_OK ? bdl__group_wait(r->group, &request) : status);
    }
}

BDL_TEST(every_refused_allocation_is_reported)
{
    shared_counter s = {.allocator = {.struct_size = sizeof s.allocator,
                                      .alloc = shared_alloc,
                                      .free = shared_free,
                                      .user = &s}};
    (void)pthread_mutex_init(&s.mutex, NULL);
    for (int64_t n = 1; counting_allocator_start(&s.counter, n); n++) {
        dist_run run = {.n_ranks = 2,
                        .fn = stray_and_reduce,
                        .allocator = &s.allocator,
                        .options = {.connect_seconds = 0.2}};
        dist_run_ranks(&run);
        CHECK(!s.counter.refused || run.ranks[0].status == BDL_ERR_OUT_OF_MEMORY ||
              run.ranks[1].status == BDL_ERR_OUT_OF_MEMORY);
    }
}

BDL_TEST_MAIN(an_abort_reaches_every_rank_with_its_cause, a_rank_that_leaves_early_is_named,
              a_wait_has_a_deadline, a_cancel_ends_all_ranks, another_secret_does_not_connect,
              a_rank_that_does_not_come_is_named, a_killed_process_is_named,
              a_stopped_process_is_named, sockets_and_threads_are_gone_at_the_end,
              every_refused_allocation_is_reported)
