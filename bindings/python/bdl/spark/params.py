# SPDX-License-Identifier: Apache-2.0
"""Parameters of the estimators and models, in pyspark.ml's way: each has a name, a default, a text and a setter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasFeaturesCol, HasLabelCol, HasPredictionCol, HasProbabilityCol, HasRawPredictionCol, HasSeed, HasValidationIndicatorCol,
)

P = TypeVar("P", bound="ColumnParams")
T = TypeVar("T", bound="TrainingParams")


def param(name: str, doc: str, converter: Any) -> Any:
    return Param(Params._dummy(), name, doc, typeConverter=converter)


def _to_model(value: Any) -> str:
    """A model's text; objects that describe themselves by ``to_dict`` (models of bdl) become JSON."""
    if hasattr(value, "to_dict"):
        import json

        return json.dumps(value.to_dict())
    return TypeConverters.toString(value)


class ColumnParams(HasFeaturesCol, HasPredictionCol):
    """What estimators and models share: which columns, and of what shape a row is."""

    featuresCols: Param[Any] = param(
        "featuresCols", "numeric columns that together are a row's values; instead of featuresCol.",
        TypeConverters.toListString,
    )
    inputShape: Param[Any] = param(
        "inputShape", "shape of a row, such as [1, 28, 28], for columns that only have its values; by default the number "
        "of values. Of encoded images the number of channels: [1] or [3].",
        TypeConverters.toListInt,
    )
    threadsPerWorker: Param[int] = param(
        "threadsPerWorker", "threads that a task computes with; 0 = spark.task.cpus.", TypeConverters.toInt
    )

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(featuresCols=[], inputShape=[], threadsPerWorker=0)

    def setFeaturesCol(self: P, value: str) -> P:
        """Sets the column of features: a vector, an array, a number, an encoded image or Spark's image struct."""
        return self._set(featuresCol=value)

    def getFeaturesCols(self) -> list[str]:
        """The numeric columns that are used instead of featuresCol; none by default."""
        return list(self.getOrDefault(self.featuresCols))

    def setFeaturesCols(self: P, value: Sequence[str]) -> P:
        """Sets the numeric columns that together are a row's values."""
        return self._set(featuresCols=value)

    def setPredictionCol(self: P, value: str) -> P:
        """Sets the name of the column for predictions."""
        return self._set(predictionCol=value)

    def getInputShape(self) -> list[int]:
        """Shape of a row, or [] for the number of its values."""
        return list(self.getOrDefault(self.inputShape))

    def setInputShape(self: P, value: Sequence[int]) -> P:
        """Sets the shape of a row."""
        return self._set(inputShape=value)

    def getThreadsPerWorker(self) -> int:
        """Threads of a task, or 0 for spark.task.cpus."""
        return self.getOrDefault(self.threadsPerWorker)

    def setThreadsPerWorker(self: P, value: int) -> P:
        """Sets the threads of a task."""
        return self._set(threadsPerWorker=value)


class ClassifierColumns(ColumnParams, HasProbabilityCol, HasRawPredictionCol):
    """The columns that classifiers add."""

    probabilityCol: Param[str] = param(
        "probabilityCol", "column for the vector of class probabilities; '' = none.", TypeConverters.toString
    )
    rawPredictionCol: Param[str] = param(
        "rawPredictionCol", "column for the vector of the model's own scores; '' = none.", TypeConverters.toString
    )

    def setProbabilityCol(self, value: str) -> Any:
        """Sets the name of the column of probabilities; '' = none."""
        return self._set(probabilityCol=value)

    def setRawPredictionCol(self, value: str) -> Any:
        """Sets the name of the column of scores; '' = none."""
        return self._set(rawPredictionCol=value)


