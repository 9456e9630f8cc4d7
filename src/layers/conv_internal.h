/* SPDX-License-Identifier: Apache-2.0 */
/* conv_internal.h: how a convolution is run, whatever the layer that asks for it. */
#ifndef BDL_LAYERS_CONV_INTERNAL_H
#define BDL_LAYERS_CONV_INTERNAL_H

#include "kernels/conv.h"
#include "layers/dnnl_step.h"

typedef enum bdl__conv_impl {
    BDL__CONV_DIRECT,
    BDL__CONV_WINOGRAD4, /* tiles of 4x4 outputs */
    BDL__CONV_WINOGRAD2,
    BDL__CONV_LANE_SUMS, /* weight gradients only, as the next */
    BDL__CONV_FEATURE_LANES,
    BDL__CONV_ONEDNN_BF16, /* through oneDNN: conv_dnnl.c */
    BDL__CONV_ONEDNN
} bdl__conv_impl;

/* What a convolution's step is planned to do. */
typedef struct bdl__conv_state {
    bdl__conv_dims dims;
    bool propagates;
    bdl__conv_impl forward, backward_data, backward_weights;
    int64_t forward_units, backward_units; /* that a team shares */
    int64_t tile;         /* output channels whose gradients are computed at once */
    size_t values_offset; /* in scratch, of gradients for the sum over the batch */
    bdl__dnnl_step *dnnl; /* owned; NULL where oneDNN has no part in it */
} bdl__conv_state;

/* Chooses by shape, precision and target alone; the pointers name the choices. */
void bdl__conv_choose(const bdl__step *step, bdl__conv_state *state);
const char *bdl__conv_impl_name(bdl__conv_impl impl);
/* The time of the chosen kernel for a sample, in multiply-adds of the direct kernel. A packed weight that
 * comes from beyond the level-2 cache takes as long as BDL__CONV_WEIGHT_COST / 100 of them, as measured
 * on 512 -> 512 channels. */
#define BDL__CONV_WEIGHT_COST 150
int64_t bdl__conv_cost(const bdl__conv_state *state, bdl__dnnl_direction direction);

bdl_status bdl__conv_plan(bdl__planner *planner, bdl__step *step, const bdl__conv_dims *dims,
                          bool propagates);
void bdl__conv_forward(const bdl__step *step, bdl__cx *cx);
void bdl__conv_backward(const bdl__step *step, bdl__cx *cx);
void bdl__conv_release(bdl__step *step);

/* Puts oneDNN where the chosen kernels are slower, or the samples few. */
bdl_status bdl__conv_dnnl_choose(bdl__planner *planner, bdl__step *step, bdl__conv_state *state);
/* Books the packed weights of forward (0) or backward data (1). */
bdl_status bdl__conv_dnnl_book(bdl__planner *planner, bdl__step *step, const bdl__conv_state *state,
                               int i_packed);
void bdl__conv_dnnl_forward(const bdl__step *step, bdl__cx *cx);
void bdl__conv_dnnl_backward_data(const bdl__step *step, bdl__cx *cx);
void bdl__conv_dnnl_backward_weights(const bdl__step *step, bdl__cx *cx);

static inline bool bdl__conv_is_dnnl(bdl__conv_impl impl)
{
    return impl == BDL__CONV_ONEDNN_BF16 || impl == BDL__CONV_ONEDNN;
}

#endif
