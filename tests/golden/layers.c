/* SPDX-License-Identifier: Apache-2.0 */
/* Single layers against PyTorch, on every kernel target: output, gradients, running buffers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "golden.h"

/* One case on one target. */
typedef struct single {
    golden *g;
    const bdl__json *info;
    const char *name;
    bdl__target target;
    bool is_training;
    char where[96];
    double bound; /* in unit errors */
    int64_t n;    /* samples */
    bdl__graph *graph;
    bdl__model *model;
    bdl__plan *plan;
    bdl__pool *pool;
    bdl__workspace *workspace;
    bdl__exec *exec;
    void *grads;
} single;

static const bdl__st_tensor *tensor_of(const single *t, const char *key)
{
    char name[160];
    snprintf(name, sizeof name, "%s.%s", t->name, key);
    return golden_tensor(t->g, "", name);
}

static bdl_status make_graph(single *t)
{
    const bdl__st_tensor *const input = tensor_of(t, "input");
    bdl__node *node;
    bdl__shape shape = {.rank = input->shape.rank - 1};
    for (int i = 0; i < shape.rank; i++) {
        shape.dim[i] = input->shape.dim[i + 1];
    }
    t->n = input->shape.dim[0];
    BDL__TRY(bdl__graph_create(bdl__default_allocator(), t->name, &t->graph));
    BDL__TRY(bdl__graph_add_input(t->graph, "input", &shape, false));
    BDL__TRY(bdl__graph_add(t->graph, bdl__json_string(bdl__json_get(t->info, "type")), "it",
                            bdl__json_get(t->info, "params"), NULL, 0, &node));
    return bdl__graph_finish(t->graph);
}

static bdl_status fill(single *t, const char *name, void *data, int64_t count)
{
    const bdl__st_tensor *const tensor = tensor_of(t, strchr(name, '.') + 1);
    BDL__CHECK(tensor && tensor->count == count, BDL_ERR_FORMAT, "no golden for '%s'", name);
    golden_set_scalars(t->target, data, golden_values(t->g, tensor), count);
    return BDL_OK;
}

static bdl_status make_model(single *t)
{
    const bool is_f64 = t->target == BDL__TARGET_F64;
    BDL__TRY(bdl__model_create(bdl__default_allocator(), t->graph, is_f64 ? BDL_F64 : BDL_F32, 1,
                               &t->model));
    for (int64_t i = 0; i < t->graph->n_params; i++) {
        const bdl__param *const p = &t->graph->params[i];
        BDL__TRY(fill(t, p->name, bdl__model_param(t->model, i), p->count));
    }
    for (int64_t i = 0; i < t->graph->n_buffers; i++) {
        const bdl__graph_buffer *const b = &t->graph->buffers[i];
        BDL__TRY(fill(t, b->name, bdl__model_buffer(t->model, i), b->count));
    }
    t->model->weights_version++;
    t->grads =
        golden_alloc(t->g, (size_t)t->graph->weights_count * bdl__scalar_size(t->model->dtype));
    return BDL_OK;
}

static bdl_status make_exec(single *t, bdl__precision precision)
{
    const bdl__plan_options options = {.graph = t->graph,
                                       .is_training = t->is_training,
                                       .precision = precision,
                                       .target = t->target,
                                       .n_workers = 1,
                                       .n_slices = (t->n + BDL__SLICE - 1) / BDL__SLICE,
                                       .global_batch = t->n,
                                       .external_diffs = t->is_training,
                                       .input_diffs = t->is_training};
    BDL__TRY(bdl__pool_create(bdl__default_allocator(), 1, &t->pool));
    BDL__TRY(bdl__workspace_create(bdl__default_allocator(), &t->workspace));
    BDL__TRY(bdl__plan_create(bdl__default_allocator(), &options, &t->plan));
    return bdl__exec_create(bdl__default_allocator(), t->plan, t->pool, t->model, t->workspace,
                            t->is_training ? t->grads : NULL, &t->exec);
}

static bdl_status run(single *t)
{
    const bdl__st_tensor *const input = tensor_of(t, "input");
    const bdl__st_tensor *const upstream = tensor_of(t, "grad_output");
    const golden_lanes x = golden_pack(t->g, t->target, GOLDEN_VALUES, golden_values(t->g, input),
                                       t->n, input->count / t->n);
    const golden_lanes dy =
        golden_pack(t->g, t->target, GOLDEN_GRADIENTS, golden_values(t->g, upstream), t->n,
                    upstream->count / t->n);
    const bdl__span input_span = {x.data, x.stride}, diff_span = {dy.data, dy.stride};
    const bdl__exec_batch batch = {.n_slices = x.n_slices,
                                   .valid = x.valid,
                                   .inputs = &input_span,
                                   .output_diffs = &diff_span};
    return bdl__exec_run(t->exec, &batch, NULL, NULL);
}

