/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: formatted here, cut at 1,023 bytes, without a line feed or other control characters; on stderr they
 * start with "bdl: " and the level. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/status.h"

enum { LINE_SIZE = 1024 };

static void write_stderr(bdl__log_level level, const char *line)
{
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    (void)fprintf(stderr, "bdl: %s%s\n", names[level], line); /* one call: lines stay whole */
}

void bdl__log_write(const bdl__log *log, bdl__log_level level, const char *format, ...)
{
    char text[LINE_SIZE], line[LINE_SIZE];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    bdl__copy_line(line, sizeof line, text);
    if (log->fn != NULL) {
        log->fn(log->user, (int)level, line);
    } else {
        write_stderr(level, line);
    }
}
