/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers whose hooks need no executor: values against formulas, gradients against differences, every
 * target against f64, adding against writing, a team against one worker, dropout's random numbers.
 * This file stands in for plan/: the planner here only allocates.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "layers/layer.h"
#include "test.h"

enum { SAMPLES = 16, MOST = 256, MOST_IN = 3, MOST_OUT = 4, MOST_ALLOCATIONS = 16 };

struct bdl__planner {
    void *allocation[MOST_ALLOCATIONS];
    int n_allocations;
    size_t saved_size[BDL__MAX_SAVED];
};

static void *aligned(size_t size)
{
    void *memory = aligned_alloc(64, (size + 64) / 64 * 64);
    memset(memory, 0, (size + 64) / 64 * 64);
    return memory;
}

bdl_status bdl__plan_alloc(bdl__planner *planner, size_t size, void **memory)
{
    *memory = planner->allocation[planner->n_allocations++] = aligned(size);
    return BDL_OK;
}

bdl_status bdl__plan_save(bdl__planner *planner, bdl__step *step, int i_saved, size_t size)
{
    (void)step;
    planner->saved_size[i_saved] = size;
    return BDL_OK;
}

/* The rest of what layers may ask for; those tested here do not. */
bdl_status bdl__plan_scratch(bdl__planner *planner, bdl__step *step, size_t size)
{
    (void)planner, (void)step, (void)size;
    return BDL_ERR_UNSUPPORTED;
}

bdl_status bdl__plan_packed(bdl__planner *planner, bdl__step *step, int i_packed, size_t size,
                            int64_t n_units, bdl__pack_fn pack)
{
    (void)planner, (void)step, (void)i_packed, (void)size, (void)n_units, (void)pack;
    return BDL_ERR_UNSUPPORTED;
}

bdl_status bdl__plan_sums(bdl__planner *planner, bdl__step *step, bool is_backward, int i_pass,
                          int64_t n, bdl__merge_fn merge)
{
    (void)planner, (void)step, (void)is_backward, (void)i_pass, (void)n, (void)merge;
    return BDL_ERR_UNSUPPORTED;
}

void bdl__grad_commit(bdl__cx *cx, int i_weight, int64_t offset, int64_t count, int64_t i_slice,
                      void *gradients)
{
    (void)cx, (void)i_weight, (void)offset, (void)count, (void)i_slice, (void)gradients;
}

/* ---- one layer on one target ----------------------------------------------------------------- */

/* A layer with its inputs: value i of sample s is at [s][i]. */
typedef struct problem {
    const bdl__layer *layer;
    void *params;
    bdl__arena arena;
    int n_in;
    bdl__shape shape[MOST_IN];
    bool integer[MOST_IN];
    bdl__decl decl;
    double src[MOST_IN][SAMPLES][MOST];
    double diff_dst[MOST_OUT][SAMPLES][MOST];
    bool in_evaluation;
} problem;

typedef struct options {
    bdl__target target;
    int team_size; /* 0 counts as 1 */
    bool adds;     /* to gradients that are 1 already */
    bool no_diff;  /* output 0 is used by nobody */
} options;

typedef struct result {
    double dst[MOST_OUT][SAMPLES][MOST];
    double diff_src[MOST_IN][SAMPLES][MOST];
} result;

static bdl_status problem_make(problem *p, const char *call, int n_in, const bdl__shape *shape,
                               const bool *integer)
{
    const char *name, *args;
    memset(p, 0, sizeof *p);
    bdl__arena_init(&p->arena, bdl__default_allocator());
    BDL__TRY(bdl__split_call(&p->arena, call, &name, &args));
    BDL__TRY(bdl__layer_find(name, &p->layer));
    BDL__TRY(bdl__arena_alloc(&p->arena, p->layer->schema.params_size + 1, &p->params));
    BDL__TRY(bdl__params_from_text(&p->layer->schema, &p->arena, args, p->params));
    p->n_in = n_in;
    memcpy(p->shape, shape, (size_t)n_in * sizeof *shape);
    for (int i = 0; i < n_in; i++) {
        p->integer[i] = integer != NULL && integer[i];
    }
    const bdl__infer_in in = {.n = n_in, .shape = p->shape, .integer = p->integer};
    return p->layer->infer(p->params, &in, &p->decl);
}

