# SPDX-License-Identifier: Apache-2.0
"""What the driver knows of the cluster: settings, task slots, and whether the tasks of a job run."""

from __future__ import annotations

import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pyarrow as pa

from bdl.errors import BdlInvalidArgumentError, BdlUnsupportedError
from bdl.spark._files import is_connect

T = TypeVar("T")

BATCH_BYTES = 8 << 20  # of an Arrow batch: a task holds a few of them
_BATCH_BYTES_KEY = "spark.sql.execution.arrow.maxBytesPerBatch"
POLL_SECONDS = 1.0
CANCEL_SECONDS = 10.0  # that a cancel may take


class TooFewSlots(Exception):
    """The tasks of a stage did not start within the time that they were given."""


def setting(spark: Any, key: str, default: str) -> str:
    """A setting of Spark, as the session sees it."""
    return str(spark.conf.get(key, default))


_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def parse_bytes(text: str, without_unit: int) -> int:
    """A size as Spark writes it, '512m' or '2gb'; `without_unit` is what a plain number counts in."""
    found = re.fullmatch(r"(\d+)(?:([kmgtp])b?|(b))?", text.strip().lower())
    if found is None:
        raise BdlInvalidArgumentError(f"expected a size such as '512m' or '2g', found '{text}'")
    number, *unit = found.groups()
    return int(number) * _UNITS.get(unit[0] or unit[1], without_unit)


def is_on(spark: Any, key: str) -> bool:
    """Whether a switch is on."""
    return setting(spark, key, "false").lower() == "true"


def task_cpus(spark: Any) -> int:
    """Processors of a task."""
    return int(setting(spark, "spark.task.cpus", "1"))


def is_encrypted(spark: Any) -> bool:
    """Whether Spark encrypts what its own processes say to each other."""
    return any(is_on(spark, key) for key in ("spark.network.crypto.enabled", "spark.ssl.enabled", "spark.ssl.rpc.enabled",
                                             "spark.authenticate.enableSaslEncryption"))


def is_dynamic(spark: Any) -> bool:
    """Whether Spark starts and stops executors as it needs them; it refuses barrier stages then (SPARK-24942)."""
    return is_on(spark, "spark.dynamicAllocation.enabled")


def check_settings(spark: Any) -> None:
    """Refuses what cannot work, with what to do."""
    if is_dynamic(spark) and (is_connect(spark) or is_encrypted(spark)):
        where = "over Spark Connect" if is_connect(spark) else "where Spark encrypts its network"
        raise BdlUnsupportedError(
            "spark.dynamicAllocation.enabled is true: Spark starts no tasks together then (SPARK-24942), and their other way to "
            f"meet, at the driver, is not open {where}. Train with spark.dynamicAllocation.enabled=false and a fixed number of "
            "executors; predictions work with either"
        )


