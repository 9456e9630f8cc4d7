/* SPDX-License-Identifier: Apache-2.0 */
/* Failure handling: codes, the thread's error text, and the four macros that may hide a return. */
#ifndef BDL_BASE_STATUS_H
#define BDL_BASE_STATUS_H

#include <bdl/bdl.h>

#include "base/compiler.h"

/* Records the formatted text as this thread's error and returns `code`. */
bdl_status bdl__fail(bdl_status code, const char *format, ...) BDL__PRINTF(2, 3);

/* Puts "formatted text: " before this thread's error text, to say where it happened; returns code. */
bdl_status bdl__fail_in(bdl_status code, const char *format, ...) BDL__PRINTF(2, 3);

bdl_status bdl__out_of_memory(size_t size);

/* Fails unless a public function has all the pointers that it needs. */
bdl_status bdl__need_arguments(bool has_all, const char *function);

/* Copies a text as one line: control characters, as in a file's name, become "\\n" or "\\x1b". Cut at a whole UTF-8
 * character if it is too long for `size` bytes. */
void bdl__copy_line(char *line, size_t size, const char *text);

/* return bdl__fail(code, format, ...) */
#define BDL__FAIL(code, ...) return bdl__fail((code), __VA_ARGS__)

/* Fails with the code and the text unless the condition holds. */
#define BDL__CHECK(condition, code, ...)                                                           \
    do {                                                                                           \
        if (BDL__UNLIKELY(!(condition))) {                                                         \
            return bdl__fail((code), __VA_ARGS__);                                                 \
        }                                                                                          \
    } while (0)

/* Returns the status of a call that failed. */
#define BDL__TRY(call)                                                                             \
    do {                                                                                           \
        const bdl_status bdl__status_of_call = (call);                                             \
        if (BDL__UNLIKELY(bdl__status_of_call != BDL_OK)) {                                        \
            return bdl__status_of_call;                                                            \
        }                                                                                          \
    } while (0)

/* As BDL__TRY, for functions that clean up: stores the status in `status` and goes to `done`. */
#define BDL__TRY_DONE(status, call)                                                                \
    do {                                                                                           \
        (status) = (call);                                                                         \
        if (BDL__UNLIKELY((status) != BDL_OK)) {                                                   \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

#endif
