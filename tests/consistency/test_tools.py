#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts of tools/ where things go wrong: folders that are not theirs, test stages in which nothing ran."""
import os
import pathlib
import shutil
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


def an_environment_is_of_one_python(folder):
    """A stand-in for python3 counts how often an environment is made."""
    fake = folder / "python3"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo "Python $FAKE_VERSION"; exit; }\n'
                    f'echo made >> "{folder}/made"\nmkdir -p "$3/bin"\nprintf "#!/bin/sh\\n" > "$3/bin/python"\n'
                    'chmod +x "$3/bin/python"\n')
    fake.chmod(0o755)
    (folder / "requirements").write_text("none\n")
    name = f"of-a-test-{os.getpid()}"
    counts = []
    for version in ("3.11.1", "3.11.1", "3.12.0"):
        code, text = run(ROOT / "tools/make_venv", name, folder / "requirements", FAKE_VERSION=version,
                         PATH=f"{folder}:{os.environ['PATH']}")
        counts.append((code, (folder / "made").read_text().count("made")))
    shutil.rmtree(ROOT / f"build/venv-{name}")
    (ROOT / f"build/venv-{name}.lock").unlink()
    return counts == [(0, 1), (0, 1), (0, 2)], f"{counts} {text}"


def axes_have_round_numbers(folder):
    sys.path.insert(0, str(ROOT / "tools"))
    from ticks import round_ticks
    found = [round_ticks(0, 2.33, 5), round_ticks(0, 708, 5), round_ticks(92.6, 100, 4), round_ticks(0, 0.07, 5),
             round_ticks(5, 5, 4)]
    wanted = [[0, 0.5, 1, 1.5, 2, 2.5], [0, 200, 400, 600, 800], [92, 94, 96, 98, 100], [0, 0.02, 0.04, 0.06, 0.08], [5]]
    return found == wanted, str(found)


def pictures_are_drawn(folder):
    log = folder / "log.jsonl"
    log.write_text('{"event":"step","iteration":1,"loss":2.3}\n{"event":"step","iteration":700,"loss":0.1}\n'
                   '{"event":"epoch","iteration":700,"validation":{"top1":0.926}}\n')
    code, text = run(sys.executable, ROOT / "tools/draw_curve.py", log, folder / "out.svg")
    picture = (folder / "out.svg").read_text() if code == 0 else ""
    return all(f">{label}<" in picture for label in ("2.5", "0.5", "92 %", "100 %", "600", "200")), text + picture


CASES = [stages_that_pass_are_summed, a_failed_test_fails_the_run, a_stage_without_tests_fails_the_run,
         a_complete_onednn_is_kept, get_onednn_leaves_folders_of_others_alone, a_failed_download_leaves_nothing,
         a_prefix_may_have_spaces, an_environment_is_of_one_python, axes_have_round_numbers, pictures_are_drawn]


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
