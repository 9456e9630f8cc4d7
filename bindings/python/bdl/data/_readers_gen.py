# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Data that the C library reads itself."""

from __future__ import annotations

from typing import Literal

from bdl._described import Reader, Ints, Text, joined

__all__ = [
    "Cifar10",
    "Csv",
    "Digits",
    "Images",
    "Mnist",
    "Npy",
    "Synthetic",
]


class Cifar10(Reader):
    """CIFAR-10, from its binary files.

    DIR holds data_batch_1.bin to data_batch_5.bin (those that are there are read) and test_batch.bin; one file of
    that format may be named instead. Samples are 3x32x32 bytes in the order red, green, blue; ten classes. Without
    transforms given: x / 255, then the training part's mean and standard deviation of each channel, for both parts.

    Args:
        source: DIR: the file or directory that is read.
        part: Which part: training (data_batch_1 to 5), test (test_batch) or both; auto: train reads the
            training part, eval and --val the test part.
    """

    _type = "cifar10"
    _defaults = {"part": "auto"}

    def __init__(self, source: str, *, part: Literal["auto", "train", "test", "all"] = "auto") -> None:
        super().__init__(source, {"part": part})


class Csv(Reader):
    """A table of numbers with a label column.

    Delimited text as in RFC 4180: quoted fields, LF or CR LF. Every column but the label's and ignored ones is a
    feature and must be a finite number in every row: a missing value is an error that says line and column. Samples
    are vectors of float32.

    Args:
        source: FILE: the file or directory that is read.
        label: The label's column: its name, or its number from 0 (negative: from the end); 'none' = there is
            none. Default: the last column.
        header: Whether the first line has the columns' names; auto: if no field of it is a number.
        task: class: labels are class numbers from 0, or names, whose sorted order gives the classes;
            regression: the label is a value to predict.
        delimiter: What separates fields: one character, 'tab', or auto (of , ; tab | the one that the first
            line has most).
        ignore: Columns to leave out, by name or number: 'id,date'.
        classes: Number of classes where labels are numbers; 0 = the largest plus one.
    """

    _type = "csv"
    _defaults = {"header": "auto", "task": "class", "delimiter": "auto", "classes": 0}

    def __init__(
        self,
        source: str,
        *,
        label: Text | None = None,
        header: Literal["auto", "yes", "no"] = "auto",
        task: Literal["class", "regression"] = "class",
        delimiter: Text = "auto",
        ignore: Text | None = None,
        classes: int = 0,
    ) -> None:
        super().__init__(source, {
            "label": joined(label),
            "header": header,
            "task": task,
            "delimiter": joined(delimiter),
            "ignore": joined(ignore),
            "classes": classes,
        })


class Digits(Reader):
    """Handwritten-like digits that bdl draws itself; needs no files.

    Samples are 1x28x28 bytes, white on black, classes 0 to 9: 60,000 for training and 10,000 for testing. Strokes
    of several handwritings are shaken, bent, slanted, turned, stretched, drawn with pens of different widths, and
    covered with noise. Sample i of a part is the same on every machine. Without transforms given: (x / 255 -
    0.1085) / 0.23.

    Args:
        part: Which part: training (60,000), test (10,000) or both; auto: train reads the training part, eval
            and --val the test part.
        seed: Other seeds draw other digits of the same kind.
        count: How many digits a part has; 0 = 60,000 for training, 10,000 for testing.
    """

    _type = "digits"
    _defaults = {"part": "auto", "seed": 0, "count": 0}

    def __init__(
        self,
        *,
        part: Literal["auto", "train", "test", "all"] = "auto",
        seed: int = 0,
        count: int = 0,
    ) -> None:
        super().__init__(None, {"part": part, "seed": seed, "count": count})


class Images(Reader):
    """Image files, in a folder for each class.

    DIR/CLASS/FILE with .jpg, .jpeg or .png files; classes are the folders in the order of their names. JPEG: grey,
    color, CMYK (as Adobe writes it). PNG: any; transparent pixels are blended on white. Images of up to 64
    megapixels become planes (channels, height, width) of bytes in the order red, green, blue; grey is Rec. 601
    luminance. Where sizes differ, use the transforms resize and crop. Without transforms given: (x / 255 - 0.5) /
    0.25. Broken images are named; training leaves them out up to a stated share.

    Args:
        source: DIR: the file or directory that is read.
        channels: 1 = grey, 3 = red, green and blue; 0 = as the first image.
    """

    _type = "images"
    _defaults = {"channels": 0}

    def __init__(self, source: str, *, channels: int = 0) -> None:
        super().__init__(source, {"channels": channels})


class Mnist(Reader):
    """MNIST and sets in its form, from IDX files.

    DIR holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte,
    plain or with .gz; '.' may stand for the '-' before idx. Samples are 1x28x28 bytes, classes 0 to 9. Without
    transforms given: (x / 255 - 0.13066) / 0.30811, the training part's mean and standard deviation, for both
    parts.

    Args:
        source: DIR: the file or directory that is read.
        part: Which part: training (60,000), test (10,000) or both; auto: train reads the training part, eval
            and --val the test part.
    """

    _type = "mnist"
    _defaults = {"part": "auto"}

    def __init__(self, source: str, *, part: Literal["auto", "train", "test", "all"] = "auto") -> None:
        super().__init__(source, {"part": part})


class Npy(Reader):
    """Samples and labels from NumPy files.

    X.npy holds (n, ...) values: a sample is an entry of the first axis. Y.npy holds n class numbers from 0, or (n,
    ...) values to predict; without it there are no labels. .npy 1.0 to 3.0 in C order, u1, i4, i8, f4 or f8,
    little-endian; u1 samples stay bytes, others become float32. The files are mapped.

    Args:
        source: X[,Y]: the file or directory that is read.
        task: What Y holds: class numbers or values to predict; auto: integers are classes.
        classes: Number of classes; 0 = the largest label plus one.
    """

    _type = "npy"
    _defaults = {"task": "auto", "classes": 0}

    def __init__(
        self,
        source: str,
        *,
        task: Literal["auto", "class", "regression"] = "auto",
        classes: int = 0,
    ) -> None:
        super().__init__(source, {"task": task, "classes": classes})


class Synthetic(Reader):
    """Random samples of any shape, with something to learn.

    Float samples: a pattern for each class plus uniform noise. For benchmarks and tests. Rows are made when they
    are read; the training and the test part differ in their noise.

    Args:
        shape: Shape of a sample.
        classes: Number of classes; 0 = the target is one value, the sample's first one.
        count: Number of samples.
        noise: Half the width of the uniform noise around a class's pattern, whose values are in [-1, 1].
        seed: Other seeds give other patterns and samples.
    """

    _type = "synthetic"
    _defaults = {"shape": (1, 28, 28), "classes": 10, "count": 10000, "noise": 1.0, "seed": 0}

    def __init__(
        self,
        *,
        shape: Ints = (1, 28, 28),
        classes: int = 10,
        count: int = 10000,
        noise: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(None, {
            "shape": shape,
            "classes": classes,
            "count": count,
            "noise": noise,
            "seed": seed,
        })
