/* SPDX-License-Identifier: Apache-2.0 */
/* Plans and runs the kernels that were chosen for a convolution: bookings, teams, slices. */
#include <string.h>

#include "kernels/conv_axis.h"
#include "layers/conv_internal.h"
#include "layers/slices.h"

/* Weights from which a step takes many parts: they leave no room for anything else in a level-2
 * cache. A constant, so that the plan is the same everywhere. */
#define MANY_WEIGHTS (128 * 1024)
/* Bytes of gradients that are computed before they are handed on. */
#define TILE_SIZE (256 * 1024)

/* Outputs of a tile where inputs are transformed again for each. */
#define WINOGRAD_OUTPUTS 256

/* The side of a Winograd tile of outputs, 0 for other kernels. */
static int tile_side(bdl__conv_impl impl)
{
    return impl == BDL__CONV_WINOGRAD4 ? 4 : impl == BDL__CONV_WINOGRAD2 ? 2 : 0;
}

static void pack(const bdl__step *step, bool backward, const void *weights, void *packed,
                 int64_t begin, int64_t end)
{
    const bdl__conv_state *s = step->state;
    const int m = tile_side(backward ? s->backward_data : s->forward);
    if (m > 0) {
        bdl__conv_winograd_kernels(step->target)
            ->conv_winograd_pack(&s->dims, m, backward, weights, packed, begin, end);
    } else {
        bdl__conv_direct_kernels(step->target)
            ->conv_direct_pack(&s->dims, backward, weights, packed, begin, end);
    }
}

static void pack_forward(const bdl__step *step, const void *const *weights, void *packed,
                         int64_t begin, int64_t end)
{
    pack(step, false, weights[0], packed, begin, end);
}

static void pack_backward(const bdl__step *step, const void *const *weights, void *packed,
                          int64_t begin, int64_t end)
{
    pack(step, true, weights[0], packed, begin, end);
}

static int64_t weights_per_output(const bdl__conv_dims *d)
{
    return d->ic / d->groups * d->kh * d->kw;
}

static size_t weights_scratch(const bdl__step *step, const bdl__conv_state *s)
{
    const int m = tile_side(s->backward_weights);
    if (m > 0) {
        return bdl__winograd_wgrad_scratch(&s->dims, m, step->takes_many ? s->tile : s->dims.oc,
                                           step->real_size, step->scalar_size);
    }
    return s->backward_weights == BDL__CONV_FEATURE_LANES
               ? bdl__conv_features_scratch(&s->dims, step->real_size, step->scalar_size)
               : bdl__conv_lane_sums_scratch(&s->dims, step->real_size);
}

/* Bytes of packed weights and of scratch for one direction. */
static size_t packed_size(const bdl__step *step, const bdl__conv_state *s, bdl__conv_impl impl)
{
    const int m = tile_side(impl);
    const size_t size = (size_t)(s->dims.oc * weights_per_output(&s->dims)) * step->scalar_size;
    return m > 0 ? size / 9 * (size_t)((m + 2) * (m + 2)) : size;
}

static size_t scratch_size(const bdl__step *step, const bdl__conv_state *s, bool backward)
{
    const bdl__conv_dims *d = &s->dims;
    const int m = tile_side(backward ? s->backward_data : s->forward);
    return m > 0 ? bdl__conv_winograd_scratch(backward ? d->oc : d->ic, backward ? d->ic : d->oc, m,
                                              step->real_size)
                 : bdl__conv_direct_scratch(d, backward, step->real_size);
}

/* Books packed weights and scratch for the three kernels. */
static bdl_status book(bdl__planner *planner, bdl__step *step, bdl__conv_state *s)
{
    size_t scratch = 0;
    s->forward_units = bdl__conv_direct_units(&s->dims, false);
    s->backward_units = bdl__conv_direct_units(&s->dims, true);
    if (bdl__conv_is_dnnl(s->forward)) {
        BDL__TRY(bdl__conv_dnnl_book(planner, step, s, 0));
    } else {
        scratch = scratch_size(step, s, false);
        BDL__TRY(bdl__plan_packed(planner, step, 0, packed_size(step, s, s->forward),
                                  s->forward_units, pack_forward));
    }
    if (bdl__conv_is_dnnl(s->backward_data)) {
        BDL__TRY(bdl__conv_dnnl_book(planner, step, s, 1));
    } else if (step->needs_diff_src[0] && s->propagates) {
        const size_t size = scratch_size(step, s, true);
        BDL__TRY(bdl__plan_packed(planner, step, 1, packed_size(step, s, s->backward_data),
                                  s->backward_units, pack_backward));
        scratch = BDL__MAX(scratch, size);
    }
    if (step->needs_diff_weights && !bdl__conv_is_dnnl(s->backward_weights)) {
        const int64_t row_size = weights_per_output(&s->dims) * (int64_t)step->scalar_size;
        const bool is_winograd = tile_side(s->backward_weights) > 0;
        s->tile = is_winograd ? WINOGRAD_OUTPUTS : BDL__MAX(TILE_SIZE / row_size / 64, 1) * 64;
        s->tile = BDL__MIN(s->tile, s->dims.oc);
        s->values_offset = bdl__align_up(weights_scratch(step, s), BDL__ALIGNMENT);
        const size_t size =
            s->values_offset + (step->takes_many ? (size_t)(s->tile * row_size) : 0);
        scratch = BDL__MAX(scratch, size);
    }
    return scratch > 0 ? bdl__plan_scratch(planner, step, scratch) : BDL_OK;
}

