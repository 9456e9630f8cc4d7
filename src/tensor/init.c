/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initialisers. Each is a field table, and a function that turns its parameters into one of a few
 * distributions; numbers are drawn in the order of the elements from the stream (seed, init,
 * stream).
 */
#include "tensor/init.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

/* What to fill a tensor with. */
typedef struct distribution {
    enum { CONSTANT, UNIFORM, NORMAL, BILINEAR } kind;
    double a, b; /* constant: a; uniform: from a to b; normal: mean a, standard deviation b */
} distribution;

typedef struct fans {
    double in, out;
} fans;

/* ---- parameters ------------------------------------------------------------------------------ */

typedef struct xavier_params {
    double gain;
} xavier_params;

typedef struct kaiming_params {
    double a;
    bdl__choice mode;
    bdl__choice nonlinearity;
} kaiming_params;

typedef struct normal_params {
    double mean;
    double std;
} normal_params;

typedef struct uniform_params {
    double low;
    double high;
} uniform_params;

typedef struct constant_params {
    double value;
} constant_params;

enum { FAN_IN, FAN_OUT };
static const char *const modes[] = {"fan_in", "fan_out", NULL};

enum { RELU, LEAKY_RELU, TANH, SIGMOID, SELU, LINEAR };
static const char *const nonlinearities[] = {"relu", "leaky_relu", "tanh", "sigmoid",
                                             "selu", "linear",     NULL};

static const bdl__field xavier_fields[] = {
    BDL_FIELD(xavier_params, gain, .def.f64 = 1, .doc = "Factor of the spread."),
};

static const bdl__field kaiming_fields[] = {
    BDL_FIELD(kaiming_params, a, .def.f64 = 0,
              .doc = "Slope below zero of the leaky_relu that follows."),
    BDL_FIELD(kaiming_params, mode, .def.s = "fan_in", .choices = modes,
              .doc = "Keeps the variance of forward (fan_in) or of backward (fan_out)."),
    BDL_FIELD(kaiming_params, nonlinearity, .def.s = "leaky_relu", .choices = nonlinearities,
              .doc = "What follows the layer; sets the gain."),
};

static const bdl__field normal_fields[] = {
    BDL_FIELD(normal_params, mean, .def.f64 = 0, .doc = "Mean."),
    BDL_FIELD(normal_params, std, .def.f64 = 1, .range = BDL_AT_LEAST(0),
              .doc = "Standard deviation."),
};

static const bdl__field uniform_fields[] = {
    BDL_FIELD(uniform_params, low, .def.f64 = 0, .torch_name = "a", .doc = "Least value."),
    BDL_FIELD(uniform_params, high, .def.f64 = 1, .torch_name = "b",
              .doc = "Limit that values stay below."),
};

static const bdl__field constant_fields[] = {
    BDL_FIELD(constant_params, value, .required = true, .torch_name = "val",
              .doc = "Value of every element."),
};

/* ---- from parameters to distributions -------------------------------------------------------- */

static distribution symmetric(double bound)
{
    return (distribution){.kind = UNIFORM, .a = -bound, .b = bound};
}

static distribution centered(double std)
{
    return (distribution){.kind = NORMAL, .a = 0, .b = std};
}

/* Torch's and BigDL's default: +-1 / sqrt(fan_in). */
static distribution make_torch(const void *params, fans fan)
{
    (void)params;
    return symmetric(1 / sqrt(fan.in));
}

/* Glorot and Bengio 2010, equation 16: variance 2 / (fan_in + fan_out). */
static double xavier_std(const xavier_params *params, fans fan)
{
    return params->gain * sqrt(2 / (fan.in + fan.out));
}

static distribution make_xavier_uniform(const void *params, fans fan)
{
    return symmetric(sqrt(3) * xavier_std(params, fan));
}

static distribution make_xavier_normal(const void *params, fans fan)
{
    return centered(xavier_std(params, fan));
}

