/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads timeout=600 */
/*
 * Training on several ranks, each a thread of this test with a context of its own: every number of ranks and workers
 * gives the bits that one process gives.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "dist_ranks.h"
#include "test.h"

/* Batch norm, dropout, a residual sum, a strided and a padded convolution: all that could differ. */
static const char *const mixed_json =
    "{\"name\":\"mixed\",\"inputs\":[{\"name\":\"input\",\"shape\":[2,9,9]}],\"nodes\":["
    "{\"name\":\"c1\",\"type\":\"conv2d\",\"params\":{\"out_channels\":5,\"kernel_size\":3,"
    "\"padding\":1},\"inputs\":[\"input\"]},"
    "{\"name\":\"b1\",\"type\":\"batch_norm\",\"inputs\":[\"c1\"]},"
    "{\"name\":\"r1\",\"type\":\"relu\",\"inputs\":[\"b1\"]},"
    "{\"name\":\"c2\",\"type\":\"conv2d\",\"params\":{\"out_channels\":5,\"kernel_size\":3,"
    "\"padding\":1},\"inputs\":[\"r1\"]},"
    "{\"name\":\"b2\",\"type\":\"batch_norm\",\"inputs\":[\"c2\"]},"
    "{\"name\":\"sum\",\"type\":\"add\",\"inputs\":[\"b2\",\"r1\"]},"
    "{\"name\":\"p\",\"type\":\"max_pool2d\",\"params\":{\"kernel_size\":3,\"stride\":2},"
    "\"inputs\":[\"sum\"]},"
    "{\"name\":\"f\",\"type\":\"flatten\",\"inputs\":[\"p\"]},"
    "{\"name\":\"d\",\"type\":\"dropout\",\"params\":{\"p\":0.3},\"inputs\":[\"f\"]},"
    "{\"name\":\"h\",\"type\":\"linear\",\"params\":{\"out_features\":150},\"inputs\":[\"d\"]},"
    "{\"name\":\"l\",\"type\":\"linear\",\"params\":{\"out_features\":4},\"inputs\":[\"h\"]},"
    "{\"name\":\"s\",\"type\":\"log_softmax\",\"inputs\":[\"l\"]}]}";

enum { MOST_OPTIONS = 16 };

typedef struct option {
    const char *name, *value;
} option;

/* A training run, and what came of it on each rank. */
typedef struct job {
    int threads;
    option options[MOST_OPTIONS];
    option of_rank[MOST_TEST_RANKS]; /* one more option of a rank, or NULL */
    char hex[MOST_TEST_RANKS][65];
    double loss[MOST_TEST_RANKS];
    char reason[MOST_TEST_RANKS][32];
    const char *export; /* a checkpoint file, after the run */
    int64_t cancel_at;  /* iteration after which rank 0 is cancelled, to run again then; 0 = none */
    int64_t stop_at;    /* the same by a stop of the last rank's trainer */
} job;

typedef struct observer {
    job *job;
    bdl_context *context;
    bdl_trainer *trainer;
    int rank, n_ranks;
} observer;

static void observe(void *user, const bdl_event *event)
{
    const observer *const o = user;
    if (event->kind == BDL_EVENT_STEP) {
        o->job->loss[o->rank] = event->loss;
        if (o->rank == 0 && event->iteration == o->job->cancel_at) {
            bdl_context_cancel(o->context);
        }
        if (o->rank == o->n_ranks - 1 && event->iteration == o->job->stop_at) {
            bdl_trainer_stop(o->trainer);
        }
    }
    if (event->kind == BDL_EVENT_END) {
        snprintf(o->job->reason[o->rank], sizeof o->job->reason[0], "%s", event->reason);
    }
}

static bdl_status set_all(bdl_options *options, const job *j, int rank)
{
    for (int i = 0; i < MOST_OPTIONS && j->options[i].name; i++) {
        BDL__TRY(bdl_options_set(options, j->options[i].name, j->options[i].value));
    }
    const option *const more = &j->of_rank[rank];
    return more->name ? bdl_options_set(options, more->name, more->value) : BDL_OK;
}

