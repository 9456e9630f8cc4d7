# SPDX-License-Identifier: Apache-2.0
"""Models: graphs of layers with their weights."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from ctypes import c_char_p, c_int32, c_void_p
from typing import Any, Union

import numpy as np

from bdl import _lib
from bdl._arrays import Array, as_numpy, samples, view
from bdl._context import Handle, context, create, long_call
from bdl._described import Reader, plain, to_text
from bdl._graph import Input, Layer, Symbol, describe, kind_of, symbols
from bdl._options import make_options
from bdl._training import train
from bdl.callbacks import Callbacks, History, as_callbacks
from bdl.data._data import Data, as_data, first_shape
from bdl.errors import BdlInvalidArgumentError, BdlNotFoundError, BdlShapeError, BdlStateError
from bdl.learner import Learner

PathLike = Union[str, "os.PathLike[str]"]
AT_ONCE = 256  # samples of a call of the C library in forward; Python looks for Ctrl-C in between
LONG_VALUES = 1 << 18  # input values of a call that may take so long that Ctrl-C must be able to end it


class _Viewed:
    """What views of a model's weights hold on to: as long as it is there, so are they."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle


class Model:
    """A model from symbolic inputs and outputs: ``Model(x, y)``.

    Args:
        inputs: What ``Input`` gave, one or several.
        outputs: What layers called on it gave, one or several.
        name: The model's name.
        seed: Seed of the initial weights.
    """

    def __init__(self, inputs: Symbol | Sequence[Symbol], outputs: Symbol | Sequence[Symbol], *, name: str = "model",
                 seed: int = 1) -> None:
        self._begin()
        self._parse(describe(symbols(inputs), symbols(outputs), name), seed)

    def _begin(self) -> None:
        self._handle: Handle | None = None
        self._is_closed = False
        self._views: list[weakref.ref[_Viewed]] = []  # whoever has one may have written since the last call

    def _parse(self, graph: dict[str, Any], seed: int) -> None:
        text = json.dumps(graph).encode()
        self._handle = create("bdl_model_free", "bdl_model_parse", context().pointer, text, seed)

    @classmethod
    def _of(cls, handle: Handle) -> Model:
        model = Model.__new__(Model)
        model._begin()
        model._handle = handle
        return model

    def _native(self) -> Handle:
        if self._is_closed:
            raise BdlStateError("this model is closed")
        if self._handle is None:
            raise BdlStateError(
                "this Sequential has no input shape yet: give input_shape=, call build((channels, height, width)), or "
                "call it on arrays or fit it with arrays or a reader first"
            )
        return self._handle

    def _see(self, x: Any, part: str, transform: Any) -> Any:
        """What `x` is, opened if its samples' shape had to be known."""
        return x

    def _prepare(self, sample_shape: Sequence[int]) -> Handle:
        """The C model, ready to compute."""
        handle = self._native()
        if self._views:
            _lib.call("bdl_model_touch", handle.pointer)
            self._views = [reference for reference in self._views if reference() is not None]
        return handle

    # ---- what it is ---------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The graph as it is saved in model.json."""
        graph: dict[str, Any] = json.loads(_lib.call_text("bdl_model_to_json", self._native().pointer))
        return graph

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.to_dict()["name"])

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of a sample of each input."""
        self._native()
        return list(self._shapes)

    @functools.cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        """They never change, and every call needs them."""
        return [tuple(i["shape"]) for i in self.to_dict()["inputs"]]

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of a sample of each output."""
        pointer = self._native().pointer
        shapes = []
        for i in range(_lib.library().bdl_model_n_outputs(pointer)):
            shape, rank = _lib.Shape(), c_int32()
            _lib.call("bdl_model_output_shape", pointer, i, shape, ctypes.byref(rank))
            shapes.append(tuple(shape[: rank.value]))
        return shapes

    def summary(self) -> str:
        """A table of layers, shapes and weights."""
        return _lib.call_text("bdl_model_describe", self._native().pointer)

    def __repr__(self) -> str:
        kind = type(self).__name__
        if self._handle is None:
            return f"<{kind}, {'closed' if self._is_closed else 'not built'}>"
        return f"<{kind} {self.name}>"

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy.deepcopy: the graph and the values instead of the C model."""
        state = {**self.__dict__, "_views": [], "_handle": None}
        if self._handle is not None:
            state["_saved"] = self.to_dict(), {name: values.copy() for name, values in self.state_dict().items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state.pop("_saved", None)
        self.__dict__.update(state)
        if saved is not None:
            graph, values = saved
            self._parse(graph, 1)
            self.load_state_dict(values)

    # ---- computing ----------------------------------------------------------------------------------------------

    def forward(self, x: Any) -> Array:
        """What the model gives for a batch of samples, as in evaluation: float32, a row for each sample."""
        array = as_numpy(x, "x")
        handle = self._prepare(array.shape[1:])
        source = samples(array, self.input_shapes[0], "x")
        result = np.empty((len(source), *self.output_shapes[0]), np.float32)
        for i in range(0, len(source), AT_ONCE):
            some, place = source[i : i + AT_ONCE], result[i : i + AT_ONCE]
            compute = functools.partial(
                _lib.call, "bdl_model_forward", handle.pointer, some.ctypes.data, len(some), place.ctypes.data
            )
            if some.size > LONG_VALUES:
                long_call(handle, compute)
            else:
                compute()
        return result

    __call__ = forward

    def predict(self, x: Any, *, batch_size: int | None = None, **options: Any) -> Array:
        """What the model gives for samples, after its preprocessing: float32, a row for each.

        Args:
            x: An array, an iterable of batches, a reader such as ``bdl.data.Images(DIR)``, or its text.
            batch_size: Samples computed at once.
            options: Further ones of ``bdl predict``: transform, precision.
        """
        x = self._see(x, "test", options.get("transform"))
        handle = self._prepare(first_shape(x) or ())
        data = as_data(x, None, part="test", name="x")
        values = make_options("predict", {"batch": batch_size, **options}, handle.context, Model.predict.__kwdefaults__)
        result = np.empty((len(data), *self.output_shapes[0]), np.float32)
        long_call(handle, lambda: _lib.call(
            "bdl_predict_on", handle.context.pointer, values.pointer, handle.pointer, data._handle.pointer,
            result.ctypes.data, None,
        ))
        return result

    def predict_proba(self, x: Any, *, batch_size: int | None = None, **options: Any) -> Array:
        """Probabilities of the classes; of a single output, the probability of label 1."""
        scores = self.predict(x, batch_size=batch_size, **options)
        graph = self.to_dict()
        last = {node["name"]: node["type"] for node in graph["nodes"]}.get(graph["outputs"][0], "")
        return probabilities(scores, last)

    def evaluate(self, x: Any, y: Any = None, *, batch_size: int | None = None, loss: Any = None, metrics: Any = None,
                 **options: Any) -> dict[str, float]:
        """Loss and metrics on labelled data.

        Args:
            x: Samples, as for ``fit``.
            y: Labels of arrays.
            batch_size: Samples computed at once.
            loss: Criterion; by default the one the model was trained with.
            metrics: One or several of ``bdl.metrics``, or their names.
            options: Further ones of ``bdl eval``: target, transform, precision.
        """
        x = self._see(x, "test", options.get("transform"))
        handle = self._prepare(first_shape(x) or ())
        data = as_data(x, y, part="test", name="evaluate", classes=self._classes())
        values = make_options(
            "eval", {"batch": batch_size, "loss": loss, "metrics": metrics, **options}, handle.context,
            Model.evaluate.__kwdefaults__,
        )
        text = long_call(handle, lambda: _lib.call_text(
            "bdl_evaluate_on", handle.context.pointer, values.pointer, handle.pointer, data._handle.pointer
        ))
        found: dict[str, float] = json.loads(text)
        return found

    # ---- training -----------------------------------------------------------------------------------------------

    def _classes(self) -> int:
        """How many classes labels may have, by the outputs' shape; 1: they are values."""
        shape = self.output_shapes[0]
        return shape[0] if shape else 1

    def fit(self, x: Any, y: Any = None, *, epochs: int | None = None, batch_size: int | None = None,
            validation_data: Any = None, optimizer: Any = None, loss: Any = None, metrics: Any = None,
            schedule: Any = None, callbacks: Sequence[Callbacks] | Callbacks | None = None, seed: int = 1,
            checkpoint: PathLike | None = None, resume: bool = False, verbose: int = 1, **options: Any) -> History:
        """Trains the model in place, exactly as ``bdl train`` does with the same data, seed and options.

        Args:
            x: Samples: an array or anything with DLPack, an iterable of batches (x, y), a reader such as
                ``bdl.data.Mnist(DIR)``, its text, or ``bdl.data.Data``.
            y: Labels of arrays: class numbers from 0 of an integer type, or values to predict of a float type.
            epochs: Passes over the data; 10 where no other limit is given.
            batch_size: Samples of an update; 128 by default.
            validation_data: Measured after every epoch: (x, y), or as x.
            optimizer: Of ``bdl.optim``, or its text; by default sgd(lr=0.05, momentum=0.9).
            loss: Of ``bdl.losses``; by default nll after log_softmax, cross_entropy for classes, mse for numbers.
            metrics: One or several of ``bdl.metrics``, or their names, measured on the validation data.
            schedule: Of ``bdl.schedules``.
            callbacks: ``bdl.callbacks.Callback`` objects, or functions of (epoch, values).
            seed: Seed of the order of samples, dropout and random transforms.
            checkpoint: Directory for checkpoints.
            resume: Go on from the newest good checkpoint.
            verbose: 0 for silence.
            options: Further options of ``bdl train``: iterations, until, clip, transform, precision, shards, every,
                keep, log, summary, target, save ...
        """
        if epochs == 0 and not options.keys() & {"iterations", "until"}:
            raise BdlInvalidArgumentError("epochs is 0, and neither iterations nor until says when training ends")
        if resume and checkpoint is None:
            raise BdlInvalidArgumentError("resume goes on from a checkpoint: give checkpoint=, the directory they are in")
        x = self._see(x, "train", options.get("transform"))
        handle = self._prepare(first_shape(x) or ())
        classes = self._classes()
        data = as_data(x, y, part="train", name="fit", classes=classes)
        validation = None
        if validation_data is not None:
            validation = as_data(validation_data, None, part="test", name="validation_data", classes=classes)
        values = {
            "epochs": epochs, "batch": batch_size, "optim": optimizer, "loss": loss, "metrics": metrics,
            "schedule": schedule, "seed": seed, "resume": resume or None,
            "checkpoint": None if checkpoint is None else os.fspath(checkpoint), **options,
        }
        return train(
            self, handle, make_options("train", values, handle.context, Model.fit.__kwdefaults__), data._handle,
            None if validation is None else validation._handle, as_callbacks(callbacks), verbose,
        )

    def learner(self, optimizer: Any = None, loss: Any = None, **options: Any) -> Learner:
        """A learner for a training loop of your own; see ``bdl.learner.Learner``."""
        return Learner(self, optimizer, loss, **options)

    def set_trainable(self, is_trainable: bool, layer: str | None = None) -> None:
        """Whether training changes the weights of a layer, or of all."""
        name = None if layer is None else layer.encode()
        _lib.call("bdl_model_set_trainable", self._native().pointer, name, is_trainable)

    def clone(self) -> Model:
        """A model of its own with the same layers and values."""
        handle = self._native()
        return Model._of(create("bdl_model_free", "bdl_model_clone", handle.pointer, parent=handle.context))

    # ---- weights ------------------------------------------------------------------------------------------------

    def _tensors(self, n: int, function: str, owner: object) -> dict[str, Array]:
        handle = self._native()
        found = {}
        for i in range(n):
            name, dtype, shape, rank, data = c_char_p(), c_int32(), _lib.Shape(), c_int32(), c_void_p()
            _lib.call(function, handle.pointer, i, ctypes.byref(name), ctypes.byref(dtype), shape, ctypes.byref(rank),
                      ctypes.byref(data))
            dims = tuple(shape[: rank.value])
            count = int(np.prod(dims, dtype=np.int64))
            found[(name.value or b"").decode()] = view(data.value or 0, count, dims, dtype.value == 1, owner)
        return found

    def parameters(self) -> dict[str, Array]:
        """The learned weights by name, as views: writing to them changes the model."""
        viewed = _Viewed(self._native())
        self._views = [reference for reference in self._views if reference() is not None] + [weakref.ref(viewed)]
        return self._tensors(_lib.library().bdl_model_n_params(viewed.handle.pointer), "bdl_model_param", viewed)

    def state_dict(self) -> dict[str, Array]:
        """Weights and running buffers by name, as views: writing to them changes the model."""
        handle = self._native()
        buffers = self._tensors(_lib.library().bdl_model_n_buffers(handle.pointer), "bdl_model_buffer", handle)
        return {**self.parameters(), **buffers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copies weights and running buffers from arrays of the same names and shapes; all of them, or none."""
        own = self.state_dict()
        for missing in own.keys() - state.keys():
            raise BdlNotFoundError(f"the state has no '{missing}'; the model's tensors: {', '.join(own)}")
        for unknown in state.keys() - own.keys():
            raise BdlNotFoundError(f"the model has no '{unknown}'; its tensors: {', '.join(own)}")
        arrays = {name: as_numpy(values, name) for name, values in state.items()}
        for name, array in arrays.items():
            if array.shape != own[name].shape:
                raise BdlShapeError(f"'{name}': expected {own[name].shape}, found {array.shape}")
        for name, array in arrays.items():
            own[name][...] = array

    def save(self, directory: PathLike) -> None:
        """Saves graph and weights into a directory, which the command and all bindings of bdl read."""
        _lib.call("bdl_model_save", self._native().pointer, os.fsencode(directory))

    def close(self) -> None:
        """Ends the use of this model. Its memory is freed at once, or with the last view of its weights or learner."""
        self._is_closed = True
        self._handle = None


class Sequential(Model):
    """Layers one behind the other.

    Args:
        layers: Layers, or other Sequentials, whose layers are taken over.
        input_shape: Shape of a sample. Without it the model is built when it first sees data.
        name: The model's name.
        seed: Seed of the initial weights.
    """

    def __init__(self, *layers: Layer | Sequential, input_shape: Sequence[int] | None = None, name: str = "model",
                 seed: int = 1) -> None:
        self._begin()
        self._layers: list[Layer] = []
        self._name = name
        self._seed = seed
        for layer in layers:
            self.add(layer)
        if input_shape is not None:
            self.build(input_shape)

    def add(self, layer: Layer | Sequential) -> Sequential:
        """Adds a layer at the end."""
        if self._handle is not None or self._is_closed:
            raise BdlStateError("the model is built and cannot change any more")
        if isinstance(layer, Sequential):
            self._layers += layer._layers
        elif isinstance(layer, Layer):
            self._layers.append(layer)
        else:
            raise TypeError(f"Sequential takes layers one by one, as in Sequential(a, b); got {kind_of(layer)}")
        return self

    def build(self, input_shape: Sequence[int]) -> Sequential:
        """Makes the weights, for samples of this shape."""
        first = symbol = Input(input_shape)
        if self._handle is None and not self._is_closed:
            for layer in self._layers:
                symbol = layer(symbol)
            self._parse(describe([first], [symbol], self._name), self._seed)
        elif self.input_shapes != [first.shape]:
            raise BdlShapeError(f"the model is built for samples of shape {self.input_shapes[0]}, not {first.shape}")
        return self

    def _see(self, x: Any, part: str, transform: Any) -> Any:
        if self._handle is None and not self._is_closed and isinstance(x, (Data, Reader, str)):
            x = as_data(x, None, part=part, name="data")
            self.build(x.prepared_shape(transform))
        return x

    def _prepare(self, sample_shape: Sequence[int]) -> Handle:
        if sample_shape and self._handle is None and not self._is_closed:
            self.build(sample_shape)
        return super()._prepare(sample_shape)


def probabilities(scores: Array, last: str) -> Array:
    """Probabilities from the outputs of a model whose last layer is of the type `last`."""
    if last in ("softmax", "sigmoid"):
        return scores
    if last == "log_softmax":
        return np.asarray(np.exp(scores))
    if scores.ndim < 2 or scores.shape[1] == 1:
        return np.asarray(1 / (1 + np.exp(-scores)))
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def ready_made(name: str, params: Mapping[str, Any], seed: int) -> Model:
    """A model of the zoo."""
    given = ", ".join(f"{k}={to_text(plain(v))}" for k, v in params.items())
    return open_model(f"{name}({given})", seed)


def open_model(text: str, seed: int) -> Model:
    """A model by what the command line calls it: a directory, a .json file or a ready-made model."""
    handle = create("bdl_model_free", "bdl_model_open", context().pointer, os.fsencode(text), seed)
    return Model._of(handle)


def load(directory: PathLike) -> Model:
    """A saved model."""
    if not os.path.isdir(directory):
        raise BdlNotFoundError(f"there is no saved model '{os.fspath(directory)}': expected a directory with model.json")
    return open_model(os.fspath(directory), 1)
