# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Metrics of validation and evaluation."""

from __future__ import annotations

from bdl._described import Metric

__all__ = [
    "Mae",
    "Top1",
    "Top5",
    "TopK",
]


class Mae(Metric):
    """Mean distance of outputs from targets.

    |x - t| of two tensors of one shape; for scores (classes, ...) and labels (...), the distance of the largest
    score's place from the label, as in BigDL.

    Args:
        ignore_index: Label that does not count.
    """

    _type = "mae"
    _defaults = {"ignore_index": -100}

    def __init__(self, ignore_index: int = -100) -> None:
        super().__init__({"ignore_index": ignore_index})


class Top1(Metric):
    """Share of labels with the largest score.

    Scores (classes, ...) and labels (...) from 0; of equal scores the first is the largest. A single score stands
    for label 1 from 1/2 on, else for label 0.

    Args:
        ignore_index: Label that does not count.
    """

    _type = "top1"
    _defaults = {"ignore_index": -100}

    def __init__(self, ignore_index: int = -100) -> None:
        super().__init__({"ignore_index": ignore_index})


class Top5(Metric):
    """Share of labels among the five largest scores.

    As top_k with k=5.

    Args:
        ignore_index: Label that does not count.
    """

    _type = "top5"
    _defaults = {"ignore_index": -100}

    def __init__(self, ignore_index: int = -100) -> None:
        super().__init__({"ignore_index": ignore_index})


class TopK(Metric):
    """Share of labels among the k largest scores.

    Scores (classes, ...) and labels (...) from 0; of equal scores the first comes first.

    Args:
        k: How many classes may be guessed.
        ignore_index: Label that does not count.
    """

    _type = "top_k"
    _defaults = {"ignore_index": -100}

    def __init__(self, k: int, *, ignore_index: int = -100) -> None:
        super().__init__({"k": k, "ignore_index": ignore_index})
