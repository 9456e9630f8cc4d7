/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The golden nets: ten training steps against PyTorch in float64, on every kernel target, with one worker
 * and three, with and without Winograd. Bounds come from the files (README.md).
 */
/* ctest: threads */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "optim/optim.h"

enum { MOST_BATCHES = 4, CRITERION_SIZE = 256 };

/* How a net is run. */
typedef struct way {
    bdl__target target;
    bdl__precision precision;
    int n_workers;
} way;

/* One of the batches that take turns. */
typedef struct part {
    int64_t start, count;
    golden_lanes input, target;
    bdl__plan *plan;
    bdl__exec *exec;
} part;

typedef struct net {
    golden g;
    way way;
    char where[96];
    double bound; /* of a result, in its unit errors */
    const bdl__json *unit_error;
    bdl__graph *graph;
    bdl__model *model;
    bdl__pool *pool;
    bdl__workspace *workspace;
    bdl__optim *optim;
    bdl__head head;
    bdl__param_range *ranges;
    void *grads;
    void *states[BDL__MAX_OPTIM_STATES];
    int64_t n_parts;
    part parts[MOST_BATCHES];
} net;

/* ---- making ------------------------------------------------------------------------------------ */

static bdl_status read_shape(const bdl__json *list, bdl__shape *shape)
{
    *shape = (bdl__shape){0};
    for (const bdl__json *v = bdl__json_first(list); v; v = bdl__json_next(v)) {
        BDL__CHECK(bdl__json_i64(v, &shape->dim[shape->rank++]), BDL_ERR_FORMAT, "not a shape");
    }
    return BDL_OK;
}

static bdl_status add_node(bdl__graph *graph, const bdl__json *node)
{
    const char *inputs[BDL__MAX_PORTS];
    int64_t n = 0;
    bdl__node *added;
    for (const bdl__json *v = bdl__json_first(bdl__json_get(node, "inputs")); v;
         v = bdl__json_next(v)) {
        inputs[n++] = bdl__json_string(v);
    }
    return bdl__graph_add(graph, bdl__json_string(bdl__json_get(node, "type")),
                          bdl__json_string(bdl__json_get(node, "name")),
                          bdl__json_get(node, "params"), inputs, n, &added);
}

static bdl_status make_graph(net *t)
{
    const bdl__json *const graph = bdl__json_get(t->g.json, "graph");
    bdl__shape shape;
    BDL__TRY(bdl__graph_create(bdl__default_allocator(), "golden", &t->graph));
    BDL__TRY(read_shape(bdl__json_get(t->g.json, "shape"), &shape));
    BDL__TRY(bdl__graph_add_input(t->graph, "input", &shape, false));
    for (const bdl__json *v = bdl__json_first(bdl__json_get(graph, "nodes")); v;
         v = bdl__json_next(v)) {
        BDL__TRY(add_node(t->graph, v));
    }
    BDL__TRY(bdl__graph_add_output(t->graph, bdl__json_string(bdl__json_get(graph, "output"))));
    return bdl__graph_finish(t->graph);
}

/* Weights and running buffers from the file; all of the file's must be used. */
static bdl_status make_model(net *t)
{
    int64_t n_used = 0, n_given = 0;
    BDL__TRY(bdl__model_create(bdl__default_allocator(), t->graph,
                               t->way.target == BDL__TARGET_F64 ? BDL_F64 : BDL_F32, 1, &t->model));
    for (int64_t i = 0; i < t->graph->n_params + t->graph->n_buffers; i++) {
        const int64_t b = i - t->graph->n_params;
        const char *const name = b < 0 ? t->graph->params[i].name : t->graph->buffers[b].name;
        const int64_t count = b < 0 ? t->graph->params[i].count : t->graph->buffers[b].count;
        const bdl__st_tensor *const tensor = golden_tensor(&t->g, "init.", name);
        BDL__CHECK(tensor && tensor->count == count, BDL_ERR_FORMAT, "no golden for '%s'", name);
        golden_set_scalars(t->way.target,
                           b < 0 ? bdl__model_param(t->model, i) : bdl__model_buffer(t->model, b),
                           golden_values(&t->g, tensor), count);
        n_used++;
    }
    for (int64_t i = 0; i < bdl__safetensors_count(t->g.file); i++) {
        n_given += strncmp(bdl__safetensors_at(t->g.file, i)->name, "init.", 5) == 0;
    }
    BDL__CHECK(n_used == n_given, BDL_ERR_FORMAT, "the file has other weights than the graph");
    t->model->weights_version++;
    return BDL_OK;
}

