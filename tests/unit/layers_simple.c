/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers whose hooks need no executor: gradients against differences, every target against f64, adding
 * against writing, a team against one worker; dropout's random numbers; refusals.
 */
#include "bare_layer.h"

static void check_layer(const char *call, int n_in, const bdl__shape *shape)
{
    REQUIRE_OK(problem_make(&now, call, n_in, shape, NULL));
    problem_fill(&now);
    check_gradient(&now);
    check_targets(&now);
    bdl__arena_free(&now.arena);
}

#define CHECK_LAYER(call, ...)                                                                     \
    do {                                                                                           \
        const bdl__shape shapes_[] = {__VA_ARGS__};                                                \
        check_layer((call), (int)(sizeof shapes_ / sizeof shapes_[0]), shapes_);                   \
    } while (0)

BDL_TEST(softmax_family)
{
    CHECK_LAYER("softmax", SHAPE(1, 7));
    CHECK_LAYER("softmax(axis=1)", SHAPE(3, 3, 2, 5));
    CHECK_LAYER("softmax(axis=2)", SHAPE(3, 3, 2, 5));
    CHECK_LAYER("softmin(axis=-2)", SHAPE(3, 3, 2, 5));
    CHECK_LAYER("log_softmax(axis=1)", SHAPE(2, 10, 3));
}

BDL_TEST(moving_layers)
{
    CHECK_LAYER("reshape(shape=[4,-1])", SHAPE(3, 2, 3, 4));
    CHECK_LAYER("flatten", SHAPE(3, 2, 3, 4));
    CHECK_LAYER("identity", SHAPE(1, 5));
    CHECK_LAYER("squeeze", SHAPE(3, 2, 1, 4));
    CHECK_LAYER("unsqueeze(axis=2)", SHAPE(2, 2, 4));
    CHECK_LAYER("permute(axes=[0,3,1,2])", SHAPE(3, 2, 3, 4));
    CHECK_LAYER("transpose(axes=[1,3,1,2])", SHAPE(3, 2, 3, 4));
    CHECK_LAYER("narrow(axis=2,offset=1,length=2)", SHAPE(3, 2, 4, 3));
    CHECK_LAYER("select(axis=2,index=-1)", SHAPE(3, 2, 4, 3));
    CHECK_LAYER("split(axis=1,sizes=2)", SHAPE(2, 5, 3));
    CHECK_LAYER("split(axis=-1,sizes=[1,2,3])", SHAPE(2, 2, 6));
    CHECK_LAYER("concat", SHAPE(2, 2, 3), SHAPE(2, 1, 3), SHAPE(2, 3, 3));
    CHECK_LAYER("concat(axis=-1)", SHAPE(2, 2, 3), SHAPE(2, 2, 1));
    CHECK_LAYER("pad(padding=[1,2])", SHAPE(3, 2, 3, 4));
    CHECK_LAYER("pad(padding=[1,-2,-1,3],value=1.5)", SHAPE(3, 2, 3, 4));
}

BDL_TEST(arithmetic)
{
    CHECK_LAYER("add", SHAPE(2, 3, 4), SHAPE(2, 3, 4), SHAPE(2, 3, 4));
    CHECK_LAYER("add", SHAPE(2, 3, 4));
    CHECK_LAYER("add", SHAPE(3, 3, 1, 4), SHAPE(2, 2, 1));
    CHECK_LAYER("sub", SHAPE(2, 3, 4), SHAPE(1, 4));
    CHECK_LAYER("mul", SHAPE(2, 3, 4), SHAPE(2, 3, 4), SHAPE(2, 3, 4));
    CHECK_LAYER("mul", SHAPE(3, 3, 2, 4), SHAPE(3, 3, 1, 1));
    CHECK_LAYER("maximum", SHAPE(2, 3, 4), SHAPE(2, 3, 4), SHAPE(2, 3, 4));
    CHECK_LAYER("minimum", SHAPE(2, 3, 4), SHAPE(2, 3, 1));
}

BDL_TEST(quotient)
{
    const bdl__shape shapes[] = {SHAPE(2, 3, 4), SHAPE(2, 1, 4)};
    REQUIRE_OK(problem_make(&now, "div", 2, shapes, NULL));
    problem_fill(&now);
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < MOST; i++) {
            now.src[1][s][i] = (double)(float)(2 + now.src[1][s][i]);
        }
    }
    check_gradient(&now);
    check_targets(&now);
    bdl__arena_free(&now.arena);
}

BDL_TEST(unused_output_has_no_gradient)
{
    const bdl__shape shapes[] = {SHAPE(2, 5, 2)};
    REQUIRE_OK(problem_make(&now, "split(sizes=[2,3])", 1, shapes, NULL));
    problem_fill(&now);
    run(&now, &(options){.target = BDL__TARGET_F64, .no_diff = true}, &base);
    for (int i = 0; i < 10; i++) {
        CHECK_NEAR(base.diff_src[0][5][i], i < 4 ? 0 : now.diff_dst[1][5][i - 4], 0);
    }
    bdl__arena_free(&now.arena);
}

BDL_TEST(integers_move)
{
    const bdl__shape shapes[] = {SHAPE(2, 2, 3)};
    const bool integer[] = {true};
    REQUIRE_OK(problem_make(&now, "pad(padding=[1,0],value=9)", 1, shapes, integer));
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < 6; i++) {
            now.src[0][s][i] = 10 * s + i;
        }
    }
    check_targets(&now);
    const double expected[] = {9, 30, 31, 32, 9, 33, 34, 35};
    for (int i = 0; i < 8; i++) {
        CHECK_NEAR(base.dst[0][3][i], expected[i], 0);
    }
    bdl__arena_free(&now.arena);
}

