"""The same examples on both sides, one pair of numbers each.

Answers to one example are not independent, so repetitions are no further evidence about other examples: each example is
one cluster, and counts once, by the mean of its repetitions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apps.evaluation.statistics.types import Values

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pairs:
    examples: tuple[str, ...]
    baseline: Array
    candidate: Array
    unpaired: int  # examples that lack a value, on one side or on both
    unscored: int  # those of them that lack it on both

    @property
    def differences(self) -> Array:
        return self.candidate - self.baseline

    @property
    def is_binary(self) -> bool:
        """Whether every value is 0 or 1; the mean of disagreeing repetitions is neither."""
        return all(bool(np.all((side == 0) | (side == 1))) for side in (self.baseline, self.candidate))


def pair(baseline: Values, candidate: Values) -> Pairs:
    """In the order of the examples' ids, so that a verdict does not depend on the order in which answers came."""
    left = {example: mean for example, values in baseline.items() if (mean := mean_of(values)) is not None}
    right = {example: mean for example, values in candidate.items() if (mean := mean_of(values)) is not None}
    both = sorted(left.keys() & right.keys())
    known = baseline.keys() | candidate.keys()
    return Pairs(
        examples=tuple(both),
        baseline=np.array([left[example] for example in both], dtype=np.float64),
        candidate=np.array([right[example] for example in both], dtype=np.float64),
        unpaired=len(known) - len(both),
        unscored=len(known - left.keys() - right.keys()),
    )


def mean_of(values: Sequence[float | None]) -> float | None:
    """Of an example's repetitions; None where none has a value."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None
