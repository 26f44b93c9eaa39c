"""Looking before all answers are in, without being fooled more often for it.

A gate that is asked at every tenth of the way, and stops at the first "better", would release an even version far
more often than alpha says. So each look may only spend a part of alpha. How much is given by O'Brien and Fleming's
spending function (Lan and DeMets 1983): very little early, nearly all of it at the end. What a look may spend is
added to nothing that an earlier look did not use (a union bound), so alpha holds for any correlation between the
looks; the exact boundaries would be a little wider.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr, ndtri


def spent(alpha: float, fraction: float) -> float:
    """How much of the two-sided ``alpha`` may be spent once ``fraction`` of the examples is in."""
    if fraction <= 0:
        return 0.0
    return 2 * float(ndtr(ndtri(alpha / 2) / math.sqrt(min(fraction, 1.0))))


@dataclass(frozen=True, slots=True)
class Looks:
    """The plan of a run that may stop early: fixed before it starts.

    Args:
        fractions: When it is looked at, as shares of the examples, rising; the last one is 1.
    """

    alpha: float = 0.05
    fractions: Sequence[float] = (0.5, 0.75, 1.0)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.fractions, self.fractions[1:], strict=False))
        if not self.fractions or not rising or self.fractions[0] <= 0 or self.fractions[-1] != 1:
            raise ValueError(f"Looks rise from above 0 to 1, and do not: {list(self.fractions)}.")

    @property
    def levels(self) -> tuple[float, ...]:
        """The alpha to decide with at each look; their sum is alpha."""
        totals = [spent(self.alpha, fraction) for fraction in self.fractions]
        return tuple(now - before for before, now in zip([0.0, *totals], totals, strict=False))

    def due(self, done: int, planned: int) -> int | None:
        """Which look ``done`` of ``planned`` examples is enough for: the last one reached, or None."""
        reached = [look for look, fraction in enumerate(self.fractions) if done >= math.ceil(fraction * planned)]
        return reached[-1] if reached and planned > 0 else None
