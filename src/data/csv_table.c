/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of delimited text: numbers as float32 features, one column as label. Labels are class
 * names (the sorted names become classes 0, 1 ...), class numbers, or with is_regression values.
 * Every fault is told with line and column.
 */
#include <string.h>

#include "data/csv.h"

enum { MOST_COLUMNS = 1 << 20, MOST_CLASSES = 1000000, FIRST_NAMES = 64, MOST_NAMES = 65536 };

typedef enum column_use { USE_FEATURE, USE_LABEL, USE_NOTHING } column_use;

/* What is known while the table is read. */
typedef struct parsing {
    bdl__csv_scan scan;
    const bdl__csv_options *options;
    bdl__csv_table *table;
    bdl__arena scratch;
    int64_t n_columns;
    column_use *uses; /* [n_columns] */
    bool has_label;
    bool has_names;     /* labels are names */
    const char **names; /* [name_capacity] in the order of appearance; in the table's arena */
    int32_t *sorted;    /* [name_capacity] indices of names, in the names' order */
    int32_t n_names, name_capacity;
    int64_t largest; /* class number */
} parsing;

/* ---- columns ---- */

/* The first row's fields as texts, without moving on. */
static bdl_status first_row(parsing *at, const char *const **names, bool *has_number)
{
    bdl__csv_scan scan = at->scan;
    bdl__csv_field field = {0};
    int64_t n = 0;
    while (!field.ends_row) {
        BDL__TRY(bdl__csv_next(&scan, &field));
        n++;
        BDL__CHECK(n <= MOST_COLUMNS, BDL_ERR_FORMAT, "%s: more than %d columns", at->scan.where,
                   MOST_COLUMNS);
    }
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&at->scratch, (size_t)n * sizeof(char *), &memory));
    const char **texts = memory;
    *has_number = false;
    scan = at->scan;
    for (int64_t i = 0; i < n; i++) {
        double number;
        BDL__TRY(bdl__csv_next(&scan, &field));
        BDL__TRY(bdl__csv_text(&at->scratch, &field, &texts[i]));
        *has_number = *has_number || bdl__csv_number(&field, &number);
    }
    at->n_columns = n;
    *names = texts;
    return BDL_OK;
}

/* A column by name, or by number: from 0, negative ones from the end. */
static bdl_status find_column(const parsing *at, const char *text, const char *const *names,
                              int64_t *column)
{
    for (int64_t i = 0; names != NULL && i < at->n_columns; i++) {
        if (strcmp(names[i], text) == 0) {
            *column = i;
            return BDL_OK;
        }
    }
    int64_t number;
    if (bdl__parse_i64(text, &number) && number >= -at->n_columns && number < at->n_columns) {
        *column = number < 0 ? number + at->n_columns : number;
        return BDL_OK;
    }
    const char *nearest = names != NULL ? bdl__nearest_name(text, names, at->n_columns) : NULL;
    BDL__FAIL(BDL_ERR_INVALID_ARGUMENT, "%s: there is no column '%s' among the %lld%s%s%s%s",
              at->scan.where, text, (long long)at->n_columns,
              names == NULL ? " (there is no header line)" : "",
              nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
              nearest != NULL ? "'?" : "");
}

static bdl_status choose_uses(parsing *at, const char *const *names)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&at->scratch, (size_t)at->n_columns * sizeof(column_use), &memory));
    at->uses = memory; /* zeroed: all are features */
    const char *label = at->options->label != NULL ? at->options->label : "-1";
    if (strcmp(label, "none") != 0) {
        int64_t column = 0;
        BDL__TRY(find_column(at, label, names, &column));
        at->uses[column] = USE_LABEL;
        at->has_label = true;
    }
    if (at->options->ignore != NULL) {
        const char *const *pieces = NULL;
        int64_t n_pieces = 0, column = 0;
        BDL__TRY(bdl__split_list(&at->scratch, at->options->ignore, ',', &pieces, &n_pieces));
        for (int64_t i = 0; i < n_pieces; i++) {
            BDL__TRY(find_column(at, pieces[i], names, &column));
            BDL__CHECK(at->uses[column] != USE_LABEL, BDL_ERR_INVALID_ARGUMENT,
                       "%s: column '%s' is the label and cannot be ignored", at->scan.where,
                       pieces[i]);
            at->uses[column] = USE_NOTHING;
        }
    }
    for (int64_t i = 0; i < at->n_columns; i++) {
        at->table->n_features += at->uses[i] == USE_FEATURE ? 1 : 0;
    }
    BDL__CHECK(at->table->n_features > 0, BDL_ERR_FORMAT,
               "%s: expected columns of numbers besides the label, found none", at->scan.where);
    return BDL_OK;
}

