#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ctest: long timeout=3600 serial
"""Every fuzzer of tests/fuzz must find the bug that BDL_SEEDED_BUGS puts into its reader.

A build with Clang in build/seeded_bugs has a bug for each reader behind that macro. Each fuzzer starts from the committed
corpus and must crash within the time; the input that it found must not crash the fuzzer of the build without the bugs
(build/ci-clang-asan), or it would have found something else.
"""

import glob
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
FOUND = os.path.join(BUILD, "seeded_bugs/found")
SECONDS = 120
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_stack_use_after_return=1:allocator_may_return_null=1")


def build(name, seeded, targets):
    there = os.path.join(BUILD, name)
    subprocess.run(["cmake", "-S", ROOT, "--preset", "ci-clang-asan", "-B", there, f"-DBDL_SEEDED_BUGS={seeded}"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", there, "--target", *targets], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(there, "tests/fuzz")


def run(command):
    return subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)


def hunt(fuzzer, name, with_bugs, without_bugs):
    """None where the fuzzer found the seeded bug and nothing else, or what went wrong."""
    found = os.path.join(FOUND, name)
    shutil.rmtree(found, ignore_errors=True)
    os.makedirs(os.path.join(found, "corpus"))
    result = run([os.path.join(with_bugs, fuzzer), f"-max_total_time={SECONDS}", "-timeout=10", "-rss_limit_mb=2048",
                  f"-artifact_prefix={found}/", os.path.join(found, "corpus"),
                  os.path.join(ROOT, "tests/fuzz/corpus", name)])
    crashes = glob.glob(found + "/crash-*")
    if result.returncode == 0 or not crashes:
        return f"did not find the seeded bug in {SECONDS} s:\n{result.stdout[-2000:]}"
    clean = run([os.path.join(without_bugs, fuzzer), crashes[0]])
    if clean.returncode != 0:
        return f"found a bug that was not seeded:\n{clean.stdout[-4000:]}"
    return None


def main():
    fuzzers = sorted(os.path.splitext(os.path.basename(f))[0] for f in glob.glob(ROOT + "/tests/fuzz/fuzz_*.c"))
    with_bugs = build("seeded_bugs", "ON", fuzzers)
    without_bugs = build("ci-clang-asan", "OFF", fuzzers)
    n_failed = 0
    for fuzzer in fuzzers:
        name = fuzzer.replace("fuzz_", "")
        problem = hunt(fuzzer, name, with_bugs, without_bugs)
        n_failed += problem is not None
        print(f"{'FAIL' if problem else 'ok'} {name}{': ' + problem if problem else ''}", flush=True)
    print(f"{len(fuzzers) - n_failed} passed, {n_failed} failed")
    sys.exit(n_failed > 0 or not fuzzers)


if __name__ == "__main__":
    main()
