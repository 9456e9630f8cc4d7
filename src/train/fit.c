/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ready-made model for given data: `classes`, `outputs` and `shape` that the user did not write are those of
 * the data, so that "mlp" fits a table of four columns as well as images.
 */
#include <string.h>

#include "train/trainer.h"
#include "zoo/zoo.h"

/* The ready-made model that the text names, with the text of its parameters; NULL if it names none. */
static bdl_status find_model(bdl__arena *arena, const char *text, const bdl__zoo_model **model,
                             const char **args)
{
    const char *name;
    *model = NULL;
    if (bdl__file_exists(text)) {
        return BDL_OK;
    }
    BDL__TRY(bdl__split_call(arena, text, &name, args));
    for (int64_t i = 0; bdl__zoo_at(i); i++) {
        if (strcmp(bdl__zoo_at(i)->name, name) == 0) {
            *model = bdl__zoo_at(i);
        }
    }
    return BDL_OK;
}

/* Whether a piece such as "classes = 3" gives the field, or, without a name, stands in its place. */
static bool gives(const char *piece, int64_t i_piece, const bdl__field *field, int64_t i_field)
{
    const size_t n = strcspn(piece, "= \t");
    const char *const after = piece + n + strspn(piece + n, " \t");
    return *after == '=' ? strlen(field->name) == n && strncmp(piece, field->name, n) == 0
                         : i_piece == i_field;
}

/* Whether the model takes the parameter and the user has not written it. */
static bdl_status is_open(bdl__arena *arena, const bdl__zoo_model *model, const char *args,
                          const char *name, bool *open)
{
    const char *const *pieces;
    int64_t n = 0;
    *open = false;
    BDL__TRY(bdl__split_list(arena, args, ',', &pieces, &n));
    for (int64_t f = 0; f < model->schema.n_fields; f++) {
        const bdl__field *const field = &model->schema.fields[f];
        if (strcmp(field->name, name) != 0) {
            continue;
        }
        *open = true;
        for (int64_t i = 0; i < n; i++) {
            *open = *open && !gives(pieces[i], i, field, f);
        }
    }
    return BDL_OK;
}

static void append(bdl__text *out, const char *name)
{
    const char *const text = bdl__text_get(out);
    const bool is_first = text[strlen(text) - 1] == '(';
    bdl__text_append(out, "%s%s=", is_first ? "" : ", ", name);
}

static bdl_status append_open(bdl__arena *arena, const bdl__zoo_model *model, const char *args,
                              const bdl__dataset *data, const bdl__shape *shape, bdl__text *out)
{
    bool has_classes, has_outputs, has_shape;
    BDL__TRY(is_open(arena, model, args, "classes", &has_classes));
    BDL__TRY(is_open(arena, model, args, "outputs", &has_outputs));
    BDL__TRY(is_open(arena, model, args, "shape", &has_shape));
    if (has_classes && data->label_kind == BDL__LABEL_CLASS && data->n_classes >= 2) {
        append(out, "classes");
        bdl__text_append(out, "%lld", (long long)data->n_classes);
    }
    if (has_outputs && data->label_kind == BDL__LABEL_FLOATS) {
        append(out, "outputs");
        bdl__text_append(out, "%lld", (long long)bdl__shape_count(&data->target_shape));
    }
    if (has_shape && shape->rank >= 1 && shape->rank <= 3) {
        append(out, "shape");
        for (int i = 0; i < shape->rank; i++) {
            bdl__text_append(out, "%s%lld", i ? "," : "[", (long long)shape->dim[i]);
        }
        bdl__text_append(out, "]");
    }
    return BDL_OK;
}

bdl_status bdl__fit_check(bdl__arena *arena, const char *text, bool *is_ready_made)
{
    const bdl__zoo_model *model;
    const char *args = "";
    void *params = NULL;
    BDL__TRY(find_model(arena, text, &model, &args));
    *is_ready_made = model != NULL;
    if (!model) {
        return BDL_OK;
    }
    BDL__TRY(bdl__arena_alloc(arena, model->schema.params_size + 1, &params));
    return bdl__params_from_text(&model->schema, arena, args, params);
}

bdl_status bdl__fit_text(bdl__arena *arena, const char *text, const bdl__dataset *data,
                         const bdl__shape *shape, const char **fitted)
{
    const bdl__zoo_model *model;
    const char *args = "";
    bdl__text out;
    BDL__TRY(find_model(arena, text, &model, &args));
    BDL__CHECK(model, BDL_ERR_INTERNAL, "'%s' is not a ready-made model", text);
    bdl__text_init(&out, arena->allocator);
    bdl__text_append(&out, "%s(%s", model->name, args);
    bdl_status status = append_open(arena, model, args, data, shape, &out);
    bdl__text_append(&out, ")");
    if (status == BDL_OK) {
        status = bdl__text_status(&out);
    }
    if (status == BDL_OK) {
        status = bdl__arena_strdup(arena, bdl__text_get(&out), fitted);
    }
    bdl__text_free(&out);
    return status;
}
