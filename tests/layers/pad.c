/* SPDX-License-Identifier: Apache-2.0 */
/* pad: what its new positions hold, which no gradient depends on, and where the old ones went. */
#include "cases.h"
#include "test.h"

/* The output of a 2x3 input, row after row; NEW stands for what the padding brings. */
#define NEW (-1)

typedef struct pad_case {
    const char *params;
    double value;
    int64_t n_out;
    int from[12]; /* positions of the input */
} pad_case;

static const pad_case pad_cases[] = {
    {"[1, 0, 0, 1], value=0.5", 0.5, 12, {NEW, 0, 1, 2, NEW, 3, 4, 5, NEW, NEW, NEW, NEW}},
    {"[2, -1], value=-3", -3, 8, {NEW, NEW, 0, 1, NEW, NEW, 3, 4}},
    {"[0, 0, -1, 1]", 0, 6, {3, 4, 5, NEW, NEW, NEW}},
};

static void check_pad(const pad_case *c, bdl__target target)
{
    const layer_case layer = {"pad", c->params, "2x3"};
    const run_options options = {.target = target, .n_workers = 1, .is_training = true};
    bdl__arena arena;
    problem p;
    run_result result;
    bdl__arena_init(&arena, bdl__default_allocator());
    REQUIRE_OK(make_problem(&layer, ALONE, 0, 1, 5, &arena, &p));
    REQUIRE_OK(run_problem(&p, &options, &arena, &result));
    CHECK_EQ_I64(result.out[0].count, c->n_out);
    for (int64_t i = 0; i < BDL__MIN(c->n_out, result.out[0].count); i++) {
        const double expected = c->from[i] == NEW ? c->value : p.in[0].data[c->from[i]];
        CHECK(result.out[0].data[i] == expected);
    }
    free_problem(&p);
    bdl__arena_free(&arena);
}

BDL_TEST(new_positions_hold_the_value)
{
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        for (int64_t i = 0; i < BDL__COUNT_OF(pad_cases); i++) {
            if (bdl__target_available((bdl__target)t)) {
                check_pad(&pad_cases[i], (bdl__target)t);
            }
        }
    }
    end_workers();
}

BDL_TEST_MAIN(new_positions_hold_the_value)
