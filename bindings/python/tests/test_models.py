# SPDX-License-Identifier: Apache-2.0
"""Models: graphs, numbers against PyTorch's goldens, weights as views, files that the command reads."""

import copy
import gc
import json
import pickle

import numpy as np
import pytest

import bdl
from bdl import nn
from bdl.errors import BdlNotFoundError, BdlShapeError, BdlStateError, BdlUnsupportedError


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, name="conv1"), nn.Tanh(), nn.MaxPool2d(2, 2), nn.Conv2d(6, 12, 5, name="conv2"), nn.Tanh(),
        nn.MaxPool2d(2, 2), nn.Flatten(), nn.Linear(12 * 4 * 4, 100, name="fc1"), nn.Tanh(),
        nn.Linear(100, 10, name="fc2"), nn.LogSoftmax(), input_shape=(1, 28, 28),
    )


def test_lenet_gives_what_pytorch_gives(golden):
    truth = golden("lenet")
    model = lenet()
    model.load_state_dict(truth.state("init"))
    start, count = truth.info["batches"][0]
    logits = model(truth.tensors["input"][start : start + count])
    assert np.abs(logits - truth.tensors["logits"]).max() <= truth.bound("logits")
    model.load_state_dict(truth.state("final"))
    logits = model(truth.tensors["input"][start : start + count])
    assert np.abs(logits - truth.tensors["eval_logits"]).max() <= truth.bound("eval_logits") + 1e-6


def test_functional_graphs_compute_what_numpy_computes():
    x = bdl.Input((4, 3))
    flat = nn.Flatten()(x)
    shared = nn.Linear(5, name="shared")
    a = shared(flat)
    b = shared(flat * 2 + 1)
    y = nn.Concat()(a - b, nn.ReLU()(a), -a / 4, a * b)
    model = nn.Model(x, y, name="net")
    data = np.random.default_rng(1).normal(size=(33, 4, 3)).astype(np.float32)
    state = model.state_dict()
    assert list(state) == ["shared.weight", "shared.bias"]
    w, bias = (state[f"shared.{k}"].astype(np.float64) for k in ("weight", "bias"))
    rows = data.reshape(33, 12).astype(np.float64)
    one, two = rows @ w.T + bias, (rows * 2 + 1) @ w.T + bias
    truth = np.concatenate([one - two, np.maximum(one, 0), -one / 4, one * two], axis=1)
    np.testing.assert_allclose(model(data), truth, rtol=0, atol=2e-5)
    assert model.input_shapes == [(4, 3)] and model.output_shapes == [(20,)] and model.name == "net"


def test_split_has_several_outputs():
    x = bdl.Input((5,))
    parts = nn.Split([2, 3])
    symbol = parts(x)
    model = nn.Model(x, nn.Concat()(symbol.output(1), symbol.output(0)))
    np.testing.assert_array_equal(model(np.arange(5, dtype=np.float32)[None]), [[2, 3, 4, 0, 1]])


def test_a_graph_that_uses_a_foreign_input_is_refused():
    x, other = bdl.Input((5,)), bdl.Input((5,))
    with pytest.raises(ValueError, match="not among the model's inputs"):
        nn.Model(x, x + other)
    with pytest.raises(TypeError, match="symbolic"):
        nn.ReLU()(np.zeros(3))


def test_sequential_is_built_by_its_first_data():
    model = nn.Sequential(nn.Sequential(nn.Linear(4)), nn.ReLU()).add(nn.Linear(2))
    with pytest.raises(BdlStateError, match="no input shape yet"):
        model.state_dict()
    assert model(np.ones((3, 7))).shape == (3, 2)
    assert model.state_dict()["linear_1.weight"].shape == (4, 7)
    with pytest.raises(BdlStateError, match="cannot change"):
        model.add(nn.ReLU())


def test_seeds_decide_the_weights():
    one, same, other = (bdl.models.lenet(seed=s).state_dict()["fc2.weight"] for s in (1, 1, 2))
    assert (one == same).all() and (one != other).any()


def test_weights_are_views_that_keep_the_model():
    model = bdl.models.mlp(hidden=3, classes=2, shape=(4,))
    x = np.ones((2, 4), np.float32)
    before = model(x)
    state = model.state_dict()
    bias = list(state)[-1]
    state[bias][:] += [1, 2]
    assert not np.array_equal(model(x), before)
    del model, state
    view = bdl.models.lenet().state_dict()["fc2.weight"]
    gc.collect()
    assert np.isfinite(view).all()


