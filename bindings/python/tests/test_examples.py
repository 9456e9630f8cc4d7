# SPDX-License-Identifier: Apache-2.0
"""The example programs and the programs of docs/howto/python.md run and end well."""

import re
import subprocess
import sys

import numpy as np

from conftest import ROOT


def run(folder, *arguments):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=250,
                          check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_lenet_learns_digits(tmp_path):
    out = run(tmp_path, ROOT / "examples/python/lenet.py", "digits(count=6000)", 4)
    top1 = float(re.search(r"on the test part: .*'top1': ([0-9.]+)", out)[1])
    assert top1 > 0.9 and "first predictions: [" in out
    assert (tmp_path / "lenet_model/model.json").exists()


def test_table_learns_a_csv_file(tmp_path):
    rng = np.random.default_rng(5)
    names = np.array(["setosa", "versicolor", "virginica"])
    kinds = rng.integers(0, 3, 150)
    values = rng.normal(size=(150, 4)) + 4 * np.eye(3, 4)[kinds]
    lines = [",".join(f"{v:.3f}" for v in row) + "," + name for row, name in zip(values, names[kinds])]
    (tmp_path / "flowers.csv").write_text("\n".join(["a,b,c,d,species", *lines]) + "\n")
    out = run(tmp_path, ROOT / "examples/python/table.py", "flowers.csv", "species")
    assert float(re.search(r"'top1': ([0-9.]+)", out)[1]) > 0.95


def test_the_programs_of_the_guide_run_in_order(tmp_path):
    text = (ROOT / "docs/howto/python.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(programs) >= 6
    (tmp_path / "guide.py").write_text("\n".join(programs))
    run(tmp_path, "guide.py")
