"""Control limits of monitors: has a stream of scores moved away from its baseline?

Sources: Montgomery, Introduction to Statistical Quality Control (p and X-bar charts, EWMA); the worked examples of the
NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.4 and 6.3.3.2, are among the tests.
"""

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


def mean_limits(mean: float, spread: float, n: int, *, sigmas: float = SIGMAS, baseline: int | None = None) -> Limits:
    """Of an X-bar chart (Shewhart): where the mean of ``n`` scores lies. ``spread`` is one score's standard
    deviation. ``baseline`` is how many scores ``mean`` itself was estimated from, None where it is known: the standard
    error is then that of a difference of two means, and limits from a small baseline do not cry wolf.
    """
    half = sigmas * spread * math.sqrt(1 / n + (0.0 if baseline is None else 1 / baseline))
    return Limits(mean - half, mean, mean + half)


def ewma(
    values: Sequence[float],
    centre: float,
    spreads: Sequence[float],
    *,
    weight: float = EWMA_WEIGHT,
    sigmas: float = EWMA_SIGMAS,
    centre_error: float = 0.0,
) -> list[Point]:
    """The exponentially weighted moving average (Roberts 1959), which sees small shifts that last.

    Args:
        values: One per period: the period's mean or share.
        centre: The baseline's.
        spreads: The standard deviation of each period's value: those of small samples are wide.
        centre_error: The centre's own standard error, where it was estimated.
    """
    if not 0 < weight <= 1:
        raise ValueError(f"The weight is above 0 and at most 1, not {weight}.")
    points, average, variance = [], centre, 0.0
    for value, spread in zip(values, spreads, strict=True):
        average = weight * value + (1 - weight) * average
        variance = (weight * spread) ** 2 + (1 - weight) ** 2 * variance
        half = sigmas * math.sqrt(variance + centre_error**2)
        limits = Limits(centre - half, centre, centre + half)
        points.append(Point(value, average, limits, limits.holds(average)))
    return points


@dataclass(frozen=True, slots=True)
class Summary:
    """Of a sample's scores. ``spread`` is one score's standard deviation."""

    n: int
    mean: float
    spread: float


def summary_of(values: Sequence[float], *, is_share: bool) -> Summary | None:
    """None of no values. A share of nothing or of everything has no spread to go by: Laplace's estimate stands in."""
    n = len(values)
    if not n:
        return None
    total = math.fsum(values)
    mean = total / n
    if is_share:
        share = mean if 0 < mean < 1 else (total + 1) / (n + 2)
        return Summary(n, mean, math.sqrt(share * (1 - share)))
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if min(values) < max(values) else 0.0
    return Summary(n, mean, math.sqrt(variance))


def newest_point(
    samples: Sequence[Summary], baseline: Summary, *, moving: bool, sigmas: float, is_share: bool
) -> Point:
    """Where the last of ``samples`` lies on their chart: by itself (Shewhart), or with those before it (``moving``).

    Scores that were all alike in the baseline give no spread to go by: the sample's own stands in.
    """
    newest = samples[-1]
    if moving:
        point = ewma(
            [each.mean for each in samples],
            baseline.mean,
            [(baseline.spread or each.spread) / math.sqrt(each.n) for each in samples],
            sigmas=sigmas,
            centre_error=(baseline.spread or newest.spread) / math.sqrt(baseline.n),
        )[-1]
        compared, limits = point.compared, point.limits
    else:
        compared, spread = newest.mean, baseline.spread or newest.spread
        limits = mean_limits(baseline.mean, spread, newest.n, sigmas=sigmas, baseline=baseline.n)
    if is_share:
        limits = Limits(max(limits.low, 0.0), limits.centre, min(limits.high, 1.0))
    # Where both are without any spread the limits have no width, and sums of floats are not exact.
    slack = 1e-9 * max(1.0, abs(limits.centre))
    holds = limits.low - slack <= compared <= limits.high + slack
    return Point(newest.mean, compared, limits, holds)
