# SPDX-License-Identifier: Apache-2.0
"""fit, evaluate and predict: the command's bits, callbacks, checkpoints, Ctrl-C, kinds of data, and mistakes."""

import json
import types

import numpy as np
import pytest

import bdl
from bdl import nn
from bdl.errors import BdlInvalidArgumentError, BdlNotFoundError, BdlNumericError, BdlShapeError, BdlUnsupportedError
from conftest import read_safetensors


@pytest.fixture(scope="module")
def rows():
    """Two classes that a line divides, and noise."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] > 0).astype(np.int64)


def small(seed=1):
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2),
                         input_shape=(6,), seed=seed)


def same_bits(one, other):
    a, b = one.state_dict(), other.state_dict()
    assert list(a) == list(b)
    return all(np.array_equal(a[k], b[k]) for k in a)


def test_lenet_has_the_bits_that_the_command_trains(tmp_path, command):
    options = {"epochs": 1, "batch": 100, "optim": "sgd(lr=0.05, momentum=0.9)", "seed": 5}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    command("train", "lenet", "--data", "digits(count=2000)", *flags, "--save", tmp_path / "command", "--quiet")
    truth = read_safetensors(tmp_path / "command/weights.safetensors")
    model = bdl.models.lenet(seed=5)
    history = model.fit(bdl.data.Digits(count=2000), epochs=1, batch_size=100, seed=5, verbose=0,
                        optimizer=bdl.optim.SGD(lr=0.05, momentum=0.9))
    state = model.state_dict()
    assert sorted(state) == sorted(truth)
    assert all(np.array_equal(state[name], truth[name]) for name in truth)
    assert history.reason == "epochs" and len(history.fingerprint) == 64
    model.save(tmp_path / "python")
    found = json.loads(command("eval", tmp_path / "python", "--data", "digits(count=500)", "--json").splitlines()[-1])
    own = model.evaluate(bdl.data.Digits(count=500))
    assert own["top1"] == pytest.approx(found["top1"]) and own["n"] == found["n"]


def test_shards_have_the_bits_that_the_command_trains(rows, tmp_path, command):
    np.save(tmp_path / "x.npy", rows[0])
    np.save(tmp_path / "y.npy", rows[1])
    small().save(tmp_path / "start")
    command("train", tmp_path / "start", "--data", f"npy:{tmp_path}/x.npy,{tmp_path}/y.npy", "--epochs", 2, "--batch", 100, "--shards", 3,
            "--save", tmp_path / "command", "--quiet")
    truth = read_safetensors(tmp_path / "command/weights.safetensors")
    model, other = small(), small()
    model.fit(*rows, epochs=2, batch_size=100, shards=3, verbose=0)
    other.fit(*rows, epochs=2, batch_size=100, verbose=0)
    assert all(np.array_equal(value, truth[name]) for name, value in model.state_dict().items())
    assert not all(np.array_equal(value, truth[name]) for name, value in other.state_dict().items())
    with pytest.raises(BdlInvalidArgumentError, match="a batch of 100 samples cannot be cut into 8 shards of 16 or more: use at most 7"):
        model.fit(*rows, batch_size=100, shards=8, verbose=0)


def test_arrays_batches_and_files_train_the_same_bits(rows, tmp_path):
    x, y = rows
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    order = np.random.default_rng(1).permutation(len(x))
    ways = [
        (x, y),
        (np.asfortranarray(x), y.astype(np.uint8)),
        (x[order], y[order]),  # the order of training follows from the rows
        ([(x[i : i + 37], y[i : i + 37]) for i in range(0, 300, 37)].__iter__(), None),
        ([(x[:100], y[:100]), (x[100:], y[100:])], None),
        (x.astype(">f4"), y.astype(">i8")),
        (np.repeat(x, 2, axis=1)[:, ::2], y[::-1][::-1]),
        (bdl.data.from_batches(((x[i : i + 50], y[i : i + 50]) for i in range(0, 300, 50)), memory_limit=4096), None),
        (f"npy:{tmp_path}/x.npy,{tmp_path}/y.npy", None),
    ]
    models = []
    for data, labels in ways:
        models.append(small())
        models[-1].fit(data, labels, epochs=2, batch_size=32, verbose=0)
    assert all(same_bits(models[0], m) for m in models[1:])
    other = small()
    other.fit(x, y, epochs=2, batch_size=32, verbose=0, seed=2)
    assert not same_bits(models[0], other)


def test_batches_beyond_the_memory_limit_go_to_a_file(rows):
    x, y = rows
    data = bdl.data.from_batches([(x, y)], memory_limit=1000)
    assert len(data) == 300 and data.classes == 2 and data.spilled_size > 0


def test_it_learns_and_says_so(rows, capsys):
    x, y = rows
    model = small()
    history = model.fit(x[:200], y[:200], epochs=40, batch_size=20, validation_data=(x[200:], y[200:]),
                        optimizer=bdl.optim.Adam(lr=0.02), metrics=["top1"], loss=bdl.losses.CrossEntropyLoss())
    assert history.epochs[-1]["val_top1"] > 0.9
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 40 and lines[0].startswith("epoch 1/40: loss ") and "val_top1" in lines[0]
    found = model.evaluate(x[200:], y[200:], metrics=bdl.metrics.Top1())
    scores = model.predict(x[200:])
    assert found["top1"] == pytest.approx((scores.argmax(1) == y[200:]).mean())
    exact = np.exp(scores.astype(np.float64))
    truth = -np.log(exact / exact.sum(1, keepdims=True))[np.arange(100), y[200:]].mean()
    assert found["loss"] == pytest.approx(truth, rel=1e-5)
    np.testing.assert_allclose(model.predict_proba(x[200:]), exact / exact.sum(1, keepdims=True), atol=1e-6)
    assert np.array_equal(model.predict(x[200:], batch_size=7), scores)


def test_numbers_can_be_learned():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 3)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.25
    model = nn.Sequential(nn.Linear(1), input_shape=(3,))
    model.fit(x, y, epochs=60, batch_size=40, optimizer="sgd(lr=0.1)", loss=bdl.losses.MSELoss(), verbose=0)
    state = model.state_dict()
    np.testing.assert_allclose(state["linear_1.weight"], [[1, -2, 0.5]], atol=1e-4)
    np.testing.assert_allclose(state["linear_1.bias"], [0.25], atol=1e-4)
    assert model.evaluate(x, y[:, 0], metrics="mae")["mae"] < 1e-3


@pytest.mark.parametrize("last, loss", [([nn.Sigmoid()], bdl.losses.BCELoss()), ([], bdl.losses.BCEWithLogitsLoss())])
def test_a_single_output_learns_labels_of_two_kinds(rows, last, loss):
    x, y = rows
    model = nn.Sequential(nn.Linear(1), *last, input_shape=(6,))
    model.fit(x, y, epochs=20, batch_size=20, loss=loss, optimizer=bdl.optim.Adam(lr=0.05), verbose=0)
    chances = model.predict_proba(x)
    assert chances.shape == (300, 1) and chances.min() >= 0 and chances.max() <= 1
    assert ((chances[:, 0] > 0.5) == y).mean() > 0.95


def test_an_autoencoder_needs_no_labels():
    x = np.random.default_rng(3).random((64, 1, 4, 4), np.float32)
    model = bdl.models.autoencoder(bottleneck=8, shape=(1, 4, 4))
    history = model.fit(x, target="input", epochs=3, batch_size=16, verbose=0)
    assert len(history.epochs) == 3 and model.predict(x).shape == x.shape


def test_a_sequential_without_shape_is_built_by_fit(rows):
    model = nn.Sequential(nn.Linear(4), nn.ReLU(), nn.Linear(2))
    model.fit(*rows, epochs=1, verbose=0)
    assert model.input_shapes == [(6,)]


def test_callbacks_see_every_event_and_can_stop(rows):
    class Recorder(bdl.callbacks.Callback):
        def __init__(self):
            self.seen = []

        def on_train_begin(self, model):
            self.seen.append("begin")

        def on_step(self, iteration, values):
            self.seen.append(iteration)

        def on_epoch_end(self, epoch, values):
            self.seen.append(f"epoch {epoch}")
            if epoch == 2:
                raise bdl.StopTraining

        def on_train_end(self, history):
            self.seen.append(history.reason)

    recorder = Recorder()
    model = small()
    history = model.fit(*rows, epochs=9, batch_size=150, callbacks=[recorder], verbose=0)
    assert recorder.seen == ["begin", 1, 2, "epoch 1", 3, 4, "epoch 2", "stopped"]
    assert len(history.epochs) == 2
    two = small()
    two.fit(*rows, epochs=2, batch_size=150, verbose=0)
    assert same_bits(model, two)
    for stop in (lambda epoch, values: epoch < 3, lambda epoch, values: np.float64(epoch) < 3):
        assert len(small().fit(*rows, epochs=9, callbacks=stop, verbose=0).epochs) == 3


def test_callbacks_are_used_again(rows):
    class Stopper(bdl.callbacks.Callback):
        def on_epoch_end(self, epoch, values):
            self.stop = epoch == 2

        def on_train_end(self, history):
            raise bdl.StopTraining

    stopper = Stopper()
    assert [len(small().fit(*rows, epochs=9, callbacks=stopper, verbose=0).epochs) for _ in range(2)] == [2, 2]


def test_a_model_is_trained_by_one_fit_at_a_time(rows):
    model = small()
    with pytest.raises(bdl.errors.BdlStateError, match="being trained already"):
        model.fit(*rows, epochs=1, verbose=0, callbacks=lambda epoch, values: model.fit(*rows, verbose=0) and None)
    other = small()
    assert model.fit(*rows, epochs=1, verbose=0, callbacks=lambda epoch, values: other.fit(*rows, verbose=0) and None)


def test_errors_in_callbacks_come_out(rows):
    def broken(epoch, values):
        raise KeyError("mine")

    model = small()
    with pytest.raises(KeyError, match="mine"):
        model.fit(*rows, epochs=3, callbacks=broken, verbose=0)
    assert model.fit(*rows, epochs=1, verbose=0).reason == "epochs"


def test_checkpoints_resume_to_the_same_bits(rows, tmp_path):
    paths = []

    class Paths(bdl.callbacks.Callback):
        def on_checkpoint(self, path):
            paths.append(path)

    whole, parts = small(), small()
    schedule = bdl.schedules.Warmup(3).then(bdl.schedules.Cosine(30))
    whole.fit(*rows, epochs=4, batch_size=40, schedule=schedule, verbose=0)
    parts.fit(*rows, epochs=2, batch_size=40, schedule=schedule, verbose=0, checkpoint=tmp_path, callbacks=[Paths()])
    fresh = small(seed=9)
    history = fresh.fit(*rows, epochs=4, batch_size=40, schedule=schedule, verbose=0, checkpoint=tmp_path, resume=True)
    assert same_bits(whole, fresh) and not same_bits(whole, parts)
    assert len(history.epochs) == 2 and len(paths) == 2 and history.checkpoint


def test_frozen_layers_stay(rows):
    first = nn.Linear(6, 5).freeze()
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(2), input_shape=(6,))
    before = {k: v.copy() for k, v in model.state_dict().items()}
    model.fit(*rows, epochs=1, verbose=0)
    changed = [k for k, v in model.state_dict().items() if not np.array_equal(v, before[k])]
    assert changed == ["linear_3.weight", "linear_3.bias"]
    model.set_trainable(False)
    after = {k: v.copy() for k, v in model.state_dict().items()}
    copy = model.clone()
    model.set_trainable(True, "linear_1")
    model.fit(*rows, epochs=1, verbose=0)
    changed = [k for k, v in model.state_dict().items() if not np.array_equal(v, after[k])]
    assert changed == ["linear_1.weight", "linear_1.bias"]
    assert all(np.array_equal(v, after[k]) for k, v in copy.state_dict().items())


def test_running_statistics_are_part_of_the_state(rows, tmp_path):
    model = small()
    model.fit(*rows, epochs=1, verbose=0)
    state = model.state_dict()
    assert "batch_norm_2.running_mean" in state and not (state["batch_norm_2.running_mean"] == 0).all()
    other = small(seed=4)
    other.load_state_dict(state)
    assert np.array_equal(other.predict(rows[0]), model.predict(rows[0]))


@pytest.mark.parametrize(
    "change, error, text",
    [
        (lambda x, y: (x, np.where(np.arange(300) == 7, 2, y)), BdlInvalidArgumentError, "row 7: .* from 0 to 1, found 2"),
        (lambda x, y: (x, y - 1), BdlInvalidArgumentError, "class number from 0 to 1, found -1"),
        (lambda x, y: (np.where(np.arange(6) == 3, np.nan, x), y), BdlNumericError, "row 0, column 3: nan"),
        (lambda x, y: (x, y.astype(str)), BdlUnsupportedError, "y: expected an array of numbers, found .* <U"),
        (lambda x, y: (x, y.astype(float)), BdlUnsupportedError, "class numbers of an integer type .* found float64"),
        (lambda x, y: (x, np.where(np.eye(2)[y] > 0, np.nan, 0)), BdlNumericError, "row 0, .*nan"),
        (lambda x, y: (x, None), BdlInvalidArgumentError, "no labels"),
        (lambda x, y: (x.astype(complex), y), BdlUnsupportedError, "x: .* complex128"),
        (lambda x, y: (x[:0], y[:0]), BdlInvalidArgumentError, "there are no samples"),
        (lambda x, y: (iter([]), None), BdlInvalidArgumentError, "there are no batches"),
        (lambda x, y: (x, y[:9]), BdlShapeError, "expected 300 labels, one for each sample, found shape \\(9,\\)"),
        (lambda x, y: (iter([(x, y), (x[:, :3], y)]), None), BdlShapeError, "batch 1: expected samples of shape \\(6,\\)"),
        (lambda x, y: (iter([(x, y, y)]), None), BdlInvalidArgumentError, "a batch is \\(x, y\\) or x"),
        (lambda x, y: ("mnist:/nowhere", None), BdlNotFoundError, "/nowhere"),
        (lambda x, y: (np.ma.masked_greater(x, 1), y), BdlUnsupportedError, "masked values"),
        (lambda x, y: (None, y), BdlUnsupportedError, "x: expected an array of numbers, found a NoneType"),
        (lambda x, y: ([x, y], None), BdlShapeError, r"differ in shape; samples with labels are given as \(x, y\)"),
        (lambda x, y: (bdl.data.from_arrays(x, y), y), BdlInvalidArgumentError, "y belongs to arrays; a Data brings"),
        (lambda x, y: (iter([x]), y), BdlInvalidArgumentError, "y belongs to arrays; a list_iterator brings"),
    ],
)
def test_wrong_data_are_named(rows, change, error, text):
    x, y = change(*rows)
    with pytest.raises(error, match=text):
        small().fit(x, y, epochs=1, verbose=0)


def test_samples_of_another_shape_name_both(rows):
    x, y = rows
    with pytest.raises(BdlShapeError, match=r"4.*6|6.*4"):
        small().fit(x[:, :4], y, epochs=1, verbose=0)
    with pytest.raises(BdlShapeError, match=r"4.*6|6.*4"):
        small().predict(x[:, :4])


def test_unknown_options_offer_the_nearest(rows):
    with pytest.raises(BdlNotFoundError, match="precision"):
        small().fit(*rows, precison="fp32", verbose=0)
    with pytest.raises(BdlNotFoundError, match="no metric is named 'accuracy'; there are: .*top1"):
        small().fit(*rows, metrics="accuracy", validation_data=rows, verbose=0)
    with pytest.raises(bdl.BdlError, match="sgd"):
        small().fit(*rows, optimizer="sdg(lr=1)", verbose=0)
    for wrong, right in [("batchsize", "batch_size"), ("optimiser", "optimizer"), ("validation_date", "validation_data")]:
        with pytest.raises(BdlNotFoundError, match=f"no option '{wrong}'; did you mean '{right}'"):
            small().fit(*rows, **{wrong: 3}, verbose=0)
    with pytest.raises(BdlUnsupportedError, match="callback: .*; did you mean 'callbacks'"):
        small().fit(*rows, callback=print, verbose=0)
    with pytest.raises(BdlNotFoundError, match="did you mean 'batch_size'"):
        small().predict(rows[0], batchsize=3)


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"optimizer": bdl.optim.SGD}, BdlUnsupportedError, r"optim: .*got the class SGD: write SGD\(...\)"),
        ({"loss": len}, BdlUnsupportedError, "loss: expected a number, a text .* got <built-in function len>"),
        ({"callbacks": [3]}, BdlUnsupportedError, "callbacks: expected objects of bdl.callbacks.Callback .* got 3"),
        ({"callbacks": bdl.callbacks.Callback}, BdlUnsupportedError, "callbacks: expected objects"),
        ({"checkpoint": 3}, TypeError, "PathLike"),
        ({"resume": True}, BdlInvalidArgumentError, "give checkpoint="),
        ({"epochs": 0}, BdlInvalidArgumentError, "epochs is 0, and neither iterations nor until"),
    ],
)
def test_wrong_options_are_named(rows, options, error, text):
    with pytest.raises(error, match=text):
        small().fit(*rows, verbose=0, **options)


def test_errors_of_generators_come_out(rows):
    def batches():
        yield rows
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        small().fit(batches(), verbose=0)


def test_a_loss_that_is_no_number_ends_training(rows):
    with pytest.raises(BdlNumericError, match="loss"):
        small().fit(rows[0] * 1e18, rows[1], optimizer="sgd(lr=1e30)", epochs=5, batch_size=30, verbose=0)


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import bdl
model = bdl.models.lenet()
x = np.random.default_rng(1).random((4000, 1, 28, 28), np.float32)
y = np.arange(4000) % 10
started = threading.Event()

class Begin(bdl.callbacks.Callback):
    def on_train_begin(self, model):
        started.set()

def interrupt():
    started.wait()
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    model.fit(x, y, epochs=1000000, callbacks=[Begin()], verbose=0, checkpoint=sys.argv[1] if len(sys.argv) > 1 else None)
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted")
print(model.fit(x[:128], y[:128], epochs=1, verbose=0).reason)
"""


