/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads timeout=300 */
/* Ranks that push different rows train together what one process with all rows trains: the same bits. */
#ifndef _GNU_SOURCE
#define _POSIX_C_SOURCE 200809L /* barriers of threads */
#endif
#include <bdl/bdl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { N = 903, N_VAL = 301, COUNT = 12, N_CLASSES = 3, MOST_RANKS = 5 };

typedef struct samples {
    float values[N * COUNT];
    double labels[N];
    int owner[N];
} samples;

/* What ranks of one run share. */
typedef struct shared {
    const samples *train, *val;
    int n_ranks;
    int64_t memory_limit;
    const char *shards; /* of a batch */
    bool by_content; /* else the owner of a row is its number modulo the ranks */
    pthread_barrier_t barrier;
    char addresses[MOST_RANKS][128];
} shared;

typedef struct rank_state {
    shared *run;
    int rank;
    bdl_status status;
    char error[1024];
    char fingerprint[65];
    double val_loss, top1;
} rank_state;

static samples *make_samples(int n, uint64_t state, bool half_equal)
{
    samples *const s = (samples *)calloc(1, sizeof *s);
    for (int i = 0; s && i < n; i++) {
        s->labels[i] = i % N_CLASSES;
        for (int k = 0; k < COUNT; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            s->values[i * COUNT + k] =
                (float)(state >> 40) / 16777216.0f + (k % N_CLASSES == i % N_CLASSES ? 0.5f : 0.0f);
        }
        if (half_equal && i % 2 == 1) {
            s->labels[i] = s->labels[0];
            memcpy(s->values + i * COUNT, s->values, COUNT * sizeof(float));
        }
        s->owner[i] = (int)(state >> 33) % 1000;
    }
    return s;
}

static int owner_of(const shared *run, const samples *s, int i)
{
    /* by content: the last rank has nothing, the first most */
    const int n = run->n_ranks > 1 ? run->n_ranks - 1 : 1;
    return run->by_content ? (s->owner[i] < 600 ? 0 : s->owner[i] % n) : i % run->n_ranks;
}

static bdl_status push(bdl_context *context, const shared *run, int rank, const samples *s, int n,
                       bdl_data **data)
{
    bdl_data_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    o.dtype = BDL_F32;
    o.rank = 1;
    o.shape[0] = COUNT;
    o.label_kind = BDL_LABEL_CLASS;
    o.memory_limit = run->memory_limit;
    bdl_status status = bdl_data_create(context, &o, data);
    for (int i = 0; i < n && status == BDL_OK; i++) {
        if (owner_of(run, s, i) == rank) {
            status = bdl_data_push(*data, 1, s->values + i * COUNT, s->labels + i, NULL, NULL);
        }
    }
    return status == BDL_OK ? bdl_data_finish(*data) : status;
}

static void on_event(void *user, const bdl_event *event)
{
    rank_state *const state = (rank_state *)user;
    if (event->kind == BDL_EVENT_END) {
        state->val_loss = event->metrics[0];
        state->top1 = event->metrics[1];
    }
}

static bdl_status train(rank_state *state, bdl_context *context, bdl_options *options)
{
    const char *const pairs[][2] = {{"batch", "100"},
                                    {"epochs", "3"},
                                    {"optim", "adam(lr=0.02)"},
                                    {"model", "mlp(hidden=[16])"},
                                    {"shards", state->run->shards}};
    bdl_data *data = NULL, *val = NULL;
    bdl_trainer *trainer = NULL;
    bdl_status status = BDL_OK;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && status == BDL_OK; i++) {
        status = bdl_options_set(options, pairs[i][0], pairs[i][1]);
    }
    if (status == BDL_OK) {
        status = push(context, state->run, state->rank, state->run->train, N, &data);
    }
    if (status == BDL_OK) {
        status = push(context, state->run, state->rank, state->run->val, N_VAL, &val);
    }
    if (status == BDL_OK) {
        status = bdl_trainer_create_on(context, options, NULL, data, val, &trainer);
    }
    if (state->run->n_ranks > 1) { /* the trainer has its rows by now */
        bdl_data_free(data);
        bdl_data_free(val);
        data = val = NULL;
    }
    if (status == BDL_OK) {
        status = bdl_trainer_run(trainer, on_event, state);
    }
    if (status == BDL_OK) {
        bdl_trainer_fingerprint(trainer, state->fingerprint);
    }
    bdl_trainer_free(trainer);
    bdl_data_free(data);
    bdl_data_free(val);
    return status;
}

