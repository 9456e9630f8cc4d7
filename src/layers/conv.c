/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv2d: two-dimensional convolution (cross-correlation, as everywhere in deep learning).
 *
 * src (ic, h, w) -> dst (oc, oh, ow); weight (oc, ic / groups, kh, kw), bias (oc), as PyTorch keeps
 * them. oh = (h + padding above and below - dilation * (kh - 1) - 1) / stride + 1, rounded down; ow
 * likewise. The kernels are in kernels/conv.h; which one runs is chosen in layers/conv_choose.c
 * from the shapes.
 */
#include "layers/conv_internal.h"

typedef struct conv2d_params {
    int64_t in_channels;
    int64_t out_channels;
    bdl__i64s kernel_size;
    bdl__i64s stride;
    bdl__i64s padding;
    bdl__choice pad_mode;
    bdl__i64s dilation;
    int64_t groups;
    bool bias;
    bool propagate_back;
    const char *weight_init;
    const char *bias_init;
} conv2d_params;

enum { PAD_GIVEN, PAD_SAME };
static const char *const pad_modes[] = {"given", "same", NULL};

static const bdl__field fields[] = {
    BDL_FIELD(conv2d_params, in_channels, .def.i64 = 0, .range = BDL_IN(0, 1 << 24),
              .inferred = true, .doc = "Channels of the input; 0 takes them from the input."),
    BDL_FIELD(conv2d_params, out_channels, .required = true, .range = BDL_IN(1, 1 << 24),
              .doc = "Channels of the output."),
    BDL_FIELD(conv2d_params, kernel_size, .required = true, .range = BDL_IN(1, 4096), .least_n = 1,
              .most_n = 2, .doc = "Height and width of the kernel, or one number for both."),
    BDL_FIELD(conv2d_params, stride, .def.s = "1", .range = BDL_IN(1, 4096), .least_n = 1,
              .most_n = 2, .doc = "Rows and columns from an output to the next."),
    BDL_FIELD(conv2d_params, padding, .def.s = "0", .range = BDL_IN(0, 4096), .least_n = 1,
              .most_n = 2, .doc = "Rows of zeros above and below, and columns left and right."),
    BDL_FIELD(conv2d_params, dilation, .def.s = "1", .range = BDL_IN(1, 4096), .least_n = 1,
              .most_n = 2, .doc = "Rows and columns from a kernel element to the next."),
    BDL_FIELD(conv2d_params, groups, .def.i64 = 1, .range = BDL_IN(1, 1 << 24),
              .doc = "Groups of channels that do not mix; as many as channels is a depthwise "
                     "convolution."),
    BDL_FIELD(conv2d_params, bias, .def.b = true, .doc = "Whether a bias is added."),
    BDL_FIELD(conv2d_params, pad_mode, .def.s = "given", .choices = pad_modes,
              .doc = "'same' pads so that the output has ceil(input / stride) rows and columns; an "
                     "odd zero goes below or right."),
    BDL_FIELD(conv2d_params, propagate_back, .def.b = true,
              .doc = "Whether the input gets a gradient; without, it gets zeros."),
    BDL_FIELD(conv2d_params, weight_init, .def.s = "torch", .doc = "Initialiser of the weights."),
    BDL_FIELD(conv2d_params, bias_init, .def.s = "torch", .doc = "Initialiser of the bias."),
};

/* Output size and leading zeros of one axis. */
static bdl_status axis_of(const conv2d_params *p, int i, int64_t in, int64_t *out, int64_t *pad)
{
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bdl__expand(&p->kernel_size, 2, 1, kernel);
    bdl__expand(&p->stride, 2, 1, stride);
    bdl__expand(&p->padding, 2, 0, padding);
    bdl__expand(&p->dilation, 2, 1, dilation);
    const int64_t reach = dilation[i] * (kernel[i] - 1) + 1;
    if (p->pad_mode.i == PAD_SAME) {
        *out = (in + stride[i] - 1) / stride[i];
        *pad = BDL__MAX((*out - 1) * stride[i] + reach - in, 0) / 2;
        return BDL_OK;
    }
    BDL__CHECK(in + 2 * padding[i] >= reach, BDL_ERR_SHAPE,
               "the kernel reaches over %lld %s, but the padded input has %lld", (long long)reach,
               i == 0 ? "rows" : "columns", (long long)(in + 2 * padding[i]));
    *out = (in + 2 * padding[i] - reach) / stride[i] + 1;
    *pad = padding[i];
    return BDL_OK;
}

