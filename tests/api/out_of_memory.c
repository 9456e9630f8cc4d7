/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: timeout=600 */
/* Every allocation of the public calls fails once: the call says so, and nothing leaks. */
#include <bdl/bdl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

/* Counts allocations, and refuses number `fails_at`. Used by one thread and its readers. */
typedef struct refusing {
    long n_made, n_live, fails_at;
} refusing;

static void *allocate(void *user, size_t size)
{
    refusing *const r = (refusing *)user;
    const long number = __atomic_add_fetch(&r->n_made, 1, __ATOMIC_SEQ_CST);
    if (number == r->fails_at) {
        return NULL;
    }
    void *const memory = aligned_alloc(64, (size + 127) / 64 * 64);
    if (memory) {
        __atomic_add_fetch(&r->n_live, 1, __ATOMIC_SEQ_CST);
    }
    return memory;
}

static void release(void *user, void *memory, size_t size)
{
    refusing *const r = (refusing *)user;
    (void)size;
    if (memory) {
        __atomic_sub_fetch(&r->n_live, 1, __ATOMIC_SEQ_CST);
        free(memory);
    }
}

typedef bdl_status (*scenario)(bdl_context *context);

static bdl_status run_once(scenario fn, refusing *r)
{
    bdl_allocator allocator;
    bdl_context_options options;
    bdl_context *context = NULL;
    memset(&allocator, 0, sizeof allocator);
    memset(&options, 0, sizeof options);
    allocator.struct_size = sizeof allocator;
    allocator.alloc = allocate;
    allocator.free = release;
    allocator.user = r;
    options.struct_size = sizeof options;
    options.n_threads = 1;
    options.allocator = &allocator;
    bdl_status status = bdl_context_create(&options, &context);
    if (status == BDL_OK) {
        status = fn(context);
        bdl_context_free(context);
    }
    return status;
}

/* Fails allocation 1, 2, 3 ... until the scenario succeeds. */
static void refuse_each(scenario fn)
{
    refusing r;
    memset(&r, 0, sizeof r);
    CHECK_OK(run_once(fn, &r));
    CHECK_EQ_I64(r.n_live, 0);
    const long n = r.n_made;
    for (long i = 1; i <= n; i++) {
        memset(&r, 0, sizeof r);
        r.fails_at = i;
        const bdl_status status = run_once(fn, &r);
        const bool was_refused = r.n_made >= i;
        if ((was_refused && status != BDL_ERR_OUT_OF_MEMORY && status != BDL_OK) || r.n_live != 0) {
            printf("allocation %ld of %ld: status %d (%s), %ld live\n", i, n, (int)status,
                   bdl_last_error(), r.n_live);
        }
        CHECK(!was_refused || status == BDL_ERR_OUT_OF_MEMORY || status == BDL_OK);
        CHECK_EQ_I64(r.n_live, 0);
    }
    printf("%ld allocations refused\n", n);
}

/* ---- scenarios ---------------------------------------------------------------------------------- */

static bdl_status build_model(bdl_context *context)
{
    static const int64_t shape[3] = {2, 6, 6};
    float src[3 * 72], dst[3 * 4];
    bdl_model *model = NULL;
    char *json = NULL;
    memset(src, 0, sizeof src);
    bdl_status status = bdl_model_create(context, "small", &model);
    if (status == BDL_OK) {
        status = bdl_model_add_input(model, "input", shape, 3);
    }
    if (status == BDL_OK) {
        status = bdl_model_add(model, "conv2d", "c", "{\"out_channels\":4,\"kernel_size\":3}", NULL, 0);
    }
    if (status == BDL_OK) {
        status = bdl_model_add(model, "batch_norm", NULL, NULL, NULL, 0);
    }
    if (status == BDL_OK) {
        status = bdl_model_add(model, "flatten", NULL, NULL, NULL, 0);
    }
    if (status == BDL_OK) {
        status = bdl_model_add(model, "linear", NULL, "{\"out_features\":4}", NULL, 0);
    }
    if (status == BDL_OK) {
        status = bdl_model_finish(model, 1);
    }
    if (status == BDL_OK) {
        status = bdl_model_forward(model, src, 3, dst);
    }
    if (status == BDL_OK) {
        status = bdl_model_to_json(model, &json);
    }
    bdl_model *again = NULL;
    char *listing = NULL;
    if (status == BDL_OK) {
        status = bdl_model_parse(context, json, 1, &again);
    }
    if (status == BDL_OK) {
        status = bdl_model_touch(again);
    }
    if (status == BDL_OK) {
        status = bdl_model_describe(again, &listing);
    }
    bdl_text_free(listing);
    bdl_model_free(again);
    bdl_text_free(json);
    bdl_model_free(model);
    return status;
}

