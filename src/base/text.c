/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing text, numbers whose form does not depend on the locale, and spelling help. Numbers are
 * converted by libc under the "C" locale, selected for this thread and for the time of the call.
 */
#include "base/text.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64, LONGEST_NAME = 63 };

void bdl__text_init(bdl__text *text, const bdl_allocator *allocator)
{
    *text = (bdl__text){.allocator = allocator};
}

void bdl__text_free(bdl__text *text)
{
    bdl__free(text->allocator, text->data, text->capacity);
    *text = (bdl__text){.allocator = text->allocator};
}

/* Makes room for `more` bytes and a NUL; remembers a failure. */
static bool reserve(bdl__text *text, size_t more)
{
    if (text->status != BDL_OK) {
        return false;
    }
    if (more > SIZE_MAX / 4 || text->size > SIZE_MAX / 4) {
        text->status = bdl__out_of_memory(more);
        return false;
    }
    const size_t needed = text->size + more + 1;
    if (needed <= text->capacity) {
        return true;
    }
    const size_t doubled = BDL__MAX(text->capacity * 2, (size_t)FIRST_CAPACITY);
    const size_t capacity = BDL__MAX(doubled, needed);
    void *data = text->data;
    text->status = bdl__realloc(text->allocator, text->capacity, capacity, &data);
    if (text->status != BDL_OK) {
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void bdl__text_append(bdl__text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        text->status = bdl__fail(BDL_ERR_INTERNAL, "cannot format text by '%s'", format);
        return;
    }
    if (!reserve(text, (size_t)n)) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text->data + text->size, (size_t)n + 1, format, args);
    va_end(args);
    text->size += (size_t)n;
}

void bdl__text_append_bytes(bdl__text *text, const void *bytes, size_t size)
{
    if (!reserve(text, size)) {
        return;
    }
    if (size > 0) {
        memcpy(text->data + text->size, bytes, size);
    }
    text->size += size;
    text->data[text->size] = '\0';
}

bdl_status bdl__text_status(const bdl__text *text)
{
    if (text->status == BDL_ERR_OUT_OF_MEMORY) {
        return bdl__out_of_memory(text->size + 1); /* the error text may be another's by now */
    }
    return text->status;
}

const char *bdl__text_get(const bdl__text *text)
{
    return text->data == NULL ? "" : text->data;
}

void bdl__c_locale_enter(bdl__c_locale *locale)
{
    /* In glibc the "C" locale is a constant: this allocates nothing and cannot fail. */
    const locale_t own = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale->own = own;
    locale->old = own == (locale_t)0 ? NULL : uselocale(own);
}

void bdl__c_locale_leave(const bdl__c_locale *locale)
{
    if (locale->own != NULL) {
        (void)uselocale(locale->old);
        freelocale(locale->own);
    }
}

