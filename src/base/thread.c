/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker pool, barriers and background threads.
 *
 * A run is one number: the caller writes the work, then adds one to `generation`; every worker that
 * sees a new number works and subtracts itself from `pending`. Whoever waits spins for SPIN_SECONDS at
 * most (none where there are more workers than processors) and then sleeps in the kernel on the very
 * word that it waits for. Sleepers register before they sleep and the kernel compares the word once
 * more, while the waker changes the word before it looks for sleepers; all four are sequentially
 * consistent, so one of the two always sees the other and no wake-up is lost.
 */
#include "base/thread.h"

#include <assert.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"

#define SPIN_SECONDS 30e-6
enum { MOST_WORKERS = 4096, SPINS_PER_CLOCK = 32, CACHE_LINE = 64 };

static_assert(sizeof(bdl__barrier) == CACHE_LINE, "a barrier is one cache line");

typedef struct worker {
    bdl__pool *pool; /* borrowed */
    int index;
    pthread_t thread;
} worker;

struct bdl__pool {
    /* Written by the caller before a run, read by the workers. */
    _Atomic uint32_t generation; /* number of runs so far */
    _Atomic uint32_t sleepers;   /* workers that may sleep on `generation` */
    bdl__worker_fn fn;
    void *arg;
    bool stop;
    char padding0[CACHE_LINE - 32];
    /* Written by the workers at their end. */
    _Atomic uint32_t pending; /* workers still at work */
    _Atomic uint32_t caller_sleeps;
    char padding1[CACHE_LINE - 8];
    pthread_mutex_t turn; /* of the caller whose run it is */
    /* Constant. */
    const bdl_allocator *allocator; /* borrowed */
    worker *workers;                /* owned, n_workers of them; [0] is the caller */
    int n_workers;
    pid_t pid;
    bool spins;
};

/* ---- waiting */

double bdl__now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int most)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
}

/* Waits until *word is no longer `old`, without the kernel; false when it took too long. */
static bool spin_while(_Atomic uint32_t *word, uint32_t old)
{
    const double start = bdl__now();
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != old) {
                return true;
            }
            BDL__CPU_RELAX();
        }
    } while (bdl__now() - start < SPIN_SECONDS);
    return false;
}

/* Waits until *word is no longer `old`; `sleepers` counts who sleeps on it. */
static void wait_while(_Atomic uint32_t *word, uint32_t old, _Atomic uint32_t *sleepers, bool spins)
{
    if (atomic_load_explicit(word, memory_order_acquire) != old ||
        (spins && spin_while(word, old))) {
        return;
    }
    atomic_fetch_add(sleepers, 1);
    while (atomic_load(word) == old) {
        futex_wait(word, old);
    }
    atomic_fetch_sub(sleepers, 1);
}

/* Processors that this process may use; what a barrier compares its workers with. */
static int n_processors;
static pthread_once_t n_processors_once = PTHREAD_ONCE_INIT;

static void count_processors(void)
{
    n_processors = bdl__cpu_usable();
}

static bool may_spin(int n_workers)
{
    (void)pthread_once(&n_processors_once, count_processors);
    return n_workers <= n_processors;
}

bool bdl__word_spin(_Atomic uint32_t *word, uint32_t old)
{
    return may_spin(2) ? spin_while(word, old)
                       : atomic_load_explicit(word, memory_order_acquire) != old;
}

void bdl__word_wait(_Atomic uint32_t *word, uint32_t old, double seconds)
{
    const time_t whole = (time_t)seconds;
    const struct timespec limit = {.tv_sec = whole,
                                   .tv_nsec = (long)((seconds - (double)whole) * 1e9)};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, &limit, NULL, 0);
}

void bdl__word_wake(_Atomic uint32_t *word)
{
    futex_wake(word, INT_MAX);
}

void bdl__barrier_wait(bdl__barrier *barrier, int n)
{
    if (n <= 1) {
        return;
    }
    /* The phase cannot end before this worker arrives. */
    const uint32_t phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == (uint32_t)n) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_fetch_add(&barrier->phase, 1);
        if (atomic_load(&barrier->sleepers) > 0) {
            futex_wake(&barrier->phase, INT_MAX);
        }
    } else {
        wait_while(&barrier->phase, phase, &barrier->sleepers, may_spin(n));
    }
}

/* ---- floating point state */

#if defined(__x86_64__)
/* All exceptions masked (0x1F80), flush-to-zero (0x8000), denormals-are-zero (0x40), to nearest. */
enum { FP_CONTROL = 0x9FC0 };
#elif defined(__aarch64__)
enum { FP_CONTROL = 1 << 24 }; /* FZ; rounding mode 0 = to nearest; no traps */
#else
enum { FP_CONTROL = 0 };
#endif

