"""The interval of one proportion. Without SciPy, so that pages may have it: the web process does not import SciPy."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of one proportion (1927)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (successes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(successes * (n - successes) / n + z * z / 4)
    return max(middle - half, 0.0), min(middle + half, 1.0)
