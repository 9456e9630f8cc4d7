# SPDX-License-Identifier: Apache-2.0
"""Columns of a DataFrame as arrays: from Arrow's buffers to NumPy without a Python loop over rows.

Which form a column has follows from its Spark type, on the driver; tasks turn record batches into `Rows`. A value that
cannot be taken is refused with its column, its row and what was found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from bdl.errors import (
    BdlFormatError, BdlInvalidArgumentError, BdlNotFoundError, BdlNumericError, BdlShapeError, BdlUnsupportedError,
)
from bdl.spark._blocks import Array, Rows

# OpenCV's types of Spark's image struct: code -> channels.
IMAGE_MODES = {0: 1, 16: 3, 24: 4}
IMAGE_FIELDS = ["origin", "height", "width", "nChannels", "mode", "data"]

VECTOR, ARRAY, SCALARS, ENCODED, IMAGE = "vector", "array", "scalars", "encoded", "image"

SLICE_BYTES = 16 << 20  # of rows that are made dense at once, a row at least
MOST_ROW_BYTES = 1 << 30


@dataclass(frozen=True)
class Columns:
    """Which columns hold what."""

    kind: str
    features: tuple[str, ...]
    shape: tuple[int, ...] = ()  # of a row; () = as found
    channels: int = 3  # of encoded images
    label: Optional[str] = None
    label_kind: str = "none"  # "class", "floats" or "none"
    n_classes: int = 0  # 0 = not known
    validation: Optional[str] = None

    @property
    def names(self) -> list[str]:
        """All columns that are read, each once."""
        extra = [name for name in (self.label, self.validation) if name is not None]
        return list(dict.fromkeys([*self.features, *extra]))


@dataclass(frozen=True)
class Place:
    """Where a batch stands, for error texts."""

    partition: int
    first: int

    def row(self, i: int) -> str:
        """Row `i` of the batch."""
        return f"row {self.first + int(i)} of input partition {self.partition}"


# ---- from Spark's types ------------------------------------------------------------------------------------------


def field_of(schema: Any, name: str) -> Any:
    """The one field of a Spark schema that has this name."""
    found = [field for field in schema.fields if field.name == name]
    if not found:
        raise BdlNotFoundError(f"there is no column '{name}'; the columns: {', '.join(schema.names)}")
    if len(found) > 1:
        raise BdlInvalidArgumentError(f"there are {len(found)} columns '{name}': select or rename one of them")
    return found[0]


def numbered(dataset: DataFrame) -> DataFrame:
    """The same columns as c0, c1 ...: Spark's mapInArrow takes no names with dots, and no name twice. Tasks give them back
    their own."""
    return dataset.toDF(*(f"c{i}" for i in range(len(dataset.columns))))


def is_vector(dtype: Any) -> bool:
    """Whether a Spark type is a vector of pyspark.ml (or of the old mllib)."""
    return dtype.typeName() == "udt" and type(dtype).__name__ == "VectorUDT" or type(dtype).__name__ == "VectorUDT"


def kind_of(name: str, dtype: Any) -> str:
    """The form of a features column, by its Spark type."""
    from pyspark.sql import types as T

    if is_vector(dtype):
        return VECTOR
    if isinstance(dtype, T.ArrayType) and isinstance(dtype.elementType, T.NumericType):
        return ARRAY
    if isinstance(dtype, T.NumericType):
        return SCALARS
    if isinstance(dtype, T.BinaryType):
        return ENCODED
    if isinstance(dtype, T.StructType) and set(IMAGE_FIELDS) <= set(dtype.names):
        return IMAGE
    raise BdlUnsupportedError(
        f"column '{name}': expected a vector, an array of numbers, a number, an encoded image (binary) or Spark's image "
        f"struct, found {dtype.simpleString()}"
    )


# ---- features ----------------------------------------------------------------------------------------------------


def _refuse_nulls(array: pa.Array, name: str, place: Place) -> None:
    if array.null_count:
        raise BdlInvalidArgumentError(f"column '{name}', {place.row(_first(pc.is_null(array)))}: found null")


def _first(mask: Any) -> int:
    """The index of the first true."""
    return int(np.argmax(np.asarray(mask)))


def _offsets(array: pa.Array) -> Array:
    """The n + 1 offsets of a list or binary array into its values."""
    wide = pa.types.is_large_list(array.type) or pa.types.is_large_binary(array.type)
    kind = np.dtype(np.int64 if wide else np.int32)
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(1, kind)
    return np.frombuffer(buffer, kind, len(array) + 1, array.offset * kind.itemsize)


def _numbers(values: pa.Array, dtype: Any, what: str) -> Array:
    """Numbers without nulls as an array of `dtype`, without a copy where they are that already."""
    if pa.types.is_decimal(values.type) or pa.types.is_boolean(values.type):
        values = values.cast(pa.float64())
    array = values.to_numpy(zero_copy_only=False)
    if array.dtype.kind not in "fiu":
        raise BdlUnsupportedError(f"{what}: expected numbers, found {values.type}")
    with np.errstate(over="ignore"):
        result: Array = array.astype(dtype, copy=False)
    return result


def _equal_lists(array: pa.Array, name: str, place: Place, width: int) -> tuple[pa.Array, int]:
    """The values of lists that all have one length, and that length. `width` 0 = that of the first."""
    _refuse_nulls(array, name, place)
    offsets = _offsets(array)
    lengths: Array = np.diff(offsets)
    width = width or (int(lengths[0]) if len(lengths) else 0)
    if (lengths != width).any():
        i = _first(lengths != width)
        raise BdlShapeError(f"column '{name}', {place.row(i)}: expected {width} values, found {lengths[i]}")
    values = array.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    if values.null_count:
        i = _first(pc.is_null(values)) // max(1, width)
        raise BdlInvalidArgumentError(f"column '{name}', {place.row(i)}: found null among its values")
    return values, width


def _array_values(array: pa.Array, name: str, place: Place, width: int) -> Array:
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    values, width = _equal_lists(array, name, place, width)
    return _numbers(values, np.float32, f"column '{name}'").reshape(len(array), width)


def _vector_values(array: pa.Array, name: str, place: Place, width: int) -> Array:
    """Vectors: type 1 is dense with `values`; type 0 is sparse with `size`, `indices` and `values`."""
    _refuse_nulls(array, name, place)
    types = array.field("type").to_numpy(zero_copy_only=False)
    values = array.field("values")
    offsets = _offsets(values)
    lengths = np.diff(offsets)
    numbers = _numbers(values.values, np.float32, f"column '{name}'")
    if (types == 1).all():
        sizes = lengths
    else:
        sizes = np.where(types == 1, lengths, array.field("size").fill_null(0).to_numpy(zero_copy_only=False))
    width = width or (int(sizes[0]) if len(sizes) else 0)
    if (sizes != width).any():
        i = _first(sizes != width)
        raise BdlShapeError(f"column '{name}', {place.row(i)}: expected a vector of {width} values, found {sizes[i]}")
    if (types == 1).all():
        return numbers[offsets[0] : offsets[-1]].reshape(len(array), width)
    result = np.zeros((len(array), width), np.float32)
    for row in np.flatnonzero(types == 1):  # dense ones among sparse: few, or the branch above would do
        result[row] = numbers[offsets[row] : offsets[row + 1]]
    sparse = np.flatnonzero(types == 0)
    indices = array.field("indices")
    at = _offsets(indices)
    every = indices.values.to_numpy(zero_copy_only=False)
    rows = np.repeat(sparse, lengths[sparse])
    # Entry k of a sparse row is at the row's own offset, in the indices as in the values.
    step = np.arange(len(rows)) - np.repeat(np.cumsum(lengths[sparse]) - lengths[sparse], lengths[sparse])
    columns = every[np.repeat(at[sparse], lengths[sparse]) + step]
    result[rows, columns] = numbers[np.repeat(offsets[sparse], lengths[sparse]) + step]
    return result


def _scalar_values(batch: pa.RecordBatch, names: Sequence[str], place: Place) -> Array:
    result = np.empty((batch.num_rows, len(names)), np.float32)
    for i, name in enumerate(names):
        column = batch.column(name)
        _refuse_nulls(column, name, place)
        result[:, i] = _numbers(column, np.float64, f"column '{name}'")
    return result


def _check_finite(values: Array, columns: Columns, place: Place) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        i = _first(~finite.all(axis=1))
        j = _first(~finite[i])
        if columns.kind == SCALARS:
            what = f"column '{columns.features[j]}', {place.row(i)}"
        else:
            what = f"column '{columns.features[0]}', {place.row(i)}, value {j}"
        raise BdlNumericError(f"{what}: expected a finite number, found {values[i, j]}")


def _shaped(values: Array, columns: Columns) -> tuple[int, ...]:
    """The shape of a row; the columns' own must have as many values."""
    shape = columns.shape or (values.shape[1],)
    if math.prod(shape) != values.shape[1]:
        raise BdlShapeError(
            f"column '{', '.join(columns.features)}': inputShape {list(shape)} has {math.prod(shape)} values, rows have "
            f"{values.shape[1]}"
        )
    return shape


