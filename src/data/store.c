/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows in memory lie in blocks of about 1 MiB and never cross from one block to the next, so that they can be used
 * where they are. Rows beyond the limit are appended to the file through a buffer of 1 MiB and read one by one with
 * pread: the kernel's page cache, which it takes back when memory is short, is the only cache.
 *
 * bdl__store_sort writes the file anew in runs: the rows of a run are neighbours in a given order, and in a run they
 * lie as they came. So the file is read once from begin to end, each run is written in pieces of 8 KiB, and whoever
 * reads a run's rows, in whatever order, finds them in one place of the file.
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

enum { BLOCK_SIZE = 1 << 20, ROW_ALIGNMENT = 8, PIECE_SIZE = 8 << 10 };

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
    uint32_t *moved;  /* owned, [n - n_memory] where in the file rows are; NULL = in order */
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
    bdl__free(allocator, store->moved, (size_t)(store->n - store->n_memory) * sizeof(uint32_t));
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

/* Makes a file in a private directory and takes both names away. */
static bdl_status open_file(const bdl__store *store, int *fd)
{
    BDL__CHECK(store->directory[0] != 0, BDL_ERR_OUT_OF_MEMORY,
               "rows need more memory than the %zu bytes that they may have, and may not go to a file",
               store->memory_limit);
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
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const int error = errno;
    (void)unlink(path);
    (void)rmdir(directory);
    if (*fd < 0) {
        errno = error;
        return fail_file(store, "make it");
    }
    return BDL_OK;
}

/* *offset follows what is written. */
static bdl_status write_at(const bdl__store *store, int fd, const char *data, size_t size,
                           uint64_t *offset)
{
    while (size > 0) {
        const ssize_t n = pwrite(fd, data, size, (off_t)*offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return fail_file(store, "write");
        }
        data += n;
        size -= (size_t)n;
        *offset += (uint64_t)n;
    }
    return BDL_OK;
}

static bdl_status write_file(bdl__store *store, const char *data, size_t size)
{
    return write_at(store, store->fd, data, size, &store->written);
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
        BDL__TRY(open_file(store, &store->fd));
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
    uint64_t offset = store->row_size > 0 ? (uint64_t)(i - store->n_memory) * store->row_size
                                          : store->places[i].at & ~IN_FILE;
    if (store->moved != NULL) {
        offset = (uint64_t)store->moved[i - store->n_memory] * store->row_size;
    }
    BDL__TRY(bdl__buffer_need(buffer, *size));
    BDL__TRY(read_file(store, offset, *size, buffer->data));
    *row = buffer->data;
    return BDL_OK;
}

/* ---- sorting ---- */

/* Moving the rows of the file into a new one. */
typedef struct move {
    const bdl__store *store;
    int fd;             /* of the new file */
    int64_t n;          /* rows of the file */
    int64_t run_rows;   /* of a run, but perhaps the last one */
    int64_t piece_rows; /* that are written at a time */
    uint32_t *places;   /* [n] a row's run, then its place in the new file */
    int64_t *n_moved;   /* [runs] */
    char *pieces;       /* [runs][PIECE_SIZE] */
    char *block;        /* rows on their way */
} move;

static bdl_status move_row(move *m, int64_t i, const char *row)
{
    const size_t row_size = m->store->row_size;
    const int64_t run = m->places[i], begin = run * m->run_rows;
    const int64_t end = BDL__MIN(begin + m->run_rows, m->n);
    char *piece = m->pieces + run * PIECE_SIZE;
    const int64_t at = begin + m->n_moved[run]++;
    const int64_t in_piece = (at - begin) % m->piece_rows;
    memcpy(piece + (size_t)in_piece * row_size, row, row_size);
    m->places[i] = (uint32_t)at;
    if (in_piece + 1 < m->piece_rows && at + 1 < end) {
        return BDL_OK;
    }
    uint64_t offset = (uint64_t)(at - in_piece) * row_size;
    return write_at(m->store, m->fd, piece, (size_t)(in_piece + 1) * row_size, &offset);
}

