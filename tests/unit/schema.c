/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables: defaults, JSON, command-line text, checks, printing. */
#include "schema/schema.h"

#include <math.h>
#include <string.h>

#include "counting_allocator.h"
#include "test.h"

typedef struct sample_params {
    double lr;
    int64_t units;
    bool nesterov;
    const char *label;
    bdl__choice mode;
    bdl__i64s kernel_size;
    bdl__f64s means;
    int64_t seed;
} sample_params;

static const char *const mode_choices[] = {"zeros", "reflect", "same", NULL};

static const bdl__field sample_fields[] = {
    BDL_FIELD(sample_params, lr, .def.f64 = 0.1, .range = BDL_AT_LEAST(0), .doc = "Step size."),
    BDL_FIELD(sample_params, units, .required = true, .range = BDL_IN(1, 1000),
              .doc = "Number of outputs."),
    BDL_FIELD(sample_params, nesterov, .def.b = true, .doc = "Look ahead."),
    BDL_FIELD(sample_params, label, .doc = "Name of the summary."),
    BDL_FIELD(sample_params, mode, .choices = mode_choices, .def.s = "reflect",
              .doc = "Values beyond the border.", .torch_name = "padding_mode"),
    BDL_FIELD(sample_params, kernel_size, .def.s = "1, 3", .least_n = 1, .most_n = 2,
              .range = BDL_AT_LEAST(1),
              .doc = "Height and width of the kernel; one number stands for both of them, which is "
                     "what most nets use."),
    BDL_FIELD(sample_params, means, .doc = "Value that is subtracted from each channel."),
    BDL_FIELD(sample_params, seed, .doc = "Any number."),
};

static const bdl__schema sample = {
    .name = "conv2d",
    .fields = sample_fields,
    .n_fields = BDL__COUNT_OF(sample_fields),
    .params_size = sizeof(sample_params),
};

static const bdl__schema empty = {.name = "relu"};

static bdl_status from_json(bdl__arena *arena, const bdl__schema *schema, const char *text,
                            void *params)
{
    bdl__json *document = NULL;
    BDL__TRY(bdl__json_parse(text, strlen(text), "test", &document));
    const bdl_status status = bdl__params_from_json(schema, arena, document, params);
    bdl__json_free(document);
    return status;
}

BDL_TEST(defaults_come_from_the_table)
{
    sample_params params;
    memset(&params, 0xA5, sizeof params);
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    REQUIRE_OK(bdl__params_default(&sample, &arena, &params));
    CHECK_NEAR(params.lr, 0.1, 0);
    CHECK_EQ_I64(params.units, 0);
    CHECK(params.nesterov);
    CHECK(params.label == NULL);
    CHECK_EQ_I64(params.mode.i, 1);
    CHECK_EQ_I64(params.kernel_size.n, 2);
    CHECK_EQ_I64(params.kernel_size.v[0], 1);
    CHECK_EQ_I64(params.kernel_size.v[1], 3);
    CHECK_EQ_I64(params.kernel_size.v[2], 0);
    CHECK_EQ_I64(params.means.n, 0);
    bdl__arena_free(&arena);
}

BDL_TEST(json_and_text_give_the_same_params)
{
    static const char *const json =
        "{\"units\": 64, \"lr\": 0.25, \"nesterov\": false, \"label\": \"it's, (1)\", "
        "\"mode\": \"same\", \"kernel_size\": [5, 7], \"means\": 0.5, "
        "\"seed\": \"9223372036854775807\"}";
    static const char *const text =
        " lr = 0.25 , units=6.4e1, nesterov=false, label='it\\'s, (1)', mode='same', "
        "kernel_size=[5,7], means=0.5, seed=9223372036854775807";
    static const char *const by_place =
        "0.25, 64, false, \"it's, (1)\", same, (5, 7), [0.5], 9223372036854775807";
    sample_params a;
    sample_params b;
    sample_params c;
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    REQUIRE_OK(from_json(&arena, &sample, json, &a));
    REQUIRE_OK(bdl__params_from_text(&sample, &arena, text, &b));
    REQUIRE_OK(bdl__params_from_text(&sample, &arena, by_place, &c));
    CHECK_STR_EQ(a.label, "it's, (1)");
    CHECK_STR_EQ(b.label, "it's, (1)");
    CHECK_STR_EQ(c.label, "it's, (1)");
    CHECK_EQ_I64(a.seed, INT64_MAX);
    CHECK_EQ_I64(a.kernel_size.v[1], 7);
    CHECK_EQ_I64(a.mode.i, 2);
    a.label = NULL;
    b.label = NULL;
    c.label = NULL;
    CHECK(memcmp(&a, &b, sizeof a) == 0);
    CHECK(memcmp(&a, &c, sizeof a) == 0);
    bdl__arena_free(&arena);
}

