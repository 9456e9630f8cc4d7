/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transforms of color: to_grey, to_rgb, channel_order, color_jitter, and mean_image. Images are
 * planes (channels, height, width) in the order red, green, blue, as the readers give them.
 */
#include <string.h>

#include "data/image.h"

static size_t size_of(const bdl__sample *sample)
{
    return sample->element == BDL__ELEMENT_U8 ? 1 : sizeof(float);
}

static void copy_values(const bdl__sample *src, bdl__sample *dst)
{
    memcpy(dst->buffer.data, src->data, (size_t)bdl__shape_count(&src->shape) * size_of(src));
}

static bdl_status need_channels(const bdl__shape *shape)
{
    BDL__CHECK(shape->dim[0] == 1 || shape->dim[0] == 3, BDL_ERR_SHAPE,
               "expected images of 1 or 3 channels, got %lld", (long long)shape->dim[0]);
    return BDL_OK;
}

/* The parameters of a transform that has none. */
typedef struct no_params {
    char unused;
} no_params;

/* ---- to_grey ---- */

static bdl_status to_grey_infer(const bdl__transform_step *step, bdl__shape *shape,
                                bdl__element *element)
{
    (void)step, (void)element;
    BDL__TRY(need_channels(shape));
    shape->dim[0] = 1;
    return BDL_OK;
}

static float grey_of_floats(float r, float g, float b)
{
    return 0.299F * r + 0.587F * g + 0.114F * b;
}

static bdl_status to_grey_apply(const bdl__transform_step *step, const bdl__sample *src,
                                bdl__sample *dst, bdl__rng *rng)
{
    (void)step, (void)rng;
    const int64_t n = bdl__shape_count(&dst->shape);
    if (src->shape.dim[0] == 1) {
        copy_values(src, dst);
    } else if (src->element == BDL__ELEMENT_U8) {
        const uint8_t *in = src->data;
        uint8_t *out = dst->buffer.data;
        for (int64_t i = 0; i < n; i++) {
            out[i] = bdl__grey_of(in[i], in[n + i], in[2 * n + i]);
        }
    } else {
        const float *in = src->data;
        float *out = dst->buffer.data;
        for (int64_t i = 0; i < n; i++) {
            out[i] = grey_of_floats(in[i], in[n + i], in[2 * n + i]);
        }
    }
    return BDL_OK;
}

static const bdl__transform to_grey = {
    .name = "to_grey",
    .summary = "Color images to grey ones.",
    .doc = "(3, h, w) -> (1, h, w): 0.299 r + 0.587 g + 0.114 b (Rec. 601). Grey images stay as "
           "they are.",
    .schema = {.name = "to_grey", .params_size = sizeof(no_params)},
    .flags = BDL__TRANSFORM_IMAGE,
    .infer = to_grey_infer,
    .apply = to_grey_apply,
};
BDL_TRANSFORM(to_grey, &to_grey);

/* ---- to_rgb ---- */

static bdl_status to_rgb_infer(const bdl__transform_step *step, bdl__shape *shape,
                               bdl__element *element)
{
    (void)step, (void)element;
    BDL__TRY(need_channels(shape));
    shape->dim[0] = 3;
    return BDL_OK;
}

static bdl_status to_rgb_apply(const bdl__transform_step *step, const bdl__sample *src,
                               bdl__sample *dst, bdl__rng *rng)
{
    (void)step, (void)rng;
    const size_t size = (size_t)bdl__shape_count(&src->shape) * size_of(src);
    const int n_copies = src->shape.dim[0] == 1 ? 3 : 1;
    for (int i = 0; i < n_copies; i++) {
        memcpy((char *)dst->buffer.data + (size_t)i * size, src->data, size);
    }
    return BDL_OK;
}

static const bdl__transform to_rgb = {
    .name = "to_rgb",
    .summary = "Grey images to three equal channels.",
    .doc = "(1, h, w) -> (3, h, w). Color images stay as they are.",
    .schema = {.name = "to_rgb", .params_size = sizeof(no_params)},
    .flags = BDL__TRANSFORM_IMAGE,
    .infer = to_rgb_infer,
    .apply = to_rgb_apply,
};
BDL_TRANSFORM(to_rgb, &to_rgb);

/* ---- channel_order ---- */

typedef struct channel_order_params {
    bdl__choice order;
} channel_order_params;

static const char *const orders[] = {"rgb", "bgr", NULL};

static const bdl__field channel_order_fields[] = {
    BDL_FIELD(
        channel_order_params, order, .def.s = "bgr", .choices = orders,
        .doc = "bgr: blue first, as networks trained with OpenCV or Caffe expect; rgb: as read."),
};

