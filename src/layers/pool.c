/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maximum and average pooling of planes: (c, h, w) -> (c, oh, ow). With padding p, kernel k, stride
 * s and dilation d (1 for averages) an axis of n positions gives
 *
 *     o = floor((n + 2p - d(k - 1) - 1) / s) + 1          (ceil with ceil_mode)
 *
 * where in ceil_mode the last window must begin within the input or the padding before it: else it
 * is dropped (Torch's rule, PyTorch's too). The adaptive forms cut an axis into a given number of
 * windows, window i being [floor(i n / o), ceil((i + 1) n / o)).
 */
#include "kernels/pool.h"
#include "layers/layer.h"

/* ---- params ---------------------------------------------------------------------------------- */

typedef struct max_pool_params {
    bdl__i64s kernel_size;
    bdl__i64s stride;
    bdl__i64s padding;
    bdl__i64s dilation;
    bool ceil_mode;
} max_pool_params;

typedef struct avg_pool_params {
    bdl__i64s kernel_size;
    bdl__i64s stride;
    bdl__i64s padding;
    bool ceil_mode;
    bool count_include_pad;
    int64_t divisor_override;
} avg_pool_params;

typedef struct adaptive_pool_params {
    bdl__i64s output_size;
} adaptive_pool_params;

enum { LONGEST = 1 << 24 }; /* of a kernel, stride, padding or dilation */

#define WINDOW_FIELDS(type)                                                                        \
    BDL_FIELD(type, kernel_size, .required = true, .least_n = 1, .most_n = 2,                      \
              .range = BDL_IN(1, LONGEST),                                                         \
              .doc = "Size of the window: one number, or height, width."),                         \
        BDL_FIELD(type, stride, .most_n = 2, .range = BDL_IN(1, LONGEST),                          \
                  .doc = "Step between windows; kernel_size where it is not given."),              \
        BDL_FIELD(type, padding, .def.s = "0", .most_n = 2, .range = BDL_IN(0, LONGEST),           \
                  .doc = "Positions added on each side, at most half of the window.")

static const bdl__field max_pool_fields[] = {
    WINDOW_FIELDS(max_pool_params),
    BDL_FIELD(max_pool_params, dilation, .def.s = "1", .most_n = 2, .range = BDL_IN(1, LONGEST),
              .doc = "Step between the positions of a window."),
    BDL_FIELD(max_pool_params, ceil_mode, .def.b = false,
              .doc = "Round the output's size up: windows may reach beyond the padding."),
};

static const bdl__field avg_pool_fields[] = {
    WINDOW_FIELDS(avg_pool_params),
    BDL_FIELD(avg_pool_params, ceil_mode, .def.b = false,
              .doc = "Round the output's size up: windows may reach beyond the padding."),
    BDL_FIELD(avg_pool_params, count_include_pad, .def.b = true,
              .doc = "Divide by the window's size in the padded input, not in the input alone."),
    BDL_FIELD(avg_pool_params, divisor_override, .def.i64 = 0, .range = BDL_IN(0, 1e15),
              .doc = "Divide by this instead; 0 means the window's size."),
};

static const bdl__field adaptive_pool_fields[] = {
    BDL_FIELD(adaptive_pool_params, output_size, .def.s = "1", .least_n = 1, .most_n = 2,
              .range = BDL_IN(1, LONGEST),
              .doc = "Size of the output: one number, or height, width. 1 pools whole planes."),
};

/* ---- windows --------------------------------------------------------------------------------- */

/* How one axis is cut into windows. */
typedef struct axis_cut {
    int64_t n_in, n_out;
    int64_t kernel, stride, padding, dilation;
    bool is_adaptive;
} axis_cut;

/* Window o of the axis: its positions in the input, and all that lie in the padded input. */
typedef struct axis_window {
    int64_t begin;
    int64_t count;
    int64_t count_padded;
} axis_window;

