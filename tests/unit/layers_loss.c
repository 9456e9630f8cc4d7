/* SPDX-License-Identifier: Apache-2.0 */
/* Criterions against PyTorch's formulas, and metrics against their rules, on every target. */
#include "bare_layer.h"

/* ---- criterions ------------------------------------------------------------------------------ */

/* Scores or probabilities (classes, positions) and labels, some of them ignored. */
static bool make_class_problem(const char *call, int64_t n_classes, int64_t n_positions)
{
    const bdl__shape shapes[] = {SHAPE(2, n_classes, n_positions), SHAPE(1, n_positions)};
    const bool integer[] = {false, true};
    const bdl_status status = problem_make(&now, call, 2, shapes, integer);
    CHECK_OK(status);
    if (status != BDL_OK) {
        return false;
    }
    problem_fill(&now);
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < n_positions; i++) {
            now.src[1][s][i] = (double)(bdl_test_random() % (uint64_t)n_classes);
            if (bdl_test_random() % 4 == 0) {
                now.src[1][s][i] = -100;
            }
        }
    }
    return true;
}

static double label_weight(const double *weights, int c)
{
    return weights != NULL ? weights[c] : 1;
}

/* PyTorch's formula, loss and divisor of one sample. */
static void cross_entropy_of(const problem *p, int s, const double *weights, double smoothing,
                             double *loss, double *divisor)
{
    const int n_classes = (int)p->shape[0].dim[0], n = (int)p->shape[0].dim[1];
    *loss = *divisor = 0;
    for (int i = 0; i < n; i++) {
        const int y = (int)p->src[1][s][i];
        double sum = 0, smooth = 0;
        if (y == -100) {
            continue;
        }
        for (int c = 0; c < n_classes; c++) {
            sum += exp(p->src[0][s][c * n + i]);
        }
        for (int c = 0; c < n_classes; c++) {
            smooth -= label_weight(weights, c) * (p->src[0][s][c * n + i] - log(sum));
        }
        const double mine = -label_weight(weights, y) * (p->src[0][s][y * n + i] - log(sum));
        *loss += (1 - smoothing) * mine + smoothing / n_classes * smooth;
        *divisor += label_weight(weights, y);
    }
}

BDL_TEST(cross_entropy_follows_the_formula)
{
    const double weights[] = {0.5, 1, 2, 0, 3};
    const struct {
        const char *call;
        const double *weights;
        double smoothing;
    } rows[] = {
        {"cross_entropy", NULL, 0},
        {"cross_entropy(weights='0.5,1,2,0,3')", weights, 0},
        {"cross_entropy(label_smoothing=0.1)", NULL, 0.1},
        {"cross_entropy(weights='0.5,1,2,0,3',label_smoothing=0.3)", weights, 0.3},
    };
    for (int r = 0; r < 4; r++) {
        if (!make_class_problem(rows[r].call, 5, 3)) {
            continue;
        }
        check_gradient(&now);
        check_targets(&now);
        run(&now, &(options){.target = BDL__TARGET_F64}, &base);
        for (int s = 0; s < SAMPLES; s++) {
            double loss, divisor;
            cross_entropy_of(&now, s, rows[r].weights, rows[r].smoothing, &loss, &divisor);
            CHECK_NEAR(base.dst[0][s][0], loss, 1e-12);
            CHECK_NEAR(base.dst[0][s][1], divisor, 0);
        }
        bdl__arena_free(&now.arena);
    }
}

/* -sum of w_c (0.8 t_c + 0.2 / 4) log p_c over classes and positions, w_c being c + 1. */
static double share_loss(const problem *p, int s)
{
    double loss = 0;
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int c = 0; c < 4; c++) {
            sum += exp(p->src[0][s][c * 3 + i]);
        }
        for (int c = 0; c < 4; c++) {
            const double share = 0.8 * p->src[1][s][c * 3 + i] + 0.2 / 4;
            loss -= (c + 1) * share * (p->src[0][s][c * 3 + i] - log(sum));
        }
    }
    return loss;
}

BDL_TEST(cross_entropy_takes_probabilities)
{
    const bdl__shape shapes[] = {SHAPE(2, 4, 3), SHAPE(2, 4, 3)};
    REQUIRE_OK(problem_make(&now, "cross_entropy(label_smoothing=0.2,weights='1,2,3,4')", 2, shapes,
                            NULL));
    problem_fill(&now);
    check_gradient(&now);
    check_targets(&now);
    run(&now, &(options){.target = BDL__TARGET_F64}, &base);
    for (int s = 0; s < SAMPLES; s++) {
        CHECK_NEAR(base.dst[0][s][0], share_loss(&now, s), 1e-12);
        CHECK_NEAR(base.dst[0][s][1], 3, 0);
    }
    bdl__arena_free(&now.arena);
}