static bdl_status train_with(bdl_context *context, bdl_options *options, job *j, int rank,
                             bdl__group *group)
{
    bdl_trainer *trainer = NULL;
    observer o = {.job = j,
                  .context = context,
                  .rank = rank,
                  .n_ranks = group ? bdl__group_size(group) : 1};
    BDL__TRY(set_all(options, j, rank));
    options->group = group;
    BDL__TRY(bdl_trainer_create(context, options, &trainer));
    o.trainer = trainer;
    bdl_status status = bdl_trainer_run(trainer, observe, &o);
    if (status == BDL_ERR_CANCELLED && (j->cancel_at > 0 || j->stop_at > 0)) {
        bdl_context_clear_cancel(context);
        status = bdl_trainer_run(trainer, observe, &o);
    }
    if (status == BDL_OK && j->export) {
        status = bdl_trainer_checkpoint(trainer, j->export);
    }
    bdl_trainer_fingerprint(trainer, j->hex[rank]);
    bdl_trainer_free(trainer);
    return status;
}

static void drop_line(void *user, int level, const char *line)
{
    (void)user;
    (void)level;
    (void)line;
}

static bdl_status train(job *j, int rank, bdl__group *group)
{
    bdl_context *context = NULL;
    bdl_options *options = NULL;
    const bdl_context_options how = {
        .struct_size = sizeof how, .n_threads = j->threads, .log = drop_line};
    BDL__TRY(bdl_context_create(&how, &context));
    bdl_status status = bdl_options_create(context, "train", &options);
    if (status == BDL_OK) {
        status = train_with(context, options, j, rank, group);
    }
    bdl_options_free(options);
    bdl_context_free(context);
    return status;
}

static void train_rank(test_rank *rank)
{
    dist_note(rank, train(rank->arg, rank->rank, rank->group));
}

static void run_ranks(job *j, int n_ranks, dist_run *run)
{
    *run = (dist_run){.n_ranks = n_ranks, .fn = train_rank, .arg = j};
    dist_run_ranks(run);
}

/* The job's bits with one process, in `hex`. */
static void train_alone(job j, char hex[65])
{
    j.threads = 2;
    CHECK_OK(train(&j, 0, NULL));
    memcpy(hex, j.hex[0], 65);
}

static void check_ranks(job j, const char *alone, int n_ranks, int threads)
{
    static dist_run run;
    j.threads = threads;
    run_ranks(&j, n_ranks, &run);
    CHECK(dist_all_ok(&run));
    for (int r = 0; r < n_ranks; r++) {
        CHECK_STR_EQ(alone, j.hex[r]);
    }
}

/* All ranks of a run have the same bits; gives them. */
static void train_ranks(job j, int n_ranks, int threads, char hex[65])
{
    static dist_run run;
    j.threads = threads;
    run_ranks(&j, n_ranks, &run);
    CHECK(dist_all_ok(&run));
    for (int r = 1; r < n_ranks; r++) {
        CHECK_STR_EQ(j.hex[0], j.hex[r]);
    }
    memcpy(hex, j.hex[0], 65);
}

static void check_all(job j)
{
    static const int ranks[] = {1, 2, 3, 5};
    char alone[65];
    train_alone(j, alone);
    for (int i = 0; i < 4; i++) {
        check_ranks(j, alone, ranks[i], 1 + i % 2);
    }
}

static char model_path[512];

static void write_model(const char *json)
{
    snprintf(model_path, sizeof model_path, "%s/model.json", bdl_test_dir());
    FILE *const file = fopen(model_path, "w");
    REQUIRE(file != NULL);
    fputs(json, file);
    fclose(file);
}

#define SYNTHETIC "synthetic(count=215, shape=[2,9,9], classes=4)"

BDL_TEST(batch_norm_and_dropout_train_alike)
{
    write_model(mixed_json);
    check_all((job){.options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "100"},
                                {"iterations", "7"}, {"seed", "7"}}});
}

/* The last step has three rows: some ranks have none of its slices, and their running statistics follow. */
BDL_TEST(ranks_without_rows_in_the_last_step_follow)
{
    write_model(mixed_json);
    const job j = {.options = {{"model", model_path},
                               {"data", "synthetic(count=115, shape=[2,9,9], classes=4)"},
                               {"batch", "112"},
                               {"epochs", "3"},
                               {"clip", "norm(0.5)"},
                               {"optim", "adam(lr=0.01)"}}};
    check_all(j);
}

