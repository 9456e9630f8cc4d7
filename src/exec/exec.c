/* SPDX-License-Identifier: Apache-2.0 */
/* Running a plan: segments on teams of workers, sums between them. */
#include "exec/exec.h"

#include <string.h>

#include "exec/internal.h"

bdl_status bdl__workspace_create(const bdl_allocator *allocator, bdl__workspace **workspace)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **workspace, &memory));
    *workspace = memory;
    (*workspace)->allocator = allocator;
    return BDL_OK;
}

void bdl__workspace_free(bdl__workspace *workspace)
{
    if (workspace) {
        const bdl_allocator *const allocator = workspace->allocator;
        bdl__free(allocator, workspace->data, workspace->size);
        bdl__free(allocator, workspace, sizeof *workspace);
    }
}

static bdl_status reserve(bdl__workspace *workspace, size_t size)
{
    if (size <= workspace->size) {
        return BDL_OK;
    }
    bdl__free(workspace->allocator, workspace->data, workspace->size);
    workspace->data = NULL;
    workspace->size = 0;
    BDL__TRY(bdl__alloc(workspace->allocator, size, &workspace->data));
    workspace->size = size;
    return BDL_OK;
}

/* ---- making ------------------------------------------------------------------------------------- */

static bdl_status alloc(bdl__exec *exec, int64_t n, size_t size, void *to)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&exec->arena, (size_t)n * size + BDL__ALIGNMENT, &memory));
    *(void **)to = memory;
    return BDL_OK;
}

/* Teams take neighbouring shards; their slots are laid out one after another in the workspace. */
static size_t make_teams(const bdl__exec *exec, const bdl__segment *segment, bdl__team *teams)
{
    int64_t n_leaves = 0;
    const size_t leaf_size =
        bdl__align_up((size_t)segment->leaf_count * exec->plan->scalar_size, BDL__ALIGNMENT);
    const int64_t first = exec->plan->shards.first, n_shards = exec->plan->shards.end - first;
    for (int t = 0; t < segment->n_teams; t++) {
        bdl__split_range(n_shards, t, segment->n_teams, &teams[t].first_shard, &teams[t].end_shard);
        teams[t].first_shard += first;
        teams[t].end_shard += first;
        teams[t].leaf_size = leaf_size;
        n_leaves += bdl__tree_slots(teams[t].first_shard, teams[t].end_shard, teams[t].slot) + 1;
    }
    return (size_t)n_leaves * leaf_size;
}

typedef struct layout {
    size_t parts, teams, leaves, scratch, total;
} layout;

static layout lay_out(const bdl__exec *exec, size_t leaves_size)
{
    const bdl__plan *const plan = exec->plan;
    layout l = {0};
    l.parts = 0;
    l.teams = l.parts + (size_t)plan->n_parts * plan->part_size;
    l.leaves = l.teams + (size_t)plan->options.n_workers * plan->team_size;
    l.scratch = l.leaves + leaves_size;
    l.total = l.scratch + (size_t)plan->options.n_workers * plan->scratch_size;
    return l;
}

static size_t most_leaves(const bdl__exec *exec)
{
    size_t most = 0;
    for (int64_t s = 0; s < exec->plan->n_segments; s++) {
        const size_t size = make_teams(exec, &exec->plan->segments[s], exec->teams[s]);
        most = BDL__MAX(most, size);
    }
    return most;
}

static size_t buffers_size(const bdl__exec *exec)
{
    return (size_t)exec->plan->graph->buffers_count * exec->plan->scalar_size;
}

