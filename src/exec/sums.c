/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums of small vectors over the batch: losses, and what layers ask for by bdl__plan_sums. Alone, the
 * workers share the elements and sum the whole tree. With other ranks they sum this rank's nodes, worker 0
 * exchanges them, and then they share the elements again to finish the tree.
 */
#include <string.h>

#include "exec/internal.h"

/* One vector of a segment. */
typedef struct small_sum {
    bdl__tree_sum sum;
    double *totals;
    int64_t at; /* in a node's doubles */
} small_sum;

static small_sum head_sum(const bdl__exec *exec, int i_head)
{
    const bdl__plan *const plan = exec->plan;
    return (small_sum){.sum = {.rows = exec->head_rows + (int64_t)i_head * plan->n_parts * 2,
                               .stride = 2,
                               .shards = &plan->shards,
                               .n_parts_slice = plan->n_parts_slice,
                               .merge = bdl__merge_add},
                       .totals = exec->heads + 2 * (int64_t)i_head};
}

static small_sum layer_sum(const bdl__exec *exec, const bdl__sums *sums)
{
    const bdl__plan *const plan = exec->plan;
    return (small_sum){.sum = {.rows = exec->sums + plan->n_parts * sums->offset,
                               .stride = sums->n,
                               .shards = &plan->shards,
                               .n_parts_slice = plan->n_parts_slice,
                               .merge = sums->merge},
                       .totals = exec->totals + sums->offset};
}

/* Goes on to the next vector of the segment; *o and *part say where the search stands. */
static bool next_sum(const bdl__exec *exec, const bdl__segment *segment, int64_t *o, int *part,
                     small_sum *next)
{
    const int64_t at = next->at + next->sum.stride;
    for (; *o < segment->end_op; *o += 1, *part = 0) {
        const bdl__op *const op = &exec->plan->ops[*o];
        const bdl__planned_step *const planned = &exec->plan->steps[op->i_step];
        if (*part == 0) {
            *part = 1;
            if (planned->i_head >= 0 && !op->is_backward) {
                *next = head_sum(exec, planned->i_head);
                next->at = at;
                return true;
            }
        }
        if (*part == 1) {
            *part = 2;
            const bdl__sums *const sums = &planned->sums[op->is_backward][op->pass];
            if (sums->n > 0) {
                *next = layer_sum(exec, sums);
                next->at = at;
                return true;
            }
        }
    }
    return false;
}

/* The worker's share of a vector's elements, in whole triples, as moments need them. */
static void share_of(const small_sum *s, int worker, int n_workers, int64_t *begin, int64_t *end)
{
    const int64_t n = s->sum.stride;
    bdl__split_range((n + 2) / 3, worker, n_workers, begin, end);
    *begin *= 3;
    *end = BDL__MIN(3 * *end, n);
}

int64_t bdl__exec_sums_size(const bdl__exec *exec, const bdl__segment *segment)
{
    small_sum s = {0};
    int64_t size = 0, o = segment->first_op;
    for (int part = 0; next_sum(exec, segment, &o, &part, &s);) {
        size = s.at + s.sum.stride;
    }
    return size;
}

void bdl__exec_sum(bdl__exec *exec, const bdl__segment *segment, int worker, int n_workers)
{
    const bdl__tree_node root = bdl__tree_root(exec->plan->shards.n);
    const int64_t size = exec->reduce ? bdl__exec_sums_size(exec, segment) : 0;
    small_sum s = {0};
    int64_t begin, end, o = segment->first_op;
    for (int part = 0; next_sum(exec, segment, &o, &part, &s);) {
        share_of(&s, worker, n_workers, &begin, &end);
        if (!exec->reduce) {
            bdl__tree_sum_node(&s.sum, root, begin, end, s.totals);
            continue;
        }
        const bdl__reduce *const r = exec->reduce;
        for (int64_t k = r->own_node; k < r->own_node + r->node_counts[r->rank]; k++) {
            bdl__tree_sum_node(&s.sum, r->nodes[k], begin, end, exec->node_sums + k * size + s.at);
        }
    }
}

bdl_status bdl__exec_exchange(bdl__exec *exec, const bdl__segment *segment)
{
    const bdl__reduce *const reduce = exec->reduce;
    const int64_t size = bdl__exec_sums_size(exec, segment);
    if (size == 0) {
        return BDL_OK;
    }
    for (int r = 0; r < reduce->n_ranks; r++) {
        exec->value_counts[r] = reduce->node_counts[r] * size;
    }
    return reduce->exchange(reduce->arg, exec->value_counts, exec->node_sums);
}

void bdl__exec_finish_sums(bdl__exec *exec, const bdl__segment *segment, int worker, int n_workers)
{
    const int64_t size = bdl__exec_sums_size(exec, segment);
    small_sum s = {0};
    int64_t begin, end, o = segment->first_op;
    for (int part = 0; next_sum(exec, segment, &o, &part, &s);) {
        share_of(&s, worker, n_workers, &begin, &end);
        double *const values = exec->node_sums + s.at;
        bdl__tree_finish(exec->reduce->nodes, exec->reduce->n_nodes, values, size, s.sum.merge,
                         begin, end);
        if (begin < end) {
            memcpy(s.totals + begin, values + begin, (size_t)(end - begin) * sizeof(double));
        }
    }
}

/* ---- room for the nodes of all ranks ------------------------------------------------------------ */

static int64_t most_sums(const bdl__exec *exec)
{
    int64_t most = 0;
    for (int64_t s = 0; s < exec->plan->n_segments; s++) {
        most = BDL__MAX(most, bdl__exec_sums_size(exec, &exec->plan->segments[s]));
    }
    return most;
}

static bdl_status reserve(const bdl__exec *exec, int64_t n, int64_t *capacity, size_t size, void *to)
{
    void *memory = NULL;
    if (n <= *capacity) {
        return BDL_OK;
    }
    BDL__TRY(bdl__alloc(exec->allocator, (size_t)n * size, &memory));
    bdl__free(exec->allocator, *(void **)to, (size_t)*capacity * size);
    *(void **)to = memory;
    *capacity = n;
    return BDL_OK;
}

bdl_status bdl__exec_reserve_nodes(bdl__exec *exec)
{
    const bdl__reduce *const reduce = exec->reduce;
    BDL__TRY(reserve(exec, reduce->n_ranks, &exec->ranks_capacity, sizeof(int64_t),
                     &exec->value_counts));
    return reserve(exec, BDL__MAX(reduce->n_nodes, reduce->n_ranks), &exec->nodes_capacity,
                   (size_t)BDL__MAX(most_sums(exec), 1) * sizeof(double), &exec->node_sums);
}

void bdl__exec_free_nodes(bdl__exec *exec)
{
    if (exec->node_sums) { /* so the exec was made to its end */
        const size_t node_size = (size_t)BDL__MAX(most_sums(exec), 1) * sizeof(double);
        bdl__free(exec->allocator, exec->node_sums, (size_t)exec->nodes_capacity * node_size);
    }
    bdl__free(exec->allocator, exec->value_counts,
              (size_t)exec->ranks_capacity * sizeof(int64_t));
}
