/* SPDX-License-Identifier: Apache-2.0 */
/* One call of a layer: pointers from areas, the call, and what follows it (dead lanes, loss sums). */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "exec/internal.h"

static bdl__span area_span(const bdl__exec *exec, int32_t i_area, int i_team, int64_t i_part)
{
    if (i_area < 0) {
        return (bdl__span){0};
    }
    const bdl__plan *const plan = exec->plan;
    const bdl__area *const area = bdl__plan_area(plan, i_area);
    bdl__span span = {0};
    switch (area->kind) {
    case BDL__AREA_NONE:
        return span;
    case BDL__AREA_INPUT:
        span = exec->batch.inputs[area->i_external];
        break;
    case BDL__AREA_TARGET:
        span = exec->batch.target;
        break;
    case BDL__AREA_OUTPUT_DIFF:
        span = exec->batch.output_diffs[area->i_external];
        break;
    case BDL__AREA_PART:
        span = (bdl__span){exec->part_memory + area->offset, (int64_t)plan->part_size};
        break;
    case BDL__AREA_TEAM:
        span = (bdl__span){exec->team_memory + (size_t)i_team * plan->team_size + area->offset, 0};
        return span;
    }
    if (span.data) {
        span.data = (char *)span.data + i_part * span.stride;
    }
    return span;
}

/* Samples of part i that exist. */
static int64_t valid_samples(const bdl__exec *exec, int64_t i_part)
{
    const bdl__plan *const plan = exec->plan;
    const int64_t slice = i_part / plan->n_parts_slice;
    const int64_t valid = exec->batch.valid ? exec->batch.valid[slice] : BDL__SLICE;
    const int64_t before = i_part % plan->n_parts_slice * plan->lanes;
    return BDL__MAX(0, BDL__MIN(plan->lanes, valid - before));
}

static void set_tensors(bdl__exec *exec, const bdl__op *op, bdl__cx *cx, int i_team, int64_t i_part)
{
    const bdl__planned_step *const planned = &exec->plan->steps[op->i_step];
    for (int i = 0; i < planned->step.n_in; i++) {
        cx->src[i] = area_span(exec, op->src_area[i], i_team, i_part);
        cx->diff_src[i] = area_span(exec, op->diff_src_area[i], i_team, i_part);
        cx->diff_src_mode[i] = op->diff_src_area[i] < 0 ? BDL__SKIP : op->diff_mode[i];
    }
    for (int i = 0; i < planned->step.n_out; i++) {
        cx->dst[i] = area_span(exec, planned->dst_area[i], i_team, i_part);
        cx->diff_dst[i] = op->is_backward
                              ? area_span(exec, planned->diff_dst_area[i], i_team, i_part)
                              : (bdl__span){0};
    }
    for (int i = 0; i < BDL__MAX_SAVED; i++) {
        cx->saved[i] = area_span(exec, planned->saved_area[i], i_team, i_part);
        cx->packed[i] =
            planned->packed[i].size ? (char *)exec->packed + planned->packed[i].offset : NULL;
    }
}

static void set_weights(bdl__exec *exec, const bdl__op *op, bdl__cx *cx, bdl__team *team,
                        int64_t i_part)
{
    const bdl__plan *const plan = exec->plan;
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    const int64_t i_shard = bdl__exec_shard_of(exec, i_part / plan->n_parts_slice);
    int64_t begin, end;
    bdl__plan_shard_parts(plan, i_shard, &begin, &end);
    const bool starts_shard = i_part == begin;
    char *leaf = NULL;
    for (int w = 0; w < planned->step.n_weights; w++) {
        cx->weights[w] = bdl__model_param(exec->model, planned->first_param + w);
        cx->diff_weights[w] = NULL;
        cx->diff_weights_mode[w] = BDL__SKIP;
        if (!op->is_backward || op->leaf_offset[w] < 0) {
            continue;
        }
        if (planned->step.takes_many) {
            cx->diff_weights_mode[w] = BDL__WRITE; /* wanted; the sink knows where it goes */
            continue;
        }
        leaf = leaf ? leaf : bdl__exec_leaf(team, i_shard);
        cx->diff_weights[w] = leaf + (size_t)op->leaf_offset[w] * plan->scalar_size;
        cx->diff_weights_mode[w] = starts_shard && !op->leaf_adds[w] ? BDL__WRITE : BDL__ADD;
    }
    for (int b = 0; b < planned->step.n_buffers; b++) {
        cx->buffers[b] = bdl__model_buffer(exec->model, planned->first_buffer + b);
    }
}

static void set_sums(bdl__exec *exec, const bdl__op *op, bdl__cx *cx, int64_t i_part)
{
    const bdl__planned_step *const planned = &exec->plan->steps[op->i_step];
    const bdl__sums *const mine = &planned->sums[op->is_backward][op->pass];
    cx->sums = mine->n ? exec->sums + exec->plan->n_parts * mine->offset + i_part * mine->n : NULL;
    cx->totals = NULL;
    if (op->pass > 0) {
        cx->totals = exec->totals + planned->sums[op->is_backward][op->pass - 1].offset;
    }
}

