/* SPDX-License-Identifier: Apache-2.0 */
/* Public models: building, weights, saving, and a plain forward pass. */
#include <string.h>

#include "api/api.h"

static bdl_status new_model(bdl_context *context, bdl_model **model)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(&context->allocator, sizeof **model, &memory));
    *model = memory;
    (*model)->context = context;
    return BDL_OK;
}

bdl_status bdl_model_create(bdl_context *context, const char *name, bdl_model **model)
{
    BDL__TRY(bdl__need_arguments(context && model, __func__));
    bdl_model *made = NULL;
    BDL__TRY(bdl__context_use(context));
    BDL__TRY(new_model(context, &made));
    const bdl_status status = bdl__graph_create(&context->allocator, name, &made->graph);
    if (status != BDL_OK) {
        bdl_model_free(made);
        return status;
    }
    *model = made;
    return BDL_OK;
}

bdl_status bdl_model_open(bdl_context *context, const char *text, uint64_t seed, bdl_model **model)
{
    BDL__TRY(bdl__need_arguments(context && text && model, __func__));
    bdl_model *made = NULL;
    BDL__TRY(bdl__context_use(context));
    BDL__TRY(new_model(context, &made));
    const bdl_status status =
        bdl__saved_open(&context->allocator, text, seed, BDL_F32, &made->saved);
    if (status != BDL_OK) {
        bdl_model_free(made);
        return status;
    }
    *model = made;
    return BDL_OK;
}

bdl_status bdl_model_parse(bdl_context *context, const char *json, uint64_t seed, bdl_model **model)
{
    BDL__TRY(bdl__need_arguments(context && json && model, __func__));
    bdl_model *made = NULL;
    BDL__TRY(new_model(context, &made));
    const bdl_status status = bdl__saved_parse(&context->allocator, json, strlen(json), "model",
                                               seed, BDL_F32, &made->saved);
    if (status != BDL_OK) {
        bdl_model_free(made);
        return status;
    }
    *model = made;
    return BDL_OK;
}

void bdl_model_free(bdl_model *model)
{
    if (model) {
        bdl_context *const context = model->context;
        bdl__predictor_free(&model->predictor);
        bdl__runner_free(model->runner);
        bdl__runner_free(model->few_runner);
        bdl__workspace_free(model->workspace);
        bdl__saved_free(model->saved);
        bdl__graph_release(model->graph);
        bdl__free(&context->allocator, model, sizeof *model);
    }
}

static bdl_status need_graph(const bdl_model *model)
{
    BDL__CHECK(model->graph, BDL_ERR_STATE, "the model is finished and cannot change");
    return BDL_OK;
}

bdl_status bdl__model_need_finished(const bdl_model *model)
{
    BDL__TRY(bdl__context_use(model->context));
    BDL__CHECK(model->saved, BDL_ERR_STATE, "finish the model first");
    return BDL_OK;
}

bdl_status bdl_model_add_input(bdl_model *model, const char *name, const int64_t *shape,
                               int32_t rank)
{
    BDL__TRY(bdl__need_arguments(model && name && (shape || rank <= 0), __func__));
    BDL__TRY(need_graph(model));
    BDL__CHECK(rank >= 0 && rank < BDL_MAX_RANK, BDL_ERR_SHAPE, "a sample has 0 to %d axes, got %d",
               BDL_MAX_RANK - 1, (int)rank);
    bdl__shape checked = {.rank = rank};
    for (int i = 0; i < rank; i++) {
        checked.dim[i] = shape[i];
    }
    return bdl__graph_add_input(model->graph, name, &checked, false);
}

bdl_status bdl_model_add(bdl_model *model, const char *type, const char *name,
                         const char *params_json, const char *const *inputs, int64_t n_inputs)
{
    BDL__TRY(bdl__need_arguments(model && type && (inputs || n_inputs <= 0), __func__));
    BDL__TRY(need_graph(model));
    bdl__json *params = NULL;
    if (params_json && *params_json) {
        BDL__TRY(bdl__json_parse(params_json, strlen(params_json), type, &params));
    }
    const bdl_status status =
        bdl__graph_add(model->graph, type, name, params, inputs, n_inputs, NULL);
    bdl__json_free(params);
    return status;
}

