# SPDX-License-Identifier: Apache-2.0
"""What a rank does: one task of the stage that trains a leg.

It listens, tells the others where (the one rendezvous of a leg), connects, hands its rows to the C library, trains until
the leg's time is over or training ends, and rank 0 gives back the results as rows. Errors that a second try would meet
again come back as a row, too, so that Spark does not try; those that come from losing a task are raised, so that it does.
"""

from __future__ import annotations

import contextlib
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
from bdl._lib import Event
from bdl.errors import (
    BdlCancelledError, BdlError, BdlInternalError, BdlInvalidArgumentError, BdlIOError, BdlOutOfMemoryError, BdlShapeError,
    BdlStateError, error_of,
)
from bdl.spark import _line, _memory, _native
from bdl.spark._blocks import Rows, decode
from bdl.spark._rows import TRAINING, VALIDATION, join, pieces
from bdl.spark._transform import MODEL_JSON, WEIGHTS

CHECKPOINT, START_MODEL, START_WEIGHTS = "checkpoint", "start model", "start weights"
REPORT, ERROR = "report", "error"
NOT_DETERMINISTIC = "input is not deterministic: cache or write it first"
MEET_SECONDS = 20.0  # to reach the driver where tasks meet there
DRIVER_SECONDS = 2.0  # to reach the driver, or to leave a word there
MEMORY_SECONDS = 0.5  # between looks at the memory that is used

# A second try may succeed after these, unless they are Refused.
RETRIED = (BdlIOError, BdlCancelledError, BdlInternalError, BdlStateError)


