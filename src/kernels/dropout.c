/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout of elements or whole channels. */
#include "kernels/dropout.h"

#include "kernels/real_math.h"

BDL__KERNEL_DECLARE(BDL__DROPOUT_KERNELS)

void K(dropout_forward)(const bdl__dropout *dropout, const real *src, real *dst, uint16_t *mask,
                        int64_t begin, int64_t end)
{
    const r_u32 streams = r_random_streams(dropout->key, dropout->first_sample);
    const int32_t threshold = r_random_threshold(dropout->p);
    const real scale = R(dropout->scale);
    const int64_t size = dropout->size;
    for (int64_t u = begin; u < end; u++) {
        const r_u32 random = r_random(streams, dropout->key, (uint32_t)u);
        const r_mask stays = r_random_keeps(random, threshold);
        mask[u] = (uint16_t)r_bits(stays);
        for (int64_t i = u * size; i < (u + 1) * size; i++) {
            dst[i] = r_select(stays, src[i] * scale, R(0));
        }
    }
}

void K(dropout_backward)(const bdl__dropout *dropout, const uint16_t *mask, const real *diff_dst,
                         real *diff_src, int64_t begin, int64_t end, bool add)
{
    const real scale = R(dropout->scale);
    const int64_t size = dropout->size;
    for (int64_t u = begin; u < end; u++) {
        const r_mask stays = r_from_bits(mask[u]);
        for (int64_t i = u * size; i < (u + 1) * size; i++) {
            const real value = r_select(stays, diff_dst[i] * scale, R(0));
            diff_src[i] = add ? diff_src[i] + value : value;
        }
    }
}

BDL__KERNEL_TABLE(dropout, BDL__DROPOUT_KERNELS)
