/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bdl bench allreduce_...: collectives between ranks that are threads of this process, over loopback TCP as between
 * machines. The large one alternates with a plain copy of as many bytes as an all-reduce of two ranks moves (each
 * rank sends half of the data to be summed and half of the sums), since speeds are only comparable within a run.
 */
#include <string.h>

#include "api/bench.h"
#include "dist/dist.h"

enum { MOST_RANKS = 4, LARGE = 100 * 1000 * 1000, WARM_UP_ROUNDS = 3 };

typedef struct ring {
    bdl_context *context;
    int n_ranks;
    int64_t n; /* floats */
    float *data[MOST_RANKS];
    bdl__group *groups[MOST_RANKS];
    bdl__thread *threads[MOST_RANKS];
    const char *addresses[MOST_RANKS];
} ring;

typedef struct ring_rank {
    ring *ring;
    int rank;
} ring_rank;

/* Rank 0 says whether there is a next round. */
static bdl_status agree(bdl__group *group, bool *goes_on)
{
    uint8_t answer = *goes_on;
    const bdl_status status = bdl__group_broadcast(group, 0, &answer, 1);
    *goes_on = answer != 0;
    return status;
}

static void follow(void *arg)
{
    const ring_rank *const r = arg;
    bdl__group *const group = r->ring->groups[r->rank];
    bool goes_on = true;
    bdl_status status = bdl__group_connect(group, r->ring->addresses);
    while (status == BDL_OK) {
        status = agree(group, &goes_on);
        if (status != BDL_OK || !goes_on) {
            return;
        }
        status = bdl__group_all_reduce(group, BDL_F32, r->ring->data[r->rank], r->ring->n);
    }
    bdl__group_abort(group, status, bdl_last_error());
}

static bdl_status open_ring(ring *x, ring_rank *ranks)
{
    static const uint8_t secret[BDL__SECRET_SIZE] = {0}; /* nothing to protect */
    for (int i = 0; i < x->n_ranks; i++) {
        const bdl__group_options options = {
            .rank = i, .n_ranks = x->n_ranks, .secret = secret, .cancel = &x->context->cancel};
        BDL__TRY(
            bdl__group_listen(&x->context->allocator, &x->context->log, &options, &x->groups[i]));
        x->addresses[i] = bdl__group_address(x->groups[i]);
    }
    for (int i = 1; i < x->n_ranks; i++) {
        ranks[i] = (ring_rank){.ring = x, .rank = i};
        BDL__TRY(bdl__thread_start(&x->context->allocator, follow, &ranks[i], &x->threads[i]));
    }
    return bdl__group_connect(x->groups[0], x->addresses);
}

static void close_ring(ring *x, bdl_status status)
{
    if (status != BDL_OK) {
        for (int i = 0; i < x->n_ranks && x->groups[i]; i++) {
            bdl__group_abort(x->groups[i], status, bdl_last_error());
        }
    }
    for (int i = 1; i < x->n_ranks; i++) {
        bdl__thread_join(x->threads[i]);
    }
    for (int i = 0; i < x->n_ranks; i++) {
        bdl__group_free(x->groups[i]);
    }
}

static bdl_status time_round(ring *x, double *seconds)
{
    bool goes_on = true;
    BDL__TRY(agree(x->groups[0], &goes_on));
    const double start = bdl__now();
    const bdl_status status = bdl__group_all_reduce(x->groups[0], BDL_F32, x->data[0], x->n);
    *seconds = bdl__now() - start;
    return status;
}

/* Rounds until the time is over; `yardstick` [nullable] gives the seconds that a round is measured by. */
static bdl_status measure_rounds(ring *x, double seconds,
                                 bdl_status (*yardstick)(ring *x, double *seconds),
                                 bdl__measured *measured)
{
    const double start = bdl__now();
    for (int64_t i = 0; bdl__now() - start < seconds || measured->n == 0; i++) {
        double taken = 0;
        double plain = 0;
        BDL__TRY(time_round(x, &taken));
        if (yardstick) {
            BDL__TRY(yardstick(x, &plain));
        }
        if (i >= WARM_UP_ROUNDS && measured->n < BDL__BENCH_MAX) {
            measured->value[measured->n++] = yardstick ? plain / taken : 1e3 * taken;
        }
    }
    bool goes_on = false;
    return agree(x->groups[0], &goes_on);
}

static bdl_status run_ring(ring *x, double seconds,
                           bdl_status (*yardstick)(ring *x, double *seconds),
                           bdl__measured *measured)
{
    ring_rank ranks[MOST_RANKS];
    bdl_status status = open_ring(x, ranks);
    if (status == BDL_OK) {
        status = measure_rounds(x, seconds, yardstick, measured);
    }
    close_ring(x, status);
    return status;
}

static bdl_status copy_plainly(ring *x, double *seconds)
{
    /* Each end writes from and reads into as much memory as a rank of the all-reduce touches. */
    uint8_t *const data[4] = {(uint8_t *)x->data[0], (uint8_t *)x->data[2], (uint8_t *)x->data[1],
                              (uint8_t *)x->data[3]};
    return bdl__plain_copy(&x->context->allocator, data, LARGE, seconds);
}

bdl_status bdl__bench_allreduce_100mb(bdl_context *context, double seconds, bdl__measured *measured)
{
    ring x = {.context = context, .n_ranks = 2, .n = LARGE / (int64_t)sizeof(float)};
    bdl_status status = BDL_OK;
    for (int i = 0; i < MOST_RANKS && status == BDL_OK; i++) {
        void *memory = NULL;
        status = bdl__alloc(&context->allocator, LARGE, &memory);
        x.data[i] = memory;
    }
    if (status == BDL_OK) {
        status = run_ring(&x, 2 * seconds, copy_plainly, measured);
    }
    for (int i = 0; i < MOST_RANKS; i++) {
        bdl__free(&context->allocator, x.data[i], LARGE);
    }
    return status;
}

bdl_status bdl__bench_allreduce_4b(bdl_context *context, double seconds, bdl__measured *measured)
{
    float numbers[MOST_RANKS] = {0};
    ring x = {.context = context, .n_ranks = MOST_RANKS, .n = 1};
    for (int i = 0; i < MOST_RANKS; i++) {
        x.data[i] = &numbers[i];
    }
    return run_ring(&x, seconds, NULL, measured);
}
