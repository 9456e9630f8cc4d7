# SPDX-License-Identifier: Apache-2.0
"""The C library: finding it, the signatures of its functions, and its status codes as exceptions.

Nothing is loaded on import; ``library()`` loads it once. ctypes releases the GIL in every call.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
from collections.abc import Sequence
from numbers import Integral, Real
from ctypes import (
    CFUNCTYPE, POINTER, c_bool, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p,
)
from typing import Any

from bdl.errors import BdlInvalidArgumentError, BdlNotFoundError, BdlUnsupportedError, error_of

MAX_RANK = 8
Shape = c_int64 * MAX_RANK


class ContextOptions(ctypes.Structure):
    """bdl_context_options"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("n_threads", c_int32),
        ("allocator", c_void_p),
        ("log", c_void_p),
        ("log_user", c_void_p),
        ("log_level", c_int32),
    ]


class DataOptions(ctypes.Structure):
    """bdl_data_options"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", Shape),
        ("is_encoded", c_bool),
        ("check_finite", c_bool),
        ("label_kind", c_int32),
        ("n_classes", c_int64),
        ("class_names", c_void_p),
        ("target_rank", c_int32),
        ("target_shape", Shape),
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
        ("key_xor", ctypes.c_uint8 * 16),
        ("key_sum", ctypes.c_uint8 * 16),
    ]


class Event(ctypes.Structure):
    """bdl_event"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("kind", c_int32),
        ("epoch", c_int64),
        ("iteration", c_int64),
        ("step", c_int64),
        ("steps", c_int64),
        ("loss", c_double),
        ("rate", c_double),
        ("samples_per_second", c_double),
        ("seconds", c_double),
        ("n_metrics", c_int32),
        ("metric_names", POINTER(c_char_p)),
        ("metrics", POINTER(c_double)),
        ("path", c_char_p),
        ("reason", c_char_p),
        ("epochs", c_int64),
        ("seconds_left", c_double),
        ("condition", c_char_p),
        ("shards", c_int64),
    ]


EventFunction = CFUNCTYPE(None, c_void_p, POINTER(Event))

_OUT = POINTER(c_void_p)  # an opaque object, or a text that bdl_text_free frees
_I64 = POINTER(c_int64)
_I32 = POINTER(c_int32)