def _encoded(array: pa.Array, columns: Columns, place: Place) -> tuple[tuple[int, ...], Array, Array]:
    name = columns.features[0]
    _refuse_nulls(array, name, place)
    offsets = _offsets(array)
    sizes = np.diff(offsets).astype(np.int64)
    if (sizes == 0).any():
        raise BdlFormatError(f"column '{name}', {place.row(_first(sizes == 0))}: expected an encoded image, found no bytes")
    buffer = array.buffers()[2]
    data = np.frombuffer(buffer, np.uint8) if buffer is not None else np.empty(0, np.uint8)
    return (columns.channels,), data[offsets[0] : offsets[-1]], sizes


def _image_values(array: pa.Array, columns: Columns, place: Place) -> tuple[tuple[int, ...], Array]:
    """Spark's image structs, (h, w, c) in blue-green-red order, as planes (c, h, w) in red-green-blue order."""
    name = columns.features[0]
    _refuse_nulls(array, name, place)
    fields = {}
    for field in ("height", "width", "nChannels", "mode"):
        _refuse_nulls(array.field(field), f"{name}.{field}", place)
        fields[field] = array.field(field).to_numpy(zero_copy_only=False)
    known = np.isin(fields["mode"], list(IMAGE_MODES))
    if not known.all():
        i = _first(~known)
        raise BdlFormatError(
            f"column '{name}', {place.row(i)}: expected an image of bytes (mode 0, 16 or 24), found mode {fields['mode'][i]}"
            " (-1 is an image that Spark could not read)"
        )
    h, w, c = (int(fields[f][0]) for f in ("height", "width", "nChannels"))
    for field, expected in (("height", h), ("width", w), ("nChannels", c)):
        if (fields[field] != expected).any():
            i = _first(fields[field] != expected)
            raise BdlShapeError(
                f"column '{name}', {place.row(i)}: images of one size are needed ({h} x {w} x {c}), found {field} "
                f"{fields[field][i]}; resize them first, or give encoded images (binary) and a transform with resize"
            )
    if c not in (1, 3, 4):
        raise BdlFormatError(f"column '{name}', {place.row(0)}: expected 1, 3 or 4 channels, found {c}")
    data = array.field("data")
    _refuse_nulls(data, f"{name}.data", place)
    offsets = _offsets(data)
    if (np.diff(offsets) != h * w * c).any():
        i = _first(np.diff(offsets) != h * w * c)
        raise BdlFormatError(
            f"column '{name}', {place.row(i)}: expected {h * w * c} bytes of pixels, found {np.diff(offsets)[i]}"
        )
    pixels = np.frombuffer(data.buffers()[2], np.uint8)[offsets[0] : offsets[-1]].reshape(-1, h, w, c)
    planes = pixels[..., :3][..., ::-1] if c >= 3 else pixels  # alpha is left out
    planes = np.ascontiguousarray(planes.transpose(0, 3, 1, 2))
    return planes.shape[1:], planes.reshape(len(planes), -1)


