# SPDX-License-Identifier: Apache-2.0
"""Models: graphs, numbers against PyTorch's goldens, weights as views, files that the command reads."""

import gc
import json

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


def test_empty_batches_give_empty_results():
    assert bdl.models.lenet()(np.zeros((0, 1, 28, 28))).shape == (0, 10)


def test_a_closed_model_says_so():
    model = bdl.models.lenet()
    model.close()
    with pytest.raises(BdlStateError, match="closed"):
        model.summary()
