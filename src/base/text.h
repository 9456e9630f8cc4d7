/* SPDX-License-Identifier: Apache-2.0 */
/* Text: a growing buffer, strict number parsing, and the nearest name to a misspelt one. */
#ifndef BDL_BASE_TEXT_H
#define BDL_BASE_TEXT_H

#include "base/memory.h"

/* A growing text. Appending never fails visibly: a failed allocation is remembered and reported by
 * bdl__text_status, so that printers need one check at their end. */
typedef struct bdl__text {
    const bdl_allocator *allocator; /* borrowed */
    char *data;                     /* owned, NUL-terminated once anything was appended */
    size_t size;                    /* bytes used, without the NUL */
    size_t capacity;
    bdl_status status;
} bdl__text;

void bdl__text_init(bdl__text *text, const bdl_allocator *allocator);
void bdl__text_free(bdl__text *text);
void bdl__text_append(bdl__text *text, const char *format, ...) BDL__PRINTF(2, 3);
void bdl__text_append_bytes(bdl__text *text, const void *bytes, size_t size);
bdl_status bdl__text_status(const bdl__text *text);
/* The text, "" when nothing was appended. */
const char *bdl__text_get(const bdl__text *text);

/* Shortest decimal form that reads back as the same double ("0.1", "1e-05", "inf"). size >= 32. */
void bdl__format_f64(double value, char *buffer, size_t size);

/* Whole-string parsing, independent of the locale; false if anything is left over or out of range.
 * bdl__parse_f64 takes "inf" and "nan" as well, but no hexadecimal form. */
bool bdl__parse_i64(const char *text, int64_t *value);
bool bdl__parse_f64(const char *text, double *value);

/* Which of the names is nearest to `name` (edit distance at most a third of its length,
 * the letters' case ignored), or NULL. */
const char *bdl__nearest_name(const char *name, const char *const *names, int64_t n_names);

/* Fails with BDL_ERR_NOT_FOUND: "no loss is named 'msee'; did you mean 'mse'?", or with all names where none is near. */
bdl_status bdl__fail_unknown(const char *noun, const char *name, const char *const *names,
                             int64_t n_names);

/* What follows a noun: "3 layer%s". */
static inline const char *bdl__plural(int64_t n) { return n == 1 ? "" : "s"; }

/* Numbers of this thread are read and written with a point from enter to leave, whatever the
 * program's locale is. */
typedef struct bdl__c_locale {
    void *own;
    void *old;
} bdl__c_locale;
void bdl__c_locale_enter(bdl__c_locale *locale);
void bdl__c_locale_leave(const bdl__c_locale *locale);

/* Bytes of the valid UTF-8 character that starts at `text` (size bytes are left), 0 if none does. */
int bdl__utf8_step(const char *text, size_t size);

#endif
