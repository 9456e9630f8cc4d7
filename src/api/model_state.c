/* SPDX-License-Identifier: Apache-2.0 */
/* Public access to what a finished model holds: weights, running buffers, what is trained, and copies. */
#include <string.h>

#include "api/api.h"

static const char *dtype_name(bdl_dtype dtype)
{
    static const char *const names[] = {"float32", "float64", "int32", "int64", "uint8", "bfloat16"};
    return dtype >= BDL_F32 && dtype <= BDL_BF16 ? names[dtype] : "an unknown type";
}

/* Copies values over a tensor of the model if they have its type and shape. */
static bdl_status set_values(bdl_model *model, const char *name, const bdl__shape *want, void *to,
                             bdl_dtype dtype, const int64_t *dims, int32_t rank, const void *data)
{
    const bdl_dtype own = model->saved->model->dtype;
    char wanted[BDL__SHAPE_TEXT_SIZE], got[BDL__SHAPE_TEXT_SIZE];
    bdl__shape shape = {.rank = rank};
    BDL__CHECK(rank >= 0 && rank <= BDL_MAX_RANK, BDL_ERR_SHAPE, "%s: a tensor has 0 to %d axes, got %d",
               name, BDL_MAX_RANK, (int)rank);
    memcpy(shape.dim, dims, (size_t)rank * sizeof *dims);
    BDL__CHECK(bdl__shape_equal(&shape, want), BDL_ERR_SHAPE, "%s: expected shape %s, got %s", name,
               bdl__shape_text(want, wanted, sizeof wanted), bdl__shape_text(&shape, got, sizeof got));
    BDL__CHECK(dtype == own, BDL_ERR_INVALID_ARGUMENT, "%s: expected %s values, got %s", name,
               dtype_name(own), dtype_name(dtype));
    memcpy(to, data, (size_t)bdl__shape_count(want) * bdl__scalar_size(own));
    model->saved->model->weights_version++;
    return BDL_OK;
}

static bdl_status find_param(const bdl_model *model, int64_t i)
{
    BDL__TRY(bdl__model_need_finished(model));
    const int64_t n = model->saved->model->graph->n_params;
    BDL__CHECK(i >= 0 && i < n, BDL_ERR_INVALID_ARGUMENT,
               "the model has %lld weight tensor%s, there is no number %lld",
               (long long)n, bdl__plural(n), (long long)i);
    return BDL_OK;
}

static bdl_status find_buffer(const bdl_model *model, int64_t i)
{
    BDL__TRY(bdl__model_need_finished(model));
    const int64_t n = model->saved->model->graph->n_buffers;
    BDL__CHECK(i >= 0 && i < n, BDL_ERR_INVALID_ARGUMENT,
               "the model has %lld running buffers, there is no number %lld", (long long)n,
               (long long)i);
    return BDL_OK;
}

bdl_status bdl_model_set_param(bdl_model *model, int64_t i, bdl_dtype dtype, const int64_t *shape,
                               int32_t rank, const void *data)
{
    BDL__TRY(bdl__need_arguments(model && data && (shape || rank <= 0), __func__));
    BDL__TRY(find_param(model, i));
    const bdl__param *const param = &model->saved->model->graph->params[i];
    return set_values(model, param->name, &param->decl->shape,
                      bdl__model_param(model->saved->model, i), dtype, shape, rank, data);
}

int64_t bdl_model_n_buffers(const bdl_model *model)
{
    return model->saved ? model->saved->model->graph->n_buffers : 0;
}

bdl_status bdl_model_buffer(const bdl_model *model, int64_t i, const char **name, bdl_dtype *dtype,
                            int64_t shape[BDL_MAX_RANK], int32_t *rank, void **data)
{
    BDL__TRY(bdl__need_arguments(model && name && dtype && shape && rank && data, __func__));
    BDL__TRY(find_buffer(model, i));
    const bdl__graph_buffer *const buffer = &model->saved->model->graph->buffers[i];
    *name = buffer->name;
    *dtype = model->saved->model->dtype;
    *rank = buffer->decl->shape.rank;
    memcpy(shape, buffer->decl->shape.dim, sizeof buffer->decl->shape.dim);
    *data = bdl__model_buffer(model->saved->model, i);
    return BDL_OK;
}

bdl_status bdl_model_set_buffer(bdl_model *model, int64_t i, bdl_dtype dtype, const int64_t *shape,
                                int32_t rank, const void *data)
{
    BDL__TRY(bdl__need_arguments(model && data && (shape || rank <= 0), __func__));
    BDL__TRY(find_buffer(model, i));
    const bdl__graph_buffer *const buffer = &model->saved->model->graph->buffers[i];
    return set_values(model, buffer->name, &buffer->decl->shape,
                      bdl__model_buffer(model->saved->model, i), dtype, shape, rank, data);
}

bdl_status bdl_model_touch(bdl_model *model)
{
    BDL__TRY(bdl__need_arguments(model != NULL, __func__));
    BDL__TRY(bdl__model_need_finished(model));
    model->saved->model->weights_version++;
    return BDL_OK;
}

bdl_status bdl_model_set_trainable(bdl_model *model, const char *name, bool is_trainable)
{
    BDL__TRY(bdl__need_arguments(model != NULL, __func__));
    BDL__TRY(bdl__model_need_finished(model));
    bdl__graph *const graph = model->saved->model->graph;
    BDL__CHECK(!name || bdl__graph_find(graph, name), BDL_ERR_NOT_FOUND,
               "the model has no layer '%.200s'", name);
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        if (!name || strcmp(graph->nodes[i]->name, name) == 0) {
            graph->nodes[i]->frozen = !is_trainable;
        }
    }
    for (int64_t i = 0; i < graph->n_params; i++) {
        graph->params[i].frozen = graph->nodes[graph->params[i].node]->frozen;
    }
    return BDL_OK;
}

bdl_status bdl_model_clone(const bdl_model *model, bdl_model **clone)
{
    BDL__TRY(bdl__need_arguments(model && clone, __func__));
    BDL__TRY(bdl__model_need_finished(model));
    bdl_context *const context = model->context;
    void *memory = NULL;
    BDL__TRY(bdl__alloc(&context->allocator, sizeof **clone, &memory));
    bdl_model *const made = memory;
    made->context = context;
    const bdl_status status = bdl__saved_clone(model->saved, &made->saved);
    if (status != BDL_OK) {
        bdl_model_free(made);
        return status;
    }
    *clone = made;
    return BDL_OK;
}
