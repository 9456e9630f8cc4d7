/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzer of the IDX reader: every value that the header promises must be readable. */
#include "data/data_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int32_t rank = 1; rank <= 3; rank += 2) {
        bdl__idx idx = {.data = NULL};
        if (bdl__idx_parse(data, size, rank, "fuzz", &idx) != BDL_OK) {
            continue;
        }
        volatile uint8_t sum = 0;
        for (int64_t i = 0; i < bdl__shape_count(&idx.shape); i++) {
            sum = (uint8_t)(sum + idx.data[i]);
        }
    }
    return 0;
}
