"""The decision of a gate: better, worse, or inconclusive.

Better: at least one primary metric improved, none got worse, and every guard holds. Worse: a primary metric or a
guard got worse. Everything else is inconclusive, which is no verdict on the candidate but on the evidence.

A primary metric has improved when the test and the interval both say so and the difference is above the noise floor.
So that many metrics do not mean many chances, p-values of primary metrics are adjusted by Holm's method, and those of
guards likewise among themselves. A guard with a margin is held by non-inferiority: the interval lies above the
margin. As every guard has to hold, that needs no adjustment (an intersection-union test, Berger 1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from apps.evaluation.figures import between, change, level
from apps.evaluation.statistics.multiplicity import holm
from apps.evaluation.statistics.noise import minimum_detectable_change, minimum_detectable_effect
from apps.evaluation.statistics.pairing import Pairs, pair
from apps.evaluation.statistics.proportions import PairedTable, difference_interval, mcnemar
from apps.evaluation.statistics.ranks import wilcoxon
from apps.evaluation.statistics.resampling import bca_interval, sign_flip_p
from apps.evaluation.statistics.types import (
    Comparison,
    Decision,
    Interval,
    Metric,
    Policy,
    Regression,
    Series,
)
from apps.evaluation.types import Direction, MetricRole, ValueKind, Verdict


def decide(series: Sequence[Series], policy: Policy | None = None) -> Decision:
    """Raises ValueError where there is no primary metric, or two of one name."""
    policy = policy or Policy()
    names = [each.metric.name for each in series]
    if len(set(names)) != len(names):
        raise ValueError("Two metrics have one name.")
    if not any(each.metric.role == MetricRole.PRIMARY for each in series):
        raise ValueError("A gate needs a primary metric.")
    measured = [compare(each, policy) for each in series]
    adjusted = [_judged(each, policy) for each in _adjusted(measured)]
    verdict = _verdict(adjusted)
    order = {Verdict.WORSE: 0, Verdict.BETTER: 1, Verdict.INCONCLUSIVE: 2}
    if verdict == Verdict.INCONCLUSIVE:
        order[Verdict.INCONCLUSIVE] = 0
    told = sorted(adjusted, key=lambda each: (each.metric.role == MetricRole.WATCH, order[each.verdict]))
    return Decision(verdict, tuple(each.reason for each in told), tuple(adjusted), policy)


def compare(series: Series, policy: Policy | None = None) -> Comparison:
    """One metric's figures, with no verdict yet."""
    policy = policy or Policy()
    metric = series.metric
    pairs = pair(series.baseline, series.candidate)
    n = len(pairs.examples)
    if n < 2:
        return Comparison(metric, Verdict.INCONCLUSIVE, "", n, pairs.unpaired, pairs.unscored, series.missing_reason)
    differences = pairs.differences
    spread = float(np.std(differences, ddof=1))
    effect = minimum_detectable_effect(spread, n, alpha=policy.alpha, power=policy.power)
    level = 1 - policy.alpha
    if metric.value_kind == ValueKind.BINARY and pairs.is_binary:
        table = _table(pairs)
        test, p = mcnemar(table)
        interval = difference_interval(table, level)
        effect = max(effect or 0.0, minimum_detectable_change(n, alpha=policy.alpha))
    else:
        interval = bca_interval(differences, level=level, resamples=policy.resamples, seed=policy.seed)
        if metric.value_kind == ValueKind.ORDINAL:
            test, p = wilcoxon(differences)
        else:
            test = "paired bootstrap (BCa) and sign-flip test"
            p = sign_flip_p(differences, resamples=policy.resamples, seed=policy.seed)
    return Comparison(
        metric=metric,
        verdict=Verdict.INCONCLUSIVE,
        reason="",
        pairs=n,
        unpaired=pairs.unpaired,
        unscored=pairs.unscored,
        missing_reason=series.missing_reason,
        baseline_mean=float(pairs.baseline.mean()),
        candidate_mean=float(pairs.candidate.mean()),
        difference=float(differences.mean()),
        interval=interval,
        test=test,
        p_value=p,
        adjusted_p_value=p,
        minimum_detectable_effect=effect,
        regressions=_regressions(pairs, metric, policy.worst),
    )


def _table(pairs: Pairs) -> PairedTable:
    before, after = pairs.baseline == 1, pairs.candidate == 1
    return PairedTable(
        both=int(np.count_nonzero(before & after)),
        only_baseline=int(np.count_nonzero(before & ~after)),
        only_candidate=int(np.count_nonzero(~before & after)),
        neither=int(np.count_nonzero(~before & ~after)),
    )


def _regressions(pairs: Pairs, metric: Metric, most: int) -> tuple[Regression, ...]:
    """The largest ones first; equal ones in the order of the examples."""
    gains = _signed(metric) * pairs.differences
    worst = [place for place in np.argsort(gains, kind="stable")[:most] if gains[place] < 0]
    return tuple(
        Regression(
            pairs.examples[place],
            float(pairs.baseline[place]),
            float(pairs.candidate[place]),
            float(pairs.differences[place]),
        )
        for place in worst
    )