def test_ctrl_c_ends_training_and_the_model_goes_on(child):
    done = child(INTERRUPTED)
    assert done.stdout.split("\n")[:2] == ["interrupted", "epochs"], done.stdout + done.stderr


# Six times the same layer of 9.4 million weights: an iteration of 1.4 million million operations.
SLOW = """
import os, signal, sys, threading, time
import numpy as np
import bdl
from bdl import nn
x = start = bdl.Input((1024, 16, 16))
layer = nn.Conv2d(1024, 3, padding=1)
for _ in range(6):
    x = layer(x)
model = nn.Model(start, nn.Linear(10)(nn.Flatten()(x)))
source, labels = np.ones((16, 1024, 16, 16), np.float32), np.arange(16) % 10
begun, done = threading.Event(), []

def interrupt():
    begun.wait()
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
"""


def test_ctrl_c_gives_up_a_long_iteration(child, tmp_path):
    script = SLOW + """
class Watch(bdl.callbacks.Callback):
    def on_train_begin(self, model):
        begun.set()

    def on_step(self, iteration, values):
        done.append(iteration)

try:
    model.fit(source, labels, epochs=1, batch_size=16, precision="fp32_exact", callbacks=[Watch()], verbose=0,
              checkpoint=os.environ["FOLDER"])
except KeyboardInterrupt:
    print("interrupted", done, os.listdir(os.environ["FOLDER"]) if os.path.isdir(os.environ["FOLDER"]) else [])
"""
    result = child(script, FOLDER=str(tmp_path / "checkpoints"))
    assert result.stdout == "interrupted [] []\n", result.stdout + result.stderr


