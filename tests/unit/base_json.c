/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is accepted, what is refused and where, typed access, and the writer. */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "counting_allocator.h"
#include "test.h"

static bdl_status parse(const char *text, bdl__json **document)
{
    return bdl__json_parse(text, strlen(text), "model.json", document);
}

static void check_refused(const char *text, size_t size, const char *expected)
{
    bdl__json *document = NULL;
    CHECK_EQ_I64(bdl__json_parse(text, size, "model.json", &document), BDL_ERR_FORMAT);
    CHECK(document == NULL);
    CHECK_STR_EQ(bdl_last_error(), expected);
}

BDL_TEST(parses_every_kind_of_value)
{
    bdl__json *document = NULL;
    REQUIRE_OK(parse("\xEF\xBB\xBF {\"b\": [true, false, null], \"n\": -1.5e3,\r\n\t"
                     "\"s\": \"a\\\"\\u00e4\\ud83d\\ude00\\n\", \"o\": {}, \"a\": []} ",
                     &document));
    CHECK_EQ_I64(bdl__json_kind_of(document), BDL__JSON_OBJECT);
    CHECK_EQ_I64(bdl__json_count(document), 5);
    const bdl__json *const b = bdl__json_get(document, "b");
    REQUIRE(b != NULL && bdl__json_kind_of(b) == BDL__JSON_ARRAY);
    const bdl__json *element = bdl__json_first(b);
    CHECK(bdl__json_kind_of(element) == BDL__JSON_BOOL && bdl__json_bool(element));
    element = bdl__json_next(element);
    CHECK(bdl__json_kind_of(element) == BDL__JSON_BOOL && !bdl__json_bool(element));
    element = bdl__json_next(element);
    CHECK_EQ_I64(bdl__json_kind_of(element), BDL__JSON_NULL);
    CHECK(bdl__json_next(element) == NULL);
    CHECK_NEAR(bdl__json_f64(bdl__json_get(document, "n")), -1500, 0);
    CHECK_STR_EQ(bdl__json_string(bdl__json_get(document, "s")), "a\"\xC3\xA4\xF0\x9F\x98\x80\n");
    CHECK(bdl__json_first(bdl__json_get(document, "o")) == NULL);
    CHECK(bdl__json_first(bdl__json_get(document, "a")) == NULL);
    CHECK(bdl__json_get(document, "S") == NULL);
    CHECK_STR_EQ(bdl__json_key(bdl__json_next(bdl__json_first(document))), "n");
    bdl__json_free(document);
    bdl__json_free(NULL);
}

BDL_TEST(errors_say_where_and_what)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"", "model.json:1:1: expected a JSON value, got the end"},
        {"{\n  \"a\": 1\n  \"b\": 2}", "model.json:3:3: expected ',' or '}', got '\"'"},
        {"[1 2]", "model.json:1:4: expected ',' or ']', got '2'"},
        {"[1,]", "model.json:1:4: expected a JSON value, got ']'"},
        {"{\"a\":1,}", "model.json:1:8: expected a key in quotes, got '}'"},
        {"{a:1}", "model.json:1:2: expected a key in quotes, got 'a'"},
        {"{\"a\" 1}", "model.json:1:6: expected ':' after a key, got '1'"},
        {"{\"a\":1", "model.json:1:7: expected ',' or '}', got the end"},
        {"{} x", "model.json:1:4: expected the end of the text, got 'x'"},
        {"tru", "model.json:1:1: expected a JSON value, got 't'"},
        {"NaN", "model.json:1:1: expected a JSON value, got 'N'"},
        {"'a'", "model.json:1:1: expected a JSON value, got '''"},
        {"\"\xC3\xA4\xC3\xA4", "model.json:1:4: expected '\"' at the end of a string, got the end"},
        {"01", "model.json:1:2: expected no digit after a leading 0, got '1'"},
        {"-", "model.json:1:2: expected a digit, got the end"},
        {"+1", "model.json:1:1: expected a JSON value, got '+'"},
        {"1.", "model.json:1:3: expected a digit, got the end"},
        {".5", "model.json:1:1: expected a JSON value, got '.'"},
        {"1e", "model.json:1:3: expected a digit, got the end"},
        {"0x10", "model.json:1:2: expected the end of the text, got 'x'"},
        {"[1e999]", "model.json:1:2: expected a number within double's range, got 1e999"},
        {"[-1e999]", "model.json:1:2: expected a number within double's range, got -1e999"},
        {"\"a\nb\"", "model.json:1:3: expected an escape such as \\n for a control character, "
                     "got byte 0x0a"},
        {"\"\\x41\"", "model.json:1:3: expected one of \" \\ / b f n r t u after a backslash, "
                      "got 'x'"},
        {"\"\\u12g4\"", "model.json:1:6: expected four hexadecimal digits after \\u, got 'g'"},
        {"\"\\u0000\"", "model.json:1:2: expected no NUL character in a string, got \\u0000"},
        {"\"\\ud800\"", "model.json:1:2: expected a whole surrogate pair, got half of one"},
        {"\"\\ud800\\u0041\"", "model.json:1:2: expected a whole surrogate pair, got half of one"},
        {"\"\\udc00\"", "model.json:1:2: expected a whole surrogate pair, got half of one"},
        {"\"\xFF\"", "model.json:1:2: expected UTF-8 text, got byte 0xff"},
        {"\"\xED\xA0\x80\"", "model.json:1:2: expected UTF-8 text, got byte 0xed"},
        {"// note\n1", "model.json:1:1: expected a JSON value, got '/'"},
        {"{\"a\": {\"x\": 1},\n \"b\": 2, \"\\u0061\": 3}",
         "model.json:2:10: expected each key once in an object, got 'a' again"},
        {"[{\"k\": 1}, {\"k\": 1, \"k\": 2}]",
         "model.json:1:21: expected each key once in an object, got 'k' again"},
    };
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        check_refused(rows[i].text, strlen(rows[i].text), rows[i].error);
    }
    check_refused("[1,\0 2]", 7, "model.json:1:4: expected a JSON value, got byte 0x00");
    check_refused("\"a\0b\"", 5,
                  "model.json:1:3: expected an escape such as \\n for a control character, "
                  "got byte 0x00");
    check_refused("1\0", 2, "model.json:1:2: expected the end of the text, got byte 0x00");
}

