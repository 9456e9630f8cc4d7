/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that take parts of axes (narrow, select, split), or put tensors together (concat, pad). */
#include "layers/moves.h"

#include <inttypes.h>
#include <string.h>

/* ---- params ---------------------------------------------------------------------------------- */

typedef struct axis_params {
    int64_t axis;
} axis_params;

typedef struct narrow_params {
    int64_t axis;
    int64_t offset;
    int64_t length;
} narrow_params;

typedef struct select_params {
    int64_t axis;
    int64_t index;
} select_params;

typedef struct split_params {
    int64_t axis;
    bdl__i64s sizes;
} split_params;

typedef struct pad_params {
    bdl__i64s padding;
    double value;
} pad_params;

static const bdl__field narrow_fields[] = {
    BDL_FIELD(narrow_params, axis, .required = true, .range = BDL__AXIS_RANGE, .torch_name = "dim",
              .doc = "Axis to cut."),
    BDL_FIELD(narrow_params, offset, .required = true, .torch_name = "start",
              .doc = "First position that stays; a negative one counts from the end."),
    BDL_FIELD(narrow_params, length, .def.i64 = 1, .range = BDL_AT_LEAST(-1),
              .doc = "Number of positions that stay; -1 means all that follow."),
};

static const bdl__field select_fields[] = {
    BDL_FIELD(select_params, axis, .required = true, .range = BDL__AXIS_RANGE, .torch_name = "dim",
              .doc = "Axis to drop."),
    BDL_FIELD(select_params, index, .required = true,
              .doc = "Position on it that stays; a negative one counts from the end."),
};

static const bdl__field split_fields[] = {
    BDL_FIELD(split_params, axis, .def.i64 = 1, .range = BDL__AXIS_RANGE, .torch_name = "dim",
              .doc = "Axis to cut."),
    BDL_FIELD(split_params, sizes, .required = true, .least_n = 1, .range = BDL_AT_LEAST(1),
              .torch_name = "split_size_or_sections",
              .doc = "Size of every output (the last may be smaller), or a list of the sizes."),
};

static const bdl__field concat_fields[] = {
    BDL_FIELD(axis_params, axis, .def.i64 = 1, .range = BDL__AXIS_RANGE, .torch_name = "dim",
              .doc = "Axis along which inputs follow each other."),
};

static const bdl__field pad_fields[] = {
    BDL_FIELD(pad_params, padding, .required = true, .least_n = 2, .range = BDL_IN(-1e9, 1e9),
              .doc =
                  "Positions to add before and behind the last axis, then the one before it, and "
                  "so on; negative numbers cut off."),
    BDL_FIELD(pad_params, value, .def.f64 = 0, .doc = "What new positions hold."),
};

/* ---- ranges ---------------------------------------------------------------------------------- */

/* Where a narrow or select begins, and its length. */
static bdl_status find_range(const bdl__shape *src, int64_t user_axis, int64_t offset,
                             int64_t length, int32_t *axis, int64_t *first, int64_t *n)
{
    BDL__TRY(bdl__layer_axis(user_axis, src->rank, axis));
    const int64_t size = src->dim[*axis];
    *first = offset < 0 ? offset + size : offset;
    BDL__CHECK(*first >= 0 && *first < size, BDL_ERR_INVALID_ARGUMENT,
               "position %" PRId64 " is not on axis %" PRId64 " of size %" PRId64, offset,
               user_axis, size);
    *n = length < 0 ? size - *first : length;
    BDL__CHECK(*n >= 1 && *n <= size - *first, BDL_ERR_INVALID_ARGUMENT,
               "%" PRId64 " positions from %" PRId64 " on are not on axis %" PRId64
               " of size %" PRId64,
               *n, *first, user_axis, size);
    return BDL_OK;
}

