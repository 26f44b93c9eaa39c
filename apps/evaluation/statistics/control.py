"""Control limits of monitors: has a stream of scores moved away from its baseline?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Montgomery, Introduction to Statistical Quality Control: 3 sigma for single points, and these for the moving average.
SIGMAS = 3.0
EWMA_WEIGHT = 0.2
EWMA_SIGMAS = 2.7


@dataclass(frozen=True, slots=True)
class Limits:
    low: float
    centre: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Point:
    """One period of a chart: what was seen, what is compared (its moving average, or itself), and whether it holds."""

    value: float
    compared: float
    limits: Limits
    holds: bool


def proportion_limits(share: float, n: int, *, sigmas: float = SIGMAS) -> Limits:
    """Of a p chart (Shewhart): where the share of ``n`` answers lies if the true share is still ``share``."""
    half = sigmas * math.sqrt(share * (1 - share) / n)
    return Limits(max(share - half, 0.0), share, min(share + half, 1.0))


def mean_limits(mean: float, spread: float, n: int, *, sigmas: float = SIGMAS) -> Limits:
    """Of an X-bar chart (Shewhart): where the mean of ``n`` scores lies. ``spread`` is one score's standard
    deviation.
    """
    half = sigmas * spread / math.sqrt(n)
    return Limits(mean - half, mean, mean + half)


def ewma(
    values: Sequence[float],
    centre: float,
    spreads: Sequence[float],
    *,
    weight: float = EWMA_WEIGHT,
    sigmas: float = EWMA_SIGMAS,
) -> list[Point]:
    """The exponentially weighted moving average (Roberts 1959), which sees small shifts that last.

    Args:
        values: One per period: the period's mean or share.
        centre: The baseline's.
        spreads: The standard deviation of each period's value: those of small samples are wide.
    """
    if not 0 < weight <= 1:
        raise ValueError(f"The weight is above 0 and at most 1, not {weight}.")
    points, average, variance = [], centre, 0.0
    for value, spread in zip(values, spreads, strict=True):
        average = weight * value + (1 - weight) * average
        variance = (weight * spread) ** 2 + (1 - weight) ** 2 * variance
        half = sigmas * math.sqrt(variance)
        limits = Limits(centre - half, centre, centre + half)
        points.append(Point(value, average, limits, limits.holds(average)))
    return points
