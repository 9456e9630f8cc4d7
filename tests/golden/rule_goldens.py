# SPDX-License-Identifier: Apache-2.0
"""Goldens of criterions, optimization methods, clipping and schedules, all in rules.json.

criterions: input, target, output (loss), grad_input · optimizers: ten steps from `start` with gradients
`grads`, the weights after each · clips: a gradient before and after · schedules: the rate of each update,
in bdl's notation. Numbers are float64; what goes in is exact in float32.
"""
import os

import numpy as np
import torch
from torch import nn

import calls


def exact(rng, shape, low=-2.0, high=2.0):
    return torch.from_numpy((low + (high - low) * rng.random(shape)).astype(np.float32)).double()


def criterion_case(name, kind, loss, x, target, params=None):
    """A case; params are bdl's."""
    x = x.clone().requires_grad_()
    value = loss(x, target)
    value.backward()
    return {"name": name, "type": kind, "params": params or {},
            "input_shape": list(x.shape), "input": x.detach().flatten().tolist(),
            "target_shape": list(target.shape), "target": target.flatten().tolist(),
            "loss": value.item(), "grad_input": x.grad.flatten().tolist()}


def class_cases(rng):
    """nll and cross_entropy: weights, ignored index, label smoothing, sums."""
    cases = []
    weight = exact(rng, [5], 0.25, 2.0)
    x = exact(rng, [7, 5])
    log_p = torch.log_softmax(x, 1).float().double()
    y = torch.tensor([0, 4, 2, 2, 1, 3, 0])
    options = [("plain", {}, False), ("weights", {}, True), ("ignore", {"ignore_index": 2}, False),
               ("ignore_weights", {"ignore_index": 0}, True), ("sum", {"reduction": "sum"}, True)]
    smooth = [("smooth", {"label_smoothing": 0.1}, False),
              ("smooth_weights", {"label_smoothing": 0.2}, True),
              ("smooth_ignore", {"label_smoothing": 0.1, "ignore_index": 2}, False),
              ("smooth_all", {"label_smoothing": 0.1, "ignore_index": 2}, True),
              ("smooth_sum", {"label_smoothing": 0.1, "reduction": "sum"}, True)]
    for kind, module, source, rows in (("nll", nn.NLLLoss, log_p, options),
                                       ("cross_entropy", nn.CrossEntropyLoss, x, options + smooth)):
        for name, params, weighted in rows:
            loss = module(weight=weight if weighted else None, **params)
            if weighted:
                params = {**params, "weights": ", ".join(map(repr, weight.tolist()))}
            cases.append(criterion_case(f"{kind}_{name}", kind, loss, source, y, params))
    steep = exact(rng, [3, 4], -60.0, 60.0)
    cases.append(criterion_case("cross_entropy_steep", "cross_entropy", nn.CrossEntropyLoss(), steep,
                                torch.tensor([1, 0, 3])))
    plane = exact(rng, [2, 3, 2, 2])
    cases.append(criterion_case("cross_entropy_plane", "cross_entropy", nn.CrossEntropyLoss(), plane,
                                torch.tensor([[[0, 1], [2, 1]], [[1, 1], [0, 2]]])))
    return cases


