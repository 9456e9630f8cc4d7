/* SPDX-License-Identifier: Apache-2.0 */
/* Describing and checking rows that come from a program: every refusal names the row and what was expected. */
#include "data/rows.h"

#include <string.h>

static bdl_status check_options(const bdl__rows_options *options)
{
    char text[BDL__SHAPE_TEXT_SIZE];
    BDL__TRY(bdl__shape_check(&options->shape, "a row"));
    if (options->is_encoded) {
        BDL__CHECK(options->element == BDL__ELEMENT_U8 && options->shape.rank == 1 &&
                       (options->shape.dim[0] == 1 || options->shape.dim[0] == 3),
                   BDL_ERR_SHAPE,
                   "encoded rows are bytes and their shape the number of channels, [1] or [3], got %s",
                   bdl__shape_text(&options->shape, text, sizeof text));
    }
    if (options->label_kind == BDL__LABEL_FLOATS) {
        BDL__TRY(bdl__shape_check(&options->target_shape, "a target"));
    }
    BDL__CHECK(options->n_classes >= 0 && options->n_classes <= BDL__MOST_CLASSES,
               BDL_ERR_INVALID_ARGUMENT, "there can be 0 (take the labels') to %d classes, got %lld",
               BDL__MOST_CLASSES, (long long)options->n_classes);
    BDL__CHECK(options->class_names == NULL || options->n_classes > 0, BDL_ERR_INVALID_ARGUMENT,
               "names of classes need their number");
    BDL__CHECK(options->memory_limit >= 0, BDL_ERR_INVALID_ARGUMENT,
               "the memory limit must be >= 0, got %lld", (long long)options->memory_limit);
    return BDL_OK;
}

static bdl_status copy_class_names(bdl__dataset *dataset, const char *const *names, int64_t n)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, (size_t)n * sizeof(char *), &memory));
    const char **copies = memory;
    for (int64_t i = 0; i < n; i++) {
        BDL__TRY(bdl__arena_strdup(&dataset->arena, names[i], &copies[i]));
    }
    dataset->class_names = copies;
    return BDL_OK;
}

static bdl_status describe(bdl__dataset *dataset, const bdl__rows_options *options)
{
    BDL__TRY(check_options(options));
    dataset->shape = options->shape;
    dataset->element = options->element;
    dataset->is_fixed_shape = !options->is_encoded;
    dataset->is_part = true;
    dataset->label_kind = options->label_kind;
    dataset->n_classes = options->label_kind == BDL__LABEL_CLASS ? options->n_classes : 0;
    if (options->label_kind == BDL__LABEL_FLOATS) {
        dataset->target_shape = options->target_shape;
    }
    if (options->transform != NULL) {
        BDL__TRY(bdl__arena_strdup(&dataset->arena, options->transform, &dataset->default_transform));
    }
    return options->class_names != NULL
               ? copy_class_names(dataset, options->class_names, options->n_classes)
               : BDL_OK;
}

bdl_status bdl__rows_describe(const bdl_allocator *allocator, const bdl__log *log,
                              const bdl__rows_options *options, bdl__dataset **dataset)
{
    bdl__dataset *made;
    const char *name = options->name != NULL ? options->name : "data";
    BDL__TRY(bdl__dataset_create(allocator, log, name, BDL__PART_ALL, &made));
    const bdl_status status = describe(made, options);
    if (status != BDL_OK) {
        bdl__dataset_free(made);
        return bdl__fail_in(status, "data '%s'", name);
    }
    *dataset = made;
    return BDL_OK;
}

/* ---- checks ---- */

static bdl_status check_present(const bdl__dataset *dataset, const bdl__rows_options *options,
                                const bdl__rows *rows)
{
    BDL__CHECK(rows->n >= 0, BDL_ERR_INVALID_ARGUMENT, "data '%s': n must be >= 0, got %lld",
               dataset->text, (long long)rows->n);
    const bool has_values =
        options->is_encoded ? rows->files != NULL && rows->sizes != NULL : rows->values != NULL;
    BDL__CHECK(has_values, BDL_ERR_INVALID_ARGUMENT, "data '%s' takes rows as %s, got none",
               dataset->text, options->is_encoded ? "encoded files" : "values");
    BDL__CHECK(dataset->label_kind != BDL__LABEL_CLASS || rows->labels != NULL,
               BDL_ERR_INVALID_ARGUMENT, "data '%s' has a class for each row, got no labels",
               dataset->text);
    BDL__CHECK(dataset->label_kind != BDL__LABEL_FLOATS || rows->targets != NULL,
               BDL_ERR_INVALID_ARGUMENT, "data '%s' has targets for each row, got none",
               dataset->text);
    return BDL_OK;
}

