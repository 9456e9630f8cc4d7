/* SPDX-License-Identifier: Apache-2.0 */
/* What is not marked [nullable] in bdl.h is an error when it is NULL, and never a crash. */
#include <bdl/bdl.h>
#include <string.h>

#include "test.h"

#define REFUSES(call)                                                                              \
    do {                                                                                           \
        CHECK_EQ_I64((call), BDL_ERR_INVALID_ARGUMENT);                                            \
        CHECK_STR_HAS(bdl_last_error(), "not NULL");                                               \
    } while (0)

typedef struct objects {
    bdl_context *context;
    bdl_options *options, *learn;
    bdl_model *model;
    bdl_data *data;
    bdl_learner *learner;
} objects;

static void open_objects(objects *o)
{
    memset(o, 0, sizeof *o);
    CHECK_OK(bdl_context_create(NULL, &o->context));
    CHECK_OK(bdl_options_create(o->context, "train", &o->options));
    CHECK_OK(bdl_model_open(o->context, "linear(classes=2, shape=[3])", 1, &o->model));
    CHECK_OK(bdl_data_open(o->context, "synthetic(count=4, shape=[3], classes=2)", "train", &o->data));
    CHECK_OK(bdl_options_create(o->context, "learn", &o->learn));
    CHECK_OK(bdl_learner_create(o->context, o->learn, o->model, &o->learner));
}

static void close_objects(objects *o)
{
    bdl_learner_free(o->learner);
    bdl_data_free(o->data);
    bdl_model_free(o->model);
    bdl_options_free(o->options);
    bdl_options_free(o->learn);
    bdl_context_free(o->context);
}

BDL_TEST(contexts_options_and_texts)
{
    objects o;
    char *text = NULL;
    bdl_options *options = NULL;
    open_objects(&o);
    REFUSES(bdl_context_create(NULL, NULL));
    REFUSES(bdl_options_create(NULL, "train", &options));
    REFUSES(bdl_options_create(o.context, NULL, &options));
    REFUSES(bdl_options_create(o.context, "train", NULL));
    REFUSES(bdl_options_set(NULL, "batch", "1"));
    REFUSES(bdl_options_set(o.options, NULL, "1"));
    REFUSES(bdl_options_set(o.options, "batch", NULL));
    REFUSES(bdl_options_check(NULL));
    REFUSES(bdl_options_help(NULL, &text));
    REFUSES(bdl_options_help(o.options, NULL));
    REFUSES(bdl_options_set_group(NULL, NULL));
    REFUSES(bdl_inspect(o.context, NULL, &text));
    REFUSES(bdl_layers_text(NULL, NULL, &text));
    REFUSES(bdl_layers_text(o.context, NULL, NULL));
    REFUSES(bdl_schema_json(o.context, NULL));
    REFUSES(bdl_doctor(NULL, false, &text));
    REFUSES(bdl_bench(o.context, NULL, 1, &text));
    REFUSES(bdl_bench_list(o.context, NULL));
    REFUSES(bdl_group_create(o.context, NULL, NULL));
    REFUSES(bdl_group_connect(NULL, NULL));
    CHECK(text == NULL && options == NULL);
    close_objects(&o);
}

BDL_TEST(data_sets)
{
    objects o;
    bdl_data *data = NULL;
    bdl_data_options how;
    int64_t shape[BDL_MAX_RANK];
    int32_t rank;
    open_objects(&o);
    memset(&how, 0, sizeof how);
    how.struct_size = sizeof how;
    REFUSES(bdl_data_create(NULL, &how, &data));
    REFUSES(bdl_data_create(o.context, NULL, &data));
    REFUSES(bdl_data_create(o.context, &how, NULL));
    REFUSES(bdl_data_push(NULL, 1, &how, NULL, NULL, NULL));
    REFUSES(bdl_data_push(o.data, 1, NULL, NULL, NULL, NULL));
    REFUSES(bdl_data_push_encoded(o.data, 1, NULL, NULL, NULL, NULL, NULL));
    REFUSES(bdl_data_finish(NULL));
    REFUSES(bdl_data_wrap(o.context, &how, 1, NULL, NULL, NULL, NULL, &data));
    REFUSES(bdl_data_open(o.context, NULL, "train", &data));
    REFUSES(bdl_data_open(o.context, "digits", NULL, &data));
    REFUSES(bdl_data_get_stats(o.data, NULL));
    REFUSES(bdl_data_shape(NULL, shape, &rank));
    REFUSES(bdl_data_prepared_shape(NULL, NULL, shape, &rank));
    REFUSES(bdl_data_prepared_shape(o.data, NULL, NULL, &rank));
    REFUSES(bdl_data_prepared_shape(o.data, NULL, shape, NULL));
    REFUSES(bdl_data_shape(o.data, NULL, &rank));
    REFUSES(bdl_data_read(o.data, 0, 1, NULL, NULL));
    CHECK(data == NULL);
    close_objects(&o);
}

