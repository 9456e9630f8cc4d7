# SPDX-License-Identifier: Apache-2.0
"""What happens during ``fit``: callbacks, the history of epochs, and progress for people."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np

from bdl.errors import BdlUnsupportedError

REDRAW_SECONDS = 0.2


class StopTraining(Exception):
    """Raised in a callback to end training; ``fit`` returns as usual."""


@dataclass
class History:
    """What ``fit`` returns: a dictionary for each epoch, and why training ended."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""
    checkpoint: str | None = None
    fingerprint: str = ""

    @property
    def history(self) -> dict[str, list[float]]:
        """The epochs' values by name: ``history["loss"]``."""
        names = list(dict.fromkeys(name for epoch in self.epochs for name in epoch))
        return {name: [epoch[name] for epoch in self.epochs if name in epoch] for name in names}


class Callback:
    """Base of callbacks; each method may be left out. Training stops when one returns False, raises ``StopTraining``,
    or sets ``stop``. Methods run on the thread that called ``fit``."""

    stop = False

    def on_train_begin(self, model: Any) -> bool | None:
        """Everything is open, nothing is trained yet."""

    def on_step(self, iteration: int, values: Mapping[str, float]) -> bool | None:
        """After an update of the weights: loss, learning rate."""

    def on_epoch_end(self, epoch: int, values: Mapping[str, float]) -> bool | None:
        """After epoch number `epoch`, from 1: loss, and with validation data val_loss and metrics as val_top1."""

    def on_checkpoint(self, path: str) -> bool | None:
        """A checkpoint was written."""

    def on_train_end(self, history: History) -> bool | None:
        """Training has ended."""


class FunctionCallback(Callback):
    """A plain function of (epoch, values)."""

    def __init__(self, function: Callable[[int, Mapping[str, float]], Any]) -> None:
        self.function = function

    def on_epoch_end(self, epoch: int, values: Mapping[str, float]) -> bool | None:
        result: bool | None = self.function(epoch, values)
        return result


def asks_to_stop(result: object) -> bool:
    """Whether a callback gave False, Python's or NumPy's."""
    return isinstance(result, (bool, np.bool_)) and not result


Callbacks = Union[Callback, Callable[[int, Mapping[str, float]], Any]]


def as_callbacks(given: Iterable[Callbacks] | Callbacks | None) -> list[Callback]:
    """Callbacks from what ``fit`` takes."""
    if given is None:
        return []
    many = list(given) if isinstance(given, Iterable) else [given]
    for callback in many:
        if isinstance(callback, type) or not (isinstance(callback, Callback) or callable(callback)):
            raise BdlUnsupportedError(
                f"callbacks: expected objects of bdl.callbacks.Callback or functions of (epoch, values), got {callback!r}"
            )
    return [c if isinstance(c, Callback) else FunctionCallback(c) for c in many]


class Progress:
    """A line for each epoch; on a terminal also one that is redrawn in between."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.drawn = 0.0
        self.width = 0

    def _write(self, line: str, end: str) -> None:
        start = "\r" if self.width else ""
        print(start + line.ljust(self.width), end=end, flush=True)
        self.width = 0 if end == "\n" else len(line)

    def _is_due(self) -> bool:
        now = time.monotonic()
        is_due = self.is_terminal and now - self.drawn > REDRAW_SECONDS
        self.drawn = now if is_due else self.drawn
        return is_due

    def validating(self, event: Any) -> None:
        """The same line, within a validation."""
        if self._is_due():
            self._write(f"validating: {event.step}/{event.steps} samples", "")

    def step(self, event: Any) -> None:
        """Redraws the line now and then."""
        if self._is_due():
            left = "" if math.isnan(event.seconds_left) else f", {event.seconds_left:.0f} s left"
            self._write(
                f"epoch {event.epoch + 1}: step {event.step}/{event.steps}, loss {event.loss:.4f}, "
                f"{event.samples_per_second:.0f} samples/s{left}", ""
            )

    def epoch(self, event: Any, values: Mapping[str, float]) -> None:
        """The epoch's line."""
        of = f"/{event.epochs}" if event.epochs else ""
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in values.items() if name not in ("lr", "seconds"))
        self._write(f"epoch {event.epoch}{of}: {numbers} ({event.samples_per_second:.0f} samples/s)", "\n")
