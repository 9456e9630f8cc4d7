/* SPDX-License-Identifier: Apache-2.0 */
/* Criterions, optimization methods, clipping and schedules against PyTorch (rules.json). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "optim/optim.h"
#include "optim/schedule.h"

enum { PARAMS_SIZE = 512 };

static const char *text_of(const bdl__json *object, const char *key)
{
    return bdl__json_string(bdl__json_get(object, key));
}

static bdl_status need_shape(const bdl__json *object, const char *key, bdl__shape *shape,
                             int64_t *n)
{
    const bdl__json *v = bdl__json_first(bdl__json_get(object, key));
    BDL__CHECK(v && bdl__json_i64(v, n), BDL_ERR_FORMAT, "no %s", key);
    *shape = (bdl__shape){0};
    for (v = bdl__json_next(v); v; v = bdl__json_next(v)) {
        BDL__CHECK(bdl__json_i64(v, &shape->dim[shape->rank++]), BDL_ERR_FORMAT, "%s", key);
    }
    return BDL_OK;
}

static double largest(const double *values, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(values[i]));
    }
    return most;
}

/* ---- criterions -------------------------------------------------------------------------------- */

/* A criterion on an identity, so that the graph's input gradient is the criterion's. */
typedef struct loss_run {
    bdl__graph *graph;
    bdl__model *model;
    bdl__pool *pool;
    bdl__workspace *workspace;
    bdl__plan *plan;
    bdl__exec *exec;
    bdl__head head;
    golden_lanes input, target;
    int64_t n; /* samples */
} loss_run;

static bdl_status make_plan(golden *g, loss_run *r, bdl__target target,
                            const bdl__shape *target_shape, bool is_integer)
{
    const bool is_f64 = target == BDL__TARGET_F64;
    const bdl__plan_options options = {.graph = r->graph,
                                       .is_training = true,
                                       .precision = is_f64 ? BDL__F64_PRECISION : BDL__FP32,
                                       .target = target,
                                       .n_workers = 1,
                                       .n_slices = r->input.n_slices,
                                       .global_batch = r->n,
                                       .heads = &r->head,
                                       .n_heads = 1,
                                       .target_shape = *target_shape,
                                       .target_integer = is_integer,
                                       .input_diffs = true};
    BDL__TRY(bdl__model_create(bdl__default_allocator(), r->graph, is_f64 ? BDL_F64 : BDL_F32, 1,
                               &r->model));
    void *const grads = golden_alloc(g, (size_t)(r->graph->weights_count + 1) * 8);
    BDL__TRY(bdl__pool_create(bdl__default_allocator(), 1, &r->pool));
    BDL__TRY(bdl__workspace_create(bdl__default_allocator(), &r->workspace));
    BDL__TRY(bdl__plan_create(bdl__default_allocator(), &options, &r->plan));
    return bdl__exec_create(bdl__default_allocator(), r->plan, r->pool, r->model, r->workspace,
                            grads, &r->exec);
}

static bdl_status run_loss(golden *g, const bdl__json *info, bdl__target target, loss_run *r)
{
    bdl__shape shape, target_shape;
    bdl__node *node;
    int64_t n_input, n_target;
    const double *const x = golden_numbers(g, bdl__json_get(info, "input"), &n_input);
    const double *const y = golden_numbers(g, bdl__json_get(info, "target"), &n_target);
    void *const params = golden_alloc(g, PARAMS_SIZE);
    BDL__TRY(need_shape(info, "input_shape", &shape, &r->n));
    BDL__TRY(need_shape(info, "target_shape", &target_shape, &r->n));
    BDL__TRY(bdl__layer_find(text_of(info, "type"), &r->head.layer));
    BDL__CHECK(r->head.layer->schema.params_size <= PARAMS_SIZE, BDL_ERR_INTERNAL, "params");
    BDL__TRY(bdl__params_from_json(&r->head.layer->schema, &g->arena, bdl__json_get(info, "params"),
                                   params));
    r->head.params = params;
    BDL__TRY(bdl__graph_create(bdl__default_allocator(), "loss", &r->graph));
    BDL__TRY(bdl__graph_add_input(r->graph, "input", &shape, false));
    BDL__TRY(bdl__graph_add(r->graph, "identity", "it", NULL, NULL, 0, &node));
    BDL__TRY(bdl__graph_finish(r->graph));
    const bool is_class = strcmp(r->head.layer->name, "nll") == 0 ||
                          strcmp(r->head.layer->name, "cross_entropy") == 0;
    r->input = golden_pack(g, target, GOLDEN_VALUES, x, r->n, n_input / r->n);
    r->target =
        golden_pack(g, target, is_class ? GOLDEN_LABELS : GOLDEN_VALUES, y, r->n, n_target / r->n);
    BDL__TRY(make_plan(g, r, target, &target_shape, is_class));
    const bdl__span input = {r->input.data, r->input.stride};
    const bdl__exec_batch batch = {.n_slices = r->input.n_slices,
                                   .valid = r->input.valid,
                                   .inputs = &input,
                                   .target = {r->target.data, r->target.stride}};
    return bdl__exec_run(r->exec, &batch, NULL, NULL);
}

