# SPDX-License-Identifier: Apache-2.0
"""What the benches of Spark share: MNIST as idx files and as Parquet, and a session of each way to run Spark."""

import contextlib
import gzip
import os
import pathlib
import sys
import tempfile
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bindings/python/tests/spark"))

from cluster import Connect, Standalone, wait_for  # noqa: E402  (the processes that the tests use, too)
from yarn import Yarn  # noqa: E402

BDL = os.environ.get("BDL", str(ROOT / "build/release/bin/bdl"))
PARTS = {"train": "train", "test": "t10k"}
BATCH, OPTIM, TRANSFORM = 128, "sgd(lr=0.05, momentum=0.9)", "normalize(mean=[0.1307], std=[0.3081], divide=255)"
SHAPE = [1, 28, 28]
N_FILES = 8  # of a part as Parquet
SETTINGS = {
    "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR",
    "spark.driver.host": "127.0.0.1", "spark.driver.memory": "4g", "spark.executor.memory": "2g",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0", "spark.sql.shuffle.partitions": "2",
}


# ---- data ---------------------------------------------------------------------------------------------------------


def idx_paths(folder, part):
    """The two files of a part."""
    return [pathlib.Path(folder, f"{PARTS[part]}-{name}.gz") for name in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def cut_idx(source, target, n):
    """The first n rows of both parts as idx files of their own."""
    for part in PARTS:
        for path, header in zip(idx_paths(source, part), (16, 8)):
            data = gzip.decompress(path.read_bytes())
            width = 784 if header == 16 else 1
            count = min(n, (len(data) - header) // width)
            cut = data[:4] + count.to_bytes(4, "big") + data[8 : header + count * width]
            (pathlib.Path(target) / path.name).write_bytes(gzip.compress(cut, 1))


def read_idx(folder, part):
    """Rows of 784 float32 and their labels."""
    images, labels = (gzip.decompress(path.read_bytes()) for path in idx_paths(folder, part))
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784).astype(np.float32)
    return x, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


def as_table(x, y):
    """A table of array<float> and labels."""
    offsets = pa.array(np.arange(len(x) + 1, dtype=np.int32) * x.shape[1])
    return pa.table({"features": pa.ListArray.from_arrays(offsets, pa.array(x.ravel())), "label": pa.array(y)})


def write_parquet(folder, target):
    """Both parts as directories of Parquet files, which Spark reads in as many partitions or fewer."""
    for part in PARTS:
        x, y = read_idx(folder, part)
        place = pathlib.Path(target, part)
        place.mkdir()
        for i, rows in enumerate(np.array_split(np.arange(len(y)), N_FILES)):
            pq.write_table(as_table(x[rows], y[rows]), place / f"{i}.parquet")


# ---- sessions -----------------------------------------------------------------------------------------------------


def classic(master, **more):
    """A session of classic mode."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(master).appName("bench")
    for key, value in {**SETTINGS, **more}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


@contextlib.contextmanager
def local(_directory, settings):
    """Spark's local mode."""
    yield classic("local[2]", **settings), None


@contextlib.contextmanager
def standalone(directory, settings):
    """A cluster of a master and two workers with one executor of one core each."""
    cluster = Standalone(directory, memory="2g")
    try:
        spark = classic(cluster.url, **{"spark.cores.max": "2", **settings})
        wait_for("two executors", lambda: len(cluster.executors()) == 2)
        yield spark, cluster
    finally:
        cluster.stop()


@contextlib.contextmanager
def connect(directory, settings):
    """A Spark Connect server in front of local mode."""
    from pyspark.sql import SparkSession

    server = Connect(directory, settings={"spark.driver.memory": "4g", **settings}.items())
    try:
        yield SparkSession.builder.remote(server.url).getOrCreate(), None
    finally:
        server.stop()


@contextlib.contextmanager
def yarn(directory, settings):
    """Two executors of one core in containers of YARN, the driver outside."""
    import pyspark

    cluster = Yarn(directory)
    os.environ["HADOOP_CONF_DIR"] = str(cluster.conf)
    jars = f"local:{pathlib.Path(pyspark.__file__).parent}/jars/*"
    environment = {f"spark.executorEnv.{name}": os.environ[name] for name in ("PYTHONPATH", "BDL_LIBRARY")}
    try:
        yield classic("yarn", **{"spark.executor.instances": "2", "spark.executor.cores": "1", "spark.yarn.am.memory": "512m",
                                 "spark.yarn.jars": jars, "spark.yarn.stagingDir": directory.as_uri(), **environment, **settings}), None
    finally:
        cluster.stop()


SESSIONS = {"local": local, "standalone": standalone, "connect": connect, "yarn": yarn}


@contextlib.contextmanager
def session(name, **settings):
    """(session, its Standalone cluster or None); what tasks leave in TMPDIR lies in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        os.environ["TMPDIR"] = tempfile.tempdir = place
        with SESSIONS[name](pathlib.Path(place), settings) as (spark, cluster):
            yield spark, cluster
            spark.stop()


def classifier(**params):
    """The estimator of all these benches."""
    from bdl.spark import BdlClassifier

    return BdlClassifier(**{"model": "lenet", "inputShape": SHAPE, "batchSize": BATCH, "optim": OPTIM, "numWorkers": 2,
                            "preprocessing": TRANSFORM, **params})


def legs_under_way():
    """The files that ranks leave in TMPDIR from their rendezvous to the end of the leg."""
    return list(pathlib.Path(tempfile.gettempdir()).glob("bdl-*.json"))


def fit_with_a_death(fit, cluster, seconds):
    """Calls `fit`, and kills an executor (kill -9) some seconds after the ranks of a leg have met. What `fit` gives."""
    result, errors = [], []

    def run():
        try:
            result.append(fit())
        except Exception as error:  # handed on below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for("ranks that train", lambda: legs_under_way() or not thread.is_alive())
    time.sleep(seconds)
    cluster.kill_executor()
    if not legs_under_way() and not errors:
        raise RuntimeError("the leg had ended before the executor was killed: train for longer")
    thread.join()
    if errors:
        raise errors[0]
    return result[0]
