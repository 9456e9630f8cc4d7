/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of the flat vector of weights with their own rates; neighbours that are treated alike are one range. */
#include "train/train.h"

static bool is_treated_alike(const bdl__param_range *range, const bdl__param *p)
{
    return range->end == p->offset && range->frozen == p->frozen &&
           !(range->lr_scale < p->lr_scale) && !(range->lr_scale > p->lr_scale) &&
           !(range->decay_scale < p->decay_scale) && !(range->decay_scale > p->decay_scale);
}

bdl_status bdl__train_ranges(bdl__arena *arena, const bdl__graph *graph, bdl__param_range **ranges,
                             int64_t *n_ranges)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(arena, (size_t)(graph->n_params + 1) * sizeof **ranges, &memory));
    bdl__param_range *const made = memory;
    int64_t n = 0;
    for (int64_t i = 0; i < graph->n_params; i++) {
        const bdl__param *const p = &graph->params[i];
        const int64_t end = p->offset + bdl__round_up(p->count, BDL__PARAM_ALIGNMENT);
        if (n > 0 && is_treated_alike(&made[n - 1], p)) {
            made[n - 1].end = end;
            continue;
        }
        made[n++] = (bdl__param_range){.begin = p->offset,
                                       .end = end,
                                       .lr_scale = p->lr_scale,
                                       .decay_scale = p->decay_scale,
                                       .frozen = p->frozen};
    }
    *ranges = made;
    *n_ranges = n;
    return BDL_OK;
}
