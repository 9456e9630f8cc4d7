# SPDX-License-Identifier: Apache-2.0
"""Goldens of single layers: the options on which frameworks differ, and every activation's formula.

layers.json lists the cases (bdl's type and parameters, PyTorch's class, training or not);
layers.safetensors holds for each case its input (or input0, input1 …), weights, grad_output in float32 and
output, grad_input, grad.<weight>, after.<running buffer> in float64.
"""
import os

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

CASES = []


class Hardsigmoid(nn.Module):
    """PyTorch's own uses the float32 value of 1/6 in its gradient, even for float64."""

    def forward(self, x):
        return (x / 6.0 + 0.5).clamp(0.0, 1.0)


def case(name, kind, shape, module, training=True, **params):
    """A case on five samples of `shape`; params are bdl's."""
    CASES.append(dict(name=name, kind=kind, shape=shape, module=module, training=training, params=params))


def conv_cases():
    def conv(name, channels, size, **params):
        case(f"conv2d_{name}", "conv2d", [channels] + size, nn.Conv2d(channels, **params), **params)

    conv("rectangle", 3, [7, 9], out_channels=5, kernel_size=[3, 2], stride=[2, 1], padding=[1, 0])
    conv("dilated", 2, [9, 8], out_channels=3, kernel_size=3, padding=2, dilation=2)
    conv("dilated_stride", 2, [11, 9], out_channels=3, kernel_size=3, stride=2, padding=1, dilation=[2, 1])
    conv("groups", 6, [5, 6], out_channels=4, kernel_size=3, padding=1, groups=2)
    conv("depthwise", 4, [6, 5], out_channels=4, kernel_size=3, stride=2, padding=1, groups=4)
    conv("depthwise_times_two", 3, [5, 5], out_channels=6, kernel_size=3, padding=1, groups=3)
    conv("no_bias", 3, [5, 5], out_channels=4, kernel_size=3, padding=1, bias=False)
    conv("one_by_one", 7, [4, 3], out_channels=9, kernel_size=1)
    conv("one_by_one_stride", 5, [5, 5], out_channels=3, kernel_size=1, stride=2)
    conv("padding_of_kernel", 2, [4, 4], out_channels=3, kernel_size=3, padding=3)
    conv("whole_plane", 3, [4, 5], out_channels=6, kernel_size=[4, 5])
    conv("winograd_edge", 16, [10, 7], out_channels=18, kernel_size=3, padding=1)


def pool_cases():
    def both(name, size, **params):
        case(f"max_pool2d_{name}", "max_pool2d", [2] + size, nn.MaxPool2d(**params), **params)
        case(f"avg_pool2d_{name}", "avg_pool2d", [2] + size, nn.AvgPool2d(**params), **params)
        padded = dict(params, count_include_pad=False)
        if "padding" in params:
            case(f"avg_pool2d_{name}_exclude_pad", "avg_pool2d", [2] + size, nn.AvgPool2d(**padded),
                 **padded)

    both("plain", [6, 5], kernel_size=2, stride=2)
    both("ceil", [7, 5], kernel_size=2, stride=2, ceil_mode=True)
    both("overlap_ceil", [8, 6], kernel_size=3, stride=2, ceil_mode=True)
    both("pad", [7, 6], kernel_size=3, stride=2, padding=1)
    both("pad_ceil", [6, 8], kernel_size=3, stride=2, padding=1, ceil_mode=True)
    # The last window would begin beyond the input and its left padding: dropped.
    both("pad_ceil_drop", [5, 7], kernel_size=2, stride=2, padding=1, ceil_mode=True)
    both("gap", [9, 8], kernel_size=2, stride=3, ceil_mode=True)
    both("rectangle", [7, 9], kernel_size=[2, 3], stride=[1, 2], padding=[0, 1])
    both("inception", [5, 5], kernel_size=3, stride=1, padding=1, ceil_mode=True)
    dilated = dict(kernel_size=3, stride=2, padding=1, dilation=2, ceil_mode=True)
    case("max_pool2d_dilated", "max_pool2d", [2, 9, 10], nn.MaxPool2d(**dilated), **dilated)
    divided = dict(kernel_size=2, stride=2, padding=1, divisor_override=3)
    case("avg_pool2d_divisor", "avg_pool2d", [2, 5, 6], nn.AvgPool2d(**divided), **divided)
    for size in (1, 3, [2, 4]):
        name = "x".join(map(str, size)) if isinstance(size, list) else size
        case(f"adaptive_avg_pool2d_{name}", "adaptive_avg_pool2d", [3, 7, 6],
             nn.AdaptiveAvgPool2d(size), output_size=size)
        case(f"adaptive_max_pool2d_{name}", "adaptive_max_pool2d", [3, 7, 6],
             nn.AdaptiveMaxPool2d(size), output_size=size)


