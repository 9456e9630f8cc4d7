/* SPDX-License-Identifier: Apache-2.0 */
/* Steps: one for each node and head, planned by its layer; and the bookings that layers make. */
#include <string.h>

#include "plan/internal.h"

bdl_status bdl__plan_alloc(bdl__planner *planner, size_t size, void **memory)
{
    return bdl__arena_alloc(&planner->plan->arena, size, memory);
}

bdl_status bdl__plan_save(bdl__planner *planner, bdl__step *step, int i_saved, size_t size)
{
    BDL__CHECK(i_saved >= 0 && i_saved < BDL__MAX_SAVED, BDL_ERR_INTERNAL, "%s: saved area %d",
               step->layer->name, i_saved);
    planner->current->saved_size[i_saved] = bdl__align_up(size, BDL__ALIGNMENT);
    return BDL_OK;
}

bdl_status bdl__plan_scratch(bdl__planner *planner, bdl__step *step, size_t size)
{
    (void)step;
    bdl__planned_step *const current = planner->current;
    current->scratch_size = BDL__MAX(current->scratch_size, bdl__align_up(size, BDL__ALIGNMENT));
    return BDL_OK;
}

bdl_status bdl__plan_packed(bdl__planner *planner, bdl__step *step, int i_packed, size_t size,
                            int64_t n_units, bdl__pack_fn pack)
{
    BDL__CHECK(i_packed >= 0 && i_packed < BDL__MAX_SAVED, BDL_ERR_INTERNAL, "%s: packed area %d",
               step->layer->name, i_packed);
    bdl__plan *const plan = planner->plan;
    planner->current->packed[i_packed].size = size;
    planner->current->packed[i_packed].offset = plan->packed_size;
    planner->current->packed[i_packed].n_units = n_units;
    planner->current->packed[i_packed].pack = pack;
    plan->packed_size += bdl__align_up(size, BDL__ALIGNMENT);
    return BDL_OK;
}

bdl_status bdl__plan_sums(bdl__planner *planner, bdl__step *step, bool is_backward, int i_pass,
                          int64_t n, bdl__merge_fn merge)
{
    BDL__CHECK(i_pass >= 0 && i_pass + 1 < BDL__MAX_PASSES, BDL_ERR_INTERNAL, "%s: pass %d",
               step->layer->name, i_pass);
    bdl__plan *const plan = planner->plan;
    planner->current->sums[is_backward][i_pass] =
        (bdl__sums){.n = n, .merge = merge, .offset = plan->sums_count};
    plan->sums_count += n;
    int *const n_passes = is_backward ? &step->n_backward_passes : &step->n_forward_passes;
    *n_passes = BDL__MAX(*n_passes, i_pass + 2);
    return BDL_OK;
}

size_t bdl__plan_value_size(const bdl__plan *plan, const bdl__shape *shape, bool integer)
{
    const size_t element = integer ? 4 * (size_t)plan->lanes : plan->real_size;
    return bdl__align_up((size_t)bdl__shape_count(shape) * element, BDL__ALIGNMENT);
}

bdl_status bdl__plan_add_area(bdl__plan *plan, bdl__area_kind kind, int32_t i_external, size_t size,
                              int32_t *i_area)
{
    *i_area = (int32_t)plan->n_areas;
    plan->areas[plan->n_areas++] = (bdl__area){
        .kind = kind, .alias = -1, .i_external = i_external, .size = size, .first_op = -1};
    return BDL_OK;
}

static bdl_status copy_array(bdl__plan *plan, size_t size, const void *from, void *to)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&plan->arena, size + 1, &memory));
    if (from) {
        memcpy(memory, from, size);
    }
    *(void **)to = memory;
    return BDL_OK;
}

static const bdl__shape *shape_of(const bdl__plan *plan, bdl__ref ref)
{
    return ref.node == -2 ? &plan->options.target_shape : bdl__graph_shape(plan->graph, ref);
}

static bool integer_of(const bdl__plan *plan, bdl__ref ref)
{
    return ref.node == -2 ? plan->options.target_integer : bdl__graph_integer(plan->graph, ref);
}

/* Fills what the layer sees: shapes, phase, target. */
static bdl_status describe(bdl__plan *plan, bdl__planned_step *planned, const bdl__decl *decl)
{
    bdl__step *const step = &planned->step;
    const bdl__plan_options *const options = &plan->options;
    bdl__shape shapes[BDL__MAX_PORTS];
    bool integers[BDL__MAX_PORTS];
    bdl__shape weights[BDL__MAX_WEIGHTS];
    for (int i = 0; i < step->n_in; i++) {
        shapes[i] = *shape_of(plan, planned->in[i]);
        integers[i] = integer_of(plan, planned->in[i]);
    }
    for (int i = 0; i < decl->n_weights; i++) {
        weights[i] = decl->weights[i].shape;
    }
    step->n_out = decl->n_out;
    step->n_weights = decl->n_weights;
    step->n_buffers = decl->n_buffers;
    BDL__TRY(copy_array(plan, (size_t)step->n_in * sizeof *shapes, shapes, &step->src_shape));
    BDL__TRY(copy_array(plan, (size_t)step->n_in * sizeof *integers, integers, &step->src_integer));
    BDL__TRY(copy_array(plan, (size_t)decl->n_out * sizeof *decl->out, decl->out, &step->dst_shape));
    BDL__TRY(copy_array(plan, (size_t)decl->n_weights * sizeof *weights, weights,
                        &step->weights_shape));
    BDL__TRY(copy_array(plan, (size_t)decl->n_out * sizeof(int32_t), NULL, &planned->dst_area));
    BDL__TRY(copy_array(plan, (size_t)decl->n_out * sizeof(int32_t), NULL, &planned->diff_dst_area));
    step->is_training = options->is_training;
    step->precision = options->precision;
    step->target = options->target;
    step->lanes = plan->lanes;
    step->real_size = plan->real_size;
    step->scalar_size = plan->scalar_size;
    step->global_batch = options->global_batch;
    step->few_samples = options->few_samples;
    step->impl = "kernel";
    return BDL_OK;
}

