/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed parameters. A table of fields describes a plain C struct; from it come defaults, parsing (JSON
 * and the command line's `name(key=value, ...)`), validation, printing, JSON, and the dump from which
 * bindings and reference pages are generated. A row takes its type from the member itself:
 *
 *     BDL_FIELD(softmax_params, axis, .def.i64 = -1, .range = BDL_IN(-8, 7), .doc = "Axis summing to one."),
 */
#ifndef BDL_SCHEMA_SCHEMA_H
#define BDL_SCHEMA_SCHEMA_H

#include "base/json.h"

#define BDL__MAX_LIST 16

/* Lists, held by value so that params structs stay plain data. */
typedef struct bdl__i64s {
    int32_t n;
    int64_t v[BDL__MAX_LIST];
} bdl__i64s;

typedef struct bdl__f64s {
    int32_t n;
    double v[BDL__MAX_LIST];
} bdl__f64s;

/* One of a field's `choices`, by position. */
typedef struct bdl__choice {
    int32_t i;
} bdl__choice;

typedef enum bdl__field_kind {
    BDL__FIELD_BOOL,
    BDL__FIELD_I64,
    BDL__FIELD_F64,
    BDL__FIELD_STRING, /* const char *, in the arena that params were parsed with; NULL = not given */
    BDL__FIELD_CHOICE,
    BDL__FIELD_I64S,
    BDL__FIELD_F64S
} bdl__field_kind;

/* Inclusive limits of a number, or of each number of a list; given = false means none. */
typedef struct bdl__range {
    bool given;
    double least;
    double most;
} bdl__range;

typedef struct bdl__field {
    const char *name;
    const char *doc; /* a sentence with units */
    bdl__field_kind kind;
    size_t offset;
    struct {
        bool b;
        int64_t i64;
        double f64;
        const char *s; /* default of a string, of a choice (its name), or of a list ("1,1") */
    } def;
    bdl__range range;
    const char *const *choices; /* NULL-terminated */
    bool required;
    const char *needs; /* name of the option without which this one says nothing, or NULL */
    int32_t least_n, most_n; /* length of a list; 0, 0 = any up to BDL__MAX_LIST */
    const char *torch_name;  /* the argument's name in PyTorch where it differs ("betas[0]": a part
                              * of one), else NULL */
    bool inferred;           /* 0 or absent: taken from the input's shape; else checked with it */
} bdl__field;

#define BDL__FIELD_KIND(member)                                                                    \
    _Generic((member),                                                                             \
        bool: BDL__FIELD_BOOL,                                                                     \
        int64_t: BDL__FIELD_I64,                                                                   \
        double: BDL__FIELD_F64,                                                                    \
        const char *: BDL__FIELD_STRING,                                                           \
        bdl__choice: BDL__FIELD_CHOICE,                                                            \
        bdl__i64s: BDL__FIELD_I64S,                                                                \
        bdl__f64s: BDL__FIELD_F64S)

#define BDL_FIELD(type, member, ...)                                                               \
    {                                                                                              \
        .name = #member, .kind = BDL__FIELD_KIND(((type *)0)->member),                             \
        .offset = offsetof(type, member), __VA_ARGS__                                              \
    }

#define BDL_IN(lo, hi)                                                                             \
    {                                                                                              \
        .given = true, .least = (lo), .most = (hi)                                                 \
    }
#define BDL_AT_LEAST(lo)                                                                           \
    {                                                                                              \
        .given = true, .least = (lo), .most = 9.2e18                                               \
    }

/* A table of fields with the struct it describes. */
typedef struct bdl__schema {
    const char *name;    /* "conv2d", "sgd": used in error texts */
    const char *summary; /* a sentence, where nothing else has one */
    const bdl__field *fields;
    int64_t n_fields;
    size_t params_size;
} bdl__schema;

/* Fills `params` with defaults; required fields stay zero. Never fails on a valid table. */
bdl_status bdl__params_default(const bdl__schema *schema, bdl__arena *arena, void *params);

/* Defaults, then the members of a JSON object (NULL = none). Unknown keys (the nearest is offered),
 * wrong kinds, values out of range and missing required fields are errors. A scalar is accepted for a
 * list. Strings are copied into the arena. */
bdl_status bdl__params_from_json(const bdl__schema *schema, bdl__arena *arena,
                                 const bdl__json *object, void *params);

/* The same from command-line text: "" or "lr=0.1, momentum=0.9" or "kernel=[5,5], mode='same'".
 * Values without a key fill the fields in the table's order ("64, 3"). */
bdl_status bdl__params_from_text(const bdl__schema *schema, bdl__arena *arena, const char *text,
                                 void *params);

/* Splits "name(args)" or "name:args" or "name"; gives the parts in the arena (args may be ""). */
bdl_status bdl__split_call(bdl__arena *arena, const char *text, const char **name,
                           const char **args);

/* Splits a text at a separator outside of quotes, () and []; pieces are trimmed. In the arena. */
bdl_status bdl__split_list(bdl__arena *arena, const char *text, char separator,
                           const char *const **pieces, int64_t *n_pieces);

/* Checks ranges of params that were filled by hand. */
bdl_status bdl__params_check(const bdl__schema *schema, const void *params);

/* All fields as a JSON object. With `only_changed`, those that differ from their default. */
void bdl__params_to_json(const bdl__schema *schema, const void *params, bool only_changed,
                         bdl__json_writer *writer);

/* The changed fields as "key=value, ...", as bdl__params_from_text reads them. */
void bdl__params_to_text(const bdl__schema *schema, const void *params, bdl__text *out);

/* The table itself as a JSON array of objects {name, type, default, least, most, choices, doc ...}. */
void bdl__schema_dump(const bdl__schema *schema, bdl__json_writer *writer);

/* Help text: one line a field, "  name  type=default  doc", wrapped at 100 columns. */
void bdl__schema_help(const bdl__schema *schema, bdl__text *out);

/* The words of `doc` as lines of help, each from `column` on; the first is not indented, the last not ended. */
void bdl__help_words(const char *doc, size_t column, bdl__text *out);

#endif