class TrainingParams(ColumnParams, HasLabelCol, HasSeed, HasValidationIndicatorCol):
    """How to train. Texts such as optim are those of the command `bdl train`."""

    model: Param[str] = param(
        "model", "what to train: a ready-made model such as 'lenet', the JSON text of a graph, a model of bdl, or (on the "
        "driver) a model.json or a saved directory.", _to_model,
    )
    validationIndicatorCol: Param[str] = param(
        "validationIndicatorCol", "column of booleans; rows where it is true are measured after each epoch and not trained "
        "on; '' = none.", TypeConverters.toString,
    )
    batchSize: Param[int] = param("batchSize", "samples of an update, over all workers.", TypeConverters.toInt)
    shards: Param[int] = param(
        "shards", "parts of a batch, of 16 samples or more each, whose gradients are added in a tree; workers take whole parts, "
        "so that there are at most as many. 0 = one for each 16 samples, at most 1024.", TypeConverters.toInt
    )
    epochs: Param[int] = param("epochs", "passes over the data; 0 with no other limit means 10.", TypeConverters.toInt)
    iterations: Param[int] = param("iterations", "updates; 0 means no limit.", TypeConverters.toInt)
    until: Param[str] = param(
        "until", "stop condition, such as 'top1 >= 0.98 or epoch >= 20'; '' = none.", TypeConverters.toString
    )
    optim: Param[str] = param("optim", "optimization method with parameters.", TypeConverters.toString)
    schedule: Param[str] = param(
        "schedule", "learning-rate schedule, such as 'warmup(500) then cosine(9500)'; '' = constant.", TypeConverters.toString
    )
    loss: Param[str] = param("loss", "criterion; '' = by the model and the labels.", TypeConverters.toString)
    metrics: Param[str] = param(
        "metrics", "what validation measures, such as 'top1, top5'; '' = by the labels.", TypeConverters.toString
    )
    precision: Param[str] = param("precision", "fp32, fp32_exact or bf16.", TypeConverters.toString)
    preprocessing: Param[str] = param(
        "preprocessing", "transforms in C, such as 'normalize(mean=[0.5], std=[0.25], divide=255)'; it is saved with the "
        "model and part of every prediction; '' = none.", TypeConverters.toString,
    )
    clip: Param[str] = param("clip", "gradient clipping: 'norm(5)', 'value(1)' or both; '' = none.", TypeConverters.toString)
    wire: Param[str] = param(
        "wire", "how gradients and changes of weights travel between workers: fp32, or bf16 (half the bytes, rounded: then "
        "the result depends on the number of workers).", TypeConverters.toString,
    )
    seed: Param[int] = param(
        "seed", "seed of initial weights, order of samples, dropout and random transforms.", TypeConverters.toInt
    )
    numWorkers: Param[int] = param(
        "numWorkers", "tasks that train together; 0 = as many as the cluster runs at once and the batch is enough for.",
        TypeConverters.toInt,
    )
    maxLostWork: Param[float] = param(
        "maxLostWork", "seconds of training that the loss of an executor may cost: the longest leg.", TypeConverters.toFloat
    )
    slotTimeout: Param[float] = param(
        "slotTimeout", "seconds to wait for as many free task slots as there are workers.", TypeConverters.toFloat
    )
    checkpointDir: Param[str] = param(
        "checkpointDir", "directory, by a path that Spark writes to (hdfs:, s3a:, abfss:, file:), where each leg leaves a "
        "checkpoint; '' = between legs the driver keeps it in memory.", TypeConverters.toString,
    )
    resume: Param[bool] = param(
        "resume", "go on from the newest checkpoint in checkpointDir, if there is one.", TypeConverters.toBoolean
    )
    memoryLimit: Param[int] = param(
        "memoryLimit", "MiB that each worker process may use: what its model leaves of it holds rows, further ones go to a file. "
        "0 = its share of spark.executor.pyspark.memory, else half of its share of spark.executor.memoryOverhead, else no cap (on "
        "YARN and Kubernetes rows still keep to the overhead that is Spark's default).",
        TypeConverters.toInt,
    )
    spillDir: Param[str] = param(
        "spillDir", "directory on the executors for rows beyond memoryLimit, which lie there in clear; '' = Spark's local directory, or none "
        "with spark.io.encryption.enabled.", TypeConverters.toString,
    )
    ports: Param[str] = param(
        "ports", "range of ports that workers listen on while they connect, such as '40000-40099'; '' = any.",
        TypeConverters.toString,
    )
    interface: Param[str] = param(
        "interface", "address or network interface that workers listen on; '' = the one by which Spark knows the executor.",
        TypeConverters.toString,
    )
    verbose: Param[bool] = param("verbose", "print progress on the driver.", TypeConverters.toBoolean)

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(
            validationIndicatorCol="", batchSize=128, shards=0, epochs=0, iterations=0, until="", optim="sgd(lr=0.05, momentum=0.9)",
            schedule="", loss="", metrics="", precision="fp32", preprocessing="", clip="", wire="fp32", seed=1, numWorkers=0,
            maxLostWork=600.0, slotTimeout=120.0, checkpointDir="", resume=False, memoryLimit=0, spillDir="", ports="",
            interface="", verbose=True,
        )

    def getModel(self) -> str:
        """What to train."""
        return self.getOrDefault(self.model)

    def setModel(self: T, value: Any) -> T:
        """Sets what to train: a text, or a model of bdl."""
        return self._set(model=value)

    def setLabelCol(self: T, value: str) -> T:
        """Sets the column of labels: class numbers from 0, or numbers."""
        return self._set(labelCol=value)

    def setValidationIndicatorCol(self: T, value: str) -> T:
        """Sets the column that says which rows are for validation."""
        return self._set(validationIndicatorCol=value)

    def getBatchSize(self) -> int:
        """Samples of an update."""
        return self.getOrDefault(self.batchSize)

    def setBatchSize(self: T, value: int) -> T:
        """Sets the samples of an update."""
        return self._set(batchSize=value)

    def getShards(self) -> int:
        """The parts of a batch."""
        return self.getOrDefault(self.shards)

    def setShards(self: T, value: int) -> T:
        """Sets the parts of a batch; 0 = one for each 16 samples."""
        return self._set(shards=value)

    def getEpochs(self) -> int:
        """Passes over the data."""
        return self.getOrDefault(self.epochs)

    def setEpochs(self: T, value: int) -> T:
        """Sets the passes over the data."""
        return self._set(epochs=value)

    def getIterations(self) -> int:
        """The limit of updates."""
        return self.getOrDefault(self.iterations)

    def setIterations(self: T, value: int) -> T:
        """Sets the limit of updates."""
        return self._set(iterations=value)

    def getUntil(self) -> str:
        """The stop condition."""
        return self.getOrDefault(self.until)

    def setUntil(self: T, value: str) -> T:
        """Sets the stop condition."""
        return self._set(until=value)

    def getOptim(self) -> str:
        """The optimization method."""
        return self.getOrDefault(self.optim)

    def setOptim(self: T, value: str) -> T:
        """Sets the optimization method, such as 'adam(lr=0.001)'."""
        return self._set(optim=value)

    def getSchedule(self) -> str:
        """The learning-rate schedule."""
        return self.getOrDefault(self.schedule)

    def setSchedule(self: T, value: str) -> T:
        """Sets the learning-rate schedule."""
        return self._set(schedule=value)

    def getLoss(self) -> str:
        """The criterion."""
        return self.getOrDefault(self.loss)

    def setLoss(self: T, value: str) -> T:
        """Sets the criterion."""
        return self._set(loss=value)

    def getMetrics(self) -> str:
        """What validation measures."""
        return self.getOrDefault(self.metrics)

    def setMetrics(self: T, value: str) -> T:
        """Sets what validation measures."""
        return self._set(metrics=value)

    def getPrecision(self) -> str:
        """The arithmetic."""
        return self.getOrDefault(self.precision)

    def setPrecision(self: T, value: str) -> T:
        """Sets the arithmetic: fp32, fp32_exact or bf16."""
        return self._set(precision=value)

    def getPreprocessing(self) -> str:
        """The transforms before the first layer."""
        return self.getOrDefault(self.preprocessing)

    def setPreprocessing(self: T, value: str) -> T:
        """Sets the transforms before the first layer."""
        return self._set(preprocessing=value)

    def getClip(self) -> str:
        """The gradient clipping."""
        return self.getOrDefault(self.clip)

    def setClip(self: T, value: str) -> T:
        """Sets the gradient clipping."""
        return self._set(clip=value)

    def getWire(self) -> str:
        """How gradients and changes of weights travel."""
        return self.getOrDefault(self.wire)

    def setWire(self: T, value: str) -> T:
        """Sets how gradients and changes of weights travel: fp32 or bf16."""
        return self._set(wire=value)

    def setSeed(self: T, value: int) -> T:
        """Sets the seed."""
        return self._set(seed=value)

    def getNumWorkers(self) -> int:
        """Tasks that train together, or 0 for all the cluster runs at once."""
        return self.getOrDefault(self.numWorkers)

    def setNumWorkers(self: T, value: int) -> T:
        """Sets the number of tasks that train together."""
        return self._set(numWorkers=value)

    def getMaxLostWork(self) -> float:
        """Seconds of training that the loss of an executor may cost."""
        return self.getOrDefault(self.maxLostWork)

    def setMaxLostWork(self: T, value: float) -> T:
        """Sets the seconds of training that the loss of an executor may cost."""
        return self._set(maxLostWork=value)

    def getSlotTimeout(self) -> float:
        """Seconds to wait for task slots."""
        return self.getOrDefault(self.slotTimeout)

    def setSlotTimeout(self: T, value: float) -> T:
        """Sets the seconds to wait for task slots."""
        return self._set(slotTimeout=value)

    def getCheckpointDir(self) -> str:
        """The directory of checkpoints."""
        return self.getOrDefault(self.checkpointDir)

    def setCheckpointDir(self: T, value: str) -> T:
        """Sets the directory of checkpoints."""
        return self._set(checkpointDir=value)

    def getResume(self) -> bool:
        """Whether to go on from the newest checkpoint."""
        return self.getOrDefault(self.resume)

    def setResume(self: T, value: bool) -> T:
        """Sets whether to go on from the newest checkpoint."""
        return self._set(resume=value)

    def getMemoryLimit(self) -> int:
        """MiB that a worker process may use, or 0."""
        return self.getOrDefault(self.memoryLimit)

    def setMemoryLimit(self: T, value: int) -> T:
        """Sets the MiB that a worker process may use."""
        return self._set(memoryLimit=value)

    def getSpillDir(self) -> str:
        """The directory for rows beyond the limit."""
        return self.getOrDefault(self.spillDir)

    def setSpillDir(self: T, value: str) -> T:
        """Sets the directory for rows beyond the limit."""
        return self._set(spillDir=value)

    def getPorts(self) -> str:
        """The range of ports."""
        return self.getOrDefault(self.ports)

    def setPorts(self: T, value: str) -> T:
        """Sets the range of ports."""
        return self._set(ports=value)

    def getInterface(self) -> str:
        """The address that workers listen on."""
        return self.getOrDefault(self.interface)

    def setInterface(self: T, value: str) -> T:
        """Sets the address or interface that workers listen on."""
        return self._set(interface=value)

    def getVerbose(self) -> bool:
        """Whether progress is printed."""
        return self.getOrDefault(self.verbose)

    def setVerbose(self: T, value: bool) -> T:
        """Sets whether progress is printed."""
        return self._set(verbose=value)