def test_load_state_dict_takes_all_or_nothing():
    model = bdl.models.lenet()
    state = {k: v + 1 for k, v in model.state_dict().items()}
    before = {k: v.copy() for k, v in model.state_dict().items()}
    with pytest.raises(BdlNotFoundError, match="the state has no 'fc2.bias'"):
        model.load_state_dict({k: v for k, v in state.items() if k != "fc2.bias"})
    with pytest.raises(BdlNotFoundError, match="the model has no 'extra'"):
        model.load_state_dict({**state, "extra": np.zeros(1)})
    with pytest.raises(BdlShapeError, match=r"'fc2.bias': expected \(10,\), found \(3,\)"):
        model.load_state_dict({**state, "fc2.bias": np.zeros(3)})
    assert all((v == before[k]).all() for k, v in model.state_dict().items())
    model.load_state_dict(state)
    assert all((v == state[k]).all() for k, v in model.state_dict().items())


def test_saved_models_are_the_commands(tmp_path, command):
    model = lenet()
    model.save(tmp_path / "model")
    x = np.random.default_rng(2).random((3, 1, 28, 28), np.float32)
    again = bdl.load(tmp_path / "model")
    assert np.array_equal(again(x), model(x))
    assert "11 layers, 22278 weights" in command("inspect", tmp_path / "model")
    command("train", "lenet", "--data", "synthetic(count=64)", "--iterations", 2, "--save", tmp_path / "other",
            "--quiet")
    assert bdl.load(tmp_path / "other")(x).shape == (3, 10)


def test_a_broken_saved_model_is_refused(tmp_path):
    with pytest.raises(BdlNotFoundError, match="there is no saved model"):
        bdl.load(tmp_path / "nothing")
    bdl.models.lenet().save(tmp_path / "model")
    weights = tmp_path / "model/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(bdl.errors.BdlFormatError, match="damaged"):
        bdl.load(tmp_path / "model")


def test_summary_and_graph():
    model = bdl.models.lenet()
    assert "lenet: 11 layers, 22278 weights" in model.summary()
    assert json.loads(json.dumps(model.to_dict()))["nodes"][0]["type"] == "conv2d"


@pytest.mark.parametrize(
    "values, error, text",
    [
        (np.zeros((4, 28, 28)), BdlShapeError, r"x: expected \(n, 1, 28, 28\), found \(4, 28, 28\); x.reshape\(-1, 1"),
        (np.zeros((1, 28, 28)), BdlShapeError, r"for a single sample give x\[None\]"),
        (np.zeros((4, 3, 28, 28)), BdlShapeError, r"expected \(n, 1, 28, 28\), found \(4, 3, 28, 28\)"),
        (np.zeros((4, 1, 28, 28), complex), BdlUnsupportedError, "found elements of type complex128"),
        ([["a"]], BdlUnsupportedError, "expected an array of numbers"),
    ],
)
def test_wrong_inputs_say_what_was_expected_and_found(values, error, text):
    with pytest.raises(error, match=text):
        bdl.models.lenet()(values)


def test_other_layouts_and_types_of_inputs_are_converted():
    model = bdl.models.mlp(hidden=3, classes=2, shape=(4,))
    x = np.arange(24, dtype=np.float32).reshape(4, 6)[:, :4]
    expected = model(x.copy())
    for same in (x, x.astype(np.float64), x.astype(np.int32), np.asfortranarray(x), x.tolist()):
        assert np.array_equal(model(same), expected)


def test_dlpack_goes_in_without_numpy():
    class Exporter:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    model = bdl.models.lenet()
    x = np.random.default_rng(3).random((2, 1, 28, 28), np.float32)
    y = model(Exporter(x))
    assert np.array_equal(y, model(x))
    assert np.shares_memory(np.from_dlpack(y), y)


