/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzer of the CIFAR-10 reader: what it accepts has ten classes. */
#include <stdlib.h>

#include "data/data_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t n = 0;
    if (bdl__cifar10_check(data, size, "fuzz", &n) != BDL_OK) {
        return 0;
    }
    for (int64_t i = 0; i < n; i++) {
        if (data[i * BDL__CIFAR10_RECORD] > 9) {
            abort();
        }
    }
    return 0;
}
