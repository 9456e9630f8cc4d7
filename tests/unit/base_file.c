/* SPDX-License-Identifier: Apache-2.0 */
/* Reading with caps, gzip, maps, writes that appear at once, directories. */
#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "counting_allocator.h"
#include "test.h"

/* A path in the test's folder; the arena belongs to the running test. */
static const char *path_of(bdl__arena *arena, const char *name)
{
    const char *path = "";
    CHECK_OK(bdl__path_join(arena, bdl_test_dir(), name, &path));
    return path;
}

BDL_TEST(reads_what_was_written)
{
    static const size_t sizes[] = {0, 1, 4096, 300000};
    static uint8_t data[300000];
    counting_allocator counter;
    counting_allocator_init(&counter);
    bdl__arena arena;
    bdl__arena_init(&arena, &counter.allocator);
    const char *const path = path_of(&arena, "data");
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 13 >> 3);
    }
    for (int64_t i = 0; i < BDL__COUNT_OF(sizes); i++) {
        bdl__bytes bytes = {.size = 0};
        bdl__map map = {.size = 0};
        REQUIRE_OK(bdl__file_write(path, data, sizes[i]));
        REQUIRE_OK(bdl__file_read(&counter.allocator, path, sizes[i], &bytes));
        REQUIRE(bytes.size == sizes[i]);
        CHECK(memcmp(bytes.data, data, sizes[i]) == 0);
        CHECK_EQ_I64(bytes.data[bytes.size], 0);
        bdl__bytes_free(&bytes);
        REQUIRE_OK(bdl__file_read_gz(&counter.allocator, path, sizes[i], &bytes));
        CHECK(bytes.size == sizes[i] && memcmp(bytes.data, data, sizes[i]) == 0);
        bdl__bytes_free(&bytes);
        bdl__bytes_free(&bytes);
        REQUIRE_OK(bdl__file_map(path, &map));
        CHECK(map.data != NULL && map.size == sizes[i] && memcmp(map.data, data, sizes[i]) == 0);
        bdl__file_unmap(&map);
        bdl__file_unmap(&map);
    }
    bdl__arena_free(&arena);
    CHECK_EQ_I64(counter.n_live, 0);
    CHECK(!counter.wrong_size);
}

BDL_TEST(reads_files_whose_size_is_not_known)
{
    bdl__bytes bytes = {.size = 0};
    REQUIRE_OK(bdl__file_read(bdl__default_allocator(), "/proc/self/status", 1 << 20, &bytes));
    CHECK(bytes.size > 100);
    CHECK_STR_HAS((const char *)bytes.data, "Name:");
    bdl__bytes_free(&bytes);
    CHECK_EQ_I64(bdl__file_read(bdl__default_allocator(), "/proc/self/status", 50, &bytes),
                 BDL_ERR_FORMAT);
    CHECK_EQ_I64(bdl__file_read(bdl__default_allocator(), "/dev/zero", 100000, &bytes),
                 BDL_ERR_FORMAT);
}

/* Reading one that nobody writes would wait without end. */
BDL_TEST(a_pipe_without_a_writer_is_empty)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    bdl__bytes bytes = {.size = 0};
    bdl__map map = {.size = 0};
    const char *const path = path_of(&arena, "pipe");
    REQUIRE(mkfifo(path, 0600) == 0);
    REQUIRE_OK(bdl__file_read(bdl__default_allocator(), path, 100, &bytes));
    CHECK_EQ_I64(bytes.size, 0);
    bdl__bytes_free(&bytes);
    REQUIRE_OK(bdl__file_map(path, &map));
    CHECK_EQ_I64(map.size, 0);
    bdl__file_unmap(&map);
    CHECK(unlink(path) == 0);
    bdl__arena_free(&arena);
}