/* Rounding of a few operations: of exponentials of the inputs, and of the values themselves. */
static double loss_bound(bdl__target target, const double *x, int64_t n)
{
    return 16 * ldexp(1, -24) * golden_rounding(target) * (1 + largest(x, n));
}

static void compare_loss(golden *g, const bdl__json *info, bdl__target target, const loss_run *r)
{
    int64_t n_input, n_grad;
    char where[96];
    snprintf(where, sizeof where, "%s on %s", text_of(info, "name"), bdl__target_name(target));
    const double *const x = golden_numbers(g, bdl__json_get(info, "input"), &n_input);
    const double *const want = golden_numbers(g, bdl__json_get(info, "grad_input"), &n_grad);
    const double loss = bdl__json_f64(bdl__json_get(info, "loss"));
    const double bound = loss_bound(target, x, n_input);
    const double *const head = bdl__exec_heads(r->exec);
    const double scale = head[1] > 0 ? 1 / head[1] : 1;
    golden_near(where, "loss", head, scale, &loss, 1, bound * fabs(loss));
    golden_near(where, "grad_input",
                golden_unpack(g, target, bdl__exec_input_diff(r->exec, 0), r->n, n_input / r->n),
                scale, want, n_grad, bound * largest(want, n_grad));
}

static void run_criterion(golden *g, const bdl__json *info, bdl__target target)
{
    loss_run r = {0};
    const bdl_status status = run_loss(g, info, target, &r);
    if (status == BDL_OK) {
        compare_loss(g, info, target, &r);
    } else {
        printf("%s: %s\n", text_of(info, "name"), bdl_last_error());
    }
    CHECK(status == BDL_OK);
    bdl__exec_free(r.exec);
    bdl__plan_free(r.plan);
    bdl__workspace_free(r.workspace);
    bdl__pool_free(r.pool);
    bdl__model_free(r.model);
    bdl__graph_release(r.graph);
}

BDL_TEST(criterions)
{
    bdl__target targets[BDL__N_TARGETS];
    const int n = golden_targets(targets);
    golden g;
    REQUIRE_OK(golden_open("rules", false, &g));
    const bdl__json *const cases = bdl__json_get(g.json, "criterions");
    for (const bdl__json *info = bdl__json_first(cases); info; info = bdl__json_next(info)) {
        for (int i = 0; i < n; i++) {
            run_criterion(&g, info, targets[i]);
        }
    }
    golden_close(&g);
}

/* ---- optimization methods ---------------------------------------------------------------------- */

enum { ROOM = 4096 }; /* a block of the flat vectors */

/* Ten updates of a short vector; the weights after each. */
static bdl_status run_method(golden *g, const bdl__json *root, const bdl__json *info,
                             bdl__target target)
{
    int64_t n, unused, i_step = 0;
    const char *const text = text_of(info, "optim");
    const double *const start = golden_numbers(g, bdl__json_get(root, "start"), &n);
    bdl__optim *optim;
    void *states[BDL__MAX_OPTIM_STATES];
    char where[160];
    BDL__TRY(bdl__optim_create(bdl__default_allocator(), text, &optim));
    snprintf(where, sizeof where, "%s on %s", text, bdl__target_name(target));
    const bdl__param_range range = {0, bdl__round_up(n, 16), 1, 1, false};
    void *const weights = golden_alloc(g, ROOM * 8), *const grads = golden_alloc(g, ROOM * 8);
    for (int i = 0; i < BDL__MAX_OPTIM_STATES; i++) {
        states[i] = golden_alloc(g, ROOM * 8);
    }
    golden_set_scalars(target, weights, start, n);
    const bdl__json *want = bdl__json_first(bdl__json_get(info, "weights"));
    const bdl__json *grad = bdl__json_first(bdl__json_get(root, "grads"));
    for (; want; want = bdl__json_next(want), grad = bdl__json_next(grad), i_step++) {
        bdl__optim_step step;
        golden_set_scalars(target, grads, golden_numbers(g, grad, &unused), n);
        bdl__optim_begin(optim, i_step, bdl__optim_lr(optim), 1, NULL, &step);
        bdl__optim_update(&step, target, weights, grads, states, (bdl__param_ranges){&range, 1}, 0,
                          ROOM);
        /* A few roundings of weights below 4 a step. */
        golden_near(where, "weights", golden_scalars(g, target, weights, n), 1,
                    golden_numbers(g, want, &unused), n,
                    (double)(i_step + 1) * 16 * ldexp(1, -24) * golden_rounding(target));
    }
    bdl__optim_free(optim);
    return BDL_OK;
}

