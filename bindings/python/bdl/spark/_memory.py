# SPDX-License-Identifier: Apache-2.0
"""The cap on the memory of a worker process: where it comes from, what it leaves for rows, and that it is kept."""

from __future__ import annotations

import os
from typing import Any

from bdl.errors import BdlOutOfMemoryError
from bdl.spark import _cluster
from bdl.spark.params import TrainingParams

PYSPARK_MEMORY, OVERHEAD = "spark.executor.pyspark.memory", "spark.executor.memoryOverhead"
LEAST_LEFT = 16 << 20  # bytes for rows, batches and the model without which no training begins


def limit_of(spark: Any, params: TrainingParams) -> int:
    """Bytes that a worker process may use; 0 = no cap is set."""
    given = int(params.getOrDefault(params.memoryLimit))
    if given:
        return given << 20
    cores = max(1, int(_cluster.setting(spark, "spark.executor.cores", "1")))
    text = _cluster.setting(spark, PYSPARK_MEMORY, "")
    if text:
        return _cluster.parse_bytes(text, 1 << 20) // cores  # Spark's own limit for a Python worker
    text = _cluster.setting(spark, OVERHEAD, "")
    return _cluster.parse_bytes(text, 1 << 20) // 2 // max(1, cores // _cluster.task_cpus(spark)) if text else 0


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def advice(limit: int) -> str:
    """How to allow more."""
    of = f" (now {limit >> 20} MiB)" if limit else ""
    return (f"raise memoryLimit{of}, or, where that is 0, {PYSPARK_MEMORY} or {OVERHEAD} from which it follows; smaller "
            "batches and fewer threadsPerWorker need less")


def rows_limit(limit: int, n_sets: int) -> int:
    """Bytes of rows that each of `n_sets` data sets of this process may keep in memory: half of what is left below the
    cap, as the model and the batches on their way need memory, too. Without a cap 0, which the library knows to fill."""
    if not limit:
        return 0
    left = limit - resident()
    if left < LEAST_LEFT:
        raise BdlOutOfMemoryError(
            f"a worker process uses {resident() >> 20} MiB before it has rows or a model, and may use {limit >> 20} MiB: "
            f"{advice(limit)}"
        )
    return left // 2 // n_sets


def excess(limit: int) -> str:
    """What is wrong, where this process uses more than its cap; else ''."""
    used = resident()
    if not limit or used <= limit:
        return ""
    return f"a worker process uses {used >> 20} MiB and may use {limit >> 20} MiB: {advice(limit)}"
