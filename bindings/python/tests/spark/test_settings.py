# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=600
"""Sessions with settings that matter: Spark's encryption, processors of a task, dynamic allocation; a driver that is killed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

import bdl
from bdl.errors import BdlInvalidArgumentError, BdlOutOfMemoryError, BdlUnsupportedError
from bdl.spark import BdlClassifier

from cluster import wait_for
from data import MLP, bdl_train, classes, frame, weights_of
from memory import MIB, rows
from ranks import around_ranks, noting_threads, recording


def session(**settings):
    SparkContext._ensure_initialized()  # the settings with which Java starts would stay for all sessions
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for key, value in settings.items():
        builder = builder.config(key.replace("__", "."), value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


def classifier(**params):
    return BdlClassifier(**{"model": MLP, "epochs": 2, "batchSize": 100, "numWorkers": 2, **params})


def gradients_of_a_shard(directory):
    """Saves a model, and gives 32 equal rows and the gradients by which half of them change it, as what a rank sends."""
    x, y = (np.repeat(part[:1], 32, axis=0) for part in classes())
    model = bdl.models.mlp([16], classes=3, shape=[x.shape[1]])
    model.save(str(directory))
    learner = bdl.Learner(model)
    learner.loss(x[:16], y[:16])
    sums = [16 * gradient.copy() for gradient in learner.gradients().values()]  # of the mean: exact, as is a power of two
    return x, y, b"".join(gradient.astype("<f4").tobytes() for gradient in sums)


@pytest.mark.parametrize("encrypt", [False, True])
def test_gradients_are_on_the_wire_in_clear_only_without_sparks_encryption(tmp_path, monkeypatch, encrypt):
    x, y, gradients = gradients_of_a_shard(tmp_path / "model")
    around_ranks(monkeypatch, recording(tmp_path))
    settings = {"spark__authenticate": "true", "spark__network__crypto__enabled": "true"} if encrypt else {}
    spark = session(**settings)
    try:
        model = classifier(model=str(tmp_path / "model"), batchSize=32, epochs=1).fit(frame(spark, x, y))
    finally:
        spark.stop()
    wire = b"".join(path.read_bytes() for path in tmp_path.glob("wire-*"))
    runs = [gradients[at : at + 16] for at in range(0, len(gradients) - 15, 4)]
    runs = [run for run in runs if len(set(run)) > 8]  # zeros and the like prove nothing
    assert len(runs) > 30 and len(wire) > len(gradients)
    assert model.summary.workers == 2
    assert sum(run in wire for run in runs) == (0 if encrypt else len(runs))


def test_a_task_has_as_many_threads_as_processors_and_spills_nothing_where_spark_encrypts_its_files(tmp_path, monkeypatch):
    around_ranks(monkeypatch, noting_threads(tmp_path))
    spark = session(spark__task__cpus="2", spark__io__encryption__enabled="true")
    try:
        with pytest.raises(BdlOutOfMemoryError, match="raise memoryLimit .now 224 MiB.*spark.io.encryption.enabled=true.* in clear"):
            classifier(numWorkers=1, memoryLimit=224).fit(rows(spark, 128 * MIB))
        model = classifier(numWorkers=0).fit(frame(spark, *classes()))
        with pytest.raises(BdlInvalidArgumentError, match="numWorkers asks for 2 tasks .* offered 1 free task slot"):
            classifier(numWorkers=2, slotTimeout=1).fit(frame(spark, *classes()))
    finally:
        spark.stop()
    assert model.summary.workers == 1
    assert {path.name.split("-")[1] for path in tmp_path.iterdir()} == {"2"}


def test_dynamic_allocation_and_encryption_are_refused_by_name():
    spark = session(spark__dynamicAllocation__enabled="true", spark__authenticate="true", spark__network__crypto__enabled="true")
    try:
        with pytest.raises(BdlUnsupportedError, match="spark.dynamicAllocation.enabled is true.* where Spark encrypts"):
            classifier().fit(frame(spark, *classes()))
    finally:
        spark.stop()


DRIVER = """
import sys
from pyspark import SparkContext
from pyspark.sql import SparkSession
from bdl.spark import BdlClassifier, _fit
from data import MLP, classes, frame
_fit.FIRST_LEG_SECONDS = 1e-6
_fit.Fit._next_seconds = lambda *_: 1e-6
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
BdlClassifier(model=MLP, iterations=1000, batchSize=100, numWorkers=2, checkpointDir=sys.argv[1]).fit(frame(spark, *classes()))
"""


def test_a_driver_that_is_killed_is_resumed(tmp_path):
    directory = tmp_path / "checkpoints"
    here = pathlib.Path(__file__).parent
    path = os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, f"file:{directory}"], env={**os.environ, "PYTHONPATH": path},
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for("two legs", lambda: (directory / "leg-2/manifest/_SUCCESS").exists(), 120)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    time.sleep(1)
    spark = session()
    try:
        x, y = classes()
        model = classifier(epochs=0, iterations=30, checkpointDir=f"file:{directory}", resume=True).fit(frame(spark, x, y))
        assert model.summary.iterations == 30 and model.summary.legs > 2
        assert weights_of(model) == bdl_train(tmp_path, x, y, iterations=30, batch=100)
    finally:
        spark.stop()
