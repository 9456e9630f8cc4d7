/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field tables: defaults and validation. A field's value is copied between its struct and a
 * bdl__member, so that parsing, checking and printing treat all kinds alike.
 */
#include "schema/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "schema/schema_member.h"

static size_t member_size(const bdl__field *field)
{
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        return sizeof(bool);
    case BDL__FIELD_I64:
        return sizeof(int64_t);
    case BDL__FIELD_F64:
        return sizeof(double);
    case BDL__FIELD_STRING:
        return sizeof(const char *);
    case BDL__FIELD_CHOICE:
        return sizeof(bdl__choice);
    case BDL__FIELD_I64S:
        return sizeof(bdl__i64s);
    case BDL__FIELD_F64S:
        return sizeof(bdl__f64s);
    }
    return 0;
}

void bdl__member_read(const bdl__field *field, const void *params, bdl__member *member)
{
    memset(member, 0, sizeof *member);
    memcpy(member, (const char *)params + field->offset, member_size(field));
}

void bdl__member_write(const bdl__field *field, const bdl__member *member, void *params)
{
    memcpy((char *)params + field->offset, member, member_size(field));
}

int32_t bdl__field_n_choices(const bdl__field *field)
{
    int32_t n = 0;
    while (field->choices != NULL && field->choices[n] != NULL) {
        n++;
    }
    return n;
}

int32_t bdl__field_least_n(const bdl__field *field)
{
    return field->least_n;
}

int32_t bdl__field_most_n(const bdl__field *field)
{
    return field->most_n == 0 ? BDL__MAX_LIST : BDL__MIN(field->most_n, BDL__MAX_LIST);
}

bdl_status bdl__field_fail_length(const bdl__schema *schema, const bdl__field *field, int64_t n)
{
    const int least = bdl__field_least_n(field);
    const int most = bdl__field_most_n(field);
    char needs[64];
    if (least == most) {
        (void)snprintf(needs, sizeof needs, "%d number%s", least, bdl__plural(least));
    } else if (least == 0) {
        (void)snprintf(needs, sizeof needs, "at most %d number%s", most, bdl__plural(most));
    } else {
        (void)snprintf(needs, sizeof needs, "%d %s %d numbers", least,
                       most == least + 1 ? "or" : "to", most);
    }
    return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "%s: %s needs %s, got %lld", schema->name,
                     field->name, needs, (long long)n);
}

/* "'zeros', 'reflect'", cut where the buffer ends. */
static void list_choices(const bdl__field *field, char *buffer, size_t size)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int32_t i = 0; i < bdl__field_n_choices(field) && used < size; i++) {
        const int n =
            snprintf(buffer + used, size - used, "%s'%s'", i == 0 ? "" : ", ", field->choices[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

bdl_status bdl__field_choose(const bdl__schema *schema, const bdl__field *field, const char *name,
                             bdl__choice *choice)
{
    const int32_t n = bdl__field_n_choices(field);
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(field->choices[i], name) == 0) {
            choice->i = i;
            return BDL_OK;
        }
    }
    char names[512];
    list_choices(field, names, sizeof names);
    const char *const nearest = bdl__nearest_name(name, field->choices, n);
    return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "%s: %s must be one of %s, got '%.60s'%s%s%s",
                     schema->name, field->name, names, name,
                     nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
                     nearest != NULL ? "'?" : "");
}

/* The next number of a default list such as "1,1"; *p moves behind its comma. */
static bool next_default(const char **p, double *number)
{
    const size_t size = strcspn(*p, ",");
    char piece[BDL__NUMBER_SIZE];
    while (**p == ' ') {
        ++*p;
    }
    const size_t n = strcspn(*p, ", ");
    if (n == 0 || n >= sizeof piece || size >= sizeof piece) {
        return false;
    }
    memcpy(piece, *p, n);
    piece[n] = '\0';
    *p += strcspn(*p, ",");
    *p += **p == ',';
    return bdl__parse_f64(piece, number);
}

static bool default_list(const bdl__field *field, bdl__member *member)
{
    const char *p = field->def.s;
    int32_t n = 0;
    while (p != NULL && *p != '\0') {
        double number = 0;
        if (n == BDL__MAX_LIST || !next_default(&p, &number)) {
            return false;
        }
        if (field->kind == BDL__FIELD_I64S) {
            member->i64s.v[n++] = (int64_t)number;
            member->i64s.n = n;
        } else {
            member->f64s.v[n++] = number;
            member->f64s.n = n;
        }
    }
    return true;
}

bdl_status bdl__member_default(const bdl__schema *schema, const bdl__field *field,
                               bdl__member *member)
{
    memset(member, 0, sizeof *member);
    if (field->required) {
        return BDL_OK;
    }
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        member->b = field->def.b;
        break;
    case BDL__FIELD_I64:
        member->i64 = field->def.i64;
        break;
    case BDL__FIELD_F64:
        member->f64 = field->def.f64;
        break;
    case BDL__FIELD_STRING:
        member->s = field->def.s;
        break;
    case BDL__FIELD_CHOICE:
        if (field->def.s != NULL) {
            return bdl__field_choose(schema, field, field->def.s, &member->choice);
        }
        break;
    case BDL__FIELD_I64S:
    case BDL__FIELD_F64S:
        BDL__CHECK(default_list(field, member), BDL_ERR_INTERNAL,
                   "%s: %s has a malformed default '%s'", schema->name, field->name, field->def.s);
        break;
    }
    return BDL_OK;
}