BDL_TEST(schema_without_fields_takes_nothing)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    char params = 0;
    CHECK_OK(bdl__params_from_json(&empty, &arena, NULL, &params));
    CHECK_OK(bdl__params_from_text(&empty, &arena, " ", NULL));
    CHECK_EQ_I64(bdl__params_from_text(&empty, &arena, "1", &params), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_EQ(bdl_last_error(), "relu: expected at most 0 parameters, got '1' as well");
    CHECK_EQ_I64(from_json(&arena, &empty, "{\"x\": 1}", &params), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_EQ(bdl_last_error(), "relu: unknown parameter 'x'; it takes none");
    bdl__arena_free(&arena);
}

typedef struct error_row {
    const char *text;
    const char *error;
} error_row;

BDL_TEST(text_errors_say_expected_and_found)
{
    static const error_row rows[] = {
        {"", "conv2d: units is required, got none"},
        {"lr=-1, units=1", "conv2d: lr must be >= 0, got -1"},
        {"lr=inf, units=1", "conv2d: lr must be finite and >= 0, got inf"},
        {"lr=nan, units=1", "conv2d: lr must be a number, got nan"},
        {"lr=fast", "conv2d: lr must be a number, got 'fast'"},
        {"units=0", "conv2d: units must be between 1 and 1000, got 0"},
        {"units=1.5", "conv2d: units must be a whole number, got '1.5'"},
        {"units=99999999999999999999", "conv2d: units must be a whole number, got "
                                       "'99999999999999999999'"},
        {"units=", "conv2d: units needs a value, got none"},
        {"unit=1", "conv2d: unknown parameter 'unit'; did you mean 'units'?"},
        {"momentum=1", "conv2d: unknown parameter 'momentum'; it takes lr, units, nesterov, label, "
                       "mode, kernel_size, means, seed"},
        {"units=1, units=2", "conv2d: units must be given once, got it twice"},
        {"0.1, lr=1", "conv2d: lr must be given once, got it twice"},
        {"units=1, 5", "conv2d: expected name=value after a named parameter, got '5'"},
        {"1,2,true,a,zeros,1,1,1,1", "conv2d: expected at most 8 parameters, got '1' as well"},
        {"nesterov=yes", "conv2d: nesterov must be true or false, got 'yes'"},
        {"mode=zero", "conv2d: mode must be one of 'zeros', 'reflect', 'same', got 'zero'; did you "
                      "mean 'zeros'?"},
        {"mode=''", "conv2d: mode must be one of 'zeros', 'reflect', 'same', got ''"},
        {"kernel_size=[1,2,3]", "conv2d: kernel_size needs 1 or 2 numbers, got 3"},
        {"kernel_size=[]", "conv2d: kernel_size needs 1 or 2 numbers, got 0"},
        {"kernel_size=[1,x]",
         "conv2d: kernel_size must be a whole number or a list of them, got 'x'"},
        {"kernel_size=[1,0]", "conv2d: kernel_size must be >= 1, got 0"},
        {"means=[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
         "conv2d: means needs at most 16 numbers, got 17"},
        {"kernel_size=[1,2", "conv2d: expected ']' at the end of 'kernel_size=[1,2'"},
        {"kernel_size=[1,2)", "conv2d: expected ']' before ')' in 'kernel_size=[1,2)'"},
        {"units=1)", "conv2d: expected no ')' without its bracket in 'units=1)'"},
        {"label='a", "conv2d: expected a closing ' in 'label='a'"},
        {"label='a'b", "conv2d: label must be one quoted text, got ''a'b'"},
        {"lr=1,,units=1", "conv2d: expected name=value after a named parameter, got ''"},
        {"0.1,,true", "conv2d: units needs a value, got none"},
    };
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        sample_params params = {.units = -7};
        const bdl_status status = bdl__params_from_text(&sample, &arena, rows[i].text, &params);
        CHECK(status == BDL_ERR_INVALID_ARGUMENT || status == BDL_ERR_FORMAT);
        CHECK_STR_EQ(bdl_last_error(), rows[i].error);
        CHECK_EQ_I64(params.units, -7); /* results are written on success only */
    }
    bdl__arena_free(&arena);
}