/* Many parts at once pay where weights would come from memory again for each. Winograd's are read
 * so seldom beside its arithmetic that a level-3 cache is near enough. */
static bool wants_many(const bdl__step *step, const bdl__conv_state *s)
{
    const bdl__conv_dims *d = &s->dims;
    const int m = tile_side(s->forward);
    if (step->few_samples || bdl__conv_is_dnnl(s->backward_weights)) {
        return false; /* oneDNN takes a part at a time, and gives all its weights' gradients at once */
    }
    return m > 0 ? bdl__conv_winograd_block(d->ic, d->oc, m) > 4
                 : d->oc * weights_per_output(d) > MANY_WEIGHTS;
}

bdl_status bdl__conv_plan(bdl__planner *planner, bdl__step *step, const bdl__conv_dims *dims,
                          bool propagates)
{
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(bdl__conv_state), &memory));
    bdl__conv_state *s = memory;
    s->dims = *dims;
    s->propagates = propagates;
    step->state = s;
    bdl__conv_choose(step, s);
    BDL__TRY(bdl__conv_dnnl_choose(planner, step, s));
    step->impl = bdl__conv_impl_name(s->forward);
    step->impl_backward_data = bdl__conv_impl_name(s->backward_data);
    step->impl_backward_weights = bdl__conv_impl_name(s->backward_weights);
    step->takes_many = wants_many(step, s);
    step->splits = true;
    return book(planner, step, s);
}

void bdl__conv_forward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__conv_state *s = step->state;
    if (bdl__conv_is_dnnl(s->forward)) {
        bdl__conv_dnnl_forward(step, cx);
        return;
    }
    bdl__conv_call call = {.dims = &s->dims,
                           .src = {cx->src[0].data, cx->src[0].stride},
                           .dst = {cx->dst[0].data, cx->dst[0].stride},
                           .n_parts = cx->n_parts,
                           .packed = cx->packed[0],
                           .bias = step->n_weights > 1 ? cx->weights[1] : NULL,
                           .scratch = cx->scratch};
    bdl__cx_split(cx, s->forward_units, &call.begin, &call.end);
    switch (tile_side(s->forward)) {
    case 4:
        bdl__conv_winograd_kernels(step->target)->conv_winograd4_forward(&call);
        break;
    case 2:
        bdl__conv_winograd_kernels(step->target)->conv_winograd2_forward(&call);
        break;
    default:
        bdl__conv_direct_kernels(step->target)->conv_direct_forward(&call);
    }
}

/* No gradient was wanted, but whoever reads it must find zeros. */
static void write_zeros(const bdl__step *step, bdl__cx *cx)
{
    int64_t begin;
    int64_t end;
    bdl__cx_split(cx, bdl__shape_count(&step->src_shape[0]), &begin, &end);
    for (int64_t i = 0; i < cx->n_parts; i++) {
        memset((char *)bdl__span_part(cx->diff_src[0], i) + (size_t)begin * step->real_size, 0,
               (size_t)(end - begin) * step->real_size);
    }
}

static void backward_data(const bdl__step *step, bdl__cx *cx)
{
    const bdl__conv_state *s = step->state;
    if (bdl__conv_is_dnnl(s->backward_data)) {
        bdl__conv_dnnl_backward_data(step, cx);
        return;
    }
    bdl__conv_call call = {.dims = &s->dims,
                           .src = {cx->diff_dst[0].data, cx->diff_dst[0].stride},
                           .dst = {cx->diff_src[0].data, cx->diff_src[0].stride},
                           .n_parts = cx->n_parts,
                           .packed = cx->packed[1],
                           .add = cx->diff_src_mode[0] == BDL__ADD,
                           .scratch = cx->scratch};
    bdl__cx_split(cx, s->backward_units, &call.begin, &call.end);
    switch (tile_side(s->backward_data)) {
    case 4:
        bdl__conv_winograd_kernels(step->target)->conv_winograd4_backward(&call);
        break;
    case 2:
        bdl__conv_winograd_kernels(step->target)->conv_winograd2_backward(&call);
        break;
    default:
        bdl__conv_direct_kernels(step->target)->conv_direct_backward(&call);
    }
}