static axis_window window(const axis_cut *cut, int64_t o)
{
    if (cut->is_adaptive) {
        const int64_t begin = o * cut->n_in / cut->n_out;
        const int64_t end = ((o + 1) * cut->n_in + cut->n_out - 1) / cut->n_out;
        return (axis_window){.begin = begin, .count = end - begin, .count_padded = end - begin};
    }
    const int64_t start = o * cut->stride - cut->padding;
    const int64_t d = cut->dilation;
    const int64_t n_before = start < 0 ? (-start + d - 1) / d : 0;
    const int64_t room = cut->n_in - 1 - start; /* of the window's first position to the last */
    const int64_t n_until = room < 0 ? 0 : BDL__MIN(cut->kernel, room / d + 1);
    const int64_t n_padded = (room + cut->padding) / d + 1;
    return (axis_window){
        .begin = start + n_before * d,
        .count = BDL__MAX(n_until - n_before, 0),
        .count_padded = BDL__MIN(cut->kernel, n_padded),
    };
}

/* Sets n_out from the other members. */
static bdl_status size_of(axis_cut *cut, bool ceil_mode)
{
    const int64_t reach = cut->dilation * (cut->kernel - 1) + 1;
    BDL__CHECK(cut->padding <= reach / 2, BDL_ERR_INVALID_ARGUMENT,
               "padding must be at most half of the window, %lld, got %lld", (long long)(reach / 2),
               (long long)cut->padding);
    const int64_t room = cut->n_in + 2 * cut->padding - reach;
    BDL__CHECK(room >= 0 || (ceil_mode && room + cut->stride > 0), BDL_ERR_SHAPE,
               "a window of %lld positions is larger than the padded input of %lld",
               (long long)reach, (long long)(cut->n_in + 2 * cut->padding));
    cut->n_out = (room + (ceil_mode ? cut->stride - 1 : 0)) / cut->stride + 1;
    if (ceil_mode && (cut->n_out - 1) * cut->stride >= cut->n_in + cut->padding) {
        cut->n_out--;
    }
    for (int64_t o = 0; o < cut->n_out && (cut->padding > 0 || ceil_mode); o++) {
        BDL__CHECK(window(cut, o).count > 0, BDL_ERR_SHAPE,
                   "window %lld of an axis of %lld lies in the padding only", (long long)o,
                   (long long)cut->n_in);
    }
    return BDL_OK;
}

/* The two axes of a sample (c, h, w). */
static bdl_status cut_windows(const bdl__shape *src, const bdl__i64s *kernel,
                              const bdl__i64s *stride, const bdl__i64s *padding,
                              const bdl__i64s *dilation, bool ceil_mode, axis_cut cuts[2])
{
    int64_t k[2], s[2], p[2], d[2];
    const bdl__i64s none = {0};
    bdl__expand(kernel, 2, 1, k);
    bdl__expand(stride->n > 0 ? stride : kernel, 2, 1, s);
    bdl__expand(padding, 2, 0, p);
    bdl__expand(dilation != NULL ? dilation : &none, 2, 1, d);
    for (int i = 0; i < 2; i++) {
        cuts[i] = (axis_cut){.n_in = src->dim[1 + i],
                             .kernel = k[i],
                             .stride = s[i],
                             .padding = p[i],
                             .dilation = d[i]};
        BDL__TRY(size_of(&cuts[i], ceil_mode));
    }
    return BDL_OK;
}

static bdl_status cut_max(const max_pool_params *p, const bdl__shape *src, axis_cut cuts[2])
{
    return cut_windows(src, &p->kernel_size, &p->stride, &p->padding, &p->dilation, p->ceil_mode,
                       cuts);
}

static bdl_status cut_avg(const avg_pool_params *p, const bdl__shape *src, axis_cut cuts[2])
{
    return cut_windows(src, &p->kernel_size, &p->stride, &p->padding, NULL, p->ceil_mode, cuts);
}

static bdl_status cut_adaptive(const adaptive_pool_params *p, const bdl__shape *src,
                               axis_cut cuts[2])
{
    int64_t n[2];
    bdl__expand(&p->output_size, 2, 1, n);
    for (int i = 0; i < 2; i++) {
        cuts[i] =
            (axis_cut){.n_in = src->dim[1 + i], .n_out = n[i], .dilation = 1, .is_adaptive = true};
    }
    return BDL_OK;
}

/* ---- infer ----------------------------------------------------------------------------------- */

static bdl_status need_planes(const bdl__infer_in *in)
{
    BDL__TRY(bdl__need_rank(in, 0, 3, "(channels, height, width)"));
    return bdl__need_float(in, 0);
}