BDL_TEST(odd_batches_train_alike)
{
    char alone[65];
    write_model(mixed_json);
    job j = {.options = {{"model", model_path}, {"data", SYNTHETIC}, {"iterations", "9"}, {"batch", "37"}}};
    train_alone(j, alone);
    check_ranks(j, alone, 2, 2);
    check_ranks(j, alone, 3, 1);
    j.options[3].value = "200";
    train_alone(j, alone);
    check_ranks(j, alone, 5, 2);
    check_ranks(j, alone, 7, 1);
}

BDL_TEST(buckets_change_nothing)
{
    char alone[65];
    job j = {.options = {{"model", "mlp(hidden=[300,200])"}, {"data", SYNTHETIC}, {"batch", "80"},
                         {"iterations", "6"}, {"clip", "norm(0.5)"}, {"bucket", "0"}}};
    train_alone(j, alone);
    check_ranks(j, alone, 3, 2);
    j.options[5].value = "1";
    check_ranks(j, alone, 3, 2);
    j.options[5].value = "100000";
    check_ranks(j, alone, 2, 1);
    j.options[4].value = "";
    train_alone(j, alone);
    check_ranks(j, alone, 3, 2);
}

/* Layers whose weights outgrow the cache take all parts at once; each bucket ends a segment. */
BDL_TEST(buckets_of_large_layers_change_nothing)
{
    char alone[65];
    job j = {.options = {{"model", "mlp(hidden=[1100,1000])"}, {"data", SYNTHETIC}, {"batch", "80"},
                         {"iterations", "3"}, {"bucket", "0"}}};
    train_alone(j, alone);
    check_ranks(j, alone, 3, 2);
    j.options[4].value = "65536";
    check_ranks(j, alone, 3, 2);
    check_ranks(j, alone, 5, 1);
}

/* One rank's cancel ends the run of all, which can go on afterwards. */
BDL_TEST(a_cancelled_run_goes_on_where_it_stopped)
{
    char alone[65];
    job j = {.options = {{"model", "mlp(hidden=[20])"}, {"data", SYNTHETIC}, {"batch", "80"},
                         {"epochs", "4"}}};
    train_alone(j, alone);
    j.cancel_at = 4;
    check_ranks(j, alone, 1, 2);
    check_ranks(j, alone, 3, 1);
    j.cancel_at = 0;
    j.stop_at = 3;
    check_ranks(j, alone, 1, 1);
    check_ranks(j, alone, 3, 1);
}

BDL_TEST(float64_trains_alike)
{
    char alone[65];
    write_model(mixed_json);
    const job j = {.options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "100"},
                               {"iterations", "4"}, {"precision", "f64"}}};
    train_alone(j, alone);
    check_ranks(j, alone, 3, 2);
}

/* Frozen layers belong to no rank: before, between and within what does. */
static const char *const frozen_json =
    "{\"name\":\"frozen\",\"inputs\":[{\"name\":\"input\",\"shape\":[2,9,9]}],\"nodes\":["
    "{\"name\":\"f\",\"type\":\"flatten\",\"inputs\":[\"input\"]},"
    "{\"name\":\"a\",\"type\":\"linear\",\"params\":{\"out_features\":130},\"inputs\":[\"f\"],\"frozen\":true},"
    "{\"name\":\"b\",\"type\":\"linear\",\"params\":{\"out_features\":140},\"inputs\":[\"a\"]},"
    "{\"name\":\"c\",\"type\":\"linear\",\"params\":{\"out_features\":150},\"inputs\":[\"b\"],\"frozen\":true},"
    "{\"name\":\"d\",\"type\":\"linear\",\"params\":{\"out_features\":160},\"inputs\":[\"c\"]},"
    "{\"name\":\"e\",\"type\":\"linear\",\"params\":{\"out_features\":4},\"inputs\":[\"d\"]},"
    "{\"name\":\"s\",\"type\":\"log_softmax\",\"inputs\":[\"e\"]}]}";

