/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementary functions as layers: dst = f(src), element by element, of any shape. The hooks are
 * those of the activations.
 */
#include "layers/activation_internal.h"

/* ---- params ---------------------------------------------------------------------------------- */

typedef struct power_params {
    double power;
    double scale;
    double shift;
} power_params;

typedef struct constant_params {
    double constant;
} constant_params;

typedef struct reversal_params {
    double lambda;
} reversal_params;

static const bdl__field clamp_fields[] = {
    BDL_FIELD(bdl__limits_params, min, .required = true, .doc = "Least output."),
    BDL_FIELD(bdl__limits_params, max, .required = true, .doc = "Largest output."),
};

static const bdl__field power_fields[] = {
    BDL_FIELD(power_params, power, .required = true, .range = BDL_IN(-1e6, 1e6),
              .torch_name = "exponent", .doc = "Exponent."),
    BDL_FIELD(power_params, scale, .def.f64 = 1, .doc = "Factor of the input."),
    BDL_FIELD(power_params, shift, .def.f64 = 0, .doc = "Added to the scaled input."),
};

static const bdl__field constant_fields[] = {
    BDL_FIELD(constant_params, constant, .required = true, .doc = "The number."),
};

static const bdl__field reversal_fields[] = {
    BDL_FIELD(reversal_params, lambda, .def.f64 = 1, .torch_name = "lambd",
              .doc = "Backward multiplies by -lambda."),
};

/* ---- choices --------------------------------------------------------------------------------- */

static bdl__activation add_constant_choose(const void *params, double *numbers)
{
    const constant_params *p = params;
    numbers[0] = 1;
    numbers[1] = p->constant;
    return BDL__ACTIVATION_affine;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static const bdl__activation_layer clamp_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "clamp",
              .names = {.pytorch = "clamp", .torch = "Clamp"}, .since = "0.1",
              .summary = "Limits to a range.",
              .doc = "min(max(x, min), max), any shape; the gradient is 0 at and beyond the "
                     "limits.",
              .schema = BDL_SCHEMA("clamp", clamp_fields, bdl__limits_params),
              .flags = BDL__IN_PLACE | BDL__HAS_KINKS, .infer = bdl__limits_infer},
    .function = BDL__ACTIVATION_clamp,
};

static const bdl__activation_layer exp_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "exp", .names = {.pytorch = "exp", .torch = "Exp"},
              .since = "0.1", .summary = "Exponential function.", .doc = "e^x, any shape.",
              .schema = BDL_NO_FIELDS("exp"), .flags = BDL__IN_PLACE,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_exp,
};

static const bdl__activation_layer expm1_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "expm1",
              .names = {.pytorch = "expm1", .torch = "Expm1"}, .since = "0.1",
              .summary = "Exponential less one.", .doc = "e^x - 1, exact near zero; any shape.",
              .schema = BDL_NO_FIELDS("expm1"), .flags = BDL__IN_PLACE,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_expm1,
};

static const bdl__activation_layer log_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "log", .names = {.pytorch = "log", .torch = "Log"},
              .since = "0.1", .summary = "Natural logarithm.",
              .doc = "log(x), any shape; minus infinity at 0, not a number below.",
              .schema = BDL_NO_FIELDS("log"), .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_log,
};

static const bdl__activation_layer log1p_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "log1p",
              .names = {.pytorch = "log1p", .torch = "Log1p"}, .since = "0.1",
              .summary = "Logarithm of one plus x.",
              .doc = "log(1 + x), exact near zero; any shape.", .schema = BDL_NO_FIELDS("log1p"),
              .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_log1p,
};

static const bdl__activation_layer erf_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "erf", .names = {.pytorch = "erf", .torch = "Erf"},
              .since = "0.1", .summary = "Error function.",
              .doc = "2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x, any shape.",
              .schema = BDL_NO_FIELDS("erf"), .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_erf,
};

static const bdl__activation_layer sqrt_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "sqrt", .names = {.pytorch = "sqrt", .torch = "Sqrt"},
              .since = "0.1", .summary = "Square root.",
              .doc = "sqrt(x), any shape; not a number below zero.",
              .schema = BDL_NO_FIELDS("sqrt"), .flags = BDL__IN_PLACE,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_sqrt,
};

