# SPDX-License-Identifier: Apache-2.0
"""Training by hand: forward and backward or a loss, then a step."""

from __future__ import annotations

import ctypes
import math
from ctypes import c_double, c_void_p
from typing import TYPE_CHECKING, Any

import numpy as np

from bdl import _lib
from bdl._arrays import Array, samples, view
from bdl._context import create, long_call
from bdl._options import make_options
from bdl.data._data import CLASS, FLOATS, _labels
from bdl.errors import BdlInvalidArgumentError, BdlShapeError

if TYPE_CHECKING:
    from bdl.model import Model


class Learner:
    """Trains a model step by step; gradients add up until ``zero_grad``. One thread at a time.

    Args:
        model: The model, which changes with every step.
        optimizer: Such as ``bdl.optim.Adam(lr=0.001)``.
        loss: For ``loss``; by default nll after log_softmax, else cross_entropy.
        options: Further ones: clip, precision, seed.
    """

    def __init__(self, model: Model, optimizer: Any = None, loss: Any = None, **options: Any) -> None:
        self.model = model
        self._parent = model._prepare(())
        values = {"optim": optimizer, "loss": loss, **options}
        self._options = make_options("learn", values, self._parent.context, {"optimizer": None})
        self._handle = create("bdl_learner_free", "bdl_learner_create", self._parent.context.pointer,
                              self._options.pointer, self._parent.pointer, parent=self._parent)
        self._input = model.input_shapes[0]
        self._output = model.output_shapes[0]
        self._n = 0

    def _compute(self, name: str, *arguments: Any) -> None:
        """A call that Ctrl-C ends, all gradients staying as they were; it keeps the arrays that it is given."""
        long_call(self._handle, lambda: _lib.call(
            name, self._handle.pointer, *(a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments)
        ))

    def forward(self, x: Any) -> Array:
        """The outputs for a batch as in training: dropout drops, batch normalization uses the batch."""
        self.model._prepare(self._input)
        source = samples(x, self._input, "x")
        result = np.empty((len(source), *self._output), np.float32)
        self._compute("bdl_learner_forward", len(source), source, result)
        self._n = len(source)
        return result

    def backward(self, grad: Any) -> Array:
        """After ``forward``, once: adds the gradients that belong to the gradient of a loss by the outputs, and gives
        the gradient by the inputs."""
        source = samples(grad, self._output, "grad")
        if len(source) != self._n:
            raise BdlShapeError(f"grad: expected {self._n} samples as in forward, found {len(source)}")
        result = np.empty((self._n, *self._input), np.float32)
        self._compute("bdl_learner_backward", source, result)
        return result

    def loss(self, x: Any, y: Any) -> float:
        """The mean loss of a batch; adds its gradients."""
        self.model._prepare(self._input)
        source = samples(x, self._input, "x")
        kind, labels = _labels(y, len(source), "y", self.model._classes())
        if labels is None:
            raise BdlShapeError("y: expected labels, found None")
        if kind == FLOATS and labels.size != len(source) * int(np.prod(self._output)):
            raise BdlShapeError(f"y: expected {(len(source), *self._output)}, found {labels.shape}")
        result = c_double()
        self._compute(
            "bdl_learner_loss", len(source), source, labels if kind == CLASS else None,
            labels if kind == FLOATS else None, ctypes.byref(result),
        )
        return result.value

    def step(self, lr: float | None = None) -> None:
        """Updates the weights; `lr` replaces the optimizer's learning rate."""
        if lr is not None and not 0 < lr < math.inf:
            raise BdlInvalidArgumentError(f"lr must be a finite number above 0, got {lr}")
        _lib.call("bdl_learner_step", self._handle.pointer, 0.0 if lr is None else lr)

    def zero_grad(self) -> None:
        """Sets all gradients to zero."""
        _lib.call("bdl_learner_zero_grad", self._handle.pointer)

    def gradients(self) -> dict[str, Array]:
        """The gradients by the weights' names, as views that may be changed before a step."""
        found = {}
        for i, (name, weights) in enumerate(self.model.parameters().items()):
            pointer = c_void_p()
            _lib.call("bdl_learner_grad", self._handle.pointer, i, ctypes.byref(pointer))
            found[name] = view(pointer.value or 0, weights.size, weights.shape, False, self._handle)
        return found
