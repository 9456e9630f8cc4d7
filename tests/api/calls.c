/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that the other files of this folder do not make: what they give, and each error that bdl.h documents. */
#include <bdl/bdl.h>
#include <bdl/tensor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

static bdl_context *new_context(void)
{
    bdl_context *context = NULL;
    bdl_context_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.n_threads = 2;
    CHECK_OK(bdl_context_create(&options, &context));
    return context;
}

static const char *path_of(const char *name)
{
    static char path[2][600];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", bdl_test_dir(), name);
    return path[turn];
}

/* Options of a verb from pairs, ended by NULL. */
static bdl_options *options_of(bdl_context *context, const char *verb, const char *const *pairs)
{
    bdl_options *options = NULL;
    CHECK_OK(bdl_options_create(context, verb, &options));
    for (; options && *pairs; pairs += 2) {
        CHECK_OK(bdl_options_set(options, pairs[0], pairs[1]));
    }
    return options;
}

static const char *const small_run[] = {"model", "linear(classes=3, shape=[5])",
                                        "data",  "synthetic(count=40, shape=[5], classes=3)",
                                        "batch", "16",
                                        "iterations", "4",
                                        NULL};

/* Trains and saves into the test's folder "saved". */
static void save_model(bdl_context *context)
{
    bdl_trainer *trainer = NULL;
    bdl_options *options = options_of(context, "train", small_run);
    CHECK_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_OK(bdl_trainer_run(trainer, NULL, NULL));
    CHECK_OK(bdl_trainer_save(trainer, path_of("saved")));
    CHECK_OK(bdl_trainer_checkpoint(trainer, path_of("one.bdlckpt")));
    CHECK(bdl_trainer_save(trainer, path_of("saved/model.json/below")) == BDL_ERR_IO);
    CHECK(bdl_trainer_checkpoint(trainer, path_of("one.bdlckpt/below")) == BDL_ERR_IO);
    bdl_trainer_free(trainer);
    bdl_options_free(options);
}

/* ---- context and options ------------------------------------------------------------------------ */

BDL_TEST(contexts_count_workers_and_refuse_bad_ones)
{
    bdl_context_options options;
    bdl_context *context = new_context();
    CHECK_EQ_I64(bdl_context_threads(context), 2);
    bdl_context_free(context);
    context = NULL;
    memset(&options, 0, sizeof options);
    CHECK_EQ_I64(bdl_context_create(&options, &context), BDL_ERR_INVALID_ARGUMENT); /* no struct_size */
    options.struct_size = sizeof options + 1;
    CHECK_EQ_I64(bdl_context_create(&options, &context), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "expected sizeof the struct");
    options.struct_size = offsetof(bdl_context_options, allocator); /* an older one, which ended there */
    options.n_threads = 3;
    options.log_level = 99;
    REQUIRE_OK(bdl_context_create(&options, &context));
    CHECK_EQ_I64(bdl_context_threads(context), 3);
    bdl_context_free(context);
    context = NULL;
    options.struct_size = sizeof options;
    options.n_threads = -1;
    CHECK_EQ_I64(bdl_context_create(&options, &context), BDL_ERR_INVALID_ARGUMENT);
    CHECK(context == NULL);
    CHECK_STR_EQ(bdl_status_text(BDL_OK), "success");
    CHECK(strlen(bdl_status_text(BDL_ERR_SHAPE)) > 0 && strlen(bdl_status_text(12345)) > 0);
    CHECK(strlen(bdl_version()) >= 5);
}

static void cancel_at_second(void *user, const bdl_event *event)
{
    if (event->kind == BDL_EVENT_STEP && event->iteration == 2) {
        bdl_context_cancel((bdl_context *)user);
    }
}

