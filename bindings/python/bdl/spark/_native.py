# SPDX-License-Identifier: Apache-2.0
"""The C library's functions that tasks use: contexts of their own, data that are pushed or lent, predictions."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from ctypes import POINTER, c_bool, c_char_p, c_double, c_int32, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np

from bdl import _lib
from bdl._context import Handle
from bdl._lib import DataOptions, DataStats, Event
from bdl.spark import _blocks
from bdl.spark._blocks import Array, Rows

DATA_NAME = b"DataFrame"  # of all rows, so that checkpoints of all fits go together
F32, U8 = 0, 4  # bdl_dtype
LABEL_KINDS = {"none": 0, "class": 1, "floats": 2}


class GroupOptions(ctypes.Structure):
    """bdl_group_options"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("rank", c_int32),
        ("n_ranks", c_int32),
        ("secret", c_char_p),
        ("bind", c_char_p),
        ("first_port", c_int32),
        ("last_port", c_int32),
        ("connect_seconds", c_double),
        ("wait_seconds", c_double),
        ("silence_seconds", c_double),
        ("encrypt", c_bool),
    ]


EVENT_STEP, EVENT_EPOCH, EVENT_END = 1, 3, 5

_OUT = POINTER(c_void_p)

# Those that the package itself does not use: _lib declares the others.
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "bdl_data_push_encoded": (c_int32, [c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "bdl_model_sizes": (c_int32, [c_void_p, POINTER(c_int64), POINTER(c_int64)]),
    "bdl_group_create": (c_int32, [c_void_p, POINTER(GroupOptions), _OUT]),
    "bdl_group_address": (c_char_p, [c_void_p]),
    "bdl_group_connect": (c_int32, [c_void_p, POINTER(c_char_p)]),
    "bdl_group_free": (None, [c_void_p]),
    "bdl_options_set_group": (c_int32, [c_void_p, c_void_p]),
    "bdl_trainer_checkpoint": (c_int32, [c_void_p, c_char_p]),
    "bdl_trainer_save": (c_int32, [c_void_p, c_char_p]),
}

_declared = False


def call(name: str, *arguments: Any) -> None:
    """Calls a function that returns a status, and raises the error that it stands for."""
    global _declared
    if not _declared:
        library = _lib.library()
        for function, (result, types) in SIGNATURES.items():
            getattr(library, function).restype = result
            getattr(library, function).argtypes = types
        _declared = True
    _lib.call(name, *arguments)


def create(free: str, name: str, *arguments: Any, parent: Handle | None) -> Handle:
    """Calls a function whose last parameter gives an object."""
    pointer = c_void_p()
    call(name, *arguments, ctypes.byref(pointer))
    return Handle(pointer, free, parent)


def make_context(threads: int) -> Handle:
    """A context with so many workers, for one task."""
    options = _lib.ContextOptions(struct_size=ctypes.sizeof(_lib.ContextOptions), n_threads=threads, log_level=1)
    return create("bdl_context_free", "bdl_context_create", ctypes.byref(options), parent=None)


def cancel(context: Handle) -> None:
    """Ends the training that runs in the context after its iteration."""
    _lib.library().bdl_context_cancel(context.pointer)


def data_options(shape: Sequence[int], dtype: int, n_labels: int, label_kind: str, **others: Any) -> DataOptions:
    """Options for rows of this shape and of a dtype of _blocks."""
    options = DataOptions(
        struct_size=ctypes.sizeof(DataOptions), dtype=F32 if dtype == _blocks.F32 else U8, rank=len(shape),
        shape=_lib.Shape(*shape), is_encoded=dtype == _blocks.ENCODED, label_kind=LABEL_KINDS[label_kind], **others,
    )
    if label_kind == "floats":
        options.target_rank = 1
        options.target_shape = _lib.Shape(n_labels)
    return options


def _for_c(array: Array, dtype: Any = None) -> Array:
    """An array as C reads it. Views of a block may lie at any byte: those are copied."""
    found: Array = np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
    return found


def _files(rows: Rows) -> tuple[Array, Array]:
    """Addresses and sizes of encoded images."""
    assert rows.sizes is not None
    sizes = _for_c(rows.sizes, np.int64)
    return (np.cumsum(sizes) - sizes + rows.values.ctypes.data).astype(np.uint64), sizes


def push(data: Handle, rows: Rows, label_kind: str) -> None:
    """Adds rows to data; the labels are of the kind that the data were made for."""
    labels = _for_c(rows.labels, np.float64) if label_kind == "class" else None
    targets = _for_c(rows.labels, np.float32) if label_kind == "floats" else None
    given = [None if a is None else a.ctypes.data for a in (labels, targets)]
    if rows.sizes is None:
        values = _for_c(rows.values)
        call("bdl_data_push", data.pointer, len(rows), values.ctypes.data, *given, None)
    else:
        addresses, sizes = _files(rows)
        call("bdl_data_push_encoded", data.pointer, len(rows), addresses.ctypes.data, sizes.ctypes.data, *given, None)


def lend(context: Handle, rows: Rows) -> Handle:
    """Data over rows without labels, which must live as long; encoded images are copied."""
    options = data_options(rows.shape, rows.dtype, 0, "none", name=DATA_NAME)
    if rows.sizes is None:
        return create("bdl_data_free", "bdl_data_wrap", context.pointer, ctypes.byref(options), len(rows),
                      rows.values.ctypes.data, None, None, None, parent=context)
    data = create("bdl_data_free", "bdl_data_create", context.pointer, ctypes.byref(options), parent=context)
    push(data, rows, "none")
    call("bdl_data_finish", data.pointer)
    return data


def predict(context: Handle, model: Handle, rows: Rows, n_outputs: int) -> Array:
    """The model's outputs, a row of float32 for each row."""
    values = _for_c(rows.values)
    data = lend(context, Rows(rows.shape, rows.labels, values, rows.sizes))
    result = np.empty((len(rows), n_outputs), np.float32)
    broken = c_int64()
    try:
        call("bdl_predict_on", context.pointer, None, model.pointer, data.pointer,
             result.ctypes.data, ctypes.byref(broken))
    finally:
        data.close()
    return result


def n_outputs(model: Handle) -> int:
    """Values of output 0 for a sample."""
    inputs, outputs = c_int64(), c_int64()
    call("bdl_model_sizes", model.pointer, ctypes.byref(inputs), ctypes.byref(outputs))
    return outputs.value


# ---- groups and training -----------------------------------------------------------------------------------------


def listen(context: Handle, rank: int, n_ranks: int, secret: bytes, bind: str, ports: tuple[int, int],
           encrypt: bool) -> Handle:
    """A group that listens for the other ranks."""
    options = GroupOptions(struct_size=ctypes.sizeof(GroupOptions), rank=rank, n_ranks=n_ranks, secret=secret,
                           bind=bind.encode(), first_port=ports[0], last_port=ports[1], encrypt=encrypt)
    return create("bdl_group_free", "bdl_group_create", context.pointer, ctypes.byref(options), parent=context)


def address(group: Handle) -> str:
    """Where the group listens; "" with one rank."""
    return str(_lib.library().bdl_group_address(group.pointer).decode())


def connect(group: Handle, addresses: Sequence[str]) -> None:
    """Connects to all ranks."""
    call("bdl_group_connect", group.pointer, (c_char_p * len(addresses))(*[a.encode() for a in addresses]))


def stats(data: Handle) -> DataStats:
    """Sizes and sums of keys."""
    found = DataStats(struct_size=ctypes.sizeof(DataStats))
    call("bdl_data_get_stats", data.pointer, ctypes.byref(found))
    return found


def keys(data: Handle) -> dict[str, Any]:
    """Number of rows, and sums over their keys that tell whether two sets of rows are equal."""
    found = stats(data)
    return {"rows": found.n_rows, "xor": bytes(found.key_xor).hex(), "sum": bytes(found.key_sum).hex()}


def make_options(context: Handle, values: dict[str, str], group: Handle) -> Handle:
    """Options of `bdl train` for the ranks of a group."""
    options = create("bdl_options_free", "bdl_options_create", context.pointer, b"train", parent=context)
    for name, value in values.items():
        call("bdl_options_set", options.pointer, name.encode(), os.fsencode(value))
    call("bdl_options_set_group", options.pointer, group.pointer)
    return options


def make_trainer(context: Handle, options: Handle, data: Handle, validation: Handle | None) -> Handle:
    """A trainer on data."""
    return create("bdl_trainer_free", "bdl_trainer_create_on", context.pointer, options.pointer, None, data.pointer,
                  None if validation is None else validation.pointer, parent=context)


def train(trainer: Handle, on_event: Callable[[Event], None]) -> None:
    """Trains to the end, or to the end of the time."""
    function = _lib.EventFunction(lambda _, event: on_event(event.contents))
    call("bdl_trainer_run", trainer.pointer, function, None)


def metrics(event: Event) -> dict[str, float]:
    """What validation measured, by name."""
    names = [(event.metric_names[i] or b"").decode() for i in range(event.n_metrics)]
    return {f"val_{name}": event.metrics[i] for i, name in enumerate(names)}


def fingerprint(trainer: Handle) -> str:
    """The hash over weights, running buffers and the method's state."""
    text = ctypes.create_string_buffer(65)
    _lib.library().bdl_trainer_fingerprint(trainer.pointer, text)
    return text.value.decode()