static void weights_kernel(const bdl__step *step, const bdl__conv_wgrad_call *call)
{
    const bdl__conv_state *s = step->state;
    if (s->backward_weights == BDL__CONV_WINOGRAD4) {
        bdl__winograd_wgrad_kernels(step->target)->conv_winograd4_wgrad(call);
    } else if (s->backward_weights == BDL__CONV_WINOGRAD2) {
        bdl__winograd_wgrad_kernels(step->target)->conv_winograd2_wgrad(call);
    } else if (s->backward_weights == BDL__CONV_FEATURE_LANES) {
        bdl__conv_features_kernels(step->target)->conv_wgrad_features(call);
    } else {
        bdl__conv_wgrad_kernels(step->target)->conv_wgrad_lane_sums(call);
    }
}

/* Gradients of the outputs of this member of the team, straight into their place. */
static void backward_weights(const bdl__step *step, bdl__cx *cx, bdl__conv_wgrad_call *call)
{
    const bdl__conv_state *s = step->state;
    const size_t size = step->scalar_size;
    const int64_t row = weights_per_output(&s->dims);
    if (bdl__conv_is_dnnl(s->backward_weights)) {
        bdl__conv_dnnl_backward_weights(step, cx);
    } else if (bdl__wants_weights(cx, 0)) {
        call->add = cx->diff_weights_mode[0] == BDL__ADD;
        call->diff_weights = (char *)cx->diff_weights[0] + (size_t)(call->begin * row) * size;
        weights_kernel(step, call);
    }
    if (step->n_weights > 1 && bdl__wants_weights(cx, 1)) {
        call->add = cx->diff_weights_mode[1] == BDL__ADD;
        call->diff_bias = (char *)cx->diff_weights[1] + (size_t)call->begin * size;
        bdl__conv_wgrad_kernels(step->target)->conv_wgrad_bias(call);
    }
}

/* The same in tiles of outputs, each for all slices, handed to the sum over the batch. */
static void commit_weights(const bdl__step *step, bdl__cx *cx, bdl__conv_wgrad_call *call)
{
    const bdl__conv_state *s = step->state;
    const int64_t row = weights_per_output(&s->dims);
    const int64_t begin = call->begin;
    const int64_t end = call->end;
    void *values = (char *)cx->scratch + s->values_offset;
    call->diff_weights = values;
    call->diff_bias = values;
    for (int64_t o = begin; o < end; o += s->tile) {
        call->begin = o;
        call->end = BDL__MIN(o + s->tile, end);
        for (int64_t i = 0; i < cx->n_parts; i += call->n_parts) {
            const int64_t slice = bdl__slice_number(step, cx, i);
            call->n_parts = bdl__slice_parts(step, cx, i);
            call->src.data = bdl__span_part(cx->src[0], i);
            call->diff_dst.data = bdl__span_part(cx->diff_dst[0], i);
            if (bdl__wants_weights(cx, 0)) {
                weights_kernel(step, call);
                bdl__grad_commit(cx, 0, o * row, (call->end - o) * row, slice, values);
            }
            if (step->n_weights > 1 && bdl__wants_weights(cx, 1)) {
                bdl__conv_wgrad_kernels(step->target)->conv_wgrad_bias(call);
                bdl__grad_commit(cx, 1, o, call->end - o, slice, values);
            }
        }
    }
}

void bdl__conv_backward(const bdl__step *step, bdl__cx *cx)
{
    const bdl__conv_state *s = step->state;
    if (!s->propagates) {
        if (cx->diff_src_mode[0] == BDL__WRITE) {
            write_zeros(step, cx);
        }
    } else if (cx->diff_src_mode[0] != BDL__SKIP) {
        backward_data(step, cx);
    }
    if (!step->needs_diff_weights) {
        return;
    }
    bdl__conv_wgrad_call call = {.dims = &s->dims,
                                 .src = {cx->src[0].data, cx->src[0].stride},
                                 .diff_dst = {cx->diff_dst[0].data, cx->diff_dst[0].stride},
                                 .n_parts = cx->n_parts,
                                 .scratch = cx->scratch};
    bdl__cx_split(cx, s->dims.oc, &call.begin, &call.end);
    if (step->takes_many) {
        commit_weights(step, cx, &call);
    } else {
        backward_weights(step, cx, &call);
    }
}