/* ---- dropout --------------------------------------------------------------------------------- */

BDL_TEST(dropout_keeps_its_promises)
{
    const bdl__shape shapes[] = {SHAPE(1, MOST)};
    REQUIRE_OK(problem_make(&now, "dropout(p=0.25)", 1, shapes, NULL));
    problem_fill(&now);
    check_targets(&now); /* same decisions on all targets */
    int64_t n_kept = 0, n_same = 0, n_same_place = 0;
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < MOST; i++) {
            const bool kept = base.dst[0][s][i] != 0;
            const double scale = kept ? 1 / 0.75 : 0;
            CHECK_NEAR(base.dst[0][s][i], now.src[0][s][i] * scale, 1e-12);
            CHECK_NEAR(base.diff_src[0][s][i], now.diff_dst[0][s][i] * scale, 1e-12);
            n_kept += kept;
            n_same += i > 0 && kept == (base.dst[0][s][i - 1] != 0);
            n_same_place += s > 0 && kept == (base.dst[0][s - 1][i] != 0);
        }
    }
    /* 4,096 decisions: five standard deviations. Neighbours agree with 0.75^2 + 0.25^2 = 0.625. */
    CHECK_NEAR((double)n_kept / 4096, 0.75, 0.034);
    CHECK_NEAR((double)n_same / (16 * 255), 0.625, 0.038);
    CHECK_NEAR((double)n_same_place / (15 * 256), 0.625, 0.039);
    now.in_evaluation = true;
    run(&now, &(options){.target = BDL__TARGET_F64}, &other);
    for (int i = 0; i < MOST; i++) {
        CHECK_NEAR(other.dst[0][2][i], now.src[0][2][i], 0);
    }
    bdl__arena_free(&now.arena);
}

BDL_TEST(spatial_dropout_takes_whole_channels)
{
    const bdl__shape shapes[] = {SHAPE(3, 16, 4, 4)};
    REQUIRE_OK(problem_make(&now, "spatial_dropout(p=0.5)", 1, shapes, NULL));
    problem_fill(&now);
    check_targets(&now);
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < MOST; i++) {
            const bool kept = base.dst[0][s][i / 16 * 16] != 0;
            CHECK_NEAR(base.dst[0][s][i], kept ? 2 * now.src[0][s][i] : 0, 1e-12);
        }
    }
    bdl__arena_free(&now.arena);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void check_refused(const char *call, int n_in, const bdl__shape *shapes, const char *text)
{
    CHECK(problem_make(&now, call, n_in, shapes, NULL) != BDL_OK);
    CHECK_STR_HAS(bdl_last_error(), text);
    bdl__arena_free(&now.arena);
}

BDL_TEST(wrong_parameters_are_refused)
{
    const bdl__shape cube[] = {SHAPE(3, 2, 3, 4)};
    const bdl__shape pair[] = {SHAPE(2, 2, 3), SHAPE(2, 2, 4)};
    check_refused("softmax(axis=0)", 1, cube, "is the batch");
    check_refused("softmax(axis=5)", 1, cube, "is not there");
    check_refused("reshape(shape=[5,-1])", 1, cube, "cannot reshape 2x3x4");
    check_refused("reshape(shape=[-1,-1])", 1, cube, "one -1");
    check_refused("reshape(shape=[2,3,5])", 1, cube, "cannot reshape");
    check_refused("flatten(start_axis=3,end_axis=1)", 1, cube, "behind");
    check_refused("permute(axes=[1,1,2])", 1, cube, "twice");
    check_refused("permute(axes=[1,2])", 1, cube, "all 3 axes");
    check_refused("transpose(axes=[1,2,3])", 1, cube, "pairs");
    check_refused("narrow(axis=1,offset=1,length=2)", 1, cube, "are not on axis");
    check_refused("select(axis=1,index=2)", 1, cube, "is not on axis");
    check_refused("split(axis=1,sizes=[1,2])", 1, cube, "add up");
    check_refused("pad(padding=[-2,-2])", 1, cube, "cuts all");
    check_refused("pad(padding=[1])", 1, cube, "padding");
    check_refused("concat", 2, pair, "agree but for axis");
    check_refused("add", 2, pair, "do not fit together");
    check_refused("mse", 2, pair, "needs two tensors of one shape");
    check_refused("hard_tanh(min=2,max=1)", 1, cube, "below");
    check_refused("dropout(p=1)", 1, cube, "below 1");
}

BDL_TEST(losses_of_numbers_name_those_of_classes)
{
    const bdl__shape scores_and_label[] = {SHAPE(1, 10), {.rank = 0}};
    const bool integers[] = {false, true};
    CHECK(problem_make(&now, "mse", 2, scores_and_label, integers) != BDL_OK);
    CHECK_STR_HAS(bdl_last_error(), "the labels are classes and the model gives 10 scores: use cross_entropy");
    bdl__arena_free(&now.arena);
}

BDL_TEST_MAIN(softmax_family, moving_layers, arithmetic, quotient, unused_output_has_no_gradient,
              integers_move, dropout_keeps_its_promises, spatial_dropout_takes_whole_channels,
              wrong_parameters_are_refused, losses_of_numbers_name_those_of_classes)