def test_weights_are_prepared_anew_only_while_somebody_may_write_them(monkeypatch):
    touched = []
    call = bdl._lib.call
    monkeypatch.setattr(bdl._lib, "call", lambda name, *rest: (touched.append(name), call(name, *rest))[1])
    model = nn.Sequential(nn.Linear(2), input_shape=(3,))
    x = np.ones((4, 3), np.float32)

    def touches():
        touched.clear()
        result = model(x)
        return touched.count("bdl_model_touch"), result

    assert touches()[0] == 0
    views = model.parameters()
    part = next(iter(views.values()))[:1]  # a view of a view
    del views
    assert touches()[0] == 1
    before = touches()[1]
    part += 1
    n, after = touches()
    assert n == 1 and not np.array_equal(before, after)
    part += 1
    del part
    n, last = touches()  # the last write still counts
    assert n == 1 and not np.array_equal(after, last)
    assert touches()[0] == 0
    model.load_state_dict(model.state_dict())
    assert [touches()[0] for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize("source", ["digits(count=40)", bdl.data.Digits(count=40)])
def test_a_reader_builds_a_sequential(source):
    def model():
        return nn.Sequential(nn.Flatten(), nn.Linear(10))

    trained = model()
    trained.fit(source, epochs=1, verbose=0)
    assert trained.input_shapes == [(1, 28, 28)]
    evaluated = model()
    assert evaluated.evaluate(bdl.data.open_data(source, "test"))["n"] == 40
    resized = model()
    resized.predict(source, transform="resize(14)")
    assert resized.input_shapes == [(1, 14, 14)]
    with pytest.raises(bdl.BdlError, match="y belongs to arrays"):
        model().fit(source, np.zeros(40, int))


def test_empty_batches_give_empty_results():
    assert bdl.models.lenet()(np.zeros((0, 1, 28, 28))).shape == (0, 10)


def test_a_closed_model_says_so():
    model = bdl.models.lenet()
    model.close()
    with pytest.raises(BdlStateError, match="closed"):
        model.summary()


def test_what_was_made_from_a_closed_model_keeps_its_memory(child):
    done = child(
        "import gc, bdl\n"
        "model = bdl.models.lenet()\n"
        "state = model.state_dict()\n"
        "before = {k: v.copy() for k, v in state.items()}\n"
        "learner = model.learner()\n"
        "model.close()\n"
        "others = [bdl.models.lenet(seed=s) for s in range(2, 6)]\n"
        "assert all((v == before[k]).all() for k, v in state.items())\n"
        "try:\n"
        "    learner.loss([[[[0.0] * 28] * 28]], [1])\n"
        "except bdl.errors.BdlStateError as error:\n"
        "    print(error)\n"
        "del learner, state\n"
        "gc.collect()\n"
        "print(model)\n"
    )
    assert (done.returncode, done.stdout) == (0, "this model is closed\n<Model, closed>\n"), done.stderr


def test_models_are_copied_and_pickled():
    x = np.random.default_rng(5).random((3, 1, 28, 28), np.float32)
    built, unbuilt = lenet(), nn.Sequential(nn.Linear(3))
    built.state_dict()["fc2.bias"][:] = 3
    built.set_trainable(False, "fc1")
    for other in (copy.deepcopy(built), pickle.loads(pickle.dumps(built))):
        assert type(other) is nn.Sequential and np.array_equal(other(x), built(x))
        assert other.to_dict() == built.to_dict()
        other.state_dict()["fc2.bias"][:] = 4
        assert (built.state_dict()["fc2.bias"] == 3).all()
    assert pickle.loads(pickle.dumps(unbuilt))(np.ones((2, 5))).shape == (2, 3)
    with pytest.raises(BdlUnsupportedError, match="neither be copied nor pickled"):
        pickle.dumps(built.learner())


def test_names_are_given_once():
    with pytest.raises(bdl.BdlError, match="two layers or inputs have the name 'a'"):
        nn.Sequential(nn.Linear(3, name="a"), nn.Linear(3, name="a"), input_shape=(4,))
    x = bdl.Input((4,))
    with pytest.raises(ValueError, match="given twice"):
        nn.Model([x, x], nn.Linear(3)(x))


def test_numbers_stand_before_symbols():
    x = bdl.Input((3,))
    data = np.array([[1, 2, 4]], np.float32)
    np.testing.assert_allclose(nn.Model(x, nn.Concat()(1 - x, 2 / x))(data), [[0, -1, -3, 2, 1, 0.5]])
    for wrong in (lambda: x + None, lambda: data * x, lambda: x / "2"):
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.parametrize("shape", [4, "ab", (4.5,), (None, 3)])
def test_shapes_are_whole_numbers(shape):
    with pytest.raises(BdlUnsupportedError, match="an input's shape is whole numbers"):
        nn.Sequential(nn.Linear(3), input_shape=shape)


def test_misuse_of_graphs_is_named():
    x = bdl.Input((4,))
    with pytest.raises(BdlShapeError, match=r"sizes must be at least 1, got \(0,\)"):
        bdl.Input((0,))
    with pytest.raises(BdlShapeError, match=r"built for samples of shape \(1, 28, 28\), not \(5,\)"):
        lenet().build((5,))
    with pytest.raises(TypeError, match="made from symbolic tensors .* got a ndarray"):
        nn.Model(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="inputs are what bdl.Input gives"):
        nn.Model(nn.ReLU()(x), nn.ReLU()(x))
    with pytest.raises(TypeError, match="Linear is called on symbolic tensors .* got a int"):
        nn.Linear(3)(3)
    with pytest.raises(TypeError, match="layers one by one.* got the class ReLU"):
        nn.Sequential(nn.ReLU)
    with pytest.raises(BdlUnsupportedError, match="whole number, got 1.5"):
        nn.Sequential(nn.Linear(3), input_shape=(4,), seed=1.5)
    with pytest.raises(bdl.BdlError, match="Dropout: p must be a finite number, got nan"):
        nn.Dropout(float("nan"))
    with pytest.raises(BdlUnsupportedError, match="Conv2d: stride: expected a number.* got {1}"):
        nn.Conv2d(3, 3, stride={1})
    with pytest.raises(BdlUnsupportedError, match=r"got the class Zeros: write Zeros\(...\)"):
        nn.Linear(3, weight_init=bdl.init.Zeros)
