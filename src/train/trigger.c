/* SPDX-License-Identifier: Apache-2.0 */
/* A recursive-descent parser for stop conditions, and their evaluation. */
#include "train/trigger.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 32
#define MAX_TEXT 2048 /* bounds the recursion of long chains too */

typedef enum kind { AND, OR, COMPARE } kind;
typedef enum comparison { AT_LEAST, ABOVE, AT_MOST, BELOW, EQUAL } comparison;

struct bdl__trigger {
    kind kind;
    const struct bdl__trigger *left, *right; /* AND, OR */
    comparison comparison;
    int64_t i_name;
    double number;
    const char *text; /* of a comparison, as it was written; borrowed */
    int text_size;
};

typedef struct parser {
    bdl__arena *arena;
    const char *text, *at;
    const char *const *names;
    int64_t n_names;
    int depth;
} parser;

static void skip_space(parser *p)
{
    while (isspace((unsigned char)*p->at)) {
        p->at++;
    }
}

static bdl_status fail_at(const parser *p, const char *expected)
{
    BDL__FAIL(BDL_ERR_INVALID_ARGUMENT, "condition '%s': expected %s at column %d, got '%s'",
              p->text, expected, (int)(p->at - p->text) + 1, *p->at ? p->at : "the end");
}

static bool take_word(parser *p, const char *word)
{
    skip_space(p);
    const size_t length = strlen(word);
    if (strncmp(p->at, word, length) != 0 || isalnum((unsigned char)p->at[length]) ||
        p->at[length] == '_') {
        return false;
    }
    p->at += length;
    return true;
}

static bdl_status new_node(const parser *p, bdl__trigger **node)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(p->arena, sizeof **node, &memory));
    *node = memory;
    return BDL_OK;
}

static bdl_status parse_name(parser *p, int64_t *i_name)
{
    char name[64];
    size_t n = 0;
    skip_space(p);
    while ((isalnum((unsigned char)p->at[n]) || p->at[n] == '_') && n + 1 < sizeof name) {
        name[n] = p->at[n];
        n++;
    }
    name[n] = '\0';
    if (n == 0) {
        return fail_at(p, "a name");
    }
    for (int64_t i = 0; i < p->n_names; i++) {
        if (strcmp(p->names[i], name) == 0) {
            p->at += n;
            *i_name = i;
            return BDL_OK;
        }
    }
    bdl__text known;
    bdl__text_init(&known, p->arena->allocator);
    for (int64_t i = 0; i < p->n_names; i++) {
        bdl__text_append(&known, "%s%s", i ? ", " : "", p->names[i]);
    }
    const char *const nearest = bdl__nearest_name(name, p->names, p->n_names);
    const bdl_status status =
        nearest ? bdl__fail(BDL_ERR_NOT_FOUND, "condition '%s': unknown name '%s'; did you mean '%s'?",
                            p->text, name, nearest)
                : bdl__fail(BDL_ERR_NOT_FOUND, "condition '%s': unknown name '%s'; known are %s",
                            p->text, name, bdl__text_get(&known));
    bdl__text_free(&known);
    return status;
}

static bdl_status parse_comparison(parser *p, comparison *result)
{
    static const struct {
        const char *text;
        comparison comparison;
    } table[] = {{">=", AT_LEAST}, {"<=", AT_MOST}, {"==", EQUAL}, {">", ABOVE}, {"<", BELOW}};
    skip_space(p);
    for (int64_t i = 0; i < BDL__COUNT_OF(table); i++) {
        const size_t length = strlen(table[i].text);
        if (strncmp(p->at, table[i].text, length) == 0) {
            p->at += length;
            *result = table[i].comparison;
            return BDL_OK;
        }
    }
    return fail_at(p, "one of >=, >, <=, <, ==");
}

static bdl_status parse_number(parser *p, double *number)
{
    char text[64];
    size_t n = 0;
    skip_space(p);
    while (p->at[n] && strchr("+-.0123456789eE", p->at[n]) && n + 1 < sizeof text) {
        text[n] = p->at[n];
        n++;
    }
    text[n] = '\0';
    if (!bdl__parse_f64(text, number)) {
        return fail_at(p, "a number");
    }
    p->at += n;
    const char *const after = p->at + strspn(p->at, " ");
    if (*after == '%') {
        *number /= 100;
        p->at = after + 1;
    }
    return BDL_OK;
}

