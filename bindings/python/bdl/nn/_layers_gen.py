# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""The layers, with PyTorch's names and arguments where it has them."""

from __future__ import annotations

from typing import Literal

from bdl._described import Ints, Text, joined, shifted
from bdl._graph import Layer

__all__ = [
    "Abs",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "Add",
    "AddConstant",
    "AvgPool2d",
    "BatchNorm2d",
    "Clamp",
    "Concat",
    "Conv2d",
    "Div",
    "Dropout",
    "ELU",
    "Erf",
    "Exp",
    "Expm1",
    "Flatten",
    "Floor",
    "GELU",
    "GradientReversal",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "InstanceNorm2d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Log",
    "Log1p",
    "LogSigmoid",
    "LogSoftmax",
    "LocalResponseNorm",
    "MaxPool2d",
    "Maximum",
    "Minimum",
    "Mish",
    "Mul",
    "MulConstant",
    "Narrow",
    "Negative",
    "ConstantPad2d",
    "Permute",
    "Power",
    "PReLU",
    "Reciprocal",
    "ReLU",
    "ReLU6",
    "Reshape",
    "RMSNorm",
    "Select",
    "SELU",
    "Sigmoid",
    "SiLU",
    "Softshrink",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softsign",
    "Dropout2d",
    "Split",
    "Sqrt",
    "Square",
    "Squeeze",
    "Sub",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "Transpose",
    "Unsqueeze",
]


class Abs(Layer):
    """Absolute value.

    |x|, any shape; the gradient at 0 is 0.
    """

    _type = "abs"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class AdaptiveAvgPool2d(Layer):
    """Average of each window, the planes being cut into a given number of windows.

    (c, h, w) -> (c, oh, ow) with (oh, ow) = output_size. Window i of an axis is [floor(i n / o), ceil((i + 1) n /
    o)). output_size 1 is the mean of the plane (global average pooling).

    Args:
        output_size: Size of the output: one number, or height, width. 1 pools whole planes.
    """

    _type = "adaptive_avg_pool2d"
    _defaults = {"output_size": 1}

    def __init__(self, output_size: Ints = 1, *, name: str | None = None) -> None:
        super().__init__(name, {"output_size": output_size})


class AdaptiveMaxPool2d(Layer):
    """Maximum of each window, the planes being cut into a given number of windows.

    (c, h, w) -> (c, oh, ow) with (oh, ow) = output_size. Window i of an axis is [floor(i n / o), ceil((i + 1) n /
    o)). output_size 1 is the maximum of the plane.

    Args:
        output_size: Size of the output: one number, or height, width. 1 pools whole planes.
    """

    _type = "adaptive_max_pool2d"
    _defaults = {"output_size": 1}

    def __init__(self, output_size: Ints = 1, *, name: str | None = None) -> None:
        super().__init__(name, {"output_size": output_size})


class Add(Layer):
    """Sum of tensors.

    x1 + x2 + ..., one or more inputs; axes of size 1 repeat.
    """

    _type = "add"
    _ports = "input..."

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class AddConstant(Layer):
    """Adds a number.

    x + constant, any shape.

    Args:
        constant: The number.
    """

    _type = "add_constant"

    def __init__(self, constant: float, *, name: str | None = None) -> None:
        super().__init__(name, {"constant": constant})


class AvgPool2d(Layer):
    """Average of each window of a plane.

    (c, h, w) -> (c, oh, ow) with oh = floor((h + 2 padding - kernel_size) / stride) + 1, ow likewise; ceil_mode
    rounds up and drops a last window that would begin behind the input. The sum over the window's positions in the
    input is divided by divisor_override if that is given, else by the window's size in the padded input
    (count_include_pad), else by the number of its positions in the input.

    Args:
        kernel_size: Size of the window: one number, or height, width.
        stride: Step between windows; kernel_size where it is not given.
        padding: Positions added on each side, at most half of the window.
        ceil_mode: Round the output's size up: windows may reach beyond the padding.
        count_include_pad: Divide by the window's size in the padded input, not in the input alone.
        divisor_override: Divide by this instead; 0 means the window's size.
    """

    _type = "avg_pool2d"
    _defaults = {
        "padding": 0,
        "ceil_mode": False,
        "count_include_pad": True,
        "divisor_override": 0,
    }

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int = 0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "ceil_mode": ceil_mode,
            "count_include_pad": count_include_pad,
            "divisor_override": divisor_override,
        })


