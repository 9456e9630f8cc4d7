# SPDX-License-Identifier: Apache-2.0
"""fit: the C library's trainer with its events turned into callbacks, a history and progress."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable, Mapping
from typing import Any

from bdl import _lib
from bdl._context import Handle, create, long_call, on_caller_thread
from bdl.callbacks import Callback, History, Progress, StopTraining, asks_to_stop
from bdl.errors import BdlCancelledError, BdlStateError

START, STEP, VALIDATION, EPOCH, CHECKPOINT, END, VALIDATING = range(7)


def _values(event: Any) -> dict[str, float]:
    values = {"loss": event.loss}
    for i in range(event.n_metrics):
        if event.metrics[i] == event.metrics[i]:  # not-a-number before the first validation
            values["val_" + event.metric_names[i].decode()] = event.metrics[i]
    return {**values, "lr": event.rate, "seconds": event.seconds}


class Run:
    """One call of fit."""

    def __init__(self, model: Any, callbacks: list[Callback], verbose: int) -> None:
        self.model = model
        self.lock = threading.Lock()  # of the next two
        self.trainer: Handle | None = None  # between its creation and its end
        self.is_ended = False  # no further iteration is wanted
        self.callbacks = callbacks
        for callback in callbacks:
            callback.stop = False  # of an earlier run
        self.wants_steps = [c for c in callbacks if type(c).on_step is not Callback.on_step]
        self.progress = Progress() if verbose else None
        self.history = History()
        self.error: BaseException | None = None
        self.is_stopped = False

    def _tell(self, callbacks: list[Callback], what: Callable[[Callback], bool | None]) -> None:
        """Calls the callbacks on the thread of fit, and stops training if one asks for it."""

        def run() -> None:
            for callback in callbacks:
                try:
                    result = what(callback)
                except StopTraining:
                    result = False
                if asks_to_stop(result) or callback.stop:
                    self.stop()

        if callbacks:
            on_caller_thread(run)

    def stop(self) -> None:
        """Ends training after the running iteration."""
        self.is_stopped = True
        self.end()

    def end(self) -> None:
        """As stop, where it is no way to end well."""
        with self.lock:
            self.is_ended = True
            if self.trainer is not None:
                _lib.library().bdl_trainer_stop(self.trainer.pointer)

    def _set_trainer(self, trainer: Handle | None) -> None:
        with self.lock:
            self.trainer = trainer
            if self.is_ended and trainer is not None:
                _lib.library().bdl_trainer_stop(trainer.pointer)

    def _handle(self, event: Any) -> None:
        kind = event.kind
        if kind == STEP:
            if self.progress is not None:
                self.progress.step(event)
            if self.wants_steps:
                values = {"loss": event.loss, "lr": event.rate}
                iteration = event.iteration
                self._tell(self.wants_steps, lambda c: c.on_step(iteration, values))
        elif kind == VALIDATING:
            if self.progress is not None:
                self.progress.validating(event)
        elif kind == START:
            self._tell(self.callbacks, lambda c: c.on_train_begin(self.model))
        elif kind == EPOCH:
            self._epoch(event)
        elif kind == CHECKPOINT:
            path = self.history.checkpoint = event.path.decode()
            self._tell(self.callbacks, lambda c: c.on_checkpoint(path))
        elif kind == END:
            self.history.reason = event.reason.decode()

    def _epoch(self, event: Any) -> None:
        values: Mapping[str, float] = _values(event)
        self.history.epochs.append(dict(values))
        if self.progress is not None:
            self.progress.epoch(event, values)
        epoch = event.epoch
        self._tell(self.callbacks, lambda c: c.on_epoch_end(epoch, values))

    def on_event(self, user: Any, event: Any) -> None:
        """Called by the C library; nothing may be raised through it."""
        if self.error is not None or self.is_stopped and event.contents.kind == STEP:
            return
        try:
            self._handle(event.contents)
        except BaseException as error:
            self.error = error
            self.stop()

    def _run(self, trainer: Handle) -> None:
        """Runs the trainer; a stop that was asked for is no error."""
        function = _lib.EventFunction(self.on_event)
        try:
            _lib.call("bdl_trainer_run", trainer.pointer, function, None)
        except BdlCancelledError:
            if not self.is_stopped:
                raise
        if self.error is not None:
            raise self.error
        if self.is_stopped:
            self.history.reason = "stopped"

    def train(self, handle: Handle, options: Handle, data: Handle, validation: Handle | None) -> None:
        """The trainer's whole life. On the thread of a long call nothing can come between its steps."""
        if not handle.in_training.acquire(blocking=False):
            raise BdlStateError(
                "this model is being trained already, on another thread or by the fit that calls this one"
            )
        try:
            trainer = create(
                "bdl_trainer_free", "bdl_trainer_create_on", handle.context.pointer, options.pointer, handle.pointer,
                data.pointer, None if validation is None else validation.pointer, parent=handle,
            )
            try:
                self._set_trainer(trainer)
                self._run(trainer)
                hexadecimal = ctypes.create_string_buffer(65)
                _lib.library().bdl_trainer_fingerprint(trainer.pointer, hexadecimal)
                self.history.fingerprint = hexadecimal.value.decode()
            finally:
                self._set_trainer(None)
                trainer.close()
        finally:
            handle.in_training.release()


def train(model: Any, handle: Handle, options: Handle, data: Handle, validation: Handle | None,
          callbacks: list[Callback], verbose: int) -> History:
    """Trains the model in place."""
    run = Run(model, callbacks, verbose)
    long_call(handle, lambda: run.train(handle, options, data, validation), run.end)
    for callback in callbacks:
        with contextlib.suppress(StopTraining):  # it has stopped
            callback.on_train_end(run.history)
    return run.history
