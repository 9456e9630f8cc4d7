# SPDX-License-Identifier: Apache-2.0
"""bdl's notation `name(key=value, …)` for optimization methods, read for PyTorch."""
import json

import torch

METHODS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
           "adamax": torch.optim.Adamax, "adagrad": torch.optim.Adagrad,
           "adadelta": torch.optim.Adadelta, "rmsprop": torch.optim.RMSprop}


def split(text):
    """("sgd", {"lr": 0.1}) of "sgd(lr=0.1)"."""
    name, arguments = text.rstrip(")").split("(")
    pairs = [pair.split("=") for pair in arguments.split(",")]
    return name, {key.strip(): json.loads(value) for key, value in pairs}


def make_optim(parameters, text):
    name, params = split(text)
    if "beta1" in params or "beta2" in params:
        params["betas"] = (params.pop("beta1", 0.9), params.pop("beta2", 0.999))
    return METHODS[name](parameters, **params)