BDL_TEST(frozen_layers_train_alike)
{
    char alone[65];
    write_model(frozen_json);
    job j = {.options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "100"}, {"iterations", "6"},
                         {"optim", "adam(lr=0.01)"}, {"clip", "norm(0.5)"}}};
    check_all(j);
    j.options[6] = (option){"bucket", "16384"};
    train_alone(j, alone);
    check_ranks(j, alone, 3, 2);
    j.options[7] = (option){"wire", "bf16"};
    train_ranks(j, 3, 2, alone);
    j.options[6].value = "0";
    check_ranks(j, alone, 3, 1);
}

/* Validation is shared too; what it gives decides when training stops and how fast it learns. */
BDL_TEST(validation_and_stop_conditions_are_alike)
{
    char alone[65];
    write_model(mixed_json);
    job j = {.options = {{"model", model_path},
                         {"data", SYNTHETIC},
                         {"batch", "64"},
                         {"val", "synthetic(count=301, shape=[2,9,9], classes=4)"},
                         {"schedule", "plateau(monitor=loss, patience=1, factor=0.3)"},
                         {"until", "loss < 1.3 or epoch >= 6"}}};
    train_alone(j, alone);
    check_ranks(j, alone, 2, 1);
    check_ranks(j, alone, 4, 2);
}

/* ---- bf16 on the wire ------------------------------------------------------------------------------ */

/* The bits depend on the number of ranks, and on nothing else that may differ. */
static void check_bf16(job *j, option *wire, option *bucket)
{
    char fp32[65], first[65], again[65];
    train_ranks(*j, 2, 1, fp32);
    *wire = (option){"wire", "bf16"};
    train_ranks(*j, 1, 2, again);
    CHECK_STR_EQ(fp32, again);
    for (int n_ranks = 2; n_ranks <= 5; n_ranks += 3) {
        *bucket = (option){"bucket", "0"};
        train_ranks(*j, n_ranks, 1, first);
        CHECK(strcmp(first, fp32) != 0);
        *bucket = (option){"bucket", "65536"};
        train_ranks(*j, n_ranks, 2, again);
        CHECK_STR_EQ(first, again);
    }
}

BDL_TEST(bf16_on_the_wire_gives_all_ranks_the_same_bits)
{
    write_model(mixed_json);
    job j = {.options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "100"}, {"iterations", "7"}}};
    check_bf16(&j, &j.options[4], &j.options[5]);
    j = (job){.options = {{"model", "mlp(hidden=[300,200])"}, {"data", SYNTHETIC}, {"batch", "80"},
                          {"iterations", "6"}, {"clip", "norm(0.5)"}, {"optim", "adam(lr=0.01)"}}};
    check_bf16(&j, &j.options[6], &j.options[7]);
}

/* The last loss of training on digits by three ranks. */
static double last_loss(const char *wire)
{
    static dist_run run;
    job j = {.threads = 1,
             .options = {{"model", "lenet"}, {"data", "digits(count=2000)"}, {"batch", "100"}, {"epochs", "3"},
                         {"optim", "sgd(lr=0.05, momentum=0.9)"}, {"wire", wire}}};
    run_ranks(&j, 3, &run);
    CHECK(dist_all_ok(&run));
    return j.loss[0];
}

BDL_TEST(bf16_on_the_wire_learns_as_fp32_does)
{
    const double fp32 = last_loss("fp32"), bf16 = last_loss("bf16");
    CHECK(fp32 < 0.7 && bf16 < 0.7); /* it starts at 2.3 */
    CHECK_NEAR(bf16, fp32, 0.1);
}

BDL_TEST(bf16_on_the_wire_needs_float32)
{
    const char *const text = "--wire bf16 is for float32 weights: use --wire fp32 with --precision f64";
    job j = {.threads = 1,
             .options = {{"model", "lenet"}, {"data", "digits(count=200)"}, {"precision", "f64"}, {"wire", "bf16"}}};
    CHECK(train(&j, 0, NULL) == BDL_ERR_UNSUPPORTED);
    CHECK_STR_HAS(bdl_last_error(), text);
}