bdl_status bdl_model_finish(bdl_model *model, uint64_t seed)
{
    BDL__TRY(bdl__need_arguments(model != NULL, __func__));
    BDL__TRY(need_graph(model));
    const bdl_allocator *const allocator = &model->context->allocator;
    void *memory = NULL;
    if (!model->graph->is_finished) {
        BDL__TRY(bdl__graph_finish(model->graph));
    }
    BDL__TRY(bdl__alloc(allocator, sizeof *model->saved, &memory));
    bdl__saved *const saved = memory;
    saved->allocator = allocator;
    bdl__arena_init(&saved->arena, allocator);
    const bdl_status status =
        bdl__model_create(allocator, model->graph, BDL_F32, seed, &saved->model);
    if (status != BDL_OK) {
        bdl__saved_free(saved);
        return status;
    }
    model->saved = saved;
    bdl__graph_release(model->graph);
    model->graph = NULL;
    return BDL_OK;
}

bdl_status bdl_model_to_json(const bdl_model *model, char **json)
{
    BDL__TRY(bdl__need_arguments(model && json, __func__));
    BDL__TRY(bdl__model_need_finished(model));
    bdl__text text;
    bdl__json_writer writer;
    bdl__text_init(&text, &model->context->allocator);
    bdl__json_writer_init(&writer, &text, 2);
    bdl__graph_to_json(model->saved->model->graph, &writer);
    return bdl__text_give(&text, json);
}

bdl_status bdl_model_save(const bdl_model *model, const char *directory)
{
    BDL__TRY(bdl__need_arguments(model && directory, __func__));
    BDL__TRY(bdl__model_need_finished(model));
    return bdl__saved_write(model->saved, directory);
}

int64_t bdl_model_n_params(const bdl_model *model)
{
    return model->saved ? model->saved->model->graph->n_params : 0;
}

bdl_status bdl_model_param(const bdl_model *model, int64_t i, const char **name, bdl_dtype *dtype,
                           int64_t shape[BDL_MAX_RANK], int32_t *rank, void **data)
{
    BDL__TRY(bdl__need_arguments(model && name && dtype && shape && rank && data, __func__));
    BDL__TRY(bdl__model_need_finished(model));
    const bdl__graph *const graph = model->saved->model->graph;
    BDL__CHECK(i >= 0 && i < graph->n_params, BDL_ERR_INVALID_ARGUMENT,
               "the model has %lld weight tensor%s, there is no number %lld",
               (long long)graph->n_params, bdl__plural(graph->n_params), (long long)i);
    const bdl__shape *const found = &graph->params[i].decl->shape;
    *name = graph->params[i].name;
    *dtype = model->saved->model->dtype;
    *rank = found->rank;
    memcpy(shape, found->dim, sizeof found->dim);
    *data = bdl__model_param(model->saved->model, i);
    return BDL_OK;
}

int64_t bdl_model_n_outputs(const bdl_model *model)
{
    return model->saved ? model->saved->model->graph->n_outputs : 0;
}

bdl_status bdl_model_output_shape(const bdl_model *model, int64_t i, int64_t shape[BDL_MAX_RANK],
                                  int32_t *rank)
{
    BDL__TRY(bdl__need_arguments(model && shape && rank, __func__));
    BDL__TRY(bdl__model_need_finished(model));
    const bdl__graph *const graph = model->saved->model->graph;
    BDL__CHECK(i >= 0 && i < graph->n_outputs, BDL_ERR_INVALID_ARGUMENT,
               "the model has %lld output%s, there is no number %lld",
               (long long)graph->n_outputs, bdl__plural(graph->n_outputs), (long long)i);
    const bdl__shape *const found = bdl__graph_shape(graph, graph->outputs[i]);
    *rank = found->rank;
    memcpy(shape, found->dim, sizeof found->dim);
    return BDL_OK;
}

bdl_status bdl_model_sizes(const bdl_model *model, int64_t *src_count, int64_t *dst_count)
{
    BDL__TRY(bdl__need_arguments(model && src_count && dst_count, __func__));
    BDL__TRY(bdl__model_need_finished(model));
    const bdl__graph *const graph = model->saved->model->graph;
    *src_count = bdl__shape_count(&graph->inputs[0].shape);
    *dst_count = bdl__shape_count(bdl__graph_shape(graph, graph->outputs[0]));
    return BDL_OK;
}

/* ---- forward ------------------------------------------------------------------------------------ */

#define FORWARD_SLICES 16 /* slices computed at once: 256 samples */