BDL_TEST(nll_follows_the_formula)
{
    const char *calls[] = {"nll", "nll(weights='1,2,3,4')", "nll(reduction=sum)",
                           "nll(log_prob=false)"};
    for (int r = 0; r < 4; r++) {
        if (!make_class_problem(calls[r], 4, 2)) {
            continue;
        }
        for (int s = 0; s < SAMPLES; s++) {
            for (int i = 0; i < 8; i++) {
                now.src[0][s][i] = 0.2 + fabs(now.src[0][s][i]);
            }
        }
        check_gradient(&now);
        check_targets(&now);
        run(&now, &(options){.target = BDL__TARGET_F64}, &base);
        double loss = 0, divisor = 0;
        for (int i = 0; i < 2; i++) {
            const int y = (int)now.src[1][9][i];
            if (y >= 0) {
                const double x = now.src[0][9][y * 2 + i], w = r == 1 ? y + 1 : 1;
                loss -= w * (r == 3 ? log(x) : x);
                divisor += r == 2 ? 0 : w;
            }
        }
        CHECK_NEAR(base.dst[0][9][0], loss, 1e-12);
        CHECK_NEAR(base.dst[0][9][1], divisor, 0);
        bdl__arena_free(&now.arena);
    }
}

BDL_TEST(labels_out_of_range_give_nan)
{
    const char *calls[] = {"nll", "cross_entropy(label_smoothing=0.1,weights='1,2,3,4')"};
    for (int r = 0; r < 2; r++) {
        if (!make_class_problem(calls[r], 4, 1)) {
            continue;
        }
        now.src[1][3][0] = 4;
        now.src[1][4][0] = -1;
        now.src[1][5][0] = 2000000000;
        for (int t = 0; t < BDL__N_TARGETS; t++) {
            if (!bdl__target_available((bdl__target)t)) {
                continue;
            }
            run(&now, &(options){.target = (bdl__target)t}, &base);
            for (int s = 0; s < SAMPLES; s++) {
                const bool is_bad = s >= 3 && s <= 5;
                CHECK(isnan(base.dst[0][s][0]) == is_bad);
                for (int i = 0; i < 4 && is_bad; i++) {
                    CHECK_NEAR(base.diff_src[0][s][i], 0, 0);
                }
            }
        }
        bdl__arena_free(&now.arena);
    }
}

static void check_element_loss(const char *call, bool is_probability,
                               double (*formula)(double x, double t))
{
    const bdl__shape shapes[] = {SHAPE(2, 3, 4), SHAPE(2, 3, 4)};
    REQUIRE_OK(problem_make(&now, call, 2, shapes, NULL));
    problem_fill(&now);
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < 12; i++) {
            if (is_probability) {
                now.src[0][s][i] = (double)(float)(0.5 + 0.45 * now.src[0][s][i]);
            }
            now.src[1][s][i] = (double)(float)(0.5 + 0.5 * now.src[1][s][i]);
        }
    }
    check_gradient(&now);
    check_targets(&now);
    run(&now, &(options){.target = BDL__TARGET_F64}, &base);
    double loss = 0;
    for (int i = 0; i < 12; i++) {
        loss += formula(now.src[0][7][i], now.src[1][7][i]);
    }
    CHECK_NEAR(base.dst[0][7][0], loss, 1e-12);
    CHECK_NEAR(base.dst[0][7][1], 12, 0);
    bdl__arena_free(&now.arena);
}

static double mse_of(double x, double t)
{
    return (x - t) * (x - t);
}

static double l1_of(double x, double t)
{
    return fabs(x - t);
}

static double smooth_l1_of(double x, double t)
{
    const double d = fabs(x - t);
    return d < 0.4 ? d * d / 0.8 : d - 0.2;
}

static double bce_of(double x, double t)
{
    return -(t * log(x) + (1 - t) * log(1 - x));
}

static double bce_with_logits_of(double x, double t)
{
    const double s = 1 / (1 + exp(-x));
    return -(2.5 * t * log(s) + (1 - t) * log(1 - s));
}

BDL_TEST(element_losses_follow_the_formulas)
{
    check_element_loss("mse", false, mse_of);
    check_element_loss("l1", false, l1_of);
    check_element_loss("smooth_l1(beta=0.4)", false, smooth_l1_of);
    check_element_loss("bce", true, bce_of);
    check_element_loss("bce_with_logits(pos_weight=2.5)", false, bce_with_logits_of);
}

