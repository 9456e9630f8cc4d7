/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as threads of one test. */
#include "dist_ranks.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

const uint8_t dist_test_secret[BDL__SECRET_SIZE] = {1, 2, 3, 200, 5, 6, 7, 8, 9, 10};

static void drop_line(void *user, int level, const char *line)
{
    (void)user;
    (void)level;
    (void)line;
}

const bdl__log dist_quiet_log = {.fn = drop_line, .level = BDL__LOG_DEBUG};

static void keep_line(void *user, int level, const char *line)
{
    dist_log *const log = user;
    (void)level;
    pthread_mutex_lock(&log->mutex);
    const size_t used = strlen(log->text);
    (void)snprintf(log->text + used, sizeof log->text - used, "%s\n", line);
    pthread_mutex_unlock(&log->mutex);
}

void dist_log_init(dist_log *log)
{
    log->log = (bdl__log){.fn = keep_line, .user = log, .level = BDL__LOG_DEBUG};
    (void)pthread_mutex_init(&log->mutex, NULL);
    log->text[0] = '\0';
}

bool dist_log_has(dist_log *log, const char *part)
{
    pthread_mutex_lock(&log->mutex);
    const bool has = strstr(log->text, part) != NULL;
    pthread_mutex_unlock(&log->mutex);
    return has;
}

void dist_note(test_rank *rank, bdl_status status)
{
    rank->status = status;
    (void)snprintf(rank->error, sizeof rank->error, "%s", status == BDL_OK ? "" : bdl_last_error());
}

bool dist_all_ok(const dist_run *run)
{
    for (int i = 0; i < run->n_ranks; i++) {
        if (run->ranks[i].status != BDL_OK) {
            (void)printf("rank %d of %d: status %d: %s\n", i, run->n_ranks,
                         (int)run->ranks[i].status, run->ranks[i].error);
            return false;
        }
    }
    return true;
}

/* Of the running test. Copies: a rank that fails early frees its own. */
static char address_texts[MOST_TEST_RANKS][96];
static const char *addresses[MOST_TEST_RANKS];

static void rank_main(void *arg)
{
    test_rank *const rank = arg;
    const double start = bdl__now();
    dist_note(rank, bdl__group_connect(rank->group, addresses));
    if (rank->status == BDL_OK || rank->run->even_if_unconnected) {
        rank->run->fn(rank);
    }
    rank->seconds = bdl__now() - start;
    bdl__group_free(rank->group);
    rank->group = NULL;
}

void dist_run_ranks(dist_run *run)
{
    const bdl_allocator *const a = run->allocator ? run->allocator : bdl__default_allocator();
    const bdl__log *const log = run->log ? run->log : &dist_quiet_log;
    bdl__thread *threads[MOST_TEST_RANKS] = {NULL};
    bool all_listen = true;
    for (int i = 0; i < run->n_ranks; i++) {
        bdl__group_options options = run->options;
        options.rank = i;
        options.n_ranks = run->n_ranks;
        options.secret = options.secret ? options.secret : dist_test_secret;
        if (run->change) {
            run->change(&options, i);
        }
        test_rank *const rank = &run->ranks[i];
        *rank = (test_rank){.rank = i, .n_ranks = run->n_ranks, .arg = run->arg, .run = run};
        dist_note(rank, bdl__group_listen(a, log, &options, &rank->group));
        all_listen = all_listen && rank->status == BDL_OK;
        (void)snprintf(address_texts[i], sizeof address_texts[i], "%s",
                       all_listen ? bdl__group_address(rank->group) : "");
        addresses[i] = address_texts[i];
    }
    for (int i = 0; i < run->n_ranks; i++) {
        if (!all_listen) {
            bdl__group_free(run->ranks[i].group);
        } else if (bdl__thread_start(bdl__default_allocator(), rank_main, &run->ranks[i],
                                     &threads[i]) != BDL_OK) {
            CHECK(false);
        }
    }
    for (int i = 0; i < run->n_ranks; i++) {
        bdl__thread_join(threads[i]);
    }
}

static int count_entries(const char *folder)
{
    DIR *const directory = opendir(folder);
    int n = 0;
    while (directory && readdir(directory)) {
        n++;
    }
    if (directory) {
        (void)closedir(directory);
    }
    return n;
}

int dist_count_fds(void)
{
    return count_entries("/proc/self/fd");
}

int dist_count_threads(void)
{
    return count_entries("/proc/self/task");
}

int dist_count_threads_settled(int expected)
{
    int n = dist_count_threads();
    for (int i = 0; i < 1000 && n != expected; i++) {
        (void)usleep(10 * 1000);
        n = dist_count_threads();
    }
    return n;
}
