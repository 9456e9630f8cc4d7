/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: bits that come back, the newest good one among damaged ones, what must not change in
 * mid-epoch, and that a refused checkpoint leaves everything as it was.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "counting_allocator.h"
#include "test.h"
#include "train/train.h"
#include "zoo/zoo.h"

enum { PATH_SIZE = 512, LOG_SIZE = 4096 };

#define SETTINGS "{\"batch\": 16, \"data\": \"digits\", \"seed\": 1}"

/* A model with optimizer state and schedule, as a trainer has them. */
typedef struct run {
    const bdl_allocator *allocator;
    bdl__model *model;
    bdl__optim *optim;
    bdl__schedule *schedule;
    void *states[BDL__MAX_OPTIM_STATES];
    bdl__checkpoint_io io;
    char lines[LOG_SIZE];
    bdl__log log;
} run;

static void collect_line(void *user, int level, const char *line)
{
    run *const r = user;
    const size_t n = strlen(r->lines);
    snprintf(r->lines + n, LOG_SIZE - n, "%d: %s\n", level, line);
}

static size_t vector_size(const run *r)
{
    return (size_t)r->model->graph->weights_count * bdl__scalar_size(r->model->dtype);
}

/* Values of a sequence in the elements of each tensor; what lies between stays 0. */
static void fill(const run *r, void *vector, double first)
{
    const bdl__graph *const graph = r->model->graph;
    for (int64_t p = 0; p < graph->n_params; p++) {
        for (int64_t i = 0; i < graph->params[p].count; i++) {
            const int64_t at = graph->params[p].offset + i;
            const double value = first + 0.37 * (double)at;
            if (r->model->dtype == BDL_F64) {
                ((double *)vector)[at] = value;
            } else {
                ((float *)vector)[at] = (float)value;
            }
        }
    }
}

static run *start(const bdl_allocator *allocator, const char *model, bdl_dtype dtype,
                  const char *optim, double first)
{
    run *const r = calloc(1, sizeof *r);
    bdl__graph *graph = NULL;
    if (!r) {
        abort();
    }
    r->allocator = allocator;
    CHECK_OK(bdl__zoo_build(allocator, model, &graph));
    CHECK_OK(bdl__model_create(allocator, graph, dtype, 1, &r->model));
    bdl__graph_release(graph);
    CHECK_OK(bdl__optim_create(allocator, optim, &r->optim));
    CHECK_OK(bdl__schedule_create(allocator, "plateau(patience=1)", &r->schedule));
    fill(r, r->model->weights, first);
    for (int i = 0; i < bdl__optim_n_states(r->optim); i++) {
        CHECK_OK(bdl__alloc(allocator, vector_size(r), &r->states[i]));
        fill(r, r->states[i], first + 100 * (i + 1));
    }
    r->io = (bdl__checkpoint_io){.allocator = allocator,
                                 .model = r->model,
                                 .optim = r->optim,
                                 .states = r->states,
                                 .schedule = r->schedule,
                                 .settings = SETTINGS,
                                 .target = BDL__TARGET_AVX2};
    r->log = (bdl__log){.fn = collect_line, .user = r, .level = BDL__LOG_INFO};
    return r;
}

static void end(run *r)
{
    for (int i = 0; i < bdl__optim_n_states(r->optim); i++) {
        bdl__free(r->allocator, r->states[i], vector_size(r));
    }
    bdl__optim_free(r->optim);
    bdl__schedule_free(r->schedule);
    bdl__model_free(r->model);
    free(r);
}

#define SMALL "resnet(8, classes=2)"

static run *small(double first)
{
    return start(bdl__default_allocator(), "mlp(hidden=[3], classes=2, shape=[4])", BDL_F32, "adam",
                 first);
}

static const bdl__position somewhere = {.epoch = 3,
                                        .step = 7,
                                        .iteration = 1207,
                                        .epoch_loss = 1.0 / 3,
                                        .epoch_divisor = 112,
                                        .validation_due = true,
                                        .n_results = 2,
                                        .results_key = 12345,
                                        .results = {0.1, 1e-300}};