BDL_TEST(a_cancel_ends_a_call_and_can_be_taken_back)
{
    bdl_context *context = new_context();
    bdl_trainer *trainer = NULL;
    char *json = NULL;
    bdl_options *options = options_of(context, "train", small_run);
    REQUIRE_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_EQ_I64(bdl_trainer_run(trainer, cancel_at_second, context), BDL_ERR_CANCELLED);
    CHECK_EQ_I64(bdl_trainer_run(trainer, NULL, NULL), BDL_ERR_CANCELLED);
    bdl_context_clear_cancel(context);
    CHECK_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    save_model(context);
    const char *const pairs[] = {"model", path_of("saved"), "data",
                                 "synthetic(count=40, shape=[5], classes=3)", NULL};
    options = options_of(context, "eval", pairs);
    bdl_context_cancel(context);
    CHECK_EQ_I64(bdl_evaluate(context, options, &json), BDL_ERR_CANCELLED);
    CHECK(json == NULL);
    bdl_context_clear_cancel(context);
    CHECK_OK(bdl_evaluate(context, options, &json));
    bdl_text_free(json);
    bdl_options_free(options);
    bdl_context_free(context);
}

static void cancel_at_start(void *user, const bdl_event *event)
{
    if (event->kind == BDL_EVENT_START) {
        bdl_context_cancel((bdl_context *)user);
    }
}

/* What a user has before the first iteration is nothing; after one it is kept. */
BDL_TEST(a_cancel_before_anything_is_trained_leaves_no_checkpoint)
{
    bdl_context *context = new_context();
    bdl_trainer *trainer = NULL;
    FILE *file;
    bdl_options *options = options_of(context, "train", small_run);
    REQUIRE_OK(bdl_options_set(options, "checkpoint", path_of("early")));
    REQUIRE_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_EQ_I64(bdl_trainer_run(trainer, cancel_at_start, context), BDL_ERR_CANCELLED);
    CHECK_STR_HAS(bdl_last_error(), "nothing was trained");
    CHECK((file = fopen(path_of("early/step-0000000000.bdlckpt"), "rb")) == NULL);
    bdl_context_clear_cancel(context);
    CHECK_EQ_I64(bdl_trainer_run(trainer, cancel_at_second, context), BDL_ERR_CANCELLED);
    CHECK((file = fopen(path_of("early/step-0000000002.bdlckpt"), "rb")) != NULL);
    if (file) {
        fclose(file);
    }
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    bdl_context_free(context);
}

typedef struct stopping {
    bdl_trainer *trainer, *other;
    int32_t n_checked;
} stopping;

static void stop_at_second(void *user, const bdl_event *event)
{
    stopping *const s = (stopping *)user;
    if (event->kind == BDL_EVENT_STEP && event->iteration == 2) {
        bdl_trainer_stop(s->trainer);
    }
    if (event->kind == BDL_EVENT_END) {
        CHECK_STR_EQ(event->reason, "cancelled");
        CHECK_EQ_I64(event->iteration, 2);
        CHECK_OK(bdl_trainer_run(s->other, NULL, NULL)); /* while this one is being stopped */
        s->n_checked++;
    }
}

BDL_TEST(a_stop_ends_one_trainer_and_no_other)
{
    bdl_context *context = new_context();
    bdl_trainer *trainer[2] = {NULL, NULL};
    char hex[2][65];
    bdl_options *options = options_of(context, "train", small_run);
    for (int i = 0; i < 2; i++) {
        REQUIRE_OK(bdl_trainer_create(context, options, &trainer[i]));
    }
    stopping s = {trainer[0], trainer[1], 0};
    CHECK_EQ_I64(bdl_trainer_run(trainer[0], stop_at_second, &s), BDL_ERR_CANCELLED);
    CHECK_EQ_I64(s.n_checked, 1);
    CHECK_OK(bdl_trainer_run(trainer[0], NULL, NULL)); /* it goes on */
    for (int i = 0; i < 2; i++) {
        bdl_trainer_fingerprint(trainer[i], hex[i]);
    }
    CHECK_STR_EQ(hex[0], hex[1]);
    bdl_trainer_stop(NULL);
    for (int i = 0; i < 2; i++) {
        bdl_trainer_free(trainer[i]);
    }
    bdl_options_free(options);
    bdl_context_free(context);
}

