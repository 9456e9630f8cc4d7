/* SPDX-License-Identifier: Apache-2.0 */
/* Files: whole reads with a cap, maps, and writes that appear at once or not at all. */
#ifndef BDL_BASE_FILE_H
#define BDL_BASE_FILE_H

#include "base/memory.h"

typedef struct bdl__bytes {
    const bdl_allocator *allocator;
    uint8_t *data; /* owned */
    size_t size;
} bdl__bytes;

/* Reads a file of at most `most` bytes, a NUL after the last (not counted). */
bdl_status bdl__file_read(const bdl_allocator *allocator, const char *path, size_t most,
                          bdl__bytes *bytes);
void bdl__bytes_free(bdl__bytes *bytes);
/* Reads a gzip file, or a plain one, of at most `most` bytes once inflated. */
bdl_status bdl__file_read_gz(const bdl_allocator *allocator, const char *path, size_t most,
                             bdl__bytes *bytes);

typedef struct bdl__map {
    const uint8_t *data;
    size_t size;
} bdl__map;

bdl_status bdl__file_map(const char *path, bdl__map *map);
void bdl__file_unmap(bdl__map *map);

bool bdl__file_exists(const char *path);
bool bdl__is_directory(const char *path);
bool bdl__is_regular_file(const char *path); /* or a link to one */
bdl_status bdl__make_directories(const char *path);
bdl_status bdl__remove_tree(const char *path); /* a missing path is fine */

/* Writes to "<path>.tmp-<pid>", fsyncs, renames over `path` and fsyncs the directory. */
bdl_status bdl__file_write(const char *path, const void *data, size_t size);

/* The same for a file that is put together from several pieces of memory. */
typedef struct bdl__piece {
    const void *data;
    size_t size;
} bdl__piece;
bdl_status bdl__file_write_pieces(const char *path, const bdl__piece *pieces, int64_t n_pieces);

/* Names in a directory, without "." and "..", sorted by bytes. In the arena. */
bdl_status bdl__list_directory(bdl__arena *arena, const char *path, const char *const **names,
                               int64_t *n_names);
bdl_status bdl__path_join(bdl__arena *arena, const char *directory, const char *name,
                          const char **path);

/* fsyncs a file or directory by name; renames with both directories fsynced. */
bdl_status bdl__file_sync(const char *path);
bdl_status bdl__file_rename(const char *from, const char *to);

#endif
