/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OpenMP runtime of one thread: the ten functions of GNU's that oneDNN calls, so that the wheel needs no libgomp and
 * never brings a second one into a process that has its own. bdl runs oneDNN with one OpenMP thread in each of its workers
 * anyway, so a team has one member, a loop's share is the whole loop, and a barrier waits for nobody. Nothing is kept between
 * calls: every thread may call at any time. The names and types are GNU's binary interface (GCC's libgomp manual).
 */
#include <stdbool.h>

#define EXPORT __attribute__((visibility("default")))

typedef void parallel_fn(void *data);

EXPORT int omp_get_max_threads(void);
EXPORT int omp_get_num_threads(void);
EXPORT int omp_get_thread_num(void);
EXPORT int omp_in_parallel(void);
EXPORT void GOMP_parallel_start(parallel_fn *fn, void *data, unsigned n_threads);
EXPORT void GOMP_parallel_end(void);
EXPORT void GOMP_barrier(void);
EXPORT bool GOMP_loop_static_start(long start, long end, long step, long chunk, long *from, long *to);
EXPORT bool GOMP_loop_static_next(long *from, long *to);
EXPORT void GOMP_loop_end_nowait(void);

int omp_get_max_threads(void)
{
    return 1;
}

int omp_get_num_threads(void)
{
    return 1;
}

int omp_get_thread_num(void)
{
    return 0;
}

/* A region of one thread is not an active one. */
int omp_in_parallel(void)
{
    return 0;
}

/* The caller runs fn(data) itself after this returns. */
void GOMP_parallel_start(parallel_fn *fn, void *data, unsigned n_threads)
{
    (void)fn;
    (void)data;
    (void)n_threads;
}

void GOMP_parallel_end(void)
{
}

void GOMP_barrier(void)
{
}

bool GOMP_loop_static_start(long start, long end, long step, long chunk, long *from, long *to)
{
    (void)chunk;
    *from = start;
    *to = end;
    return step > 0 ? start < end : start > end;
}

bool GOMP_loop_static_next(long *from, long *to)
{
    (void)from;
    (void)to;
    return false;
}

void GOMP_loop_end_nowait(void)
{
}
