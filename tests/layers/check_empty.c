/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of no samples, through the public calls: a forward pass does nothing, training is refused with a text
 * that says why, and the model still runs.
 */
#include <bdl/bdl.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"

static bool is_ok(check *k, const char *what, bdl_status status)
{
    if (status != BDL_OK) {
        complain(k, "%s: %s", what, bdl_last_error());
    }
    return status == BDL_OK;
}

/* Training on nothing is refused: by the count, or because the model is not one to train like this. */
static void expect_refusal(check *k, const char *what, bdl_status status)
{
    const bool says_why = strstr(bdl_last_error(), "got 0") || status == BDL_ERR_UNSUPPORTED ||
                          status == BDL_ERR_SHAPE;
    if (status == BDL_OK || !says_why) {
        complain(k, "%s of no samples: status %d, %s", what, (int)status, bdl_last_error());
    }
}

/* The case's parameters as JSON, in the arena. */
static const char *json_of(check *k)
{
    const bdl__schema *schema = &k->layer->schema;
    const char *copy = NULL;
    void *params = NULL;
    bdl__text text;
    bdl__json_writer writer;
    bdl__text_init(&text, bdl__default_allocator());
    bdl__json_writer_init(&writer, &text, 0);
    if (is_ok(k, "arena", bdl__arena_alloc(k->arena, schema->params_size + 1, &params)) &&
        is_ok(k, "parameters", bdl__params_from_text(schema, k->arena, k->c->params, params))) {
        bdl__params_to_json(schema, params, true, &writer);
        (void)is_ok(k, "arena", bdl__arena_strdup(k->arena, bdl__text_get(&text), &copy));
    }
    bdl__text_free(&text);
    return copy;
}

/* A model of the layer alone; for criterions and metrics, of a layer that copies. */
static bdl_status make_model(check *k, bdl_context *context, const input_spec *specs, int n_in,
                             bdl_model **model)
{
    char names[MOST_INPUTS][16];
    const char *list[MOST_INPUTS];
    BDL__TRY(bdl_model_create(context, NULL, model));
    for (int i = 0; i < n_in; i++) {
        snprintf(names[i], sizeof names[i], "x%d", i);
        list[i] = names[i];
        BDL__TRY(bdl_model_add_input(*model, names[i], specs[i].shape.dim, specs[i].shape.rank));
    }
    BDL__TRY(k->layer->kind == BDL__LAYER
                 ? bdl_model_add(*model, k->layer->name, NULL, json_of(k), list, n_in)
                 : bdl_model_add(*model, "mul_constant", NULL, "{\"constant\": 1}", list, 1));
    return bdl_model_finish(*model, 1);
}

/* Forward of none, then of one sample. */
static void run_forward(check *k, bdl_model *model, int n_in)
{
    int64_t n_src, n_dst;
    if (n_in > 1 || !is_ok(k, "sizes", bdl_model_sizes(model, &n_src, &n_dst))) {
        return;
    }
    float *const src = (float *)(void *)make_doubles(k->arena, n_src);
    float *const dst = (float *)(void *)make_doubles(k->arena, n_dst + 1);
    const float before = dst[0] = 42;
    if (is_ok(k, "forward of no samples", bdl_model_forward(model, src, 0, dst)) &&
        memcmp(dst, &before, sizeof before) != 0) {
        complain(k, "forward of no samples wrote");
    }
    (void)is_ok(k, "forward after that of no samples", bdl_model_forward(model, src, 1, dst));
}

static void run_learner(check *k, bdl_context *context, bdl_model *model, bool has_labels)
{
    const bool is_criterion = k->layer->kind == BDL__CRITERION;
    bdl_options *options = NULL;
    bdl_learner *learner = NULL;
    const double label = 0;
    double loss;
    float value = 0;
    char criterion[300];
    snprintf(criterion, sizeof criterion, "%s(%s)", k->layer->name, k->c->params);
    bool ok = is_ok(k, "options", bdl_options_create(context, "learn", &options));
    if (ok && is_criterion) {
        ok = is_ok(k, "loss", bdl_options_set(options, "loss", criterion));
    }
    if (ok && is_ok(k, "learner", bdl_learner_create(context, options, model, &learner))) {
        expect_refusal(k, "a training pass", bdl_learner_forward(learner, 0, &value, &value));
        expect_refusal(k, "a loss",
                       bdl_learner_loss(learner, 0, &value, has_labels ? &label : NULL,
                                        has_labels ? NULL : &value, &loss));
    }
    bdl_learner_free(learner);
    bdl_options_free(options);
}

/* No slices at all are no plan; a rank of several may have none. */
static void plan_alone(check *k)
{
    const run_options options = exact_run();
    run_result result;
    problem p;
    if (!make_or_complain(k, ALONE, 0, 0, &p)) {
        return;
    }
    if (run_problem(&p, &options, k->arena, &result) != BDL_ERR_INVALID_ARGUMENT) {
        complain(k, "a plan for no samples: %s", bdl_last_error());
    }
    free_problem(&p);
}

void check_empty(check *k)
{
    input_spec specs[MOST_INPUTS];
    int n_in;
    bdl_context *context = NULL;
    bdl_model *model = NULL;
    const bdl_context_options how = {.struct_size = sizeof how, .n_threads = 1, .log_level = 0};
    plan_alone(k);
    if (!is_ok(k, "inputs", parse_inputs(k->c->inputs, specs, &n_in)) ||
        !is_ok(k, "context", bdl_context_create(&how, &context))) {
        return;
    }
    const bool has_labels = n_in > 1 && specs[1].integer;
    n_in = k->layer->kind == BDL__LAYER ? n_in : 1;
    if (is_ok(k, "model", make_model(k, context, specs, n_in, &model))) {
        run_forward(k, model, n_in);
        if (n_in == 1) {
            run_learner(k, context, model, has_labels);
        }
    }
    bdl_model_free(model);
    bdl_context_free(context);
}
