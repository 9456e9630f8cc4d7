/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzer of the safetensors reader: whatever opens must be readable in full. */
#include <stdlib.h>

#include "formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte of a tensor and converts what can be converted. */
static void read_all(const bdl__st_tensor *tensor)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < tensor->size; i++) {
        sum = (uint8_t)(sum + ((const uint8_t *)tensor->data)[i]);
    }
    double *const values = malloc((size_t)tensor->count * sizeof(double) + 1);
    if (values != NULL) {
        (void)bdl__safetensors_read(tensor, BDL_F64, values);
    }
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bdl__safetensors *file = NULL;
    const bdl_allocator *const allocator = bdl__default_allocator();
    if (bdl__safetensors_parse(allocator, data, size, "fuzz", &file) != BDL_OK) {
        return 0;
    }
    for (int64_t i = 0; i < bdl__safetensors_count(file); i++) {
        const bdl__st_tensor *const tensor = bdl__safetensors_at(file, i);
        if (bdl__safetensors_find(file, tensor->name) != tensor) {
            abort();
        }
        read_all(tensor);
    }
    (void)bdl__safetensors_metadata(file, "format");
    bdl__safetensors_free(file);
    return 0;
}
