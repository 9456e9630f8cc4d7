/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader of RFC 8259 that builds nothing: one function for each production of the grammar.
 * It also refuses what JSON allows but bdl cannot hold: NUL characters in strings, halves of
 * surrogate pairs, numbers beyond double's range or of more than 63 characters (cJSON cuts these),
 * more than 64 levels and more than 64 MiB. A byte order mark at the start is passed over.
 */
#include "base/json_scan.h"

#include <stdio.h>
#include <string.h>

enum { MOST_LEVELS = 64, LONGEST_NUMBER = 63, MOST_BYTES = 64 << 20 };

typedef struct scanner {
    const char *text;
    const char *p;
    const char *end;
    const char *where;
    int depth;
    int64_t n_keys;
    int64_t wanted_key;    /* number of the key whose place is asked for, 0 = none */
    const char *found_key; /* its place */
} scanner;

static bdl_status scan_value(scanner *scan);

/* The byte at p, or 0 at the end (a NUL in the text is never valid either). */
static char peek(const scanner *scan)
{
    return scan->p < scan->end ? *scan->p : '\0';
}

/* Line and column (in characters) of a place, from 1. */
static void locate(const scanner *scan, const char *place, int64_t *line, int64_t *column)
{
    *line = 1;
    *column = 1;
    for (const char *p = scan->text; p < place; p++) {
        if (*p == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)*p & 0xC0U) != 0x80U) {
            ++*column;
        }
    }
}

static bdl_status fail_with(const scanner *scan, const char *place, const char *expected,
                            const char *found)
{
    int64_t line = 0;
    int64_t column = 0;
    locate(scan, place, &line, &column);
    return bdl__fail(BDL_ERR_FORMAT, "%s:%lld:%lld: expected %s, got %s", scan->where,
                     (long long)line, (long long)column, expected, found);
}

static bdl_status fail_at(const scanner *scan, const char *place, const char *expected)
{
    char found[16];
    const int n = bdl__utf8_step(place, (size_t)(scan->end - place));
    if (place == scan->end) {
        (void)snprintf(found, sizeof found, "the end");
    } else if (n == 0 || (unsigned char)*place < 0x20U || *place == 0x7F) {
        (void)snprintf(found, sizeof found, "byte 0x%02x", (unsigned)(unsigned char)*place);
    } else {
        (void)snprintf(found, sizeof found, "'%.*s'", n, place);
    }
    return fail_with(scan, place, expected, found);
}

static void skip_spaces(scanner *scan)
{
    while (scan->p < scan->end &&
           (*scan->p == ' ' || *scan->p == '\t' || *scan->p == '\n' || *scan->p == '\r')) {
        scan->p++;
    }
}

