/* SPDX-License-Identifier: Apache-2.0 */
/* Public data sets: rows that are pushed, arrays that are wrapped, and readers by name. */
#include <string.h>

#include "api/api.h"
#include "base/cpu.h"

static bdl_status new_data(bdl_context *context, bdl_data **data)
{
    void *memory = NULL;
    BDL__TRY(bdl__context_use(context));
    BDL__TRY(bdl__alloc(&context->allocator, sizeof **data, &memory));
    *data = memory;
    (*data)->context = context;
    return BDL_OK;
}

static bdl_status give(bdl_status status, bdl_data *made, bdl_data **data)
{
    if (status != BDL_OK) {
        bdl_data_free(made);
        return status;
    }
    *data = made;
    return BDL_OK;
}

static bdl_status read_shape(const char *what, const int64_t *dims, int32_t rank, bdl__shape *shape)
{
    BDL__CHECK(rank >= 0 && rank < BDL_MAX_RANK, BDL_ERR_SHAPE, "%s has 0 to %d axes, got %d", what,
               BDL_MAX_RANK - 1, (int)rank);
    *shape = (bdl__shape){.rank = rank};
    memcpy(shape->dim, dims, (size_t)rank * sizeof *dims);
    if (rank == 0) { /* single numbers */
        *shape = (bdl__shape){.rank = 1, .dim = {1}};
    }
    return BDL_OK;
}

static bdl_status read_options(const bdl_data_options *options, bdl__rows_options *rows)
{
    bdl_data_options taken;
    const bdl_data_options *const o = &taken;
    BDL__TRY(bdl__struct_take(options, sizeof taken, "bdl_data_options", &taken));
    BDL__CHECK(o->dtype == BDL_U8 || o->dtype == BDL_F32, BDL_ERR_UNSUPPORTED,
               "rows are BDL_U8 or BDL_F32, got dtype %d", (int)o->dtype);
    BDL__CHECK(o->label_kind >= BDL_LABEL_NONE && o->label_kind <= BDL_LABEL_FLOATS,
               BDL_ERR_INVALID_ARGUMENT, "label_kind must be 0 (none), 1 (class) or 2 (floats), got %d",
               (int)o->label_kind);
    *rows = (bdl__rows_options){.name = o->name,
                                .element = o->dtype == BDL_U8 ? BDL__ELEMENT_U8 : BDL__ELEMENT_F32,
                                .is_encoded = o->is_encoded,
                                .check_finite = o->check_finite,
                                .label_kind = (bdl__label_kind)o->label_kind,
                                .n_classes = o->n_classes,
                                .class_names = o->class_names,
                                .transform = o->transform,
                                .memory_limit = o->memory_limit,
                                .spill_directory = o->spill_directory};
    BDL__TRY(read_shape("a row", o->shape, o->rank, &rows->shape));
    return read_shape("a target", o->target_shape, o->target_rank, &rows->target_shape);
}

bdl_status bdl_data_create(bdl_context *context, const bdl_data_options *options, bdl_data **data)
{
    BDL__TRY(bdl__need_arguments(context && options && data, __func__));
    bdl__rows_options rows;
    bdl_data *made = NULL;
    BDL__TRY(read_options(options, &rows));
    BDL__TRY(new_data(context, &made));
    return give(bdl__rows_create(&context->allocator, &context->log, &rows, &made->dataset), made,
                data);
}

bdl_status bdl_data_push(bdl_data *data, int64_t n, const void *values, const double *labels,
                         const float *targets, const uint8_t *keys)
{
    BDL__TRY(bdl__need_arguments(data && (values || n <= 0), __func__));
    const bdl__rows rows = {
        .n = n, .values = values, .labels = labels, .targets = targets, .keys = keys};
    BDL__TRY(bdl__context_use(data->context));
    return bdl__rows_push(data->dataset, data->context->pool, &rows);
}

