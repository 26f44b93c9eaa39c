"""Does a judge agree with people, and more than somebody who always says the same?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apps.evaluation.statistics.agreement import Kappa, Label, Weights, cohens_kappa


@dataclass(frozen=True, slots=True)
class Rated:
    """One item that both a person (or several, who settled on a label) and the judge rated."""

    human: Label
    judge: Label
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """A judge's agreement with people.

    Attributes:
        baseline_agreement: The agreement of always giving the commonest of people's labels.
        others: How many items people gave another label than the commonest.
        beats_constant: Whether the judge comes closer to people than any that always gives the same label: by the share
            of other labels, and with quadratic weights by the squared distance, by which a judge that is never quite
            right can still tell good from bad. Without that it has told nothing, however high its agreement is.
        judge_errors: Verdicts that could not be read.
    """

    kappa: Kappa
    baseline_agreement: float
    others: int
    beats_constant: bool
    by_slice: Mapping[str, Kappa]
    judge_errors: int


def calibrate(
    rated: Sequence[Rated],
    labels: Sequence[Label],
    *,
    weights: Weights = "unweighted",
    level: float = 0.95,
    judge_errors: int = 0,
) -> Calibration:
    """Raises ValueError where nothing was rated by both, or a label is none of ``labels``."""
    if not rated:
        raise ValueError("Nothing was rated by both a person and the judge.")

    def kappa(items: Sequence[Rated]) -> Kappa:
        human, judge = [item.human for item in items], [item.judge for item in items]
        return cohens_kappa(human, judge, labels, weights=weights, level=level)

    def error(said: Sequence[Label]) -> float:
        """How far that is from what people said."""
        if weights == "quadratic":
            return float(np.square(np.asarray(said, dtype=float) - np.asarray(people, dtype=float)).sum())
        return sum(one != other for one, other in zip(said, people, strict=True))

    people = [item.human for item in rated]
    commonest = Counter(people).most_common(1)[0][1]
    names = sorted({name for item in rated for name in item.slices})
    return Calibration(
        kappa=kappa(rated),
        baseline_agreement=commonest / len(rated),
        others=len(rated) - commonest,
        beats_constant=error([item.judge for item in rated]) < min(error([label] * len(rated)) for label in labels),
        by_slice={name: kappa([item for item in rated if name in item.slices]) for name in names},
        judge_errors=judge_errors,
    )
