#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ctest: long timeout=3600 serial
"""Every fuzzer of tests/fuzz must find the bug that BDL_SEEDED_BUGS puts into its reader.

    tests/strength/test_seeded_bugs.py [--seed N]

A build with Clang in build/seeded_bugs has a bug for each reader behind that macro. Each fuzzer starts from those inputs
of the committed corpus that do not show the bug, of which there must be some, and must crash within the time; the input
that it found must not crash the fuzzer of the build without the bugs (build/unseeded), or it would have found something
else. Kernels, which no reader runs, are compiled without sanitizers: with them they would take most of the time.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
FOUND = os.path.join(BUILD, "seeded_bugs/found")
SECONDS = 300  # at most; a few do
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_stack_use_after_return=1:allocator_may_return_null=1")


def build(name, seeded, targets):
    there = os.path.join(BUILD, name)
    subprocess.run(["cmake", "-S", ROOT, "--preset", "ci-clang-asan", "-B", there, "-DBDL_SANITIZE_KERNELS=OFF",
                    f"-DBDL_SEEDED_BUGS={seeded}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", there, "--target", *targets], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(there, "tests/fuzz")


def run(command):
    return subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)


def copy_survived(fuzzer, corpus, to):
    """Copies the inputs that do not show the bug: the others would leave the fuzzer nothing to look for. (how many, of)"""
    paths = [os.path.join(corpus, name) for name in sorted(os.listdir(corpus))]
    survived = [path for path in paths if run([fuzzer, path]).returncode == 0]
    for path in survived:
        shutil.copy(path, to)
    return len(survived), len(paths)


def hunt(fuzzer, with_bugs, without_bugs, seed):
    """(whether the fuzzer found the seeded bug and nothing else, what there is to say)"""
    name = fuzzer.replace("fuzz_", "")
    found = os.path.join(FOUND, name)
    shutil.rmtree(found, ignore_errors=True)
    corpus = os.path.join(found, "corpus")
    os.makedirs(corpus)
    n_used, n = copy_survived(os.path.join(with_bugs, fuzzer), os.path.join(ROOT, "tests/fuzz/corpus", name), corpus)
    if n_used == 0:
        return False, f"all {n} inputs of the corpus show the bug"
    begin = time.monotonic()
    result = run([os.path.join(with_bugs, fuzzer), f"-seed={seed}", f"-max_total_time={SECONDS}", "-timeout=10",
                  "-rss_limit_mb=2048", f"-artifact_prefix={found}/", corpus])
    seconds = time.monotonic() - begin
    crashes = glob.glob(found + "/crash-*")
    if result.returncode == 0 or not crashes:
        return False, f"did not find the seeded bug in {SECONDS} s:\n{result.stdout[-2000:]}"
    clean = run([os.path.join(without_bugs, fuzzer), crashes[0]])
    if clean.returncode != 0:
        return False, f"found a bug that was not seeded:\n{clean.stdout[-4000:]}"
    summary = re.search(r"^SUMMARY: (.*)", result.stdout, re.M)
    what = summary.group(1).replace(ROOT + "/", "") if summary else "crash"
    return True, f"found after {seconds:.1f} s from {n_used} of {n} inputs: {what}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzers' random numbers")
    seed = parser.parse_args().seed
    fuzzers = sorted(os.path.splitext(os.path.basename(f))[0] for f in glob.glob(ROOT + "/tests/fuzz/fuzz_*.c"))
    with_bugs = build("seeded_bugs", "ON", fuzzers)
    without_bugs = build("unseeded", "OFF", fuzzers)
    n_failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda f: hunt(f, with_bugs, without_bugs, seed), fuzzers)
        for fuzzer, (is_found, text) in zip(fuzzers, results):
            n_failed += not is_found
            print(f"{'ok' if is_found else 'FAIL'} {fuzzer}: {text}", flush=True)
    print(f"{len(fuzzers) - n_failed} passed, {n_failed} failed")
    sys.exit(n_failed > 0 or not fuzzers)


if __name__ == "__main__":
    main()
