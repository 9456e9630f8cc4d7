# SPDX-License-Identifier: Apache-2.0
"""What the Python workers of a local session use while a fit runs, as the system sees it."""

import os
import pathlib
import threading

from bdl.spark import BdlClassifier, _fit

from cluster import command_line, descendants, children

ROW = 16 << 10  # values of a row: 64 KiB
MIB = 1 << 20


def workers():
    """Process ids of the Python workers: what the daemons below this process have forked."""
    daemons = [pid for pid in descendants(os.getpid()) if "pyspark.daemon" in command_line(pid)]
    return [child for daemon in daemons for child in children(daemon)]


def resident(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # ended meanwhile
        return 0


def spilled(pid, directory):
    """Bytes of files below `directory` that the process has open and that have no name."""
    size = 0
    try:
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith(str(directory)) and target.endswith("(deleted)"):
                size += os.stat(link).st_size
    except OSError:
        pass
    return size


class Sampler:
    """Peaks of the sums over all workers: of resident memory before training and in each epoch, of spilled bytes at all."""

    def __init__(self, directory):
        self.directory, self.epoch, self.before, self.epochs, self.spilled = directory, -1, 0, {}, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop.wait(0.05):
            found = workers()
            total, epoch = sum(map(resident, found)), self.epoch
            if epoch < 0:
                self.before = max(self.before, total)
            else:
                self.epochs[epoch] = max(self.epochs.get(epoch, 0), total)
            self.spilled = max(self.spilled, sum(spilled(pid, self.directory) for pid in found))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(10)


def rows(spark, size):
    """About `size` bytes of rows, each of one value over and over, made by Spark itself."""
    return spark.range(size // (4 * ROW)).selectExpr(f"array_repeat(cast(id % 1009 as float) / 1009, {ROW}) as features",
                                                     "id % 3 as label")


def fit_and_sample(spark, directory, monkeypatch, cap, size, epochs):
    """Fits `size` bytes with a cap of so many MiB a worker; gives what was sampled."""
    sampler = Sampler(directory)
    monkeypatch.setattr(_fit, "PROGRESS_SECONDS", 0.0)

    def on_progress(self, event):
        sampler.epoch = event["epoch"]

    monkeypatch.setattr(_fit.Fit, "_on_progress", on_progress)
    estimator = BdlClassifier(model="mlp(hidden=[4])", batchSize=256, epochs=epochs, numWorkers=2, threadsPerWorker=1,
                              memoryLimit=cap, spillDir=str(directory), optim="sgd(lr=0.001)")
    with sampler:
        model = estimator.fit(rows(spark, size))
    assert model.summary.rows == size // (4 * ROW)
    return sampler