static bdl_status scan_literal(scanner *scan, const char *word)
{
    const size_t n = strlen(word);
    if ((size_t)(scan->end - scan->p) < n || memcmp(scan->p, word, n) != 0) {
        return fail_at(scan, scan->p, "a JSON value");
    }
    scan->p += n;
    return BDL_OK;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bdl_status scan_digits(scanner *scan)
{
    if (!is_digit(peek(scan))) {
        return fail_at(scan, scan->p, "a digit");
    }
    while (is_digit(peek(scan))) {
        scan->p++;
    }
    return BDL_OK;
}

static bdl_status scan_number(scanner *scan)
{
    const char *const begin = scan->p;
    scan->p += peek(scan) == '-';
    if (peek(scan) == '0') {
        scan->p++;
        if (is_digit(peek(scan))) {
            return fail_at(scan, scan->p, "no digit after a leading 0");
        }
    } else {
        BDL__TRY(scan_digits(scan));
    }
    if (peek(scan) == '.') {
        scan->p++;
        BDL__TRY(scan_digits(scan));
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        scan->p++;
        scan->p += peek(scan) == '+' || peek(scan) == '-';
        BDL__TRY(scan_digits(scan));
    }
    const size_t size = (size_t)(scan->p - begin);
    char number[LONGEST_NUMBER + 1] = "";
    double value = 0;
    if (size > LONGEST_NUMBER) {
        return fail_with(scan, begin, "a number of at most 63 characters", "a longer one");
    }
    memcpy(number, begin, size);
    if (!bdl__parse_f64(number, &value)) {
        return fail_with(scan, begin, "a number within double's range", number);
    }
    return BDL_OK;
}

/* Four hexadecimal digits. */
static bdl_status scan_hex(scanner *scan, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        const char c = peek(scan);
        const char letter = (char)(c | 0x20);
        if (is_digit(c)) {
            *code = *code * 16 + (unsigned)(c - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            *code = *code * 16 + (unsigned)(letter - 'a') + 10;
        } else {
            return fail_at(scan, scan->p, "four hexadecimal digits after \\u");
        }
        scan->p++;
    }
    return BDL_OK;
}

/* Behind "\u". */
static bdl_status scan_unicode(scanner *scan)
{
    const char *const begin = scan->p - 2;
    unsigned code = 0;
    BDL__TRY(scan_hex(scan, &code));
    if (code == 0) {
        return fail_with(scan, begin, "no NUL character in a string", "\\u0000");
    }
    bool valid = code < 0xD800U || code > 0xDFFFU;
    if (code >= 0xD800U && code <= 0xDBFFU && scan->end - scan->p >= 6 && scan->p[0] == '\\' &&
        scan->p[1] == 'u') {
        scan->p += 2;
        BDL__TRY(scan_hex(scan, &code));
        valid = code >= 0xDC00U && code <= 0xDFFFU;
    }
    return valid ? BDL_OK : fail_with(scan, begin, "a whole surrogate pair", "half of one");
}

static bdl_status scan_string(scanner *scan)
{
    scan->p++;
    for (;;) {
        if (scan->p == scan->end) {
            return fail_at(scan, scan->p, "'\"' at the end of a string");
        }
        const unsigned char c = (unsigned char)*scan->p;
        const int n = bdl__utf8_step(scan->p, (size_t)(scan->end - scan->p));
        if (c == '"') {
            scan->p++;
            return BDL_OK;
        }
        if (n == 0 || c < 0x20U) {
            return fail_at(scan, scan->p,
                           n == 0 ? "UTF-8 text" : "an escape such as \\n for a control character");
        }
        scan->p += n;
        if (c == '\\') {
            const char escape = peek(scan);
            if (escape == '\0' || strchr("\"\\/bfnrtu", escape) == NULL) {
                return fail_at(scan, scan->p, "one of \" \\ / b f n r t u after a backslash");
            }
            scan->p++;
            if (escape == 'u') {
                BDL__TRY(scan_unicode(scan));
            }
        }
    }
}

static bdl_status scan_member(scanner *scan)
{
    if (peek(scan) != '"') {
        return fail_at(scan, scan->p, "a key in quotes");
    }
    scan->n_keys++;
    if (scan->n_keys == scan->wanted_key) {
        scan->found_key = scan->p;
    }
    BDL__TRY(scan_string(scan));
    skip_spaces(scan);
    if (peek(scan) != ':') {
        return fail_at(scan, scan->p, "':' after a key");
    }
    scan->p++;
    return scan_value(scan);
}

/* An array or an object, at its bracket. */
static bdl_status scan_container(scanner *scan, char closer)
{
    const bool is_object = closer == '}';
    if (scan->depth == MOST_LEVELS) {
        return fail_with(scan, scan->p, "at most 64 levels of brackets", "one more");
    }
    scan->depth++;
    scan->p++;
    skip_spaces(scan);
    bool more = peek(scan) != closer;
    while (more) {
        BDL__TRY(is_object ? scan_member(scan) : scan_value(scan));
        skip_spaces(scan);
        more = peek(scan) == ',';
        if (!more && peek(scan) != closer) {
            return fail_at(scan, scan->p, is_object ? "',' or '}'" : "',' or ']'");
        }
        if (more) {
            scan->p++;
            skip_spaces(scan);
        }
    }
    scan->p++;
    scan->depth--;
    return BDL_OK;
}

static bdl_status scan_value(scanner *scan)
{
    skip_spaces(scan);
    switch (peek(scan)) {
    case '{':
        return scan_container(scan, '}');
    case '[':
        return scan_container(scan, ']');
    case '"':
        return scan_string(scan);
    case 't':
        return scan_literal(scan, "true");
    case 'f':
        return scan_literal(scan, "false");
    case 'n':
        return scan_literal(scan, "null");
    default:
        if (peek(scan) == '-' || is_digit(peek(scan))) {
            return scan_number(scan);
        }
        return fail_at(scan, scan->p, "a JSON value");
    }
}

static scanner start(const char *text, size_t size, const char *where)
{
    scanner scan = {.text = text, .p = text, .end = text + size, .where = where};
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        scan.text += 3;
        scan.p += 3;
    }
    return scan;
}

bdl_status bdl__json_scan(const char *text, size_t size, const char *where)
{
    BDL__CHECK(size <= MOST_BYTES, BDL_ERR_FORMAT, "%s: expected at most %d bytes, got %zu", where,
               MOST_BYTES, size);
    scanner scan = start(text, size, where);
    BDL__TRY(scan_value(&scan));
    skip_spaces(&scan);
    return scan.p == scan.end ? BDL_OK : fail_at(&scan, scan.p, "the end of the text");
}

bdl_status bdl__json_fail_at_key(const char *text, size_t size, const char *where, int64_t n_key,
                                 const char *key)
{
    scanner scan = start(text, size, where);
    scan.wanted_key = n_key;
    (void)scan_value(&scan);
    char found[80];
    (void)snprintf(found, sizeof found, "'%.60s' again", key);
    return fail_with(&scan, scan.found_key == NULL ? text : scan.found_key,
                     "each key once in an object", found);
}
