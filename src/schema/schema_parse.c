/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Params from JSON objects and from command-line text. Both fill a copy of the struct and hand it
 * over when all of it is right; every message says what was expected and what was found.
 */
#include "schema/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "schema/schema_member.h"

enum { SHOWN = 64 }; /* bytes of a wrong value that an error text shows */

/* One call of a parser. */
typedef struct parse {
    const bdl__schema *schema;
    bdl__arena *arena;
    void *params;   /* the copy that is filled */
    uint64_t given; /* bit i: field i was given */
} parse;

static bdl_status begin_parse(parse *cx, const bdl__schema *schema, bdl__arena *arena)
{
    *cx = (parse){.schema = schema, .arena = arena};
    BDL__CHECK(schema->n_fields <= BDL__MAX_FIELDS, BDL_ERR_INTERNAL,
               "%s: at most %d fields are possible, got %lld", schema->name, BDL__MAX_FIELDS,
               (long long)schema->n_fields);
    BDL__TRY(bdl__arena_alloc(arena, schema->params_size, &cx->params));
    return bdl__params_default(schema, arena, cx->params);
}

static bdl_status end_parse(const parse *cx, void *params)
{
    for (int64_t i = 0; i < cx->schema->n_fields; i++) {
        const bdl__field *const field = &cx->schema->fields[i];
        BDL__CHECK(!field->required || (cx->given >> i & 1U) != 0, BDL_ERR_INVALID_ARGUMENT,
                   "%s: %s is required, got none", cx->schema->name, field->name);
    }
    if (cx->schema->params_size > 0) {
        memcpy(params, cx->params, cx->schema->params_size);
    }
    return BDL_OK;
}

static bdl_status fail_unknown(const bdl__schema *schema, const char *key)
{
    const char *names[BDL__MAX_FIELDS];
    char all[512] = "";
    size_t used = 0;
    for (int64_t i = 0; i < schema->n_fields; i++) {
        names[i] = schema->fields[i].name;
        if (used < sizeof all) {
            const int n =
                snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : ", ", names[i]);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    const char *const nearest = bdl__nearest_name(key, names, schema->n_fields);
    if (nearest != NULL) {
        return bdl__fail(BDL_ERR_INVALID_ARGUMENT,
                         "%s: unknown parameter '%.60s'; did you mean '%s'?", schema->name, key,
                         nearest);
    }
    return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "%s: unknown parameter '%.60s'; %s%s", schema->name,
                     key, schema->n_fields == 0 ? "it takes none" : "it takes ", all);
}

/* Marks the field of that name as given and finds it. */
static bdl_status find_field(parse *cx, const char *key, const bdl__field **field)
{
    for (int64_t i = 0; i < cx->schema->n_fields; i++) {
        if (strcmp(cx->schema->fields[i].name, key) == 0) {
            BDL__CHECK((cx->given >> i & 1U) == 0, BDL_ERR_INVALID_ARGUMENT,
                       "%s: %s must be given once, got it twice", cx->schema->name, key);
            cx->given |= UINT64_C(1) << i;
            *field = &cx->schema->fields[i];
            return BDL_OK;
        }
    }
    return fail_unknown(cx->schema, key);
}

static bdl_status fail_kind(const parse *cx, const bdl__field *field, const char *expected,
                            const char *found)
{
    return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "%s: %s must be %s, got %s", cx->schema->name,
                     field->name, expected, found);
}

static bdl_status store(const parse *cx, const bdl__field *field, const bdl__member *member)
{
    BDL__TRY(bdl__member_check(cx->schema, field, member));
    bdl__member_write(field, member, cx->params);
    return BDL_OK;
}

static const char *list_name(const bdl__field *field)
{
    return field->kind == BDL__FIELD_I64S ? "a whole number or a list of them"
                                          : "a number or a list of numbers";
}

/* ---- JSON */

