# SPDX-License-Identifier: Apache-2.0
"""Layers, with PyTorch's names and arguments, and ways to join them: ``Sequential`` and calls on ``Input``."""

from bdl.model import Model, Sequential
from bdl._graph import Input, Layer, Symbol
from bdl.nn._layers_gen import *  # noqa: F403
from bdl.nn._layers_gen import BatchNorm2d, InstanceNorm2d
from bdl.nn._layers_gen import __all__ as _layers

# One layer each in bdl: it takes any number of positions.
BatchNorm1d = BatchNorm2d
InstanceNorm1d = InstanceNorm2d

__all__ = ["BatchNorm1d", "Input", "InstanceNorm1d", "Layer", "Model", "Sequential", "Symbol", *_layers]
