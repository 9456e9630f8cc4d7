# SPDX-License-Identifier: Apache-2.0
"""The C context of this process, objects that live in it, and calls that may take long.

The context (and with it the worker threads) is made on first use. Objects are freed when nobody refers to them any
more, at the latest when the interpreter ends, the newest first. A forked child never frees what its parent made.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import queue
import threading
import weakref
from collections.abc import Callable
from ctypes import c_void_p
from numbers import Integral
from typing import Any, NoReturn, TypeVar

from bdl import _lib
from bdl._schema_gen import SCHEMA_SHA256
from bdl.errors import BdlCancelledError, BdlForkedError, BdlInvalidArgumentError, BdlStateError, BdlUnsupportedError

T = TypeVar("T")
POLL_SECONDS = 0.1  # how often a waiting main thread looks for Ctrl-C


def _free(name: str, pointer: int, pid: int, parent: Any) -> None:
    """`parent` is only held, so that it is freed later."""
    if os.getpid() == pid:
        getattr(_lib.library(), name)(pointer)


class Handle:
    """A C object with the function that frees it; keeps what it was made from alive."""

    def __init__(self, pointer: c_void_p, free: str, parent: Handle | None) -> None:
        self._pointer = pointer
        self._pid = os.getpid()
        self._parent = parent
        self.in_training = threading.Lock()  # held by the one fit that may change a model
        self._finalizer = weakref.finalize(self, _free, free, pointer.value or 0, self._pid, parent)

    @property
    def context(self) -> Handle:
        """The context that this object lives in."""
        return self if self._parent is None else self._parent.context

    @property
    def pointer(self) -> c_void_p:
        """The C pointer, for a call."""
        if os.getpid() != self._pid:
            raise BdlForkedError(
                f"this object of bdl was made in process {self._pid} and cannot be used in its forked child "
                f"{os.getpid()}: make it after the fork, or start processes by spawn or forkserver instead of fork"
            )
        if not self._finalizer.alive:
            raise BdlStateError("this object of bdl is closed")
        return self._pointer

    def close(self) -> None:
        """Frees the C object now: only for objects that nothing else was made from."""
        self._finalizer()

    def __reduce__(self) -> NoReturn:
        raise BdlUnsupportedError(
            "this object of bdl lives in the C library and can neither be copied nor pickled: make it anew there"
        )


_context: Handle | None = None
_threads = 0


def _check_schema(pointer: c_void_p) -> None:
    schema = _lib.call_text("bdl_schema_json", pointer).strip()
    found = hashlib.sha256(schema.encode()).hexdigest()
    if found != SCHEMA_SHA256:
        raise BdlStateError(
            "the package bdl and the C library are of different versions: the package was made for the schema "
            f"{SCHEMA_SHA256[:12]}, {_lib.library()._name} has {found[:12]}. Install both from one wheel, or run "
            "tools/gen_bindings.py and rebuild"
        )


def context() -> Handle:
    """The context of this process, made on first use; a forked child gets one of its own."""
    global _context
    if _context is None or _context._pid != os.getpid():
        options = _lib.ContextOptions(struct_size=ctypes.sizeof(_lib.ContextOptions), n_threads=_threads, log_level=1)
        pointer = c_void_p()
        _lib.call("bdl_context_create", ctypes.byref(options), ctypes.byref(pointer))
        handle = Handle(pointer, "bdl_context_free", None)
        _check_schema(pointer)
        _context = handle
    return _context


def set_threads(n: int) -> None:
    """Sets the number of worker threads (0: one for each processor) of models that are made from now on."""
    global _context, _threads
    if not isinstance(n, Integral) or not 0 <= n <= 1024:
        raise BdlInvalidArgumentError(f"threads must be a whole number between 0 (all processors) and 1024, got {n!r}")
    _threads = int(n)
    _context = None


def create(free: str, name: str, *arguments: Any, parent: Handle | None = None) -> Handle:
    """Calls a function whose last parameter gives an object."""
    pointer = c_void_p()
    _lib.call(name, *arguments, ctypes.byref(pointer))
    return Handle(pointer, free, parent if parent is not None else context())


class _Request:
    """What a call wants done on the caller's thread, once, even where that is interrupted before it could answer."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self.round: int | None = None  # of the caller's serving in which it was begun
        self.answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def run(self, round_: int) -> None:
        self.round = round_
        error = None
        try:
            self.function()
        except Exception as raised:
            error = raised
        finally:
            self.answers.put(error)