class BatchNorm2d(Layer):
    """Normalizes each channel over the batch and its positions.

    (c) or (c, ...) -> the same: y = (x - mean) / sqrt(variance + eps) * weight + bias. In training mean and
    variance (divided by n) are those of the batch, and the running statistics follow them, the variance divided by
    n - 1; in evaluation they are the running statistics. One value a channel (a batch of one vector) has no
    variance: then training uses the running statistics too. Serves 1-d (BatchNorm1d) and planes (BatchNorm2d,
    BatchNorm3d). Ioffe and Szegedy 2015.

    Args:
        num_features: Channels of the input; 0 takes them from the input.
        eps: Added to the variance.
        momentum: Share of the newest batch, or of the old value, in the running statistics.
        affine: Scale by a learned weight and add a learned bias, one of each a channel.
        track_running_stats: Keep running statistics for evaluation; without them evaluation uses the batch's
            own.
        momentum_kind: new: running = (1 - momentum) running + momentum batch (Torch, PyTorch); old: running =
            momentum running + (1 - momentum) batch (Caffe, Keras).
        weight_init: Initializer of the weight.
        bias_init: Initializer of the bias.
    """

    _type = "batch_norm"
    _defaults = {
        "eps": 1e-05,
        "momentum": 0.1,
        "affine": True,
        "track_running_stats": True,
        "momentum_kind": "new",
        "weight_init": "ones",
        "bias_init": "zeros",
    }

    def __init__(
        self,
        num_features: int | None = None,
        eps: float = 1e-05,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        momentum_kind: Literal["new", "old"] = "new",
        weight_init: Text = "ones",
        bias_init: Text = "zeros",
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {
            "num_features": num_features,
            "eps": eps,
            "momentum": momentum,
            "affine": affine,
            "track_running_stats": track_running_stats,
            "momentum_kind": momentum_kind,
            "weight_init": joined(weight_init),
            "bias_init": joined(bias_init),
        })


class Clamp(Layer):
    """Limits to a range.

    min(max(x, min), max), any shape; the gradient is 0 at and beyond the limits.

    Args:
        min: Least output.
        max: Largest output.
    """

    _type = "clamp"

    def __init__(self, min: float, max: float, *, name: str | None = None) -> None:
        super().__init__(name, {"min": min, "max": max})


class Concat(Layer):
    """Puts tensors behind each other along an axis.

    (a, h, w), (b, h, w) -> (a + b, h, w) with axis=1; one or more inputs.

    Args:
        dim: Axis along which inputs follow each other.
    """

    _type = "concat"
    _ports = "input..."
    _defaults = {"axis": 1}

    def __init__(self, dim: int = 1, *, name: str | None = None) -> None:
        super().__init__(name, {"axis": dim})


