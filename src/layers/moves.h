/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers that move elements without changing them, as lists of boxes (kernels/shape.h) that are
 * each copied from an input to an output. Backward copies the other way; what no box covers gets a
 * gradient of 0. Axes count with the batch as axis 0, which never takes part; negative ones count
 * from the end.
 */
#ifndef BDL_LAYERS_MOVES_H
#define BDL_LAYERS_MOVES_H

#include "kernels/shape.h"
#include "layers/layer.h"

#define BDL__AXIS_RANGE BDL_IN(-8, 8)

/* A box between an input and an output. */
typedef struct bdl__move {
    int i_src, i_dst;
    bdl__box box;
    int64_t n_rows;
} bdl__move;

/* The state of a step that moves. */
typedef struct bdl__moves {
    int64_t n_moves;
    bdl__move *moves;
    bool fills_dst; /* boxes do not cover the output: it is filled with `value` first */
    bool fills_src; /* ... do not cover the input: so is its gradient with 0 */
    double value;
    void *zeros; /* a real */
} bdl__moves;

/* Room for n moves of the step, in step->state. */
bdl_status bdl__moves_plan(bdl__planner *planner, bdl__step *step, int64_t n);

/* Adds a box of shape `dims`: axis i has these strides in src and dst. */
void bdl__moves_add(bdl__step *step, int i_src, int i_dst, const bdl__shape *dims,
                    const int64_t *src_stride, int64_t src_offset, const int64_t *dst_stride,
                    int64_t dst_offset);

/* Adds a box of `length` positions of an axis of input i_src, from src_first on, to dst_first of
 * output i_dst. */
void bdl__moves_add_range(bdl__step *step, int i_src, int i_dst, int32_t axis, int64_t src_first,
                          int64_t dst_first, int64_t length);

void bdl__moves_forward(const bdl__step *step, bdl__cx *cx);
void bdl__moves_backward(const bdl__step *step, bdl__cx *cx);

/* Row-major strides. */
void bdl__strides_of(const bdl__shape *shape, int64_t *stride);

#endif
