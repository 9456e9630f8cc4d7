/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of checkpoints, step-<iteration, 10 digits>.bdlckpt. Each appears whole or not at
 * all (temporary name, fsync, rename, fsync of the directory); the newest good one is read; what
 * an interrupted write left is removed; and a damaged one is set aside as "<name>.damaged", so
 * that it never counts as the newest again.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "train/checkpoint_file.h"

#define NAME_PREFIX "step-"
#define NAME_SUFFIX ".bdlckpt"

/* ---- names ---------------------------------------------------------------------------------- */

/* The iteration in a checkpoint's name, -1 if it is no such name; `rest` is what follows the
 * name. */
static int64_t parse_name(const char *name, const char **rest)
{
    char digits[20] = "";
    int64_t iteration = -1;
    const size_t n_prefix = strlen(NAME_PREFIX), n_suffix = strlen(NAME_SUFFIX);
    if (strncmp(name, NAME_PREFIX, n_prefix) != 0) {
        return -1;
    }
    const size_t n = strspn(name + n_prefix, "0123456789");
    if (n < 10 || n >= sizeof digits || strncmp(name + n_prefix + n, NAME_SUFFIX, n_suffix) != 0) {
        return -1;
    }
    memcpy(digits, name + n_prefix, n);
    *rest = name + n_prefix + n + n_suffix;
    return bdl__parse_i64(digits, &iteration) ? iteration : -1;
}

static bool is_left_over(const char *name)
{
    static const char suffix[] = ".tmp-";
    const char *rest = "";
    return parse_name(name, &rest) >= 0 && strncmp(rest, suffix, strlen(suffix)) == 0;
}

typedef struct entry {
    int64_t iteration;
    const char *name;
} entry;

/* The checkpoints of a directory by rising iteration, in the arena. */
typedef struct listing {
    const char *directory;
    entry *entries;
    int64_t n;
} listing;

static void insert(listing *list, entry added)
{
    int64_t i = list->n++;
    for (; i > 0 && list->entries[i - 1].iteration > added.iteration; i--) {
        list->entries[i] = list->entries[i - 1];
    }
    list->entries[i] = added;
}

/* Lists a directory and removes what interrupted writes have left. A missing directory is empty. What has a checkpoint's
 * name but is no file, as a folder or a link that leads nowhere, is somebody else's. */