static bdl_status prepare(bdl__exec *exec)
{
    const bdl__plan *const plan = exec->plan;
    const int n_workers = plan->options.n_workers;
    BDL__CHECK(bdl__pool_size(exec->pool) == n_workers, BDL_ERR_STATE,
               "the plan is for %d workers, the pool has %d", n_workers, bdl__pool_size(exec->pool));
    BDL__TRY(alloc(exec, plan->n_segments, sizeof *exec->teams, &exec->teams));
    for (int64_t s = 0; s < plan->n_segments; s++) {
        BDL__TRY(alloc(exec, plan->segments[s].n_teams, sizeof **exec->teams, &exec->teams[s]));
    }
    BDL__TRY(alloc(exec, n_workers, sizeof *exec->workers, &exec->workers));
    BDL__TRY(alloc(exec, n_workers, sizeof *exec->team_barriers, &exec->team_barriers));
    for (int w = 0; w < n_workers; w++) {
        BDL__TRY(alloc(exec, plan->shards.end - plan->shards.first, sizeof *exec->workers[w].held,
                       &exec->workers[w].held));
    }
    BDL__TRY(alloc(exec, plan->sums_count * plan->n_parts, sizeof(double), &exec->sums));
    BDL__TRY(alloc(exec, plan->sums_count, sizeof(double), &exec->totals));
    const int64_t n_heads = plan->options.n_heads;
    BDL__TRY(alloc(exec, 2 * n_heads * plan->n_parts, sizeof(double), &exec->head_rows));
    BDL__TRY(alloc(exec, 2 * n_heads, sizeof(double), &exec->heads));
    BDL__TRY(alloc(exec, 1, plan->packed_size, &exec->packed));
    BDL__TRY(alloc(exec, 1, plan->options.is_training ? buffers_size(exec) : 0, &exec->buffers_before));
    const size_t size = lay_out(exec, most_leaves(exec)).total;
    return reserve(exec->workspace, BDL__MAX(size, BDL__ALIGNMENT));
}

bdl_status bdl__exec_create(const bdl_allocator *allocator, const bdl__plan *plan, bdl__pool *pool,
                            bdl__model *model, bdl__workspace *workspace, void *grads,
                            bdl__exec **exec)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **exec, &memory));
    bdl__exec *const made = memory;
    made->allocator = allocator;
    made->plan = plan;
    made->pool = pool;
    made->model = model;
    made->workspace = workspace;
    made->grads = grads;
    made->i_nonfinite = -1;
    bdl__arena_init(&made->arena, allocator);
    const bdl_status status = prepare(made);
    if (status != BDL_OK) {
        bdl__exec_free(made);
        return status;
    }
    *exec = made;
    return BDL_OK;
}

void bdl__exec_free(bdl__exec *exec)
{
    if (exec) {
        const bdl_allocator *const allocator = exec->allocator;
        bdl__exec_free_nodes(exec);
        bdl__arena_free(&exec->arena);
        bdl__free(allocator, exec, sizeof *exec);
    }
}

/* ---- running ------------------------------------------------------------------------------------ */

/* This worker's share of a step's packed areas first, first + by ... */
static void pack_step(bdl__exec *exec, const bdl__planned_step *planned, int first, int by,
                      int worker, int n_workers)
{
    const void *weights[BDL__MAX_WEIGHTS];
    for (int w = 0; w < planned->step.n_weights; w++) {
        weights[w] = bdl__model_param(exec->model, planned->first_param + w);
    }
    for (int i = first; i < BDL__MAX_SAVED; i += by) {
        int64_t begin, end;
        bdl__split_range(planned->packed[i].n_units, worker, n_workers, &begin, &end);
        if (planned->packed[i].size > 0 && begin < end) {
            planned->packed[i].pack(&planned->step, weights,
                                    (char *)exec->packed + planned->packed[i].offset, begin, end);
        }
    }
}

/* All packed areas, once after each update. */
static void pack_all(bdl__exec *exec, int worker, int n_workers)
{
    const bdl__plan *const plan = exec->plan;
    if (plan->packed_size == 0 || plan->packs_by_segment ||
        exec->packed_version == exec->model->weights_version) {
        return;
    }
    for (int64_t s = 0; s < plan->n_steps; s++) {
        pack_step(exec, &plan->steps[s], 0, 1, worker, n_workers);
    }
    bdl__barrier_wait(&exec->barrier, n_workers);
}

