# SPDX-License-Identifier: Apache-2.0
"""bdl: deep learning on CPUs.

Importing loads nothing but NumPy: the C library and its threads start with the first model.
"""

from bdl import data, init, losses, metrics, models, nn, optim, schedules, transforms
from bdl._context import set_threads
from bdl._schema_gen import VERSION as __version__
from bdl.errors import BdlError
from bdl.model import Model, Sequential, load
from bdl.nn import Input

__all__ = [
    "BdlError",
    "Input",
    "Model",
    "Sequential",
    "__version__",
    "data",
    "init",
    "load",
    "losses",
    "metrics",
    "models",
    "nn",
    "optim",
    "schedules",
    "set_threads",
    "transforms",
]
