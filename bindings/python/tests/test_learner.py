# SPDX-License-Identifier: Apache-2.0
"""Training by hand against PyTorch's goldens: logits, every gradient, ten losses, the weights after ten steps."""

import numpy as np
import pytest

import bdl
from bdl import nn
from bdl.errors import BdlShapeError

NETS = ["lenet", "mlp", "residual"]


def open_net(truth):
    """The net by functional calls, from the golden's list of nodes."""
    by_type = {getattr(nn, n)._type: getattr(nn, n) for n in nn._layers}
    symbols = {"input": bdl.Input(truth.info["shape"], "input")}
    for node in truth.graph["nodes"]:
        kind = by_type[node["type"]]
        layer = kind.__new__(kind)
        nn.Layer.__init__(layer, node["name"], node["params"])
        symbols[node["name"]] = layer(*(symbols[i] for i in node["inputs"]))
    model = nn.Model(symbols["input"], symbols[truth.graph["nodes"][-1]["name"]])
    model.load_state_dict(truth.state("init"))
    return model


def batches(truth):
    x, y = truth.tensors["input"], truth.tensors["target"]
    spans = truth.info["batches"]
    for i in range(truth.info["n_steps"]):
        start, count = spans[i % len(spans)]
        yield x[start : start + count], y[start : start + count]


@pytest.mark.parametrize("name", NETS)
def test_ten_steps_are_pytorchs(golden, name):
    truth = golden(name)
    model = open_net(truth)
    criterion = truth.info["criterion"]
    learner = model.learner(truth.info["optim"], criterion["type"])
    assert not criterion["params"]
    losses = []
    for i, (x, y) in enumerate(batches(truth)):
        learner.zero_grad()
        losses.append(learner.loss(x, y))
        if i == 0:
            for key, grad in learner.gradients().items():
                error = np.abs(grad - truth.tensors[f"grad.{key}"]).max()
                assert error <= truth.bound(f"grad.{key}"), key
        learner.step()
    bounds = 2 * truth.info["longest_sum"] ** 0.5 * np.array(truth.info["unit_error"]["losses"])
    assert (np.abs(losses - truth.tensors["losses"]) <= bounds).all()
    for key, values in model.state_dict().items():
        assert np.abs(values - truth.tensors[f"final.{key}"]).max() <= truth.bound(f"final.{key}"), key


def test_forward_and_backward_are_pytorchs(golden):
    truth = golden("lenet")
    model = open_net(truth)
    x, y = next(batches(truth))
    learner = model.learner("sgd(lr=0.05)")
    logits = learner.forward(x)
    assert np.abs(logits - truth.tensors["logits"]).max() <= truth.bound("logits")
    grad = np.zeros_like(logits)
    grad[np.arange(len(y)), y] = -1 / len(y)  # of the mean negative log-likelihood
    by_input = learner.backward(grad)
    assert np.abs(by_input - truth.tensors["grad.input"]).max() <= truth.bound("grad.input")
    for key, values in learner.gradients().items():
        assert np.abs(values - truth.tensors[f"grad.{key}"]).max() <= truth.bound(f"grad.{key}"), key


def test_what_dropout_drops_reaches_other_layers():
    x = bdl.Input((3, 5), "input")
    relu = nn.ReLU()(x)
    turned = nn.Flatten()(nn.Transpose((1, 2))(relu))
    dropped = nn.Flatten()(nn.Dropout(0.5)(relu))
    model = nn.Model(x, nn.Concat(1)(turned, dropped))
    rng = np.random.default_rng(3)
    values = rng.normal(size=(20, 3, 5)).astype(np.float32)
    learner = model.learner("sgd(lr=0.1)")
    outputs = learner.forward(values)
    kept = (outputs[:, 15:] != 0).reshape(values.shape)
    grad = rng.normal(size=outputs.shape).astype(np.float32)
    truth = (values > 0) * grad[:, :15].reshape(-1, 5, 3).transpose(0, 2, 1) + kept * 2 * grad[:, 15:].reshape(values.shape)
    assert (~kept & (values > 0)).any()
    assert np.abs(learner.backward(grad) - truth).max() < 1e-5


def test_gradients_add_up_and_can_be_changed():
    model = nn.Sequential(nn.Linear(1, bias=False), input_shape=(2,))
    model.state_dict()["linear_1.weight"][:] = [[1, 2]]
    learner = model.learner(bdl.optim.SGD(lr=0.5), bdl.losses.MSELoss())
    x = np.array([[1, 0], [0, 1]], np.float32)
    first = learner.loss(x, np.zeros((2, 1), np.float32))
    assert first == pytest.approx((1 + 4) / 2)
    once = learner.gradients()["linear_1.weight"].copy()
    np.testing.assert_allclose(once, [[1, 2]])
    learner.loss(x, np.zeros((2, 1), np.float32))
    np.testing.assert_allclose(learner.gradients()["linear_1.weight"], 2 * once)
    learner.gradients()["linear_1.weight"][:] = [[1, 0]]
    learner.step()
    np.testing.assert_allclose(model.state_dict()["linear_1.weight"], [[0.5, 2]])
    learner.zero_grad()
    learner.gradients()["linear_1.weight"][:] = [[0, 1]]
    learner.step(lr=2)
    np.testing.assert_allclose(model.state_dict()["linear_1.weight"], [[0.5, 0]])


def test_misuse_is_named():
    learner = nn.Sequential(nn.Linear(2), input_shape=(3,)).learner()
    with pytest.raises(BdlShapeError, match=r"x: expected \(n, 3\), found \(4, 5\)"):
        learner.loss(np.zeros((4, 5)), np.zeros(4, int))
    with pytest.raises(BdlShapeError, match="expected 4 labels"):
        learner.loss(np.zeros((4, 3)), np.zeros(3, int))
    with pytest.raises(bdl.BdlError):
        learner.backward(np.zeros((4, 2)))
    learner.forward(np.zeros((4, 3)))
    with pytest.raises(BdlShapeError, match="expected 4 samples as in forward, found 3"):
        learner.backward(np.zeros((3, 2)))
    with pytest.raises(bdl.BdlError, match="2"):
        learner.loss(np.zeros((1, 3)), np.array([2]))
    for lr in (0, -1, float("nan")):
        with pytest.raises(bdl.BdlError, match="lr must be a finite number above 0"):
            learner.step(lr=lr)
    with pytest.raises(bdl.BdlError, match="did you mean 'clip'"):
        nn.Sequential(nn.Linear(2), input_shape=(3,)).learner(clipp="norm(1)")
