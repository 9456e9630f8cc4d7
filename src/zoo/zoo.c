/* SPDX-License-Identifier: Apache-2.0 */
/* The list of ready-made models, and what their builders share. */
#include "zoo/zoo.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BDL_ENTRY(name) extern const bdl__zoo_model *const bdl__zoo_##name;
#include "zoo_gen.inc"
#undef BDL_ENTRY

static const bdl__zoo_model *const *const entries[] = {
#define BDL_ENTRY(name) &bdl__zoo_##name,
#include "zoo_gen.inc"
#undef BDL_ENTRY
};

/* The i-th by name: the list is short, and has no order of its own. */
const bdl__zoo_model *bdl__zoo_at(int64_t i)
{
    for (int64_t e = 0; e < BDL__COUNT_OF(entries); e++) {
        int64_t n_before = 0;
        for (int64_t other = 0; other < BDL__COUNT_OF(entries); other++) {
            n_before += strcmp((*entries[other])->name, (*entries[e])->name) < 0;
        }
        if (n_before == i) {
            return *entries[e];
        }
    }
    return NULL;
}

static bdl_status find(const char *name, const bdl__zoo_model **model)
{
    const char *names[BDL__COUNT_OF(entries)];
    for (int64_t i = 0; i < BDL__COUNT_OF(entries); i++) {
        names[i] = (*entries[i])->name;
        if (strcmp(names[i], name) == 0) {
            *model = *entries[i];
            return BDL_OK;
        }
    }
    const char *const nearest = bdl__nearest_name(name, names, BDL__COUNT_OF(entries));
    BDL__FAIL(BDL_ERR_NOT_FOUND, "there is no model '%s'%s%s%s", name,
              nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static bdl_status build(bdl__arena *arena, const char *text, bdl__graph **graph)
{
    const char *name, *args;
    const bdl__zoo_model *model = NULL;
    void *params = NULL;
    BDL__TRY(bdl__split_call(arena, text, &name, &args));
    BDL__TRY(find(name, &model));
    BDL__TRY(bdl__arena_alloc(arena, model->schema.params_size + 1, &params));
    BDL__TRY(bdl__params_from_text(&model->schema, arena, args, params));
    BDL__TRY(bdl__graph_create(arena->allocator, model->name, graph));
    bdl_status status = model->build(params, *graph);
    if (status == BDL_OK) {
        status = bdl__graph_finish(*graph);
    }
    if (status != BDL_OK) {
        bdl__graph_release(*graph);
        return bdl__fail_in(status, "%s", model->name);
    }
    return BDL_OK;
}

bdl_status bdl__zoo_build(const bdl_allocator *allocator, const char *text, bdl__graph **graph)
{
    bdl__arena arena;
    bdl__graph *made = NULL;
    bdl__arena_init(&arena, allocator);
    const bdl_status status = build(&arena, text, &made);
    bdl__arena_free(&arena);
    BDL__TRY(status);
    *graph = made;
    return BDL_OK;
}

bdl_status bdl__zoo_input(bdl__graph *graph, int64_t a, int64_t b, int64_t c)
{
    const int64_t dims[3] = {a, b, c};
    bdl__shape shape = {0};
    for (int i = 0; i < 3 && dims[i] > 0; i++) {
        shape.dim[shape.rank++] = dims[i];
    }
    return bdl__graph_add_input(graph, "input", &shape, false);
}

#define PARAMS_SIZE 512

static bdl_status add(bdl__graph *graph, const char *type, const char *name, const char *input,
                      const char *format, va_list args)
{
    char params[PARAMS_SIZE] = "";
    if (format) {
        const int n = vsnprintf(params, sizeof params, format, args);
        BDL__CHECK(n >= 0 && n < PARAMS_SIZE, BDL_ERR_INTERNAL, "%s: parameters too long", type);
    }
    return bdl__graph_add_text(graph, type, name, params, input ? &input : NULL, input ? 1 : 0,
                               NULL);
}

bdl_status bdl__zoo_add(bdl__graph *graph, const char *type, const char *name, const char *params,
                        ...)
{
    va_list args;
    va_start(args, params);
    const bdl_status status = add(graph, type, name, NULL, params, args);
    va_end(args);
    return status;
}

bdl_status bdl__zoo_add_after(bdl__graph *graph, const char *type, const char *name,
                              const char *input, const char *params, ...)
{
    va_list args;
    va_start(args, params);
    const bdl_status status = add(graph, type, name, input, params, args);
    va_end(args);
    return status;
}
