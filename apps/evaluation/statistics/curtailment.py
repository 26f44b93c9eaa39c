"""When a comparison may end before its last answer: whatever the others would score, the verdict could not change.

The released version's answers are all in; of the candidate's the first ones are. The others are taken twice, as the
best and as the worst that a scorer can say of them. Only where both leave the same verdict is it sure. So nothing is
decided by what has come so far alone, no part of alpha is spent (as group-sequential looks would), and it does not
matter in which order the examples stand. It is cautious: a p-value that has to stay significant is McNemar's exact
one, corrected by Bonferroni's bound, which Holm's are never above; one that has to be out of reach is mid-p,
uncorrected.

For yes or no the two extremes bound everything between them: McNemar's p and both ends of the interval move one way
with each answer. For other scores they do not (an extreme value adds spread, too), so there only the means are used:
what cannot even have the better mean cannot be better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from apps.evaluation.statistics.gates import decide
from apps.evaluation.statistics.pairing import mean_of
from apps.evaluation.statistics.proportions import PairedTable, difference_interval, mcnemar
from apps.evaluation.statistics.types import Interval, Metric, Policy, Series
from apps.evaluation.types import Direction, MetricRole, ValueKind, Verdict


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A metric of which the baseline is whole. ``low`` and ``high`` bound the scorer's values; None is no bound."""

    series: Series
    low: float | None = None
    high: float | None = None


def certain(
    unfinished: Sequence[Unfinished], left: Set[str], policy: Policy, *, limited: bool = False
) -> Verdict | None:
    """The verdict that cannot change; INCONCLUSIVE: it cannot become better, whatever else. None: it still may.

    Args:
        left: The examples of which the candidate's answer, or one of its repetitions, is still to come.
        limited: There are limits of cost or time, by which a better candidate may yet be worse.
    """
    counted = [each for each in unfinished if each.series.metric.role != MetricRole.WATCH]
    so_far = [_without(each.series, left) for each in counted]
    decision = decide(so_far, policy)
    if any(each.pairs < policy.minimum_pairs for each in decision.comparisons):
        return None
    sizes = {role: sum(each.metric.role == role for each in so_far) for role in MetricRole}
    sides = [_Sides.of(each, left, policy.alpha, sizes[each.series.metric.role]) for each in counted]
    primary = [each for each in sides if each.metric.role == MetricRole.PRIMARY]
    guards = [each for each in sides if each.metric.role == MetricRole.GUARD]
    if decision.verdict == Verdict.WORSE and any(each.is_worse for each in sides):
        return Verdict.WORSE
    if decision.verdict == Verdict.BETTER and not limited:
        stays = any(each.is_better for each in primary) and not any(each.may_worsen for each in primary)
        if stays and all(each.holds for each in guards):
            return Verdict.BETTER
    within_reach = any(each.may_improve for each in primary) and all(each.may_hold for each in guards)
    return None if decision.verdict == Verdict.BETTER or within_reach else Verdict.INCONCLUSIVE


def _without(series: Series, left: Set[str]) -> Series:
    return replace(
        series,
        baseline={key: values for key, values in series.baseline.items() if key not in left},
        candidate={key: values for key, values in series.candidate.items() if key not in left},
    )


@dataclass(frozen=True, slots=True)
class _Extreme:
    """One way for the rest to go. Gains: above 0 is better. ``exact`` and ``mid_p`` are McNemar's, for yes or no."""

    gain: float
    interval: Interval | None = None
    exact: float = 1.0
    mid_p: float = 1.0


