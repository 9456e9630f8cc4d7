/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transforms that move pixels: resize, crop, pad, flip. Images are planes (channels, height, width)
 * of bytes or floats, and stay what they are. Random ones are the same for a row in an epoch on any
 * machine, and fixed in evaluation.
 */
#include <string.h>

#include "data/data_private.h"

static size_t size_of(const bdl__sample *sample)
{
    return sample->element == BDL__ELEMENT_U8 ? 1 : sizeof(float);
}

/* A list of one number for both, or of height and width. */
static void both_of(const bdl__i64s *list, int64_t *height, int64_t *width)
{
    *height = list->v[0];
    *width = list->v[list->n - 1];
}

/* ---- resize ---- */

typedef struct resize_params {
    bdl__i64s size;
} resize_params;

enum { MOST_SIDE = 65536, MOST_PIXELS = 1 << 28 };

static const bdl__field resize_fields[] = {
    BDL_FIELD(resize_params, size, .required = true, .range = BDL_IN(1, MOST_SIDE), .least_n = 1,
              .most_n = 2,
              .doc =
                  "Pixels: [height, width], or one number for the shorter side, the ratio kept."),
};

static bdl_status resize_infer(const bdl__transform_step *step, bdl__shape *shape,
                               bdl__element *element)
{
    (void)element;
    const resize_params *params = step->params;
    const int64_t height = shape->dim[1], width = shape->dim[2];
    both_of(&params->size, &shape->dim[1], &shape->dim[2]);
    if (params->size.n == 1 && height > width) {
        shape->dim[1] = height * params->size.v[0] / width;
    } else if (params->size.n == 1) {
        shape->dim[2] = width * params->size.v[0] / height;
    }
    /* A file may claim an image of one by millions of pixels. */
    BDL__CHECK(shape->dim[1] <= MOST_PIXELS / shape->dim[2], BDL_ERR_SHAPE,
               "an image of %lldx%lld would become one of %lldx%lld", (long long)height,
               (long long)width, (long long)shape->dim[1], (long long)shape->dim[2]);
    return BDL_OK;
}

/* Where output position i reads: between inputs first and first + 1 (or the same at the edge). */
typedef struct tap {
    int64_t first, second;
    float weight; /* of the second */
} tap;

static tap tap_of(int64_t i, float ratio, int64_t n)
{
    float at = ((float)i + 0.5F) * ratio - 0.5F;
    at = at < 0 ? 0 : at;
    tap result = {.first = BDL__MIN((int64_t)at, n - 1)};
    result.second = BDL__MIN(result.first + 1, n - 1);
    result.weight = at - (float)result.first;
    return result;
}

static float mix(float a, float b, float weight)
{
    return a + (b - a) * weight;
}

static void resize_row_u8(const uint8_t *top, const uint8_t *bottom, float weight, float ratio,
                          int64_t n_src, uint8_t *dst, int64_t n_dst)
{
    for (int64_t x = 0; x < n_dst; x++) {
        const tap at = tap_of(x, ratio, n_src);
        const float above = mix(top[at.first], top[at.second], at.weight);
        const float below = mix(bottom[at.first], bottom[at.second], at.weight);
        dst[x] = (uint8_t)(mix(above, below, weight) + 0.5F);
    }
}

static void resize_row_f32(const float *top, const float *bottom, float weight, float ratio,
                           int64_t n_src, float *dst, int64_t n_dst)
{
    for (int64_t x = 0; x < n_dst; x++) {
        const tap at = tap_of(x, ratio, n_src);
        const float above = mix(top[at.first], top[at.second], at.weight);
        const float below = mix(bottom[at.first], bottom[at.second], at.weight);
        dst[x] = mix(above, below, weight);
    }
}

static bdl_status resize_apply(const bdl__transform_step *step, const bdl__sample *src,
                               bdl__sample *dst, bdl__rng *rng)
{
    (void)step, (void)rng;
    const int64_t h = src->shape.dim[1], w = src->shape.dim[2];
    const int64_t oh = dst->shape.dim[1], ow = dst->shape.dim[2];
    const float x_ratio = (float)w / (float)ow, y_ratio = (float)h / (float)oh;
    for (int64_t row = 0; row < src->shape.dim[0] * oh; row++) {
        const int64_t plane = row / oh * h;
        const tap at = tap_of(row % oh, y_ratio, h);
        const int64_t top = (plane + at.first) * w, bottom = (plane + at.second) * w;
        if (src->element == BDL__ELEMENT_U8) {
            const uint8_t *in = src->data;
            resize_row_u8(in + top, in + bottom, at.weight, x_ratio, w,
                          (uint8_t *)dst->buffer.data + row * ow, ow);
        } else {
            const float *in = src->data;
            resize_row_f32(in + top, in + bottom, at.weight, x_ratio, w,
                           (float *)dst->buffer.data + row * ow, ow);
        }
    }
    return BDL_OK;
}