/* Sets the lanes from n_valid on to zero. */
static void zero_dead_lanes(const bdl__exec *exec, bdl__span span, int64_t n_parts, int64_t count,
                            int64_t i_part)
{
    const size_t size = exec->plan->scalar_size, lanes = (size_t)exec->plan->lanes;
    for (int64_t p = 0; p < n_parts; p++) {
        const size_t valid = (size_t)valid_samples(exec, i_part + p);
        char *const data = bdl__span_part(span, p);
        for (int64_t i = 0; valid < lanes && i < count; i++) {
            memset(data + ((size_t)i * lanes + valid) * size, 0, (lanes - valid) * size);
        }
    }
}

static double lane_of(const bdl__exec *exec, const void *data, int64_t i, int64_t lane)
{
    const int64_t at = i * exec->plan->lanes + lane;
    return exec->plan->scalar_size == 8 ? ((const double *)data)[at]
                                        : (double)((const float *)data)[at];
}

/* Adds a head's two reals over the valid samples of a part, in the order of the samples. */
static void sum_head(bdl__exec *exec, const bdl__planned_step *planned, const bdl__cx *cx)
{
    double *const row =
        exec->head_rows + ((int64_t)planned->i_head * exec->plan->n_parts + cx->i_part) * 2;
    row[0] = 0;
    row[1] = 0;
    for (int64_t lane = 0; lane < cx->n_valid; lane++) {
        row[0] += lane_of(exec, cx->dst[0].data, 0, lane);
        row[1] += lane_of(exec, cx->dst[0].data, 1, lane);
    }
}

static bool is_finite_part(const bdl__exec *exec, const bdl__cx *cx, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        for (int64_t lane = 0; lane < cx->n_valid; lane++) {
            if (!isfinite(lane_of(exec, cx->dst[0].data, i, lane))) {
                return false;
            }
        }
    }
    return true;
}

/* Keeps the first step of all that workers find at the same time. */
static void note_nonfinite(bdl__exec *exec, int64_t i_step)
{
    int64_t known = exec->i_nonfinite;
    while ((known < 0 || i_step < known) &&
           !atomic_compare_exchange_weak(&exec->i_nonfinite, &known, i_step)) {
    }
}

static void after_forward(bdl__exec *exec, const bdl__planned_step *planned, const bdl__op *op,
                          const bdl__cx *cx)
{
    if (planned->i_head >= 0) {
        sum_head(exec, planned, cx);
    }
    if (exec->stop_at_nonfinite && planned->i_head < 0 && op->is_last_pass &&
        (exec->i_nonfinite < 0 || op->i_step < exec->i_nonfinite) &&
        !exec->plan->graph->nodes[op->i_step]->decl.out_integer[0]) {
        bdl__cx one = *cx;
        for (int64_t p = 0; p < cx->n_parts; p++) {
            one.n_valid = valid_samples(exec, cx->i_part + p);
            one.dst[0].data = bdl__span_part(cx->dst[0], p);
            if (!is_finite_part(exec, &one, bdl__shape_count(&planned->step.dst_shape[0]))) {
                note_nonfinite(exec, op->i_step);
            }
        }
    }
}

void bdl__exec_call(bdl__exec *exec, const bdl__segment *segment, int i_team, int worker,
                    const bdl__op *op, int64_t i_part, int64_t n_parts, int team_rank, int team_size)
{
    const bdl__plan *const plan = exec->plan;
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    bdl__worker_state *const state = &exec->workers[worker];
    bdl__team *const team = &exec->teams[segment - plan->segments][i_team];
    bdl__cx *const cx = &state->cx;
    if (exec->stop_at_nonfinite && team_size > 1) { /* one computes all, to see all of it */
        if (team_rank > 0) {
            return;
        }
        team_size = 1;
    }
    cx->n_parts = n_parts;
    cx->i_part = i_part;
    cx->n_valid = valid_samples(exec, i_part);
    cx->pass = op->pass;
    cx->team_rank = team_rank;
    cx->team_size = team_size;
    cx->scratch = state->scratch;
    cx->is_buffer_writer = !op->is_backward && op->is_last_pass && i_part == 0 && team_rank == 0;
    cx->rng_seed = exec->batch.seed;
    cx->rng_step = exec->batch.step;
    cx->first_sample = plan->shards.bounds[0] * BDL__SLICE + i_part * plan->lanes;
    set_tensors(exec, op, cx, i_team, i_part);
    set_weights(exec, op, cx, team, i_part);
    set_sums(exec, op, cx, i_part);
    if (cx->sums && cx->n_valid == 0) {
        const int64_t n = planned->sums[op->is_backward][op->pass].n;
        memset(cx->sums, 0, team_rank == 0 ? (size_t)n * sizeof(double) : 0);
        return;
    }
    state->sink = (struct bdl__grad_sink){.exec = exec, .team = team, .op = op};
    cx->grad_sink = &state->sink;
    if (!op->is_backward) {
        planned->step.layer->forward(&planned->step, cx);
        after_forward(exec, planned, op, cx);
        return;
    }
    planned->step.layer->backward(&planned->step, cx);
    if (planned->i_head >= 0) {
        zero_dead_lanes(exec, cx->diff_src[0], n_parts,
                        bdl__shape_count(&planned->step.src_shape[0]), i_part);
    }
}
