# SPDX-License-Identifier: Apache-2.0
"""Training and prediction inside Apache Spark, in the way of pyspark.ml.

    from bdl.spark import BdlClassifier
    model = BdlClassifier(model="lenet", inputShape=[1, 28, 28], epochs=5).fit(train)
    model.transform(test).select("label", "prediction", "probability")

Needs pyspark (4.0.1 or newer) and pyarrow: ``pip install bdl[spark]``. Works in classic mode and over Spark Connect.
"""

try:
    import pyarrow as _pyarrow  # noqa: F401
    import pyspark as _pyspark
except ImportError as error:
    raise ImportError(f"bdl.spark needs pyspark (4.0.1 or newer) and pyarrow: pip install 'bdl[spark]' ({error})") from error

if tuple(int(part) for part in _pyspark.__version__.split(".")[:3] if part.isdigit()) < (4, 0, 1):
    raise ImportError(f"bdl.spark needs pyspark 4.0.1 or newer, found {_pyspark.__version__}")

from bdl.spark.estimator import BdlClassifier, BdlEstimator, BdlRegressor
from bdl.spark.model import BdlClassificationModel, BdlModel, BdlRegressionModel, TrainingSummary

__all__ = [
    "BdlClassificationModel",
    "BdlClassifier",
    "BdlEstimator",
    "BdlModel",
    "BdlRegressionModel",
    "BdlRegressor",
    "TrainingSummary",
]
