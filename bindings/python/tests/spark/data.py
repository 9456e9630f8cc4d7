# SPDX-License-Identifier: Apache-2.0
"""Rows that the tests train on, and what `bdl train` makes of them."""

import os
import subprocess

import numpy as np
import pyarrow as pa

WIDTH, N_CLASSES = 12, 3
MLP = "mlp(hidden=[16])"


def classes(n=903, seed=7):
    """Rows of three classes, some values zero: (float32, int64)."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % N_CLASSES
    x = random.normal(0, 1, (n, WIDTH)) + (np.arange(WIDTH) % N_CLASSES == y[:, None]) * 1.5
    x[random.random(x.shape) < 0.2] = 0
    return x.astype(np.float32), y.astype(np.int64)


def frame(spark, x, y, **others):
    """A DataFrame of array<float> and labels."""
    offsets = pa.array(np.arange(len(x) + 1, dtype=np.int32) * x.shape[1])
    columns = {"features": pa.ListArray.from_arrays(offsets, pa.array(x.ravel())), "label": pa.array(y)}
    return spark.createDataFrame(pa.table({**columns, **{name: pa.array(v) for name, v in others.items()}}))


def bdl_train(directory, x, y, model=MLP, ranks=1, **options):
    """The weights that the command trains, or several ranks of it."""
    np.save(directory / "x.npy", x)
    np.save(directory / "y.npy", y)
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    launch = ["launch", "-n", str(ranks), "--"] if ranks > 1 else []
    done = subprocess.run([os.environ["BDL"], *launch, "train", model, "--data", f"npy:{directory}/x.npy,{directory}/y.npy", *arguments,
                           "--save", str(directory / "model"), "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (directory / "model/weights.safetensors").read_bytes()


def weights_of(model):
    """The bytes of a model's weight file."""
    return model._contents.content["weights.safetensors"]
