/* SPDX-License-Identifier: Apache-2.0 */
/* A model's flat vectors as named tensors: listing, checking and copying. */
#include "train/vectors.h"

#include <string.h>

static bdl__st_dtype dtype_of(const bdl__model *model)
{
    return model->dtype == BDL_F64 ? BDL__ST_F64 : BDL__ST_F32;
}

static int64_t tensors_in(const bdl__model *model, const bdl__vector *vector)
{
    return vector->is_buffers ? model->graph->n_buffers : model->graph->n_params;
}

/* Tensor i of the vector. */
static bdl_status describe(const bdl__model *model, const bdl__vector *vector, int64_t i,
                           bdl__arena *arena, bdl__st_tensor *tensor)
{
    const bdl__graph *const graph = model->graph;
    const bdl__param *const param = vector->is_buffers ? NULL : &graph->params[i];
    const bdl__graph_buffer *const buffer = vector->is_buffers ? &graph->buffers[i] : NULL;
    const int64_t offset = param ? param->offset : buffer->offset;
    tensor->dtype = dtype_of(model);
    tensor->shape = param ? param->decl->shape : buffer->decl->shape;
    tensor->count = param ? param->count : buffer->count;
    tensor->size = (size_t)tensor->count * bdl__scalar_size(model->dtype);
    tensor->data = (const char *)vector->data + (size_t)offset * bdl__scalar_size(model->dtype);
    return bdl__arena_printf(arena, &tensor->name, "%s%s", vector->prefix,
                             param ? param->name : buffer->name);
}

bdl_status bdl__vectors_list(const bdl__model *model, const bdl__vector *vectors, int64_t n_vectors,
                             bdl__arena *arena, bdl__st_tensor **tensors, int64_t *n_tensors)
{
    int64_t n = 0;
    for (int64_t v = 0; v < n_vectors; v++) {
        n += tensors_in(model, &vectors[v]);
    }
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(arena, (size_t)n * sizeof **tensors, &memory));
    *tensors = memory;
    *n_tensors = n;
    bdl__st_tensor *at = memory;
    for (int64_t v = 0; v < n_vectors; v++) {
        for (int64_t i = 0; i < tensors_in(model, &vectors[v]); i++) {
            BDL__TRY(describe(model, &vectors[v], i, arena, at++));
        }
    }
    return BDL_OK;
}

/* ---- a file's tensors ----------------------------------------------------------------------- */

static bdl_status fail_missing(const bdl__safetensors *file, const bdl__st_tensor *want,
                               const char *where, bdl__arena *arena)
{
    const int64_t n = bdl__safetensors_count(file);
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(arena, (size_t)n * sizeof(const char *), &memory));
    const char **const names = memory;
    for (int64_t i = 0; i < n; i++) {
        names[i] = bdl__safetensors_at(file, i)->name;
    }
    char shape[BDL__SHAPE_TEXT_SIZE];
    const char *const nearest = bdl__nearest_name(want->name, names, n);
    BDL__FAIL(BDL_ERR_SHAPE, "%s: expected a tensor '%s' of %s, found none%s%s%s", where,
              want->name, bdl__shape_text(&want->shape, shape, sizeof shape),
              nearest ? "; the nearest name is '" : "", nearest ? nearest : "", nearest ? "'" : "");
}

static bdl_status check_tensor(const bdl__safetensors *file, const bdl__st_tensor *want,
                               const char *where, bdl__arena *arena)
{
    char wanted[BDL__SHAPE_TEXT_SIZE], found[BDL__SHAPE_TEXT_SIZE];
    const bdl__st_tensor *const got = bdl__safetensors_find(file, want->name);
    if (!got) {
        return fail_missing(file, want, where, arena);
    }
    BDL__CHECK(bdl__shape_equal(&got->shape, &want->shape), BDL_ERR_SHAPE,
               "%s: tensor '%s': expected shape %s, found %s", where, want->name,
               bdl__shape_text(&want->shape, wanted, sizeof wanted),
               bdl__shape_text(&got->shape, found, sizeof found));
    BDL__CHECK(got->dtype == want->dtype, BDL_ERR_FORMAT, "%s: tensor '%s': expected %s, found %s",
               where, want->name, bdl__st_dtype_name(want->dtype), bdl__st_dtype_name(got->dtype));
    return BDL_OK;
}

/* Names a tensor of the file that is not among the wanted ones. */
static bdl_status fail_extra(const bdl__safetensors *file, const bdl__st_tensor *want,
                             int64_t n_want, const char *where)
{
    for (int64_t i = 0; i < bdl__safetensors_count(file); i++) {
        const char *const name = bdl__safetensors_at(file, i)->name;
        bool is_known = false;
        for (int64_t w = 0; w < n_want && !is_known; w++) {
            is_known = strcmp(want[w].name, name) == 0;
        }
        BDL__CHECK(is_known, BDL_ERR_SHAPE,
                   "%s: expected %lld tensors, found %lld: '%.200s' belongs to no layer", where,
                   (long long)n_want, (long long)bdl__safetensors_count(file), name);
    }
    BDL__FAIL(BDL_ERR_INTERNAL, "%s: the model has two tensors of one name", where);
}

bdl_status bdl__vectors_find(const bdl__safetensors *file, const bdl__st_tensor *tensors,
                             int64_t n_tensors, const char *where, bdl__arena *arena)
{
    for (int64_t i = 0; i < n_tensors; i++) {
        BDL__TRY(check_tensor(file, &tensors[i], where, arena));
    }
    return BDL_OK;
}

bdl_status bdl__vectors_check(const bdl__safetensors *file, const bdl__st_tensor *tensors,
                              int64_t n_tensors, const char *where, bdl__arena *arena)
{
    BDL__TRY(bdl__vectors_find(file, tensors, n_tensors, where, arena));
    return bdl__safetensors_count(file) == n_tensors ? BDL_OK
                                                     : fail_extra(file, tensors, n_tensors, where);
}

void bdl__vectors_copy(const bdl__safetensors *file, const bdl__st_tensor *tensors,
                       int64_t n_tensors)
{
    for (int64_t i = 0; i < n_tensors; i++) {
        const bdl__st_tensor *const from = bdl__safetensors_find(file, tensors[i].name);
        memcpy((void *)(uintptr_t)tensors[i].data, from->data, tensors[i].size);
    }
}
