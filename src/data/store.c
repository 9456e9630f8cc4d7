/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows in memory lie in blocks of about 1 MiB and never cross from one block to the next, so that they can be used
 * where they are. Rows beyond the limit are appended to the file through a buffer of 1 MiB and read one by one with
 * pread: the kernel's page cache, which it takes back when memory is short, is the only cache.
 *
 * The file is made in a new directory (mode 0700) below the given one; both lose their names at once, and the open
 * descriptor is all that keeps the space: it is given back when the store is freed or the process dies.
 */
#include "data/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_SIZE = 1 << 20, ROW_ALIGNMENT = 8 };

#define IN_FILE (UINT64_C(1) << 63)

typedef struct block {
    char *data; /* owned */
    size_t size, used;
} block;

/* Where a row lies whose size is its own: a block's number and an offset in it, or IN_FILE and an offset. */
typedef struct place {
    uint64_t at;
    uint64_t size;
} place;

struct bdl__store {
    const bdl_allocator *allocator; /* borrowed */
    bdl__arena arena;               /* the directory's name */
    const char *directory;
    size_t row_size;
    size_t memory_limit;
    int64_t rows_per_block; /* with row_size */
    int64_t n, n_memory;    /* rows; how many of them, the first ones, are in memory */
    block *blocks;          /* owned, [blocks_capacity] */
    int64_t n_blocks, blocks_capacity;
    place *places; /* owned, [places_capacity]; without row_size */
    int64_t places_capacity;
    size_t memory_size; /* of blocks */
    int fd;             /* -1 until the first row is spilled */
    char *pending;      /* owned, BLOCK_SIZE bytes, from then on */
    size_t pending_size;
    uint64_t written; /* bytes of the file without the pending ones */
};

bdl_status bdl__store_create(const bdl_allocator *allocator, const bdl__store_options *options,
                             bdl__store **store)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__store), &memory));
    bdl__store *made = memory;
    *made = (bdl__store){.allocator = allocator,
                         .row_size = options->row_size,
                         .memory_limit = (size_t)options->memory_limit,
                         .fd = -1};
    bdl__arena_init(&made->arena, allocator);
    if (made->row_size > 0) {
        made->rows_per_block = BDL__MAX((int64_t)(BLOCK_SIZE / made->row_size), INT64_C(1));
    }
    const bdl_status status =
        bdl__arena_strdup(&made->arena, options->directory, &made->directory);
    if (status != BDL_OK) {
        bdl__store_free(made);
        return status;
    }
    *store = made;
    return BDL_OK;
}

void bdl__store_free(bdl__store *store)
{
    if (store == NULL) {
        return;
    }
    const bdl_allocator *allocator = store->allocator;
    for (int64_t i = 0; i < store->n_blocks; i++) {
        bdl__free(allocator, store->blocks[i].data, store->blocks[i].size);
    }
    bdl__free(allocator, store->blocks, (size_t)store->blocks_capacity * sizeof(block));
    bdl__free(allocator, store->places, (size_t)store->places_capacity * sizeof(place));
    bdl__free(allocator, store->pending, BLOCK_SIZE);
    if (store->fd >= 0) {
        (void)close(store->fd);
    }
    bdl__arena_free(&store->arena);
    bdl__free(allocator, store, sizeof(bdl__store));
}

/* Room for one more element of an array that grows. */
static bdl_status need_one(const bdl_allocator *allocator, void *array, int64_t n,
                           int64_t *capacity, size_t element_size)
{
    if (n < *capacity) {
        return BDL_OK;
    }
    const int64_t more = BDL__MAX(INT64_C(64), *capacity * 2);
    void *memory;
    memcpy(&memory, array, sizeof memory);
    BDL__TRY(bdl__realloc(allocator, (size_t)*capacity * element_size, (size_t)more * element_size,
                          &memory));
    memcpy(array, &memory, sizeof memory);
    *capacity = more;
    return BDL_OK;
}

/* ---- the file ---- */

static bdl_status fail_file(const bdl__store *store, const char *what)
{
    const int error = errno;
    return bdl__fail(BDL_ERR_IO,
                     "rows beyond the memory limit of %zu bytes go to a file in '%s': cannot %s: %s "
                     "(%llu bytes are there already); name another directory or allow more memory",
                     store->memory_limit, store->directory, what, strerror(error),
                     (unsigned long long)store->written);
}

/* Makes the file in a private directory and takes both names away. */
static bdl_status open_file(bdl__store *store)
{
    char directory[PATH_MAX], path[PATH_MAX + 8];
    const int length =
        snprintf(directory, sizeof directory, "%s/bdl-rows-XXXXXX", store->directory);
    BDL__CHECK(length > 0 && (size_t)length < sizeof directory, BDL_ERR_IO,
               "the directory for spilled rows '%.100s...' has a name that is too long",
               store->directory);
    if (mkdtemp(directory) == NULL) { /* mode 0700 */
        return fail_file(store, "make a directory there");
    }
    (void)snprintf(path, sizeof path, "%s/rows", directory);
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const int error = errno;
    (void)unlink(path);
    (void)rmdir(directory);
    if (fd < 0) {
        errno = error;
        return fail_file(store, "make it");
    }
    store->fd = fd;
    return BDL_OK;
}

static bdl_status write_file(bdl__store *store, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t n = pwrite(store->fd, data, size, (off_t)store->written);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return fail_file(store, "write");
        }
        data += n;
        size -= (size_t)n;
        store->written += (uint64_t)n;
    }
    return BDL_OK;
}

