# SPDX-License-Identifier: Apache-2.0
"""What the tests share: goldens, a child interpreter, and the closing line that the project's totals are made from."""

import json
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64}
counts = {"passed": 0, "failed": 0, "skipped": 0}


def pytest_runtest_logreport(report):
    if report.skipped:
        counts["skipped"] += 1
        print(f"\nSKIP python.{report.nodeid.replace('::', '.')}: {report.longrepr[2]}")
    elif report.failed:
        counts["failed"] += 1
    elif report.when == "call":
        counts["passed"] += 1


def pytest_collectreport(report):
    counts["failed"] += report.failed


def pytest_unconfigure():
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))


def read_safetensors(path):
    """The tensors of a safetensors file: read here, so that nothing of bdl is in the truth."""
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + o for o in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


class Golden:
    """A net of tests/golden: what PyTorch computes in float64."""

    def __init__(self, name):
        self.info = json.loads((ROOT / f"tests/golden/net_{name}.json").read_text())
        self.tensors = read_safetensors(ROOT / f"tests/golden/net_{name}.safetensors")
        self.graph = {
            "name": name,
            "inputs": [{"name": "input", "shape": self.info["shape"]}],
            "nodes": self.info["graph"]["nodes"],
        }

    def state(self, prefix):
        return {k[len(prefix) + 1 :]: v for k, v in self.tensors.items() if k.startswith(prefix + ".")}

    def bound(self, name):
        return 2 * self.info["longest_sum"] ** 0.5 * max(self.info["unit_error"][name])


@pytest.fixture
def golden():
    return Golden


@pytest.fixture
def child():
    """Runs a program in a fresh interpreter; gives the finished process."""

    def run(program, timeout=60, **environment):
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, **environment}, check=False)

    return run


@pytest.fixture
def command():
    """Runs the command bdl; gives its standard output."""

    def run(*arguments):
        done = subprocess.run([os.environ["BDL"], *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
