/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transforms of single values: to_float, scale, normalize. Results are computed in float64 and
 * rounded once to float32. A channel is an entry of the sample's first axis: a color plane of an
 * image, a column of a table.
 *
 *     scale:      y = x * factor + offset
 *     normalize:  y = (x / divide - mean[c]) / std[c]
 */
#include "data/data_private.h"

static bdl_status infer_floats(const bdl__transform_step *step, bdl__shape *shape,
                               bdl__element *element)
{
    (void)step, (void)shape;
    *element = BDL__ELEMENT_F32;
    return BDL_OK;
}

/* y = (x / divide - mean) / std * factor + offset, for n values */
typedef struct affine {
    double divide, mean, std, factor, offset;
} affine;

static inline float affine_value(double x, const affine *f)
{
    return (float)((x / f->divide - f->mean) / f->std * f->factor + f->offset);
}

static void affine_values(const bdl__sample *src, int64_t begin, int64_t end, const affine *f,
                          float *dst)
{
    if (src->element == BDL__ELEMENT_U8) {
        const uint8_t *bytes = src->data;
        for (int64_t i = begin; i < end; i++) {
            dst[i] = affine_value((double)bytes[i], f);
        }
    } else {
        const float *values = src->data;
        for (int64_t i = begin; i < end; i++) {
            dst[i] = affine_value((double)values[i], f);
        }
    }
}

/* ---- to_float ---- */

typedef struct to_float_params {
    char unused;
} to_float_params;

static bdl_status to_float_apply(const bdl__transform_step *step, const bdl__sample *src,
                                 bdl__sample *dst, bdl__rng *rng)
{
    (void)step, (void)rng;
    const affine same = {.divide = 1, .std = 1, .factor = 1};
    affine_values(src, 0, bdl__shape_count(&src->shape), &same, dst->buffer.data);
    return BDL_OK;
}

static const bdl__transform to_float = {
    .name = "to_float",
    .summary = "Bytes to floats, values kept.",
    .doc =
        "Values 0 to 255 stay what they are. Any shape. Bytes become floats by themselves where a\n"
        "transform or the model needs floats; to_float does it earlier.",
    .schema = {.name = "to_float", .params_size = sizeof(to_float_params)},
    .flags = BDL__TRANSFORM_POINTWISE,
    .infer = infer_floats,
    .apply = to_float_apply,
};
BDL_TRANSFORM(to_float, &to_float);

/* ---- scale ---- */

typedef struct scale_params {
    double factor;
    double offset;
} scale_params;

static const bdl__field scale_fields[] = {
    BDL_FIELD(scale_params, factor, .def.f64 = 1.0 / 255.0,
              .doc = "What values are multiplied by; the default takes bytes to [0, 1]."),
    BDL_FIELD(scale_params, offset, .def.f64 = 0, .doc = "What is added afterwards."),
};

static bdl_status scale_apply(const bdl__transform_step *step, const bdl__sample *src,
                              bdl__sample *dst, bdl__rng *rng)
{
    (void)rng;
    const scale_params *params = step->params;
    const affine f = {.divide = 1, .std = 1, .factor = params->factor, .offset = params->offset};
    affine_values(src, 0, bdl__shape_count(&src->shape), &f, dst->buffer.data);
    return BDL_OK;
}

static const bdl__transform scale = {
    .name = "scale",
    .summary = "Multiplies by a factor and adds an offset.",
    .doc = "y = x * factor + offset. Any shape; the result is floats.",
    .schema = {.name = "scale",
               .fields = scale_fields,
               .n_fields = BDL__COUNT_OF(scale_fields),
               .params_size = sizeof(scale_params)},
    .flags = BDL__TRANSFORM_POINTWISE,
    .infer = infer_floats,
    .apply = scale_apply,
};
BDL_TRANSFORM(scale, &scale);

/* ---- normalize ---- */

typedef struct normalize_params {
    bdl__f64s mean;
    bdl__f64s std;
    double divide;
} normalize_params;

static const bdl__field normalize_fields[] = {
    BDL_FIELD(normalize_params, mean, .def.s = "0", .least_n = 1, .most_n = BDL__MAX_LIST,
              .doc = "Mean of each channel, or one for all, after the division."),
    BDL_FIELD(normalize_params, std, .def.s = "1", .least_n = 1, .most_n = BDL__MAX_LIST,
              .range = BDL_IN(1e-30, 1e30),
              .doc = "Standard deviation of each channel, or one for all."),
    BDL_FIELD(normalize_params, divide, .def.f64 = 1, .range = BDL_IN(1e-30, 1e30),
              .doc = "What values are divided by first; 255 takes bytes to [0, 1]."),
};

static bdl_status normalize_plan(bdl__transform_step *step)
{
    const normalize_params *params = step->params;
    BDL__CHECK(params->mean.n == 1 || params->std.n == 1 || params->mean.n == params->std.n,
               BDL_ERR_INVALID_ARGUMENT, "mean has %d values and std %d", (int)params->mean.n,
               (int)params->std.n);
    return BDL_OK;
}

static bdl_status normalize_infer(const bdl__transform_step *step, bdl__shape *shape,
                                  bdl__element *element)
{
    const normalize_params *params = step->params;
    const int64_t n = BDL__MAX(params->mean.n, params->std.n);
    const int64_t n_channels = shape->rank > 0 ? shape->dim[0] : 1;
    BDL__CHECK(n == 1 || n == n_channels, BDL_ERR_SHAPE,
               "mean and std have %lld values, but the samples have %lld channels", (long long)n,
               (long long)n_channels);
    *element = BDL__ELEMENT_F32;
    return BDL_OK;
}

static bdl_status normalize_apply(const bdl__transform_step *step, const bdl__sample *src,
                                  bdl__sample *dst, bdl__rng *rng)
{
    (void)rng;
    const normalize_params *params = step->params;
    const int64_t n = BDL__MAX(params->mean.n, params->std.n);
    const int64_t plane = bdl__shape_count(&src->shape) / n;
    for (int64_t c = 0; c < n; c++) {
        const affine f = {.divide = params->divide,
                          .mean = params->mean.v[params->mean.n == 1 ? 0 : c],
                          .std = params->std.v[params->std.n == 1 ? 0 : c],
                          .factor = 1};
        affine_values(src, c * plane, (c + 1) * plane, &f, dst->buffer.data);
    }
    return BDL_OK;
}

static const bdl__transform normalize = {
    .name = "normalize",
    .summary = "Subtracts a mean and divides by a standard deviation, by channel.",
    .doc =
        "y = (x / divide - mean[c]) / std[c], c being the entry of the first axis. Any shape; the\n"
        "result is floats.",
    .schema = {.name = "normalize",
               .fields = normalize_fields,
               .n_fields = BDL__COUNT_OF(normalize_fields),
               .params_size = sizeof(normalize_params)},
    .flags = BDL__TRANSFORM_POINTWISE,
    .plan = normalize_plan,
    .infer = normalize_infer,
    .apply = normalize_apply,
};
BDL_TRANSFORM(normalize, &normalize);
