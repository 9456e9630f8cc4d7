# SPDX-License-Identifier: Apache-2.0
"""Tasks that meet at the driver: all or nobody, whatever attempts come and go."""

import threading

import pytest

from bdl.spark._line import Switchboard, dial
from bdl.spark._rendezvous import Rendezvous

from cluster import wait_for

SECRET = b"s" * 32


@pytest.fixture
def meeting():
    return Rendezvous(2, 0.5)


@pytest.fixture
def board(meeting):
    made = Switchboard(SECRET, "127.0.0.1", (0, 0), 8, lambda message, line: meeting.join(message, line))
    yield made
    made.close()


class Task:
    """Joins on a line of its own; `answer` is what it hears."""

    def __init__(self, board, rank, told):
        self.line, self.answer = dial(f"127.0.0.1:{board.port}", SECRET, 5), None
        self.line.send({"rank": rank, "told": told})
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        try:
            self.answer = self.line.receive(30)
        except (OSError, ValueError):
            self.answer = "hung up"

    def hears(self):
        self.thread.join(20)
        return self.answer

    def is_waiting(self):
        self.thread.join(0.5)
        return self.thread.is_alive()

    def die(self):
        self.line._socket.shutdown(2)
        self.line.close()


def test_each_hears_what_all_told(board):
    tasks = [Task(board, rank, f"rank {rank}") for rank in (1, 0)]
    assert [task.hears() for task in tasks] == [{"everyone": ["rank 0", "rank 1"]}] * 2


def test_one_that_dies_while_it_waits_is_not_counted(board):
    dead = Task(board, 0, "dead")
    assert dead.is_waiting()
    dead.die()
    other = Task(board, 1, "other")
    assert other.is_waiting()
    again = Task(board, 0, "again")
    assert again.hears() == other.hears() == {"everyone": ["again", "other"]}


def test_a_second_attempt_takes_the_place_of_one_that_waits(board):
    first = Task(board, 0, "first")
    assert first.is_waiting()
    second = Task(board, 0, "second")
    assert first.hears() == {"superseded": True}
    other = Task(board, 1, "other")
    assert second.hears() == other.hears() == {"everyone": ["second", "other"]}


def test_a_second_attempt_of_one_that_trains_waits_until_that_is_gone(board):
    tasks = [Task(board, rank, rank) for rank in range(2)]
    for task in tasks:
        task.hears()
    copy = Task(board, 0, "copy")
    assert copy.is_waiting()
    for task in tasks:
        task.die()
    assert copy.is_waiting()
    other = Task(board, 1, "other")
    assert copy.hears() == other.hears() == {"everyone": ["copy", "other"]}


def test_those_who_wait_too_long_are_noticed(board, meeting):
    assert not meeting.missing_too_long()
    task = Task(board, 0, "alone")
    wait_for("a wait that is too long", meeting.missing_too_long, 10)
    task.die()
    wait_for("its end", lambda: not meeting.missing_too_long(), 10)
