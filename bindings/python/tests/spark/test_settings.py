# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=600
"""Sessions with settings that matter: Spark's encryption, more rows than memory may hold, dynamic allocation; a driver that
is killed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from pyspark.sql import SparkSession

from bdl.errors import BdlUnsupportedError
from bdl.spark import BdlClassifier
from bdl.spark import _fit

from cluster import wait_for
from data import MLP, bdl_train, classes, frame, weights_of


def session(**settings):
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for key, value in settings.items():
        builder = builder.config(key.replace("__", "."), value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


def classifier(**params):
    return BdlClassifier(**{"model": MLP, "epochs": 2, "batchSize": 100, "numWorkers": 2, **params})


def test_sparks_encryption_turns_ours_on(tmp_path, monkeypatch):
    jobs = []
    make = _fit.rank_function
    monkeypatch.setattr(_fit, "rank_function", lambda job: jobs.append(job) or make(job))
    spark = session(spark__authenticate="true", spark__network__crypto__enabled="true")
    try:
        x, y = classes()
        model = classifier().fit(frame(spark, x, y))
        assert jobs[0].encrypt and len(jobs[0].secret) == 32 and repr(jobs[0].secret) not in repr(jobs[0])
        assert weights_of(model) == bdl_train(tmp_path, x, y, epochs=2, batch=100)
    finally:
        spark.stop()


def test_rows_beyond_the_limit_go_to_a_file(tmp_path, monkeypatch):
    spark = session()
    try:
        x, y = classes(n=60_000)  # 2.9 MB
        reports = []
        report = _fit.Fit._report
        monkeypatch.setattr(_fit.Fit, "_report", lambda self, leg, wall: reports.append(leg.report) or report(self, leg, wall))
        model = classifier(memoryLimit=1, spillDir=str(tmp_path)).fit(frame(spark, x, y))
        assert reports[0]["spilled"] > 500_000
        assert list(tmp_path.iterdir()) == []
        assert weights_of(model) == bdl_train(tmp_path, x, y, epochs=2, batch=100)
    finally:
        spark.stop()


def test_dynamic_allocation_is_refused_by_name():
    spark = session(spark__dynamicAllocation__enabled="true", spark__shuffle__service__enabled="true")
    try:
        with pytest.raises(BdlUnsupportedError, match="spark.dynamicAllocation.enabled=false"):
            classifier().fit(frame(spark, *classes()))
    finally:
        spark.stop()


DRIVER = """
import sys
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
        wait_for("two legs", lambda: (directory / "leg-00002/manifest/_SUCCESS").exists(), 120)
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