typedef struct validating {
    int64_t done, n_events, n_complete;
} validating;

static void watch_validation(void *user, const bdl_event *event)
{
    validating *const v = (validating *)user;
    if (event->kind == BDL_EVENT_VALIDATING) {
        CHECK_EQ_I64(event->steps, 300);
        CHECK(event->step > v->done);
        v->done = event->step;
        v->n_events++;
    }
    if (event->kind == BDL_EVENT_VALIDATION) {
        v->n_complete += v->done == 300;
        v->done = 0;
    }
}

BDL_TEST(a_validation_tells_how_far_it_is)
{
    bdl_context *context = new_context();
    bdl_trainer *trainer = NULL;
    validating v = {0, 0, 0};
    bdl_options *options = options_of(context, "train", small_run);
    REQUIRE_OK(bdl_options_set(options, "val", "synthetic(count=300, shape=[5], classes=3)"));
    REQUIRE_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_OK(bdl_trainer_run(trainer, watch_validation, &v));
    CHECK(v.n_complete >= 1 && v.n_events > v.n_complete);
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    bdl_context_free(context);
}

BDL_TEST(a_stop_before_a_run_ends_it)
{
    bdl_context *context = new_context();
    bdl_trainer *trainer = NULL;
    bdl_options *options = options_of(context, "train", small_run);
    REQUIRE_OK(bdl_trainer_create(context, options, &trainer));
    bdl_trainer_stop(trainer);
    CHECK_EQ_I64(bdl_trainer_run(trainer, NULL, NULL), BDL_ERR_CANCELLED);
    CHECK_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    bdl_context_free(context);
}

BDL_TEST(options_know_their_names)
{
    bdl_context *context = new_context();
    bdl_options *options = NULL;
    char *text = NULL;
    CHECK(bdl_options_create(context, "dance", &options) != BDL_OK);
    CHECK_STR_HAS(bdl_last_error(), "dance");
    CHECK(options == NULL);
    REQUIRE_OK(bdl_options_create(context, "train", &options));
    CHECK_EQ_I64(bdl_options_check(options), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "model");
    CHECK_EQ_I64(bdl_options_set(options, "bacth", "3"), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "batch");
    CHECK_EQ_I64(bdl_options_set(options, "batch", "many"), BDL_ERR_INVALID_ARGUMENT);
    CHECK_OK(bdl_options_set(options, "model", "lenet"));
    CHECK_OK(bdl_options_set(options, "data", "digits"));
    CHECK_OK(bdl_options_set(options, "most-broken", "0.5"));
    CHECK_OK(bdl_options_check(options));
    CHECK(bdl_options_is_switch(options, "resume") && !bdl_options_is_switch(options, "batch"));
    CHECK(!bdl_options_is_switch(options, "no_such_option"));
    REQUIRE_OK(bdl_options_help(options, &text));
    CHECK_STR_HAS(text, "batch");
    bdl_text_free(text);
    bdl_text_free(NULL);
    bdl_options_free(options);
    bdl_options_free(NULL);
    bdl_context_free(context);
}

/* ---- texts ---------------------------------------------------------------------------------------- */