BDL_TEST(errors_name_the_path_and_the_reason)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    bdl__bytes bytes = {.size = 7};
    bdl__map map = {.size = 7};
    const bdl_allocator *const allocator = bdl__default_allocator();
    const char *const missing = path_of(&arena, "missing");
    CHECK_EQ_I64(bdl__file_read(allocator, missing, 10, &bytes), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "/missing': No such file or directory");
    CHECK_EQ_I64(bdl__file_read_gz(allocator, missing, 10, &bytes), BDL_ERR_NOT_FOUND);
    CHECK_EQ_I64(bdl__file_map(missing, &map), BDL_ERR_NOT_FOUND);
    CHECK_EQ_I64(bdl__file_sync(missing), BDL_ERR_NOT_FOUND);
    CHECK_EQ_I64(bdl__file_rename(missing, path_of(&arena, "x")), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "cannot rename '");
    CHECK_EQ_I64(bdl__file_read(allocator, bdl_test_dir(), 10, &bytes), BDL_ERR_IO);
    CHECK_STR_HAS(bdl_last_error(), "expected a file, got a directory");
    CHECK_EQ_I64(bdl__file_write(path_of(&arena, "no/such/file"), "x", 1), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "no/such/file");
    const char *const five = path_of(&arena, "five");
    REQUIRE_OK(bdl__file_write(five, "12345", 5));
    CHECK_EQ_I64(bdl__file_read(allocator, five, 4, &bytes), BDL_ERR_FORMAT);
    CHECK_STR_HAS(bdl_last_error(), "five' is too large: expected at most 4 bytes");
    CHECK_EQ_I64(bdl__make_directories(path_of(&arena, "five/sub")), BDL_ERR_IO);
    CHECK_STR_HAS(bdl_last_error(), "five': File exists");
    CHECK_EQ_I64(bytes.size, 7);
    CHECK_EQ_I64(map.size, 7);
    bdl__arena_free(&arena);
}

static bool write_gz(const char *path, const void *data, size_t size, int n_times)
{
    const gzFile file = gzopen(path, "wb9");
    bool ok = file != NULL;
    for (int i = 0; i < n_times && ok; i++) {
        ok = gzwrite(file, data, (unsigned)size) == (int)size;
    }
    return file != NULL && gzclose(file) == Z_OK && ok;
}

BDL_TEST(inflates_up_to_the_cap)
{
    static uint8_t zeros[1 << 20];
    counting_allocator counter;
    counting_allocator_init(&counter);
    bdl__arena arena;
    bdl__arena_init(&arena, &counter.allocator);
    bdl__bytes bytes = {.size = 0};
    const char *const path = path_of(&arena, "bomb.gz");
    REQUIRE(write_gz(path, zeros, sizeof zeros, 8));
    REQUIRE_OK(bdl__file_read_gz(&counter.allocator, path, 8 << 20, &bytes));
    CHECK_EQ_I64(bytes.size, 8 << 20);
    CHECK_EQ_I64(bytes.data[bytes.size - 1], 0);
    bdl__bytes_free(&bytes);
    CHECK_EQ_I64(bdl__file_read_gz(&counter.allocator, path, 100000, &bytes), BDL_ERR_FORMAT);
    CHECK_STR_HAS(bdl_last_error(), "bomb.gz' is too large: expected at most 100000 bytes");
    bdl__arena_free(&arena);
    CHECK_EQ_I64(counter.n_live, 0);
}

BDL_TEST(damaged_gzip_files_are_refused)
{
    static uint8_t noise[50000];
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    const bdl_allocator *const allocator = bdl__default_allocator();
    const char *const path = path_of(&arena, "noise.gz");
    bdl__bytes bytes = {.size = 0};
    bdl__bytes packed = {.size = 0};
    for (size_t i = 0; i < sizeof noise; i++) {
        noise[i] = (uint8_t)bdl_test_random();
    }
    REQUIRE(write_gz(path, noise, sizeof noise, 1));
    REQUIRE_OK(bdl__file_read(allocator, path, 1 << 20, &packed));
    REQUIRE_OK(bdl__file_write(path, packed.data, packed.size / 2));
    CHECK_EQ_I64(bdl__file_read_gz(allocator, path, 1 << 20, &bytes), BDL_ERR_FORMAT);
    CHECK_STR_HAS(bdl_last_error(), "expected whole gzip data");
    packed.data[packed.size - 6] ^= 1; /* the checksum */
    REQUIRE_OK(bdl__file_write(path, packed.data, packed.size));
    CHECK_EQ_I64(bdl__file_read_gz(allocator, path, 1 << 20, &bytes), BDL_ERR_FORMAT);
    CHECK(bytes.data == NULL);
    bdl__bytes_free(&packed);
    bdl__arena_free(&arena);
}

BDL_TEST(writing_leaves_no_temporary_file)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    const char *const *names = NULL;
    int64_t n_names = 7;
    REQUIRE_OK(bdl__list_directory(&arena, bdl_test_dir(), &names, &n_names));
    CHECK_EQ_I64(n_names, 0);
    REQUIRE_OK(bdl__file_write(path_of(&arena, "b"), "1", 1));
    REQUIRE_OK(bdl__file_write(path_of(&arena, "b"), "2", 1));
    REQUIRE_OK(bdl__file_write(path_of(&arena, "a"), "3", 1));
    REQUIRE_OK(bdl__make_directories(path_of(&arena, "taken")));
    CHECK(bdl__file_write(path_of(&arena, "taken"), "4", 1) != BDL_OK);
    REQUIRE_OK(bdl__list_directory(&arena, bdl_test_dir(), &names, &n_names));
    REQUIRE(n_names == 3);
    CHECK_STR_EQ(names[0], "a");
    CHECK_STR_EQ(names[1], "b");
    CHECK_STR_EQ(names[2], "taken");
    bdl__arena_free(&arena);
}

