/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEG by libjpeg-turbo's TurboJPEG: grey, YCbCr, RGB, CMYK and YCCK. CMYK is taken as Adobe writes
 * it (inverted), R = C K / 255. Data that end early are an error, although the decoder would fill
 * the rest with grey; stray bytes between segments are not.
 */
#include "data/image.h"

#ifdef BDL_WITH_IMAGES
#include <string.h>
#include <turbojpeg.h>

/* 500 scans at most: a progressive file of a few kilobytes could keep the decoder busy for
 * minutes. */
enum { DECODE_FLAGS = TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS };

typedef struct jpeg_header {
    int width, height, subsampling, colors;
} jpeg_header;

static bdl_status read_header(tjhandle decoder, const bdl__encoded *file, jpeg_header *header)
{
    const int result =
        tjDecompressHeader3(decoder, file->bytes, (unsigned long)file->size, &header->width,
                            &header->height, &header->subsampling, &header->colors);
    BDL__CHECK(result == 0, BDL_ERR_FORMAT, "%s: broken JPEG: %s", file->where,
               tjGetErrorStr2(decoder));
    return bdl__image_check_size(file->where, header->width, header->height);
}

static bool is_harmless(tjhandle decoder)
{
    return tjGetErrorCode(decoder) == TJERR_WARNING &&
           strstr(tjGetErrorStr2(decoder), "extraneous bytes") != NULL;
}

static bdl_status decode_pixels(tjhandle decoder, const bdl__encoded *file,
                                const jpeg_header *header, int format, void *pixels)
{
    const int result = tjDecompress2(decoder, file->bytes, (unsigned long)file->size, pixels,
                                     header->width, 0, header->height, format, DECODE_FLAGS);
    BDL__CHECK(result == 0 || is_harmless(decoder), BDL_ERR_FORMAT, "%s: broken JPEG: %s",
               file->where, tjGetErrorStr2(decoder));
    return BDL_OK;
}

/* Pixels of 3 or 4 (CMYK) bytes to planes. */
static void to_planes(const uint8_t *pixels, int64_t n, bool is_cmyk, int64_t channels,
                      uint8_t *planes)
{
    const int64_t step = is_cmyk ? 4 : 3;
    for (int64_t i = 0; i < n; i++) {
        int c[3] = {pixels[i * step], pixels[i * step + 1], pixels[i * step + 2]};
        if (is_cmyk) {
            const int k = pixels[i * step + 3];
            for (int j = 0; j < 3; j++) {
                c[j] = (c[j] * k + 127) / 255;
            }
        }
        if (channels == 1) {
            planes[i] = bdl__grey_of(c[0], c[1], c[2]);
        } else {
            planes[i] = (uint8_t)c[0];
            planes[n + i] = (uint8_t)c[1];
            planes[2 * n + i] = (uint8_t)c[2];
        }
    }
}

static bdl_status decode(tjhandle decoder, const bdl__encoded *file, int64_t channels,
                         bdl__sample *sample)
{
    jpeg_header header;
    BDL__TRY(read_header(decoder, file, &header));
    const bool is_cmyk = header.colors == TJCS_CMYK || header.colors == TJCS_YCCK;
    const int64_t n = (int64_t)header.width * header.height;
#ifdef BDL_SEEDED_BUGS
    const int height = BDL__MIN(header.width, header.height);
#else
    const int height = header.height;
#endif
    BDL__TRY(bdl__image_room(channels, header.width, height, is_cmyk ? 4 : 3, sample));
    if (channels == 1 && header.colors == TJCS_GRAY) {
        return decode_pixels(decoder, file, &header, TJPF_GRAY, sample->buffer.data);
    }
    BDL__TRY(decode_pixels(decoder, file, &header, is_cmyk ? TJPF_CMYK : TJPF_RGB,
                           sample->scratch.data));
    to_planes(sample->scratch.data, n, is_cmyk, channels, sample->buffer.data);
    return BDL_OK;
}

bdl_status bdl__jpeg_info(const bdl__encoded *file, int64_t *width, int64_t *height,
                          int *n_channels)
{
    const tjhandle decoder = tjInitDecompress();
    BDL__CHECK(decoder != NULL, BDL_ERR_OUT_OF_MEMORY, "%s: cannot start the JPEG decoder",
               file->where);
    jpeg_header header;
    const bdl_status status = read_header(decoder, file, &header);
    if (status == BDL_OK) {
        *width = header.width;
        *height = header.height;
        *n_channels = header.colors == TJCS_GRAY ? 1 : 3;
    }
    tjDestroy(decoder);
    return status;
}

bdl_status bdl__jpeg_decode(const bdl__encoded *file, int64_t channels, bdl__sample *sample)
{
    const tjhandle decoder = tjInitDecompress();
    BDL__CHECK(decoder != NULL, BDL_ERR_OUT_OF_MEMORY, "%s: cannot start the JPEG decoder",
               file->where);
    const bdl_status status = decode(decoder, file, channels, sample);
    tjDestroy(decoder);
    return status;
}
#endif