/* The areas that this segment reads. The workers have met at the end of the one before. */
static void pack_segment(bdl__exec *exec, const bdl__segment *segment, int worker, int n_workers)
{
    const bdl__plan *const plan = exec->plan;
    if (!plan->packs_by_segment || plan->n_parts == 0) {
        return; /* without samples, so that other ranks' new weights may come at any time */
    }
    for (int64_t o = segment->first_op; o < segment->end_op; o++) {
        const bdl__op *const op = &plan->ops[o];
        pack_step(exec, &plan->steps[op->i_step], op->is_backward, 2, worker, n_workers);
    }
    bdl__barrier_wait(&exec->barrier, n_workers);
}

static bool has_failed(const bdl__exec *exec)
{
    return atomic_load(&exec->plan->failure->error) != NULL;
}

/* Once one call has been left out, so are all that follow: the results are worth nothing. */
static bool must_leave_out(bdl__exec *exec)
{
    if (has_failed(exec)) {
        return true;
    }
    if (!exec->batch.cancel) {
        return false;
    }
    if (bdl__is_cancelled(exec->batch.cancel)) {
        exec->is_cancelled = true;
    }
    return exec->is_cancelled;
}

static void call_op(bdl__exec *exec, const bdl__segment *segment, int i_team, int worker,
                    int64_t i_op, int64_t i_part, int64_t n_parts, int rank, int size)
{
    const bdl__op *const op = &exec->plan->ops[i_op];
    if ((op->is_backward && exec->batch.forward_only) || must_leave_out(exec)) {
        return;
    }
    bdl__exec_call(exec, segment, i_team, worker, op, i_part, n_parts, rank, size);
}

/* Part by part: everything of a part is done while it is in the cache. */
static void run_depth(bdl__exec *exec, const bdl__segment *segment, int i_team, int worker, int rank)
{
    const bdl__plan *const plan = exec->plan;
    bdl__team *const team = &exec->teams[segment - plan->segments][i_team];
    for (int64_t shard = team->first_shard; shard < team->end_shard; shard++) {
        int64_t begin, end;
        bdl__plan_shard_parts(plan, shard, &begin, &end);
        for (int64_t part = begin; part < end; part++) {
            for (int64_t o = segment->first_op; o < segment->end_op; o++) {
                if (plan->ops[o].is_dropped) {
                    continue;
                }
                const bool is_shared = plan->steps[plan->ops[o].i_step].step.splits;
                if (is_shared || rank == 0) {
                    call_op(exec, segment, i_team, worker, o, part, 1, is_shared ? rank : 0,
                            is_shared ? segment->team_size : 1);
                }
                bdl__barrier_wait(&exec->team_barriers[i_team], segment->team_size);
            }
        }
        if (segment->leaf_count > 0 && rank == 0) {
            bdl__exec_push(exec, team, shard, 0, segment->leaf_count,
                           bdl__exec_leaf(team, shard));
        }
        bdl__barrier_wait(&exec->team_barriers[i_team], segment->team_size);
    }
}

/* Gradients of steps that do not take many parts go through one leaf a shard, so their parts must come
 * in order: one member of the team does them. */
static bool must_be_in_order(const bdl__planned_step *planned, const bdl__op *op)
{
    return op->is_backward && op->pass == 0 && planned->step.needs_diff_weights;
}

static void push_op(bdl__exec *exec, bdl__team *team, const bdl__op *op, int64_t shard)
{
    const bdl__planned_step *const planned = &exec->plan->steps[op->i_step];
    char *const leaf = bdl__exec_leaf(team, shard);
    for (int w = 0; w < planned->step.n_weights; w++) {
        if (op->leaf_offset[w] >= 0) {
            const int64_t count = bdl__round_up(
                exec->plan->graph->params[planned->first_param + w].count, BDL__PARAM_ALIGNMENT);
            bdl__exec_push(exec, team, shard, op->leaf_offset[w], count,
                           leaf + (size_t)op->leaf_offset[w] * exec->plan->scalar_size);
        }
    }
}