BDL_TEST(json_errors_say_expected_and_found)
{
    static const error_row rows[] = {
        {"{}", "conv2d: units is required, got none"},
        {"[1]", "conv2d: parameters must be an object, got an array"},
        {"{\"lr\": \"fast\"}", "conv2d: lr must be a number, got 'fast'"},
        {"{\"lr\": null}", "conv2d: lr must be a number, got null"},
        {"{\"lr\": \"-inf\"}", "conv2d: lr must be >= 0, got -inf"},
        {"{\"units\": 1.5}", "conv2d: units must be a whole number, got 1.5"},
        {"{\"units\": \"3\"}", "conv2d: units must be a whole number, got '3'"},
        {"{\"units\": 1e300}", "conv2d: units must be a whole number, got 1e+300"},
        {"{\"nesterov\": 1}", "conv2d: nesterov must be true or false, got 1"},
        {"{\"label\": [1]}", "conv2d: label must be a string, got an array"},
        {"{\"mode\": 3}", "conv2d: mode must be a string, got 3"},
        {"{\"mode\": \"Zeros\"}", "conv2d: mode must be one of 'zeros', 'reflect', 'same', got "
                                  "'Zeros'; did you mean 'zeros'?"},
        {"{\"kernel_size\": [1, 2, 3]}", "conv2d: kernel_size needs 1 or 2 numbers, got 3"},
        {"{\"kernel_size\": [[1]]}",
         "conv2d: kernel_size must be a whole number or a list of them, got an array"},
        {"{\"kernel_size\": {}}",
         "conv2d: kernel_size must be a whole number or a list of them, got an object"},
        {"{\"kernel_sise\": 1}",
         "conv2d: unknown parameter 'kernel_sise'; did you mean 'kernel_size'?"},
        {"{\"means\": [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}",
         "conv2d: means needs at most 16 numbers, got 18"},
    };
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        sample_params params = {.units = -7};
        CHECK_EQ_I64(from_json(&arena, &sample, rows[i].text, &params), BDL_ERR_INVALID_ARGUMENT);
        CHECK_STR_EQ(bdl_last_error(), rows[i].error);
        CHECK_EQ_I64(params.units, -7);
    }
    bdl__arena_free(&arena);
}