static bdl_status check_files(const bdl__dataset *dataset, int64_t first, const bdl__rows *rows)
{
    for (int64_t i = 0; i < rows->n; i++) {
        BDL__CHECK(rows->files[i] != NULL && rows->sizes[i] > 0 && rows->sizes[i] <= INT32_MAX,
                   BDL_ERR_INVALID_ARGUMENT,
                   "data '%s': row %lld: expected a JPEG or PNG file, found %lld bytes",
                   dataset->text, (long long)(first + i),
                   rows->files[i] != NULL ? (long long)rows->sizes[i] : 0LL);
    }
    return BDL_OK;
}

static bdl_status check_labels(const bdl__dataset *dataset, int64_t n_classes, int64_t first,
                               const bdl__rows *rows)
{
    const int64_t most = n_classes > 0 ? n_classes : BDL__MOST_CLASSES;
    for (int64_t i = 0; i < rows->n; i++) {
        const double value = rows->labels[i];
        const bool is_class = value >= 0 && value < (double)most; /* false for NaN */
        BDL__CHECK(is_class && (double)(int64_t)value >= value, BDL_ERR_INVALID_ARGUMENT,
                   "data '%s': row %lld: the label must be a class number from 0 to %lld, found %g",
                   dataset->text, (long long)(first + i), (long long)most - 1, value);
    }
    return BDL_OK;
}

/* n rows of `count` floats each, looked through by several workers. */
typedef struct finite_scan {
    const float *values;
    int64_t count;
    _Atomic int64_t n_bad; /* values */
    _Atomic int64_t first; /* the first row with one, or INT64_MAX */
} finite_scan;

static bool is_finite(float value)
{
    return value - value == 0; /* neither infinite nor not-a-number */
}

static void scan_rows(void *arg, int64_t begin, int64_t end, int worker)
{
    finite_scan *scan = arg;
    (void)worker;
    int64_t n_bad = 0, first = INT64_MAX;
    for (int64_t row = begin; row < end; row++) {
        const float *values = scan->values + row * scan->count;
        int64_t n = 0;
        for (int64_t i = 0; i < scan->count; i++) {
            n += is_finite(values[i]) ? 0 : 1;
        }
        first = n > 0 ? BDL__MIN(first, row) : first;
        n_bad += n;
    }
    (void)atomic_fetch_add(&scan->n_bad, n_bad);
    int64_t known = atomic_load(&scan->first);
    while (first < known && !atomic_compare_exchange_weak(&scan->first, &known, first)) {
    }
}

static bdl_status check_finite(const bdl__dataset *dataset, bdl__pool *pool, const float *values,
                               int64_t count, int64_t first, int64_t n, const char *noun)
{
    finite_scan scan = {.values = values, .count = count, .first = INT64_MAX};
    BDL__TRY(bdl__data_parallel(pool, n, 64, scan_rows, &scan));
    const int64_t row = atomic_load(&scan.first);
    if (row == INT64_MAX) {
        return BDL_OK;
    }
    int64_t column = 0;
    while (is_finite(values[row * count + column])) {
        column++;
    }
    BDL__FAIL(BDL_ERR_NUMERIC,
              "data '%s': %lld %s not finite numbers; the first is in row %lld, column %lld: %g",
              dataset->text, (long long)atomic_load(&scan.n_bad), noun, (long long)(first + row),
              (long long)column, (double)values[row * count + column]);
}

bdl_status bdl__rows_check(const bdl__dataset *dataset, const bdl__rows_options *options,
                           bdl__pool *pool, int64_t first, const bdl__rows *rows)
{
    BDL__TRY(check_present(dataset, options, rows));
    if (options->is_encoded) {
        BDL__TRY(check_files(dataset, first, rows));
    }
    if (dataset->label_kind == BDL__LABEL_CLASS) {
        BDL__TRY(check_labels(dataset, options->n_classes, first, rows));
    }
    if (dataset->label_kind == BDL__LABEL_FLOATS) {
        BDL__TRY(check_finite(dataset, pool, rows->targets, bdl__shape_count(&dataset->target_shape),
                              first, rows->n, "targets are"));
    }
    if (options->check_finite && dataset->element == BDL__ELEMENT_F32) {
        BDL__TRY(check_finite(dataset, pool, rows->values, bdl__shape_count(&dataset->shape), first,
                              rows->n, "values are"));
    }
    return BDL_OK;
}

int64_t bdl__rows_largest(const double *labels, int64_t n)
{
    int64_t largest = -1;
    for (int64_t i = 0; i < n; i++) {
        largest = BDL__MAX(largest, (int64_t)labels[i]);
    }
    return largest;
}

bdl__key bdl__key_from_bytes(const uint8_t bytes[16])
{
    bdl__key key = {0};
    for (int i = 7; i >= 0; i--) {
        key.high = key.high << 8 | bytes[i];
        key.low = key.low << 8 | bytes[8 + i];
    }
    return key;
}