def norm_cases():
    for name, size, extra in (("5", 5, {}), ("even", 4, {}), ("wide", 7, {"k": 2.0})):
        params = dict(size=size, alpha=0.3, beta=0.6, k=extra.get("k", 1.0))
        case(f"lrn_{name}", "lrn", [6, 3, 2], nn.LocalResponseNorm(**params), **params)
    for name, shape, module in (("2d", [3, 4, 3], nn.BatchNorm2d), ("1d", [5], nn.BatchNorm1d)):
        for training in (True, False):
            params = dict(eps=1e-3, momentum=0.3)
            case(f"batch_norm_{name}_{'train' if training else 'eval'}", "batch_norm", shape,
                 module(shape[0], **params), training, **params)
    case("batch_norm_plain", "batch_norm", [3, 4, 3], nn.BatchNorm2d(3, affine=False), True, affine=False)
    case("layer_norm_last", "layer_norm", [4, 7], nn.LayerNorm(7, eps=1e-3), normalized_shape=[7], eps=1e-3)
    case("layer_norm_image", "layer_norm", [2, 3, 4], nn.LayerNorm([3, 4]), normalized_shape=[3, 4])
    case("layer_norm_plain", "layer_norm", [9], nn.LayerNorm(9, elementwise_affine=False),
         normalized_shape=[9], elementwise_affine=False)
    case("layer_norm_no_bias", "layer_norm", [6], nn.LayerNorm(6, bias=False), normalized_shape=[6],
         bias=False)
    case("batch_norm_untracked", "batch_norm", [3, 2, 3], nn.BatchNorm2d(3, track_running_stats=False),
         False, track_running_stats=False)
    case("rms_norm", "rms_norm", [4, 5], nn.RMSNorm(5, eps=1e-3), normalized_shape=[5], eps=1e-3)
    case("group_norm", "group_norm", [6, 3, 2], nn.GroupNorm(3, 6), num_groups=3)
    case("instance_norm", "instance_norm", [3, 4, 3], nn.InstanceNorm2d(3))
    case("instance_norm_affine", "instance_norm", [3, 4, 3], nn.InstanceNorm2d(3, affine=True), affine=True)


def element_cases():
    def one(kind, module, suffix="", **params):
        case(kind + suffix, kind, [3, 5], module, **params)

    one("relu", nn.ReLU())
    one("relu6", nn.ReLU6())
    one("leaky_relu", nn.LeakyReLU())
    one("leaky_relu", nn.LeakyReLU(0.3), "_steep", negative_slope=0.3)
    one("elu", nn.ELU())
    one("elu", nn.ELU(0.6), "_alpha", alpha=0.6)
    one("gelu", nn.GELU())
    one("gelu", nn.GELU("tanh"), "_tanh", approximate="tanh")
    one("silu", nn.SiLU())
    one("sigmoid", nn.Sigmoid())
    one("tanh", nn.Tanh())
    one("softplus", nn.Softplus())
    one("softplus", nn.Softplus(3.0, 4.0), "_beta", beta=3.0, threshold=4.0)
    one("hard_tanh", nn.Hardtanh())
    one("hard_tanh", nn.Hardtanh(-0.4, 1.2), "_limits", min=-0.4, max=1.2)
    one("selu", nn.SELU())
    one("mish", nn.Mish())
    one("threshold", nn.Threshold(0.5, -0.25), threshold=0.5, value=-0.25)
    one("soft_shrink", nn.Softshrink(1.25), "_lambda", **{"lambda": 1.25})
    one("hard_shrink", nn.Hardshrink(1.25), "_lambda", **{"lambda": 1.25})
    one("hard_sigmoid", Hardsigmoid())
    one("hard_swish", nn.Hardswish())
    one("hard_shrink", nn.Hardshrink())
    one("soft_shrink", nn.Softshrink())
    one("softsign", nn.Softsign())
    one("tanh_shrink", nn.Tanhshrink())
    one("log_sigmoid", nn.LogSigmoid())
    case("softmax", "softmax", [7], nn.Softmax(1), axis=1)
    case("softmax_channels", "softmax", [4, 3, 2], nn.Softmax(1), axis=1)
    case("softmax_last", "softmax", [4, 5], nn.Softmax(-1), axis=-1)
    case("softmin", "softmin", [7], nn.Softmin(1), axis=1)
    case("log_softmax", "log_softmax", [7], nn.LogSoftmax(1), axis=1)
    case("log_softmax_channels", "log_softmax", [4, 3, 2], nn.LogSoftmax(1), axis=1)
    case("linear", "linear", [13], nn.Linear(13, 6), out_features=6)
    case("linear_no_bias", "linear", [5], nn.Linear(5, 21, bias=False), out_features=21, bias=False)


