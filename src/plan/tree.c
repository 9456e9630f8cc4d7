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

#define CHUNK 96 /* doubles; a multiple of the 3 that moments need */

static void sum_chunk(const bdl__tree_sum *sum, int64_t at, int64_t n, double *totals)
{
    double waiting[BDL__TREE_LEVELS][CHUNK];
    double carry[CHUNK];
    uint32_t is_waiting = 0;
    const size_t size = (size_t)n * sizeof(double);
    const int64_t n_shards = bdl__n_shards(sum->n_slices);
    for (int64_t shard = 0; shard < n_shards; shard++) {
        int64_t begin, end;
        bdl__shard_slices(shard, n_shards, sum->n_slices, &begin, &end);
        begin *= sum->n_parts_slice;
        end *= sum->n_parts_slice;
        memcpy(carry, sum->rows + begin * sum->stride + at, size);
        for (int64_t row = begin + 1; row < end; row++) {
            sum->merge(carry, sum->rows + row * sum->stride + at, n);
        }
        int level = 0;
        for (; shard >> level & 1; level++) {
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

void bdl__tree_sum_range(const bdl__tree_sum *sum, int64_t begin, int64_t end, double *totals)
{
    for (int64_t at = begin; at < end; at += CHUNK) {
        sum_chunk(sum, at, BDL__MIN(CHUNK, end - at), totals);
    }
}
