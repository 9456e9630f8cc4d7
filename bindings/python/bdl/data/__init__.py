# SPDX-License-Identifier: Apache-2.0
"""Data: arrays, iterables of batches, and readers of the C library."""

from bdl.data._data import Data, from_arrays, from_batches, open_data
from bdl.data._readers_gen import *  # noqa: F403
from bdl.data._readers_gen import __all__ as _readers

__all__ = ["Data", "from_arrays", "from_batches", "open_data", *_readers]
