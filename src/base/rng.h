/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A value depends only on its key and counter, so any worker, in any order, draws
 * the same numbers. Normal numbers use bdl's own logarithm and cosine: no libm in what reaches weights.
 */
#ifndef BDL_BASE_RNG_H
#define BDL_BASE_RNG_H

#include <stdint.h>

/* What the numbers are for; part of the counter, so that streams of different uses never meet. */
typedef enum bdl__rng_use {
    BDL__RNG_INIT = 1,
    BDL__RNG_DROPOUT = 2,
    BDL__RNG_SHUFFLE = 3,
    BDL__RNG_TRANSFORM = 4,
    BDL__RNG_DIGITS = 5,
    BDL__RNG_TEST = 6,
    BDL__RNG_TENSOR = 7
} bdl__rng_use;

typedef struct bdl__rng {
    uint64_t seed;
    uint64_t stream;  /* use << 32 | sub-stream (layer, tensor ...) */
    uint64_t counter; /* position << 32 | next block of four numbers */
    uint32_t block[4];
    int left; /* numbers of `block` not yet given out */
} bdl__rng;

void bdl__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* A stream of numbers: `sub_stream` says whose (layer, tensor ...), `position` where in it (shard,
 * sample ...). A position has 2^34 numbers before it runs into the next one. */
void bdl__rng_init(bdl__rng *rng, uint64_t seed, bdl__rng_use use, uint32_t sub_stream,
                   uint32_t position);
uint32_t bdl__rng_u32(bdl__rng *rng);
double bdl__rng_uniform(bdl__rng *rng);             /* [0, 1), 53 bits */
double bdl__rng_normal(bdl__rng *rng);              /* mean 0, variance 1, Box-Muller */
uint64_t bdl__rng_below(bdl__rng *rng, uint64_t n); /* [0, n), unbiased */

#endif
