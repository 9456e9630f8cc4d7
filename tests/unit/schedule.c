/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: literal rates worked out by hand from PyTorch's and BigDL's formulas, parts that
 * follow one another, plateau's state, and the arithmetic behind the rates.
 */
#include "optim/schedule.h"

#include <math.h>
#include <string.h>

#include "optim/rate_math.h"
#include "optim/schedule_kinds.h"
#include "test.h"

enum { EPOCH = 10 }; /* iterations of an epoch in these tests */

static bdl__progress at(int64_t iteration)
{
    return (bdl__progress){.iteration = iteration,
                           .epoch = iteration / EPOCH,
                           .i_in_epoch = iteration % EPOCH,
                           .epoch_iterations = EPOCH};
}

static bdl__schedule *make(const char *text)
{
    bdl__schedule *schedule = NULL;
    CHECK_OK(bdl__schedule_create(bdl__default_allocator(), text, &schedule));
    return schedule;
}

typedef struct rate_case {
    const char *text;
    int64_t iteration;
    double rate; /* for the base rate 0.5 */
} rate_case;

static const rate_case cases[] = {
    {NULL, 7, 0.5},
    {"", 0, 0.5},
    {"constant", 1000000, 0.5},
    {"default(lr_decay=0.25)", 0, 0.5},
    {"default(0.25)", 4, 0.25},
    {"step(step_size=3, gamma=0.5)", 2, 0.5},
    {"step(step_size=3, gamma=0.5)", 3, 0.25},
    {"step(3, 0.5)", 8, 0.125},
    {"step(3)", 6, 0.005},
    {"step(3, unit=epoch)", 29, 0.5},
    {"step(3, unit=epoch)", 30, 0.05},
    {"multi_step([2, 5], 0.5)", 1, 0.5},
    {"multi_step([2, 5], 0.5)", 2, 0.25},
    {"multi_step([2, 5], 0.5)", 5, 0.125},
    {"exponential(0.5)", 3, 0.0625},
    {"exponential(gamma=0.25, step_size=4)", 2, 0.25},
    {"exponential(gamma=0.25, step_size=4, staircase=true)", 7, 0.125},
    {"exponential(gamma=0.5, unit=epoch)", 19, 0.25},
    {"exponential(gamma=0.25, unit=epoch_fraction)", 5, 0.25},
    {"natural_exp(step_size=2, gamma=1)", 3, 0.5 * 0.36787944117144233},
    {"natural_exp(step_size=2, gamma=0.5)", 9, 0.5 * 0.1353352832366127},
    {"poly(length=100, power=0.5)", 75, 0.25},
    {"poly(length=100, power=0.5)", 100, 0},
    {"poly(length=100, power=0.5)", 101, 0},
    {"poly(100)", 25, 0.375},
    {"cosine(100)", 0, 0.5},
    {"cosine(100)", 25, 0.5 * 0.8535533905932737},
    {"cosine(100)", 50, 0.25},
    {"cosine(100, min=0.1)", 50, 0.3},
    {"cosine(100, min=0.1)", 75, 0.1 + 0.4 * 0.14644660940672627},
    {"cosine(100, min=0.1)", 500, 0.1},
    {"cosine(10, unit=epoch)", 59, 0.25},
    {"warmup(10, start=0.2)", 0, 0.1},
    {"warmup(10, start=0.2)", 5, 0.3},
    {"warmup(10, start=0.2)", 10, 0.5},
    {"warmup(10, start=0.2)", 99, 0.5},
    {"warmup(10, delta=0.125)", 4, 1},
    {"warmup(10, delta=0.125)", 400, 1.75},
    {"epoch_step(2)", 19, 0.5},
    {"epoch_step(2)", 20, 0.05},
    {"epoch_step(2, first_epoch=1)", 9, 0.5},
    {"epoch_step(2, first_epoch=1)", 10, 0.05},
    {"epoch_decay([1, 3])", 9, 0.5},
    {"epoch_decay([1, 3])", 10, 0.05},
    {"epoch_decay([1, 3])", 30, 0.005},
    {"plateau", 30, 0.5},
    /* Parts: the next one starts from the rate that the one before ended at. */
    {"warmup(10) then cosine(100)", 10, 0.5},
    {"warmup(10) then cosine(100)", 60, 0.25},
    {"warmup(10) then cosine(100, min=0.1)", 1000, 0.1},
    {"warmup(10, delta=0.05)  then  constant", 99, 1},
    {"warmup(10) then step(1, 0.5, unit=epoch)", 25, 0.25},
    {"step(2, 0.5, lasts=4) then constant", 3, 0.25},
    {"step(2, 0.5, lasts=4) then constant", 4, 0.25},
    {"constant(unit=epoch, lasts=2) then poly(40) then constant", 19, 0.5},
    {"constant(unit=epoch, lasts=2) then poly(40) then constant", 40, 0.25},
    {"constant(unit=epoch, lasts=2) then poly(40) then constant", 60, 0},
    {"poly(40, lasts=20) then constant", 20, 0.25},
    {"constant(lasts=5) then exponential(0.25, unit=epoch_fraction)", 10, 0.25},
};

