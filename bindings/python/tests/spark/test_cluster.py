# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=1200
"""A standalone cluster of one master and two workers on loopback: executors and tasks are killed while they train, and the
weights stay those of the command."""

import os
import signal
import tempfile
import threading
import time

import numpy as np
import pyarrow as pa
import pytest

from bdl.errors import BdlInvalidArgumentError
from bdl.spark import BdlClassifier
from bdl.spark._rank import Record

from cluster import Standalone, command_line, descendants, wait_for
from data import MLP, bdl_train, classes, frame, weights_of

SHAPE, EPOCHS = [1, 28, 28], 150


def digits(n=2000):
    """Rows of 28 x 28 for LeNet: noise, and a bright spot where the class is."""
    random = np.random.default_rng(3)
    y = np.arange(n) % 10
    x = random.random((n, 28, 28), np.float32)
    x[np.arange(n), 2 * y + 3, 2 * y + 3] += 3
    return x.reshape(n, -1), y.astype(np.int64)


@pytest.fixture(scope="module")
def standalone(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # what tasks leave in TMPDIR is seen
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)
        made = Standalone(tmp_path_factory.mktemp("cluster"))
        yield made
        made.stop()


@pytest.fixture(scope="module")
def spark(standalone):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(standalone.url).appName("bdl cluster tests")
    for key, value in {"spark.ui.enabled": "false", "spark.executor.memory": "512m", "spark.sql.shuffle.partitions": "2",
                       "spark.scheduler.minRegisteredResourcesRatio": "1.0", "spark.cores.max": "2", "spark.speculation": "true",
                       "spark.driver.host": "127.0.0.1"}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    wait_for("two executors", lambda: len(standalone.executors()) == 2)
    yield session
    session.stop()


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """The weights of an undisturbed run of the command."""
    x, y = digits()
    directory = tmp_path_factory.mktemp("truth")
    return bdl_train(directory, x.reshape(-1, *SHAPE), y, "lenet", epochs=EPOCHS, batch=100)


def lenet(**params):
    return BdlClassifier(**{"model": "lenet", "inputShape": SHAPE, "epochs": EPOCHS, "batchSize": 100, "numWorkers": 2, **params})


class Disturbed:
    """Runs a fit on a thread, and something else as soon as its ranks train."""

    def __init__(self, monkeypatch, fit, disturb):
        nonces = []
        monkeypatch.setattr("bdl.spark._fit.secrets.token_hex", lambda n: nonces.append(os.urandom(n).hex()) or nonces[-1])
        self.result = self.error = None

        def run():
            try:
                self.result = fit()
            except Exception as error:
                self.error = error

        thread = threading.Thread(target=run)
        thread.start()
        wait_for("ranks that train", lambda: (nonces and os.path.exists(Record(nonces[-1]).path)) or not thread.is_alive())
        time.sleep(0.5)
        assert thread.is_alive(), f"the fit ended before it was disturbed: {self.error}"
        disturb()
        thread.join(400)
        assert not thread.is_alive(), "the fit did not end"


def test_two_executors_train_the_weights_of_the_command(spark, truth):
    model = lenet().fit(frame(spark, *digits()).repartition(4))
    assert model.summary.workers == 2
    assert weights_of(model) == truth


def test_an_executor_that_is_killed_changes_nothing(spark, standalone, truth, monkeypatch):
    rows = frame(spark, *digits()).repartition(4)
    before = set(standalone.executors())
    run = Disturbed(monkeypatch, lambda: lenet().fit(rows), standalone.kill_executor)
    if run.error:
        raise run.error
    assert weights_of(run.result) == truth
    assert set(standalone.executors()) != before
    wait_for("two executors", lambda: len(standalone.executors()) == 2)


def test_a_task_that_is_killed_changes_nothing(spark, standalone, truth, monkeypatch):
    def kill_task():
        workers = [pid for executor in standalone.executors() for pid in descendants(executor)
                   if "pyspark.daemon" in command_line(pid) or "pyspark/daemon" in command_line(pid)]
        os.kill(max(workers), signal.SIGKILL)  # the newest is no daemon but a worker

    rows = frame(spark, *digits()).repartition(4)
    run = Disturbed(monkeypatch, lambda: lenet().fit(rows), kill_task)
    if run.error:
        raise run.error
    assert weights_of(run.result) == truth


def random_rows(batches):
    """Other rows each time they are computed."""
    for batch in batches:
        n = batch.num_rows
        x = np.random.default_rng().random((n, 784), np.float32)
        offsets = pa.array(np.arange(n + 1, dtype=np.int32) * 784)
        yield pa.RecordBatch.from_arrays([pa.ListArray.from_arrays(offsets, pa.array(x.ravel())), batch.column("label")],
                                         names=["features", "label"])


def test_an_input_that_changes_is_refused_after_a_retry(spark, standalone, monkeypatch):
    rows = frame(spark, *digits()).repartition(4).select("label").mapInArrow(random_rows, "features array<float>, label long")
    run = Disturbed(monkeypatch, lambda: lenet().fit(rows), standalone.kill_executor)
    assert isinstance(run.error, BdlInvalidArgumentError)
    assert "input is not deterministic: cache or write it first" in str(run.error)
    wait_for("two executors", lambda: len(standalone.executors()) == 2)


def test_a_second_fit_and_two_at_once(spark, tmp_path):
    x, y = classes()
    expected = [bdl_train(tmp_path, x, y, epochs=3, seed=seed) for seed in (1, 2)]
    found = [None, None]

    def fit(i):
        found[i] = weights_of(BdlClassifier(model=MLP, epochs=3, seed=i + 1, numWorkers=2, slotTimeout=200).fit(frame(spark, x, y)))

    threads = [threading.Thread(target=fit, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert found == expected and expected[0] != expected[1]


def test_nothing_is_left_on_the_machine(spark):
    left = [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("bdl-")]
    assert left == []


def test_a_worker_that_does_not_come_back_leaves_the_other(spark, standalone, truth, monkeypatch):
    rows = frame(spark, *digits()).repartition(4)

    def lose_worker():
        worker = standalone.workers[0]
        children = [pid for pid in descendants(worker.process.pid)]
        worker.kill()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    run = Disturbed(monkeypatch, lambda: lenet(slotTimeout=20).fit(rows), lose_worker)
    if run.error:
        raise run.error
    assert run.result.summary.workers == 1
    assert weights_of(run.result) == truth