BDL_TEST(element_weights_repeat)
{
    const bdl__shape shapes[] = {SHAPE(2, 2, 3), SHAPE(2, 2, 3)};
    REQUIRE_OK(
        problem_make(&now, "bce_with_logits(weights='1,2,3',pos_weight=[1,2,3])", 2, shapes, NULL));
    problem_fill(&now);
    check_gradient(&now);
    check_targets(&now);
    bdl__arena_free(&now.arena);
    CHECK(problem_make(&now, "bce(weights='1,2')", 2, shapes, NULL) == BDL_ERR_INVALID_ARGUMENT);
    bdl__arena_free(&now.arena);
    CHECK(problem_make(&now, "bce(weights='1,x,3')", 2, shapes, NULL) == BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "'x'");
    bdl__arena_free(&now.arena);
}

/* ---- metrics --------------------------------------------------------------------------------- */

BDL_TEST(top_k_ranks_equal_scores_by_place)
{
    const bdl__shape shapes[] = {SHAPE(1, 4), SHAPE(0, 1)};
    const bool integer[] = {false, true};
    const double scores[] = {1, 3, 3, 2};
    const double top1[] = {0, 1, 0, 0}, top2[] = {0, 1, 1, 0}, top3[] = {0, 1, 1, 1};
    const char *calls[] = {"top1", "top_k(k=2)", "top_k(3)", "top5"};
    for (int r = 0; r < 4; r++) {
        REQUIRE_OK(problem_make(&now, calls[r], 2, shapes, integer));
        for (int s = 0; s < SAMPLES; s++) {
            memcpy(now.src[0][s], scores, sizeof scores);
            now.src[1][s][0] = s % 4;
        }
        now.src[1][8][0] = -100;
        now.src[0][9][1] = (double)NAN;
        check_targets(&now);
        for (int s = 0; s < 4; s++) {
            const double *expected = r == 0 ? top1 : r == 1 ? top2 : top3;
            CHECK_NEAR(base.dst[0][s][0], r == 3 ? 1 : expected[s], 0);
            CHECK_NEAR(base.dst[0][s][1], 1, 0);
        }
        CHECK_NEAR(base.dst[0][8][1], 0, 0);
        CHECK_NEAR(base.dst[0][9][0], r == 3 ? 1 : 0, 0);
        bdl__arena_free(&now.arena);
    }
}

BDL_TEST(single_scores_split_at_one_half)
{
    const bdl__shape shapes[] = {SHAPE(1, 1), SHAPE(0, 1)};
    const bool integer[] = {false, true};
    REQUIRE_OK(problem_make(&now, "top1", 2, shapes, integer));
    for (int s = 0; s < SAMPLES; s++) {
        now.src[0][s][0] = s % 2 == 0 ? 0.5 : 0.25;
        now.src[1][s][0] = s % 3 == 0;
    }
    check_targets(&now);
    for (int s = 0; s < SAMPLES; s++) {
        CHECK_NEAR(base.dst[0][s][0], (s % 2 == 0) == (s % 3 == 0), 0);
    }
    bdl__arena_free(&now.arena);
}

BDL_TEST(mae_measures_classes_and_numbers)
{
    const bdl__shape classes[] = {SHAPE(1, 4), SHAPE(0, 1)}, numbers[] = {SHAPE(1, 4), SHAPE(1, 4)};
    const bool integer[] = {false, true};
    REQUIRE_OK(problem_make(&now, "mae", 2, classes, integer));
    for (int s = 0; s < SAMPLES; s++) {
        now.src[0][s][s % 4] = 1;
        now.src[1][s][0] = 3;
    }
    check_targets(&now);
    CHECK_NEAR(base.dst[0][1][0], 2, 0);
    bdl__arena_free(&now.arena);
    REQUIRE_OK(problem_make(&now, "mae", 2, numbers, NULL));
    problem_fill(&now);
    check_targets(&now);
    CHECK_NEAR(base.dst[0][1][1], 4, 0);
    bdl__arena_free(&now.arena);
}

BDL_TEST_MAIN(cross_entropy_follows_the_formula, cross_entropy_takes_probabilities,
              nll_follows_the_formula, labels_out_of_range_give_nan,
              element_losses_follow_the_formulas, element_weights_repeat,
              top_k_ranks_equal_scores_by_place, single_scores_split_at_one_half,
              mae_measures_classes_and_numbers)