static bdl_status declare(const bdl__infer_in *in, const axis_cut cuts[2], bdl__decl *decl)
{
    const bdl__shape out = {.rank = 3, .dim = {in->shape[0].dim[0], cuts[0].n_out, cuts[1].n_out}};
    return bdl__decl_out(decl, &out, false);
}

static bdl_status max_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    axis_cut cuts[2];
    BDL__TRY(need_planes(in));
    BDL__TRY(cut_max(params, &in->shape[0], cuts));
    return declare(in, cuts, decl);
}

static bdl_status avg_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    axis_cut cuts[2];
    BDL__TRY(need_planes(in));
    BDL__TRY(cut_avg(params, &in->shape[0], cuts));
    return declare(in, cuts, decl);
}

static bdl_status adaptive_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    axis_cut cuts[2];
    BDL__TRY(need_planes(in));
    BDL__TRY(cut_adaptive(params, &in->shape[0], cuts));
    return declare(in, cuts, decl);
}

/* ---- plan ------------------------------------------------------------------------------------ */

typedef struct pool_state {
    bdl__pool_shape shape;
    bool is_2x2;   /* 2x2, stride 2, nothing cut off */
    bool is_plane; /* one window, the whole plane */
    bool keeps_index;
} pool_state;

static bdl_status plan_axis(bdl__planner *planner, const axis_cut *cut, bdl__pool_axis *axis)
{
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, 2 * (size_t)cut->n_out * sizeof(int64_t), &memory));
    int64_t *begin = memory;
    int64_t *count = begin + cut->n_out;
    *axis = (bdl__pool_axis){.n_in = cut->n_in,
                             .n_out = cut->n_out,
                             .n_window = 1,
                             .dilation = cut->dilation,
                             .begin = begin,
                             .count = count};
    for (int64_t o = 0; o < cut->n_out; o++) {
        const axis_window at = window(cut, o);
        begin[o] = at.begin;
        count[o] = at.count;
        axis->n_window = BDL__MAX(axis->n_window, at.count);
    }
    return BDL_OK;
}

static bdl_status plan_windows(bdl__planner *planner, bdl__step *step, const axis_cut cuts[2])
{
    void *memory;
    const axis_cut flat = {.n_in = 1, .n_out = 1, .kernel = 1, .stride = 1, .dilation = 1};
    BDL__TRY(bdl__plan_alloc(planner, sizeof(pool_state), &memory));
    pool_state *state = step->state = memory;
    BDL__TRY(plan_axis(planner, &flat, &state->shape.axis[0]));
    BDL__TRY(plan_axis(planner, &cuts[0], &state->shape.axis[1]));
    BDL__TRY(plan_axis(planner, &cuts[1], &state->shape.axis[2]));

    state->is_2x2 = true;
    state->is_plane = true;
    for (int i = 0; i < 2; i++) {
        const axis_cut *cut = &cuts[i];
        state->is_2x2 = state->is_2x2 && cut->kernel == 2 && cut->stride == 2 &&
                        cut->padding == 0 && cut->dilation == 1 && cut->n_out == cut->n_in / 2;
        state->is_plane =
            state->is_plane && cut->n_out == 1 && state->shape.axis[1 + i].count[0] == cut->n_in;
    }
    step->splits = true;
    return BDL_OK;
}

static bdl_status plan_max(bdl__planner *planner, bdl__step *step, const axis_cut cuts[2])
{
    BDL__TRY(plan_windows(planner, step, cuts));
    pool_state *state = step->state;
    const bdl__pool_axis *axis = state->shape.axis;
    state->shape.is_wide = axis[1].n_window * axis[2].n_window > 256;
    state->keeps_index = step->is_training && step->needs_diff_src[0];
    step->impl = state->is_2x2 ? "2x2" : "windows";
    if (!state->keeps_index) {
        return BDL_OK;
    }
    const size_t index_size = state->shape.is_wide ? sizeof(int32_t) : 1;
    const size_t n = (size_t)bdl__shape_count(&step->dst_shape[0]) * (size_t)step->lanes;
    return bdl__plan_save(planner, step, 0, n * index_size);
}