static bdl_status write_at(run *r, const char *directory, int64_t iteration, int64_t step,
                           int64_t keep)
{
    bdl__arena arena;
    const char *path = NULL;
    bdl__position position = somewhere;
    position.iteration = iteration;
    position.step = step;
    bdl__arena_init(&arena, bdl__default_allocator());
    const bdl_status status =
        bdl__checkpoint_write(&r->io, &position, directory, keep, &arena, &path);
    if (status == BDL_OK) {
        CHECK(bdl__file_exists(path));
    }
    bdl__arena_free(&arena);
    return status;
}

static bdl_status read_into(run *r, const char *directory, bdl__position *position)
{
    bdl__arena arena;
    const char *path = NULL;
    r->lines[0] = '\0';
    bdl__arena_init(&arena, r->allocator);
    const bdl_status status =
        bdl__checkpoint_read(&r->io, &r->log, directory, position, &arena, &path);
    bdl__arena_free(&arena);
    return status;
}

static bool same(const run *a, const run *b)
{
    bool is_same = memcmp(a->model->weights, b->model->weights, vector_size(a)) == 0;
    const size_t buffers =
        (size_t)a->model->graph->buffers_count * bdl__scalar_size(a->model->dtype);
    is_same = is_same && memcmp(a->model->buffers, b->model->buffers, buffers) == 0;
    for (int i = 0; i < bdl__optim_n_states(a->optim) && is_same; i++) {
        is_same = memcmp(a->states[i], b->states[i], vector_size(a)) == 0;
    }
    return is_same;
}

static const char *in(const char *directory, const char *name)
{
    static char paths[8][PATH_SIZE]; /* a path is good for the next seven calls */
    static int next;
    char *const path = paths[next++ % 8];
    const size_t length = strlen(directory), name_size = strlen(name) + 1;
    CHECK(length + 1 + name_size <= PATH_SIZE);
    memcpy(path, directory, length); /* another of the eight */
    path[length] = '/';
    memcpy(path + length + 1, name, name_size);
    return path;
}

static const char *place(const char *name)
{
    return in(bdl_test_dir(), name);
}

static void put(const char *path, const void *data, size_t size)
{
    FILE *const file = fopen(path, "wb");
    CHECK(file && fwrite(data, 1, size, file) == size);
    CHECK(file && fclose(file) == 0);
}

/* "step-0000000001.bdlckpt ...": the files of a directory. */
static void check_files(const char *directory, const char *want)
{
    bdl__arena arena;
    bdl__text text;
    const char *const *names;
    int64_t n = 0;
    bdl__arena_init(&arena, bdl__default_allocator());
    bdl__text_init(&text, bdl__default_allocator());
    CHECK_OK(bdl__list_directory(&arena, directory, &names, &n));
    for (int64_t i = 0; i < n; i++) {
        bdl__text_append(&text, "%s%s", i ? " " : "", names[i]);
    }
    CHECK_STR_EQ(bdl__text_get(&text), want);
    bdl__text_free(&text);
    bdl__arena_free(&arena);
}

/* ---- there and back ------------------------------------------------------------------------- */

BDL_TEST(checkpoint_brings_every_bit_back)
{
    static const struct {
        bdl_dtype dtype;
        const char *optim;
    } rows[] = {{BDL_F32, "sgd"}, {BDL_F32, "sgd(momentum=0.9)"}, {BDL_F64, "adam"}};
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        char name[8];
        snprintf(name, sizeof name, "d%d", (int)i);
        run *const a = start(bdl__default_allocator(), SMALL, rows[i].dtype, rows[i].optim, 0.5);
        run *const b = start(bdl__default_allocator(), SMALL, rows[i].dtype, rows[i].optim, -3);
        bdl__position position = {0};
        memset(a->model->buffers, 0x3e, 64);
        const uint64_t version = b->model->weights_version;
        REQUIRE_OK(write_at(a, place(name), 1207, 7, 3));
        CHECK(!same(a, b));
        REQUIRE_OK(read_into(b, place(name), &position));
        CHECK(same(a, b));
        CHECK(b->model->weights_version > version);
        CHECK(memcmp(&position, &somewhere, sizeof position) == 0);
        CHECK_STR_EQ(b->lines, "");
        check_files(place(name), "step-0000001207.bdlckpt");
        end(a);
        end(b);
    }
}

