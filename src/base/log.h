/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines to the context's callback (default: stderr), with the level checked before formatting. */
#ifndef BDL_BASE_LOG_H
#define BDL_BASE_LOG_H

#include "base/compiler.h"

typedef enum bdl__log_level {
    BDL__LOG_ERROR = 0,
    BDL__LOG_WARNING = 1,
    BDL__LOG_INFO = 2,
    BDL__LOG_DEBUG = 3
} bdl__log_level;

typedef void (*bdl__log_fn)(void *user, int level, const char *line);

typedef struct bdl__log {
    bdl__log_fn fn; /* NULL = stderr */
    void *user;
    bdl__log_level level; /* most detailed level that is passed on */
} bdl__log;

void bdl__log_write(const bdl__log *log, bdl__log_level level, const char *format, ...)
    BDL__PRINTF(3, 4);

#define BDL__LOG(log, lvl, ...)                                                                    \
    do {                                                                                           \
        if ((lvl) <= (log)->level) {                                                               \
            bdl__log_write((log), (lvl), __VA_ARGS__);                                             \
        }                                                                                          \
    } while (0)

#endif