/* The delimiter that the first line has most. */
static char guess_delimiter(const bdl__csv_scan *scan)
{
    static const char candidates[] = {',', ';', '\t', '|'};
    int64_t counts[sizeof candidates] = {0};
    for (const char *p = scan->p; p < scan->end && *p != '\n'; p++) {
        for (size_t i = 0; i < sizeof candidates; i++) {
            counts[i] += *p == candidates[i] ? 1 : 0;
        }
    }
    size_t best = 0;
    for (size_t i = 1; i < sizeof candidates; i++) {
        best = counts[i] > counts[best] ? i : best;
    }
    return candidates[best];
}

static bdl_status begin_table(parsing *at)
{
    bdl__csv_scan *scan = &at->scan;
    if (scan->end - scan->p >= 3 && memcmp(scan->p, "\xef\xbb\xbf", 3) == 0) {
        scan->p += 3; /* byte order mark */
    }
    BDL__CHECK(bdl__csv_at_row(scan), BDL_ERR_FORMAT, "%s: expected rows, found none", scan->where);
    scan->delimiter = at->options->delimiter != 0 ? at->options->delimiter : guess_delimiter(scan);
    const char *const *names = NULL;
    bool has_number = false;
    BDL__TRY(first_row(at, &names, &has_number));
    const bool has_header = at->options->header == 1 || (at->options->header == 0 && !has_number);
    BDL__TRY(choose_uses(at, has_header ? names : NULL));
    bdl__csv_field field = {.ends_row = !has_header};
    while (!field.ends_row) {
        BDL__TRY(bdl__csv_next(scan, &field));
    }
    return BDL_OK;
}

/* ---- rows ---- */

/* Doubles one of the table's arrays; each knows its own room, since the next one may fail. */
static bdl_status grow(const bdl_allocator *allocator, size_t first, size_t row_size,
                       size_t *capacity, void **memory)
{
    const size_t larger = *capacity == 0 ? first : 2 * *capacity;
    BDL__TRY(bdl__realloc(allocator, *capacity * row_size, larger * row_size, memory));
    *capacity = larger;
    return BDL_OK;
}

static bdl_status need_row(parsing *at)
{
    bdl__csv_table *table = at->table;
    const size_t n = (size_t)table->n, row_size = (size_t)table->n_features * sizeof(float);
    const size_t first = (size_t)4096 / row_size + 1; /* 4 KiB of features, then it doubles */
    void *values = table->values, *labels = table->labels, *targets = table->targets;
    if (n >= table->capacity) {
        BDL__TRY(grow(table->allocator, first, row_size, &table->capacity, &values));
        table->values = values;
    }
    if (n >= table->label_capacity) {
        BDL__TRY(grow(table->allocator, first, sizeof(int32_t), &table->label_capacity, &labels));
        table->labels = labels;
    }
    if (n >= table->target_capacity) {
        BDL__TRY(grow(table->allocator, first, sizeof(float), &table->target_capacity, &targets));
        table->targets = targets;
    }
    return BDL_OK;
}

static bdl_status bad_field(const parsing *at, const bdl__csv_field *field, const char *expected)
{
    BDL__FAIL(BDL_ERR_FORMAT, "%s:%lld: column %lld: expected %s, found '%.*s'", at->scan.where,
              (long long)field->line, (long long)field->column, expected,
              (int)BDL__MIN(field->size, (size_t)40), field->text);
}