static bdl_status make_optim(net *t)
{
    const bdl__json *const criterion = bdl__json_get(t->g.json, "criterion");
    void *const params = golden_alloc(&t->g, CRITERION_SIZE);
    BDL__TRY(bdl__layer_find(bdl__json_string(bdl__json_get(criterion, "type")), &t->head.layer));
    BDL__CHECK(t->head.layer->schema.params_size <= CRITERION_SIZE, BDL_ERR_INTERNAL, "params");
    BDL__TRY(bdl__params_from_json(&t->head.layer->schema, &t->g.arena,
                                   bdl__json_get(criterion, "params"), params));
    t->head.params = params;
    BDL__TRY(bdl__optim_create(bdl__default_allocator(),
                               bdl__json_string(bdl__json_get(t->g.json, "optim")), &t->optim));
    const size_t size = (size_t)t->graph->weights_count * bdl__scalar_size(t->model->dtype);
    t->grads = golden_alloc(&t->g, size);
    for (int i = 0; i < BDL__MAX_OPTIM_STATES; i++) {
        t->states[i] = golden_alloc(&t->g, size);
    }
    t->ranges = golden_alloc(&t->g, (size_t)t->graph->n_params * sizeof *t->ranges);
    for (int64_t i = 0; i < t->graph->n_params; i++) {
        const bdl__param *const p = &t->graph->params[i];
        t->ranges[i] = (bdl__param_range){
            p->offset, p->offset + bdl__round_up(p->count, BDL__PARAM_ALIGNMENT), 1, 1, false};
    }
    return BDL_OK;
}

static bdl_status make_plan(const net *t, bool is_training, part *p)
{
    const bdl__plan_options options = {.graph = t->graph,
                                       .is_training = is_training,
                                       .precision = t->way.precision,
                                       .target = t->way.target,
                                       .n_workers = t->way.n_workers,
                                       .n_slices = p->input.n_slices,
                                       .global_batch = p->count,
                                       .heads = &t->head,
                                       .n_heads = is_training ? 1 : 0,
                                       .target_integer = true,
                                       .input_diffs = is_training};
    BDL__TRY(bdl__plan_create(bdl__default_allocator(), &options, &p->plan));
    return bdl__exec_create(bdl__default_allocator(), p->plan, t->pool, t->model, t->workspace,
                            is_training ? t->grads : NULL, &p->exec);
}

static void free_plan(part *p)
{
    bdl__exec_free(p->exec);
    bdl__plan_free(p->plan);
    p->exec = NULL;
    p->plan = NULL;
}

static bdl_status make_parts(net *t)
{
    const int64_t count = bdl__shape_count(&t->graph->inputs[0].shape);
    const double *const input = golden_values(&t->g, golden_tensor(&t->g, "", "input"));
    const double *const target = golden_values(&t->g, golden_tensor(&t->g, "", "target"));
    const bdl__json *v = bdl__json_first(bdl__json_get(t->g.json, "batches"));
    for (; v && t->n_parts < MOST_BATCHES; v = bdl__json_next(v)) {
        part *const p = &t->parts[t->n_parts++];
        const bdl__json *const start = bdl__json_first(v);
        BDL__CHECK(bdl__json_i64(start, &p->start) &&
                       bdl__json_i64(bdl__json_next(start), &p->count),
                   BDL_ERR_FORMAT, "batches");
        p->input = golden_pack(&t->g, t->way.target, GOLDEN_VALUES, input + p->start * count,
                               p->count, count);
        p->target =
            golden_pack(&t->g, t->way.target, GOLDEN_LABELS, target + p->start, p->count, 1);
        BDL__TRY(make_plan(t, true, p));
    }
    return BDL_OK;
}