BDL_TEST(rates_match_the_formulas)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        const bdl__progress progress = at(cases[i].iteration);
        bdl__schedule *const schedule = make(cases[i].text);
        REQUIRE(schedule != NULL);
        const double rate = bdl__schedule_rate(schedule, 0.5, &progress);
        CHECK_NEAR(rate, cases[i].rate, 1e-15 * (1 + fabs(cases[i].rate)));
        if (fabs(rate - cases[i].rate) > 1e-12) {
            CHECK_STR_EQ(cases[i].text, "is wrong");
        }
        bdl__schedule_free(schedule);
    }
}

/* Lists the iterations whose observation lowered the rate. */
static void observe_all(bdl__schedule *schedule, const double *values, int n, const char *drops)
{
    for (int i = 0; i < n; i++) {
        const bdl__progress progress = at((int64_t)i * EPOCH);
        const bool dropped = bdl__schedule_observe(schedule, &progress, values[i]);
        CHECK_EQ_I64(dropped, drops[i] == 'v');
    }
}

BDL_TEST(plateau_drops_as_pytorch_does)
{
    static const double losses[] = {1, 0.5, 0.6, 0.5, 0.55, 0.55, 0.7, 0.4, 0.4, 0.4, 0.4};
    bdl__schedule *const schedule = make("plateau(patience=2, factor=0.5, min_lr=0.2)");
    const bdl__progress progress = at(0);
    REQUIRE(schedule != NULL);
    CHECK_STR_EQ(bdl__schedule_monitor(schedule, &progress), "loss");
    observe_all(schedule, losses, 11, "....v.....v");
    CHECK_NEAR(bdl__schedule_rate(schedule, 0.5, &progress), 0.2, 0);
    CHECK_NEAR(bdl__schedule_rate(schedule, 4, &progress), 1, 0);
    CHECK_NEAR(bdl__schedule_rate(schedule, 0.1, &progress), 0.1, 0); /* never raised */
    bdl__schedule_free(schedule);
}

BDL_TEST(plateau_cools_down_and_watches_scores)
{
    static const double scores[] = {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.61, 0.7, 0.75, NAN};
    bdl__schedule *const schedule = make("plateau(monitor=top1, mode=max, patience=0, cooldown=3, "
                                         "threshold=0.1, threshold_mode=abs)");
    const bdl__progress progress = at(0);
    REQUIRE(schedule != NULL);
    CHECK_STR_EQ(bdl__schedule_monitor(schedule, &progress), "top1");
    observe_all(schedule, scores, 10, ".v...v...v");
    observe_all(schedule, (const double[]){0.9}, 1, ".");
    observe_all(schedule, (const double[]){0.95}, 1, ".");
    bdl__schedule_free(schedule);
}

static bdl__json *state_of(const bdl__schedule *schedule)
{
    bdl__text text;
    bdl__json_writer writer;
    bdl__json *json = NULL;
    bdl__text_init(&text, bdl__default_allocator());
    bdl__json_writer_init(&writer, &text, 0);
    bdl__schedule_state_to_json(schedule, &writer);
    CHECK_OK(bdl__json_parse(bdl__text_get(&text), text.size, "state", &json));
    bdl__text_free(&text);
    return json;
}

BDL_TEST(plateau_state_survives_a_checkpoint)
{
    static const char text[] = "warmup(10) then plateau(patience=1, factor=0.5)";
    static const double before[] = {9, 1, 2, 2, 2};
    static const double after[] = {0.5, 1, 1, 1};
    bdl__schedule *const a = make(text);
    bdl__schedule *const b = make(text);
    const bdl__progress late = at(500);
    const bdl__progress early = at(5);
    REQUIRE(a != NULL && b != NULL);
    CHECK(bdl__schedule_monitor(a, &early) == NULL);
    CHECK(!bdl__schedule_observe(a, &early, 1));
    observe_all(a, before, 5, "...v.");
    bdl__json *const state = state_of(a);
    CHECK_OK(bdl__schedule_state_from_json(b, state, "state"));
    for (int i = 0; i < 4; i++) {
        const bool dropped = bdl__schedule_observe(a, &late, after[i]);
        CHECK_EQ_I64(bdl__schedule_observe(b, &late, after[i]), dropped);
        CHECK_NEAR(bdl__schedule_rate(a, 1, &late), bdl__schedule_rate(b, 1, &late), 0);
    }
    CHECK_NEAR(bdl__schedule_rate(b, 1, &late), 0.25, 0);
    bdl__json_free(state);
    bdl__schedule_free(a);
    bdl__schedule_free(b);
}

BDL_TEST(a_fresh_state_survives_too)
{
    bdl__schedule *const schedule = make("plateau");
    bdl__json *const state = state_of(schedule);
    CHECK_OK(bdl__schedule_state_from_json(schedule, state, "state"));
    observe_all(schedule, (const double[]){5, 4}, 2, "..");
    bdl__json_free(state);
    bdl__schedule_free(schedule);
}

