# SPDX-License-Identifier: Apache-2.0
"""Where the axes of the pictures that tools/draw_*.py draw have their numbers."""

import math


def round_ticks(least, most, n):
    """At most n + 1 numbers (or one more where `least` is no multiple of their distance), from at most `least` to at least
    `most`. Their distance is 1, 2 or 5 times a power of ten."""
    share = (most - least) / n if most > least else 1
    power = 10.0 ** math.floor(math.log10(share))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= share * (1 - 1e-9))
    first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(i * step, digits) for i in range(first, last + 1)]