def test_ctrl_c_gives_up_a_long_loss(child):
    script = SLOW + """
learner = model.learner(loss="cross_entropy", precision="fp32_exact")
begun.set()
try:
    print(learner.loss(source, labels))
except KeyboardInterrupt:
    print("interrupted", max(np.abs(g).max() for g in learner.gradients().values()))
"""
    assert child(script).stdout == "interrupted 0.0\n"


# A fit on another thread, which must go on while the main thread's fit is being ended: that one then waits for it.
BESIDE = """
import os, signal, threading
import numpy as np
import bdl
from bdl import nn
x, y = np.random.default_rng(1).random((64, 5), np.float32), np.arange(64) % 3
counted, is_over, results = threading.Semaphore(0), threading.Event(), []

class Other(bdl.callbacks.Callback):
    def on_step(self, iteration, values):
        counted.release()
        return not is_over.is_set()

class Ending(bdl.callbacks.Callback):
    def on_step(self, iteration, values):
        if os.environ["HOW"] == "stop":
            return False
        if iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)

    def on_checkpoint(self, path):
        while counted.acquire(blocking=False):
            pass
        for _ in range(3):
            print("the other goes on:", counted.acquire(timeout=60))

def run():
    try:
        results.append(nn.Sequential(nn.Linear(3), input_shape=(5,)).fit(
            x, y, epochs=1000000, batch_size=16, callbacks=[Other()], verbose=0).reason)
    except BaseException as error:
        results.append(repr(error))

other = threading.Thread(target=run)
other.start()
counted.acquire()
try:
    history = nn.Sequential(nn.Linear(3), input_shape=(5,)).fit(
        x, y, epochs=1000000, batch_size=16, callbacks=[Ending()], checkpoint=os.environ["FOLDER"], verbose=0)
    print(history.reason)
except KeyboardInterrupt:
    print("interrupted")
is_over.set()
other.join()
print(results)
"""


