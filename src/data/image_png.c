/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PNG by libpng's simplified interface: any color type and depth. Transparent pixels are blended
 * on white; 16 bits become 8. An explicit gamma other than sRGB's is converted to sRGB by libpng.
 */
#include "data/image.h"

#ifdef BDL_WITH_IMAGES
#include <png.h>

static bdl_status begin(const bdl__encoded *file, png_image *image)
{
    *image = (png_image){.version = PNG_IMAGE_VERSION};
    BDL__CHECK(png_image_begin_read_from_memory(image, file->bytes, file->size) != 0,
               BDL_ERR_FORMAT, "%s: broken PNG: %s", file->where, image->message);
    image->flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    const bdl_status status =
        bdl__image_check_size(file->where, (int64_t)image->width, (int64_t)image->height);
    if (status != BDL_OK) {
        png_image_free(image);
    }
    return status;
}

bdl_status bdl__png_info(const bdl__encoded *file, int64_t *width, int64_t *height, int *n_channels)
{
    png_image image;
    BDL__TRY(begin(file, &image));
    *width = (int64_t)image.width;
    *height = (int64_t)image.height;
    *n_channels = (image.format & PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1;
    png_image_free(&image);
    return BDL_OK;
}

/* A value of opacity `alpha` on white. */
static int on_white(int value, int alpha)
{
    return (value * alpha + 255 * (255 - alpha) + 127) / 255;
}

static void to_planes(const uint8_t *rgba, int64_t n, int64_t channels, uint8_t *planes)
{
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *pixel = rgba + 4 * i;
        const int r = on_white(pixel[0], pixel[3]);
        const int g = on_white(pixel[1], pixel[3]);
        const int b = on_white(pixel[2], pixel[3]);
        if (channels == 1) {
            planes[i] = bdl__grey_of(r, g, b);
        } else {
            planes[i] = (uint8_t)r;
            planes[n + i] = (uint8_t)g;
            planes[2 * n + i] = (uint8_t)b;
        }
    }
}

bdl_status bdl__png_decode(const bdl__encoded *file, int64_t channels, bdl__sample *sample)
{
    png_image image;
    BDL__TRY(begin(file, &image));
    const int64_t width = (int64_t)image.width, height = (int64_t)image.height;
#ifdef BDL_SEEDED_BUGS
    const bdl_status status = bdl__image_room(channels, width, BDL__MIN(width, height), 4, sample);
#else
    const bdl_status status = bdl__image_room(channels, width, height, 4, sample);
#endif
    if (status != BDL_OK) {
        png_image_free(&image);
        return status;
    }
    image.format = PNG_FORMAT_RGBA;
    BDL__CHECK(png_image_finish_read(&image, NULL, sample->scratch.data, 0, NULL) != 0,
               BDL_ERR_FORMAT, "%s: broken PNG: %s", file->where, image.message);
    to_planes(sample->scratch.data, width * height, channels, sample->buffer.data);
    return BDL_OK;
}
#endif
