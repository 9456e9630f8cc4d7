/* SPDX-License-Identifier: Apache-2.0 */
/* Plans and execs by the number of slices of a batch. */
#include "train/runner.h"

/* Sizes that are kept: the full batch, the short last one, and those of shards that ran out early. */
#define MAX_PLANS 4

typedef struct planned {
    int64_t n_slices, first_slice, whole_slices; /* see bdl__plan_options */
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
};

bdl_status bdl__runner_create(const bdl_allocator *allocator, bdl__model *model, bdl__pool *pool,
                              bdl__workspace *workspace, const bdl__runner_options *options,
                              bdl__runner **runner)
{
    BDL__CHECK(model->graph->n_inputs == 1, BDL_ERR_UNSUPPORTED,
               "data sets give one input; the model has %lld", (long long)model->graph->n_inputs);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **runner, &memory));
    *runner = memory;
    (*runner)->allocator = allocator;
    (*runner)->model = model;
    (*runner)->pool = pool;
    (*runner)->workspace = workspace;
    (*runner)->options = *options;
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
        bdl__free(runner->allocator, runner, sizeof *runner);
    }
}

static bdl_status make(const bdl__runner *runner, planned key, planned *entry)
{
    const bdl__runner_options *const o = &runner->options;
    const bdl__plan_options options = {.graph = runner->model->graph,
                                       .is_training = o->is_training,
                                       .precision = o->precision,
                                       .target = o->target,
                                       .n_workers = bdl__pool_size(runner->pool),
                                       .n_slices = key.n_slices,
                                       .first_slice = key.first_slice,
                                       .whole_slices = key.whole_slices,
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
        return status;
    }
    entry->n_slices = key.n_slices;
    entry->first_slice = key.first_slice;
    entry->whole_slices = key.whole_slices;
    return BDL_OK;
}

/* What makes this batch's plan. */
static planned key_of(const bdl__runner *runner, const bdl__batch *batch)
{
    const bdl__ranks *const ranks = runner->options.ranks;
    planned key = {.n_slices = batch->n_slices};
    if (ranks) {
        key.first_slice = ranks->bounds[ranks->rank];
        key.whole_slices = ranks->bounds[ranks->n];
    }
    return key;
}

/* The entry for this size; the one that was not used for longest makes room. */
static bdl_status find(bdl__runner *runner, planned key, planned **entry)
{
    planned *oldest = &runner->plans[0];
    for (int i = 0; i < MAX_PLANS; i++) {
        planned *const p = &runner->plans[i];
        if (p->plan && p->n_slices == key.n_slices && p->first_slice == key.first_slice &&
            p->whole_slices == key.whole_slices) {
            p->last_use = ++runner->n_uses;
            *entry = p;
            return BDL_OK;
        }
        oldest = p->last_use < oldest->last_use ? p : oldest;
    }
    drop(oldest);
    BDL__TRY(make(runner, key, oldest));
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
    return (bdl__exec_batch){.n_slices = batch->n_slices,
                             .valid = batch->valid,
                             .inputs = input,
                             .target = runner->options.target_is_input
                                           ? *input
                                           : span_of(batch->target, batch->target_stride),
                             .reduce = runner->options.ranks ? &runner->options.ranks->reduce : NULL,
                             .cancel = runner->options.cancel,
                             .seed = seed,
                             .step = step};
}

bdl_status bdl__runner_run(bdl__runner *runner, const bdl__batch *batch, uint64_t seed,
                           uint64_t step, bdl__exec_hook hook, void *hook_arg, bdl__exec **exec)
{
    planned *entry = NULL;
    BDL__TRY(find(runner, key_of(runner, batch), &entry));
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
    BDL__TRY(find(runner, key_of(runner, batch), &entry));
    const bdl__span input = span_of(batch->input, batch->input_stride);
    const bdl__exec_batch run = exec_batch(runner, batch, &input, seed, step);
    return bdl__exec_find_nonfinite(entry->exec, &run, node_name);
}

bdl_status bdl__runner_plan(bdl__runner *runner, const bdl__plan **plan)
{
    planned *entry = NULL;
    const int64_t n_slices = (runner->options.batch + BDL__SLICE - 1) / BDL__SLICE;
    BDL__TRY(find(runner, (planned){.n_slices = n_slices}, &entry));
    *plan = entry->plan;
    return BDL_OK;
}