BDL_TEST(seeds_differ)
{
    char one[65];
    static dist_run run;
    job j = {.threads = 1,
             .options = {{"model", "lenet"}, {"data", "digits(count=200)"}, {"batch", "64"}, {"iterations", "3"},
                         {"seed", "1"}}};
    run_ranks(&j, 2, &run);
    CHECK(dist_all_ok(&run));
    memcpy(one, j.hex[0], sizeof one);
    CHECK_STR_EQ(one, j.hex[1]);
    j.options[4].value = "2";
    run_ranks(&j, 2, &run);
    CHECK(dist_all_ok(&run));
    CHECK(strcmp(one, j.hex[0]) != 0);
}

/* Half of all rows are the same: which of them meets which shard must not matter. */
BDL_TEST(equal_rows_train_alike)
{
    static char data[1200];
    char alone[65], path[512];
    snprintf(path, sizeof path, "%s/rows.csv", bdl_test_dir());
    FILE *const file = fopen(path, "w");
    REQUIRE(file != NULL);
    fputs("a,b,c,label\n", file);
    for (int i = 0; i < 300; i++) {
        const int k = i % 2 ? i : 0;
        fprintf(file, "%d.5,%d.25,%d,%d\n", k % 7, k * 31 % 11, k % 5, k % 3);
    }
    fclose(file);
    snprintf(data, sizeof data, "csv:%s(label=label)", path);
    const job j = {.options = {{"model", "mlp"}, {"data", data}, {"batch", "90"}, {"epochs", "3"}}};
    train_alone(j, alone);
    check_ranks(j, alone, 2, 2);
    check_ranks(j, alone, 3, 1);
    check_ranks(j, alone, 5, 1);
}

static void expect_failure(job *j, int n_ranks, const char *text)
{
    static dist_run run;
    j->threads = 1;
    run_ranks(j, n_ranks, &run);
    for (int r = 0; r < n_ranks; r++) {
        CHECK(run.ranks[r].status != BDL_OK);
        if (!strstr(run.ranks[r].error, text)) {
            printf("rank %d: '%s' lacks '%s'\n", r, run.ranks[r].error, text);
        }
        CHECK(strstr(run.ranks[r].error, text) != NULL);
        CHECK(run.ranks[r].seconds < 30);
    }
}

/* ---- checkpoints -------------------------------------------------------------------------------- */

/* 5 iterations, then up to 12, each with a number of ranks (0 = no group). */
static void check_resume(job j, int first, int second, const char *whole)
{
    static dist_run run;
    char directory[512];
    snprintf(directory, sizeof directory, "%s/checkpoints-%d-%d", bdl_test_dir(), first, second);
    int n = 0;
    while (j.options[n].name) {
        n++;
    }
    j.threads = 1;
    j.options[4].value = "5";
    j.options[n] = (option){"checkpoint", directory};
    for (int part = 0; part < 2; part++) {
        const int n_ranks = part == 0 ? first : second;
        if (part == 1) {
            j.options[4].value = "12";
            j.options[n + 1] = (option){"resume", "true"};
        }
        if (n_ranks == 0) {
            CHECK_OK(train(&j, 0, NULL));
        } else {
            run_ranks(&j, n_ranks, &run);
            CHECK(dist_all_ok(&run));
        }
    }
    CHECK_STR_EQ(whole, j.hex[0]);
}

BDL_TEST(checkpoints_are_those_of_one_process)
{
    char whole[65];
    write_model(mixed_json);
    const job j = {.options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "80"},
                               {"optim", "adam(lr=0.01)"}, {"iterations", "12"}}};
    train_alone(j, whole);
    check_resume(j, 0, 3, whole);
    check_resume(j, 3, 0, whole);
    check_resume(j, 2, 5, whole);
}

BDL_TEST(checkpoints_with_bf16_on_the_wire_go_on_alike)
{
    char whole[65];
    write_model(mixed_json);
    job j = {.options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "80"},
                         {"optim", "adam(lr=0.01)"}, {"iterations", "12"}, {"wire", "bf16"}}};
    train_ranks(j, 3, 2, whole);
    check_resume(j, 3, 3, whole);
    /* In mid-epoch with another wire it would be another run. */
    char directory[512], stopped[65];
    snprintf(directory, sizeof directory, "%s/stopped", bdl_test_dir());
    j.options[4].value = "7";
    j.options[6] = (option){"checkpoint", directory};
    train_ranks(j, 3, 1, stopped);
    j.options[4].value = "12";
    j.options[5].value = "fp32";
    j.options[7] = (option){"resume", "true"};
    expect_failure(&j, 3, "wire");
}

