# SPDX-License-Identifier: Apache-2.0
"""Data sets of the C library over arrays, from batches, and by name."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bdl import _lib
from bdl._arrays import Array, as_numpy
from bdl._context import Handle, context, create, long_call
from bdl._described import Reader
from bdl._options import option_text
from bdl.errors import BdlInvalidArgumentError, BdlShapeError, BdlUnsupportedError

NONE, CLASS, FLOATS = 0, 1, 2
U8, F32 = 4, 0


class Data:
    """Rows to train on, to evaluate or to predict. Made by ``from_arrays``, ``from_batches`` or ``open_data``."""

    def __init__(self, handle: Handle, keep: object = None) -> None:
        self._handle = handle
        self._keep = keep  # arrays that the library reads

    def _stats(self) -> _lib.DataStats:
        stats = _lib.DataStats(struct_size=ctypes.sizeof(_lib.DataStats))
        _lib.call("bdl_data_get_stats", self._handle.pointer, ctypes.byref(stats))
        return stats

    def __len__(self) -> int:
        return int(self._stats().n_rows)

    @property
    def classes(self) -> int:
        """Number of classes, 0 where labels are no classes."""
        return int(self._stats().n_classes)

    def to_numpy(self, first: int = 0, count: int | None = None) -> tuple[Array, Array | None]:
        """Samples ``first`` and after as float32, before any transform, and their class numbers (None where labels are
        no classes)."""
        stats = self._stats()
        n = stats.n_rows - first if count is None else count
        if not (0 <= first <= stats.n_rows and 0 <= n <= stats.n_rows - first):
            raise BdlInvalidArgumentError(f"{n} samples from number {first} on are not among {stats.n_rows}")
        shape, rank = _lib.Shape(), ctypes.c_int32()
        _lib.call("bdl_data_shape", self._handle.pointer, shape, ctypes.byref(rank))
        x = np.empty((n, *shape[: rank.value]), np.float32)
        y = np.empty(n) if stats.n_classes > 0 else None
        _lib.call("bdl_data_read", self._handle.pointer, first, n, x.ctypes.data, None if y is None else y.ctypes.data)
        return x, None if y is None else y.astype(np.int64)

    def prepared_shape(self, transform: Any = None) -> tuple[int, ...]:
        """Shape of a sample as a model gets it: after a transform, by default the data's own."""
        shape, rank = _lib.Shape(), ctypes.c_int32()
        text = None if transform is None else os.fsencode(option_text(transform))
        _lib.call("bdl_data_prepared_shape", self._handle.pointer, text, shape, ctypes.byref(rank))
        return tuple(shape[: rank.value])

    @property
    def spilled_size(self) -> int:
        """Bytes of rows that were written to a file because memory would not do."""
        return int(self._stats().spilled_size)


def _values(x: Any, what: str) -> Array:
    """Samples as the library takes them: uint8 or float32, contiguous."""
    array = as_numpy(x, what)
    if array.ndim < 1:
        raise BdlShapeError(f"{what}: expected samples along the first axis, found a single number")
    return np.ascontiguousarray(array, dtype=np.uint8 if array.dtype == np.uint8 else np.float32)


def _labels(y: Any, n: int, what: str, classes: int) -> tuple[int, Array | None]:
    """Kind of labels and their values: those of an integer type are classes, unless there is only one; others are values
    to predict."""
    if y is None:
        return NONE, None
    array = as_numpy(y, what)
    if array.ndim < 1 or len(array) != n:
        raise BdlShapeError(f"{what}: expected {n} labels, one for each sample, found shape {array.shape}")
    if array.dtype.kind == "f" and array.ndim == 1 and classes > 1:
        raise BdlUnsupportedError(
            f"{what}: expected class numbers of an integer type for {classes} classes, found {array.dtype}; "
            "y.astype(int) makes them"
        )
    if array.dtype.kind in "iub" and classes != 1:
        if array.ndim > 1 and array.size != n:
            raise BdlShapeError(f"{what}: expected class numbers of shape ({n},), found {array.shape}")
        return CLASS, np.ascontiguousarray(array.reshape(n), dtype=np.float64)
    return FLOATS, np.ascontiguousarray(array, dtype=np.float32)


def _options(x: Array, kind: int, y: Array | None, classes: int, name: str, memory_limit: int,
             spill_directory: str | None) -> _lib.DataOptions:
    options = _lib.DataOptions(
        struct_size=ctypes.sizeof(_lib.DataOptions), name=name.encode(), dtype=U8 if x.dtype == np.uint8 else F32,
        rank=x.ndim - 1, check_finite=True, label_kind=kind, n_classes=classes if kind == CLASS else 0,
        memory_limit=memory_limit, spill_directory=None if spill_directory is None else os.fsencode(spill_directory),
    )
    if x.ndim > _lib.MAX_RANK:
        raise BdlShapeError(f"{name}: samples have at most {_lib.MAX_RANK - 1} axes, found {x.ndim - 1}")
    options.shape[: x.ndim - 1] = x.shape[1:]
    if kind == FLOATS and y is not None:
        shape = y.shape[1:] or (1,)
        options.target_rank = len(shape)
        options.target_shape[: len(shape)] = shape
    return options


def _pointers(kind: int, y: Array | None) -> tuple[int | None, int | None]:
    address = None if y is None else y.ctypes.data
    return (address if kind == CLASS else None), (address if kind == FLOATS else None)


