/* SPDX-License-Identifier: Apache-2.0 */
/* bfloat16: the upper half of a float, as 16 bits. */
#ifndef BDL_BASE_BF16_H
#define BDL_BASE_BF16_H

#include <stdint.h>
#include <string.h>

static inline float bdl__from_bf16(uint16_t x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To nearest, ties to even; not-a-number stays one. */
static inline uint16_t bdl__to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const uint32_t quiet = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

#endif