/* A leg ends after an iteration, its state goes into a file, and one rank of the next leg has it. */
BDL_TEST(legs_go_on_from_the_file_of_one_rank)
{
    static dist_run run;
    char whole[65], path[512];
    write_model(mixed_json);
    job j = {.threads = 1,
             .options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "80"},
                         {"optim", "adam(lr=0.01)"}, {"iterations", "12"}}};
    train_alone(j, whole);
    snprintf(path, sizeof path, "%s/leg.bdlckpt", bdl_test_dir());
    j.options[4].value = "7";
    j.export = path;
    run_ranks(&j, 2, &run);
    CHECK(dist_all_ok(&run));
    j.options[4].value = "12";
    j.export = NULL;
    j.of_rank[2] = (option){"start", path};
    run_ranks(&j, 3, &run);
    CHECK(dist_all_ok(&run));
    CHECK_STR_EQ(whole, j.hex[0]);
}

/* The time of one rank is up: all stop after the same iteration. */
BDL_TEST(time_limits_stop_all_at_one_iteration)
{
    static dist_run run;
    write_model(mixed_json);
    job j = {.threads = 1,
             .options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "80"}, {"epochs", "100000"}},
             .of_rank = {{"seed", "1"}, {"seconds", "0.3"}, {"seed", "1"}}};
    run_ranks(&j, 3, &run);
    CHECK(dist_all_ok(&run));
    for (int r = 0; r < 3; r++) {
        CHECK_STR_EQ(j.reason[r], "seconds");
        CHECK_STR_EQ(j.hex[r], j.hex[0]);
    }
}

/* ---- a chosen number of shards ------------------------------------------------------------------- */

/* Checks 1, 2, 3 and 5 ranks of 1 and 2 workers; gives the bits of a number of shards, option i. */
static void check_shards(job j, int i, const char *n_shards, char hex[65])
{
    static const int ranks[] = {1, 2, 3, 5};
    j.options[i] = (option){"shards", n_shards};
    train_alone(j, hex);
    for (int k = 0; k < 8; k++) {
        check_ranks(j, hex, ranks[k / 2], 1 + k % 2);
    }
}

/* Seven slices, the last of four samples: shards of one and of two, which teams of workers share where they are more. */
BDL_TEST(shards_train_alike)
{
    char six[65], five[65], all[65], none[65];
    write_model(mixed_json);
    job j = {.options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "100"}, {"iterations", "7"},
                         {"seed", "7"}}};
    train_alone(j, none);
    check_shards(j, 5, "5", five);
    check_shards(j, 5, "6", six);
    CHECK(strcmp(five, six) != 0 && strcmp(five, none) != 0 && strcmp(six, none) != 0);
    check_shards(j, 5, "7", all);
    CHECK_STR_EQ(all, none);
    j.options[4].value = "8";
    check_shards(j, 5, "5", all);
    CHECK(strcmp(all, five) != 0);
}

/* The last step has three rows: shards lack slices, or are not there. */
BDL_TEST(shards_that_lack_rows_train_alike)
{
    char hex[65];
    write_model(mixed_json);
    const job j = {.options = {{"model", model_path}, {"data", "synthetic(count=115, shape=[2,9,9], classes=4)"},
                               {"batch", "112"}, {"epochs", "3"}, {"clip", "norm(0.5)"}, {"optim", "adam(lr=0.01)"}}};
    check_shards(j, 6, "5", hex);
    check_shards(j, 6, "6", hex);
}

/* Layers that take all parts of a worker at once, and buckets that leave early. */
BDL_TEST(shards_of_large_layers_train_alike)
{
    char alone[65], other[65];
    job j = {.options = {{"model", "mlp(hidden=[1100,1000])"}, {"data", SYNTHETIC}, {"batch", "112"},
                         {"iterations", "3"}, {"shards", "3"}, {"bucket", "65536"}}};
    train_alone(j, alone);
    check_ranks(j, alone, 3, 2);
    check_ranks(j, alone, 2, 1);
    j.options[4].value = "0";
    train_alone(j, other);
    CHECK(strcmp(alone, other) != 0);
    j.options[4].value = "1";
    train_alone(j, alone);
    check_ranks(j, alone, 1, 1);
}

