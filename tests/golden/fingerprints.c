/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bits of trained networks, per kernel target, as committed in fingerprints.txt. GCC's and Clang's builds
 * both run this test, so that both train the same weights; so must any number of workers. Who changes
 * arithmetic on purpose remakes the file with `make fingerprints` and says so in the commit.
 */
#include <bdl/bdl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "test.h"

/* What compilers could treat in their own way: convolution by Winograd and directly, batch norm, dropout, LRN,
 * functions of real_math.h, a residual sum. */
static const char *const mixed_json =
    "{\"name\":\"mixed\",\"inputs\":[{\"name\":\"input\",\"shape\":[3,12,12]}],\"nodes\":["
    "{\"name\":\"c1\",\"type\":\"conv2d\",\"params\":{\"out_channels\":16,\"kernel_size\":3,"
    "\"padding\":1},\"inputs\":[\"input\"]},"
    "{\"name\":\"b1\",\"type\":\"batch_norm\",\"inputs\":[\"c1\"]},"
    "{\"name\":\"g1\",\"type\":\"gelu\",\"inputs\":[\"b1\"]},"
    "{\"name\":\"c2\",\"type\":\"conv2d\",\"params\":{\"out_channels\":16,\"kernel_size\":3,"
    "\"padding\":1},\"inputs\":[\"g1\"]},"
    "{\"name\":\"sum\",\"type\":\"add\",\"inputs\":[\"c2\",\"g1\"]},"
    "{\"name\":\"lrn\",\"type\":\"lrn\",\"inputs\":[\"sum\"]},"
    "{\"name\":\"c3\",\"type\":\"conv2d\",\"params\":{\"out_channels\":6,\"kernel_size\":5,"
    "\"stride\":2},\"inputs\":[\"lrn\"]},"
    "{\"name\":\"e\",\"type\":\"elu\",\"inputs\":[\"c3\"]},"
    "{\"name\":\"f\",\"type\":\"flatten\",\"inputs\":[\"e\"]},"
    "{\"name\":\"d\",\"type\":\"dropout\",\"params\":{\"p\":0.3},\"inputs\":[\"f\"]},"
    "{\"name\":\"l\",\"type\":\"linear\",\"params\":{\"out_features\":10},\"inputs\":[\"d\"]},"
    "{\"name\":\"s\",\"type\":\"log_softmax\",\"inputs\":[\"l\"]}]}";

typedef struct network {
    const char *name, *model, *data, *optim;
} network;

static const network networks[] = {
    {"lenet_sgd", "lenet", "synthetic(count=150, shape=[1,28,28])", "sgd(lr=0.05, momentum=0.9)"},
    {"lenet_adam", "lenet", "synthetic(count=150, shape=[1,28,28])", "adam"},
    {"mixed_adam", NULL, "synthetic(count=150, shape=[3,12,12])", "adam(lr=0.01)"},
    {"mixed_rmsprop", NULL, "synthetic(count=150, shape=[3,12,12])", "rmsprop(lr=0.002)"},
};

/* Targets of this architecture that have lines in the file. */
static const bdl__target targets[] = {BDL__TARGET_AVX512, BDL__TARGET_AVX2, BDL__TARGET_SSE4};

enum { N_NETWORKS = sizeof networks / sizeof *networks, N_TARGETS = sizeof targets / sizeof *targets };

/* ---- the file ---------------------------------------------------------------------------------- */

typedef struct line {
    char network[32], target[16], hex[65];
} line;

static const char *path_of_file(void)
{
    static char path[600];
    const char *const source = getenv("BDL_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/tests/golden/fingerprints.txt", source ? source : ".");
    return path;
}

/* The committed lines; what is not there is empty. */
static void read_lines(line lines[N_NETWORKS][N_TARGETS])
{
    line got;
    FILE *const file = fopen(path_of_file(), "r");
    while (file && fscanf(file, "%31s %15s %64s", got.network, got.target, got.hex) == 3) {
        for (int n = 0; n < N_NETWORKS; n++) {
            for (int t = 0; t < N_TARGETS; t++) {
                if (strcmp(got.network, networks[n].name) == 0 &&
                    strcmp(got.target, bdl__target_name(targets[t])) == 0) {
                    lines[n][t] = got;
                }
            }
        }
    }
    if (file) {
        fclose(file);
    }
}