static bdl_status number_of(const parsing *at, const bdl__csv_field *field, float *value)
{
    double number;
    if (!bdl__csv_number(field, &number)) {
        return bad_field(at, field,
                         field->size == 0 ? "a number (no value may be missing)" : "a number");
    }
    *value = (float)number;
    return *value - *value == 0 ? BDL_OK : bad_field(at, field, "a finite number");
}

static bdl_status class_number(parsing *at, const bdl__csv_field *field, int32_t *label)
{
    double number;
    if (!bdl__csv_number(field, &number)) {
        return bad_field(at, field, "a class number as in the rows before");
    }
    const int64_t most = at->options->n_classes > 0 ? at->options->n_classes : MOST_CLASSES;
    const bool is_in_range = number >= 0 && number < (double)most; /* false for NaN */
    BDL__CHECK(is_in_range && (double)(int64_t)number == number, BDL_ERR_FORMAT,
               "%s:%lld: column %lld: expected a class number from 0 to %lld (or task=regression), "
               "found '%.*s'",
               at->scan.where, (long long)field->line, (long long)field->column,
               (long long)most - 1, (int)BDL__MIN(field->size, (size_t)40), field->text);
    *label = (int32_t)number;
    at->largest = BDL__MAX(at->largest, (int64_t)number);
    return BDL_OK;
}

/* Room for one more name: twice as much where there is none. */
static bdl_status need_name(parsing *at, const bdl__csv_field *field)
{
    const int32_t old = at->name_capacity;
    if (at->n_names < old) {
        return BDL_OK;
    }
    BDL__CHECK(old < MOST_NAMES, BDL_ERR_FORMAT,
               "%s:%lld: column %lld: more than %d class names; is this column a label? "
               "(label=..., task=regression)",
               at->scan.where, (long long)field->line, (long long)field->column, MOST_NAMES);
    const int32_t capacity = old == 0 ? FIRST_NAMES : 2 * old;
    void *names = NULL, *sorted = NULL;
    BDL__TRY(bdl__arena_alloc(&at->table->arena, (size_t)capacity * sizeof(char *), &names));
    BDL__TRY(bdl__arena_alloc(&at->scratch, (size_t)capacity * sizeof(int32_t), &sorted));
    if (old > 0) {
        memcpy(names, at->names, (size_t)old * sizeof(char *));
        memcpy(sorted, at->sorted, (size_t)old * sizeof(int32_t));
    }
    at->names = names;
    at->sorted = sorted;
    at->name_capacity = capacity;
    return BDL_OK;
}