class Refused(Exception):
    """Wraps an error of a kind that a second try may mend, where it would be met again."""

    def __init__(self, error: BdlError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Job:
    """A leg, as the driver describes it to the ranks."""

    options: dict[str, str]  # of `bdl train`
    label_kind: str
    n_classes: int
    validation: str  # the column that is true of rows to validate on; '' = none
    n_ranks: int
    threads: int  # 0 = spark.task.cpus
    secret: bytes = field(repr=False)
    encrypt: bool = False
    driver: str = ""  # where the driver hears of progress, and tasks meet that have no barrier
    has_barrier: bool = True
    progress_seconds: float = 0.0  # between two words of it
    ports: tuple[int, int] = (0, 0)
    interface: str = ""
    memory_limit: int = 0  # bytes that the process may use; 0 = no cap
    memory_share: int = 0  # without a cap: bytes that rows look to; 0 = half of the machine's for rows
    spill_directory: str = ""  # '' = Spark's own
    may_spill: bool = True  # to Spark's own
    seconds: float = 0.0  # of training, 0 = to the end
    nonce: str = ""  # names the leg where an earlier try of it left its record
    expected: Optional[dict[str, Any]] = None  # rows and sums of keys that earlier legs saw
    keep_checkpoint: bool = False  # also at the end of training


def rank_function(job: Job) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function of the barrier stage."""

    def train_rank(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import BarrierTaskContext, TaskContext

        task: Any = (BarrierTaskContext if job.has_barrier else TaskContext).get()
        try:
            yield from _Rank(job, task).run(batches)
        except RETRIED:
            raise
        except Refused as refused:
            yield from _error_rows(job, refused.error)
        except (BdlError, MemoryError) as error:
            yield from _error_rows(job, error)

    return train_rank


def _error_rows(job: Job, error: Exception) -> Iterator[pa.RecordBatch]:
    """An error as what the leg gives: its tasks end well, so that Spark does not try again."""
    Record(job.nonce).remove()
    text = str(error)
    if isinstance(error, MemoryError) and _memory.PYSPARK_MEMORY not in text:
        text = f"{text or 'out of memory'}: {_memory.advice(job.memory_limit)}"
        text += "" if job.may_spill or job.spill_directory else f"; {_memory.ENCRYPTED_ADVICE}"
    code = getattr(error, "code", BdlOutOfMemoryError.code)
    yield from pieces(ERROR, json.dumps({"code": code, "text": text}).encode())


def _as_number(text: str) -> int:
    """The sum of keys, two words (high, low), each little-endian."""
    raw = bytes.fromhex(text)
    return int.from_bytes(raw[:8], "little") << 64 | int.from_bytes(raw[8:], "little")


class _Data:
    """The rows of this rank on their way into the library."""

    def __init__(self, context: Handle, job: Job) -> None:
        self.context = context
        self.job = job
        self.form: Optional[dict[str, Any]] = None  # of the rows seen
        self.memory_limit = _memory.rows_limit(job.memory_limit, job.memory_share, 2 if job.validation else 1)
        self.handles: dict[str, Handle] = {}

    def _make(self, kind: str, form: dict[str, Any]) -> Handle:
        job = self.job
        directory = job.spill_directory
        if job.may_spill and not directory:
            directory = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0] or tempfile.gettempdir()
        options = _native.data_options(
            tuple(form["shape"]), form["dtype"], form["width"], job.label_kind, n_classes=job.n_classes,
            name=_native.DATA_NAME, memory_limit=self.memory_limit, spill_directory=directory.encode(),
        )
        made = _native.create("bdl_data_free", "bdl_data_create", self.context.pointer, ctypes.byref(options),
                              parent=self.context)
        self.handles[kind] = made
        return made

    def push(self, kind: str, rows: Rows) -> None:
        """Adds rows, which must look like those before."""
        form = {"shape": list(rows.shape), "dtype": rows.dtype, "width": rows.labels.shape[1]}
        self.form = self.form or form
        if form != self.form:
            raise BdlShapeError(f"rows of one shape are needed, found {self.form['shape']} and {form['shape']}")
        _native.push(self.handles.get(kind) or self._make(kind, form), rows, self.job.label_kind)

    def spilled(self) -> int:
        """Bytes of this rank's rows that went to a file."""
        return sum(_native.stats(handle).spilled_size for handle in self.handles.values())

    def count(self, kind: str) -> int:
        """Rows of a kind."""
        return _native.stats(self.handles[kind]).n_rows if kind in self.handles else 0

    def keys(self) -> dict[str, Any]:
        """Number and sums of keys of the training rows."""
        if TRAINING not in self.handles:
            return {"rows": 0, "xor": "00" * 16, "sum": "00" * 16}
        return _native.keys(self.handles[TRAINING])

    def end(self) -> None:
        """Ends the pushes; rows that went to a large file are put in order there, before the others wait."""
        for handle in self.handles.values():
            _native.call("bdl_data_finish", handle.pointer)

    def complete(self, everyone: list[dict[str, Any]]) -> None:
        """Ranks without rows learn from the others what rows look like."""
        forms = [one["form"] for one in everyone if one["form"] is not None]
        if any(form != forms[0] for form in forms):
            raise BdlShapeError(f"rows of one shape are needed, found {', '.join(str(f['shape']) for f in forms)}")
        for kind in (TRAINING, VALIDATION)[: 2 if self.job.validation else 1]:
            if kind not in self.handles:
                _native.call("bdl_data_finish", self._make(kind, forms[0]).pointer)

    def close(self) -> None:
        """Frees the rows."""
        for handle in self.handles.values():
            handle.close()
        self.handles.clear()


class Record:
    """What a try of a leg leaves on its machine for a later try of the same leg: the sums of its keys."""

    def __init__(self, nonce: str) -> None:
        self.path = os.path.join(tempfile.gettempdir(), f"bdl-{os.getuid()}-{nonce}.json")

    def read(self) -> Optional[dict[str, Any]]:
        """What an earlier try saw, or None."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        with os.fdopen(descriptor) as file:
            if os.fstat(descriptor).st_uid != os.getuid():
                return None
            text = file.read()
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:  # the try died while it wrote
            return None
        return found

    def write(self, keys: dict[str, Any]) -> None:
        """Leaves the record; several ranks of a machine write the same."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.path, flags, 0o600)
        except OSError:
            return
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(keys))

    def remove(self) -> None:
        """The leg has ended."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)


class _Progress:
    """Tells the driver how training goes, where that listens. Training does not wait for it, nor does it fail by it."""

    def __init__(self, job: Job, line: Optional[_line.Line]) -> None:
        self.line = line
        self.seconds = job.progress_seconds
        self.next = time.monotonic() + self.seconds

    def tell(self, event: Event, now: float) -> None:
        """Says where training stands, if it is time to."""
        if self.line is None or now < self.next:
            return
        self.next = now + self.seconds
        said = {name: getattr(event, name) for name in ("epoch", "iteration", "loss", "samples_per_second", "seconds_left")}
        try:
            self.line.send(said, DRIVER_SECONDS)
        except OSError:
            self.line = None


class _Watch:
    """Follows the events of a training: collects what the report says, and ends a training that needs too much memory."""

    def __init__(self, job: Job, context: Handle, progress: _Progress) -> None:
        self.job = job
        self.context = context
        self.progress = progress
        self.history: list[dict[str, float]] = []
        self.end: dict[str, Any] = {}
        self.excess = ""
        self.next = 0.0

    def see(self, event: Event) -> None:
        """Takes an event. Exceptions would be lost here."""
        if event.kind == _native.EVENT_EPOCH:
            self.history.append({"epoch": event.epoch, "loss": event.loss, **_native.metrics(event)})
        elif event.kind == _native.EVENT_END:
            self.end.update(epoch=event.epoch, iteration=event.iteration, reason=(event.reason or b"").decode(),
                            samples_per_second=event.samples_per_second, seconds_of_leg=event.seconds)
        elif event.kind == _native.EVENT_STEP:
            now = time.monotonic()
            self.progress.tell(event, now)
            if now >= self.next and not self.excess:
                self.next = now + MEMORY_SECONDS
                self.excess = _memory.excess(self.job.memory_limit)
                if self.excess:
                    _native.cancel(self.context)


class _Rank:
    """A rank and what it owns."""

    def __init__(self, job: Job, task: Any) -> None:
        self.job = job
        self.task = task
        self.rank: int = task.partitionId()
        self.begin = time.time()
        self.files: dict[str, dict[int, bytes]] = {}
        self.keys: dict[str, Any] = {}  # of the rows of all ranks
        self.record = Record(job.nonce)
        self.line: Optional[_line.Line] = None  # to the driver
        self.spilled = 0

    def run(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Trains the leg and gives its results."""
        with ExitStack() as stack:
            context = _native.make_context(self.job.threads or self.task.cpus())
            stack.callback(context.close)
            self._reach_driver(stack)
            try:
                data = _Data(context, self.job)
                stack.callback(data.close)
                self._take(batches, data)
                data.end()
                group = self._listen(context)
                stack.callback(group.close)
            except (BdlError, MemoryError) as error:  # the others wait at the rendezvous: told there, all end
                with contextlib.suppress(BdlError):
                    self._meet({"code": getattr(error, "code", BdlOutOfMemoryError.code), "text": str(error)})
                raise
            everyone = self._meet({"address": _native.address(group), "form": data.form, "keys": data.keys(),
                                   "seen": self.record.read(), "held_out": data.count(VALIDATION)})
            _native.connect(group, [one["address"] for one in everyone])
            self._check_rows(everyone)
            data.complete(everyone)
            self.spilled = data.spilled()
            yield from self._train(context, group, data)
            self.record.remove()

    # ---- rows ---------------------------------------------------------------------------------------------------

    def _take(self, batches: Iterator[pa.RecordBatch], data: _Data) -> None:
        """Pushes blocks of samples as they come; pieces of files are put aside."""
        for batch in batches:
            kinds = batch.column("kind").to_pylist()
            numbers = batch.column("number").to_pylist()
            for i, (kind, number) in enumerate(zip(kinds, numbers)):
                piece = batch.column("bytes")[i].as_buffer()
                if kind in (TRAINING, VALIDATION):
                    data.push(kind, decode(piece))
                else:
                    self.files.setdefault(kind, {})[number] = piece.to_pybytes()

    def _check_rows(self, everyone: list[dict[str, Any]]) -> None:
        """The rows of all ranks must be those that earlier legs, and an earlier try of this one, saw."""
        n, key_xor, key_sum = 0, 0, 0
        for one in everyone:
            n += one["keys"]["rows"]
            key_xor ^= int(one["keys"]["xor"], 16)
            key_sum += _as_number(one["keys"]["sum"])
        n_held_out = sum(one["held_out"] for one in everyone)
        if n + n_held_out == 0:
            raise BdlInvalidArgumentError("the DataFrame has no rows to train on")
        if self.job.validation and not (n and n_held_out):
            raise BdlInvalidArgumentError(
                f"column '{self.job.validation}': expected false for rows to train on and true for rows to validate on, found "
                f"{'false' if n else 'true'} for all {n + n_held_out} rows"
            )
        self.keys = {"rows": n, "xor": f"{key_xor:032x}", "sum": f"{key_sum % (1 << 128):032x}"}
        for seen in (self.job.expected, *(one["seen"] for one in everyone)):
            if seen is not None and seen != self.keys:
                raise BdlInvalidArgumentError(
                    f"{NOT_DETERMINISTIC} (computed once it had {seen['rows']} rows, computed again {n}"
                    f"{' others' if n == seen['rows'] else ''})"
                )
        self.record.write(self.keys)

    # ---- the rendezvous -----------------------------------------------------------------------------------------

    def _reach_driver(self, stack: ExitStack) -> None:
        """A line to the driver: of rank 0 if it can be had, of all where they meet there."""
        if not self.job.driver or (self.job.has_barrier and self.rank > 0):
            return
        try:
            self.line = _line.dial(self.job.driver, self.job.secret, DRIVER_SECONDS if self.job.has_barrier else MEET_SECONDS)
        except OSError as error:
            if not self.job.has_barrier:
                raise BdlIOError(f"cannot reach the driver at {self.job.driver}, where tasks meet: {error}") from error
        else:
            stack.callback(self.line.close)

    def _host(self) -> str:
        """The address by which Spark knows this executor, or the driver sees it."""
        if not self.job.has_barrier:
            assert self.line is not None
            return self.line.own_host()
        address = str(self.task.getTaskInfos()[self.rank].address)  # with the port
        return address.rsplit(":", 1)[0].strip("[]") if ":" in address else address

    def _listen(self, context: Handle) -> Handle:
        job = self.job
        found = len(self.task.getTaskInfos()) if job.has_barrier else job.n_ranks
        if found != job.n_ranks:
            raise BdlStateError(f"expected {job.n_ranks} tasks, Spark started {found}")
        return _native.listen(context, self.rank, job.n_ranks, job.secret, job.interface or self._host(), job.ports,
                              job.encrypt)

    def _meet(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        """What each rank has to say: its address and what its rows are like, or why it fails. The one rendezvous."""
        if self.job.has_barrier:
            everyone: list[dict[str, Any]] = [json.loads(text) for text in self.task.allGather(json.dumps(told))]
        else:
            everyone = self._meet_at_driver(told)
        for one in everyone:
            if "code" in one:
                raise error_of(one["code"], one["text"])
        return everyone

    def _meet_at_driver(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        assert self.line is not None
        try:
            self.line.send({"rank": self.rank, "told": told})
            answer = self.line.receive(None)  # the driver ends the wait: by an answer, a cancel, or its own end
        except (OSError, ValueError) as error:
            raise BdlIOError(f"the line to the driver broke before all ranks had come: {error}") from error
        if "everyone" not in answer:
            raise BdlStateError("a later attempt of this task has taken its place")
        found: list[dict[str, Any]] = answer["everyone"]
        return found

    # ---- training -----------------------------------------------------------------------------------------------

    def _options(self, directory: str) -> dict[str, str]:
        """The options of `bdl train`, with the files that came as rows written into `directory`."""
        options = dict(self.job.options)
        if START_MODEL in self.files:
            options["model"] = self._write(directory, START_MODEL, MODEL_JSON)
        if START_WEIGHTS in self.files:
            self._write(directory, START_WEIGHTS, WEIGHTS)
            options["model"] = directory
        if CHECKPOINT in self.files:
            options["start"] = self._write(directory, CHECKPOINT, "start.bdlckpt")
        if self.job.seconds:
            options["seconds"] = repr(self.job.seconds)
        return options

    def _write(self, directory: str, kind: str, name: str) -> str:
        path = os.path.join(directory, name)
        with open(path, "wb") as file:
            file.write(join(self.files.pop(kind), kind))
        return path

    def _make_trainer(self, context: Handle, group: Handle, data: _Data) -> tuple[Handle, Handle]:
        """Options and trainer. Files that it starts from are there for so long only: a kill later leaves nothing."""
        with tempfile.TemporaryDirectory(prefix="bdl-rank-") as directory:
            options = _native.make_options(context, self._options(directory), group)
            try:
                trainer = _native.make_trainer(context, options, data.handles[TRAINING], data.handles.get(VALIDATION))
            except BdlStateError as error:  # a checkpoint of other settings, or ranks of different builds
                raise Refused(error) from error
        if self.job.n_ranks > 1:  # the trainer has what it needs of them
            data.close()
        return options, trainer

    def _train(self, context: Handle, group: Handle, data: _Data) -> Iterator[pa.RecordBatch]:
        """Trains, and on rank 0 gives the results."""
        with ExitStack() as stack:
            options, trainer = self._make_trainer(context, group, data)
            stack.callback(options.close)
            stack.callback(trainer.close)
            watch = _Watch(self.job, context, _Progress(self.job, self.line if self.rank == 0 else None))
            begin = time.time()
            try:
                _native.train(trainer, watch.see)
            except BdlCancelledError:
                watch.end.setdefault("reason", "cancelled")
            if watch.excess:
                raise BdlOutOfMemoryError(watch.excess)
            if watch.end["reason"] == "cancelled":  # by another rank, which says why
                return
            report = {**watch.end, "done": watch.end["reason"] != "seconds", "history": watch.history, "keys": self.keys,
                      "seconds_before": begin - self.begin, "fingerprint": _native.fingerprint(trainer),
                      "workers": self.job.n_ranks, "spilled": self.spilled}
            yield from self._give(trainer, report)

    def _give(self, trainer: Handle, report: dict[str, Any]) -> Iterator[pa.RecordBatch]:
        """The results as rows, on rank 0."""
        with tempfile.TemporaryDirectory(prefix="bdl-rank-") as directory:
            result = self._results(trainer, directory, bool(report["done"]))
            for kind, path in result.items() if self.rank == 0 else ():
                with open(path, "rb") as file:
                    yield from pieces(kind, file.read())
        if self.rank == 0:
            yield from pieces(REPORT, json.dumps(report).encode())

    def _results(self, trainer: Handle, directory: str, is_done: bool) -> dict[str, str]:
        """Files by kind. Every rank takes part in a checkpoint; rank 0 writes it."""
        found = {}
        if not is_done or self.job.keep_checkpoint:
            found[CHECKPOINT] = os.path.join(directory, "end.bdlckpt")
            _native.call("bdl_trainer_checkpoint", trainer.pointer, os.fsencode(found[CHECKPOINT]))
        if is_done and self.rank == 0:
            saved = os.path.join(directory, "saved")
            _native.call("bdl_trainer_save", trainer.pointer, os.fsencode(saved))
            found.update({name: os.path.join(saved, name) for name in (MODEL_JSON, WEIGHTS)})
        return found