bdl_status bdl__store_seal(bdl__store *store)
{
    if (store->pending == NULL) {
        return BDL_OK;
    }
    BDL__TRY(write_file(store, store->pending, store->pending_size));
    store->pending_size = 0;
    bdl__free(store->allocator, store->pending, BLOCK_SIZE);
    store->pending = NULL;
    return BDL_OK;
}

/* Appends to the file, through the buffer; large pieces directly. */
static bdl_status spill(bdl__store *store, const char *data, size_t size)
{
    if (store->fd < 0) {
        BDL__TRY(open_file(store));
    }
    if (store->pending == NULL) {
        void *memory = NULL;
        BDL__TRY(bdl__alloc(store->allocator, BLOCK_SIZE, &memory));
        store->pending = memory;
    }
    if (store->pending_size + size > BLOCK_SIZE) {
        BDL__TRY(write_file(store, store->pending, store->pending_size));
        store->pending_size = 0;
    }
    if (size >= BLOCK_SIZE) {
        return write_file(store, data, size);
    }
    memcpy(store->pending + store->pending_size, data, size);
    store->pending_size += size;
    return BDL_OK;
}

/* ---- appending ---- */

/* A block with room for `size` bytes more, or NULL where the limit forbids one. */
static bdl_status find_room(bdl__store *store, size_t size, block **room)
{
    *room = store->n_blocks > 0 ? &store->blocks[store->n_blocks - 1] : NULL;
    if (*room != NULL && store->row_size == 0) {
        (*room)->used = BDL__MIN(bdl__align_up((*room)->used, ROW_ALIGNMENT), (*room)->size);
    }
    if (*room != NULL && (*room)->size - (*room)->used >= size) {
        return BDL_OK;
    }
    const size_t block_size = store->row_size > 0 ? store->row_size * (size_t)store->rows_per_block
                                                  : BDL__MAX(size, (size_t)BLOCK_SIZE);
    *room = NULL;
    if (block_size > store->memory_limit - store->memory_size) {
        return BDL_OK;
    }
    BDL__TRY(need_one(store->allocator, &store->blocks, store->n_blocks, &store->blocks_capacity,
                      sizeof(block)));
    void *memory = NULL;
    BDL__TRY(bdl__alloc(store->allocator, block_size, &memory));
    *room = &store->blocks[store->n_blocks++];
    **room = (block){.data = memory, .size = block_size};
    store->memory_size += block_size;
    return BDL_OK;
}

bdl_status bdl__store_append(bdl__store *store, const void *row, size_t size)
{
    block *room = NULL;
    if (store->row_size == 0) {
        BDL__TRY(need_one(store->allocator, &store->places, store->n, &store->places_capacity,
                          sizeof(place)));
    }
    if (store->n == store->n_memory) { /* none is spilled yet */
        BDL__TRY(find_room(store, size, &room));
    }
    uint64_t at = IN_FILE | (store->written + store->pending_size);
    if (room != NULL) {
        at = (uint64_t)(store->n_blocks - 1) << 32 | room->used;
        memcpy(room->data + room->used, row, size);
        room->used += size;
        store->n_memory++;
    } else {
        BDL__TRY(spill(store, row, size));
    }
    if (store->row_size == 0) {
        store->places[store->n] = (place){.at = at, .size = size};
    }
    store->n++;
    return BDL_OK;
}

/* ---- reading ---- */

static bdl_status read_file(const bdl__store *store, uint64_t offset, size_t size, char *to)
{
    while (size > 0) {
        const ssize_t n = pread(store->fd, to, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        BDL__CHECK(n > 0, BDL_ERR_IO, "cannot read a row back from the file in '%s': %s",
                   store->directory, n < 0 ? strerror(errno) : "it ends too early");
        to += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return BDL_OK;
}

bdl_status bdl__store_read(const bdl__store *store, int64_t i, bdl__buffer *buffer,
                           const void **row, size_t *size)
{
    *size = store->row_size > 0 ? store->row_size : store->places[i].size;
    if (i < store->n_memory) {
        const bool is_fixed = store->row_size > 0;
        const uint64_t at = is_fixed ? 0 : store->places[i].at;
        const block *in = &store->blocks[is_fixed ? i / store->rows_per_block : (int64_t)(at >> 32)];
        *row = in->data + (is_fixed ? (size_t)(i % store->rows_per_block) * *size
                                    : (size_t)(at & UINT32_MAX));
        return BDL_OK;
    }
    const uint64_t offset = store->row_size > 0 ? (uint64_t)(i - store->n_memory) * store->row_size
                                                : store->places[i].at & ~IN_FILE;
    BDL__TRY(bdl__buffer_need(buffer, *size));
    BDL__TRY(read_file(store, offset, *size, buffer->data));
    *row = buffer->data;
    return BDL_OK;
}

int64_t bdl__store_count(const bdl__store *store)
{
    return store->n;
}

int64_t bdl__store_memory(const bdl__store *store)
{
    return (int64_t)(store->memory_size + (size_t)store->blocks_capacity * sizeof(block) +
                     (size_t)store->places_capacity * sizeof(place) +
                     (store->pending != NULL ? BLOCK_SIZE : 0));
}

int64_t bdl__store_spilled(const bdl__store *store)
{
    return (int64_t)(store->written + store->pending_size);
}
