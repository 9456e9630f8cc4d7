# SPDX-License-Identifier: Apache-2.0
"""The tasks' line to the driver: who knows the secret is heard, strangers are refused, logged, and do no harm."""

import contextlib
import logging
import socket
import struct
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
    waiting = [socket.create_connection(("127.0.0.1", board.port)) for _ in range(2 + _line.SPARE_CONNECTIONS)]
    for one in waiting:
        assert len(one.recv(16)) == 16
    more = socket.create_connection(("127.0.0.1", board.port))
    more.settimeout(5)
    assert more.recv(16) == b""
    for one in waiting:
        one.close()


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
