/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which kernel target runs here, and what the machine and its control groups offer. AVX2 means
 * x86-64-v3 and AVX-512 means x86-64-v4, as the kernels are compiled for these; the compiler's
 * feature test includes the operating system's support.
 */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/cpu.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

typedef struct target_row {
    const char *name;
    int lanes;
} target_row;

static const target_row targets[BDL__N_TARGETS] = {
#define TARGET_ROW(upper, lower, n_lanes) {.name = #lower, .lanes = n_lanes},
    BDL__TARGET_LIST(TARGET_ROW)
#undef TARGET_ROW
};

const char *bdl__target_name(bdl__target target)
{
    return targets[target].name;
}

int bdl__target_lanes(bdl__target target)
{
    return targets[target].lanes;
}

/* ---- features */

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd");
}
#endif

/* The value of the first "key : value" line of /proc/cpuinfo; empty if there is none. */
static void read_cpuinfo(const char *key, char *value, size_t size)
{
    value[0] = '\0';
    FILE *const file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) {
        return;
    }
    char line[8192];
    while (fgets(line, sizeof line, file) != NULL) {
        const size_t n = strlen(key);
        if (strncmp(line, key, n) == 0 && (line[n] == '\t' || line[n] == ' ' || line[n] == ':')) {
            const char *p = strchr(line, ':');
            p = p == NULL ? "" : p + 1 + strspn(p + 1, " \t");
            (void)snprintf(value, size, "%.*s", (int)strcspn(p, "\n"), p);
            break;
        }
    }
    (void)fclose(file);
}

#if defined(__x86_64__)
static bool has_word(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (const char *p = strstr(words, word); p != NULL; p = strstr(p + n, word)) {
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) {
            return true;
        }
    }
    return false;
}

static void query_features(bdl__cpu_info *info)
{
    char flags[8192];
    read_cpuinfo("flags", flags, sizeof flags);
    info->sse42 = __builtin_cpu_supports("sse4.2") != 0;
    info->fma = __builtin_cpu_supports("fma") != 0;
    info->avx2 = has_avx2() && (flags[0] == '\0' || has_word(flags, "f16c"));
    info->avx512 = info->avx2 && has_avx512();
    info->avx512_bf16 = info->avx512 && __builtin_cpu_supports("avx512bf16") != 0;
    info->amx_bf16 = info->avx512 && has_word(flags, "amx_tile") && has_word(flags, "amx_bf16");
}
#elif defined(__aarch64__)
static void query_features(bdl__cpu_info *info)
{
    info->neon = true; /* part of the architecture */
    info->fma = true;
}
#else
static void query_features(bdl__cpu_info *info BDL__UNUSED)
{
}
#endif

bool bdl__target_available(bdl__target target)
{
    bdl__cpu_info info = {.n_online = 0};
    query_features(&info);
    switch (target) {
    case BDL__TARGET_SSE4:
        return info.sse42;
    case BDL__TARGET_AVX2:
        return info.avx2;
    case BDL__TARGET_AVX512:
        return info.avx512;
    case BDL__TARGET_NEON:
        return info.neon;
    case BDL__TARGET_LANE1:
    case BDL__TARGET_F64:
        return true;
    case BDL__N_TARGETS:
        break;
    }
    return false;
}

