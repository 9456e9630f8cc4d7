# SPDX-License-Identifier: Apache-2.0
"""LeNet learns to read digits on two executors of Spark, is saved, loaded, and predicts.

    python3 examples/spark/digits.py [MASTER [DIRECTORY]]

Needs pyspark and Java 17. MASTER is local-cluster[2,1,1024] by default: two executors of one core on this machine.
"""

import pathlib
import sys

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import bdl
from bdl.spark import BdlClassificationModel, BdlClassifier


def rows(spark, data):
    """A DataFrame of 784 pixels and a label a row."""
    x, y = data.to_numpy()
    x = x.reshape(len(x), -1)
    pixels = pa.ListArray.from_arrays(pa.array(np.arange(len(x) + 1, dtype=np.int32) * x.shape[1]), pa.array(x.ravel()))
    return spark.createDataFrame(pa.table({"pixels": pixels, "digit": y}))


def main(master="local-cluster[2,1,1024]", directory="digits"):
    builder = SparkSession.builder.master(master).appName("digits").config("spark.executor.memory", "1g")
    builder = builder.config("spark.scheduler.minRegisteredResourcesRatio", "1.0").config("spark.ui.showConsoleProgress", "false")
    spark = builder.config("spark.ui.enabled", "false").config("spark.log.level", "ERROR").getOrCreate()
    train = rows(spark, bdl.data.open_data(bdl.data.Digits(count=20000), "train"))
    test = rows(spark, bdl.data.open_data(bdl.data.Digits(count=4000), "test"))

    estimator = BdlClassifier(
        model="lenet", featuresCol="pixels", labelCol="digit", inputShape=[1, 28, 28], numWorkers=2, epochs=5,
        preprocessing="normalize(mean=[0.5], std=[0.5], divide=255)",
    )
    model = estimator.fit(train)
    print("mean loss of each epoch:", ", ".join(f"{loss:.3f}" for loss in model.summary.lossHistory))

    path = pathlib.Path(directory).resolve().as_uri()
    model.write().overwrite().save(path)
    predicted = BdlClassificationModel.load(path).transform(test)
    accuracy = predicted.agg(F.avg((F.col("digit") == F.col("prediction")).cast("double"))).first()[0]
    print(f"{test.count()} other digits: {accuracy:.2%} right; the model is in {directory}")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
