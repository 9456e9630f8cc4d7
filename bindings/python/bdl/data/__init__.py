# SPDX-License-Identifier: Apache-2.0
"""Data: readers of the C library."""

from bdl.data._readers_gen import *  # noqa: F403
from bdl.data._readers_gen import __all__ as _readers

__all__ = [*_readers]
