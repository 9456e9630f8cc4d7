# SPDX-License-Identifier: Apache-2.0
"""What bdl raises: one class for each status code of the C library, all of them ``BdlError``."""

from __future__ import annotations


class BdlError(Exception):
    """Base of all errors of bdl. ``code`` is the status code of the C library."""

    code = 12


class BdlInvalidArgumentError(BdlError, ValueError):
    """An argument, option or label has a value that is not possible."""

    code = 1


class BdlOutOfMemoryError(BdlError, MemoryError):
    """Memory could not be had."""

    code = 2


class BdlIOError(BdlError, OSError):
    """A file or connection failed."""

    code = 3


class BdlFormatError(BdlError, ValueError):
    """A file or text is malformed."""

    code = 4


class BdlNotFoundError(BdlError, LookupError):
    """There is no such file, layer, option or name; the nearest is offered."""

    code = 5


class BdlShapeError(BdlError, ValueError):
    """Shapes do not fit."""

    code = 6


class BdlUnsupportedError(BdlError, TypeError):
    """This combination, such as an element type, is not supported."""

    code = 7


class BdlCancelledError(BdlError):
    """A call was cancelled from another thread."""

    code = 8


class BdlNumericError(BdlError, ArithmeticError):
    """A value, such as the loss, is not a finite number."""

    code = 9


class BdlForkedError(BdlError, RuntimeError):
    """An object from before a fork was used in the forked child."""

    code = 10


class BdlStateError(BdlError, RuntimeError):
    """A call came at the wrong time, such as on a model that is not built yet."""

    code = 11


class BdlInternalError(BdlError):
    """A bug of bdl."""

    code = 12


BY_CODE: dict[int, type[BdlError]] = {c.code: c for c in BdlError.__subclasses__()}


def error_of(code: int, text: str) -> BdlError:
    """The exception for a status code of the C library."""
    return BY_CODE.get(code, BdlInternalError)(text)
