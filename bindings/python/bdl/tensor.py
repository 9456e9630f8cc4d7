# SPDX-License-Identifier: Apache-2.0
"""The C library's tensors: made from and seen as NumPy arrays, printed as Torch prints them."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Sequence
from ctypes import c_int64, c_size_t, c_void_p
from numbers import Integral, Real
from typing import Any, Union, cast

import numpy as np
from numpy.typing import DTypeLike

from bdl import _lib
from bdl._arrays import Array, as_numpy
from bdl._context import Handle
from bdl.errors import BdlInvalidArgumentError, BdlShapeError, BdlUnsupportedError

DTYPES = {"float32": 0, "float64": 1, "int32": 2, "int64": 3, "uint8": 4}
KINDS: dict[int, Any] = {0: ctypes.c_float, 1: ctypes.c_double, 2: ctypes.c_int32, 3: ctypes.c_int64, 4: ctypes.c_uint8}
ALL_AXES = -(2**31)
Operand = Union["Tensor", int, float, Array]


def _values(given: tuple[Any, ...], dtype: DTypeLike | None) -> Array:
    """The elements of a new tensor."""
    if given and all(isinstance(v, Integral) and not isinstance(v, bool) for v in given):
        if min(given) < 1:
            raise BdlShapeError(f"Tensor: sizes must be at least 1, got {', '.join(map(str, given))}")
        return np.zeros(given, "float64" if dtype is None else dtype)
    if len(given) != 1:
        raise BdlInvalidArgumentError(
            f"Tensor: expected sizes, as in Tensor(2, 3), or one array, as in Tensor(x); got {len(given)} arguments"
        )
    array = as_numpy(given[0], "Tensor")
    return array if dtype is None else array.astype(dtype)


class Tensor:
    """A tensor. ``Tensor(2, 3)`` is zeros of that shape, ``Tensor(array)`` a copy of an array. No axis is of size 0.

    Args:
        values: An array or anything with DLPack, or sizes.
        dtype: float32, float64, int32, int64 or uint8; by default float64 for sizes, else the array's.
    """

    __array_priority__ = 100.0

    def __init__(self, *values: Any, dtype: DTypeLike | None = None) -> None:
        array = _values(values, dtype)
        array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
        if str(array.dtype) not in DTYPES:
            raise BdlUnsupportedError(f"Tensor: expected {', '.join(DTYPES)}, found {array.dtype}")
        shape = (c_int64 * max(array.ndim, 1))(*array.shape)
        self._handle = _made("bdl_tensor_create", None, DTYPES[str(array.dtype)], array.ndim, shape,
                             array.ctypes.data)

    @classmethod
    def _of(cls, handle: Handle) -> Tensor:
        tensor = cls.__new__(cls)
        tensor._handle = handle
        return tensor

    def numpy(self) -> Array:
        """The elements as an array over the same memory."""
        loaded, pointer = _lib.library(), self._handle.pointer
        kind = KINDS[loaded.bdl_tensor_dtype(pointer)]
        rank = loaded.bdl_tensor_rank(pointer)
        shape = loaded.bdl_tensor_shape(pointer)[:rank]
        size = ctypes.sizeof(kind)
        strides = [s * size for s in loaded.bdl_tensor_strides(pointer)[:rank]]
        count = 1 + sum((d - 1) * s // size for d, s in zip(shape, strides))
        memory: Any = (kind * count).from_address(loaded.bdl_tensor_data(pointer))
        memory._owner = self._handle
        return np.ndarray(tuple(shape), np.dtype(kind), memory, strides=tuple(strides))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"elements of type {dtype} need a copy: the tensor's are {array.dtype}")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **options: Any) -> Any:
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.numpy().__dlpack_device__()

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return tuple(self.numpy().shape)

    @property
    def dtype(self) -> str:
        """The elements' type."""
        return str(self.numpy().dtype)

    def fill(self, value: float) -> Tensor:
        """Sets all elements."""
        _lib.call("bdl_tensor_fill", self._handle.pointer, value)
        return self

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """Another shape with as many elements, as sizes or as a tuple; shares them where strides allow it."""
        sizes = [operator.index(d) for part in shape for d in (part if isinstance(part, Sequence) else (part,))]
        return Tensor._of(_made("bdl_tensor_reshape", self._handle.pointer, len(sizes), (c_int64 * len(sizes))(*sizes)))

    def transpose(self, first: int = 0, second: int = 1) -> Tensor:
        """A view with two axes exchanged."""
        return Tensor._of(_made("bdl_tensor_transpose", self._handle.pointer, first, second))

    def _binary(self, name: str, other: Operand) -> Tensor:
        """`name` of this and a tensor, a number or an array; what else there is may know tensors itself."""
        if isinstance(other, Real):
            return Tensor._of(_made(f"bdl_tensor_{name}_value", self._handle.pointer, float(other)))
        if isinstance(other, np.ndarray):
            other = Tensor(other)
        if not isinstance(other, Tensor):
            return cast(Tensor, NotImplemented)
        return Tensor._of(_made(f"bdl_tensor_{name}", self._handle.pointer, other._handle.pointer))

    def _reversed(self, name: str, other: Operand) -> Tensor:
        if isinstance(other, Real):
            other = Tensor(np.asarray(0, self.dtype)).fill(float(other))
        elif isinstance(other, np.ndarray):
            other = Tensor(other)
        if not isinstance(other, Tensor):
            return cast(Tensor, NotImplemented)
        return other._binary(name, self)

    def __add__(self, other: Operand) -> Tensor:
        return self._binary("add", other)

    def __sub__(self, other: Operand) -> Tensor:
        return self._binary("sub", other)

    def __mul__(self, other: Operand) -> Tensor:
        return self._binary("mul", other)

    def __truediv__(self, other: Operand) -> Tensor:
        return self._binary("div", other)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Operand) -> Tensor:
        return self._reversed("sub", other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return self._reversed("div", other)

    def __neg__(self) -> Tensor:
        return self * -1

    def __matmul__(self, other: Tensor | Array) -> Tensor:
        return NotImplemented if isinstance(other, Real) else self._binary("matmul", other)

    def __rmatmul__(self, other: Array) -> Tensor:
        return NotImplemented if isinstance(other, Real) else self._reversed("matmul", other)

    def _reduced(self, name: str, axis: int | None, keepdims: bool) -> Tensor:
        number = ALL_AXES if axis is None else axis
        return Tensor._of(_made(f"bdl_tensor_{name}", self._handle.pointer, number, keepdims))

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """The sum over an axis, or over all."""
        return self._reduced("sum", axis, keepdims)

    def mean(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """The mean over an axis, or over all."""
        return self._reduced("mean", axis, keepdims)

    def __float__(self) -> float:
        if self.numpy().size != 1:
            raise BdlShapeError(f"only a tensor of one element is a number, found shape {self.shape}")
        return float(self.numpy().item())

    def __reduce__(self) -> tuple[Any, ...]:
        return Tensor, (self.numpy().copy(),)

    def __repr__(self) -> str:
        length = c_size_t()
        _lib.call("bdl_tensor_to_text", self._handle.pointer, None, 0, ctypes.byref(length))
        buffer = ctypes.create_string_buffer(length.value + 1)
        _lib.call("bdl_tensor_to_text", self._handle.pointer, buffer, len(buffer), None)
        return buffer.value.decode()


def _made(name: str, *arguments: Any) -> Handle:
    pointer = c_void_p()
    _lib.call(name, *arguments, ctypes.byref(pointer))
    return Handle(pointer, "bdl_tensor_free", None)


__all__ = ["Tensor"]