static bdl_status dims_of(const conv2d_params *p, const bdl__shape *src, bdl__conv_dims *d)
{
    int64_t kernel[2], stride[2], dilation[2];
    bdl__expand(&p->kernel_size, 2, 1, kernel);
    bdl__expand(&p->stride, 2, 1, stride);
    bdl__expand(&p->dilation, 2, 1, dilation);
    *d = (bdl__conv_dims){.ic = src->dim[0], .ih = src->dim[1], .iw = src->dim[2],
                          .oc = p->out_channels, .kh = kernel[0], .kw = kernel[1],
                          .sh = stride[0], .sw = stride[1], .dh = dilation[0],
                          .dw = dilation[1], .groups = p->groups};
    BDL__TRY(axis_of(p, 0, d->ih, &d->oh, &d->ph));
    return axis_of(p, 1, d->iw, &d->ow, &d->pw);
}

static bdl_status infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const conv2d_params *p = params;
    bdl__conv_dims d;
    BDL__TRY(bdl__need_float(in, 0));
    BDL__TRY(bdl__need_rank(in, 0, 3, "(channels, height, width)"));
    BDL__TRY(dims_of(p, &in->shape[0], &d));
    BDL__CHECK(p->in_channels == 0 || p->in_channels == d.ic, BDL_ERR_SHAPE,
               "in_channels is %lld, but the input has %lld", (long long)p->in_channels,
               (long long)d.ic);
    BDL__CHECK(d.ic % d.groups == 0 && d.oc % d.groups == 0, BDL_ERR_SHAPE,
               "groups (%lld) must divide the channels of input (%lld) and output (%lld)",
               (long long)d.groups, (long long)d.ic, (long long)d.oc);
    const bdl__shape out = {.rank = 3, .dim = {d.oc, d.oh, d.ow}};
    BDL__TRY(bdl__shape_check(&out, "output"));
    BDL__TRY(bdl__decl_out(decl, &out, false));
    const int64_t fan_in = d.ic / d.groups * d.kh * d.kw;
    const bdl__weight_decl weight = {
        .name = "weight",
        .shape = {.rank = 4, .dim = {d.oc, d.ic / d.groups, d.kh, d.kw}},
        .init = p->weight_init,
        .fan_in = fan_in,
        .fan_out = d.oc * d.kh * d.kw};
    BDL__TRY(bdl__shape_check(&weight.shape, "weight"));
    BDL__TRY(bdl__decl_weights(decl, &weight));
    if (p->bias) {
        const bdl__weight_decl bias = {.name = "bias",
                                       .shape = {.rank = 1, .dim = {d.oc}},
                                       .init = p->bias_init,
                                       .fan_in = fan_in,
                                       .fan_out = d.oc * d.kh * d.kw,
                                       .no_decay = true};
        BDL__TRY(bdl__decl_weights(decl, &bias));
    }
    decl->backward_reads_src = true;
    return BDL_OK;
}

static bdl_status plan(bdl__planner *planner, bdl__step *step)
{
    const conv2d_params *p = step->params;
    bdl__conv_dims dims;
    BDL__TRY(dims_of(p, &step->src_shape[0], &dims));
    return bdl__conv_plan(planner, step, &dims, p->propagate_back);
}

static const bdl__layer conv2d = {
    .name = "conv2d",
    .names = {.pytorch = "Conv2d", .torch = "SpatialConvolution", .keras = "Conv2D"},
    .since = "0.1",
    .summary = "Two-dimensional convolution with learned kernels.",
    .doc = "dst[o,y,x] = bias[o] + sum over c, i, j of weight[o,c,i,j] * src[c, y*stride - "
           "padding + i*dilation, x*stride - padding + j*dilation]. Input (in_channels, h, w), "
           "output (out_channels, oh, ow) with oh = (h + 2 padding - dilation (kernel_size - 1) - 1) / "
           "stride + 1; weight (out_channels, in_channels / groups, kh, kw), bias (out_channels). "
           "By default both are drawn from U(-1/sqrt(f), 1/sqrt(f)), f = in_channels / groups kh kw.",
    .schema = BDL_SCHEMA("conv2d", fields, conv2d_params),
    .ports = "input",
    .infer = infer,
    .plan = plan,
    .forward = bdl__conv_forward,
    .backward = bdl__conv_backward,
    .release = bdl__conv_release,
};

BDL_LAYER_FAMILY(conv, &conv2d)