static bdl_status join(rank_state *state, bdl_context *context, bdl_group **group)
{
    static const uint8_t secret[32] = {1, 2, 3};
    shared *const run = state->run;
    const char *addresses[MOST_RANKS];
    bdl_group_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.rank = state->rank;
    options.n_ranks = run->n_ranks;
    options.secret = secret;
    const bdl_status status = bdl_group_create(context, &options, group);
    if (status == BDL_OK) {
        snprintf(run->addresses[state->rank], sizeof run->addresses[0], "%s", bdl_group_address(*group));
    }
    pthread_barrier_wait(&run->barrier);
    for (int r = 0; r < run->n_ranks; r++) {
        addresses[r] = run->addresses[r];
    }
    return status == BDL_OK ? bdl_group_connect(*group, addresses) : status;
}

static void *run_rank(void *arg)
{
    rank_state *const state = (rank_state *)arg;
    bdl_context_options context_options;
    bdl_context *context = NULL;
    bdl_group *group = NULL;
    bdl_options *options = NULL;
    memset(&context_options, 0, sizeof context_options);
    context_options.struct_size = sizeof context_options;
    context_options.n_threads = 1;
    state->status = bdl_context_create(&context_options, &context);
    if (state->status == BDL_OK) {
        state->status = join(state, context, &group);
    }
    if (state->status == BDL_OK) {
        state->status = bdl_options_create(context, "train", &options);
    }
    if (state->status == BDL_OK && state->run->n_ranks > 1) {
        state->status = bdl_options_set_group(options, group);
    }
    if (state->status == BDL_OK) {
        state->status = train(state, context, options);
    }
    snprintf(state->error, sizeof state->error, "%s", bdl_last_error());
    bdl_options_free(options);
    bdl_group_free(group);
    bdl_context_free(context);
    return NULL;
}

static void run_ranks(shared *run, int n_ranks, rank_state *states)
{
    pthread_t threads[MOST_RANKS];
    run->n_ranks = n_ranks;
    REQUIRE(pthread_barrier_init(&run->barrier, NULL, (unsigned)n_ranks) == 0);
    for (int r = 0; r < n_ranks; r++) {
        memset(&states[r], 0, sizeof states[r]);
        states[r].run = run;
        states[r].rank = r;
        REQUIRE(pthread_create(&threads[r], NULL, run_rank, &states[r]) == 0);
    }
    for (int r = 0; r < n_ranks; r++) {
        REQUIRE(pthread_join(threads[r], NULL) == 0);
    }
    pthread_barrier_destroy(&run->barrier);
    for (int r = 0; r < n_ranks; r++) {
        if (states[r].status != BDL_OK) {
            printf("rank %d of %d: %s\n", r, n_ranks, states[r].error);
        }
        CHECK(states[r].status == BDL_OK);
    }
}

static void compare(bool half_equal, const char *shards)
{
    static const int counts[] = {2, 3, 5};
    samples *const all = make_samples(N, 5, half_equal);
    samples *const val = make_samples(N_VAL, 6, half_equal);
    shared *const run = (shared *)calloc(1, sizeof *run);
    rank_state alone[1], states[MOST_RANKS];
    REQUIRE(all && val && run);
    run->train = all;
    run->val = val;
    run->shards = shards;
    run_ranks(run, 1, alone);
    CHECK(alone[0].top1 > 0.8);
    for (int i = 0; i < 3; i++) {
        run->by_content = i != 1;
        run->memory_limit = i == 2 ? 1 : 0; /* then all rows are spilled */
        run_ranks(run, counts[i], states);
        for (int r = 0; r < counts[i]; r++) {
            CHECK_STR_EQ(states[r].fingerprint, alone[0].fingerprint);
            CHECK(memcmp(&states[r].val_loss, &alone[0].val_loss, sizeof(double)) == 0);
            CHECK_NEAR(states[r].top1, alone[0].top1, 0);
        }
    }
    all->values[0] += 0.5f;
    rank_state other[1];
    run->memory_limit = 0;
    run_ranks(run, 1, other);
    CHECK(strcmp(other[0].fingerprint, alone[0].fingerprint) != 0);
    free(run);
    free(val);
    free(all);
}

BDL_TEST(ranks_train_what_one_process_trains) { compare(false, "0"); }

BDL_TEST(half_of_all_rows_may_be_equal) { compare(true, "0"); }

/* Seven slices in five shards: the rows of a rank are those of its shards. */
BDL_TEST(shards_say_which_rows_a_rank_gets) { compare(true, "5"); }

BDL_TEST_MAIN(ranks_train_what_one_process_trains, half_of_all_rows_may_be_equal, shards_say_which_rows_a_rank_gets)
