/* SPDX-License-Identifier: Apache-2.0 */
/*
 * npy:X,Y reads samples and labels from two NumPy files. Samples stay in the map: arrays larger
 * than memory work. Labels are checked and converted at the start.
 */
#include <string.h>

#include "data/data_private.h"

typedef struct npy_params {
    bdl__choice task;
    int64_t classes;
} npy_params;

static const char *const tasks[] = {"auto", "class", "regression", NULL};
enum { TASK_AUTO, TASK_CLASS, TASK_REGRESSION, MOST_CLASSES = 1000000 };

static const bdl__field fields[] = {
    BDL_FIELD(npy_params, task, .def.s = "auto", .choices = tasks,
              .doc =
                  "What Y holds: class numbers or values to predict; auto: integers are classes."),
    BDL_FIELD(npy_params, classes, .def.i64 = 0, .range = BDL_IN(0, MOST_CLASSES),
              .doc = "Number of classes; 0 = the largest label plus one."),
};

typedef struct npy_state {
    bdl__npy x, y;
    int64_t sample_count;
    bool is_direct;  /* rows can be used where they are */
    int32_t *labels; /* in the arena, [n] */
    float *targets;  /* in the arena, [n][target_count] */
    int64_t target_count;
} npy_state;

/* Shape of one entry of the first axis; single numbers are {1}. */
static bdl__shape entry_shape(const bdl__shape *shape)
{
    bdl__shape entry = {.rank = 1, .dim = {1}};
    if (shape->rank > 1) {
        entry.rank = shape->rank - 1;
        memcpy(entry.dim, shape->dim + 1, (size_t)entry.rank * sizeof(int64_t));
    }
    return entry;
}

static bdl_status read_labels(bdl__dataset *dataset, const char *path, int64_t n_classes)
{
    npy_state *state = dataset->state;
    BDL__CHECK(bdl__shape_count(&state->y.shape) == dataset->n, BDL_ERR_FORMAT,
               "%s: expected a class number for each of %lld samples, found %lld", path,
               (long long)dataset->n, (long long)bdl__shape_count(&state->y.shape));
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, (size_t)dataset->n * sizeof(int32_t), &memory));
    state->labels = memory;
    const int64_t most = n_classes > 0 ? n_classes : MOST_CLASSES;
    int64_t largest = 0;
    for (int64_t i = 0; i < dataset->n; i++) {
        const double value = bdl__npy_value(&state->y, i);
        const bool is_class = value >= 0 && value < (double)most; /* false for NaN */
        BDL__CHECK(is_class && (double)(int64_t)value == value, BDL_ERR_FORMAT,
                   "%s: row %lld: expected a class number from 0 to %lld, found %g", path,
                   (long long)i, (long long)most - 1, value);
        state->labels[i] = (int32_t)value;
        largest = BDL__MAX(largest, (int64_t)value);
    }
    dataset->label_kind = BDL__LABEL_CLASS;
    dataset->n_classes = n_classes > 0 ? n_classes : largest + 1;
    return BDL_OK;
}

static bdl_status read_targets(bdl__dataset *dataset, const char *path)
{
    npy_state *state = dataset->state;
    dataset->target_shape = entry_shape(&state->y.shape);
    state->target_count = bdl__shape_count(&dataset->target_shape);
    const int64_t count = dataset->n * state->target_count;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, (size_t)count * sizeof(float), &memory));
    state->targets = memory;
    bdl__npy_floats(&state->y, 0, count, state->targets);
    for (int64_t i = 0; i < count; i++) {
        const float value = state->targets[i];
        BDL__CHECK(value - value == 0, BDL_ERR_FORMAT,
                   "%s: row %lld: expected a finite value, found %g", path,
                   (long long)(i / state->target_count), (double)value);
    }
    dataset->label_kind = BDL__LABEL_FLOATS;
    return BDL_OK;
}