static void write_lines(line lines[N_NETWORKS][N_TARGETS])
{
    FILE *const file = fopen(path_of_file(), "w");
    REQUIRE(file != NULL);
    for (int n = 0; n < N_NETWORKS; n++) {
        for (int t = 0; t < N_TARGETS; t++) {
            if (lines[n][t].hex[0] != '\0') {
                fprintf(file, "%s %s %s\n", networks[n].name, bdl__target_name(targets[t]),
                        lines[n][t].hex);
            }
        }
    }
    CHECK(fclose(file) == 0);
}

/* ---- training ---------------------------------------------------------------------------------- */

static const char *model_of(const network *net)
{
    static char path[600];
    if (net->model) {
        return net->model;
    }
    snprintf(path, sizeof path, "%s/model.json", bdl_test_dir());
    FILE *const file = fopen(path, "w");
    if (file) {
        fputs(mixed_json, file);
        fclose(file);
    }
    return path;
}

static void train(const network *net, bdl__target target, int threads, const char *seed,
                  const char *batch, char hex[65])
{
    bdl_context *context = NULL;
    bdl_options *options = NULL;
    bdl_trainer *trainer = NULL;
    const bdl_context_options how = {.struct_size = sizeof how, .n_threads = threads, .log_level = 0};
    const char *const values[][2] = {{"model", model_of(net)}, {"data", net->data},
                                     {"optim", net->optim},    {"batch", batch},
                                     {"iterations", "7"},          {"seed", seed}};
    hex[0] = '\0';
    setenv("BDL_TARGET", bdl__target_name(target), 1);
    CHECK_OK(bdl_context_create(&how, &context));
    CHECK_OK(bdl_options_create(context, "train", &options));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        CHECK_OK(bdl_options_set(options, values[i][0], values[i][1]));
    }
    CHECK_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_fingerprint(trainer, hex);
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    bdl_context_free(context);
    unsetenv("BDL_TARGET");
}

BDL_TEST(builds_of_all_compilers_train_the_same_bits)
{
    static line lines[N_NETWORKS][N_TARGETS];
    const char *const write = getenv("BDL_WRITE_FINGERPRINTS");
    read_lines(lines);
    for (int t = 0; t < N_TARGETS; t++) {
        for (int n = 0; n < N_NETWORKS && bdl__target_available(targets[t]); n++) {
            char hex[65];
            train(&networks[n], targets[t], 2, "3", "50", hex);
            if (write && *write) {
                memcpy(lines[n][t].hex, hex, sizeof hex);
            } else if (strcmp(hex, lines[n][t].hex) != 0) {
                printf("%s on %s is not what fingerprints.txt says; make fingerprints remakes it\n",
                       networks[n].name, bdl__target_name(targets[t]));
                CHECK_STR_EQ(hex, lines[n][t].hex);
            }
        }
    }
    if (write && *write) {
        write_lines(lines);
    }
}

BDL_TEST(workers_do_not_change_them_and_seeds_do)
{
    bdl__target target;
    REQUIRE_OK(bdl__target_choose(&target));
    for (int n = 0; n < N_NETWORKS; n++) {
        char one[65], other[65];
        train(&networks[n], target, 1, "3", "50", one);
        train(&networks[n], target, 3, "3", "50", other);
        CHECK_STR_EQ(one, other);
        train(&networks[n], target, 1, "4", "50", other);
        CHECK(strcmp(one, other) != 0);
    }
}

/* A batch of one slice makes all workers one team, which splits the kernels' outer ranges. */
BDL_TEST(teams_do_not_change_them)
{
    bdl__target target;
    REQUIRE_OK(bdl__target_choose(&target));
    for (int n = 0; n < N_NETWORKS; n++) {
        char one[65], other[65];
        train(&networks[n], target, 1, "3", "16", one);
        for (int threads = 2; threads <= 5; threads++) {
            train(&networks[n], target, threads, "3", "16", other);
            CHECK_STR_EQ(one, other);
        }
    }
}

BDL_TEST_MAIN(builds_of_all_compilers_train_the_same_bits, workers_do_not_change_them_and_seeds_do,
              teams_do_not_change_them)