void bdl__format_f64(double value, char *buffer, size_t size)
{
    if (isnan(value) || isinf(value)) {
        (void)snprintf(buffer, size, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    bdl__c_locale locale;
    bdl__c_locale_enter(&locale);
    for (int n_digits = 15; n_digits <= 17; n_digits++) {
        (void)snprintf(buffer, size, "%.*g", n_digits, value);
        if (strtod(buffer, NULL) == value) {
            break;
        }
    }
    bdl__c_locale_leave(&locale);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool bdl__parse_i64(const char *text, int64_t *value)
{
    const bool is_negative = *text == '-';
    const char *p = text + (*text == '-' || *text == '+');
    if (*p == '\0') {
        return false;
    }
    int64_t number = 0; /* kept negative: INT64_MIN has no positive counterpart */
    for (; *p != '\0'; p++) {
        if (*p < '0' || *p > '9') {
            return false;
        }
        const int64_t digit = *p - '0';
        if (number < (INT64_MIN + digit) / 10) {
            return false;
        }
        number = number * 10 - digit;
    }
    if (!is_negative && number == INT64_MIN) {
        return false;
    }
    *value = is_negative ? number : -number;
    return true;
}

bool bdl__parse_f64(const char *text, double *value)
{
    if (*text == '\0' || is_space(*text)) {
        return false;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == 'x' || *p == 'X' || *p == '(') { /* hexadecimal, "nan(...)" */
            return false;
        }
    }
    bdl__c_locale locale;
    bdl__c_locale_enter(&locale);
    const int old_errno = errno;
    char *end = NULL;
    errno = 0;
    const double number = strtod(text, &end);
    const bool overflows = errno == ERANGE && isinf(number);
    errno = old_errno;
    bdl__c_locale_leave(&locale);
    if (end == text || *end != '\0' || overflows) {
        return false;
    }
    *value = number;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* How many letters must be replaced, put in, left out or exchanged with the next to make one name of the other
 * (optimal string alignment), their case ignored; a large value for long names. */
static size_t edit_distance(const char *a, const char *b)
{
    const size_t n_a = strlen(a);
    const size_t n_b = strlen(b);
    if (n_a > LONGEST_NAME || n_b > LONGEST_NAME) {
        return LONGEST_NAME + 1;
    }
    size_t rows[3][LONGEST_NAME + 1]; /* rows[i % 3][j]: of a's first i letters and b's first j */
    for (size_t i = 0; i <= n_a; i++) {
        size_t *const row = rows[i % 3];
        const size_t *const above = rows[(i + 2) % 3], *const above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            if (i == 0) {
                row[j] = j;
                continue;
            }
            const char x = lower(a[i - 1]), y = lower(b[j - 1]);
            row[j] = BDL__MIN(above[j - 1] + (x != y), BDL__MIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2])) {
                row[j] = BDL__MIN(row[j], above_that[j - 2] + 1);
            }
        }
    }
    return rows[n_a % 3][n_b];
}

const char *bdl__nearest_name(const char *name, const char *const *names, int64_t n_names)
{
    const char *nearest = NULL;
    size_t least = strlen(name) / 3 + 1;
    for (int64_t i = 0; i < n_names; i++) {
        const size_t distance = edit_distance(name, names[i]);
        if (distance < least && distance <= LONGEST_NAME) {
            least = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

bdl_status bdl__fail_unknown(const char *noun, const char *name, const char *const *names,
                             int64_t n_names)
{
    const char *const nearest = bdl__nearest_name(name, names, n_names);
    if (nearest) {
        BDL__FAIL(BDL_ERR_NOT_FOUND, "no %s is named '%s'; did you mean '%s'?", noun, name,
                  nearest);
    }
    bdl__text list;
    bdl__text_init(&list, bdl__default_allocator());
    for (int64_t i = 0; i < n_names; i++) {
        bdl__text_append(&list, i == 0 ? "%s" : ", %s", names[i]);
    }
    (void)bdl__fail(BDL_ERR_NOT_FOUND, "no %s is named '%s'; there are: %s", noun, name,
                    bdl__text_get(&list));
    bdl__text_free(&list);
    return BDL_ERR_NOT_FOUND;
}

int bdl__utf8_step(const char *text, size_t size)
{
    const unsigned char *const s = (const unsigned char *)text;
    if (size == 0) {
        return 0;
    }
    if (s[0] < 0x80U) {
        return 1;
    }
    const int n = s[0] >= 0xF0U ? 4 : s[0] >= 0xE0U ? 3 : 2;
    if (s[0] < 0xC2U || s[0] > 0xF4U || size < (size_t)n) {
        return 0;
    }
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xC0U) != 0x80U) {
            return 0;
        }
    }
    const bool overlong = (s[0] == 0xE0U && s[1] < 0xA0U) || (s[0] == 0xF0U && s[1] < 0x90U);
    const bool surrogate = s[0] == 0xEDU && s[1] >= 0xA0U;
    const bool too_high = s[0] == 0xF4U && s[1] >= 0x90U;
    return overlong || surrogate || too_high ? 0 : n;
}
