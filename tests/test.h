/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test harness: tests are functions, checks report and go on, REQUIRE leaves the test.
 *
 *     #include "test.h"
 *
 *     BDL_TEST(adds_small_numbers) {
 *         CHECK_EQ_I64(1 + 1, 2);
 *     }
 *
 *     BDL_TEST_MAIN(adds_small_numbers)
 *
 * A test that BDL_TEST_MAIN forgets is an unused variable, which the compiler reports. Command line of each executable:
 * [--seed N] [--list] [FILTER], where FILTER is a part of a name. Works in C11 and C++17.
 */
#ifndef BDL_TESTS_TEST_H
#define BDL_TESTS_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bdl_test {
    const char *name;
    void (*run)(void);
} bdl_test;

#define BDL_TEST(name)                                                                             \
    static void name##_run(void);                                                                  \
    static const bdl_test name[1] = {{#name, name##_run}};                                         \
    static void name##_run(void)

#define BDL_TEST_MAIN(...)                                                                         \
    static const bdl_test *const bdl_test_table[] = {__VA_ARGS__};                                 \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return bdl_test_main(argc, argv, bdl_test_table,                                           \
                             sizeof bdl_test_table / sizeof bdl_test_table[0]);                    \
    }

/* Checks: a failure is printed and counted against the running test, which goes on. */
#define CHECK(cond) ((void)bdl_test_check(!!(cond), __FILE__, __LINE__, #cond))
#define CHECK_EQ_I64(a, b)                                                                         \
    ((void)bdl_test_eq_i64((int64_t)(a), (int64_t)(b), __FILE__, __LINE__, #a " == " #b))
/* |a - b| <= tol; NaN is near nothing. */
#define CHECK_NEAR(a, b, tol)                                                                      \
    ((void)bdl_test_near((double)(a), (double)(b), (double)(tol), __FILE__, __LINE__, #a " ~ " #b))
#define CHECK_STR_EQ(a, b) ((void)bdl_test_str_eq((a), (b), __FILE__, __LINE__, #a " == " #b))
#define CHECK_STR_HAS(text, part)                                                                  \
    ((void)bdl_test_str_has((text), (part), __FILE__, __LINE__, #text " has " #part))
/* A status that must be 0; prints bdl_last_error(), so include <bdl/bdl.h> or what declares it. */
#define CHECK_OK(status) ((void)bdl_test_ok((status), bdl_last_error, __FILE__, __LINE__, #status))

/* The same, but a failure leaves the test (which must be a function without result). */
#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!bdl_test_check(!!(cond), __FILE__, __LINE__, #cond)) {                                \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define REQUIRE_OK(status)                                                                         \
    do {                                                                                           \
        if (!bdl_test_ok((status), bdl_last_error, __FILE__, __LINE__, #status)) {                 \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* Ends the running test as skipped; the reason is printed. */
#define SKIP(reason)                                                                               \
    do {                                                                                           \
        bdl_test_skip(reason);                                                                     \
        return;                                                                                    \
    } while (0)

/* Random 64 bits; the sequence depends on the seed and the test's name only. */
uint64_t bdl_test_random(void);
uint64_t bdl_test_seed(void);

/* The folder of real data (BDL_TEST_DATA), or NULL. */
const char *bdl_test_data(void);

/* An empty folder for the running test; removed with its content when the test has passed. */
const char *bdl_test_dir(void);

/* True where tests should keep to their smallest shapes (BDL_TEST_SMALL=1: emulated or instrumented runs). */
bool bdl_test_small(void);

/* What the macros call. */
int bdl_test_main(int argc, char **argv, const bdl_test *const *tests, size_t n_tests);
bool bdl_test_check(bool ok, const char *file, int line, const char *text);
bool bdl_test_eq_i64(int64_t a, int64_t b, const char *file, int line, const char *text);
bool bdl_test_near(double a, double b, double tol, const char *file, int line, const char *text);
bool bdl_test_str_eq(const char *a, const char *b, const char *file, int line, const char *text);
bool bdl_test_str_has(const char *a, const char *part, const char *file, int line,
                      const char *text);
bool bdl_test_ok(int32_t status, const char *(*error)(void), const char *file, int line,
                 const char *text);
void bdl_test_skip(const char *reason);

#ifdef __cplusplus
}
#endif

#endif