static bdl_status narrow_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const narrow_params *p = params;
    int32_t axis;
    int64_t first = 0, n = 0;
    BDL__TRY(find_range(&in->shape[0], p->axis, p->offset, p->length, &axis, &first, &n));
    bdl__shape out = in->shape[0];
    out.dim[axis] = n;
    return bdl__decl_out(decl, &out, in->integer[0]);
}

static bdl_status select_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const select_params *p = params;
    int32_t axis;
    int64_t first = 0, n = 0;
    BDL__TRY(find_range(&in->shape[0], p->axis, p->index, 1, &axis, &first, &n));
    bdl__shape out = {.rank = in->shape[0].rank - 1};
    for (int32_t i = 0; i < out.rank; i++) {
        out.dim[i] = in->shape[0].dim[i < axis ? i : i + 1];
    }
    return bdl__decl_out(decl, &out, in->integer[0]);
}

static bdl_status plan_range(bdl__planner *planner, bdl__step *step, int64_t user_axis,
                             int64_t offset, int64_t length)
{
    const bdl__shape *src = &step->src_shape[0];
    int32_t axis;
    int64_t first = 0, n = 0;
    int64_t src_stride[BDL_MAX_RANK], dst_stride[BDL_MAX_RANK];
    BDL__TRY(find_range(src, user_axis, offset, length, &axis, &first, &n));
    BDL__TRY(bdl__moves_plan(planner, step, 1));
    bdl__moves *state = step->state;
    bdl__shape dims = *src;
    dims.dim[axis] = n;
    bdl__strides_of(src, src_stride);
    bdl__strides_of(&dims, dst_stride); /* select's dropped axis has size 1: it changes no stride */
    bdl__moves_add(step, 0, 0, &dims, src_stride, first * src_stride[axis], dst_stride, 0);
    state->fills_src = n < src->dim[axis];
    step->splits = !state->fills_src;
    return BDL_OK;
}

static bdl_status narrow_plan(bdl__planner *planner, bdl__step *step)
{
    const narrow_params *p = step->params;
    return plan_range(planner, step, p->axis, p->offset, p->length);
}

static bdl_status select_plan(bdl__planner *planner, bdl__step *step)
{
    const select_params *p = step->params;
    return plan_range(planner, step, p->axis, p->index, 1);
}

/* Output i's size along the axis; 0 behind the last. */
static int64_t piece_size(const split_params *p, int64_t size, int i)
{
    if (p->sizes.n > 1) {
        return i < p->sizes.n ? p->sizes.v[i] : 0;
    }
    const int64_t left = size - i * p->sizes.v[0];
    return BDL__MAX(0, BDL__MIN(left, p->sizes.v[0]));
}

static bdl_status split_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const split_params *p = params;
    int32_t axis;
    BDL__TRY(bdl__layer_axis(p->axis, in->shape[0].rank, &axis));
    const int64_t size = in->shape[0].dim[axis];
    BDL__CHECK(p->sizes.n > 1 || (size - 1) / p->sizes.v[0] < BDL__MAX_PORTS,
               BDL_ERR_INVALID_ARGUMENT, "more than %d outputs", BDL__MAX_PORTS);
    int64_t sum = 0;
    for (int i = 0; i < BDL__MAX_PORTS && piece_size(p, size, i) > 0; i++) {
        bdl__shape out = in->shape[0];
        out.dim[axis] = piece_size(p, size, i);
        sum += BDL__MIN(out.dim[axis], size + 1);
        BDL__TRY(bdl__decl_out(decl, &out, in->integer[0]));
    }
    BDL__CHECK(sum == size, BDL_ERR_INVALID_ARGUMENT,
               "sizes must add up to the axis's size %" PRId64 ", got %" PRId64, size, sum);
    return BDL_OK;
}