BDL_TEST(checkpoint_keeps_the_schedules_state)
{
    run *const a = small(1);
    run *const b = small(2);
    bdl__position position = {0};
    const bdl__progress progress = {.epoch = 1, .iteration = 10, .epoch_iterations = 10};
    for (int i = 0; i < 3; i++) {
        bdl__schedule_observe(a->schedule, &progress, 1.0);
    }
    const double want = bdl__schedule_rate(a->schedule, 1, &progress);
    CHECK(want < 1);
    REQUIRE_OK(write_at(a, place("d"), 30, 0, 3));
    REQUIRE_OK(read_into(b, place("d"), &position));
    CHECK_NEAR(bdl__schedule_rate(b->schedule, 1, &progress), want, 0);
    end(a);
    end(b);
}

BDL_TEST(checkpoint_keeps_the_newest)
{
    run *const a = small(1);
    run *const b = small(2);
    bdl__position position = {0};
    put(place("x"), "x", 1);
    for (int i = 1; i <= 4; i++) {
        REQUIRE_OK(write_at(a, place("d/e"), 100 * i, 0, 2));
    }
    check_files(place("d/e"), "step-0000000300.bdlckpt step-0000000400.bdlckpt");
    put(in(place("d/e"), "step-0000000500.bdlckpt.tmp-77"), "half", 4);
    put(in(place("d/e"), "step-17.bdlckpt"), "no name of ours", 15);
    put(in(place("d/e"), "notes"), "", 0);
    REQUIRE_OK(read_into(b, place("d/e"), &position));
    CHECK_EQ_I64(position.iteration, 400);
    check_files(place("d/e"),
                "notes step-0000000300.bdlckpt step-0000000400.bdlckpt step-17.bdlckpt");
    REQUIRE_OK(write_at(a, place("d/e"), 12345678901, 0, 1)); /* more than ten digits */
    REQUIRE_OK(read_into(b, place("d/e"), &position));
    CHECK_EQ_I64(position.iteration, 12345678901);
    check_files(place("d/e"), "notes step-12345678901.bdlckpt step-17.bdlckpt");
    end(a);
    end(b);
}

BDL_TEST(checkpoint_directory_belongs_to_one_run)
{
    run *const a = small(1);
    CHECK_OK(bdl__checkpoint_check_new(bdl__default_allocator(), place("d")));
    REQUIRE_OK(write_at(a, place("d"), 200, 0, 3));
    CHECK_EQ_I64(bdl__checkpoint_check_new(bdl__default_allocator(), place("d")), BDL_ERR_STATE);
    CHECK_STR_HAS(bdl_last_error(), "step-0000000200.bdlckpt");
    CHECK_EQ_I64(write_at(a, place("d"), 100, 0, 3), BDL_ERR_STATE);
    CHECK_STR_HAS(bdl_last_error(), "ahead of this run's iteration 100");
    CHECK_OK(write_at(a, place("d"), 200, 0, 3));
    CHECK_EQ_I64(write_at(a, place("d"), 300, 0, 0), BDL_ERR_INVALID_ARGUMENT);
    check_files(place("d"), "step-0000000200.bdlckpt");
    end(a);
}

/* ---- damage --------------------------------------------------------------------------------- */

