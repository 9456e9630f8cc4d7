/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of delimited text (RFC 4180): quotes, doubled quotes within them, line ends LF and CR LF.
 * Nothing is copied but what is asked for as text.
 */
#include <string.h>

#include "data/csv.h"

bool bdl__csv_at_row(bdl__csv_scan *scan)
{
    while (scan->p < scan->end && (*scan->p == '\n' || *scan->p == '\r')) {
        scan->line += *scan->p == '\n' ? 1 : 0;
        scan->p++;
    }
    scan->column = 1;
    return scan->p < scan->end;
}

/* After a field: takes the delimiter or the line's end. */
static bdl_status end_field(bdl__csv_scan *scan, bdl__csv_field *field)
{
    field->ends_row = true;
    if (scan->p == scan->end) {
        return BDL_OK;
    }
    if (*scan->p == scan->delimiter) {
        scan->p++;
        scan->column++;
        field->ends_row = false;
        return BDL_OK;
    }
    if (*scan->p == '\r') {
        scan->p++;
    }
    if (scan->p < scan->end && *scan->p == '\n') {
        scan->p++;
        scan->line++;
    }
    return BDL_OK;
}

static bdl_status quoted_field(bdl__csv_scan *scan, bdl__csv_field *field)
{
    field->text = ++scan->p;
#ifdef BDL_SEEDED_BUGS
    while (*scan->p != '"' || scan->p[1] == '"') {
#else
    while (scan->p < scan->end &&
           (*scan->p != '"' || (scan->end - scan->p > 1 && scan->p[1] == '"'))) {
#endif
        if (*scan->p == '"') {
            field->has_escapes = true;
            scan->p++;
        }
        scan->line += *scan->p == '\n' ? 1 : 0;
        scan->p++;
    }
    BDL__CHECK(scan->p < scan->end, BDL_ERR_FORMAT,
               "%s:%lld: column %lld: expected a closing quote, found the end of the file",
               scan->where, (long long)field->line, (long long)field->column);
    field->size = (size_t)(scan->p - field->text);
    scan->p++;
    const bool is_end =
        scan->p == scan->end || *scan->p == scan->delimiter || *scan->p == '\n' || *scan->p == '\r';
    BDL__CHECK(is_end, BDL_ERR_FORMAT,
               "%s:%lld: column %lld: expected '%c' or the line's end after a quoted field, found "
               "byte %02x",
               scan->where, (long long)scan->line, (long long)field->column, scan->delimiter,
               (unsigned)(unsigned char)*scan->p);
    return end_field(scan, field);
}

bdl_status bdl__csv_next(bdl__csv_scan *scan, bdl__csv_field *field)
{
    *field = (bdl__csv_field){.line = scan->line, .column = scan->column};
    if (scan->p < scan->end && *scan->p == '"') {
        return quoted_field(scan, field);
    }
    field->text = scan->p;
    while (scan->p < scan->end && *scan->p != scan->delimiter && *scan->p != '\n' &&
           *scan->p != '\r') {
        scan->p++;
    }
    field->size = (size_t)(scan->p - field->text);
    while (field->size > 0 && *field->text == ' ') { /* spaces around plain fields do not count */
        field->text++;
        field->size--;
    }
    while (field->size > 0 && field->text[field->size - 1] == ' ') {
        field->size--;
    }
    return end_field(scan, field);
}

bool bdl__csv_number(const bdl__csv_field *field, double *value)
{
    char text[64];
    if (field->size == 0 || field->size >= sizeof text || field->has_escapes ||
        memchr(field->text, 0, field->size) != NULL) {
        return false;
    }
    memcpy(text, field->text, field->size);
    text[field->size] = 0;
    return bdl__parse_f64(text, value);
}

bdl_status bdl__csv_text(bdl__arena *arena, const bdl__csv_field *field, const char **text)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(arena, field->size + 1, &memory));
    char *to = memory;
    for (size_t i = 0; i < field->size; i++) {
        if (field->text[i] == '"' && field->has_escapes) {
            i++; /* the second of two */
        }
        *to++ = field->text[i];
    }
    *text = memory;
    return BDL_OK;
}
