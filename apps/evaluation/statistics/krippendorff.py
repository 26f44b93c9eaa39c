"""Krippendorff's alpha: the agreement of any number of raters, who need not all rate everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from apps.evaluation.statistics.pairing import Array
from apps.evaluation.statistics.types import Interval

Level = Literal["nominal", "ordinal", "interval"]


def krippendorffs_alpha(units: Sequence[Sequence[float]], level: Level = "nominal") -> float | None:
    """1 - observed / expected disagreement (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    Args:
        units: The values that each unit was given, by however many raters; those with fewer than two do not count.
        level: Which distance between values counts.

    Returns:
        None where it is not defined: nothing was rated twice, or one value was given throughout.
    """
    values = sorted({value for unit in units for value in unit})
    coincidences = _coincidences(units, values)
    return _alpha(coincidences.sum(axis=0), level, values) if values else None


def alpha_interval(
    units: Sequence[Sequence[float]],
    level: Level = "nominal",
    *,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 20_240_229,
) -> Interval | None:
    """The percentile bootstrap over units. None where alpha is not defined."""
    values = sorted({value for unit in units for value in unit})
    if krippendorffs_alpha(units, level) is None:
        return None
    each = _coincidences(units, values)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(units), np.full(len(units), 1 / len(units)), size=resamples)
    alphas = [_alpha(np.tensordot(times, each, 1), level, values) for times in drawn.astype(np.float64)]
    # A resample of one value throughout has no disagreement at all.
    known = [1.0 if alpha is None else alpha for alpha in alphas]
    low, high = np.percentile(known, [50 * (1 - confidence), 50 * (1 + confidence)])
    return Interval(float(low), float(high), confidence)


def _coincidences(units: Sequence[Sequence[float]], values: Sequence[float]) -> Array:
    """Of each unit, how often each value stands beside each other one; a unit's pairs weigh as much as its raters."""
    places = {value: place for place, value in enumerate(values)}
    result = np.zeros((len(units), len(values), len(values)))
    for number, unit in enumerate(units):
        if len(unit) < 2:
            continue
        counts = np.bincount([places[value] for value in unit], minlength=len(values)).astype(np.float64)
        result[number] = (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    return result


def _alpha(coincidences: Array, level: Level, values: Sequence[float]) -> float | None:
    totals = coincidences.sum(axis=0)
    n = float(totals.sum())
    distance = _distance(totals, level, values)
    expected = float((np.outer(totals, totals) * distance).sum())
    if n < 2 or expected == 0:
        return None
    return 1 - (n - 1) * float((coincidences * distance).sum()) / expected


def _distance(totals: Array, level: Level, values: Sequence[float]) -> Array:
    match level:
        case "nominal":
            return 1.0 - np.eye(len(values))
        case "ordinal":
            # The ranks that lie between, each end counted half.
            middles = np.cumsum(totals) - totals / 2
            between: Array = np.subtract.outer(middles, middles) ** 2
            return between
        case _:
            apart: Array = np.subtract.outer(np.asarray(values, float), np.asarray(values, float)) ** 2
            return apart