static bdl_status list_checkpoints(bdl__arena *arena, const char *directory, listing *list)
{
    const char *const *names;
    int64_t n = 0;
    void *memory = NULL;
    *list = (listing){.directory = directory};
    if (!bdl__file_exists(directory)) {
        return BDL_OK;
    }
    BDL__TRY(bdl__list_directory(arena, directory, &names, &n));
    BDL__TRY(bdl__arena_alloc(arena, (size_t)n * sizeof(entry), &memory));
    list->entries = memory;
    for (int64_t i = 0; i < n; i++) {
        const char *rest = "", *path;
        const int64_t iteration = parse_name(names[i], &rest);
        if (iteration < 0) {
            continue;
        }
        BDL__TRY(bdl__path_join(arena, directory, names[i], &path));
        if (is_left_over(names[i])) {
            (void)unlink(path);
        } else if (*rest == '\0' && bdl__is_regular_file(path)) {
            insert(list, (entry){.iteration = iteration, .name = names[i]});
        }
    }
    return BDL_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static bdl_status check_newest(const listing *list, int64_t iteration)
{
    const entry *const newest = list->n > 0 ? &list->entries[list->n - 1] : NULL;
    BDL__CHECK(!newest || newest->iteration <= iteration, BDL_ERR_STATE,
               "'%s' holds %s, which is ahead of this run's iteration %lld: resume from it, or use "
               "another directory",
               list->directory, newest->name, (long long)iteration);
    return BDL_OK;
}

/* A checkpoint that cannot be removed does no harm: the next write tries again. */
static void remove_oldest(const listing *list, int64_t keep, bdl__arena *arena)
{
    for (int64_t i = 0; i < list->n - keep; i++) {
        const char *path;
        if (bdl__path_join(arena, list->directory, list->entries[i].name, &path) == BDL_OK) {
            (void)unlink(path);
        }
    }
}

static bdl_status write_next(const bdl__checkpoint_io *io, const bdl__position *position,
                             const char *directory, int64_t keep, bdl__arena *scratch,
                             const char *path)
{
    listing list;
    BDL__TRY(bdl__make_directories(directory));
    BDL__TRY(list_checkpoints(scratch, directory, &list));
    BDL__TRY(check_newest(&list, position->iteration));
    BDL__TRY(bdl__checkpoint_file_write(io, position, path));
    BDL__TRY(list_checkpoints(scratch, directory, &list));
    remove_oldest(&list, keep, scratch);
    return BDL_OK;
}

bdl_status bdl__checkpoint_write(const bdl__checkpoint_io *io, const bdl__position *position,
                                 const char *directory, int64_t keep, bdl__arena *arena,
                                 const char **path)
{
    const char *name, *made;
    bdl__arena scratch;
    BDL__CHECK(keep >= 1, BDL_ERR_INVALID_ARGUMENT, "keep must be >= 1, got %lld", (long long)keep);
    BDL__TRY(bdl__arena_printf(arena, &name, NAME_PREFIX "%010lld" NAME_SUFFIX,
                               (long long)position->iteration));
    BDL__TRY(bdl__path_join(arena, directory, name, &made));
    bdl__arena_init(&scratch, io->allocator);
    const bdl_status status = write_next(io, position, directory, keep, &scratch, made);
    bdl__arena_free(&scratch);
    if (status != BDL_OK) {
        return bdl__fail_in(status, "cannot write a checkpoint");
    }
    *path = made;
    return BDL_OK;
}

bdl_status bdl__checkpoint_check_new(const bdl_allocator *allocator, const char *directory)
{
    bdl__arena arena;
    listing list;
    bdl__arena_init(&arena, allocator);
    bdl_status status = list_checkpoints(&arena, directory, &list);
    if (status == BDL_OK && list.n > 0) {
        status =
            bdl__fail(BDL_ERR_STATE,
                      "'%s' holds checkpoints of an earlier run, the newest is %s: resume from "
                      "it, or use another directory",
                      directory, list.entries[list.n - 1].name);
    }
    bdl__arena_free(&arena);
    return status;
}

/* ---- reading -------------------------------------------------------------------------------- */

static void set_aside(const bdl__log *log, const char *path, bdl__arena *arena)
{
    const char *aside;
    if (log) {
        BDL__LOG(log, BDL__LOG_WARNING, "damaged checkpoint refused: %s", bdl_last_error());
    }
    if (bdl__arena_printf(arena, &aside, "%s.damaged", path) == BDL_OK) {
        (void)rename(path, aside);
    }
}

bdl_status bdl__checkpoint_read(const bdl__checkpoint_io *io, const bdl__log *log,
                                const char *directory, bdl__position *position, bdl__arena *arena,
                                const char **path)
{
    listing list;
    BDL__TRY(list_checkpoints(arena, directory, &list));
    BDL__CHECK(list.n > 0, BDL_ERR_NOT_FOUND, "there is no checkpoint in '%s'", directory);
    for (int64_t i = list.n - 1; i >= 0; i--) {
        const char *candidate;
        bool is_damaged = false;
        BDL__TRY(bdl__path_join(arena, directory, list.entries[i].name, &candidate));
        const bdl_status status =
            bdl__checkpoint_file_read(io, log, candidate, position, &is_damaged);
        if (status == BDL_OK) {
            *path = candidate;
            return BDL_OK;
        }
        if (!is_damaged) {
            return status;
        }
        set_aside(log, candidate, arena);
    }
    BDL__FAIL(
        BDL_ERR_FORMAT,
        "all %lld checkpoints in '%s' were damaged and are set aside as *.damaged: resume once "
        "more to start from the beginning",
        (long long)list.n, directory);
}
