/* SPDX-License-Identifier: Apache-2.0 */
/* The summation tree: shards, the slots of a run, and sums of small vectors. */
#include "plan/tree.h"

#include <string.h>

int64_t bdl__n_shards(int64_t n_slices) { return BDL__MIN(n_slices, BDL__MAX_SHARDS); }

void bdl__shard_slices(int64_t i_shard, int64_t n_shards, int64_t n_slices, int64_t *begin,
                       int64_t *end)
{
    *begin = i_shard * n_slices / n_shards;
    *end = (i_shard + 1) * n_slices / n_shards;
}

/* The shard of a full batch that slice i is in. */
static int64_t shard_of(int64_t i_slice, int64_t n_shards, int64_t n_slices)
{
    return (i_slice * n_shards + n_shards - 1) / n_slices;
}

int64_t bdl__shards_cut(int64_t n_shards, int64_t n_slices, const int64_t *places, int64_t n_here,
                        int64_t first, int64_t *bounds)
{
    int64_t n = 0, last = -1;
    for (int64_t i = 0; i < n_here; i++) {
        const int64_t shard = shard_of(places ? places[i] : i, n_shards, n_slices);
        if (shard != last && bounds) {
            bounds[n] = first + i;
        }
        n += shard != last;
        last = shard;
    }
    if (bounds) {
        bounds[n] = first + n_here;
    }
    return n;
}

int64_t bdl__shards_find(const bdl__shards *shards, int64_t i_slice)
{
    int64_t low = 0, high = shards->end - shards->first - 1;
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (shards->bounds[middle] <= i_slice) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return shards->first + low;
}

int bdl__tree_slots(int64_t first, int64_t end, int8_t slot[BDL__TREE_PLACES])
{
    int n = 0;
    memset(slot, -1, BDL__TREE_PLACES);
    for (int64_t leaf = first; leaf < end; leaf++) {
        int level = 0;
        int64_t i = leaf;
        while (bdl__tree_merges(first, level, i)) {
            level++;
            i >>= 1;
        }
        const int place = bdl__tree_place(level, i);
        if (slot[place] < 0) {
            slot[place] = (int8_t)n++;
        }
    }
    return n;
}

bdl__tree_node bdl__tree_root(int64_t n_leaves)
{
    bdl__tree_node root = {0};
    while ((int64_t)1 << root.level < n_leaves) {
        root.level++;
    }
    return root;
}

int bdl__tree_nodes(int64_t first, int64_t end, bdl__tree_node nodes[BDL__TREE_PLACES])
{
    int n = 0;
    while (first < end) {
        int level = 0;
        while ((first >> level & 1) == 0 && first + ((int64_t)2 << level) <= end) {
            level++;
        }
        nodes[n++] = (bdl__tree_node){.level = level, .i = first >> level};
        first += (int64_t)1 << level;
    }
    return n;
}

#define CHUNK 96 /* doubles; a multiple of the 3 that moments need */

/* Merges the rows of a shard in order. */
static void sum_leaf(const bdl__tree_sum *sum, int64_t i_shard, int64_t at, int64_t n, double *leaf)
{
    int64_t begin, end;
    bdl__shards_slices(sum->shards, i_shard, &begin, &end);
    begin = (begin - sum->shards->bounds[0]) * sum->n_parts_slice;
    end = (end - sum->shards->bounds[0]) * sum->n_parts_slice;
    memcpy(leaf, sum->rows + begin * sum->stride + at, (size_t)n * sizeof(double));
    for (int64_t row = begin + 1; row < end; row++) {
        sum->merge(leaf, sum->rows + row * sum->stride + at, n);
    }
}

static void sum_chunk(const bdl__tree_sum *sum, bdl__tree_node node, int64_t at, int64_t n,
                      double *totals)
{
    double waiting[BDL__TREE_LEVELS][CHUNK];
    double carry[CHUNK];
    uint32_t is_waiting = 0;
    const size_t size = (size_t)n * sizeof(double);
    const int64_t first = node.i << node.level;
    const int64_t n_leaves = BDL__MIN((node.i + 1) << node.level, sum->shards->n) - first;
    for (int64_t leaf = 0; leaf < n_leaves; leaf++) {
        sum_leaf(sum, first + leaf, at, n, carry);
        int level = 0;
        for (; leaf >> level & 1; level++) {
            sum->merge(waiting[level], carry, n);
            memcpy(carry, waiting[level], size);
            is_waiting &= ~(1u << level);
        }
        memcpy(waiting[level], carry, size);
        is_waiting |= 1u << level;
    }
    /* What waits on the right joins from the small nodes to the large: left + right each time. */
    bool is_first = true;
    for (int level = 0; level < BDL__TREE_LEVELS; level++) {
        if (!(is_waiting >> level & 1)) {
            continue;
        }
        if (!is_first) {
            sum->merge(waiting[level], carry, n);
        }
        memcpy(carry, waiting[level], size);
        is_first = false;
    }
    memcpy(totals + at, carry, size);
}

void bdl__tree_sum_node(const bdl__tree_sum *sum, bdl__tree_node node, int64_t begin, int64_t end,
                        double *totals)
{
    for (int64_t at = begin; at < end; at += CHUNK) {
        sum_chunk(sum, node, at, BDL__MIN(CHUNK, end - at), totals);
    }
}

static bool are_siblings(bdl__tree_node left, bdl__tree_node right)
{
    return left.level == right.level && (left.i & 1) == 0 && right.i == left.i + 1;
}

void bdl__tree_finish(const bdl__tree_node *nodes, int64_t n_nodes, double *values, int64_t stride,
                      bdl__merge_fn merge, int64_t begin, int64_t end)
{
    bdl__tree_node waiting[BDL__TREE_PLACES];
    double *sums[BDL__TREE_PLACES];
    int n = 0;
    for (int64_t k = 0; k < n_nodes; k++) {
        waiting[n] = nodes[k];
        sums[n++] = values + k * stride + begin;
        while (n > 1 && are_siblings(waiting[n - 2], waiting[n - 1])) {
            merge(sums[n - 2], sums[n - 1], end - begin);
            waiting[n - 2].level++;
            waiting[n - 2].i >>= 1;
            n--;
        }
    }
    for (; n > 1; n--) {
        merge(sums[n - 2], sums[n - 1], end - begin);
    }
}