class Conv2d(Layer):
    """Two-dimensional convolution with learned kernels.

    dst[o,y,x] = bias[o] + sum over c, i, j of weight[o,c,i,j] * src[c, y*stride - padding + i*dilation, x*stride -
    padding + j*dilation]. Input (in_channels, h, w), output (out_channels, oh, ow) with oh = (h + 2 padding -
    dilation (kernel_size - 1) - 1) / stride + 1; weight (out_channels, in_channels / groups, kh, kw), bias
    (out_channels). By default both are drawn from U(-1/sqrt(f), 1/sqrt(f)), f = in_channels / groups kh kw.

    Args:
        in_channels: Channels of the input; 0 takes them from the input.
        out_channels: Channels of the output.
        kernel_size: Height and width of the kernel, or one number for both.
        stride: Rows and columns from an output to the next.
        padding: Rows of zeros above and below, and columns left and right.
        dilation: Rows and columns from a kernel element to the next.
        groups: Groups of channels that do not mix; as many as channels is a depthwise convolution.
        bias: Whether a bias is added.
        pad_mode: 'same' pads so that the output has ceil(input / stride) rows and columns; an odd zero goes
            below or right.
        propagate_back: Whether the input gets a gradient; without, it gets zeros.
        weight_init: Initialiser of the weights.
        bias_init: Initialiser of the bias.
    """

    _type = "conv2d"
    _defaults = {
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
        "bias": True,
        "pad_mode": "given",
        "propagate_back": True,
        "weight_init": "torch",
        "bias_init": "torch",
    }

    def __init__(
        self,
        in_channels: int | None = None,
        out_channels: int | None = None,
        kernel_size: Ints | None = None,
        stride: Ints = 1,
        padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        pad_mode: Literal["given", "same"] = "given",
        propagate_back: bool = True,
        weight_init: Text = "torch",
        bias_init: Text = "torch",
        *,
        name: str | None = None,
    ) -> None:
        in_channels, out_channels, kernel_size = shifted(
            "Conv2d", ("out_channels", "kernel_size"), (in_channels, out_channels, kernel_size)
        )
        super().__init__(name, {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "bias": bias,
            "pad_mode": pad_mode,
            "propagate_back": propagate_back,
            "weight_init": joined(weight_init),
            "bias_init": joined(bias_init),
        })


class Div(Layer):
    """Quotient of two tensors, element by element.

    x1 / x2; axes of size 1 repeat.
    """

    _type = "div"
    _ports = "input,other"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Dropout(Layer):
    """Sets random elements to zero in training.

    x / (1 - p) or, with probability p, 0; any shape. In evaluation x. Srivastava et al. 2014.

    Args:
        p: Probability that an element becomes 0.
        scale: Divide what stays by 1 - p in training; else multiply by 1 - p in evaluation.
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "dropout"
    _defaults = {"p": 0.5, "scale": True}

    def __init__(
        self,
        p: float = 0.5,
        scale: bool = True,
        inplace: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {"p": p, "scale": scale})


class ELU(Layer):
    """Exponential linear unit.

    x above zero, alpha (e^x - 1) below; any shape. Clevert, Unterthiner and Hochreiter 2016.

    Args:
        alpha: The output's limit at minus infinity is -alpha.
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "elu"
    _defaults = {"alpha": 1.0}

    def __init__(self, alpha: float = 1.0, inplace: bool = False, *, name: str | None = None) -> None:
        super().__init__(name, {"alpha": alpha})


class Erf(Layer):
    """Error function.

    2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x, any shape.
    """

    _type = "erf"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Exp(Layer):
    """Exponential function.

    e^x, any shape.
    """

    _type = "exp"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Expm1(Layer):
    """Exponential less one.

    e^x - 1, exact near zero; any shape.
    """

    _type = "expm1"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Flatten(Layer):
    """Merges axes.

    (a, b, c) -> (a b c); axes start_axis to end_axis become one.

    Args:
        start_dim: First axis to merge.
        end_dim: Last axis to merge.
    """

    _type = "flatten"
    _defaults = {"start_axis": 1, "end_axis": -1}

    def __init__(self, start_dim: int = 1, end_dim: int = -1, *, name: str | None = None) -> None:
        super().__init__(name, {"start_axis": start_dim, "end_axis": end_dim})


class Floor(Layer):
    """Rounds down.

    The largest whole number not above x, any shape; the gradient is 0.
    """

    _type = "floor"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class GELU(Layer):
    """Gaussian error linear unit.

    x Phi(x), Phi being the standard normal distribution; with approximate=tanh x/2 (1 + tanh(sqrt(2/pi) (x +
    0.044715 x^3))). Any shape. Hendrycks and Gimpel 2016.

    Args:
        approximate: The exact normal distribution (none), or its fit by tanh.
    """

    _type = "gelu"
    _defaults = {"approximate": "none"}

    def __init__(self, approximate: Literal["none", "tanh"] = "none", *, name: str | None = None) -> None:
        super().__init__(name, {"approximate": approximate})


