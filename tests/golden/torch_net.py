# SPDX-License-Identifier: Apache-2.0
"""Runs a net spec in PyTorch, in float64 or float32, with optional rounding noise.

The noise is how the goldens know what precision can be asked for: each node's output and gradient, and
each updated weight, is disturbed by normal noise of `noise` times its root mean square.
"""
import hashlib

import numpy as np
import torch
from torch import nn

import calls


class Disturb(torch.autograd.Function):
    """y = x + noise; the gradient gets its own noise."""

    @staticmethod
    def forward(ctx, x, noise, generator):
        ctx.noise, ctx.generator = noise, generator
        return disturbed(x, noise, generator)

    @staticmethod
    def backward(ctx, gradient):
        return disturbed(gradient, ctx.noise, ctx.generator), None, None


def disturbed(x, noise, generator):
    """Exact zeros, such as ReLU makes, stay: real rounding leaves them alone."""
    size = noise * x.square().mean().sqrt()
    return x + size * (x != 0) * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def make_module(kind, params, shape):
    """The PyTorch module of a node, and its inputs' channel count filled in; None for a function."""
    p = dict(params)
    if kind == "conv2d":
        return nn.Conv2d(shape[0], **p)
    if kind == "linear":
        return nn.Linear(shape[0], **p)
    if kind == "batch_norm":
        return (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[0], **p)
    plain = {"relu": nn.ReLU, "tanh": nn.Tanh, "flatten": nn.Flatten, "max_pool2d": nn.MaxPool2d,
             "avg_pool2d": nn.AvgPool2d, "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
             "lrn": nn.LocalResponseNorm}
    if kind in plain:
        return plain[kind](**p)
    if kind == "log_softmax":
        return nn.LogSoftmax(p["axis"])
    if kind in ("add", "concat"):
        return None
    raise ValueError(kind)


class Net(nn.Module):
    """A graph of nodes; modules are found under `m_<node name>`."""

    def __init__(self, spec):
        super().__init__()
        self.spec = spec
        self.noise, self.generator = 0.0, None
        self.decisions = None  # a hash of every ReLU's signs and every maximum's position
        shapes = {"input": tuple(spec["shape"])}
        self.longest = 1  # length of the longest sum over anything
        n = max(count for _, count in spec["batches"])
        for node in spec["graph"]["nodes"]:
            ins = [shapes[name] for name in node["inputs"]]
            module = make_module(node["type"], node["params"], ins[0])
            if module is not None:
                self.add_module("m_" + node["name"], module)
            fakes = [torch.zeros((2,) + shape) for shape in ins]
            shapes[node["name"]] = tuple(self.apply_node(node, fakes).shape[1:])
            if node["type"] in ("conv2d", "linear", "batch_norm"):
                positions = int(np.prod(shapes[node["name"]][1:])) * n
                weights = int(np.prod(module.weight.shape[1:]))
                self.longest = max(self.longest, positions, weights)

    def apply_node(self, node, inputs):
        if node["type"] == "add":
            return inputs[0] + inputs[1]
        if node["type"] == "concat":
            return torch.cat(inputs, node["params"]["axis"])
        return getattr(self, "m_" + node["name"])(inputs[0])

    def decide(self, node, x):
        """Notes which side of its kinks a layer is on."""
        if self.decisions is None:
            return
        if node["type"] == "relu":
            self.decisions.update(np.packbits((x > 0).numpy()).tobytes())
        elif node["type"] == "max_pool2d":
            p = node["params"]
            place = nn.functional.max_pool2d(x, p["kernel_size"], p.get("stride"),
                                             p.get("padding", 0), ceil_mode=p.get("ceil_mode", False),
                                             return_indices=True)[1]
            self.decisions.update(place.numpy().tobytes())

    def forward(self, x):
        values = {"input": x}
        for node in self.spec["graph"]["nodes"]:
            inputs = [values[name] for name in node["inputs"]]
            self.decide(node, inputs[0].detach())
            y = self.apply_node(node, inputs)
            if self.noise:
                y = Disturb.apply(y, self.noise, self.generator)
            values[node["name"]] = y
        return values[self.spec["graph"]["output"]]

    def named(self):
        """(name, tensor) of all weights and float buffers, as "<node>.<weight>"."""
        for name, tensor in list(self.named_parameters()) + list(self.named_buffers()):
            if not name.endswith("num_batches_tracked"):
                yield name[2:], tensor


CRITERIONS = {"nll": nn.functional.nll_loss, "cross_entropy": nn.functional.cross_entropy}


def run(spec, data, n_steps, dtype=torch.float64, noise=0.0, noise_seed=0):
    """Ten steps from data's weights. Gives float64 arrays by name, and the hash of decisions.

    logits, grad.*: first batch, first step · losses: of each step · final.*: weights after the last step
    · eval_logits: first batch, final weights, evaluation mode.
    """
    net = Net(spec).to(dtype)
    with torch.no_grad():
        for name, tensor in net.named():
            tensor.copy_(torch.from_numpy(data["init." + name]))
    net.noise, net.generator = noise, torch.Generator().manual_seed(noise_seed)
    net.decisions = hashlib.sha256()
    criterion = CRITERIONS[spec["criterion"]["type"]]
    optim = calls.make_optim(list(net.parameters()), spec["optim"])
    out, losses = {}, []
    for i_step in range(n_steps):
        start, count = spec["batches"][i_step % len(spec["batches"])]
        x = torch.from_numpy(data["input"][start:start + count]).to(dtype).requires_grad_(i_step == 0)
        y = torch.from_numpy(data["target"][start:start + count])
        optim.zero_grad()
        logits = net(x)
        loss = criterion(logits, y)
        loss.backward()
        losses.append(float(loss.detach()) * (1.0 + noise))
        if i_step == 0:
            out["logits"] = logits.detach().clone()
            out["grad.input"] = x.grad.clone()
            for name, parameter in net.named_parameters():
                out["grad." + name[2:]] = parameter.grad.clone()
        optim.step()
        if noise:
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.copy_(disturbed(parameter, noise, net.generator))
    for name, tensor in net.named():
        out["final." + name] = tensor.detach().clone()
    start, count = spec["batches"][0]
    with torch.no_grad():
        out["eval_logits"] = net.eval()(torch.from_numpy(data["input"][start:start + count]).to(dtype))
    out = {name: tensor.double().numpy() for name, tensor in out.items()}
    out["losses"] = np.array(losses)
    return out, net.decisions.hexdigest()
