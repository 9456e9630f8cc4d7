# SPDX-License-Identifier: Apache-2.0
"""The C context of this process, objects that live in it, and calls that may take long.

The context (and with it the worker threads) is made on first use. Objects are freed when nobody refers to them any
more, at the latest when the interpreter ends, the newest first. A forked child never frees what its parent made.
"""

from __future__ import annotations

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
from bdl.errors import BdlForkedError, BdlInvalidArgumentError, BdlStateError, BdlUnsupportedError

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


class _Call(threading.Thread):
    """A call on a thread of its own; what it wants done on the caller's thread comes through `requests`."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.function = function
        self.requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.result: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:  # handed to the caller's thread
            self.error = error
        self.requests.put(None)

    def serve(self) -> None:
        """Does what is asked for until the call has ended."""
        while True:
            try:
                request = self.requests.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self.is_alive():
                    continue
                return
            if request is None:
                return
            request()

    def finish(self) -> None:
        """As serve, and lets nothing end the wait: C works in the arrays of who called."""
        while self.is_alive():
            try:
                self.serve()
                self.join()
            except BaseException:  # such as a second Ctrl-C: the first has cancelled the call
                continue


def on_caller_thread(function: Callable[[], None]) -> None:
    """From within a long call: runs `function` on the thread that began the call, and waits for it."""
    current = threading.current_thread()
    if not isinstance(current, _Call):
        function()
        return
    done = threading.Event()
    errors: list[BaseException] = []

    def request() -> None:
        try:
            function()
        except Exception as error:
            errors.append(error)
        finally:
            done.set()

    current.requests.put(request)
    done.wait()
    if errors:
        raise errors[0]


def long_call(handle: Handle, function: Callable[[], T], end: Callable[[], None] | None = None) -> T:
    """Runs a call that may take long. On the main thread, where Python handles signals, it runs on another thread
    while this one waits: Ctrl-C ends it, and KeyboardInterrupt is raised when it has ended. Without `end`, which ends
    this call alone, all calls of the context are cancelled."""
    if threading.current_thread() is not threading.main_thread():
        return function()
    pointer = handle.context.pointer
    running = _Call(function)
    try:
        running.start()
        running.serve()
    except BaseException:
        if end is None:
            _lib.library().bdl_context_cancel(pointer)
        else:
            end()
        running.finish()
        if end is None:
            _lib.library().bdl_context_clear_cancel(pointer)
        raise
    running.join()
    if running.error is not None:
        raise running.error
    return running.result  # type: ignore[return-value]
