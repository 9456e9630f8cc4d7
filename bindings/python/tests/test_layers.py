# SPDX-License-Identifier: Apache-2.0
"""Generated classes: PyTorch's names, argument names and order, and what becomes of them."""

import inspect

import numpy as np
import pytest

import bdl
from bdl import nn

# Arguments as in PyTorch's documentation, up to where bdl leaves some out.
PYTORCH = {
    "Conv2d": ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"],
    "Linear": ["in_features", "out_features", "bias"],
    "MaxPool2d": ["kernel_size", "stride", "padding", "dilation"],
    "AvgPool2d": ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"],
    "AdaptiveAvgPool2d": ["output_size"],
    "BatchNorm2d": ["num_features", "eps", "momentum", "affine", "track_running_stats"],
    "GroupNorm": ["num_groups", "num_channels", "eps", "affine"],
    "InstanceNorm2d": ["num_features", "eps"],
    "LayerNorm": ["normalized_shape", "eps", "elementwise_affine", "bias"],
    "RMSNorm": ["normalized_shape", "eps", "elementwise_affine"],
    "LocalResponseNorm": ["size", "alpha", "beta", "k"],
    "Dropout": ["p"],
    "Flatten": ["start_dim", "end_dim"],
    "ConstantPad2d": ["padding", "value"],
    "ReLU": ["inplace"],
    "LeakyReLU": ["negative_slope", "inplace"],
    "ELU": ["alpha", "inplace"],
    "GELU": ["approximate"],
    "Hardtanh": ["min_val", "max_val"],
    "Softshrink": ["lambd"],
    "Softplus": ["beta", "threshold"],
    "Threshold": ["threshold", "value"],
    "Softmax": ["dim"],
    "LogSoftmax": ["dim"],
}
OPTIMIZERS = {
    "SGD": {"lr", "momentum", "dampening", "weight_decay", "nesterov"},
    "Adam": {"lr", "betas", "eps", "weight_decay", "amsgrad"},
    "AdamW": {"lr", "betas", "eps", "weight_decay", "amsgrad"},
    "Adamax": {"lr", "betas", "eps", "weight_decay"},
    "RMSprop": {"lr", "alpha", "eps", "weight_decay", "momentum", "centered"},
    "Adagrad": {"lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"},
    "Adadelta": {"lr", "rho", "eps", "weight_decay"},
}


@pytest.mark.parametrize("name", PYTORCH)
def test_arguments_are_pytorchs(name):
    names = list(inspect.signature(getattr(nn, name)).parameters)
    assert names[: len(PYTORCH[name])] == PYTORCH[name]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_arguments_are_pytorchs(name):
    assert set(inspect.signature(getattr(bdl.optim, name)).parameters) == OPTIMIZERS[name]


def test_losses_have_pytorchs_names():
    for name in ("CrossEntropyLoss", "NLLLoss", "MSELoss", "L1Loss", "SmoothL1Loss", "BCELoss", "BCEWithLogitsLoss"):
        assert name in bdl.losses.__all__


@pytest.mark.parametrize(
    "layer, params",
    [
        (nn.Conv2d(3, 64, 3, padding=1), {"in_channels": 3, "out_channels": 64, "kernel_size": 3}),
        (nn.Conv2d(3, 64, (3, 5)), {"in_channels": 3, "out_channels": 64, "kernel_size": [3, 5]}),
        (nn.Conv2d(3, 64, kernel_size=3), {"in_channels": 3, "out_channels": 64, "kernel_size": 3}),
        (nn.Conv2d(64, 3), {"out_channels": 64, "kernel_size": 3}),
        (nn.Conv2d(64, kernel_size=3), {"out_channels": 64, "kernel_size": 3}),
        (nn.Conv2d(out_channels=64, kernel_size=3), {"out_channels": 64, "kernel_size": 3}),
        (nn.Linear(784, 10), {"in_features": 784, "out_features": 10}),
        (nn.Linear(10), {"out_features": 10}),
        (nn.LocalResponseNorm(5), {"alpha": 1e-4}),  # PyTorch's default; bdl's own is 1
        (nn.LocalResponseNorm(5, alpha=1), {}),
        (nn.ReLU(True), {}),
        (nn.Dropout(0.25, inplace=True), {"p": 0.25}),
        (nn.GroupNorm(4), {"num_groups": 4}),
        (nn.GroupNorm(4, 32), {"num_groups": 4, "num_channels": 32}),
    ],
)
def test_arguments_become_parameters(layer, params):
    inferred = {"in_channels", "in_features", "num_channels", "inplace", "alpha"}
    assert {k: v for k, v in layer.params.items() if k in params or k in inferred} == params


