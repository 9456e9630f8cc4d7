# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=900
"""Fit, transform, save and load in Spark's local mode, against what the command trains on the same rows."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyspark
import pytest
from py4j.protocol import Py4JError
from pyspark.errors import PythonException
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.ml.param import TypeConverters
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F

import bdl
from bdl.errors import (
    BdlError, BdlFormatError, BdlInvalidArgumentError, BdlNotFoundError, BdlNumericError, BdlStateError, BdlUnsupportedError,
)
from bdl.spark import BdlClassificationModel, BdlClassifier, BdlEstimator, BdlModel, BdlRegressionModel, BdlRegressor

from cluster import wait_for
from data import MLP, WIDTH, bdl_train, classes, frame, weights_of


@pytest.fixture(scope="module")
def spark(local_session):
    return local_session


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """What `bdl train` makes of the rows of `classes`, by its options."""
    made = {}

    def run(**options):
        key = json.dumps(options, sort_keys=True)
        if key not in made:
            made[key] = bdl_train(tmp_path_factory.mktemp("truth"), *classes(), **options)
        return made[key]

    return run


def classifier(**params):
    return BdlClassifier(**{"model": MLP, "epochs": 3, "batchSize": 100, "numWorkers": 2, "threadsPerWorker": 1, **params})


# ---- the same weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_the_weights_are_those_of_the_command(spark, truth, workers):
    model = classifier(numWorkers=workers).fit(frame(spark, *classes()).repartition(3))
    assert weights_of(model) == truth(epochs=3, batch=100)
    assert model.summary.rows == len(classes()[1])
    assert len(model.summary.lossHistory) == 3 and model.summary.lossHistory[2] < model.summary.lossHistory[0]


def test_a_chosen_number_of_shards(spark, truth):
    rows = frame(spark, *classes()).repartition(3)
    model = classifier(shards=3).fit(rows)
    assert classifier(shards=1, numWorkers=0, epochs=1).fit(rows).summary.workers == 1
    assert weights_of(model) == truth(epochs=3, batch=100, shards=3) != truth(epochs=3, batch=100)
    with pytest.raises(BdlInvalidArgumentError, match="a batch in 1 shard cannot be shared by 2 ranks: use at most 1 rank, or 2 shards"):
        classifier().setShards(1).fit(rows)


def test_empty_uneven_and_one_row_partitions_do_not_matter(spark, truth):
    x, y = classes()
    part = np.where(np.arange(len(y)) == 5, 3, np.where(np.arange(len(y)) < len(y) * 0.9, 0, 6))
    rows = frame(spark, x, y, part=part).repartitionByRange(7, "part")
    sizes = [r["count"] for r in rows.groupBy(F.spark_partition_id()).count().collect()]
    assert 1 in sizes and len(sizes) < rows.rdd.getNumPartitions() and max(sizes) > 5 * sorted(sizes)[-2]
    assert weights_of(classifier().fit(rows.select("features", "label"))) == truth(epochs=3, batch=100)


def test_a_batch_larger_than_the_data(spark, truth):
    model = classifier(batchSize=5000, epochs=2).fit(frame(spark, *classes()))
    assert weights_of(model) == truth(epochs=2, batch=5000)


@pytest.mark.parametrize("n, batch, words", [(903, 16, "2 task slots; raise batchSize"), (10, 100, "too few rows for 2 workers")])
def test_no_more_workers_than_a_batch_or_the_rows_are_enough_for(spark, tmp_path, capsys, n, batch, words):
    x, y = classes(n)
    model = classifier(numWorkers=0, batchSize=batch, epochs=1).fit(frame(spark, x, y))
    assert model.summary.workers == 1 and words in capsys.readouterr().err
    assert weights_of(model) == bdl_train(tmp_path, x, y, epochs=1, batch=batch)
    with pytest.raises(BdlInvalidArgumentError, match="cannot be shared by 2 ranks: use at most 1 rank"):
        classifier(numWorkers=2, batchSize=batch, epochs=1).fit(frame(spark, x, y))


def test_legs_and_a_resume_change_nothing(spark, truth, tmp_path, monkeypatch):
    """Legs of no time at all: each is one update long, or ends with training."""
    monkeypatch.setattr("bdl.spark._fit.FIRST_LEG_SECONDS", 1e-6)
    monkeypatch.setattr("bdl.spark._fit.Fit._next_seconds", lambda *_: 1e-6)
    rows = frame(spark, *classes()).cache()
    model = classifier(epochs=0, iterations=3).fit(rows)
    assert model.summary.legs == 3
    assert weights_of(model) == truth(iterations=3, batch=100)
    directory = f"file:{tmp_path}/checkpoints"
    first = classifier(epochs=0, iterations=2, checkpointDir=directory).fit(rows)
    assert first.summary.legs == 2
    with pytest.raises(BdlStateError, match="holds leg 2 of an earlier run: set resume=True"):
        classifier(epochs=0, iterations=3, checkpointDir=directory).fit(rows)


def test_rounded_gradients_train_and_are_resumed_by_as_many_workers(spark, truth, tmp_path, monkeypatch):
    x, y = classes()
    rows = frame(spark, x, y).cache()
    model = classifier(epochs=10, wire="bf16").fit(rows)
    assert weights_of(model) == bdl_train(tmp_path, x, y, ranks=2, epochs=10, batch=100, wire="bf16") != truth(epochs=10, batch=100)
    out = model.transform(rows).select("label", "prediction").collect()
    assert np.mean([row["label"] == row["prediction"] for row in out]) > 0.8
    monkeypatch.setattr("bdl.spark._fit.FIRST_LEG_SECONDS", 1e-6)
    monkeypatch.setattr("bdl.spark._fit.Fit._next_seconds", lambda *_: 1e-6)
    with_legs = {"epochs": 0, "checkpointDir": f"file:{tmp_path}/checkpoints"}
    classifier(**with_legs, iterations=2, wire="bf16").fit(rows)
    with pytest.raises(BdlStateError, match="in the middle of an epoch .* wire must stay: it was bf16") as refused:
        classifier(**with_legs, iterations=3, resume=True).fit(rows)
    assert refused.value.__cause__ is None  # no task failed: Spark would have tried again
    resumed = classifier(**with_legs, iterations=3, wire="bf16", resume=True).fit(rows)
    assert weights_of(resumed) == bdl_train(tmp_path, x, y, ranks=2, iterations=3, batch=100, wire="bf16")
    alone = classifier(**with_legs, iterations=4, wire="bf16", numWorkers=1, resume=True).fit(rows)
    assert weights_of(alone) != bdl_train(tmp_path, x, y, ranks=2, iterations=4, batch=100, wire="bf16")


def test_progress_is_told_inside_a_leg(spark, monkeypatch, capsys):
    monkeypatch.setattr("bdl.spark._fit.PROGRESS_SECONDS", 0.0)
    classifier(epochs=5).fit(frame(spark, *classes()))
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if re.fullmatch(r"bdl: epoch \d, iteration \d+, loss [0-9.]+, \d+ rows/s, \d+ s left", line)]
    assert len(told) > 10  # of 50 updates
    assert told[-1] in lines[: next(i for i, line in enumerate(lines) if line.startswith("bdl: leg 1: epoch 5, iteration 50,"))]
    assert [line for line in lines if "refused" in line] == []


# ---- forms of columns --------------------------------------------------------------------------------------------


def test_every_form_of_features_trains_the_same(spark, truth):
    x, y = classes()
    expected = truth(epochs=1, batch=100)
    arrays = frame(spark, x, y)
    vectors = spark.createDataFrame(
        [(Vectors.dense(row) if i % 2 else Vectors.sparse(WIDTH, {j: v for j, v in enumerate(row) if v}), float(label))
         for i, (row, label) in enumerate(zip(x.tolist(), y.tolist()))], ["features", "label"])
    columns = arrays.select(*[F.col("features")[i].alias(f"c{i}") for i in range(WIDTH)], F.col("label").cast("decimal(4,1)"))
    names = [f"c{i}" for i in range(WIDTH)]
    doubles = arrays.select(F.col("features").cast("array<double>").alias("features"), F.col("label").cast("float"))
    assert weights_of(classifier(epochs=1).fit(vectors)) == expected
    assert weights_of(classifier(epochs=1, featuresCols=names).fit(columns)) == expected
    assert weights_of(classifier(epochs=1).fit(doubles)) == expected


def test_names_with_dots_backticks_and_names_that_occur_twice(spark, truth):
    x, y = classes()
    rows = frame(spark, x, y, n=np.arange(len(y))).withColumnsRenamed({"features": "a.b", "label": "l`x"})
    rows = rows.select("*", F.col("n").alias("n", metadata={"kept": 1}))
    model = classifier(epochs=1, featuresCol="a.b", labelCol="l`x", predictionCol="p.q").fit(rows)
    assert weights_of(model) == truth(epochs=1, batch=100)
    out = model.transform(rows)
    assert out.columns == ["a.b", "l`x", "n", "n", "rawPrediction", "probability", "p.q"]
    assert [field.metadata for field in out.schema.fields[2:4]] == [{}, {"kept": 1}]
    found = sorted((tuple(row) for row in out.collect()), key=lambda row: row[2])
    assert [row[2:4] for row in found] == [(i, i) for i in range(len(y))]
    assert [row[1] for row in found] == y.tolist()
    assert (np.array([row[0] for row in found], np.float32) == x).all()
    with pytest.raises(BdlInvalidArgumentError, match="there are 2 columns 'n'"):
        classifier(featuresCol="n", labelCol="l`x").fit(rows)


def test_predictions_of_the_driver_and_of_tasks_are_equal(spark, tmp_path):
    x, y = classes()
    rows = frame(spark, x, y)
    model = classifier().fit(rows)
    found = [row["rawPrediction"].toArray() for row in model.transform(rows).select("rawPrediction").collect()]
    model.export(str(tmp_path / "model"))
    assert (np.array(found) == bdl.load(str(tmp_path / "model")).predict(x)).all()


def test_regression_and_autoencoders(spark, tmp_path):
    x, y = classes()
    rows = frame(spark, x, y).select("features", (F.col("label") * 0.5).alias("label"))
    model = BdlRegressor(model="mlp(hidden=[8])", epochs=5, numWorkers=2, optim="adam(lr=0.01)").fit(rows)
    row = model.transform(rows).first()
    assert isinstance(row["prediction"], float)
    same = BdlEstimator(model="autoencoder(bottleneck=4)", labelCol="", epochs=1, numWorkers=2).fit(
        rows.select("features"))
    assert len(same.transform(rows.select("features")).first()["prediction"]) == WIDTH


# ---- predictions -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(spark):
    return classifier(epochs=10).fit(frame(spark, *classes()))


def test_predictions_are_those_of_the_command(spark, model, tmp_path):
    x, y = classes()
    model.export(str(tmp_path / "model"))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    done = subprocess.run([os.environ["BDL"], "eval", str(tmp_path / "model"), "--data",
                           f"npy:{tmp_path}/x.npy,{tmp_path}/y.npy"], capture_output=True, text=True, check=True)
    expected = json.loads(done.stdout.splitlines()[-1])["top1"]
    out = model.transform(frame(spark, x, y, extra=np.arange(len(y))))
    assert out.columns == ["features", "label", "extra", "rawPrediction", "probability", "prediction"]
    rows = out.collect()
    assert sorted(r["extra"] for r in rows) == list(range(len(y)))
    assert np.mean([r["prediction"] == r["label"] for r in rows]) == pytest.approx(expected, abs=1e-9)
    assert expected > 0.8
    for r in rows[:50]:
        assert r["probability"].toArray().sum() == pytest.approx(1)
        assert r["probability"].toArray().argmax() == r["prediction"]


def test_streams_stay_streams(spark, model, tmp_path):
    x, y = classes()
    frame(spark, x, y).write.parquet(str(tmp_path / "in"))
    stream = spark.readStream.schema("features array<float>, label long").parquet(str(tmp_path / "in"))
    out = model.transform(stream)
    assert out.isStreaming
    query = out.writeStream.format("memory").queryName("predicted").trigger(availableNow=True).start()
    assert query.awaitTermination(120)
    assert spark.table("predicted").count() == len(y)


def test_saving_and_loading_with_the_commands_files(spark, model, tmp_path):
    path = f"file:{tmp_path}/model"
    model.write().save(path)
    with pytest.raises(BdlInvalidArgumentError, match="overwrite"):
        model.write().save(path)
    model.setPredictionCol("other").write().overwrite().save(path)
    model.setPredictionCol("prediction")
    done = subprocess.run([os.environ["BDL"], "inspect", str(tmp_path / "model")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = BdlClassificationModel.load(path)
    assert loaded.getPredictionCol() == "other" and loaded.uid == model.uid and weights_of(loaded) == weights_of(model)
    assert not loaded.hasSummary
    subprocess.run(["rm", "-r", str(tmp_path / "model/metadata")], check=True)
    assert weights_of(BdlClassificationModel.load(path)) == weights_of(model)
    with pytest.raises(BdlNotFoundError, match="model.json"):
        BdlClassificationModel.load(f"file:{tmp_path}/nothing")


def test_pipelines_copies_and_cross_validation(spark, tmp_path):
    rows = frame(spark, *classes())
    estimator = classifier(epochs=1, verbose=False)
    assert "passes over the data" in estimator.explainParams()
    other = estimator.copy({estimator.epochs: 2})
    assert (estimator.getEpochs(), other.getEpochs()) == (1, 2)
    fitted = Pipeline(stages=[estimator]).fit(rows)
    fitted.write().overwrite().save(f"file:{tmp_path}/pipeline")
    loaded = PipelineModel.load(f"file:{tmp_path}/pipeline")
    assert weights_of(loaded.stages[0]) == weights_of(fitted.stages[0])
    estimator.write().save(f"file:{tmp_path}/estimator")
    assert BdlClassifier.load(f"file:{tmp_path}/estimator").getModel() == MLP
    grid = ParamGridBuilder().addGrid(estimator.optim, ["sgd(lr=1e-6)", "sgd(lr=0.1)"]).build()
    validator = CrossValidator(estimator=estimator, estimatorParamMaps=grid, numFolds=2, seed=1,
                               evaluator=MulticlassClassificationEvaluator(metricName="accuracy"))
    found = validator.fit(rows)
    assert found.avgMetrics[1] > found.avgMetrics[0]


def test_validation_is_measured_and_not_trained_on(spark, truth):
    x, y = classes()
    rows = frame(spark, np.concatenate([x, x[:200]]), np.concatenate([y, y[:200]]),
                 held=np.arange(len(y) + 200) >= len(y))
    model = classifier(validationIndicatorCol="held").fit(rows)
    assert weights_of(model) == truth(epochs=3, batch=100)
    assert 0 <= model.summary.history[-1]["val_top1"] <= 1


@pytest.mark.parametrize("keeps", [False, True])
def test_an_interrupt_ends_the_fit_and_its_job(spark, tmp_path, monkeypatch, keeps):
    sent = []

    def interrupt(*_):
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGINT))

    monkeypatch.setattr("bdl.spark._fit.PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr("bdl.spark._fit.Fit._on_progress", interrupt)
    is_lost = keeps and pyspark.__version__ < "4.1"  # PySpark's own handler fails before it raises KeyboardInterrupt
    with pytest.raises(Py4JError if is_lost else KeyboardInterrupt):
        classifier(epochs=10**6, checkpointDir=f"file:{tmp_path}/checkpoints" if keeps else "").fit(frame(spark, *classes()))
    wait_for("end of the job", lambda: not spark.sparkContext.statusTracker().getActiveJobsIds(), 20)


# ---- params ------------------------------------------------------------------------------------------------------


def test_param_maps_train_as_params_do(spark, truth):
    rows = frame(spark, *classes())
    estimator = classifier(epochs=3)
    models = estimator.fit(rows, [{estimator.epochs: 1}, {estimator.epochs: 2, estimator.predictionCol: "p"}])
    assert [weights_of(model) for model in models] == [truth(epochs=n, batch=100) for n in (1, 2)]
    assert [model.getPredictionCol() for model in models] == ["prediction", "p"]
    assert weights_of(estimator.fit(rows, {estimator.epochs: 1})) == truth(epochs=1, batch=100)
    assert estimator.getEpochs() == 3


def test_every_param_is_kept_by_a_saved_pipeline(spark, tmp_path):
    others = {TypeConverters.toInt: 7, TypeConverters.toFloat: 7.5, TypeConverters.toBoolean: True,
              TypeConverters.toListInt: [7], TypeConverters.toListString: ["seven"]}
    estimator = BdlClassifier()
    for param in estimator.params:
        estimator.set(param, others.get(param.typeConverter, "seven"))
    Pipeline(stages=[estimator]).write().save(f"file:{tmp_path}/pipeline")
    (found,) = Pipeline.load(f"file:{tmp_path}/pipeline").getStages()
    assert found.uid == estimator.uid and len(found.params) > 25
    assert {p.name: found.getOrDefault(p) for p in found.params} == {p.name: estimator.getOrDefault(p) for p in estimator.params}
    assert all(found.isSet(param) for param in found.params)


def test_a_model_is_loaded_as_what_it_is(spark, model, tmp_path):
    path = f"file:{tmp_path}/model"
    model.write().save(path)
    assert type(BdlModel.load(path)) is BdlClassificationModel
    with pytest.raises(BdlInvalidArgumentError, match="holds a BdlClassificationModel: it cannot be loaded as BdlRegressionModel"):
        BdlRegressionModel.load(path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model.json").write_text("no JSON")
    (tmp_path / "other/weights.safetensors").touch()
    with pytest.raises(BdlFormatError, match="is no saved model"):
        BdlModel.load(f"file:{tmp_path}/other")


def test_evaluators_read_the_columns(spark, model):
    two = classifier().fit(frame(spark, *classes()).where("label < 2"))
    assert BinaryClassificationEvaluator().evaluate(two.transform(frame(spark, *classes()).where("label < 2"))) > 0.8
    out = model.transform(frame(spark, *classes()))
    p = np.array([row["probability"].toArray()[row["label"]] for row in out.select("probability", "label").collect()])
    assert MulticlassClassificationEvaluator(metricName="logLoss").evaluate(out) == pytest.approx(-np.log(p).mean())


def test_threads_of_the_driver_open_models_at_the_same_time(spark, tmp_path, monkeypatch):
    """As a CrossValidator's threads do: more models than are kept."""
    monkeypatch.setattr("bdl.spark._transform.KEPT_MODELS", 1)
    models = []
    for n in range(2, 5):
        bdl.models.mlp([4], classes=n, shape=[WIDTH]).save(str(tmp_path / str(n)))
        models.append(BdlClassificationModel.load(f"file:{tmp_path}/{n}"))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda i: models[i % 3].numClasses, range(150)))
    assert found == [2, 3, 4] * 50


