/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259) on cJSON: parsing with limits and positions, typed access with clear errors, and a
 * small writer that keeps numbers exact (int64 and shortest doubles). cJSON types stay in json.c.
 */
#ifndef BDL_BASE_JSON_H
#define BDL_BASE_JSON_H

#include "base/text.h"

typedef struct bdl__json bdl__json; /* a value inside a parsed document */

/* Parses a document of at most 64 MiB and 64 levels; duplicate keys are errors. `where` names the
 * source ("model.json"): errors say it and line:column. */
bdl_status bdl__json_parse(const char *text, size_t size, const char *where, bdl__json **document);
void bdl__json_free(bdl__json *document);

typedef enum bdl__json_kind {
    BDL__JSON_NULL,
    BDL__JSON_BOOL,
    BDL__JSON_NUMBER,
    BDL__JSON_STRING,
    BDL__JSON_ARRAY,
    BDL__JSON_OBJECT
} bdl__json_kind;

bdl__json_kind bdl__json_kind_of(const bdl__json *value);
/* For error texts: "null", "true or false", "a number", "a string", "an array", "an object". */
const char *bdl__json_kind_name(bdl__json_kind kind);
bool bdl__json_bool(const bdl__json *value);
/* Whole numbers up to 2^53 exactly; false if the value is not a whole number. */
bool bdl__json_i64(const bdl__json *value, int64_t *number);
double bdl__json_f64(const bdl__json *value);
const char *bdl__json_string(const bdl__json *value);
int64_t bdl__json_count(const bdl__json *array_or_object);
/* First element or member, then the next one; NULL at the end. Linear to walk. */
const bdl__json *bdl__json_first(const bdl__json *array_or_object);
const bdl__json *bdl__json_next(const bdl__json *value);
const char *bdl__json_key(const bdl__json *member);
const bdl__json *bdl__json_get(const bdl__json *object, const char *key); /* NULL if absent */

/* Typed members; `where` is the path for the error text: "model.json: nodes[3]". */
bdl_status bdl__json_need_i64(const bdl__json *object, const char *key, const char *where,
                              int64_t *value);
bdl_status bdl__json_need_string(const bdl__json *object, const char *key, const char *where,
                                 const char **value);
bdl_status bdl__json_need(const bdl__json *object, const char *key, bdl__json_kind kind,
                          const char *where, const bdl__json **value);

/* Fails on a member that is not among the known ones, so that a misspelt one is not ignored; the nearest
 * is offered. */
bdl_status bdl__json_check_members(const bdl__json *object, const char *const *known,
                                   int64_t n_known, const char *where);

/* Writer: commas and indentation by itself. indent 0 = one line. A value or a run of
 * elements stays on one line if `indent` is 0 while it is written. Invalid UTF-8 becomes U+FFFD. */
typedef struct bdl__json_writer {
    bdl__text *out;
    int indent;
    int depth;
    bool need_comma;
    bool after_key;
} bdl__json_writer;

void bdl__json_writer_init(bdl__json_writer *writer, bdl__text *out, int indent);
void bdl__json_open(bdl__json_writer *writer, char bracket);  /* '{' or '[' */
void bdl__json_close(bdl__json_writer *writer, char bracket); /* '}' or ']' */
void bdl__json_write_key(bdl__json_writer *writer, const char *key);
void bdl__json_write_string(bdl__json_writer *writer, const char *value);
void bdl__json_write_i64(bdl__json_writer *writer, int64_t value);
void bdl__json_write_f64(bdl__json_writer *writer, double value); /* non-finite becomes null */
void bdl__json_write_bool(bdl__json_writer *writer, bool value);
void bdl__json_write_null(bdl__json_writer *writer);

#endif
