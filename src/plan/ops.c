/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops: the forward calls in topological order, then the backward calls in reverse, each with the areas
 * it reads and writes. Tensors that may share memory are made aliases: views, and the two sides of a
 * layer that works in place.
 */
#include <string.h>

#include "plan/internal.h"

static bdl_status alloc(bdl__plan *plan, int64_t n, size_t size, void *to)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&plan->arena, (size_t)(n + 1) * size, &memory));
    *(void **)to = memory;
    return BDL_OK;
}

static int32_t value_area(const bdl__plan *plan, bdl__ref ref)
{
    if (ref.node == -2) {
        return (int32_t)plan->graph->n_inputs;
    }
    return ref.node < 0 ? ref.port : plan->steps[ref.node].dst_area[ref.port];
}

/* Areas 0 .. n_inputs - 1 are the graph's inputs, the next one is the target. */
static bdl_status add_external_areas(bdl__plan *plan)
{
    int32_t i_area;
    for (int64_t i = 0; i < plan->graph->n_inputs; i++) {
        const bdl__graph_input *const input = &plan->graph->inputs[i];
        BDL__TRY(bdl__plan_add_area(plan, BDL__AREA_INPUT, (int32_t)i,
                                    bdl__plan_value_size(plan, &input->shape, input->integer),
                                    &i_area));
    }
    return bdl__plan_add_area(
        plan, BDL__AREA_TARGET, 0,
        bdl__plan_value_size(plan, &plan->options.target_shape, plan->options.target_integer),
        &i_area);
}

static bdl_status add_value_areas(bdl__plan *plan)
{
    for (int64_t s = 0; s < plan->n_steps; s++) {
        bdl__planned_step *const planned = &plan->steps[s];
        for (int i = 0; i < planned->step.n_out; i++) {
            const bool integer = s < plan->graph->n_nodes &&
                                 plan->graph->nodes[s]->decl.out_integer[i];
            BDL__TRY(bdl__plan_add_area(
                plan, BDL__AREA_PART, 0,
                bdl__plan_value_size(plan, &planned->step.dst_shape[i], integer),
                &planned->dst_area[i]));
            planned->diff_dst_area[i] = -1;
        }
        for (int i = 0; i < BDL__MAX_SAVED; i++) {
            planned->saved_area[i] = -1;
            if (planned->saved_size[i] > 0) {
                BDL__TRY(bdl__plan_add_area(plan, BDL__AREA_PART, 0, planned->saved_size[i],
                                            &planned->saved_area[i]));
            }
        }
    }
    return BDL_OK;
}

static bdl_status add_op(bdl__plan *plan, int64_t i_step, bool is_backward, int pass, int n_passes)
{
    bdl__op *const op = &plan->ops[plan->n_ops++];
    const bdl__planned_step *const planned = &plan->steps[i_step];
    op->i_step = i_step;
    op->is_backward = is_backward;
    op->pass = pass;
    op->is_last_pass = pass == n_passes - 1;
    const int n_in = planned->step.n_in;
    BDL__TRY(alloc(plan, n_in, sizeof *op->src_area, &op->src_area));
    BDL__TRY(alloc(plan, n_in, sizeof *op->diff_src_area, &op->diff_src_area));
    BDL__TRY(alloc(plan, n_in, sizeof *op->diff_mode, &op->diff_mode));
    for (int i = 0; i < n_in; i++) {
        op->src_area[i] = value_area(plan, planned->in[i]);
        op->diff_src_area[i] = -1;
    }
    memset(op->leaf_offset, -1, sizeof op->leaf_offset);
    return BDL_OK;
}

/* The diff area of a tensor, made at its first use; returns whether this is the first. */
static bdl_status diff_area(bdl__plan *plan, bdl__ref ref, int32_t *i_area, bool *is_first)
{
    int32_t *const place = ref.node < 0 ? &plan->input_diff_area[ref.port]
                                        : &plan->steps[ref.node].diff_dst_area[ref.port];
    *is_first = *place < 0;
    if (*is_first) {
        BDL__TRY(bdl__plan_add_area(
            plan, BDL__AREA_PART, 0,
            bdl__plan_value_size(plan, bdl__graph_shape(plan->graph, ref), false), place));
    }
    *i_area = *place;
    return BDL_OK;
}

