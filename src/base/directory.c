/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and names: lists, trees, renames that survive a power failure. Declared in file.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_error.h"

enum { DEEPEST_TREE = 64 };

bool bdl__file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool bdl__is_regular_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool bdl__is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bdl_status make_directory(const char *path)
{
    if (mkdir(path, 0777) == 0) {
        return BDL_OK;
    }
    const int reason = errno; /* the next line sets its own */
    if (bdl__is_directory(path)) {
        return BDL_OK;
    }
    errno = reason;
    return bdl__fail_errno("make the directory", path);
}

bdl_status bdl__make_directories(const char *path)
{
    char partial[PATH_MAX];
    const size_t size = strlen(path);
    BDL__CHECK(size > 0 && size < sizeof partial, BDL_ERR_IO,
               "cannot make the directory '%.100s': the path must have between 1 and %d bytes",
               path, PATH_MAX - 1);
    memcpy(partial, path, size + 1);
    for (size_t i = 1; i < size; i++) {
        if (partial[i] == '/' && partial[i - 1] != '/') {
            partial[i] = '\0';
            BDL__TRY(make_directory(partial));
            partial[i] = '/';
        }
    }
    return make_directory(partial);
}

/* ---- removing */

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes `name` in the directory `parent`, with what it contains; links are not followed. */
static bdl_status remove_at(int parent, const char *name, const char *root, int depth);

static bdl_status remove_content(DIR *directory, const char *root, int depth)
{
    errno = 0;
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (!is_dots(entry->d_name)) {
            BDL__TRY(remove_at(dirfd(directory), entry->d_name, root, depth));
        }
        errno = 0;
    }
    return errno == 0 ? BDL_OK : bdl__fail_errno("list a directory of", root);
}

static bdl_status remove_at(int parent, const char *name, const char *root, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) {
        return BDL_OK;
    }
    if (errno != EISDIR && errno != EPERM) {
        return bdl__fail_errno("remove", root);
    }
    BDL__CHECK(depth < DEEPEST_TREE, BDL_ERR_IO, "cannot remove '%s': it has more than %d levels",
               root, DEEPEST_TREE);
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *const directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        const bdl_status status = bdl__fail_errno("remove", root);
        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    const bdl_status status = remove_content(directory, root, depth + 1);
    (void)closedir(directory);
    if (status != BDL_OK) {
        return status;
    }
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return bdl__fail_errno("remove", root);
    }
    return BDL_OK;
}

bdl_status bdl__remove_tree(const char *path)
{
    return remove_at(AT_FDCWD, path, path, 0);
}

/* ---- listing */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

typedef struct names {
    bdl__arena *arena;
    const char **list; /* in the arena */
    int64_t n;
    int64_t capacity;
} names;

static bdl_status add_name(names *all, const char *name)
{
    if (all->n == all->capacity) {
        const int64_t capacity = BDL__MAX(all->capacity * 2, INT64_C(32));
        void *memory = NULL;
        BDL__TRY(bdl__arena_alloc(all->arena, (size_t)capacity * sizeof all->list[0], &memory));
        if (all->n > 0) {
            memcpy(memory, all->list, (size_t)all->n * sizeof all->list[0]);
        }
        all->list = memory;
        all->capacity = capacity;
    }
    BDL__TRY(bdl__arena_strdup(all->arena, name, &all->list[all->n]));
    all->n++;
    return BDL_OK;
}

static bdl_status read_names(DIR *directory, const char *path, names *all)
{
    errno = 0;
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (!is_dots(entry->d_name)) {
            BDL__TRY(add_name(all, entry->d_name));
        }
        errno = 0;
    }
    return errno == 0 ? BDL_OK : bdl__fail_errno("list", path);
}

bdl_status bdl__list_directory(bdl__arena *arena, const char *path, const char *const **out,
                               int64_t *n_names)
{
    DIR *const directory = opendir(path);
    if (directory == NULL) {
        return bdl__fail_errno("list", path);
    }
    names all = {.arena = arena};
    const bdl_status status = read_names(directory, path, &all);
    (void)closedir(directory);
    if (status != BDL_OK) {
        return status;
    }
    if (all.n > 0) {
        qsort(all.list, (size_t)all.n, sizeof all.list[0], compare_names);
    }
    *out = all.list;
    *n_names = all.n;
    return BDL_OK;
}

bdl_status bdl__path_join(bdl__arena *arena, const char *directory, const char *name,
                          const char **path)
{
    const size_t size = strlen(directory);
    const bool plain = size == 0 || name[0] == '/';
    const bool has_slash = size > 0 && directory[size - 1] == '/';
    return bdl__arena_printf(arena, path, "%s%s%s", plain ? "" : directory,
                             plain || has_slash ? "" : "/", name);
}

/* ---- durable names */

bdl_status bdl__file_sync(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return bdl__fail_errno("open", path);
    }
    bdl_status status = BDL_OK;
    if (fsync(fd) != 0 && errno != EINVAL) { /* some file systems cannot sync a directory */
        status = bdl__fail_errno("write", path);
    }
    (void)close(fd);
    return status;
}

/* Syncs the directory that holds the path's last name. */
static bdl_status sync_parent(const char *path)
{
    char parent[PATH_MAX];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    if (size == 0) {
        return bdl__file_sync(".");
    }
    BDL__CHECK(size < sizeof parent, BDL_ERR_IO, "cannot write '%.100s...': the path is too long",
               path);
    memcpy(parent, path, size);
    parent[size] = '\0';
    return bdl__file_sync(parent);
}

bdl_status bdl__file_rename(const char *from, const char *to)
{
    if (rename(from, to) != 0) {
        const int error = errno;
        return bdl__fail(error == ENOENT ? BDL_ERR_NOT_FOUND : BDL_ERR_IO,
                         "cannot rename '%s' to '%s': %s", from, to, strerror(error));
    }
    BDL__TRY(sync_parent(to));
    return sync_parent(from);
}