/* He et al. 2015, equations 10 and 14: variance gain^2 / fan. */
static double kaiming_std(const kaiming_params *params, fans fan)
{
    double gain = 1;
    switch (params->nonlinearity.i) {
    case RELU:
        gain = sqrt(2);
        break;
    case LEAKY_RELU:
        gain = sqrt(2 / (1 + params->a * params->a));
        break;
    case TANH:
        gain = 5.0 / 3;
        break;
    case SELU:
        gain = 0.75;
        break;
    default: /* sigmoid, linear */
        break;
    }
    return gain / sqrt(params->mode.i == FAN_IN ? fan.in : fan.out);
}

static distribution make_kaiming_uniform(const void *params, fans fan)
{
    return symmetric(sqrt(3) * kaiming_std(params, fan));
}

static distribution make_kaiming_normal(const void *params, fans fan)
{
    return centered(kaiming_std(params, fan));
}

static distribution make_normal(const void *params, fans fan)
{
    (void)fan;
    const normal_params *p = params;
    return (distribution){.kind = NORMAL, .a = p->mean, .b = p->std};
}

static distribution make_uniform(const void *params, fans fan)
{
    (void)fan;
    const uniform_params *p = params;
    return (distribution){.kind = UNIFORM, .a = p->low, .b = p->high};
}

static distribution make_constant(const void *params, fans fan)
{
    (void)fan;
    const constant_params *p = params;
    return (distribution){.kind = CONSTANT, .a = p->value};
}

static distribution make_zeros(const void *params, fans fan)
{
    (void)params;
    (void)fan;
    return (distribution){.kind = CONSTANT, .a = 0};
}

static distribution make_ones(const void *params, fans fan)
{
    (void)params;
    (void)fan;
    return (distribution){.kind = CONSTANT, .a = 1};
}

static distribution make_bilinear(const void *params, fans fan)
{
    (void)params;
    (void)fan;
    return (distribution){.kind = BILINEAR};
}

/* ---- table ----------------------------------------------------------------------------------- */

#define INITIALISERS(X)                                                                            \
    X(bilinear)                                                                                    \
    X(constant)                                                                                    \
    X(kaiming_normal)                                                                              \
    X(kaiming_uniform)                                                                             \
    X(normal)                                                                                      \
    X(ones)                                                                                        \
    X(torch)                                                                                       \
    X(uniform)                                                                                     \
    X(xavier_normal)                                                                               \
    X(xavier_uniform)                                                                              \
    X(zeros)

#define SCHEMA_OF(schema_name, table, type, text)                                                  \
    {                                                                                              \
        .name = schema_name, .summary = (text), .fields = (table),                                 \
        .n_fields = BDL__COUNT_OF(table), .params_size = sizeof(type)                              \
    }

static const bdl__schema schema_bilinear = {
    .name = "bilinear",
    .summary = "Weights with which a transposed convolution interpolates (Long et al. 2015)."};
static const bdl__schema schema_constant =
    SCHEMA_OF("constant", constant_fields, constant_params, "The same value everywhere.");
static const bdl__schema schema_kaiming_normal =
    SCHEMA_OF("kaiming_normal", kaiming_fields, kaiming_params,
              "Normal numbers of variance gain^2 / fan (He et al. 2015).");
static const bdl__schema schema_kaiming_uniform =
    SCHEMA_OF("kaiming_uniform", kaiming_fields, kaiming_params,
              "Uniform numbers of variance gain^2 / fan (He et al. 2015).");
static const bdl__schema schema_normal =
    SCHEMA_OF("normal", normal_fields, normal_params, "Normal numbers.");
static const bdl__schema schema_ones = {.name = "ones", .summary = "1 everywhere."};
static const bdl__schema schema_torch = {.name = "torch",
                                         .summary = "Uniform numbers between -1 / sqrt(fan_in) and "
                                                    "1 / sqrt(fan_in), as Torch and BigDL begin."};
static const bdl__schema schema_uniform =
    SCHEMA_OF("uniform", uniform_fields, uniform_params, "Uniform numbers.");
static const bdl__schema schema_xavier_normal =
    SCHEMA_OF("xavier_normal", xavier_fields, xavier_params,
              "Normal numbers of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010).");
static const bdl__schema schema_xavier_uniform = SCHEMA_OF(
    "xavier_uniform", xavier_fields, xavier_params,
    "Uniform numbers of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010).");
static const bdl__schema schema_zeros = {.name = "zeros", .summary = "0 everywhere."};