# ---- labels ------------------------------------------------------------------------------------------------------


def _class_labels(array: pa.Array, columns: Columns, place: Place) -> Array:
    name = columns.label or ""
    _refuse_nulls(array, name, place)
    labels = _numbers(array, np.float64, f"column '{name}'")
    most = columns.n_classes or 1_000_000
    with np.errstate(invalid="ignore"):
        good = (labels >= 0) & (labels < most) & (labels == np.floor(labels))
    if not good.all():
        i = _first(~good)
        raise BdlInvalidArgumentError(
            f"column '{name}', {place.row(i)}: expected a class number from 0"
            f"{f' to {most - 1}' if columns.n_classes else ''}, found {labels[i]:g}"
        )
    return labels.reshape(-1, 1)


def _float_labels(array: pa.Array, columns: Columns, place: Place) -> Array:
    name = columns.label or ""
    _refuse_nulls(array, name, place)
    if pa.types.is_struct(array.type):
        labels = _vector_values(array, name, place, 0).astype(np.float64)
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        values, width = _equal_lists(array, name, place, 0)
        labels = _numbers(values, np.float64, f"column '{name}'").reshape(len(array), width)
    else:
        labels = _numbers(array, np.float64, f"column '{name}'").reshape(-1, 1)
    finite = np.isfinite(labels).all(axis=1)
    if not finite.all():
        i = _first(~finite)
        raise BdlNumericError(f"column '{name}', {place.row(i)}: expected a finite number, found {labels[i][0]}")
    return labels


