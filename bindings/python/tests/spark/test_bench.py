# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=900
"""The bench that compares the fronts' weights on MNIST, on few rows: the command, its ranks, a standalone cluster."""

import os
import pathlib
import subprocess
import sys

import pytest

BENCH = pathlib.Path(__file__).resolve().parents[4] / "bench/spark"


@pytest.fixture
def mnist():
    if not pathlib.Path(os.environ.get("BDL_TEST_DATA", "/nowhere"), "mnist/gz").is_dir():
        pytest.skip("mnist/gz is not in BDL_TEST_DATA")


def weights(*words):
    return subprocess.run([sys.executable, BENCH / "weights.py", "--rows", "2000", *words], capture_output=True, text=True,
                          check=False)


def test_fronts_train_the_same_weights_on_mnist(mnist):
    done = weights("--epochs", "3", "--least", "0.8", "train", "launch3", "standalone")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.count("`") for line in done.stdout.splitlines()[2:5]] == [4, 4, 2]


def test_too_low_a_score_is_told(mnist):
    done = weights("--epochs", "1", "--least", "0.99", "train")
    assert done.returncode == 1 and "a front reached less than 99 %" in done.stderr
