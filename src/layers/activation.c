/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations without weights: dst = f(src), element by element, of any shape. One set of hooks
 * serves them and pointwise.c; a layer says which function of kernels/activation.h it is and which
 * numbers go with it. Backward reads dst where the derivative follows from it, so that dst may take
 * src's place, else src. At a kink the derivative is the smaller one in size, as in Torch.
 */
#include "layers/activation_internal.h"

#include <string.h>

/* ---- params ---------------------------------------------------------------------------------- */

typedef struct leaky_relu_params {
    double negative_slope;
} leaky_relu_params;

typedef struct elu_params {
    double alpha;
} elu_params;

typedef struct gelu_params {
    bdl__choice approximate;
} gelu_params;

typedef struct softplus_params {
    double beta;
    double threshold;
} softplus_params;

typedef struct shrink_params {
    double lambda;
} shrink_params;

typedef struct threshold_params {
    double threshold;
    double value;
} threshold_params;

typedef struct hard_sigmoid_params {
    double slope;
} hard_sigmoid_params;

static const bdl__field leaky_relu_fields[] = {
    BDL_FIELD(leaky_relu_params, negative_slope, .def.f64 = 0.01, .doc = "Slope below zero."),
};

static const bdl__field elu_fields[] = {
    BDL_FIELD(elu_params, alpha, .def.f64 = 1, .range = BDL_AT_LEAST(0),
              .doc = "The output's limit at minus infinity is -alpha."),
};

enum { GELU_NONE, GELU_TANH };
static const char *const approximations[] = {"none", "tanh", NULL};

static const bdl__field gelu_fields[] = {
    BDL_FIELD(gelu_params, approximate, .def.s = "none", .choices = approximations,
              .doc = "The exact normal distribution (none), or its fit by tanh."),
};

static const bdl__field softplus_fields[] = {
    BDL_FIELD(softplus_params, beta, .def.f64 = 1, .range = BDL_IN(1e-6, 1e6),
              .doc = "Sharpness of the bend."),
    BDL_FIELD(softplus_params, threshold, .def.f64 = 20,
              .doc = "Where beta x is above this, the output is x."),
};

static const bdl__field shrink_fields[] = {
    BDL_FIELD(shrink_params, lambda, .def.f64 = 0.5, .range = BDL_AT_LEAST(0),
              .torch_name = "lambd",
              .doc = "Half the width of the zone around zero that gives zero."),
};

static const bdl__field threshold_fields[] = {
    BDL_FIELD(threshold_params, threshold, .def.f64 = 1e-6, .doc = "Inputs above this pass."),
    BDL_FIELD(threshold_params, value, .def.f64 = 0, .doc = "What the others become."),
};

static const bdl__field hard_tanh_fields[] = {
    BDL_FIELD(bdl__limits_params, min, .def.f64 = -1, .torch_name = "min_val",
              .doc = "Least output."),
    BDL_FIELD(bdl__limits_params, max, .def.f64 = 1, .torch_name = "max_val",
              .doc = "Largest output."),
};

static const bdl__field hard_sigmoid_fields[] = {
    BDL_FIELD(hard_sigmoid_params, slope, .def.f64 = 1.0 / 6, .range = BDL_IN(1e-6, 1e6),
              .doc = "Slope at zero; BigDL and Keras have 0.2."),
};

/* ---- infer ----------------------------------------------------------------------------------- */

bdl_status bdl__activation_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    (void)params;
    BDL__TRY(bdl__need_float(in, 0));
    return bdl__decl_same(in, decl);
}

bdl_status bdl__activation_infer_src(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    decl->backward_reads_src = true;
    return bdl__activation_infer(params, in, decl);
}

bdl_status bdl__activation_infer_dst(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    decl->backward_reads_dst = true;
    return bdl__activation_infer(params, in, decl);
}

/* With a slope below zero, the output's sign no longer tells the input's. */
static bdl_status leaky_relu_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const leaky_relu_params *p = params;
    return p->negative_slope < 0 ? bdl__activation_infer_src(params, in, decl)
                                 : bdl__activation_infer_dst(params, in, decl);
}

/* An output above the threshold may be the value. */
static bdl_status threshold_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const threshold_params *p = params;
    return p->value > p->threshold ? bdl__activation_infer_src(params, in, decl)
                                   : bdl__activation_infer_dst(params, in, decl);
}