# ---- batches -----------------------------------------------------------------------------------------------------


def _count(value: pa.Scalar) -> int:
    """Numbers of a vector, a list or a number, once it is dense."""
    if not value.is_valid:
        return 0
    if pa.types.is_struct(value.type):
        return int(value["size"].as_py() or 0) if value["type"].as_py() == 0 else len(value["values"])
    return len(value) if pa.types.is_nested(value.type) else 1


def _row_bytes(batch: pa.RecordBatch, columns: Columns, place: Place) -> int:
    """Bytes of the batch's first row as float32 with its labels as float64; images are not counted, which do not grow."""
    size = 0
    if columns.kind in (SCALARS, VECTOR, ARRAY):
        size += sum(4 * _count(batch.column(name)[0]) for name in columns.features)
    if columns.label is not None:
        size += 8 * _count(batch.column(columns.label)[0])
    if size > MOST_ROW_BYTES:
        raise BdlShapeError(f"column '{', '.join(columns.features)}', {place.row(0)}: expected a row of at most {MOST_ROW_BYTES} "
                            f"bytes with its labels, found {size}")
    return size


def slices(batch: pa.RecordBatch, columns: Columns, place: Place, most_rows: int) -> Iterator[tuple[Place, pa.RecordBatch]]:
    """A batch that is not empty in runs of rows, each with its place, that stay small when they are made dense."""
    step = max(1, min(most_rows, SLICE_BYTES // max(1, _row_bytes(batch, columns, place))))
    for at in range(0, batch.num_rows, step):
        yield Place(place.partition, place.first + at), batch.slice(at, step)


def read_rows(batch: pa.RecordBatch, columns: Columns, place: Place) -> Rows:
    """The rows of a record batch. It must not be empty."""
    sizes = None
    if columns.kind == SCALARS:
        values = _scalar_values(batch, columns.features, place)
    elif columns.kind == ENCODED:
        shape, values, sizes = _encoded(batch.column(columns.features[0]), columns, place)
    elif columns.kind == IMAGE:
        shape, values = _image_values(batch.column(columns.features[0]), columns, place)
    else:
        read = _vector_values if columns.kind == VECTOR else _array_values
        values = read(batch.column(columns.features[0]), columns.features[0], place, math.prod(columns.shape or (0,)))
    if columns.kind in (SCALARS, VECTOR, ARRAY):
        _check_finite(values, columns, place)
        shape = _shaped(values, columns)
    if columns.label is None:
        labels = np.empty((batch.num_rows, 0))
    else:
        read_labels = _class_labels if columns.label_kind == "class" else _float_labels
        labels = read_labels(batch.column(columns.label), columns, place)
    return Rows(shape, labels, values, sizes)


def read_indicator(batch: pa.RecordBatch, name: str, place: Place) -> Array:
    """A column of booleans."""
    column = batch.column(name)
    _refuse_nulls(column, name, place)
    if not pa.types.is_boolean(column.type):
        raise BdlUnsupportedError(f"column '{name}': expected booleans, found {column.type}")
    flags: Array = column.to_numpy(zero_copy_only=False)
    return flags