class GradientReversal(Layer):
    """Turns the gradient around.

    x; backward multiplies the gradient by -lambda. Any shape. Ganin et al. 2016.

    Args:
        lambd: Backward multiplies by -lambda.
    """

    _type = "gradient_reversal"
    _defaults = {"lambda": 1.0}

    def __init__(self, lambd: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name, {"lambda": lambd})


class GroupNorm(Layer):
    """Normalizes each sample over groups of channels and all their positions.

    (c, ...) -> the same: y = (x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the variance
    (divided by n) over the c / num_groups channels of a group, and one weight and bias a channel. Wu and He 2018.

    Args:
        num_groups: Number of groups, a divisor of the number of channels.
        num_channels: Channels of the input; 0 takes them from the input.
        eps: Added to the variance.
        affine: Scale by a learned weight and add a learned bias, one of each a channel.
    """

    _type = "group_norm"
    _defaults = {"eps": 1e-05, "affine": True}

    def __init__(
        self,
        num_groups: int,
        num_channels: int | None = None,
        eps: float = 1e-05,
        affine: bool = True,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {
            "num_groups": num_groups,
            "num_channels": num_channels,
            "eps": eps,
            "affine": affine,
        })


class Hardshrink(Layer):
    """Zero near zero.

    0 where |x| <= lambda, else x; any shape.

    Args:
        lambd: Half the width of the zone around zero that gives zero.
    """

    _type = "hard_shrink"
    _defaults = {"lambda": 0.5}

    def __init__(self, lambd: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name, {"lambda": lambd})


