# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Preprocessing of samples."""

from __future__ import annotations

from typing import Literal

from bdl._described import Transform, Floats, Ints, Text, joined

__all__ = [
    "ChannelOrder",
    "ColorJitter",
    "Crop",
    "Flip",
    "MeanImage",
    "Normalize",
    "Pad",
    "Resize",
    "Scale",
    "ToFloat",
    "ToGrey",
    "ToRgb",
]


class ChannelOrder(Transform):
    """Puts the channels in another order.

    (c, h, w) -> the same shape; bgr reverses the channels.

    Args:
        order: bgr: blue first, as networks trained with OpenCV or Caffe expect; rgb: as read.
    """

    _type = "channel_order"
    _defaults = {"order": "bgr"}

    def __init__(self, order: Literal["rgb", "bgr"] = "bgr") -> None:
        super().__init__({"order": order})


class ColorJitter(Transform):
    """Changes brightness, contrast and saturation at random, in training.

    (1 or 3, h, w) -> the same shape. Brightness, then saturation, then contrast; bytes stay in 0 .. 255. In
    evaluation nothing happens.

    Args:
        brightness: Values are multiplied by a factor from 1 - brightness to 1 + brightness.
        contrast: Differences from the image's mean grey are multiplied by such a factor.
        saturation: Differences from each pixel's grey are multiplied by such a factor.
    """

    _type = "color_jitter"
    _defaults = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}

    def __init__(self, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2) -> None:
        super().__init__({"brightness": brightness, "contrast": contrast, "saturation": saturation})


class Crop(Transform):
    """Cuts a part out of images, in the center or anywhere.

    (c, h, w) -> (c, height, width). at=random draws the place in training; in evaluation it is the center.

    Args:
        size: Pixels: [height, width], or one number for both.
        at: Where: in the center, or in training anywhere.
    """

    _type = "crop"
    _defaults = {"at": "center"}

    def __init__(self, size: Ints, at: Literal["center", "random"] = "center") -> None:
        super().__init__({"size": size, "at": at})


class Flip(Transform):
    """Mirrors images at random, in training.

    (c, h, w) -> the same shape. In evaluation nothing happens.

    Args:
        p: Probability, in training.
        axis: horizontal: left becomes right; vertical: top becomes bottom.
    """

    _type = "flip"
    _defaults = {"p": 0.5, "axis": "horizontal"}

    def __init__(self, p: float = 0.5, axis: Literal["horizontal", "vertical"] = "horizontal") -> None:
        super().__init__({"p": p, "axis": axis})


class MeanImage(Transform):
    """Subtracts a mean image, value by value.

    y = x - mean; any shape; the result is floats. The file is found by its path when the chain is made, also when a
    saved model is loaded.

    Args:
        file: A .npy file with one value for each value of a sample, in the sample's shape.
    """

    _type = "mean_image"

    def __init__(self, file: Text) -> None:
        super().__init__({"file": joined(file)})


class Normalize(Transform):
    """Subtracts a mean and divides by a standard deviation, by channel.

    y = (x / divide - mean[c]) / std[c], c being the entry of the first axis. Any shape; the result is floats.

    Args:
        mean: Mean of each channel, or one for all, after the division.
        std: Standard deviation of each channel, or one for all.
        divide: What values are divided by first; 255 takes bytes to [0, 1].
    """

    _type = "normalize"
    _defaults = {"mean": 0, "std": 1, "divide": 1.0}

    def __init__(self, mean: Floats = 0, std: Floats = 1, divide: float = 1.0) -> None:
        super().__init__({"mean": mean, "std": std, "divide": divide})


class Pad(Transform):
    """Adds pixels of one value around images.

    (c, h, w) -> (c, h + 2 size, w + 2 size). pad(4), crop(32, at=random) is the usual shift of small images.

    Args:
        size: Pixels added on each side: [above and below, left and right], or one number.
        value: What they are filled with.
    """

    _type = "pad"
    _defaults = {"value": 0.0}

    def __init__(self, size: Ints, value: float = 0.0) -> None:
        super().__init__({"size": size, "value": value})


class Resize(Transform):
    """Scales images by bilinear interpolation.

    (c, h, w) -> (c, height, width), pixel centers at half pixels, without smoothing. With one size the shorter side
    gets it and the other floor(longer * size / shorter).

    Args:
        size: Pixels: [height, width], or one number for the shorter side, the ratio kept.
    """

    _type = "resize"

    def __init__(self, size: Ints) -> None:
        super().__init__({"size": size})


class Scale(Transform):
    """Multiplies by a factor and adds an offset.

    y = x * factor + offset. Any shape; the result is floats.

    Args:
        factor: What values are multiplied by; the default takes bytes to [0, 1].
        offset: What is added afterwards.
    """

    _type = "scale"
    _defaults = {"factor": 0.00392156862745098, "offset": 0.0}

    def __init__(self, factor: float = 0.00392156862745098, offset: float = 0.0) -> None:
        super().__init__({"factor": factor, "offset": offset})


class ToFloat(Transform):
    """Bytes to floats, values kept.

    Values 0 to 255 stay what they are. Any shape. Bytes become floats by themselves where a transform or the model
    needs floats; to_float does it earlier.
    """

    _type = "to_float"

    def __init__(self) -> None:
        super().__init__({})


class ToGrey(Transform):
    """Color images to grey ones.

    (3, h, w) -> (1, h, w): 0.299 r + 0.587 g + 0.114 b (Rec. 601). Grey images stay as they are.
    """

    _type = "to_grey"

    def __init__(self) -> None:
        super().__init__({})


class ToRgb(Transform):
    """Grey images to three equal channels.

    (1, h, w) -> (3, h, w). Color images stay as they are.
    """

    _type = "to_rgb"

    def __init__(self) -> None:
        super().__init__({})
