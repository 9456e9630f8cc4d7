/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that compute through oneDNN: see dnnl_step.h. */
#include "layers/dnnl_step.h"

#include <stdio.h>
#include <stdlib.h>

bdl_status bdl__dnnl_step_add(bdl__planner *planner, bdl__step *step, bdl__dnnl_step **mine,
                              const bdl__dnnl_conv *conv, bool *is_made)
{
    if (!*mine) {
        const bdl__dnnl_table *table = NULL;
        void *memory = NULL;
        BDL__TRY(bdl__dnnl_open(&table));
        BDL__TRY(bdl__plan_alloc(planner, sizeof **mine, &memory));
        *mine = memory;
        (*mine)->table = table;
    }
    bdl__dnnl_op *const op = &(*mine)->op[conv->direction];
    *is_made = (*mine)->table->create(conv, op) == NULL;
    (*mine)->has[conv->direction] = *is_made;
    (*mine)->name[conv->direction] = conv->is_bf16 ? "onednn_bf16" : "onednn";
    return *is_made ? bdl__plan_scratch(planner, step, op->scratch_size) : BDL_OK;
}

void bdl__dnnl_step_release(bdl__dnnl_step *step)
{
    for (int i = 0; step && i < 3; i++) {
        step->table->destroy(&step->op[i]);
    }
}

/* The hooks of a layer cannot fail, and oneDNN's calls only fail here when memory has run out. */
static void must(const char *error)
{
    if (error) {
        fprintf(stderr, "bdl: oneDNN: %s\n", error);
        abort();
    }
}

void bdl__dnnl_step_pack(const bdl__step *step, const bdl__dnnl_step *mine,
                         bdl__dnnl_direction direction, const float *weights, void *packed,
                         int64_t begin, int64_t end)
{
    const int64_t unit = (2 * step->i_node + (int64_t)direction) * 29 % BDL__DNNL_PACK_UNITS;
    if (begin <= unit && unit < end) {
        must(mine->table->pack(&mine->op[direction], weights, packed));
    }
}

bdl_status bdl__dnnl_step_book(bdl__planner *planner, bdl__step *step, const bdl__dnnl_step *mine,
                               bdl__dnnl_direction direction, bdl__pack_fn pack)
{
    return bdl__plan_packed(planner, step, (int)direction, mine->op[direction].packed_size,
                            BDL__DNNL_PACK_UNITS, pack);
}

void bdl__dnnl_step_run(const bdl__dnnl_step *step, bdl__dnnl_direction direction,
                        const bdl__dnnl_call *call)
{
    must(step->table->execute(&step->op[direction], call));
}

void bdl__dnnl_step_forward(const bdl__dnnl_step *step, const bdl__cx *cx, const float *bias)
{
    int64_t begin, end;
    bdl__cx_split(cx, cx->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const bdl__dnnl_call call = {.src = bdl__span_part(cx->src[0], i),
                                     .packed = cx->packed[0],
                                     .bias = bias,
                                     .result = bdl__span_part(cx->dst[0], i),
                                     .scratch = cx->scratch};
        bdl__dnnl_step_run(step, BDL__DNNL_FORWARD, &call);
    }
}

void bdl__dnnl_step_backward_data(const bdl__dnnl_step *step, const bdl__cx *cx)
{
    int64_t begin, end;
    bdl__cx_split(cx, cx->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const bdl__dnnl_call call = {.dst_in = bdl__span_part(cx->diff_dst[0], i),
                                     .packed = cx->packed[1],
                                     .result = bdl__span_part(cx->diff_src[0], i),
                                     .scratch = cx->scratch,
                                     .add = cx->diff_src_mode[0] == BDL__ADD};
        bdl__dnnl_step_run(step, BDL__DNNL_BACKWARD_DATA, &call);
    }
}
