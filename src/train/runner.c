/* SPDX-License-Identifier: Apache-2.0 */
/* Plans and execs by the slices of a step and the shards that these are in. */
#include "train/runner.h"

#include <string.h>

/* Sizes that are kept: the full batch, the short last one, and those of shards that ran out early. */
#define MAX_PLANS 4

typedef struct planned {
    bdl__plan *plan;
    bdl__exec *exec;
    uint64_t last_use;
} planned;

struct bdl__runner {
    const bdl_allocator *allocator;
    bdl__model *model;
    bdl__pool *pool;
    bdl__workspace *workspace;
    bdl__runner_options options;
    planned plans[MAX_PLANS];
    uint64_t n_uses;
    int64_t n_slices, n_shards; /* of a full batch */
    int64_t *bounds;            /* owned, [n_shards + 1]: of the shards of the current step */
};

static size_t bounds_size(const bdl__runner *runner)
{
    return (size_t)(runner->n_shards + 1) * sizeof(int64_t);
}

bdl_status bdl__runner_create(const bdl_allocator *allocator, bdl__model *model, bdl__pool *pool,
                              bdl__workspace *workspace, const bdl__runner_options *options,
                              bdl__runner **runner)
{
    BDL__CHECK(model->graph->n_inputs == 1, BDL_ERR_UNSUPPORTED,
               "data sets give one input; the model has %lld", (long long)model->graph->n_inputs);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **runner, &memory));
    bdl__runner *const made = memory;
    made->allocator = allocator;
    made->model = model;
    made->pool = pool;
    made->workspace = workspace;
    made->options = *options;
    made->n_slices = (options->batch + BDL__SLICE - 1) / BDL__SLICE;
    made->n_shards = options->n_shards ? options->n_shards : bdl__n_shards(made->n_slices);
    const bdl_status status = bdl__alloc(allocator, bounds_size(made), &memory);
    if (status != BDL_OK) {
        bdl__runner_free(made);
        return status;
    }
    made->bounds = memory;
    *runner = made;
    return BDL_OK;
}

static void drop(planned *entry)
{
    bdl__exec_free(entry->exec);
    bdl__plan_free(entry->plan);
    *entry = (planned){0};
}

void bdl__runner_free(bdl__runner *runner)
{
    if (runner) {
        for (int i = 0; i < MAX_PLANS; i++) {
            drop(&runner->plans[i]);
        }
        bdl__free(runner->allocator, runner->bounds, bounds_size(runner));
        bdl__free(runner->allocator, runner, sizeof *runner);
    }
}

static bdl_status make(const bdl__runner *runner, int64_t n_slices, const bdl__shards *shards,
                       planned *entry)
{
    const bdl__runner_options *const o = &runner->options;
    const bdl__plan_options options = {.graph = runner->model->graph,
                                       .is_training = o->is_training,
                                       .precision = o->precision,
                                       .target = o->target,
                                       .n_workers = bdl__pool_size(runner->pool),
                                       .n_slices = n_slices,
                                       .shards = shards,
                                       .bucket_count = o->bucket_count,
                                       .global_batch = o->batch,
                                       .few_samples = o->few_samples,
                                       .heads = o->heads,
                                       .n_heads = o->n_heads,
                                       .target_shape = o->target_shape,
                                       .target_integer = o->target_integer};
    BDL__TRY(bdl__plan_create(runner->allocator, &options, &entry->plan));
    const bdl_status status =
        bdl__exec_create(runner->allocator, entry->plan, runner->pool, runner->model,
                         runner->workspace, o->grads, &entry->exec);
    if (status != BDL_OK) {
        drop(entry);
    }
    return status;
}

/* The shards of this batch, those of other ranks counted. */
static bdl__shards shards_of(const bdl__runner *runner, const bdl__batch *batch)
{
    const bdl__ranks *const ranks = runner->options.ranks;
    const int64_t first_slice = ranks ? ranks->bounds[ranks->rank] : 0;
    const int64_t first = ranks ? ranks->shard_bounds[ranks->rank] : 0;
    const int64_t n = bdl__shards_cut(runner->n_shards, runner->n_slices, batch->places,
                                      batch->n_slices, first_slice, runner->bounds);
    return (bdl__shards){.n = ranks ? ranks->shard_bounds[ranks->n] : n,
                         .first = first,
                         .end = first + n,
                         .bounds = runner->bounds};
}

static bool is_for(const bdl__plan *plan, const bdl__shards *shards)
{
    const bdl__shards *const its = &plan->shards;
    const size_t size = (size_t)(shards->end - shards->first + 1) * sizeof(int64_t);
    return its->n == shards->n && its->first == shards->first && its->end == shards->end &&
           memcmp(its->bounds, shards->bounds, size) == 0;
}

/* The entry for this batch; the one that was not used for longest makes room. */
static bdl_status find(bdl__runner *runner, const bdl__batch *batch, planned **entry)
{
    const bdl__shards shards = shards_of(runner, batch);
    planned *oldest = &runner->plans[0];
    for (int i = 0; i < MAX_PLANS; i++) {
        planned *const p = &runner->plans[i];
        if (p->plan && is_for(p->plan, &shards)) {
            p->last_use = ++runner->n_uses;
            *entry = p;
            return BDL_OK;
        }
        oldest = p->last_use < oldest->last_use ? p : oldest;
    }
    drop(oldest);
    BDL__TRY(make(runner, batch->n_slices, &shards, oldest));
    oldest->last_use = ++runner->n_uses;
    *entry = oldest;
    return BDL_OK;
}

/* Batches are read only; spans serve outputs too and so are not const. */
static bdl__span span_of(const void *data, int64_t stride)
{
    return (bdl__span){(void *)(uintptr_t)data, stride};
}

static bdl__exec_batch exec_batch(const bdl__runner *runner, const bdl__batch *batch,
                                  const bdl__span *input, uint64_t seed, uint64_t step)
{
    bdl__ranks *const ranks = runner->options.ranks;
    return (bdl__exec_batch){.n_slices = batch->n_slices,
                             .valid = batch->valid,
                             .inputs = input,
                             .target = runner->options.target_is_input
                                           ? *input
                                           : span_of(batch->target, batch->target_stride),
                             .reduce = ranks ? &ranks->reduce : NULL,
                             .cancel = !ranks || ranks->agrees ? runner->options.cancel : NULL,
                             .seed = seed,
                             .step = step};
}

bdl_status bdl__runner_run(bdl__runner *runner, const bdl__batch *batch, uint64_t seed,
                           uint64_t step, bdl__exec_hook hook, void *hook_arg, bdl__exec **exec)
{
    planned *entry = NULL;
    BDL__TRY(find(runner, batch, &entry));
    if (runner->options.shares) {
        BDL__TRY(bdl__shares_begin(runner->options.shares, entry->plan));
    }
    const bdl__span input = span_of(batch->input, batch->input_stride);
    const bdl__exec_batch run = exec_batch(runner, batch, &input, seed, step);
    BDL__TRY(bdl__exec_run(entry->exec, &run, hook, hook_arg));
    *exec = entry->exec;
    return BDL_OK;
}

bdl_status bdl__runner_find_nonfinite(bdl__runner *runner, const bdl__batch *batch, uint64_t seed,
                                      uint64_t step, const char **node_name)
{
    planned *entry = NULL;
    BDL__TRY(find(runner, batch, &entry));
    const bdl__span input = span_of(batch->input, batch->input_stride);
    const bdl__exec_batch run = exec_batch(runner, batch, &input, seed, step);
    return bdl__exec_find_nonfinite(entry->exec, &run, node_name);
}
