# SPDX-License-Identifier: Apache-2.0
"""The example programs and the programs of docs/howto/python.md run and end well."""

import re
import struct
import subprocess
import sys
import zlib

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


def write_png(path, value):
    """An 8x8 grey image of one value."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes([0] + [value] * 8) * 8)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_images_are_named_beside_their_files(tmp_path):
    folder = tmp_path / "images"
    for name, value in (("a", 20), ("a-b", 230)):  # as text "a-b/" comes before "a/"
        (folder / name).mkdir(parents=True)
        for i in range(8):
            write_png(folder / name / f"{i}.png", value + i)
        (folder / name / "0 notes.txt").write_text("no image")
    train = (
        "import bdl\nfrom bdl import nn\n"
        "model = bdl.Sequential(nn.Flatten(), nn.Linear(2), nn.LogSoftmax(), input_shape=(1, 8, 8))\n"
        "model.fit(bdl.data.Images('images'), epochs=20, batch_size=4, verbose=0)\nmodel.save('model')\n"
    )
    run(tmp_path, "-c", train)
    lines = run(tmp_path, ROOT / "examples/python/classify_images.py", "model", "images").splitlines()
    assert len(lines) == 16
    for line in lines:
        file, name, chance = line.split("\t")
        assert file.split("/")[0] == name and float(chance) > 0.5


def test_examples_without_arguments_say_what_they_take(tmp_path):
    for name in ("table.py", "classify_images.py"):
        done = subprocess.run([sys.executable, ROOT / "examples/python" / name], capture_output=True, text=True,
                              timeout=60, check=False, cwd=tmp_path)
        assert done.returncode == 1 and f"python {name} " in done.stderr and "Traceback" not in done.stderr


def test_the_programs_of_the_guide_run_in_order(tmp_path):
    text = (ROOT / "docs/howto/python.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(programs) >= 6
    (tmp_path / "guide.py").write_text("\n".join(programs))
    run(tmp_path, "guide.py")
