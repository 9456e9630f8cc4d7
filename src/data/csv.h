/* SPDX-License-Identifier: Apache-2.0 */
/* Delimited text (RFC 4180), field by field, and tables made of it. */
#ifndef BDL_DATA_CSV_H
#define BDL_DATA_CSV_H

#include "data/data_private.h"

/* ---- fields ---- */

typedef struct bdl__csv_scan {
    const char *p;
    const char *end;
    const char *where; /* for error texts */
    char delimiter;
    int64_t line;   /* from 1, of the field that comes next */
    int64_t column; /* number of that field in its row, from 1 */
} bdl__csv_scan;

/* A field, without its quotes. */
typedef struct bdl__csv_field {
    const char *text;
    size_t size;
    bool has_escapes; /* "" stands for " */
    bool ends_row;
    int64_t line;
    int64_t column;
} bdl__csv_field;

/* Skips empty lines; false at the end of the text. */
bool bdl__csv_at_row(bdl__csv_scan *scan);
bdl_status bdl__csv_next(bdl__csv_scan *scan, bdl__csv_field *field);
/* The field as a number; false if it is none. */
bool bdl__csv_number(const bdl__csv_field *field, double *value);
/* The field as a text in the arena. */
bdl_status bdl__csv_text(bdl__arena *arena, const bdl__csv_field *field, const char **text);

/* ---- tables ---- */

typedef struct bdl__csv_options {
    const char *label;  /* name or number of the label's column, "none", or NULL = the last */
    const char *ignore; /* names or numbers of columns to leave out, or NULL */
    char delimiter;     /* 0 = the first of , ; tab that the first line has */
    int header;         /* 0 = auto, 1 = yes, 2 = no */
    bool is_regression;
    int64_t n_classes; /* 0 = as many as there are */
} bdl__csv_options;

typedef struct bdl__csv_table {
    const bdl_allocator *allocator;
    bdl__arena arena; /* names */
    int64_t n;
    int64_t n_features;
    float *values;                                    /* owned, [n][n_features] */
    int32_t *labels;                                  /* owned, [n], or NULL */
    float *targets;                                   /* owned, [n], or NULL */
    size_t capacity, label_capacity, target_capacity; /* rows that there is room for */
    int64_t n_classes;
    const char *const *class_names; /* sorted, or NULL where labels are numbers */
} bdl__csv_table;

bdl_status bdl__csv_parse(const bdl_allocator *allocator, const void *bytes, size_t size,
                          const char *where, const bdl__csv_options *options,
                          bdl__csv_table *table);
void bdl__csv_free(bdl__csv_table *table);

#endif
