/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel targets and what the machine offers. */
#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "test.h"

BDL_TEST(targets_have_names_and_lanes)
{
    CHECK_STR_EQ(bdl__target_name(BDL__TARGET_AVX512), "avx512");
    CHECK_EQ_I64(bdl__target_lanes(BDL__TARGET_AVX512), 16);
    CHECK_STR_EQ(bdl__target_name(BDL__TARGET_LANE1), "lane1");
    CHECK_EQ_I64(bdl__target_lanes(BDL__TARGET_LANE1), 1);
    CHECK(bdl__target_available(BDL__TARGET_LANE1) && bdl__target_available(BDL__TARGET_F64));
}

BDL_TEST(targets_agree_with_the_processor)
{
    bdl__cpu_info info;
    bdl__cpu_query(&info);
    CHECK_EQ_I64(bdl__target_available(BDL__TARGET_AVX2), info.avx2);
    CHECK_EQ_I64(bdl__target_available(BDL__TARGET_AVX512), info.avx512);
    CHECK_EQ_I64(bdl__target_available(BDL__TARGET_NEON), info.neon);
    CHECK(!info.avx512 || info.avx2);
    CHECK(!info.avx2 || (info.sse42 && info.fma));
    CHECK(!info.avx512_bf16 || info.avx512);
    CHECK(!(info.neon && info.sse42));
    CHECK(info.n_online >= 1);
    CHECK(info.model[0] != '\0');
    CHECK(info.l2_bytes >= 0 && info.cgroup_cpus >= 0 && info.cgroup_memory >= 0);
    CHECK(bdl__cpu_usable() >= 1 && bdl__cpu_usable() <= info.n_online);
}

BDL_TEST(best_target_is_chosen_or_the_named_one)
{
    bdl__target target = BDL__TARGET_F64;
    REQUIRE(unsetenv("BDL_TARGET") == 0);
    REQUIRE_OK(bdl__target_choose(&target));
    CHECK(bdl__target_available(target) && bdl__target_lanes(target) >= 4);
    for (int i = 0; i < BDL__N_TARGETS; i++) {
        if (bdl__target_lanes((bdl__target)i) > bdl__target_lanes(target)) {
            CHECK(!bdl__target_available((bdl__target)i));
        }
    }
    REQUIRE(setenv("BDL_TARGET", "lane1", 1) == 0);
    REQUIRE_OK(bdl__target_choose(&target));
    CHECK_EQ_I64(target, BDL__TARGET_LANE1);
    REQUIRE(setenv("BDL_TARGET", "avx1024", 1) == 0);
    CHECK_EQ_I64(bdl__target_choose(&target), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(),
                  "BDL_TARGET: unknown kernel target 'avx1024'; expected one of ");
    CHECK_STR_HAS(bdl_last_error(), "lane1, f64");
    CHECK_EQ_I64(target, BDL__TARGET_LANE1);
    const bdl__target foreign =
        bdl__target_available(BDL__TARGET_NEON) ? BDL__TARGET_SSE4 : BDL__TARGET_NEON;
    CHECK_EQ_I64(bdl__target_from_name(bdl__target_name(foreign), &target), BDL_ERR_UNSUPPORTED);
    CHECK_STR_HAS(bdl_last_error(), "cannot run here");
    REQUIRE(unsetenv("BDL_TARGET") == 0);
}

static void put(const char *directory, const char *name, const char *text)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    const char *parent = NULL;
    const char *path = NULL;
    REQUIRE_OK(bdl__path_join(&arena, bdl_test_dir(), directory, &parent));
    REQUIRE_OK(bdl__make_directories(parent));
    REQUIRE_OK(bdl__path_join(&arena, parent, name, &path));
    REQUIRE_OK(bdl__file_write(path, text, strlen(text)));
    bdl__arena_free(&arena);
}

BDL_TEST(cgroup_v2_limits_are_the_least_of_the_ancestors)
{
    double cpus = 7;
    int64_t memory = 7;
    put(".", "cgroup.procs", "");
    put("pod", "cpu.max", "250000 100000\n");
    put("pod", "memory.max", "max\n");
    put("pod/job", "cpu.max", "max 100000\n");
    put("pod/job", "memory.max", "8589934592\n");
    bdl__cgroup_limits("0::/pod/job\n", bdl_test_dir(), &cpus, &memory);
    CHECK_NEAR(cpus, 2.5, 0);
    CHECK_EQ_I64(memory, INT64_C(8589934592));
    bdl__cgroup_limits("0::/pod", bdl_test_dir(), &cpus, &memory);
    CHECK_NEAR(cpus, 2.5, 0);
    CHECK_EQ_I64(memory, 0);
    bdl__cgroup_limits("0::/\n", bdl_test_dir(), &cpus, &memory);
    CHECK_NEAR(cpus, 0, 0);
}

BDL_TEST(cgroup_v1_limits_are_read_inside_a_container_too)
{
    double cpus = 0;
    int64_t memory = 0;
    put("cpu,cpuacct", "cpu.cfs_quota_us", "150000\n");
    put("cpu,cpuacct", "cpu.cfs_period_us", "100000\n");
    put("memory", "memory.limit_in_bytes", "9223372036854771712\n");
    put("memory/job", "memory.limit_in_bytes", "1048576\n");
    put("cpu/alone", "cpu.cfs_quota_us", "-1\n");
    put("cpu/alone", "cpu.cfs_period_us", "100000\n");
    bdl__cgroup_limits("9:name=systemd:/\n"
                       "4:memory:/job\n"
                       "3:cpu,cpuacct:/docker/0123456789abcdef\n"
                       "0::/\n",
                       bdl_test_dir(), &cpus, &memory);
    CHECK_NEAR(cpus, 1.5, 0);
    CHECK_EQ_I64(memory, 1048576);
    bdl__cgroup_limits("4:memory:/\n3:cpu:/alone\n", bdl_test_dir(), &cpus, &memory);
    CHECK_NEAR(cpus, 0, 0);
    CHECK_EQ_I64(memory, 0);
    bdl__cgroup_limits("rubbish\n:::\n\n5", bdl_test_dir(), &cpus, &memory);
    CHECK_NEAR(cpus, 0, 0);
}

BDL_TEST_MAIN(targets_have_names_and_lanes, targets_agree_with_the_processor,
              best_target_is_chosen_or_the_named_one,
              cgroup_v2_limits_are_the_least_of_the_ancestors,
              cgroup_v1_limits_are_read_inside_a_container_too)
