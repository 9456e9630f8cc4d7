/* SPDX-License-Identifier: Apache-2.0 */
/* Running lists of boxes, and making them. */
#include "layers/moves.h"

#include <string.h>

bdl_status bdl__moves_plan(bdl__planner *planner, bdl__step *step, int64_t n)
{
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(bdl__moves), &memory));
    bdl__moves *state = step->state = memory;
    BDL__TRY(bdl__plan_alloc(planner, (size_t)n * sizeof(bdl__move), &memory));
    state->moves = memory;
    BDL__TRY(bdl__plan_alloc(planner, step->real_size + BDL__ALIGNMENT, &memory));
    state->zeros = (void *)bdl__align_up((uintptr_t)memory, BDL__ALIGNMENT);
    step->splits = true;
    step->impl = "copy";
    return BDL_OK;
}

void bdl__strides_of(const bdl__shape *shape, int64_t *stride)
{
    int64_t size = 1;
    for (int32_t i = shape->rank - 1; i >= 0; i--) {
        stride[i] = size;
        size *= shape->dim[i];
    }
}

void bdl__moves_add(bdl__step *step, int i_src, int i_dst, const bdl__shape *dims,
                    const int64_t *src_stride, int64_t src_offset, const int64_t *dst_stride,
                    int64_t dst_offset)
{
    bdl__moves *state = step->state;
    bdl__move *m = &state->moves[state->n_moves++];
    *m = (bdl__move){.i_src = i_src, .i_dst = i_dst, .n_rows = 1};
    m->box.src_offset = src_offset;
    m->box.dst_offset = dst_offset;
    const int shift = BDL__BOX_RANK - dims->rank;
    for (int k = 0; k < BDL__BOX_RANK; k++) {
        m->box.dim[k] = k < shift ? 1 : dims->dim[k - shift];
        m->box.src_stride[k] = k < shift ? 0 : src_stride[k - shift];
        m->box.dst_stride[k] = k < shift ? 0 : dst_stride[k - shift];
        m->n_rows *= k < BDL__BOX_RANK - 1 ? m->box.dim[k] : 1;
    }
}

void bdl__moves_add_range(bdl__step *step, int i_src, int i_dst, int32_t axis, int64_t src_first,
                          int64_t dst_first, int64_t length)
{
    int64_t src_stride[BDL_MAX_RANK], dst_stride[BDL_MAX_RANK];
    bdl__shape dims = step->src_shape[i_src];
    dims.dim[axis] = length;
    bdl__strides_of(&step->src_shape[i_src], src_stride);
    bdl__strides_of(&step->dst_shape[i_dst], dst_stride);
    bdl__moves_add(step, i_src, i_dst, &dims, src_stride, src_first * src_stride[axis], dst_stride,
                   dst_first * dst_stride[axis]);
}

static void fill_dst(const bdl__step *step, void *dst)
{
    const bdl__moves *state = step->state;
    const int64_t n = bdl__shape_count(&step->dst_shape[0]);
    if (step->src_integer[0]) {
        bdl__shape_kernels(step->target)->fill_int(dst, state->value, 0, n);
    } else {
        bdl__shape_kernels(step->target)->fill(dst, state->value, 0, n);
    }
}

void bdl__moves_forward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__moves *state = step->state;
    const struct bdl__shape_kernels *kernels = bdl__shape_kernels(step->target);
    const bool integer = step->src_integer[0];
    int64_t begin, end;
    if (state->fills_dst) {
        fill_dst(step, cx->dst[0].data);
    }
    for (int64_t i = 0; i < state->n_moves; i++) {
        const bdl__move *m = &state->moves[i];
        bdl__cx_split(cx, m->n_rows, &begin, &end);
        if (integer) {
            kernels->box_forward_int(&m->box, cx->src[m->i_src].data, cx->dst[m->i_dst].data, begin,
                                     end);
        } else {
            kernels->box_forward(&m->box, cx->src[m->i_src].data, cx->dst[m->i_dst].data, begin,
                                 end);
        }
    }
}

/* The box with one value, a zero, for all of diff_dst: for outputs that nobody used. */
static bdl__box zero_box(const bdl__box *box)
{
    bdl__box zero = *box;
    zero.dst_offset = 0;
    memset(zero.dst_stride, 0, sizeof zero.dst_stride);
    return zero;
}

void bdl__moves_backward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__moves *state = step->state;
    const struct bdl__shape_kernels *kernels = bdl__shape_kernels(step->target);
    if (state->fills_src && cx->diff_src_mode[0] == BDL__WRITE) {
        kernels->fill(cx->diff_src[0].data, 0, 0, bdl__shape_count(&step->src_shape[0]));
    }
    for (int64_t i = 0; i < state->n_moves; i++) {
        const bdl__move *m = &state->moves[i];
        const bdl__write_mode mode = cx->diff_src_mode[m->i_src];
        const void *diff_dst = cx->diff_dst[m->i_dst].data;
        if (mode == BDL__SKIP || (diff_dst == NULL && mode == BDL__ADD)) {
            continue;
        }
        const bdl__box box = diff_dst != NULL ? m->box : zero_box(&m->box);
        int64_t begin, end;
        bdl__cx_split(cx, m->n_rows, &begin, &end);
        kernels->box_backward(&box, diff_dst != NULL ? diff_dst : state->zeros,
                              cx->diff_src[m->i_src].data, begin, end, mode == BDL__ADD);
    }
}