/* Divisors are a product over the axes: the window's positions, or those in the padded input. */
static bdl_status plan_mean(bdl__planner *planner, bdl__step *step, const axis_cut cuts[2],
                            bool counts_padding, int64_t divisor)
{
    BDL__TRY(plan_windows(planner, step, cuts));
    pool_state *state = step->state;
    void *memory;
    const size_t n = (size_t)(cuts[0].n_out * cuts[1].n_out);
    BDL__TRY(bdl__plan_alloc(planner, n * sizeof(double), &memory));
    double *scale = memory;
    state->shape.scale = scale;
    for (int64_t y = 0; y < cuts[0].n_out; y++) {
        for (int64_t x = 0; x < cuts[1].n_out; x++) {
            const axis_window row = window(&cuts[0], y);
            const axis_window column = window(&cuts[1], x);
            const int64_t size =
                counts_padding ? row.count_padded * column.count_padded : row.count * column.count;
            scale[y * cuts[1].n_out + x] = 1.0 / (double)(divisor > 0 ? divisor : size);
        }
    }
    step->impl = state->is_plane ? "plane" : "windows";
    return BDL_OK;
}

static bdl_status max_plan(bdl__planner *planner, bdl__step *step)
{
    axis_cut cuts[2];
    BDL__TRY(cut_max(step->params, &step->src_shape[0], cuts));
    return plan_max(planner, step, cuts);
}

static bdl_status avg_plan(bdl__planner *planner, bdl__step *step)
{
    const avg_pool_params *p = step->params;
    axis_cut cuts[2];
    BDL__TRY(cut_avg(p, &step->src_shape[0], cuts));
    return plan_mean(planner, step, cuts, p->count_include_pad, p->divisor_override);
}

static bdl_status adaptive_max_plan(bdl__planner *planner, bdl__step *step)
{
    axis_cut cuts[2];
    BDL__TRY(cut_adaptive(step->params, &step->src_shape[0], cuts));
    return plan_max(planner, step, cuts);
}

static bdl_status adaptive_avg_plan(bdl__planner *planner, bdl__step *step)
{
    axis_cut cuts[2];
    BDL__TRY(cut_adaptive(step->params, &step->src_shape[0], cuts));
    return plan_mean(planner, step, cuts, false, 0);
}

/* ---- forward and backward -------------------------------------------------------------------- */

static void max_forward(const bdl__step *step, bdl__cx *cx)
{
    const pool_state *state = step->state;
    const struct bdl__pool_kernels *kernels = bdl__pool_kernels(step->target);
    void *index = state->keeps_index ? cx->saved[0].data : NULL;
    int64_t begin, end;
    bdl__cx_split(cx, step->src_shape[0].dim[0], &begin, &end);
    (state->is_2x2 ? kernels->max_pool_2x2_forward : kernels->max_pool_forward)(
        cx->src[0].data, cx->dst[0].data, index, &state->shape, begin, end);
}

static void max_backward(const bdl__step *step, bdl__cx *cx)
{
    const pool_state *state = step->state;
    const struct bdl__pool_kernels *kernels = bdl__pool_kernels(step->target);
    const bool adds = cx->diff_src_mode[0] == BDL__ADD;
    int64_t begin, end;
    if (cx->diff_src_mode[0] == BDL__SKIP) {
        return;
    }
    bdl__cx_split(cx, step->src_shape[0].dim[0], &begin, &end);
    (state->is_2x2 ? kernels->max_pool_2x2_backward : kernels->max_pool_backward)(
        cx->diff_dst[0].data, cx->saved[0].data, cx->diff_src[0].data, adds, &state->shape, begin,
        end);
}

static void mean_forward(const bdl__step *step, bdl__cx *cx)
{
    const pool_state *state = step->state;
    const struct bdl__pool_kernels *kernels = bdl__pool_kernels(step->target);
    int64_t begin, end;
    bdl__cx_split(cx, step->src_shape[0].dim[0], &begin, &end);
    (state->is_plane ? kernels->mean_pool_plane_forward : kernels->mean_pool_forward)(
        cx->src[0].data, cx->dst[0].data, &state->shape, begin, end);
}

