/* SPDX-License-Identifier: Apache-2.0 */
/* What this processor can do, and which kernel target is used on it. */
#ifndef BDL_BASE_CPU_H
#define BDL_BASE_CPU_H

#include "base/status.h"

/* Kernel targets (see kernels/real.h): name, lanes. LANE1 and F64 are never chosen by the CPU. */
#define BDL__TARGET_LIST(X)                                                                        \
    X(SSE4, sse4, 4)                                                                               \
    X(AVX2, avx2, 8)                                                                               \
    X(AVX512, avx512, 16)                                                                          \
    X(NEON, neon, 4)                                                                               \
    X(LANE1, lane1, 1)                                                                             \
    X(F64, f64, 1)

typedef enum bdl__target {
#define BDL__TARGET_ENUM(upper, lower, lanes) BDL__TARGET_##upper,
    BDL__TARGET_LIST(BDL__TARGET_ENUM)
#undef BDL__TARGET_ENUM
        BDL__N_TARGETS
} bdl__target;

const char *bdl__target_name(bdl__target target);
int bdl__target_lanes(bdl__target target);
/* Whether this build has the target and this processor runs it. */
bool bdl__target_available(bdl__target target);
/* The best target here, or the one that the environment variable BDL_TARGET names (an error if it is
 * unknown or cannot run here; the text lists what can). */
bdl_status bdl__target_choose(bdl__target *target);
bdl_status bdl__target_from_name(const char *name, bdl__target *target);

typedef struct bdl__cpu_info {
    char model[64]; /* "AMD EPYC ..." */
    bool sse42, avx2, fma, avx512, avx512_bf16, amx_bf16, neon;
    int n_online;          /* processors this process may run on (affinity) */
    double cgroup_cpus;    /* quota in processors, 0 = none */
    int64_t cgroup_memory; /* bytes, 0 = none */
    int64_t l2_bytes;      /* of one processor, 0 = unknown */
} bdl__cpu_info;

void bdl__cpu_query(bdl__cpu_info *info);

/* Processors that this process can keep busy: affinity and quota (rounded up), at least 1. */
int bdl__cpu_usable(void);

/* Bytes of memory that this process may use: the machine's, or its control group's limit. */
int64_t bdl__memory_usable(void);

/* The limits of the control groups (v1 and v2) that `self`, the text of /proc/self/cgroup, names
 * under the directory `root` ("/sys/fs/cgroup"); the least along each group's ancestors counts. */
void bdl__cgroup_limits(const char *self, const char *root, double *cpus, int64_t *memory);

#endif
