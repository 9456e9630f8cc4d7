/* SPDX-License-Identifier: Apache-2.0 */
/* What activation.c and pointwise.c share: a descriptor that names a function of
 * kernels/activation.h, and the hooks that serve every such layer. */
#ifndef BDL_LAYERS_ACTIVATION_INTERNAL_H
#define BDL_LAYERS_ACTIVATION_INTERNAL_H

#include "kernels/activation.h"
#include "layers/layer.h"

/* The parameters, if any, replace the first numbers: their struct holds doubles in the kernel's
 * order. Where that is not enough, `choose` sets the numbers and gives the function. */
typedef struct bdl__activation_layer {
    bdl__layer layer; /* first: hooks find the rest from it */
    bdl__activation function;
    double numbers[BDL__ACTIVATION_PARAMS];
    bdl__activation (*choose)(const void *params, double *numbers);
} bdl__activation_layer;

/* Parameters of hard_tanh and clamp. */
typedef struct bdl__limits_params {
    double min;
    double max;
} bdl__limits_params;

/* Backward reads nothing, src, or dst; the last checks limits too. */
bdl_status bdl__activation_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl);
bdl_status bdl__activation_infer_src(const void *params, const bdl__infer_in *in, bdl__decl *decl);
bdl_status bdl__activation_infer_dst(const void *params, const bdl__infer_in *in, bdl__decl *decl);
bdl_status bdl__limits_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl);

bdl_status bdl__activation_plan(bdl__planner *planner, bdl__step *step);
void bdl__activation_forward(const bdl__step *step, bdl__cx *cx);
void bdl__activation_backward(const bdl__step *step, bdl__cx *cx);

#define BDL__ACTIVATION_HOOKS                                                                      \
    .ports = "input", .plan = bdl__activation_plan, .forward = bdl__activation_forward,            \
    .backward = bdl__activation_backward

#endif
