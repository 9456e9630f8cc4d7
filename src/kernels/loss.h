/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Criterions. Each sample's result is two reals: its loss, not yet divided by anything, and its
 * part of the divisor (0 where the loss is a sum). Backward gives the gradient of the undivided
 * loss.
 */
#ifndef BDL_KERNELS_LOSS_H
#define BDL_KERNELS_LOSS_H

#include "kernels/family.h"

/* Scores (classes, positions) against a label for each position. */
typedef struct bdl__class_loss {
    int64_t n_classes;
    int64_t n_positions;
    int32_t ignore_index;
    double smoothing;      /* share of the label's weight that all classes get */
    const double *weights; /* of the classes, or NULL: all 1 */
    double weights_sum;
    bool is_mean;
    bool is_log; /* nll: inputs are logarithms of probabilities */
} bdl__class_loss;

/* Criterions of corresponding elements. Element i has the weight weights[i % n_weights] and the
 * number params[i % n_params]. */
typedef struct bdl__element_loss {
    int64_t n;
    int64_t n_weights; /* 0: all weights 1 */
    const double *weights;
    int64_t n_params; /* at least 1 */
    const double *params;
    bool is_mean;
} bdl__element_loss;

/* X(name, meaning of the number) */
#define BDL__ELEMENT_LOSS_LIST(X)                                                                  \
    X(mse)                                                                                         \
    X(l1)                                                                                          \
    X(smooth_l1) /* beta */                                                                        \
    X(bce)                                                                                         \
    X(bce_with_logits) /* weight of positive targets */

typedef enum bdl__element_loss_kind {
#define BDL__ELEMENT_LOSS_ENUM(name) BDL__ELEMENT_LOSS_##name,
    BDL__ELEMENT_LOSS_LIST(BDL__ELEMENT_LOSS_ENUM)
#undef BDL__ELEMENT_LOSS_ENUM
} bdl__element_loss_kind;

/* `labels` are whole numbers; `target` reals; where a kernel has both, one is NULL. `saved`, two
 * reals a position, goes from forward to backward; forward takes NULL. */
#define BDL__LOSS_KERNELS(X)                                                                       \
    X(nll_forward,                                                                                 \
      (const bdl__class_loss *loss, const real *src, const r_int *labels, real *dst))              \
    X(nll_backward, (const bdl__class_loss *loss, const real *src, const r_int *labels,            \
                     real *diff_src, bool add))                                                    \
    X(cross_entropy_forward, (const bdl__class_loss *loss, const real *src, const r_int *labels,   \
                              const real *target, real *dst, real *saved))                         \
    X(cross_entropy_backward, (const bdl__class_loss *loss, const real *src, const r_int *labels,  \
                               const real *target, const real *saved, real *diff_src, bool add))   \
    X(element_loss_forward, (int kind, const bdl__element_loss *loss, const real *src,             \
                             const r_int *labels, const real *target, real *dst))                  \
    X(element_loss_backward, (int kind, const bdl__element_loss *loss, const real *src,            \
                              const r_int *labels, const real *target, real *diff_src, bool add))

BDL__KERNEL_FAMILY(loss, BDL__LOSS_KERNELS)

#endif