/* "[[[...]]]", n levels. */
static char *nested(size_t n)
{
    char *const text = calloc(2 * n + 1, 1);
    if (text != NULL) {
        memset(text, '[', n);
        memset(text + n, ']', n);
    }
    return text;
}

BDL_TEST(limits_hold)
{
    bdl__json *document = NULL;
    char *text = nested(64);
    REQUIRE(text != NULL);
    CHECK_OK(parse(text, &document));
    bdl__json_free(document);
    free(text);
    text = nested(100000);
    REQUIRE(text != NULL);
    check_refused(text, strlen(text),
                  "model.json:1:65: expected at most 64 levels of brackets, got one more");
    free(text);
    check_refused("1", ((size_t)64 << 20) + 1,
                  "model.json: expected at most 67108864 bytes, got 67108865");
    char digits[80] = "0.";
    memset(digits + 2, '1', 61);
    CHECK_OK(parse(digits, &document));
    CHECK_NEAR(bdl__json_f64(document), 1.0 / 9, 1e-16);
    bdl__json_free(document);
    memset(digits + 2, '1', 62);
    check_refused(digits, strlen(digits),
                  "model.json:1:1: expected a number of at most 63 characters, got a longer one");
}

BDL_TEST(duplicates_are_found_among_many_keys)
{
    bdl__text text;
    bdl__text_init(&text, bdl__default_allocator());
    bdl__text_append(&text, "{");
    for (int i = 0; i < 5000; i++) {
        bdl__text_append(&text, "\"k%d\": {\"x\": %d},\n", i * 7919 % 5000, i);
    }
    bdl__json *document = NULL;
    const size_t size = text.size;
    bdl__text_append(&text, "\"last\": 0}");
    REQUIRE_OK(parse(bdl__text_get(&text), &document));
    CHECK_EQ_I64(bdl__json_count(document), 5001);
    bdl__json_free(document);
    text.size = size;
    bdl__text_append(&text, "  \"k4999\": 0}");
    check_refused(text.data, text.size,
                  "model.json:5001:3: expected each key once in an object, got 'k4999' again");
    bdl__text_free(&text);
}

BDL_TEST(whole_numbers_end_at_2_to_the_53)
{
    bdl__json *document = NULL;
    REQUIRE_OK(parse("[9007199254740992, -9007199254740992, 1e3, 2.0, -0,"
                     " 9007199254740994, 1.5, 1e300, \"1\", true]",
                     &document));
    static const int64_t expected[] = {INT64_C(9007199254740992), -INT64_C(9007199254740992), 1000,
                                       2, 0};
    const bdl__json *element = bdl__json_first(document);
    int64_t value = 7;
    for (int64_t i = 0; i < BDL__COUNT_OF(expected); i++, element = bdl__json_next(element)) {
        CHECK(bdl__json_i64(element, &value));
        CHECK_EQ_I64(value, expected[i]);
    }
    value = 7;
    for (; element != NULL; element = bdl__json_next(element)) {
        CHECK(!bdl__json_i64(element, &value));
    }
    CHECK_EQ_I64(value, 7);
    bdl__json_free(document);
}