bdl_status bdl__limits_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const bdl__limits_params *p = params;
    BDL__CHECK(p->min < p->max, BDL_ERR_INVALID_ARGUMENT, "min must be below max, got %g and %g",
               p->min, p->max);
    return bdl__activation_infer_dst(params, in, decl);
}

/* ---- choices --------------------------------------------------------------------------------- */

static bdl__activation leaky_relu_choose(const void *params, double *numbers)
{
    const leaky_relu_params *p = params;
    numbers[0] = p->negative_slope;
    return p->negative_slope < 0 ? BDL__ACTIVATION_leaky_relu_from_src : BDL__ACTIVATION_leaky_relu;
}

static bdl__activation threshold_choose(const void *params, double *numbers)
{
    const threshold_params *p = params;
    numbers[0] = p->threshold;
    numbers[1] = p->value;
    return p->value > p->threshold ? BDL__ACTIVATION_threshold_from_src : BDL__ACTIVATION_threshold;
}

static bdl__activation gelu_choose(const void *params, double *numbers)
{
    (void)numbers;
    const gelu_params *p = params;
    return p->approximate.i == GELU_TANH ? BDL__ACTIVATION_gelu_tanh : BDL__ACTIVATION_gelu;
}

/* ---- plan, forward, backward ----------------------------------------------------------------- */

typedef struct activation_state {
    bdl__activation function;
    double numbers[BDL__ACTIVATION_PARAMS];
    bool reads_src;
    bool reads_dst;
    int64_t n;
} activation_state;

bdl_status bdl__activation_plan(bdl__planner *planner, bdl__step *step)
{
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(activation_state), &memory));
    activation_state *state = step->state = memory;
    const bdl__activation_layer *self = (const bdl__activation_layer *)(const void *)step->layer;
    const bdl__infer_in in = {.n = 1, .shape = step->src_shape, .integer = step->src_integer};
    bdl__decl decl = {0};
    BDL__TRY(step->layer->infer(step->params, &in, &decl));

    state->n = bdl__shape_count(&step->src_shape[0]);
    state->reads_src = decl.backward_reads_src;
    state->reads_dst = decl.backward_reads_dst;
    state->function = self->function;
    memcpy(state->numbers, self->numbers, sizeof state->numbers);
    if (self->choose != NULL) {
        state->function = self->choose(step->params, state->numbers);
    } else if (step->layer->schema.params_size > 0) {
        memcpy(state->numbers, step->params, step->layer->schema.params_size);
    }
    step->splits = true;
    return BDL_OK;
}

/* Element `i` of a tensor. */
static void *element(const bdl__step *step, void *data, int64_t i)
{
    return (char *)data + i * (int64_t)step->real_size;
}

void bdl__activation_forward(const bdl__step *step, bdl__cx *cx)
{
    const activation_state *state = step->state;
    int64_t begin, end;
    bdl__cx_split(cx, state->n, &begin, &end);
    bdl__activation_kernels(step->target)
        ->activation_forward((int)state->function, state->numbers,
                             element(step, cx->src[0].data, begin),
                             element(step, cx->dst[0].data, begin), end - begin);
}

void bdl__activation_backward(const bdl__step *step, bdl__cx *cx)
{
    const activation_state *state = step->state;
    int64_t begin, end;
    if (cx->diff_src_mode[0] == BDL__SKIP) {
        return;
    }
    bdl__cx_split(cx, state->n, &begin, &end);
    const void *x = NULL;
    if (state->reads_src || state->reads_dst) {
        x = element(step, state->reads_src ? cx->src[0].data : cx->dst[0].data, begin);
    }
    bdl__activation_kernels(step->target)
        ->activation_backward((int)state->function, state->numbers, x,
                              element(step, cx->diff_dst[0].data, begin),
                              element(step, cx->diff_src[0].data, begin), end - begin,
                              cx->diff_src_mode[0] == BDL__ADD);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static const bdl__activation_layer relu_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "relu",
              .names = {.pytorch = "ReLU", .torch = "ReLU", .keras = "ReLU"}, .since = "0.1",
              .summary = "Zero below zero.", .doc = "max(x, 0), any shape.",
              .schema = BDL_NO_FIELDS("relu"),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS | BDL__READS_SIGN,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_relu,
};

static const bdl__activation_layer relu6_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "relu6",
              .names = {.pytorch = "ReLU6", .torch = "ReLU6"}, .since = "0.1",
              .summary = "ReLU that stops at six.", .doc = "min(max(x, 0), 6), any shape.",
              .schema = BDL_NO_FIELDS("relu6"), .flags = BDL__IN_PLACE | BDL__HAS_KINKS,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_clamp,
    .numbers = {0, 6},
};