static void run_op_in_order(bdl__exec *exec, const bdl__segment *segment, int i_team, int worker,
                            int64_t o)
{
    const bdl__plan *const plan = exec->plan;
    bdl__team *const team = &exec->teams[segment - plan->segments][i_team];
    for (int64_t shard = team->first_shard; shard < team->end_shard; shard++) {
        int64_t begin, end;
        bdl__plan_shard_parts(plan, shard, &begin, &end);
        for (int64_t part = begin; part < end; part++) {
            call_op(exec, segment, i_team, worker, o, part, 1, 0, 1);
        }
        push_op(exec, team, &plan->ops[o], shard);
    }
}

/* Op by op over all parts of the team's run, so that large weights are read once. */
static void run_breadth(bdl__exec *exec, const bdl__segment *segment, int i_team, int worker,
                        int rank)
{
    const bdl__plan *const plan = exec->plan;
    const bdl__team *const team = &exec->teams[segment - plan->segments][i_team];
    int64_t first, end, unused;
    if (team->first_shard == team->end_shard) {
        return; /* other ranks have all slices */
    }
    bdl__plan_shard_parts(plan, team->first_shard, &first, &unused);
    bdl__plan_shard_parts(plan, team->end_shard - 1, &unused, &end);
    for (int64_t o = segment->first_op; o < segment->end_op; o++) {
        const bdl__op *const op = &plan->ops[o];
        const bdl__planned_step *const planned = &plan->steps[op->i_step];
        if (op->is_dropped) {
            continue;
        }
        if (planned->step.takes_many) {
            call_op(exec, segment, i_team, worker, o, first, end - first, rank,
                    segment->team_size);
        } else if (must_be_in_order(planned, op)) {
            if (rank == 0) {
                run_op_in_order(exec, segment, i_team, worker, o);
            }
        } else {
            int64_t from, to;
            bdl__split_range(end - first, rank, segment->team_size, &from, &to);
            for (int64_t part = first + from; part < first + to; part++) {
                call_op(exec, segment, i_team, worker, o, part, 1, 0, 1);
            }
        }
        bdl__barrier_wait(&exec->team_barriers[i_team], segment->team_size);
    }
}

static void call_hook(bdl__exec *exec, int worker, bool is_end)
{
    const bdl__exec_worker w = {.worker = worker,
                                .n_workers = exec->plan->options.n_workers,
                                .barrier = &exec->barrier,
                                .heads = exec->heads,
                                .is_end = is_end};
    exec->hook(exec->hook_arg, &w);
}

/* With other ranks: what this rank has summed goes out, and comes back as totals over all. */
static void meet_ranks(bdl__exec *exec, const bdl__segment *segment, int worker, int n_workers)
{
    if (worker == 0) {
        if (!has_failed(exec)) { /* no rank may use what is not there */
            bdl__exec_tell_ready(exec, segment);
        }
        exec->status = bdl__exec_exchange(exec, segment);
        exec->calls_hook = exec->hook && segment->leaf_count > 0 && exec->status == BDL_OK &&
                           !exec->is_cancelled && !has_failed(exec);
    }
    bdl__barrier_wait(&exec->barrier, n_workers);
    if (exec->status == BDL_OK) {
        bdl__exec_finish_sums(exec, segment, worker, n_workers);
    }
    bdl__barrier_wait(&exec->barrier, n_workers);
    if (exec->calls_hook) {
        call_hook(exec, worker, false);
    }
}

/* With other ranks: what this one has left out is no secret any more. */
static void agree_on_cancel(bdl__exec *exec, int worker, int n_workers)
{
    if (!exec->reduce || !exec->batch.cancel) {
        return;
    }
    bdl__barrier_wait(&exec->barrier, n_workers); /* all have read the status of the last segment */
    if (worker == 0) {
        bool is_cancelled = exec->is_cancelled;
        exec->status = exec->reduce->agree(exec->reduce->arg, &is_cancelled);
        exec->is_cancelled = is_cancelled;
    }
    bdl__barrier_wait(&exec->barrier, n_workers);
}

