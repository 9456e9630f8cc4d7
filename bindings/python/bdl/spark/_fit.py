# SPDX-License-Identifier: Apache-2.0
"""Training on the driver's side: legs, one barrier stage each, until training ends.

    input -> map stage: blocks of rows -> exchange -> barrier stage: ranks train -> exchange -> rows of results

The last exchange makes the barrier stage one that Spark tries again by itself when a task or an executor is lost. Where Spark
has no barrier stages (dynamic allocation) the ranks are tasks of a plain stage that meet at the driver.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional

import pyarrow as pa
from pyspark.sql import DataFrame

from bdl import errors
from bdl.errors import (
    BdlError, BdlFormatError, BdlInvalidArgumentError, BdlIOError, BdlNotFoundError, BdlUnsupportedError, error_of,
)
from bdl.spark import _cluster, _files, _memory
from bdl.spark._checkpoint import Leg, Store, of_kind, report_of
from bdl.spark._columns import Columns, numbered
from bdl.spark._line import Line, Switchboard
from bdl.spark._rank import CHECKPOINT, ERROR, REPORT, START_MODEL, START_WEIGHTS, Job, rank_function
from bdl.spark._rendezvous import Rendezvous
from bdl.spark._rows import SCHEMA, block_maker, parts_of, pieces
from bdl.spark._transform import MODEL_JSON, WEIGHTS
from bdl.spark.params import TrainingParams

FIRST_LEG_SECONDS = 60.0
PROGRESS_SECONDS = 10.0  # between lines of progress inside a leg
OVERHEAD_SHARE = 0.02  # of a leg's time that its start and the exchange of rows may take
SECRET_BYTES = 32
SHARD_ROWS = 16  # of a batch, of which workers take whole shards
MOST_RANKS = re.compile(r"cannot be shared by \d+ ranks: use at most (\d+) rank")  # the library on a batch, or on all rows
LACKS = {  # in Spark's words, and in ours
    r"^\s*ModuleNotFoundError: No module named '(bdl|numpy|pandas|pyarrow)\b": "the executors' Python has no module '{}'",
    r'Cannot run program "([^"]+)"': "an executor cannot run '{}'",
}
OPTIONS = {  # Params that are options of `bdl train`, by their names there
    "batchSize": "batch", "shards": "shards", "epochs": "epochs", "iterations": "iterations", "until": "until", "optim": "optim",
    "schedule": "schedule", "loss": "loss", "metrics": "metrics", "precision": "precision", "preprocessing": "transform",
    "clip": "clip", "wire": "wire", "seed": "seed",
}


@dataclass
class Trained:
    """What a fit gives."""

    files: dict[str, bytes]
    report: dict[str, Any]
    legs: int
    workers: int


def train_options(params: TrainingParams) -> dict[str, str]:
    """The options of `bdl train` that are set, as texts."""
    found = {}
    for name, option in OPTIONS.items():
        value = params.getOrDefault(name)
        if value not in ("", None):
            found[option] = str(value)
    return found


def parse_ports(text: str) -> tuple[int, int]:
    """'40000-40099' as a pair; '' as (0, 0)."""
    if not text:
        return 0, 0
    first, _, last = text.partition("-")
    try:
        ports = int(first), int(last or first)
    except ValueError:
        ports = 0, 0
    if not 1 <= ports[0] <= ports[1] <= 65535:
        raise BdlInvalidArgumentError(f"ports: expected a range such as '40000-40099', found '{text}'")
    return ports


def check_numbers(params: TrainingParams) -> None:
    """Refuses numbers that the driver itself could not go by; the library checks its own options."""
    for name, least in {"batchSize": 1, "shards": 0, "numWorkers": 0, "threadsPerWorker": 0, "memoryLimit": 0, "numClasses": 0}.items():
        value = params.getOrDefault(name) if params.hasParam(name) else least
        if value < least:
            raise BdlInvalidArgumentError(f"{name}: expected at least {least}, found {value}")
    for name in ("maxLostWork", "slotTimeout"):
        value = params.getOrDefault(name)
        if not value > 0:
            raise BdlInvalidArgumentError(f"{name}: expected more than 0 seconds, found {value:g}")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        kind = BdlNotFoundError if isinstance(error, FileNotFoundError) else BdlIOError
        raise kind(f"model: cannot read '{path}': {error.strerror}") from error


def start_files(model: str) -> dict[str, bytes]:
    """What the ranks need of the model to begin with: nothing for a ready-made one; a graph; or graph and weights. A
    directory is known by its '/': './lenet' is one, 'lenet' the ready-made model."""
    if model.lstrip().startswith("{"):
        return {START_MODEL: model.encode()}
    if os.sep in model and os.path.isdir(model):
        return {START_MODEL: _read(os.path.join(model, MODEL_JSON)), START_WEIGHTS: _read(os.path.join(model, WEIGHTS))}
    if model.endswith(".json"):
        return {START_MODEL: _read(model)}
    return {}


def duration(seconds: float) -> str:
    """'42 s', '3 min 20 s' or '2 h 05 min'."""
    n = round(seconds)
    if n < 60:
        return f"{n} s"
    return f"{n // 60} min {n % 60:02d} s" if n < 3600 else f"{n // 3600} h {n % 3600 // 60:02d} min"


class Fit:
    """One call of `fit`."""

    def __init__(self, params: TrainingParams, dataset: DataFrame, columns: Columns) -> None:
        check_numbers(params)
        self.params = params
        self.spark: Any = dataset.sparkSession
        self.dataset = dataset
        self.columns = columns
        self.store = Store(self.spark, params.getCheckpointDir())
        self.files = start_files(params.getModel())
        self.ports = parse_ports(params.getPorts())
        self.timeout = params.getSlotTimeout()
        self.workers = 0
        self.is_dynamic = _cluster.is_dynamic(self.spark)
        self._has_run = False  # some task of this fit ran
        self._meeting: Optional[Rendezvous] = None  # of the leg that runs without barrier

    # ---- the legs -----------------------------------------------------------------------------------------------

    def run(self) -> Trained:
        """Trains to the end."""
        _cluster.check_settings(self.spark)
        last = self._begin()
        seconds = min(FIRST_LEG_SECONDS, self.params.getMaxLostWork())
        self.workers = self._choose_workers()
        while last is None or not last.report["done"]:
            started = time.monotonic()
            last = self._leg(last, seconds)
            self._report(last, time.monotonic() - started)
            seconds = self._next_seconds(last, time.monotonic() - started)
        files = {name: last.file(self.spark, name) for name in (MODEL_JSON, WEIGHTS)}
        return Trained(files, last.report, last.number, self.workers)

    def _begin(self) -> Optional[Leg]:
        """The leg to go on from, or None."""
        if not self.params.getCheckpointDir():
            if self.params.getResume():
                raise BdlInvalidArgumentError("resume needs checkpointDir")
            return None
        if not self.params.getResume():
            self.store.check_new()
            return None
        found = self.store.newest()
        if found is not None and found.report["limits"] != self._limits():  # it may have reached those, not these
            found.report["done"] = False
        return found

    def _limits(self) -> list[Any]:
        """What ends training."""
        return [self.params.getOrDefault(name) for name in ("epochs", "iterations", "until")]

    def _choose_workers(self) -> int:
        wanted = self.params.getNumWorkers()
        if wanted and self.is_dynamic:  # they come when tasks wait for them
            found = wanted
        elif wanted:
            found = _cluster.wait_for_slots(self.spark, wanted, self.timeout, self._say)
        else:
            found = _cluster.count_slots(self.spark, 0, self.timeout)
            if found < 1:
                raise _cluster.few_slots(1, found, self.timeout)
        threads = self.params.getThreadsPerWorker() or _cluster.task_cpus(self.spark)
        shards = self.params.getShards() or -(-self.params.getBatchSize() // SHARD_ROWS)
        workers = wanted or min(found, shards)
        raised = "numWorkers" if wanted else "shards" if self.params.getShards() else "batchSize"
        idle = f" ({found} task slots; raise {raised} to use them all)" if workers < found else ""
        self._say(f"training on {workers} worker{'s' if workers != 1 else ''} x {threads} "
                  f"thread{'s' if threads != 1 else ''}{idle}")
        return workers

    def _next_seconds(self, leg: Leg, wall: float) -> float:
        """So long that the leg's start costs little, but not more than may be lost."""
        overhead = max(1.0, wall - float(leg.report["seconds_of_leg"]))
        return min(self.params.getMaxLostWork(), max(FIRST_LEG_SECONDS, overhead / OVERHEAD_SHARE))

    # ---- one leg ------------------------------------------------------------------------------------------------

    def _job(self, last: Optional[Leg], seconds: float, secret: bytes, driver: str) -> Job:
        params = self.params
        options = train_options(params)
        if not self.files:
            options["model"] = params.getModel()
        if self.columns.label is None:
            options["target"] = "input"
        return Job(
            options=options, label_kind=self.columns.label_kind, n_classes=self.columns.n_classes,
            validation=self.columns.validation or "", n_ranks=self.workers,
            threads=params.getThreadsPerWorker(), secret=secret, encrypt=_cluster.is_encrypted(self.spark),
            driver=driver, has_barrier=not self.is_dynamic, progress_seconds=PROGRESS_SECONDS, ports=self.ports,
            interface=params.getInterface(), memory_limit=_memory.limit_of(self.spark, params),
            memory_share=_memory.default_share(self.spark), spill_directory=params.getSpillDir(),
            may_spill=not _cluster.is_on(self.spark, _memory.IO_ENCRYPTION), seconds=seconds, nonce=secrets.token_hex(8),
            expected=None if last is None else last.report["keys"], keep_checkpoint=bool(params.getCheckpointDir()),
        )

    def _input(self, last: Optional[Leg], parts: list[int]) -> DataFrame:
        """The rows for the barrier stage: blocks of samples, the checkpoint for rank 0, and the model for all."""
        from pyspark.sql import functions as F

        places = [self.dataset.columns.index(name) for name in self.columns.names]
        rows = numbered(self.dataset).select(*(f"c{i}" for i in places)).mapInArrow(block_maker(self.columns, parts), SCHEMA)
        if last is not None:
            rows = rows.union(last.rows(self.spark, CHECKPOINT).select(
                F.lit(parts[0]).alias("part"), "kind", "number", "bytes"))
        if self.files:
            batches = [batch for kind, data in self.files.items() for batch in pieces(kind, data)]
            once = self.spark.createDataFrame(pa.Table.from_batches(batches))
            # Copied for each rank by Spark's tasks: the driver holds one.
            every = F.explode(F.array(*(F.lit(part) for part in parts)))
            rows = rows.union(once.select(every.alias("part"), "kind", "number", "bytes"))
        return rows

    def _result(self, last: Optional[Leg], job: Job) -> DataFrame:
        rows = self._input(last, parts_of(self.workers)).repartition(self.workers, "part")
        return rows.mapInArrow(rank_function(job), SCHEMA, barrier=job.has_barrier).repartition(1)

    def _leg(self, last: Optional[Leg], seconds: float) -> Leg:
        """Runs a leg; with fewer workers where some have gone for good, or where there are few rows."""
        has_waited = False
        while True:
            try:
                return self._try_leg(last, seconds)
            except _cluster.TooFewSlots:
                found = _cluster.measured_slots(self.spark, self.workers, self.timeout)
                are_needed = last is None and self.params.getNumWorkers() and not self._has_run
                if found < 1 or (found < self.workers and are_needed) or (found >= self.workers and has_waited):
                    raise _cluster.few_slots(self.workers, found, self.timeout) from None
                has_waited = found >= self.workers  # they came too late, or Spark does not start tasks on them
                self._say(f"of {self.workers} task slots {found} are {'there again' if has_waited else 'left'}: going on with "
                          f"{found} worker{'s' if found != 1 else ''}")
                self.workers = found
            except BdlInvalidArgumentError as error:
                most = MOST_RANKS.search(str(error))
                if most is None or self.params.getNumWorkers():
                    raise
                self._say(f"there are too few rows for {self.workers} workers: going on with {most[1]}")
                self.workers = int(most[1])

    def _try_leg(self, last: Optional[Leg], seconds: float) -> Leg:
        number = 1 if last is None else last.number + 1
        secret = secrets.token_bytes(SECRET_BYTES)
        what = f"bdl: leg {number} on {self.workers} worker{'s' if self.workers != 1 else ''}"
        with _cluster.small_batches(self.spark), _cluster.described(self.spark, what), self._listening(secret) as driver:
            result = self._result(last, self._job(last, seconds, secret, driver))
            if self.store.directory:
                self._watched(lambda: self.store.write(number, result))
                table = self.store.read_reports(number, [REPORT, ERROR])
            else:
                table = self._watched(result.toArrow)
        error = report_of(table, ERROR) if of_kind(table, ERROR) else None
        if error is not None:
            raise error_of(error["code"], error["text"])
        report = report_of(table, REPORT)
        if report is None:
            raise BdlFormatError(f"leg {number} gave no report")
        before: dict[str, Any] = {"history": [], "seconds": 0.0} if last is None else last.report
        report["history"] = [*before["history"], *report["history"]]
        report["seconds"] = before["seconds"] + report["seconds_of_leg"]
        report["limits"] = self._limits()
        if self.store.directory:
            return self.store.commit(number, report)
        return Leg(number, report, table=table)

    def _watched(self, action: Any) -> Any:
        try:
            return _cluster.run_watched(self.spark, action, self.timeout, self._note_running, self._is_stuck)
        except _cluster.TooFewSlots:
            raise
        except Exception as error:
            found = _of_task(error)
            if found is None:
                raise
            raise found from error

    def _note_running(self) -> None:
        self._has_run = True

    def _is_stuck(self) -> bool:
        return self._meeting is not None and self._meeting.missing_too_long()

    # ---- progress -----------------------------------------------------------------------------------------------

    @contextmanager
    def _listening(self, secret: bytes) -> Iterator[str]:
        """Where tasks reach the driver during a leg: an address, or '' where they do not."""
        host = _cluster.setting(self.spark, "spark.driver.host", "127.0.0.1")
        self._meeting = Rendezvous(self.workers, self.timeout) if self.is_dynamic else None
        board = self._open_board(secret, host)
        try:
            yield f"{host}:{board.port}" if board else ""
        finally:
            self._meeting = None
            if board:
                board.close()

    def _open_board(self, secret: bytes, host: str) -> Optional[Switchboard]:
        """Training does without progress where the driver cannot listen, but not without a place to meet."""
        is_closed = _files.is_connect(self.spark) or _cluster.is_encrypted(self.spark)
        if is_closed or not (self.params.getVerbose() or self.is_dynamic):
            return None
        bind = _cluster.setting(self.spark, "spark.driver.bindAddress", host)
        try:
            # Attempts that wait for others to end have lines, too.
            return Switchboard(secret, bind, self.ports, 4 * self.workers, self._hear)
        except OSError as error:
            if self.is_dynamic:
                raise BdlIOError(f"the driver cannot listen on '{bind}', where tasks meet (see ports): {error}") from error
            self._say(f"no progress inside a leg: the driver cannot listen on '{bind}' (see ports): {error}")
            return None

    def _hear(self, message: Any, line: Line) -> Optional[dict[str, Any]]:
        """Takes a task's message."""
        meeting = self._meeting
        if "told" in message:
            return None if meeting is None else meeting.join(message, line)
        self._on_progress(message)
        return None

    def _on_progress(self, event: Any) -> None:
        left = float(event["seconds_left"])
        self._say(f"epoch {int(event['epoch']) + 1}, iteration {int(event['iteration'])}, loss {float(event['loss']):.4g}, "
                  f"{float(event['samples_per_second']):.0f} rows/s{'' if math.isnan(left) else f', {duration(left)} left'}")

    def _say(self, text: str) -> None:
        if self.params.getVerbose():
            print(f"bdl: {text}", file=sys.stderr, flush=True)

    def _report(self, leg: Leg, wall: float) -> None:
        report = leg.report
        values = [f"{name} {value:.4g}" for name, value in (report["history"][-1] if report["history"] else {}).items()
                  if name != "epoch" and not math.isnan(value)]
        self._say(
            f"leg {leg.number}: epoch {report['epoch']}, iteration {report['iteration']}"
            f"{', ' + ', '.join(values) if values else ''}, {report['samples_per_second']:.0f} rows/s; {wall:.1f} s, of which "
            f"{report['seconds_of_leg']:.1f} s training{'; done' if report['done'] else ''}"
        )


def _of_task(error: Exception) -> Optional[BdlError]:
    """The error of bdl that a task raised and that failed its job, or what its Python lacks, or None."""
    for name, text in re.findall(r"^\s*bdl\.errors\.(Bdl\w+): (.*)$", str(error), re.M):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, BdlError):
            return kind(text.strip())
    for pattern, what in LACKS.items():
        found = re.search(pattern, str(error), re.M)
        if found:
            return BdlUnsupportedError(f"{what.format(found[1])}: install the same wheel on all machines, and let PYSPARK_PYTHON "
                                       "name the interpreter that has it")
    return None
