/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner behind test.h. Prints one line a failed check and a skipped test, and last "N passed, N failed, N skipped".
 */
#define _GNU_SOURCE /* nftw */
#include "test.h"

#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *test; /* the running one */
    int n_failures;   /* of the running test */
    bool is_skipped;
    uint64_t seed, random;
    char dir[512];
} state = {.seed = 42};

bool bdl_test_check(bool ok, const char *file, int line, const char *text)
{
    if (!ok) {
        state.n_failures++;
        printf("%s:%d: %s: failed: %s\n", file, line, state.test, text);
    }
    return ok;
}

bool bdl_test_eq_i64(int64_t a, int64_t b, const char *file, int line, const char *text)
{
    if (a != b) {
        printf("got %" PRId64 ", expected %" PRId64 "\n", a, b);
    }
    return bdl_test_check(a == b, file, line, text);
}

bool bdl_test_near(double a, double b, double tol, const char *file, int line, const char *text)
{
    const bool ok = a == b || fabs(a - b) <= tol;
    if (!ok) {
        printf("got %.17g, expected %.17g within %g\n", a, b, tol);
    }
    return bdl_test_check(ok, file, line, text);
}

bool bdl_test_str_eq(const char *a, const char *b, const char *file, int line, const char *text)
{
    const bool ok = a == b || (a && b && strcmp(a, b) == 0);
    if (!ok) {
        printf("got \"%s\", expected \"%s\"\n", a ? a : "(null)", b ? b : "(null)");
    }
    return bdl_test_check(ok, file, line, text);
}

bool bdl_test_str_has(const char *a, const char *part, const char *file, int line, const char *text)
{
    const bool ok = a && strstr(a, part);
    if (!ok) {
        printf("got \"%s\", expected it to have \"%s\"\n", a ? a : "(null)", part);
    }
    return bdl_test_check(ok, file, line, text);
}

bool bdl_test_ok(int32_t status, const char *(*error)(void), const char *file, int line,
                 const char *text)
{
    if (status != 0) {
        printf("status %" PRId32 ": %s\n", status, error());
    }
    return bdl_test_check(status == 0, file, line, text);
}

void bdl_test_skip(const char *reason)
{
    state.is_skipped = true;
    printf("SKIP %s: %s\n", state.test, reason);
}

uint64_t bdl_test_seed(void)
{
    return state.seed;
}

const char *bdl_test_data(void)
{
    const char *dir = getenv("BDL_TEST_DATA");
    return dir && *dir ? dir : NULL;
}

bool bdl_test_small(void)
{
    const char *flag = getenv("BDL_TEST_SMALL");
    return flag && *flag && strcmp(flag, "0") != 0;
}

/* splitmix64 */
uint64_t bdl_test_random(void)
{
    uint64_t z = state.random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void seed_random(const char *name)
{
    state.random = state.seed;
    for (const char *c = name; *c; c++) {
        state.random = bdl_test_random() ^ (uint64_t)(unsigned char)*c;
    }
}

const char *bdl_test_dir(void)
{
    if (!state.dir[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(state.dir, sizeof state.dir, "%s/bdl_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(state.dir)) {
            perror(state.dir);
            exit(2);
        }
    }
    return state.dir;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* Keeps the folder of a failed test, for a look at it. */
static void finish_dir(void)
{
    if (state.dir[0] && state.n_failures) {
        printf("%s: files kept in %s\n", state.test, state.dir);
    } else if (state.dir[0]) {
        nftw(state.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    state.dir[0] = 0;
}

static void run(const bdl_test *test)
{
    state.test = test->name;
    state.n_failures = 0;
    state.is_skipped = false;
    seed_random(test->name);
    test->run();
    finish_dir();
}

int bdl_test_main(int argc, char **argv, const bdl_test *const *tests, size_t n_tests)
{
    const char *filter = "", *seed = getenv("BDL_TEST_SEED");
    bool only_list = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = argv[++i];
        } else if (strcmp(argv[i], "--list") == 0) {
            only_list = true;
        } else {
            filter = argv[i];
        }
    }
    state.seed = seed && *seed ? strtoull(seed, NULL, 0) : 42;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!only_list) {
        printf("seed %" PRIu64 "\n", state.seed);
    }

    int n_passed = 0, n_failed = 0, n_skipped = 0;
    for (size_t i = 0; i < n_tests; i++) {
        if (!strstr(tests[i]->name, filter)) {
            continue;
        }
        if (only_list) {
            puts(tests[i]->name);
            continue;
        }
        run(tests[i]);
        if (state.n_failures) {
            printf("FAIL %s: repeat with: %s --seed %" PRIu64 " %s\n", state.test, argv[0],
                   state.seed, state.test);
            n_failed++;
        } else if (state.is_skipped) {
            n_skipped++;
        } else {
            n_passed++;
        }
    }
    if (!only_list) {
        printf("%d passed, %d failed, %d skipped\n", n_passed, n_failed, n_skipped);
    }
    return n_failed != 0;
}