static bdl_status channel_order_apply(const bdl__transform_step *step, const bdl__sample *src,
                                      bdl__sample *dst, bdl__rng *rng)
{
    (void)rng;
    const channel_order_params *params = step->params;
    const int64_t n = src->shape.dim[0];
    const size_t plane = (size_t)(src->shape.dim[1] * src->shape.dim[2]) * size_of(src);
    for (int64_t c = 0; c < n; c++) {
        const int64_t to = params->order.i == 1 ? n - 1 - c : c;
        memcpy((char *)dst->buffer.data + (size_t)to * plane,
               (const char *)src->data + (size_t)c * plane, plane);
    }
    return BDL_OK;
}

static const bdl__transform channel_order = {
    .name = "channel_order",
    .summary = "Puts the channels in another order.",
    .doc = "(c, h, w) -> the same shape; bgr reverses the channels.",
    .schema = {.name = "channel_order",
               .fields = channel_order_fields,
               .n_fields = BDL__COUNT_OF(channel_order_fields),
               .params_size = sizeof(channel_order_params)},
    .flags = BDL__TRANSFORM_IMAGE,
    .apply = channel_order_apply,
};
BDL_TRANSFORM(channel_order, &channel_order);

/* ---- color_jitter ---- */

typedef struct color_jitter_params {
    double brightness;
    double contrast;
    double saturation;
} color_jitter_params;

static const bdl__field color_jitter_fields[] = {
    BDL_FIELD(color_jitter_params, brightness, .def.f64 = 0.2, .range = BDL_IN(0, 1),
              .doc = "Values are multiplied by a factor from 1 - brightness to 1 + brightness."),
    BDL_FIELD(color_jitter_params, contrast, .def.f64 = 0.2, .range = BDL_IN(0, 1),
              .doc = "Differences from the image's mean grey are multiplied by such a factor."),
    BDL_FIELD(color_jitter_params, saturation, .def.f64 = 0.2, .range = BDL_IN(0, 1),
              .doc = "Differences from each pixel's grey are multiplied by such a factor."),
};

/* 1 + amount * u, u in [-1, 1). */
static float factor_of(bdl__rng *rng, double amount)
{
    return (float)(1 + amount * (2 * bdl__rng_uniform(rng) - 1));
}

/* The three factors, and what they do to a pixel: c -> sat (b c - g) + g with g its brightened
 * grey, then con (... - mean) + mean. */
typedef struct jitter {
    float brightness, contrast, saturation;
    float mean;
} jitter;

static void jitter_pixel(const jitter *by, float *pixel, int64_t n_channels)
{
    for (int64_t c = 0; c < n_channels; c++) {
        pixel[c] *= by->brightness;
    }
    const float grey = n_channels == 3 ? grey_of_floats(pixel[0], pixel[1], pixel[2]) : pixel[0];
    for (int64_t c = 0; c < n_channels; c++) {
        const float saturated = by->saturation * (pixel[c] - grey) + grey;
        pixel[c] = by->contrast * (saturated - by->mean) + by->mean;
    }
}

static void load_pixel(const bdl__sample *src, int64_t i, int64_t n, float *pixel)
{
    for (int64_t c = 0; c < src->shape.dim[0]; c++) {
        pixel[c] = src->element == BDL__ELEMENT_U8 ? ((const uint8_t *)src->data)[c * n + i]
                                                   : ((const float *)src->data)[c * n + i];
    }
}

static void store_pixel(bdl__sample *dst, int64_t i, int64_t n, const float *pixel)
{
    for (int64_t c = 0; c < dst->shape.dim[0]; c++) {
        if (dst->element == BDL__ELEMENT_U8) {
            const float value = pixel[c] + 0.5F;
            ((uint8_t *)dst->buffer.data)[c * n + i] = (uint8_t)(value < 0     ? 0
                                                                 : value > 255 ? 255
                                                                               : value);
        } else {
            ((float *)dst->buffer.data)[c * n + i] = pixel[c];
        }
    }
}

static bdl_status same_infer(const bdl__transform_step *step, bdl__shape *shape,
                             bdl__element *element)
{
    (void)step, (void)element;
    return need_channels(shape);
}

