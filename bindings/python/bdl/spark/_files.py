# SPDX-License-Identifier: Apache-2.0
"""Files by paths that Spark understands (hdfs:, s3a:, abfss:, file: or the default file system).

In classic mode through Hadoop's FileSystem in the driver's JVM; over Spark Connect, where there is no JVM, by the
session's own copying of files and its data source of binary files.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from bdl.errors import BdlIOError, BdlNotFoundError


def is_connect(spark: Any) -> bool:
    """Whether the session is a client of Spark Connect."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def join(path: str, name: str) -> str:
    """A file in a directory."""
    return f"{path.rstrip('/')}/{name}"


def _hadoop(spark: Any, path: str) -> tuple[Any, Any]:
    """Hadoop's file system and path."""
    jvm = spark._jvm
    found = jvm.org.apache.hadoop.fs.Path(path)
    return found.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()), found


def exists(spark: Any, path: str) -> bool:
    """Whether there is a file or directory."""
    if not is_connect(spark):
        system, found = _hadoop(spark, path)
        return bool(system.exists(found))
    from pyspark.errors import AnalysisException

    try:
        spark.read.format("binaryFile").load(path).schema
    except AnalysisException as error:
        if error.getCondition() == "PATH_NOT_FOUND":
            return False
        raise
    return True


def remove(spark: Any, path: str) -> None:
    """Removes a directory with all in it. Spark Connect cannot; what is written there later replaces its files."""
    if not is_connect(spark):
        system, found = _hadoop(spark, path)
        system.delete(found, True)


def write(spark: Any, path: str, data: bytes) -> None:
    """Writes a file, replacing one that is there."""
    descriptor, local = tempfile.mkstemp(prefix="bdl-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        if is_connect(spark):
            spark.copyFromLocalToFs(local, path)
        else:
            system, found = _hadoop(spark, path)
            system.copyFromLocalFile(True, True, spark._jvm.org.apache.hadoop.fs.Path("file:" + local), found)
    except Exception as error:
        raise BdlIOError(f"cannot write '{path}': {first_line(error)}") from error
    finally:
        if os.path.exists(local):
            os.unlink(local)


def read(spark: Any, path: str) -> bytes:
    """Reads a file."""
    if not exists(spark, path):
        raise BdlNotFoundError(f"there is no file '{path}'")
    try:
        return _read_connect(spark, path) if is_connect(spark) else _read_classic(spark, path)
    except Exception as error:
        raise BdlIOError(f"cannot read '{path}': {first_line(error)}") from error


def _read_connect(spark: Any, path: str) -> bytes:
    rows = spark.read.format("binaryFile").load(path).select("content").toArrow()
    return bytes(rows.column("content")[0].as_py())


def _read_classic(spark: Any, path: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="bdl-") as directory:
        local = os.path.join(directory, "file")
        system, found = _hadoop(spark, path)
        system.copyToLocalFile(False, found, spark._jvm.org.apache.hadoop.fs.Path("file:" + local), True)
        with open(local, "rb") as file:
            return file.read()


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
