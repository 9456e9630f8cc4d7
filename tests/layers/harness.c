/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bdl__pool *pools[MOST_WORKERS + 1];

static bdl_status pool_of(int n_workers, bdl__pool **pool)
{
    if (!pools[n_workers]) {
        BDL__TRY(bdl__pool_create(bdl__default_allocator(), n_workers, &pools[n_workers]));
    }
    *pool = pools[n_workers];
    return BDL_OK;
}

void end_workers(void)
{
    for (int i = 0; i <= MOST_WORKERS; i++) {
        bdl__pool_free(pools[i]);
        pools[i] = NULL;
    }
}

double *make_doubles(bdl__arena *arena, int64_t count)
{
    void *memory = NULL;
    if (bdl__arena_alloc(arena, (size_t)count * sizeof(double) + 1, &memory) != BDL_OK) {
        puts("out of memory");
        exit(2);
    }
    return memory;
}

tensor make_tensor(bdl__arena *arena, const bdl__shape *shape, bool integer, int64_t n_samples)
{
    tensor t = {.shape = *shape, .integer = integer, .n_samples = n_samples};
    t.count = bdl__shape_count(shape);
    t.data = make_doubles(arena, t.count * n_samples);
    return t;
}

/* ---- sample lanes ----------------------------------------------------------------------------
 * */

/* One number in memory: a label, a float or a double. */
static void put(void *memory, int64_t i, bool integer, bool is_f64, double value)
{
    if (integer) {
        ((int32_t *)memory)[i] = (int32_t)value;
    } else if (is_f64) {
        ((double *)memory)[i] = value;
    } else {
        ((float *)memory)[i] = (float)value;
    }
}

static double get(const void *memory, int64_t i, bool integer, bool is_f64)
{
    if (integer) {
        return ((const int32_t *)memory)[i];
    }
    return is_f64 ? ((const double *)memory)[i] : (double)((const float *)memory)[i];
}

/* Puts samples into lanes. Lanes without a sample repeat the first one of their slice, or hold 0.
 * */
static bdl__span to_lanes(const tensor *t, const bdl__plan *plan, bool zero_dead, bdl__arena *arena)
{
    const bool is_f64 = plan->scalar_size == 8;
    const size_t element = t->integer ? 4 : plan->scalar_size;
    const size_t stride =
        bdl__align_up((size_t)t->count * element * (size_t)plan->lanes, BDL__ALIGNMENT);
    char *memory = (char *)make_doubles(
        arena, ((int64_t)stride * plan->n_parts + BDL__ALIGNMENT) / (int64_t)sizeof(double) + 1);
    memory += BDL__ALIGNMENT - (uintptr_t)memory % BDL__ALIGNMENT;
    for (int64_t part = 0; part < plan->n_parts; part++) {
        for (int64_t lane = 0; lane < plan->lanes; lane++) {
            const int64_t wanted = part * plan->lanes + lane;
            const bool is_dead = wanted >= t->n_samples;
            const int64_t sample = is_dead ? wanted / BDL__SLICE * BDL__SLICE : wanted;
            for (int64_t i = 0; i < t->count; i++) {
                const double value = t->data[sample * t->count + i];
                put(memory + (size_t)part * stride, i * plan->lanes + lane, t->integer, is_f64,
                    is_dead && zero_dead ? 0 : value);
            }
        }
    }
    return (bdl__span){.data = memory, .stride = (int64_t)stride};
}

static void from_lanes(bdl__span span, const bdl__plan *plan, tensor *t)
{
    for (int64_t sample = 0; sample < t->n_samples; sample++) {
        const void *part = bdl__span_part(span, sample / plan->lanes);
        for (int64_t i = 0; i < t->count; i++) {
            t->data[sample * t->count + i] = get(part, i * plan->lanes + sample % plan->lanes,
                                                 t->integer, plan->scalar_size == 8);
        }
    }
}

/* ---- one run ---------------------------------------------------------------------------------
 * */

typedef struct run {
    const problem *p;
    const run_options *options;
    bdl__pool *pool; /* borrowed */
    bdl__plan *plan;
    bdl__model *model;
    bdl__workspace *workspace;
    bdl__exec *exec;
    void *grads;
} run;

static bdl_status make_plan(run *r)
{
    const problem *p = r->p;
    const run_options *o = r->options;
    const bdl__head head = {.layer = p->head, .params = p->head_params};
    const bool is_f64 = o->target == BDL__TARGET_F64;
    const bdl__plan_options plan = {
        .graph = p->graph,
        .is_training = o->is_training,
        .precision = is_f64 ? BDL__F64_PRECISION : o->precision,
        .target = o->target,
        .n_workers = o->n_workers,
        .n_slices = (p->n_samples + BDL__SLICE - 1) / BDL__SLICE,
        .global_batch = p->n_samples,
        .few_samples = o->few_samples,
        .heads = &head,
        .n_heads = p->head != NULL,
        .target_shape = p->target.shape,
        .target_integer = p->target.integer,
        .external_diffs = p->head == NULL,
        .input_diffs = !o->no_input_diffs,
    };
    return bdl__plan_create(bdl__default_allocator(), &plan, &r->plan);
}

