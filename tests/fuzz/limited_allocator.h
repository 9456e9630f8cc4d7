/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator for fuzzers that refuses what would go beyond a limit, and knows what is in use. */
#ifndef BDL_TESTS_FUZZ_LIMITED_ALLOCATOR_H
#define BDL_TESTS_FUZZ_LIMITED_ALLOCATOR_H

#include <bdl/bdl.h>
#include <stdlib.h>

typedef struct limited_allocator {
    bdl_allocator allocator; /* give this to the code under test */
    int64_t bytes_live, limit;
} limited_allocator;

static inline void *limited_alloc(void *user, size_t size)
{
    limited_allocator *const limited = user;
    if (size > (size_t)(limited->limit - limited->bytes_live)) {
        return NULL;
    }
    void *const memory = aligned_alloc(64, (size + 64) / 64 * 64);
    limited->bytes_live += memory ? (int64_t)size : 0;
    return memory;
}

static inline void limited_free(void *user, void *memory, size_t size)
{
    limited_allocator *const limited = user;
    limited->bytes_live -= (int64_t)size;
    free(memory);
}

static inline void limited_allocator_init(limited_allocator *limited, int64_t limit)
{
    *limited = (limited_allocator){.allocator = {.struct_size = sizeof(bdl_allocator),
                                                 .alloc = limited_alloc,
                                                 .free = limited_free,
                                                 .user = limited},
                                   .limit = limit};
}

#endif
