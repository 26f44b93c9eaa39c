"""How much two runs of one version differ, and how small a difference a run could have seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import nctdtr, ndtri, stdtrit

from apps.evaluation.statistics.types import Values


def noise_floor(runs: Values, *, level: float = 0.95, repetitions: int = 1) -> float | None:
    """The difference between two runs of one version that is exceeded in 1 - ``level`` of cases.

    It is the repeatability coefficient (Bland and Altman 1996) of a run's mean: z * sqrt(2) * within-example standard
    deviation / sqrt(examples * repetitions).

    Args:
        runs: Values of one version by example, of which at least one has several.
        repetitions: How often each example is answered on each side of the comparison.

    Returns:
        None where no example was answered twice.
    """
    repeated = [values for values in map(_known, runs.values()) if len(values) > 1]
    if not repeated:
        return None
    squares = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in repeated)
    within = squares / sum(len(values) - 1 for values in repeated)
    examples = sum(1 for values in runs.values() if _known(values))
    return float(ndtri((1 + level) / 2)) * math.sqrt(2 * within / (examples * repetitions))


def minimum_detectable_effect(spread: float, pairs: int, *, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The mean difference that a two-sided paired t-test finds in ``power`` of cases (Cohen 1988, by the noncentral t).

    Args:
        spread: The standard deviation of the differences.

    Returns:
        None where it cannot be told: fewer than two pairs, or no spread at all.
    """
    if pairs < 2 or not spread > 0:
        return None
    from scipy.optimize import brentq  # most of a second to import, and few ask for this

    freedom = pairs - 1
    critical = float(stdtrit(freedom, 1 - alpha / 2))

    def missing(shift: float) -> float:
        # The other tail is reached in the wrong direction: next to never, and part of the power as textbooks count it.
        # Where it is less than a millionth SciPy's function is no number in places.
        other = float(nctdtr(freedom, shift, -critical))
        return 1 - float(nctdtr(freedom, shift, critical)) + (0.0 if math.isnan(other) else other) - power

    most = critical + 2
    while missing(most) < 0:
        most *= 2
    return float(brentq(missing, 0.0, most, xtol=1e-10)) / math.sqrt(pairs) * spread


def minimum_detectable_change(pairs: int, *, alpha: float = 0.05) -> float:
    """Of yes-or-no values, the least share of examples that has to change, all in one direction, for the exact test."""
    return min(1.0, math.ceil(1 - math.log2(alpha)) / pairs)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]