static void compare(single *t, const char *prefix, const char *name, const double *got, int64_t n)
{
    char key[96];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    const bdl__st_tensor *const want = tensor_of(t, key);
    REQUIRE(want != NULL && want->count == n);
    golden_near(t->where, key, got, 1, golden_values(t->g, want), n,
                t->bound * golden_unit(bdl__json_get(t->info, "unit_error"), key, 0));
}

static void compare_all(single *t)
{
    const int64_t n_in = bdl__shape_count(&t->graph->inputs[0].shape);
    const int64_t n_out = bdl__shape_count(bdl__graph_shape(t->graph, t->graph->outputs[0]));
    compare(t, "", "output",
            golden_unpack(t->g, t->target, bdl__exec_output(t->exec, 0), t->n, n_out),
            t->n * n_out);
    if (!t->is_training) {
        return;
    }
    compare(t, "", "grad_input",
            golden_unpack(t->g, t->target, bdl__exec_input_diff(t->exec, 0), t->n, n_in),
            t->n * n_in);
    const double *const grads = golden_scalars(t->g, t->target, t->grads, t->graph->weights_count);
    for (int64_t i = 0; i < t->graph->n_params; i++) {
        const bdl__param *const p = &t->graph->params[i];
        compare(t, "grad.", strchr(p->name, '.') + 1, grads + p->offset, p->count);
    }
    for (int64_t i = 0; i < t->graph->n_buffers; i++) {
        const bdl__graph_buffer *const b = &t->graph->buffers[i];
        compare(t, "after.", strchr(b->name, '.') + 1,
                golden_scalars(t->g, t->target, bdl__model_buffer(t->model, i), b->count),
                b->count);
    }
}

static void run_single(golden *g, const bdl__json *info, bdl__target target,
                       bdl__precision precision)
{
    single t = {.g = g, .info = info, .target = target};
    int64_t longest = 1;
    t.name = bdl__json_string(bdl__json_get(info, "name"));
    t.is_training = bdl__json_bool(bdl__json_get(info, "training"));
    snprintf(t.where, sizeof t.where, "%s on %s%s", t.name, bdl__target_name(target),
             precision == BDL__FP32 ? "" : ", exact");
    bdl_status status = bdl__json_need_i64(info, "longest_sum", t.name, &longest);
    t.bound = 2 * sqrt((double)longest) * golden_rounding(target);
    status = status == BDL_OK ? make_graph(&t) : status;
    status = status == BDL_OK ? make_model(&t) : status;
    status = status == BDL_OK ? make_exec(&t, precision) : status;
    status = status == BDL_OK ? run(&t) : status;
    if (status == BDL_OK) {
        compare_all(&t);
    } else {
        printf("%s: %s\n", t.where, bdl_last_error());
    }
    CHECK(status == BDL_OK);
    bdl__exec_free(t.exec);
    bdl__plan_free(t.plan);
    bdl__workspace_free(t.workspace);
    bdl__pool_free(t.pool);
    bdl__model_free(t.model);
    bdl__graph_release(t.graph);
}

/* All cases on one target. */
static void run_target(bdl__target target)
{
    golden g;
    REQUIRE_OK(golden_open("layers", true, &g));
    const bdl__json *const cases = bdl__json_get(g.json, "cases");
    for (const bdl__json *info = bdl__json_first(cases); info; info = bdl__json_next(info)) {
        run_single(&g, info, target,
                   target == BDL__TARGET_F64 ? BDL__F64_PRECISION : BDL__FP32_EXACT);
        if (target != BDL__TARGET_F64) {
            run_single(&g, info, target, BDL__FP32);
        }
    }
    golden_close(&g);
}

static void run_if_available(bdl__target target)
{
    if (bdl__target_available(target)) {
        run_target(target);
    }
}

BDL_TEST(vector_targets)
{
    run_if_available(BDL__TARGET_SSE4);
    run_if_available(BDL__TARGET_AVX2);
    run_if_available(BDL__TARGET_AVX512);
    run_if_available(BDL__TARGET_NEON);
}

BDL_TEST(one_lane)
{
    run_if_available(BDL__TARGET_LANE1);
}
BDL_TEST(float64)
{
    run_if_available(BDL__TARGET_F64);
}

BDL_TEST_MAIN(vector_targets, one_lane, float64)
