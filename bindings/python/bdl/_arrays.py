# SPDX-License-Identifier: Apache-2.0
"""Arrays in and out: NumPy, anything with DLPack (such as PyTorch's tensors), and views of the library's memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from bdl.errors import BdlShapeError, BdlUnsupportedError

Array = np.ndarray[Any, np.dtype[Any]]


def _converted(values: Any, what: str) -> Array:
    """An array of what is none yet, such as lists."""
    try:
        return np.asarray(values)
    except ValueError:
        has_arrays = isinstance(values, Sequence) and any(hasattr(v, "shape") for v in values)
        hint = "; samples with labels are given as (x, y), batches as an iterable of them" if has_arrays else ""
        found = f"a {type(values).__name__} whose entries differ in shape"
        raise BdlShapeError(f"{what}: expected an array, found {found}{hint}") from None


def _imported(values: Any, what: str) -> Array:
    """An array over what gives DLPack; of PyTorch's tensors only the values count."""
    try:
        return np.from_dlpack(values.detach() if hasattr(values, "detach") else values)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        kind = f"{type(values).__name__} of {getattr(values, 'dtype', 'unknown type')}"
        raise BdlUnsupportedError(
            f"{what}: expected an array of numbers, found a {kind}, which NumPy does not take: {error}"
        ) from None


def as_numpy(values: Any, what: str) -> Array:
    """`values` as a NumPy array, without a copy where that is possible."""
    if isinstance(values, np.ndarray):
        array = values
    elif hasattr(values, "__dlpack__"):
        array = _imported(values, what)
    else:
        array = _converted(values, what)
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise BdlUnsupportedError(f"{what}: expected an array of numbers, found masked values: fill or drop them")
    if array.dtype.kind not in "fiub":
        found = f"elements of type {array.dtype}" if array.shape else f"a {type(values).__name__}"
        raise BdlUnsupportedError(f"{what}: expected an array of numbers, found {found}")
    return array


def shape_text(shape: Sequence[int]) -> str:
    """(n, 1, 28, 28) for samples of shape (1, 28, 28)."""
    return "(" + ", ".join(["n", *map(str, shape)]) + ("," if not shape else "") + ")"


def samples(values: Any, shape: Sequence[int], what: str) -> Array:
    """A batch of samples as contiguous float32; what is that already is not copied."""
    array = as_numpy(values, what)
    if array.ndim != len(shape) + 1 or array.shape[1:] != tuple(shape):
        hint = ""
        if array.shape == tuple(shape):
            hint = "; for a single sample give x[None]"
        elif array.ndim > 0 and array.size == array.shape[0] * int(np.prod(shape)):
            hint = f"; x.reshape(-1, {', '.join(map(str, shape))}) has that shape"
        raise BdlShapeError(f"{what}: expected {shape_text(shape)}, found {array.shape}{hint}")
    return np.ascontiguousarray(array, dtype=np.float32)


def view(pointer: int, count: int, shape: Sequence[int], is_double: bool, owner: object) -> Array:
    """A writable array over memory of the library, which `owner` keeps alive."""
    kind = ctypes.c_double if is_double else ctypes.c_float
    memory: Any = (kind * count).from_address(pointer)
    memory._owner = owner
    array: Array = np.ctypeslib.as_array(memory)
    return array.reshape(shape)
