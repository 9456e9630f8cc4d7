/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Params as JSON and as command-line text (both read back to the same values), the table itself as
 * JSON for the generated bindings, and help.
 */
#include "schema/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "schema/schema_member.h"

enum { HELP_COLUMNS = 100, WIDEST_HEAD = 40 };

/* ---- JSON */

static void i64_to_json(int64_t value, bdl__json_writer *writer)
{
    if (value <= BDL__JSON_WHOLE_LIMIT && value >= -BDL__JSON_WHOLE_LIMIT) {
        bdl__json_write_i64(writer, value);
    } else {
        char text[BDL__NUMBER_SIZE];
        (void)snprintf(text, sizeof text, "%lld", (long long)value);
        bdl__json_write_string(writer, text);
    }
}

static void f64_to_json(double value, bdl__json_writer *writer)
{
    if (isinf(value)) {
        bdl__json_write_string(writer, value > 0 ? "inf" : "-inf");
    } else {
        bdl__json_write_f64(writer, value);
    }
}

static void string_to_json(const char *value, bdl__json_writer *writer)
{
    if (value == NULL) {
        bdl__json_write_null(writer);
    } else {
        bdl__json_write_string(writer, value);
    }
}

static const char *choice_name(const bdl__field *field, bdl__choice choice)
{
    return choice.i >= 0 && choice.i < bdl__field_n_choices(field) ? field->choices[choice.i] : "";
}

/* Lists stay on one line. */
static void list_to_json(const bdl__field *field, const bdl__member *member,
                         bdl__json_writer *writer)
{
    const int indent = writer->indent;
    const bool whole = field->kind == BDL__FIELD_I64S;
    const int32_t n = whole ? member->i64s.n : member->f64s.n;
    bdl__json_open(writer, '[');
    writer->indent = 0;
    for (int32_t i = 0; i < n && i < BDL__MAX_LIST; i++) {
        if (whole) {
            i64_to_json(member->i64s.v[i], writer);
        } else {
            f64_to_json(member->f64s.v[i], writer);
        }
    }
    bdl__json_close(writer, ']');
    writer->indent = indent;
}

static void member_to_json(const bdl__field *field, const bdl__member *member,
                           bdl__json_writer *writer)
{
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        bdl__json_write_bool(writer, member->b);
        break;
    case BDL__FIELD_I64:
        i64_to_json(member->i64, writer);
        break;
    case BDL__FIELD_F64:
        f64_to_json(member->f64, writer);
        break;
    case BDL__FIELD_STRING:
        string_to_json(member->s, writer);
        break;
    case BDL__FIELD_CHOICE:
        bdl__json_write_string(writer, choice_name(field, member->choice));
        break;
    case BDL__FIELD_I64S:
    case BDL__FIELD_F64S:
        list_to_json(field, member, writer);
        break;
    }
}

void bdl__params_to_json(const bdl__schema *schema, const void *params, bool only_changed,
                         bdl__json_writer *writer)
{
    bdl__json_open(writer, '{');
    for (int64_t i = 0; i < schema->n_fields; i++) {
        const bdl__field *const field = &schema->fields[i];
        bdl__member member;
        bdl__member_read(field, params, &member);
        if (only_changed && bdl__member_is_default(schema, field, &member)) {
            continue;
        }
        bdl__json_write_key(writer, field->name);
        member_to_json(field, &member, writer);
    }
    bdl__json_close(writer, '}');
}

/* ---- command-line text */

static void quoted_to_text(const char *value, bdl__text *out)
{
    bdl__text_append_bytes(out, "'", 1);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\') {
            bdl__text_append_bytes(out, "\\", 1);
        }
        bdl__text_append_bytes(out, p, 1);
    }
    bdl__text_append_bytes(out, "'", 1);
}

static void f64_to_text(double value, bdl__text *out)
{
    char text[BDL__NUMBER_SIZE];
    bdl__format_f64(value, text, sizeof text);
    bdl__text_append(out, "%s", text);
}

