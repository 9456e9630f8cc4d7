# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=600
"""Over Spark Connect: the client has no SparkContext, and everything works as in classic mode."""

import json
import os
import subprocess
import threading

import numpy as np
import pytest

from bdl.errors import BdlInvalidArgumentError, BdlUnsupportedError
from bdl.spark import BdlClassificationModel, BdlClassifier, _cluster

from cluster import SECRET, Connect, assert_hidden, fetch, free_port
from data import MLP, bdl_train, classes, frame, weights_of


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory, events = tmp_path_factory.mktemp("connect"), tmp_path_factory.mktemp("events")
    made = Connect(directory, settings={"spark.ui.enabled": "true", "spark.ui.port": str(free_port()), "spark.eventLog.enabled": "true",
                                        "spark.eventLog.dir": f"file:{events}", "spark.eventLog.compress": "false"})
    made.events = events
    yield made
    made.stop()


@pytest.fixture(scope="module")
def spark(server):
    from pyspark.sql import SparkSession

    session = SparkSession.builder.remote(server.url).getOrCreate()
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def no_context():
    """There is never a SparkContext in this process."""
    yield
    from pyspark import SparkContext

    assert SparkContext._active_spark_context is None and SparkContext._gateway is None


def classifier(**params):
    return BdlClassifier(**{"model": MLP, "epochs": 3, "batchSize": 100, "numWorkers": 2, **params})


def test_fit_transform_save_and_load(spark, tmp_path):
    x, y = classes()
    rows = frame(spark, x, y)
    model = classifier().fit(rows)
    assert weights_of(model) == bdl_train(tmp_path, x, y, epochs=3, batch=100)
    path = str(tmp_path / "saved")
    model.write().save(path)
    with pytest.raises(BdlInvalidArgumentError, match="overwrite"):
        model.write().save(path)
    model.write().overwrite().save(path)
    loaded = BdlClassificationModel.load(path)
    assert weights_of(loaded) == weights_of(model)
    found = loaded.transform(rows).select("label", "prediction", "probability").collect()
    assert len(found) == len(y) and np.mean([r["label"] == r["prediction"] for r in found]) > 0.7
    done = subprocess.run([os.environ["BDL"], "inspect", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_checkpoints_and_legs_and_a_resume(spark, tmp_path, monkeypatch):
    """Each leg is one update. Old legs give their place to new ones, so that three are all there ever is."""
    monkeypatch.setattr("bdl.spark._fit.FIRST_LEG_SECONDS", 1e-6)
    monkeypatch.setattr("bdl.spark._fit.Fit._next_seconds", lambda *_: 1e-6)
    x, y = classes()
    directory = tmp_path / "checkpoints"
    rows = frame(spark, x, y)
    first = classifier(epochs=0, iterations=4, checkpointDir=str(directory)).fit(rows)
    assert first.summary.legs == 4
    model = classifier(epochs=0, iterations=5, checkpointDir=str(directory), resume=True).fit(rows)
    assert model.summary.legs == 5
    assert weights_of(model) == bdl_train(tmp_path, x, y, iterations=5, batch=100)
    assert sorted(path.name for path in directory.iterdir()) == ["leg-0", "leg-1", "leg-2"]
    manifests = [path.read_text() for path in directory.glob("leg-*/manifest/part-*") if path.stat().st_size]
    assert sorted(json.loads(text)["leg"] for text in manifests) == [3, 4, 5]


def queries(spark, seconds):
    """A query that runs for so long."""
    return spark.range(0, 2, 1, 2).mapInArrow(_cluster._timed_task(seconds), "host string, begin double, end double").collect()


def test_the_tasks_of_a_query_are_counted_and_others_are_not(spark):
    seen = []
    _cluster.run_watched(spark, lambda: queries(spark, 4), 60, lambda: seen.append("own"))
    assert seen
    seen.clear()
    other = threading.Thread(target=queries, args=(spark, 4))
    other.start()
    _cluster.run_watched(spark, other.join, 60, lambda: seen.append("other"))
    assert seen == []


def test_dynamic_allocation_is_refused_by_name(spark):
    keys = {"spark.sql.legacy.setCommandRejectsSparkCoreConfs": "false", "spark.dynamicAllocation.enabled": "true"}
    for key, value in keys.items():  # the server's session then has it as if it had started so
        spark.conf.set(key, value)
    try:
        with pytest.raises(BdlUnsupportedError, match="spark.dynamicAllocation.enabled is true.* is not open over Spark Connect"):
            classifier().fit(frame(spark, *classes()))
    finally:
        for key in reversed(keys):
            spark.conf.unset(key)


def test_the_secret_is_shown_nowhere(spark, server, monkeypatch):
    monkeypatch.setattr("bdl.spark._fit.secrets.token_bytes", lambda n: SECRET[:n])
    classifier(epochs=1).fit(frame(spark, *classes()))
    address = f"http://127.0.0.1:{spark.conf.get('spark.ui.port')}"
    shown = {"log": server.server.log.read_bytes()}
    for path in server.events.rglob("events_*"):
        shown[path.name] = path.read_bytes()
    application = json.loads(fetch(f"{address}/api/v1/applications"))[0]["id"]
    for page in ("connect/", "jobs/", "stages/", "SQL/", "environment/",
                 f"api/v1/applications/{application}/sql?details=true&planDescription=true&length=1000"):
        shown[page] = fetch(f"{address}/{page}")
    assert_hidden(shown)
    assert len(shown) > 7 and all("train_rank" in shown[name].decode() for name in shown if name.startswith(("events", "api")))


def test_errors_name_what_is_wrong(spark):
    x, y = classes()
    with pytest.raises(BdlInvalidArgumentError, match="numWorkers asks for 3 tasks .* offered 2 free"):
        classifier(numWorkers=3, slotTimeout=2).fit(frame(spark, x, y))
    with pytest.raises(BdlInvalidArgumentError, match="column 'label', row .*, found -1"):
        classifier().fit(frame(spark, x, np.full(len(x), -1)))