class Hardsigmoid(Layer):
    """Sigmoid of three straight lines.

    min(max(slope x + 1/2, 0), 1), any shape.

    Args:
        slope: Slope at zero; BigDL and Keras have 0.2.
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "hard_sigmoid"
    _defaults = {"slope": 0.16666666666666666}

    def __init__(
        self,
        slope: float = 0.16666666666666666,
        inplace: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {"slope": slope})


class Hardswish(Layer):
    """x times a sigmoid of three straight lines.

    x min(max(x + 3, 0), 6) / 6, any shape. Howard et al. 2019.

    Args:
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "hard_swish"

    def __init__(self, inplace: bool = False, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Hardtanh(Layer):
    """Limits to a range.

    min(max(x, min), max), any shape; the gradient is 0 at and beyond the limits.

    Args:
        min_val: Least output.
        max_val: Largest output.
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "hard_tanh"
    _defaults = {"min": -1.0, "max": 1.0}

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {"min": min_val, "max": max_val})


class Identity(Layer):
    """Passes its input on.

    x, any shape.
    """

    _type = "identity"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class InstanceNorm2d(Layer):
    """Normalizes each channel of each sample over its positions.

    (c, ...) -> the same: y = (x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the variance
    (divided by n) over the positions of a channel. Also InstanceNorm1d and InstanceNorm3d. Ulyanov, Vedaldi and
    Lempitsky 2016.

    Args:
        num_features: Channels of the input; 0 takes them from the input.
        eps: Added to the variance.
        affine: Scale by a learned weight and add a learned bias, one of each a channel.
    """

    _type = "instance_norm"
    _defaults = {"eps": 1e-05, "affine": False}

    def __init__(
        self,
        num_features: int | None = None,
        eps: float = 1e-05,
        affine: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {"num_features": num_features, "eps": eps, "affine": affine})


class LayerNorm(Layer):
    """Normalizes each sample over its last axes.

    (..., normalized_shape) -> the same: y = (x - mean) / sqrt(variance + eps) * weight + bias, with the mean and
    the variance (divided by n) over the normalized axes of the sample. Ba, Kiros and Hinton 2016.

    Args:
        normalized_shape: Sizes of the last axes, which are normalized together; the last axis where it is not
            given.
        eps: Added to the variance.
        elementwise_affine: Scale by a learned weight, one for each normalized position.
        bias: Add a learned bias too (with elementwise_affine).
    """

    _type = "layer_norm"
    _defaults = {"eps": 1e-05, "elementwise_affine": True, "bias": True}

    def __init__(
        self,
        normalized_shape: Ints | None = None,
        eps: float = 1e-05,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {
            "normalized_shape": normalized_shape,
            "eps": eps,
            "elementwise_affine": elementwise_affine,
            "bias": bias,
        })


class LeakyReLU(Layer):
    """ReLU with a slope below zero.

    x above zero, negative_slope x below; any shape. A negative slope keeps the input for backward.

    Args:
        negative_slope: Slope below zero.
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "leaky_relu"
    _defaults = {"negative_slope": 0.01}

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False, *, name: str | None = None) -> None:
        super().__init__(name, {"negative_slope": negative_slope})


class Linear(Layer):
    """Matrix product with learned weights over the last axis.

    y = x W^T + b. Input (..., in_features), output (..., out_features); weight (out_features, in_features), bias
    (out_features). By default both are drawn from U(-1/sqrt(in_features), 1/sqrt(in_features)).

    Args:
        in_features: Features of the input; 0 takes them from the input.
        out_features: Features of the output.
        bias: Whether a bias is added.
        weight_init: Initialiser of the weights.
        bias_init: Initialiser of the bias.
    """

    _type = "linear"
    _defaults = {"bias": True, "weight_init": "torch", "bias_init": "torch"}

    def __init__(
        self,
        in_features: int | None = None,
        out_features: int | None = None,
        bias: bool = True,
        weight_init: Text = "torch",
        bias_init: Text = "torch",
        *,
        name: str | None = None,
    ) -> None:
        in_features, out_features = shifted(
            "Linear", ("out_features",), (in_features, out_features)
        )
        super().__init__(name, {
            "in_features": in_features,
            "out_features": out_features,
            "bias": bias,
            "weight_init": joined(weight_init),
            "bias_init": joined(bias_init),
        })


class Log(Layer):
    """Natural logarithm.

    log(x), any shape; minus infinity at 0, not a number below.
    """

    _type = "log"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Log1p(Layer):
    """Logarithm of one plus x.

    log(1 + x), exact near zero; any shape.
    """

    _type = "log1p"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class LogSigmoid(Layer):
    """Logarithm of the logistic function.

    -log(1 + e^-x), any shape, without overflow.
    """

    _type = "log_sigmoid"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class LogSoftmax(Layer):
    """Logarithm of softmax.

    x - log(sum(e^x)) along the axis, any shape; the largest x is taken off first.

    Args:
        dim: Axis along which values sum to one; 0 is the batch, 1 the sample's first.
    """

    _type = "log_softmax"
    _defaults = {"axis": -1}

    def __init__(self, dim: int = -1, *, name: str | None = None) -> None:
        super().__init__(name, {"axis": dim})


class LocalResponseNorm(Layer):
    """Divides each value by a power of the mean square of its neighbors in other channels.

    (c, ...) -> the same: y[c] = x[c] / (k + alpha / size * sum of x[i]^2)^beta, i running from c - size / 2 to c +
    (size - 1) / 2 as far as there are channels. Krizhevsky, Sutskever and Hinton 2012.

    Args:
        size: Channels of the window.
        alpha: Factor of the window's mean square.
        beta: The power.
        k: Added to the mean square.
    """

    _type = "lrn"
    _defaults = {"size": 5, "alpha": 1, "beta": 0.75, "k": 1.0}

    def __init__(
        self,
        size: int = 5,
        alpha: float = 0.0001,
        beta: float = 0.75,
        k: float = 1.0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {"size": size, "alpha": alpha, "beta": beta, "k": k})


class MaxPool2d(Layer):
    """Maximum of each window of a plane.

    (c, h, w) -> (c, oh, ow) with oh = floor((h + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, ow
    likewise; ceil_mode rounds up and drops a last window that would begin behind the input. Of equal maxima the
    first gets the gradient; a NaN is a maximum.

    Args:
        kernel_size: Size of the window: one number, or height, width.
        stride: Step between windows; kernel_size where it is not given.
        padding: Positions added on each side, at most half of the window.
        dilation: Step between the positions of a window.
        ceil_mode: Round the output's size up: windows may reach beyond the padding.
    """

    _type = "max_pool2d"
    _defaults = {"padding": 0, "dilation": 1, "ceil_mode": False}

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "ceil_mode": ceil_mode,
        })