static bool has_gradient(const bdl__planned_step *planned)
{
    if (planned->i_head >= 0) {
        return planned->i_head == 0;
    }
    for (int i = 0; i < planned->step.n_out; i++) {
        if (planned->diff_dst_area[i] >= 0) {
            return true;
        }
    }
    return false;
}

static bool wants_backward(const bdl__planned_step *planned)
{
    bool wants = planned->step.needs_diff_weights;
    for (int i = 0; i < planned->step.n_in; i++) {
        wants |= planned->step.needs_diff_src[i];
    }
    return wants && !(planned->step.layer->flags & BDL__NO_GRADIENT) && has_gradient(planned);
}

static bdl_status add_backward(bdl__plan *plan, int64_t i_step)
{
    bdl__planned_step *const planned = &plan->steps[i_step];
    if (!wants_backward(planned)) {
        return BDL_OK;
    }
    for (int pass = 0; pass < planned->step.n_backward_passes; pass++) {
        BDL__TRY(add_op(plan, i_step, true, pass, planned->step.n_backward_passes));
    }
    bdl__op *const last = &plan->ops[plan->n_ops - 1];
    for (int i = 0; i < planned->step.n_in; i++) {
        if (planned->step.needs_diff_src[i]) {
            bool is_first;
            BDL__TRY(diff_area(plan, planned->in[i], &last->diff_src_area[i], &is_first));
            last->diff_mode[i] = is_first ? BDL__WRITE : BDL__ADD;
        }
    }
    /* Earlier passes only read; the last one writes. */
    return BDL_OK;
}

static bdl_status add_output_diffs(bdl__plan *plan)
{
    for (int64_t i = 0; i < plan->graph->n_outputs; i++) {
        const bdl__ref ref = plan->graph->outputs[i];
        BDL__CHECK(ref.node >= 0 && plan->steps[ref.node].diff_dst_area[ref.port] < 0,
                   BDL_ERR_UNSUPPORTED, "an output is named twice, or is an input");
        BDL__TRY(bdl__plan_add_area(
            plan, BDL__AREA_OUTPUT_DIFF, (int32_t)i,
            bdl__plan_value_size(plan, bdl__graph_shape(plan->graph, ref), false),
            &plan->steps[ref.node].diff_dst_area[ref.port]));
    }
    return BDL_OK;
}

static bdl_status add_all_ops(bdl__plan *plan)
{
    for (int64_t s = 0; s < plan->n_steps; s++) {
        for (int pass = 0; pass < plan->steps[s].step.n_forward_passes; pass++) {
            BDL__TRY(add_op(plan, s, false, pass, plan->steps[s].step.n_forward_passes));
        }
    }
    if (!plan->options.is_training) {
        return BDL_OK;
    }
    if (plan->options.external_diffs) {
        BDL__TRY(add_output_diffs(plan));
    }
    for (int64_t s = plan->n_steps - 1; s >= 0; s--) {
        BDL__TRY(add_backward(plan, s));
    }
    return BDL_OK;
}

/* ---- lifetimes and aliases ---------------------------------------------------------------------- */

static void touch(bdl__plan *plan, int32_t i_area, int64_t i_op)
{
    if (i_area < 0) {
        return;
    }
    bdl__area *const area = &plan->areas[i_area];
    area->first_op = area->first_op < 0 ? i_op : BDL__MIN(area->first_op, i_op);
    area->last_op = BDL__MAX(area->last_op, i_op);
}

static bool reads_in_backward(const bdl__plan *plan, int64_t i_step, bool dst)
{
    if (i_step >= plan->graph->n_nodes) {
        return true; /* criterions read their inputs */
    }
    const bdl__decl *const decl = &plan->graph->nodes[i_step]->decl;
    return dst ? decl->backward_reads_dst : decl->backward_reads_src;
}

