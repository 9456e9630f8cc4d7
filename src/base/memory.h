/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: the context's allocator, overflow-checked sizes, and arenas for things that die together. */
#ifndef BDL_BASE_MEMORY_H
#define BDL_BASE_MEMORY_H

#include "base/status.h"

#define BDL__ALIGNMENT 64

/* The allocator that is used where the user gives none. */
const bdl_allocator *bdl__default_allocator(void);

/* Zeroed, 64-byte aligned memory; a size of 0 gives a valid pointer. Sets the error text. */
bdl_status bdl__alloc(const bdl_allocator *allocator, size_t size, void **memory);
void bdl__free(const bdl_allocator *allocator, void *memory, size_t size);

/* Grows or shrinks; the new part is zeroed. On failure the old memory is untouched. */
bdl_status bdl__realloc(const bdl_allocator *allocator, size_t old_size, size_t new_size,
                        void **memory);

/* *product = a * b; false on overflow or a negative factor. */
bool bdl__mul_i64(int64_t a, int64_t b, int64_t *product);
bool bdl__add_i64(int64_t a, int64_t b, int64_t *sum);
/* *size = count * element_size; false on overflow or a negative count. */
bool bdl__bytes_of(int64_t count, size_t element_size, size_t *size);

static inline size_t bdl__align_up(size_t size, size_t alignment)
{
    return (size + alignment - 1) / alignment * alignment;
}

static inline int64_t bdl__round_up(int64_t count, int64_t multiple)
{
    return (count + multiple - 1) / multiple * multiple;
}

/* Arena: many small allocations, freed together. Memory is zeroed. Not thread-safe. */
typedef struct bdl__arena {
    const bdl_allocator *allocator;  /* borrowed */
    struct bdl__arena_chunk *chunks; /* owned, newest first */
} bdl__arena;

void bdl__arena_init(bdl__arena *arena, const bdl_allocator *allocator);
void bdl__arena_free(bdl__arena *arena);
bdl_status bdl__arena_alloc(bdl__arena *arena, size_t size, void **memory);
bdl_status bdl__arena_strdup(bdl__arena *arena, const char *text, const char **copy);
bdl_status bdl__arena_printf(bdl__arena *arena, const char **text, const char *format, ...)
    BDL__PRINTF(3, 4);

#endif