def _adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Holm among the primary metrics and among the guards; what is only watched claims nothing."""
    result = list(comparisons)
    for role in (MetricRole.PRIMARY, MetricRole.GUARD):
        family = [place for place, each in enumerate(result) if each.metric.role == role and each.p_value is not None]
        p_values = holm([result[place].p_value or 0.0 for place in family])
        for place, p in zip(family, p_values, strict=True):
            result[place] = replace(result[place], adjusted_p_value=p)
    return result


def _judged(comparison: Comparison, policy: Policy) -> Comparison:
    verdict, why = _finding(comparison, policy)
    return replace(comparison, verdict=verdict, reason=_sentence(comparison, why, policy))


def _finding(comparison: Comparison, policy: Policy) -> tuple[Verdict, str]:
    """The verdict on one metric, and what decided it. For a guard, BETTER means that it holds."""
    metric, pairs, interval = comparison.metric, comparison.pairs, comparison.interval
    lacks_many = comparison.unpaired > policy.most_unpaired * (pairs + comparison.unpaired)
    if pairs < policy.minimum_pairs or interval is None or comparison.difference is None:
        few = f"{pairs} pairs are fewer than the {policy.minimum_pairs} that are asked for"
        return Verdict.INCONCLUSIVE, f"{few}, and {_lacking(comparison)}" if lacks_many else few
    if lacks_many:
        return Verdict.INCONCLUSIVE, _lacking(comparison)
    gain = _gain(metric, interval)
    p = comparison.adjusted_p_value
    significant = p is not None and p <= policy.alpha
    above_noise = metric.noise_floor is None or abs(comparison.difference) > metric.noise_floor
    if metric.role == MetricRole.GUARD:
        return _guarded(metric, gain, significant=significant, above_noise=above_noise)
    if significant and (gain.low > 0 or gain.high < 0):
        if not above_noise:
            floor = _size(metric, metric.noise_floor)
            return Verdict.INCONCLUSIVE, f"the difference is within the noise floor of {floor}"
        return (Verdict.BETTER, "it improved") if gain.low > 0 else (Verdict.WORSE, "it got worse")
    return Verdict.INCONCLUSIVE, "no difference was shown"


def _lacking(comparison: Comparison) -> str:
    """How many examples have no pair of values, on which sides, and why most of them."""
    lacking, neither = comparison.unpaired, comparison.unscored
    examples = "1 example has" if lacking == 1 else f"{lacking:,} examples have"
    if neither == lacking:
        told = f"{examples} a value on neither side"
    elif neither == 0:
        told = f"{examples} a value on one side only"
    else:
        told = f"{examples} no value on one side, {neither:,} of them on neither"
    reason = comparison.missing_reason.strip().removesuffix(".")[:200]
    return f"{told} (most often: “{reason}”)" if reason else told


def _guarded(metric: Metric, gain: Interval, *, significant: bool, above_noise: bool) -> tuple[Verdict, str]:
    if metric.margin > 0:
        margin = _size(metric, metric.margin)
        if gain.low > -metric.margin:
            return Verdict.BETTER, f"it is not worse by {margin}, the margin"
        if gain.high < -metric.margin:
            return Verdict.WORSE, f"it got worse by more than {margin}, the margin"
        return Verdict.INCONCLUSIVE, f"it was not shown to be within {margin}, the margin"
    if significant and gain.high < 0 and above_noise:
        return Verdict.WORSE, "it got worse"
    return Verdict.BETTER, "it was not shown to be worse"


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    primary = {each.verdict for each in comparisons if each.metric.role == MetricRole.PRIMARY}
    guards = {each.verdict for each in comparisons if each.metric.role == MetricRole.GUARD}
    if Verdict.WORSE in primary | guards:
        return Verdict.WORSE
    if Verdict.BETTER in primary and Verdict.INCONCLUSIVE not in guards:
        return Verdict.BETTER
    return Verdict.INCONCLUSIVE


def _sentence(comparison: Comparison, why: str, policy: Policy) -> str:
    name, kind, interval = comparison.metric.name, comparison.metric.value_kind, comparison.interval
    if interval is None:
        return f"{name}: {why}."
    figures = (
        f"{level(comparison.baseline_mean, kind)} before, {level(comparison.candidate_mean, kind)} now "
        f"({change(comparison.difference, kind)}, {100 * interval.level:.4g}% interval "
        f"{between(interval.low, interval.high, kind)}; {comparison.test}, "
        f"p {_probability(comparison.adjusted_p_value)}; {comparison.pairs:,} pairs)"
    )
    sentence = f"{name}: {why}: {figures}."
    effect = comparison.minimum_detectable_effect
    if comparison.verdict == Verdict.INCONCLUSIVE and "no difference" in why and effect is not None:
        least = _size(comparison.metric, effect)
        sentence += f" A difference of {least} would have been seen {100 * policy.power:.3g} times in 100."
    return sentence


def _signed(metric: Metric) -> float:
    return 1.0 if metric.direction == Direction.HIGHER else -1.0


def _gain(metric: Metric, interval: Interval) -> Interval:
    """The interval of the improvement: above 0 is better, whichever way the metric goes."""
    if metric.direction == Direction.HIGHER:
        return interval
    return Interval(-interval.high, -interval.low, interval.level)


def _size(metric: Metric, value: float | None) -> str:
    return change(value, metric.value_kind, signed=False)


def _probability(p: float | None) -> str:
    return "unknown" if p is None else "< 0.0001" if p < 0.0001 else f"= {p:.2g}"