static bdl_status split_plan(bdl__planner *planner, bdl__step *step)
{
    const split_params *p = step->params;
    int32_t axis;
    int64_t first = 0;
    BDL__TRY(bdl__layer_axis(p->axis, step->src_shape[0].rank, &axis));
    BDL__TRY(bdl__moves_plan(planner, step, step->n_out));
    for (int i = 0; i < step->n_out; i++) {
        const int64_t n = step->dst_shape[i].dim[axis];
        bdl__moves_add_range(step, 0, i, axis, first, 0, n);
        first += n;
    }
    return BDL_OK;
}

static bdl_status concat_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const axis_params *p = params;
    int32_t axis;
    bdl__shape out = in->shape[0];
    BDL__TRY(bdl__layer_axis(p->axis, out.rank, &axis));
    for (int i = 1; i < in->n; i++) {
        bdl__shape expected = in->shape[0];
        char first[BDL__SHAPE_TEXT_SIZE], other[BDL__SHAPE_TEXT_SIZE];
        if (in->shape[i].rank == expected.rank) {
            expected.dim[axis] = in->shape[i].dim[axis];
        }
        BDL__CHECK(bdl__shape_equal(&expected, &in->shape[i]), BDL_ERR_SHAPE,
                   "inputs must agree but for axis %" PRId64 ", got %s and %s", p->axis,
                   bdl__shape_text(&in->shape[0], first, sizeof first),
                   bdl__shape_text(&in->shape[i], other, sizeof other));
        BDL__CHECK(in->integer[i] == in->integer[0], BDL_ERR_UNSUPPORTED,
                   "inputs must be all integers or all real numbers");
        BDL__CHECK(bdl__add_i64(out.dim[axis], in->shape[i].dim[axis], &out.dim[axis]),
                   BDL_ERR_SHAPE, "the output is too large");
    }
    return bdl__decl_out(decl, &out, in->integer[0]);
}

static bdl_status concat_plan(bdl__planner *planner, bdl__step *step)
{
    const axis_params *p = step->params;
    int32_t axis;
    int64_t first = 0;
    BDL__TRY(bdl__layer_axis(p->axis, step->src_shape[0].rank, &axis));
    BDL__TRY(bdl__moves_plan(planner, step, step->n_in));
    for (int i = 0; i < step->n_in; i++) {
        const int64_t n = step->src_shape[i].dim[axis];
        bdl__moves_add_range(step, i, 0, axis, 0, first, n);
        first += n;
    }
    return BDL_OK;
}

/* ---- pad ------------------------------------------------------------------------------------- */

/* How many positions are added before and behind each axis of a sample. */
static bdl_status pad_widths(const pad_params *p, int32_t rank, int64_t *before, int64_t *behind)
{
    BDL__CHECK(p->padding.n % 2 == 0 && p->padding.n / 2 <= rank, BDL_ERR_INVALID_ARGUMENT,
               "padding must be a pair of numbers for each of up to %" PRId32 " axes, got %" PRId32
               " numbers",
               rank, p->padding.n);
    for (int32_t i = 0; i < rank; i++) {
        const int32_t at = 2 * (rank - 1 - i);
        before[i] = at < p->padding.n ? p->padding.v[at] : 0;
        behind[i] = at < p->padding.n ? p->padding.v[at + 1] : 0;
    }
    return BDL_OK;
}

static bdl_status pad_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    int64_t before[BDL_MAX_RANK], behind[BDL_MAX_RANK];
    bdl__shape out = in->shape[0];
    BDL__TRY(pad_widths(params, out.rank, before, behind));
    for (int32_t i = 0; i < out.rank; i++) {
        const int64_t kept = out.dim[i] + BDL__MIN(before[i], 0) + BDL__MIN(behind[i], 0);
        BDL__CHECK(kept >= 1, BDL_ERR_SHAPE,
                   "padding cuts all %" PRId64 " positions of axis %" PRId32 " off", out.dim[i],
                   i + 1);
        out.dim[i] += before[i] + behind[i];
    }
    return bdl__decl_out(decl, &out, in->integer[0]);
}

