/* SPDX-License-Identifier: Apache-2.0 */
/* Growing text, numbers, names, UTF-8, and log lines. */
#include "base/text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "counting_allocator.h"
#include "test.h"

BDL_TEST(text_grows_as_needed)
{
    counting_allocator counter;
    counting_allocator_init(&counter);
    bdl__text text;
    bdl__text_init(&text, &counter.allocator);
    CHECK_STR_EQ(bdl__text_get(&text), "");
    for (int i = 0; i < 1000; i++) {
        bdl__text_append(&text, "%d,", i);
        bdl__text_append_bytes(&text, "\n", 1);
    }
    CHECK_OK(bdl__text_status(&text));
    CHECK_EQ_I64(text.size, 10 * 3 + 90 * 4 + 900 * 5);
    CHECK_EQ_I64(strlen(bdl__text_get(&text)), text.size);
    CHECK_STR_EQ(bdl__text_get(&text) + text.size - 10, "998,\n999,\n");
    bdl__text_append_bytes(&text, NULL, 0);
    bdl__text_free(&text);
    CHECK_EQ_I64(counter.n_live, 0);
    CHECK(!counter.wrong_size);
}

BDL_TEST(text_remembers_a_failed_allocation)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__text text;
        bdl__text_init(&text, &counter.allocator);
        for (int i = 0; i < 100; i++) {
            bdl__text_append(&text, "line %d\n", i);
        }
        (void)bdl__fail(BDL_ERR_IO, "something else");
        CHECK_EQ_I64(bdl__text_status(&text), counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
        if (counter.refused) {
            CHECK_STR_HAS(bdl_last_error(), "out of memory");
        }
        CHECK_EQ_I64(strlen(bdl__text_get(&text)), text.size);
        bdl__text_free(&text);
    }
}

static void check_format(double value, const char *expected)
{
    char text[32];
    double back = 0;
    bdl__format_f64(value, text, sizeof text);
    CHECK_STR_EQ(text, expected);
    CHECK(bdl__parse_f64(text, &back));
    CHECK(memcmp(&back, &value, sizeof value) == 0 || (isnan(back) && isnan(value)));
}

BDL_TEST(numbers_are_short_and_exact)
{
    check_format(0.1, "0.1");
    check_format(1e-5, "1e-05");
    check_format(3, "3");
    check_format(-0.0, "-0");
    check_format(1.0 / 3, "0.3333333333333333");
    check_format(0.1 + 0.2, "0.30000000000000004");
    check_format(5e-324, "4.94065645841247e-324");
    check_format(1.7976931348623157e308, "1.7976931348623157e+308");
    check_format((double)INFINITY, "inf");
    check_format(-(double)INFINITY, "-inf");
    check_format((double)NAN, "nan");
    for (int i = 0; i < 20000; i++) {
        char text[32];
        double value = 0;
        double back = 0;
        const uint64_t bits = bdl_test_random();
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            bdl__format_f64(value, text, sizeof text);
            REQUIRE(bdl__parse_f64(text, &back));
            REQUIRE(memcmp(&back, &value, sizeof value) == 0);
        }
    }
}

/* Where no such locale is installed, the test still checks the plain form. */
BDL_TEST(numbers_do_not_depend_on_the_locale)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "C"};
    for (int64_t i = 0; i < BDL__COUNT_OF(names); i++) {
        if (setlocale(LC_ALL, names[i]) != NULL) {
            break;
        }
    }
    check_format(0.5, "0.5");
    double value = 0;
    CHECK(!bdl__parse_f64("0,5", &value));
    (void)setlocale(LC_ALL, "C");
}

BDL_TEST(whole_numbers_are_parsed_strictly)
{
    static const char *const wrong[] = {"",
                                        "-",
                                        "+",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "0x1",
                                        "1e3",
                                        "--1",
                                        "9223372036854775808",
                                        "abc1",
                                        "1_0",
                                        "+-1",
                                        "-9223372036854775809",
                                        "99999999999999999999999"};
    int64_t value = 5;
    for (int64_t i = 0; i < BDL__COUNT_OF(wrong); i++) {
        CHECK(!bdl__parse_i64(wrong[i], &value));
    }
    CHECK_EQ_I64(value, 5);
    CHECK(bdl__parse_i64("9223372036854775807", &value));
    CHECK_EQ_I64(value, INT64_MAX);
    CHECK(bdl__parse_i64("-9223372036854775808", &value));
    CHECK_EQ_I64(value, INT64_MIN);
    CHECK(bdl__parse_i64("+007", &value));
    CHECK_EQ_I64(value, 7);
    CHECK(bdl__parse_i64("-0", &value));
    CHECK_EQ_I64(value, 0);
}

