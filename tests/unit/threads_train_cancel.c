/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads timeout=900 */
/*
 * A cancel within an iteration gives it up: weights, running statistics and the method's state stay as they were before
 * it, and training that goes on from there ends with the bits of an undisturbed run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test.h"
#include "train/trainer.h"

enum { N_WORKERS = 2, ENOUGH = 8, MOST_RUNS = 500 };

/* Batch norm changes its statistics while the iteration runs; the wide layer goes layer by layer. */
static const char *const model_json =
    "{\"name\":\"mixed\",\"inputs\":[{\"name\":\"input\",\"shape\":[2,9,9]}],\"nodes\":["
    "{\"name\":\"c1\",\"type\":\"conv2d\",\"params\":{\"out_channels\":24,\"kernel_size\":3},\"inputs\":[\"input\"]},"
    "{\"name\":\"b1\",\"type\":\"batch_norm\",\"inputs\":[\"c1\"]},"
    "{\"name\":\"p\",\"type\":\"max_pool2d\",\"params\":{\"kernel_size\":2},\"inputs\":[\"b1\"]},"
    "{\"name\":\"f\",\"type\":\"flatten\",\"inputs\":[\"p\"]},"
    "{\"name\":\"d\",\"type\":\"dropout\",\"params\":{\"p\":0.3},\"inputs\":[\"f\"]},"
    "{\"name\":\"l1\",\"type\":\"linear\",\"params\":{\"out_features\":1200},\"inputs\":[\"d\"]},"
    "{\"name\":\"b2\",\"type\":\"batch_norm\",\"inputs\":[\"l1\"]},"
    "{\"name\":\"l2\",\"type\":\"linear\",\"params\":{\"out_features\":4},\"inputs\":[\"b2\"]},"
    "{\"name\":\"s\",\"type\":\"log_softmax\",\"inputs\":[\"l2\"]}]}";

typedef struct fixture {
    bdl__log log;
    bdl__arena arena;
    bdl__pool *pool;
    bdl__train_params params;
    char path[512];
    bdl__cancel cancel;
    double iteration_seconds; /* of the undisturbed run */
    double delay;             /* until the cancel */
    bdl__trainer *stopped;    /* by a stop of it; NULL = by the cancel of all */
} fixture;

static void open_fixture(fixture *f)
{
    snprintf(f->path, sizeof f->path, "%s/model.json", bdl_test_dir());
    FILE *const file = fopen(f->path, "w");
    REQUIRE(file != NULL);
    fputs(model_json, file);
    fclose(file);
    bdl__arena_init(&f->arena, bdl__default_allocator());
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), N_WORKERS, &f->pool));
    REQUIRE_OK(bdl__params_default(&bdl__train_schema, &f->arena, &f->params));
    f->params.model = f->path;
    f->params.data = "synthetic(count=600, shape=[2,9,9], classes=4)";
    f->params.batch = 128;
    f->params.iterations = 60;
    f->params.optim = "adam(lr=0.01)";
    f->params.clip = "norm(3)";
}

static bdl__trainer *open_trainer(fixture *f)
{
    bdl__target target = BDL__TARGET_LANE1;
    CHECK_OK(bdl__target_choose(&target));
    const bdl__session session = {.allocator = bdl__default_allocator(),
                                  .log = &f->log,
                                  .pool = f->pool,
                                  .target = target,
                                  .cancel = &f->cancel};
    bdl__trainer *trainer = NULL;
    CHECK_OK(bdl__trainer_create(&session, &f->params, NULL, &trainer));
    return trainer;
}

static void note_speed(void *arg, const bdl__event *event)
{
    fixture *const f = arg;
    if (event->kind == BDL__EVENT_END) {
        f->iteration_seconds = event->seconds / (double)event->iteration;
    }
}

static void cancel_later(void *arg)
{
    fixture *const f = arg;
    const struct timespec delay = {.tv_nsec = (long)(1e9 * f->delay) % 1000000000};
    nanosleep(&delay, NULL);
    if (f->stopped) {
        bdl__trainer_stop(f->stopped);
    } else {
        f->cancel.is_asked = 1;
    }
}

/* One run that is cancelled after a random part of an iteration's time. */
static bdl_status run_cancelled(fixture *f, bdl__trainer *trainer)
{
    bdl__thread *thread = NULL;
    f->delay = f->iteration_seconds * (double)(bdl_test_random() % 1000) / 700;
    CHECK_OK(bdl__thread_start(bdl__default_allocator(), cancel_later, f, &thread));
    const bdl_status status = bdl__trainer_run(trainer, NULL, NULL);
    bdl__thread_join(thread);
    f->cancel.is_asked = 0;
    return status;
}

BDL_TEST(a_cancelled_iteration_leaves_everything_as_it_was)
{
    fixture *const f = calloc(1, sizeof *f);
    char want[65], before[65], after[65];
    int n_given_up = 0, n_runs = 0;
    REQUIRE(f != NULL);
    open_fixture(f);
    bdl__trainer *trainer = open_trainer(f);
    REQUIRE(trainer != NULL);
    CHECK_OK(bdl__trainer_run(trainer, note_speed, f));
    bdl__trainer_fingerprint(trainer, want);
    bdl__trainer_free(trainer);

    trainer = open_trainer(f);
    REQUIRE(trainer != NULL);
    bdl__trainer_fingerprint(trainer, before);
    for (; n_runs < MOST_RUNS && n_given_up < ENOUGH; n_runs++) {
        const int64_t iteration = trainer->position.iteration;
        f->stopped = n_runs % 2 == 1 ? trainer : NULL;
        const bdl_status status = run_cancelled(f, trainer);
        if (status == BDL_OK) {
            break;
        }
        CHECK_EQ_I64(status, BDL_ERR_CANCELLED);
        bdl__trainer_fingerprint(trainer, after);
        if (trainer->held) {
            n_given_up++;
            CHECK(trainer->position.iteration > iteration || strcmp(before, after) == 0);
        }
        memcpy(before, after, sizeof before);
    }
    CHECK_OK(bdl__trainer_run(trainer, NULL, NULL));
    bdl__trainer_fingerprint(trainer, after);
    CHECK_STR_EQ(after, want);
    printf("%d of %d cancels within an iteration\n", n_given_up, n_runs);
    CHECK(n_given_up > 0);
    bdl__trainer_free(trainer);
    bdl__pool_free(f->pool);
    bdl__arena_free(&f->arena);
    free(f);
}

BDL_TEST_MAIN(a_cancelled_iteration_leaves_everything_as_it_was)
