/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer without graph, plan or executor: its hooks run on sixteen samples on any target, by one
 * worker or a team. Include it in one file of an executable only: it defines what plan/ and exec/
 * define, as a planner that only allocates.
 */
#ifndef BDL_TESTS_UNIT_BARE_LAYER_H
#define BDL_TESTS_UNIT_BARE_LAYER_H

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

#define SHAPE(n, ...) ((bdl__shape){.rank = (n), .dim = {__VA_ARGS__}})

#endif