/* Any flipped byte: refused with its name, and the older one is used. */
BDL_TEST(checkpoint_damage_is_found_and_the_next_is_used)
{
    run *const a = small(1);
    run *const b = small(2);
    char newest[PATH_SIZE];
    bdl__bytes bytes = {0};
    bdl__position position = {0};
    REQUIRE_OK(write_at(a, place("d"), 100, 0, 3));
    REQUIRE_OK(write_at(b, place("d"), 200, 0, 3));
    snprintf(newest, sizeof newest, "%s", in(place("d"), "step-0000000200.bdlckpt"));
    REQUIRE_OK(bdl__file_read(bdl__default_allocator(), newest, SIZE_MAX, &bytes));
    for (size_t i = 0; i < bytes.size; i += 1 + bdl_test_random() % 7) {
        const uint8_t old = bytes.data[i];
        bytes.data[i] ^= 0x08;
        put(newest, bytes.data, bytes.size);
        bytes.data[i] = old;
        REQUIRE_OK(read_into(b, place("d"), &position));
        if (position.iteration == 200) { /* padding of the header, which means nothing */
            CHECK(old == ' ');
            continue;
        }
        CHECK_EQ_I64(position.iteration, 100);
        CHECK(same(a, b));
        CHECK_STR_HAS(b->lines, "1: damaged checkpoint refused: ");
        CHECK_STR_HAS(b->lines, "step-0000000200.bdlckpt");
        CHECK_STR_HAS(b->lines, "expected");
    }
    check_files(place("d"), "step-0000000100.bdlckpt step-0000000200.bdlckpt.damaged");
    bdl__bytes_free(&bytes);
    end(a);
    end(b);
}

BDL_TEST(checkpoint_half_written_is_refused)
{
    run *const a = small(1);
    run *const b = small(2);
    char newest[PATH_SIZE];
    bdl__bytes bytes = {0};
    bdl__position position = {0};
    REQUIRE_OK(write_at(a, place("d"), 100, 0, 3));
    REQUIRE_OK(write_at(b, place("d"), 200, 0, 3));
    snprintf(newest, sizeof newest, "%s", in(place("d"), "step-0000000200.bdlckpt"));
    REQUIRE_OK(bdl__file_read(bdl__default_allocator(), newest, SIZE_MAX, &bytes));
    for (size_t size = 0; size < bytes.size; size += 1 + bytes.size / 37) {
        put(newest, bytes.data, size);
        REQUIRE_OK(read_into(b, place("d"), &position));
        CHECK_EQ_I64(position.iteration, 100);
        CHECK_STR_HAS(b->lines, "step-0000000200.bdlckpt");
    }
    bdl__bytes_free(&bytes);
    end(a);
    end(b);
}

BDL_TEST(checkpoint_none_and_all_damaged)
{
    run *const a = small(1);
    run *const b = small(1);
    bdl__position position = somewhere;
    CHECK_EQ_I64(read_into(a, place("nothing"), &position), BDL_ERR_NOT_FOUND);
    CHECK_OK(bdl__make_directories(place("d")));
    CHECK_EQ_I64(read_into(a, place("d"), &position), BDL_ERR_NOT_FOUND);
    put(in(place("d"), "step-0000000100.bdlckpt"), "x", 1);
    put(in(place("d"), "step-0000000200.bdlckpt"), "", 0);
    CHECK_EQ_I64(read_into(a, place("d"), &position), BDL_ERR_FORMAT);
    CHECK_STR_HAS(bdl_last_error(), "all 2 checkpoints");
    CHECK(same(a, b) && memcmp(&position, &somewhere, sizeof position) == 0);
    end(a);
    end(b);
}

/* A folder, or a link to itself, that is named like the newest checkpoint is left alone. */
BDL_TEST(checkpoint_is_a_file)
{
    run *const a = small(1);
    bdl__position position = somewhere;
    CHECK_OK(write_at(a, place("d"), 200, 7, 3));
    CHECK_OK(bdl__make_directories(in(place("d"), "step-0000000300.bdlckpt")));
    CHECK(symlink("step-0000000400.bdlckpt", in(place("d"), "step-0000000400.bdlckpt")) == 0);
    CHECK(symlink("nowhere", in(place("d"), "step-0000000500.bdlckpt")) == 0);
    CHECK_OK(read_into(a, place("d"), &position));
    CHECK_EQ_I64(position.iteration, 200);
    CHECK_OK(write_at(a, place("d"), 250, 7, 1)); /* nor is it ahead, or counted among those to keep */
    CHECK_OK(read_into(a, place("d"), &position));
    CHECK_EQ_I64(position.iteration, 250);
    CHECK_EQ_I64(write_at(a, place("d"), 300, 7, 1), BDL_ERR_IO);
    CHECK_STR_HAS(bdl_last_error(), "step-0000000300.bdlckpt");
    end(a);
}