def test_a_missing_argument_is_named():
    with pytest.raises(TypeError, match="Conv2d needs out_channels and kernel_size"):
        nn.Conv2d()
    with pytest.raises(TypeError, match="kernal_size"):
        nn.Conv2d(3, 64, kernal_size=3)


def test_wrong_parameters_name_the_layer_and_the_limit():
    with pytest.raises(bdl.BdlError, match=r"conv2d.*stride must be .*got 0"):
        nn.Sequential(nn.Conv2d(8, 3, stride=0), input_shape=(1, 9, 9))
    with pytest.raises(bdl.errors.BdlShapeError, match="conv2d 'first': in_channels is 3, but the input has 1"):
        nn.Sequential(nn.Conv2d(3, 6, 5, name="first"), input_shape=(1, 28, 28))
    with pytest.raises(bdl.errors.BdlShapeError, match="linear 'linear_1': in_features is 5, but .* 7"):
        nn.Sequential(nn.Linear(5, 2), input_shape=(7,))
    for layer in (nn.BatchNorm2d(5), nn.InstanceNorm2d(5)):
        with pytest.raises(bdl.errors.BdlShapeError, match="num_features is 5, but the input has 4 channels"):
            nn.Sequential(layer, input_shape=(4, 3, 3))
    with pytest.raises(bdl.errors.BdlShapeError, match="num_channels is 5, but the input has 4 channels"):
        nn.Sequential(nn.GroupNorm(2, 5), input_shape=(4, 3, 3))


def test_texts_are_what_the_command_reads():
    assert str(bdl.optim.SGD(lr=0.1, momentum=0.9)).startswith("sgd(lr=0.1, momentum=0.9")
    assert "beta1=0.8, beta2=0.99" in str(bdl.optim.Adam(betas=(0.8, 0.99)))
    warm = bdl.schedules.Warmup(5).then(bdl.schedules.Cosine(95))
    assert str(warm).startswith("warmup(length=5") and " then cosine(length=95" in str(warm)
    assert str(bdl.data.Csv("a.csv", label="x'y")).startswith("csv:a.csv(label='x\\'y'")
    assert "weights='0.5,2'" in str(bdl.losses.CrossEntropyLoss(weight=[0.5, 2]))
    assert "weights='0.5,2.0'" in str(bdl.losses.CrossEntropyLoss(weight=np.array([0.5, 2])))
    assert "std=0.1" in nn.Linear(3, weight_init=bdl.init.Normal(std=0.1)).params["weight_init"]


def test_every_class_of_layers_has_a_docstring_and_builds_its_text():
    for name in nn._layers:
        layer = getattr(nn, name)
        assert layer.__doc__ and len(layer.__doc__) > 20, name
    for module in (bdl.init, bdl.losses, bdl.metrics, bdl.optim, bdl.schedules, bdl.transforms):
        for name in module.__all__:
            described = getattr(module, name)
            assert described.__doc__.splitlines()[0].endswith("."), name


def test_initializers_reach_the_weights():
    model = nn.Sequential(nn.Linear(4, weight_init=bdl.init.Constant(0.5), bias_init="zeros"), input_shape=(3,))
    state = model.state_dict()
    assert (state["linear_1.weight"] == 0.5).all() and (state["linear_1.bias"] == 0).all()