# ---- settings of the session -------------------------------------------------------------------------------------


@contextlib.contextmanager
def conf(spark, key, value):
    spark.conf.set(key, value)
    try:
        yield
        assert spark.conf.get(key) == value
    finally:
        spark.conf.unset(key)


def test_a_limit_of_batches_with_a_unit(spark, truth):
    with conf(spark, "spark.sql.execution.arrow.maxBytesPerBatch", "64m"):
        assert weights_of(classifier(epochs=1).fit(frame(spark, *classes()))) == truth(epochs=1, batch=100)


def test_slots_are_counted_where_settings_do_not_tell_them(spark):
    with conf(spark, "spark.sql.leafNodeDefaultParallelism", "40"):
        assert classifier(epochs=1, numWorkers=0).fit(frame(spark, *classes())).summary.workers == 2


def test_a_port_that_is_taken_costs_the_progress_only(spark, truth, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        model = classifier(epochs=1, numWorkers=1, ports=f"{port}-{port}").fit(frame(spark, *classes()))
    assert weights_of(model) == truth(epochs=1, batch=100)
    assert "bdl: no progress inside a leg: the driver cannot listen on" in capsys.readouterr().err


# ---- refusals ----------------------------------------------------------------------------------------------------


def test_wrong_labels_and_rows_are_named(spark):
    x, y = classes()
    y = y.astype(np.float64)
    y[17] = np.nan
    with pytest.raises(BdlInvalidArgumentError, match="column 'label', row .* expected a class number from 0, found nan"):
        classifier().fit(frame(spark, x, y))
    with pytest.raises(BdlInvalidArgumentError, match="found -1"):
        classifier().fit(frame(spark, x, np.full(len(x), -1)))
    x[33, 5] = np.nan
    with pytest.raises(BdlNumericError, match="column 'features', row 33 of input partition 0, value 5: expected a finite number, found nan"):
        classifier().fit(frame(spark, x, classes()[1]).coalesce(1))


def test_wrong_columns_params_and_data_are_named(spark, tmp_path):
    rows = frame(spark, *classes())
    with pytest.raises(BdlNotFoundError, match="there is no column 'x'; the columns: features, label"):
        classifier(featuresCol="x").fit(rows)
    with pytest.raises(BdlUnsupportedError, match="column 'label': expected labels of a number type, found string"):
        classifier().fit(rows.withColumn("label", F.lit("a")))
    with pytest.raises(BdlInvalidArgumentError, match="the DataFrame has no rows"):
        classifier().fit(rows.where("label > 99"))
    with pytest.raises(BdlError, match="lenett"):
        classifier(model="lenett").fit(rows)
    with pytest.raises(BdlInvalidArgumentError, match="ports: expected a range"):
        classifier(ports="x").fit(rows)
    for name, value in {"batchSize": 0, "numWorkers": -1, "threadsPerWorker": -2, "memoryLimit": -1, "numClasses": -1, "maxLostWork": 0,
                        "slotTimeout": float("nan")}.items():
        with pytest.raises(BdlInvalidArgumentError, match=f"{name}: expected .*, found {value}"):
            classifier(**{name: value}).fit(rows)
    with pytest.raises(BdlNotFoundError, match="BdlClassifier has no param 'epoch'; did you mean 'epochs'"):
        classifier(epoch=3)
    with pytest.raises(BdlNotFoundError, match="model: cannot read '.*/none.json': No such file"):
        classifier(model=f"{tmp_path}/none.json").fit(rows)
    with pytest.raises(BdlUnsupportedError, match="column 'label': expected booleans, found bigint"):
        classifier(validationIndicatorCol="label").fit(rows)
    with pytest.raises(BdlUnsupportedError, match="found a streaming DataFrame"):
        classifier().fit(spark.readStream.schema(rows.schema).parquet(str(tmp_path)))
    with pytest.raises(BdlInvalidArgumentError, match="model is not set"):
        BdlClassifier().fit(rows)
    with pytest.raises(BdlInvalidArgumentError, match="there is a column 'prediction' already"):
        BdlClassificationModel({}).transform(rows.withColumn("prediction", F.lit(1.0)))


def test_a_wrong_width_is_named(spark, model):
    x, y = classes()
    with pytest.raises(PythonException, match=r"column 'features', row 0 of input partition 0: the model takes samples of 12, 'DataFrame' gives 3"):
        model.transform(frame(spark, np.ascontiguousarray(x[:, :3]), y).coalesce(1)).collect()


@pytest.mark.parametrize("held", [False, True])
def test_rows_that_are_all_or_none_for_validation_are_named(spark, held):
    x, y = classes()
    with pytest.raises(BdlInvalidArgumentError, match=f"column 'held': expected false for rows .* found {str(held).lower()} for all 903 rows"):
        classifier(validationIndicatorCol="held").fit(frame(spark, x, y, held=np.full(len(y), held)))


def test_too_few_slots_are_counted(spark):
    with pytest.raises(BdlInvalidArgumentError, match="numWorkers asks for 3 tasks .* in 2 s the cluster offered 2 free"):
        classifier(numWorkers=3, slotTimeout=2).fit(frame(spark, *classes()))

