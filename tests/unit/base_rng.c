/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers: known answers, streams, distributions, and bits that never change. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "test.h"

/* The vectors of the Random123 distribution (kat_vectors, philox4x32 with 10 rounds). */
BDL_TEST(philox_matches_the_published_vectors)
{
    static const struct {
        uint32_t counter[4];
        uint32_t key[2];
        uint32_t out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}},
        {{0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF},
         {0xFFFFFFFF, 0xFFFFFFFF},
         {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}},
        {{0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344},
         {0xA4093822, 0x299F31D0},
         {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}},
    };
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        uint32_t out[4];
        bdl__philox(rows[i].counter, rows[i].key, out);
        for (int k = 0; k < 4; k++) {
            CHECK_EQ_I64(out[k], rows[i].out[k]);
        }
    }
}

BDL_TEST(numbers_are_philox_blocks_in_order)
{
    bdl__rng rng;
    bdl__rng_init(&rng, UINT64_C(0x1122334455667788), BDL__RNG_DROPOUT, 7, 9);
    const uint32_t key[2] = {0x55667788, 0x11223344};
    for (uint32_t block = 0; block < 3; block++) {
        const uint32_t counter[4] = {block, 9, 7, BDL__RNG_DROPOUT};
        uint32_t out[4];
        bdl__philox(counter, key, out);
        for (int k = 0; k < 4; k++) {
            CHECK_EQ_I64(bdl__rng_u32(&rng), out[k]);
        }
    }
}

BDL_TEST(streams_differ_in_every_part_of_their_name)
{
    bdl__rng rngs[5];
    uint32_t first[5];
    bdl__rng_init(&rngs[0], 1, BDL__RNG_INIT, 2, 3);
    bdl__rng_init(&rngs[1], 2, BDL__RNG_INIT, 2, 3);
    bdl__rng_init(&rngs[2], 1, BDL__RNG_SHUFFLE, 2, 3);
    bdl__rng_init(&rngs[3], 1, BDL__RNG_INIT, 4, 3);
    bdl__rng_init(&rngs[4], 1, BDL__RNG_INIT, 2, 4);
    for (int i = 0; i < 5; i++) {
        first[i] = bdl__rng_u32(&rngs[i]);
        for (int k = 0; k < i; k++) {
            CHECK(first[i] != first[k]);
        }
    }
}

BDL_TEST(uniform_is_in_range_with_the_right_moments)
{
    enum { N = 100000 };
    bdl__rng rng;
    bdl__rng_init(&rng, 42, BDL__RNG_TEST, 0, 0);
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < N; i++) {
        const double u = bdl__rng_uniform(&rng);
        REQUIRE(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
    }
    CHECK_NEAR(sum / N, 0.5, 5 * 0.2887 / sqrt(N));
    CHECK_NEAR(squares / N, 1.0 / 3, 5 * 0.2981 / sqrt(N));
}

BDL_TEST(normal_has_the_right_moments_and_tails)
{
    enum { N = 200000 };
    bdl__rng rng;
    bdl__rng_init(&rng, 42, BDL__RNG_TEST, 1, 0);
    double moments[5] = {0};
    int n_beyond_3 = 0;
    for (int i = 0; i < N; i++) {
        const double x = bdl__rng_normal(&rng);
        REQUIRE(isfinite(x));
        for (int k = 1; k <= 4; k++) {
            moments[k] += pow(x, k) / N;
        }
        n_beyond_3 += fabs(x) > 3;
    }
    CHECK_NEAR(moments[1], 0, 5 / sqrt(N));
    CHECK_NEAR(moments[2], 1, 5 * 1.4142 / sqrt(N));
    CHECK_NEAR(moments[3], 0, 5 * 3.873 / sqrt(N));
    CHECK_NEAR(moments[4], 3, 5 * 9.798 / sqrt(N));
    CHECK_NEAR(n_beyond_3, N * 0.0026998, 5 * sqrt(N * 0.0027));
}

BDL_TEST(normal_is_box_muller_to_the_last_digits)
{
    bdl__rng rng;
    bdl__rng uniform;
    bdl__rng_init(&rng, 7, BDL__RNG_TEST, 2, 0);
    bdl__rng_init(&uniform, 7, BDL__RNG_TEST, 2, 0);
    for (int i = 0; i < 100000; i++) {
        const double u = 1 - bdl__rng_uniform(&uniform);
        const double turns = bdl__rng_uniform(&uniform);
        const double expected = sqrt(-2 * log(u)) * cos(6.283185307179586476925 * turns);
        const double found = bdl__rng_normal(&rng);
        REQUIRE(fabs(found - expected) <= 4e-15);
    }
}

/* Weights of every net depend on these: they must be the same with each compiler and processor. */
BDL_TEST(normal_bits_never_change)
{
    bdl__rng rng;
    bdl__rng_init(&rng, 42, BDL__RNG_INIT, 0, 0);
    static double values[10000];
    for (int64_t i = 0; i < BDL__COUNT_OF(values); i++) {
        values[i] = bdl__rng_normal(&rng);
    }
    const bdl__key key = bdl__hash128(values, sizeof values);
    CHECK_EQ_I64(key.high, UINT64_C(0x3D1FB9C18F25AE71));
    CHECK_EQ_I64(key.low, UINT64_C(0x99BFD9566FF0A026));
}

BDL_TEST(below_is_unbiased_and_in_range)
{
    enum { N = 60000 };
    bdl__rng rng;
    bdl__rng_init(&rng, 42, BDL__RNG_TEST, 3, 0);
    int counts[6] = {0};
    for (int i = 0; i < N; i++) {
        const uint64_t x = bdl__rng_below(&rng, 6);
        REQUIRE(x < 6);
        counts[x]++;
    }
    for (int i = 0; i < 6; i++) {
        CHECK_NEAR(counts[i], N / 6, 5 * sqrt(N * 5.0 / 36));
    }
    /* Of n = 3 * 2^62, a plain remainder would give the lowest third twice as often. */
    const uint64_t n = UINT64_C(3) << 62;
    int n_low = 0;
    for (int i = 0; i < 3000; i++) {
        n_low += bdl__rng_below(&rng, n) < n / 3;
    }
    CHECK_NEAR(n_low, 1000, 5 * 26);
    CHECK_EQ_I64(bdl__rng_below(&rng, 1), 0);
    CHECK_EQ_I64(bdl__rng_below(&rng, 0), 0);
}

BDL_TEST_MAIN(philox_matches_the_published_vectors, numbers_are_philox_blocks_in_order,
              streams_differ_in_every_part_of_their_name,
              uniform_is_in_range_with_the_right_moments, normal_has_the_right_moments_and_tails,
              normal_is_box_muller_to_the_last_digits, normal_bits_never_change,
              below_is_unbiased_and_in_range)
