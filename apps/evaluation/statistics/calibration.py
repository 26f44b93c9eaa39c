"""Does a judge agree with people, and more than somebody who always says the same?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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

    ``baseline_agreement`` is that of a constant judge, who always says what people say most often: a judge with no more
    than that has told nothing, however high it is. ``judge_errors`` are verdicts that could not be read.
    """

    kappa: Kappa
    weights: Weights
    constant: Label
    baseline_agreement: float
    by_slice: Mapping[str, Kappa]
    human_counts: Mapping[Label, int]
    judge_counts: Mapping[Label, int]
    judge_errors: int

    @property
    def beats_constant(self) -> bool:
        return self.kappa.agreement > self.baseline_agreement

    def holds(self, *, least_kappa: float, least_items: int, least_others: int, most_errors: float) -> bool:
        """Whether a gate may rely on it: enough items, enough of them that people did not rate as they rate most (one
        rare case that both saw alike makes a perfect kappa), few verdicts that could not be read (as a share of all),
        and an agreement whose interval lies above ``least_kappa``."""
        interval = self.kappa.interval
        return (
            self.kappa.items >= least_items
            and self.kappa.items - self.human_counts[self.constant] >= least_others
            and self.judge_errors <= most_errors * (self.kappa.items + self.judge_errors)
            and self.beats_constant
            and interval is not None
            and interval.low > least_kappa
        )

    def as_json(self) -> dict[str, Any]:
        made = asdict(self)
        for counts in ("human_counts", "judge_counts"):
            made[counts] = {str(label): count for label, count in made[counts].items()}
        return made | {"beats_constant": self.beats_constant}


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

    human = Counter(item.human for item in rated)
    constant = max(labels, key=lambda label: human[label])
    names = sorted({name for item in rated for name in item.slices})
    return Calibration(
        kappa=kappa(rated),
        weights=weights,
        constant=constant,
        baseline_agreement=human[constant] / len(rated),
        by_slice={name: kappa([item for item in rated if name in item.slices]) for name in names},
        human_counts=dict(human),
        judge_counts=dict(Counter(item.judge for item in rated)),
        judge_errors=judge_errors,
    )
