# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Initializers of weights."""

from __future__ import annotations

from typing import Literal

from bdl._described import Initializer

__all__ = [
    "Bilinear",
    "Constant",
    "KaimingNormal",
    "KaimingUniform",
    "Normal",
    "Ones",
    "Torch",
    "Uniform",
    "XavierNormal",
    "XavierUniform",
    "Zeros",
]


class Bilinear(Initializer):
    """Weights with which a transposed convolution interpolates (Long et al. 2015)."""

    _type = "bilinear"

    def __init__(self) -> None:
        super().__init__({})


class Constant(Initializer):
    """The same value everywhere.

    Args:
        val: Value of every element.
    """

    _type = "constant"

    def __init__(self, val: float) -> None:
        super().__init__({"value": val})


class KaimingNormal(Initializer):
    """Normal numbers of variance gain^2 / fan (He et al. 2015).

    Args:
        a: Slope below zero of the leaky_relu that follows.
        mode: Keeps the variance of forward (fan_in) or of backward (fan_out).
        nonlinearity: What follows the layer; sets the gain.
    """

    _type = "kaiming_normal"
    _defaults = {"a": 0.0, "mode": "fan_in", "nonlinearity": "leaky_relu"}

    def __init__(
        self,
        a: float = 0.0,
        mode: Literal["fan_in", "fan_out"] = "fan_in",
        nonlinearity: Literal["relu", "leaky_relu", "tanh", "sigmoid", "selu", "linear"] = "leaky_relu",
    ) -> None:
        super().__init__({"a": a, "mode": mode, "nonlinearity": nonlinearity})


class KaimingUniform(Initializer):
    """Uniform numbers of variance gain^2 / fan (He et al. 2015).

    Args:
        a: Slope below zero of the leaky_relu that follows.
        mode: Keeps the variance of forward (fan_in) or of backward (fan_out).
        nonlinearity: What follows the layer; sets the gain.
    """

    _type = "kaiming_uniform"
    _defaults = {"a": 0.0, "mode": "fan_in", "nonlinearity": "leaky_relu"}

    def __init__(
        self,
        a: float = 0.0,
        mode: Literal["fan_in", "fan_out"] = "fan_in",
        nonlinearity: Literal["relu", "leaky_relu", "tanh", "sigmoid", "selu", "linear"] = "leaky_relu",
    ) -> None:
        super().__init__({"a": a, "mode": mode, "nonlinearity": nonlinearity})


class Normal(Initializer):
    """Normal numbers.

    Args:
        mean: Mean.
        std: Standard deviation.
    """

    _type = "normal"
    _defaults = {"mean": 0.0, "std": 1.0}

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__({"mean": mean, "std": std})


class Ones(Initializer):
    """1 everywhere."""

    _type = "ones"

    def __init__(self) -> None:
        super().__init__({})


class Torch(Initializer):
    """Uniform numbers between -1 / sqrt(fan_in) and 1 / sqrt(fan_in), as Torch and BigDL begin."""

    _type = "torch"

    def __init__(self) -> None:
        super().__init__({})


class Uniform(Initializer):
    """Uniform numbers.

    Args:
        a: Least value.
        b: Limit that values stay below.
    """

    _type = "uniform"
    _defaults = {"low": 0.0, "high": 1.0}

    def __init__(self, a: float = 0.0, b: float = 1.0) -> None:
        super().__init__({"low": a, "high": b})


class XavierNormal(Initializer):
    """Normal numbers of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010).

    Args:
        gain: Factor of the spread.
    """

    _type = "xavier_normal"
    _defaults = {"gain": 1.0}

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__({"gain": gain})


class XavierUniform(Initializer):
    """Uniform numbers of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010).

    Args:
        gain: Factor of the spread.
    """

    _type = "xavier_uniform"
    _defaults = {"gain": 1.0}

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__({"gain": gain})


class Zeros(Initializer):
    """0 everywhere."""

    _type = "zeros"

    def __init__(self) -> None:
        super().__init__({})
