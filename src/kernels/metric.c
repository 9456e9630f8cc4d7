/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics over one sample. */
#include "kernels/metric.h"

#include "kernels/real_math.h"
#include "kernels/real_wide.h"

BDL__KERNEL_DECLARE(BDL__METRIC_KERNELS)

R_INLINE real gather(const real *x, r_int index, int64_t stride)
{
    real y = R(0);
    for (int lane = 0; lane < R_LANES; lane++) {
        r_store_lane(&y, lane, r_load_lane(x[r_load_lane_int(index, lane) * stride], lane));
    }
    return y;
}

R_INLINE real one_if(r_mask mask)
{
    return r_select(mask, R(1), R(0));
}

/* Whether the label's score is among the k largest. A class is ahead of the label unless its score
 * is smaller, or equal with a larger index; so a score that is not a number never counts as
 * right. */
R_INLINE r_mask among_largest(const real *x, r_int label, int64_t n_classes, int64_t stride,
                              int64_t k)
{
    const real mine = gather(x, label, stride);
    r_int n_ahead = R_I(0);
    for (int64_t c = 0; c < n_classes; c++) {
        const real other = x[c * stride];
        const r_mask behind = (other < mine) | ((other == mine) & (R_I(c) >= label));
        n_ahead += r_select_int(behind, R_I(0), R_I(1));
    }
    return n_ahead < R_I(k);
}

void K(top_k)(const bdl__metric_shape *shape, int64_t k, const real *src, const r_int *labels,
              real *dst)
{
    const int64_t stride = shape->n_positions;
    const int64_t n_labels = shape->n_classes == 1 ? 2 : shape->n_classes;
    real right = R(0), n = R(0);
    for (int64_t p = 0; p < stride; p++) {
        const r_int y = labels[p];
        const r_mask inside = (y >= R_I(0)) & (y < R_I(n_labels));
        const r_mask counts = r_not(y == R_I(shape->ignore_index));
        const r_int label = r_select_int(inside, y, R_I(0));
        r_mask hit;
        if (shape->n_classes == 1) {
            hit =
                ((src[p] >= R(0.5)) & (label == R_I(1))) | ((src[p] < R(0.5)) & (label == R_I(0)));
        } else {
            hit = among_largest(src + p, label, shape->n_classes, stride, k);
        }
        right += one_if(hit & inside & counts);
        n += one_if(counts);
    }
    dst[0] = right;
    dst[1] = n;
}

void K(class_distance)(const bdl__metric_shape *shape, const real *src, const r_int *labels,
                       real *dst)
{
    const int64_t stride = shape->n_positions;
    r_wide sum = r_wide_of(0);
    real n = R(0);
    for (int64_t p = 0; p < stride; p++) {
        const real *x = src + p;
        real largest = x[0], place = R(0);
        for (int64_t c = 1; c < shape->n_classes; c++) {
            const r_mask larger = x[c * stride] > largest;
            largest = r_select(larger, x[c * stride], largest);
            place = r_select(larger, R((double)c), place);
        }
        const r_mask counts = r_not(labels[p] == R_I(shape->ignore_index));
        sum += r_to_wide(r_select(counts, r_abs(place - r_from_int(labels[p])), R(0)));
        n += one_if(counts);
    }
    dst[0] = r_from_wide(sum);
    dst[1] = n;
}

void K(distance)(int64_t n, const real *src, const r_int *labels, const real *target, real *dst)
{
    r_wide sum = r_wide_of(0);
    for (int64_t i = 0; i < n; i++) {
        sum += r_to_wide(r_abs(src[i] - (labels != NULL ? r_from_int(labels[i]) : target[i])));
    }
    dst[0] = r_from_wide(sum);
    dst[1] = R((double)n);
}

/* How often src and target are on the same side of 1/2. */
void K(same_side)(int64_t n, const real *src, const real *target, real *dst)
{
    real right = R(0);
    for (int64_t i = 0; i < n; i++) {
        const r_mask both_above = (src[i] >= R(0.5)) & (target[i] >= R(0.5));
        const r_mask both_below = (src[i] < R(0.5)) & (target[i] < R(0.5));
        right += one_if(both_above | both_below);
    }
    dst[0] = right;
    dst[1] = R((double)n);
}

BDL__KERNEL_TABLE(metric, BDL__METRIC_KERNELS)
