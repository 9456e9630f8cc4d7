# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Learning-rate schedules; `a.then(b)` joins parts."""

from __future__ import annotations

from typing import Literal

from bdl._described import Schedule, Ints, Text, joined

__all__ = [
    "Constant",
    "Default",
    "Step",
    "MultiStep",
    "Exponential",
    "NaturalExp",
    "Poly",
    "Cosine",
    "Warmup",
    "EpochStep",
    "EpochDecay",
    "Plateau",
]


class Constant(Schedule):
    """lr.

    Args:
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "constant"
    _defaults = {"unit": "iteration", "lasts": 0}

    def __init__(self, unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration", lasts: int = 0) -> None:
        super().__init__({"unit": unit, "lasts": lasts})


class Default(Schedule):
    """lr / (1 + t * lr_decay).

    Args:
        lr_decay: How fast the rate falls; 0 = not.
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "default"
    _defaults = {"lr_decay": 0.0, "unit": "iteration", "lasts": 0}

    def __init__(
        self,
        lr_decay: float = 0.0,
        unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration",
        lasts: int = 0,
    ) -> None:
        super().__init__({"lr_decay": lr_decay, "unit": unit, "lasts": lasts})


class Step(Schedule):
    """lr * gamma^floor(t / step_size).

    Args:
        step_size: Units from one drop to the next.
        gamma: Factor of a drop.
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "step"
    _defaults = {"gamma": 0.1, "unit": "iteration", "lasts": 0}

    def __init__(
        self,
        step_size: int,
        gamma: float = 0.1,
        unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration",
        lasts: int = 0,
    ) -> None:
        super().__init__({"step_size": step_size, "gamma": gamma, "unit": unit, "lasts": lasts})


class MultiStep(Schedule):
    """lr * gamma^(milestones <= t).

    Args:
        milestones: Positions of the drops.
        gamma: Factor of a drop.
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "multi_step"
    _defaults = {"gamma": 0.1, "unit": "iteration", "lasts": 0}

    def __init__(
        self,
        milestones: Ints,
        gamma: float = 0.1,
        unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration",
        lasts: int = 0,
    ) -> None:
        super().__init__({"milestones": milestones, "gamma": gamma, "unit": unit, "lasts": lasts})


class Exponential(Schedule):
    """lr * gamma^(t / step_size), the exponent rounded down with staircase.

    Args:
        gamma: Factor in step_size units.
        step_size: Units in which the rate falls by gamma.
        staircase: Fall at the end of each step_size only.
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "exponential"
    _defaults = {"step_size": 1, "staircase": False, "unit": "iteration", "lasts": 0}

    def __init__(
        self,
        gamma: float,
        step_size: int = 1,
        staircase: bool = False,
        unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration",
        lasts: int = 0,
    ) -> None:
        super().__init__({
            "gamma": gamma,
            "step_size": step_size,
            "staircase": staircase,
            "unit": unit,
            "lasts": lasts,
        })


class NaturalExp(Schedule):
    """lr * exp(-gamma * floor(t / step_size)).

    Args:
        step_size: Units from one drop to the next.
        gamma: The rate falls by the factor exp(-gamma) a drop.
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "natural_exp"
    _defaults = {"gamma": 0.1, "unit": "iteration", "lasts": 0}

    def __init__(
        self,
        step_size: int,
        gamma: float = 0.1,
        unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration",
        lasts: int = 0,
    ) -> None:
        super().__init__({"step_size": step_size, "gamma": gamma, "unit": unit, "lasts": lasts})


