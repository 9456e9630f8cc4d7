/* SPDX-License-Identifier: Apache-2.0 */
/* Public listings of models: layers with shapes and weights, and plans. */
#include <string.h>

#include "api/api.h"

static void print_node(const bdl__graph *graph, const bdl__node *node, bdl__text *out)
{
    char shape[BDL__SHAPE_TEXT_SIZE];
    bdl__text params;
    int64_t n_weights = 0;
    for (int w = 0; w < node->decl.n_weights && !node->share; w++) {
        n_weights += graph->params[node->first_param + w].count;
    }
    bdl__text_init(&params, out->allocator);
    bdl__params_to_text(&node->layer->schema, node->params, &params);
    const char *const text = bdl__text_get(&params);
    bdl__text_append(out, "%-26s %-16s %-14s %12lld%s%s%s\n", node->name, node->layer->name,
                     bdl__shape_text(&node->decl.out[0], shape, sizeof shape), (long long)n_weights,
                     *text ? "  " : "", text, node->frozen ? "  (frozen)" : "");
    bdl__text_free(&params);
}

static void print_model(const bdl__saved *saved, bdl__text *out)
{
    const bdl__graph *const graph = saved->model->graph;
    char shape[BDL__SHAPE_TEXT_SIZE];
    int64_t n_weights = 0;
    bdl__text_append(out, "%-26s %-16s %-14s %12s  %s\n", "name", "layer", "output", "weights",
                     "parameters");
    for (int64_t i = 0; i < graph->n_inputs; i++) {
        bdl__text_append(out, "%-26s %-16s %s\n", graph->inputs[i].name, "(input)",
                         bdl__shape_text(&graph->inputs[i].shape, shape, sizeof shape));
    }
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        print_node(graph, graph->nodes[i], out);
    }
    for (int64_t i = 0; i < graph->n_params; i++) {
        n_weights += graph->params[i].count;
    }
    bdl__text_append(out, "%s: %lld layer%s, %lld weight%s\n", graph->name,
                     (long long)graph->n_nodes, bdl__plural(graph->n_nodes), (long long)n_weights,
                     bdl__plural(n_weights));
    if (saved->n_classes > 0) {
        bdl__text_append(out, "classes: %lld\n", (long long)saved->n_classes);
    }
    if (saved->chain) {
        bdl__text_append(out, "preprocessing: ");
        bdl__chain_to_text(saved->chain, out);
        bdl__text_append(out, "\n");
    }
}

bdl_status bdl_model_describe(const bdl_model *model, char **text)
{
    BDL__TRY(bdl__need_arguments(model && text, __func__));
    bdl__text out;
    BDL__TRY(bdl__model_need_finished(model));
    bdl__text_init(&out, &model->context->allocator);
    print_model(model->saved, &out);
    return bdl__text_give(&out, text);
}

/* The criterion of the listing: as training would choose it for labels that are classes. */
static bdl_status listing_head(const bdl__saved *saved, const char *loss, bdl__arena *arena,
                               bdl__head *head, bool *integer)
{
    const bdl__graph *const graph = saved->model->graph;
    const bdl__ref out = graph->outputs[0];
    const char *const last = out.node >= 0 ? graph->nodes[out.node]->layer->name : "";
    const char *text = *loss         ? loss
                       : saved->loss ? saved->loss
                                     : strcmp(last, "log_softmax") == 0 ? "nll"
                                       : strcmp(last, "sigmoid") == 0   ? "mse"
                                                                        : "cross_entropy";
    const char *name, *args;
    void *params = NULL;
    BDL__TRY(bdl__split_call(arena, text, &name, &args));
    BDL__TRY(bdl__layer_find(name, &head->layer));
    BDL__CHECK(head->layer->kind == BDL__CRITERION, BDL_ERR_INVALID_ARGUMENT, "'%s' is not a loss",
               name);
    BDL__TRY(bdl__arena_alloc(arena, head->layer->schema.params_size + 1, &params));
    BDL__TRY(bdl__params_from_text(&head->layer->schema, arena, args, params));
    head->params = params;
    *integer = strcmp(name, "nll") == 0 || strcmp(name, "cross_entropy") == 0;
    return BDL_OK;
}