static bdl_status pad_plan(bdl__planner *planner, bdl__step *step)
{
    const pad_params *p = step->params;
    const bdl__shape *src = &step->src_shape[0];
    int64_t before[BDL_MAX_RANK], behind[BDL_MAX_RANK];
    int64_t src_stride[BDL_MAX_RANK], dst_stride[BDL_MAX_RANK];
    int64_t src_offset = 0, dst_offset = 0;
    BDL__TRY(pad_widths(p, src->rank, before, behind));
    BDL__TRY(bdl__moves_plan(planner, step, 1));
    bdl__moves *state = step->state;
    bdl__shape dims = *src;
    bdl__strides_of(src, src_stride);
    bdl__strides_of(&step->dst_shape[0], dst_stride);
    for (int32_t i = 0; i < src->rank; i++) {
        dims.dim[i] += BDL__MIN(before[i], 0) + BDL__MIN(behind[i], 0);
        src_offset += BDL__MAX(-before[i], 0) * src_stride[i];
        dst_offset += BDL__MAX(before[i], 0) * dst_stride[i];
        state->fills_dst |= before[i] > 0 || behind[i] > 0;
        state->fills_src |= before[i] < 0 || behind[i] < 0;
    }
    state->value = p->value;
    step->splits = !state->fills_dst && !state->fills_src;
    bdl__moves_add(step, 0, 0, &dims, src_stride, src_offset, dst_stride, dst_offset);
    return BDL_OK;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static const bdl__layer concat = {
    .name = "concat",
    .names = {.pytorch = "cat", .torch = "JoinTable", .keras = "Concatenate"},
    .since = "0.1",
    .summary = "Puts tensors behind each other along an axis.",
    .doc = "(a, h, w), (b, h, w) -> (a + b, h, w) with axis=1; one or more inputs.",
    .schema = BDL_SCHEMA("concat", concat_fields, axis_params),
    .ports = "input...",
    .infer = concat_infer,
    .plan = concat_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer narrow = {
    .name = "narrow",
    .names = {.pytorch = "narrow", .torch = "Narrow"},
    .since = "0.1",
    .summary = "Keeps a range of an axis.",
    .doc = "Positions offset to offset + length - 1 of the axis.",
    .schema = BDL_SCHEMA("narrow", narrow_fields, narrow_params),
    .ports = "input",
    .infer = narrow_infer,
    .plan = narrow_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer pad = {
    .name = "pad",
    .names = {.pytorch = "ConstantPad2d", .torch = "SpatialZeroPadding", .keras = "ZeroPadding2D"},
    .since = "0.1",
    .summary = "Adds positions at the ends of axes.",
    .doc = "PyTorch's order: padding before and behind the last axis, then the one before it; (c, "
           "h, w) -> (c, h + top + bottom, w + left + right) for left, right, top, bottom.",
    .schema = BDL_SCHEMA("pad", pad_fields, pad_params),
    .ports = "input",
    .infer = pad_infer,
    .plan = pad_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer select_layer = {
    .name = "select",
    .names = {.pytorch = "select", .torch = "Select"},
    .since = "0.1",
    .summary = "Keeps one position of an axis, which it drops.",
    .doc = "(a, b, c) -> (a, c) with axis=2.",
    .schema = BDL_SCHEMA("select", select_fields, select_params),
    .ports = "input",
    .infer = select_infer,
    .plan = select_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer split = {
    .name = "split",
    .names = {.pytorch = "split"},
    .since = "0.1",
    .summary = "Cuts an axis into several outputs.",
    .doc = "(a + b, h, w) -> (a, h, w), (b, h, w) with axis=1 and sizes=[a,b].",
    .schema = BDL_SCHEMA("split", split_fields, split_params),
    .ports = "input",
    .infer = split_infer,
    .plan = split_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

BDL_LAYER_FAMILY(pieces, &concat, &narrow, &pad, &select_layer, &split)