static double draw(void)
{
    return (double)(float)((double)(bdl_test_random() >> 40) * 0x1p-23 - 1);
}

static void problem_fill(problem *p)
{
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < MOST; i++) {
            for (int k = 0; k < MOST_IN; k++) {
                p->src[k][s][i] = draw();
            }
            for (int k = 0; k < MOST_OUT; k++) {
                p->diff_dst[k][s][i] = p->layer->kind == BDL__CRITERION ? i == 0 : draw();
            }
        }
    }
}

/* Lane `lane` of element i of a part. */
static double lane_get(const bdl__step *step, const void *data, bool integer, int64_t i, int lane)
{
    const int64_t at = i * step->lanes + lane;
    return integer                  ? ((const int32_t *)data)[at]
           : step->scalar_size == 8 ? ((const double *)data)[at]
                                    : (double)((const float *)data)[at];
}

static void lane_put(const bdl__step *step, void *data, bool integer, int64_t i, int lane,
                     double value)
{
    const int64_t at = i * step->lanes + lane;
    if (integer) {
        ((int32_t *)data)[at] = (int32_t)value;
    } else if (step->scalar_size == 8) {
        ((double *)data)[at] = value;
    } else {
        ((float *)data)[at] = (float)value;
    }
}

static bdl__step step_of(const problem *p, bdl__target target)
{
    bdl__step step = {.layer = p->layer,
                      .params = p->params,
                      .name = "test",
                      .i_node = 3,
                      .n_in = p->n_in,
                      .n_out = p->decl.n_out,
                      .src_shape = p->shape,
                      .dst_shape = p->decl.out,
                      .src_integer = p->integer,
                      .is_training = !p->in_evaluation,
                      .target = target,
                      .lanes = bdl__target_lanes(target),
                      .scalar_size = target == BDL__TARGET_F64 ? 8 : 4,
                      .global_batch = SAMPLES};
    for (int i = 0; i < p->n_in; i++) {
        step.needs_diff_src[i] = !p->integer[i];
    }
    step.real_size = step.scalar_size * (size_t)step.lanes;
    return step;
}

static void put_part(const bdl__step *step, double values[SAMPLES][MOST], bool integer,
                     int first_sample, void *data)
{
    for (int64_t i = 0; i < MOST; i++) {
        for (int lane = 0; lane < step->lanes; lane++) {
            lane_put(step, data, integer, i, lane, values[first_sample + lane][i]);
        }
    }
}

static void get_part(const bdl__step *step, const void *data, bool integer, int first_sample,
                     double values[SAMPLES][MOST])
{
    for (int64_t i = 0; i < MOST; i++) {
        for (int lane = 0; lane < step->lanes; lane++) {
            values[first_sample + lane][i] = lane_get(step, data, integer, i, lane);
        }
    }
}

static void set_backward(problem *p, const bdl__step *step, const options *how, bdl__cx *cx,
                         int first_sample)
{
    static double ones[SAMPLES][MOST], noise[SAMPLES][MOST];
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < MOST; i++) {
            ones[s][i] = 1;
            noise[s][i] = 777;
        }
    }
    const bool is_loss = p->layer->kind == BDL__CRITERION;
    for (int k = how->no_diff ? 1 : 0; k < step->n_out && !is_loss; k++) {
        cx->diff_dst[k].data = aligned(MOST * step->real_size);
        put_part(step, p->diff_dst[k], false, first_sample, cx->diff_dst[k].data);
    }
    for (int k = 0; k < step->n_in; k++) {
        if (p->integer[k] || (is_loss && k > 0)) {
            continue;
        }
        cx->diff_src[k].data = aligned(MOST * step->real_size);
        cx->diff_src_mode[k] = how->adds ? BDL__ADD : BDL__WRITE;
        put_part(step, how->adds ? ones : noise, false, first_sample, cx->diff_src[k].data);
    }
}

