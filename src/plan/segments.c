/* SPDX-License-Identifier: Apache-2.0 */
/* Segments: runs of ops between two meetings of all workers, and the gradients that each one makes or completes. */
#include <string.h>

#include "plan/internal.h"

static bool ends_segment(const bdl__plan *plan, const bdl__op *op)
{
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    return planned->sums[op->is_backward][op->pass].n > 0;
}

static bool is_pass_with_weights(const bdl__planned_step *planned, const bdl__op *op)
{
    return op->is_backward && op->pass == 0 && planned->step.needs_diff_weights;
}

/* Scalars of gradients that an op makes. */
static int64_t gradients_of(const bdl__plan *plan, const bdl__op *op)
{
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    int64_t n = 0;
    for (int w = 0; is_pass_with_weights(planned, op) && w < planned->step.n_weights; w++) {
        const bdl__param *const param = &plan->graph->params[planned->first_param + w];
        n += param->frozen ? 0 : param->count;
    }
    return n;
}

/* Whether an op after `last` adds to gradients that an op from `first` on has made: a shared weight. */
static bool is_shared_across(const bdl__plan *plan, int64_t first, int64_t last)
{
    for (int64_t o = first; o <= last; o++) {
        const bdl__op *const op = &plan->ops[o];
        for (int64_t later = last + 1; gradients_of(plan, op) > 0 && later < plan->n_ops; later++) {
            if (gradients_of(plan, &plan->ops[later]) > 0 &&
                plan->steps[op->i_step].first_param ==
                    plan->steps[plan->ops[later].i_step].first_param) {
                return true;
            }
        }
    }
    return false;
}

/* Whether gradients of `count` scalars since op `first` are worth sending after op `o`. */
static bool fills_bucket(const bdl__plan *plan, int64_t first, int64_t o, int64_t count)
{
    return plan->options.bucket_count > 0 && count >= plan->options.bucket_count &&
           plan->ops[o].is_backward && plan->ops[o].is_last_pass &&
           !is_shared_across(plan, first, o);
}

/* One team a slice at most; what is left of the workers shares slices. Layers whose weights outgrow the
 * cache (breadth) are shared by all workers, so that each weight is read once. */
static void choose_teams(const bdl__plan *plan, bdl__segment *segment)
{
    const int n_workers = plan->options.n_workers;
    const int64_t n_shards = BDL__MAX(plan->shards.end - plan->shards.first, 1);
    segment->n_teams = (int)BDL__MIN((int64_t)n_workers, n_shards);
    if (segment->is_breadth) {
        segment->n_teams = 1;
    }
    segment->team_size = n_workers / segment->n_teams;
}

/* Gives the op's weights their places in the segment's leaf. A weight that two nodes share has one. */
static void add_leaf_ranges(bdl__plan *plan, bdl__segment *segment, bdl__op *op, bool *was_written)
{
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    for (int w = 0; w < planned->step.n_weights; w++) {
        const int64_t i_param = planned->first_param + w;
        const bdl__param *const param = &plan->graph->params[i_param];
        if (param->frozen) {
            continue;
        }
        for (int64_t r = segment->first_leaf_range; r < plan->n_leaf_ranges; r++) {
            if (plan->leaf_ranges[r].i_param == i_param) {
                op->leaf_offset[w] = plan->leaf_ranges[r].offset;
                op->leaf_adds[w] = true;
            }
        }
        if (op->leaf_offset[w] >= 0) {
            continue;
        }
        plan->leaf_ranges[plan->n_leaf_ranges++] = (bdl__leaf_range){
            .i_param = i_param, .offset = segment->leaf_count, .adds = was_written[i_param]};
        was_written[i_param] = true;
        op->leaf_offset[w] = segment->leaf_count;
        segment->leaf_count += bdl__round_up(param->count, BDL__PARAM_ALIGNMENT);
    }
}

static void fill_segment(bdl__plan *plan, bdl__segment *segment, bool *was_written)
{
    segment->first_leaf_range = plan->n_leaf_ranges;
    for (int64_t o = segment->first_op; o < segment->end_op; o++) {
        bdl__op *const op = &plan->ops[o];
        const bdl__planned_step *const planned = &plan->steps[op->i_step];
        segment->is_breadth |= planned->step.takes_many;
        segment->has_sums |= planned->sums[op->is_backward][op->pass].n > 0 ||
                             (planned->i_head >= 0 && !op->is_backward);
        if (is_pass_with_weights(planned, op)) {
            add_leaf_ranges(plan, segment, op, was_written);
        }
    }
    segment->end_leaf_range = plan->n_leaf_ranges;
    choose_teams(plan, segment);
}

static bdl_status alloc(bdl__plan *plan, int64_t n, size_t size, void *to)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&plan->arena, (size_t)(n + 1) * size, &memory));
    *(void **)to = memory;
    return BDL_OK;
}

/* The segments from the last on, so that the first op that is met of a parameter is its last one. Other ranks are told
 * of what has settled where the workers meet. */
static bdl_status list_settled(bdl__plan *plan)
{
    bool *is_listed = NULL;
    BDL__TRY(alloc(plan, plan->graph->n_params, sizeof *is_listed, &is_listed));
    BDL__TRY(alloc(plan, plan->graph->n_params, sizeof *plan->settled, &plan->settled));
    for (int64_t s = plan->n_segments - 1; s >= 0; s--) {
        bdl__segment *const segment = &plan->segments[s];
        segment->first_settled = plan->n_settled;
        for (int64_t o = segment->first_op; o < segment->end_op; o++) {
            const bdl__planned_step *const planned = &plan->steps[plan->ops[o].i_step];
            for (int w = 0; w < planned->step.n_weights; w++) {
                if (!is_listed[planned->first_param + w]) {
                    is_listed[planned->first_param + w] = true;
                    plan->settled[plan->n_settled++] = planned->first_param + w;
                }
            }
        }
        segment->end_settled = plan->n_settled;
    }
    return BDL_OK;
}

bdl_status bdl__plan_make_segments(bdl__plan *plan)
{
    int64_t n_uses = 0;
    for (int64_t o = 0; o < plan->n_ops; o++) {
        n_uses += plan->steps[plan->ops[o].i_step].step.n_weights;
    }
    bool *was_written = NULL;
    BDL__TRY(alloc(plan, plan->n_ops, sizeof *plan->segments, &plan->segments));
    BDL__TRY(alloc(plan, n_uses, sizeof *plan->leaf_ranges, &plan->leaf_ranges));
    BDL__TRY(alloc(plan, plan->graph->n_params, sizeof *was_written, &was_written));
    int64_t first = 0, count = 0;
    for (int64_t o = 0; o < plan->n_ops; o++) {
        count += gradients_of(plan, &plan->ops[o]);
        if (!ends_segment(plan, &plan->ops[o]) && !fills_bucket(plan, first, o, count) &&
            o + 1 < plan->n_ops) {
            continue;
        }
        bdl__segment *const segment = &plan->segments[plan->n_segments++];
        segment->first_op = first;
        segment->end_op = o + 1;
        fill_segment(plan, segment, was_written);
        first = o + 1;
        count = 0;
    }
    return list_settled(plan);
}