BDL_TEST(training_and_prediction)
{
    objects o;
    bdl_trainer *trainer = NULL;
    float values[8];
    open_objects(&o);
    REFUSES(bdl_trainer_create(NULL, o.options, &trainer));
    REFUSES(bdl_trainer_create(o.context, NULL, &trainer));
    REFUSES(bdl_trainer_create_on(o.context, o.options, o.model, o.data, NULL, NULL));
    REFUSES(bdl_trainer_run(NULL, NULL, NULL));
    REFUSES(bdl_trainer_save(NULL, "folder"));
    REFUSES(bdl_trainer_checkpoint(NULL, "file"));
    REFUSES(bdl_evaluate(o.context, NULL, NULL));
    REFUSES(bdl_evaluate_on(o.context, o.options, o.model, o.data, NULL));
    REFUSES(bdl_predict(o.context, o.options, NULL, 0, NULL, NULL));
    CHECK_EQ_I64(bdl_predict_on(o.context, NULL, o.model, NULL, values, NULL), BDL_ERR_INVALID_ARGUMENT);
    REFUSES(bdl_learner_create(o.context, o.learn, NULL, &o.learner));
    REFUSES(bdl_learner_forward(o.learner, 1, NULL, values));
    REFUSES(bdl_learner_backward(o.learner, NULL, NULL));
    REFUSES(bdl_learner_loss(o.learner, 1, values, NULL, values, NULL));
    REFUSES(bdl_learner_step(NULL, 0));
    REFUSES(bdl_learner_zero_grad(NULL));
    REFUSES(bdl_learner_grad(o.learner, 0, NULL));
    CHECK(trainer == NULL);
    close_objects(&o);
}

BDL_TEST(models)
{
    objects o;
    bdl_model *model = NULL;
    float values[8];
    int32_t rank;
    int64_t count;
    char *text = NULL;
    open_objects(&o);
    REFUSES(bdl_model_create(NULL, "net", &model));
    REFUSES(bdl_model_create(o.context, "net", NULL));
    REFUSES(bdl_model_open(o.context, NULL, 1, &model));
    REFUSES(bdl_model_parse(o.context, NULL, 1, &model));
    REFUSES(bdl_model_add_input(o.model, NULL, NULL, 0));
    REFUSES(bdl_model_add_input(o.model, "x", NULL, 1));
    REFUSES(bdl_model_add(o.model, NULL, NULL, NULL, NULL, 0));
    REFUSES(bdl_model_add(o.model, "relu", NULL, NULL, NULL, 1));
    REFUSES(bdl_model_finish(NULL, 1));
    REFUSES(bdl_model_to_json(o.model, NULL));
    REFUSES(bdl_model_save(o.model, NULL));
    REFUSES(bdl_model_param(o.model, 0, NULL, NULL, NULL, NULL, NULL));
    REFUSES(bdl_model_set_param(o.model, 0, BDL_F32, NULL, 0, NULL));
    REFUSES(bdl_model_buffer(o.model, 0, NULL, NULL, NULL, NULL, NULL));
    REFUSES(bdl_model_set_buffer(o.model, 0, BDL_F32, NULL, 1, values));
    REFUSES(bdl_model_touch(NULL));
    REFUSES(bdl_model_set_trainable(NULL, NULL, true));
    REFUSES(bdl_model_clone(o.model, NULL));
    REFUSES(bdl_model_output_shape(o.model, 0, NULL, &rank));
    REFUSES(bdl_model_describe(NULL, &text));
    REFUSES(bdl_model_forward(o.model, NULL, 1, values));
    REFUSES(bdl_model_forward(o.model, values, 1, NULL));
    REFUSES(bdl_model_sizes(o.model, &count, NULL));
    CHECK(model == NULL && text == NULL);
    close_objects(&o);
}

BDL_TEST_MAIN(contexts_options_and_texts, data_sets, training_and_prediction, models)
