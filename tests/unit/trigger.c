/* SPDX-License-Identifier: Apache-2.0 */
/* Stop conditions: parsing, binding of `and` and `or`, values that are not measured yet, errors. */
#include "train/trigger.h"

#include <math.h>
#include <string.h>

#include "counting_allocator.h"
#include "test.h"

static const char *const names[] = {"epoch", "iteration", "loss", "top1"};
enum { N_NAMES = 4 };

static bool fires(const char *text, const double values[N_NAMES])
{
    bdl__arena arena;
    bdl__trigger *trigger = NULL;
    bool result = false;
    bdl__arena_init(&arena, bdl__default_allocator());
    const bdl_status status = bdl__trigger_parse(&arena, text, names, N_NAMES, &trigger);
    CHECK_OK(status);
    if (status == BDL_OK) {
        result = bdl__trigger_fires(trigger, values);
    }
    bdl__arena_free(&arena);
    return result;
}

typedef struct trigger_case {
    const char *text;
    double values[N_NAMES];
    bool fires;
} trigger_case;

static const trigger_case cases[] = {
    {"epoch >= 5", {5, 0, 0, 0}, true},
    {"epoch >= 5", {4, 0, 0, 0}, false},
    {"epoch>5", {5, 0, 0, 0}, false},
    {"loss < 0.1", {0, 0, 0.05, 0}, true},
    {"loss <= 0.5", {0, 0, 0.5, 0}, true},
    {"iteration == 7", {0, 7, 0, 0}, true},
    {"iteration == 7", {0, 8, 0, 0}, false},
    {"top1 >= 98%", {0, 0, 0, 0.98}, true},
    {"top1 >= 98%", {0, 0, 0, 0.979}, false},
    {"top1 >= 98 % or epoch > 3", {0, 0, 0, 0.98}, true},
    {"top1 >= 98 % or epoch > 3", {0, 0, 0, 0.979}, false},
    {"loss < 1e-3", {0, 0, 0.0009, 0}, true},
    {"loss > -1", {0, 0, -0.5, 0}, true},
    {"top1 >= 0.98 or epoch >= 20", {20, 0, 0, 0.5}, true},
    {"top1 >= 0.98 or epoch >= 20", {3, 0, 0, 0.99}, true},
    {"top1 >= 0.98 or epoch >= 20", {3, 0, 0, 0.5}, false},
    {"epoch >= 2 and loss < 0.1", {2, 0, 0.2, 0}, false},
    {"epoch >= 2 and loss < 0.1", {2, 0, 0.05, 0}, true},
    /* and binds tighter than or */
    {"epoch >= 9 or loss < 0.1 and top1 > 0.5", {9, 0, 1, 0}, true},
    {"epoch >= 9 or loss < 0.1 and top1 > 0.5", {0, 0, 0, 0}, false},
    {"(epoch >= 9 or loss < 0.1) and top1 > 0.5", {9, 0, 1, 0}, false},
    {"(epoch >= 9 or loss < 0.1) and top1 > 0.5", {9, 0, 1, 0.6}, true},
    {"((epoch >= 9))", {9, 0, 0, 0}, true},
    /* what is not measured fires nothing, either way round */
    {"top1 >= 0", {0, 0, 0, NAN}, false},
    {"top1 < 1", {0, 0, 0, NAN}, false},
    {"top1 < 1 or epoch >= 1", {1, 0, 0, NAN}, true},
};

BDL_TEST(trigger_fires_as_its_condition_says)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        const bool got = fires(cases[i].text, cases[i].values);
        bdl_test_check(got == cases[i].fires, __FILE__, __LINE__, cases[i].text);
    }
}

