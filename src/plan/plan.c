/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing a plan. */
#include "plan/plan.h"

#include <assert.h>
#include <string.h>

#include "plan/internal.h"

static bdl_status copy_heads(bdl__plan *plan)
{
    void *memory = NULL;
    const size_t size = (size_t)plan->options.n_heads * sizeof(bdl__head);
    BDL__TRY(bdl__arena_alloc(&plan->arena, size + 1, &memory));
    if (size > 0) {
        memcpy(memory, plan->options.heads, size);
    }
    plan->options.heads = memory;
    return BDL_OK;
}

static bdl_status make(bdl__plan *plan)
{
    BDL__TRY(copy_heads(plan));
    BDL__TRY(bdl__plan_make_steps(plan));
    BDL__TRY(bdl__plan_make_ops(plan));
    BDL__TRY(bdl__plan_make_segments(plan));
    return bdl__plan_place(plan);
}

static bdl_status place_shards(bdl__plan *plan)
{
    const bdl__shards *const given = plan->options.shards;
    const int64_t n_slices = plan->options.n_slices, n = bdl__n_shards(n_slices);
    const size_t size = (size_t)((given ? given->end - given->first : n) + 1) * sizeof(int64_t);
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&plan->arena, size, &memory));
    int64_t *const bounds = memory;
    if (given) {
        plan->shards = *given;
        memcpy(bounds, given->bounds, size);
    } else {
        plan->shards = (bdl__shards){.n = n, .end = n};
        (void)bdl__shards_cut(n, n_slices, NULL, n_slices, 0, bounds);
    }
    plan->shards.bounds = bounds;
    plan->options.shards = NULL; /* borrowed */
    assert(bounds[plan->shards.end - plan->shards.first] - bounds[0] == n_slices);
    return BDL_OK;
}

bdl_status bdl__plan_create(const bdl_allocator *allocator, const bdl__plan_options *options,
                            bdl__plan **plan)
{
    BDL__CHECK((options->n_slices > 0 || options->shards) && options->n_workers > 0,
               BDL_ERR_INVALID_ARGUMENT, "a plan needs at least one slice and one worker");
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **plan, &memory));
    bdl__plan *const made = memory;
    bdl__arena_init(&made->arena, allocator);
    made->options = *options;
    made->graph = bdl__graph_retain(options->graph);
    made->lanes = bdl__target_lanes(options->target);
    made->scalar_size = options->target == BDL__TARGET_F64 ? 8 : 4;
    made->real_size = made->scalar_size * (size_t)made->lanes;
    made->n_parts_slice = BDL__SLICE / made->lanes;
    made->n_parts = options->few_samples ? 1 : options->n_slices * made->n_parts_slice;
    bdl_status status = bdl__arena_alloc(&made->arena, sizeof *made->failure, &memory);
    made->failure = status == BDL_OK ? memory : NULL;
    if (status == BDL_OK) {
        status = place_shards(made);
    }
    if (status == BDL_OK) {
        status = make(made);
    }
    if (status != BDL_OK) {
        bdl__plan_free(made);
        return status;
    }
    *plan = made;
    return BDL_OK;
}

void bdl__plan_free(bdl__plan *plan)
{
    if (!plan) {
        return;
    }
    for (int64_t i = 0; plan->steps && i < plan->n_steps; i++) {
        bdl__step *const step = &plan->steps[i].step;
        if (step->layer && step->layer->release) {
            step->layer->release(step);
        }
    }
    const bdl_allocator *const allocator = plan->arena.allocator;
    bdl__graph_release(plan->graph);
    bdl__arena_free(&plan->arena);
    bdl__free(allocator, plan, sizeof *plan);
}
