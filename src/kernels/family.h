/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a family of kernels is declared once and reached from outside. The family's header lists its
 * kernels in an X-macro, with `real`, `scalar` and `r_int` as element types:
 *
 *     #define BDL__LINEAR_KERNELS(X)                                                              \
 *         X(linear_forward, (const real *src, const scalar *weights, real *dst, int64_t n))
 *     BDL__KERNEL_FAMILY(linear, BDL__LINEAR_KERNELS)
 *
 * The kernel file, compiled once per target, ends with BDL__KERNEL_TABLE(linear, BDL__LINEAR_KERNELS).
 * Layers call bdl__linear_kernels(target)->linear_forward(...). They see reals as opaque, because a real
 * is a different type on every target; parameters travel as `double` and are converted in the kernel.
 */
#ifndef BDL_KERNELS_FAMILY_H
#define BDL_KERNELS_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

#if defined(BDL_TARGET_SSE4) || defined(BDL_TARGET_AVX2) || defined(BDL_TARGET_AVX512) ||          \
    defined(BDL_TARGET_NEON) || defined(BDL_TARGET_LANE1) || defined(BDL_TARGET_F64)
#include "kernels/real.h"
#else
typedef struct bdl__opaque_real real;
typedef struct bdl__opaque_scalar scalar;
typedef int32_t r_int;
#endif

#if defined(__x86_64__)
#define BDL__BUILT_TARGETS(X, family) X(SSE4, sse4, family) X(AVX2, avx2, family) X(AVX512, avx512, family) \
    X(LANE1, lane1, family) X(F64, f64, family)
#else
#define BDL__BUILT_TARGETS(X, family) X(NEON, neon, family) X(LANE1, lane1, family) X(F64, f64, family)
#endif

#define BDL__KERNEL_MEMBER(name, arguments) void(*name) arguments;
#define BDL__KERNEL_PROTOTYPE(name, arguments) void K(name) arguments;
#define BDL__KERNEL_ENTRY(name, arguments) .name = K(name),
#define BDL__KERNEL_EXTERN(upper, lower, family)                                                   \
    extern const struct bdl__##family##_kernels bdl__##family##_kernels_##lower;
#define BDL__KERNEL_CASE(upper, lower, family)                                                     \
    case BDL__TARGET_##upper:                                                                      \
        return &bdl__##family##_kernels_##lower;

/* The struct of a family's kernels, and the function that finds it by target (NULL if not built). */
#define BDL__KERNEL_FAMILY(family, LIST)                                                           \
    struct bdl__##family##_kernels {                                                               \
        LIST(BDL__KERNEL_MEMBER)                                                                   \
    };                                                                                             \
    BDL__BUILT_TARGETS(BDL__KERNEL_EXTERN, family)                                                 \
    BDL__UNUSED static inline const struct bdl__##family##_kernels *bdl__##family##_kernels(       \
        bdl__target target)                                                                        \
    {                                                                                              \
        switch ((int)target) {                                                                     \
            BDL__BUILT_TARGETS(BDL__KERNEL_CASE, family)                                           \
        default:                                                                                   \
            return NULL;                                                                           \
        }                                                                                          \
    }

/* In a kernel file: declares the family's kernels before their definitions ... */
#define BDL__KERNEL_DECLARE(LIST) LIST(BDL__KERNEL_PROTOTYPE)

/* ... and, at the end, the table of this target. */
#define BDL__KERNEL_TABLE(family, LIST)                                                            \
    const struct bdl__##family##_kernels R_PASTE(bdl__##family##_kernels, R_TARGET) = {            \
        LIST(BDL__KERNEL_ENTRY)};

#endif