/* What fired is told as it was written. */
BDL_TEST(trigger_tells_what_held)
{
    static const struct {
        const char *text;
        double values[N_NAMES];
        const char *reason;
    } told[] = {
        {"top1 >= 98%", {0, 0, 0, 0.99}, "top1 >= 98%"},
        {"top1>=0.98 or epoch >= 20", {20, 0, 0, 0.5}, "epoch >= 20"},
        {"top1>=0.98 or epoch >= 20", {20, 0, 0, 0.98}, "top1>=0.98"},
        {" epoch >= 9 or (loss < 0.1 and top1 > 0.5 )", {0, 0, 0, 0.6}, "loss < 0.1 and top1 > 0.5"},
        {"(epoch >= 9 or loss < 0.1) and top1 > 0.5", {0, 0, 0, 0.6}, "loss < 0.1 and top1 > 0.5"},
    };
    char text[64], cut[8];
    for (int64_t i = 0; i < BDL__COUNT_OF(told); i++) {
        bdl__arena arena;
        bdl__trigger *trigger = NULL;
        bdl__arena_init(&arena, bdl__default_allocator());
        REQUIRE_OK(bdl__trigger_parse(&arena, told[i].text, names, N_NAMES, &trigger));
        CHECK(bdl__trigger_fires(trigger, told[i].values));
        bdl__trigger_reason(trigger, told[i].values, text, sizeof text);
        CHECK_STR_EQ(text, told[i].reason);
        bdl__trigger_reason(trigger, told[i].values, cut, sizeof cut);
        CHECK(strlen(cut) == sizeof cut - 1 && strncmp(cut, text, sizeof cut - 1) == 0);
        bdl__arena_free(&arena);
    }
}

static const struct {
    const char *text;
    bdl_status status;
    const char *error;
} bad[] = {
    {"", BDL_ERR_INVALID_ARGUMENT, "expected a name at column 1, got 'the end'"},
    {"epoch", BDL_ERR_INVALID_ARGUMENT, "expected one of >=, >, <=, <, =="},
    {"epoch >=", BDL_ERR_INVALID_ARGUMENT, "expected a number at column 9"},
    {"epoch >= x", BDL_ERR_INVALID_ARGUMENT, "expected a number at column 10, got 'x'"},
    {"epoch >= 1 2", BDL_ERR_INVALID_ARGUMENT, "expected 'and', 'or' or the end at column 12"},
    {"epoch >= 1 andd loss < 1", BDL_ERR_INVALID_ARGUMENT, "expected 'and', 'or' or the end"},
    {"(epoch >= 1", BDL_ERR_INVALID_ARGUMENT, "expected ')'"},
    {"epoch >= 1)", BDL_ERR_INVALID_ARGUMENT, "got ')'"},
    {"epoch >= 1 and", BDL_ERR_INVALID_ARGUMENT, "expected a name"},
    {"epoc >= 1", BDL_ERR_NOT_FOUND, "did you mean 'epoch'?"},
    {"accuracy >= 1", BDL_ERR_NOT_FOUND, "known are epoch, iteration, loss, top1"},
    {"loss < 1e", BDL_ERR_INVALID_ARGUMENT, "expected a number"},
};

BDL_TEST(trigger_names_what_is_wrong_and_where)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(bad); i++) {
        bdl__arena arena;
        bdl__trigger *trigger = NULL;
        bdl__arena_init(&arena, bdl__default_allocator());
        CHECK_EQ_I64(bdl__trigger_parse(&arena, bad[i].text, names, N_NAMES, &trigger),
                     bad[i].status);
        CHECK_STR_HAS(bdl_last_error(), bad[i].error);
        bdl__arena_free(&arena);
    }
}

BDL_TEST(trigger_bounds_depth_and_length)
{
    bdl__arena arena;
    bdl__trigger *trigger = NULL;
    char text[4096] = "";
    bdl__arena_init(&arena, bdl__default_allocator());
    memset(text, '(', 40);
    CHECK_EQ_I64(bdl__trigger_parse(&arena, text, names, N_NAMES, &trigger),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "more than 32 parentheses");
    memset(text, ' ', sizeof text - 1);
    CHECK_EQ_I64(bdl__trigger_parse(&arena, text, names, N_NAMES, &trigger),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "at most 2048 characters, got 4095");
    bdl__arena_free(&arena);
}

BDL_TEST(trigger_survives_failing_allocations)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__arena arena;
        bdl__trigger *trigger = NULL;
        bdl__arena_init(&arena, &counter.allocator);
        const bdl_status status = bdl__trigger_parse(
            &arena, "(top1 >= 0.9 and epoch > 1) or loss < 0.1", names, N_NAMES, &trigger);
        CHECK(status == (counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK));
        bdl__arena_free(&arena);
    }
}

BDL_TEST_MAIN(trigger_fires_as_its_condition_says, trigger_tells_what_held, trigger_names_what_is_wrong_and_where,
              trigger_bounds_depth_and_length, trigger_survives_failing_allocations)