/* "sse4, avx2, lane1, f64": what can run here. */
static void list_available(char *buffer, size_t size)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int i = 0; i < BDL__N_TARGETS && used < size; i++) {
        if (bdl__target_available((bdl__target)i)) {
            const int n = snprintf(buffer + used, size - used, "%s%s", used == 0 ? "" : ", ",
                                   targets[i].name);
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

bdl_status bdl__target_from_name(const char *name, bdl__target *target)
{
    char names[128];
    list_available(names, sizeof names);
    for (int i = 0; i < BDL__N_TARGETS; i++) {
        if (strcmp(targets[i].name, name) == 0) {
            BDL__CHECK(bdl__target_available((bdl__target)i), BDL_ERR_UNSUPPORTED,
                       "kernel target '%s' cannot run here; expected one of %s", name, names);
            *target = (bdl__target)i;
            return BDL_OK;
        }
    }
    return bdl__fail(BDL_ERR_INVALID_ARGUMENT, "unknown kernel target '%.60s'; expected one of %s",
                     name, names);
}

bdl_status bdl__target_choose(bdl__target *target)
{
    static const bdl__target best_first[] = {BDL__TARGET_AVX512, BDL__TARGET_AVX2, BDL__TARGET_SSE4,
                                             BDL__TARGET_NEON};
    const char *const wanted = getenv("BDL_TARGET");
    if (wanted != NULL && wanted[0] != '\0') {
        const bdl_status status = bdl__target_from_name(wanted, target);
        return status == BDL_OK ? status : bdl__fail_in(status, "BDL_TARGET");
    }
    for (int64_t i = 0; i < BDL__COUNT_OF(best_first); i++) {
        if (bdl__target_available(best_first[i])) {
            *target = best_first[i];
            return BDL_OK;
        }
    }
    return bdl__fail(BDL_ERR_UNSUPPORTED,
                     "this processor lacks SSE4.2, the least that bdl's kernels need");
}

/* ---- control groups */

/* The first word of a small file as a number, and the second if `second` is given. */
static bool read_numbers(const char *directory, const char *file_name, double *first,
                         double *second)
{
    char path[PATH_MAX];
    char text[128] = "";
    char a[64] = "";
    char b[64] = "";
    const int n = snprintf(path, sizeof path, "%s/%s", directory, file_name);
    if (n < 0 || (size_t)n >= sizeof path) {
        return false;
    }
    FILE *const file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    const bool has_line = fgets(text, sizeof text, file) != NULL;
    (void)fclose(file);
    if (!has_line || sscanf(text, "%63s %63s", a, b) < (second == NULL ? 1 : 2)) {
        return false;
    }
    char *end = NULL;
    *first = strtod(a, &end);
    if (*a == '\0' || *end != '\0') {
        return false; /* "max" */
    }
    if (second != NULL) {
        *second = strtod(b, &end);
        return *b != '\0' && *end == '\0';
    }
    return true;
}

static void lower_cpus(double quota, double period, double *cpus)
{
    if (quota > 0 && period > 0 && (*cpus == 0 || quota / period < *cpus)) {
        *cpus = quota / period;
    }
}

/* Version 1 says "none" by a number near 2^63. */
static void lower_memory(double bytes, int64_t *memory)
{
    if (bytes > 0 && bytes < 0x1p60 && (*memory == 0 || bytes < (double)*memory)) {
        *memory = (int64_t)bytes;
    }
}

static void read_group(const char *directory, double *cpus, int64_t *memory)
{
    double a = 0;
    double b = 0;
    if (read_numbers(directory, "cpu.max", &a, &b)) {
        lower_cpus(a, b, cpus);
    }
    if (read_numbers(directory, "cpu.cfs_quota_us", &a, NULL) &&
        read_numbers(directory, "cpu.cfs_period_us", &b, NULL)) {
        lower_cpus(a, b, cpus);
    }
    if (read_numbers(directory, "memory.max", &a, NULL)) {
        lower_memory(a, memory);
    }
    if (read_numbers(directory, "memory.limit_in_bytes", &a, NULL)) {
        lower_memory(a, memory);
    }
}

/* Reads the group `group` ("/a/b") of the hierarchy at root/controller, and its ancestors. In a
 * container the path is often the host's and does not exist: the ancestors that do still count. */
static void read_hierarchy(const char *root, const char *controller, const char *group,
                           double *cpus, int64_t *memory)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s%s%s%s", root, controller[0] == '\0' ? "" : "/",
                           controller, group);
    if (n < 0 || (size_t)n >= sizeof path) {
        return;
    }
    const size_t base = (size_t)n - strlen(group);
    for (;;) {
        read_group(path, cpus, memory);
        char *const slash = strrchr(path + base, '/');
        if (slash == NULL) {
            return;
        }
        *slash = '\0';
    }
}