static void find_lifetimes(bdl__plan *plan)
{
    for (int64_t o = 0; o < plan->n_ops; o++) {
        const bdl__op *const op = &plan->ops[o];
        const bdl__planned_step *const planned = &plan->steps[op->i_step];
        for (int i = 0; i < planned->step.n_in; i++) {
            if (!op->is_backward || reads_in_backward(plan, op->i_step, false)) {
                touch(plan, op->src_area[i], o);
            }
            touch(plan, op->diff_src_area[i], o);
        }
        for (int i = 0; i < planned->step.n_out; i++) {
            if (!op->is_backward || reads_in_backward(plan, op->i_step, true)) {
                touch(plan, planned->dst_area[i], o);
            }
            if (op->is_backward) {
                touch(plan, planned->diff_dst_area[i], o);
            }
        }
        for (int i = 0; i < BDL__MAX_SAVED; i++) {
            touch(plan, planned->saved_area[i], o);
        }
    }
}

static void pin(bdl__plan *plan, int32_t i_area)
{
    plan->areas[i_area].is_pinned = true;
    touch(plan, i_area, plan->n_ops);
}

static void pin_results(bdl__plan *plan)
{
    for (int64_t i = 0; i < plan->graph->n_outputs; i++) {
        plan->output_area[i] = value_area(plan, plan->graph->outputs[i]);
        pin(plan, plan->output_area[i]);
    }
    for (int64_t i = 0; i < plan->graph->n_inputs; i++) {
        if (plan->input_diff_area[i] >= 0) {
            pin(plan, plan->input_diff_area[i]);
        }
    }
}

static void make_alias(bdl__plan *plan, int32_t i_area, int32_t i_root)
{
    bdl__area *const area = &plan->areas[i_area];
    bdl__area *const root = &plan->areas[i_root];
    area->alias = i_root;
    root->first_op = BDL__MIN(root->first_op, area->first_op);
    root->last_op = BDL__MAX(root->last_op, area->last_op);
    root->is_pinned |= area->is_pinned;
}

static bool reads_area(const bdl__plan *plan, const bdl__op *op, const bdl__area *root)
{
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    for (int i = 0; i < planned->step.n_in; i++) {
        if ((!op->is_backward || reads_in_backward(plan, op->i_step, false)) &&
            bdl__plan_area(plan, op->src_area[i]) == root) {
            return true;
        }
    }
    for (int i = 0; i < planned->step.n_out; i++) {
        if ((!op->is_backward || reads_in_backward(plan, op->i_step, true)) &&
            bdl__plan_area(plan, planned->dst_area[i]) == root) {
            return true;
        }
    }
    return false;
}

/* Whether op o alone uses the area's tensors: another layer would pass gradients of what o drops. */
static bool leads_to(const bdl__plan *plan, const bdl__area *root, int64_t o)
{
    for (int64_t p = 0; p < o; p++) {
        const bdl__planned_step *const planned = &plan->steps[plan->ops[p].i_step];
        for (int i = 0; i < planned->step.n_in; i++) {
            if (bdl__plan_area(plan, plan->ops[p].src_area[i]) == root &&
                bdl__plan_area(plan, planned->dst_area[0]) != root) {
                return false;
            }
        }
    }
    return true;
}

/* Whether all that is read of an area after op o are signs, in backward: then a layer that masks, such as
 * dropout after relu, may write over it. */
static bool signs_suffice(const bdl__plan *plan, const bdl__area *root, int64_t o)
{
    for (int64_t p = o + 1; p < plan->n_ops; p++) {
        const bdl__op *const op = &plan->ops[p];
        const unsigned flags = plan->steps[op->i_step].step.layer->flags;
        if (reads_area(plan, op, root) && !(op->is_backward && flags & BDL__READS_SIGN)) {
            return false;
        }
    }
    return !root->is_pinned && leads_to(plan, root, o);
}

