# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=600
"""Workers keep to their cap, whatever the data's size."""

from types import SimpleNamespace

import pytest

from bdl.errors import BdlInvalidArgumentError, BdlOutOfMemoryError
from bdl.spark import BdlClassifier
from bdl.spark._cluster import parse_bytes
from bdl.spark._memory import LEAST_LEFT, default_share, limit_of, rows_limit

from data import MLP, classes, frame
from memory import MIB, fit_and_sample

CAP, EPOCHS = 224, 20  # MiB of each of two workers


@pytest.fixture(scope="module")
def spark(local_session):
    return local_session


def test_memory_is_flat_and_below_the_cap_on_larger_data(spark, tmp_path, monkeypatch):
    size = 4 * 2 * CAP * MIB
    found = fit_and_sample(spark, tmp_path, monkeypatch, CAP, size, EPOCHS)
    peaks = [found.epochs[epoch] for epoch in range(EPOCHS)]
    print({"before": found.before // MIB, "epochs": [peak // MIB for peak in peaks], "spilled": found.spilled // MIB})
    assert max(found.before, *peaks) < 2 * CAP * MIB
    assert max(peaks[10:]) < 1.02 * max(peaks[1:10])
    assert size - 2 * CAP * MIB < found.spilled
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given, settings, expected",
    [
        (0, {}, 0),
        (300, {"spark.executor.pyspark.memory": "1g"}, 300),
        (0, {"spark.executor.pyspark.memory": "1g", "spark.executor.memoryOverhead": "3g"}, 1024),
        (0, {"spark.executor.pyspark.memory": "1g", "spark.executor.cores": "4", "spark.task.cpus": "2"}, 256),
        (0, {"spark.executor.memoryOverhead": "1024", "spark.executor.cores": "4", "spark.task.cpus": "2"}, 256),
    ],
)
def test_where_the_cap_comes_from(given, settings, expected):
    """Spark gives each Python worker what spark.executor.pyspark.memory is for a core; the overhead is shared with Java."""
    found = limit_of(SimpleNamespace(conf=settings), BdlClassifier(memoryLimit=given))
    assert found == expected * MIB


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"spark.executor.memory": "64g"}, 0),
        ({"spark.master": "local[8]"}, 0),
        ({"spark.master": "yarn"}, 192),
        ({"spark.master": "yarn", "spark.kubernetes.memoryOverheadFactor": "0.4", "spark.executor.memory": "20g"}, 1024),
        ({"spark.master": "yarn", "spark.executor.memory": "20g", "spark.executor.cores": "8", "spark.task.cpus": "2"}, 256),
        ({"spark.master": "yarn", "spark.executor.memory": "20g", "spark.executor.minMemoryOverhead": "3g"}, 1536),
        ({"spark.master": "k8s://https://host:6443", "spark.executor.memory": "10g"}, 512),
        ({"spark.master": "k8s://https://host:6443", "spark.executor.memory": "10g", "spark.kubernetes.memoryOverheadFactor": "0.4"}, 2048),
        ({"spark.master": "k8s://https://host:6443", "spark.executor.memory": "10g", "spark.kubernetes.memoryOverheadFactor": "0.4",
          "spark.executor.memoryOverheadFactor": "0.2"}, 1024),
    ],
)
def test_the_overhead_that_yarn_and_kubernetes_have_by_default_bounds_rows_only(settings, expected):
    """max(factor x spark.executor.memory, minMemoryOverhead), half of it for the workers."""
    spark = SimpleNamespace(conf=settings)
    assert default_share(spark) == expected * MIB and limit_of(spark, BdlClassifier()) == 0
    assert rows_limit(0, 1 << 40, 2) == pytest.approx((1 << 40) / 4, rel=0.01)
    assert rows_limit(0, 1, 1) == LEAST_LEFT // 2 and rows_limit(0, 0, 1) == 0


@pytest.mark.parametrize("text, expected", [("10", 10 * MIB), ("64b", 64), ("1K", 1024), ("3mb", 3 * MIB), (" 2g ", 2048 * MIB), ("1T", 1 << 40)])
def test_sizes_as_spark_writes_them(text, expected):
    assert parse_bytes(text, MIB) == expected


@pytest.mark.parametrize("text", ["", "b", "-1", "1.5g", "2q", "2gg"])
def test_what_is_no_size_is_named(text):
    with pytest.raises(BdlInvalidArgumentError, match=f"expected a size such as '512m' or '2g', found '{text}'"):
        parse_bytes(text, 1)


def test_a_cap_that_is_too_low_names_both_settings(spark):
    words = ("MiB before it has rows or a model, and may use 1 MiB: raise memoryLimit .now 1 MiB., or, where that is 0, "
             "spark.executor.pyspark.memory or spark.executor.memoryOverhead")
    with pytest.raises(BdlOutOfMemoryError, match=words):
        BdlClassifier(model=MLP, epochs=1, numWorkers=2, memoryLimit=1).fit(frame(spark, *classes()))


def test_a_model_that_needs_more_than_the_cap_ends_training(spark):
    with pytest.raises(BdlOutOfMemoryError, match="a worker process uses [0-9]+ MiB and may use 224 MiB: raise memoryLimit .now 224"):
        BdlClassifier(model="mlp(hidden=[1000000])", epochs=1, numWorkers=2, memoryLimit=CAP).fit(frame(spark, *classes()))
