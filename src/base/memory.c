/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory through the context's callbacks: zeroed, 64-byte aligned, with sizes that cannot overflow.
 * The arena hands out pieces of chunks that double in size from 4 KiB to 1 MiB; a piece larger than
 * a quarter of the next chunk gets a chunk of its own. Under AddressSanitizer the unused parts of
 * chunks are poisoned, with red zones between the pieces.
 */
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FIRST_CHUNK_SIZE = 4096, LARGEST_CHUNK_SIZE = 1 << 20, ARENA_ALIGNMENT = 16 };

struct bdl__arena_chunk {
    struct bdl__arena_chunk *next;
    size_t size; /* of the whole chunk, this header included */
    size_t used; /* bytes from the chunk's start, this header included */
};

/* From this size on the default allocator asks the system itself, whose pages are zero when somebody first writes there:
 * all workers do, while zeroing gigabytes here takes one thread seconds in which nothing can be cancelled. */
static const size_t mapped_size = (size_t)64 << 20;

static void *default_alloc(void *user BDL__UNUSED, size_t size)
{
    if (size >= mapped_size) {
        void *const memory =
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? NULL : memory;
    }
    return aligned_alloc(BDL__ALIGNMENT, bdl__align_up(size, BDL__ALIGNMENT));
}

static void default_free(void *user BDL__UNUSED, void *memory, size_t size)
{
    if (size >= mapped_size) {
        (void)munmap(memory, size);
    } else {
        free(memory);
    }
}

const bdl_allocator *bdl__default_allocator(void)
{
    static const bdl_allocator allocator = {
        .struct_size = sizeof(bdl_allocator),
        .alloc = default_alloc,
        .free = default_free,
    };
    return &allocator;
}

/* What the allocator is asked for: an empty request still needs a pointer of its own. */
static size_t asked_size(size_t size)
{
    return size == 0 ? 1 : size;
}

bdl_status bdl__alloc(const bdl_allocator *allocator, size_t size, void **memory)
{
    void *const fresh = allocator->alloc(allocator->user, asked_size(size));
    if (fresh == NULL) {
        return bdl__out_of_memory(size);
    }
    if ((uintptr_t)fresh % BDL__ALIGNMENT != 0) {
        allocator->free(allocator->user, fresh, asked_size(size));
        return bdl__fail(BDL_ERR_INVALID_ARGUMENT,
                         "the allocator must return memory aligned to %d bytes, got %p",
                         BDL__ALIGNMENT, fresh);
    }
    if (allocator->alloc != default_alloc || size < mapped_size) {
        memset(fresh, 0, asked_size(size));
    }
    *memory = fresh;
    return BDL_OK;
}

void bdl__free(const bdl_allocator *allocator, void *memory, size_t size)
{
    if (memory != NULL) {
        allocator->free(allocator->user, memory, asked_size(size));
    }
}

bdl_status bdl__realloc(const bdl_allocator *allocator, size_t old_size, size_t new_size,
                        void **memory)
{
    void *fresh = NULL;
    BDL__TRY(bdl__alloc(allocator, new_size, &fresh));
    if (*memory != NULL) {
        memcpy(fresh, *memory, BDL__MIN(old_size, new_size));
        bdl__free(allocator, *memory, old_size);
    }
    *memory = fresh;
    return BDL_OK;
}

bool bdl__mul_i64(int64_t a, int64_t b, int64_t *product)
{
    if (a < 0 || b < 0 || (b != 0 && a > INT64_MAX / b)) {
        return false;
    }
    *product = a * b;
    return true;
}

bool bdl__add_i64(int64_t a, int64_t b, int64_t *sum)
{
    if ((b > 0 && a > INT64_MAX - b) || (b < 0 && a < INT64_MIN - b)) {
        return false;
    }
    *sum = a + b;
    return true;
}

bool bdl__bytes_of(int64_t count, size_t element_size, size_t *size)
{
    if (count < 0 || (element_size != 0 && (uint64_t)count > SIZE_MAX / element_size)) {
        return false;
    }
    *size = (size_t)count * element_size;
    return true;
}

void bdl__arena_init(bdl__arena *arena, const bdl_allocator *allocator)
{
    *arena = (bdl__arena){.allocator = allocator};
}

void bdl__arena_free(bdl__arena *arena)
{
    struct bdl__arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        struct bdl__arena_chunk *const next = chunk->next;
        BDL__UNPOISON(chunk, chunk->size);
        bdl__free(arena->allocator, chunk, chunk->size);
        chunk = next;
    }
    arena->chunks = NULL;
}

static size_t header_size(void)
{
    return bdl__align_up(sizeof(struct bdl__arena_chunk), ARENA_ALIGNMENT);
}

/* A piece of `rounded` bytes from the chunk, which has room for it. */
static void *take(struct bdl__arena_chunk *chunk, size_t size, size_t rounded)
{
    char *const piece = (char *)chunk + chunk->used;
    chunk->used += rounded;
    BDL__UNPOISON(piece, size);
    return piece;
}

/* A chunk with room for `rounded` bytes. A large piece goes behind the newest chunk, whose rest
 * stays in use. */
static bdl_status add_chunk(bdl__arena *arena, size_t rounded, struct bdl__arena_chunk **added)
{
    struct bdl__arena_chunk *const newest = arena->chunks;
    const size_t twice = newest == NULL ? FIRST_CHUNK_SIZE : newest->size * 2;
    size_t chunk_size = BDL__MIN(twice, (size_t)LARGEST_CHUNK_SIZE);
    const bool alone = rounded > chunk_size / 4;
    if (alone) {
        chunk_size = header_size() + rounded;
    }
    void *memory = NULL;
    BDL__TRY(bdl__alloc(arena->allocator, chunk_size, &memory));
    struct bdl__arena_chunk *const chunk = memory;
    *chunk = (struct bdl__arena_chunk){.size = chunk_size, .used = header_size()};
    BDL__POISON((char *)memory + header_size(), chunk_size - header_size());
    if (alone && newest != NULL) {
        chunk->next = newest->next;
        newest->next = chunk;
    } else {
        chunk->next = newest;
        arena->chunks = chunk;
    }
    *added = chunk;
    return BDL_OK;
}

bdl_status bdl__arena_alloc(bdl__arena *arena, size_t size, void **memory)
{
    if (size > SIZE_MAX / 2) {
        return bdl__out_of_memory(size);
    }
    const size_t rounded = bdl__align_up(asked_size(size) + BDL__RED_ZONE, ARENA_ALIGNMENT);
    struct bdl__arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->size - chunk->used < rounded) {
        BDL__TRY(add_chunk(arena, rounded, &chunk));
    }
    *memory = take(chunk, asked_size(size), rounded);
    return BDL_OK;
}

bdl_status bdl__arena_strdup(bdl__arena *arena, const char *text, const char **copy)
{
    const size_t size = strlen(text) + 1;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(arena, size, &memory));
    memcpy(memory, text, size);
    *copy = memory;
    return BDL_OK;
}

bdl_status bdl__arena_printf(bdl__arena *arena, const char **text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        return bdl__fail(BDL_ERR_INTERNAL, "cannot format text by '%s'", format);
    }
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(arena, (size_t)n + 1, &memory));
    va_start(args, format);
    (void)vsnprintf(memory, (size_t)n + 1, format, args);
    va_end(args);
    *text = memory;
    return BDL_OK;
}
