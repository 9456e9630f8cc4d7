# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Criterions."""

from __future__ import annotations

from typing import Literal

from bdl._described import Loss, Floats, Text, joined

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]


class BCELoss(Loss):
    """Cross entropy of a probability and a target between 0 and 1.

    -w (t log x + (1 - t) log(1 - x)) of two tensors of one shape, logarithms being at least -100.

    Args:
        reduction: Divide the batch's loss, or only add it up.
        weight: A weight for each element of a sample, or of its last axis; all 1 by default.
    """

    _type = "bce"
    _defaults = {"reduction": "mean"}

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean", weight: Text | None = None) -> None:
        super().__init__({"reduction": reduction, "weights": joined(weight)})


class BCEWithLogitsLoss(Loss):
    """Cross entropy of a score and a target between 0 and 1.

    -w (pos_weight t log s + (1 - t) log(1 - s)), s = sigmoid(x), of two tensors of one shape, without overflow.

    Args:
        reduction: Divide the batch's loss, or only add it up.
        weight: A weight for each element of a sample, or of its last axis; all 1 by default.
        pos_weight: Weight of positive targets: one number, or one for each of the last axis.
    """

    _type = "bce_with_logits"
    _defaults = {"reduction": "mean", "pos_weight": 1}

    def __init__(
        self,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        weight: Text | None = None,
        pos_weight: Floats = 1,
    ) -> None:
        super().__init__({"reduction": reduction, "weights": joined(weight), "pos_weight": pos_weight})


class CrossEntropyLoss(Loss):
    """Negative log-likelihood of the label under softmax of the scores.

    -sum_c u_c log softmax(x)_c for scores (classes, ...) and labels (...) from 0, with u_c = (1 - label_smoothing)
    w_y [c = y] + label_smoothing / classes w_c; or for targets that are probabilities of the scores' shape. A label
    out of range makes the loss NaN.

    Args:
        reduction: Divide the batch's loss, or only add it up.
        weight: A weight for each class, such as '0.5,1,2'; all 1 by default.
        ignore_index: Label that counts for nothing.
        label_smoothing: Share of the target that is spread evenly over all classes.
    """

    _type = "cross_entropy"
    _defaults = {"reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0}

    def __init__(
        self,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        weight: Text | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__({
            "reduction": reduction,
            "weights": joined(weight),
            "ignore_index": ignore_index,
            "label_smoothing": label_smoothing,
        })


class L1Loss(Loss):
    """Absolute difference.

    |x - t| of two tensors of one shape; the gradient at 0 is 0.

    Args:
        reduction: Divide the batch's loss, or only add it up.
    """

    _type = "l1"
    _defaults = {"reduction": "mean"}

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__({"reduction": reduction})


class MSELoss(Loss):
    """Squared difference.

    (x - t)^2 of two tensors of one shape.

    Args:
        reduction: Divide the batch's loss, or only add it up.
    """

    _type = "mse"
    _defaults = {"reduction": "mean"}

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__({"reduction": reduction})


class NLLLoss(Loss):
    """Negative log-likelihood of the label.

    -w_y x_y for inputs (classes, ...), usually from log_softmax, and labels (...) from 0. A label out of range
    makes the loss NaN.

    Args:
        reduction: Divide the batch's loss, or only add it up.
        weight: A weight for each class, such as '0.5,1,2'; all 1 by default.
        ignore_index: Label that counts for nothing.
        log_prob: Inputs are logarithms of probabilities; else probabilities, at least 1e-8.
    """

    _type = "nll"
    _defaults = {"reduction": "mean", "ignore_index": -100, "log_prob": True}

    def __init__(
        self,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        weight: Text | None = None,
        ignore_index: int = -100,
        log_prob: bool = True,
    ) -> None:
        super().__init__({
            "reduction": reduction,
            "weights": joined(weight),
            "ignore_index": ignore_index,
            "log_prob": log_prob,
        })


class SmoothL1Loss(Loss):
    """Squared difference near zero, absolute beyond.

    d^2 / (2 beta) where d = |x - t| is below beta, else d - beta / 2; two tensors of one shape.

    Args:
        reduction: Divide the batch's loss, or only add it up.
        beta: Distance from which the loss is linear.
    """

    _type = "smooth_l1"
    _defaults = {"reduction": "mean", "beta": 1.0}

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean", beta: float = 1.0) -> None:
        super().__init__({"reduction": reduction, "beta": beta})
