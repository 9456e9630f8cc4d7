/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers that change how a sample's elements are arranged, not which there are. Those that only
 * rename the shape (reshape, flatten, squeeze, unsqueeze, identity) are views: usually nothing is
 * copied.
 */
#include "layers/moves.h"

#include <inttypes.h>
#include <string.h>

/* ---- params ---------------------------------------------------------------------------------- */

typedef struct reshape_params {
    bdl__i64s shape;
} reshape_params;

typedef struct flatten_params {
    int64_t start_axis;
    int64_t end_axis;
} flatten_params;

typedef struct squeeze_params {
    bdl__i64s axis;
} squeeze_params;

typedef struct axis_params {
    int64_t axis;
} axis_params;

typedef struct permute_params {
    bdl__i64s axes;
} permute_params;

static const bdl__field reshape_fields[] = {
    BDL_FIELD(
        reshape_params, shape, .required = true, .most_n = BDL_MAX_RANK, .range = BDL_AT_LEAST(-1),
        .doc = "New shape of a sample; -1, once, stands for what is left, 0 for the size that "
               "the axis had."),
};

static const bdl__field flatten_fields[] = {
    BDL_FIELD(flatten_params, start_axis, .def.i64 = 1, .range = BDL__AXIS_RANGE,
              .torch_name = "start_dim", .doc = "First axis to merge."),
    BDL_FIELD(flatten_params, end_axis, .def.i64 = -1, .range = BDL__AXIS_RANGE,
              .torch_name = "end_dim", .doc = "Last axis to merge."),
};

static const bdl__field squeeze_fields[] = {
    BDL_FIELD(squeeze_params, axis, .most_n = BDL_MAX_RANK, .range = BDL__AXIS_RANGE,
              .torch_name = "dim",
              .doc = "Axes to drop where their size is 1; all such axes if none is given."),
};

static const bdl__field unsqueeze_fields[] = {
    BDL_FIELD(axis_params, axis, .required = true, .range = BDL__AXIS_RANGE, .torch_name = "dim",
              .doc = "Place of the new axis in the output."),
};

static const bdl__field permute_fields[] = {
    BDL_FIELD(permute_params, axes, .required = true, .least_n = 1, .range = BDL__AXIS_RANGE,
              .torch_name = "dims",
              .doc = "All axes of the input in their new order; the batch, 0, may lead the list."),
};

static const bdl__field transpose_fields[] = {
    BDL_FIELD(permute_params, axes, .required = true, .least_n = 2, .range = BDL__AXIS_RANGE,
              .doc = "Pairs of axes to swap, one after another."),
};

/* ---- views ----------------------------------------------------------------------------------- */

static bdl_status view_plan(bdl__planner *planner, bdl__step *step)
{
    const bdl__shape *shape = &step->src_shape[0];
    int64_t stride[BDL_MAX_RANK];
    BDL__TRY(bdl__moves_plan(planner, step, 1));
    bdl__strides_of(shape, stride);
    bdl__moves_add(step, 0, 0, shape, stride, 0, stride, 0);
    step->impl = "view";
    return BDL_OK;
}

static bdl_status identity_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    (void)params;
    return bdl__decl_same(in, decl);
}

static bdl_status fail_reshape(const bdl__shape *from, const bdl__i64s *to)
{
    char text[BDL__SHAPE_TEXT_SIZE], wanted[BDL__SHAPE_TEXT_SIZE];
    bdl__shape shape = {.rank = to->n};
    memcpy(shape.dim, to->v, (size_t)to->n * sizeof shape.dim[0]);
    return bdl__fail(BDL_ERR_SHAPE, "cannot reshape %s to %s",
                     bdl__shape_text(from, text, sizeof text),
                     bdl__shape_text(&shape, wanted, sizeof wanted));
}

static bdl_status reshape_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const bdl__i64s *to = &((const reshape_params *)params)->shape;
    const bdl__shape *src = &in->shape[0];
    const int64_t count = bdl__shape_count(src);
    bdl__shape out = {.rank = to->n};
    int64_t known = 1;
    int32_t i_rest = -1;
    for (int32_t i = 0; i < to->n; i++) {
        BDL__CHECK(to->v[i] != -1 || i_rest < 0, BDL_ERR_INVALID_ARGUMENT,
                   "shape may have one -1 only");
        BDL__CHECK(to->v[i] != 0 || i < src->rank, BDL_ERR_INVALID_ARGUMENT,
                   "shape has a 0 at %" PRId32 ", but the input has %" PRId32 " axes", i,
                   src->rank);
        if (to->v[i] == -1) {
            i_rest = i;
            continue;
        }
        out.dim[i] = to->v[i] == 0 ? src->dim[i] : to->v[i];
        if (!bdl__mul_i64(known, out.dim[i], &known)) {
            return fail_reshape(src, to);
        }
    }
    if (i_rest >= 0) {
        if (count % known != 0) {
            return fail_reshape(src, to);
        }
        out.dim[i_rest] = count / known;
    } else if (known != count) {
        return fail_reshape(src, to);
    }
    return bdl__decl_out(decl, &out, in->integer[0]);
}