uint64_t bdl__fp_state_enter(void)
{
    const uint64_t old_state = bdl__fp_control_get();
    bdl__fp_control_set(FP_CONTROL);
    return old_state;
}

void bdl__fp_state_leave(uint64_t old_state)
{
    bdl__fp_control_set(old_state);
}

/* ---- threads */

/* pthread_create with all signals blocked in the new thread: they belong to the host's threads. */
static int create_quiet_thread(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    sigset_t all;
    sigset_t old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    const int error = pthread_create(thread, NULL, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error;
}

static bdl_status fail_create(int error, const char *what)
{
    return bdl__fail(BDL_ERR_OUT_OF_MEMORY, "cannot start %s: %s", what, strerror(error));
}

static void set_thread_name(const char *name)
{
    (void)prctl(PR_SET_NAME, name, 0, 0, 0); /* at most 15 bytes are kept */
}

struct bdl__thread {
    const bdl_allocator *allocator; /* borrowed */
    void (*fn)(void *);
    void *arg;
    pthread_t thread;
    pid_t pid;
};

static void *background_main(void *arg)
{
    const bdl__thread *const self = arg;
    set_thread_name("bdl-background");
    (void)bdl__fp_state_enter();
    self->fn(self->arg);
    return NULL;
}

bdl_status bdl__thread_start(const bdl_allocator *allocator, void (*fn)(void *), void *arg,
                             bdl__thread **thread)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__thread), &memory));
    bdl__thread *const self = memory;
    *self = (bdl__thread){.allocator = allocator, .fn = fn, .arg = arg, .pid = getpid()};
    const int error = create_quiet_thread(&self->thread, background_main, self);
    if (error != 0) {
        bdl__free(allocator, self, sizeof *self);
        return fail_create(error, "a background thread");
    }
    *thread = self;
    return BDL_OK;
}

void bdl__thread_join(bdl__thread *thread)
{
    if (thread == NULL) {
        return;
    }
    if (thread->pid == getpid()) { /* a forked child has no such thread */
        (void)pthread_join(thread->thread, NULL);
    }
    bdl__free(thread->allocator, thread, sizeof *thread);
}

/* ---- the pool */

static void *worker_main(void *arg)
{
    const worker *const self = arg;
    bdl__pool *const pool = self->pool;
    char name[16];
    (void)snprintf(name, sizeof name, "bdl-%d", self->index);
    set_thread_name(name);
    (void)bdl__fp_state_enter();
    for (uint32_t seen = 0;; seen++) {
        wait_while(&pool->generation, seen, &pool->sleepers, pool->spins);
        if (pool->stop) {
            return NULL;
        }
        pool->fn(pool->arg, self->index);
        if (atomic_fetch_sub(&pool->pending, 1) == 1 && atomic_load(&pool->caller_sleeps) > 0) {
            futex_wake(&pool->pending, 1);
        }
    }
}

static void release_workers(bdl__pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        futex_wake(&pool->generation, INT_MAX);
    }
}

/* Ends and joins the first `n` workers. */
static void stop_workers(bdl__pool *pool, int n)
{
    pool->stop = true;
    release_workers(pool);
    for (int i = 1; i < n; i++) {
        (void)pthread_join(pool->workers[i].thread, NULL);
    }
}

/* Frees the memory of a pool that has no threads. */
static void free_pool_memory(bdl__pool *pool)
{
    const bdl_allocator *const allocator = pool->allocator;
    (void)pthread_mutex_destroy(&pool->turn);
    bdl__free(allocator, pool->workers, (size_t)pool->n_workers * sizeof(worker));
    bdl__free(allocator, pool, sizeof *pool);
}

static bdl_status start_workers(bdl__pool *pool)
{
    for (int i = 0; i < pool->n_workers; i++) {
        pool->workers[i] = (worker){.pool = pool, .index = i};
    }
    for (int i = 1; i < pool->n_workers; i++) {
        worker *const self = &pool->workers[i];
        const int error = create_quiet_thread(&self->thread, worker_main, self);
        if (error != 0) {
            char what[64];
            (void)snprintf(what, sizeof what, "worker %d of %d", i + 1, pool->n_workers);
            stop_workers(pool, i);
            return fail_create(error, what);
        }
    }
    return BDL_OK;
}