static const bdl__activation_layer leaky_relu_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "leaky_relu",
              .names = {.pytorch = "LeakyReLU", .torch = "LeakyReLU", .keras = "LeakyReLU"},
              .since = "0.1", .summary = "ReLU with a slope below zero.",
              .doc = "x above zero, negative_slope x below; any shape. A negative slope keeps the "
                     "input for backward.",
              .schema = BDL_SCHEMA("leaky_relu", leaky_relu_fields, leaky_relu_params),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS, .infer = leaky_relu_infer},
    .function = BDL__ACTIVATION_leaky_relu,
    .choose = leaky_relu_choose,
};

static const bdl__activation_layer elu_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "elu",
              .names = {.pytorch = "ELU", .torch = "ELU", .keras = "ELU"}, .since = "0.1",
              .summary = "Exponential linear unit.",
              .doc = "x above zero, alpha (e^x - 1) below; any shape. Clevert, Unterthiner and "
                     "Hochreiter 2016.",
              .schema = BDL_SCHEMA("elu", elu_fields, elu_params),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS, .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_elu,
    .numbers = {1, 1},
};

static const bdl__activation_layer selu_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "selu", .names = {.pytorch = "SELU"}, .since = "0.1",
              .summary = "Self-normalizing exponential linear unit.",
              .doc = "1.0507 (x above zero, 1.67326 (e^x - 1) below), any shape. Klambauer et al. "
                     "2017.",
              .schema = BDL_NO_FIELDS("selu"), .flags = BDL__IN_PLACE | BDL__HAS_KINKS,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_elu,
    .numbers = {1.67326324235437728481, 1.05070098735548049342},
};

static const bdl__activation_layer gelu_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "gelu", .names = {.pytorch = "GELU", .torch = "GELU"},
              .since = "0.1", .summary = "Gaussian error linear unit.",
              .doc = "x Phi(x), Phi being the standard normal distribution; with approximate=tanh "
                     "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Any shape. Hendrycks and "
                     "Gimpel 2016.",
              .schema = BDL_SCHEMA("gelu", gelu_fields, gelu_params),
              .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_gelu,
    .choose = gelu_choose,
};

static const bdl__activation_layer silu_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "silu", .names = {.pytorch = "SiLU", .torch = "Swish"},
              .since = "0.1", .summary = "x times its sigmoid.",
              .doc = "x / (1 + e^-x), any shape. Also called swish.",
              .schema = BDL_NO_FIELDS("silu"), .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_silu,
};

static const bdl__activation_layer mish_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "mish", .names = {.pytorch = "Mish"}, .since = "0.1",
              .summary = "x times tanh of its softplus.",
              .doc = "x tanh(log(1 + e^x)), any shape. Misra 2020.",
              .schema = BDL_NO_FIELDS("mish"), .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_mish,
};

static const bdl__activation_layer sigmoid_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "sigmoid",
              .names = {.pytorch = "Sigmoid", .torch = "Sigmoid"}, .since = "0.1",
              .summary = "Logistic function.", .doc = "1 / (1 + e^-x), any shape.",
              .schema = BDL_NO_FIELDS("sigmoid"), .flags = BDL__IN_PLACE,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_sigmoid,
};

static const bdl__activation_layer log_sigmoid_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "log_sigmoid",
              .names = {.pytorch = "LogSigmoid", .torch = "LogSigmoid"}, .since = "0.1",
              .summary = "Logarithm of the logistic function.",
              .doc = "-log(1 + e^-x), any shape, without overflow.",
              .schema = BDL_NO_FIELDS("log_sigmoid"), .flags = BDL__IN_PLACE,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_log_sigmoid,
};

static const bdl__activation_layer tanh_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "tanh", .names = {.pytorch = "Tanh", .torch = "Tanh"},
              .since = "0.1", .summary = "Hyperbolic tangent.",
              .doc = "(e^x - e^-x) / (e^x + e^-x), any shape.", .schema = BDL_NO_FIELDS("tanh"),
              .flags = BDL__IN_PLACE, .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_tanh,
};

static const bdl__activation_layer tanh_shrink_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "tanh_shrink",
              .names = {.pytorch = "Tanhshrink", .torch = "TanhShrink"}, .since = "0.1",
              .summary = "x less its tanh.", .doc = "x - tanh(x), any shape.",
              .schema = BDL_NO_FIELDS("tanh_shrink"), .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_tanh_shrink,
};

