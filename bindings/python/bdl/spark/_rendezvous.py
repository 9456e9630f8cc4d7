# SPDX-License-Identifier: Apache-2.0
"""Where the tasks of a stage without barrier meet: at the driver, by their lines to it.

Each task joins with its rank and stays on its line. When all ranks wait, each hears what all have said, and they form a
group. A task that ends for whatever reason hangs up by that. A second attempt of a rank that waits takes its place; one of a rank
that trains (Spark speculates) waits until that has hung up. The others of a broken group fail, and Spark starts them again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Optional

from bdl.spark._line import Line

LOOK_SECONDS = 0.2  # between looks at the lines


@dataclass
class _Member:
    """A task that waits, or that trains."""

    line: Line
    told: Any
    answer: Optional[dict[str, Any]] = None


class Rendezvous:
    """One leg's meeting place."""

    def __init__(self, n_ranks: int, seconds: float) -> None:
        self._n_ranks = n_ranks
        self._seconds = seconds
        self._changed = threading.Condition()
        self._waiting: dict[int, _Member] = {}
        self._group: dict[int, _Member] = {}  # the newest that has formed
        self._since = 0.0  # when the first of those that wait came

    def join(self, message: Any, line: Line) -> Optional[dict[str, Any]]:
        """The answer for a task: what all ranks told, once they are there; None if it hung up."""
        rank, own = int(message["rank"]), _Member(line, message["told"])
        with self._changed:
            while line.is_open() and not self._take_place(rank, own):
                self._changed.wait(LOOK_SECONDS)
            while own.answer is None and line.is_open():
                self._form()
                if own.answer is None:
                    self._changed.wait(LOOK_SECONDS)
            if self._waiting.get(rank) is own:
                del self._waiting[rank]
            return own.answer

    def _take_place(self, rank: int, own: _Member) -> bool:
        """Lets a task wait for its rank, unless an earlier attempt of it trains."""
        trains = self._group.get(rank)
        if trains is not None and trains.line.is_open():
            return False
        if rank in self._waiting:
            self._waiting[rank].answer = {"superseded": True}
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting[rank] = own
        self._changed.notify_all()
        return True

    def _form(self) -> None:
        for rank in [rank for rank, member in self._waiting.items() if not member.line.is_open()]:
            del self._waiting[rank]
        if len(self._waiting) < self._n_ranks:
            return
        self._group, self._waiting = self._waiting, {}
        everyone = [self._group[rank].told for rank in range(self._n_ranks)]
        for member in self._group.values():
            member.answer = {"everyone": everyone}
        self._changed.notify_all()

    def missing_too_long(self) -> bool:
        """Whether some wait and the others have not come in time."""
        with self._changed:
            return bool(self._waiting) and time.monotonic() - self._since > self._seconds
