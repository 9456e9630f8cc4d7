#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One fit of LeNet in Spark on Parquet files that weights.py wrote; prints one JSON object.

    fit.py local|standalone|killed|connect|yarn PARQUET [--epochs 5] [--kill-after 1] [--keep DIR]

`killed` is the standalone cluster, one of whose two executors dies by kill -9 while they train. --keep writes Spark's event
log and the history into DIR, for tools/draw_executors.py.
"""

import argparse
import hashlib
import json
import pathlib
import time

from common import SESSIONS, classifier, fit_with_a_death, session


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("front", choices=[*SESSIONS, "killed"])
    parser.add_argument("parquet")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--kill-after", type=float, default=1.0, help="seconds from the ranks' meeting to the kill")
    parser.add_argument("--keep")
    o = parser.parse_args()
    settings = {}
    if o.keep:
        pathlib.Path(o.keep).mkdir(parents=True)
        settings = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": pathlib.Path(o.keep).resolve().as_uri(),
                    "spark.eventLog.rolling.enabled": "false", "spark.eventLog.compress": "false"}
    with session("standalone" if o.front == "killed" else o.front, **settings) as (spark, cluster):
        from pyspark.sql import functions as F

        train, test = (spark.read.parquet(f"file:{o.parquet}/{part}") for part in ("train", "test"))
        estimator = classifier(epochs=o.epochs)
        if o.keep:
            train = train.withColumn("held_out", F.lit(False)).union(test.withColumn("held_out", F.lit(True)))
            estimator.setValidationIndicatorCol("held_out")
        start = time.monotonic()
        if o.front == "killed":
            model = fit_with_a_death(lambda: estimator.fit(train), cluster, o.kill_after)
        else:
            model = estimator.fit(train)
        wall = time.monotonic() - start
        right = model.transform(test).agg(F.avg((F.col("label") == F.col("prediction")).cast("double"))).first()[0]
        weights = model._contents.content["weights.safetensors"]
    summary = model.summary
    if o.keep:
        pathlib.Path(o.keep, "history.json").write_text(json.dumps(summary.history) + "\n", encoding="utf-8")
    print(json.dumps({"front": o.front, "top1": right, "sha256": hashlib.sha256(weights).hexdigest(), "wall": round(wall, 2),
                      "training": round(summary.seconds, 2), "rows": summary.rows, "workers": summary.workers,
                      "images_per_second": round(summary.rows * o.epochs / summary.seconds)}))


if __name__ == "__main__":
    main()
