#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts of tools/ where things go wrong: folders that are not theirs, test stages in which nothing ran."""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("BDL_SOURCE_DIR") or pathlib.Path(__file__).parents[2])
RAN = '<testcase name="a" status="run"><system-out>2 passed, 0 failed, 0 skipped\n</system-out></testcase>'
FAILED = '<testcase name="b" status="fail"><system-out>crashed\n</system-out></testcase>'


def run(*command, **environment):
    variables = {**os.environ, **environment}
    variables.pop("BDL_TEST_DATA", None)
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, env=variables)
    return done.returncode, done.stdout + done.stderr


def totals(folder, *stages):
    """What the report says of stages (name, test cases as XML)."""
    for name, cases in stages:
        (folder / f"{name}.xml").write_text(f"<testsuite>{cases}</testsuite>")
    (folder / "stages").write_text("".join(f"{name} 1 0\n" for name, _ in stages))
    return run(sys.executable, ROOT / "tools/test_totals.py", folder)


def stages_that_pass_are_summed(folder):
    code, text = totals(folder, ("gcc", RAN), ("clang", RAN))
    return code == 0 and text.endswith("4 passed, 0 failed\n"), text


def a_failed_test_fails_the_run(folder):
    code, text = totals(folder, ("gcc", RAN + FAILED))
    return code == 1 and "FAILED in gcc: b" in text and text.endswith("2 passed, 1 failed\n"), text


def a_stage_without_tests_fails_the_run(folder):
    code, text = totals(folder, ("gcc", RAN), ("tsan", ""))
    return code == 1 and "stage tsan: no test ran" in text and text.endswith("2 passed, 1 failed\n"), text


def a_complete_onednn_is_kept(folder):
    (folder / ".complete").touch()
    code, text = run(ROOT / "tools/get_onednn", folder)
    return code == 0 and [path.name for path in folder.iterdir()] == [".complete"], text


def get_onednn_leaves_folders_of_others_alone(folder):
    (folder / "letter.txt").write_text("dear")
    code, text = run(ROOT / "tools/get_onednn", folder, PIP_NO_INDEX="1")
    return code == 1 and "was not made by this script" in text and (folder / "letter.txt").exists(), text


def a_failed_download_leaves_nothing(folder):
    code, text = run(ROOT / "tools/get_onednn", folder / "onednn", PIP_NO_INDEX="1")
    return code != 0 and not list(folder.iterdir()), text


def a_prefix_may_have_spaces(folder):
    code, text = run("make", "-n", "-C", ROOT, "install", f"PREFIX={folder}/my programs")
    return code == 0 and f'--prefix "{folder}/my programs"' in text, text


CASES = [stages_that_pass_are_summed, a_failed_test_fails_the_run, a_stage_without_tests_fails_the_run,
         a_complete_onednn_is_kept, get_onednn_leaves_folders_of_others_alone, a_failed_download_leaves_nothing,
         a_prefix_may_have_spaces]


def main():
    n_passed = 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            ok, text = case(pathlib.Path(folder))
        n_passed += ok
        if not ok:
            print(f"FAIL {case.__name__}:\n{text}")
    print(f"{n_passed} passed, {len(CASES) - n_passed} failed")
    return n_passed != len(CASES)


if __name__ == "__main__":
    sys.exit(main())