def value_cases(rng):
    """mse, l1, smooth_l1, bce, bce_with_logits."""
    cases = []
    x, t = exact(rng, [5, 3]), exact(rng, [5, 3])
    p, hard = exact(rng, [5, 3], 0.02, 0.98), torch.from_numpy((rng.random([5, 3]) < 0.5) * 1.0)
    soft = exact(rng, [5, 3], 0.0, 1.0)
    for reduction in ("mean", "sum"):
        end = "" if reduction == "mean" else "_sum"
        params = {} if reduction == "mean" else {"reduction": "sum"}
        for kind, module in (("mse", nn.MSELoss), ("l1", nn.L1Loss), ("smooth_l1", nn.SmoothL1Loss)):
            cases.append(criterion_case(kind + end, kind, module(**params), x, t, params))
        cases.append(criterion_case("bce" + end, "bce", nn.BCELoss(**params), p, hard, params))
        cases.append(criterion_case("bce_with_logits" + end, "bce_with_logits",
                                    nn.BCEWithLogitsLoss(**params), x, hard, params))
    for beta in (0.25, 2.0):
        cases.append(criterion_case(f"smooth_l1_beta_{beta}", "smooth_l1", nn.SmoothL1Loss(beta=beta),
                                    x, t, {"beta": beta}))
    cases.append(criterion_case("bce_soft", "bce", nn.BCELoss(), p, soft))
    pos = exact(rng, [3], 0.5, 3.0)
    cases.append(criterion_case("bce_with_logits_pos_weight", "bce_with_logits",
                                nn.BCEWithLogitsLoss(pos_weight=pos), x, soft,
                                {"pos_weight": pos.tolist()}))
    weight = exact(rng, [3], 0.5, 3.0)
    text = ", ".join(map(repr, weight.tolist()))
    cases.append(criterion_case("bce_weights", "bce", nn.BCELoss(weight=weight), p, hard,
                                {"weights": text}))
    cases.append(criterion_case("bce_with_logits_weights", "bce_with_logits",
                                nn.BCEWithLogitsLoss(weight=weight), x, hard, {"weights": text}))
    cases.append(criterion_case("bce_with_logits_steep", "bce_with_logits", nn.BCEWithLogitsLoss(),
                                exact(rng, [5, 3], -50.0, 50.0), hard))
    return cases


OPTIMIZERS = [
    "sgd(lr=0.1)",
    "sgd(lr=0.1, momentum=0.9)",
    "sgd(lr=0.1, momentum=0.9, weight_decay=0.01)",
    "sgd(lr=0.1, momentum=0.8, dampening=0.5)",
    "sgd(lr=0.1, momentum=0.9, nesterov=true)",
    "sgd(lr=0.1, momentum=0.9, nesterov=true, weight_decay=0.02)",
    "adam(lr=0.02)",
    "adam(lr=0.02, beta1=0.8, beta2=0.95, eps=0.001, weight_decay=0.1)",
    "adam(lr=0.02, amsgrad=true, beta2=0.5)",
    "adamw(lr=0.02)",
    "adamw(lr=0.02, weight_decay=0.3, beta1=0.7)",
    "adamax(lr=0.05)",
    "adagrad(lr=0.1)",
    "adagrad(lr=0.1, lr_decay=0.1, weight_decay=0.01, initial_accumulator_value=0.5, eps=0.001)",
    "adadelta(lr=0.7)",
    "adadelta(lr=1.0, rho=0.8, eps=0.0001, weight_decay=0.01)",
    "rmsprop(lr=0.02)",
    "rmsprop(lr=0.02, alpha=0.9, eps=0.001, weight_decay=0.01, momentum=0.5)",
    "rmsprop(lr=0.02, centered=true)",
    "rmsprop(lr=0.02, centered=true, momentum=0.9)",
]


def optimizer_cases(rng):
    start, grads = exact(rng, [7]), exact(rng, [10, 7], -1.0, 1.0)
    cases = []
    for text in OPTIMIZERS:
        weights = start.clone().requires_grad_()
        method = calls.make_optim([weights], text)
        after = []
        for g in grads:
            weights.grad = g.clone()
            method.step()
            after.append(weights.detach().tolist())
        cases.append({"optim": text, "weights": after})
    return {"start": start.tolist(), "grads": grads.tolist(), "cases": cases}


def clip_cases(rng):
    """PyTorch divides by norm + 1e-6, so clipped norms agree to about that share only."""
    g = exact(rng, [9], -3.0, 3.0)
    cases = []
    for text, do in (
            ("norm(2.5)", lambda p: nn.utils.clip_grad_norm_(p, 2.5)),
            ("norm(100)", lambda p: nn.utils.clip_grad_norm_(p, 100.0)),
            ("value(0.75)", lambda p: nn.utils.clip_grad_value_(p, 0.75)),
            ("norm(4), value(1)", lambda p: (nn.utils.clip_grad_norm_(p, 4.0),
                                             nn.utils.clip_grad_value_(p, 1.0)))):
        weights = torch.zeros(9, dtype=torch.float64, requires_grad=True)
        weights.grad = g.clone()
        do([weights])
        cases.append({"clip": text, "grads": weights.grad.tolist()})
    return {"grads": g.tolist(), "cases": cases}


