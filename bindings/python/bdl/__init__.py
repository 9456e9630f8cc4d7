# SPDX-License-Identifier: Apache-2.0
"""bdl: deep learning on CPUs.

Importing loads nothing but NumPy: the C library and its threads start with the first model.
"""

from bdl import callbacks, data, init, losses, metrics, models, nn, optim, schedules, transforms
from bdl._context import set_threads
from bdl._schema_gen import VERSION as __version__
from bdl.callbacks import StopTraining
from bdl.errors import BdlError
from bdl.learner import Learner
from bdl.model import Model, Sequential, load
from bdl.nn import Input
from bdl.tensor import Tensor

__all__ = [
    "BdlError",
    "Input",
    "Learner",
    "Model",
    "Sequential",
    "StopTraining",
    "Tensor",
    "__version__",
    "callbacks",
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
