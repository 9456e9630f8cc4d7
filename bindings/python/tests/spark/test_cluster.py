# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=1200
"""A standalone cluster of one master and two workers on loopback: executors and tasks are killed while they train, and the
weights stay those of the command; fits at the same time; what Spark shows of a fit."""

import json
import os
import pathlib
import signal
import tempfile
import threading
import time

import numpy as np
import pyarrow as pa
import pytest

from bdl.errors import BdlInvalidArgumentError
from bdl.spark import BdlClassifier, _fit
from bdl.spark._rank import Record

from cluster import SECRET, Standalone, assert_hidden, command_line, descendants, fetch, wait_for
from data import MLP, bdl_train, classes, frame, weights_of
from ranks import around_ranks, meeting

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
    events = standalone.directory / "events"
    events.mkdir()
    for key, value in {"spark.ui.port": "0", "spark.executor.memory": "512m", "spark.sql.shuffle.partitions": "2",
                       "spark.scheduler.minRegisteredResourcesRatio": "1.0", "spark.cores.max": "2", "spark.driver.host": "127.0.0.1",
                       "spark.speculation": "true", "spark.speculation.interval": "100ms", "spark.speculation.quantile": "0.5",
                       "spark.speculation.multiplier": "1.1", "spark.speculation.minTaskRuntime": "100ms",
                       "spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file:{events}", "spark.eventLog.compress": "false",
                       "spark.eventLog.rolling.enabled": "false"}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    wait_for("two executors", lambda: len(standalone.executors()) == 2)
    yield session
    session.stop()


def undisturbed(tmp_path_factory, **options):
    """The weights of an undisturbed run of the command."""
    x, y = digits()
    directory = tmp_path_factory.mktemp("truth")
    return bdl_train(directory, x.reshape(-1, *SHAPE), y, "lenet", epochs=EPOCHS, batch=100, **options)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return undisturbed(tmp_path_factory)


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


@pytest.mark.parametrize("wire", ["fp32", "bf16"])
def test_a_task_that_is_killed_changes_nothing(spark, standalone, truth, tmp_path_factory, monkeypatch, wire):
    def kill_task():
        workers = [pid for executor in standalone.executors() for pid in descendants(executor)
                   if "pyspark.daemon" in command_line(pid) or "pyspark/daemon" in command_line(pid)]
        os.kill(max(workers), signal.SIGKILL)  # the newest is no daemon but a worker

    rows = frame(spark, *digits()).repartition(4)
    run = Disturbed(monkeypatch, lambda: lenet(wire=wire).fit(rows), kill_task)
    if run.error:
        raise run.error
    assert weights_of(run.result) == (truth if wire == "fp32" else undisturbed(tmp_path_factory, ranks=2, wire=wire))


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