/* Values that gradients flow through: those that a trainable weight or a wanted input stands before. */
static void mark_gradients(const bdl__plan *plan, const bool *node_needs, bdl__planned_step *planned)
{
    for (int i = 0; i < planned->step.n_in; i++) {
        const bdl__ref ref = planned->in[i];
        planned->step.needs_diff_src[i] =
            plan->options.is_training && !integer_of(plan, ref) &&
            ((ref.node >= 0 && node_needs[ref.node]) ||
             (ref.node == -1 && plan->options.input_diffs));
    }
}

static bool passes_gradient(const bdl__planned_step *planned)
{
    bool needs = planned->step.needs_diff_weights;
    for (int i = 0; i < planned->step.n_in; i++) {
        needs |= planned->step.needs_diff_src[i];
    }
    return needs && !(planned->step.layer->flags & BDL__NO_GRADIENT);
}

static bdl_status plan_step(bdl__plan *plan, bdl__planned_step *planned)
{
    bdl__planner planner = {.plan = plan, .current = planned};
    bdl__step *const step = &planned->step;
    if (step->layer->plan) {
        const bdl_status status = step->layer->plan(&planner, step);
        if (status != BDL_OK) {
            return bdl__fail_in(status, "%s '%s'", step->layer->name, step->name);
        }
    }
    step->n_forward_passes = BDL__MAX(step->n_forward_passes, 1);
    step->n_backward_passes = BDL__MAX(step->n_backward_passes, 1);
    return BDL_OK;
}

static bdl_status make_node_step(bdl__plan *plan, int64_t i, bool *node_needs)
{
    const bdl__node *const node = plan->graph->nodes[i];
    bdl__planned_step *const planned = &plan->steps[i];
    planned->i_head = -1;
    planned->in = node->in;
    planned->first_param = node->first_param;
    planned->first_buffer = node->first_buffer;
    planned->step = (bdl__step){.layer = node->layer,
                                .params = node->params,
                                .name = node->name,
                                .i_node = i,
                                .failure = plan->failure,
                                .n_in = node->n_in};
    BDL__TRY(describe(plan, planned, &node->decl));
    for (int w = 0; w < node->decl.n_weights; w++) {
        planned->step.needs_diff_weights |=
            plan->options.is_training && !plan->graph->params[node->first_param + w].frozen;
    }
    mark_gradients(plan, node_needs, planned);
    node_needs[i] = passes_gradient(planned);
    return plan_step(plan, planned);
}

static bdl_status make_head_step(bdl__plan *plan, int i_head, const bool *node_needs)
{
    const bdl__head *const head = &plan->options.heads[i_head];
    bdl__planned_step *const planned = &plan->steps[plan->graph->n_nodes + i_head];
    bdl__ref refs[2] = {plan->graph->outputs[0], {.node = -2, .port = 0}};
    BDL__TRY(copy_array(plan, sizeof refs, refs, &planned->in));
    planned->i_head = i_head;
    planned->step = (bdl__step){.layer = head->layer,
                                .params = head->params,
                                .name = head->layer->name,
                                .i_node = plan->graph->n_nodes + i_head,
                                .failure = plan->failure,
                                .n_in = 2};
    const bdl__shape shape[2] = {*shape_of(plan, refs[0]), *shape_of(plan, refs[1])};
    const bool integer[2] = {integer_of(plan, refs[0]), integer_of(plan, refs[1])};
    const bdl__infer_in in = {.n = 2, .shape = shape, .integer = integer};
    bdl__decl decl = {0};
    const bdl_status status = head->layer->infer(head->params, &in, &decl);
    if (status != BDL_OK) {
        return bdl__fail_in(status, "%s", head->layer->name);
    }
    BDL__TRY(describe(plan, planned, &decl));
    mark_gradients(plan, node_needs, planned);
    return plan_step(plan, planned);
}

bdl_status bdl__plan_make_steps(bdl__plan *plan)
{
    plan->n_steps = plan->graph->n_nodes + plan->options.n_heads;
    bool *node_needs = NULL;
    BDL__TRY(copy_array(plan, (size_t)plan->n_steps * sizeof *plan->steps, NULL, &plan->steps));
    BDL__TRY(copy_array(plan, (size_t)plan->graph->n_nodes, NULL, &node_needs));
    for (int64_t i = 0; i < plan->graph->n_nodes; i++) {
        BDL__TRY(make_node_step(plan, i, node_needs));
    }
    for (int i = 0; i < plan->options.n_heads; i++) {
        BDL__TRY(make_head_step(plan, i, node_needs));
    }
    return BDL_OK;
}
