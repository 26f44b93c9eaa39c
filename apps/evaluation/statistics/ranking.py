"""Strengths from pairwise preferences: the Bradley-Terry model, on the scale of Elo ratings."""

from __future__ import annotations

import math
from collections.abc import Mapping

# Elo's scale: 400 points are odds of 10 to 1.
_SCALE = 400.0
_CENTRE = 1_000.0


def share_won(rating: float, against: float = _CENTRE) -> float:
    """How often who has ``rating`` is expected to be preferred to who has ``against``."""
    return 1 / (1 + 10 ** ((against - rating) / _SCALE))


def bradley_terry(
    wins: Mapping[tuple[str, str], float], *, prior: float = 0.5, rounds: int = 10_000, tolerance: float = 1e-12
) -> dict[str, float]:
    """Ratings whose differences tell the odds of winning, by the MM algorithm (Hunter 2004). Their mean is 1000.

    Args:
        wins: How often the first of a pair was preferred to the second; a tie is half a win for each.
        prior: Drawn games that every two are given to start with, so that who never lost has a rating, too. 0 gives the
            plain maximum likelihood, which exists only where no group beat all the others throughout.
    """
    names = sorted({name for pair in wins for name in pair})
    if len(names) < 2:
        return dict.fromkeys(names, _CENTRE)
    won = {(a, b): wins.get((a, b), 0.0) + prior / 2 for a in names for b in names if a != b}
    total = {a: math.fsum(won[a, b] for b in names if b != a) for a in names}
    strength = dict.fromkeys(names, 1.0)
    for _ in range(rounds):
        renewed = {
            a: total[a] / math.fsum((won[a, b] + won[b, a]) / (strength[a] + strength[b]) for b in names if b != a)
            for a in names
        }
        mean = math.exp(math.fsum(map(math.log, renewed.values())) / len(names)) if min(renewed.values()) > 0 else 0.0
        if mean == 0.0:
            raise ValueError("Without a prior, who never won has no rating.")
        renewed = {name: value / mean for name, value in renewed.items()}
        moved = max(abs(math.log(renewed[name] / strength[name])) for name in names)
        strength = renewed
        if moved < tolerance:
            break
    return {name: _CENTRE + _SCALE * math.log10(value) for name, value in strength.items()}