#define SCHEMA_ENTRY(init) &schema_##init,
static const bdl__schema *const schemas[] = {INITIALISERS(SCHEMA_ENTRY)};
#define NAME_ENTRY(init) #init,
static const char *const names[] = {INITIALISERS(NAME_ENTRY)};
#define MAKER_ENTRY(init) make_##init,
static distribution (*const makers[])(const void *params, fans fan) = {INITIALISERS(MAKER_ENTRY)};

typedef union any_params {
    xavier_params xavier;
    kaiming_params kaiming;
    normal_params normal;
    uniform_params uniform;
    constant_params constant;
} any_params;

const bdl__schema *const *bdl__init_schemas(int64_t *n)
{
    *n = BDL__COUNT_OF(schemas);
    return schemas;
}

/* Gives which initialiser the text names, and its parameters. */
static bdl_status parse_in(bdl__arena *arena, const char *text, int64_t *i_init, any_params *params)
{
    const char *name = NULL;
    const char *arguments = NULL;
    BDL__TRY(bdl__split_call(arena, text, &name, &arguments));
    for (int64_t i = 0; i < BDL__COUNT_OF(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *i_init = i;
            return bdl__params_from_text(schemas[i], arena, arguments, params);
        }
    }
    return bdl__fail_unknown("initializer", name, names, BDL__COUNT_OF(names));
}

static bdl_status parse(const char *text, int64_t *i_init, any_params *params)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    const bdl_status status = parse_in(&arena, text, i_init, params);
    bdl__arena_free(&arena);
    return status;
}

bdl_status bdl__init_check(const char *text)
{
    int64_t i_init = 0;
    any_params params = {0};
    return parse(text, &i_init, &params);
}

/* ---- filling --------------------------------------------------------------------------------- */

/* Weight of tap i of n when a signal is interpolated: a triangle around the middle (Long et al.
 * 2015). */
static double triangle(int64_t i, int64_t n)
{
    const double factor = (double)((n + 1) / 2);
    const double center = n % 2 == 1 ? factor - 1 : factor - 0.5;
    return 1 - fabs((double)i - center) / factor;
}

static double bilinear_value(const bdl__shape *shape, int64_t i)
{
    const int64_t width = shape->dim[shape->rank - 1];
    const int64_t height = shape->dim[shape->rank - 2];
    return triangle(i % width, width) * triangle(i / width % height, height);
}

static double draw(const distribution *dist, bdl__rng *rng, const bdl__shape *shape, int64_t i)
{
    switch (dist->kind) {
    case CONSTANT:
        return dist->a;
    case UNIFORM:
        return dist->a + (dist->b - dist->a) * bdl__rng_uniform(rng);
    case NORMAL:
        return dist->a + dist->b * bdl__rng_normal(rng);
    case BILINEAR:
        return bilinear_value(shape, i);
    }
    return 0;
}

bdl_status bdl__init_fill(const char *text, const bdl__shape *shape, int64_t fan_in,
                          int64_t fan_out, uint64_t seed, uint32_t stream, bdl_dtype dtype,
                          void *values)
{
    int64_t i_init = 0;
    any_params params = {0};
    BDL__TRY(parse(text, &i_init, &params));
    BDL__CHECK(dtype == BDL_F32 || dtype == BDL_F64, BDL_ERR_UNSUPPORTED,
               "initializers fill f32 and f64 tensors, got dtype %d", (int)dtype);
    const fans fan = {.in = (double)BDL__MAX(fan_in, 1), .out = (double)BDL__MAX(fan_out, 1)};
    const distribution dist = makers[i_init](&params, fan);
    BDL__CHECK(dist.kind != BILINEAR || shape->rank >= 2, BDL_ERR_SHAPE,
               "initializer bilinear needs a kernel of two dimensions, got rank %d",
               (int)shape->rank);

    bdl__rng rng;
    bdl__rng_init(&rng, seed, BDL__RNG_INIT, stream, 0);
    const int64_t n = bdl__shape_count(shape);
    for (int64_t i = 0; i < n; i++) {
        const double value = draw(&dist, &rng, shape, i);
        if (dtype == BDL_F32) {
            ((float *)values)[i] = (float)value;
        } else {
            ((double *)values)[i] = value;
        }
    }
    return BDL_OK;
}
