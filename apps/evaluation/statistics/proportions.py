"""Paired yes-or-no values: McNemar's test and the interval of the difference between two proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from scipy.special import bdtr, chdtrc

from apps.evaluation.statistics.types import Interval
from apps.evaluation.statistics.wilson import wilson

# Up to so many discordant pairs the exact test; beyond, the mid-p variant, which is hardly ever above its level and
# not as cautious (Fagerland, Lydersen, Laake 2013).
MOST_EXACT: Final = 25

Method = Literal["auto", "exact", "mid-p", "chi-squared"]


@dataclass(frozen=True, slots=True)
class PairedTable:
    """How many examples were right on both sides, on one only, on neither."""

    both: int
    only_baseline: int
    only_candidate: int
    neither: int

    @property
    def pairs(self) -> int:
        return self.both + self.only_baseline + self.only_candidate + self.neither

    @property
    def discordant(self) -> int:
        return self.only_baseline + self.only_candidate

    @property
    def difference(self) -> float:
        """Candidate's share - baseline's."""
        return (self.only_candidate - self.only_baseline) / self.pairs


def mcnemar(table: PairedTable, method: Method = "auto") -> tuple[str, float]:
    """The test's name and the two-sided p. Concordant pairs say nothing about which side is better.

    ``chi-squared`` has Edwards' continuity correction.
    """
    total, fewer = table.discordant, min(table.only_baseline, table.only_candidate)
    if method == "auto":
        method = "exact" if total <= MOST_EXACT else "mid-p"
    if total == 0:
        return "McNemar, exact", 1.0
    match method:
        case "exact":
            return "McNemar, exact", min(1.0, 2 * float(bdtr(fewer, total, 0.5)))
        case "mid-p":
            # Half of what is just as extreme as the data counts: P(X < fewer) + P(X <= fewer), on both sides.
            fewer_still = float(bdtr(fewer - 1, total, 0.5)) if fewer else 0.0
            return "McNemar, mid-p", min(1.0, fewer_still + float(bdtr(fewer, total, 0.5)))
        case _:
            apart = max(abs(table.only_baseline - table.only_candidate) - 1, 0)
            return "McNemar, chi-squared", float(chdtrc(1, apart**2 / total))


def difference_interval(table: PairedTable, level: float = 0.95) -> Interval:
    """Newcombe's hybrid score interval for paired proportions (1998, method 10), of candidate - baseline."""
    n = table.pairs
    a, b, c, d = table.both, table.only_candidate, table.only_baseline, table.neither
    first, second = (a + b) / n, (a + c) / n
    low_1, high_1 = wilson(a + b, n, level)
    low_2, high_2 = wilson(a + c, n, level)
    product = (a + b) * (c + d) * (a + c) * (b + d)
    phi = 0.0
    if product:
        numerator: float = a * d - b * c
        if numerator > 0:
            numerator = max(numerator - n / 2, 0)  # the correction for continuity
        phi = numerator / math.sqrt(product)
    below, above = first - low_1, high_2 - second
    low = below**2 - 2 * phi * below * above + above**2
    below, above = high_1 - first, second - low_2
    high = below**2 - 2 * phi * below * above + above**2
    difference = first - second
    return Interval(
        max(difference - math.sqrt(max(low, 0.0)), -1.0), min(difference + math.sqrt(max(high, 0.0)), 1.0), level
    )
