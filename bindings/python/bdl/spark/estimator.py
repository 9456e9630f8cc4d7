# SPDX-License-Identifier: Apache-2.0
"""Estimators in the way of pyspark.ml: `fit` trains on the tasks of a cluster and gives a model."""

from __future__ import annotations

import dataclasses

from typing import Any, ClassVar, TypeVar

from pyspark.ml import Estimator
from pyspark.ml.param import Param, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, MLWritable, MLWriter
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from bdl._options import nearest
from bdl.errors import BdlInvalidArgumentError, BdlNotFoundError, BdlUnsupportedError
from bdl.spark._columns import Columns, field_of, is_vector
from bdl.spark._fit import Fit, Trained
from bdl.spark.model import (
    BdlClassificationModel, BdlModel, BdlRegressionModel, TrainingSummary, Writer, feature_columns,
)
from bdl.spark.params import ClassifierColumns, TrainingParams, param

E = TypeVar("E", bound="BdlEstimator")

CLASS, FLOATS, NONE = "class", "floats", "none"


class BdlEstimator(Estimator[Any], TrainingParams, MLWritable, DefaultParamsReadable["BdlEstimator"]):
    """Trains any model of bdl. Labels of an integer type are class numbers from 0, others are numbers to come close to;
    with labelCol '' the target is the input itself (autoencoders).

    Args:
        model: What to train: 'lenet', the JSON text of a graph, a model of bdl, or (on the driver) a model.json or a saved
            directory. Everything else has a default: see `explainParams()`.
    """

    _model_class: ClassVar[type[BdlModel]] = BdlModel

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self.setParams(**params)

    def setParams(self: E, **params: Any) -> E:
        """Sets params by their names."""
        for name in params:
            if not self.hasParam(name):
                hint = nearest(name, [known.name for known in self.params]) or "; explainParams() lists them"
                raise BdlNotFoundError(f"{type(self).__name__} has no param '{name}'{hint}")
        return self._set(**params)

    # ---- columns ------------------------------------------------------------------------------------------------

    def _label_kind(self, dtype: T.DataType) -> str:
        return CLASS if isinstance(dtype, T.IntegralType) else FLOATS

    def _columns(self, schema: T.StructType) -> Columns:
        columns = feature_columns(self, schema)
        label, validation = self.getLabelCol(), self.getValidationIndicatorCol()
        if validation:
            found = field_of(schema, validation).dataType
            if not isinstance(found, T.BooleanType):
                raise BdlUnsupportedError(f"column '{validation}': expected booleans, found {found.simpleString()}")
        kind = self._kind_of_label(label, field_of(schema, label).dataType) if label else NONE
        return dataclasses.replace(columns, label=label or None, label_kind=kind, n_classes=self._n_classes(),
                                   validation=validation or None)

    def _kind_of_label(self, name: str, dtype: T.DataType) -> str:
        is_list = isinstance(dtype, T.ArrayType) and isinstance(dtype.elementType, T.NumericType)
        if not (isinstance(dtype, T.NumericType) or is_vector(dtype) or is_list):
            raise BdlUnsupportedError(f"column '{name}': expected labels of a number type, found {dtype.simpleString()}")
        kind = self._label_kind(dtype)
        if kind == CLASS and not isinstance(dtype, T.NumericType):
            raise BdlUnsupportedError(f"column '{name}': expected class numbers, found {dtype.simpleString()}")
        return kind

    def _n_classes(self) -> int:
        return 0

    # ---- training -----------------------------------------------------------------------------------------------

    def _fit(self, dataset: DataFrame) -> BdlModel:
        if not self.isSet(self.model):
            raise BdlInvalidArgumentError("model is not set: name what to train, such as model='lenet'")
        if dataset.isStreaming:
            raise BdlUnsupportedError("fit needs rows that end, found a streaming DataFrame; a model's transform takes those")
        trained = Fit(self, dataset, self._columns(dataset.schema)).run()
        return self._make_model(trained)

    def _make_model(self, trained: Trained) -> BdlModel:
        report = trained.report
        summary = TrainingSummary(
            history=report["history"], iterations=report["iteration"], rows=report["keys"]["rows"],
            seconds=report["seconds"], legs=trained.legs, workers=trained.workers, fingerprint=report["fingerprint"],
        )
        model = self._model_class(trained.files, summary)
        model._resetUid(self.uid)
        return self._copyValues(model)

    # ---- saving -------------------------------------------------------------------------------------------------

    def write(self) -> MLWriter:
        """A writer: `estimator.write().overwrite().save(path)`."""
        return Writer(self)


class BdlRegressor(BdlEstimator):
    """Trains a model that gives numbers. Labels are numbers, arrays or vectors."""

    _model_class = BdlRegressionModel

    def _label_kind(self, dtype: T.DataType) -> str:
        return FLOATS


class BdlClassifier(BdlEstimator, ClassifierColumns):
    """Trains a classifier. Labels are class numbers from 0, of any number type."""

    _model_class = BdlClassificationModel

    numClasses: Param[int] = param(
        "numClasses", "classes; 0 = the largest label plus one.", TypeConverters.toInt
    )

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self._setDefault(numClasses=0)
        self.setParams(**params)

    def _label_kind(self, dtype: T.DataType) -> str:
        return CLASS

    def _n_classes(self) -> int:
        return int(self.getOrDefault(self.numClasses))

    def getNumClasses(self) -> int:
        """Classes, or 0 for the largest label plus one."""
        return self._n_classes()

    def setNumClasses(self: E, value: int) -> E:
        """Sets the number of classes."""
        return self._set(numClasses=value)