static bdl_status set(bdl_options *options, const char *name, const char *value)
{
    return bdl_options_set(options, name, value);
}

static char save_directory[600];

static bdl_status train(bdl_context *context)
{
    bdl_options *options = NULL;
    bdl_trainer *trainer = NULL;
    bdl_status status = bdl_options_create(context, "train", &options);
    const char *const pairs[][2] = {
        {"model", "linear(classes=3, shape=[5])"},
        {"data", "synthetic(count=40, shape=[5], classes=3)"},
        {"val", "synthetic(count=20, shape=[5], classes=3)"},
        {"batch", "17"},
        {"iterations", "4"},
        {"optim", "adam(lr=0.01)"},
        {"schedule", "warmup(2) then constant"},
        {"until", "top1 >= 2"},
        {"readers", "0"},
        {"save", save_directory},
    };
    for (size_t i = 0; status == BDL_OK && i < sizeof pairs / sizeof pairs[0]; i++) {
        status = set(options, pairs[i][0], pairs[i][1]);
    }
    if (status == BDL_OK) {
        status = bdl_trainer_create(context, options, &trainer);
    }
    if (status == BDL_OK) {
        status = bdl_trainer_run(trainer, NULL, NULL);
    }
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    return status;
}

static bdl_status evaluate(bdl_context *context)
{
    bdl_options *options = NULL;
    char *json = NULL;
    bdl_status status = bdl_options_create(context, "eval", &options);
    if (status == BDL_OK) {
        status = set(options, "model", save_directory);
    }
    if (status == BDL_OK) {
        status = set(options, "data", "synthetic(count=20, shape=[5], classes=3)");
    }
    if (status == BDL_OK) {
        status = bdl_evaluate(context, options, &json);
    }
    bdl_text_free(json);
    bdl_options_free(options);
    return status;
}

/* Pushed rows, half of them spilled: trained on, evaluated, predicted, and once more by hand. */
static bdl_status use_rows(bdl_context *context, bdl_data *data, const float *values, const double *labels)
{
    bdl_options *options = NULL;
    bdl_trainer *trainer = NULL;
    bdl_learner *learner = NULL;
    bdl_model *model = NULL, *clone = NULL;
    float dst[40 * 3];
    double loss = 0;
    bdl_status status = bdl_model_open(context, "linear(classes=3, shape=[5])", 1, &model);
    if (status == BDL_OK) {
        status = bdl_options_create(context, "train", &options);
    }
    const char *const pairs[][2] = {{"batch", "17"}, {"iterations", "4"}, {"readers", "0"}};
    for (size_t i = 0; status == BDL_OK && i < sizeof pairs / sizeof pairs[0]; i++) {
        status = set(options, pairs[i][0], pairs[i][1]);
    }
    if (status == BDL_OK) {
        status = bdl_trainer_create_on(context, options, model, data, data, &trainer);
    }
    if (status == BDL_OK) {
        status = bdl_trainer_run(trainer, NULL, NULL);
    }
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    options = NULL;
    if (status == BDL_OK) {
        status = bdl_predict_on(context, NULL, model, data, dst, NULL);
    }
    if (status == BDL_OK) {
        status = bdl_model_clone(model, &clone);
    }
    if (status == BDL_OK) {
        status = bdl_options_create(context, "learn", &options);
    }
    if (status == BDL_OK) {
        status = bdl_learner_create(context, options, clone, &learner);
    }
    if (status == BDL_OK) {
        status = bdl_learner_loss(learner, 40, values, labels, NULL, &loss);
    }
    if (status == BDL_OK) {
        status = bdl_learner_forward(learner, 40, values, dst);
    }
    if (status == BDL_OK) {
        status = bdl_learner_backward(learner, dst, NULL);
    }
    if (status == BDL_OK) {
        status = bdl_learner_step(learner, 0.1);
    }
    bdl_learner_free(learner);
    bdl_options_free(options);
    bdl_model_free(clone);
    bdl_model_free(model);
    return status;
}