/* In float64 what is left of the order of the sum is its last bits: the same net is learned. */
BDL_TEST(shards_change_no_more_than_the_order_of_sums)
{
    write_model(mixed_json);
    job j = {.threads = 2, .options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "100"}, {"iterations", "5"},
                                       {"precision", "f64"}, {"shards", "0"}}};
    static const char *const counts[] = {"1", "2", "3", "5", "6"};
    CHECK_OK(train(&j, 0, NULL));
    const double want = j.loss[0];
    for (int i = 0; i < 5; i++) {
        j.options[5].value = counts[i];
        CHECK_OK(train(&j, 0, NULL));
        CHECK_NEAR(j.loss[0], want, 1e-11);
    }
}

BDL_TEST(checkpoints_keep_the_number_of_shards)
{
    char whole[65], directory[512], stopped[65];
    write_model(mixed_json);
    job j = {.options = {{"model", model_path}, {"data", SYNTHETIC}, {"batch", "80"},
                         {"optim", "adam(lr=0.01)"}, {"iterations", "12"}, {"shards", "3"}}};
    train_alone(j, whole);
    check_resume(j, 2, 3, whole);
    check_resume(j, 3, 0, whole);
    snprintf(directory, sizeof directory, "%s/mid-epoch", bdl_test_dir());
    j.options[4].value = "7";
    j.options[6] = (option){"checkpoint", directory};
    train_ranks(j, 3, 1, stopped);
    j.options[4].value = "12";
    j.options[5].value = "4";
    j.options[7] = (option){"resume", "true"};
    expect_failure(&j, 3, "shards must stay: it was 3 and is now 4");
    j.options[5].value = "0";
    CHECK(train(&j, 0, NULL) == BDL_ERR_STATE);
    CHECK_STR_HAS(bdl_last_error(), "shards must stay: it was 3 and is now not given");
    /* Between epochs another number is another run from there. */
    snprintf(directory, sizeof directory, "%s/between-epochs", bdl_test_dir());
    j.options[4].value = "6";
    j.options[5].value = "3";
    j.options[7].value = "false";
    train_ranks(j, 2, 1, stopped);
    j.options[4].value = "12";
    j.options[5].value = "4";
    j.options[7].value = "true";
    CHECK_OK(train(&j, 0, NULL));
    CHECK(strcmp(j.hex[0], whole) != 0);
}

BDL_TEST(impossible_shards_are_refused)
{
    job j = {.threads = 1,
             .options = {{"model", "lenet"}, {"data", "digits(count=200)"}, {"batch", "40"}, {"shards", "4"}}};
    expect_failure(&j, 2, "a batch of 40 samples cannot be cut into 4 shards of 16 or more: use at most 3 shards, or a "
                          "batch of at least 64");
    j.options[1].value = "digits(count=30)";
    j.options[2].value = "128";
    CHECK(train(&j, 0, NULL) == BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "30 samples make one step, which cannot be cut into 4 shards of 16 or more: use at "
                                    "most 2 shards, or at least 49 samples");
    j.options[1].value = "csv:/nowhere/rows.csv"; /* known before data are looked for */
    j.options[2].value = "40";
    j.options[3].value = "2";
    expect_failure(&j, 3, "a batch in 2 shards cannot be shared by 3 ranks: use at most 2 ranks, or 3 shards");
    expect_failure(&j, 5, "use at most 2 ranks, or 5 shards of a batch of at least 80");
    j.options[3].value = "-1";
    CHECK(train(&j, 0, NULL) == BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "shards must be between 0 and 1024, got -1");
    j.options[1].value = "digits(count=200)";
    j.options[3].value = "2";
    j.of_rank[1] = (option){"shards", "3"};
    expect_failure(&j, 2, "different settings");
}

/* ---- failures ----------------------------------------------------------------------------------- */

