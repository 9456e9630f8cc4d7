/* SPDX-License-Identifier: Apache-2.0 */
/* A model: the flat vectors of weights and running buffers that belong to a graph. */
#include "graph/graph.h"
#include "tensor/init.h"

static void fill_buffer(const bdl__model *model, const bdl__graph_buffer *buffer)
{
    for (int64_t i = 0; i < buffer->count; i++) {
        if (model->dtype == BDL_F64) {
            ((double *)model->buffers)[buffer->offset + i] = buffer->decl->value;
        } else {
            ((float *)model->buffers)[buffer->offset + i] = (float)buffer->decl->value;
        }
    }
}

static bdl_status fill(bdl__model *model, uint64_t seed)
{
    const bdl__graph *const graph = model->graph;
    for (int64_t i = 0; i < graph->n_params; i++) {
        const bdl__weight_decl *const decl = graph->params[i].decl;
        const bdl_status status =
            bdl__init_fill(decl->init, &decl->shape, decl->fan_in, decl->fan_out, seed, (uint32_t)i,
                           model->dtype, bdl__model_param(model, i));
        if (status != BDL_OK) {
            return bdl__fail_in(status, "%s", graph->params[i].name);
        }
    }
    for (int64_t i = 0; i < graph->n_buffers; i++) {
        fill_buffer(model, &graph->buffers[i]);
    }
    return BDL_OK;
}

bdl_status bdl__model_create(const bdl_allocator *allocator, const bdl__graph *graph,
                             bdl_dtype dtype, uint64_t seed, bdl__model **model)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **model, &memory));
    bdl__model *const made = memory;
    const size_t size = bdl__scalar_size(dtype);
    made->allocator = allocator;
    made->graph = bdl__graph_retain(graph);
    made->dtype = dtype;
    made->weights_version = 1;
    bdl_status status;
    BDL__TRY_DONE(status,
                  bdl__alloc(allocator, (size_t)graph->weights_count * size, &made->weights));
    BDL__TRY_DONE(status,
                  bdl__alloc(allocator, (size_t)graph->buffers_count * size, &made->buffers));
    BDL__TRY_DONE(status, fill(made, seed));
    *model = made;
    return BDL_OK;
done:
    bdl__model_free(made);
    return status;
}

void bdl__model_free(bdl__model *model)
{
    if (!model) {
        return;
    }
    const size_t size = bdl__scalar_size(model->dtype);
    bdl__free(model->allocator, model->weights, (size_t)model->graph->weights_count * size);
    bdl__free(model->allocator, model->buffers, (size_t)model->graph->buffers_count * size);
    bdl__graph_release(model->graph);
    bdl__free(model->allocator, model, sizeof *model);
}

void *bdl__model_param(const bdl__model *model, int64_t i_param)
{
    return (char *)model->weights +
           (size_t)model->graph->params[i_param].offset * bdl__scalar_size(model->dtype);
}

void *bdl__model_buffer(const bdl__model *model, int64_t i_buffer)
{
    return (char *)model->buffers +
           (size_t)model->graph->buffers[i_buffer].offset * bdl__scalar_size(model->dtype);
}
