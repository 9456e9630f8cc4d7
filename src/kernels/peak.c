/* SPDX-License-Identifier: Apache-2.0 */
/* The fused multiply-add peak of a core: twelve chains hide the latency of every target. */
#include "kernels/peak.h"
#include "kernels/tile.h"

BDL__KERNEL_DECLARE(BDL__PEAK_KERNELS)

void K(peak)(int64_t n, scalar *result)
{
    real acc[BDL__PEAK_CHAINS];
    const real a = R(*result);
    R_UNROLL for (int k = 0; k < BDL__PEAK_CHAINS; k++) {
        acc[k] = R(k);
    }
    for (int64_t i = 0; i < n; i++) {
        R_UNROLL for (int k = 0; k < BDL__PEAK_CHAINS; k++) {
            acc[k] = r_fma(acc[k], a, a);
        }
    }
    for (int k = 1; k < BDL__PEAK_CHAINS; k++) {
        acc[0] += acc[k];
    }
    *result = r_sum_lanes(acc[0]);
}

BDL__KERNEL_TABLE(peak, BDL__PEAK_KERNELS)