@pytest.mark.parametrize(("how", "end"), [("stop", "stopped"), ("interrupt", "interrupted")])
def test_the_end_of_a_fit_leaves_others_alone(child, tmp_path, how, end):
    done = child(BESIDE, HOW=how, FOLDER=str(tmp_path / "checkpoints"))
    seen = done.stdout.split("\n")
    assert seen == ["the other goes on: True"] * 3 + [end, "['stopped']", ""], done.stdout + done.stderr


def test_a_second_ctrl_c_does_not_leave_a_call_behind(child):
    """The call works in arrays that are freed when the exception has passed."""
    script = """
import os, signal, time
import numpy as np
import bdl
from bdl import nn
from bdl._context import long_call
model, ended = nn.Sequential(nn.Linear(2), input_shape=(3,)), []

def call():
    for _ in range(3):
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.3)
    ended.append(True)

try:
    long_call(model._handle, call)
except KeyboardInterrupt:
    print("interrupted", ended, model.predict(np.ones((4, 3), np.float32)).shape)
"""
    result = child(script)
    assert result.stdout == "interrupted [True] (4, 2)\n", result.stdout + result.stderr


# Ctrl-C before the nth line of the package that a fit runs on the main thread; then a second one while it is being ended.
ANYWHERE = """
import sys, threading, time
import numpy as np
import bdl
from bdl import _context, _training, nn
files = _context.__file__, _training.__file__
x, y = np.random.default_rng(1).random((64, 5), np.float32), np.arange(64) % 3
model = nn.Sequential(nn.Linear(3), input_shape=(5,))

def interrupt_at(n):
    passed = 0

    def trace(frame, event, argument):
        nonlocal passed
        if frame.f_code.co_filename not in files or frame.f_code.co_name == "_free":
            return None  # what is raised where objects are freed is only printed
        passed += event == "line"
        if passed == n:
            raise KeyboardInterrupt  # which ends tracing
        return trace

    sys.settrace(trace)

class Watch(bdl.callbacks.Callback):
    def on_step(self, iteration, values):
        pass

def fit_again():
    for _ in range(600):
        try:
            return model.fit(x, y, epochs=1, verbose=0).reason
        except bdl.errors.BdlStateError:  # the fit before is still ending, by itself
            time.sleep(0.1)

finish = _context._Call.finish
for second in (0, 1, 3, 6, 10):
    def finish_interrupted(call):
        if second:
            interrupt_at(second)
        finish(call)

    _context._Call.finish = finish_interrupted
    for first in range(1, 70):
        try:
            interrupt_at(first)
            model.fit(x, y, epochs=1000000, batch_size=16, callbacks=Watch(), verbose=0)
        except KeyboardInterrupt:
            sys.settrace(None)
        assert fit_again() == "epochs", (first, second)
print("went on")
"""


