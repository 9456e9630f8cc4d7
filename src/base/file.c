/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files: reading with a cap, maps, and writes that appear at once or not at all. Errors carry
 * the path and the system's text; a missing file is BDL_ERR_NOT_FOUND, a file above its cap or with
 * damaged compression BDL_ERR_FORMAT, everything else BDL_ERR_IO.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file_error.h"

enum { FIRST_CAPACITY = 64 << 10, MOST_PER_READ = 1 << 30 };

bdl_status bdl__fail_errno(const char *what, const char *path)
{
    const int error = errno;
    return bdl__fail(error == ENOENT   ? BDL_ERR_NOT_FOUND
                     : error == ENOMEM ? BDL_ERR_OUT_OF_MEMORY
                                       : BDL_ERR_IO,
                     "cannot %s '%s': %s", what, path, strerror(error));
}

void bdl__bytes_free(bdl__bytes *bytes)
{
    if (bytes->data != NULL) {
        bdl__free(bytes->allocator, bytes->data, bytes->size + 1);
    }
    bytes->data = NULL;
    bytes->size = 0;
}

/* ---- reading */

/* A buffer that grows up to a cap; one byte more than the data is kept for the NUL. */
typedef struct reader {
    const bdl_allocator *allocator;
    const char *path;
    size_t most;
    uint8_t *data;
    size_t size;
    size_t capacity;
} reader;

static bdl_status resize(reader *in, size_t capacity)
{
    void *memory = in->data;
    BDL__TRY(bdl__realloc(in->allocator, in->capacity, capacity, &memory));
    in->data = memory;
    in->capacity = capacity;
    return BDL_OK;
}

/* Room for at least one byte more. */
static bdl_status grow(reader *in)
{
    if (in->size < in->capacity) {
        return BDL_OK;
    }
    const size_t doubled = in->capacity > SIZE_MAX / 2 ? SIZE_MAX : in->capacity * 2;
    const size_t most = in->most == SIZE_MAX ? SIZE_MAX : in->most + 1;
    return resize(in, BDL__MIN(BDL__MAX(doubled, (size_t)FIRST_CAPACITY), most));
}

static bdl_status check_cap(const reader *in)
{
    return in->size <= in->most
               ? BDL_OK
               : bdl__fail(BDL_ERR_FORMAT, "'%s' is too large: expected at most %zu bytes",
                           in->path, in->most);
}

/* Hands the data over in a block of exactly size + 1 bytes. */
static bdl_status finish(reader *in, bdl__bytes *bytes)
{
    if (in->capacity != in->size + 1) {
        BDL__TRY(resize(in, in->size + 1));
    }
    in->data[in->size] = 0;
    *bytes = (bdl__bytes){.allocator = in->allocator, .data = in->data, .size = in->size};
    in->data = NULL;
    return BDL_OK;
}

/* A named pipe that nobody writes reads as empty, instead of a wait without end. */
static bdl_status open_for_reading(const char *path, int *fd, struct stat *info)
{
    const int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0) {
        return bdl__fail_errno("open", path);
    }
    if (fstat(opened, info) != 0 || fcntl(opened, F_SETFL, O_RDONLY) != 0) {
        const bdl_status status = bdl__fail_errno("read", path);
        (void)close(opened);
        return status;
    }
    if (S_ISDIR(info->st_mode)) {
        (void)close(opened);
        return bdl__fail(BDL_ERR_IO, "cannot read '%s': expected a file, got a directory", path);
    }
    *fd = opened;
    return BDL_OK;
}

static bdl_status read_all(reader *in, int fd)
{
    for (;;) {
        BDL__TRY(grow(in));
        const size_t room = BDL__MIN(in->capacity - in->size, (size_t)MOST_PER_READ);
        const ssize_t n = read(fd, in->data + in->size, room);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return bdl__fail_errno("read", in->path);
        }
        if (n == 0) {
            return BDL_OK;
        }
        in->size += (size_t)n;
        BDL__TRY(check_cap(in));
    }
}

bdl_status bdl__file_read(const bdl_allocator *allocator, const char *path, size_t most,
                          bdl__bytes *bytes)
{
    int fd = -1;
    struct stat info;
    BDL__TRY(open_for_reading(path, &fd, &info));
    reader in = {.allocator = allocator, .path = path, .most = most};
    bdl_status status = BDL_OK;
    if (S_ISREG(info.st_mode) && info.st_size > 0) {
        in.size = (size_t)info.st_size;
        BDL__TRY_DONE(status, check_cap(&in));
        in.size = 0;
        BDL__TRY_DONE(status, resize(&in, (size_t)info.st_size + 1));
    }
    BDL__TRY_DONE(status, read_all(&in, fd));
    status = finish(&in, bytes);
done:
    bdl__free(allocator, in.data, in.capacity);
    (void)close(fd);
    return status;
}

