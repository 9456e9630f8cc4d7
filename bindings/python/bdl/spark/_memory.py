# SPDX-License-Identifier: Apache-2.0
"""The cap on the memory of a worker process: where it comes from, what it leaves for rows, and that it is kept."""

from __future__ import annotations

import os
from typing import Any

from bdl.errors import BdlOutOfMemoryError
from bdl.spark import _cluster
from bdl.spark.params import TrainingParams

PYSPARK_MEMORY, OVERHEAD = "spark.executor.pyspark.memory", "spark.executor.memoryOverhead"
FACTOR, KUBERNETES_FACTOR = "spark.executor.memoryOverheadFactor", "spark.kubernetes.memoryOverheadFactor"
LEAST_OVERHEAD = "spark.executor.minMemoryOverhead"
IO_ENCRYPTION = "spark.io.encryption.enabled"
ENCRYPTED_ADVICE = (f"with {IO_ENCRYPTION}=true bdl writes no rows to Spark's local directory, as they would lie there in clear: "
                    "all must have room in memory, or spillDir names a directory on an encrypted disk")
LEAST_LEFT = 16 << 20  # bytes for rows, batches and the model without which no training begins


def limit_of(spark: Any, params: TrainingParams) -> int:
    """Bytes that a worker process may use; 0 = no cap is set."""
    given = int(params.getOrDefault(params.memoryLimit))
    if given:
        return given << 20
    text = _cluster.setting(spark, PYSPARK_MEMORY, "")
    if text:
        return _cluster.parse_bytes(text, 1 << 20) // _cores(spark)  # Spark's own limit for a Python worker
    text = _cluster.setting(spark, OVERHEAD, "")
    return _share(spark, _cluster.parse_bytes(text, 1 << 20)) if text else 0


def default_share(spark: Any) -> int:
    """A worker's share of the overhead that YARN and Kubernetes hold an executor to where none is set; 0 elsewhere. No cap:
    how much of the executor's other memory Java leaves to Python is not known, only that not the whole machine is there."""
    master = _cluster.setting(spark, "spark.master", "")
    if master != "yarn" and not master.startswith("k8s"):
        return 0
    # Kubernetes sets its own factor for Python where the driver is in the cluster, too.
    factor = _cluster.setting(spark, KUBERNETES_FACTOR, "0.1") if master != "yarn" else "0.1"
    factor = _cluster.setting(spark, FACTOR, factor)
    least = _cluster.parse_bytes(_cluster.setting(spark, LEAST_OVERHEAD, "384m"), 1 << 20)
    memory = _cluster.parse_bytes(_cluster.setting(spark, "spark.executor.memory", "1g"), 1 << 20)
    return _share(spark, max(least, int(memory * float(factor))))


def _cores(spark: Any) -> int:
    return max(1, int(_cluster.setting(spark, "spark.executor.cores", "1")))


def _share(spark: Any, overhead: int) -> int:
    """What each worker of an executor may have of its overhead, half of which is for Java."""
    return overhead // 2 // max(1, _cores(spark) // _cluster.task_cpus(spark))


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def advice(limit: int) -> str:
    """How to allow more."""
    of = f" (now {limit >> 20} MiB)" if limit else ""
    return (f"raise memoryLimit{of}, or, where that is 0, {PYSPARK_MEMORY} or {OVERHEAD} from which it follows; smaller "
            "batches and fewer threadsPerWorker need less")


def rows_limit(limit: int, share: int, n_sets: int) -> int:
    """Bytes of rows that each of `n_sets` data sets of this process may keep in memory: half of what is left below the
    cap, as the model and the batches on their way need memory, too. Without a cap half of what is left of the share, or
    little; without both 0, which the library knows to fill."""
    if not limit:
        return max(share - resident(), LEAST_LEFT) // 2 // n_sets if share else 0
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