def schedule_cases():
    """Rates of 24 updates; parts count updates."""
    from torch.optim import lr_scheduler as s
    rows = [
        ("constant", lambda o: s.LambdaLR(o, lambda t: 1.0)),
        ("step(step_size=5, gamma=0.5)", lambda o: s.StepLR(o, 5, 0.5)),
        ("multi_step(milestones=[3,4,15], gamma=0.3)", lambda o: s.MultiStepLR(o, [3, 4, 15], 0.3)),
        ("exponential(gamma=0.9)", lambda o: s.ExponentialLR(o, 0.9)),
        ("poly(length=20)", lambda o: s.PolynomialLR(o, 20)),
        ("poly(length=20, power=0.5)", lambda o: s.PolynomialLR(o, 20, 0.5)),
        ("cosine(length=23)", lambda o: s.CosineAnnealingLR(o, 23)),
        ("cosine(length=23, min=0.01)", lambda o: s.CosineAnnealingLR(o, 23, 0.01)),
        ("warmup(length=6)", lambda o: s.LinearLR(o, 0.1, total_iters=6)),
        ("warmup(length=6, start=0.25)", lambda o: s.LinearLR(o, 0.25, total_iters=6)),
        ("warmup(length=4, start=0.5) then cosine(length=19)", lambda o: s.SequentialLR(
            o, [s.LinearLR(o, 0.5, total_iters=4), s.CosineAnnealingLR(o, 19)], [4])),
        ("warmup(length=4, start=0.5) then step(step_size=7, gamma=0.2)", lambda o: s.SequentialLR(
            o, [s.LinearLR(o, 0.5, total_iters=4), s.StepLR(o, 7, 0.2)], [4])),
    ]
    cases = []
    for text, make in rows:
        optim = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
        schedule = make(optim)
        rates = []
        for _ in range(24):
            rates.append(float(optim.param_groups[0]["lr"]))
            optim.step()
            schedule.step()
        cases.append({"schedule": text, "rates": rates})
    return {"base": 0.2, "cases": cases}


def plateau_cases():
    """Rates of epochs: each is told a value at its end."""
    values = [1.0, 0.9, 0.91, 0.9, 0.905, 0.89, 0.8899, 0.8898, 0.95, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.69]
    rows = [("plateau(factor=0.5, patience=2)", dict(factor=0.5, patience=2)),
            ("plateau(factor=0.1, patience=0, cooldown=2, min_lr=0.001)",
             dict(factor=0.1, patience=0, cooldown=2, min_lr=0.001)),
            ("plateau(factor=0.5, patience=1, threshold=0.05, threshold_mode=abs)",
             dict(factor=0.5, patience=1, threshold=0.05, threshold_mode="abs")),
            ("plateau(factor=0.5, patience=1, mode=max)", dict(factor=0.5, patience=1, mode="max"))]
    cases = []
    for text, params in rows:
        optim = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optim, **params)
        rates = []
        for value in values:
            rates.append(float(optim.param_groups[0]["lr"]))
            optim.step()
            schedule.step(value)
        cases.append({"schedule": text, "rates": rates})
    return {"base": 0.2, "values": values, "cases": cases}


def make(folder, write_json):
    rng = np.random.default_rng(77)
    rules = {"criterions": class_cases(rng) + value_cases(rng), "optimizers": optimizer_cases(rng),
             "clips": clip_cases(rng), "schedules": schedule_cases(), "plateaus": plateau_cases()}
    write_json(os.path.join(folder, "rules.json"), rules)
    print(f"rules: {len(rules['criterions'])} criterions, {len(OPTIMIZERS)} optimizers, "
          f"{len(rules['schedules']['cases'])} schedules")
