/* SPDX-License-Identifier: Apache-2.0 */
/* See counting_allocator.h. A block is preceded by its size, on a cache line of its own. */
#include "counting_allocator.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { HEADER = 64 };

static void *count_alloc(void *user, size_t size)
{
    counting_allocator *const counter = user;
    counter->n_requests++;
    if (counter->n_requests == counter->fail_at) {
        counter->refused = true;
        return NULL;
    }
    if (size > SIZE_MAX - 2 * HEADER) {
        return NULL;
    }
    char *const block = aligned_alloc(HEADER, (size + 2 * HEADER - 1) / HEADER * HEADER);
    if (block == NULL) {
        return NULL;
    }
    memset(block, 0xA5, size + HEADER);
    memcpy(block, &size, sizeof size);
    counter->n_live++;
    counter->bytes_live += (int64_t)size;
    return block + HEADER;
}

static void count_free(void *user, void *memory, size_t size)
{
    counting_allocator *const counter = user;
    char *const block = (char *)memory - HEADER;
    size_t asked = 0;
    memcpy(&asked, block, sizeof asked);
    counter->wrong_size = counter->wrong_size || asked != size;
    counter->n_live--;
    counter->bytes_live -= (int64_t)asked;
    free(block);
}

void counting_allocator_init(counting_allocator *counter)
{
    *counter = (counting_allocator){
        .allocator = {.struct_size = sizeof(bdl_allocator),
                      .alloc = count_alloc,
                      .free = count_free,
                      .user = counter},
    };
}

bool counting_allocator_start(counting_allocator *counter, int64_t fail_at)
{
    if (fail_at > 1) {
        CHECK_EQ_I64(counter->n_live, 0);
        CHECK_EQ_I64(counter->bytes_live, 0);
        CHECK(!counter->wrong_size);
        if (!counter->refused) {
            return false;
        }
    }
    counting_allocator_init(counter);
    counter->fail_at = fail_at;
    return true;
}