bdl_status bdl_data_push_encoded(bdl_data *data, int64_t n, const void *const *files,
                                 const int64_t *sizes, const double *labels, const float *targets,
                                 const uint8_t *keys)
{
    BDL__TRY(bdl__need_arguments(data && ((files && sizes) || n <= 0), __func__));
    const bdl__rows rows = {.n = n,
                            .files = files,
                            .sizes = sizes,
                            .labels = labels,
                            .targets = targets,
                            .keys = keys};
    BDL__TRY(bdl__context_use(data->context));
    return bdl__rows_push(data->dataset, data->context->pool, &rows);
}

bdl_status bdl_data_finish(bdl_data *data)
{
    BDL__TRY(bdl__need_arguments(data != NULL, __func__));
    BDL__TRY(bdl__context_use(data->context));
    /* what is smaller finds room in the page cache, and order is of no use there */
    BDL__TRY(bdl__rows_sort(data->dataset, bdl__memory_usable() / 2, &data->context->cancel));
    return bdl__rows_finish(data->dataset);
}

bdl_status bdl_data_wrap(bdl_context *context, const bdl_data_options *options, int64_t n,
                         const void *values, const double *labels, const float *targets,
                         const uint8_t *keys, bdl_data **data)
{
    BDL__TRY(bdl__need_arguments(context && options && values && data, __func__));
    const bdl__rows rows = {
        .n = n, .values = values, .labels = labels, .targets = targets, .keys = keys};
    bdl__rows_options options_of_rows;
    bdl_data *made = NULL;
    BDL__TRY(read_options(options, &options_of_rows));
    BDL__TRY(new_data(context, &made));
    return give(bdl__rows_wrap(&context->allocator, &context->log, &options_of_rows, &rows,
                               &made->dataset),
                made, data);
}

bdl_status bdl_data_open(bdl_context *context, const char *text, const char *part, bdl_data **data)
{
    BDL__TRY(bdl__need_arguments(context && text && part && data, __func__));
    static const char *const parts[] = {"train", "test", "all"}; /* in the order of bdl__data_part */
    bdl_data *made = NULL;
    int i_part = 0;
    while (i_part < 3 && (!part || strcmp(part, parts[i_part]) != 0)) {
        i_part++;
    }
    BDL__CHECK(i_part < 3, BDL_ERR_INVALID_ARGUMENT, "part must be train, test or all, got '%.50s'",
               part ? part : "");
    BDL__CHECK(text, BDL_ERR_INVALID_ARGUMENT, "the data's text must not be NULL");
    BDL__TRY(new_data(context, &made));
    return give(bdl__dataset_open(&context->allocator, &context->log, context->pool, text,
                                  (bdl__data_part)i_part, &made->dataset),
                made, data);
}

static void store_word(uint64_t word, uint8_t bytes[8])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(word >> 8 * i);
    }
}

bdl_status bdl_data_get_stats(const bdl_data *data, bdl_data_stats *stats)
{
    BDL__TRY(bdl__need_arguments(data && stats, __func__));
    BDL__CHECK(stats->struct_size == sizeof *stats, BDL_ERR_INVALID_ARGUMENT,
               "bdl_data_stats: struct_size is %zu, expected %zu", stats->struct_size, sizeof *stats);
    bdl__rows_stats found;
    BDL__TRY(bdl__rows_get_stats(data->dataset, &found));
    *stats = (bdl_data_stats){.struct_size = sizeof *stats,
                              .n_rows = found.n,
                              .n_classes = found.n_classes,
                              .memory_size = found.memory_size,
                              .spilled_size = found.spilled_size};
    store_word(found.key_xor.high, stats->key_xor);
    store_word(found.key_xor.low, stats->key_xor + 8);
    store_word(found.key_sum.high, stats->key_sum);
    store_word(found.key_sum.low, stats->key_sum + 8);
    return BDL_OK;
}

bdl_status bdl__data_need_finished(const bdl_data *data)
{
    BDL__TRY(bdl__context_use(data->context));
    BDL__CHECK(bdl__rows_is_finished(data->dataset), BDL_ERR_STATE,
               "data '%s' still take rows: finish them first", data->dataset->text);
    return BDL_OK;
}

