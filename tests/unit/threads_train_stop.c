/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads timeout=900 */
/*
 * A stop of one rank within an iteration ends it on all ranks, at the same iteration, which all give up or all finish;
 * training that goes on from there ends with the bits of one process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dist_ranks.h"
#include "test.h"
#include "train/trainer.h"

#define MLP "mlp(hidden=[300, 100])"

enum { MOST_RUNS = 60, ENOUGH = 12 };

/* What all ranks of a test share. */
typedef struct job {
    const char *model;
    const char *clip;
    bdl__wire_format wire;
    bool has_stops;
    double iteration_seconds;
    bool is_slow; /* ranks say that their iterations take long, so that they need not */
    char want[65]; /* fingerprint of an undisturbed run */
    /* of each rank, after each of its runs */
    int n_runs[MOST_TEST_RANKS];
    int64_t iteration[MOST_RUNS][MOST_TEST_RANKS];
    bool is_held[MOST_RUNS][MOST_TEST_RANKS];
    int64_t n_undone[MOST_TEST_RANKS]; /* buckets */
    char hex[MOST_TEST_RANKS][65];
} job;

static void say_slow(void *arg, const bdl__event *event)
{
    bdl__trainer *const trainer = arg;
    (void)event;
    trainer->is_slow = true;
}

static bdl_status open_trainer(const job *j, bdl__pool *pool, bdl__arena *arena, bdl__train_params *params,
                               bdl__group *group, bdl__trainer **trainer)
{
    bdl__session session = {.allocator = bdl__default_allocator(),
                            .log = &dist_quiet_log,
                            .pool = pool,
                            .group = group};
    BDL__TRY(bdl__target_choose(&session.target));
    BDL__TRY(bdl__params_default(&bdl__train_schema, arena, params));
    params->model = j->model;
    params->data = "synthetic(count=215, shape=[2,9,9], classes=4)";
    params->val = "synthetic(count=90, shape=[2,9,9], classes=4)";
    params->batch = 100;
    params->iterations = 40;
    params->optim = "adam(lr=0.01)";
    params->clip = j->clip;
    params->bucket = BDL__BLOCK * 4; /* small ones, so that some are updated while backward goes on */
    params->wire.i = (int32_t)j->wire;
    return bdl__trainer_create(&session, params, NULL, trainer);
}

static void wait_a_part(double seconds)
{
    const struct timespec delay = {.tv_nsec = (long)(1e9 * seconds) % 1000000000};
    nanosleep(&delay, NULL);
}

typedef struct stopper {
    bdl__trainer *trainer;
    double seconds;
} stopper;

static void stop_later(void *arg)
{
    const stopper *const s = arg;
    wait_a_part(s->seconds);
    bdl__trainer_stop(s->trainer);
}

/* Rank `run % n` is stopped in run number `run`, after a random part of two iterations' time. */
static bdl_status run_once(const job *j, bdl__trainer *trainer, int run, int rank, int n_ranks)
{
    stopper s = {.trainer = trainer, .seconds = j->iteration_seconds * (run * 37 % 100) / 50};
    bdl__thread *thread = NULL;
    if (j->has_stops && run % n_ranks == rank && run < MOST_RUNS - 1) {
        BDL__TRY(bdl__thread_start(bdl__default_allocator(), stop_later, &s, &thread));
    }
    const bdl_status status = bdl__trainer_run(trainer, j->is_slow ? say_slow : NULL, trainer);
    if (thread) {
        bdl__thread_join(thread);
    }
    return status;
}

static bdl_status train(job *j, bdl__trainer *trainer, int rank, int n_ranks)
{
    bdl_status status = BDL_ERR_CANCELLED;
    for (int run = 0; status == BDL_ERR_CANCELLED && run < MOST_RUNS; run++) {
        status = run_once(j, trainer, run, rank, n_ranks);
        j->n_runs[rank] = run + 1;
        j->iteration[run][rank] = trainer->position.iteration;
        j->is_held[run][rank] = trainer->held != NULL;
        j->n_undone[rank] += trainer->held ? trainer->n_updated : 0;
    }
    bdl__trainer_fingerprint(trainer, j->hex[rank]);
    return status;
}

static void train_rank(test_rank *r)
{
    bdl__arena arena;
    bdl__train_params params;
    bdl__pool *pool = NULL;
    bdl__trainer *trainer = NULL;
    bdl__arena_init(&arena, bdl__default_allocator());
    bdl_status status = bdl__pool_create(bdl__default_allocator(), 2, &pool);
    if (status == BDL_OK) {
        status = open_trainer(r->arg, pool, &arena, &params, r->group, &trainer);
    }
    if (status == BDL_OK) {
        status = train(r->arg, trainer, r->rank, r->n_ranks);
    }
    dist_note(r, status);
    bdl__trainer_free(trainer);
    bdl__pool_free(pool);
    bdl__arena_free(&arena);
}

static void note_speed(void *arg, const bdl__event *event)
{
    job *const j = arg;
    if (event->kind == BDL__EVENT_END) {
        j->iteration_seconds = event->seconds / (double)event->iteration;
    }
}