static void list_to_text(const bdl__field *field, const bdl__member *member, bdl__text *out)
{
    const bool whole = field->kind == BDL__FIELD_I64S;
    const int32_t n = whole ? member->i64s.n : member->f64s.n;
    bdl__text_append(out, "[");
    for (int32_t i = 0; i < n && i < BDL__MAX_LIST; i++) {
        bdl__text_append(out, "%s", i == 0 ? "" : ",");
        if (whole) {
            bdl__text_append(out, "%lld", (long long)member->i64s.v[i]);
        } else {
            f64_to_text(member->f64s.v[i], out);
        }
    }
    bdl__text_append(out, "]");
}

static void member_to_text(const bdl__field *field, const bdl__member *member, bdl__text *out)
{
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        bdl__text_append(out, "%s", member->b ? "true" : "false");
        break;
    case BDL__FIELD_I64:
        bdl__text_append(out, "%lld", (long long)member->i64);
        break;
    case BDL__FIELD_F64:
        f64_to_text(member->f64, out);
        break;
    case BDL__FIELD_STRING:
        if (member->s == NULL) {
            bdl__text_append(out, "null");
        } else {
            quoted_to_text(member->s, out);
        }
        break;
    case BDL__FIELD_CHOICE:
        bdl__text_append(out, "%s", choice_name(field, member->choice));
        break;
    case BDL__FIELD_I64S:
    case BDL__FIELD_F64S:
        list_to_text(field, member, out);
        break;
    }
}

void bdl__params_to_text(const bdl__schema *schema, const void *params, bdl__text *out)
{
    const char *separator = "";
    for (int64_t i = 0; i < schema->n_fields; i++) {
        const bdl__field *const field = &schema->fields[i];
        bdl__member member;
        bdl__member_read(field, params, &member);
        if (!bdl__member_is_default(schema, field, &member)) {
            bdl__text_append(out, "%s%s=", separator, field->name);
            member_to_text(field, &member, out);
            separator = ", ";
        }
    }
}

/* ---- the table */

static const char *type_name(bdl__field_kind kind)
{
    switch (kind) {
    case BDL__FIELD_BOOL:
        return "bool";
    case BDL__FIELD_I64:
        return "int";
    case BDL__FIELD_F64:
        return "float";
    case BDL__FIELD_STRING:
        return "string";
    case BDL__FIELD_CHOICE:
        return "choice";
    case BDL__FIELD_I64S:
        return "ints";
    case BDL__FIELD_F64S:
        return "floats";
    }
    return "";
}

static void dump_choices(const bdl__field *field, bdl__json_writer *writer)
{
    const int indent = writer->indent;
    bdl__json_write_key(writer, "choices");
    bdl__json_open(writer, '[');
    writer->indent = 0;
    for (int32_t i = 0; i < bdl__field_n_choices(field); i++) {
        bdl__json_write_string(writer, field->choices[i]);
    }
    bdl__json_close(writer, ']');
    writer->indent = indent;
}

static void dump_limits(const bdl__field *field, bdl__json_writer *writer)
{
    if (field->range.given && field->range.least > -BDL__NO_LIMIT) {
        bdl__json_write_key(writer, "least");
        f64_to_json(field->range.least, writer);
    }
    if (field->range.given && field->range.most < BDL__NO_LIMIT) {
        bdl__json_write_key(writer, "most");
        f64_to_json(field->range.most, writer);
    }
    if (field->kind == BDL__FIELD_I64S || field->kind == BDL__FIELD_F64S) {
        bdl__json_write_key(writer, "least_n");
        bdl__json_write_i64(writer, bdl__field_least_n(field));
        bdl__json_write_key(writer, "most_n");
        bdl__json_write_i64(writer, bdl__field_most_n(field));
    }
}

