/* SPDX-License-Identifier: Apache-2.0 */
/* parts.h: a tensor of several parts, as heavy kernels take it. */
#ifndef BDL_KERNELS_PARTS_H
#define BDL_KERNELS_PARTS_H

#include "kernels/family.h"

/* Part i begins i * stride bytes after the first. */
typedef struct bdl__parts {
    void *data;
    int64_t stride;
} bdl__parts;

#if defined(R_LANES)
/* Real `at` of part i. */
R_INLINE real *r_part(const bdl__parts *parts, int64_t i, int64_t at)
{
    return (real *)(void *)((char *)parts->data + i * parts->stride) + at;
}
#endif

#endif