/* The link is in the way of the directory, and what it points at is not there: the former is the reason. */
BDL_TEST(a_directory_that_cannot_be_made_says_why)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    const char *const dangling = path_of(&arena, "dangling");
    REQUIRE(symlink("nowhere", dangling) == 0);
    CHECK_EQ_I64(bdl__make_directories(dangling), BDL_ERR_IO);
    CHECK_STR_HAS(bdl_last_error(), "/dangling': File exists");
    CHECK(unlink(dangling) == 0);
    bdl__arena_free(&arena);
}

BDL_TEST(directories_are_made_listed_and_removed)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    const char *const tree = path_of(&arena, "tree");
    const char *const deep = path_of(&arena, "tree//a/b/");
    const char *const outside = path_of(&arena, "outside");
    const char *const *names = NULL;
    int64_t n_names = 0;
    REQUIRE_OK(bdl__make_directories(deep));
    REQUIRE_OK(bdl__make_directories(deep));
    CHECK(bdl__is_directory(deep) && bdl__file_exists(deep));
    for (int i = 0; i < 100; i++) {
        const char *name = NULL;
        const char *path = NULL;
        REQUIRE_OK(bdl__arena_printf(&arena, &name, "f%d", i * 37 % 100));
        REQUIRE_OK(bdl__path_join(&arena, deep, name, &path));
        FILE *const file = fopen(path, "w");
        REQUIRE(file != NULL && fclose(file) == 0);
    }
    REQUIRE_OK(bdl__list_directory(&arena, deep, &names, &n_names));
    REQUIRE(n_names == 100);
    CHECK_STR_EQ(names[0], "f0");
    CHECK_STR_EQ(names[2], "f10");
    CHECK_STR_EQ(names[99], "f99");
    REQUIRE_OK(bdl__file_write(outside, "x", 1));
    REQUIRE(symlink(bdl_test_dir(), path_of(&arena, "tree/a/link")) == 0);
    CHECK_OK(bdl__remove_tree(tree));
    CHECK(!bdl__file_exists(tree));
    CHECK(bdl__file_exists(outside)); /* links were not followed */
    CHECK_OK(bdl__remove_tree(tree));
    CHECK_OK(bdl__remove_tree(outside));
    CHECK_EQ_I64(bdl__list_directory(&arena, tree, &names, &n_names), BDL_ERR_NOT_FOUND);
    bdl__arena_free(&arena);
}

BDL_TEST(paths_are_joined_by_one_slash)
{
    static const char *const rows[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}, {"a", "/b", "/b"}};
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        const char *path = NULL;
        REQUIRE_OK(bdl__path_join(&arena, rows[i][0], rows[i][1], &path));
        CHECK_STR_EQ(path, rows[i][2]);
    }
    bdl__arena_free(&arena);
}

BDL_TEST(reading_survives_each_failed_allocation)
{
    static uint8_t zeros[200000];
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    const char *const path = path_of(&arena, "zeros.gz");
    REQUIRE(write_gz(path, zeros, sizeof zeros, 1));
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__bytes bytes = {.size = 0};
        const bdl_status status = bdl__file_read_gz(&counter.allocator, path, 1 << 20, &bytes);
        CHECK_EQ_I64(status, counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
        CHECK_EQ_I64(bytes.size, counter.refused ? 0 : 200000);
        bdl__bytes_free(&bytes);
    }
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__bytes bytes = {.size = 0};
        const bdl_status status = bdl__file_read(&counter.allocator, path, 1 << 20, &bytes);
        CHECK_EQ_I64(status, counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
        bdl__bytes_free(&bytes);
    }
    bdl__arena_free(&arena);
}

BDL_TEST_MAIN(reads_what_was_written, reads_files_whose_size_is_not_known,
              a_pipe_without_a_writer_is_empty, errors_name_the_path_and_the_reason,
              inflates_up_to_the_cap, damaged_gzip_files_are_refused,
              writing_leaves_no_temporary_file, a_directory_that_cannot_be_made_says_why,
              directories_are_made_listed_and_removed,
              paths_are_joined_by_one_slash, reading_survives_each_failed_allocation)