@dataclass(frozen=True, slots=True)
class _Sides:
    """A metric with the best and the worst that may come; None where scores have no such bound."""

    metric: Metric
    alpha: float
    family: int  # how many metrics share alpha
    best: _Extreme | None
    worst: _Extreme | None

    @classmethod
    def of(cls, unfinished: Unfinished, left: Set[str], alpha: float, family: int) -> _Sides:
        metric, series = unfinished.series.metric, unfinished.series
        before = _means(series.baseline)
        after = _means({key: values for key, values in series.candidate.items() if key not in left})
        low, high = unfinished.low, unfinished.high
        if metric.value_kind == ValueKind.BINARY:
            low, high = 0.0, 1.0
        best, worst = (high, low) if metric.direction == Direction.HIGHER else (low, high)
        # The mean of repetitions that disagree is neither yes nor no.
        once = all(len(each) < 2 for side in (series.baseline, series.candidate) for each in side.values())
        level = 1 - alpha if once and metric.value_kind == ValueKind.BINARY else None
        made = [_extreme(metric, before, after, left, bound, level) for bound in (best, worst)]
        return cls(metric, alpha, family, made[0], made[1])

    @property
    def _floor(self) -> float:
        return self.metric.noise_floor or 0.0

    @property
    def is_better(self) -> bool:
        """It stays shown to have improved, even at the worst."""
        at = self.worst
        if at is None or at.interval is None:
            return False
        return self.family * at.exact <= self.alpha and at.interval.low > 0 and at.gain > self._floor

    @property
    def is_worse(self) -> bool:
        """It stays shown to be worse, even at the best."""
        at = self.best
        if at is None or at.interval is None:
            return False
        if self.metric.role == MetricRole.GUARD and self.metric.margin > 0:
            return at.interval.high < -self.metric.margin
        return self.family * at.exact <= self.alpha and at.interval.high < 0 and -at.gain > self._floor

    @property
    def may_improve(self) -> bool:
        at = self.best
        if at is None:
            return True
        if at.gain <= self._floor:
            return False
        return at.interval is None or (at.mid_p <= self.alpha and at.interval.low > 0)

    @property
    def may_worsen(self) -> bool:
        at = self.worst
        if at is None:
            return True
        if -at.gain <= self._floor:
            return False
        return at.interval is None or at.interval.high < 0

    @property
    def holds(self) -> bool:
        """As a guard, even at the worst."""
        if self.metric.margin <= 0:
            return not self.may_worsen
        at = self.worst
        return at is not None and at.interval is not None and at.interval.low > -self.metric.margin

    @property
    def may_hold(self) -> bool:
        """As a guard, at the best."""
        at = self.best
        if at is None or self.metric.margin <= 0:
            return True  # it has to be shown to be worse, which ``is_worse`` tells
        if at.interval is None:
            return at.gain > -self.metric.margin
        return at.interval.low > -self.metric.margin


def _extreme(
    metric: Metric,
    before: Mapping[str, float],
    after: Mapping[str, float],
    left: Set[str],
    bound: float | None,
    level: float | None,
) -> _Extreme | None:
    """Where each of ``left`` would score ``bound``. With a ``level`` all scores are yes or no."""
    if bound is None:
        return None
    whole = {**after, **{key: bound for key in left if key in before}}
    pairs = [(before[key], whole[key]) for key in sorted(before.keys() & whole.keys())]
    if not pairs:
        return None
    sign = 1 if metric.direction == Direction.HIGHER else -1
    gain = sign * math.fsum(now - was for was, now in pairs) / len(pairs)
    if level is None or any(value not in (0, 1) for pair in pairs for value in pair):
        return _Extreme(gain)
    table = PairedTable(
        both=sum(was == 1 == now for was, now in pairs),
        only_baseline=sum(was > now for was, now in pairs),
        only_candidate=sum(was < now for was, now in pairs),
        neither=sum(was == 0 == now for was, now in pairs),
    )
    interval = difference_interval(table, level)
    if sign < 0:
        interval = Interval(-interval.high, -interval.low, level)
    return _Extreme(gain, interval, mcnemar(table, "exact")[1], mcnemar(table, "mid-p")[1])


def _means(values: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    return {key: mean for key, each in values.items() if (mean := mean_of(each)) is not None}