static bdl_status flatten_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const flatten_params *p = params;
    const bdl__shape *src = &in->shape[0];
    bdl__shape out = {.rank = 1, .dim = {1}};
    if (src->rank > 0) {
        int32_t first, last;
        BDL__TRY(bdl__layer_axis(p->start_axis, src->rank, &first));
        BDL__TRY(bdl__layer_axis(p->end_axis, src->rank, &last));
        BDL__CHECK(first <= last, BDL_ERR_INVALID_ARGUMENT,
                   "start_axis must not be behind end_axis, got %" PRId64 " and %" PRId64,
                   p->start_axis, p->end_axis);
        out.rank = 0;
        for (int32_t i = 0; i < src->rank; i++) {
            if (i > first && i <= last) {
                out.dim[out.rank - 1] *= src->dim[i];
            } else {
                out.dim[out.rank++] = src->dim[i];
            }
        }
    }
    return bdl__decl_out(decl, &out, in->integer[0]);
}

static bdl_status squeeze_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const squeeze_params *p = params;
    const bdl__shape *src = &in->shape[0];
    bool drops[BDL_MAX_RANK] = {false};
    for (int32_t i = 0; i < src->rank; i++) {
        drops[i] = p->axis.n == 0;
    }
    for (int32_t i = 0; i < p->axis.n; i++) {
        int32_t axis;
        BDL__TRY(bdl__layer_axis(p->axis.v[i], src->rank, &axis));
        drops[axis] = true;
    }
    bdl__shape out = {.rank = 0};
    for (int32_t i = 0; i < src->rank; i++) {
        if (!drops[i] || src->dim[i] != 1) {
            out.dim[out.rank++] = src->dim[i];
        }
    }
    return bdl__decl_out(decl, &out, in->integer[0]);
}

static bdl_status unsqueeze_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const axis_params *p = params;
    const bdl__shape *src = &in->shape[0];
    int32_t axis;
    BDL__CHECK(src->rank < BDL_MAX_RANK, BDL_ERR_SHAPE, "the input has %d axes already",
               BDL_MAX_RANK);
    BDL__TRY(bdl__layer_axis(p->axis, src->rank + 1, &axis));
    bdl__shape out = {.rank = src->rank + 1};
    for (int32_t i = 0; i < out.rank; i++) {
        out.dim[i] = i < axis ? src->dim[i] : i == axis ? 1 : src->dim[i - 1];
    }
    return bdl__decl_out(decl, &out, in->integer[0]);
}

/* ---- order of axes --------------------------------------------------------------------------- */

/* order[i]: the input's axis that becomes output axis i. */
static bdl_status permute_order(const permute_params *p, int32_t rank, int32_t *order)
{
    const int32_t skip = p->axes.n == rank + 1 && p->axes.v[0] == 0 ? 1 : 0;
    bool used[BDL_MAX_RANK] = {false};
    BDL__CHECK(p->axes.n - skip == rank, BDL_ERR_INVALID_ARGUMENT,
               "axes must name all %" PRId32 " axes of a sample, got %" PRId32, rank,
               p->axes.n - skip);
    for (int32_t i = 0; i < rank; i++) {
        BDL__TRY(bdl__layer_axis(p->axes.v[i + skip], rank, &order[i]));
        BDL__CHECK(!used[order[i]], BDL_ERR_INVALID_ARGUMENT, "axes name axis %" PRId64 " twice",
                   p->axes.v[i + skip]);
        used[order[i]] = true;
    }
    return BDL_OK;
}

static bdl_status transpose_order(const permute_params *p, int32_t rank, int32_t *order)
{
    BDL__CHECK(p->axes.n % 2 == 0, BDL_ERR_INVALID_ARGUMENT,
               "axes must be pairs, got %" PRId32 " numbers", p->axes.n);
    for (int32_t i = 0; i < rank; i++) {
        order[i] = i;
    }
    for (int32_t i = 0; i < p->axes.n; i += 2) {
        int32_t a, b;
        BDL__TRY(bdl__layer_axis(p->axes.v[i], rank, &a));
        BDL__TRY(bdl__layer_axis(p->axes.v[i + 1], rank, &b));
        const int32_t old = order[a];
        order[a] = order[b];
        order[b] = old;
    }
    return BDL_OK;
}

static bdl_status infer_order(const bdl__infer_in *in, const int32_t *order, bdl__decl *decl)
{
    bdl__shape out = {.rank = in->shape[0].rank};
    for (int32_t i = 0; i < out.rank; i++) {
        out.dim[i] = in->shape[0].dim[order[i]];
    }
    return bdl__decl_out(decl, &out, in->integer[0]);
}

