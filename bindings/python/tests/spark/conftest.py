# SPDX-License-Identifier: Apache-2.0
"""A session of Spark's local mode for the tests of a file; without pyspark there is nothing to collect."""

import importlib.util

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("pyspark") else ["test_*.py"]


@pytest.fixture(scope="module")
def local_session():
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("bdl tests").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "2").config("spark.driver.memory", "2g").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