static bdl_status push_rows(bdl_context *context)
{
    float values[40 * 5];
    double labels[40];
    bdl_data_options rows;
    bdl_data *data = NULL, *wrapped = NULL;
    memset(&rows, 0, sizeof rows);
    rows.struct_size = sizeof rows;
    rows.dtype = BDL_F32;
    rows.rank = 1;
    rows.shape[0] = 5;
    rows.label_kind = BDL_LABEL_CLASS;
    rows.memory_limit = 1;
    for (int i = 0; i < 40 * 5; i++) {
        values[i] = (float)(i * 7 % 11) + (i == 100 ? 0.5f : 0.0f); /* whole numbers are kept in another way */
        labels[i / 5] = i / 5 % 3;
    }
    bdl_status status = bdl_data_create(context, &rows, &data);
    if (status == BDL_OK) {
        status = bdl_data_push(data, 30, values, labels, NULL, NULL);
    }
    if (status == BDL_OK) {
        status = bdl_data_push(data, 10, values + 150, labels + 30, NULL, NULL);
    }
    if (status == BDL_OK) {
        status = bdl_data_finish(data);
    }
    if (status == BDL_OK) {
        status = use_rows(context, data, values, labels);
    }
    if (status == BDL_OK) {
        status = bdl_data_wrap(context, &rows, 40, values, labels, NULL, NULL, &wrapped);
    }
    bdl_data_free(wrapped);
    bdl_data_free(data);
    return status;
}

/* A saved model opened, copied, changed and saved again. */
static bdl_status copy_model(bdl_context *context)
{
    static const int64_t shape[2] = {3, 5};
    static const float values[15] = {0};
    char again[620];
    bdl_model *model = NULL, *clone = NULL;
    snprintf(again, sizeof again, "%s-again", save_directory);
    bdl_status status = bdl_model_open(context, save_directory, 1, &model);
    if (status == BDL_OK) {
        status = bdl_model_clone(model, &clone);
    }
    if (status == BDL_OK) {
        status = bdl_model_set_param(clone, 0, BDL_F32, shape, 2, values);
    }
    if (status == BDL_OK) {
        status = bdl_model_touch(clone);
    }
    if (status == BDL_OK) {
        status = bdl_model_set_trainable(clone, NULL, false);
    }
    if (status == BDL_OK) {
        status = bdl_model_save(clone, again);
    }
    bdl_model_free(clone);
    bdl_model_free(model);
    return status;
}

static bdl_status ignore(void *user, const bdl_prediction *prediction)
{
    (void)user;
    (void)prediction;
    return BDL_OK;
}

static bdl_status predict(bdl_context *context)
{
    bdl_options *options = NULL;
    bdl_status status = bdl_options_create(context, "predict", &options);
    if (status == BDL_OK) {
        status = set(options, "model", save_directory);
    }
    if (status == BDL_OK) {
        status = set(options, "data", "synthetic(count=20, shape=[5], classes=3)");
    }
    if (status == BDL_OK) {
        status = bdl_predict(context, options, NULL, 0, ignore, NULL);
    }
    bdl_options_free(options);
    return status;
}

/* Whether `status` is still fine after the text, which is freed. */
static bdl_status drop(bdl_status status, char **text)
{
    bdl_text_free(*text);
    *text = NULL;
    return status;
}

static bdl_status describe(bdl_context *context)
{
    char *text = NULL;
    bdl_options *options = NULL;
    bdl_status status = bdl_options_create(context, "inspect", &options);
    if (status == BDL_OK) {
        status = set(options, "model", save_directory);
    }
    if (status == BDL_OK) {
        status = set(options, "plan", "true");
    }
    if (status == BDL_OK) {
        status = drop(bdl_inspect(context, options, &text), &text);
    }
    if (status == BDL_OK) {
        status = drop(bdl_options_help(options, &text), &text);
    }
    if (status == BDL_OK) {
        status = drop(bdl_layers_text(context, NULL, &text), &text);
    }
    if (status == BDL_OK) {
        status = drop(bdl_layers_text(context, "conv2d", &text), &text);
    }
    if (status == BDL_OK) {
        status = drop(bdl_schema_json(context, &text), &text);
    }
    if (status == BDL_OK) {
        status = drop(bdl_doctor(context, true, &text), &text);
    }
    if (status == BDL_OK) {
        status = drop(bdl_bench_list(context, &text), &text);
    }
    bdl_options_free(options);
    return status;
}

BDL_TEST(pushing_rows_survives_each_refusal) { refuse_each(push_rows); }

BDL_TEST(building_a_model_survives_each_refusal) { refuse_each(build_model); }

BDL_TEST(training_and_evaluating_survive_each_refusal)
{
    snprintf(save_directory, sizeof save_directory, "%s/saved", bdl_test_dir());
    refuse_each(train);
    refuse_each(evaluate);
    refuse_each(predict);
    refuse_each(copy_model);
    refuse_each(describe);
}

BDL_TEST_MAIN(pushing_rows_survives_each_refusal, building_a_model_survives_each_refusal,
              training_and_evaluating_survive_each_refusal)
