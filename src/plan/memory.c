/* SPDX-License-Identifier: Apache-2.0 */
/* The memory plan: areas whose lives do not overlap share the same bytes. */
#include <stdlib.h>

#include "plan/internal.h"

/* The segment of an op; ops after the last (pinned areas) are in none. */
static int64_t segment_of(const bdl__plan *plan, int64_t i_op)
{
    for (int64_t s = 0; s < plan->n_segments; s++) {
        if (i_op < plan->segments[s].end_op) {
            return s;
        }
    }
    return -1;
}

/* Within one part-by-part segment an area is needed for the part at hand only. */
static void choose_kind(const bdl__plan *plan, bdl__area *area)
{
    const int64_t first = segment_of(plan, area->first_op);
    const bool is_local = first >= 0 && first == segment_of(plan, area->last_op) &&
                          !plan->segments[first].is_breadth && !area->is_pinned;
    area->kind = is_local ? BDL__AREA_TEAM : BDL__AREA_PART;
}

typedef struct placed {
    bdl__area *area;
} placed;

static int by_size(const void *a, const void *b)
{
    const bdl__area *const x = ((const placed *)a)->area;
    const bdl__area *const y = ((const placed *)b)->area;
    if (x->size != y->size) {
        return x->size < y->size ? 1 : -1;
    }
    return x < y ? -1 : 1; /* areas lie in one array: a total order */
}

static bool overlaps(const bdl__area *a, const bdl__area *b)
{
    return a->first_op <= b->last_op && b->first_op <= a->last_op;
}

/* Lowest offset at which the area meets no neighbour in time: candidates are 0 and the ends of others. */
static size_t lowest_offset(const placed *list, int64_t n, const bdl__area *area)
{
    size_t best = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int64_t i = 0; i < n; i++) {
            const bdl__area *const other = list[i].area;
            if (other->kind == area->kind && overlaps(other, area) &&
                best < other->offset + other->size && other->offset < best + area->size) {
                best = other->offset + other->size;
                moved = true;
            }
        }
    }
    return best;
}

/* Packed copies above this size (Winograd's are four times the weights) are not kept side by side. */
#define PACKED_AT_ONCE ((size_t)64 << 20)

/* Gives the packed areas that each segment reads the same bytes as those of the other segments. */
static void share_packed(bdl__plan *plan)
{
    if (plan->packed_size <= PACKED_AT_ONCE) {
        return;
    }
    plan->packs_by_segment = true;
    plan->packed_size = 0;
    for (int64_t s = 0; s < plan->n_segments; s++) {
        size_t used = 0;
        for (int64_t o = plan->segments[s].first_op; o < plan->segments[s].end_op; o++) {
            bdl__planned_step *const planned = &plan->steps[plan->ops[o].i_step];
            for (int i = plan->ops[o].is_backward; i < BDL__MAX_SAVED; i += 2) {
                planned->packed[i].offset = used;
                used += bdl__align_up(planned->packed[i].size, BDL__ALIGNMENT);
            }
        }
        plan->packed_size = BDL__MAX(plan->packed_size, used);
    }
}

/* Bytes that a plan may ask for: more than any machine has, and so few that no sum of sizes overflows. */
#define MOST_MEMORY ((size_t)1 << 56)

static bool fits(size_t each, int64_t n)
{
    return n == 0 || each <= MOST_MEMORY / (size_t)n;
}

/* Exec multiplies these, and allocates the products. */
static bdl_status check_memory(const bdl__plan *plan)
{
    const int64_t n_workers = plan->options.n_workers;
    const size_t sums_size = (size_t)plan->sums_count * sizeof(double);
    BDL__CHECK(fits(plan->part_size, plan->n_parts) && fits(plan->team_size, n_workers) &&
                   fits(plan->scratch_size, n_workers) && fits(sums_size, plan->n_parts),
               BDL_ERR_OUT_OF_MEMORY,
               "'%s' needs more memory than any machine has: %zu bytes for each of %lld parts of the "
               "batch, %zu for each of %d workers",
               plan->graph->name, plan->part_size, (long long)plan->n_parts,
               plan->team_size + plan->scratch_size, plan->options.n_workers);
    return BDL_OK;
}

bdl_status bdl__plan_place(bdl__plan *plan)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&plan->arena, (size_t)(plan->n_areas + 1) * sizeof(placed), &memory));
    placed *const list = memory;
    int64_t n = 0;
    for (int64_t i = 0; i < plan->n_areas; i++) {
        bdl__area *const area = &plan->areas[i];
        if (area->alias < 0 && area->kind == BDL__AREA_PART && area->first_op >= 0) {
            choose_kind(plan, area);
            list[n++].area = area;
        }
    }
    qsort(list, (size_t)n, sizeof *list, by_size);
    for (int64_t i = 0; i < n; i++) {
        bdl__area *const area = list[i].area;
        area->offset = lowest_offset(list, i, area);
        size_t *const total = area->kind == BDL__AREA_TEAM ? &plan->team_size : &plan->part_size;
        *total = BDL__MAX(*total, area->offset + area->size);
        BDL__CHECK(*total <= MOST_MEMORY, BDL_ERR_OUT_OF_MEMORY,
                   "'%s' needs more memory than any machine has", plan->graph->name);
    }
    for (int64_t s = 0; s < plan->n_steps; s++) {
        plan->scratch_size = BDL__MAX(plan->scratch_size, plan->steps[s].scratch_size);
    }
    share_packed(plan);
    return check_memory(plan);
}
