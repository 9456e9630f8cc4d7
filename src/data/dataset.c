/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data sets by name: takes "name[:source][(params)]" apart, opens the reader, and gives rows and
 * their keys with errors that say which data set and which row.
 */
#include "data/data_private.h"

#include <stdio.h>
#include <string.h>

const char *const bdl__part_choices[] = {"auto", "train", "test", "all", NULL};
const char *const bdl__digit_names[10] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

bdl__data_part bdl__part_of(bdl__choice choice, bdl__data_part asked)
{
    switch (choice.i) {
    case 1:
        return BDL__PART_TRAIN;
    case 2:
        return BDL__PART_TEST;
    case 3:
        return BDL__PART_ALL;
    default:
        return asked;
    }
}

bdl_status bdl__data_parallel(bdl__pool *pool, int64_t n, int64_t grain, bdl__range_fn fn,
                              void *arg)
{
    if (pool != NULL) {
        return bdl__parallel_for(pool, n, grain, fn, arg);
    }
    fn(arg, 0, n, 0);
    return BDL_OK;
}

bdl_status bdl__buffer_need(bdl__buffer *buffer, size_t size)
{
    if (size <= buffer->size && buffer->data != NULL) {
        return BDL_OK;
    }
    void *data = NULL;
    BDL__TRY(bdl__alloc(buffer->allocator, size, &data));
    bdl__buffer_free(buffer);
    buffer->data = data;
    buffer->size = size;
    return BDL_OK;
}

void bdl__buffer_free(bdl__buffer *buffer)
{
    if (buffer->data != NULL) {
        bdl__free(buffer->allocator, buffer->data, buffer->size);
    }
    buffer->data = NULL;
    buffer->size = 0;
}

void bdl__sample_init(bdl__sample *sample, const bdl_allocator *allocator)
{
    *sample = (bdl__sample){.buffer.allocator = allocator, .scratch.allocator = allocator};
}

void bdl__sample_free(bdl__sample *sample)
{
    bdl__buffer_free(&sample->buffer);
    bdl__buffer_free(&sample->scratch);
}

/* A piece of `text` in the arena. */
static bdl_status piece(bdl__arena *arena, const char *text, const char *end, const char **copy)
{
    return bdl__arena_printf(arena, copy, "%.*s", (int)(end - text), text);
}

/* Where the parameters at the end of `text` open: the "(" that matches a last ")"; its end if
 * none. */
static const char *params_begin(const char *text)
{
    const char *end = text + strlen(text);
    if (end == text || end[-1] != ')') {
        return end;
    }
    int depth = 0;
    char quote = 0;
    for (const char *at = end; at > text; at--) {
        const char c = at[-1];
        if (quote != 0) {
            quote = c == quote ? (char)0 : quote;
        } else if (c == '\'' || c == '"') {
            quote = c;
        } else if (c == ')') {
            depth++;
        } else if (c == '(' && --depth == 0) {
            return at - 1;
        }
    }
    return end;
}

/* Splits "name[:source][(params)]"; source is NULL where there is no colon. */
static bdl_status split_text(bdl__arena *arena, const char *text, const char **name,
                             const char **source, const char **params)
{
    const char *open = params_begin(text);
    const char *colon = memchr(text, ':', (size_t)(open - text));
    BDL__TRY(piece(arena, text, colon != NULL ? colon : open, name));
    *source = NULL;
    if (colon != NULL) {
        BDL__TRY(piece(arena, colon + 1, open, source));
    }
    *params = "";
    if (*open != 0) {
        BDL__TRY(piece(arena, open + 1, open + strlen(open) - 1, params));
    }
    return BDL_OK;
}

bdl_status bdl__dataset_check(const bdl__dataset *dataset)
{
    BDL__CHECK(dataset->n >= 1, BDL_ERR_INVALID_ARGUMENT, "data '%s': there are no samples",
               dataset->text);
    BDL__TRY(bdl__shape_check(&dataset->shape, "a sample"));
    if (dataset->label_kind == BDL__LABEL_FLOATS) {
        BDL__TRY(bdl__shape_check(&dataset->target_shape, "a target"));
    }
    return BDL_OK;
}

static bdl_status open_reader(bdl__dataset *dataset, bdl__pool *pool)
{
    const char *name, *params_text;
    bdl__open_args args = {.pool = pool};
    BDL__TRY(split_text(&dataset->arena, dataset->text, &name, &args.source, &params_text));
    const bdl__reader *reader;
    BDL__TRY(bdl__reader_find(name, &reader));
    BDL__CHECK(reader->source != NULL || args.source == NULL, BDL_ERR_INVALID_ARGUMENT,
               "%s takes no source, got '%s'", name, args.source);
    BDL__CHECK(!reader->needs_source || (args.source != NULL && args.source[0] != 0),
               BDL_ERR_INVALID_ARGUMENT, "%s needs a source: %s:%s", name, name, reader->source);
    void *params = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, reader->schema.params_size, &params));
    BDL__TRY(bdl__params_from_text(&reader->schema, &dataset->arena, params_text, params));
    args.params = params;
    dataset->reader = reader;
    BDL__TRY(reader->open(dataset, &args));
    return bdl__dataset_check(dataset);
}