static void run_segment(bdl__exec *exec, const bdl__segment *segment, int worker)
{
    const int n_workers = exec->plan->options.n_workers;
    const int i_team = worker / segment->team_size;
    pack_segment(exec, segment, worker, n_workers);
    if (i_team < segment->n_teams) {
        const int rank = worker % segment->team_size;
        if (segment->is_breadth) {
            run_breadth(exec, segment, i_team, worker, rank);
        } else {
            run_depth(exec, segment, i_team, worker, rank);
        }
    }
    bdl__barrier_wait(&exec->barrier, n_workers);
    if (segment->has_sums || segment->leaf_count > 0) {
        bdl__exec_sum(exec, segment, worker, n_workers);
        bdl__exec_reduce(exec, segment, exec->teams[segment - exec->plan->segments], worker,
                         n_workers);
        bdl__barrier_wait(&exec->barrier, n_workers);
    }
    if (exec->reduce) {
        meet_ranks(exec, segment, worker, n_workers);
    }
}

static void run_worker(void *arg, int worker)
{
    bdl__exec *const exec = arg;
    const bdl__plan *const plan = exec->plan;
    const int n_workers = plan->options.n_workers;
    pack_all(exec, worker, n_workers);
    for (int64_t s = 0; s < plan->n_segments; s++) {
        run_segment(exec, &plan->segments[s], worker);
        if (exec->status != BDL_OK) {
            return;
        }
    }
    if (has_failed(exec)) {
        return; /* other ranks learn of it from whoever called */
    }
    agree_on_cancel(exec, worker, n_workers);
    if (exec->status == BDL_OK && exec->hook && !exec->is_cancelled) {
        /* all workers see the same: calls have ended */
        call_hook(exec, worker, true);
    }
}

/* Gives this run its memory in the workspace, which may have moved since the last one. */
static void place_memory(bdl__exec *exec)
{
    const bdl__plan *const plan = exec->plan;
    const layout l = lay_out(exec, most_leaves(exec));
    char *const base = exec->workspace->data;
    exec->part_memory = base + l.parts;
    exec->team_memory = base + l.teams;
    for (int w = 0; w < plan->options.n_workers; w++) {
        exec->workers[w].scratch = base + l.scratch + (size_t)w * plan->scratch_size;
    }
    for (int64_t s = 0; s < plan->n_segments; s++) {
        char *leaf = base + l.leaves;
        for (int t = 0; t < plan->segments[s].n_teams && plan->segments[s].leaf_count > 0; t++) {
            bdl__team *const team = &exec->teams[s][t];
            const int n = bdl__tree_slots(team->first_shard, team->end_shard, team->slot);
            team->carry = leaf;
            team->slots = leaf + team->leaf_size;
            leaf += (size_t)(n + 1) * team->leaf_size;
        }
    }
}

/* Results may lie in the batch's own memory, so where that is must be known after the call too. */
static void keep_batch(bdl__exec *exec, const bdl__exec_batch *batch)
{
    const bdl__graph *const graph = exec->plan->graph;
    exec->batch = *batch;
    memcpy(exec->inputs, batch->inputs, (size_t)graph->n_inputs * sizeof *batch->inputs);
    exec->batch.inputs = exec->inputs;
    if (batch->output_diffs) {
        memcpy(exec->output_diffs, batch->output_diffs,
               (size_t)graph->n_outputs * sizeof *batch->output_diffs);
        exec->batch.output_diffs = exec->output_diffs;
    }
}