class Maximum(Layer):
    """Largest of tensors, element by element.

    max(x1, x2, ...), one or more inputs; axes of size 1 repeat. Of equal ones the first gets the gradient.
    """

    _type = "maximum"
    _ports = "input..."

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Minimum(Layer):
    """Smallest of tensors, element by element.

    min(x1, x2, ...), one or more inputs; axes of size 1 repeat. Of equal ones the first gets the gradient.
    """

    _type = "minimum"
    _ports = "input..."

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Mish(Layer):
    """x times tanh of its softplus.

    x tanh(log(1 + e^x)), any shape. Misra 2020.

    Args:
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "mish"

    def __init__(self, inplace: bool = False, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Mul(Layer):
    """Product of tensors, element by element.

    x1 x2 ..., one or more inputs; axes of size 1 repeat.
    """

    _type = "mul"
    _ports = "input..."

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class MulConstant(Layer):
    """Multiplies by a number.

    constant x, any shape.

    Args:
        constant: The number.
    """

    _type = "mul_constant"

    def __init__(self, constant: float, *, name: str | None = None) -> None:
        super().__init__(name, {"constant": constant})


class Narrow(Layer):
    """Keeps a range of an axis.

    Positions offset to offset + length - 1 of the axis.

    Args:
        dim: Axis to cut.
        start: First position that stays; a negative one counts from the end.
        length: Number of positions that stay; -1 means all that follow.
    """

    _type = "narrow"
    _defaults = {"length": 1}

    def __init__(self, dim: int, start: int, length: int = 1, *, name: str | None = None) -> None:
        super().__init__(name, {"axis": dim, "offset": start, "length": length})


class Negative(Layer):
    """Changes the sign.

    -x, any shape.
    """

    _type = "negative"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class ConstantPad2d(Layer):
    """Adds positions at the ends of axes.

    PyTorch's order: padding before and behind the last axis, then the one before it; (c, h, w) -> (c, h + top +
    bottom, w + left + right) for left, right, top, bottom.

    Args:
        padding: Positions to add before and behind the last axis, then the one before it, and so on; negative
            numbers cut off.
        value: What new positions hold.
    """

    _type = "pad"
    _defaults = {"value": 0.0}

    def __init__(self, padding: Ints, value: float = 0.0, *, name: str | None = None) -> None:
        super().__init__(name, {"padding": padding, "value": value})


class Permute(Layer):
    """Puts axes into a new order.

    Output axis i is input axis axes[i].

    Args:
        dims: All axes of the input in their new order; the batch, 0, may lead the list.
    """

    _type = "permute"

    def __init__(self, dims: Ints, *, name: str | None = None) -> None:
        super().__init__(name, {"axes": dims})


class Power(Layer):
    """Power of a scaled and shifted input.

    (shift + scale x)^power, any shape; not a number where the base is negative and the power is not a whole number.

    Args:
        exponent: Exponent.
        scale: Factor of the input.
        shift: Added to the scaled input.
    """

    _type = "power"
    _defaults = {"scale": 1.0, "shift": 0.0}

    def __init__(self, exponent: float, scale: float = 1.0, shift: float = 0.0, *, name: str | None = None) -> None:
        super().__init__(name, {"power": exponent, "scale": scale, "shift": shift})


class PReLU(Layer):
    """ReLU with a learned slope below zero.

    (c, ...) -> the same: y = x above zero, else weight x; weight (num_parameters), one for all or one for each
    channel. Torch writes nOutputPlane = 0 for one weight. He, Zhang, Ren and Sun 2015.

    Args:
        num_parameters: Number of slopes: 1 for all values, or as many as channels.
        weight_init: Initialiser of the slopes.
    """

    _type = "prelu"
    _defaults = {"num_parameters": 1, "weight_init": "constant(0.25)"}

    def __init__(
        self,
        num_parameters: int = 1,
        weight_init: Text = "constant(0.25)",
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {"num_parameters": num_parameters, "weight_init": joined(weight_init)})


class Reciprocal(Layer):
    """One over x.

    1 / x, any shape.
    """

    _type = "reciprocal"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class ReLU(Layer):
    """Zero below zero.

    max(x, 0), any shape.

    Args:
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "relu"

    def __init__(self, inplace: bool = False, *, name: str | None = None) -> None:
        super().__init__(name, {})


