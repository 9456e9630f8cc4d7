# SPDX-License-Identifier: Apache-2.0
"""Trained models as pyspark.ml Transformers: they add predictions to DataFrames and are saved as bdl saves models."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

from pyspark.ml import Model
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from bdl.errors import BdlFormatError, BdlInvalidArgumentError, BdlNotFoundError, BdlUnsupportedError
from bdl.spark import _files
from bdl.spark._columns import ENCODED, IMAGE, SCALARS, Columns, field_of, kind_of, numbered
from bdl.spark._transform import (
    ARRAY, MODEL_JSON, PREDICTION, PROBABILITY, RAW, WEIGHTS, Files, Output, output_count, predictor,
)
from bdl.spark.params import ClassifierColumns, ColumnParams


@dataclass
class TrainingSummary:
    """What training saw. `history` has an entry an epoch: epoch, loss, and the metrics of the validation."""

    history: list[dict[str, float]] = field(default_factory=list)
    iterations: int = 0
    rows: int = 0
    seconds: float = 0.0
    legs: int = 0
    workers: int = 0
    fingerprint: str = ""

    @property
    def lossHistory(self) -> list[float]:
        """The mean loss of each epoch."""
        return [entry["loss"] for entry in self.history]


def feature_columns(params: ColumnParams, schema: T.StructType) -> Columns:
    """The features by the params' columns and the DataFrame's types."""
    names = params.getFeaturesCols() or [params.getFeaturesCol()]
    kinds = set()
    for name in names:
        kinds.add(kind_of(name, field_of(schema, name).dataType))
    if len(names) > 1 and kinds != {SCALARS}:
        raise BdlUnsupportedError(f"featuresCols {', '.join(names)}: expected numbers in each, found {', '.join(sorted(kinds))}")
    kind = kinds.pop()
    shape = tuple(params.getInputShape())
    if any(n < 1 for n in shape):
        raise BdlInvalidArgumentError(f"inputShape: expected sizes of at least 1, found {list(shape)}")
    if kind != ENCODED:
        return Columns(kind, tuple(names), shape if kind != IMAGE else ())
    channels = shape[0] if shape else 3
    if channels not in (1, 3):
        raise BdlInvalidArgumentError(f"inputShape: encoded images have 1 or 3 channels, found {channels}")
    return Columns(kind, tuple(names), channels=channels)


class BdlModel(Model, ColumnParams, MLWritable, MLReadable["BdlModel"]):
    """A trained model. `transform` adds its outputs as column predictionCol: a number, or an array where there are
    several."""

    _is_class: ClassVar[bool] = False

    def __init__(self, files: Optional[dict[str, bytes]] = None, summary: Optional[TrainingSummary] = None) -> None:
        super().__init__()
        self._contents = Files.of(files or {})
        self._training = summary

    # ---- what it is ---------------------------------------------------------------------------------------------

    @property
    def hasSummary(self) -> bool:
        """Whether the model comes from a fit and knows how that went."""
        return self._training is not None

    @property
    def summary(self) -> TrainingSummary:
        """How training went."""
        if self._training is None:
            raise BdlNotFoundError("this model was loaded: only a model that fit gave has a summary")
        return self._training

    def export(self, directory: str) -> None:
        """Writes the model into a directory on this machine, for the command `bdl` and all bindings."""
        import os

        os.makedirs(directory, exist_ok=True)
        self._contents.write(directory)

    # ---- predictions --------------------------------------------------------------------------------------------

    def _outputs(self) -> tuple[Output, ...]:
        what = PREDICTION if output_count(self._contents) == 1 else ARRAY
        return (Output(self.getPredictionCol(), what),)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        schema = dataset.schema
        columns = feature_columns(self, schema)
        outputs = self._outputs()
        names = list(schema.names)
        for output in outputs:
            if output.name in names:
                raise BdlInvalidArgumentError(f"there is a column '{output.name}' already: set another name for predictions")
            names.append(output.name)
        types = {PREDICTION: T.DoubleType(), ARRAY: T.ArrayType(T.DoubleType(), False)}
        added = [T.StructField(o.name, types.get(o.what, VectorUDT()), False) for o in outputs]
        fields = [T.StructField(f"c{i}", one.dataType, one.nullable, one.metadata)
                  for i, one in enumerate([*schema.fields, *added])]
        function = predictor(self._contents, schema.names, columns, outputs, self._is_class, self.getThreadsPerWorker())
        return numbered(dataset).mapInArrow(function, T.StructType(fields)).toDF(*names)

    # ---- saving -------------------------------------------------------------------------------------------------

    def write(self) -> MLWriter:
        """A writer: `model.write().overwrite().save(path)`."""
        return _ModelWriter(self)

    @classmethod
    def read(cls) -> MLReader[Any]:
        """A reader: `read().load(path)`."""
        return _ModelReader(cls)


class BdlRegressionModel(BdlModel):
    """A trained regressor: predictionCol holds a number, or an array where the model has several outputs."""


class BdlClassificationModel(BdlModel, ClassifierColumns):
    """A trained classifier: predictionCol holds the class as a double, probabilityCol and rawPredictionCol vectors."""

    _is_class = True

    def _outputs(self) -> tuple[Output, ...]:
        wanted = [Output(self.getRawPredictionCol(), RAW), Output(self.getProbabilityCol(), PROBABILITY),
                  Output(self.getPredictionCol(), PREDICTION)]
        return tuple(output for output in wanted if output.name)

    @property
    def numClasses(self) -> int:
        """Classes that the model tells apart."""
        return output_count(self._contents)


class Writer(MLWriter):
    """Writes params; overwriting works over Spark Connect, too."""

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def save(self, path: str) -> None:
        """Saves into the directory `path`."""
        spark = self.sparkSession
        if self.shouldOverwrite:
            _files.remove(spark, path)
        elif _files.exists(spark, path):
            raise BdlInvalidArgumentError(f"there is '{path}' already: use write().overwrite().save(path) to replace it")
        self.saveImpl(path)

    def saveImpl(self, path: str) -> None:
        """The metadata of pyspark.ml, which pipelines read."""
        spark = self.sparkSession
        text = DefaultParamsWriter._get_metadata_to_save(self.instance, spark)
        rows = spark.createDataFrame([(text,)], schema="value string").coalesce(1)
        rows.write.mode("overwrite").text(_files.join(path, "metadata"))


class _ModelWriter(Writer):
    """The files of a saved model, then the metadata."""

    def saveImpl(self, path: str) -> None:
        for name, data in self.instance._contents.content.items():
            _files.write(self.sparkSession, _files.join(path, name), data)
        super().saveImpl(path)


class _ModelReader(MLReader[Any]):
    """Reads what a writer wrote, and plain directories that the command saved."""

    def __init__(self, cls: type[BdlModel]) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> BdlModel:
        """Loads from the directory `path`."""
        spark: SparkSession = self.sparkSession
        files = {name: _files.read(spark, _files.join(path, name)) for name in (MODEL_JSON, WEIGHTS)}
        if not _is_model(files[MODEL_JSON]):
            raise BdlFormatError(f"'{path}/{MODEL_JSON}' is no saved model of bdl")
        if not _files.exists(spark, _files.join(path, "metadata")):
            return self.cls(files)
        metadata = DefaultParamsReader.loadMetadata(path, spark)
        model = self._class_of(metadata["class"], path)(files)
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model

    def _class_of(self, name: str, path: str) -> type[BdlModel]:
        """The class that was saved: this one or one of its own."""
        for one in (self.cls, *self.cls.__subclasses__()):
            if f"{one.__module__}.{one.__name__}" == name:
                return one
        raise BdlInvalidArgumentError(f"'{path}' holds a {name.rpartition('.')[2]}: it cannot be loaded as {self.cls.__name__}")


def _is_model(text: bytes) -> bool:
    """Whether a JSON text describes a model."""
    try:
        return "graph" in json.loads(text)
    except (ValueError, TypeError):
        return False