bool bdl__member_is_default(const bdl__schema *schema, const bdl__field *field,
                            const bdl__member *member)
{
    bdl__member initial;
    if (field->required || bdl__member_default(schema, field, &initial) != BDL_OK) {
        return false;
    }
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        return member->b == initial.b;
    case BDL__FIELD_I64:
        return member->i64 == initial.i64;
    case BDL__FIELD_F64:
        return member->f64 == initial.f64;
    case BDL__FIELD_STRING:
        if (member->s == NULL || initial.s == NULL) {
            return member->s == initial.s;
        }
        return strcmp(member->s, initial.s) == 0;
    case BDL__FIELD_CHOICE:
        return member->choice.i == initial.choice.i;
    case BDL__FIELD_I64S:
        return member->i64s.n == initial.i64s.n &&
               memcmp(member->i64s.v, initial.i64s.v,
                      (size_t)initial.i64s.n * sizeof initial.i64s.v[0]) == 0;
    case BDL__FIELD_F64S:
        for (int32_t i = 0; i < initial.f64s.n && i < member->f64s.n; i++) {
            if (member->f64s.v[i] != initial.f64s.v[i]) {
                return false;
            }
        }
        return member->f64s.n == initial.f64s.n;
    }
    return false;
}

/* The number is below or above the field's range; `found` is its text. */
static bdl_status fail_range(const bdl__schema *schema, const bdl__field *field, const char *found)
{
    char least[BDL__NUMBER_SIZE];
    char most[BDL__NUMBER_SIZE];
    bdl__format_f64(field->range.least, least, sizeof least);
    bdl__format_f64(field->range.most, most, sizeof most);
    const char *const where = schema->name;
    if (field->range.most >= BDL__NO_LIMIT) {
        return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "%s: %s must be %s%s, got %s", where,
                         field->name, found[0] == 'i' ? "finite and >= " : ">= ", least, found);
    }
    if (field->range.least <= -BDL__NO_LIMIT) {
        return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "%s: %s must be <= %s, got %s", where,
                         field->name, most, found);
    }
    return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "%s: %s must be between %s and %s, got %s", where,
                     field->name, least, most, found);
}

static bdl_status check_i64(const bdl__schema *schema, const bdl__field *field, int64_t value)
{
    const bdl__range *const range = &field->range;
    const bool unlimited = range->most >= BDL__NO_LIMIT;
    if (range->given &&
        ((double)value < range->least || (!unlimited && (double)value > range->most))) {
        char found[BDL__NUMBER_SIZE];
        (void)snprintf(found, sizeof found, "%lld", (long long)value);
        return fail_range(schema, field, found);
    }
    return BDL_OK;
}

static bdl_status check_f64(const bdl__schema *schema, const bdl__field *field, double value)
{
    BDL__CHECK(!isnan(value), BDL_ERR_INVALID_ARGUMENT, "%s: %s must be a number, got nan",
               schema->name, field->name);
    const bdl__range *const range = &field->range;
    const bool unlimited = range->most >= BDL__NO_LIMIT && !isinf(value);
    if (range->given && (value < range->least || (!unlimited && value > range->most))) {
        char found[BDL__NUMBER_SIZE];
        bdl__format_f64(value, found, sizeof found);
        return fail_range(schema, field, found);
    }
    return BDL_OK;
}

/* A list that was not given and has no default may be empty whatever its least length. */
static bdl_status check_length(const bdl__schema *schema, const bdl__field *field, int32_t n)
{
    const bool absent =
        n == 0 && !field->required && (field->def.s == NULL || field->def.s[0] == '\0');
    if (absent || (n >= bdl__field_least_n(field) && n <= bdl__field_most_n(field))) {
        return BDL_OK;
    }
    return bdl__field_fail_length(schema, field, n);
}

bdl_status bdl__member_check(const bdl__schema *schema, const bdl__field *field,
                             const bdl__member *member)
{
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        break;
    case BDL__FIELD_I64:
        return check_i64(schema, field, member->i64);
    case BDL__FIELD_F64:
        return check_f64(schema, field, member->f64);
    case BDL__FIELD_STRING:
        BDL__CHECK(!field->required || member->s != NULL, BDL_ERR_INVALID_ARGUMENT,
                   "%s: %s is required, got none", schema->name, field->name);
        break;
    case BDL__FIELD_CHOICE:
        BDL__CHECK(member->choice.i >= 0 && member->choice.i < bdl__field_n_choices(field),
                   BDL_ERR_INVALID_ARGUMENT, "%s: %s must be one of its %d choices, got number %d",
                   schema->name, field->name, bdl__field_n_choices(field), member->choice.i);
        break;
    case BDL__FIELD_I64S:
        BDL__TRY(check_length(schema, field, member->i64s.n));
        for (int32_t i = 0; i < member->i64s.n; i++) {
            BDL__TRY(check_i64(schema, field, member->i64s.v[i]));
        }
        break;
    case BDL__FIELD_F64S:
        BDL__TRY(check_length(schema, field, member->f64s.n));
        for (int32_t i = 0; i < member->f64s.n; i++) {
            BDL__TRY(check_f64(schema, field, member->f64s.v[i]));
        }
        break;
    }
    return BDL_OK;
}

bdl_status bdl__params_default(const bdl__schema *schema, bdl__arena *arena BDL__UNUSED,
                               void *params)
{
    memset(params, 0, schema->params_size);
    for (int64_t i = 0; i < schema->n_fields; i++) {
        bdl__member member;
        BDL__TRY(bdl__member_default(schema, &schema->fields[i], &member));
        bdl__member_write(&schema->fields[i], &member, params);
    }
    return BDL_OK;
}

bdl_status bdl__params_check(const bdl__schema *schema, const void *params)
{
    for (int64_t i = 0; i < schema->n_fields; i++) {
        bdl__member member;
        bdl__member_read(&schema->fields[i], params, &member);
        BDL__TRY(bdl__member_check(schema, &schema->fields[i], &member));
    }
    return BDL_OK;
}
