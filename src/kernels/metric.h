/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: each sample's result is two reals, a value and a count; the metric is their quotient. */
#ifndef BDL_KERNELS_METRIC_H
#define BDL_KERNELS_METRIC_H

#include "kernels/family.h"

/* Scores (classes, positions) against a label for each position. */
typedef struct bdl__metric_shape {
    int64_t n_classes;
    int64_t n_positions;
    int32_t ignore_index;
} bdl__metric_shape;

/* top_k: labels among the k largest scores. With one class the score is of label 1, taken from 1/2
 * on. class_distance: |place of the largest score - label|. distance: |src - target|; one of labels
 * and target is NULL. */
#define BDL__METRIC_KERNELS(X)                                                                     \
    X(top_k, (const bdl__metric_shape *shape, int64_t k, const real *src, const r_int *labels,     \
              real *dst))                                                                          \
    X(class_distance,                                                                              \
      (const bdl__metric_shape *shape, const real *src, const r_int *labels, real *dst))           \
    X(distance, (int64_t n, const real *src, const r_int *labels, const real *target, real *dst))  \
    X(same_side, (int64_t n, const real *src, const real *target, real *dst))

BDL__KERNEL_FAMILY(metric, BDL__METRIC_KERNELS)

#endif