static void free_part(bdl__cx *cx)
{
    for (int k = 0; k < MOST_OUT; k++) {
        free(cx->dst[k].data);
        free(cx->diff_dst[k].data);
    }
    for (int k = 0; k < MOST_IN; k++) {
        free(cx->src[k].data);
        free(cx->diff_src[k].data);
    }
    for (int k = 0; k < BDL__MAX_SAVED; k++) {
        free(cx->saved[k].data);
    }
}

static void run_part(problem *p, const bdl__planner *planner, const bdl__step *step,
                     const options *how, int first_sample, result *out)
{
    bdl__cx cx = {.n_parts = 1,
                  .i_part = first_sample / step->lanes,
                  .n_valid = step->lanes,
                  .team_size = step->splits && how->team_size > 1 ? how->team_size : 1,
                  .rng_seed = 42,
                  .rng_step = 7,
                  .first_sample = first_sample};
    for (int k = 0; k < step->n_in; k++) {
        cx.src[k].data = aligned(MOST * step->real_size);
        put_part(step, p->src[k], p->integer[k], first_sample, cx.src[k].data);
    }
    for (int k = 0; k < step->n_out; k++) {
        cx.dst[k].data = aligned(MOST * step->real_size);
    }
    for (int k = 0; k < BDL__MAX_SAVED; k++) {
        cx.saved[k].data = planner->saved_size[k] > 0 ? aligned(planner->saved_size[k]) : NULL;
    }
    set_backward(p, step, how, &cx, first_sample);
    for (cx.team_rank = 0; cx.team_rank < cx.team_size; cx.team_rank++) {
        step->layer->forward(step, &cx);
    }
    for (cx.team_rank = 0; cx.team_rank < cx.team_size && step->layer->backward; cx.team_rank++) {
        step->layer->backward(step, &cx);
    }
    for (int k = 0; k < step->n_out; k++) {
        get_part(step, cx.dst[k].data, p->decl.out_integer[k], first_sample, out->dst[k]);
    }
    for (int k = 0; k < step->n_in; k++) {
        if (cx.diff_src[k].data != NULL) {
            get_part(step, cx.diff_src[k].data, false, first_sample, out->diff_src[k]);
        }
    }
    free_part(&cx);
}

static void run(problem *p, const options *how, result *out)
{
    bdl__planner planner = {0};
    bdl__step step = step_of(p, how->target);
    memset(out, 0, sizeof *out);
    if (step.layer->plan != NULL) {
        REQUIRE_OK(step.layer->plan(&planner, &step));
    }
    for (int s = 0; s < SAMPLES; s += step.lanes) {
        run_part(p, &planner, &step, how, s, out);
    }
    for (int i = 0; i < planner.n_allocations; i++) {
        free(planner.allocation[i]);
    }
}

/* ---- generic checks -------------------------------------------------------------------------- */

static problem now, moved;
static result base, other, low, high;

/* The loss that gradients are of: sum of dst diff_dst, over one sample. */
static double objective(const problem *p, const result *r, int s)
{
    double sum = 0;
    for (int k = 0; k < p->decl.n_out; k++) {
        for (int64_t i = 0; i < bdl__shape_count(&p->decl.out[k]); i++) {
            sum += r->dst[k][s][i] * p->diff_dst[k][s][i];
        }
    }
    return sum;
}