BDL_TEST(more_ranks_than_shards_are_refused)
{
    job j = {.options = {{"model", "lenet"}, {"data", "digits(count=200)"}, {"batch", "40"}}};
    static const char text[] = "a batch of 40 samples has 3 shards of 16, and cannot be shared by 5 ranks: use at most 3 "
                               "ranks, or a batch of at least 80";
    expect_failure(&j, 5, text);
    j.options[1].value = "csv:/nowhere/rows.csv"; /* known before data are looked for */
    expect_failure(&j, 5, text);
    j.options[1].value = "digits(count=40)";
    j.options[2].value = "128";
    expect_failure(&j, 5, "40 samples make one step of 3 shards of 16, and cannot be shared by 5 ranks: use at most 3 "
                          "ranks, or at least 65 samples");
}

/* Above 1,024 slices a shard is several, some of which the last step may lack. */
BDL_TEST(large_batches_train_alike)
{
    char alone[65];
    job j = {.options = {{"model", "linear"}, {"data", "synthetic(count=35200, shape=[1,2,2], classes=3)"},
                         {"batch", "17600"}, {"epochs", "2"}, {"val", "synthetic(count=17700, shape=[1,2,2], classes=3)"}}};
    train_alone(j, alone);
    check_ranks(j, alone, 3, 1);
    j.options[2].value = "17000";
    train_alone(j, alone);
    check_ranks(j, alone, 3, 1);
    j.options[2].value = "34800";
    train_alone(j, alone);
    check_ranks(j, alone, 3, 2);
}

BDL_TEST(ranks_with_other_settings_are_refused)
{
    job j = {.options = {{"model", "lenet"}, {"data", "digits(count=200)"}, {"batch", "64"}},
             .of_rank = {{0}, {"batch", "96"}}};
    expect_failure(&j, 3, "different settings");
    j.of_rank[1] = (option){"wire", "bf16"};
    expect_failure(&j, 3, "different settings");
    j.of_rank[1] = (option){"optim", "adam"};
    expect_failure(&j, 3, "different methods");
    j.of_rank[1] = (option){"precision", "fp32_exact"};
    expect_failure(&j, 3, "different builds or precisions");
}

/* One rank's own failure is what all report. */
BDL_TEST(the_first_cause_reaches_all)
{
    job j = {.options = {{"model", "lenet"}, {"batch", "64"}, {"data", "digits(count=200)"}},
             .of_rank = {{0}, {0}, {"data", "mnist:/nowhere/at-all"}}};
    expect_failure(&j, 3, "/nowhere/at-all");
}

BDL_TEST(a_loss_that_is_not_finite_names_the_layer_on_all)
{
    job j = {.options = {{"model", "mlp"}, {"data", SYNTHETIC}, {"batch", "80"},
                         {"optim", "sgd(lr=1e30)"}}};
    expect_failure(&j, 3, "the loss is not a finite number in iteration");
}

BDL_TEST_MAIN(batch_norm_and_dropout_train_alike, ranks_without_rows_in_the_last_step_follow,
              odd_batches_train_alike, buckets_change_nothing, buckets_of_large_layers_change_nothing,
              a_cancelled_run_goes_on_where_it_stopped, float64_trains_alike,
              validation_and_stop_conditions_are_alike, bf16_on_the_wire_gives_all_ranks_the_same_bits,
              frozen_layers_train_alike, bf16_on_the_wire_learns_as_fp32_does, bf16_on_the_wire_needs_float32,
              checkpoints_with_bf16_on_the_wire_go_on_alike, seeds_differ, equal_rows_train_alike,
              checkpoints_are_those_of_one_process, legs_go_on_from_the_file_of_one_rank,
              time_limits_stop_all_at_one_iteration, more_ranks_than_shards_are_refused,
              large_batches_train_alike,
              shards_train_alike, shards_that_lack_rows_train_alike, shards_of_large_layers_train_alike,
              shards_change_no_more_than_the_order_of_sums, checkpoints_keep_the_number_of_shards,
              impossible_shards_are_refused, ranks_with_other_settings_are_refused, the_first_cause_reaches_all,
              a_loss_that_is_not_finite_names_the_layer_on_all)