static bdl_status fail_json(const parse *cx, const bdl__field *field, const char *expected,
                            const bdl__json *value)
{
    char found[SHOWN + 8];
    switch (bdl__json_kind_of(value)) {
    case BDL__JSON_NUMBER:
        bdl__format_f64(bdl__json_f64(value), found, sizeof found);
        break;
    case BDL__JSON_STRING:
        (void)snprintf(found, sizeof found, "'%.*s'", SHOWN, bdl__json_string(value));
        break;
    case BDL__JSON_NULL:
    case BDL__JSON_BOOL:
    case BDL__JSON_ARRAY:
    case BDL__JSON_OBJECT:
        (void)snprintf(found, sizeof found, "%s", bdl__json_kind_name(bdl__json_kind_of(value)));
        break;
    }
    return fail_kind(cx, field, expected, found);
}

/* Whole numbers beyond 2^53 travel as strings: JSON's numbers are doubles. */
static bool i64_from_json(const bdl__json *value, int64_t *number)
{
    if (bdl__json_kind_of(value) == BDL__JSON_STRING) {
        int64_t large = 0;
        if (!bdl__parse_i64(bdl__json_string(value), &large) ||
            (large <= BDL__JSON_WHOLE_LIMIT && large >= -BDL__JSON_WHOLE_LIMIT)) {
            return false;
        }
        *number = large;
        return true;
    }
    return bdl__json_i64(value, number);
}

/* Infinities travel as strings: JSON has no numbers for them. */
static bool f64_from_json(const bdl__json *value, double *number)
{
    if (bdl__json_kind_of(value) == BDL__JSON_STRING) {
        const char *const text = bdl__json_string(value);
        const bool is_negative = text[0] == '-';
        if (strcmp(text + is_negative, "inf") != 0) {
            return false;
        }
        *number = is_negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    *number = bdl__json_f64(value);
    return bdl__json_kind_of(value) == BDL__JSON_NUMBER;
}

static bdl_status list_from_json(const parse *cx, const bdl__field *field, const bdl__json *value,
                                 bdl__member *member)
{
    const bool is_array = bdl__json_kind_of(value) == BDL__JSON_ARRAY;
    const bdl__json *element = is_array ? bdl__json_first(value) : value;
    int32_t n = 0;
    while (element != NULL) {
        if (n == BDL__MAX_LIST) {
            return bdl__field_fail_length(cx->schema, field, bdl__json_count(value));
        }
        const bool whole = field->kind == BDL__FIELD_I64S;
        if (!(whole ? i64_from_json(element, &member->i64s.v[n])
                    : f64_from_json(element, &member->f64s.v[n]))) {
            return fail_json(cx, field, list_name(field), element);
        }
        n++;
        element = is_array ? bdl__json_next(element) : NULL;
    }
    if (field->kind == BDL__FIELD_I64S) {
        member->i64s.n = n;
    } else {
        member->f64s.n = n;
    }
    return BDL_OK;
}

static bdl_status member_from_json(const parse *cx, const bdl__field *field, const bdl__json *value,
                                   bdl__member *member)
{
    const bdl__json_kind kind = bdl__json_kind_of(value);
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        if (kind != BDL__JSON_BOOL) {
            return fail_json(cx, field, "true or false", value);
        }
        member->b = bdl__json_bool(value);
        break;
    case BDL__FIELD_I64:
        if (!i64_from_json(value, &member->i64)) {
            return fail_json(cx, field, "a whole number", value);
        }
        break;
    case BDL__FIELD_F64:
        if (!f64_from_json(value, &member->f64)) {
            return fail_json(cx, field, "a number", value);
        }
        break;
    case BDL__FIELD_STRING:
        if (kind == BDL__JSON_STRING) {
            return bdl__arena_strdup(cx->arena, bdl__json_string(value), &member->s);
        }
        if (kind != BDL__JSON_NULL) {
            return fail_json(cx, field, "a string", value);
        }
        member->s = NULL;
        break;
    case BDL__FIELD_CHOICE:
        if (kind != BDL__JSON_STRING) {
            return fail_json(cx, field, "a string", value);
        }
        return bdl__field_choose(cx->schema, field, bdl__json_string(value), &member->choice);
    case BDL__FIELD_I64S:
    case BDL__FIELD_F64S:
        return list_from_json(cx, field, value, member);
    }
    return BDL_OK;
}

