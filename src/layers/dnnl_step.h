/* SPDX-License-Identifier: Apache-2.0 */
/* dnnl_step.h: what layers that compute through oneDNN share: their ops, and running them on parts. */
#ifndef BDL_LAYERS_DNNL_STEP_H
#define BDL_LAYERS_DNNL_STEP_H

#include "dnnl/dnnl.h"
#include "layers/layer.h"

/* Ops by direction (bdl__dnnl_direction); an empty one is left to the kernels. Forward's weights are
 * packed[0], those of backward data packed[1]. */
typedef struct bdl__dnnl_step {
    const bdl__dnnl_table *table;
    const bdl__step *step; /* whose it is */
    bool has[3];
    const char *name[3]; /* "onednn_bf16" or "onednn" */
    bdl__dnnl_op op[3];
    /* Forward of a single sample is cut into runs of output channels, which a team shares. All have the same op. */
    int64_t n_pieces;
    int64_t piece_weights, piece_bias, piece_dst; /* floats of a piece */
} bdl__dnnl_step;

static inline bool bdl__dnnl_has(const bdl__dnnl_step *step, bdl__dnnl_direction direction)
{
    return step && step->has[direction];
}

/* Makes the op of a direction, and at first *mine itself; books its scratch; opens oneDNN, and fails where there is none.
 * `is_made` is false if oneDNN has no such primitive. */
bdl_status bdl__dnnl_step_add(bdl__planner *planner, bdl__step *step, bdl__dnnl_step **mine,
                              const bdl__dnnl_conv *conv, bool *is_made);
void bdl__dnnl_step_release(bdl__dnnl_step *step); /* NULL ok */

/* Weights are packed in one piece. In which of so many units of the plan that happens differs from step
 * to step, so that the workers, which split the units, share the steps. */
#define BDL__DNNL_PACK_UNITS 64
void bdl__dnnl_step_pack(const bdl__step *step, const bdl__dnnl_step *mine,
                         bdl__dnnl_direction direction, const float *weights, void *packed,
                         int64_t begin, int64_t end);

bdl_status bdl__dnnl_step_book(bdl__planner *planner, bdl__step *step, const bdl__dnnl_step *mine,
                               bdl__dnnl_direction direction, bdl__pack_fn pack);

/* Runs an op. What fails, for lack of memory within oneDNN, is told by bdl__step_fail. */
void bdl__dnnl_step_run(const bdl__dnnl_step *step, bdl__dnnl_direction direction,
                        const bdl__dnnl_call *call);

/* All parts of the call, which the members of a team share. */
void bdl__dnnl_step_forward(const bdl__dnnl_step *step, const bdl__cx *cx, const float *bias);
void bdl__dnnl_step_backward_data(const bdl__dnnl_step *step, const bdl__cx *cx);

#endif