static bdl_status make_net(net *t, const char *name)
{
    int64_t longest;
    snprintf(t->where, sizeof t->where, "%s on %s, %s, %d workers", name,
             bdl__target_name(t->way.target), t->way.precision == BDL__FP32 ? "winograd" : "exact",
             t->way.n_workers);
    char file[64];
    snprintf(file, sizeof file, "net_%s", name);
    BDL__TRY(golden_open(file, true, &t->g));
    BDL__TRY(bdl__json_need_i64(t->g.json, "longest_sum", file, &longest));
    t->unit_error = bdl__json_get(t->g.json, "unit_error");
    t->bound = 2 * sqrt((double)longest) * golden_rounding(t->way.target);
    BDL__TRY(bdl__pool_create(bdl__default_allocator(), t->way.n_workers, &t->pool));
    BDL__TRY(bdl__workspace_create(bdl__default_allocator(), &t->workspace));
    BDL__TRY(make_graph(t));
    BDL__TRY(make_model(t));
    BDL__TRY(make_optim(t));
    return make_parts(t);
}

static void free_net(net *t)
{
    for (int64_t i = 0; i < t->n_parts; i++) {
        free_plan(&t->parts[i]);
    }
    bdl__optim_free(t->optim);
    bdl__model_free(t->model);
    bdl__graph_release(t->graph);
    bdl__workspace_free(t->workspace);
    bdl__pool_free(t->pool);
    golden_close(&t->g);
}

/* ---- running ----------------------------------------------------------------------------------- */

/* Compares a result with the file's tensor "<prefix><name>". */
static void compare(net *t, const char *prefix, const char *name, const double *got, double scale,
                    int64_t n)
{
    char key[128];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    const bdl__st_tensor *const want = golden_tensor(&t->g, "", key);
    REQUIRE(want != NULL && want->count == n);
    golden_near(t->where, key, got, scale, golden_values(&t->g, want), n,
                t->bound * golden_unit(t->unit_error, key, 0));
}

static void compare_first_step(net *t, const part *p)
{
    const double scale = 1 / bdl__exec_heads(p->exec)[1];
    const int64_t n_in = bdl__shape_count(&t->graph->inputs[0].shape);
    const int64_t n_out = bdl__shape_count(bdl__graph_shape(t->graph, t->graph->outputs[0]));
    compare(t, "", "logits",
            golden_unpack(&t->g, t->way.target, bdl__exec_output(p->exec, 0), p->count, n_out), 1,
            p->count * n_out);
    compare(t, "grad.", "input",
            golden_unpack(&t->g, t->way.target, bdl__exec_input_diff(p->exec, 0), p->count, n_in),
            scale, p->count * n_in);
    const double *const grads =
        golden_scalars(&t->g, t->way.target, t->grads, t->graph->weights_count);
    for (int64_t i = 0; i < t->graph->n_params; i++) {
        const bdl__param *const q = &t->graph->params[i];
        compare(t, "grad.", q->name, grads + q->offset, scale, q->count);
    }
}

static bdl_status step(net *t, int64_t i_step, double *loss)
{
    const part *const p = &t->parts[i_step % t->n_parts];
    const bdl__span input = {p->input.data, p->input.stride};
    const bdl__exec_batch batch = {.n_slices = p->input.n_slices,
                                   .valid = p->input.valid,
                                   .inputs = &input,
                                   .target = {p->target.data, p->target.stride}};
    BDL__TRY(bdl__exec_run(p->exec, &batch, NULL, NULL));
    const double *const head = bdl__exec_heads(p->exec);
    *loss = head[0] / head[1];
    if (i_step == 0) {
        compare_first_step(t, p);
    }
    const bdl__param_ranges ranges = {t->ranges, t->graph->n_params};
    bdl__optim_step update;
    bdl__optim_begin(t->optim, i_step, bdl__optim_lr(t->optim), 1 / head[1], NULL, &update);
    bdl__optim_update(&update, t->way.target, t->model->weights, t->grads, t->states, ranges, 0,
                      t->graph->weights_count);
    t->model->weights_version++;
    return BDL_OK;
}