/* ---- what must not change ------------------------------------------------------------------- */

/* Reads a's checkpoint into b, which must fail and change nothing. */
static void check_refused(run *a, run *b, bdl_status status, const char *error)
{
    bdl__position position = somewhere;
    bdl__model *before = NULL;
    CHECK_OK(bdl__remove_tree(place("d")));
    CHECK_OK(write_at(a, place("d"), 200, 7, 3));
    CHECK_OK(bdl__model_create(b->allocator, b->model->graph, b->model->dtype, 1, &before));
    memcpy(before->weights, b->model->weights, vector_size(b));
    CHECK_EQ_I64(read_into(b, place("d"), &position), status);
    CHECK_STR_HAS(bdl_last_error(), error);
    CHECK(memcmp(before->weights, b->model->weights, vector_size(b)) == 0);
    CHECK(memcmp(&position, &somewhere, sizeof position) == 0);
    check_files(place("d"), "step-0000000200.bdlckpt"); /* not damaged: it stays */
    bdl__model_free(before);
    end(b);
}

BDL_TEST(checkpoint_of_another_net_or_method_is_refused)
{
    const bdl_allocator *const allocator = bdl__default_allocator();
    run *const a = small(1);
    const char *const model = "mlp(hidden=[3], classes=2, shape=[4])";
    check_refused(a, start(allocator, "mlp(hidden=[5], classes=2, shape=[4])", BDL_F32, "adam", 2),
                  BDL_ERR_SHAPE,
                  "step-0000000200.bdlckpt is of another model: 'mlp' with 23 weights (4 tensors with the buffers), "
                  "expected 'mlp' with 37 (4): the first difference: tensor 'weights/fc1.weight': expected shape 5x4, "
                  "found 3x4");
    check_refused(a, start(allocator, "linear(classes=2, shape=[4])", BDL_F32, "sgd", 2), BDL_ERR_SHAPE,
                  "expected 'linear' with 10 (2)");
    check_refused(a, start(allocator, model, BDL_F32, "sgd", 2), BDL_ERR_STATE,
                  "was trained with adam");
    check_refused(a, start(allocator, model, BDL_F64, "adam", 2), BDL_ERR_FORMAT,
                  "expected F64, found F32");
    end(a);
}

BDL_TEST(checkpoint_refuses_other_settings_in_mid_epoch)
{
    static const struct {
        const char *settings, *error;
    } rows[] = {
        {"{\"batch\": 32, \"data\": \"digits\", \"seed\": 1}",
         "batch must stay: it was 16 and is now 32"},
        {"{\"batch\": 16, \"data\": \"mnist:x\", \"seed\": 1}", "was digits and is now mnist:x"},
        {"{\"batch\": 16, \"data\": \"digits\"}", "seed must stay: it was 1 and is now not given"},
        {"{\"batch\": 16, \"data\": \"digits\", \"seed\": 1, \"x\": 0.5}",
         "was not given and is now 0.5"},
    };
    run *const a = small(1);
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        run *const b = small(2);
        b->io.settings = rows[i].settings;
        check_refused(a, b, BDL_ERR_STATE, rows[i].error);
        CHECK_STR_HAS(bdl_last_error(), "epoch 4, step 7");
    }
    run *const b = small(2);
    b->io.target = BDL__TARGET_AVX512;
    check_refused(a, b, BDL_ERR_STATE,
                  "the kernel target must stay: it was avx2 and is now avx512");
    end(a);
}