bdl_status bdl__exec_run(bdl__exec *exec, const bdl__exec_batch *batch, bdl__exec_hook hook,
                         void *hook_arg)
{
    BDL__CHECK(batch->n_slices == exec->plan->options.n_slices, BDL_ERR_INTERNAL,
               "the plan is for %lld slices, the batch has %lld",
               (long long)exec->plan->options.n_slices, (long long)batch->n_slices);
    keep_batch(exec, batch);
    exec->is_cancelled = false;
    exec->hook = hook;
    exec->hook_arg = hook_arg;
    exec->reduce = batch->reduce;
    exec->status = BDL_OK;
    atomic_store(&exec->plan->failure->error, NULL);
    place_memory(exec);
    if (exec->reduce) {
        BDL__TRY(bdl__exec_reserve_nodes(exec));
    }
    const bool changes_buffers = exec->plan->options.is_training && batch->cancel;
    if (changes_buffers) {
        memcpy(exec->buffers_before, exec->model->buffers, buffers_size(exec));
    }
    const uint64_t version = exec->model->weights_version;
    BDL__TRY(bdl__pool_run(exec->pool, run_worker, exec));
    const char *const failure = atomic_load(&exec->plan->failure->error);
    if (!failure) {
        exec->packed_version = version;
    }
    if ((exec->is_cancelled || failure) && changes_buffers) {
        memcpy(exec->model->buffers, exec->buffers_before, buffers_size(exec));
    }
    BDL__CHECK(!failure, BDL_ERR_OUT_OF_MEMORY, "layer '%s': %s: %s", exec->plan->failure->name,
               exec->plan->failure->library, failure);
    BDL__TRY(exec->status); /* of an exchange, which this thread has made */
    BDL__CHECK(!exec->is_cancelled, BDL_ERR_CANCELLED, "cancelled");
    return BDL_OK;
}

/* ---- results ------------------------------------------------------------------------------------ */

const double *bdl__exec_heads(const bdl__exec *exec) { return exec->heads; }

static bdl__span result_span(const bdl__exec *exec, int32_t i_area)
{
    if (i_area < 0) {
        return (bdl__span){0};
    }
    const bdl__area *const area = bdl__plan_area(exec->plan, i_area);
    if (area->kind == BDL__AREA_INPUT) {
        return exec->batch.inputs[area->i_external];
    }
    if (area->kind == BDL__AREA_OUTPUT_DIFF) {
        return exec->batch.output_diffs[area->i_external];
    }
    return (bdl__span){exec->part_memory + area->offset, (int64_t)exec->plan->part_size};
}

bdl__span bdl__exec_output(const bdl__exec *exec, int64_t i_output)
{
    return result_span(exec, exec->plan->output_area[i_output]);
}

bdl__span bdl__exec_input_diff(const bdl__exec *exec, int64_t i_input)
{
    return result_span(exec, exec->plan->input_diff_area[i_input]);
}

/* The first step that any rank has found. */
static bdl_status first_of_ranks(bdl__exec *exec)
{
    const bdl__reduce *const reduce = exec->reduce;
    if (!reduce) {
        return BDL_OK;
    }
    for (int r = 0; r < reduce->n_ranks; r++) {
        exec->value_counts[r] = 1;
    }
    exec->node_sums[reduce->rank] = (double)exec->i_nonfinite;
    BDL__TRY(reduce->exchange(reduce->arg, exec->value_counts, exec->node_sums));
    for (int r = 0; r < reduce->n_ranks; r++) {
        const int64_t found = (int64_t)exec->node_sums[r];
        if (found >= 0 && (exec->i_nonfinite < 0 || found < exec->i_nonfinite)) {
            exec->i_nonfinite = found;
        }
    }
    return BDL_OK;
}

bdl_status bdl__exec_find_nonfinite(bdl__exec *exec, const bdl__exec_batch *batch,
                                    const char **node_name)
{
    bdl__exec_batch run = *batch;
    run.cancel = NULL; /* that would hide what the run before has met, and left in the statistics */
    exec->stop_at_nonfinite = true;
    exec->i_nonfinite = -1;
    const bdl_status status = bdl__exec_run(exec, &run, NULL, NULL);
    exec->stop_at_nonfinite = false;
    BDL__TRY(status);
    BDL__TRY(first_of_ranks(exec));
    *node_name =
        exec->i_nonfinite < 0 ? NULL : exec->plan->steps[exec->i_nonfinite].step.name;
    return BDL_OK;
}
