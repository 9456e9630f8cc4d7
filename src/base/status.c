/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread's error text. It is formatted into a local buffer first, because the arguments may
 * contain the text that is being replaced, and it is cut at a whole UTF-8 character if too long.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ERROR_TEXT_SIZE = 2048 };

static _Thread_local char error_text[ERROR_TEXT_SIZE];

/* Drops the last character if its bytes were cut off; `size` excludes the NUL. */
static void trim_partial_character(char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0U) == 0x80U) {
        start--;
    }
    if (start == 0 || (unsigned char)text[start - 1] < 0xC0U) {
        return;
    }
    const unsigned char lead = (unsigned char)text[start - 1];
    const size_t needed = lead >= 0xF0U ? 4 : lead >= 0xE0U ? 3 : 2;
    if (size - (start - 1) < needed) {
        text[start - 1] = '\0';
    }
}

void bdl__copy_line(char *line, size_t size, const char *text)
{
    size_t used = 0;
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        char piece[8] = {*text};
        if (c == '\n') {
            memcpy(piece, "\\n", sizeof "\\n");
        } else if (c < 0x20 || c == 0x7F) {
            (void)snprintf(piece, sizeof piece, "\\x%02x", c);
        }
        const size_t n = strlen(piece);
        if (used + n >= size) {
            break;
        }
        memcpy(line + used, piece, n);
        used += n;
    }
    line[used] = '\0';
    trim_partial_character(line, used);
}

static void set_error_text(const char *text) { bdl__copy_line(error_text, sizeof error_text, text); }

bdl_status bdl__fail(bdl_status code, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    set_error_text(n < 0 ? bdl_status_text(code) : text);
    return code;
}

bdl_status bdl__fail_in(bdl_status code, const char *format, ...)
{
    char text[2 * ERROR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, ERROR_TEXT_SIZE, format, args);
    va_end(args);
    if (n < 0) {
        return code;
    }
    const size_t used = strlen(text);
    (void)snprintf(text + used, sizeof text - used, ": %s", error_text);
    set_error_text(text);
    return code;
}

bdl_status bdl__out_of_memory(size_t size)
{
    return bdl__fail(BDL_ERR_OUT_OF_MEMORY, "out of memory: cannot allocate %zu bytes", size);
}

bdl_status bdl__need_arguments(bool has_all, const char *function)
{
    BDL__CHECK(has_all, BDL_ERR_INVALID_ARGUMENT, "%s: expected arguments that are not NULL",
               function);
    return BDL_OK;
}

const char *bdl_last_error(void)
{
    return error_text;
}

const char *bdl_status_text(bdl_status status)
{
    switch (status) {
#define STATUS_CASE(name, number, text)                                                            \
    case name:                                                                                     \
        return text;
        BDL_STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
    }
    return "unknown status code";
}
