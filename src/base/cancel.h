/* SPDX-License-Identifier: Apache-2.0 */
/* How a long call learns that it should end early: it polls a request of its own, and those of whatever it is part of. */
#ifndef BDL_BASE_CANCEL_H
#define BDL_BASE_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>

/* Zero-initialised is ready. */
typedef struct bdl__cancel {
    _Atomic int is_asked;            /* set from any thread, or from a signal handler */
    const struct bdl__cancel *outer; /* borrowed, or NULL: a trainer's is its context's */
} bdl__cancel;

static inline bool bdl__is_cancelled(const bdl__cancel *cancel) /* NULL is never */
{
    for (; cancel; cancel = cancel->outer) {
        if (atomic_load(&cancel->is_asked)) {
            return true;
        }
    }
    return false;
}

#endif