static void compare_end(net *t)
{
    for (int64_t i = 0; i < t->graph->n_params; i++) {
        const bdl__param *const q = &t->graph->params[i];
        compare(t, "final.", q->name,
                golden_scalars(&t->g, t->way.target, bdl__model_param(t->model, i), q->count), 1,
                q->count);
    }
    for (int64_t i = 0; i < t->graph->n_buffers; i++) {
        const bdl__graph_buffer *const q = &t->graph->buffers[i];
        compare(t, "final.", q->name,
                golden_scalars(&t->g, t->way.target, bdl__model_buffer(t->model, i), q->count), 1,
                q->count);
    }
}

/* Evaluation of the first batch with the final weights. */
static bdl_status evaluate(net *t)
{
    part p = t->parts[0];
    const bdl__span input = {p.input.data, p.input.stride};
    const bdl__exec_batch batch = {
        .n_slices = p.input.n_slices, .valid = p.input.valid, .inputs = &input};
    bdl_status status = make_plan(t, false, &p);
    if (status == BDL_OK) {
        status = bdl__exec_run(p.exec, &batch, NULL, NULL);
    }
    if (status == BDL_OK) {
        const int64_t n = bdl__shape_count(bdl__graph_shape(t->graph, t->graph->outputs[0]));
        compare(t, "", "eval_logits",
                golden_unpack(&t->g, t->way.target, bdl__exec_output(p.exec, 0), p.count, n), 1,
                p.count * n);
    }
    free_plan(&p);
    return status;
}

/* Whether a step of the first batch's plan runs by Winograd. */
static bool uses_winograd(const net *t)
{
    const bdl__plan *const plan = t->parts[0].plan;
    for (int64_t i = 0; i < plan->n_steps; i++) {
        const char *const impl = plan->steps[i].step.impl;
        if (impl && strncmp(impl, "winograd", 8) == 0) {
            return true;
        }
    }
    return false;
}

static void run(const char *name, way w)
{
    net t = {.way = w};
    int64_t n_steps = 0;
    bdl_status status = make_net(&t, name);
    if (status == BDL_OK && strcmp(name, "vgg") == 0) {
        CHECK(uses_winograd(&t) == (w.precision == BDL__FP32));
    }
    if (status == BDL_OK) {
        status = bdl__json_need_i64(t.g.json, "n_steps", name, &n_steps);
    }
    for (int64_t i = 0; i < n_steps && status == BDL_OK; i++) {
        double loss = 0;
        status = step(&t, i, &loss);
        char what[32];
        snprintf(what, sizeof what, "loss of step %d", (int)i);
        const bdl__st_tensor *const losses = golden_tensor(&t.g, "", "losses");
        golden_near(t.where, what, &loss, 1, golden_values(&t.g, losses) + i, 1,
                    t.bound * golden_unit(t.unit_error, "losses", i));
    }
    if (status == BDL_OK) {
        compare_end(&t);
        status = evaluate(&t);
    }
    CHECK_OK(status);
    free_net(&t);
}

static void run_all(const char *name)
{
    bdl__target targets[BDL__N_TARGETS];
    const int n = golden_targets(targets);
    for (int i = 0; i < n; i++) {
        const bool is_f64 = targets[i] == BDL__TARGET_F64;
        if (targets[i] == BDL__TARGET_LANE1) {
            continue; /* for layers whose control flow differs by sample only */
        }
        for (int n_workers = 1; n_workers <= 3; n_workers += 2) {
            run(name, (way){targets[i], is_f64 ? BDL__F64_PRECISION : BDL__FP32_EXACT, n_workers});
            if (!is_f64) {
                run(name, (way){targets[i], BDL__FP32, n_workers});
            }
        }
    }
}

BDL_TEST(mlp)
{
    run_all("mlp");
}
BDL_TEST(lenet)
{
    run_all("lenet");
}
BDL_TEST(vgg_with_batch_norm)
{
    run_all("vgg");
}
BDL_TEST(residual_net)
{
    run_all("residual");
}
BDL_TEST(inception_with_adam)
{
    run_all("inception");
}

BDL_TEST_MAIN(mlp, lenet, vgg_with_batch_norm, residual_net, inception_with_adam)