BDL_TEST(real_numbers_are_parsed_strictly)
{
    static const char *const wrong[] = {"",    " 1", "1 ",     "0x10",  "1e999", "-1e999",
                                        "1e+", "e5", "nan(1)", "1.2.3", "1f",    "--1"};
    double value = 5;
    for (int64_t i = 0; i < BDL__COUNT_OF(wrong); i++) {
        CHECK(!bdl__parse_f64(wrong[i], &value));
    }
    CHECK_NEAR(value, 5, 0);
    CHECK(bdl__parse_f64("-2.5e-3", &value));
    CHECK_NEAR(value, -0.0025, 0);
    CHECK(bdl__parse_f64("1e-999", &value)); /* rounds to 0 */
    CHECK_NEAR(value, 0, 0);
    CHECK(bdl__parse_f64("inf", &value));
    CHECK(isinf(value));
}

BDL_TEST(nearest_name_finds_misspellings_only)
{
    static const char *const names[] = {"lr", "momentum", "weight_decay", "nesterov"};
    CHECK_STR_EQ(bdl__nearest_name("momentun", names, 4), "momentum");
    CHECK_STR_EQ(bdl__nearest_name("weigth_decay", names, 4), "weight_decay");
    CHECK_STR_EQ(bdl__nearest_name("Momentum", names, 4), "momentum");
    CHECK_STR_EQ(bdl__nearest_name("bacth", (const char *const[]){"path", "batch"}, 2), "batch");
    CHECK_STR_EQ(bdl__nearest_name("LR", names, 4), "lr");
    CHECK(bdl__nearest_name("dropout", names, 4) == NULL);
    CHECK(bdl__nearest_name("x", names, 4) == NULL);
    CHECK(bdl__nearest_name("", names, 4) == NULL);
    CHECK(bdl__nearest_name("momentum", names, 0) == NULL);
    char long_name[5000];
    memset(long_name, 'm', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    CHECK(bdl__nearest_name(long_name, names, 4) == NULL);
}

BDL_TEST(unknown_names_offer_the_nearest_or_all)
{
    static const char *const names[] = {"mse", "cross_entropy"};
    CHECK(bdl__fail_unknown("loss", "msee", names, 2) == BDL_ERR_NOT_FOUND);
    CHECK_STR_EQ(bdl_last_error(), "no loss is named 'msee'; did you mean 'mse'?");
    CHECK(bdl__fail_unknown("loss", "huber", names, 2) == BDL_ERR_NOT_FOUND);
    CHECK_STR_EQ(bdl_last_error(), "no loss is named 'huber'; there are: mse, cross_entropy");
}

BDL_TEST(utf8_step_accepts_exactly_valid_characters)
{
    CHECK_EQ_I64(bdl__utf8_step("a", 1), 1);
    CHECK_EQ_I64(bdl__utf8_step("\xC3\xA4", 2), 2);
    CHECK_EQ_I64(bdl__utf8_step("\xE2\x82\xAC", 3), 3);
    CHECK_EQ_I64(bdl__utf8_step("\xF0\x9F\x98\x80", 4), 4);
    CHECK_EQ_I64(bdl__utf8_step("\xF4\x8F\xBF\xBF", 4), 4);
    CHECK_EQ_I64(bdl__utf8_step("", 0), 0);
    CHECK_EQ_I64(bdl__utf8_step("\x80", 1), 0);             /* continuation */
    CHECK_EQ_I64(bdl__utf8_step("\xC3", 1), 0);             /* cut */
    CHECK_EQ_I64(bdl__utf8_step("\xC3(", 2), 0);            /* no continuation */
    CHECK_EQ_I64(bdl__utf8_step("\xC0\x80", 2), 0);         /* overlong NUL */
    CHECK_EQ_I64(bdl__utf8_step("\xE0\x9F\xBF", 3), 0);     /* overlong */
    CHECK_EQ_I64(bdl__utf8_step("\xED\xA0\x80", 3), 0);     /* surrogate */
    CHECK_EQ_I64(bdl__utf8_step("\xF4\x90\x80\x80", 4), 0); /* beyond U+10FFFF */
    CHECK_EQ_I64(bdl__utf8_step("\xFF", 1), 0);
}

typedef struct seen_line {
    int level;
    char text[64];
} seen_line;

static void see_line(void *user, int level, const char *line)
{
    seen_line *const seen = user;
    seen->level = level;
    const size_t used = strlen(seen->text);
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%s", line);
}

BDL_TEST(log_passes_lines_up_to_its_level)
{
    seen_line seen = {.level = -1};
    const bdl__log log = {.fn = see_line, .user = &seen, .level = BDL__LOG_WARNING};
    BDL__LOG(&log, BDL__LOG_WARNING, "%d slices", 5);
    BDL__LOG(&log, BDL__LOG_INFO, "not this");
    CHECK_EQ_I64(seen.level, BDL__LOG_WARNING);
    CHECK_STR_EQ(seen.text, "5 slices");
}

BDL_TEST_MAIN(text_grows_as_needed, text_remembers_a_failed_allocation, numbers_are_short_and_exact,
              numbers_do_not_depend_on_the_locale, whole_numbers_are_parsed_strictly,
              real_numbers_are_parsed_strictly, nearest_name_finds_misspellings_only,
              unknown_names_offer_the_nearest_or_all, utf8_step_accepts_exactly_valid_characters,
              log_passes_lines_up_to_its_level)
