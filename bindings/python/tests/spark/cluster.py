# SPDX-License-Identifier: Apache-2.0
"""Spark's processes for tests, on the loopback interface, from the classes that the pyspark package brings: a standalone
cluster of one master and some workers, and a Spark Connect server. Logs lie in the directory given."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pyspark

START_SECONDS = 240
SECRET = b"S3CRET*of*a*run;" * 2


def spark_home():
    return pathlib.Path(pyspark.__file__).parent


def environment():
    """That of Spark's processes: this Python and this source tree for the workers, nothing from outside the machine."""
    root = pathlib.Path(__file__).resolve().parents[2]
    path = os.pathsep.join([os.environ.get("BDL_PYTHONPATH", str(root)), str(pathlib.Path(__file__).resolve().parent)])
    return {**os.environ, "SPARK_HOME": str(spark_home()), "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": path,
            "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, found, seconds=START_SECONDS):
    """Calls `found` until it gives something."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {seconds} s")
        time.sleep(0.2)
    return result


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def children(pid):
    """Process ids whose parent is `pid`."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        if int(text.rsplit(")", 1)[1].split()[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def spark_class(*arguments):
    """The command that runs a class of Spark."""
    return [str(spark_home() / "bin/spark-class"), *arguments]


def shapes(secret):
    """A secret as it might be printed."""
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode(), str(list(secret))[1:-1].encode(),
                str([b - 256 if b > 127 else b for b in secret])[1:-1].replace(" ", "").encode())
    for shift in range(3):  # base64, wherever in a text of it
        yield base64.b64encode(b"x" * shift + secret)[4 * bool(shift) : -4]


def assert_hidden(shown):
    """SECRET is in none of the contents, which are given by name."""
    for name, content in shown.items():
        for shape in shapes(SECRET):
            assert shape not in content, f"the secret is in {name}"


class Process:
    """A JVM with its log."""

    def __init__(self, name, command, directory):
        self.log = directory / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment(),
                                            cwd=directory)
        self.name = name

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_for_text(self, pattern):
        def look():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {self.text()[-2000:]}")
            return re.search(pattern, self.text())
        return wait_for(f"'{pattern}' in {self.log}", look)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()


class Standalone:
    """A master and workers of one core each."""

    def __init__(self, directory, workers=2, cores=1, memory="1g"):
        self.directory = pathlib.Path(directory)
        port = free_port()
        self.url = f"spark://127.0.0.1:{port}"
        self.master = Process("master", spark_class("org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port",
                                                    str(port), "--webui-port", "0"), self.directory)
        self.workers, self.n_made = [], 0
        try:
            self.master.wait_for_text("New state: ALIVE|I have been elected leader")
            for _ in range(workers):
                self.add_worker(cores, memory)
        except BaseException:
            self.stop()
            raise

    def add_worker(self, cores=1, memory="1g", host="127.0.0.1"):
        self.n_made += 1
        name = f"worker-{self.n_made}"
        place = self.directory / name
        place.mkdir()
        worker = Process(name, spark_class("org.apache.spark.deploy.worker.Worker", "--host", host, "--webui-port", "0",
                                           "--cores", str(cores), "--memory", memory, "--work-dir", str(place), self.url),
                         self.directory)
        self.workers.append(worker)
        worker.wait_for_text("Successfully registered with master")

    def executors(self):
        """Process ids of all executors."""
        return [pid for worker in self.workers for pid in children(worker.process.pid)
                if "CoarseGrainedExecutorBackend" in command_line(pid)]

    def kill_executor(self):
        """kill -9 for one executor; the cluster starts another."""
        victim = wait_for("executor", self.executors)[0]
        os.kill(victim, signal.SIGKILL)
        return victim

    def lose_worker(self):
        """kill -9 for the first worker with its executors and their tasks, for good."""
        worker = self.workers.pop(0)
        below = descendants(worker.process.pid)
        worker.kill()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self):
        for worker in self.workers:
            worker.stop()
        self.master.stop()


class Connect:
    """A Spark Connect server."""

    def __init__(self, directory, master="local[2]", settings=()):
        self.port = free_port()
        self.url = f"sc://127.0.0.1:{self.port}"
        options = {"spark.connect.grpc.binding.address": "127.0.0.1", "spark.connect.grpc.binding.port": str(self.port),
                   "spark.ui.enabled": "false", "spark.sql.artifact.copyFromLocalToFs.allowDestLocal": "true",
                   **dict(settings)}
        confs = [part for key, value in options.items() for part in ("--conf", f"{key}={value}")]
        self.server = Process("connect", spark_class("org.apache.spark.deploy.SparkSubmit", "--class",
                                                     "org.apache.spark.sql.connect.service.SparkConnectServer", "--master",
                                                     master, *confs, "spark-internal"), pathlib.Path(directory))
        wait_for("Spark Connect server", lambda: listens(self.port))

    def stop(self):
        self.server.stop()


def fetch(url):
    """A page of Spark's UI, which drops a connection now and then when it has much to do."""
    for attempt in range(5):
        try:
            return urllib.request.urlopen(url, timeout=120).read()
        except (ConnectionError, http.client.HTTPException):
            if attempt == 4:
                raise
        time.sleep(1)