static const bdl__transform resize = {
    .name = "resize",
    .summary = "Scales images by bilinear interpolation.",
    .doc = "(c, h, w) -> (c, height, width), pixel centers at half pixels, without smoothing. With "
           "one\n"
           "size the shorter side gets it and the other floor(longer * size / shorter).",
    .schema = {.name = "resize",
               .fields = resize_fields,
               .n_fields = BDL__COUNT_OF(resize_fields),
               .params_size = sizeof(resize_params)},
    .flags = BDL__TRANSFORM_IMAGE,
    .infer = resize_infer,
    .apply = resize_apply,
};
BDL_TRANSFORM(resize, &resize);

/* ---- crop ---- */

typedef struct crop_params {
    bdl__i64s size;
    bdl__choice at;
} crop_params;

static const char *const crop_places[] = {"center", "random", NULL};

static const bdl__field crop_fields[] = {
    BDL_FIELD(crop_params, size, .required = true, .range = BDL_IN(1, MOST_SIDE), .least_n = 1,
              .most_n = 2, .doc = "Pixels: [height, width], or one number for both."),
    BDL_FIELD(crop_params, at, .def.s = "center", .choices = crop_places,
              .doc = "Where: in the center, or in training anywhere."),
};

static bdl_status crop_infer(const bdl__transform_step *step, bdl__shape *shape,
                             bdl__element *element)
{
    (void)element;
    const crop_params *params = step->params;
    int64_t height, width;
    both_of(&params->size, &height, &width);
    BDL__CHECK(height <= shape->dim[1] && width <= shape->dim[2], BDL_ERR_SHAPE,
               "cannot cut %lldx%lld out of an image of %lldx%lld; use resize or pad before",
               (long long)height, (long long)width, (long long)shape->dim[1],
               (long long)shape->dim[2]);
    shape->dim[1] = height;
    shape->dim[2] = width;
    return BDL_OK;
}

static bdl_status crop_apply(const bdl__transform_step *step, const bdl__sample *src,
                             bdl__sample *dst, bdl__rng *rng)
{
    const crop_params *params = step->params;
    const int64_t h = src->shape.dim[1], w = src->shape.dim[2];
    const int64_t oh = dst->shape.dim[1], ow = dst->shape.dim[2];
    int64_t top = (h - oh) / 2, left = (w - ow) / 2;
    if (params->at.i == 1 && rng != NULL) {
        top = (int64_t)bdl__rng_below(rng, (uint64_t)(h - oh + 1));
        left = (int64_t)bdl__rng_below(rng, (uint64_t)(w - ow + 1));
    }
    const size_t size = size_of(src);
    for (int64_t row = 0; row < src->shape.dim[0] * oh; row++) {
        const int64_t from = (row / oh * h + top + row % oh) * w + left;
        memcpy((char *)dst->buffer.data + (size_t)(row * ow) * size,
               (const char *)src->data + (size_t)from * size, (size_t)ow * size);
    }
    return BDL_OK;
}

static const bdl__transform crop = {
    .name = "crop",
    .summary = "Cuts a part out of images, in the center or anywhere.",
    .doc = "(c, h, w) -> (c, height, width). at=random draws the place in training; in evaluation "
           "it is\n"
           "the center.",
    .schema = {.name = "crop",
               .fields = crop_fields,
               .n_fields = BDL__COUNT_OF(crop_fields),
               .params_size = sizeof(crop_params)},
    .flags = BDL__TRANSFORM_IMAGE | BDL__TRANSFORM_RANDOM,
    .infer = crop_infer,
    .apply = crop_apply,
};
BDL_TRANSFORM(crop, &crop);

/* ---- pad ---- */

typedef struct pad_params {
    bdl__i64s size;
    double value;
} pad_params;

static const bdl__field pad_fields[] = {
    BDL_FIELD(pad_params, size, .required = true, .range = BDL_IN(0, MOST_SIDE), .least_n = 1,
              .most_n = 2,
              .doc =
                  "Pixels added on each side: [above and below, left and right], or one number."),
    BDL_FIELD(pad_params, value, .def.f64 = 0, .doc = "What they are filled with."),
};

static bdl_status pad_infer(const bdl__transform_step *step, bdl__shape *shape,
                            bdl__element *element)
{
    const pad_params *params = step->params;
    int64_t vertical, horizontal;
    BDL__CHECK(*element == BDL__ELEMENT_F32 || (params->value >= 0 && params->value <= 255),
               BDL_ERR_INVALID_ARGUMENT, "bytes cannot be padded with %g", params->value);
    both_of(&params->size, &vertical, &horizontal);
    shape->dim[1] += 2 * vertical;
    shape->dim[2] += 2 * horizontal;
    return BDL_OK;
}

