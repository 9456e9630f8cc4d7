/* SPDX-License-Identifier: Apache-2.0 */
/* Encoded images: tells JPEG from PNG, and checks what both need. */
#include "data/image.h"

bdl_status bdl__image_check_size(const char *where, int64_t width, int64_t height)
{
    BDL__CHECK(width >= 1 && height >= 1 && width <= BDL__MOST_PIXELS / height, BDL_ERR_FORMAT,
               "%s: expected an image of 1 to %d megapixels, found %lldx%lld", where,
               BDL__MOST_PIXELS >> 20, (long long)width, (long long)height);
    return BDL_OK;
}

bdl_status bdl__image_room(int64_t channels, int64_t width, int64_t height, int64_t pixel_size,
                           bdl__sample *sample)
{
    const size_t n = (size_t)(width * height);
    BDL__TRY(bdl__buffer_need(&sample->buffer, n * (size_t)channels));
    BDL__TRY(bdl__buffer_need(&sample->scratch, n * (size_t)pixel_size));
    sample->element = BDL__ELEMENT_U8;
    sample->shape = (bdl__shape){.rank = 3, .dim = {channels, height, width}};
    sample->data = sample->buffer.data;
    return BDL_OK;
}

typedef enum image_kind { KIND_JPEG, KIND_PNG } image_kind;

static bdl_status kind_of(const bdl__encoded *file, image_kind *kind)
{
    const uint8_t *b = file->bytes;
    BDL__CHECK(file->size >= 8, BDL_ERR_FORMAT, "%s: expected a JPEG or PNG image, found %zu bytes",
               file->where, file->size);
    if (b[0] == 0xff && b[1] == 0xd8) {
        *kind = KIND_JPEG;
    } else if (b[0] == 0x89 && b[1] == 'P' && b[2] == 'N' && b[3] == 'G') {
        *kind = KIND_PNG;
    } else {
        BDL__FAIL(BDL_ERR_FORMAT,
                  "%s: offset 0: expected a JPEG (ff d8) or PNG (89 50 4e 47) image, found "
                  "%02x %02x %02x %02x",
                  file->where, b[0], b[1], b[2], b[3]);
    }
    return BDL_OK;
}

bdl_status bdl__image_info(const void *bytes, size_t size, const char *where, int64_t *width,
                           int64_t *height, int *n_channels)
{
    const bdl__encoded file = {.bytes = bytes, .size = size, .where = where};
    image_kind kind = KIND_JPEG;
    BDL__TRY(kind_of(&file, &kind));
    return kind == KIND_JPEG ? bdl__jpeg_info(&file, width, height, n_channels)
                             : bdl__png_info(&file, width, height, n_channels);
}

bdl_status bdl__image_decode(const void *bytes, size_t size, int64_t channels, const char *where,
                             bdl__sample *sample)
{
    BDL__CHECK(channels == 1 || channels == 3, BDL_ERR_INVALID_ARGUMENT,
               "images have 1 or 3 channels, not %lld", (long long)channels);
    const bdl__encoded file = {.bytes = bytes, .size = size, .where = where};
    image_kind kind = KIND_JPEG;
    BDL__TRY(kind_of(&file, &kind));
    return kind == KIND_JPEG ? bdl__jpeg_decode(&file, channels, sample)
                             : bdl__png_decode(&file, channels, sample);
}

#ifndef BDL_WITH_IMAGES
static bdl_status without_images(const bdl__encoded *file)
{
    BDL__FAIL(BDL_ERR_UNSUPPORTED, "%s: this build of bdl reads no images (BDL_IMAGES=OFF)",
              file->where);
}

bdl_status bdl__jpeg_info(const bdl__encoded *file, int64_t *width, int64_t *height,
                          int *n_channels)
{
    (void)width, (void)height, (void)n_channels;
    return without_images(file);
}

bdl_status bdl__jpeg_decode(const bdl__encoded *file, int64_t channels, bdl__sample *sample)
{
    (void)channels, (void)sample;
    return without_images(file);
}

bdl_status bdl__png_info(const bdl__encoded *file, int64_t *width, int64_t *height, int *n_channels)
{
    (void)width, (void)height, (void)n_channels;
    return without_images(file);
}

bdl_status bdl__png_decode(const bdl__encoded *file, int64_t channels, bdl__sample *sample)
{
    (void)channels, (void)sample;
    return without_images(file);
}
#endif