bdl_status bdl__params_from_json(const bdl__schema *schema, bdl__arena *arena,
                                 const bdl__json *object, void *params)
{
    parse cx;
    BDL__TRY(begin_parse(&cx, schema, arena));
    if (object != NULL) {
        BDL__CHECK(bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_INVALID_ARGUMENT,
                   "%s: parameters must be an object, got %s", schema->name,
                   bdl__json_kind_name(bdl__json_kind_of(object)));
        const bdl__json *value = bdl__json_first(object);
        for (; value != NULL; value = bdl__json_next(value)) {
            const bdl__field *field = NULL;
            bdl__member member = {0};
            BDL__TRY(find_field(&cx, bdl__json_key(value), &field));
            BDL__TRY(member_from_json(&cx, field, value, &member));
            BDL__TRY(store(&cx, field, &member));
        }
    }
    return end_parse(&cx, params);
}

/* ---- command-line text */

static bdl_status fail_text(const parse *cx, const bdl__field *field, const char *expected,
                            const char *value)
{
    char found[SHOWN + 8];
    (void)snprintf(found, sizeof found, "'%.*s'", SHOWN, value);
    return fail_kind(cx, field, expected, found);
}

/* "1000", and "1e3" as well. */
static bool i64_from_text(const char *text, int64_t *number)
{
    double value = 0;
    if (bdl__parse_i64(text, number)) {
        return true;
    }
    if (!bdl__parse_f64(text, &value) || !(value >= -(double)BDL__JSON_WHOLE_LIMIT) ||
        !(value <= (double)BDL__JSON_WHOLE_LIMIT) || value != (double)(int64_t)value) {
        return false;
    }
    *number = (int64_t)value;
    return true;
}

/* 'quoted' and "quoted" text loses its quotes and backslashes; null without quotes is no text. */
static bdl_status string_from_text(const parse *cx, const bdl__field *field, const char *value,
                                   const char **text)
{
    const size_t size = strlen(value);
    if (strcmp(value, "null") == 0) {
        *text = NULL;
        return BDL_OK;
    }
    if (value[0] != '\'' && value[0] != '"') {
        return bdl__arena_strdup(cx->arena, value, text);
    }
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(cx->arena, size, &memory));
    char *out = memory;
    const char *p = value + 1;
    while (*p != '\0' && *p != value[0]) {
        p += *p == '\\' && p[1] != '\0';
        *out++ = *p++;
    }
    if (*p == '\0' || p[1] != '\0') {
        return fail_text(cx, field, "one quoted text", value);
    }
    *text = memory;
    return BDL_OK;
}

static bdl_status list_from_text(const parse *cx, const bdl__field *field, const char *value,
                                 bdl__member *member)
{
    const size_t size = strlen(value);
    const bool bracketed =
        (value[0] == '[' && value[size - 1] == ']') || (value[0] == '(' && value[size - 1] == ')');
    const char *inner = value;
    if (bracketed) {
        BDL__TRY(bdl__arena_printf(cx->arena, &inner, "%.*s", (int)(size - 2), value + 1));
    }
    const char *const *pieces = NULL;
    int64_t n = 0;
    BDL__TRY(bdl__split_list(cx->arena, inner, ',', &pieces, &n));
    if (n > BDL__MAX_LIST) {
        return bdl__field_fail_length(cx->schema, field, n);
    }
    for (int64_t i = 0; i < n; i++) {
        const bool whole = field->kind == BDL__FIELD_I64S;
        if (!(whole ? i64_from_text(pieces[i], &member->i64s.v[i])
                    : bdl__parse_f64(pieces[i], &member->f64s.v[i]))) {
            return fail_text(cx, field, list_name(field), pieces[i]);
        }
    }
    if (field->kind == BDL__FIELD_I64S) {
        member->i64s.n = (int32_t)n;
    } else {
        member->f64s.n = (int32_t)n;
    }
    return BDL_OK;
}