static bdl_status fail_gz(const reader *in, gzFile file)
{
    int code = Z_OK;
    const char *const text = gzerror(file, &code);
    if (code == Z_ERRNO) {
        return bdl__fail_errno("read", in->path);
    }
    if (code == Z_MEM_ERROR) {
        return bdl__out_of_memory(0);
    }
    const char *const colon = text[0] == '<' ? strstr(text, ">: ") : NULL; /* zlib's "<fd:3>: ..." */
    return bdl__fail(BDL_ERR_FORMAT, "cannot inflate '%s': expected whole gzip data, got %s", in->path,
                     text[0] == '\0' ? "damaged data" : colon ? colon + 3 : text);
}

static bdl_status inflate_all(reader *in, gzFile file)
{
    for (;;) {
        BDL__TRY(grow(in));
        const size_t room = BDL__MIN(in->capacity - in->size, (size_t)MOST_PER_READ);
        const int n = gzread(file, in->data + in->size, (unsigned)room);
        if (n < 0) {
            return fail_gz(in, file);
        }
        in->size += (size_t)n;
        BDL__TRY(check_cap(in));
        if ((size_t)n < room) {
            int code = Z_OK;
            (void)gzerror(file, &code);
            return code == Z_OK || code == Z_STREAM_END ? BDL_OK : fail_gz(in, file);
        }
    }
}

bdl_status bdl__file_read_gz(const bdl_allocator *allocator, const char *path, size_t most,
                             bdl__bytes *bytes)
{
    int fd = -1;
    struct stat info;
    BDL__TRY(open_for_reading(path, &fd, &info));
    const gzFile file = gzdopen(fd, "rb");
    if (file == NULL) {
        (void)close(fd);
        return bdl__out_of_memory(0);
    }
    reader in = {.allocator = allocator, .path = path, .most = most};
    bdl_status status = inflate_all(&in, file);
    if (status == BDL_OK) {
        status = finish(&in, bytes);
    }
    bdl__free(allocator, in.data, in.capacity);
    (void)gzclose(file);
    return status;
}

bdl_status bdl__file_map(const char *path, bdl__map *map)
{
    int fd = -1;
    struct stat info;
    BDL__TRY(open_for_reading(path, &fd, &info));
    if (info.st_size <= 0) {
        (void)close(fd);
        *map = (bdl__map){.data = (const uint8_t *)"", .size = 0};
        return BDL_OK;
    }
    const size_t size = (size_t)info.st_size;
    void *const memory = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    const bdl_status status = memory == MAP_FAILED ? bdl__fail_errno("map", path) : BDL_OK;
    (void)close(fd);
    if (status == BDL_OK) {
        *map = (bdl__map){.data = memory, .size = size};
    }
    return status;
}

void bdl__file_unmap(bdl__map *map)
{
    if (map->data != NULL && map->size > 0) {
        (void)munmap((void *)(uintptr_t)map->data, map->size);
    }
    *map = (bdl__map){.size = 0};
}

/* ---- writing */

static bdl_status write_all(int fd, const char *path, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size > 0) {
        const ssize_t n = write(fd, p, BDL__MIN(size, (size_t)MOST_PER_READ));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return bdl__fail_errno("write", path);
        }
        p += n;
        size -= (size_t)n;
    }
    return BDL_OK;
}

static bdl_status write_new(const char *path, const bdl__piece *pieces, int64_t n_pieces)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return bdl__fail_errno("create", path);
    }
    bdl_status status = BDL_OK;
    for (int64_t i = 0; i < n_pieces && status == BDL_OK; i++) {
        status = write_all(fd, path, pieces[i].data, pieces[i].size);
    }
    if (status == BDL_OK && fsync(fd) != 0) {
        status = bdl__fail_errno("write", path);
    }
    if (close(fd) != 0 && status == BDL_OK) {
        status = bdl__fail_errno("write", path);
    }
    return status;
}

bdl_status bdl__file_write(const char *path, const void *data, size_t size)
{
    const bdl__piece piece = {.data = data, .size = size};
    return bdl__file_write_pieces(path, &piece, 1);
}

bdl_status bdl__file_write_pieces(const char *path, const bdl__piece *pieces, int64_t n_pieces)
{
    char temporary[PATH_MAX];
    const int n = snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid());
    BDL__CHECK(n > 0 && (size_t)n < sizeof temporary, BDL_ERR_IO,
               "cannot write '%.100s...': the path is too long", path);
    bdl_status status = write_new(temporary, pieces, n_pieces);
    if (status == BDL_OK) {
        status = bdl__file_rename(temporary, path);
    }
    if (status != BDL_OK) {
        (void)unlink(temporary);
    }
    return status;
}
