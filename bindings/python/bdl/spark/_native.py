# SPDX-License-Identifier: Apache-2.0
"""The C library's functions that tasks use: contexts of their own, data that are pushed or lent, predictions."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any

import numpy as np

from bdl import _lib
from bdl._context import Handle
from bdl.spark._blocks import Array, Rows

F32, U8 = 0, 4  # bdl_dtype
LABEL_KINDS = {"none": 0, "class": 1, "floats": 2}


class DataOptions(ctypes.Structure):
    """bdl_data_options"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", _lib.Shape),
        ("is_encoded", c_bool),
        ("check_finite", c_bool),
        ("label_kind", c_int32),
        ("n_classes", c_int64),
        ("class_names", c_void_p),
        ("target_rank", c_int32),
        ("target_shape", _lib.Shape),
        ("transform", c_char_p),
        ("memory_limit", c_int64),
        ("spill_directory", c_char_p),
    ]


class DataStats(ctypes.Structure):
    """bdl_data_stats"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("n_rows", c_int64),
        ("n_classes", c_int64),
        ("memory_size", c_int64),
        ("spilled_size", c_int64),
        ("key_xor", c_uint8 * 16),
        ("key_sum", c_uint8 * 16),
    ]


_OUT = POINTER(c_void_p)
_PUSH = [c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_void_p]

SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "bdl_data_create": (c_int32, [c_void_p, POINTER(DataOptions), _OUT]),
    "bdl_data_push": (c_int32, _PUSH),
    "bdl_data_push_encoded": (c_int32, [c_void_p, c_int64, c_void_p, *_PUSH[2:]]),
    "bdl_data_finish": (c_int32, [c_void_p]),
    "bdl_data_wrap": (c_int32, [c_void_p, POINTER(DataOptions), *_PUSH[1:], _OUT]),
    "bdl_data_get_stats": (c_int32, [c_void_p, POINTER(DataStats)]),
    "bdl_data_free": (None, [c_void_p]),
    "bdl_model_open": (c_int32, [c_void_p, c_char_p, c_uint64, _OUT]),
    "bdl_model_sizes": (c_int32, [c_void_p, POINTER(c_int64), POINTER(c_int64)]),
    "bdl_model_free": (None, [c_void_p]),
    "bdl_predict_on": (c_int32, [c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_float), POINTER(c_int64)]),
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


def data_options(rows: Rows, label_kind: str, **others: Any) -> DataOptions:
    """Options for rows that look like these."""
    options = DataOptions(
        struct_size=ctypes.sizeof(DataOptions), dtype=F32 if rows.values.dtype.itemsize == 4 else U8, rank=len(rows.shape),
        shape=_lib.Shape(*rows.shape), is_encoded=rows.sizes is not None, label_kind=LABEL_KINDS[label_kind], **others,
    )
    if label_kind == "floats" and rows.labels.shape[1] > 1:
        options.target_rank = 1
        options.target_shape = _lib.Shape(rows.labels.shape[1])
    elif label_kind == "floats":
        options.target_rank = 1
        options.target_shape = _lib.Shape(1)
    return options


def _files(rows: Rows) -> tuple[Array, Array]:
    """Addresses and sizes of encoded images."""
    assert rows.sizes is not None
    sizes = np.ascontiguousarray(rows.sizes, np.int64)
    return (np.cumsum(sizes) - sizes + rows.values.ctypes.data).astype(np.uint64), sizes


def push(data: Handle, rows: Rows, label_kind: str) -> None:
    """Adds rows to data; the labels are of the kind that the data were made for."""
    labels = np.ascontiguousarray(rows.labels, np.float64) if label_kind == "class" else None
    targets = np.ascontiguousarray(rows.labels, np.float32) if label_kind == "floats" else None
    given = [None if a is None else a.ctypes.data for a in (labels, targets)]
    if rows.sizes is None:
        values = np.ascontiguousarray(rows.values)
        call("bdl_data_push", data.pointer, len(rows), values.ctypes.data, *given, None)
    else:
        addresses, sizes = _files(rows)
        call("bdl_data_push_encoded", data.pointer, len(rows), addresses.ctypes.data, sizes.ctypes.data, *given, None)


def lend(context: Handle, rows: Rows) -> Handle:
    """Data over rows without labels, which must live as long; encoded images are copied."""
    options = data_options(rows, "none")
    if rows.sizes is None:
        return create("bdl_data_free", "bdl_data_wrap", context.pointer, ctypes.byref(options), len(rows),
                      rows.values.ctypes.data, None, None, None, parent=context)
    data = create("bdl_data_free", "bdl_data_create", context.pointer, ctypes.byref(options), parent=context)
    push(data, rows, "none")
    call("bdl_data_finish", data.pointer)
    return data


def predict(context: Handle, model: Handle, rows: Rows, n_outputs: int) -> Array:
    """The model's outputs, a row of float32 for each row."""
    values = np.ascontiguousarray(rows.values)
    data = lend(context, Rows(rows.shape, rows.labels, values, rows.sizes))
    result = np.empty((len(rows), n_outputs), np.float32)
    broken = c_int64()
    try:
        call("bdl_predict_on", context.pointer, None, model.pointer, data.pointer,
             result.ctypes.data_as(POINTER(c_float)), ctypes.byref(broken))
    finally:
        data.close()
    return result


def n_outputs(model: Handle) -> int:
    """Values of output 0 for a sample."""
    inputs, outputs = c_int64(), c_int64()
    call("bdl_model_sizes", model.pointer, ctypes.byref(inputs), ctypes.byref(outputs))
    return outputs.value