def from_arrays(x: Any, y: Any = None, *, classes: int = 0, name: str = "data") -> Data:
    """Data over arrays: uint8 and float32 samples are not copied, and must not change while they are used.

    Args:
        x: Samples along the first axis: an array, or anything with DLPack.
        y: Class numbers from 0 (an integer type), or values to predict (a float type), or None.
        classes: Number of classes; 0: the largest label plus one; 1: labels are values, whatever their type.
        name: For error texts.
    """
    values = _values(x, f"{name}: x")
    if len(values) == 0:
        raise BdlInvalidArgumentError(f"{name}: there are no samples")
    kind, labels = _labels(y, len(values), f"{name}: y", classes)
    options = _options(values, kind, labels, classes, name, 0, None)
    numbers, targets = _pointers(kind, labels)
    handle = create("bdl_data_free", "bdl_data_wrap", context().pointer, ctypes.byref(options), len(values),
                    values.ctypes.data, numbers, targets, None)
    return Data(handle, (values, labels))


def _split(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, (tuple, list)):
        if len(batch) != 2:
            raise BdlInvalidArgumentError(f"a batch is (x, y) or x, found a {type(batch).__name__} of {len(batch)}")
        return batch[0], batch[1]
    return batch, None


def from_batches(batches: Iterable[Any], *, classes: int = 0, name: str = "data", memory_limit: int = 0,
                 spill_directory: str | None = None) -> Data:
    """Data from an iterable of batches, (x, y) or x, such as a generator or PyTorch's DataLoader. All batches are read
    once and kept: in memory up to a limit, then in a file.

    Args:
        batches: Batches of samples that all have one shape.
        classes: Number of classes; 0: the largest label plus one; 1: labels are values, whatever their type.
        name: For error texts.
        memory_limit: Bytes kept in memory; 0: half of what the process may use.
        spill_directory: Where the file is made; by default TMPDIR or /tmp.
    """
    handle: Handle | None = None
    first: tuple[Any, ...] = ()
    for i, batch in enumerate(batches):
        x, y = _split(batch)
        values = _values(x, f"{name}: batch {i}: x")
        kind, labels = _labels(y, len(values), f"{name}: batch {i}: y", classes)
        found = (values.shape[1:], str(values.dtype), kind, labels.shape[1:] if labels is not None else ())
        if handle is None:
            first = found
            options = _options(values, kind, labels, classes, name, memory_limit, spill_directory)
            handle = create("bdl_data_free", "bdl_data_create", context().pointer, ctypes.byref(options))
        if found != first:
            raise BdlShapeError(
                f"{name}: batch {i}: expected samples of shape {first[0]} and type {first[1]} as in the first batch, "
                f"found {found[0]} and {found[1]}" if found[:2] != first[:2] else
                f"{name}: batch {i}: the labels are of another kind than in the first batch"
            )
        numbers, targets = _pointers(kind, labels)
        _lib.call("bdl_data_push", handle.pointer, len(values), values.ctypes.data, numbers, targets, None)
    if handle is None:
        raise BdlInvalidArgumentError(f"{name}: there are no batches")
    pushed = handle
    long_call(pushed, lambda: _lib.call("bdl_data_finish", pushed.pointer))
    return Data(handle)


def open_data(source: Reader | str, part: str = "all") -> Data:
    """Data that the library reads itself: ``open_data(bdl.data.Mnist("DIR"), "train")`` or ``"mnist:DIR"``."""
    return Data(create("bdl_data_free", "bdl_data_open", context().pointer, os.fsencode(str(source)), part.encode()))


def _are_batches(x: Any) -> bool:
    """Whether a list holds batches: pairs of arrays."""
    return isinstance(x, list) and bool(x) and isinstance(x[0], tuple) and len(x[0]) == 2 and hasattr(x[0][0], "shape")


def as_data(x: Any, y: Any, *, part: str, name: str, classes: int = 0) -> Data:
    """Data from what fit, evaluate and predict take."""
    is_array = hasattr(x, "__array__") or hasattr(x, "__dlpack__") or isinstance(x, Sequence)
    is_batches = _are_batches(x) or not is_array and isinstance(x, Iterable)
    if y is not None and (is_batches or isinstance(x, (Data, Reader, str))):
        raise BdlInvalidArgumentError(f"{name}: y belongs to arrays; a {type(x).__name__} brings its own labels")
    if isinstance(x, Data):
        return x
    if isinstance(x, (Reader, str)):
        return open_data(x, part)
    if is_batches:
        return from_batches(x, classes=classes, name=name)
    if y is None and isinstance(x, tuple) and len(x) == 2:
        x, y = x
    return from_arrays(x, y, classes=classes, name=name)


def first_shape(x: Any) -> tuple[int, ...] | None:
    """Shape of a sample where arrays are given, else None."""
    if _are_batches(x):
        x = x[0]
    if isinstance(x, tuple) and len(x) == 2 and not isinstance(x[0], (int, float)):
        x = x[0]
    if isinstance(x, (Data, Reader, str)) or not (hasattr(x, "shape") or isinstance(x, Sequence)):
        return None
    return tuple(x.shape[1:] if hasattr(x, "shape") else as_numpy(x, "x").shape[1:])


__all__ = ["Data", "from_arrays", "from_batches", "open_data"]