BDL_TEST(needed_members_are_checked)
{
    bdl__json *document = NULL;
    REQUIRE_OK(parse("{\"n\": 3, \"s\": \"x\", \"f\": 0.5}", &document));
    int64_t n = 0;
    const char *s = NULL;
    const bdl__json *value = NULL;
    CHECK_OK(bdl__json_need_i64(document, "n", "m.json", &n));
    CHECK_EQ_I64(n, 3);
    CHECK_OK(bdl__json_need_string(document, "s", "m.json", &s));
    CHECK_STR_EQ(s, "x");
    CHECK_EQ_I64(bdl__json_need_i64(document, "f", "m.json: nodes[3]", &n), BDL_ERR_FORMAT);
    CHECK_STR_EQ(bdl_last_error(),
                 "m.json: nodes[3]: expected 'f' to be a whole number of at most 2^53, got 0.5");
    CHECK_EQ_I64(bdl__json_need_string(document, "n", "m.json", &s), BDL_ERR_FORMAT);
    CHECK_STR_EQ(bdl_last_error(), "m.json: expected 'n' to be a string, got a number");
    CHECK_EQ_I64(bdl__json_need(document, "z", BDL__JSON_ARRAY, "m.json", &value), BDL_ERR_FORMAT);
    CHECK_STR_EQ(bdl_last_error(), "m.json: expected 'z' to be an array, got none");
    CHECK_EQ_I64(bdl__json_need_i64(bdl__json_first(document), "n", "m.json", &n), BDL_ERR_FORMAT);
    CHECK_STR_EQ(bdl_last_error(), "m.json: expected an object with 'n', got a number");
    CHECK(value == NULL);
    bdl__json_free(document);
}

static void write_sample(bdl__json_writer *writer)
{
    bdl__json_open(writer, '{');
    bdl__json_write_key(writer, "name");
    bdl__json_write_string(writer, "a\"b\\\n\x01\x7F\xC3\xA4\xFF");
    bdl__json_write_key(writer, "list");
    bdl__json_open(writer, '[');
    bdl__json_write_i64(writer, INT64_MIN);
    bdl__json_write_f64(writer, 0.1);
    bdl__json_write_f64(writer, (double)INFINITY);
    bdl__json_write_bool(writer, true);
    bdl__json_write_null(writer);
    bdl__json_close(writer, ']');
    bdl__json_write_key(writer, "empty");
    bdl__json_open(writer, '{');
    bdl__json_close(writer, '}');
    bdl__json_close(writer, '}');
}

BDL_TEST(writer_prints_one_line_or_indents)
{
    bdl__text text;
    bdl__json_writer writer;
    bdl__json *document = NULL;
    bdl__text_init(&text, bdl__default_allocator());
    bdl__json_writer_init(&writer, &text, 0);
    write_sample(&writer);
    CHECK_STR_EQ(bdl__text_get(&text),
                 "{\"name\": \"a\\\"b\\\\\\n\\u0001\\u007f\xC3\xA4\xEF\xBF\xBD\", "
                 "\"list\": [-9223372036854775808, 0.1, null, true, null], \"empty\": {}}");
    CHECK_OK(parse(bdl__text_get(&text), &document));
    bdl__json_free(document);
    bdl__text_free(&text);
    bdl__json_writer_init(&writer, &text, 2);
    bdl__json_open(&writer, '{');
    bdl__json_write_key(&writer, "a");
    bdl__json_open(&writer, '[');
    bdl__json_write_i64(&writer, 1);
    bdl__json_write_i64(&writer, 2);
    bdl__json_close(&writer, ']');
    bdl__json_write_key(&writer, "b");
    bdl__json_open(&writer, '[');
    bdl__json_close(&writer, ']');
    bdl__json_close(&writer, '}');
    CHECK_STR_EQ(bdl__text_get(&text), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}");
    bdl__text_free(&text);
}

BDL_TEST(writer_survives_each_failed_allocation)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__text text;
        bdl__json_writer writer;
        bdl__text_init(&text, &counter.allocator);
        bdl__json_writer_init(&writer, &text, 2);
        write_sample(&writer);
        CHECK_EQ_I64(bdl__text_status(&text), counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
        bdl__text_free(&text);
    }
}

/* What is accepted after random damage must still be printable and readable. */
BDL_TEST(damaged_documents_do_no_harm)
{
    static const char sample[] =
        "{\"nodes\": [{\"type\": \"conv2d\", \"k\": [3, 3], \"p\": -1.5e-3},"
        " {\"t\": \"\\u00e4\\ud83d\\ude00\", \"b\": [true, null]}]}";
    static const char letters[] = "{}[],:\"\\u0019ae.-+ tfn\xC3\xA4\xFF";
    int n_accepted = 0;
    for (int i = 0; i < 20000; i++) {
        char text[sizeof sample];
        memcpy(text, sample, sizeof sample);
        const int n_changes = 1 + (int)(bdl_test_random() % 4);
        for (int k = 0; k < n_changes; k++) {
            text[bdl_test_random() % (sizeof text - 1)] =
                letters[bdl_test_random() % (sizeof letters - 1)];
        }
        bdl__json *document = NULL;
        const size_t size =
            bdl_test_random() % 8 == 0 ? bdl_test_random() % sizeof text : sizeof text - 1;
        const bdl_status status = bdl__json_parse(text, size, "fuzz", &document);
        CHECK(status == BDL_OK || status == BDL_ERR_FORMAT);
        n_accepted += status == BDL_OK;
        bdl__json_free(document);
    }
    CHECK(n_accepted > 100);
}

BDL_TEST_MAIN(parses_every_kind_of_value, errors_say_where_and_what, limits_hold,
              duplicates_are_found_among_many_keys, whole_numbers_end_at_2_to_the_53,
              needed_members_are_checked, writer_prints_one_line_or_indents,
              writer_survives_each_failed_allocation, damaged_documents_do_no_harm)