static bdl_status member_from_text(const parse *cx, const bdl__field *field, const char *value,
                                   bdl__member *member)
{
    const char *name = NULL;
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        member->b = strcmp(value, "true") == 0;
        if (!member->b && strcmp(value, "false") != 0) {
            return fail_text(cx, field, "true or false", value);
        }
        break;
    case BDL__FIELD_I64:
        if (!i64_from_text(value, &member->i64)) {
            return fail_text(cx, field, "a whole number", value);
        }
        break;
    case BDL__FIELD_F64:
        if (!bdl__parse_f64(value, &member->f64)) {
            return fail_text(cx, field, "a number", value);
        }
        break;
    case BDL__FIELD_STRING:
        return string_from_text(cx, field, value, &member->s);
    case BDL__FIELD_CHOICE:
        BDL__TRY(string_from_text(cx, field, value, &name));
        return bdl__field_choose(cx->schema, field, name == NULL ? value : name, &member->choice);
    case BDL__FIELD_I64S:
    case BDL__FIELD_F64S:
        return list_from_text(cx, field, value, member);
    }
    return BDL_OK;
}

/* The length of an identifier that is followed by '=', or 0. */
static size_t key_length(const char *piece)
{
    size_t n = 0;
    while ((piece[n] >= 'a' && piece[n] <= 'z') || (piece[n] >= 'A' && piece[n] <= 'Z') ||
           (piece[n] >= '0' && piece[n] <= '9' && n > 0) || piece[n] == '_') {
        n++;
    }
    const size_t spaces = strspn(piece + n, " \t");
    return piece[n + spaces] == '=' ? n : 0;
}

/* One piece: "key=value", or a value for the field whose turn it is. */
static bdl_status parse_piece(parse *cx, const char *piece, int64_t i_piece, bool *named)
{
    const bdl__field *field = NULL;
    const char *value = piece;
    const size_t n_key = key_length(piece);
    if (n_key > 0) {
        const char *key = NULL;
        BDL__TRY(bdl__arena_printf(cx->arena, &key, "%.*s", (int)n_key, piece));
        BDL__TRY(find_field(cx, key, &field));
        value = strchr(piece, '=') + 1;
        value += strspn(value, " \t\n\r\v\f");
        *named = true;
    } else {
        BDL__CHECK(!*named, BDL_ERR_INVALID_ARGUMENT,
                   "%s: expected name=value after a named parameter, got '%.60s'", cx->schema->name,
                   piece);
        BDL__CHECK(i_piece < cx->schema->n_fields, BDL_ERR_INVALID_ARGUMENT,
                   "%s: expected at most %lld parameters, got '%.60s' as well", cx->schema->name,
                   (long long)cx->schema->n_fields, piece);
        BDL__TRY(find_field(cx, cx->schema->fields[i_piece].name, &field));
    }
    if (*value == '\0') {
        return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "%s: %s needs a value, got none",
                         cx->schema->name, field->name);
    }
    bdl__member member = {0};
    BDL__TRY(member_from_text(cx, field, value, &member));
    return store(cx, field, &member);
}

bdl_status bdl__params_from_text(const bdl__schema *schema, bdl__arena *arena, const char *text,
                                 void *params)
{
    parse cx;
    BDL__TRY(begin_parse(&cx, schema, arena));
    const char *const *pieces = NULL;
    int64_t n_pieces = 0;
    const bdl_status status = bdl__split_list(arena, text, ',', &pieces, &n_pieces);
    if (status != BDL_OK) {
        return bdl__fail_in(status, "%s", schema->name);
    }
    bool named = false;
    for (int64_t i = 0; i < n_pieces; i++) {
        BDL__TRY(parse_piece(&cx, pieces[i], i, &named));
    }
    return end_parse(&cx, params);
}
