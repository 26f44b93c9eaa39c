"""The decision of a gate: what it says of clear cases, and how often it is wrong about even ones."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.evaluation.statistics.gates import decide
from apps.evaluation.statistics.pairing import pair
from apps.evaluation.statistics.types import Metric, Policy, Series, Values
from apps.evaluation.types import Direction, MetricRole, ValueKind, Verdict

BETTER, WORSE, INCONCLUSIVE = Verdict.BETTER, Verdict.WORSE, Verdict.INCONCLUSIVE
ACCURACY = Metric("accuracy", value_kind=ValueKind.BINARY)


def values(*columns: object) -> Values:
    """Each column is one repetition of all examples."""
    rows = np.column_stack([np.asarray(column, dtype=float) for column in columns])
    return {f"example-{place:05}": [float(value) for value in row] for place, row in enumerate(rows)}


def right(share: float, n: int = 200) -> list[int]:
    """Right on the first ``share`` of the examples."""
    return [int(place < share * n) for place in range(n)]


@pytest.mark.parametrize(
    ("candidate", "verdict"), [(0.8, BETTER), (0.6, WORSE), (0.71, INCONCLUSIVE), (0.7, INCONCLUSIVE)]
)
def test_a_better_a_worse_and_an_even_version(candidate: float, verdict: Verdict) -> None:
    decision = decide([Series(ACCURACY, values(right(0.7)), values(right(candidate)))])
    (comparison,) = decision.comparisons
    assert (decision.verdict, comparison.pairs, comparison.unpaired) == (verdict, 200, 0)
    assert comparison.test.startswith("McNemar")
    assert comparison.difference == pytest.approx(candidate - 0.7)
    assert len(comparison.regressions) == (5 if candidate < 0.7 else 0)
    assert json.loads(json.dumps(decision.as_json()))["verdict"] == verdict
    if verdict == INCONCLUSIVE:
        assert "would have been seen 80 times in 100" in decision.reasons[0]


def test_lower_is_better_where_the_metric_says_so() -> None:
    generator = np.random.default_rng(1)
    slow = generator.gamma(4, 200, 100)
    latency = Metric("latency", Direction.LOWER)
    decision = decide([Series(latency, values(slow), values(slow * 0.8))])
    assert decision.verdict == BETTER
    assert decision.comparisons[0].regressions == ()
    decision = decide([Series(latency, values(slow), values(slow * 1.2))])
    assert decision.verdict == WORSE
    worst = decision.comparisons[0].regressions
    assert [each.difference for each in worst] == sorted((each.difference for each in worst), reverse=True)


def guard(name: str = "tone", margin: float = 0.0) -> Metric:
    return Metric(name, role=MetricRole.GUARD, margin=margin)


@pytest.mark.parametrize(
    ("margin", "shift", "verdict", "words"),
    [
        (0.05, 0.0, BETTER, "not worse by 0.05, the margin"),
        (0.05, -0.02, BETTER, "not worse by 0.05, the margin"),
        (0.05, -0.05, INCONCLUSIVE, "not shown to be within 0.05"),
        (0.05, -0.10, WORSE, "worse by more than 0.05"),
        (0.0, 0.0, BETTER, "not shown to be worse"),
        (0.0, -0.05, WORSE, "it got worse"),
    ],
)
def test_a_guard_holds_within_its_margin(margin: float, shift: float, verdict: Verdict, words: str) -> None:
    tone = np.random.default_rng(2).normal(0.7, 0.1, 200)
    noise = np.random.default_rng(3).normal(0, 0.05, 200)
    noise -= noise.mean()
    better = Series(ACCURACY, values(right(0.7)), values(right(0.8)))
    decision = decide([better, Series(guard(margin=margin), values(tone), values(tone + noise + shift))])
    assert decision.verdict == verdict
    assert any(words in reason for reason in decision.reasons)


def test_the_verdict_is_inconclusive_where_the_evidence_is_thin() -> None:
    few = decide([Series(ACCURACY, values(right(0.1, 20)), values(right(0.9, 20)))])
    assert few.verdict == INCONCLUSIVE
    assert "20 pairs are fewer than the 30" in few.reasons[0]
    # A candidate that fails on the hard half looks perfect on the rest.
    half = values(right(1, 100))
    lopsided = decide([Series(ACCURACY, values(right(0.5)), half)])
    assert lopsided.verdict == INCONCLUSIVE
    assert "100 examples have a value on one side only" in lopsided.reasons[0]
    nothing = decide([Series(ACCURACY, values(right(0.5)), {})])
    assert (nothing.verdict, nothing.comparisons[0].interval) == (INCONCLUSIVE, None)
    noisy = Metric("accuracy", value_kind=ValueKind.BINARY, noise_floor=0.12)
    within = decide([Series(noisy, values(right(0.7)), values(right(0.8)))])
    assert (within.verdict, "noise floor of 12.0 points" in within.reasons[0]) == (INCONCLUSIVE, True)


def test_what_neither_side_has_a_value_for_is_told_as_that_and_why() -> None:
    none: dict[str, list[float | None]] = {str(200 + n): [] for n in range(60)}
    why = "The example has no expected value."
    unlabelled = decide([Series(ACCURACY, {**values(right(0.5)), **none}, {**values(right(0.6)), **none}, why)])
    assert unlabelled.verdict == INCONCLUSIVE
    said = "60 examples have a value on neither side (most often: “The example has no expected value”)"
    assert unlabelled.reasons[0].startswith(f"accuracy: {said}: 50.0%"), unlabelled.reasons
    assert (unlabelled.comparisons[0].unpaired, unlabelled.comparisons[0].unscored) == (60, 60)
    both = decide([Series(ACCURACY, {**values(right(0.5)), **none}, {**values(right(0.6, 190)), **none})])
    assert "70 examples have no value on one side, 60 of them on neither: " in both.reasons[0]
    nothing = decide([Series(ACCURACY, none, none, why)])
    assert nothing.reasons == (f"accuracy: 0 pairs are fewer than the 30 that are asked for, and {said}.",)


def test_many_metrics_are_not_many_chances() -> None:
    # Nine changes one way and one the other: p = 0.021 alone, 0.11 as one of five.
    before, after = right(0.7), right(0.7)
    after[140:149] = [1] * 9
    after[0] = 0
    assert decide([Series(ACCURACY, values(before), values(after))]).verdict == BETTER
    others = [Metric(f"other-{place}", value_kind=ValueKind.BINARY) for place in range(4)]
    even = [Series(metric, values(before), values(before)) for metric in others]
    decision = decide([Series(ACCURACY, values(before), values(after)), *even])
    assert decision.verdict == INCONCLUSIVE
    assert decision.comparisons[0].adjusted_p_value == pytest.approx(5 * 11 / 512)


def test_a_watched_metric_decides_nothing_and_names_are_unique() -> None:
    watched = Metric("length", role=MetricRole.WATCH)
    primary = Series(ACCURACY, values(right(0.7)), values(right(0.8)))
    decision = decide([Series(watched, values(right(0.9)), values(right(0.1))), primary])
    assert decision.verdict == BETTER
    assert decision.reasons[-1].startswith("length")
    with pytest.raises(ValueError, match="one name"):
        decide([primary, primary])
    with pytest.raises(ValueError, match="needs a primary metric"):
        decide([Series(watched, {}, {})])


def test_repetitions_count_once_per_example() -> None:
    pairs = pair({"a": [1, 0, None], "b": [float("nan")], "c": [1]}, {"c": [0, 1, 1, 0], "a": [1], "d": [1]})
    assert pairs.examples == ("a", "c")
    assert list(pairs.baseline) == [0.5, 1.0]
    assert list(pairs.candidate) == [1.0, 0.5]
    assert pairs.unpaired == 2
    once = decide([Series(ACCURACY, values(right(0.7)), values(right(0.75)))])
    often = decide([Series(ACCURACY, values(*[right(0.7)] * 9), values(*[right(0.75)] * 9))])
    assert once.comparisons[0].p_value == often.comparisons[0].p_value


# Nothing is different: how often is something released?

GATES = 1_000
EXAMPLES = 40
QUICK = Policy(resamples=599)
Draw = Callable[[np.random.Generator], tuple[Values, Values]]


def binary(generator: np.random.Generator) -> tuple[Values, Values]:
    difficulty = generator.beta(2, 1, EXAMPLES)
    return values(generator.random(EXAMPLES) < difficulty), values(generator.random(EXAMPLES) < difficulty)


def ordinal(generator: np.random.Generator) -> tuple[Values, Values]:
    middle = generator.integers(2, 5, EXAMPLES)
    first, second = (np.clip(middle + generator.integers(-1, 2, EXAMPLES), 1, 5) for _ in range(2))
    return values(first), values(second)


def skewed(generator: np.random.Generator) -> tuple[Values, Values]:
    return values(generator.lognormal(0, 1.5, EXAMPLES)), values(generator.lognormal(0, 1.5, EXAMPLES))


def repeated(generator: np.random.Generator) -> tuple[Values, Values]:
    difficulty = generator.beta(2, 1, EXAMPLES)
    first, second = (values(*(generator.random((3, EXAMPLES)) < difficulty)) for _ in range(2))
    return first, second


@pytest.mark.parametrize(
    ("kind", "draw"),
    [
        (ValueKind.BINARY, binary),
        (ValueKind.ORDINAL, ordinal),
        (ValueKind.CONTINUOUS, skewed),
        (ValueKind.BINARY, repeated),
    ],
)
def test_even_versions_are_released_at_most_as_often_as_alpha_says(kind: ValueKind, draw: Draw) -> None:
    generator = np.random.default_rng(20_240_229)
    metric = Metric("quality", value_kind=kind)
    verdicts = [decide([Series(metric, *draw(generator))], QUICK).verdict for _ in range(GATES)]
    # The tests are two-sided, so half of alpha is the expectation; alpha is the promise.
    assert verdicts.count(BETTER) <= QUICK.alpha * GATES
    assert verdicts.count(BETTER) + verdicts.count(WORSE) <= (QUICK.alpha + 3 * 0.0069) * GATES


def test_several_primary_metrics_together_keep_alpha() -> None:
    generator = np.random.default_rng(7)
    metrics = [Metric(f"metric-{place}", value_kind=ValueKind.BINARY) for place in range(2)]
    released = 0
    for _ in range(GATES // 2):
        drawn = generator.random((2, 2, 120)) < generator.beta(2, 1, (2, 1, 120))
        series = [
            Series(metric, values(sides[0]), values(sides[1])) for metric, sides in zip(metrics, drawn, strict=True)
        ]
        released += decide(series, Policy(alpha=0.05)).verdict == BETTER
    assert released <= 0.05 * GATES // 2


def test_a_real_improvement_is_found_as_often_as_the_detectable_effect_says() -> None:
    generator = np.random.default_rng(9)
    found, effects = 0, []
    for _ in range(300):
        before = generator.normal(0.6, 0.2, EXAMPLES)
        after = before + generator.normal(0.1, 0.2, EXAMPLES)
        decision = decide([Series(Metric("quality"), values(before), values(after))], QUICK)
        found += decision.verdict == BETTER
        effects.append(decision.comparisons[0].minimum_detectable_effect)
    # 0.1 is a little more than what 40 pairs with a spread of 0.2 detect in 80 of 100 cases (0.091).
    assert np.mean(np.array(effects, dtype=float)) == pytest.approx(0.091, abs=0.003)
    assert found / 300 > 0.78


scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=30, max_size=60)


@settings(max_examples=40, deadline=None)
@given(scores)
def test_swapping_the_sides_turns_the_verdict_round(pairs: list[tuple[float, float]]) -> None:
    before, after = values([a for a, _ in pairs]), values([b for _, b in pairs])
    metric = Metric("quality")
    there = decide([Series(metric, before, after)], QUICK)
    back = decide([Series(metric, after, before)], QUICK)
    mirrored = {BETTER: WORSE, WORSE: BETTER, INCONCLUSIVE: INCONCLUSIVE}
    one, other = there.comparisons[0], back.comparisons[0]
    assert one.p_value == other.p_value
    assert one.interval is not None
    assert other.interval is not None
    assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-9)
    clear = min(abs(one.interval.low), abs(one.interval.high)) > 1e-9
    assert not clear or back.verdict == mirrored[there.verdict]
