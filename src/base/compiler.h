/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler extensions that bdl uses outside the kernels, under names of its own. */
#ifndef BDL_BASE_COMPILER_H
#define BDL_BASE_COMPILER_H

#include <stdint.h>

#define BDL__PRINTF(i_format, i_first) __attribute__((format(printf, i_format, i_first)))
#define BDL__UNUSED __attribute__((unused))
#define BDL__NODISCARD __attribute__((warn_unused_result))
#define BDL__LIKELY(x) __builtin_expect(!!(x), 1)
#define BDL__UNLIKELY(x) __builtin_expect(!!(x), 0)
#define BDL__COUNT_OF(array) ((int64_t)(sizeof(array) / sizeof((array)[0])))
#define BDL__MIN(a, b) ((a) < (b) ? (a) : (b))
#define BDL__MAX(a, b) ((a) > (b) ? (a) : (b))

/* Under AddressSanitizer: makes memory that nobody may touch an error, and usable again. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BDL__HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define BDL__HAVE_ASAN 1
#endif
#if defined(BDL__HAVE_ASAN)
#include <sanitizer/asan_interface.h>
#define BDL__POISON(memory, size) __asan_poison_memory_region((memory), (size))
#define BDL__UNPOISON(memory, size) __asan_unpoison_memory_region((memory), (size))
#define BDL__RED_ZONE 16
#else
#define BDL__POISON(memory, size) ((void)(memory), (void)(size))
#define BDL__UNPOISON(memory, size) ((void)(memory), (void)(size))
#define BDL__RED_ZONE 0
#endif

/* Asks for the cache line of an address that will be read soon. */
#define BDL__PREFETCH(address) __builtin_prefetch((address), 0, 3)

/* Tells the processor that a loop only waits for another thread. */
#if defined(__x86_64__)
#define BDL__CPU_RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define BDL__CPU_RELAX() __asm__ volatile("isb" ::: "memory")
#else
#define BDL__CPU_RELAX() ((void)0)
#endif

/* This thread's floating point control register (rounding, denormals, traps). */
static inline uint64_t bdl__fp_control_get(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_stmxcsr();
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
#else
    return 0;
#endif
}

static inline void bdl__fp_control_set(uint64_t control)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr((unsigned)control);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
#else
    (void)control;
#endif
}

#endif
