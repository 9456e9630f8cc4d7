# SPDX-License-Identifier: Apache-2.0
"""What a rank does: one task of the barrier stage that trains a leg.

It listens, tells the others where (the one rendezvous of a leg), connects, hands its rows to the C library, trains until
the leg's time is over or training ends, and rank 0 gives back the results as rows. Errors that a second try would meet
again come back as a row, too, so that Spark does not try; those that come from losing a task are raised, so that it does.
"""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Optional

import pyarrow as pa

from bdl._context import Handle
from bdl.errors import (
    BdlCancelledError, BdlError, BdlInternalError, BdlInvalidArgumentError, BdlIOError, BdlShapeError, BdlStateError,
)
from bdl.spark import _native
from bdl.spark._blocks import Rows, decode
from bdl.spark._rows import TRAINING, VALIDATION, join, pieces
from bdl.spark._transform import MODEL_JSON, WEIGHTS

CHECKPOINT, START_MODEL, REPORT, ERROR = "checkpoint", "start model", "report", "error"
NOT_DETERMINISTIC = "input is not deterministic: cache or write it first"
DATA_NAME = "DataFrame"  # of every fit, so that checkpoints fit each other
FILE_TRAINED = "trained"

# A second try may succeed after these.
RETRIED = (BdlIOError, BdlCancelledError, BdlInternalError, BdlStateError)


@dataclass(frozen=True)
class Job:
    """A leg, as the driver describes it to the ranks."""

    options: dict[str, str]  # of `bdl train`
    label_kind: str
    n_classes: int
    n_ranks: int
    threads: int  # 0 = spark.task.cpus
    secret: bytes = field(repr=False)
    encrypt: bool = False
    ports: tuple[int, int] = (0, 0)
    interface: str = ""
    memory_limit: int = 0  # bytes of rows a rank keeps; 0 = half of what it may use
    spill_directory: str = ""
    seconds: float = 0.0  # of training, 0 = to the end
    nonce: str = ""  # names the leg where an earlier try of it left its record
    expected: Optional[dict[str, Any]] = None  # rows and sums of keys that earlier legs saw
    keep_checkpoint: bool = False  # also at the end of training


def rank_function(job: Job) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function of the barrier stage."""

    def train_rank(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import BarrierTaskContext

        task = BarrierTaskContext.get()
        try:
            yield from _Rank(job, task).run(batches)
        except RETRIED:
            raise
        except BdlError as error:
            text = json.dumps({"code": error.code, "text": str(error), "rank": task.partitionId()})
            yield from pieces(ERROR, text.encode())

    return train_rank


class _Rank:
    """A rank and what it owns."""

    def __init__(self, job: Job, task: Any) -> None:
        self.job = job
        self.task = task
        self.rank: int = task.partitionId()
        self.begin = time.time()
        self.files: dict[str, dict[int, bytes]] = {CHECKPOINT: {}, START_MODEL: {}, WEIGHTS: {}}

    def run(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Trains the leg and gives its results."""
        with ExitStack() as stack:
            context = _native.make_context(self.job.threads or self.task.cpus())
            stack.callback(context.close)
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="bdl-rank-"))
            blocks = self._blocks(batches)
            first = next(blocks, None)
            group, forms = self._join(context, first[1] if first else None)
            stack.callback(group.close)
            data = self._collect(context, group, first, blocks, forms, stack)
            result = self._train(context, group, data, directory)
            yield from result

    # ---- the rendezvous -----------------------------------------------------------------------------------------

    def _host(self) -> str:
        """The address by which Spark knows this executor, without the port."""
        address = str(self.task.getTaskInfos()[self.rank].address)
        return address.rsplit(":", 1)[0].strip("[]") if ":" in address else address

    def _join(self, context: Handle, first: Optional[Rows]) -> tuple[Handle, list[dict[str, Any]]]:
        """Connects all ranks; gives the group and what each rank's rows look like."""
        job = self.job
        n = self.task.getTaskInfos()
        if len(n) != job.n_ranks:
            raise BdlStateError(f"expected {job.n_ranks} tasks, Spark started {len(n)}")
        group = _native.listen(context, self.rank, job.n_ranks, job.secret, job.interface or self._host(), job.ports,
                               job.encrypt)
        form = None if first is None else {"shape": list(first.shape), "dtype": first.dtype, "width": first.labels.shape[1]}
        told = json.dumps({"address": _native.address(group), "form": form})
        everyone = [json.loads(text) for text in self.task.allGather(told)]
        _native.connect(group, [one["address"] for one in everyone])
        return group, [one["form"] for one in everyone if one["form"] is not None]

    # ---- rows ---------------------------------------------------------------------------------------------------

    def _blocks(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, Rows]]:
        """Blocks of samples as they come; pieces of files are put aside."""
        for batch in batches:
            kinds = batch.column("kind").to_pylist()
            numbers = batch.column("number").to_pylist()
            for i, (kind, number) in enumerate(zip(kinds, numbers)):
                data = batch.column("bytes")[i].as_buffer()
                if kind in (TRAINING, VALIDATION):
                    yield kind, decode(data)
                else:
                    self.files.setdefault(kind, {})[number] = data.to_pybytes()

    def _collect(self, context: Handle, group: Handle, first: Optional[tuple[str, Rows]], blocks: Iterator[tuple[str, Rows]],
                 forms: list[dict[str, Any]], stack: ExitStack) -> dict[str, Handle]:
        """Pushes all rows, which the library brings to the ranks that own them."""
        if not forms:
            raise BdlInvalidArgumentError("the DataFrame has no rows to train on")
        form = forms[0]
        if any(other != form for other in forms):
            raise BdlShapeError(f"rows of one shape are needed, found {[f['shape'] for f in forms]}")
        job = self.job
        data = {}
        for kind in (TRAINING, VALIDATION):
            options = _native.data_options(
                tuple(form["shape"]), form["dtype"], form["width"], job.label_kind, n_classes=job.n_classes,
                name=DATA_NAME.encode(), memory_limit=job.memory_limit,
                spill_directory=self._spill_directory().encode(),
            )
            data[kind] = _native.make_data(context, options, group)
            stack.callback(data[kind].close)
        pending = [first] if first else []
        counts = {TRAINING: 0, VALIDATION: 0}
        for kind, rows in [*pending]:
            counts[kind] += self._push(data[kind], rows, form)
        for kind, rows in blocks:
            counts[kind] += self._push(data[kind], rows, form)
        return data

    def _push(self, data: Handle, rows: Rows, form: dict[str, Any]) -> int:
        found = {"shape": list(rows.shape), "dtype": rows.dtype, "width": rows.labels.shape[1]}
        if found != form:
            raise BdlShapeError(f"rows of one shape are needed, found {form['shape']} and {found['shape']}")
        _native.push(data, rows, self.job.label_kind)
        return len(rows)

    def _spill_directory(self) -> str:
        """Spark's local directory for this executor, or what the driver said."""
        given = self.job.spill_directory or os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
        return given or tempfile.gettempdir()