BDL_TEST(listings_are_texts_or_name_what_is_not_there)
{
    bdl_context *context = new_context();
    char *text = NULL;
    CHECK_OK(bdl_layers_text(context, NULL, &text));
    CHECK_STR_HAS(text, "conv2d");
    bdl_text_free(text);
    CHECK_OK(bdl_layers_text(context, "SpatialConvolution", &text));
    CHECK_STR_HAS(text, "kernel_size");
    bdl_text_free(text);
    text = NULL;
    CHECK_EQ_I64(bdl_layers_text(context, "convolve", &text), BDL_ERR_NOT_FOUND);
    CHECK_OK(bdl_schema_json(context, &text));
    CHECK_STR_HAS(text, "\"cross_entropy\"");
    bdl_text_free(text);
    CHECK_OK(bdl_doctor(context, false, &text));
    CHECK_STR_HAS(text, "kernels");
    bdl_text_free(text);
    CHECK_OK(bdl_doctor(context, true, &text));
    CHECK_STR_HAS(text, "\"library\"");
    bdl_text_free(text);
    CHECK_OK(bdl_bench_list(context, &text));
    CHECK_STR_HAS(text, "lenet_train");
    bdl_text_free(text);
    text = NULL;
    CHECK_EQ_I64(bdl_bench(context, "no_such_case", 0.1, &text), BDL_ERR_NOT_FOUND);
    CHECK_EQ_I64(bdl_bench(context, NULL, 0.1, &text), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_bench(context, "push", -1, &text), BDL_ERR_INVALID_ARGUMENT);
    CHECK(text == NULL);
    bdl_context_free(context);
}

BDL_TEST(inspect_describes_models_and_plans)
{
    bdl_context *context = new_context();
    char *text = NULL;
    const char *const pairs[] = {"model", "lenet", NULL};
    const char *const wrong[] = {"model", "lenett", NULL};
    bdl_options *options = options_of(context, "inspect", pairs);
    CHECK_OK(bdl_inspect(context, options, &text));
    CHECK_STR_HAS(text, "conv2d");
    bdl_text_free(text);
    CHECK_OK(bdl_options_set(options, "plan", "true"));
    CHECK_OK(bdl_inspect(context, options, &text));
    CHECK_STR_HAS(text, "backward");
    bdl_text_free(text);
    bdl_options_free(options);
    text = NULL;
    options = options_of(context, "inspect", wrong);
    CHECK_EQ_I64(bdl_inspect(context, options, &text), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "lenet");
    CHECK(text == NULL);
    bdl_options_free(options);
    bdl_context_free(context);
}

/* ---- prediction ----------------------------------------------------------------------------------- */

typedef struct seen {
    int64_t n, stops_at;
    double last_sum;
} seen;

static bdl_status see(void *user, const bdl_prediction *prediction)
{
    seen *const s = (seen *)user;
    CHECK_EQ_I64(prediction->row, s->n);
    CHECK(prediction->is_class && prediction->n == 3 && prediction->order != NULL);
    s->last_sum = prediction->scores[0] + prediction->scores[1] + prediction->scores[2];
    return ++s->n == s->stops_at ? BDL_ERR_CANCELLED : BDL_OK;
}

BDL_TEST(predictions_come_row_by_row_until_stopped)
{
    bdl_context *context = new_context();
    seen s = {0, 0, 0};
    const char *const file = "nothing.png";
    save_model(context);
    const char *const pairs[] = {"model", path_of("saved"), "top", "3", NULL};
    bdl_options *options = options_of(context, "predict", pairs);
    CHECK_EQ_I64(bdl_predict(context, options, NULL, 0, see, &s), BDL_ERR_INVALID_ARGUMENT);
    CHECK(bdl_predict(context, options, &file, 1, see, &s) != BDL_OK);
    CHECK_EQ_I64(s.n, 0);
    CHECK_OK(bdl_options_set(options, "data", "synthetic(count=40, shape=[5], classes=3)"));
    CHECK_EQ_I64(bdl_predict(context, options, &file, 1, see, &s), BDL_ERR_INVALID_ARGUMENT);
    CHECK_OK(bdl_predict(context, options, NULL, 0, see, &s));
    CHECK(s.n > 0);
    CHECK_NEAR(s.last_sum, 1, 1e-6);
    s.n = 0;
    s.stops_at = 2;
    CHECK_EQ_I64(bdl_predict(context, options, NULL, 0, see, &s), BDL_ERR_CANCELLED);
    CHECK_EQ_I64(s.n, 2);
    bdl_options_free(options);
    bdl_context_free(context);
}

/* ---- models and data ------------------------------------------------------------------------------ */

