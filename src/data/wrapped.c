/* SPDX-License-Identifier: Apache-2.0 */
/* Data sets over the caller's arrays: rows and targets are used where they are, labels are copied as int32. */
#include "data/rows.h"

typedef struct wrapped_state {
    const char *values;
    size_t row_size;
    const float *targets;
    int64_t target_count;
    int32_t *labels;     /* owned, [n], or NULL */
    const uint8_t *keys; /* [n][16], or NULL */
} wrapped_state;

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const wrapped_state *state = dataset->state;
    sample->element = dataset->element;
    sample->shape = dataset->shape;
    sample->data = state->values + (size_t)i * state->row_size;
    sample->label = state->labels != NULL ? state->labels[i] : 0;
    sample->target = state->targets != NULL ? state->targets + i * state->target_count : NULL;
    return BDL_OK;
}

static bdl__key key_of(const bdl__dataset *dataset, int64_t i)
{
    const wrapped_state *state = dataset->state;
    return bdl__key_from_bytes(state->keys + 16 * i);
}

static void close_set(bdl__dataset *dataset)
{
    wrapped_state *state = dataset->state;
    if (state != NULL) {
        bdl__free(dataset->allocator, state->labels, (size_t)dataset->n * sizeof(int32_t));
    }
}

static const bdl__reader by_content = {.name = "wrapped", .read = read_row, .close = close_set};
static const bdl__reader by_given_keys = {
    .name = "wrapped", .read = read_row, .key = key_of, .close = close_set};

static bdl_status copy_labels(bdl__dataset *dataset, wrapped_state *state, const double *labels)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(dataset->allocator, (size_t)dataset->n * sizeof(int32_t), &memory));
    state->labels = memory;
    for (int64_t i = 0; i < dataset->n; i++) {
        state->labels[i] = (int32_t)labels[i];
    }
    if (dataset->n_classes == 0) {
        dataset->n_classes = bdl__rows_largest(labels, dataset->n) + 1;
    }
    return BDL_OK;
}

static bdl_status wrap(bdl__dataset *dataset, const bdl__rows_options *options,
                       const bdl__rows *rows)
{
    BDL__CHECK(!options->is_encoded, BDL_ERR_UNSUPPORTED,
               "data '%s': encoded rows are pushed, not wrapped", dataset->text);
    BDL__TRY(bdl__rows_check(dataset, options, NULL, 0, rows));
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(wrapped_state), &memory));
    wrapped_state *state = memory;
    const size_t element_size = options->element == BDL__ELEMENT_U8 ? 1 : sizeof(float);
    *state =
        (wrapped_state){.values = rows->values,
                        .row_size = (size_t)bdl__shape_count(&options->shape) * element_size,
                        .keys = rows->keys};
    dataset->n = rows->n;
    dataset->state = state;
    dataset->reader = rows->keys != NULL ? &by_given_keys : &by_content;
    if (dataset->label_kind == BDL__LABEL_FLOATS) {
        state->targets = rows->targets;
        state->target_count = bdl__shape_count(&dataset->target_shape);
    } else if (dataset->label_kind == BDL__LABEL_CLASS) {
        BDL__TRY(copy_labels(dataset, state, rows->labels));
    }
    return BDL_OK;
}

bdl_status bdl__rows_wrap(const bdl_allocator *allocator, const bdl__log *log,
                          const bdl__rows_options *options, const bdl__rows *rows,
                          bdl__dataset **dataset)
{
    bdl__dataset *made;
    BDL__TRY(bdl__rows_describe(allocator, log, options, &made));
    const bdl_status status = wrap(made, options, rows);
    if (status != BDL_OK) {
        bdl__dataset_free(made);
        return status;
    }
    *dataset = made;
    return BDL_OK;
}