/* A sample alone has the target lane1, and a runner of its own. */
static bdl_status open_runner(bdl_model *model, bool few_samples, bdl__runner **runner)
{
    bdl_context *const context = model->context;
    const bdl__runner_options options = {
        .target = few_samples ? BDL__TARGET_LANE1 : context->target,
        .batch = few_samples ? 1 : FORWARD_SLICES * BDL__SLICE,
        .few_samples = few_samples,
        .cancel = &context->cancel};
    if (!model->workspace) {
        BDL__TRY(bdl__workspace_create(&context->allocator, &model->workspace));
    }
    return *runner ? BDL_OK
                   : bdl__runner_create(&context->allocator, model->saved->model, context->pool,
                                        model->workspace, &options, runner);
}

static bdl_status forward_one(bdl_model *model, const float *src, int64_t n_src, int64_t n_dst,
                              float *dst)
{
    const int32_t valid = 1;
    const bdl__batch batch = {.n_samples = 1,
                              .n_slices = 1,
                              .valid = &valid,
                              .input = src,
                              .input_stride = n_src * (int64_t)sizeof(float)};
    bdl__exec *exec = NULL;
    BDL__TRY(bdl__runner_run(model->few_runner, &batch, 0, 0, NULL, NULL, &exec));
    memcpy(dst, bdl__exec_output(exec, 0).data, (size_t)n_dst * sizeof(float));
    return BDL_OK;
}

static bdl_status forward_few(bdl_model *model, const float *src, int64_t n, int64_t n_src,
                              int64_t n_dst, float *dst)
{
    BDL__TRY(open_runner(model, true, &model->few_runner));
    for (int64_t i = 0; i < n; i++) {
        BDL__TRY(forward_one(model, src + i * n_src, n_src, n_dst, dst + i * n_dst));
    }
    return BDL_OK;
}

static bdl_status forward_some(bdl_model *model, const float *src, int64_t n, int64_t n_src,
                               int64_t n_dst, float *lanes_memory, float *dst)
{
    const int lanes = bdl__target_lanes(model->context->target);
    int32_t valid[FORWARD_SLICES];
    const int64_t n_slices = bdl__round_up(n, BDL__SLICE) / BDL__SLICE;
    for (int64_t i = 0; i < n_slices; i++) {
        valid[i] = (int32_t)BDL__MIN(BDL__SLICE, n - i * BDL__SLICE);
    }
    bdl__to_lanes(src, n, n_src, lanes, lanes_memory);
    const bdl__batch batch = {.n_samples = n,
                              .n_slices = n_slices,
                              .valid = valid,
                              .input = lanes_memory,
                              .input_stride = n_src * lanes * (int64_t)sizeof(float)};
    bdl__exec *exec = NULL;
    BDL__TRY(bdl__runner_run(model->runner, &batch, 0, 0, NULL, NULL, &exec));
    bdl__from_lanes(bdl__exec_output(exec, 0), n, n_dst, lanes, dst);
    return BDL_OK;
}

bdl_status bdl_model_forward(bdl_model *model, const float *src, int64_t n, float *dst)
{
    BDL__TRY(bdl__need_arguments(model && src && dst, __func__));
    int64_t n_src, n_dst;
    BDL__TRY(bdl_model_sizes(model, &n_src, &n_dst));
    BDL__CHECK(model->saved->model->dtype == BDL_F32, BDL_ERR_UNSUPPORTED,
               "forward takes float32 models");
    BDL__CHECK(n >= 0, BDL_ERR_INVALID_ARGUMENT, "n must be >= 0, got %lld", (long long)n);
    if (bdl__plan_wants_few(model->saved->model->graph, BDL__FP32, n)) {
        return forward_few(model, src, n, n_src, n_dst, dst);
    }
    BDL__TRY(open_runner(model, false, &model->runner));
    const int64_t most = FORWARD_SLICES * BDL__SLICE;
    const size_t size =
        (size_t)(bdl__round_up(BDL__MIN(n, most), BDL__SLICE) * n_src) * sizeof(float);
    void *lanes_memory = NULL;
    BDL__TRY(bdl__alloc(&model->context->allocator, size, &lanes_memory));
    bdl_status status = BDL_OK;
    for (int64_t at = 0; at < n && status == BDL_OK; at += most) {
        status = forward_some(model, src + at * n_src, BDL__MIN(most, n - at), n_src, n_dst,
                              lanes_memory, dst + at * n_dst);
    }
    bdl__free(&model->context->allocator, lanes_memory, size);
    return status;
}
