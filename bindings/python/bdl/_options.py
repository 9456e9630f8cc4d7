# SPDX-License-Identifier: Apache-2.0
"""Options of the C library from Python's values: the same names and texts as on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bdl import _lib
from bdl._context import Handle, create
from bdl._described import Described, plain


def option_text(value: Any) -> str:
    """A value as the command line takes it; lists are joined by commas."""
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ", ".join(option_text(v) for v in value)
    return str(value) if isinstance(value, Described) else str(plain(value))


def make_options(verb: str, values: Mapping[str, Any], context: Handle) -> Handle:
    """The options of a verb; those that are None keep their defaults."""
    handle = create("bdl_options_free", "bdl_options_create", context.pointer, verb.encode(), parent=context)
    for name, value in values.items():
        if value is not None:
            _lib.call("bdl_options_set", handle.pointer, name.encode(), os.fsencode(option_text(value)))
    return handle