BDL_TEST(optimization_methods)
{
    bdl__target targets[BDL__N_TARGETS];
    const int n = golden_targets(targets);
    golden g;
    REQUIRE_OK(golden_open("rules", false, &g));
    const bdl__json *const root = bdl__json_get(g.json, "optimizers");
    const bdl__json *info = bdl__json_first(bdl__json_get(root, "cases"));
    for (; info; info = bdl__json_next(info)) {
        for (int i = 0; i < n; i++) {
            CHECK_OK(run_method(&g, root, info, targets[i]));
        }
    }
    golden_close(&g);
}

/* ---- clipping ---------------------------------------------------------------------------------- */

/* One step of plain SGD with rate 1 from 0: the weights are the clipped gradient, negative. */
static bdl_status run_clip(golden *g, const bdl__json *root, const bdl__json *info,
                           bdl__target target)
{
    int64_t n, unused;
    const double *const given = golden_numbers(g, bdl__json_get(root, "grads"), &n);
    const double *const want = golden_numbers(g, bdl__json_get(info, "grads"), &unused);
    const bdl__param_range range = {0, bdl__round_up(n, 16), 1, 1, false};
    void *const weights = golden_alloc(g, ROOM * 8), *const grads = golden_alloc(g, ROOM * 8);
    void *states[BDL__MAX_OPTIM_STATES] = {0};
    bdl__clip clip;
    bdl__optim *optim;
    bdl__optim_step step;
    double sums[1] = {0};
    BDL__TRY(bdl__clip_parse(bdl__default_allocator(), text_of(info, "clip"), &clip));
    BDL__TRY(bdl__optim_create(bdl__default_allocator(), "sgd(lr=1)", &optim));
    golden_set_scalars(target, grads, given, n);
    bdl__optim_begin(optim, 0, 1, 1, &clip, &step);
    if (clip.max_norm > 0) {
        bdl__optim_square_sums(target, grads, (bdl__param_ranges){&range, 1}, 0, ROOM, sums);
        bdl__optim_clip_norm(&step, bdl__optim_norm(sums, 1));
    }
    bdl__optim_update(&step, target, weights, grads, states, (bdl__param_ranges){&range, 1}, 0,
                      ROOM);
    golden_near(text_of(info, "clip"), bdl__target_name(target),
                golden_scalars(g, target, weights, n), -1, want, n,
                16 * ldexp(1, -24) * golden_rounding(target) * largest(want, n));
    bdl__optim_free(optim);
    return BDL_OK;
}

BDL_TEST(gradient_clipping)
{
    bdl__target targets[BDL__N_TARGETS];
    const int n = golden_targets(targets);
    golden g;
    REQUIRE_OK(golden_open("rules", false, &g));
    const bdl__json *const root = bdl__json_get(g.json, "clips");
    const bdl__json *info = bdl__json_first(bdl__json_get(root, "cases"));
    for (; info; info = bdl__json_next(info)) {
        for (int i = 0; i < n; i++) {
            CHECK_OK(run_clip(&g, root, info, targets[i]));
        }
    }
    golden_close(&g);
}

/* ---- schedules --------------------------------------------------------------------------------- */

/* Rates of updates, or with `values` of epochs of one update, whose end is told a value. */
static bdl_status run_schedule(golden *g, double base, const bdl__json *info, const double *values)
{
    int64_t n;
    const double *const want = golden_numbers(g, bdl__json_get(info, "rates"), &n);
    bdl__schedule *schedule;
    BDL__TRY(bdl__schedule_create(bdl__default_allocator(), text_of(info, "schedule"), &schedule));
    double *const got = golden_alloc(g, (size_t)n * sizeof *got);
    for (int64_t i = 0; i < n; i++) {
        bdl__progress at = {.iteration = i, .i_in_epoch = i, .epoch_iterations = n};
        if (values) {
            at = (bdl__progress){.iteration = i, .epoch = i, .epoch_iterations = 1};
        }
        got[i] = bdl__schedule_rate(schedule, base, &at);
        if (values) {
            bdl__schedule_observe(schedule, &at, values[i]);
        }
    }
    golden_near(text_of(info, "schedule"), "rate", got, 1, want, n, 1e-13 * base);
    bdl__schedule_free(schedule);
    return BDL_OK;
}

static void run_schedules(const char *key)
{
    golden g;
    int64_t n;
    REQUIRE_OK(golden_open("rules", false, &g));
    const bdl__json *const root = bdl__json_get(g.json, key);
    const double base = bdl__json_f64(bdl__json_get(root, "base"));
    const bdl__json *const values = bdl__json_get(root, "values");
    const bdl__json *info = bdl__json_first(bdl__json_get(root, "cases"));
    for (; info; info = bdl__json_next(info)) {
        CHECK_OK(run_schedule(&g, base, info, values ? golden_numbers(&g, values, &n) : NULL));
    }
    golden_close(&g);
}

BDL_TEST(schedules)
{
    run_schedules("schedules");
}
BDL_TEST(plateaus)
{
    run_schedules("plateaus");
}

BDL_TEST_MAIN(criterions, optimization_methods, gradient_clipping, schedules, plateaus)