BDL_TEST(checkpoint_takes_other_settings_between_epochs)
{
    run *const a = small(1);
    run *const b = small(2);
    bdl__position position = {0};
    b->io.settings = "{\"seed\": 1, \"batch\": 32, \"data\": \"digits\"}";
    b->io.target = BDL__TARGET_AVX512;
    REQUIRE_OK(write_at(a, place("d"), 200, 0, 3));
    REQUIRE_OK(read_into(b, place("d"), &position));
    CHECK(same(a, b));
    CHECK_STR_HAS(b->lines, "batch was 16 and is now 32");
    CHECK_STR_HAS(b->lines, "the kernel target was avx2 and is now avx512");
    end(a);
    end(b);
}

BDL_TEST(checkpoint_logs_a_changed_rate)
{
    run *const a = small(1);
    run *const b = start(bdl__default_allocator(), "mlp(hidden=[3], classes=2, shape=[4])", BDL_F32,
                         "adam(lr=0.25)", 2);
    bdl__position position = {0};
    REQUIRE_OK(write_at(a, place("d"), 200, 7, 3));
    REQUIRE_OK(read_into(b, place("d"), &position));
    CHECK_STR_HAS(b->lines, "is now adam(lr=0.25)");
    end(a);
    end(b);
}

BDL_TEST(checkpoint_keeps_what_was_not_measured)
{
    run *const a = small(1);
    bdl__position position = {.n_results = 3, .results = {0.5, NAN, 2}};
    bdl__arena arena;
    const char *path = NULL;
    bdl__arena_init(&arena, bdl__default_allocator());
    REQUIRE_OK(bdl__checkpoint_write(&a->io, &position, place("d"), 1, &arena, &path));
    position = (bdl__position){.results = {3, 3, 3}};
    REQUIRE_OK(read_into(a, place("d"), &position));
    CHECK_EQ_I64(position.n_results, 3);
    CHECK(isnan(position.results[1]));
    CHECK_NEAR(position.results[2], 2, 0);
    bdl__arena_free(&arena);
    end(a);
}

BDL_TEST(checkpoint_needs_finite_sums)
{
    run *const a = small(1);
    bdl__arena arena;
    const char *path = NULL;
    const bdl__position position = {.epoch_loss = NAN};
    bdl__arena_init(&arena, bdl__default_allocator());
    CHECK_EQ_I64(bdl__checkpoint_write(&a->io, &position, place("d"), 1, &arena, &path),
                 BDL_ERR_NUMERIC);
    CHECK(path == NULL);
    bdl__arena_free(&arena);
    end(a);
}

BDL_TEST(checkpoint_survives_failing_allocations)
{
    counting_allocator counter;
    run *const a = small(1);
    REQUIRE_OK(write_at(a, place("d"), 200, 7, 3));
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__position position = {0};
        counter.fail_at = 0;
        run *const b =
            start(&counter.allocator, "mlp(hidden=[3], classes=2, shape=[4])", BDL_F32, "adam", 2);
        counter.n_requests = 0;
        counter.fail_at = n;
        const bdl_status status = read_into(b, place("d"), &position);
        CHECK(status == (counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK));
        CHECK(same(a, b) == !counter.refused);
        CHECK_EQ_I64(position.iteration, counter.refused ? 0 : 200);
        end(b);
    }
    check_files(place("d"), "step-0000000200.bdlckpt");
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        run other = *a;
        other.io.allocator = &counter.allocator;
        const bdl_status status = write_at(&other, place("d"), 300, 7, 1);
        CHECK(status == (counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK));
    }
    check_files(place("d"), "step-0000000300.bdlckpt");
    end(a);
}

BDL_TEST_MAIN(checkpoint_brings_every_bit_back, checkpoint_keeps_the_schedules_state,
              checkpoint_keeps_the_newest, checkpoint_directory_belongs_to_one_run,
              checkpoint_damage_is_found_and_the_next_is_used, checkpoint_half_written_is_refused,
              checkpoint_none_and_all_damaged, checkpoint_is_a_file, checkpoint_of_another_net_or_method_is_refused,
              checkpoint_refuses_other_settings_in_mid_epoch,
              checkpoint_takes_other_settings_between_epochs, checkpoint_logs_a_changed_rate,
              checkpoint_keeps_what_was_not_measured, checkpoint_needs_finite_sums,
              checkpoint_survives_failing_allocations)
