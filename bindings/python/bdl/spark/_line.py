# SPDX-License-Identifier: Apache-2.0
"""The tasks' own line to the driver, in classic mode: short messages, each of which proves that its sender knows the secret.

    first    16 random bytes from each side
    message  bytes of the text (4) | HMAC-SHA256(secret, side + both random parts + number of the message + text) | text (JSON)

A stranger costs a thread for a few seconds and a line in the log; where there are too many, who has been silent the longest
gives way. Nothing is hidden from who reads the network, so the line is not used where Spark encrypts.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Optional

RANDOM_BYTES = 16
PROOF_BYTES = 32
MOST_FROM_TASK, MOST_FROM_DRIVER = 64 << 10, 16 << 20  # bytes of a text
PROOF_SECONDS = 5.0  # for a new connection's first message
# A machine that is gone without a word has hung up after 25 seconds: who waits for the end of its task waits no longer.
KEEP_ALIVE = {(socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1, (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 10,
              (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 5, (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
              (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 25_000}
ACCEPT_SECONDS = 0.5  # until the next try where no connection could be taken
SPARE_CONNECTIONS = 16  # beside one for each task

_log = logging.getLogger("bdl.spark")


class Line:
    """One end of a connection."""

    def __init__(self, connection: socket.socket, secret: bytes, is_driver: bool, seconds: float) -> None:
        self._socket = connection
        self._secret = secret
        self._sides = (b"driver", b"task") if is_driver else (b"task", b"driver")
        self._most = MOST_FROM_TASK if is_driver else MOST_FROM_DRIVER
        self._numbers = [0, 0]  # messages sent and received
        own = os.urandom(RANDOM_BYTES)
        for (level, option), value in KEEP_ALIVE.items():
            connection.setsockopt(level, option, value)
        connection.settimeout(seconds)
        connection.sendall(own)
        other = self._read(RANDOM_BYTES, time.monotonic() + seconds)
        self._both = own + other if is_driver else other + own

    def _read(self, size: int, deadline: Optional[float]) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(None if deadline is None else max(1e-3, deadline - time.monotonic()))
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the line was closed")
            data += piece
        return bytes(data)

    def _proof(self, direction: int, text: bytes) -> bytes:
        number = struct.pack("<Q", self._numbers[direction])
        self._numbers[direction] += 1
        return hmac.new(self._secret, b"bdl line " + self._sides[direction] + self._both + number + text, hashlib.sha256).digest()

    def send(self, content: Any, seconds: float = PROOF_SECONDS) -> None:
        """Sends a message."""
        text = json.dumps(content).encode()
        self._socket.settimeout(seconds)
        self._socket.sendall(struct.pack("<I", len(text)) + self._proof(0, text) + text)

    def receive(self, seconds: Optional[float]) -> Any:
        """Waits for a message."""
        deadline = None if seconds is None else time.monotonic() + seconds
        (size,) = struct.unpack("<I", self._read(4, deadline))
        if size > self._most:
            raise ValueError(f"a message of {size} bytes, more than {self._most}")
        proof = self._read(PROOF_BYTES, deadline)
        text = self._read(size, deadline)
        if not hmac.compare_digest(proof, self._proof(1, text)):
            raise ValueError("a message with a wrong proof")
        return json.loads(text)

    def is_open(self) -> bool:
        """Whether the other side has not closed the line. Takes nothing from it: its own thread may wait for a message."""
        poll = select.poll()  # select knows no descriptors from 1024 on
        try:
            poll.register(self._socket, select.POLLRDHUP)
            return not poll.poll(0)
        except (OSError, ValueError):
            return False

    def own_host(self) -> str:
        """This machine's address, as the other side sees it."""
        return str(self._socket.getsockname()[0])

    def close(self) -> None:
        """Ends the line."""
        self._socket.close()


def dial(address: str, secret: bytes, seconds: float) -> Line:
    """A task's line to the driver; raises OSError where there is none."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(connection, secret, False, seconds)
        line.send(None, seconds)  # proves at once that this is no stranger
        return line
    except BaseException:
        connection.close()
        raise


def _listen(host: str, ports: tuple[int, int]) -> socket.socket:
    """A listening socket on a port of the range, both ends included; (0, 0) = any."""
    family, *_, place = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    for port in range(ports[0], ports[1] + 1):
        try:
            return socket.create_server((place[0], port), family=family)
        except OSError:
            if port == ports[1]:
                raise
    raise OSError(f"no ports {ports}")


def _shut(connection: socket.socket) -> None:
    """Ends a connection, or a listener, of another thread, and wakes that."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Switchboard:
    """The driver's side: listens, and gives what tasks say to `handle`, whose result, if there is one, is the answer."""

    def __init__(self, secret: bytes, host: str, ports: tuple[int, int], n_tasks: int, handle: Callable[[Any, Line], Any]) -> None:
        self._secret = secret
        self._handle = handle
        self._listener = _listen(host, ports)
        self._free = threading.BoundedSemaphore(n_tasks + SPARE_CONNECTIONS)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._unproven: dict[socket.socket, None] = {}  # of these, in the order in which they came
        self._is_closed = False
        threading.Thread(target=self._accept, daemon=True, name="bdl-line").start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                connection, place = self._listener.accept()
            except OSError as error:
                if self._is_closed:
                    return
                _log.warning("bdl: cannot take a connection: %s", error)  # such as too many open files
                time.sleep(ACCEPT_SECONDS)
                continue
            if not self._free.acquire(blocking=False) and not self._make_room():
                connection.close()
                continue
            with self._lock:
                if self._is_closed:  # while this one came in
                    connection.close()
                    return
                self._open.add(connection)
                self._unproven[connection] = None
            threading.Thread(target=self._serve, args=(connection, place), daemon=True, name="bdl-line").start()

    def _make_room(self) -> bool:
        """Hangs up on who has been silent the longest, and takes its place; False if nobody is silent."""
        with self._lock:
            for connection in self._unproven:
                _shut(connection)
                break
            else:
                return False
        return self._free.acquire(timeout=ACCEPT_SECONDS)

    def _serve(self, connection: socket.socket, place: Any) -> None:
        try:
            line = Line(connection, self._secret, True, PROOF_SECONDS)
            line.receive(PROOF_SECONDS)
            with self._lock:
                del self._unproven[connection]
            self._talk(line)
        except (OSError, ValueError) as error:
            if not self._is_closed:
                _log.warning("bdl: refused a connection from %s: %s", place[0], error)
        finally:
            with self._lock:
                self._open.discard(connection)
                self._unproven.pop(connection, None)
            connection.close()
            self._free.release()

    def _talk(self, line: Line) -> None:
        try:
            while True:  # until one of both closes it
                answer = self._handle(line.receive(None), line)
                if answer is not None:
                    line.send(answer)
        except (OSError, ValueError):
            pass

    def close(self) -> None:
        """Hangs up on all."""
        with self._lock:
            self._is_closed = True
            for one in (self._listener, *self._open):
                _shut(one)
        self._listener.close()