BDL_TEST(params_filled_by_hand_are_checked)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    sample_params params;
    REQUIRE_OK(bdl__params_from_text(&sample, &arena, "units=3", &params));
    CHECK_OK(bdl__params_check(&sample, &params));
    params.units = 1001;
    CHECK_EQ_I64(bdl__params_check(&sample, &params), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_EQ(bdl_last_error(), "conv2d: units must be between 1 and 1000, got 1001");
    params.units = 3;
    params.mode.i = 3;
    CHECK_EQ_I64(bdl__params_check(&sample, &params), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_EQ(bdl_last_error(), "conv2d: mode must be one of its 3 choices, got number 3");
    params.mode.i = 0;
    params.kernel_size.n = 17;
    CHECK_EQ_I64(bdl__params_check(&sample, &params), BDL_ERR_INVALID_ARGUMENT);
    params.kernel_size.n = -1;
    CHECK_EQ_I64(bdl__params_check(&sample, &params), BDL_ERR_INVALID_ARGUMENT);
    params.kernel_size.n = 2;
    params.means = (bdl__f64s){.n = 1, .v = {(double)NAN}};
    CHECK_EQ_I64(bdl__params_check(&sample, &params), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_EQ(bdl_last_error(), "conv2d: means must be a number, got nan");
    bdl__arena_free(&arena);
}

BDL_TEST(params_are_printed_as_they_are_read)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    bdl__text text;
    bdl__json_writer writer;
    sample_params params;
    bdl__text_init(&text, bdl__default_allocator());
    REQUIRE_OK(bdl__params_from_text(
        &sample, &arena, "units=3, label='a\\'\\\\b', means=[-inf,0.5], seed=-1e15", &params));
    bdl__params_to_text(&sample, &params, &text);
    CHECK_STR_EQ(bdl__text_get(&text),
                 "units=3, label='a\\'\\\\b', means=[-inf,0.5], seed=-1000000000000000");
    bdl__text_free(&text);
    bdl__json_writer_init(&writer, &text, 2);
    bdl__params_to_json(&sample, &params, true, &writer);
    CHECK_STR_EQ(bdl__text_get(&text),
                 "{\n  \"units\": 3,\n  \"label\": \"a'\\\\b\",\n  \"means\": [\"-inf\", 0.5],\n"
                 "  \"seed\": -1000000000000000\n}");
    bdl__text_free(&text);
    bdl__json_writer_init(&writer, &text, 0);
    params.seed = INT64_MIN;
    bdl__params_to_json(&sample, &params, false, &writer);
    CHECK_STR_EQ(
        bdl__text_get(&text),
        "{\"lr\": 0.1, \"units\": 3, \"nesterov\": true, \"label\": \"a'\\\\b\", \"mode\": "
        "\"reflect\", \"kernel_size\": [1, 3], \"means\": [\"-inf\", 0.5], \"seed\": "
        "\"-9223372036854775808\"}");
    sample_params back;
    REQUIRE_OK(from_json(&arena, &sample, bdl__text_get(&text), &back));
    CHECK_STR_EQ(back.label, params.label);
    back.label = params.label;
    CHECK(memcmp(&back, &params, sizeof back) == 0);
    bdl__text_free(&text);
    bdl__arena_free(&arena);
}

BDL_TEST(table_is_dumped_for_the_bindings)
{
    bdl__text text;
    bdl__json_writer writer;
    bdl__json *document = NULL;
    bdl__text_init(&text, bdl__default_allocator());
    bdl__json_writer_init(&writer, &text, 0);
    bdl__schema_dump(&sample, &writer);
    CHECK_STR_HAS(bdl__text_get(&text),
                  "[{\"name\": \"lr\", \"type\": \"float\", \"required\": false, \"default\": 0.1, "
                  "\"least\": 0, \"doc\": \"Step size.\"}, {\"name\": \"units\", \"type\": "
                  "\"int\", \"required\": true, \"least\": 1, \"most\": 1000, \"doc\": ");
    CHECK_STR_HAS(bdl__text_get(&text),
                  "{\"name\": \"mode\", \"type\": \"choice\", \"required\": false, \"default\": "
                  "\"reflect\", \"choices\": [\"zeros\", \"reflect\", \"same\"], \"torch_name\": "
                  "\"padding_mode\", ");
    CHECK_STR_HAS(bdl__text_get(&text), "\"default\": [1, 3], \"least\": 1, \"least_n\": 1, "
                                        "\"most_n\": 2, ");
    REQUIRE_OK(bdl__json_parse(text.data, text.size, "dump", &document));
    CHECK_EQ_I64(bdl__json_count(document), 8);
    bdl__json_free(document);
    bdl__text_free(&text);
}

BDL_TEST(help_is_aligned_and_wrapped)
{
    bdl__text text;
    bdl__text_init(&text, bdl__default_allocator());
    bdl__schema_help(&sample, &text);
    CHECK_STR_HAS(bdl__text_get(&text), "  lr           float=0.1       Step size.\n"
                                        "  units        int (required)  Number of outputs.\n");
    CHECK_STR_HAS(bdl__text_get(&text),
                  "  mode         zeros|reflect|same=reflect\n"
                  "                               Values beyond the border.\n");
    for (const char *p = bdl__text_get(&text); *p != '\0';) {
        const size_t n = strcspn(p, "\n");
        CHECK(n <= 100);
        p += n + (p[n] == '\n');
    }
    bdl__text_free(&text);
    bdl__schema_help(&empty, &text);
    CHECK_STR_EQ(bdl__text_get(&text), "");
    bdl__text_free(&text);
}

BDL_TEST(calls_and_lists_are_split)
{
    static const struct {
        const char *text;
        const char *name;
        const char *args; /* NULL = refused */
    } rows[] = {
        {"sgd", "sgd", ""},
        {" sgd ( lr=0.1, f(x) ) ", "sgd", "lr=0.1, f(x)"},
        {"mnist:/data/x(1):y", "mnist", "/data/x(1):y"},
        {"mnist:", "mnist", ""},
        {"sgd()", "sgd", ""},
        {"sgd(a", NULL, NULL},
        {"sgd(a)(b)", "sgd", NULL},
        {"sgd(a) b", "sgd", NULL},
        {"(a)", "", NULL},
        {"", "", NULL},
        {":x", "", NULL},
    };
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        const char *name = NULL;
        const char *args = NULL;
        const bdl_status status = bdl__split_call(&arena, rows[i].text, &name, &args);
        CHECK_EQ_I64(status, rows[i].args != NULL ? BDL_OK : BDL_ERR_FORMAT);
        if (status == BDL_OK && rows[i].args != NULL) {
            CHECK_STR_EQ(name, rows[i].name);
            CHECK_STR_EQ(args, rows[i].args);
        }
    }
    const char *const *pieces = NULL;
    int64_t n = 0;
    REQUIRE_OK(bdl__split_list(&arena, " a ; b(x;[y;z]) ;; 'c;\\';' ; it's; ", ';', &pieces, &n));
    static const char *const expected[] = {"a", "b(x;[y;z])", "", "'c;\\';'", "it's", ""};
    REQUIRE(n == BDL__COUNT_OF(expected));
    for (int64_t i = 0; i < n; i++) {
        CHECK_STR_EQ(pieces[i], expected[i]);
    }
    REQUIRE_OK(bdl__split_list(&arena, " \t", ';', &pieces, &n));
    CHECK_EQ_I64(n, 0);
    bdl__arena_free(&arena);
}