/* One line "4:cpu,cpuacct:/group" or "0::/group". */
static void read_line(const char *line, const char *root, double *cpus, int64_t *memory)
{
    char controllers[256] = "";
    char group[PATH_MAX] = "";
    const char *const first = strchr(line, ':');
    const char *const second = first == NULL ? NULL : strchr(first + 1, ':');
    if (second == NULL || (size_t)(second - first) > sizeof controllers) {
        return;
    }
    memcpy(controllers, first + 1, (size_t)(second - first) - 1);
    (void)snprintf(group, sizeof group, "%.*s", (int)strcspn(second + 1, "\n"), second + 1);
    if (controllers[0] == '\0') {
        read_hierarchy(root, "", group, cpus, memory);
        read_hierarchy(root, "unified", group, cpus, memory);
        return;
    }
    read_hierarchy(root, controllers, group, cpus, memory); /* "cpu,cpuacct" */
    char *rest = NULL;
    for (char *p = strtok_r(controllers, ",", &rest); p != NULL; p = strtok_r(NULL, ",", &rest)) {
        if (strcmp(p, "cpu") == 0 || strcmp(p, "memory") == 0) {
            read_hierarchy(root, p, group, cpus, memory);
        }
    }
}

void bdl__cgroup_limits(const char *self, const char *root, double *cpus, int64_t *memory)
{
    *cpus = 0;
    *memory = 0;
    for (const char *line = self; *line != '\0';) {
        read_line(line, root, cpus, memory);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}

static void query_cgroup(double *cpus, int64_t *memory)
{
    char self[16384];
    *cpus = 0;
    *memory = 0;
    FILE *const file = fopen("/proc/self/cgroup", "re");
    if (file != NULL) {
        const size_t n = fread(self, 1, sizeof self - 1, file);
        (void)fclose(file);
        self[n] = '\0';
        bdl__cgroup_limits(self, "/sys/fs/cgroup", cpus, memory);
    }
}

/* ---- the machine */

/* Processors in the affinity mask. A machine may have more than a cpu_set_t holds (1,024). */
static int count_online(void)
{
    for (int n_most = 1024; n_most <= 1 << 18; n_most *= 4) {
        cpu_set_t *const set = CPU_ALLOC((size_t)n_most);
        if (set == NULL) {
            break;
        }
        const size_t size = CPU_ALLOC_SIZE((size_t)n_most);
        const bool ok = sched_getaffinity(0, size, set) == 0;
        const int n = ok ? CPU_COUNT_S(size, set) : 0;
        const bool too_small = !ok && errno == EINVAL;
        CPU_FREE(set);
        if (n > 0) {
            return n;
        }
        if (!too_small) {
            break;
        }
    }
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

static int64_t query_l2(void)
{
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (bytes > 0) {
        return bytes;
    }
#endif
    char text[32] = "";
    FILE *const file = fopen("/sys/devices/system/cpu/cpu0/cache/index2/size", "re");
    if (file == NULL) {
        return 0;
    }
    const bool has_line = fgets(text, sizeof text, file) != NULL;
    (void)fclose(file);
    const long kib = has_line ? strtol(text, NULL, 10) : 0; /* "1024K" */
    return kib > 0 && kib < 1 << 20 ? (int64_t)kib * 1024 : 0;
}

void bdl__cpu_query(bdl__cpu_info *info)
{
    *info = (bdl__cpu_info){.n_online = count_online(), .l2_bytes = query_l2()};
    query_features(info);
    query_cgroup(&info->cgroup_cpus, &info->cgroup_memory);
    read_cpuinfo("model name", info->model, sizeof info->model);
    if (info->model[0] == '\0') {
        read_cpuinfo("Hardware", info->model, sizeof info->model);
    }
    if (info->model[0] == '\0') {
        (void)snprintf(info->model, sizeof info->model, "unknown processor");
    }
}

int bdl__cpu_usable(void)
{
    const int n_online = count_online();
    double cpus = 0;
    int64_t memory = 0;
    query_cgroup(&cpus, &memory);
    if (cpus > 0 && cpus < n_online) {
        const int whole = (int)cpus;
        return whole < cpus ? whole + 1 : whole;
    }
    return n_online;
}

int64_t bdl__memory_usable(void)
{
    bdl__cpu_info info;
    bdl__cpu_query(&info);
    const int64_t installed = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    return info.cgroup_memory > 0 && info.cgroup_memory < installed ? info.cgroup_memory : installed;
}