# Name: (result, arguments). The result "status" is checked by `call`.
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "bdl_last_error": (c_char_p, []),
    "bdl_version": (c_char_p, []),
    "bdl_status_text": (c_char_p, [c_int32]),
    "bdl_text_free": (None, [c_void_p]),
    "bdl_context_create": ("status", [POINTER(ContextOptions), _OUT]),
    "bdl_context_free": (None, [c_void_p]),
    "bdl_context_cancel": (None, [c_void_p]),
    "bdl_context_clear_cancel": (None, [c_void_p]),
    "bdl_context_threads": (c_int32, [c_void_p]),
    "bdl_schema_json": ("status", [c_void_p, _OUT]),
    "bdl_doctor": ("status", [c_void_p, c_bool, _OUT]),
    "bdl_model_open": ("status", [c_void_p, c_char_p, c_uint64, _OUT]),
    "bdl_model_parse": ("status", [c_void_p, c_char_p, c_uint64, _OUT]),
    "bdl_model_to_json": ("status", [c_void_p, _OUT]),
    "bdl_model_describe": ("status", [c_void_p, _OUT]),
    "bdl_model_save": ("status", [c_void_p, c_char_p]),
    "bdl_model_n_params": (c_int64, [c_void_p]),
    "bdl_model_param": ("status", [c_void_p, c_int64, POINTER(c_char_p), _I32, Shape, _I32, _OUT]),
    "bdl_model_n_buffers": (c_int64, [c_void_p]),
    "bdl_model_buffer": ("status", [c_void_p, c_int64, POINTER(c_char_p), _I32, Shape, _I32, _OUT]),
    "bdl_model_set_trainable": ("status", [c_void_p, c_char_p, c_bool]),
    "bdl_model_clone": ("status", [c_void_p, _OUT]),
    "bdl_model_touch": ("status", [c_void_p]),
    "bdl_model_n_outputs": (c_int64, [c_void_p]),
    "bdl_model_output_shape": ("status", [c_void_p, c_int64, Shape, _I32]),
    "bdl_model_forward": ("status", [c_void_p, c_void_p, c_int64, c_void_p]),
    "bdl_model_free": (None, [c_void_p]),
    "bdl_options_create": ("status", [c_void_p, c_char_p, _OUT]),
    "bdl_options_set": ("status", [c_void_p, c_char_p, c_char_p]),
    "bdl_options_free": (None, [c_void_p]),
    "bdl_data_create": ("status", [c_void_p, POINTER(DataOptions), _OUT]),
    "bdl_data_push": ("status", [c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_void_p]),
    "bdl_data_finish": ("status", [c_void_p]),
    "bdl_data_wrap": (
        "status", [c_void_p, POINTER(DataOptions), c_int64, c_void_p, c_void_p, c_void_p, c_void_p, _OUT],
    ),
    "bdl_data_open": ("status", [c_void_p, c_char_p, c_char_p, _OUT]),
    "bdl_data_prepared_shape": ("status", [c_void_p, c_char_p, Shape, _I32]),
    "bdl_data_shape": ("status", [c_void_p, Shape, _I32]),
    "bdl_data_read": ("status", [c_void_p, c_int64, c_int64, c_void_p, c_void_p]),
    "bdl_data_get_stats": ("status", [c_void_p, POINTER(DataStats)]),
    "bdl_data_free": (None, [c_void_p]),
    "bdl_trainer_create_on": ("status", [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, _OUT]),
    "bdl_trainer_stop": (None, [c_void_p]),
    "bdl_trainer_run": ("status", [c_void_p, EventFunction, c_void_p]),
    "bdl_trainer_fingerprint": (None, [c_void_p, c_char_p]),
    "bdl_trainer_free": (None, [c_void_p]),
    "bdl_evaluate_on": ("status", [c_void_p, c_void_p, c_void_p, c_void_p, _OUT]),
    "bdl_predict_on": ("status", [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, _I64]),
    "bdl_learner_create": ("status", [c_void_p, c_void_p, c_void_p, _OUT]),
    "bdl_learner_forward": ("status", [c_void_p, c_int64, c_void_p, c_void_p]),
    "bdl_learner_backward": ("status", [c_void_p, c_void_p, c_void_p]),
    "bdl_learner_loss": ("status", [c_void_p, c_int64, c_void_p, c_void_p, c_void_p, POINTER(c_double)]),
    "bdl_learner_step": ("status", [c_void_p, c_double]),
    "bdl_learner_zero_grad": ("status", [c_void_p]),
    "bdl_learner_grad": ("status", [c_void_p, c_int64, _OUT]),
    "bdl_learner_free": (None, [c_void_p]),
    "bdl_tensor_create": ("status", [c_void_p, c_int32, c_int32, _I64, c_void_p, _OUT]),
    "bdl_tensor_free": (None, [c_void_p]),
    "bdl_tensor_dtype": (c_int32, [c_void_p]),
    "bdl_tensor_rank": (c_int32, [c_void_p]),
    "bdl_tensor_shape": (_I64, [c_void_p]),
    "bdl_tensor_strides": (_I64, [c_void_p]),
    "bdl_tensor_data": (c_void_p, [c_void_p]),
    "bdl_tensor_fill": ("status", [c_void_p, c_double]),
    "bdl_tensor_to_text": ("status", [c_void_p, c_char_p, c_size_t, POINTER(c_size_t)]),
    "bdl_tensor_reshape": ("status", [c_void_p, c_int32, _I64, _OUT]),
    "bdl_tensor_transpose": ("status", [c_void_p, c_int32, c_int32, _OUT]),
    "bdl_tensor_matmul": ("status", [c_void_p, c_void_p, _OUT]),
    "bdl_tensor_sum": ("status", [c_void_p, c_int32, c_bool, _OUT]),
    "bdl_tensor_mean": ("status", [c_void_p, c_int32, c_bool, _OUT]),
    "bdl_tensor_add": ("status", [c_void_p, c_void_p, _OUT]),
    "bdl_tensor_add_value": ("status", [c_void_p, c_double, _OUT]),
    "bdl_tensor_sub": ("status", [c_void_p, c_void_p, _OUT]),
    "bdl_tensor_sub_value": ("status", [c_void_p, c_double, _OUT]),
    "bdl_tensor_mul": ("status", [c_void_p, c_void_p, _OUT]),
    "bdl_tensor_mul_value": ("status", [c_void_p, c_double, _OUT]),
    "bdl_tensor_div": ("status", [c_void_p, c_void_p, _OUT]),
    "bdl_tensor_div_value": ("status", [c_void_p, c_double, _OUT]),
}