static const bdl__activation_layer square_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "square",
              .names = {.pytorch = "square", .torch = "Square"}, .since = "0.1",
              .summary = "Square.", .doc = "x^2, any shape.", .schema = BDL_NO_FIELDS("square"),
              .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_square,
};

static const bdl__activation_layer abs_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "abs", .names = {.pytorch = "abs", .torch = "Abs"},
              .since = "0.1", .summary = "Absolute value.",
              .doc = "|x|, any shape; the gradient at 0 is 0.", .schema = BDL_NO_FIELDS("abs"),
              .flags = BDL__HAS_KINKS, .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_abs,
};

static const bdl__activation_layer floor_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "floor",
              .names = {.pytorch = "floor", .torch = "Floor"}, .since = "0.1",
              .summary = "Rounds down.",
              .doc = "The largest whole number not above x, any shape; the gradient is 0.",
              .schema = BDL_NO_FIELDS("floor"), .flags = BDL__IN_PLACE | BDL__HAS_KINKS,
              .infer = bdl__activation_infer},
    .function = BDL__ACTIVATION_floor,
};

static const bdl__activation_layer negative_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "negative",
              .names = {.pytorch = "neg", .torch = "Negative"}, .since = "0.1",
              .summary = "Changes the sign.", .doc = "-x, any shape.",
              .schema = BDL_NO_FIELDS("negative"), .flags = BDL__IN_PLACE,
              .infer = bdl__activation_infer},
    .function = BDL__ACTIVATION_affine,
    .numbers = {-1, 0},
};

static const bdl__activation_layer reciprocal_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "reciprocal",
              .names = {.pytorch = "reciprocal", .torch = "Inv"}, .since = "0.1",
              .summary = "One over x.", .doc = "1 / x, any shape.",
              .schema = BDL_NO_FIELDS("reciprocal"), .flags = BDL__IN_PLACE,
              .infer = bdl__activation_infer_dst},
    .function = BDL__ACTIVATION_reciprocal,
};

static const bdl__activation_layer power_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "power", .names = {.pytorch = "pow", .torch = "Power"},
              .since = "0.1", .summary = "Power of a scaled and shifted input.",
              .doc = "(shift + scale x)^power, any shape; not a number where the base is negative "
                     "and the power is not a whole number.",
              .schema = BDL_SCHEMA("power", power_fields, power_params),
              .infer = bdl__activation_infer_src},
    .function = BDL__ACTIVATION_power,
};

static const bdl__activation_layer add_constant_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "add_constant", .names = {.torch = "AddConstant"},
              .since = "0.1", .summary = "Adds a number.", .doc = "x + constant, any shape.",
              .schema = BDL_SCHEMA("add_constant", constant_fields, constant_params),
              .flags = BDL__IN_PLACE, .infer = bdl__activation_infer},
    .function = BDL__ACTIVATION_affine,
    .choose = add_constant_choose,
};

static const bdl__activation_layer mul_constant_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "mul_constant", .names = {.torch = "MulConstant"},
              .since = "0.1", .summary = "Multiplies by a number.", .doc = "constant x, any shape.",
              .schema = BDL_SCHEMA("mul_constant", constant_fields, constant_params),
              .flags = BDL__IN_PLACE, .infer = bdl__activation_infer},
    .function = BDL__ACTIVATION_affine,
    .numbers = {1, 0},
};

static const bdl__activation_layer gradient_reversal_layer = {
    .layer = {BDL__ACTIVATION_HOOKS, .name = "gradient_reversal",
              .names = {.torch = "GradientReversal"}, .since = "0.1",
              .summary = "Turns the gradient around.",
              .doc = "x; backward multiplies the gradient by -lambda. Any shape. Ganin et al. "
                     "2016.",
              .schema = BDL_SCHEMA("gradient_reversal", reversal_fields, reversal_params),
              .flags = BDL__IN_PLACE, .infer = bdl__activation_infer},
    .function = BDL__ACTIVATION_gradient_reversal,
};

BDL_LAYER_FAMILY(pointwise, &abs_layer.layer, &add_constant_layer.layer, &clamp_layer.layer,
                 &erf_layer.layer, &exp_layer.layer, &expm1_layer.layer, &floor_layer.layer,
                 &gradient_reversal_layer.layer, &log_layer.layer, &log1p_layer.layer,
                 &mul_constant_layer.layer, &negative_layer.layer, &power_layer.layer,
                 &reciprocal_layer.layer, &sqrt_layer.layer, &square_layer.layer)