def two_at_once(spark, x, y, workers):
    """The weights of two fits, by seeds 1 and 2, that are called at the same time."""
    found = [None, None]

    def fit(i):
        model = BdlClassifier(model=MLP, epochs=3, seed=i + 1, numWorkers=workers, slotTimeout=200).fit(frame(spark, x, y))
        found[i] = weights_of(model)

    threads = [threading.Thread(target=fit, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    return found


def test_two_fits_that_share_the_slots_and_two_that_wait_for_each_other(spark, tmp_path, monkeypatch):
    x, y = classes()
    expected = [bdl_train(tmp_path, x, y, epochs=3, seed=seed) for seed in (1, 2)]
    assert expected[0] != expected[1]
    assert two_at_once(spark, x, y, 2) == expected  # on two slots: one after the other
    around_ranks(monkeypatch, meeting(tmp_path, 2))
    assert two_at_once(spark, x, y, 1) == expected


LOOKS = ["jobs", "stages", "sql?details=true&planDescription=true", "environment", "allexecutors"]


def all_that_is_shown(spark, standalone):
    """Name and content of what Spark shows to people: pages, REST API, event log, logs, command lines."""
    context = spark.sparkContext
    pages = [f"api/v1/applications/{context.applicationId}/{look}" for look in LOOKS] + ["jobs/", "stages/", "SQL/", "environment/"]
    for i in range(len(json.loads(fetch(f"{context.uiWebUrl}/{pages[2]}&length=1000")))):
        pages.append(f"SQL/execution/?id={i}")
    for page in pages:
        yield page, fetch(f"{context.uiWebUrl}/{page}")
    for path in standalone.directory.rglob("*"):
        if path.is_file() and (path.suffix == ".log" or path.name in ("stderr", "stdout") or path.parent.name == "events"):
            yield str(path), path.read_bytes()
    for pid in descendants(os.getpid()) + [pid for worker in standalone.workers for pid in descendants(worker.process.pid)]:
        yield f"process {pid}", command_line(pid).encode()


def test_the_secret_is_shown_nowhere(spark, standalone, monkeypatch, capfd):
    jobs = []
    make = _fit.rank_function
    monkeypatch.setattr(_fit, "rank_function", lambda job: jobs.append(job) or make(job))
    monkeypatch.setattr("bdl.spark._fit.secrets.token_bytes", lambda n: SECRET[:n])
    spark.sparkContext.setLogLevel("DEBUG")
    try:
        x, y = classes()
        model = BdlClassifier(model=MLP, epochs=2, numWorkers=2).fit(frame(spark, x, y))
        with pytest.raises(BdlInvalidArgumentError):
            BdlClassifier(model=MLP, epochs=2, numWorkers=2).fit(frame(spark, x, y - 9))
    finally:
        spark.sparkContext.setLogLevel("ERROR")
    assert jobs[0].secret == SECRET and "S3CRET" not in repr(jobs[0])
    shown = dict(all_that_is_shown(spark, standalone))
    printed = capfd.readouterr()
    shown["driver"] = (printed.out + printed.err).encode()
    assert_hidden(shown)
    # What should be there is, so that all this has been looked at.
    everything = b"\n".join(shown.values())
    assert b"train_rank" in shown[f"api/v1/applications/{spark.sparkContext.applicationId}/{LOOKS[2]}"]
    assert b"bdl: leg 1 on 2 workers" in shown[f"api/v1/applications/{spark.sparkContext.applicationId}/stages"]
    assert sum("stderr" in name for name in shown) >= 2 and everything.count(b"train_rank") > 10
    assert model.summary.workers == 2


def test_nothing_is_left_on_the_machine(spark):
    left = [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("bdl-")]
    assert left == []


def test_a_worker_that_does_not_come_back_leaves_the_other(spark, standalone, truth, monkeypatch):
    rows = frame(spark, *digits()).repartition(4)
    run = Disturbed(monkeypatch, lambda: lenet(slotTimeout=20).fit(rows), standalone.lose_worker)
    if run.error:
        raise run.error
    assert run.result.summary.workers == 1
    assert weights_of(run.result) == truth


def slow_at_first(directory):
    """For mapInArrow: task 1 sleeps in its first attempt; each attempt leaves a file."""

    def run(batches):
        from pyspark import TaskContext

        task = TaskContext.get()
        pathlib.Path(directory, f"{task.partitionId()}-{task.attemptNumber()}").touch()
        if task.partitionId() == 1 and task.attemptNumber() == 0:
            time.sleep(300)
        yield from batches

    return run


def test_a_new_worker_is_used_and_speculation_does_no_harm(spark, standalone, tmp_path):
    """On another host, as Spark makes a second attempt only there."""
    standalone.add_worker(host="127.0.0.2")
    wait_for("two executors", lambda: len(standalone.executors()) == 2)
    x, y = classes()
    rows = frame(spark, x, y).repartition(4).mapInArrow(slow_at_first(str(tmp_path)), "features array<float>, label long")
    model = BdlClassifier(model=MLP, epochs=3, numWorkers=2).fit(rows)
    assert model.summary.workers == 2
    assert (tmp_path / "1-1").exists()
    assert weights_of(model) == bdl_train(tmp_path, x, y, epochs=3)


@pytest.fixture(scope="module")
def elastic(standalone, spark):
    """A session whose executors come and go with the work; the last one of this file."""
    from pyspark.sql import SparkSession

    spark.stop()
    builder = SparkSession.builder.master(standalone.url).appName("bdl elastic tests")
    for key, value in {"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "2",
                       "spark.dynamicAllocation.executorIdleTimeout": "20s", "spark.scheduler.minRegisteredResourcesRatio": "0",
                       "spark.executor.memory": "512m", "spark.executor.cores": "1", "spark.cores.max": "2",
                       "spark.sql.shuffle.partitions": "2", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false",
                       "spark.speculation": "true"}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def test_executors_that_come_on_demand_train_the_same_even_if_one_is_killed(elastic, standalone, truth, monkeypatch):
    assert standalone.executors() == []
    rows = frame(elastic, *digits()).repartition(4)
    run = Disturbed(monkeypatch, lambda: lenet().fit(rows), standalone.kill_executor)
    if run.error:
        raise run.error
    assert run.result.summary.workers == 2
    assert weights_of(run.result) == truth


def test_a_leg_without_barrier_starts_with_those_that_come_in_time(elastic, tmp_path):
    x, y = classes()
    model = BdlClassifier(model=MLP, epochs=3, numWorkers=3, slotTimeout=8).fit(frame(elastic, x, y))
    assert model.summary.workers == 2
    assert weights_of(model) == bdl_train(tmp_path, x, y, epochs=3)


def test_a_machine_that_is_gone_for_good_leaves_the_other_without_barrier(elastic, standalone, truth, monkeypatch):
    rows = frame(elastic, *digits()).repartition(4)
    run = Disturbed(monkeypatch, lambda: lenet(slotTimeout=15).fit(rows), standalone.lose_worker)
    if run.error:
        raise run.error
    assert run.result.summary.workers == 1
    assert weights_of(run.result) == truth


def test_a_fit_on_a_cluster_that_is_gone_ends(elastic, standalone):
    while standalone.workers:
        standalone.lose_worker()
    with pytest.raises(BdlInvalidArgumentError, match="numWorkers asks for 2 tasks .* in 3 s the cluster offered 0 free task slots"):
        BdlClassifier(model=MLP, epochs=1, numWorkers=2, slotTimeout=3).fit(frame(elastic, *classes()))