bdl_status bdl__dataset_create(const bdl_allocator *allocator, const bdl__log *log,
                               const char *text, bdl__data_part part, bdl__dataset **dataset)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__dataset), &memory));
    bdl__dataset *made = memory;
    *made = (bdl__dataset){.allocator = allocator,
                           .log = log,
                           .part = part,
                           .default_transform = "",
                           .is_fixed_shape = true};
    bdl__arena_init(&made->arena, allocator);
    const bdl_status status = bdl__arena_strdup(&made->arena, text, &made->text);
    if (status != BDL_OK) {
        bdl__dataset_free(made);
        return status;
    }
    *dataset = made;
    return BDL_OK;
}

bdl_status bdl__dataset_open(const bdl_allocator *allocator, const bdl__log *log, bdl__pool *pool,
                             const char *text, bdl__data_part part, bdl__dataset **dataset)
{
    bdl__dataset *made;
    BDL__TRY(bdl__dataset_create(allocator, log, text, part, &made));
    const bdl_status status = open_reader(made, pool);
    if (status != BDL_OK) {
        bdl__dataset_free(made);
        return bdl__fail_in(status, "data '%s'", text);
    }
    *dataset = made;
    return BDL_OK;
}

bdl_status bdl__dataset_view(const bdl__dataset *dataset, bdl__dataset **view)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(dataset->allocator, sizeof(bdl__dataset), &memory));
    bdl__dataset *made = memory;
    *made = *dataset;
    made->is_view = true;
    bdl__arena_init(&made->arena, dataset->allocator);
    *view = made;
    return BDL_OK;
}

void bdl__dataset_free(bdl__dataset *dataset)
{
    if (dataset == NULL) {
        return;
    }
    if (dataset->reader != NULL && dataset->reader->close != NULL && !dataset->is_view) {
        dataset->reader->close(dataset);
    }
    bdl__arena_free(&dataset->arena);
    bdl__free(dataset->allocator, dataset, sizeof(bdl__dataset));
}

/* The index of `name` among the names, or -1. */
static int32_t index_of(const char *name, const char *const *names, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

bdl_status bdl__dataset_map_classes(bdl__dataset *dataset, const char *const *names, int64_t n)
{
    if (dataset->label_kind != BDL__LABEL_CLASS || dataset->class_names == NULL || names == NULL) {
        return BDL_OK;
    }
    void *memory = NULL;
    BDL__TRY(
        bdl__arena_alloc(&dataset->arena, (size_t)dataset->n_classes * sizeof(int32_t), &memory));
    int32_t *map = memory;
    for (int64_t i = 0; i < dataset->n_classes; i++) {
        const char *name = dataset->class_names[i];
        map[i] = index_of(name, names, n);
        if (map[i] < 0) {
            const char *nearest = bdl__nearest_name(name, names, n);
            BDL__FAIL(BDL_ERR_INVALID_ARGUMENT,
                      "data '%s': the model has no class '%s' among its %lld%s%s%s", dataset->text,
                      name, (long long)n, nearest != NULL ? "; the nearest is '" : "",
                      nearest != NULL ? nearest : "", nearest != NULL ? "'" : "");
        }
    }
    dataset->class_map = map;
    dataset->class_names = names;
    dataset->n_classes = n;
    return BDL_OK;
}

const char *bdl__dataset_name_of(const bdl__dataset *dataset, int64_t i)
{
    return dataset->reader->name_of != NULL ? dataset->reader->name_of(dataset, i) : NULL;
}

bdl_status bdl__dataset_read(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    BDL__CHECK(i >= 0 && i < dataset->n, BDL_ERR_INVALID_ARGUMENT,
               "data '%s': there is no sample %lld, only %lld", dataset->text, (long long)i,
               (long long)dataset->n);
    const bdl_status status = dataset->reader->read(dataset, i, sample);
    if (status != BDL_OK) {
        return bdl__fail_in(status, "data '%s': sample %lld", dataset->text, (long long)i);
    }
    if (dataset->class_map != NULL) {
        sample->label = dataset->class_map[sample->label];
    }
    return BDL_OK;
}

bdl_status bdl__row_key(const bdl__dataset *dataset, const bdl__sample *sample,
                        bdl__buffer *scratch, bdl__key *key)
{
    const int64_t n = bdl__shape_count(&sample->shape);
    int64_t n_labels = 0;
    if (dataset->label_kind == BDL__LABEL_CLASS) {
        n_labels = 1;
    } else if (dataset->label_kind == BDL__LABEL_FLOATS) {
        n_labels = bdl__shape_count(&dataset->target_shape);
    }
    const size_t size = (size_t)n * sizeof(float) + (size_t)n_labels * sizeof(double);
    BDL__TRY(bdl__buffer_need(scratch, size));
    float *values = scratch->data;
    if (sample->element == BDL__ELEMENT_U8) {
        const uint8_t *bytes = sample->data;
        for (int64_t i = 0; i < n; i++) {
            values[i] = (float)bytes[i];
        }
    } else {
        memcpy(values, sample->data, (size_t)n * sizeof(float));
    }
    for (int64_t i = 0; i < n_labels; i++) {
        const double label = dataset->label_kind == BDL__LABEL_CLASS ? (double)sample->label
                                                                     : (double)sample->target[i];
        memcpy((char *)(values + n) + (size_t)i * sizeof(double), &label, sizeof label);
    }
    *key = bdl__hash128(values, size);
    return BDL_OK;
}

bdl_status bdl__dataset_key(const bdl__dataset *dataset, int64_t i, bdl__sample *sample,
                            bdl__key *key)
{
    if (dataset->reader->key != NULL) {
        *key = dataset->reader->key(dataset, i);
        return BDL_OK;
    }
    BDL__TRY(bdl__dataset_read(dataset, i, sample));
    return bdl__row_key(dataset, sample, &sample->scratch, key);
}
