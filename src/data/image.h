/* SPDX-License-Identifier: Apache-2.0 */
/* The decoders behind bdl__image_decode. */
#ifndef BDL_DATA_IMAGE_H
#define BDL_DATA_IMAGE_H

#include "data/data_private.h"

enum { BDL__MOST_PIXELS = 64 << 20 };

typedef struct bdl__encoded {
    const uint8_t *bytes;
    size_t size;
    const char *where; /* for error texts */
} bdl__encoded;

/* Fails for images that are empty or too large. */
bdl_status bdl__image_check_size(const char *where, int64_t width, int64_t height);

/* Room for planes (channels, h, w) in sample->buffer, and `pixel_size` bytes a pixel in
 * sample->scratch. */
bdl_status bdl__image_room(int64_t channels, int64_t width, int64_t height, int64_t pixel_size,
                           bdl__sample *sample);

/* Luminance of Rec. 601, as JPEG's Y. Equal values stay what they are. */
static inline uint8_t bdl__grey_of(int r, int g, int b)
{
    return (uint8_t)((19595 * r + 38470 * g + 7471 * b + 32768) >> 16);
}

bdl_status bdl__jpeg_info(const bdl__encoded *file, int64_t *width, int64_t *height,
                          int *n_channels);
bdl_status bdl__jpeg_decode(const bdl__encoded *file, int64_t channels, bdl__sample *sample);
bdl_status bdl__png_info(const bdl__encoded *file, int64_t *width, int64_t *height,
                         int *n_channels);
bdl_status bdl__png_decode(const bdl__encoded *file, int64_t channels, bdl__sample *sample);

#endif
