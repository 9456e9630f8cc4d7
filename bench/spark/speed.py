#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast training and predicting in Spark are; prints JSON objects, then a median.

    speed.py ranks [--seconds 62] [--rounds 1]   a leg on two executors against `bdl launch -n 2`, the same work in turn
    speed.py local                               training within local[2], and the time from fit to the first step
    speed.py ingest [--copies 8]                 GB/s from a cached DataFrame into the ranks
    speed.py transform [--rounds 3]              200,000 cached rows against df.toArrow() and model.predict

Needs BDL_TEST_DATA, and the environment that bench/run makes.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

from common import BATCH, BDL, OPTIM, SHAPE, TRANSFORM, classifier, read_idx, session, write_parquet

ROWS = 60000
FIGURES = {  # of a case: what its median is taken of, and what that should reach
    "ranks": ("ratio", 0.95), "local": ("against_bigdl", 20), "ingest": ("gb_per_second", 0.15), "transform": ("ratio", 0.8),
}
BIGDL_BEST = 5450  # records/s of BigDL 0.13 in local[2] on LeNet, batch 128, in its third epoch


def mnist():
    return pathlib.Path(os.environ["BDL_TEST_DATA"], "mnist/gz")


def launch(epochs):
    """images/s of two ranks that the command starts."""
    done = subprocess.run([BDL, "launch", "-n", "2", "--threads", "1", "--", "train", "lenet", "--data", f"mnist:{mnist()}",
                           "--batch", str(BATCH), "--optim", OPTIM, "--transform", TRANSFORM, "--epochs", str(epochs), "--json",
                           "--quiet"], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])["samples_per_second"]


def timed_fit(rows, epochs, **params):
    """images/s of a fit within its one leg, the seconds it trained, and those of the call."""
    from bdl.spark import _fit

    _fit.FIRST_LEG_SECONDS = 600.0  # one leg, however long
    start = time.monotonic()
    summary = classifier(epochs=epochs, **params).fit(rows).summary
    wall = time.monotonic() - start
    assert summary.legs == 1
    return summary.rows * epochs / summary.seconds, summary.seconds, wall


def ranks(o):
    """Pairs of the same work: Spark's ranks and the command's."""
    epochs = max(1, round(o.seconds * launch(20) / ROWS))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        write_parquet(mnist(), folder)
        with session("standalone") as (spark, _):
            rows = spark.read.parquet(f"file:{folder}/train")
            for _ in range(o.rounds):
                rate, training, wall = timed_fit(rows, epochs)
                alone = launch(epochs)
                yield {"case": "ranks", "epochs": epochs, "spark": round(rate), "launch": round(alone),
                       "ratio": round(rate / alone, 3), "leg_seconds": round(training, 1),
                       "launch_seconds": round(epochs * ROWS / alone, 1), "fit_less_training_seconds": round(wall - training, 1)}


def local(o):
    """Training within Spark's local mode, by two ranks and by one of two threads, from the session's first fit on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        write_parquet(mnist(), folder)
        with session("local") as (spark, _):
            rows = spark.read.parquet(f"file:{folder}/train")
            for _ in range(o.rounds):
                two, training, wall = timed_fit(rows, 20)
                one, _, _ = timed_fit(rows, 20, numWorkers=1, threadsPerWorker=2)
                yield {"case": "local", "two_workers": round(two), "one_worker_two_threads": round(one),
                       "against_bigdl": round(max(one, two) / BIGDL_BEST, 1),
                       "fit_less_training_seconds": round(wall - training, 2)}


def ingest(o):
    """A fit of one iteration on many rows and on few: what each further byte takes until the first step."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, session("local", **{"spark.driver.memory": "8g"}) as (spark, _):
        write_parquet(mnist(), folder)
        few = spark.read.parquet(f"file:{folder}/train").cache()
        many = spark.read.parquet(*[f"file:{folder}/train"] * o.copies).cache()
        counts = few.count(), many.count()
        estimator = classifier(iterations=1, verbose=False)
        estimator.fit(few)
        for _ in range(o.rounds):
            seconds = []
            for rows in (few, many):
                start = time.monotonic()
                estimator.fit(rows)
                seconds.append(time.monotonic() - start)
            size = (counts[1] - counts[0]) * 784 * 4
            yield {"case": "ingest", "gb_per_second": round(size / (seconds[1] - seconds[0]) / 1e9, 3), "rows": counts,
                   "seconds": [round(s, 2) for s in seconds]}


def transform(o):
    """The model's column against the same rows brought to the driver and predicted there."""
    import bdl

    n = 200_000
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, session("local", **{
            "spark.driver.memory": "8g", "spark.driver.maxResultSize": "4g"}) as (spark, _):
        write_parquet(mnist(), folder)
        rows = spark.read.parquet(*[f"file:{folder}/train"] * 4).limit(n).repartition(8).cache()
        assert rows.count() == n
        model = classifier(epochs=1, verbose=False).fit(spark.read.parquet(f"file:{folder}/train"))
        model.export(folder + "/model")
        alone = bdl.load(folder + "/model")
        for _ in range(o.rounds + 1):
            start = time.monotonic()
            model.transform(rows).write.format("noop").mode("overwrite").save()
            ours = time.monotonic() - start
            start = time.monotonic()
            chunks = rows.toArrow().column("features").chunks
            scores = alone.predict(np.concatenate([chunk.values.to_numpy() for chunk in chunks]).reshape(-1, *SHAPE))
            theirs = time.monotonic() - start
            assert len(scores) == n
            yield {"case": "transform", "transform_seconds": round(ours, 2), "to_arrow_predict_seconds": round(theirs, 2),
                   "ratio": round(theirs / ours, 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=FIGURES)
    parser.add_argument("--seconds", type=float, default=62)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=0, help="1 for ranks, else 3")
    o = parser.parse_args()
    o.rounds = o.rounds or (1 if o.case == "ranks" else 3)
    lines = []
    for line in globals()[o.case](o):
        lines.append(line)
        print(json.dumps(line), flush=True)
    figure, least = FIGURES[o.case]
    median = statistics.median(line[figure] for line in lines)
    print(f"{o.case}: median {figure} {median:g} (at least {least:g}: {'ok' if median >= least else 'MISSED'})")


if __name__ == "__main__":
    main()