static void give_shape(const bdl__shape *from, int64_t shape[BDL_MAX_RANK], int32_t *rank)
{
    memcpy(shape, from->dim, sizeof from->dim);
    *rank = from->rank;
}

bdl_status bdl_data_shape(const bdl_data *data, int64_t shape[BDL_MAX_RANK], int32_t *rank)
{
    BDL__TRY(bdl__need_arguments(data && shape && rank, __func__));
    BDL__TRY(bdl__data_need_finished(data));
    give_shape(&data->dataset->shape, shape, rank);
    return BDL_OK;
}

bdl_status bdl_data_prepared_shape(const bdl_data *data, const char *transform, int64_t shape[BDL_MAX_RANK],
                                   int32_t *rank)
{
    bdl__chain *chain = NULL;
    bdl__shape prepared;
    BDL__TRY(bdl__need_arguments(data && shape && rank, __func__));
    BDL__TRY(bdl__data_need_finished(data));
    const bdl__dataset *const dataset = data->dataset;
    const char *text = dataset->default_transform;
    if (transform) {
        text = strcmp(transform, "none") == 0 ? "" : transform;
    }
    BDL__TRY(bdl__chain_from_text(&data->context->allocator, text, &chain));
    const bdl_status status = bdl__chain_infer(chain, &dataset->shape, dataset->element, &prepared);
    bdl__chain_free(chain);
    BDL__TRY(status);
    give_shape(&prepared, shape, rank);
    return BDL_OK;
}

static bdl_status read_sample(const bdl__dataset *dataset, int64_t i, bdl__sample *sample,
                              float *values)
{
    char found[BDL__SHAPE_TEXT_SIZE], wanted[BDL__SHAPE_TEXT_SIZE];
    const int64_t count = bdl__shape_count(&dataset->shape);
    BDL__TRY(bdl__dataset_read(dataset, i, sample));
    BDL__CHECK(bdl__shape_equal(&sample->shape, &dataset->shape), BDL_ERR_SHAPE,
               "data '%s': sample %lld has shape %s, the first %s", dataset->text, (long long)i,
               bdl__shape_text(&sample->shape, found, sizeof found),
               bdl__shape_text(&dataset->shape, wanted, sizeof wanted));
    if (sample->element == BDL__ELEMENT_F32) {
        memcpy(values, sample->data, (size_t)count * sizeof(float));
        return BDL_OK;
    }
    const uint8_t *const bytes = sample->data;
    for (int64_t k = 0; k < count; k++) {
        values[k] = (float)bytes[k];
    }
    return BDL_OK;
}

bdl_status bdl_data_read(const bdl_data *data, int64_t first, int64_t n, float *values,
                         double *labels)
{
    BDL__TRY(bdl__need_arguments(data && values, __func__));
    BDL__TRY(bdl__data_need_finished(data));
    const bdl__dataset *const dataset = data->dataset;
    BDL__CHECK(first >= 0 && n >= 0 && first <= dataset->n && n <= dataset->n - first,
               BDL_ERR_INVALID_ARGUMENT, "data '%s': samples %lld to %lld are not among its %lld",
               dataset->text, (long long)first, (long long)first + (long long)n - 1,
               (long long)dataset->n);
    BDL__CHECK(!labels || dataset->label_kind == BDL__LABEL_CLASS, BDL_ERR_UNSUPPORTED,
               "data '%s': its labels are no classes", dataset->text);
    const int64_t count = bdl__shape_count(&dataset->shape);
    bdl__sample sample;
    bdl_status status = BDL_OK;
    bdl__sample_init(&sample, &data->context->allocator);
    for (int64_t i = 0; i < n && status == BDL_OK; i++) {
        status = read_sample(dataset, first + i, &sample, values + i * count);
        if (labels) {
            labels[i] = sample.label;
        }
    }
    bdl__sample_free(&sample);
    return status;
}

void bdl_data_free(bdl_data *data)
{
    if (data) {
        bdl_context *const context = data->context;
        bdl__dataset_free(data->dataset);
        bdl__free(&context->allocator, data, sizeof *data);
    }
}