static bdl_status pad_apply(const bdl__transform_step *step, const bdl__sample *src,
                            bdl__sample *dst, bdl__rng *rng)
{
    (void)rng;
    const pad_params *params = step->params;
    const int64_t h = src->shape.dim[1], w = src->shape.dim[2];
    const int64_t oh = dst->shape.dim[1], ow = dst->shape.dim[2];
    const int64_t n = bdl__shape_count(&dst->shape);
    const size_t size = size_of(src);
    if (src->element == BDL__ELEMENT_U8) {
        memset(dst->buffer.data, (int)params->value, (size_t)n);
    } else {
        float *values = dst->buffer.data;
        for (int64_t i = 0; i < n; i++) {
            values[i] = (float)params->value;
        }
    }
    for (int64_t row = 0; row < src->shape.dim[0] * h; row++) {
        const int64_t to = (row / h * oh + (oh - h) / 2 + row % h) * ow + (ow - w) / 2;
        memcpy((char *)dst->buffer.data + (size_t)to * size,
               (const char *)src->data + (size_t)(row * w) * size, (size_t)w * size);
    }
    return BDL_OK;
}

static const bdl__transform pad = {
    .name = "pad",
    .summary = "Adds pixels of one value around images.",
    .doc = "(c, h, w) -> (c, h + 2 size, w + 2 size). pad(4), crop(32, at=random) is the usual "
           "shift of\n"
           "small images.",
    .schema = {.name = "pad",
               .fields = pad_fields,
               .n_fields = BDL__COUNT_OF(pad_fields),
               .params_size = sizeof(pad_params)},
    .flags = BDL__TRANSFORM_IMAGE,
    .infer = pad_infer,
    .apply = pad_apply,
};
BDL_TRANSFORM(pad, &pad);

/* ---- flip ---- */

typedef struct flip_params {
    double p;
    bdl__choice axis;
} flip_params;

static const char *const flip_axes[] = {"horizontal", "vertical", NULL};

static const bdl__field flip_fields[] = {
    BDL_FIELD(flip_params, p, .def.f64 = 0.5, .range = BDL_IN(0, 1),
              .doc = "Probability, in training."),
    BDL_FIELD(flip_params, axis, .def.s = "horizontal", .choices = flip_axes,
              .doc = "horizontal: left becomes right; vertical: top becomes bottom."),
};

static void reverse_row(const void *src, void *dst, int64_t n, bdl__element element)
{
    if (element == BDL__ELEMENT_U8) {
        const uint8_t *from = src;
        uint8_t *to = dst;
        for (int64_t i = 0; i < n; i++) {
            to[i] = from[n - 1 - i];
        }
    } else {
        const float *from = src;
        float *to = dst;
        for (int64_t i = 0; i < n; i++) {
            to[i] = from[n - 1 - i];
        }
    }
}

static bdl_status flip_apply(const bdl__transform_step *step, const bdl__sample *src,
                             bdl__sample *dst, bdl__rng *rng)
{
    const flip_params *params = step->params;
    const int64_t h = src->shape.dim[1], w = src->shape.dim[2];
    const size_t row_size = (size_t)w * size_of(src);
    const bool is_flipped = rng != NULL && bdl__rng_uniform(rng) < params->p;
    if (!is_flipped) {
        memcpy(dst->buffer.data, src->data, row_size * (size_t)(src->shape.dim[0] * h));
        return BDL_OK;
    }
    for (int64_t row = 0; row < src->shape.dim[0] * h; row++) {
        const int64_t mirrored = row / h * h + (h - 1 - row % h);
        const char *from = (const char *)src->data + (size_t)row * row_size;
        if (params->axis.i == 1) {
            memcpy((char *)dst->buffer.data + (size_t)mirrored * row_size, from, row_size);
        } else {
            reverse_row(from, (char *)dst->buffer.data + (size_t)row * row_size, w, src->element);
        }
    }
    return BDL_OK;
}

static const bdl__transform flip = {
    .name = "flip",
    .summary = "Mirrors images at random, in training.",
    .doc = "(c, h, w) -> the same shape. In evaluation nothing happens.",
    .schema = {.name = "flip",
               .fields = flip_fields,
               .n_fields = BDL__COUNT_OF(flip_fields),
               .params_size = sizeof(flip_params)},
    .flags = BDL__TRANSFORM_IMAGE | BDL__TRANSFORM_RANDOM,
    .apply = flip_apply,
};
BDL_TRANSFORM(flip, &flip);