static bdl_status open_labels(bdl__dataset *dataset, const npy_params *params, const char *path)
{
    npy_state *state = dataset->state;
    BDL__TRY(bdl__npy_open(path, &state->y));
    BDL__CHECK(state->y.shape.rank >= 1 && state->y.shape.dim[0] == dataset->n, BDL_ERR_FORMAT,
               "%s: expected %lld rows as X has, found %lld", path, (long long)dataset->n,
               state->y.shape.rank >= 1 ? (long long)state->y.shape.dim[0] : 0LL);
    const bool is_integer = state->y.dtype != BDL_F32 && state->y.dtype != BDL_F64;
    if (params->task.i == TASK_CLASS || (params->task.i == TASK_AUTO && is_integer)) {
        return read_labels(dataset, path, params->classes);
    }
    return read_targets(dataset, path);
}

static bdl_status open_set(bdl__dataset *dataset, const bdl__open_args *args)
{
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(npy_state), &dataset->state));
    npy_state *state = dataset->state;
    const char *comma = strrchr(args->source, ',');
    const char *path;
    BDL__TRY(bdl__arena_printf(
        &dataset->arena, &path, "%.*s",
        (int)(comma != NULL ? (size_t)(comma - args->source) : strlen(args->source)),
        args->source));
    BDL__TRY(bdl__npy_open(path, &state->x));
    BDL__CHECK(state->x.shape.rank >= 1, BDL_ERR_FORMAT, "%s: expected rows, found a single number",
               path);
    dataset->n = state->x.shape.dim[0];
    dataset->shape = entry_shape(&state->x.shape);
    dataset->element = state->x.dtype == BDL_U8 ? BDL__ELEMENT_U8 : BDL__ELEMENT_F32;
    state->sample_count = bdl__shape_count(&dataset->shape);
    state->is_direct = state->x.dtype == BDL_U8 ||
                       (state->x.dtype == BDL_F32 && (uintptr_t)state->x.data % sizeof(float) == 0);
    if (comma == NULL) {
        return BDL_OK; /* nothing is known: data to predict */
    }
    return open_labels(dataset, args->params, comma + 1 + strspn(comma + 1, " "));
}

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const npy_state *state = dataset->state;
    const size_t element_size = dataset->element == BDL__ELEMENT_U8 ? 1 : sizeof(float);
    const size_t size = (size_t)state->sample_count * element_size;
    sample->element = dataset->element;
    sample->shape = dataset->shape;
    if (state->is_direct) {
        sample->data = (const char *)state->x.data + (size_t)i * size;
    } else {
        BDL__TRY(bdl__buffer_need(&sample->buffer, size));
        bdl__npy_floats(&state->x, i * state->sample_count, state->sample_count,
                        sample->buffer.data);
        sample->data = sample->buffer.data;
    }
    sample->label = state->labels != NULL ? state->labels[i] : 0;
    sample->target = state->targets != NULL ? state->targets + i * state->target_count : NULL;
    return BDL_OK;
}

static void close_set(bdl__dataset *dataset)
{
    npy_state *state = dataset->state;
    if (state != NULL) {
        bdl__npy_close(&state->x);
        bdl__npy_close(&state->y);
    }
}

static const bdl__reader npy = {
    .name = "npy",
    .source = "X[,Y]",
    .needs_source = true,
    .summary = "Samples and labels from NumPy files.",
    .doc =
        "X.npy holds (n, ...) values: a sample is an entry of the first axis. Y.npy holds n class\n"
        "numbers from 0, or (n, ...) values to predict; without it there are no labels. .npy 1.0 "
        "to\n"
        "3.0 in C order, u1, i4, i8, f4 or f8, little-endian; u1 samples stay bytes, others "
        "become\n"
        "float32. The files are mapped.",
    .schema = {.name = "npy",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(npy_params)},
    .open = open_set,
    .read = read_row,
    .close = close_set,
};
BDL_READER(npy, &npy);
