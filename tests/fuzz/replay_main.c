/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libFuzzer in builds without it: gives each file of the folders named on the command line to the fuzzer's
 * function once, and the empty input first. A crash fails the test.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return -1;
    }
    int result = -1;
    uint8_t *data = NULL;
    long size = 0;
    if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET)) {
        goto done;
    }
    data = malloc((size_t)size + 1);
    if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
        goto done;
    }
    LLVMFuzzerTestOneInput(data, (size_t)size);
    result = 0;
done:
    free(data);
    fclose(f);
    return result;
}

/* Adds the number of files to *n. A folder that is not there is an empty corpus. */
static int replay_folder(const char *folder, int *n)
{
    DIR *dir = opendir(folder);
    if (!dir) {
        return 0;
    }
    int result = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') {
            continue;
        }
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (replay_file(path)) {
            perror(path);
            result = -1;
        } else {
            ++*n;
        }
    }
    closedir(dir);
    return result;
}

int main(int argc, char **argv)
{
    const uint8_t nothing[1] = {0};
    LLVMFuzzerTestOneInput(nothing, 0);
    int n = 1, n_failed = 0;
    for (int i = 1; i < argc; i++) {
        n_failed += replay_folder(argv[i], &n) != 0;
    }
    printf("%d inputs\n%d passed, %d failed\n", n, n_failed ? 0 : 1, n_failed);
    return n_failed != 0;
}