BDL_TEST(foreign_states_are_refused)
{
    static const char *const texts[] = {
        "{}", "[]", "[1]", "[{\"name\":\"step\"}]", "[{\"name\":\"plateau\",\"bad\":0}]",
        "[{\"name\":\"plateau\",\"best\":null,\"bad\":-1,\"cooldown\":0,\"scale\":1}]",
        "[{\"name\":\"plateau\",\"best\":null,\"bad\":0,\"cooldown\":0,\"scale\":2}]",
    };
    bdl__schedule *const schedule = make("plateau");
    for (int64_t i = 0; i < BDL__COUNT_OF(texts); i++) {
        bdl__json *json = NULL;
        REQUIRE_OK(bdl__json_parse(texts[i], strlen(texts[i]), "state", &json));
        CHECK(bdl__schedule_state_from_json(schedule, json, "state") != BDL_OK);
        CHECK_STR_HAS(bdl_last_error(), "state");
        bdl__json_free(json);
    }
    bdl__schedule_free(schedule);
}

static void expect_error(const char *text, const char *part)
{
    bdl__schedule *schedule = NULL;
    CHECK(bdl__schedule_create(bdl__default_allocator(), text, &schedule) != BDL_OK);
    CHECK(schedule == NULL);
    CHECK_STR_HAS(bdl_last_error(), part);
}

BDL_TEST(bad_texts_are_explained)
{
    expect_error("cosin(100)", "'cosine'");
    expect_error("cosine", "length");
    expect_error("cosine(0)", "length");
    expect_error("step(3) then cosine(100)", "lasts=1000");
    expect_error("warmup(3) and cosine(100)", "'then'");
    expect_error("warmup(3) then", "after 'then'");
    expect_error("plateau(factor=1)", "below 1");
    expect_error("plateau(monitor='')", "monitor");
    expect_error("step(3, unit=hours)", "unit");
}

BDL_TEST(texts_lead_back)
{
    static const char text[] =
        "warmup(500, delta=0.1) then multi_step([2, 5], lasts=7, unit=epoch) "
        "then plateau(monitor=top1, mode=max)";
    bdl__schedule *const a = make(text);
    bdl__text first;
    bdl__text second;
    bdl__text_init(&first, bdl__default_allocator());
    bdl__text_init(&second, bdl__default_allocator());
    bdl__schedule_to_text(a, &first);
    bdl__schedule *const b = make(bdl__text_get(&first));
    REQUIRE(b != NULL);
    bdl__schedule_to_text(b, &second);
    CHECK_STR_EQ(bdl__text_get(&first), bdl__text_get(&second));
    CHECK_STR_HAS(bdl__text_get(&first), "lasts=7");
    bdl__text_free(&first);
    bdl__text_free(&second);
    bdl__schedule_free(a);
    bdl__schedule_free(b);
}

BDL_TEST(rate_functions_agree_with_libm)
{
    for (int i = -2000; i <= 2000; i++) {
        const double x = i / 37.0;
        CHECK_NEAR(bdl__rate_exp(x) / exp(x), 1, 4e-16);
        CHECK_NEAR(bdl__rate_log(exp(x)), x, 1e-15 * (1 + fabs(x)));
    }
    for (int i = 0; i <= 1000; i++) {
        CHECK_NEAR(bdl__rate_cos_pi(i / 1000.0), cos(3.141592653589793 * (i / 1000.0)), 5e-16);
        CHECK_NEAR(bdl__rate_pow(i / 1000.0, 0.37), pow(i / 1000.0, 0.37), 1e-15);
        CHECK_NEAR(bdl__rate_power(0.999, i) / pow(0.999, i), 1, 1e-13);
    }
    CHECK_NEAR(bdl__rate_cos_pi(0.5), 0, 0);
    CHECK_NEAR(bdl__rate_exp(-1000), 0, 0);
    CHECK(isinf(bdl__rate_exp(1000)) && isnan(bdl__rate_exp(NAN)));
    CHECK_NEAR(bdl__rate_pow(0, 0), 1, 0);
}

BDL_TEST(every_kind_has_its_descriptor_filled)
{
    const bdl__schedule_kind *kind = NULL;
    int64_t n = 0;
    for (; (kind = bdl__schedule_kind_at(n)) != NULL; n++) {
        CHECK(kind->doc != NULL && kind->since != NULL && kind->schema.name != NULL);
        CHECK(kind->torch != NULL || kind->pytorch != NULL);
        CHECK(kind->schema.params_size >= sizeof(bdl__schedule_params));
    }
    CHECK_EQ_I64(n, 12);
}

BDL_TEST_MAIN(rates_match_the_formulas, plateau_drops_as_pytorch_does,
              plateau_cools_down_and_watches_scores, plateau_state_survives_a_checkpoint,
              a_fresh_state_survives_too, foreign_states_are_refused, bad_texts_are_explained,
              texts_lead_back, rate_functions_agree_with_libm,
              every_kind_has_its_descriptor_filled)