static bdl_status permute_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    int32_t order[BDL_MAX_RANK];
    BDL__TRY(permute_order(params, in->shape[0].rank, order));
    return infer_order(in, order, decl);
}

static bdl_status transpose_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    int32_t order[BDL_MAX_RANK];
    BDL__TRY(transpose_order(params, in->shape[0].rank, order));
    return infer_order(in, order, decl);
}

static bdl_status plan_order(bdl__planner *planner, bdl__step *step, const int32_t *order)
{
    const bdl__shape *dst = &step->dst_shape[0];
    int64_t stride[BDL_MAX_RANK], src_stride[BDL_MAX_RANK], dst_stride[BDL_MAX_RANK];
    BDL__TRY(bdl__moves_plan(planner, step, 1));
    bdl__strides_of(&step->src_shape[0], stride);
    bdl__strides_of(dst, dst_stride);
    for (int32_t i = 0; i < dst->rank; i++) {
        src_stride[i] = stride[order[i]];
    }
    bdl__moves_add(step, 0, 0, dst, src_stride, 0, dst_stride, 0);
    return BDL_OK;
}

static bdl_status permute_plan(bdl__planner *planner, bdl__step *step)
{
    int32_t order[BDL_MAX_RANK];
    BDL__TRY(permute_order(step->params, step->src_shape[0].rank, order));
    return plan_order(planner, step, order);
}

static bdl_status transpose_plan(bdl__planner *planner, bdl__step *step)
{
    int32_t order[BDL_MAX_RANK];
    BDL__TRY(transpose_order(step->params, step->src_shape[0].rank, order));
    return plan_order(planner, step, order);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static const bdl__layer flatten = {
    .name = "flatten",
    .names = {.pytorch = "Flatten", .keras = "Flatten"},
    .since = "0.1",
    .summary = "Merges axes.",
    .doc = "(a, b, c) -> (a b c); axes start_axis to end_axis become one.",
    .schema = BDL_SCHEMA("flatten", flatten_fields, flatten_params),
    .ports = "input",
    .flags = BDL__VIEW,
    .infer = flatten_infer,
    .plan = view_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer identity = {
    .name = "identity",
    .names = {.pytorch = "Identity", .torch = "Identity"},
    .since = "0.1",
    .summary = "Passes its input on.",
    .doc = "x, any shape.",
    .schema = BDL_NO_FIELDS("identity"),
    .ports = "input",
    .flags = BDL__VIEW,
    .infer = identity_infer,
    .plan = view_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer permute = {
    .name = "permute",
    .names = {.pytorch = "permute", .keras = "Permute"},
    .since = "0.1",
    .summary = "Puts axes into a new order.",
    .doc = "Output axis i is input axis axes[i].",
    .schema = BDL_SCHEMA("permute", permute_fields, permute_params),
    .ports = "input",
    .infer = permute_infer,
    .plan = permute_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer reshape = {
    .name = "reshape",
    .names = {.pytorch = "reshape", .torch = "Reshape", .keras = "Reshape"},
    .since = "0.1",
    .summary = "Gives a sample another shape.",
    .doc = "The elements keep their row-major order.",
    .schema = BDL_SCHEMA("reshape", reshape_fields, reshape_params),
    .ports = "input",
    .flags = BDL__VIEW,
    .infer = reshape_infer,
    .plan = view_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer squeeze = {
    .name = "squeeze",
    .names = {.pytorch = "squeeze", .torch = "Squeeze"},
    .since = "0.1",
    .summary = "Drops axes of size one.",
    .doc = "(a, 1, b) -> (a, b); named axes of another size stay.",
    .schema = BDL_SCHEMA("squeeze", squeeze_fields, squeeze_params),
    .ports = "input",
    .flags = BDL__VIEW,
    .infer = squeeze_infer,
    .plan = view_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer transpose = {
    .name = "transpose",
    .names = {.pytorch = "transpose", .torch = "Transpose"},
    .since = "0.1",
    .summary = "Swaps axes.",
    .doc = "Pairs of axes are swapped, one pair after another.",
    .schema = BDL_SCHEMA("transpose", transpose_fields, permute_params),
    .ports = "input",
    .infer = transpose_infer,
    .plan = transpose_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

static const bdl__layer unsqueeze = {
    .name = "unsqueeze",
    .names = {.pytorch = "unsqueeze", .torch = "Unsqueeze"},
    .since = "0.1",
    .summary = "Adds an axis of size one.",
    .doc = "(a, b) -> (a, 1, b) with axis=2.",
    .schema = BDL_SCHEMA("unsqueeze", unsqueeze_fields, axis_params),
    .ports = "input",
    .flags = BDL__VIEW,
    .infer = unsqueeze_infer,
    .plan = view_plan,
    .forward = bdl__moves_forward,
    .backward = bdl__moves_backward,
};

BDL_LAYER_FAMILY(shape, &flatten, &identity, &permute, &reshape, &squeeze, &transpose, &unsqueeze)
