/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading rows that are larger than memory: rows go to a file, which the page cache then forgets, and an epoch's batches
 * are read from it, with the file in the order in which rows came and with it sorted.
 *
 *     cold_rows [DIRECTORY [BYTES [MIB]]]      (/tmp, 784 bytes, 2048 MiB)
 *
 * Prints a line of JSON for each. Reading stops after ten seconds.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "data/data.h"

enum { AT_ONCE = 1000, MOST_PATH = 4096 };

static const double most_seconds = 10;

/* Rows that differ by their number: keys are hashes, so rows come as if shuffled. */
static bdl_status push_rows(bdl__dataset *data, int64_t count, int64_t n)
{
    const size_t size = (size_t)(AT_ONCE * count);
    uint8_t *const values = calloc(1, size);
    static double labels[AT_ONCE];
    bdl_status status = values != NULL ? BDL_OK : bdl__out_of_memory(size);
    for (int64_t i = 0; i < n && status == BDL_OK; i += AT_ONCE) {
        for (int64_t k = 0; k < AT_ONCE; k++) {
            const int64_t number = i + k;
            memcpy(values + k * count, &number, sizeof number);
        }
        status = bdl__rows_push(data, NULL, &(bdl__rows){.n = AT_ONCE, .values = values, .labels = labels});
    }
    free(values);
    return status;
}

/* Makes the page cache forget the file that has no name. */
static void forget_file(void)
{
    DIR *const directory = opendir("/proc/self/fd");
    for (struct dirent *at; directory != NULL && (at = readdir(directory)) != NULL;) {
        char path[MOST_PATH] = "";
        const ssize_t n = readlinkat(dirfd(directory), at->d_name, path, sizeof path - 1);
        if (n > 0 && strstr(path, "bdl-rows-") != NULL) {
            const int fd = (int)strtol(at->d_name, NULL, 10);
            (void)fsync(fd);
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        }
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
}

static bdl_status read_rows(const bdl__dataset *data, double *rate)
{
    const bdl__batch_options options = {.batch = 512, .lanes = 16, .real_size = 64, .is_training = true,
                                        .n_epochs = 1, .n_threads = 1};
    bdl__batcher *batcher = NULL;
    const bdl__batch *batch = NULL;
    int64_t n = 0;
    BDL__TRY(bdl__batcher_create(bdl__default_allocator(), data, NULL, NULL, &options, &batcher));
    const double start = bdl__now();
    bdl_status status = bdl__batcher_next(batcher, &batch);
    while (status == BDL_OK && batch != NULL && bdl__now() - start < most_seconds) {
        n += batch->n_samples;
        bdl__batcher_release(batcher, batch);
        status = bdl__batcher_next(batcher, &batch);
    }
    *rate = (double)n / (bdl__now() - start);
    bdl__batcher_free(batcher);
    return status;
}

static bdl_status run(const char *directory, int64_t count, int64_t mib, bool is_sorted)
{
    const bdl__rows_options options = {.shape = {.rank = 1, .dim = {count}},
                                       .element = BDL__ELEMENT_U8,
                                       .label_kind = BDL__LABEL_CLASS,
                                       .memory_limit = 1,
                                       .spill_directory = directory};
    const int64_t n = (mib << 20) / count / AT_ONCE * AT_ONCE;
    bdl__dataset *data = NULL;
    double rate = 0, start = 0, sorting = 0;
    bdl_status status;
    BDL__TRY_DONE(status, bdl__rows_create(bdl__default_allocator(), NULL, &options, &data));
    BDL__TRY_DONE(status, push_rows(data, count, n));
    forget_file();
    start = bdl__now();
    BDL__TRY_DONE(status, is_sorted ? bdl__rows_sort(data, 0, NULL) : BDL_OK);
    sorting = bdl__now() - start;
    BDL__TRY_DONE(status, bdl__rows_finish(data));
    forget_file();
    BDL__TRY_DONE(status, read_rows(data, &rate));
    printf("{\"row_bytes\": %lld, \"rows\": %lld, \"sorted\": %s, \"sort_seconds\": %.2f, \"rows_per_second\": %.0f}\n",
           (long long)count, (long long)n, is_sorted ? "true" : "false", sorting, rate);
done:
    bdl__dataset_free(data);
    return status;
}

int main(int argc, char **argv)
{
    const char *const directory = argc > 1 ? argv[1] : "/tmp";
    const int64_t count = argc > 2 ? strtol(argv[2], NULL, 10) : 784;
    const int64_t mib = argc > 3 ? strtol(argv[3], NULL, 10) : 2048;
    if (argc > 4 || count < 8 || count > 1 << 20 || mib < 1 || mib > 1 << 20) {
        fprintf(stderr, "usage: cold_rows [DIRECTORY [BYTES [MIB]]], 8 to 2^20 bytes a row, 1 to 2^20 MiB\n");
        return 2;
    }
    for (int i = 0; i < 2; i++) {
        if (run(directory, count, mib, i == 1) != BDL_OK) {
            fprintf(stderr, "cold_rows: %s\n", bdl_last_error());
            return 1;
        }
    }
    return 0;
}
