# SPDX-License-Identifier: Apache-2.0
"""The tasks' line to the driver: who knows the secret is heard, strangers are refused, logged, and do no harm."""

import contextlib
import errno
import logging
import os
import resource
import socket
import struct
import threading
import time

import pytest

from bdl.spark import _line
from bdl.spark._line import Switchboard, dial

from cluster import wait_for

SECRET = b"s" * 32


@pytest.fixture
def heard():
    return []


@pytest.fixture
def board(heard):
    def handle(message, _):
        heard.append(message)
        return {"answer": message["n"] + 1} if "n" in message else None

    made = Switchboard(SECRET, "127.0.0.1", (0, 0), 2, handle)
    yield made
    made.close()


def reach(board, secret=SECRET):
    return dial(f"127.0.0.1:{board.port}", secret, 5)


def test_messages_are_heard_in_order_and_answered(board, heard):
    line = reach(board)
    line.send({"loss": 0.5})
    for n in range(3):
        line.send({"n": n})
        assert line.receive(5) == {"answer": n + 1}
    assert heard == [{"loss": 0.5}, {"n": 0}, {"n": 1}, {"n": 2}]
    assert line.is_open()
    board.close()
    wait_for("the end of the line", lambda: not line.is_open(), 10)


@pytest.mark.parametrize("what", ["wrong secret", "garbage", "silence", "long message", "wrong proof"])
def test_strangers_are_refused_and_do_not_disturb(board, heard, caplog, monkeypatch, what):
    monkeypatch.setattr(_line, "PROOF_SECONDS", 0.5)
    line = reach(board)
    line.send({"n": 1})
    with caplog.at_level(logging.WARNING, "bdl.spark"):
        if what == "wrong secret":
            strange = reach(board, b"x" * 32)._socket
        else:
            strange = socket.create_connection(("127.0.0.1", board.port))
            strange.sendall({"silence": b"", "garbage": b"GET / HTTP/1.0\r\n\r\n" * 10,
                             "long message": b"r" * 16 + struct.pack("<I", 1 << 31),
                             "wrong proof": b"r" * 16 + struct.pack("<I", 4) + b"p" * 32 + b"null"}[what])
        strange.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while strange.recv(100):  # until it is hung up on
                pass
        wait_for("a word in the log", lambda: "refused a connection from 127.0.0.1" in caplog.text, 10)
    assert line.receive(5) == {"answer": 2}
    line.send({"n": 5})
    assert line.receive(5) == {"answer": 6}
    assert heard == [{"n": 1}, {"n": 5}]


def test_a_recorded_message_is_of_no_use_again(board, heard):
    sent = []

    class Recording(socket.socket):
        def sendall(self, data):
            sent.append(data)
            super().sendall(data)

    connection = Recording()
    connection.connect(("127.0.0.1", board.port))
    line = _line.Line(connection, SECRET, False, 5)
    line.send(None)
    line.send({"n": 1})
    assert line.receive(5) == {"answer": 2}
    connection.sendall(sent[-1])  # on the same line
    with pytest.raises(OSError):
        line.receive(5)
    again = socket.create_connection(("127.0.0.1", board.port))
    again.settimeout(10)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for data in sent[:3]:  # on another
            again.sendall(data)
        while again.recv(100):  # until it is hung up on
            pass
    assert heard == [{"n": 1}]


def test_more_callers_than_tasks_are_turned_away(board):
    lines = [reach(board) for _ in range(2 + _line.SPARE_CONNECTIONS)]
    for line in lines:
        line.send({"n": 0})
        line.receive(5)  # by then the board knows that it is no stranger
    with pytest.raises(OSError):
        reach(board)
    for line in lines:
        assert line.is_open()
        line.close()


def test_the_silent_give_way(board):
    """Strangers who take all places and say nothing do not keep tasks out."""
    silent = [socket.create_connection(("127.0.0.1", board.port)) for _ in range(3 * (2 + _line.SPARE_CONNECTIONS))]
    line = reach(board)
    line.send({"n": 1})
    assert line.receive(5) == {"answer": 2}
    for one in silent:
        one.close()


def test_what_the_driver_cannot_take_in_ends_the_line(board, heard, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    for _ in range(2 * (2 + _line.SPARE_CONNECTIONS)):
        line = reach(board)
        line.send(17)  # no object: the handler raises
        with pytest.raises(ConnectionError):
            line.receive(5)
    line = reach(board)
    line.send({"n": 1})
    assert line.receive(5) == {"answer": 2}


def test_both_ends_notice_a_machine_that_is_gone_without_a_word(board):
    line = reach(board)
    line.send({"n": 1})
    line.receive(5)
    ends = [line._socket, *board._open]
    assert len(ends) == 2
    for end in ends:
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, interval, probes, unheard = (end.getsockopt(socket.IPPROTO_TCP, option) for option in (
            socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT))
        assert idle + interval * probes <= 30 and 0 < unheard <= 30_000


def test_a_look_at_a_line_neither_takes_its_message_nor_waits(board):
    line = reach(board)
    line.send({"n": 1})
    wait_for("the answer", lambda: line._socket.recv(1, socket.MSG_PEEK), 10)
    assert line.is_open() and line.receive(5) == {"answer": 2}
    assert line.is_open()


def test_who_comes_while_the_board_closes_is_hung_up_on(board, monkeypatch):
    accept, closed = socket.socket.accept, threading.Event()

    def late(listener):
        taken = accept(listener)
        closed.wait(10)
        return taken

    reach(board).close()
    monkeypatch.setattr(socket.socket, "accept", late)
    reach(board).close()  # the accept under way is the old one
    connection = socket.create_connection(("127.0.0.1", board.port))
    board.close()
    closed.set()
    connection.settimeout(10)
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(100) == b""
    connection.close()


def test_lines_beyond_the_1024th_open_file(board):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        line = reach(board)
        assert line._socket.fileno() > 1024
        assert line.is_open()
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_board_outlives_a_lack_of_descriptors(board, monkeypatch):
    accept, failures = socket.socket.accept, [OSError(errno.EMFILE, "too many open files")]

    def fail_once(listener):
        if failures:
            raise failures.pop()
        return accept(listener)

    reach(board).close()
    monkeypatch.setattr(socket.socket, "accept", fail_once)
    for n in range(2):  # the accept under way is the old one
        line = reach(board)
        line.send({"n": n})
        assert line.receive(5) == {"answer": n + 1}
    assert not failures


def test_nothing_listens_after_the_end(board):
    port = board.port
    board.close()
    time.sleep(0.1)
    with pytest.raises(OSError):
        dial(f"127.0.0.1:{port}", SECRET, 1)


def test_a_port_of_the_range_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made = Switchboard(SECRET, "127.0.0.1", (port, min(port + 20, 65535)), 1, lambda *_: None)
        assert port < made.port <= port + 20
        made.close()