/* The class of a name, in the order of appearance. */
static bdl_status class_of_name(parsing *at, const bdl__csv_field *field, int32_t *label)
{
    const char *name;
    BDL__CHECK(field->size > 0, BDL_ERR_FORMAT,
               "%s:%lld: column %lld: expected a label, found none", at->scan.where,
               (long long)field->line, (long long)field->column);
    BDL__TRY(bdl__csv_text(&at->scratch, field, &name));
    int32_t low = 0, high = at->n_names;
    while (low < high) {
        const int32_t middle = (low + high) / 2;
        const int order = strcmp(at->names[at->sorted[middle]], name);
        if (order == 0) {
            *label = at->sorted[middle];
            return BDL_OK;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    BDL__TRY(need_name(at, field));
    memmove(at->sorted + low + 1, at->sorted + low, (size_t)(at->n_names - low) * sizeof(int32_t));
    at->sorted[low] = at->n_names;
    BDL__TRY(bdl__arena_strdup(&at->table->arena, name, &at->names[at->n_names]));
    *label = at->n_names++;
    return BDL_OK;
}

static bdl_status read_label(parsing *at, const bdl__csv_field *field)
{
    bdl__csv_table *table = at->table;
    if (table->n == 0) {
        double number; /* the first row's label tells whether they are names */
        at->has_names = !at->options->is_regression && !bdl__csv_number(field, &number);
    }
    if (at->options->is_regression) {
        return number_of(at, field, &table->targets[table->n]);
    }
    return at->has_names ? class_of_name(at, field, &table->labels[table->n])
                         : class_number(at, field, &table->labels[table->n]);
}

static bdl_status read_row(parsing *at)
{
    bdl__csv_table *table = at->table;
    BDL__TRY(need_row(at));
    float *value = table->values + table->n * table->n_features;
    bdl__csv_field field = {0};
    for (int64_t i = 0; i < at->n_columns; i++) {
        BDL__CHECK(!field.ends_row, BDL_ERR_FORMAT, "%s:%lld: expected %lld fields, found %lld",
                   at->scan.where, (long long)field.line, (long long)at->n_columns, (long long)i);
        BDL__TRY(bdl__csv_next(&at->scan, &field));
        if (at->uses[i] == USE_FEATURE) {
            BDL__TRY(number_of(at, &field, value++));
        } else if (at->uses[i] == USE_LABEL) {
            BDL__TRY(read_label(at, &field));
        }
    }
    BDL__CHECK(field.ends_row, BDL_ERR_FORMAT, "%s:%lld: expected %lld fields, found more",
               at->scan.where, (long long)field.line, (long long)at->n_columns);
    table->n++;
    return BDL_OK;
}

/* ---- the whole ---- */

/* Classes in the order of their names instead of appearance. */
static bdl_status sort_names(parsing *at)
{
    bdl__csv_table *table = at->table;
    void *memory = NULL;
    const size_t n = (size_t)at->n_names;
    BDL__TRY(bdl__arena_alloc(&table->arena, n * sizeof(char *), &memory));
    const char **names = memory;
    BDL__TRY(bdl__arena_alloc(&at->scratch, n * sizeof(int32_t), &memory));
    int32_t *place = memory;
    for (int32_t i = 0; i < at->n_names; i++) {
        names[i] = at->names[at->sorted[i]];
        place[at->sorted[i]] = i;
    }
    for (int64_t i = 0; i < table->n; i++) {
        table->labels[i] = place[table->labels[i]];
    }
    table->class_names = names;
    table->n_classes = at->n_names;
    return BDL_OK;
}

static bdl_status end_table(parsing *at)
{
    bdl__csv_table *table = at->table;
    BDL__CHECK(table->n > 0, BDL_ERR_FORMAT, "%s: expected rows after the header, found none",
               at->scan.where);
    if (!at->has_label || at->options->is_regression) {
        return BDL_OK;
    }
    if (at->has_names) {
        return sort_names(at);
    }
    table->n_classes = at->options->n_classes > 0 ? at->options->n_classes : at->largest + 1;
    return BDL_OK;
}

static bdl_status parse(parsing *at)
{
    BDL__TRY(begin_table(at));
    while (bdl__csv_at_row(&at->scan)) {
        BDL__TRY(read_row(at));
    }
    return end_table(at);
}

void bdl__csv_free(bdl__csv_table *table)
{
    const bdl_allocator *allocator = table->allocator;
    if (table->values != NULL) {
        bdl__free(allocator, table->values,
                  table->capacity * (size_t)table->n_features * sizeof(float));
    }
    if (table->labels != NULL) {
        bdl__free(allocator, table->labels, table->label_capacity * sizeof(int32_t));
    }
    if (table->targets != NULL) {
        bdl__free(allocator, table->targets, table->target_capacity * sizeof(float));
    }
    table->values = NULL;
    table->labels = NULL;
    table->targets = NULL;
    bdl__arena_free(&table->arena);
}

bdl_status bdl__csv_parse(const bdl_allocator *allocator, const void *bytes, size_t size,
                          const char *where, const bdl__csv_options *options, bdl__csv_table *table)
{
    *table = (bdl__csv_table){.allocator = allocator};
    bdl__arena_init(&table->arena, allocator);
    parsing at = {.options = options, .table = table};
    at.scan = (bdl__csv_scan){
        .p = bytes, .end = (const char *)bytes + size, .where = where, .line = 1, .column = 1};
    bdl__arena_init(&at.scratch, allocator);
    const bdl_status status = parse(&at);
    bdl__arena_free(&at.scratch);
    if (status != BDL_OK) {
        bdl__csv_free(table);
    }
    return status;
}