static bdl_status color_jitter_apply(const bdl__transform_step *step, const bdl__sample *src,
                                     bdl__sample *dst, bdl__rng *rng)
{
    if (rng == NULL) {
        copy_values(src, dst);
        return BDL_OK;
    }
    const color_jitter_params *params = step->params;
    jitter by;
    by.brightness = factor_of(rng, params->brightness);
    by.contrast = factor_of(rng, params->contrast);
    by.saturation = factor_of(rng, params->saturation);
    const int64_t n_channels = src->shape.dim[0], n = src->shape.dim[1] * src->shape.dim[2];
    float pixel[3];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        load_pixel(src, i, n, pixel);
        sum += (double)(n_channels == 3 ? grey_of_floats(pixel[0], pixel[1], pixel[2]) : pixel[0]);
    }
    by.mean = by.brightness * (float)(sum / (double)n);
    for (int64_t i = 0; i < n; i++) {
        load_pixel(src, i, n, pixel);
        jitter_pixel(&by, pixel, n_channels);
        store_pixel(dst, i, n, pixel);
    }
    return BDL_OK;
}

static const bdl__transform color_jitter = {
    .name = "color_jitter",
    .summary = "Changes brightness, contrast and saturation at random, in training.",
    .doc = "(1 or 3, h, w) -> the same shape. Brightness, then saturation, then contrast; bytes "
           "stay in\n"
           "0 .. 255. In evaluation nothing happens.",
    .schema = {.name = "color_jitter",
               .fields = color_jitter_fields,
               .n_fields = BDL__COUNT_OF(color_jitter_fields),
               .params_size = sizeof(color_jitter_params)},
    .flags = BDL__TRANSFORM_IMAGE | BDL__TRANSFORM_RANDOM,
    .infer = same_infer,
    .apply = color_jitter_apply,
};
BDL_TRANSFORM(color_jitter, &color_jitter);

/* ---- mean_image ---- */

typedef struct mean_image_params {
    const char *file;
} mean_image_params;

static const bdl__field mean_image_fields[] = {
    BDL_FIELD(mean_image_params, file, .required = true,
              .doc =
                  "A .npy file with one value for each value of a sample, in the sample's shape."),
};

typedef struct mean_image_state {
    bdl__shape shape;
    float *values; /* in the chain's arena */
} mean_image_state;

static bdl_status mean_image_plan(bdl__transform_step *step)
{
    const mean_image_params *params = step->params;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(step->arena, sizeof(mean_image_state), &memory));
    mean_image_state *state = memory;
    bdl__npy npy;
    BDL__TRY(bdl__npy_open(params->file, &npy));
    state->shape = npy.shape;
    const int64_t n = bdl__shape_count(&npy.shape);
    const bdl_status status = bdl__arena_alloc(step->arena, (size_t)n * sizeof(float), &memory);
    if (status == BDL_OK) {
        state->values = memory;
        bdl__npy_floats(&npy, 0, n, state->values);
        step->state = state;
    }
    bdl__npy_close(&npy);
    return status;
}

static bdl_status mean_image_infer(const bdl__transform_step *step, bdl__shape *shape,
                                   bdl__element *element)
{
    const mean_image_state *state = step->state;
    if (!bdl__shape_equal(&state->shape, shape)) {
        char mean[BDL__SHAPE_TEXT_SIZE], sample[BDL__SHAPE_TEXT_SIZE];
        BDL__FAIL(BDL_ERR_SHAPE, "the mean image is %s, the samples are %s",
                  bdl__shape_text(&state->shape, mean, sizeof mean),
                  bdl__shape_text(shape, sample, sizeof sample));
    }
    *element = BDL__ELEMENT_F32;
    return BDL_OK;
}

static bdl_status mean_image_apply(const bdl__transform_step *step, const bdl__sample *src,
                                   bdl__sample *dst, bdl__rng *rng)
{
    (void)rng;
    const mean_image_state *state = step->state;
    float *out = dst->buffer.data;
    const int64_t n = bdl__shape_count(&src->shape);
    for (int64_t i = 0; i < n; i++) {
        const float value = src->element == BDL__ELEMENT_U8 ? ((const uint8_t *)src->data)[i]
                                                            : ((const float *)src->data)[i];
        out[i] = value - state->values[i];
    }
    return BDL_OK;
}

static const bdl__transform mean_image = {
    .name = "mean_image",
    .summary = "Subtracts a mean image, value by value.",
    .doc = "y = x - mean; any shape; the result is floats. The file is found by its path when the "
           "chain\n"
           "is made, also when a saved model is loaded.",
    .schema = {.name = "mean_image",
               .fields = mean_image_fields,
               .n_fields = BDL__COUNT_OF(mean_image_fields),
               .params_size = sizeof(mean_image_params)},
    .plan = mean_image_plan,
    .infer = mean_image_infer,
    .apply = mean_image_apply,
};
BDL_TRANSFORM(mean_image, &mean_image);