/* Reads text; what is accepted must be printed as text that gives the same params. */
static bdl_status check_round_trip(bdl__arena *arena, const bdl_allocator *allocator,
                                   const char *input)
{
    sample_params params;
    sample_params back;
    bdl__text text;
    BDL__TRY(bdl__params_from_text(&sample, arena, input, &params));
    bdl__text_init(&text, allocator);
    bdl__params_to_text(&sample, &params, &text);
    bdl_status status = bdl__text_status(&text);
    if (status == BDL_OK) {
        status = bdl__params_from_text(&sample, arena, bdl__text_get(&text), &back);
    }
    if (status == BDL_OK) {
        CHECK((back.label == NULL) == (params.label == NULL));
        CHECK(back.label == NULL || strcmp(back.label, params.label) == 0);
        back.label = params.label;
        CHECK(memcmp(&back, &params, sizeof back) == 0);
    } else {
        CHECK(status == BDL_ERR_OUT_OF_MEMORY);
    }
    bdl__text_free(&text);
    return status;
}

BDL_TEST(damaged_text_does_no_harm)
{
    static const char input[] = "lr=0.25, units=64, nesterov=false, label='it\\'s, (1)', mode=same,"
                                " kernel_size=[5,7], means=(0.5, -1e-3), seed=-5";
    static const char letters[] = "=,'\"\\()[] \t019ae.-+x_\n\xC3\xFF";
    int n_accepted = 0;
    for (int i = 0; i < 5000; i++) {
        char text[sizeof input];
        memcpy(text, input, sizeof input);
        const int n_changes = 1 + (int)(bdl_test_random() % 3);
        for (int k = 0; k < n_changes; k++) {
            text[bdl_test_random() % (sizeof text - 1)] =
                letters[bdl_test_random() % (sizeof letters - 1)];
        }
        bdl__arena arena;
        bdl__arena_init(&arena, bdl__default_allocator());
        const char *name = NULL;
        const char *args = NULL;
        (void)bdl__split_call(&arena, text, &name, &args);
        n_accepted += check_round_trip(&arena, bdl__default_allocator(), text) == BDL_OK;
        bdl__arena_free(&arena);
    }
    CHECK(n_accepted > 100);
}

BDL_TEST(parsing_survives_each_failed_allocation)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__arena arena;
        bdl__arena_init(&arena, &counter.allocator);
        const bdl_status status =
            check_round_trip(&arena, &counter.allocator, "units=3, label='x', means=[1,2,3]");
        CHECK_EQ_I64(status, counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
        bdl__arena_free(&arena);
    }
}

BDL_TEST_MAIN(defaults_come_from_the_table, json_and_text_give_the_same_params,
              schema_without_fields_takes_nothing, text_errors_say_expected_and_found,
              json_errors_say_expected_and_found, params_filled_by_hand_are_checked,
              params_are_printed_as_they_are_read, table_is_dumped_for_the_bindings,
              help_is_aligned_and_wrapped, calls_and_lists_are_split, damaged_text_does_no_harm,
              parsing_survives_each_failed_allocation)
