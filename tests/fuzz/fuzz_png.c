/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzer of PNG images: header, then planes of one and of three channels, all of them readable. */
#include "data/data_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *data, size_t size, int64_t channels)
{
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    if (bdl__image_decode(data, size, channels, "fuzz", &sample) == BDL_OK) {
        volatile uint8_t sum = 0;
        for (int64_t i = 0; i < bdl__shape_count(&sample.shape); i++) {
            sum = (uint8_t)(sum + ((const uint8_t *)sample.data)[i]);
        }
    }
    bdl__sample_free(&sample);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST_PIXELS = 1 << 18 }; /* larger ones only cost the fuzzer time */
    int64_t width = 0, height = 0;
    int n_channels = 0;
    if (bdl__image_info(data, size, "fuzz", &width, &height, &n_channels) == BDL_OK &&
        width * height <= MOST_PIXELS) {
        decode(data, size, 1);
        decode(data, size, 3);
    }
    return 0;
}
