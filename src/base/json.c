/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values and the writer. cJSON builds the tree, but it is lenient and does not say where a
 * mistake is, so that json_scan.c checks the text first; what cJSON then refuses can only be for lack
 * of memory. cJSON reads numbers by the locale, which is therefore set to "C" for the call.
 */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"

enum { FEW_KEYS = 16 };

static const cJSON *node_of(const bdl__json *value)
{
    return (const cJSON *)(const void *)value;
}

static const bdl__json *value_of(const cJSON *node)
{
    return (const bdl__json *)(const void *)node;
}

/* ---- parsing */

static int compare_keys(const void *a, const void *b)
{
    const cJSON *const left = *(const cJSON *const *)a;
    const cJSON *const right = *(const cJSON *const *)b;
    return strcmp(left->string, right->string);
}

/* A member whose key an earlier one of the object has; `n` is small. */
static const cJSON *duplicate_of_few(const cJSON *object)
{
    for (const cJSON *node = object->child; node != NULL; node = node->next) {
        for (const cJSON *other = object->child; other != node; other = other->next) {
            if (strcmp(node->string, other->string) == 0) {
                return node;
            }
        }
    }
    return NULL;
}

/* The same for many members: linear in memory, n log n in time. */
static bdl_status duplicate_of_many(const cJSON *object, int n, const cJSON **duplicate)
{
    const bdl_allocator *const allocator = bdl__default_allocator();
    const size_t size = (size_t)n * sizeof(const cJSON *);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, size, &memory));
    const cJSON **const nodes = memory;
    const cJSON *node = object->child;
    for (int i = 0; i < n; i++, node = node->next) {
        nodes[i] = node;
    }
    qsort(nodes, (size_t)n, sizeof nodes[0], compare_keys);
    for (int i = 1; i < n && *duplicate == NULL; i++) {
        if (strcmp(nodes[i - 1]->string, nodes[i]->string) == 0) {
            *duplicate = nodes[i];
        }
    }
    bdl__free(allocator, memory, size);
    return BDL_OK;
}

/* Depth is bounded by the scan. */
static bdl_status find_duplicate(const cJSON *node, const cJSON **duplicate)
{
    if (cJSON_IsObject(node)) {
        const int n = cJSON_GetArraySize(node);
        if (n <= FEW_KEYS) {
            *duplicate = duplicate_of_few(node);
        } else {
            BDL__TRY(duplicate_of_many(node, n, duplicate));
        }
    }
    for (const cJSON *child = node->child; child != NULL && *duplicate == NULL;
         child = child->next) {
        BDL__TRY(find_duplicate(child, duplicate));
    }
    return BDL_OK;
}

/* Counts the keys of the document up to `wanted`'s, in the text's order; false: not below node. */
static bool count_keys(const cJSON *node, const cJSON *wanted, int64_t *n_keys)
{
    for (const cJSON *child = node->child; child != NULL; child = child->next) {
        *n_keys += cJSON_IsObject(node);
        if (child == wanted || count_keys(child, wanted, n_keys)) {
            return true;
        }
    }
    return false;
}

static bdl_status refuse_duplicates(const cJSON *root, const char *text, size_t size,
                                    const char *where)
{
    const cJSON *duplicate = NULL;
    BDL__TRY(find_duplicate(root, &duplicate));
    if (duplicate == NULL) {
        return BDL_OK;
    }
    int64_t n_keys = 0;
    (void)count_keys(root, duplicate, &n_keys);
    return bdl__json_fail_at_key(text, size, where, n_keys, duplicate->string);
}

bdl_status bdl__json_parse(const char *text, size_t size, const char *where, bdl__json **document)
{
    BDL__TRY(bdl__json_scan(text, size, where));
    bdl__c_locale locale;
    bdl__c_locale_enter(&locale);
    cJSON *const root = cJSON_ParseWithLengthOpts(text, size, NULL, false);
    bdl__c_locale_leave(&locale);
    if (root == NULL) {
        return bdl__fail(BDL_ERR_OUT_OF_MEMORY, "%s: out of memory for a JSON text of %zu bytes",
                         where, size);
    }
    const bdl_status status = refuse_duplicates(root, text, size, where);
    if (status != BDL_OK) {
        cJSON_Delete(root);
        return status;
    }
    *document = (bdl__json *)(void *)root;
    return BDL_OK;
}

void bdl__json_free(bdl__json *document)
{
    cJSON_Delete((cJSON *)(void *)document);
}

/* ---- values */