bdl_status bdl__pool_create(const bdl_allocator *allocator, int n_workers, bdl__pool **pool)
{
    BDL__CHECK(n_workers >= 1 && n_workers <= MOST_WORKERS, BDL_ERR_INVALID_ARGUMENT,
               "the number of workers must be between 1 and %d, got %d", MOST_WORKERS, n_workers);
    void *memory = NULL;
    void *workers = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__pool), &memory));
    bdl__pool *const made = memory;
    made->allocator = allocator;
    made->n_workers = n_workers;
    made->pid = getpid();
    made->spins = may_spin(n_workers);
    (void)pthread_mutex_init(&made->turn, NULL);
    bdl_status status = bdl__alloc(allocator, (size_t)n_workers * sizeof(worker), &workers);
    made->workers = workers;
    if (status == BDL_OK) {
        status = start_workers(made);
    }
    if (status != BDL_OK) {
        free_pool_memory(made);
        return status;
    }
    *pool = made;
    return BDL_OK;
}

void bdl__pool_free(bdl__pool *pool)
{
    if (pool == NULL) {
        return;
    }
    if (pool->pid == getpid()) { /* a forked child has no workers */
        stop_workers(pool, pool->n_workers);
    }
    free_pool_memory(pool);
}

int bdl__pool_size(const bdl__pool *pool)
{
    return pool->n_workers;
}

/* A fork copies the memory but not the workers: waiting for them would never end. */
bdl_status bdl__pool_check(const bdl__pool *pool)
{
    const pid_t pid = getpid();
    if (BDL__LIKELY(pid == pool->pid)) {
        return BDL_OK;
    }
    return bdl__fail(BDL_ERR_FORKED,
                     "this context was made in process %ld and cannot be used in its forked child "
                     "%ld: create the context after the fork, or start processes by spawn or "
                     "forkserver instead of fork",
                     (long)pool->pid, (long)pid);
}

static void wait_for_workers(bdl__pool *pool)
{
    uint32_t pending = atomic_load_explicit(&pool->pending, memory_order_acquire);
    while (pending != 0) {
        wait_while(&pool->pending, pending, &pool->caller_sleeps, pool->spins);
        pending = atomic_load_explicit(&pool->pending, memory_order_acquire);
    }
}

static void run_on_all(bdl__pool *pool, bdl__worker_fn fn, void *arg)
{
    if (pool->n_workers > 1) {
        pool->fn = fn;
        pool->arg = arg;
        atomic_store_explicit(&pool->pending, (uint32_t)pool->n_workers - 1, memory_order_relaxed);
        release_workers(pool);
    }
    const uint64_t old_state = bdl__fp_state_enter();
    fn(arg, 0);
    bdl__fp_state_leave(old_state);
    wait_for_workers(pool);
}

bdl_status bdl__pool_run(bdl__pool *pool, bdl__worker_fn fn, void *arg)
{
    BDL__TRY(bdl__pool_check(pool));
    (void)pthread_mutex_lock(&pool->turn);
    run_on_all(pool, fn, arg);
    (void)pthread_mutex_unlock(&pool->turn);
    return BDL_OK;
}

/* ---- ranges */

void bdl__split_range(int64_t n, int i_part, int n_parts, int64_t *begin, int64_t *end)
{
    const int64_t share = n / n_parts;
    const int64_t longer = n % n_parts;
    *begin = i_part * share + BDL__MIN(i_part, longer);
    *end = *begin + share + (i_part < longer);
}

typedef struct range_work {
    bdl__range_fn fn;
    void *arg;
    int64_t n;
    int n_parts;
} range_work;

static void run_part(void *arg, int worker_index)
{
    const range_work *const work = arg;
    if (worker_index < work->n_parts) {
        int64_t begin = 0;
        int64_t end = 0;
        bdl__split_range(work->n, worker_index, work->n_parts, &begin, &end);
        work->fn(work->arg, begin, end, worker_index);
    }
}

bdl_status bdl__parallel_for(bdl__pool *pool, int64_t n, int64_t grain, bdl__range_fn fn, void *arg)
{
    BDL__CHECK(n >= 0, BDL_ERR_INVALID_ARGUMENT, "a range must have >= 0 items, got %lld",
               (long long)n);
    const int64_t most_parts = BDL__MAX(n / BDL__MAX(grain, INT64_C(1)), INT64_C(1));
    range_work work = {.fn = fn, .arg = arg, .n = n};
    work.n_parts = (int)BDL__MIN(most_parts, (int64_t)pool->n_workers);
    BDL__TRY(bdl__pool_check(pool));
    if (n == 0) {
        return BDL_OK;
    }
    if (work.n_parts == 1) {
        const uint64_t old_state = bdl__fp_state_enter();
        run_part(&work, 0);
        bdl__fp_state_leave(old_state);
        return BDL_OK;
    }
    return bdl__pool_run(pool, run_part, &work);
}