static bdl_status move_all(move *m, const bdl__cancel *cancel)
{
    const bdl__store *store = m->store;
    const int64_t n_at_once = store->rows_per_block;
    for (int64_t i = 0; i < m->n; i += n_at_once) {
        const int64_t n = BDL__MIN(n_at_once, m->n - i);
        BDL__CHECK(!bdl__is_cancelled(cancel), BDL_ERR_CANCELLED, "cancelled");
        BDL__TRY(read_file(store, (uint64_t)i * store->row_size, (size_t)n * store->row_size, m->block));
        for (int64_t k = 0; k < n; k++) {
            BDL__TRY(move_row(m, i + k, m->block + (size_t)k * store->row_size));
        }
    }
    return BDL_OK;
}

/* Gives each row of the file its run: `order` are rows of which this store has those from `first` on. */
static void deal_runs(move *m, const uint32_t *order, int64_t n, int64_t first)
{
    const int64_t begin = first + m->store->n_memory;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = (int64_t)order[i] - begin;
        if (row >= 0 && row < m->n) {
            m->places[row] = (uint32_t)(at++ / m->run_rows);
        }
    }
}

/* The space is taken before a row is moved, so that a disk which is too small shows at once. */
static bdl_status open_moved(move *m)
{
    BDL__TRY(open_file(m->store, &m->fd));
    errno = posix_fallocate(m->fd, 0, (off_t)m->store->written);
    return errno == 0 ? BDL_OK : fail_file(m->store, "make it anew in order");
}

static bdl_status prepare(move *m, bdl__arena *arena)
{
    const size_t n_runs = (size_t)((m->n + m->run_rows - 1) / m->run_rows);
    const size_t block_size = (size_t)m->store->rows_per_block * m->store->row_size;
    void *places = NULL, *n_moved = NULL, *pieces = NULL, *rows = NULL;
    BDL__TRY(bdl__alloc(m->store->allocator, (size_t)m->n * sizeof(uint32_t), &places));
    m->places = places;
    BDL__TRY(bdl__arena_alloc(arena, n_runs * sizeof(int64_t), &n_moved));
    m->n_moved = n_moved;
    BDL__TRY(bdl__arena_alloc(arena, n_runs * PIECE_SIZE, &pieces));
    m->pieces = pieces;
    BDL__TRY(bdl__arena_alloc(arena, block_size, &rows));
    m->block = rows;
    return BDL_OK;
}

bdl_status bdl__store_sort(bdl__store *store, const uint32_t *order, int64_t n, int64_t first,
                           int64_t run_rows, const bdl__cancel *cancel)
{
    move m = {.store = store,
              .fd = -1,
              .n = store->n - store->n_memory,
              .run_rows = run_rows,
              .piece_rows = store->row_size > 0 ? (int64_t)(PIECE_SIZE / store->row_size) : 0};
    bdl__arena arena;
    bdl_status status;
    BDL__TRY(bdl__store_seal(store));
    if (m.piece_rows == 0 || m.n <= run_rows || store->moved != NULL) {
        return BDL_OK;
    }
    bdl__arena_init(&arena, store->allocator);
    BDL__TRY_DONE(status, prepare(&m, &arena));
    deal_runs(&m, order, n, first);
    BDL__TRY_DONE(status, open_moved(&m));
    BDL__TRY_DONE(status, move_all(&m, cancel));
    const int old = store->fd;
    store->fd = m.fd;
    store->moved = m.places;
    m.fd = old;
    m.places = NULL;
done:
    bdl__arena_free(&arena);
    bdl__free(store->allocator, m.places, (size_t)m.n * sizeof(uint32_t));
    if (m.fd >= 0) {
        (void)close(m.fd);
    }
    return status;
}

int64_t bdl__store_count(const bdl__store *store)
{
    return store->n;
}

int64_t bdl__store_memory(const bdl__store *store)
{
    return (int64_t)(store->memory_size + (size_t)store->blocks_capacity * sizeof(block) +
                     (size_t)store->places_capacity * sizeof(place) +
                     (store->moved != NULL ? (size_t)(store->n - store->n_memory) * sizeof(uint32_t) : 0) +
                     (store->pending != NULL ? BLOCK_SIZE : 0));
}

int64_t bdl__store_spilled(const bdl__store *store)
{
    return (int64_t)(store->written + store->pending_size);
}