/* Gradients on f64 against differences along a random direction. */
static void check_gradient(problem *p)
{
    const double h = 1e-6;
    const options how = {.target = BDL__TARGET_F64};
    static double direction[MOST_IN][SAMPLES][MOST];
    const int n_moved = p->layer->kind == BDL__CRITERION ? 1 : p->n_in;
    run(p, &how, &base);
    for (int sign = -1; sign <= 1; sign += 2) {
        moved = *p;
        for (int k = 0; k < n_moved; k++) {
            for (int s = 0; s < SAMPLES; s++) {
                for (int i = 0; i < MOST; i++) {
                    direction[k][s][i] = sign < 0 ? draw() : direction[k][s][i];
                    moved.src[k][s][i] += p->integer[k] ? 0 : sign * h * direction[k][s][i];
                }
            }
        }
        run(&moved, &how, sign < 0 ? &low : &high);
    }
    for (int s = 0; s < SAMPLES; s++) {
        double expected = 0;
        for (int k = 0; k < n_moved; k++) {
            for (int64_t i = 0; i < bdl__shape_count(&p->shape[k]) && !p->integer[k]; i++) {
                expected += base.diff_src[k][s][i] * direction[k][s][i];
            }
        }
        const double slope = (objective(p, &high, s) - objective(p, &low, s)) / (2 * h);
        CHECK_NEAR(slope, expected, 2e-7 * (1 + fabs(expected)));
    }
}

static void check_near(const problem *p, const result *a, const result *b, double shift,
                       double tolerance)
{
    for (int s = 0; s < SAMPLES; s++) {
        for (int k = 0; k < p->decl.n_out; k++) {
            for (int64_t i = 0; i < bdl__shape_count(&p->decl.out[k]); i++) {
                const double y = b->dst[k][s][i];
                CHECK_NEAR(a->dst[k][s][i], y, tolerance * (1 + fabs(y)));
            }
        }
        for (int k = 0; k < (p->layer->kind == BDL__LAYER ? p->n_in : 1); k++) {
            for (int64_t i = 0; i < bdl__shape_count(&p->shape[k]) && !p->integer[k]; i++) {
                const double d = b->diff_src[k][s][i] + shift;
                CHECK_NEAR(a->diff_src[k][s][i], d, tolerance * (1 + fabs(d)));
            }
        }
    }
}

/* Every target against f64; adding, and a team of three, against the same target alone. */
static void check_targets(problem *p)
{
    run(p, &(options){.target = BDL__TARGET_F64}, &base);
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        const bdl__target target = (bdl__target)t;
        if (!bdl__target_available(target)) {
            continue;
        }
        run(p, &(options){.target = target}, &other);
        check_near(p, &other, &base, 0, 4e-6);
        run(p, &(options){.target = target, .team_size = 3}, &low);
        check_near(p, &low, &other, 0, 0);
        if (p->layer->backward != NULL && !p->integer[0]) {
            run(p, &(options){.target = target, .adds = true, .team_size = 3}, &high);
            check_near(p, &high, &other, 1, 1e-6);
        }
    }
}

static void check_layer(const char *call, int n_in, const bdl__shape *shape)
{
    REQUIRE_OK(problem_make(&now, call, n_in, shape, NULL));
    problem_fill(&now);
    check_gradient(&now);
    check_targets(&now);
    bdl__arena_free(&now.arena);
}

#define SHAPE(n, ...) ((bdl__shape){.rank = (n), .dim = {__VA_ARGS__}})
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

BDL_TEST(cross_entropy_takes_probabilities)
{
    const bdl__shape shapes[] = {SHAPE(2, 4, 3), SHAPE(2, 4, 3)};
    REQUIRE_OK(problem_make(&now, "cross_entropy(label_smoothing=0.2,weights='1,2,3,4')", 2, shapes,
                            NULL));
    problem_fill(&now);
    check_gradient(&now);
    check_targets(&now);
    CHECK_NEAR(base.dst[0][0][1], 3, 0);
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

BDL_TEST_MAIN(softmax_family, moving_layers, arithmetic, quotient, unused_output_has_no_gradient,
              integers_move, cross_entropy_follows_the_formula, cross_entropy_takes_probabilities,
              nll_follows_the_formula, labels_out_of_range_give_nan,
              element_losses_follow_the_formulas, element_weights_repeat,
              top_k_ranks_equal_scores_by_place, single_scores_split_at_one_half,
              mae_measures_classes_and_numbers, dropout_keeps_its_promises,
              spatial_dropout_takes_whole_channels, wrong_parameters_are_refused)
