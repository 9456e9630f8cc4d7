/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training under precision bf16: a small net in the style of VGG, whose convolutions oneDNN computes,
 * learns as in fp32, and to the same bits for any number of workers. LeNet under bf16 stays with the
 * kernels altogether.
 */
#include <bdl/bdl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dnnl/dnnl.h"
#include "test.h"

/* Convolutions that Winograd cannot do, and large enough (layers/conv_dnnl.c). */
static const char *const model_json =
    "{\"name\":\"small\",\"inputs\":[{\"name\":\"input\",\"shape\":[3,24,24]}],\"nodes\":["
    "{\"name\":\"c1\",\"type\":\"conv2d\",\"params\":{\"out_channels\":32,\"kernel_size\":3,"
    "\"padding\":1},\"inputs\":[\"input\"]},"
    "{\"name\":\"b1\",\"type\":\"batch_norm\",\"inputs\":[\"c1\"]},"
    "{\"name\":\"r1\",\"type\":\"relu\",\"inputs\":[\"b1\"]},"
    "{\"name\":\"c2\",\"type\":\"conv2d\",\"params\":{\"out_channels\":64,\"kernel_size\":5,"
    "\"stride\":2,\"padding\":2},\"inputs\":[\"r1\"]},"
    "{\"name\":\"b2\",\"type\":\"batch_norm\",\"inputs\":[\"c2\"]},"
    "{\"name\":\"r2\",\"type\":\"relu\",\"inputs\":[\"b2\"]},"
    "{\"name\":\"c3\",\"type\":\"conv2d\",\"params\":{\"out_channels\":96,\"kernel_size\":5,"
    "\"stride\":2,\"padding\":2},\"inputs\":[\"r2\"]},"
    "{\"name\":\"r3\",\"type\":\"relu\",\"inputs\":[\"c3\"]},"
    "{\"name\":\"f\",\"type\":\"flatten\",\"inputs\":[\"r3\"]},"
    "{\"name\":\"d\",\"type\":\"dropout\",\"params\":{\"p\":0.3},\"inputs\":[\"f\"]},"
    "{\"name\":\"l\",\"type\":\"linear\",\"params\":{\"out_features\":4},\"inputs\":[\"d\"]},"
    "{\"name\":\"s\",\"type\":\"log_softmax\",\"inputs\":[\"l\"]}]}";

static const char *model_path(void)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/model.json", bdl_test_dir());
    return path;
}

typedef struct result {
    char hex[65];
    double first_loss, loss;
} result;

static void keep_loss(void *user, const bdl_event *event)
{
    result *const r = user;
    if (event->kind == BDL_EVENT_STEP) {
        r->first_loss = event->iteration == 1 ? event->loss : r->first_loss;
        r->loss = event->loss;
    }
}

static void train(const char *model, const char *data, const char *precision, int threads, result *r)
{
    memset(r, 0, sizeof *r);
    bdl_context *context = NULL;
    bdl_options *options = NULL;
    bdl_trainer *trainer = NULL;
    const bdl_context_options how = {
        .struct_size = sizeof how, .n_threads = threads, .log_level = 0};
    REQUIRE_OK(bdl_context_create(&how, &context));
    REQUIRE_OK(bdl_options_create(context, "train", &options));
    CHECK_OK(bdl_options_set(options, "model", model));
    CHECK_OK(bdl_options_set(options, "data", data));
    CHECK_OK(bdl_options_set(options, "batch", "56"));
    CHECK_OK(bdl_options_set(options, "iterations", "8"));
    CHECK_OK(bdl_options_set(options, "seed", "3"));
    CHECK_OK(bdl_options_set(options, "optim", "sgd(lr=0.01, momentum=0.9)"));
    CHECK_OK(bdl_options_set(options, "precision", precision));
    REQUIRE_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_OK(bdl_trainer_run(trainer, keep_loss, r));
    bdl_trainer_fingerprint(trainer, r->hex);
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    bdl_context_free(context);
}

#define SMALL_DATA "synthetic(count=112, shape=[3,24,24], classes=4)"
#define LENET_DATA "synthetic(count=112, shape=[1,28,28], classes=10)"

BDL_TEST(bf16_learns_as_fp32_does_and_deterministically)
{
    const bdl__dnnl_table *table;
    if (bdl__dnnl_open(&table) != BDL_OK) {
        SKIP("this build has no oneDNN");
    }
    if (bdl__bf16_available() == BDL__BF16_NONE) {
        SKIP("this processor does not multiply bf16");
    }
    FILE *const file = fopen(model_path(), "w");
    REQUIRE(file != NULL);
    fputs(model_json, file);
    fclose(file);
    result fp32, one, more;
    train(model_path(), SMALL_DATA, "fp32", 2, &fp32);
    train(model_path(), SMALL_DATA, "bf16", 1, &one);
    CHECK_NEAR(one.first_loss, fp32.first_loss, 0.02);
    CHECK(strcmp(one.hex, fp32.hex) != 0);
    CHECK(one.loss < one.first_loss);
    CHECK_NEAR(one.loss, fp32.loss, 0.1 * fp32.first_loss);
    for (int threads = 2; threads <= 3; threads++) {
        train(model_path(), SMALL_DATA, "bf16", threads, &more);
        CHECK_STR_EQ(more.hex, one.hex);
    }
}

BDL_TEST(bf16_leaves_lenet_to_the_kernels)
{
    result fp32, bf16;
    train("lenet", LENET_DATA, "fp32", 2, &fp32);
    train("lenet", LENET_DATA, "bf16", 2, &bf16);
    CHECK_STR_EQ(bf16.hex, fp32.hex);
}

BDL_TEST_MAIN(bf16_learns_as_fp32_does_and_deterministically, bf16_leaves_lenet_to_the_kernels)
