#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests in stages:  tools/test.sh [--long] [STAGE...]
#   gcc      GCC, release: all tests
#   clang    Clang with AddressSanitizer and UndefinedBehaviorSanitizer: all C tests, each fuzzer for 10 s
#   tsan     GCC with ThreadSanitizer, without oneDNN: the tests labelled "threads"
#   aarch64  cross-compiled without oneDNN and images, under qemu-user: C tests on their smallest shapes
#   wheel    the Python wheel: built, checked, installed, built again
#   spark    bdl.spark: Spark's local mode, a standalone cluster, Spark Connect
#   onednn   the newest ready-made oneDNN: layer tests
# --long adds tests labelled "long" and fuzzes for ten minutes each. Ends with the skipped tests, the seconds of each stage and
# the line "N passed, N failed"; fails if a test or a stage failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all_stages=(gcc clang tsan aarch64 wheel spark onednn)
fuzz_seconds=10
spark_label='^spark$'
spark_not_labelled=(-LE '^long$')
not_labelled=(-LE '^(long|wheel|spark|spark_oldest)$')
if [ "${1:-}" = --long ]; then
    fuzz_seconds=600
    spark_label='^spark(_oldest)?$' # the oldest pyspark, too
    spark_not_labelled=()
    not_labelled=(-LE '^(wheel|spark|spark_oldest)$')
    shift
fi
stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=("${all_stages[@]}")
jobs=${JOBS:-$(nproc)}
results=$PWD/build/results
rm -rf "$results"
mkdir -p "$results"

# build PRESET [CMAKE OPTION...]
build() {
    local preset=$1
    shift
    if ! cmake --preset "$preset" "$@" > "$results/configure.log" 2>&1; then
        cat "$results/configure.log"
        return 1
    fi
    cmake --build "build/$preset" -j "$jobs"
}

# run PRESET STAGE [CTEST OPTION...]: the exit status says whether ctest itself could run; failures are in the results.
run() {
    local preset=$1 stage=$2
    shift 2
    ${ctest_prefix[@]+"${ctest_prefix[@]}"} ctest --test-dir "build/$preset" -j "$jobs" --output-on-failure --no-tests=ignore ${not_labelled[@]+"${not_labelled[@]}"} "$@" \
        --test-output-size-passed 4000000 --test-output-size-failed 4000000 \
        --output-junit "$results/$stage.xml"
    [ -s "$results/$stage.xml" ]
}

stage_gcc() {
    build ci-gcc -DBDL_ONEDNN_LIBRARY= -DBDL_ONEDNN_INCLUDE= && run ci-gcc gcc
}

stage_clang() {
    build ci-clang-asan -DBDL_FUZZ_SECONDS=$fuzz_seconds && run ci-clang-asan clang -L '^(unit|layers|golden|api|fuzz)$'
}

# Without address space randomization, which GCC's ThreadSanitizer does not understand on newer kernels.
stage_tsan() {
    local ctest_prefix=(setarch "$(uname -m)" -R)
    build ci-gcc-tsan && BDL_TEST_SMALL=1 run ci-gcc-tsan tsan -L '^threads$'
}

stage_aarch64() {
    tools/get_sysroot build/sysroot-arm64 && build ci-aarch64 &&
        BDL_TEST_SMALL=1 run ci-aarch64 aarch64 -L '^(unit|layers|golden|api)$' &&
        echo "aarch64: $(tools/test_totals.py --count "$results/aarch64.xml") cases ran under qemu-user"
}

stage_wheel() {
    local not_labelled=()
    tools/make_wheel && build ci-gcc -DBDL_ONEDNN_LIBRARY= -DBDL_ONEDNN_INCLUDE= &&
        run ci-gcc wheel -L '^wheel$'
}

# One test at a time: each starts Java processes that use all processors.
stage_spark() {
    local jobs=1 not_labelled=(${spark_not_labelled[@]+"${spark_not_labelled[@]}"})
    build ci-gcc -DBDL_ONEDNN_LIBRARY= -DBDL_ONEDNN_INCLUDE= && run ci-gcc spark -L "$spark_label"
}

# Rebuilds libbdl_dnnl.so of the first stage against the other oneDNN, and nothing else.
stage_onednn() {
    if ! ls src/dnnl/*.c > /dev/null 2>&1; then
        echo "onednn: nothing to test, src/dnnl has no sources"
        return 0
    fi
    local there=$PWD/build/onednn-newest
    tools/get_onednn --newest "$there" &&
        build ci-gcc -DBDL_ONEDNN_LIBRARY="$there/lib/libdnnl.so" -DBDL_ONEDNN_INCLUDE="$there/include" &&
        run ci-gcc onednn -L '^layers$'
}

for stage in "${stages[@]}"; do
    if ! declare -F "stage_$stage" > /dev/null; then
        echo "test.sh: no stage $stage; there are: ${all_stages[*]}" >&2
        exit 2
    fi
done
for stage in "${stages[@]}"; do
    echo "==== $stage"
    start=$SECONDS
    "stage_$stage"
    status=$?
    [ $status -eq 0 ] || echo "==== stage $stage failed before or while running its tests"
    echo "$stage $((SECONDS - start)) $status" >> "$results/stages"
done
echo "==== results"
exec tools/test_totals.py "$results"
