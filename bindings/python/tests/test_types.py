# SPDX-License-Identifier: Apache-2.0
"""mypy --strict finds nothing to complain about, in the package and in programs that use it as shown."""

import os
import pathlib
import subprocess
import sys

from conftest import ROOT

USES = """
import numpy as np
import bdl
from bdl import nn

model = nn.Sequential(nn.Conv2d(1, 6, (5, 5)), nn.Tanh(), nn.Flatten(), nn.Linear(10), input_shape=(1, 28, 28))
x = bdl.Input((28,))
other = bdl.Model(x, nn.Linear(10)(x) + 1)
scores: np.ndarray = model(np.zeros((2, 1, 28, 28)))
state = model.state_dict()
model.load_state_dict(state)
"""
MISUSES = ("nn.Linear('10')", "nn.Conv2d(1, 6, 5, padding_mode=3)", "bdl.optim.SGD(lr='a')")


def mypy(*arguments, **options):
    build = os.environ.get("BDL_BUILD_DIR") or ROOT / "build"
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(pathlib.Path(build, "mypy")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT / "bindings/python", **options)


def test_the_package_is_strictly_typed():
    done = mypy("bdl", "--exclude", "bdl/spark/")  # that needs pyspark: tests/spark/test_types.py
    assert done.returncode == 0, done.stdout


def test_programs_that_use_it_are_typed(tmp_path):
    (tmp_path / "uses.py").write_text(USES)
    done = mypy(str(tmp_path / "uses.py"), "--allow-any-generics")
    assert done.returncode == 0, done.stdout


def test_misuse_is_found(tmp_path):
    for i, misuse in enumerate(MISUSES):
        (tmp_path / f"misuse{i}.py").write_text(f"import bdl\nfrom bdl import nn\n{misuse}\n")
    done = mypy(*(str(tmp_path / f"misuse{i}.py") for i in range(len(MISUSES))))
    for i in range(len(MISUSES)):
        assert f"misuse{i}.py:3" in done.stdout