static void train_alone(job *j)
{
    bdl__arena arena;
    bdl__train_params params;
    bdl__pool *pool = NULL;
    bdl__trainer *trainer = NULL;
    bdl__arena_init(&arena, bdl__default_allocator());
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), 2, &pool));
    REQUIRE_OK(open_trainer(j, pool, &arena, &params, NULL, &trainer));
    CHECK_OK(bdl__trainer_run(trainer, note_speed, j));
    bdl__trainer_fingerprint(trainer, j->want);
    bdl__trainer_free(trainer);
    bdl__pool_free(pool);
    bdl__arena_free(&arena);
}

static void train_ranks(job *j, int n_ranks, bool has_stops)
{
    static dist_run run;
    j->has_stops = has_stops;
    run = (dist_run){.n_ranks = n_ranks, .fn = train_rank, .arg = j};
    dist_run_ranks(&run);
    CHECK(dist_all_ok(&run));
}

typedef struct given_up {
    int n_runs;        /* within an iteration */
    int64_t n_undone; /* buckets that had been updated in it */
} given_up;

/* bf16 on the wire rounds otherwise than one process does. */
static void check_stops(job how, int n_ranks, given_up *all)
{
    job *const j = calloc(1, sizeof *j);
    int n_held = 0;
    REQUIRE(j != NULL);
    *j = how;
    if (j->wire == BDL__WIRE_BF16) {
        train_ranks(j, n_ranks, false);
        memcpy(j->want, j->hex[0], sizeof j->want);
        j->iteration_seconds = 0.002;
    } else {
        train_alone(j);
    }
    train_ranks(j, n_ranks, true);
    for (int r = 0; r < n_ranks; r++) {
        CHECK_STR_EQ(j->hex[r], j->want);
        all->n_undone += j->n_undone[r];
        CHECK_EQ_I64(j->n_runs[r], j->n_runs[0]);
        for (int i = 0; i < j->n_runs[0]; i++) {
            CHECK_EQ_I64(j->iteration[i][r], j->iteration[i][0]);
            CHECK_EQ_I64(j->is_held[i][r], j->is_held[i][0]);
        }
    }
    for (int i = 0; i < j->n_runs[0]; i++) {
        n_held += j->is_held[i][0];
    }
    printf("%d ranks: %d of %d stops within an iteration\n", n_ranks, n_held, j->n_runs[0] - 1);
    free(j);
    all->n_runs += n_held;
}

static char model_path[512];

/* Batch norm, whose sums all ranks exchange forward and backward. */
static void write_model(void)
{
    static const char json[] =
        "{\"name\":\"mixed\",\"inputs\":[{\"name\":\"input\",\"shape\":[2,9,9]}],\"nodes\":["
        "{\"name\":\"c\",\"type\":\"conv2d\",\"params\":{\"out_channels\":24,\"kernel_size\":3},\"inputs\":[\"input\"]},"
        "{\"name\":\"b\",\"type\":\"batch_norm\",\"inputs\":[\"c\"]},"
        "{\"name\":\"f\",\"type\":\"flatten\",\"inputs\":[\"b\"]},"
        "{\"name\":\"d\",\"type\":\"dropout\",\"params\":{\"p\":0.3},\"inputs\":[\"f\"]},"
        "{\"name\":\"l\",\"type\":\"linear\",\"params\":{\"out_features\":4},\"inputs\":[\"d\"]},"
        "{\"name\":\"s\",\"type\":\"log_softmax\",\"inputs\":[\"l\"]}]}";
    snprintf(model_path, sizeof model_path, "%s/model.json", bdl_test_dir());
    FILE *const file = fopen(model_path, "w");
    REQUIRE(file != NULL);
    fputs(json, file);
    fclose(file);
}

BDL_TEST(a_stop_within_an_iteration_is_one_of_all_ranks)
{
    given_up all = {0};
    write_model();
    for (int i = 0; i < 3; i++) {
        check_stops((job){.model = MLP, .clip = "", .is_slow = true}, 2 + i, &all);
        check_stops((job){.model = model_path, .clip = i == 1 ? "norm(3)" : "", .is_slow = true}, 2 + i, &all);
    }
    check_stops((job){.model = MLP, .clip = "", .is_slow = true, .wire = BDL__WIRE_BF16}, 3, &all);
    printf("%lld updates of buckets undone\n", (long long)all.n_undone);
    CHECK(all.n_runs >= ENOUGH && all.n_undone >= ENOUGH);
}

/* Whose flags travel with exchanges that are made anyway. */
BDL_TEST(short_iterations_are_finished)
{
    given_up all = {0};
    write_model();
    check_stops((job){.model = MLP, .clip = ""}, 3, &all);
    check_stops((job){.model = model_path, .clip = "norm(3)"}, 3, &all);
}

BDL_TEST_MAIN(a_stop_within_an_iteration_is_one_of_all_ranks, short_iterations_are_finished)
