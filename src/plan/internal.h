/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of plan/ share while a plan is being made. */
#ifndef BDL_PLAN_INTERNAL_H
#define BDL_PLAN_INTERNAL_H

#include "plan/plan.h"

/* The planner that layers see: it books for the step that is being planned. */
struct bdl__planner {
    bdl__plan *plan;
    bdl__planned_step *current;
};

bdl_status bdl__plan_make_steps(bdl__plan *plan);    /* steps.c */
bdl_status bdl__plan_make_ops(bdl__plan *plan);      /* ops.c */
bdl_status bdl__plan_make_segments(bdl__plan *plan); /* segments.c */
bdl_status bdl__plan_place(bdl__plan *plan);         /* memory.c */

/* New area of `size` bytes a part; its index. */
bdl_status bdl__plan_add_area(bdl__plan *plan, bdl__area_kind kind, int32_t i_external, size_t size,
                              int32_t *i_area);
size_t bdl__plan_value_size(const bdl__plan *plan, const bdl__shape *shape, bool integer);
static inline int32_t bdl__plan_root(const bdl__plan *plan, int32_t i)
{
    return (int32_t)(bdl__plan_area(plan, i) - plan->areas);
}

#endif
