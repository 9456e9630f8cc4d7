/* SPDX-License-Identifier: Apache-2.0 */
/* Row-major samples to sample lanes and back, for callers that have no data set: float32 only. */
#include "train/runner.h"

void bdl__to_lanes(const float *src, int64_t n, int64_t count, int lanes, float *dst)
{
    const int64_t n_lanes = bdl__round_up(n, BDL__SLICE);
    for (int64_t s = 0; s < n_lanes; s++) {
        const float *const sample = src + BDL__MIN(s, n - 1) * count;
        float *const part = dst + s / lanes * lanes * count + s % lanes;
        for (int64_t i = 0; i < count; i++) {
            part[i * lanes] = sample[i];
        }
    }
}

void bdl__from_lanes(bdl__span span, int64_t n, int64_t count, int lanes, float *dst)
{
    for (int64_t s = 0; s < n; s++) {
        const float *const part = (const float *)bdl__span_part(span, s / lanes) + s % lanes;
        for (int64_t i = 0; i < count; i++) {
            dst[s * count + i] = part[i * lanes];
        }
    }
}