static bdl_status parse_or(parser *p, bdl__trigger **node);

static bdl_status parse_one(parser *p, bdl__trigger **node)
{
    skip_space(p);
    if (*p->at == '(') {
        BDL__CHECK(++p->depth <= MAX_DEPTH, BDL_ERR_INVALID_ARGUMENT,
                   "condition '%s': more than %d parentheses", p->text, MAX_DEPTH);
        p->at++;
        BDL__TRY(parse_or(p, node));
        skip_space(p);
        if (*p->at != ')') {
            return fail_at(p, "')'");
        }
        p->at++;
        p->depth--;
        return BDL_OK;
    }
    BDL__TRY(new_node(p, node));
    (*node)->kind = COMPARE;
    (*node)->text = p->at;
    BDL__TRY(parse_name(p, &(*node)->i_name));
    BDL__TRY(parse_comparison(p, &(*node)->comparison));
    BDL__TRY(parse_number(p, &(*node)->number));
    (*node)->text_size = (int)(p->at - (*node)->text);
    return BDL_OK;
}

typedef bdl_status (*operand_fn)(parser *p, bdl__trigger **node);

/* operand (word operand)*, grouped from the left */
static bdl_status parse_chain(parser *p, const char *word, kind joined, operand_fn operand,
                              bdl__trigger **node)
{
    bdl__trigger *left = NULL;
    BDL__TRY(operand(p, &left));
    while (take_word(p, word)) {
        bdl__trigger *right = NULL, *both = NULL;
        BDL__TRY(operand(p, &right));
        BDL__TRY(new_node(p, &both));
        *both = (bdl__trigger){.kind = joined, .left = left, .right = right};
        left = both;
    }
    *node = left;
    return BDL_OK;
}

static bdl_status parse_and(parser *p, bdl__trigger **node)
{
    return parse_chain(p, "and", AND, parse_one, node);
}

static bdl_status parse_or(parser *p, bdl__trigger **node)
{
    return parse_chain(p, "or", OR, parse_and, node);
}

bdl_status bdl__trigger_parse(bdl__arena *arena, const char *text, const char *const *names,
                              int64_t n_names, bdl__trigger **trigger)
{
    BDL__CHECK(strlen(text) <= MAX_TEXT, BDL_ERR_INVALID_ARGUMENT,
               "a condition has at most %d characters, got %zu", MAX_TEXT, strlen(text));
    parser p = {.arena = arena, .text = text, .at = text, .names = names, .n_names = n_names};
    BDL__TRY(parse_or(&p, trigger));
    skip_space(&p);
    return *p.at ? fail_at(&p, "'and', 'or' or the end") : BDL_OK;
}

static bool compare(const bdl__trigger *t, double value)
{
    switch (t->comparison) {
    case AT_LEAST:
        return value >= t->number;
    case ABOVE:
        return value > t->number;
    case AT_MOST:
        return value <= t->number;
    case BELOW:
        return value < t->number;
    case EQUAL:
        return value >= t->number && value <= t->number;
    }
    return false;
}

bool bdl__trigger_fires(const bdl__trigger *trigger, const double *values)
{
    switch (trigger->kind) {
    case AND:
        return bdl__trigger_fires(trigger->left, values) &&
               bdl__trigger_fires(trigger->right, values);
    case OR:
        return bdl__trigger_fires(trigger->left, values) ||
               bdl__trigger_fires(trigger->right, values);
    case COMPARE:
        return compare(trigger, values[trigger->i_name]);
    }
    return false;
}

/* Appends to a text of `used` characters; gives how many it has now. */
static size_t write_reason(const bdl__trigger *trigger, const double *values, char *text, size_t size,
                           size_t used)
{
    if (trigger->kind == OR) {
        const bool is_left = bdl__trigger_fires(trigger->left, values);
        return write_reason(is_left ? trigger->left : trigger->right, values, text, size, used);
    }
    if (trigger->kind == AND) {
        used = write_reason(trigger->left, values, text, size, used);
        return write_reason(trigger->right, values, text, size, used);
    }
    const int n = snprintf(text + used, size - used, "%s%.*s", used > 0 ? " and " : "",
                           trigger->text_size, trigger->text);
    return BDL__MIN(used + (size_t)n, size - 1);
}

void bdl__trigger_reason(const bdl__trigger *trigger, const double *values, char *text, size_t size)
{
    (void)write_reason(trigger, values, text, size, 0);
}
