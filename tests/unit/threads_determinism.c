/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads timeout=900 */
/* The same seed gives the same bits, for any number of workers and after a resume; another seed others. */
#include <bdl/bdl.h>
#include <stdio.h>
#include <string.h>

#include "test.h"

/* Batch norm, dropout, a residual sum, a strided and a padded convolution: all that could differ. */
static const char *const model_json =
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
    "{\"name\":\"l\",\"type\":\"linear\",\"params\":{\"out_features\":4},\"inputs\":[\"d\"]},"
    "{\"name\":\"s\",\"type\":\"log_softmax\",\"inputs\":[\"l\"]}]}";

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", bdl_test_dir(), name);
    return path;
}

/* A layer whose weights outgrow the cache, so that it takes all parts at once, between others. */
static const char *const large_json =
    "{\"name\":\"large\",\"inputs\":[{\"name\":\"input\",\"shape\":[2,9,9]}],\"nodes\":["
    "{\"name\":\"c1\",\"type\":\"conv2d\",\"params\":{\"out_channels\":384,\"kernel_size\":3,"
    "\"stride\":4},\"inputs\":[\"input\"]},"
    "{\"name\":\"b1\",\"type\":\"batch_norm\",\"inputs\":[\"c1\"]},"
    "{\"name\":\"c2\",\"type\":\"conv2d\",\"params\":{\"out_channels\":400,\"kernel_size\":3,"
    "\"padding\":1},\"inputs\":[\"b1\"]},"
    "{\"name\":\"r\",\"type\":\"relu\",\"inputs\":[\"c2\"]},"
    "{\"name\":\"f\",\"type\":\"flatten\",\"inputs\":[\"r\"]},"
    "{\"name\":\"l\",\"type\":\"linear\",\"params\":{\"out_features\":4},\"inputs\":[\"f\"]},"
    "{\"name\":\"s\",\"type\":\"log_softmax\",\"inputs\":[\"l\"]}]}";

static void write_model(const char *json)
{
    FILE *const file = fopen(path_of("model.json"), "w");
    REQUIRE(file != NULL);
    fputs(json, file);
    fclose(file);
}

typedef struct run {
    int threads;
    const char *seed, *batch, *iterations, *checkpoint, *precision, *optim;
    const char *model; /* NULL = model_json */
    bool resume;
} run;

static void keep_loss(void *user, const bdl_event *event)
{
    if (event->kind == BDL_EVENT_STEP) {
        *(double *)user = event->loss;
    }
}

static void set(bdl_options *options, const char *name, const char *value)
{
    if (value) {
        CHECK_OK(bdl_options_set(options, name, value));
    }
}

/* Trains in a folder of its own; gives the fingerprint and returns the loss of the last iteration. */
static double train(run r, char hex[65])
{
    double loss = 0;
    write_model(r.model ? r.model : model_json);
    hex[0] = '\0';
    bdl_context *context = NULL;
    bdl_options *options = NULL;
    bdl_trainer *trainer = NULL;
    const bdl_context_options how = {
        .struct_size = sizeof how, .n_threads = r.threads, .log_level = 0};
    CHECK_OK(bdl_context_create(&how, &context));
    CHECK_OK(bdl_options_create(context, "train", &options));
    set(options, "model", path_of("model.json"));
    set(options, "data", "synthetic(count=215, shape=[2,9,9], classes=4)");
    set(options, "batch", r.batch ? r.batch : "50");
    set(options, "iterations", r.iterations ? r.iterations : "12");
    set(options, "seed", r.seed ? r.seed : "7");
    set(options, "precision", r.precision);
    set(options, "optim", r.optim);
    set(options, "checkpoint", r.checkpoint);
    set(options, "clip", "norm(3)");
    set(options, "resume", r.resume ? "true" : NULL);
    CHECK_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_OK(bdl_trainer_run(trainer, keep_loss, &loss));
    bdl_trainer_fingerprint(trainer, hex);
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    bdl_context_free(context);
    return loss;
}

static void check_workers(run r)
{
    char one[65], other[65];
    r.threads = 1;
    train(r, one);
    for (int threads = 1; threads <= 5; threads++) {
        r.threads = threads;
        train(r, other);
        CHECK_STR_EQ(one, other);
    }
    r.threads = 2;
    r.seed = "8";
    train(r, other);
    CHECK(strcmp(one, other) != 0);
}

BDL_TEST(any_number_of_workers_gives_the_same_bits)
{
    check_workers((run){0});
}

BDL_TEST(workers_may_outnumber_slices)
{
    check_workers((run){.batch = "19", .optim = "adam(lr=0.01)"});
}

BDL_TEST(float64_is_as_deterministic)
{
    check_workers((run){.precision = "f64", .iterations = "6"});
}

BDL_TEST(a_resumed_run_ends_with_the_same_bits)
{
    char whole[65], resumed[65], checkpoint[512];
    train((run){.threads = 2}, whole);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoints", bdl_test_dir());
    train((run){.threads = 1, .iterations = "7", .checkpoint = checkpoint}, resumed);
    CHECK(strcmp(whole, resumed) != 0);
    train((run){.threads = 3, .checkpoint = checkpoint, .resume = true}, resumed);
    CHECK_STR_EQ(whole, resumed);
}

BDL_TEST(large_layers_are_as_deterministic)
{
    check_workers((run){.model = large_json, .batch = "40", .iterations = "2"});
}

/* float64 has kernels of its own: what both agree on is no accident of one of them. */
BDL_TEST(large_layers_learn_as_in_float64)
{
    char hex[65];
    const run r = {.threads = 2, .model = large_json, .batch = "40", .iterations = "3"};
    run exact = r, f64 = r;
    exact.precision = "fp32_exact";
    f64.precision = "f64";
    const double truth = train(f64, hex);
    CHECK_NEAR(train(exact, hex), truth, 1e-3 * truth);
    CHECK_NEAR(train(r, hex), truth, 1e-2 * truth);
}

BDL_TEST_MAIN(large_layers_are_as_deterministic, large_layers_learn_as_in_float64,
              any_number_of_workers_gives_the_same_bits, workers_may_outnumber_slices,
              float64_is_as_deterministic, a_resumed_run_ends_with_the_same_bits)
