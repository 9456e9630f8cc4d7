/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradient sums. Every team adds up the subtrees that lie in its run of shards as it goes; when the
 * segment is done, the workers split the weights and add what the teams hold in the order of the tree.
 */
#include <assert.h>
#include <string.h>

#include "exec/internal.h"

/* dst = a + b */
static void add(void *dst, const void *a, const void *b, int64_t n, bool is_f64)
{
    if (is_f64) {
        double *const d = dst;
        const double *const x = a;
        const double *const y = b;
        for (int64_t i = 0; i < n; i++) {
            d[i] = x[i] + y[i];
        }
    } else {
        float *const d = dst;
        const float *const x = a;
        const float *const y = b;
        for (int64_t i = 0; i < n; i++) {
            d[i] = x[i] + y[i];
        }
    }
}

static char *slot_at(const bdl__exec *exec, const bdl__team *team, int place)
{
    assert(team->slot[place] >= 0);
    return team->slots + (size_t)team->slot[place] * exec->leaf_size;
}

void *bdl__exec_leaf(bdl__exec *exec, bdl__team *team, int64_t i_shard)
{
    return bdl__tree_merges(team->first_shard, 0, i_shard)
               ? team->carry
               : slot_at(exec, team, bdl__tree_place(0, i_shard));
}

void bdl__exec_push(bdl__exec *exec, bdl__team *team, int64_t i_shard, int64_t offset, int64_t count,
                    void *values)
{
    const size_t scalar_size = exec->plan->scalar_size;
    const bool is_f64 = scalar_size == 8;
    const size_t at = (size_t)offset * scalar_size;
    int level = 0;
    int64_t i = i_shard;
    if (!bdl__tree_merges(team->first_shard, 0, i)) {
        char *const slot = slot_at(exec, team, bdl__tree_place(0, i)) + at;
        if (slot != values) {
            memcpy(slot, values, (size_t)count * scalar_size);
        }
        return;
    }
    while (bdl__tree_merges(team->first_shard, level, i)) {
        const char *const left = slot_at(exec, team, bdl__tree_place(level, i - 1)) + at;
        level++;
        i >>= 1;
        char *const dst = bdl__tree_merges(team->first_shard, level, i)
                              ? values
                              : slot_at(exec, team, bdl__tree_place(level, i)) + at;
        add(dst, left, values, count, is_f64);
    }
}

void bdl__grad_commit(bdl__cx *cx, int i_weight, int64_t offset, int64_t count, int64_t i_slice,
                      void *values)
{
    struct bdl__grad_sink *const sink = cx->grad_sink;
    bdl__exec *const exec = sink->exec;
    const int64_t leaf = sink->op->leaf_offset[i_weight];
    if (leaf < 0) {
        return; /* frozen */
    }
    const int64_t n_shards = bdl__n_shards(exec->n_slices);
    const int64_t i_shard = (i_slice * n_shards + n_shards - 1) / exec->n_slices;
    int64_t begin, end;
    bdl__shard_slices(i_shard, n_shards, exec->n_slices, &begin, &end);
    assert(begin <= i_slice && i_slice < end);
    const size_t scalar_size = exec->plan->scalar_size;
    char *const kept =
        (char *)bdl__exec_leaf(exec, sink->team, i_shard) + (size_t)(leaf + offset) * scalar_size;
    const bool is_first = i_slice == begin && !sink->op->leaf_adds[i_weight];
    if (is_first) {
        if (end == begin + 1) {
            bdl__exec_push(exec, sink->team, i_shard, leaf + offset, count, values);
            return;
        }
        memcpy(kept, values, (size_t)count * scalar_size);
    } else {
        add(kept, kept, values, count, scalar_size == 8);
    }
    if (i_slice == end - 1) {
        bdl__exec_push(exec, sink->team, i_shard, leaf + offset, count, kept);
    }
}

/* ---- between teams ------------------------------------------------------------------------------ */

typedef struct reduction {
    const bdl__exec *exec;
    const bdl__team *teams;
    int n_teams;
    int64_t n_shards;
    size_t at; /* bytes into a leaf */
    int64_t count;
    char stack[BDL__TREE_LEVELS + 1][BDL__REDUCE_CHUNK * 8];
} reduction;

/* The team that holds node (level, i) as a whole, or NULL. */
static const bdl__team *holder(const reduction *r, int level, int64_t i)
{
    const int64_t low = i << level, high = (i + 1) << level;
    for (int t = 0; t < r->n_teams; t++) {
        if (r->teams[t].first_shard <= low && high <= r->teams[t].end_shard) {
            return &r->teams[t];
        }
    }
    return NULL;
}

/* The sum of a node: where a team holds it, or left + right in the level's own buffer. */
static const char *node_sum(reduction *r, int level, int64_t i)
{
    const bdl__team *const team = holder(r, level, i);
    if (team) {
        return slot_at(r->exec, team, bdl__tree_place(level, i)) + r->at;
    }
    assert(level > 0);
    const char *const left = node_sum(r, level - 1, 2 * i);
    if ((2 * i + 1) << (level - 1) >= r->n_shards) {
        return left;
    }
    char *const sum = r->stack[level];
    if (left != sum) {
        memcpy(sum, left, (size_t)r->count * r->exec->plan->scalar_size);
    }
    const char *const right = node_sum(r, level - 1, 2 * i + 1);
    add(sum, sum, right, r->count, r->exec->plan->scalar_size == 8);
    return sum;
}

static void reduce_chunk(reduction *r, const bdl__leaf_range *range, int64_t at, int64_t count)
{
    const bdl__exec *const exec = r->exec;
    const size_t size = exec->plan->scalar_size;
    int top = 0;
    while ((int64_t)1 << top < r->n_shards) {
        top++;
    }
    r->at = (size_t)(range->offset + at) * size;
    r->count = count;
    const char *const sum = node_sum(r, top, 0);
    char *const grads =
        (char *)exec->grads +
        (size_t)(exec->plan->graph->params[range->i_param].offset + at) * size;
    if (range->adds) {
        add(grads, grads, sum, count, size == 8);
    } else {
        memcpy(grads, sum, (size_t)count * size);
    }
}

/* The worker's share: an even part of the segment's leaf, in whole vectors of 16. */
void bdl__exec_reduce(bdl__exec *exec, const bdl__segment *segment, bdl__team *teams, int worker,
                      int n_workers)
{
    reduction r = {.exec = exec,
                   .teams = teams,
                   .n_teams = segment->n_teams,
                   .n_shards = bdl__n_shards(exec->n_slices)};
    int64_t begin, end;
    bdl__split_range(segment->leaf_count / BDL__PARAM_ALIGNMENT, worker, n_workers, &begin, &end);
    begin *= BDL__PARAM_ALIGNMENT;
    end *= BDL__PARAM_ALIGNMENT;
    for (int64_t i = segment->first_leaf_range; i < segment->end_leaf_range; i++) {
        const bdl__leaf_range *const range = &exec->plan->leaf_ranges[i];
        const int64_t count = exec->plan->graph->params[range->i_param].count;
        const int64_t from = BDL__MAX(begin, range->offset) - range->offset;
        const int64_t to = BDL__MIN(end, range->offset + count) - range->offset;
        for (int64_t at = from; at < to; at += BDL__REDUCE_CHUNK) {
            reduce_chunk(&r, range, at, BDL__MIN(BDL__REDUCE_CHUNK, to - at));
        }
    }
}