BDL_TEST(weights_are_set_by_shape_and_models_saved)
{
    bdl_context *context = new_context();
    bdl_model *model = NULL;
    const float values[6] = {1, 2, 3, 4, 5, 6}, x[3] = {1, 0, 0};
    const int64_t in[1] = {3}, shape[2] = {2, 3}, turned[2] = {3, 2}, two[1] = {2};
    float y[2] = {0, 0};
    int64_t n_src = 0, n_dst = 0, out[BDL_MAX_RANK];
    int32_t rank = 0;
    REQUIRE_OK(bdl_model_create(context, "m", &model));
    CHECK_EQ_I64(bdl_model_sizes(model, &n_src, &n_dst), BDL_ERR_STATE);
    CHECK_EQ_I64(bdl_model_save(model, path_of("early")), BDL_ERR_STATE);
    CHECK_EQ_I64(bdl_model_n_params(model), 0);
    CHECK_EQ_I64(bdl_model_n_outputs(model), 0);
    CHECK_OK(bdl_model_add_input(model, "x", in, 1));
    CHECK_OK(bdl_model_add(model, "linear", "l", "{\"out_features\": 2}", NULL, 0));
    CHECK_OK(bdl_model_finish(model, 1));
    CHECK_EQ_I64(bdl_model_finish(model, 1), BDL_ERR_STATE);
    CHECK_OK(bdl_model_sizes(model, &n_src, &n_dst));
    CHECK(n_src == 3 && n_dst == 2);
    CHECK_EQ_I64(bdl_model_n_outputs(model), 1);
    CHECK_OK(bdl_model_output_shape(model, 0, out, &rank));
    CHECK(rank == 1 && out[0] == 2);
    CHECK_EQ_I64(bdl_model_output_shape(model, 1, out, &rank), BDL_ERR_INVALID_ARGUMENT);
    CHECK_OK(bdl_model_set_param(model, 0, BDL_F32, shape, 2, values));
    CHECK(bdl_model_set_param(model, 0, BDL_F32, turned, 2, values) != BDL_OK);
    CHECK(bdl_model_set_param(model, 0, BDL_F64, shape, 2, values) != BDL_OK);
    CHECK_EQ_I64(bdl_model_set_param(model, 2, BDL_F32, two, 1, values), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_model_set_param(model, -1, BDL_F32, two, 1, values), BDL_ERR_INVALID_ARGUMENT);
    CHECK_OK(bdl_model_set_param(model, 1, BDL_F32, two, 1, values));
    CHECK_OK(bdl_model_forward(model, x, 1, y));
    CHECK_NEAR(y[0], 1 + 1, 1e-6);
    CHECK_NEAR(y[1], 4 + 2, 1e-6);
    CHECK_EQ_I64(bdl_model_forward(model, x, -1, y), BDL_ERR_INVALID_ARGUMENT);
    CHECK_OK(bdl_model_save(model, path_of("model")));
    CHECK_EQ_I64(bdl_model_save(model, path_of("model/model.json/below")), BDL_ERR_IO);
    bdl_model_free(model);
    bdl_model_free(NULL);
    bdl_context_free(context);
}