_library: ctypes.CDLL | None = None


def _candidates() -> list[str]:
    """Where the library may be: BDL_LIBRARY alone, or in the package, in the build tree, in the system."""
    given = os.environ.get("BDL_LIBRARY")
    if given:
        # libbdl looks for libbdl_dnnl.so beside itself only where its own name does not depend on the current folder.
        return [os.path.abspath(given) if os.sep in given else given]
    package = pathlib.Path(__file__).resolve().parent
    places = [package / "lib/libbdl.so"]
    root = package.parents[2]
    if (root / "include/bdl/bdl.h").exists():
        places += [root / "build" / preset / "lib/libbdl.so" for preset in ("release", "ci-gcc", "dev")]
    return [str(p) for p in places if p.exists()] + ["libbdl.so.0"]


def _load() -> ctypes.CDLL:
    tried = []
    for path in _candidates():
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            tried.append(str(error))
    raise BdlNotFoundError(
        "the C library of bdl was not found: install the wheel, build it (make), or set BDL_LIBRARY to the path of "
        f"libbdl.so; tried: {'; '.join(tried)}"
    )


def library() -> ctypes.CDLL:
    """The loaded library with all signatures declared."""
    global _library
    if _library is None:
        loaded = _load()
        for name, (result, arguments) in SIGNATURES.items():
            try:
                function = getattr(loaded, name)
            except AttributeError:
                raise BdlNotFoundError(f"{loaded._name} has no {name}: it is of another version than this package")
            function.restype = c_int32 if result == "status" else result
            function.argtypes = arguments
        _library = loaded
    return _library


def _check(kinds: Sequence[Any], arguments: Sequence[Any]) -> None:
    """Refuses what ctypes would change without a word (it cuts texts at a NUL, and numbers to their width), and says
    what is wrong with numbers that are none."""
    for kind, value in zip(kinds, arguments):
        if kind in (c_int32, c_int64, c_uint64) and not isinstance(value, Integral):
            raise BdlUnsupportedError(f"expected a whole number, got {value!r}")
        if kind is c_double and not isinstance(value, Real):
            raise BdlUnsupportedError(f"expected a number, got {value!r}")
        if kind is c_char_p and isinstance(value, bytes) and b"\0" in value:
            raise BdlInvalidArgumentError(f"expected a text without NUL characters, got {os.fsdecode(value)!r}")
        if kind in (c_int32, c_int64, c_uint64) and kind(value).value != value:
            sign = "" if kind is c_uint64 else " with a sign"
            raise BdlInvalidArgumentError(f"expected a whole number of {ctypes.sizeof(kind) * 8} bits{sign}, got {value}")


def call(name: str, *arguments: Any) -> None:
    """Calls a function that returns a status, and raises the error that it stands for."""
    loaded = library()
    function = getattr(loaded, name)
    _check(function.argtypes, arguments)
    status = function(*arguments)
    if status != 0:
        text = (loaded.bdl_last_error() or b"").decode("utf-8", "replace")
        raise error_of(status, text)


def take_text(pointer: c_void_p) -> str:
    """The text that a function gave, which is freed."""
    try:
        return ctypes.string_at(pointer.value or 0).decode("utf-8", "replace") if pointer else ""
    finally:
        library().bdl_text_free(pointer)


def call_text(name: str, *arguments: Any) -> str:
    """Calls a function whose last parameter gives a text."""
    pointer = c_void_p()
    call(name, *arguments, ctypes.byref(pointer))
    return take_text(pointer)