class Poly(Schedule):
    """lr * (1 - t / length)^power, then 0.

    Args:
        length: Units until the rate is 0 (BigDL: maxIteration).
        power: Exponent; 1 falls along a line.
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "poly"
    _defaults = {"power": 1.0, "unit": "iteration", "lasts": 0}

    def __init__(
        self,
        length: int,
        power: float = 1.0,
        unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration",
        lasts: int = 0,
    ) -> None:
        super().__init__({"length": length, "power": power, "unit": unit, "lasts": lasts})


class Cosine(Schedule):
    """min + (lr - min) * (1 + cos(pi * t / length)) / 2, then min; Loshchilov and Hutter, SGDR, ICLR 2017.

    Args:
        length: Units of the half wave (PyTorch: T_max).
        eta_min: The last rate, which stays.
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "cosine"
    _defaults = {"min": 0.0, "unit": "iteration", "lasts": 0}

    def __init__(
        self,
        length: int,
        eta_min: float = 0.0,
        unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration",
        lasts: int = 0,
    ) -> None:
        super().__init__({"length": length, "min": eta_min, "unit": unit, "lasts": lasts})


class Warmup(Schedule):
    """lr * (start + (1 - start) * t / length), then lr; with delta: lr + delta * t.

    Args:
        length: Units until the full rate is reached.
        start_factor: Share of the rate that training starts with.
        delta: BigDL's form, if not 0: from lr on, so much more a unit.
        unit: What t counts: updates, whole epochs, or epochs with their fraction.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "warmup"
    _defaults = {"start": 0.1, "delta": 0.0, "unit": "iteration", "lasts": 0}

    def __init__(
        self,
        length: int,
        start_factor: float = 0.1,
        delta: float = 0.0,
        unit: Literal["iteration", "epoch", "epoch_fraction"] = "iteration",
        lasts: int = 0,
    ) -> None:
        super().__init__({
            "length": length,
            "start": start_factor,
            "delta": delta,
            "unit": unit,
            "lasts": lasts,
        })


class EpochStep(Schedule):
    """lr * gamma^floor((epoch + first_epoch) / step_size).

    Args:
        step_size: Epochs from one drop to the next.
        gamma: Factor of a drop.
        first_epoch: Number of the first epoch: 0 as in PyTorch, 1 as in BigDL, where the first drop comes an
            epoch earlier.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "epoch_step"
    _defaults = {"gamma": 0.1, "first_epoch": 0, "lasts": 0}

    def __init__(self, step_size: int, gamma: float = 0.1, first_epoch: int = 0, lasts: int = 0) -> None:
        super().__init__({
            "step_size": step_size,
            "gamma": gamma,
            "first_epoch": first_epoch,
            "lasts": lasts,
        })


class EpochDecay(Schedule):
    """lr * 0.1^(epochs <= t).

    Args:
        epochs: Epochs, counted from 0, that begin with a tenth of the rate before.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "epoch_decay"
    _defaults = {"lasts": 0}

    def __init__(self, epochs: Ints, lasts: int = 0) -> None:
        super().__init__({"epochs": epochs, "lasts": lasts})


class Plateau(Schedule):
    """lr * factor each time the monitored value has not become better for patience epochs.

    Args:
        monitor: What is watched at each epoch's end: loss, score or a metric's name.
        factor: Factor of a drop; below 1.
        patience: Epochs without a better value that are borne; the next one drops the rate.
        mode: Whether less (min) or more (max) is better.
        threshold: By how much a value must be better to count (BigDL: epsilon).
        threshold_mode: Threshold as a share of the best value (rel, PyTorch's default) or as it is (abs,
            BigDL's).
        cooldown: Epochs after a drop in which nothing is counted.
        min_lr: The rate falls no lower.
        lasts: Units after which the next part begins; 0 = its length, or no end.
    """

    _type = "plateau"
    _defaults = {
        "monitor": "loss",
        "factor": 0.1,
        "patience": 10,
        "mode": "min",
        "threshold": 0.0001,
        "threshold_mode": "rel",
        "cooldown": 0,
        "min_lr": 0.0,
        "lasts": 0,
    }

    def __init__(
        self,
        monitor: Text = "loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: Literal["min", "max"] = "min",
        threshold: float = 0.0001,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        lasts: int = 0,
    ) -> None:
        super().__init__({
            "monitor": joined(monitor),
            "factor": factor,
            "patience": patience,
            "mode": mode,
            "threshold": threshold,
            "threshold_mode": threshold_mode,
            "cooldown": cooldown,
            "min_lr": min_lr,
            "lasts": lasts,
        })
