# SPDX-License-Identifier: Apache-2.0
"""Base of the generated classes: a type's name with the parameters that were given, as JSON values and as text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Union

import numpy as np

from bdl.errors import BdlUnsupportedError

Ints = Union[int, Sequence[int]]
Floats = Union[float, Sequence[float]]
Text = Union[str, "Described", Sequence[float], "np.ndarray[Any, Any]"]


def plain(value: Any) -> Any:
    """A value as JSON has it: NumPy's numbers and arrays, tuples and described things made plain."""
    if isinstance(value, (Described, os.PathLike)):
        return str(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(v) for v in value]
    if isinstance(value, type) and issubclass(value, Described):
        raise BdlUnsupportedError(f"expected a value, got the class {value.__name__}: write {value.__name__}(...)")
    if not isinstance(value, (bool, int, float, str)):
        raise BdlUnsupportedError(f"expected a number, a text or a sequence of them, got {value!r}")
    return value


def joined(value: Text | None) -> str | None:
    """A text parameter that may be given as numbers: [0.5, 1] is '0.5,1'."""
    if value is None or isinstance(value, str):
        return value
    simple = plain(value)
    return simple if isinstance(simple, str) else ",".join(repr(v) for v in simple)


def to_text(value: Any) -> str:
    """A value as the C library reads it in text: true, 0.1, [1,2], 'quoted'."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ",".join(to_text(v) for v in value) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


def shifted(kind: str, required: Sequence[str], given: Sequence[Any]) -> list[Any]:
    """Arguments of a layer whose first one may be left out, as in Linear(10) for Linear(in_features, 10).

    `required` names the arguments after the first, which all must be given; where just one is missing, those before
    it were given one place too early."""
    missing = [name for name, value in zip(required, given[1:]) if value is None]
    if len(missing) == 1 and given[0] is not None:
        i = list(required).index(missing[0]) + 1
        return [None, *given[:i], *given[i + 1 :]]
    if missing:
        raise TypeError(f"{kind} needs {' and '.join(missing)}")
    return list(given)


class Described:
    """Something that the C library's schema describes. ``params`` holds what differs from the defaults, by the schema's
    names."""

    _type: ClassVar[str] = ""
    _defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, params: Mapping[str, Any]) -> None:
        simple = {k: self._plain(k, v) for k, v in params.items() if v is not None}
        own = {k: plain(v) for k, v in self._defaults.items()}
        self.params: dict[str, Any] = {k: v for k, v in simple.items() if k not in own or v != own[k]}

    def _plain(self, name: str, value: Any) -> Any:
        try:
            return plain(value)
        except BdlUnsupportedError as error:
            raise BdlUnsupportedError(f"{type(self).__name__}: {name}: {error}") from None

    def _arguments(self) -> str:
        return ", ".join(f"{k}={to_text(v)}" for k, v in self.params.items())

    def __str__(self) -> str:
        return f"{self._type}({self._arguments()})" if self.params else self._type

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments()})"


class Loss(Described):
    """A criterion."""


class Metric(Described):
    """A metric of validation and evaluation."""


class Optimizer(Described):
    """An optimization method."""


class Initializer(Described):
    """How weights begin: for ``weight_init`` and ``bias_init``."""


class Transform(Described):
    """A step of preprocessing."""


class Schedule(Described):
    """A learning-rate schedule; ``a.then(b)`` joins parts."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        self._next: Schedule | None = None

    def then(self, other: Schedule) -> Schedule:
        """This part, then `other`."""
        part = type(self).__new__(type(self))
        part.params = dict(self.params)
        part._next = other if self._next is None else self._next.then(other)
        return part

    def __str__(self) -> str:
        own = super().__str__()
        return own if self._next is None else f"{own} then {self._next}"


class Reader(Described):
    """Data that the C library reads itself."""

    def __init__(self, source: str | None, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        self.source = source

    def __str__(self) -> str:
        name = self._type if self.source is None else f"{self._type}:{self.source}"
        return f"{name}({self._arguments()})" if self.params else name