static bdl_status print_plan(const bdl_context *context, const bdl__plan_options *options,
                             bdl__text *out)
{
    bdl__plan *plan = NULL;
    BDL__TRY(bdl__plan_create(&context->allocator, options, &plan));
    bdl__plan_print(plan, out);
    bdl__plan_free(plan);
    return BDL_OK;
}

static bdl__plan_options plan_options(const bdl_context *context, const bdl__inspect_params *params,
                                      const bdl__saved *saved, bdl__precision precision)
{
    return (bdl__plan_options){
        .graph = saved->model->graph,
        .precision = precision,
        .target = saved->model->dtype == BDL_F64 ? BDL__TARGET_F64 : context->target,
        .n_workers = bdl__pool_size(context->pool),
        .n_slices = (params->batch + BDL__SLICE - 1) / BDL__SLICE,
        .global_batch = params->batch};
}

static bdl_status print_training(const bdl_context *context, const bdl__inspect_params *params,
                                 const bdl__saved *saved, bdl__precision precision,
                                 bdl__arena *arena, bdl__text *out)
{
    bdl__plan_options options = plan_options(context, params, saved, precision);
    bdl__head head;
    BDL__TRY(listing_head(saved, params->loss, arena, &head, &options.target_integer));
    options.is_training = true;
    options.heads = &head;
    options.n_heads = 1;
    if (!options.target_integer) {
        options.target_shape = *bdl__graph_shape(options.graph, options.graph->outputs[0]);
    }
    return print_plan(context, &options, out);
}

static bdl_status print_prediction(const bdl_context *context, const bdl__inspect_params *params,
                                   const bdl__saved *saved, bdl__precision precision, bdl__text *out)
{
    bdl__plan_options options = plan_options(context, params, saved, precision);
    options.few_samples = bdl__plan_wants_few(options.graph, precision, params->batch);
    if (options.few_samples) {
        options.target = BDL__TARGET_LANE1;
        options.global_batch = 1;
    }
    return print_plan(context, &options, out);
}

static bdl_status inspect(bdl_context *context, const bdl__inspect_params *params,
                          bdl__saved **saved, bdl__arena *arena, bdl__text *out)
{
    bdl__precision precision;
    BDL__TRY(bdl__precision_choose(&context->log, params->precision, &precision));
    BDL__TRY(bdl__saved_open(&context->allocator, params->model, 1,
                             precision == BDL__F64_PRECISION ? BDL_F64 : BDL_F32, saved));
    if (params->json) {
        bdl__json_writer writer;
        bdl__json_writer_init(&writer, out, 2);
        bdl__graph_to_json((*saved)->model->graph, &writer);
        bdl__text_append(out, "\n");
        return BDL_OK;
    }
    print_model(*saved, out);
    if (params->plan) {
        bdl__text_append(out, "\n");
        return params->predict
                   ? print_prediction(context, params, *saved, precision, out)
                   : print_training(context, params, *saved, precision, arena, out);
    }
    return BDL_OK;
}

bdl_status bdl_inspect(bdl_context *context, const bdl_options *options, char **text)
{
    BDL__TRY(bdl__need_arguments(context && options && text, __func__));
    bdl__arena arena;
    bdl__text out;
    bdl__saved *saved = NULL;
    bdl__inspect_params params;
    bdl__arena_init(&arena, &context->allocator);
    bdl__text_init(&out, &context->allocator);
    bdl_status status = bdl__options_read(options, "inspect", &arena, &params);
    if (status == BDL_OK) {
        status = inspect(context, &params, &saved, &arena, &out);
    }
    bdl__saved_free(saved);
    bdl__arena_free(&arena);
    if (status == BDL_OK) {
        return bdl__text_give(&out, text);
    }
    bdl__text_free(&out);
    return status;
}