bdl__json_kind bdl__json_kind_of(const bdl__json *value)
{
    const cJSON *const node = node_of(value);
    if (cJSON_IsBool(node)) {
        return BDL__JSON_BOOL;
    }
    if (cJSON_IsNumber(node)) {
        return BDL__JSON_NUMBER;
    }
    if (cJSON_IsString(node)) {
        return BDL__JSON_STRING;
    }
    if (cJSON_IsArray(node)) {
        return BDL__JSON_ARRAY;
    }
    return cJSON_IsObject(node) ? BDL__JSON_OBJECT : BDL__JSON_NULL;
}

const char *bdl__json_kind_name(bdl__json_kind kind)
{
    switch (kind) {
    case BDL__JSON_NULL:
        return "null";
    case BDL__JSON_BOOL:
        return "true or false";
    case BDL__JSON_NUMBER:
        return "a number";
    case BDL__JSON_STRING:
        return "a string";
    case BDL__JSON_ARRAY:
        return "an array";
    case BDL__JSON_OBJECT:
        return "an object";
    }
    return "";
}

bool bdl__json_bool(const bdl__json *value)
{
    return cJSON_IsTrue(node_of(value)) != 0;
}

bool bdl__json_i64(const bdl__json *value, int64_t *number)
{
    const cJSON *const node = node_of(value);
    if (!cJSON_IsNumber(node) || !(fabs(node->valuedouble) <= 0x1p53)) {
        return false;
    }
    const int64_t whole = (int64_t)node->valuedouble;
    if ((double)whole != node->valuedouble) {
        return false;
    }
    *number = whole;
    return true;
}

double bdl__json_f64(const bdl__json *value)
{
    return cJSON_IsNumber(node_of(value)) ? node_of(value)->valuedouble : 0.0;
}

const char *bdl__json_string(const bdl__json *value)
{
    return cJSON_IsString(node_of(value)) ? node_of(value)->valuestring : "";
}

int64_t bdl__json_count(const bdl__json *array_or_object)
{
    return cJSON_GetArraySize(node_of(array_or_object));
}

const bdl__json *bdl__json_first(const bdl__json *array_or_object)
{
    return value_of(node_of(array_or_object)->child);
}

const bdl__json *bdl__json_next(const bdl__json *value)
{
    return value_of(node_of(value)->next);
}

const char *bdl__json_key(const bdl__json *member)
{
    const char *const key = node_of(member)->string;
    return key == NULL ? "" : key;
}

const bdl__json *bdl__json_get(const bdl__json *object, const char *key)
{
    if (object == NULL || !cJSON_IsObject(node_of(object))) {
        return NULL;
    }
    return value_of(cJSON_GetObjectItemCaseSensitive(node_of(object), key));
}

bdl_status bdl__json_need(const bdl__json *object, const char *key, bdl__json_kind kind,
                          const char *where, const bdl__json **value)
{
    BDL__CHECK(bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: expected an object with '%s', got %s", where, key,
               bdl__json_kind_name(bdl__json_kind_of(object)));
    const bdl__json *const member = bdl__json_get(object, key);
    BDL__CHECK(member != NULL, BDL_ERR_FORMAT, "%s: expected '%s' to be %s, got none", where, key,
               bdl__json_kind_name(kind));
    const bdl__json_kind found = bdl__json_kind_of(member);
    BDL__CHECK(found == kind, BDL_ERR_FORMAT, "%s: expected '%s' to be %s, got %s", where, key,
               bdl__json_kind_name(kind), bdl__json_kind_name(found));
    *value = member;
    return BDL_OK;
}

bdl_status bdl__json_need_i64(const bdl__json *object, const char *key, const char *where,
                              int64_t *value)
{
    const bdl__json *member = NULL;
    BDL__TRY(bdl__json_need(object, key, BDL__JSON_NUMBER, where, &member));
    if (!bdl__json_i64(member, value)) {
        char found[32];
        bdl__format_f64(bdl__json_f64(member), found, sizeof found);
        return bdl__fail(BDL_ERR_FORMAT,
                         "%s: expected '%s' to be a whole number of at most 2^53, got %s", where,
                         key, found);
    }
    return BDL_OK;
}

bdl_status bdl__json_need_string(const bdl__json *object, const char *key, const char *where,
                                 const char **value)
{
    const bdl__json *member = NULL;
    BDL__TRY(bdl__json_need(object, key, BDL__JSON_STRING, where, &member));
    *value = bdl__json_string(member);
    return BDL_OK;
}

/* ---- writing */

