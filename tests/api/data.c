/* SPDX-License-Identifier: Apache-2.0 */
/* Pushed and wrapped data: training on them, refusals, spilling, what a forked child is told. */
#include <bdl/bdl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

enum { N = 700, COUNT = 12, N_CLASSES = 3 };

typedef struct samples {
    float values[N * COUNT];
    double labels[N];
} samples;

/* Three overlapping clouds. */
static samples *make_samples(void)
{
    samples *const s = (samples *)malloc(sizeof *s);
    uint64_t state = 12345;
    for (int i = 0; s && i < N; i++) {
        s->labels[i] = i % N_CLASSES;
        for (int k = 0; k < COUNT; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            s->values[i * COUNT + k] =
                (float)(state >> 40) / 16777216.0f + (k % N_CLASSES == i % N_CLASSES ? 0.5f : 0.0f);
        }
    }
    return s;
}

static bdl_data_options float_rows(const char *name)
{
    bdl_data_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    o.name = name;
    o.dtype = BDL_F32;
    o.rank = 1;
    o.shape[0] = COUNT;
    o.label_kind = BDL_LABEL_CLASS;
    return o;
}

static bdl_context *new_context(int n_threads)
{
    bdl_context_options options;
    bdl_context *context = NULL;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.n_threads = n_threads;
    CHECK_OK(bdl_context_create(&options, &context));
    return context;
}

static bdl_options *train_options(bdl_context *context, bool with_model)
{
    const char *const pairs[][2] = {{"batch", "50"}, {"epochs", "3"}, {"optim", "adam(lr=0.02)"}};
    bdl_options *options = NULL;
    CHECK_OK(bdl_options_create(context, "train", &options));
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        CHECK_OK(bdl_options_set(options, pairs[i][0], pairs[i][1]));
    }
    if (with_model) {
        CHECK_OK(bdl_options_set(options, "model", "mlp(hidden=[16])"));
    }
    return options;
}

/* Trains a fresh model on the data and gives its fingerprint. */
static void train(bdl_context *context, const bdl_data *data, char hex[65])
{
    bdl_options *const options = train_options(context, true);
    bdl_trainer *trainer = NULL;
    memset(hex, 0, 65);
    REQUIRE_OK(bdl_trainer_create_on(context, options, NULL, data, NULL, &trainer));
    CHECK_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_fingerprint(trainer, hex);
    bdl_trainer_free(trainer);
    bdl_options_free(options);
}

/* Pushes the samples from `first` on, then those before it, `step` at a time. */
static bdl_data *push(bdl_context *context, const bdl_data_options *options, const samples *s, int first,
                      int step)
{
    bdl_data *data = NULL;
    CHECK_OK(bdl_data_create(context, options, &data));
    for (int done = 0; data && done < N;) {
        const int at = (first + done) % N;
        int n = step < N - done ? step : N - done;
        n = n < N - at ? n : N - at;
        CHECK_OK(bdl_data_push(data, n, s->values + at * COUNT, s->labels + at, NULL, NULL));
        done += n;
    }
    CHECK_OK(bdl_data_finish(data));
    return data;
}

BDL_TEST(training_depends_on_the_rows_and_not_on_how_they_came)
{
    bdl_context *const context = new_context(2);
    samples *const s = make_samples();
    bdl_data_options options = float_rows("clouds");
    bdl_data *wrapped = NULL;
    char want[65], got[65];
    CHECK_OK(bdl_data_wrap(context, &options, N, s->values, s->labels, NULL, NULL, &wrapped));
    train(context, wrapped, want);
    const int firsts[] = {0, 333, 699}, steps[] = {N, 7, 64};
    bdl_data_stats stats, other;
    memset(&stats, 0, sizeof stats);
    for (int i = 0; i < 3; i++) {
        options.memory_limit = i == 2 ? 1 : 0; /* then all rows are spilled */
        bdl_data *const data = push(context, &options, s, firsts[i], steps[i]);
        train(context, data, got);
        CHECK_STR_EQ(got, want);
        other = stats;
        stats.struct_size = sizeof stats;
        CHECK_OK(bdl_data_get_stats(data, &stats));
        CHECK_EQ_I64(stats.n_rows, N);
        CHECK_EQ_I64(stats.n_classes, N_CLASSES);
        CHECK_EQ_I64(stats.spilled_size, i == 2 ? (int64_t)sizeof s->values : 0);
        if (i > 0) {
            CHECK(memcmp(stats.key_sum, other.key_sum, 16) == 0);
            CHECK(memcmp(stats.key_xor, other.key_xor, 16) == 0);
        }
        bdl_data_free(data);
    }
    s->values[5] += 1; /* one value of one row */
    train(context, wrapped, got);
    CHECK(strcmp(got, want) != 0);
    bdl_data_free(wrapped);
    free(s);
    bdl_context_free(context);
}

