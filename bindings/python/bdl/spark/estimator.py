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

from bdl.errors import BdlInvalidArgumentError, BdlNotFoundError, BdlUnsupportedError
from bdl.spark._columns import Columns, is_vector
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
        self._set(**params)

    def setParams(self: E, **params: Any) -> E:
        """Sets params by their names."""
        return self._set(**params)

    # ---- columns ------------------------------------------------------------------------------------------------

    def _label_kind(self, dtype: T.DataType) -> str:
        return CLASS if isinstance(dtype, T.IntegralType) else FLOATS

    def _columns(self, schema: T.StructType) -> Columns:
        columns = feature_columns(self, schema)
        label, validation = self.getLabelCol(), self.getValidationIndicatorCol()
        for name in filter(None, (label, validation)):
            if name not in schema.names:
                raise BdlNotFoundError(f"there is no column '{name}'; the columns: {', '.join(schema.names)}")
        kind = NONE
        if label:
            dtype = schema[label].dataType
            is_list = isinstance(dtype, T.ArrayType) and isinstance(dtype.elementType, T.NumericType)
            if not (isinstance(dtype, T.NumericType) or is_vector(dtype) or is_list):
                raise BdlUnsupportedError(f"column '{label}': expected labels of a number type, found {dtype.simpleString()}")
            kind = self._label_kind(dtype)
            if kind == CLASS and not isinstance(dtype, T.NumericType):
                raise BdlUnsupportedError(f"column '{label}': expected class numbers, found {dtype.simpleString()}")
        return dataclasses.replace(columns, label=label or None, label_kind=kind, n_classes=self._n_classes(),
                                   validation=validation or None)

    def _n_classes(self) -> int:
        return 0

    # ---- training -----------------------------------------------------------------------------------------------

    def _fit(self, dataset: DataFrame) -> BdlModel:
        if not self.isSet(self.model):
            raise BdlInvalidArgumentError("model is not set: name what to train, such as model='lenet'")
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
        self._set(**params)

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