static void dump_field(const bdl__schema *schema, const bdl__field *field, bdl__json_writer *writer)
{
    bdl__member member;
    bdl__json_open(writer, '{');
    bdl__json_write_key(writer, "name");
    bdl__json_write_string(writer, field->name);
    bdl__json_write_key(writer, "type");
    bdl__json_write_string(writer, type_name(field->kind));
    bdl__json_write_key(writer, "required");
    bdl__json_write_bool(writer, field->required);
    if (!field->required && bdl__member_default(schema, field, &member) == BDL_OK) {
        bdl__json_write_key(writer, "default");
        member_to_json(field, &member, writer);
    }
    dump_limits(field, writer);
    if (field->kind == BDL__FIELD_CHOICE) {
        dump_choices(field, writer);
    }
    if (field->torch_name != NULL) {
        bdl__json_write_key(writer, "torch_name");
        bdl__json_write_string(writer, field->torch_name);
    }
    if (field->inferred) {
        bdl__json_write_key(writer, "inferred");
        bdl__json_write_bool(writer, true);
    }
    bdl__json_write_key(writer, "doc");
    bdl__json_write_string(writer, field->doc == NULL ? "" : field->doc);
    bdl__json_close(writer, '}');
}

void bdl__schema_dump(const bdl__schema *schema, bdl__json_writer *writer)
{
    bdl__json_open(writer, '[');
    for (int64_t i = 0; i < schema->n_fields; i++) {
        dump_field(schema, &schema->fields[i], writer);
    }
    bdl__json_close(writer, ']');
}

/* ---- help */

/* "  lr  float=0.01" or "  mode  zeros|reflect=zeros" or "  units  int (required)". */
static void help_head(const bdl__schema *schema, const bdl__field *field, int name_width,
                      bdl__text *out)
{
    bdl__text_append(out, "  %-*s  ", name_width, field->name);
    if (field->kind == BDL__FIELD_CHOICE) {
        for (int32_t i = 0; i < bdl__field_n_choices(field); i++) {
            bdl__text_append(out, "%s%s", i == 0 ? "" : "|", field->choices[i]);
        }
    } else {
        bdl__text_append(out, "%s", type_name(field->kind));
    }
    bdl__member member;
    if (field->required) {
        bdl__text_append(out, " (required)");
    } else if (bdl__member_default(schema, field, &member) == BDL_OK &&
               !(field->kind == BDL__FIELD_STRING && member.s == NULL)) {
        bdl__text_append(out, "=");
        member_to_text(field, &member, out);
    }
}

void bdl__help_words(const char *doc, size_t column, bdl__text *out)
{
    size_t at = column;
    const char *p = doc + strspn(doc, " \n");
    while (*p != '\0') {
        const size_t n = strcspn(p, " \n");
        if (at > column && at + 1 + n > HELP_COLUMNS) {
            bdl__text_append(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            bdl__text_append(out, " ");
            at++;
        }
        bdl__text_append_bytes(out, p, n);
        at += n;
        p += n;
        p += strspn(p, " \n");
    }
}

/* Where docs start: behind the longest head that is not excessive. */
static size_t doc_column(const bdl__schema *schema, int name_width, const bdl_allocator *allocator)
{
    size_t column = 0;
    bdl__text head;
    bdl__text_init(&head, allocator);
    for (int64_t i = 0; i < schema->n_fields; i++) {
        head.size = 0;
        help_head(schema, &schema->fields[i], name_width, &head);
        if (head.size <= WIDEST_HEAD) {
            column = BDL__MAX(column, head.size);
        }
    }
    bdl__text_free(&head);
    return column + 2;
}

void bdl__schema_help(const bdl__schema *schema, bdl__text *out)
{
    size_t name_width = 0;
    for (int64_t i = 0; i < schema->n_fields; i++) {
        name_width = BDL__MAX(name_width, strlen(schema->fields[i].name));
    }
    const size_t column = doc_column(schema, (int)name_width, out->allocator);
    for (int64_t i = 0; i < schema->n_fields; i++) {
        const bdl__field *const field = &schema->fields[i];
        const size_t start = out->size;
        help_head(schema, field, (int)name_width, out);
        const size_t used = out->size - start;
        if (used + 2 <= column) {
            bdl__text_append(out, "%*s", (int)(column - used), "");
        } else {
            bdl__text_append(out, "\n%*s", (int)column, "");
        }
        bdl__help_words(field->doc == NULL ? "" : field->doc, column, out);
        bdl__text_append(out, "\n");
    }
}
