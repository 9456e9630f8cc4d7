/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzer of the NumPy reader: every value that the header promises must be readable. */
#include "data/data_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bdl__npy npy = {.data = NULL};
    if (bdl__npy_parse(data, size, "fuzz", &npy) != BDL_OK) {
        return 0;
    }
    volatile double sum = 0;
    const int64_t n = bdl__shape_count(&npy.shape);
    for (int64_t i = 0; i < n; i++) {
        float value;
        bdl__npy_floats(&npy, i, 1, &value);
        sum = sum + (double)value + bdl__npy_value(&npy, i);
    }
    return 0;
}