BDL_TEST(encoded_rows_are_checked)
{
    bdl_context *context = new_context();
    bdl_data *data = NULL;
    bdl_data_options options;
    bdl_data_stats stats;
    const char bytes[4] = {(char)0x89, 'P', 'N', 'G'};
    const void *const files[1] = {bytes};
    const int64_t size[1] = {4}, negative[1] = {-4};
    const double label = 1, wrong = 0.5;
    memset(&options, 0, sizeof options);
    memset(&stats, 0, sizeof stats);
    options.struct_size = sizeof options;
    options.dtype = BDL_U8;
    options.rank = 1;
    options.shape[0] = 3;
    options.is_encoded = true;
    options.label_kind = BDL_LABEL_CLASS;
    REQUIRE_OK(bdl_data_create(context, &options, &data));
    CHECK_EQ_I64(bdl_data_push_encoded(data, 1, files, size, &wrong, NULL, NULL),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_data_push_encoded(data, 1, files, size, NULL, NULL, NULL),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_data_push_encoded(data, 1, files, negative, &label, NULL, NULL),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_data_push_encoded(data, -1, files, size, &label, NULL, NULL),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_OK(bdl_data_push_encoded(data, 0, NULL, NULL, NULL, NULL, NULL));
    CHECK_OK(bdl_data_push_encoded(data, 1, files, size, &label, NULL, NULL));
    CHECK_EQ_I64(bdl_data_finish(data), BDL_ERR_FORMAT); /* the first image says whether it is one */
    CHECK_STR_HAS(bdl_last_error(), "row 0");
    stats.struct_size = sizeof stats;
    CHECK_OK(bdl_data_get_stats(data, &stats));
    CHECK_EQ_I64(stats.n_rows, 1);
    bdl_data_free(data);
    bdl_context_free(context);
}

/* ---- groups and tensors --------------------------------------------------------------------------- */

BDL_TEST(a_group_of_one_trains_as_none)
{
    bdl_context *context = new_context();
    bdl_group *group = NULL;
    bdl_group_options how;
    const uint8_t secret[32] = {7};
    const char *const addresses[1] = {""};
    char alone[65], together[65];
    bdl_trainer *trainer = NULL;
    memset(&how, 0, sizeof how);
    how.struct_size = sizeof how;
    how.secret = secret;
    how.n_ranks = 1;
    how.rank = 1;
    CHECK(bdl_group_create(context, &how, &group) != BDL_OK);
    CHECK(group == NULL);
    how.rank = 0;
    REQUIRE_OK(bdl_group_create(context, &how, &group));
    CHECK_STR_EQ(bdl_group_address(group), "");
    bdl_options *options = options_of(context, "train", small_run);
    REQUIRE_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_fingerprint(trainer, alone);
    bdl_trainer_free(trainer);
    trainer = NULL;
    CHECK_OK(bdl_group_connect(group, addresses));
    CHECK_OK(bdl_options_set_group(options, group));
    REQUIRE_OK(bdl_trainer_create(context, options, &trainer));
    CHECK_OK(bdl_trainer_run(trainer, NULL, NULL));
    bdl_trainer_fingerprint(trainer, together);
    CHECK_STR_EQ(alone, together);
    bdl_trainer_free(trainer);
    bdl_group_abort(group, "the test is over");
    bdl_options_free(options);
    bdl_group_free(group);
    bdl_group_free(NULL);
    bdl_context_free(context);
}

BDL_TEST(a_tensor_goes_through_dlpack_and_back)
{
    const int64_t shape[2] = {2, 3};
    struct DLManagedTensor *managed = NULL;
    bdl_tensor *tensor = NULL, *again = NULL;
    bool is_equal = false;
    REQUIRE_OK(bdl_tensor_rand(NULL, BDL_F32, 2, shape, 5, &tensor));
    REQUIRE_OK(bdl_tensor_to_dlpack(tensor, &managed));
    REQUIRE_OK(bdl_tensor_take_dlpack(NULL, managed, &again));
    CHECK(bdl_tensor_data(again) == bdl_tensor_data(tensor));
    CHECK_OK(bdl_tensor_equal(tensor, again, &is_equal));
    CHECK(is_equal);
    bdl_tensor_free(tensor);
    bdl_tensor_free(again);
}

BDL_TEST_MAIN(contexts_count_workers_and_refuse_bad_ones, a_cancel_ends_a_call_and_can_be_taken_back,
              a_cancel_before_anything_is_trained_leaves_no_checkpoint,
              a_stop_ends_one_trainer_and_no_other, a_stop_before_a_run_ends_it,
              a_validation_tells_how_far_it_is,
              options_know_their_names, listings_are_texts_or_name_what_is_not_there,
              inspect_describes_models_and_plans, predictions_come_row_by_row_until_stopped,
              weights_are_set_by_shape_and_models_saved, encoded_rows_are_checked, a_group_of_one_trains_as_none,
              a_tensor_goes_through_dlpack_and_back)
