/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting command-line text: "name(args)" and lists whose separators do not count inside quotes and
 * brackets. A quote opens at the start of a value only, so that "it's" is plain text; within quotes
 * a backslash takes the next byte as it is.
 */
#include "schema/schema.h"

#include <string.h>

enum { DEEPEST_BRACKET = 32 };

typedef struct scanner {
    const char *text;
    const char *p;
    char quote;                    /* the open quote, or 0 */
    char closers[DEEPEST_BRACKET]; /* brackets to come */
    int depth;
} scanner;

static bool opens_quote(const scanner *scan)
{
    if (*scan->p != '\'' && *scan->p != '"') {
        return false;
    }
    return scan->p == scan->text || strchr("=,:;([{ \t", scan->p[-1]) != NULL;
}

static char closer_of(char opener)
{
    return opener == '(' ? ')' : opener == '[' ? ']' : opener == '{' ? '}' : '\0';
}

static bdl_status step_bracket(scanner *scan)
{
    const char c = *scan->p;
    if (closer_of(c) != '\0') {
        BDL__CHECK(scan->depth < DEEPEST_BRACKET, BDL_ERR_FORMAT,
                   "expected at most %d nested brackets in '%.60s'", DEEPEST_BRACKET, scan->text);
        scan->closers[scan->depth++] = closer_of(c);
    } else if (c == ')' || c == ']' || c == '}') {
        BDL__CHECK(scan->depth > 0, BDL_ERR_FORMAT,
                   "expected no '%c' without its bracket in '%.60s'", c, scan->text);
        BDL__CHECK(scan->closers[scan->depth - 1] == c, BDL_ERR_FORMAT,
                   "expected '%c' before '%c' in '%.60s'", scan->closers[scan->depth - 1], c,
                   scan->text);
        scan->depth--;
    }
    return BDL_OK;
}

/* Takes one byte, or an escaped pair within quotes. */
static bdl_status step(scanner *scan)
{
    const char c = *scan->p;
    if (scan->quote != '\0') {
        if (c == '\\' && scan->p[1] != '\0') {
            scan->p++;
        } else if (c == scan->quote) {
            scan->quote = '\0';
        }
    } else if (opens_quote(scan)) {
        scan->quote = c;
    } else {
        BDL__TRY(step_bracket(scan));
    }
    scan->p++;
    return BDL_OK;
}

static bdl_status finish(const scanner *scan)
{
    BDL__CHECK(scan->quote == '\0', BDL_ERR_FORMAT, "expected a closing %c in '%.60s'", scan->quote,
               scan->text);
    BDL__CHECK(scan->depth == 0, BDL_ERR_FORMAT, "expected '%c' at the end of '%.60s'",
               scan->closers[scan->depth - 1], scan->text);
    return BDL_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A copy of [begin, end) without the spaces around it. */
static bdl_status copy_trimmed(bdl__arena *arena, const char *begin, const char *end,
                               const char **copy)
{
    while (begin < end && is_space(*begin)) {
        begin++;
    }
    while (end > begin && is_space(end[-1])) {
        end--;
    }
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(arena, (size_t)(end - begin) + 1, &memory));
    memcpy(memory, begin, (size_t)(end - begin)); /* the NUL is there: arenas are zeroed */
    *copy = memory;
    return BDL_OK;
}

/* Counts the pieces of a text and checks that it is balanced. */
static bdl_status count_pieces(const char *text, char separator, int64_t *n_pieces)
{
    scanner scan = {.text = text, .p = text};
    int64_t n = 0;
    bool blank = true;
    while (*scan.p != '\0') {
        n += *scan.p == separator && scan.depth == 0 && scan.quote == '\0';
        blank = blank && is_space(*scan.p);
        BDL__TRY(step(&scan));
    }
    BDL__TRY(finish(&scan));
    *n_pieces = blank ? 0 : n + 1;
    return BDL_OK;
}

bdl_status bdl__split_list(bdl__arena *arena, const char *text, char separator,
                           const char *const **pieces, int64_t *n_pieces)
{
    int64_t n = 0;
    BDL__TRY(count_pieces(text, separator, &n));
    size_t size = 0;
    void *memory = NULL;
    BDL__CHECK(bdl__bytes_of(n, sizeof(const char *), &size), BDL_ERR_OUT_OF_MEMORY,
               "out of memory: too many pieces in a text");
    BDL__TRY(bdl__arena_alloc(arena, size, &memory));
    const char **const list = memory;
    scanner scan = {.text = text, .p = text};
    const char *begin = text;
    for (int64_t i = 0; i < n;) {
        const bool at_end = *scan.p == '\0';
        if (at_end || (*scan.p == separator && scan.depth == 0 && scan.quote == '\0')) {
            BDL__TRY(copy_trimmed(arena, begin, scan.p, &list[i]));
            begin = scan.p + 1;
            i++;
        }
        if (!at_end) {
            BDL__TRY(step(&scan));
        }
    }
    *pieces = list;
    *n_pieces = n;
    return BDL_OK;
}

bdl_status bdl__split_call(bdl__arena *arena, const char *text, const char **name,
                           const char **args)
{
    const char *end = text + strlen(text);
    while (end > text && is_space(end[-1])) {
        end--;
    }
    const char *const stop = text + strcspn(text, "(:");
    const char *const name_end = BDL__MIN(stop, end);
    const char *args_begin = name_end;
    if (name_end < end && *name_end == '(') {
        BDL__CHECK(end[-1] == ')', BDL_ERR_FORMAT, "expected ')' at the end of '%.60s'", text);
        args_begin++;
        end--;
    } else if (name_end < end) {
        args_begin++;
    }
    const char *call_name = NULL;
    const char *call_args = NULL;
    BDL__TRY(copy_trimmed(arena, text, name_end, &call_name));
    BDL__CHECK(call_name[0] != '\0', BDL_ERR_FORMAT, "expected a name, got '%.60s'", text);
    BDL__TRY(copy_trimmed(arena, args_begin, end, &call_args));
    if (*name_end == '(') {
        int64_t n = 0;
        BDL__TRY(count_pieces(call_args, ',', &n)); /* refuses "a(b)(c)" */
    }
    *name = call_name;
    *args = call_args;
    return BDL_OK;
}
