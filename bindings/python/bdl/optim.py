# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Optimization methods."""

from __future__ import annotations

from bdl._described import Optimizer

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "AdamW",
    "RMSprop",
    "SGD",
]


class Adadelta(Optimizer):
    """Steps in the units of the weights, from averages of squares.

    g = gradient + weight_decay * w; s = rho * s + (1 - rho) * g^2; d = sqrt(x + eps) / sqrt(s + eps) * g; x = rho *
    x + (1 - rho) * d^2; w -= lr * d. As in PyTorch.

    Args:
        lr: Factor of the step.
        rho: Share that the averages keep in a step.
        eps: Added to both averages before their roots are taken.
        weight_decay: L2 penalty: its multiple of the weights is added to the gradient.
    """

    _type = "adadelta"
    _defaults = {"lr": 1.0, "rho": 0.9, "eps": 1e-06, "weight_decay": 0.0}

    def __init__(self, lr: float = 1.0, *, rho: float = 0.9, eps: float = 1e-06, weight_decay: float = 0.0) -> None:
        super().__init__({"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay})


class Adagrad(Optimizer):
    """Steps scaled by the sum of all squared gradients.

    g = gradient + weight_decay * w; s += g^2, from initial_accumulator_value; w -= lr / (1 + n * lr_decay) * g /
    (sqrt(s) + eps). As in PyTorch.

    Args:
        lr: Learning rate.
        lr_decay: The rate of update n = 0, 1 ... is lr / (1 + n * lr_decay).
        weight_decay: L2 penalty: its multiple of the weights is added to the gradient.
        initial_accumulator_value: What the sum of squares starts from.
        eps: Added to the divisor.
    """

    _type = "adagrad"
    _defaults = {
        "lr": 0.01,
        "lr_decay": 0.0,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
    }

    def __init__(
        self,
        lr: float = 0.01,
        *,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__({
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
        })


class Adam(Optimizer):
    """Steps scaled by averages of the gradient and of its square.

    g = gradient + weight_decay * w; m = beta1 * m + (1 - beta1) * g; s = beta2 * s + (1 - beta2) * g^2; in step t =
    1, 2 ... w -= lr / (1 - beta1^t) * m / (sqrt(s / (1 - beta2^t)) + eps). As in PyTorch.

    Args:
        lr: Learning rate.
        betas: Share that the average of the gradient keeps in a step; below 1. The same for its square (adamax:
            its maximum); below 1.
        eps: Added to the divisor.
        weight_decay: L2 penalty: its multiple of the weights is added to the gradient.
        amsgrad: Divide by the largest average so far.
    """

    _type = "adam"
    _defaults = {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "weight_decay": 0.0,
        "amsgrad": False,
    }

    def __init__(
        self,
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__({
            "lr": lr,
            "beta1": betas[0],
            "beta2": betas[1],
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
        })


class Adamax(Optimizer):
    """Adam by the maximum norm instead of the average of the square.

    g = gradient + weight_decay * w; m = beta1 * m + (1 - beta1) * g; u = max(beta2 * u, |g| + eps); in step t = 1,
    2 ... w -= lr / (1 - beta1^t) * m / u. As in PyTorch.

    Args:
        lr: Learning rate.
        betas: Share that the average of the gradient keeps in a step; below 1. The same for its square (adamax:
            its maximum); below 1.
        eps: Added to the divisor.
        weight_decay: L2 penalty: its multiple of the weights is added to the gradient.
    """

    _type = "adamax"
    _defaults = {"lr": 0.002, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0}

    def __init__(
        self,
        lr: float = 0.002,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__({
            "lr": lr,
            "beta1": betas[0],
            "beta2": betas[1],
            "eps": eps,
            "weight_decay": weight_decay,
        })


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient.

    w *= 1 - lr * weight_decay, then a step of adam with weight_decay 0. As in PyTorch.

    Args:
        lr: Learning rate.
        betas: Share that the average of the gradient keeps in a step; below 1. The same for its square (adamax:
            its maximum); below 1.
        eps: Added to the divisor.
        weight_decay: A step shrinks the weights by lr * weight_decay of themselves.
        amsgrad: Divide by the largest average so far.
    """

    _type = "adamw"
    _defaults = {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "weight_decay": 0.01,
        "amsgrad": False,
    }

    def __init__(
        self,
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
    ) -> None:
        super().__init__({
            "lr": lr,
            "beta1": betas[0],
            "beta2": betas[1],
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
        })


class RMSprop(Optimizer):
    """Steps scaled by an average of the squared gradient.

    g = gradient + weight_decay * w; s = alpha * s + (1 - alpha) * g^2; centered: a = alpha * a + (1 - alpha) * g
    and s - a^2 in the place of s; v = momentum * v + g / (sqrt(s) + eps); w -= lr * v. As in PyTorch.

    Args:
        lr: Learning rate.
        alpha: Share that the average of the squares keeps in a step.
        eps: Added to the divisor.
        weight_decay: L2 penalty: its multiple of the weights is added to the gradient.
        momentum: Factor of the old velocity; 0 keeps none.
        centered: Divide by the variance's root, not the square's.
    """

    _type = "rmsprop"
    _defaults = {
        "lr": 0.01,
        "alpha": 0.99,
        "eps": 1e-08,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
    }

    def __init__(
        self,
        lr: float = 0.01,
        *,
        alpha: float = 0.99,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__({
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
        })


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    g = gradient + weight_decay * w; v = momentum * v + (1 - dampening) * g, in the first step v = g; w -= lr * v,
    with nesterov w -= lr * (g + momentum * v). As in PyTorch.

    Args:
        lr: Learning rate.
        momentum: Factor of the old velocity; 0 keeps none.
        dampening: The gradient enters the velocity times 1 - dampening (BigDL's default is the momentum).
        nesterov: Look ahead by one step of the velocity.
        weight_decay: L2 penalty: its multiple of the weights is added to the gradient.
    """

    _type = "sgd"
    _defaults = {
        "lr": 0.01,
        "momentum": 0.0,
        "dampening": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
    }

    def __init__(
        self,
        lr: float = 0.01,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__({
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
        })
