#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums what the stages of tools/test.sh ran.

    tools/test_totals.py DIR                 the report: failures, skipped tests, seconds, closing line
    tools/test_totals.py --count FILE.xml    only the number of tests that ran in one stage

DIR has STAGE.xml (ctest's JUnit file) and `stages` (name, seconds, exit status). A test executable or script counts by its
last line "N passed, N failed[, N skipped]", any other by its result. A stage in which nothing ran has failed. Skipped tests print "SKIP name: reason". Where real data
are given (BDL_TEST_DATA), skips that tests/allowed_skips.txt does not name are failures.
"""
import os
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)


def read_stage(path):
    """(passed, failed, {skipped name: reason}, [failed ctest names]) of one JUnit file."""
    passed, failed, skips, failures = 0, 0, {}, []
    for case in xml.parse(path).getroot().iter("testcase"):
        text = case.findtext("system-out") or ""
        skips.update(re.findall(r"^SKIP ([^:\n]+): (.*)$", text, re.M))
        closing = CLOSING.findall(text)
        n_passed, n_failed = map(int, closing[-1][:2]) if closing else (0, 0)
        if case.get("status") == "run":
            n_passed += not closing
        else:
            failures.append(case.get("name"))
            n_failed = max(n_failed, 1)
        passed, failed = passed + n_passed, failed + n_failed
    return passed, failed, skips, failures


def allowed_skips():
    path = pathlib.Path(__file__).parent.parent / "tests/allowed_skips.txt"
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if line}


def main(folder):
    passed = failed = 0
    skips, times = {}, []
    for line in (folder / "stages").read_text().splitlines():
        stage, seconds, status = line.split()
        n_passed = n_failed = 0
        if (folder / f"{stage}.xml").exists():
            n_passed, n_failed, new_skips, failures = read_stage(folder / f"{stage}.xml")
            skips.update(new_skips)
            for name in failures:
                print(f"FAILED in {stage}: {name}")
            if not n_passed and not n_failed and not new_skips:
                n_failed += 1
                print(f"FAILED: stage {stage}: no test ran")
        if status != "0":
            n_failed += 1
            print(f"FAILED: stage {stage}")
        passed, failed = passed + n_passed, failed + n_failed
        times.append(f"{stage:9}{seconds:>6} s  {n_passed} passed, {n_failed} failed in this stage")

    allowed = allowed_skips()
    for name, reason in sorted(skips.items()):
        is_failure = os.environ.get("BDL_TEST_DATA") and name not in allowed
        failed += bool(is_failure)
        print(f"skipped{', which is not allowed here' if is_failure else ''}: {name}: {reason}")
    print(f"{len(skips)} tests skipped")
    print(*times, f"{passed} passed, {failed} failed", sep="\n")
    return bool(failed or not passed)


if __name__ == "__main__":
    if sys.argv[1] == "--count":
        print(sum(read_stage(sys.argv[2])[:2]))
    else:
        sys.exit(main(pathlib.Path(sys.argv[1])))