def test_ctrl_c_may_come_at_any_line_of_a_fit(child):
    done = child(ANYWHERE, timeout=120)
    assert done.stdout == "went on\n", done.stdout + done.stderr


@pytest.mark.parametrize("call", ["forward", "predict"])
def test_ctrl_c_ends_computing(child, call):
    done = child(
        "import os, signal, threading, time, numpy as np, bdl\n"
        "model = bdl.models.lenet()\n"
        "x = np.zeros((100000, 1, 28, 28), np.float32)\n"
        "threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "n = 0\n"
        "try:\n"
        "    while True:\n"
        f"        model.{call}(x)\n"
        "        n += 1\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
        f"print(model.{call}(x[:3]).shape)\n"
    )
    assert done.stdout == "interrupted\n(3, 10)\n", done.stdout + done.stderr


def test_ctrl_c_ends_one_long_call_of_forward(child):
    """As soon as a sixteenth of the batch takes, or a few of those."""
    done = child(
        "import os, signal, threading, time, numpy as np, bdl\n"
        "from bdl import nn\n"
        "convs = [nn.Conv2d(64, 3, padding=1) for _ in range(5)]\n"
        "model = bdl.Sequential(*convs, input_shape=(3, 64, 64))\n"
        "x = np.zeros((256, 3, 64, 64), np.float32)\n"
        "def seconds(n):\n"
        "    begin = time.monotonic()\n"
        "    try:\n"
        "        model(x[:n])\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted')\n"
        "    return time.monotonic() - begin\n"
        "seconds(256)\n"
        "whole = seconds(256)\n"
        "threading.Timer(whole / 16, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "print(seconds(256) < whole / 2)\n"
        "print(model(x[:3]).shape)\n"
    )
    assert done.stdout == "interrupted\nTrue\n(3, 64, 64, 64)\n", done.stdout + done.stderr