BDL_TEST(given_models_are_trained_evaluated_and_predicted_in_place)
{
    bdl_context *const context = new_context(2);
    samples *const s = make_samples();
    const bdl_data_options rows = float_rows("clouds");
    bdl_data *const data = push(context, &rows, s, 0, N);
    bdl_model *model = NULL, *clone = NULL;
    bdl_options *options = train_options(context, false);
    bdl_trainer *trainer = NULL;
    char *json = NULL;
    REQUIRE_OK(bdl_model_open(context, "mlp(classes=3, shape=[12], hidden=[16])", 1, &model));
    REQUIRE_OK(bdl_model_clone(model, &clone));
    REQUIRE_OK(bdl_trainer_create_on(context, options, model, data, data, &trainer));
    REQUIRE_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    REQUIRE_OK(bdl_options_create(context, "eval", &options));
    REQUIRE_OK(bdl_evaluate_on(context, options, model, data, &json));
    CHECK_STR_HAS(json, "\"n\": 700,");
    double top1 = strtod(strstr(json, "\"top1\":") + 7, NULL);
    CHECK(top1 > 0.9);
    bdl_text_free(json);
    REQUIRE_OK(bdl_evaluate_on(context, options, clone, data, &json)); /* was not trained */
    CHECK(strtod(strstr(json, "\"top1\":") + 7, NULL) < 0.8);
    bdl_text_free(json);
    /* predictions are those of a plain forward pass, and agree with the accuracy */
    float *const got = (float *)malloc(sizeof(float) * N * N_CLASSES);
    float *const want = (float *)malloc(sizeof(float) * N * N_CLASSES);
    REQUIRE_OK(bdl_predict_on(context, NULL, model, data, got, NULL));
    REQUIRE_OK(bdl_model_forward(model, s->values, N, want));
    CHECK(memcmp(got, want, sizeof(float) * N * N_CLASSES) == 0);
    int n_right = 0;
    for (int i = 0; i < N; i++) {
        const float *const p = got + i * N_CLASSES;
        const int best = p[0] >= p[1] ? (p[0] >= p[2] ? 0 : 2) : (p[1] >= p[2] ? 1 : 2);
        n_right += best == (int)s->labels[i];
    }
    CHECK_NEAR(n_right / (double)N, top1, 1e-9);
    CHECK_EQ_I64(bdl_options_set(options, "model", "lenet"), BDL_OK);
    CHECK_EQ_I64(bdl_evaluate_on(context, options, model, data, &json), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "'model'");
    free(got);
    free(want);
    free(s);
    bdl_options_free(options);
    bdl_model_free(clone);
    bdl_model_free(model);
    bdl_data_free(data);
    bdl_context_free(context);
}

