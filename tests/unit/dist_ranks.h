/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as threads of one test: each runs the same function with a group of its own. */
#ifndef BDL_TESTS_UNIT_DIST_RANKS_H
#define BDL_TESTS_UNIT_DIST_RANKS_H

#include "base/thread.h"
#include "dist/dist.h"

enum { MOST_TEST_RANKS = 8, TEST_TEXT_SIZE = 1200 };

typedef struct test_rank test_rank;
typedef void (*test_rank_fn)(test_rank *rank);

struct test_rank {
    int rank;
    int n_ranks;
    bdl__group *group;
    void *arg;
    bdl_status status; /* of connect; then of whatever fn stores here */
    char error[TEST_TEXT_SIZE];
    double seconds; /* that fn ran */
    const struct dist_run *run;
};

typedef struct dist_run {
    int n_ranks;
    test_rank_fn fn; /* called when connect has worked, or always with `even_if_unconnected` */
    bool even_if_unconnected;
    void *arg;
    bdl__group_options options; /* rank, n_ranks and secret are set for each rank */
    void (*change)(bdl__group_options *options, int rank); /* may be NULL */
    const bdl_allocator *allocator;                        /* NULL = the default */
    const bdl__log *log;                                   /* NULL = nowhere */
    test_rank ranks[MOST_TEST_RANKS];                      /* results */
} dist_run;

/* Listens, exchanges addresses, connects and runs fn on every rank, then frees the groups. */
void dist_run_ranks(dist_run *run);

/* Stores the status and this thread's error text in the rank's result. */
void dist_note(test_rank *rank, bdl_status status);

/* Whether all ranks ended well; prints the first that did not. */
bool dist_all_ok(const dist_run *run);

/* A log that keeps the last lines. */
typedef struct dist_log {
    bdl__log log;
    pthread_mutex_t mutex;
    char text[4096];
} dist_log;
void dist_log_init(dist_log *log);
bool dist_log_has(dist_log *log, const char *part);

extern const uint8_t dist_test_secret[BDL__SECRET_SIZE];
extern const bdl__log dist_quiet_log;

/* Open file descriptors of this process. */
int dist_count_fds(void);
/* Threads of this process. */
int dist_count_threads(void);
/* The same, once it is `expected` or ten seconds have passed: the kernel lists a thread for a moment after it was joined. */
int dist_count_threads_settled(int expected);

#endif