def test_training_works_on_another_thread(rows):
    import threading

    results = []
    model = small()
    thread = threading.Thread(target=lambda: results.append(model.fit(*rows, epochs=2, verbose=0, callbacks=print)))
    thread.start()
    thread.join()
    assert len(results[0].epochs) == 2


def test_callbacks_may_use_the_model(rows):
    found = []
    model = small()
    history = model.fit(*rows, epochs=2, batch_size=50, validation_data=rows, verbose=0,
                        callbacks=lambda epoch, values: found.append((model.evaluate(*rows)["loss"], values["val_loss"])))
    assert len(found) == 2 and all(own == pytest.approx(told) for own, told in found)
    assert model.evaluate(*rows)["loss"] == pytest.approx(history.epochs[-1]["val_loss"])


def test_progress_is_redrawn_on_a_terminal_only(child):
    program = (
        "import os, pty, sys\n"
        "out = []\n"
        "def read(fd):\n"
        "    out.append(os.read(fd, 1024))\n"
        "    return b'.'\n"
        "code = \"import bdl; bdl.models.lenet().fit('digits(count=2000)', epochs=1)\"\n"
        "pty.spawn([sys.executable, '-c', code], read)\n"
        "print()\n"
        "print(repr(b''.join(out).decode()))\n"
    )
    line = child(program).stdout.splitlines()[-1]
    assert "\\repoch 1/1: loss " in line and "epoch 1: step 1/" in line and line.endswith("\\r\\n'")
    plain = child("import bdl\nbdl.models.lenet().fit('digits(count=2000)', epochs=1)").stdout
    assert plain.startswith("epoch 1/1: loss ") and "\r" not in plain and plain.count("\n") == 1


def test_progress_tells_how_far_a_validation_is(capsys):
    progress = bdl.callbacks.Progress()
    progress.is_terminal = True
    progress.validating(types.SimpleNamespace(step=128, steps=1000))
    progress.validating(types.SimpleNamespace(step=256, steps=1000))  # too soon
    assert capsys.readouterr().out == "validating: 128/1000 samples"


def test_samples_of_a_reader_as_arrays():
    data = bdl.data.open_data(bdl.data.Digits(count=50), "train")
    x, y = data.to_numpy()
    assert x.shape == (50, 1, 28, 28) and x.dtype == np.float32 and x.max() > 100 and set(y) <= set(range(10))
    some, labels = data.to_numpy(10, 5)
    np.testing.assert_array_equal(some, x[10:15])
    np.testing.assert_array_equal(labels, y[10:15])
    with pytest.raises(bdl.BdlError, match="not among 50"):
        data.to_numpy(48, 3)