static const bdl__activation_layer softplus_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "softplus",
              .names = {.pytorch = "Softplus", .torch = "SoftPlus"}, .since = "0.1",
              .summary = "Smooth ReLU.",
              .doc = "log(1 + e^(beta x)) / beta, and x where beta x is above threshold; any "
                     "shape.",
              .schema = BDL_SCHEMA("softplus", softplus_fields, softplus_params),
              .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_softplus,
};

static const bdl__activation_layer softsign_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "softsign",
              .names = {.pytorch = "Softsign", .torch = "SoftSign"}, .since = "0.1",
              .summary = "x over one plus its size.", .doc = "x / (1 + |x|), any shape.",
              .schema = BDL_NO_FIELDS("softsign"), .flags = BDL__IN_PLACE,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_softsign,
};

static const bdl__activation_layer soft_shrink_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "soft_shrink",
              .names = {.pytorch = "Softshrink", .torch = "SoftShrink"}, .since = "0.1",
              .summary = "Moves towards zero by lambda.",
              .doc = "x - lambda above lambda, x + lambda below -lambda, else 0; any shape.",
              .schema = BDL_SCHEMA("soft_shrink", shrink_fields, shrink_params),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS, .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_soft_shrink,
};

static const bdl__activation_layer hard_shrink_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "hard_shrink",
              .names = {.pytorch = "Hardshrink", .torch = "HardShrink"}, .since = "0.1",
              .summary = "Zero near zero.", .doc = "0 where |x| <= lambda, else x; any shape.",
              .schema = BDL_SCHEMA("hard_shrink", shrink_fields, shrink_params),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS, .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_hard_shrink,
};

static const bdl__activation_layer threshold_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "threshold",
              .names = {.pytorch = "Threshold", .torch = "Threshold", .keras = "ThresholdedReLU"},
              .since = "0.1", .summary = "A constant up to a threshold.",
              .doc = "x above threshold, else value; any shape. A value above the threshold keeps "
                     "the input for backward.",
              .schema = BDL_SCHEMA("threshold", threshold_fields, threshold_params),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS, .infer = threshold_infer},
    .function = BDL__ACTIVATION_threshold,
    .choose = threshold_choose,
};

static const bdl__activation_layer hard_tanh_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "hard_tanh",
              .names = {.pytorch = "Hardtanh", .torch = "HardTanh"}, .since = "0.1",
              .summary = "Limits to a range.",
              .doc = "min(max(x, min), max), any shape; the gradient is 0 at and beyond the "
                     "limits.",
              .schema = BDL_SCHEMA("hard_tanh", hard_tanh_fields, bdl__limits_params),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS, .infer = bdl__limits_infer},
    .function = BDL__ACTIVATION_clamp,
};

static const bdl__activation_layer hard_sigmoid_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "hard_sigmoid",
              .names = {.pytorch = "Hardsigmoid", .torch = "HardSigmoid"}, .since = "0.1",
              .summary = "Sigmoid of three straight lines.",
              .doc = "min(max(slope x + 1/2, 0), 1), any shape.",
              .schema = BDL_SCHEMA("hard_sigmoid", hard_sigmoid_fields, hard_sigmoid_params),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS, .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_hard_sigmoid,
};

static const bdl__activation_layer hard_swish_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "hard_swish", .names = {.pytorch = "Hardswish"},
              .since = "0.1", .summary = "x times a sigmoid of three straight lines.",
              .doc = "x min(max(x + 3, 0), 6) / 6, any shape. Howard et al. 2019.",
              .schema = BDL_NO_FIELDS("hard_swish"), .flags = BDL__HAS_KINKS,
              .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_hard_swish,
};

BDL_LAYER_FAMILY(activation, &elu_layer.layer, &gelu_layer.layer, &hard_shrink_layer.layer,
                 &hard_sigmoid_layer.layer, &hard_swish_layer.layer, &hard_tanh_layer.layer,
                 &leaky_relu_layer.layer, &log_sigmoid_layer.layer, &mish_layer.layer,
                 &relu_layer.layer, &relu6_layer.layer, &selu_layer.layer, &sigmoid_layer.layer,
                 &silu_layer.layer, &soft_shrink_layer.layer, &softplus_layer.layer,
                 &softsign_layer.layer, &tanh_layer.layer, &tanh_shrink_layer.layer,
                 &threshold_layer.layer)
