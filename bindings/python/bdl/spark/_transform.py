# SPDX-License-Identifier: Apache-2.0
"""Predictions in a task: one function for mapInArrow, which passes all columns on and adds its own.

The model's files travel in the function; a worker process opens them once and keeps them by their hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bdl._context import Handle
from bdl.errors import BdlFormatError, BdlShapeError
from bdl.spark._blocks import Array
from bdl.spark._columns import ENCODED, Columns, Place, read_rows, slices

MODEL_JSON, WEIGHTS = "model.json", "weights.safetensors"
KEPT_MODELS = 2  # open models that a worker process keeps
PREDICT_ROWS = 4096  # predicted at once, or fewer wide ones: bounds the memory beside the batch itself

PREDICTION, ARRAY, PROBABILITY, RAW = "prediction", "array", "probability", "raw"


@dataclass(frozen=True)
class Output:
    """A column that is added."""

    name: str
    what: str  # PREDICTION (class or number), ARRAY (numbers), PROBABILITY or RAW (vectors)


@dataclass(frozen=True)
class Files:
    """A saved model's files, and the hash that names them in a worker."""

    content: dict[str, bytes]
    key: str

    @staticmethod
    def of(content: dict[str, bytes]) -> Files:
        """Takes the hash."""
        digest = hashlib.sha256()
        for name in sorted(content):
            digest.update(name.encode() + b"\0" + hashlib.sha256(content[name]).digest())
        return Files(content, digest.hexdigest())

    def write(self, directory: str) -> None:
        """Writes them into a directory."""
        for name, data in self.content.items():
            with open(os.path.join(directory, name), "wb") as file:
                file.write(data)


_opening = threading.Lock()  # of the driver's threads, such as those of a CrossValidator
_opened: OrderedDict[tuple[str, int], tuple[Handle, Handle, int]] = OrderedDict()


def open_model(files: Files, threads: int) -> tuple[Handle, Handle, int]:
    """Context, model and number of its outputs; the newest few are kept."""
    from bdl.spark import _native

    key = (files.key, threads)
    with _opening:
        found = _opened.pop(key, None)
        if found is None:
            context = _native.make_context(threads)
            with tempfile.TemporaryDirectory(prefix="bdl-model-") as directory:
                files.write(directory)
                model = _native.create("bdl_model_free", "bdl_model_open", context.pointer, os.fsencode(directory), 1,
                                       parent=context)
            found = context, model, _native.n_outputs(model)
        _opened[key] = found  # as the newest
        while len(_opened) > KEPT_MODELS:
            _opened.popitem(last=False)
        return found


def last_layer(model_json: bytes) -> str:
    """The type of the layer that gives the model's first output."""
    graph = json.loads(model_json)["graph"]
    name = str(graph["outputs"][0]).rpartition(":")[0] or str(graph["outputs"][0])
    return next((str(node["type"]) for node in graph["nodes"] if node["name"] == name), "")


def output_count(files: Files) -> int:
    """Values of the model's first output."""
    return open_model(files, 1)[2]


def probabilities(raw: Array, last: str) -> Array:
    """Class probabilities from the model's outputs, in double precision."""
    values = raw.astype(np.float64)
    if last == "softmax":
        return values
    if last != "log_softmax":
        values -= values.max(axis=1, keepdims=True)
    result: Array = np.exp(values)
    if last != "log_softmax":
        result /= result.sum(axis=1, keepdims=True)
    return result


def _lists(values: Array) -> pa.ListArray:
    n, width = values.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).ravel()))


def _vectors(values: Array) -> pa.StructArray:
    """Dense vectors of pyspark.ml."""
    n = len(values)
    return pa.StructArray.from_arrays(
        [pa.array(np.ones(n, np.int8)), pa.nulls(n, pa.int32()), pa.nulls(n, pa.list_(pa.int32())),
         _lists(values.astype(np.float64))],
        names=["type", "size", "indices", "values"],
    )


def _column(what: str, raw: Array, is_class: bool, last: str) -> pa.Array:
    if what == RAW:
        return _vectors(raw)
    if what == PROBABILITY:
        return _vectors(probabilities(raw, last))
    if what == ARRAY:
        return _lists(raw.astype(np.float64))
    return pa.array(raw.argmax(axis=1).astype(np.float64) if is_class else raw[:, 0].astype(np.float64))


def predictor(
    files: Files, names: list[str], columns: Columns, outputs: tuple[Output, ...], is_class: bool, threads: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for mapInArrow on numbered columns, whose own names are `names`. `threads` 0 = spark.task.cpus."""

    def add_predictions(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        from bdl.spark import _native

        task: Any = TaskContext.get()
        partition = task.partitionId() if task is not None else 0
        cpus = task.cpus() if task is not None else 1
        context, model, n_outputs = open_model(files, threads or cpus)
        last = last_layer(files.content[MODEL_JSON])
        first = 0
        for numbered in batches:
            batch = numbered.rename_columns(names)
            n = batch.num_rows
            raw = np.empty((n, n_outputs), np.float32)
            for place, part in slices(batch, columns, Place(partition, first), PREDICT_ROWS) if n else ():
                rows = read_rows(part, columns, place)
                at = place.first - first
                try:
                    raw[at : at + len(rows)] = _native.predict(context, model, rows, n_outputs)
                except BdlShapeError as error:
                    raise BdlShapeError(f"column '{', '.join(columns.features)}', {place.row(0)}: {error}") from error
            if columns.kind == ENCODED and np.isnan(raw).all(axis=1).any():
                i = int(np.isnan(raw).all(axis=1).argmax())
                raise BdlFormatError(
                    f"column '{columns.features[0]}', {Place(partition, first).row(i)}: the image cannot be decoded"
                )
            first += n
            arrays = [*batch.columns, *(_column(output.what, raw, is_class, last) for output in outputs)]
            yield pa.RecordBatch.from_arrays(arrays, names=[f"c{i}" for i in range(len(arrays))])

    return add_predictions