static void fill_model(run *r)
{
    const bool is_f64 = r->model->dtype == BDL_F64;
    for (int64_t w = 0; w < r->p->n_weights; w++) {
        for (int64_t i = 0; i < r->p->weights[w].count; i++) {
            put(bdl__model_param(r->model, w), i, false, is_f64, r->p->weights[w].data[i]);
        }
    }
    for (int64_t b = 0; b < r->p->n_buffers; b++) {
        for (int64_t i = 0; i < r->p->buffers[b].count; i++) {
            put(bdl__model_buffer(r->model, b), i, false, is_f64, r->p->buffers[b].data[i]);
        }
    }
}

static bdl_status start(run *r, bdl__arena *arena)
{
    const bdl_allocator *allocator = bdl__default_allocator();
    const bool is_f64 = r->options->target == BDL__TARGET_F64;
    BDL__TRY(pool_of(r->options->n_workers, &r->pool));
    BDL__TRY(make_plan(r));
    BDL__TRY(bdl__model_create(allocator, r->p->graph, is_f64 ? BDL_F64 : BDL_F32, 1, &r->model));
    fill_model(r);
    BDL__TRY(bdl__workspace_create(allocator, &r->workspace));
    char *grads = (char *)make_doubles(arena, r->p->graph->weights_count + BDL__ALIGNMENT);
    r->grads = grads + (BDL__ALIGNMENT - (uintptr_t)grads % BDL__ALIGNMENT);
    return bdl__exec_create(allocator, r->plan, r->pool, r->model, r->workspace, r->grads,
                            &r->exec);
}

static bdl_status execute(run *r, bdl__arena *arena)
{
    const problem *p = r->p;
    bdl__span inputs[MOST_INPUTS], diffs[MOST_OUTPUTS];
    int32_t valid[64];
    bdl__exec_batch batch = {.n_slices = r->plan->options.n_slices,
                             .inputs = inputs,
                             .output_diffs = diffs,
                             .valid = valid,
                             .seed = 11,
                             .step = 3};
    for (int i = 0; i < p->n_in; i++) {
        inputs[i] = to_lanes(&p->in[i], r->plan, false, arena);
    }
    for (int i = 0; i < p->n_out && !p->head; i++) {
        diffs[i] = to_lanes(&p->out_diff[i], r->plan, true, arena);
    }
    if (p->head) {
        batch.target = to_lanes(&p->target, r->plan, false, arena);
    }
    for (int64_t s = 0; s < batch.n_slices; s++) {
        valid[s] = (int32_t)BDL__MIN(BDL__SLICE, p->n_samples - s * BDL__SLICE);
    }
    return bdl__exec_run(r->exec, &batch, NULL, NULL);
}

static void collect_grads(const run *r, bdl__arena *arena, run_result *result)
{
    const bool is_f64 = r->plan->scalar_size == 8;
    const problem *p = r->p;
    const size_t size = sizeof(tensor) / sizeof(double) + 1;
    result->grads = (tensor *)(void *)make_doubles(arena, p->n_weights * (int64_t)size);
    result->buffers = (tensor *)(void *)make_doubles(arena, p->n_buffers * (int64_t)size);
    for (int64_t w = 0; w < p->n_weights && r->options->is_training; w++) {
        tensor *grad = &result->grads[w];
        *grad = make_tensor(arena, &p->weights[w].shape, false, 1);
        for (int64_t i = 0; i < grad->count; i++) {
            grad->data[i] = get(r->grads, p->graph->params[w].offset + i, false, is_f64);
        }
    }
    for (int64_t b = 0; b < p->n_buffers; b++) {
        tensor *buffer = &result->buffers[b];
        *buffer = make_tensor(arena, &p->buffers[b].shape, false, 1);
        for (int64_t i = 0; i < buffer->count; i++) {
            buffer->data[i] = get(bdl__model_buffer(r->model, b), i, false, is_f64);
        }
    }
}

static void collect(const run *r, bdl__arena *arena, run_result *result)
{
    const problem *p = r->p;
    for (int i = 0; i < p->n_out && !p->head; i++) {
        const bdl__ref ref = p->graph->outputs[i];
        result->out[i] = make_tensor(arena, bdl__graph_shape(p->graph, ref),
                                     bdl__graph_integer(p->graph, ref), p->n_samples);
        from_lanes(bdl__exec_output(r->exec, i), r->plan, &result->out[i]);
    }
    for (int i = 0; i < p->n_in; i++) {
        const bdl__span diff = bdl__exec_input_diff(r->exec, i);
        if (r->options->is_training && diff.data) {
            result->in_diff[i] = make_tensor(arena, &p->in[i].shape, false, p->n_samples);
            from_lanes(diff, r->plan, &result->in_diff[i]);
        }
    }
    collect_grads(r, arena, result);
    if (p->head) {
        memcpy(result->head, bdl__exec_heads(r->exec), sizeof result->head);
    }
}

bdl_status run_problem(const problem *p, const run_options *options, bdl__arena *arena,
                       run_result *result)
{
    run r = {.p = p, .options = options};
    memset(result, 0, sizeof *result);
    bdl_status status = start(&r, arena);
    if (status == BDL_OK) {
        status = execute(&r, arena);
    }
    if (status == BDL_OK) {
        collect(&r, arena, result);
    }
    bdl__exec_free(r.exec);
    bdl__workspace_free(r.workspace);
    bdl__model_free(r.model);
    bdl__plan_free(r.plan);
    return status;
}