void bdl__json_writer_init(bdl__json_writer *writer, bdl__text *out, int indent)
{
    *writer = (bdl__json_writer){.out = out, .indent = indent};
}

static void new_line(bdl__json_writer *writer)
{
    bdl__text_append(writer->out, "\n%*s", writer->indent * writer->depth, "");
}

/* What stands before a value or a key. */
static void separate(bdl__json_writer *writer)
{
    if (writer->after_key) {
        writer->after_key = false;
        return;
    }
    if (writer->need_comma) {
        bdl__text_append_bytes(writer->out, ",", 1);
    }
    if (writer->indent > 0 && writer->depth > 0) {
        new_line(writer);
    } else if (writer->need_comma) {
        bdl__text_append_bytes(writer->out, " ", 1);
    }
    writer->need_comma = true;
}

void bdl__json_open(bdl__json_writer *writer, char bracket)
{
    separate(writer);
    bdl__text_append_bytes(writer->out, &bracket, 1);
    writer->depth++;
    writer->need_comma = false;
}

void bdl__json_close(bdl__json_writer *writer, char bracket)
{
    writer->depth--;
    if (writer->need_comma && writer->indent > 0) {
        new_line(writer);
    }
    bdl__text_append_bytes(writer->out, &bracket, 1);
    writer->need_comma = true;
}

static void write_escape(bdl__text *out, unsigned char c)
{
    static const char letters[] = "btn?fr"; /* 8 to 13, without the vertical tab */
    if (c == '"' || c == '\\') {
        bdl__text_append(out, "\\%c", c);
    } else if (c >= 8 && c <= 13 && c != 11) {
        bdl__text_append(out, "\\%c", letters[c - 8]);
    } else {
        bdl__text_append(out, "\\u%04x", c);
    }
}

static void write_quoted(bdl__text *out, const char *value)
{
    size_t left = strlen(value);
    bdl__text_append_bytes(out, "\"", 1);
    for (const char *p = value; left > 0;) {
        const unsigned char c = (unsigned char)*p;
        const int n = bdl__utf8_step(p, left);
        if (n == 0) {
            bdl__text_append_bytes(out, "\xEF\xBF\xBD", 3);
        } else if (c < 0x20U || c == '"' || c == '\\' || c == 0x7FU) {
            write_escape(out, c);
        } else {
            bdl__text_append_bytes(out, p, (size_t)n);
        }
        const size_t taken = n == 0 ? 1 : (size_t)n;
        p += taken;
        left -= taken;
    }
    bdl__text_append_bytes(out, "\"", 1);
}

void bdl__json_write_key(bdl__json_writer *writer, const char *key)
{
    separate(writer);
    write_quoted(writer->out, key);
    bdl__text_append_bytes(writer->out, ": ", 2);
    writer->after_key = true;
}

void bdl__json_write_string(bdl__json_writer *writer, const char *value)
{
    separate(writer);
    write_quoted(writer->out, value);
}

void bdl__json_write_i64(bdl__json_writer *writer, int64_t value)
{
    separate(writer);
    bdl__text_append(writer->out, "%lld", (long long)value);
}

void bdl__json_write_f64(bdl__json_writer *writer, double value)
{
    char text[32];
    if (!isfinite(value)) {
        bdl__json_write_null(writer);
        return;
    }
    separate(writer);
    bdl__format_f64(value, text, sizeof text);
    bdl__text_append(writer->out, "%s", text);
}

void bdl__json_write_bool(bdl__json_writer *writer, bool value)
{
    separate(writer);
    bdl__text_append(writer->out, "%s", value ? "true" : "false");
}

void bdl__json_write_null(bdl__json_writer *writer)
{
    separate(writer);
    bdl__text_append(writer->out, "null");
}

bdl_status bdl__json_check_members(const bdl__json *object, const char *const *known,
                                   int64_t n_known, const char *where)
{
    for (const bdl__json *m = bdl__json_first(object); m; m = bdl__json_next(m)) {
        bool is_known = false;
        for (int64_t i = 0; i < n_known; i++) {
            is_known |= strcmp(bdl__json_key(m), known[i]) == 0;
        }
        if (!is_known) {
            const char *const nearest = bdl__nearest_name(bdl__json_key(m), known, n_known);
            BDL__FAIL(BDL_ERR_FORMAT, "%s: unknown member '%.100s'%s%s%s", where, bdl__json_key(m),
                      nearest ? "; did you mean '" : "", nearest ? nearest : "",
                      nearest ? "'?" : "");
        }
    }
    return BDL_OK;
}
