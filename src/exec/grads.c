/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradient sums. Every team adds up the subtrees that lie in its run of shards as it goes; when the
 * segment is done, the workers split the weights and add what the teams hold in the order of the tree.
 */
#include <assert.h>
#include <string.h>

#include "base/bf16.h"
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

static char *slot_at(const bdl__team *team, int place)
{
    assert(team->slot[place] >= 0);
    return team->slots + (size_t)team->slot[place] * team->leaf_size;
}

void *bdl__exec_leaf(bdl__team *team, int64_t i_shard)
{
    return bdl__tree_merges(team->first_shard, 0, i_shard)
               ? team->carry
               : slot_at(team, bdl__tree_place(0, i_shard));
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
        char *const slot = slot_at(team, bdl__tree_place(0, i)) + at;
        if (slot != values) {
            memcpy(slot, values, (size_t)count * scalar_size);
        }
        return;
    }
    while (bdl__tree_merges(team->first_shard, level, i)) {
        const char *const left = slot_at(team, bdl__tree_place(level, i - 1)) + at;
        level++;
        i >>= 1;
        char *const dst = bdl__tree_merges(team->first_shard, level, i)
                              ? values
                              : slot_at(team, bdl__tree_place(level, i)) + at;
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
    const int64_t n_parts_slice = exec->plan->n_parts_slice;
    const int64_t i_shard = bdl__exec_shard_of(exec, i_slice);
    int64_t begin, end;
    bdl__plan_shard_parts(exec->plan, i_shard, &begin, &end);
    begin /= n_parts_slice;
    end /= n_parts_slice;
    assert(begin <= i_slice && i_slice < end);
    const size_t scalar_size = exec->plan->scalar_size;
    char *const kept =
        (char *)bdl__exec_leaf(sink->team, i_shard) + (size_t)(leaf + offset) * scalar_size;
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

/* ---- sums of nodes ------------------------------------------------------------------------------ */

typedef struct reduction {
    const bdl__node_grads *nodes;
    int64_t n_nodes;
    int64_t n_leaves;
    int64_t offset; /* into each node's scalars */
    int64_t count;
    bool is_f64;
    double stack[BDL__TREE_LEVELS + 1][BDL__NODES_CHUNK]; /* of floats or doubles */
} reduction;

static const bdl__node_grads *find_node(const reduction *r, int level, int64_t i)
{
    for (int64_t k = 0; k < r->n_nodes; k++) {
        if (r->nodes[k].node.level == level && r->nodes[k].node.i == i) {
            return &r->nodes[k];
        }
    }
    return NULL;
}

/* A given node's scalars; bf16 are widened in the level's own buffer. */
static const char *given_sum(reduction *r, const bdl__node_grads *given)
{
    if (!given->is_bf16) {
        return (const char *)given->data + (size_t)r->offset * (r->is_f64 ? 8 : 4);
    }
    const uint16_t *const src = (const uint16_t *)given->data + r->offset;
    float *const wide = (float *)r->stack[given->node.level];
    for (int64_t i = 0; i < r->count; i++) {
        wide[i] = bdl__from_bf16(src[i]);
    }
    return (const char *)wide;
}

/* The sum of a node: where it is given, or left + right in the level's own buffer. */
static const char *node_sum(reduction *r, int level, int64_t i)
{
    const bdl__node_grads *const given = find_node(r, level, i);
    if (given) {
        return given_sum(r, given);
    }
    assert(level > 0);
    const char *left = node_sum(r, level - 1, 2 * i);
    if ((2 * i + 1) << (level - 1) >= r->n_leaves) {
        return left;
    }
    char *const sum = (char *)r->stack[level];
    if (left == (char *)r->stack[level - 1]) { /* which the right side needs */
        memcpy(sum, left, (size_t)r->count * (r->is_f64 ? 8 : 4));
        left = sum;
    }
    const char *const right = node_sum(r, level - 1, 2 * i + 1);
    add(sum, left, right, r->count, r->is_f64);
    return sum;
}

void bdl__nodes_sum(const bdl__node_grads *nodes, int64_t n_nodes, int64_t n_leaves,
                    bdl__tree_node node, int64_t offset, int64_t count, bool is_f64, void *dst)
{
    const size_t size = is_f64 ? sizeof(double) : sizeof(float);
    reduction r;
    r.nodes = nodes;
    r.n_nodes = n_nodes;
    r.n_leaves = n_leaves;
    r.offset = offset;
    r.count = count;
    r.is_f64 = is_f64;
    memcpy(dst, node_sum(&r, node.level, node.i), (size_t)count * size);
}

/* ---- between teams ------------------------------------------------------------------------------ */

/* What the teams hold after a segment. */
typedef struct held {
    bdl__node_grads *nodes; /* in the exec's memory */
    int64_t n;
} held;

static held held_nodes(bdl__exec *exec, const bdl__segment *segment, const bdl__team *teams,
                       int worker)
{
    held all = {.nodes = exec->workers[worker].held};
    for (int t = 0; t < segment->n_teams; t++) {
        bdl__tree_node nodes[BDL__TREE_PLACES];
        const int n = bdl__tree_nodes(teams[t].first_shard, teams[t].end_shard, nodes);
        for (int k = 0; k < n; k++) {
            all.nodes[all.n++] = (bdl__node_grads){
                .node = nodes[k],
                .data = slot_at(&teams[t], bdl__tree_place(nodes[k].level, nodes[k].i))};
        }
    }
    return all;
}

/* The sum of a node over a chunk of a range, to where it belongs. */
static void reduce_chunk(const bdl__exec *exec, const held *teams, bdl__tree_node node,
                         const bdl__leaf_range *range, int64_t at, int64_t count, char *vector)
{
    const size_t size = exec->plan->scalar_size;
    char *const grads =
        vector + (size_t)(exec->plan->graph->params[range->i_param].offset + at) * size;
    if (!range->adds) {
        bdl__nodes_sum(teams->nodes, teams->n, exec->plan->shards.n, node, range->offset + at, count,
                       size == 8, grads);
        return;
    }
    double sum[BDL__NODES_CHUNK]; /* of floats or doubles */
    bdl__nodes_sum(teams->nodes, teams->n, exec->plan->shards.n, node, range->offset + at, count,
                   size == 8, sum);
    add(grads, grads, sum, count, size == 8);
}

static void reduce_range(const bdl__exec *exec, const held *teams, const bdl__leaf_range *range,
                         int64_t at, int64_t count)
{
    const bdl__plan *const plan = exec->plan;
    if (!exec->reduce) {
        reduce_chunk(exec, teams, bdl__tree_root(plan->shards.n), range, at, count, exec->grads);
        return;
    }
    const size_t vector_size = (size_t)plan->graph->weights_count * plan->scalar_size;
    const bdl__reduce *const reduce = exec->reduce;
    for (int64_t k = 0; k < reduce->node_counts[reduce->rank]; k++) {
        reduce_chunk(exec, teams, reduce->nodes[reduce->own_node + k], range, at, count,
                     (char *)reduce->partials + (size_t)k * vector_size);
    }
}

/* The worker's share: an even part of the segment's leaf, in whole vectors of 16. */
void bdl__exec_reduce(bdl__exec *exec, const bdl__segment *segment, bdl__team *teams, int worker,
                      int n_workers)
{
    if (segment->leaf_count == 0) {
        return; /* no weights, so no sums of them */
    }
    const held nodes = held_nodes(exec, segment, teams, worker);
    int64_t begin, end;
    bdl__split_range(segment->leaf_count / BDL__PARAM_ALIGNMENT, worker, n_workers, &begin, &end);
    begin *= BDL__PARAM_ALIGNMENT;
    end *= BDL__PARAM_ALIGNMENT;
    for (int64_t i = segment->first_leaf_range; i < segment->end_leaf_range; i++) {
        const bdl__leaf_range *const range = &exec->plan->leaf_ranges[i];
        const int64_t count = exec->plan->graph->params[range->i_param].count;
        const int64_t from = BDL__MAX(begin, range->offset) - range->offset;
        const int64_t to = BDL__MIN(end, range->offset + count) - range->offset;
        for (int64_t at = from; at < to; at += BDL__NODES_CHUNK) {
            reduce_range(exec, &nodes, range, at, BDL__MIN(BDL__NODES_CHUNK, to - at));
        }
    }
}

void bdl__exec_tell_ready(const bdl__exec *exec, const bdl__segment *segment)
{
    const bdl__reduce *const reduce = exec->reduce;
    for (int64_t i = segment->first_settled; i < segment->end_settled; i++) {
        const bdl__param *const param = &exec->plan->graph->params[exec->plan->settled[i]];
        reduce->ready(reduce->arg, param->offset,
                      param->offset + bdl__round_up(param->count, BDL__PARAM_ALIGNMENT));
    }
}