def exact(rng, shape, low, high):
    """Uniform values that float32 holds exactly, as float64."""
    return torch.from_numpy((low + (high - low) * rng.random(shape)).astype(np.float32)).double()


def given_tensors(spec, rng):
    """Weights, buffers, input and upstream gradient of a case."""
    given = {}
    for key, tensor in list(spec["module"].named_parameters()) + list(spec["module"].named_buffers()):
        if key != "num_batches_tracked":
            low, high = {"running_var": (0.5, 2.0)}.get(key, (-0.7, 0.9))
            given[key] = exact(rng, tuple(tensor.shape), low, high)
    given["input"] = exact(rng, [5] + spec["shape"], -4.0, 4.0)
    shape = tuple(spec["module"](given["input"]).shape)
    given["grad_output"] = exact(rng, shape, -1.0, 1.0)
    return given


def run_case(spec, given):
    """What the module makes of the given tensors."""
    module = spec["module"]
    with torch.no_grad():
        for key, tensor in list(module.named_parameters()) + list(module.named_buffers()):
            if key != "num_batches_tracked":
                tensor.copy_(given[key])
    module.zero_grad()
    x = given["input"].clone().requires_grad_()
    y = module(x)
    y.backward(given["grad_output"])
    made = {"output": y, "grad_input": x.grad}
    made.update({f"grad.{key}": p.grad.clone() for key, p in module.named_parameters()})
    made.update({f"after.{key}": b.clone() for key, b in module.named_buffers()
                 if key != "num_batches_tracked"})
    return {key: value.detach() for key, value in made.items()}


def unit_errors(spec, given, made, rng):
    """Largest deviation of each result when all that is given has noise of float32's rounding, plus the
    result's own rounding."""
    errors = {key: 0.0 for key in made}
    for _ in range(8):
        noisy = {key: value + 2.0 ** -24 * value.square().mean().sqrt()
                 * torch.from_numpy(rng.standard_normal(tuple(value.shape)))
                 for key, value in given.items()}
        for key, value in run_case(spec, noisy).items():
            errors[key] = max(errors[key], float((value - made[key]).abs().max()))
    return {key: [float(f"{error + 2.0 ** -24 * float(made[key].abs().max()):.2e}")]
            for key, error in errors.items()}


def longest_sum(spec, made):
    """Length of the longest sum: over a window, a group of features, or positions and samples."""
    weight = getattr(spec["module"], "weight", None)
    inner = int(np.prod(weight.shape[1:])) if weight is not None else 1
    output = made["output"]
    return max(inner, output[:, 0].numel(), output[0].numel())


def make(folder, write_json):
    conv_cases()
    pool_cases()
    norm_cases()
    element_cases()
    tensors, listing = {}, []
    for i, spec in enumerate(CASES):
        rng = np.random.default_rng(1000 + i)
        spec["module"].double().train(spec["training"])
        given = given_tensors(spec, rng)
        made = run_case(spec, given)
        for results, dtype in ((given, np.float32), (made, np.float64)):
            for key, value in results.items():
                tensors[f"{spec['name']}.{key}"] = np.ascontiguousarray(value.numpy().astype(dtype))
        listing.append({"name": spec["name"], "type": spec["kind"], "params": spec["params"],
                        "pytorch": type(spec["module"]).__name__, "training": spec["training"],
                        "longest_sum": longest_sum(spec, made),
                        "unit_error": unit_errors(spec, given, made, rng)})
    write_json(os.path.join(folder, "layers.json"), {"cases": listing})
    save_file(tensors, os.path.join(folder, "layers.safetensors"))
    print(f"layers: {len(listing)} cases")