def planned_slots(spark: Any) -> int:
    """Task slots of the cluster as Spark plans with them: processors of the executors that have registered."""
    if is_connect(spark):
        from pyspark.sql import functions as F

        last = spark.range(1 << 16).select(F.spark_partition_id().alias("p")).agg(F.max("p")).first()[0]
        processors = int(last) + 1
    else:
        processors = int(spark.sparkContext.defaultParallelism)
    return max(1, processors // task_cpus(spark))


# With one of these set Spark plans with a number that says nothing of the cluster.
_PARALLELISM_KEYS = ("spark.default.parallelism", "spark.sql.leafNodeDefaultParallelism")


def count_slots(spark: Any, wanted: int, seconds: float) -> int:
    """Task slots of the cluster; where they must be tried out, no more than `wanted` (0 = all)."""
    if all(spark.conf.get(key, None) is None for key in _PARALLELISM_KEYS):
        return planned_slots(spark)
    tried = wanted or 4
    while (found := measured_slots(spark, tried, seconds)) == tried and not wanted:
        tried *= 4
    return found


def _timed_task(seconds: float) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import socket

        for _ in batches:
            pass
        begin = time.time()
        time.sleep(seconds)
        yield pa.RecordBatch.from_pydict({"host": [socket.gethostname()], "begin": [begin], "end": [time.time()]})

    return run


def measured_slots(spark: Any, at_most: int, seconds: float) -> int:
    """How many of `at_most` tasks the cluster really runs at once: those on one host that overlap in time. 0 if for so many
    seconds it runs none."""
    tasks = spark.range(0, at_most, 1, at_most).mapInArrow(_timed_task(1.5), "host string, begin double, end double")
    found: dict[str, list[tuple[float, int]]] = {}
    with described(spark, "bdl: counting task slots"):
        try:
            rows = run_watched(spark, tasks.collect, seconds)
        except TooFewSlots:
            return 0
    for row in rows:
        found.setdefault(row["host"], []).extend([(row["begin"], 1), (row["end"], -1)])
    total = 0
    for events in found.values():
        running = most = 0
        for _, change in sorted(events):
            running += change
            most = max(most, running)
        total += most
    return total


def wait_for_slots(spark: Any, wanted: int, seconds: float, say: Callable[[str], None]) -> int:
    """The task slots, once they are as many as wanted; an error names what was found instead."""
    deadline = time.monotonic() + seconds
    is_told = False
    while (found := count_slots(spark, wanted, seconds)) < wanted:
        if time.monotonic() >= deadline:
            raise few_slots(wanted, found, seconds)
        if not is_told:
            say(f"{found} of {wanted} task slots are free: waiting for the others, at most {seconds:g} s (slotTimeout)")
            is_told = True
        time.sleep(POLL_SECONDS)
    return found


def few_slots(wanted: int, found: int, seconds: float) -> BdlInvalidArgumentError:
    """The error for too few slots."""
    return BdlInvalidArgumentError(
        f"numWorkers asks for {wanted} tasks that run together, but in {seconds:g} s the cluster offered {found} free task "
        f"slot{'s' if found != 1 else ''} (executor cores / spark.task.cpus). Lower numWorkers, add executors, or raise "
        "slotTimeout; spark.scheduler.minRegisteredResourcesRatio=1.0 makes Spark wait for its executors first"
    )


# ---- sizes of batches --------------------------------------------------------------------------------------------

_batch_lock = threading.Lock()
_batch_users: dict[str, tuple[int, str | None]] = {}  # session: users, the setting before the first


@contextmanager
def small_batches(spark: Any) -> Iterator[None]:
    """Limits the bytes of Arrow's batches for plans that are made meanwhile: blocks are large rows."""
    session = str(getattr(spark, "session_id", id(spark)))
    with _batch_lock:
        users, before = _batch_users.get(session, (0, None))
        if users == 0:
            before = spark.conf.get(_BATCH_BYTES_KEY, None)
            if before is None or parse_bytes(before, 1) > BATCH_BYTES:
                spark.conf.set(_BATCH_BYTES_KEY, str(BATCH_BYTES))
        _batch_users[session] = users + 1, before
    try:
        yield
    finally:
        with _batch_lock:
            users, before = _batch_users.pop(session)
            if users > 1:
                _batch_users[session] = users - 1, before
            elif before is None:
                spark.conf.unset(_BATCH_BYTES_KEY)
            else:
                spark.conf.set(_BATCH_BYTES_KEY, before)


# ---- names of jobs -----------------------------------------------------------------------------------------------


@contextmanager
def described(spark: Any, text: str) -> Iterator[None]:
    """Jobs that start meanwhile have this text in Spark's UI, and so have their stages; not over Connect."""
    if is_connect(spark):
        yield
        return
    context = spark.sparkContext
    before = context.getLocalProperty("spark.job.description")
    context.setJobDescription(text)
    try:
        yield
    finally:
        context.setJobDescription(before)


# ---- jobs that are watched ---------------------------------------------------------------------------------------


class _Watch:
    """Cancels a job none of whose tasks runs for too long, or that is stuck by itself."""

    def __init__(self, spark: Any, seconds: float, on_running: Callable[[], None], is_stuck: Callable[[], bool]) -> None:
        self.spark = spark
        self.seconds = seconds
        self.on_running = on_running
        self.is_stuck = is_stuck
        self.tag = f"bdl-{uuid.uuid4().hex}"
        self.is_idle = False
        self._tasks = 0, 0
        self._caller = threading.get_ident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="bdl-watch")

    def __enter__(self) -> _Watch:
        if is_connect(self.spark):
            self.spark.addTag(self.tag)
            self.spark.registerProgressHandler(self._progress)
        else:
            self.spark.sparkContext.addJobTag(self.tag)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if is_connect(self.spark):
            self.spark.removeProgressHandler(self._progress)
            self.spark.removeTag(self.tag)
        else:
            self.spark.sparkContext.removeJobTag(self.tag)
        self._thread.join(10)

    def _progress(self, stages: Any, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        """Hears of all that runs in the session; each thread is told of its own."""
        if threading.get_ident() == self._caller:
            self._tasks = inflight_tasks, sum(stage.num_completed_tasks for stage in stages)

    def _count_tasks(self) -> tuple[int, int]:
        """Tasks that run, and that have ended well."""
        if is_connect(self.spark):
            return self._tasks
        tracker = self.spark.sparkContext._jsc.sc().statusTracker()
        running = ended = 0
        for job in tracker.getJobIdsForTag(self.tag):
            info = tracker.getJobInfo(job)
            for stage in info.get().stageIds() if info.isDefined() else []:
                found = tracker.getStageInfo(stage)
                if found.isDefined():
                    running += found.get().numActiveTasks()
                    ended += found.get().numCompletedTasks()
        return running, ended

    def _cancel(self) -> None:
        if is_connect(self.spark):
            self.spark.interruptTag(self.tag)
        else:
            self.spark.sparkContext.cancelJobsWithTag(self.tag)

    def abandon(self) -> None:
        """Cancels what still runs of the action, whose caller waits for it no longer. In a thread of its own, which has its own
        line to Java: Ctrl-C may have left the caller's with half an answer."""

        def cancel() -> None:
            with suppress(Exception):  # the error at hand says more
                self._cancel()

        thread = threading.Thread(target=cancel, daemon=True, name="bdl-cancel")
        thread.start()
        thread.join(CANCEL_SECONDS)

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(POLL_SECONDS):
            running, ended = self._count_tasks()
            if running > 0:
                last = time.monotonic()
            if running + ended > 0:
                self.on_running()
            if time.monotonic() - last > self.seconds or self.is_stuck():
                self.is_idle = True
                self._cancel()
                return


def run_watched(spark: Any, action: Callable[[], T], seconds: float, on_running: Callable[[], None] = lambda: None,
                is_stuck: Callable[[], bool] = lambda: False) -> T:
    """Runs an action. Raises TooFewSlots if for so long none of its tasks ran, or when it is stuck; calls `on_running`
    once some have run. Whatever ends it early, Ctrl-C too, also ends its job."""
    outer = sys.exc_info()[1]
    with _Watch(spark, seconds, on_running, is_stuck) as watch:
        try:
            return action()
        except BaseException as error:
            watch.abandon()
            if watch.is_idle or "SPARK-24819" in str(error):
                raise TooFewSlots from error
            if isinstance(error, Exception) and _is_interrupted(error, outer):  # `except Exception` would lose the Ctrl-C
                raise KeyboardInterrupt from error
            raise


def _is_interrupted(error: BaseException, outer: BaseException | None) -> bool:
    """Whether Ctrl-C led to an error; `outer` was being handled before."""
    found: BaseException | None = error
    while found is not None and found is not outer and not isinstance(found, KeyboardInterrupt):
        found = found.__context__
    return found is not None and found is not outer
