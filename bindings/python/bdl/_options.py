# SPDX-License-Identifier: Apache-2.0
"""Options of the C library from Python's values: the same names and texts as on the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from bdl import _lib
from bdl._context import Handle, create
from bdl._described import Described, plain
from bdl.errors import BdlNotFoundError, BdlUnsupportedError


def option_text(value: Any) -> str:
    """A value as the command line takes it; lists are joined by commas."""
    if isinstance(value, (str, bytes, os.PathLike)):
        return os.fsdecode(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ", ".join(option_text(v) for v in value)
    return str(value) if isinstance(value, Described) else str(plain(value))


def nearest(name: str, keywords: Iterable[str]) -> str:
    """What a misspelt keyword may have meant."""
    import difflib  # takes time, and only mistakes need it

    near = difflib.get_close_matches(name, keywords, 1)
    return f"; did you mean '{near[0]}'?" if near and near[0] != name else ""


def _set(handle: Handle, name: str, value: Any, keywords: Iterable[str]) -> None:
    try:
        _lib.call("bdl_options_set", handle.pointer, name.encode(), os.fsencode(option_text(value)))
    except BdlUnsupportedError as error:
        raise BdlUnsupportedError(f"{name}: {error}{nearest(name, keywords)}") from None
    except BdlNotFoundError as error:
        if "did you mean" in str(error):
            raise
        raise BdlNotFoundError(f"{error}{nearest(name, keywords)}") from None


def make_options(verb: str, values: Mapping[str, Any], context: Handle, keywords: Mapping[str, Any] | None) -> Handle:
    """The options of a verb; those that are None keep their defaults. For one that is unknown the nearest of
    `keywords`, names that Python has besides, is offered."""
    handle = create("bdl_options_free", "bdl_options_create", context.pointer, verb.encode(), parent=context)
    for name, value in values.items():
        if value is not None:
            _set(handle, name, value, keywords or ())
    return handle