class _Call(threading.Thread):
    """A call on a thread of its own, where no signal raises; what it wants done on the caller's thread is `request`.

    Python may raise KeyboardInterrupt between any two steps of the caller, also while it waits for the end. So the call
    keeps all that it uses, cleans up behind itself, and does not need the caller to do so.
    """

    def __init__(self, function: Callable[[], object], end: Callable[[], None], after: Callable[[], None]) -> None:
        super().__init__()
        self.function = function
        self.end = end  # asks the call to end
        self.after = after  # follows the call if it was asked to
        self.request: _Request | None = None
        self.wake: queue.SimpleQueue[None] = queue.SimpleQueue()  # says that there is something to see
        self.result: object = None
        self.error: BaseException | None = None
        self.turn = threading.Lock()  # of these:
        self.has_begun = self.is_called_off = self.is_cancelled = self.has_ended = False
        self.round = 0  # how often the caller has begun to serve; what it had begun before is over
        self.is_left = False  # it does not serve any more

    def run(self) -> None:
        with self.turn:
            if self.is_called_off:
                return
            self.has_begun = True
        try:
            self.result = self.function()
        except BaseException as error:  # handed to the caller's thread
            self.error = error
        with self.turn:
            if self.is_cancelled:
                self.after()
            self.has_ended = True
        self.wake.put(None)

    def serve(self) -> None:
        """Does what is asked for until the call has ended."""
        self.round += 1
        while not self.has_ended:
            request = self.request
            if request is not None and request.round is None:
                request.run(self.round)
                continue
            with contextlib.suppress(queue.Empty):
                self.wake.get(timeout=POLL_SECONDS)

    def cancel(self) -> None:
        """Ends the call, or lets it not begin: start may have been interrupted."""
        with self.turn:
            if not self.has_begun:
                self.is_called_off = self.has_ended = True
            elif not self.has_ended:
                self.is_cancelled = True
                self.end()

    def finish(self) -> None:
        """As cancel and serve, and a further Ctrl-C does not end the wait."""
        while not self.has_ended:
            try:
                self.cancel()
                self.serve()
            except BaseException:  # such as a second Ctrl-C: the first has cancelled the call
                continue

    def ask(self, function: Callable[[], None]) -> None:
        """Lets the caller's thread run `function`, and waits for it."""
        request = self.request = _Request(function)
        self.wake.put(None)
        while True:
            try:
                error = request.answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self.is_left or request.round is not None and request.round < self.round:
                    raise BdlCancelledError("the thread that began this call was interrupted") from None
                continue
            if error is not None:
                raise error
            return

    def leave(self) -> None:
        """Nobody serves from here on."""
        self.is_left = True


def on_caller_thread(function: Callable[[], None]) -> None:
    """From within a long call: runs `function` on the thread that began the call, and waits for it."""
    current = threading.current_thread()
    if not isinstance(current, _Call):
        function()
        return
    current.ask(function)


def long_call(handle: Handle, function: Callable[[], T], end: Callable[[], None] | None = None) -> T:
    """Runs a call that may take long. On the main thread, where Python handles signals, it runs on another thread
    while this one waits: Ctrl-C ends it, and KeyboardInterrupt is raised when it has ended. Without `end`, which ends
    this call alone, all calls of the context are cancelled. What the call uses must be held by `function`."""
    if threading.current_thread() is not threading.main_thread():
        return function()
    context = handle.context
    library = _lib.library()
    if end is None:
        running = _Call(function, lambda: library.bdl_context_cancel(context.pointer),
                        lambda: library.bdl_context_clear_cancel(context.pointer))
    else:
        running = _Call(function, end, lambda: None)
    try:
        running.start()
        running.serve()
    except BaseException:
        running.finish()
        raise
    finally:
        running.leave()
    running.join()
    if running.error is not None:
        raise running.error
    return running.result  # type: ignore[return-value]
