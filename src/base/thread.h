/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only place that creates threads: a pool of workers that live as long as their context, and
 * background threads for prefetching. Waiting is spin-then-sleep (futex): a short wait costs no system
 * call and a long one no processor.
 */
#ifndef BDL_BASE_THREAD_H
#define BDL_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/memory.h"

typedef struct bdl__pool bdl__pool;

/* Work of one worker; worker 0 is the calling thread. */
typedef void (*bdl__worker_fn)(void *arg, int worker);

/* `n_workers` counts the calling thread. Workers flush denormals to zero and round to nearest. */
bdl_status bdl__pool_create(const bdl_allocator *allocator, int n_workers, bdl__pool **pool);
void bdl__pool_free(bdl__pool *pool);
int bdl__pool_size(const bdl__pool *pool);
/* Fails with BDL_ERR_FORKED in a child that was forked after the pool was made. */
bdl_status bdl__pool_check(const bdl__pool *pool);
/* Runs fn(arg, worker) on every worker and returns when all have ended. Fails with BDL_ERR_FORKED in
 * a child that was forked after the pool was made. Callers on several threads take turns. */
bdl_status bdl__pool_run(bdl__pool *pool, bdl__worker_fn fn, void *arg);

/* Barrier for `n` workers inside a bdl__pool_run. Plain data; reusable; zero-initialised is ready. */
typedef struct bdl__barrier {
    _Atomic uint32_t arrived;
    _Atomic uint32_t phase;
    _Atomic uint32_t sleepers;
    char padding[52]; /* one cache line */
} bdl__barrier;

void bdl__barrier_wait(bdl__barrier *barrier, int n);

/* Splits [0, n) into contiguous parts, the first ones longer by one: part i of n_parts. */
void bdl__split_range(int64_t n, int i_part, int n_parts, int64_t *begin, int64_t *end);

/* fn(arg, begin, end) over static contiguous parts of [0, n), at least `grain` items each. */
typedef void (*bdl__range_fn)(void *arg, int64_t begin, int64_t end, int worker);
bdl_status bdl__parallel_for(bdl__pool *pool, int64_t n, int64_t grain, bdl__range_fn fn,
                             void *arg);

/* A background thread with signals blocked; joined by bdl__thread_join. */
typedef struct bdl__thread bdl__thread;
bdl_status bdl__thread_start(const bdl_allocator *allocator, void (*fn)(void *), void *arg,
                             bdl__thread **thread);
void bdl__thread_join(bdl__thread *thread); /* NULL ok; frees it */

/* Waits a moment, without the kernel, for *word to be no longer `old`; false when it still is. Does not wait where this
 * process has but one processor. */
bool bdl__word_spin(_Atomic uint32_t *word, uint32_t old);
/* Sleeps until somebody changes *word and wakes, or `seconds` have passed; not at all when it is no longer `old`. */
void bdl__word_wait(_Atomic uint32_t *word, uint32_t old, double seconds);
/* Wakes all that sleep on the word, which was changed before. */
void bdl__word_wake(_Atomic uint32_t *word);

/* Sets flush-to-zero and round-to-nearest on this thread; returns the old state for the restore. */
uint64_t bdl__fp_state_enter(void);
void bdl__fp_state_leave(uint64_t old_state);

double bdl__now(void); /* seconds, monotonic */

#endif