static void check_label(bdl_context *context, double label, int64_t n_classes, const char *found)
{
    float values[3 * COUNT];
    double labels[3] = {0, 1, 2};
    bdl_data_options options = float_rows("bad");
    bdl_data *data = NULL;
    bdl_data_stats stats;
    memset(values, 0, sizeof values);
    options.n_classes = n_classes;
    REQUIRE_OK(bdl_data_create(context, &options, &data));
    REQUIRE_OK(bdl_data_push(data, 3, values, labels, NULL, NULL));
    labels[1] = label;
    CHECK_EQ_I64(bdl_data_push(data, 3, values, labels, NULL, NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "data 'bad': row 4:");
    CHECK_STR_HAS(bdl_last_error(), found);
    stats.struct_size = sizeof stats;
    CHECK_OK(bdl_data_get_stats(data, &stats));
    CHECK_EQ_I64(stats.n_rows, 3); /* the refused push added none */
    bdl_data_free(data);
}

BDL_TEST(labels_that_are_no_classes_are_refused_with_row_and_value)
{
    bdl_context *const context = new_context(1);
    check_label(context, -1, 0, "found -1");
    check_label(context, 1.5, 0, "found 1.5");
    check_label(context, NAN, 0, "nan");
    check_label(context, 3, 3, "from 0 to 2, found 3");
    bdl_context_free(context);
}

BDL_TEST(values_that_are_not_finite_are_refused_where_asked)
{
    bdl_context *const context = new_context(2);
    float values[4 * COUNT], targets[4] = {1, 2, 3, 4};
    const double labels[4] = {0, 1, 0, 1};
    bdl_data_options options = float_rows("holes");
    bdl_data *data = NULL;
    memset(values, 0, sizeof values);
    values[2 * COUNT + 7] = INFINITY;
    values[3 * COUNT] = NAN;
    REQUIRE_OK(bdl_data_create(context, &options, &data));
    CHECK_OK(bdl_data_push(data, 4, values, labels, NULL, NULL));
    bdl_data_free(data);
    options.check_finite = true;
    REQUIRE_OK(bdl_data_create(context, &options, &data));
    CHECK_EQ_I64(bdl_data_push(data, 4, values, labels, NULL, NULL), BDL_ERR_NUMERIC);
    CHECK_STR_HAS(bdl_last_error(), "2 values");
    CHECK_STR_HAS(bdl_last_error(), "row 2, column 7");
    bdl_data_free(data);
    options.check_finite = false;
    options.label_kind = BDL_LABEL_FLOATS; /* of shape [1] */
    targets[3] = -INFINITY;
    REQUIRE_OK(bdl_data_create(context, &options, &data));
    CHECK_EQ_I64(bdl_data_push(data, 4, values, NULL, targets, NULL), BDL_ERR_NUMERIC);
    CHECK_STR_HAS(bdl_last_error(), "row 3, column 0");
    CHECK_EQ_I64(bdl_data_push(data, 4, values, labels, NULL, NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_data_push(data, 4, NULL, NULL, targets, NULL), BDL_ERR_INVALID_ARGUMENT);
    bdl_data_free(data);
    bdl_context_free(context);
}

BDL_TEST(data_are_used_in_the_right_order_of_calls)
{
    bdl_context *const context = new_context(1);
    samples *const s = make_samples();
    const bdl_data_options options = float_rows("early");
    bdl_options *const training = train_options(context, true);
    bdl_trainer *trainer = NULL;
    bdl_data *data = NULL;
    REQUIRE_OK(bdl_data_create(context, &options, &data));
    CHECK_OK(bdl_data_finish(data)); /* of several ranks, some may have no rows */
    CHECK_EQ_I64(bdl_trainer_create_on(context, training, NULL, data, NULL, &trainer),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "data 'early': there are no samples");
    bdl_data_free(data);
    REQUIRE_OK(bdl_data_create(context, &options, &data));
    CHECK_OK(bdl_data_push(data, 0, NULL, NULL, NULL, NULL));
    CHECK_OK(bdl_data_push(data, N, s->values, s->labels, NULL, NULL));
    CHECK_EQ_I64(bdl_trainer_create_on(context, training, NULL, data, NULL, &trainer), BDL_ERR_STATE);
    CHECK_OK(bdl_data_finish(data));
    CHECK_EQ_I64(bdl_data_push(data, 1, s->values, s->labels, NULL, NULL), BDL_ERR_STATE);
    CHECK_OK(bdl_trainer_create_on(context, training, NULL, data, NULL, &trainer));
    bdl_trainer_free(trainer);
    bdl_data_free(data);
    bdl_data_free(NULL);
    REQUIRE_OK(bdl_data_open(context, "digits(count=50)", "train", &data));
    CHECK_EQ_I64(bdl_data_push(data, 1, s->values, s->labels, NULL, NULL), BDL_ERR_STATE);
    bdl_data_free(data);
    CHECK_EQ_I64(bdl_data_open(context, "digits", "some", &data), BDL_ERR_INVALID_ARGUMENT);
    bdl_options_free(training);
    free(s);
    bdl_context_free(context);
}

/* Trains for so many iterations in all, with checkpoints in the test's directory. */
static bdl_status train_on(bdl_context *context, const bdl_data *data, const char *iterations,
                           const char *resume)
{
    char directory[600];
    bdl_options *const options = train_options(context, true);
    bdl_trainer *trainer = NULL;
    snprintf(directory, sizeof directory, "%s/checkpoints", bdl_test_dir());
    CHECK_OK(bdl_options_set(options, "epochs", "0"));
    CHECK_OK(bdl_options_set(options, "iterations", iterations));
    CHECK_OK(bdl_options_set(options, "checkpoint", directory));
    CHECK_OK(bdl_options_set(options, "resume", resume));
    bdl_status status = bdl_trainer_create_on(context, options, NULL, data, NULL, &trainer);
    if (status == BDL_OK) {
        status = bdl_trainer_run(trainer, NULL, NULL);
    }
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    return status;
}

/* An epoch has 14 iterations. */
BDL_TEST(resuming_in_mid_epoch_needs_the_same_rows)
{
    bdl_context *const context = new_context(2);
    samples *const s = make_samples();
    const bdl_data_options options = float_rows("clouds");
    bdl_data *const data = push(context, &options, s, 0, N), *const turned = push(context, &options, s, 50, 7);
    bdl_data *wrapped = NULL;
    s->values[5] += 1; /* one value of one row */
    CHECK_OK(bdl_data_wrap(context, &options, N, s->values, s->labels, NULL, NULL, &wrapped));
    CHECK_OK(train_on(context, data, "20", "false"));
    CHECK_EQ_I64(train_on(context, wrapped, "22", "true"), BDL_ERR_STATE);
    CHECK_STR_HAS(bdl_last_error(), "middle of an epoch");
    CHECK_STR_HAS(bdl_last_error(), "sum of keys");
    CHECK_OK(train_on(context, turned, "28", "true"));
    CHECK_OK(train_on(context, wrapped, "30", "true")); /* after an epoch */
    bdl_data_free(wrapped);
    bdl_data_free(turned);
    bdl_data_free(data);
    free(s);
    bdl_context_free(context);
}

BDL_TEST(spilling_says_why_it_cannot)
{
    bdl_context *const context = new_context(1);
    samples *const s = make_samples();
    bdl_data_options options = float_rows("full");
    char directory[600];
    bdl_data *data = NULL;
    snprintf(directory, sizeof directory, "%s/not-there", bdl_test_dir());
    options.memory_limit = 1;
    options.spill_directory = directory;
    REQUIRE_OK(bdl_data_create(context, &options, &data));
    CHECK_EQ_I64(bdl_data_push(data, N, s->values, s->labels, NULL, NULL), BDL_ERR_IO);
    CHECK_STR_HAS(bdl_last_error(), "not-there");
    CHECK_STR_HAS(bdl_last_error(), "No such file");
    CHECK_EQ_I64(bdl_data_push(data, 1, s->values, s->labels, NULL, NULL), BDL_ERR_STATE);
    bdl_data_free(data);
    free(s);
    bdl_context_free(context);
}

/* What a child that uses its parent's context gets: exits with the status. */
static void check_child(bdl_context *context, bdl_data *open, const bdl_data *finished, bdl_model *model,
                        int what)
{
    int status = 0;
    float values[COUNT] = {0};
    const double label = 0;
    float out[N_CLASSES];
    const pid_t child = fork();
    if (child == 0) {
        bdl_status got = BDL_OK;
        bdl_model *other = NULL;
        bdl_data *data = NULL;
        bdl_options *const options = what == 3 ? train_options(context, true) : NULL;
        bdl_trainer *trainer = NULL;
        const bdl_data_options rows = float_rows("child");
        switch (what) {
        case 0: got = bdl_model_open(context, "lenet", 1, &other); break;
        case 1: got = bdl_data_create(context, &rows, &data); break;
        case 2: got = bdl_data_push(open, 1, values, &label, NULL, NULL); break;
        case 3: got = bdl_trainer_create_on(context, options, NULL, finished, NULL, &trainer); break;
        case 4: got = bdl_model_forward(model, values, 1, out); break;
        default: got = bdl_predict_on(context, NULL, model, finished, out, NULL); break;
        }
        const bool explains = strstr(bdl_last_error(), "fork") != NULL;
        bdl_context_free(context); /* must not wait for workers that are not there */
        _exit(got == BDL_ERR_FORKED && explains ? 0 : 1);
    }
    REQUIRE(child > 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

BDL_TEST(a_forked_child_is_told_so)
{
    bdl_context *const context = new_context(2);
    samples *const s = make_samples();
    const bdl_data_options options = float_rows("parent");
    bdl_data *const finished = push(context, &options, s, 0, N);
    bdl_data *open = NULL;
    bdl_model *model = NULL;
    REQUIRE_OK(bdl_data_create(context, &options, &open));
    REQUIRE_OK(bdl_model_open(context, "mlp(classes=3, shape=[12], hidden=[16])", 1, &model));
    for (int what = 0; what < 6; what++) {
        check_child(context, open, finished, model, what);
    }
    bdl_data_free(open);
    bdl_data_free(finished);
    bdl_model_free(model);
    free(s);
    bdl_context_free(context);
}

BDL_TEST(model_state_is_read_set_and_frozen)
{
    bdl_context *const context = new_context(1);
    samples *const s = make_samples();
    const bdl_data_options rows = float_rows("clouds");
    bdl_data *const data = push(context, &rows, s, 0, N);
    bdl_options *const options = train_options(context, false);
    bdl_trainer *trainer = NULL;
    bdl_model *model = NULL;
    const int64_t shape[1] = {COUNT}, wrong[1] = {5};
    const char *name = NULL;
    bdl_dtype dtype;
    int64_t dims[BDL_MAX_RANK];
    int32_t rank = 0;
    void *values = NULL;
    float before[8 * COUNT], mean[8];
    float one[COUNT] = {0}, first[3], second[3];
    REQUIRE_OK(bdl_model_create(context, "net", &model));
    REQUIRE_OK(bdl_model_add_input(model, "input", shape, 1));
    REQUIRE_OK(bdl_model_add(model, "linear", "a", "{\"out_features\":8}", NULL, 0));
    REQUIRE_OK(bdl_model_add(model, "batch_norm", "n", NULL, NULL, 0));
    REQUIRE_OK(bdl_model_add(model, "linear", "b", "{\"out_features\":3}", NULL, 0));
    CHECK_EQ_I64(bdl_model_set_trainable(model, "a", false), BDL_ERR_STATE);
    REQUIRE_OK(bdl_model_finish(model, 1));
    CHECK_EQ_I64(bdl_model_n_buffers(model), 2);
    REQUIRE_OK(bdl_model_buffer(model, 0, &name, &dtype, dims, &rank, &values));
    CHECK_STR_EQ(name, "n.running_mean");
    CHECK(rank == 1 && dims[0] == 8 && dtype == BDL_F32);
    for (int i = 0; i < 8; i++) {
        mean[i] = (float)i;
    }
    CHECK_OK(bdl_model_set_buffer(model, 0, BDL_F32, dims, 1, mean));
    CHECK(memcmp(values, mean, sizeof mean) == 0);
    CHECK_EQ_I64(bdl_model_set_buffer(model, 0, BDL_F32, wrong, 1, mean), BDL_ERR_SHAPE);
    CHECK_STR_HAS(bdl_last_error(), "expected shape 8, got 5");
    CHECK_EQ_I64(bdl_model_set_buffer(model, 0, BDL_F64, dims, 1, mean), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_model_set_buffer(model, 2, BDL_F32, dims, 1, mean), BDL_ERR_INVALID_ARGUMENT);
    /* a write through the pointer counts once the model is touched */
    one[0] = 1;
    CHECK_OK(bdl_model_forward(model, one, 1, first));
    REQUIRE_OK(bdl_model_param(model, 0, &name, &dtype, dims, &rank, &values));
    CHECK_STR_EQ(name, "a.weight");
    for (int64_t i = 0; i < dims[0] * dims[1]; i++) {
        ((float *)values)[i] *= 2;
    }
    CHECK_OK(bdl_model_touch(model));
    CHECK_OK(bdl_model_forward(model, one, 1, second));
    CHECK(memcmp(first, second, sizeof first) != 0);
    /* a frozen layer keeps its weights, the others do not */
    CHECK_EQ_I64(bdl_model_set_trainable(model, "z", false), BDL_ERR_NOT_FOUND);
    CHECK_OK(bdl_model_set_trainable(model, "a", false));
    memcpy(before, values, sizeof before);
    REQUIRE_OK(bdl_trainer_create_on(context, options, model, data, NULL, &trainer));
    REQUIRE_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_free(trainer);
    CHECK(memcmp(before, values, sizeof before) == 0);
    CHECK_OK(bdl_model_set_trainable(model, NULL, true));
    REQUIRE_OK(bdl_trainer_create_on(context, options, model, data, NULL, &trainer));
    REQUIRE_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_free(trainer);
    CHECK(memcmp(before, values, sizeof before) != 0);
    bdl_options_free(options);
    bdl_model_free(model);
    bdl_data_free(data);
    free(s);
    bdl_context_free(context);
}

BDL_TEST(samples_are_read_as_they_came)
{
    bdl_context *const context = new_context(1);
    float values[3 * COUNT], found[2 * COUNT];
    const double labels[3] = {0, 2, 1};
    double read[2];
    int64_t shape[BDL_MAX_RANK];
    int32_t rank = 0;
    bdl_data_options options = float_rows("rows");
    bdl_data *data = NULL;
    for (int i = 0; i < 3 * COUNT; i++) {
        values[i] = (float)i / 7;
    }
    REQUIRE_OK(bdl_data_wrap(context, &options, 3, values, labels, NULL, NULL, &data));
    REQUIRE_OK(bdl_data_shape(data, shape, &rank));
    CHECK_EQ_I64(rank, options.rank);
    CHECK_EQ_I64(shape[0], options.shape[0]);
    REQUIRE_OK(bdl_data_read(data, 1, 2, found, read));
    CHECK(memcmp(found, values + COUNT, sizeof found) == 0);
    CHECK(read[0] == 2 && read[1] == 1);
    CHECK_EQ_I64(bdl_data_read(data, 2, 2, found, read), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "samples 2 to 3 are not among its 3");
    bdl_data_free(data);
    options.label_kind = BDL_LABEL_NONE;
    REQUIRE_OK(bdl_data_wrap(context, &options, 3, values, NULL, NULL, NULL, &data));
    CHECK_EQ_I64(bdl_data_read(data, 0, 1, found, read), BDL_ERR_UNSUPPORTED);
    bdl_data_free(data);
    bdl_context_free(context);
}

BDL_TEST(a_sample_s_shape_follows_from_its_transform)
{
    bdl_context *const context = new_context(1);
    int64_t shape[BDL_MAX_RANK];
    int32_t rank = 0;
    bdl_data *data = NULL;
    REQUIRE_OK(bdl_data_open(context, "digits(count=5)", "train", &data));
    CHECK_OK(bdl_data_prepared_shape(data, NULL, shape, &rank));
    CHECK(rank == 3 && shape[0] == 1 && shape[1] == 28 && shape[2] == 28);
    CHECK_OK(bdl_data_prepared_shape(data, "resize(14), pad(1)", shape, &rank));
    CHECK(rank == 3 && shape[0] == 1 && shape[1] == 16 && shape[2] == 16);
    CHECK_OK(bdl_data_prepared_shape(data, "none", shape, &rank));
    CHECK(rank == 3 && shape[1] == 28);
    CHECK_EQ_I64(bdl_data_prepared_shape(data, "resise(14)", shape, &rank), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "resize");
    bdl_data_free(data);
    bdl_context_free(context);
}

BDL_TEST_MAIN(training_depends_on_the_rows_and_not_on_how_they_came, a_sample_s_shape_follows_from_its_transform,
              given_models_are_trained_evaluated_and_predicted_in_place,
              labels_that_are_no_classes_are_refused_with_row_and_value,
              values_that_are_not_finite_are_refused_where_asked,
              data_are_used_in_the_right_order_of_calls, spilling_says_why_it_cannot,
              a_forked_child_is_told_so, resuming_in_mid_epoch_needs_the_same_rows,
              samples_are_read_as_they_came, model_state_is_read_set_and_frozen)