class ReLU6(Layer):
    """ReLU that stops at six.

    min(max(x, 0), 6), any shape.

    Args:
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "relu6"

    def __init__(self, inplace: bool = False, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Reshape(Layer):
    """Gives a sample another shape.

    The elements keep their row-major order.

    Args:
        shape: New shape of a sample; -1, once, stands for what is left, 0 for the size that the axis had.
    """

    _type = "reshape"

    def __init__(self, shape: Ints, *, name: str | None = None) -> None:
        super().__init__(name, {"shape": shape})


class RMSNorm(Layer):
    """Divides each sample by the root of its mean square over the last axes.

    (..., normalized_shape) -> the same: y = x / sqrt(mean(x^2) + eps) * weight, the mean being over the normalized
    axes of the sample. Zhang and Sennrich 2019.

    Args:
        normalized_shape: Sizes of the last axes, which are normalized together; the last axis where it is not
            given.
        eps: Added to the mean square; 2^-23 by default.
        elementwise_affine: Scale by a learned weight, one for each normalized position.
    """

    _type = "rms_norm"
    _defaults = {"eps": 1.1920928955078125e-07, "elementwise_affine": True}

    def __init__(
        self,
        normalized_shape: Ints | None = None,
        eps: float = 1.1920928955078125e-07,
        elementwise_affine: bool = True,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {
            "normalized_shape": normalized_shape,
            "eps": eps,
            "elementwise_affine": elementwise_affine,
        })


class Select(Layer):
    """Keeps one position of an axis, which it drops.

    (a, b, c) -> (a, c) with axis=2.

    Args:
        dim: Axis to drop.
        index: Position on it that stays; a negative one counts from the end.
    """

    _type = "select"

    def __init__(self, dim: int, index: int, *, name: str | None = None) -> None:
        super().__init__(name, {"axis": dim, "index": index})


class SELU(Layer):
    """Self-normalizing exponential linear unit.

    1.0507 (x above zero, 1.67326 (e^x - 1) below), any shape. Klambauer et al. 2017.

    Args:
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "selu"

    def __init__(self, inplace: bool = False, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Sigmoid(Layer):
    """Logistic function.

    1 / (1 + e^-x), any shape.
    """

    _type = "sigmoid"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class SiLU(Layer):
    """x times its sigmoid.

    x / (1 + e^-x), any shape. Also called swish.

    Args:
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "silu"

    def __init__(self, inplace: bool = False, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Softshrink(Layer):
    """Moves towards zero by lambda.

    x - lambda above lambda, x + lambda below -lambda, else 0; any shape.

    Args:
        lambd: Half the width of the zone around zero that gives zero.
    """

    _type = "soft_shrink"
    _defaults = {"lambda": 0.5}

    def __init__(self, lambd: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name, {"lambda": lambd})


class Softmax(Layer):
    """Positive values that sum to one.

    e^x / sum(e^x) along the axis, any shape; the largest x is taken off first.

    Args:
        dim: Axis along which values sum to one; 0 is the batch, 1 the sample's first.
    """

    _type = "softmax"
    _defaults = {"axis": -1}

    def __init__(self, dim: int = -1, *, name: str | None = None) -> None:
        super().__init__(name, {"axis": dim})


class Softmin(Layer):
    """Softmax of the negative input.

    e^-x / sum(e^-x) along the axis, any shape.

    Args:
        dim: Axis along which values sum to one; 0 is the batch, 1 the sample's first.
    """

    _type = "softmin"
    _defaults = {"axis": -1}

    def __init__(self, dim: int = -1, *, name: str | None = None) -> None:
        super().__init__(name, {"axis": dim})


class Softplus(Layer):
    """Smooth ReLU.

    log(1 + e^(beta x)) / beta, and x where beta x is above threshold; any shape.

    Args:
        beta: Sharpness of the bend.
        threshold: Where beta x is above this, the output is x.
    """

    _type = "softplus"
    _defaults = {"beta": 1.0, "threshold": 20.0}

    def __init__(self, beta: float = 1.0, threshold: float = 20.0, *, name: str | None = None) -> None:
        super().__init__(name, {"beta": beta, "threshold": threshold})


class Softsign(Layer):
    """x over one plus its size.

    x / (1 + |x|), any shape.
    """

    _type = "softsign"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Dropout2d(Layer):
    """Sets random channels to zero in training.

    (channels, ...): x / (1 - p) or, with probability p for a whole channel, 0. In evaluation x. BigDL's layer has
    scale=false. Tompson et al. 2015.

    Args:
        p: Probability that a channel becomes 0.
        scale: Divide what stays by 1 - p in training; else multiply by 1 - p in evaluation.
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "spatial_dropout"
    _defaults = {"p": 0.5, "scale": True}

    def __init__(
        self,
        p: float = 0.5,
        scale: bool = True,
        inplace: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {"p": p, "scale": scale})


class Split(Layer):
    """Cuts an axis into several outputs.

    (a + b, h, w) -> (a, h, w), (b, h, w) with axis=1 and sizes=[a,b].

    Args:
        split_size_or_sections: Size of every output (the last may be smaller), or a list of the sizes.
        dim: Axis to cut.
    """

    _type = "split"
    _defaults = {"axis": 1}

    def __init__(self, split_size_or_sections: Ints, dim: int = 1, *, name: str | None = None) -> None:
        super().__init__(name, {"sizes": split_size_or_sections, "axis": dim})


class Sqrt(Layer):
    """Square root.

    sqrt(x), any shape; not a number below zero.
    """

    _type = "sqrt"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Square(Layer):
    """Square.

    x^2, any shape.
    """

    _type = "square"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Squeeze(Layer):
    """Drops axes of size one.

    (a, 1, b) -> (a, b); named axes of another size stay.

    Args:
        dim: Axes to drop where their size is 1; all such axes if none is given.
    """

    _type = "squeeze"

    def __init__(self, dim: Ints | None = None, *, name: str | None = None) -> None:
        super().__init__(name, {"axis": dim})


class Sub(Layer):
    """Difference of two tensors.

    x1 - x2; axes of size 1 repeat.
    """

    _type = "sub"
    _ports = "input,other"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Tanh(Layer):
    """Hyperbolic tangent.

    (e^x - e^-x) / (e^x + e^-x), any shape.
    """

    _type = "tanh"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Tanhshrink(Layer):
    """x less its tanh.

    x - tanh(x), any shape.
    """

    _type = "tanh_shrink"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name, {})


class Threshold(Layer):
    """A constant up to a threshold.

    x above threshold, else value; any shape. A value above the threshold keeps the input for backward.

    Args:
        threshold: Inputs above this pass.
        value: What the others become.
        inplace: For PyTorch's sake: bdl computes in place by itself where it can.
    """

    _type = "threshold"
    _defaults = {"threshold": 1e-06, "value": 0.0}

    def __init__(
        self,
        threshold: float = 1e-06,
        value: float = 0.0,
        inplace: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name, {"threshold": threshold, "value": value})


class Transpose(Layer):
    """Swaps axes.

    Pairs of axes are swapped, one pair after another.

    Args:
        axes: Pairs of axes to swap, one after another.
    """

    _type = "transpose"

    def __init__(self, axes: Ints, *, name: str | None = None) -> None:
        super().__init__(name, {"axes": axes})


class Unsqueeze(Layer):
    """Adds an axis of size one.

    (a, b) -> (a, 1, b) with axis=2.

    Args:
        dim: Place of the new axis in the output.
    """

    _type = "unsqueeze"

    def __init__(self, dim: int, *, name: str | None = None) -> None:
        super().__init__(name, {"axis": dim})