static void mean_backward(const bdl__step *step, bdl__cx *cx)
{
    const pool_state *state = step->state;
    const struct bdl__pool_kernels *kernels = bdl__pool_kernels(step->target);
    const bool adds = cx->diff_src_mode[0] == BDL__ADD;
    int64_t begin, end;
    if (cx->diff_src_mode[0] == BDL__SKIP) {
        return;
    }
    bdl__cx_split(cx, step->src_shape[0].dim[0], &begin, &end);
    (state->is_plane ? kernels->mean_pool_plane_backward : kernels->mean_pool_backward)(
        cx->diff_dst[0].data, cx->diff_src[0].data, adds, &state->shape, begin, end);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static const bdl__layer max_pool2d = {
    .name = "max_pool2d",
    .names = {.pytorch = "MaxPool2d", .torch = "SpatialMaxPooling", .keras = "MaxPooling2D"},
    .since = "0.1",
    .summary = "Maximum of each window of a plane.",
    .doc = "(c, h, w) -> (c, oh, ow) with oh = floor((h + 2 padding - dilation (kernel_size - 1) "
           "- 1) / stride) + 1, ow likewise; ceil_mode rounds up and drops a last window that "
           "would begin behind the input. Of equal maxima the first gets the gradient; a NaN is a "
           "maximum.",
    .schema = BDL_SCHEMA("max_pool2d", max_pool_fields, max_pool_params),
    .ports = "input",
    .flags = BDL__HAS_KINKS,
    .infer = max_infer,
    .plan = max_plan,
    .forward = max_forward,
    .backward = max_backward,
};

static const bdl__layer avg_pool2d = {
    .name = "avg_pool2d",
    .names = {.pytorch = "AvgPool2d",
              .torch = "SpatialAveragePooling",
              .keras = "AveragePooling2D"},
    .since = "0.1",
    .summary = "Average of each window of a plane.",
    .doc = "(c, h, w) -> (c, oh, ow) with oh = floor((h + 2 padding - kernel_size) / stride) + 1, "
           "ow likewise; ceil_mode rounds up and drops a last window that would begin behind the "
           "input. The sum over the window's positions in the input is divided by divisor_override "
           "if that is given, else by the window's size in the padded input (count_include_pad), "
           "else by the number of its positions in the input.",
    .schema = BDL_SCHEMA("avg_pool2d", avg_pool_fields, avg_pool_params),
    .ports = "input",
    .infer = avg_infer,
    .plan = avg_plan,
    .forward = mean_forward,
    .backward = mean_backward,
};

static const bdl__layer adaptive_max_pool2d = {
    .name = "adaptive_max_pool2d",
    .names = {.pytorch = "AdaptiveMaxPool2d", .torch = "SpatialAdaptiveMaxPooling"},
    .since = "0.1",
    .summary = "Maximum of each window, the planes being cut into a given number of windows.",
    .doc = "(c, h, w) -> (c, oh, ow) with (oh, ow) = output_size. Window i of an axis is "
           "[floor(i n / o), ceil((i + 1) n / o)). output_size 1 is the maximum of the plane.",
    .schema = BDL_SCHEMA("adaptive_max_pool2d", adaptive_pool_fields, adaptive_pool_params),
    .ports = "input",
    .flags = BDL__HAS_KINKS,
    .infer = adaptive_infer,
    .plan = adaptive_max_plan,
    .forward = max_forward,
    .backward = max_backward,
};

static const bdl__layer adaptive_avg_pool2d = {
    .name = "adaptive_avg_pool2d",
    .names = {.pytorch = "AdaptiveAvgPool2d", .torch = "SpatialAdaptiveAveragePooling"},
    .since = "0.1",
    .summary = "Average of each window, the planes being cut into a given number of windows.",
    .doc = "(c, h, w) -> (c, oh, ow) with (oh, ow) = output_size. Window i of an axis is "
           "[floor(i n / o), ceil((i + 1) n / o)). output_size 1 is the mean of the plane (global "
           "average pooling).",
    .schema = BDL_SCHEMA("adaptive_avg_pool2d", adaptive_pool_fields, adaptive_pool_params),
    .ports = "input",
    .infer = adaptive_infer,
    .plan = adaptive_avg_plan,
    .forward = mean_forward,
    .backward = mean_backward,
};

BDL_LAYER_FAMILY(pool, &adaptive_avg_pool2d, &adaptive_max_pool2d, &avg_pool2d, &max_pool2d)