/* Whether `to` may be written over `from` in op o: nobody reads `from` later, or signs at most. */
static bool may_replace(const bdl__plan *plan, int32_t from, int32_t to, int64_t o, bool masks)
{
    const bdl__area *const root = bdl__plan_area(plan, from);
    const bdl__area *const area = &plan->areas[to];
    return area->alias < 0 && area->kind == BDL__AREA_PART && root != area &&
           root->kind == BDL__AREA_PART && root->size == area->size && area->first_op == o &&
           (root->last_op == o || (masks && signs_suffice(plan, root, o)));
}

static void alias_forward(bdl__plan *plan, int64_t o)
{
    bdl__op *const op = &plan->ops[o];
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    const unsigned flags = planned->step.layer->flags;
    if (planned->step.n_in != 1 || planned->step.n_out != 1 || planned->step.n_forward_passes != 1) {
        return;
    }
    const int32_t src = op->src_area[0], dst = planned->dst_area[0];
    if (flags & BDL__VIEW) {
        if (plan->areas[src].size == plan->areas[dst].size) {
            make_alias(plan, dst, bdl__plan_root(plan, src));
            op->is_dropped = true;
        }
    } else if ((flags & BDL__IN_PLACE) &&
               may_replace(plan, src, dst, o, flags & BDL__MASKS)) {
        make_alias(plan, dst, bdl__plan_root(plan, src));
    }
}

static void alias_backward(bdl__plan *plan, int64_t o)
{
    bdl__op *const op = &plan->ops[o];
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    const unsigned flags = planned->step.layer->flags;
    if (planned->step.n_in != 1 || planned->step.n_out != 1 ||
        planned->step.n_backward_passes != 1 || !(flags & (BDL__VIEW | BDL__IN_PLACE)) ||
        op->diff_src_area[0] < 0 || op->diff_mode[0] != BDL__WRITE) {
        return;
    }
    const int32_t diff_dst = planned->diff_dst_area[0], diff_src = op->diff_src_area[0];
    if (may_replace(plan, diff_dst, diff_src, o, false)) {
        make_alias(plan, diff_src, bdl__plan_root(plan, diff_dst));
        op->is_dropped = (flags & BDL__VIEW) != 0;
    }
}

static int64_t most_areas(const bdl__plan *plan)
{
    int64_t n = 2 * plan->graph->n_inputs + 1 + plan->graph->n_outputs;
    for (int64_t s = 0; s < plan->n_steps; s++) {
        n += 2 * plan->steps[s].step.n_out + BDL__MAX_SAVED;
    }
    return n;
}

bdl_status bdl__plan_make_ops(bdl__plan *plan)
{
    int64_t most_ops = 0;
    for (int64_t s = 0; s < plan->n_steps; s++) {
        most_ops += plan->steps[s].step.n_forward_passes + plan->steps[s].step.n_backward_passes;
    }
    BDL__TRY(alloc(plan, most_ops, sizeof *plan->ops, &plan->ops));
    BDL__TRY(alloc(plan, most_areas(plan), sizeof *plan->areas, &plan->areas));
    BDL__TRY(alloc(plan, plan->graph->n_outputs, sizeof(int32_t), &plan->output_area));
    BDL__TRY(alloc(plan, plan->graph->n_inputs, sizeof(int32_t), &plan->input_diff_area));
    memset(plan->input_diff_area, -1, (size_t)plan->graph->n_inputs * sizeof(int32_t));
    BDL__TRY(add_external_areas(plan));
    BDL__TRY(add_value_areas(plan));
    BDL__TRY(add_all_ops(plan));
    find_lifetimes(plan);
    pin_results(plan);
    for (int64_t o = 0; o < plan->n_ops; o++) {
        if (plan->ops[o].is_backward) {
            alias_backward(plan, o);
        } else {
            alias_forward(plan, o);
        }
    }
    return BDL_OK;
}
