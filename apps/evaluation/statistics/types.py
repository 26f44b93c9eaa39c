"""What is compared, by which policy, and what came out. Nothing here imports numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from apps.evaluation.types import Direction, MetricRole, ValueKind, Verdict

# Example id -> the values of its repetitions. What has no value (an error) is left out, or None.
Values = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Interval:
    """``level`` is the share of such intervals that hold the true value: 0.95."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class Metric:
    """What a gate compares.

    Args:
        margin: Of a guard: how much worse, in the metric's own unit, is still as good. At 0 a guard stops only what
            is shown to be worse; above it, the candidate has to be shown not to be worse by that much.
        noise_floor: The difference that two runs of one version show by themselves: see ``noise.noise_floor``.
    """

    name: str
    direction: Direction = Direction.HIGHER
    value_kind: ValueKind = ValueKind.CONTINUOUS
    role: MetricRole = MetricRole.PRIMARY
    margin: float = 0.0
    noise_floor: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of two versions on the same examples. ``missing_reason`` is the commonest one for a missing value."""

    metric: Metric
    baseline: Values
    candidate: Values
    missing_reason: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """How sure a verdict has to be.

    Args:
        alpha: The two-sided level of the tests; the most often that an even version is called better, as a share.
        minimum_pairs: With fewer examples that both sides answered, the verdict is inconclusive.
        most_unpaired: The share of examples that lack a value, on one side or on both, above which it is inconclusive,
            too: what fails on the hard examples would look good on the others.
        power: How often the minimum detectable effect would be seen.
        resamples: Of the bootstrap and of the randomisation test.
        seed: Of both; the same data give the same verdict.
        worst: How many of the largest regressions are listed.
    """

    alpha: float = 0.05
    minimum_pairs: int = 30
    most_unpaired: float = 0.1
    power: float = 0.8
    resamples: int = 4_999
    seed: int = 20_240_229
    worst: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha is above 0 and below 0.5, not {self.alpha}.")
        if not self.alpha < self.power < 1:
            raise ValueError(f"power is above alpha and below 1, not {self.power}.")
        if self.resamples < 99 or self.minimum_pairs < 2:
            raise ValueError("At least 99 resamples and 2 pairs are needed.")


@dataclass(frozen=True, slots=True)
class Regression:
    """An example on which the candidate did worse. Means over repetitions."""

    example: str
    baseline: float
    candidate: float
    difference: float  # candidate - baseline


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of a decision. ``difference`` and ``interval`` are candidate - baseline, in the metric's unit.

    Figures are None where there were no pairs to compute them from.
    """

    metric: Metric
    verdict: Verdict
    reason: str
    pairs: int
    unpaired: int
    unscored: int = 0
    missing_reason: str = ""
    baseline_mean: float | None = None
    candidate_mean: float | None = None
    difference: float | None = None
    interval: Interval | None = None
    test: str = ""
    p_value: float | None = None
    adjusted_p_value: float | None = None
    minimum_detectable_effect: float | None = None
    regressions: tuple[Regression, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """``reasons`` are sentences: first what decided, then the rest."""

    verdict: Verdict
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    policy: Policy

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the decision's record."""
        return asdict(self)
