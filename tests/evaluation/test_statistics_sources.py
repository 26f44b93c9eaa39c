"""The statistics against scipy, statsmodels and worked examples of the literature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa as reference_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from apps.evaluation.statistics.agreement import cohens_kappa, confusion
from apps.evaluation.statistics.calibration import Rated, calibrate
from apps.evaluation.statistics.control import (
    Summary,
    ewma,
    mean_limits,
    newest_point,
    proportion_limits,
    summary_of,
)
from apps.evaluation.statistics.multiplicity import holm
from apps.evaluation.statistics.noise import minimum_detectable_change, minimum_detectable_effect, noise_floor
from apps.evaluation.statistics.proportions import PairedTable, difference_interval, mcnemar
from apps.evaluation.statistics.ranking import bradley_terry
from apps.evaluation.statistics.ranks import wilcoxon
from apps.evaluation.statistics.resampling import bca_interval, sign_flip_p
from apps.evaluation.statistics.wilson import wilson

# Airway hyper-responsiveness before and after a transplantation: the example of Fagerland, Lydersen and Laake (2013).
AIRWAYS = PairedTable(both=1, only_baseline=1, only_candidate=7, neither=12)


def test_mcnemar_agrees_with_the_published_example_and_with_statsmodels() -> None:
    assert mcnemar(AIRWAYS, "exact")[1] == pytest.approx(0.0703125)
    assert mcnemar(AIRWAYS, "mid-p")[1] == pytest.approx(0.0390625)
    for b, c in [(1, 7), (3, 3), (0, 9), (12, 30), (86, 150)]:
        table = PairedTable(20, b, c, 30)
        cells = [[20, b], [c, 30]]
        assert mcnemar(table, "exact")[1] == pytest.approx(reference_mcnemar(cells, exact=True).pvalue, abs=1e-9)
        reference = reference_mcnemar(cells, exact=False, correction=b != c).pvalue
        assert mcnemar(table, "chi-squared")[1] == pytest.approx(reference, abs=1e-9)
    assert mcnemar(PairedTable(5, 0, 0, 5)) == ("McNemar, exact", 1.0)
    assert mcnemar(PairedTable(9, 10, 20, 9))[0] == "McNemar, mid-p"


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe (1998): method 10 for his examples (36, 12, 2, 0) and (54, 0, 0, 0).
        (PairedTable(36, 2, 12, 0), 0.0569, 0.3404),
        (PairedTable(54, 0, 0, 0), -0.0664, 0.0664),
    ],
)
def test_the_interval_of_paired_proportions_is_newcombes(table: PairedTable, low: float, high: float) -> None:
    interval = difference_interval(table)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_wilsons_interval_agrees_with_statsmodels() -> None:
    for successes, n in [(0, 9), (7, 20), (480, 500), (3, 3)]:
        assert wilson(successes, n) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-9)


def test_the_bootstrap_agrees_with_scipy() -> None:
    differences = np.random.default_rng(7).exponential(1, 40) - 0.8
    ours = bca_interval(differences, level=0.95, resamples=4_999, seed=3)
    theirs = stats.bootstrap(
        (differences,), np.mean, n_resamples=4_999, confidence_level=0.95, rng=np.random.default_rng(3), method="BCa"
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_sign_flips_agree_with_scipys_permutations() -> None:
    few = np.array([0.4, -0.1, 0.0, 1.2, 0.7, -0.3, 0.9, 0.2, 0.25])
    every = stats.permutation_test((few,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(few, resamples=99, seed=0) == pytest.approx(every.pvalue, abs=1e-9)
    many = np.random.default_rng(5).normal(0.25, 1, 60)
    assert sign_flip_p(many, resamples=20_000, seed=0) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.01)


def test_wilcoxon_agrees_with_scipy() -> None:
    generator = np.random.default_rng(11)
    for size in (30, 200):
        differences = generator.integers(-3, 5, size).astype(float)
        theirs = stats.wilcoxon(differences, zero_method="pratt", method="asymptotic", correction=False)
        assert wilcoxon(differences)[1] == pytest.approx(theirs.pvalue, abs=1e-9)
    few = np.array([1.5, -2.25, 3.1, 4.2, 5.3, -6.4, 7.5, 8.6, 9.7, 10.8])
    assert wilcoxon(few)[1] == pytest.approx(stats.wilcoxon(few, method="exact").pvalue, abs=1e-9)
    assert wilcoxon(np.zeros(9))[1] == 1.0


def test_holm_agrees_with_statsmodels() -> None:
    for size in (1, 2, 9):
        p_values = list(np.random.default_rng(size).uniform(0, 0.2, size))
        assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-12)
    assert holm([]) == []


def test_the_detectable_effect_agrees_with_statsmodels() -> None:
    for pairs, alpha, power in [(30, 0.05, 0.8), (200, 0.01, 0.9)]:
        effect = minimum_detectable_effect(2.5, pairs, alpha=alpha, power=power)
        assert effect is not None
        assert TTestPower().power(effect / 2.5, pairs, alpha) == pytest.approx(power, abs=1e-7)
    for pairs in range(2, 12):  # where the wrong tail is so thin that SciPy's function has holes
        for alpha in (0.1, 0.05, 0.025, 0.01, 0.001):
            effect = minimum_detectable_effect(1.0, pairs, alpha=alpha)
            assert effect is not None
            power = TTestPower().power(effect, pairs, alpha / 2, alternative="larger")
            assert power == pytest.approx(0.8, abs=1e-4)  # less that tail
    assert minimum_detectable_effect(0.0, 30) is None
    # Six changes in one direction are the fewest that the exact test calls significant: 2 / 2**6 = 0.03.
    assert minimum_detectable_change(100) == pytest.approx(0.06)


def test_the_noise_floor_is_what_two_runs_of_one_version_exceed_once_in_twenty() -> None:
    generator = np.random.default_rng(1)
    levels = generator.uniform(0, 1, 60)
    runs = {str(i): list(generator.normal(level, 0.2, 8)) for i, level in enumerate(levels)}
    floor = noise_floor(runs)
    assert floor is not None
    apart = np.abs(generator.normal(0, 0.2, (4_000, 2, 60)).mean(axis=2) @ np.array([1, -1]))
    assert float(np.mean(apart > floor)) == pytest.approx(0.05, abs=0.02)
    assert noise_floor({"1": [0.5], "2": [1.0, None]}) is None


def test_kappa_agrees_with_statsmodels_and_with_cohens_own_example() -> None:
    generator = np.random.default_rng(2)
    first = [int(value) for value in generator.integers(1, 6, 120)]
    second = [
        min(5, max(1, value + int(step))) for value, step in zip(first, generator.integers(-1, 2, 120), strict=True)
    ]
    scale = [1, 2, 3, 4, 5]
    for weights, reference in [("unweighted", None), ("quadratic", "quadratic")]:
        ours = cohens_kappa(first, second, scale, weights=weights)  # type: ignore[arg-type]
        theirs = reference_kappa(confusion(first, second, scale), wt=reference)
        assert ours.interval is not None
        assert ours.value == pytest.approx(theirs.kappa, abs=1e-9)
        assert (ours.interval.low, ours.interval.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=1e-6)
    # Labels that nobody gave move nothing, and neighbours stay neighbours.
    told, heard = [1, 4, 5, 5, 4, 1, 1, 5], [1, 5, 5, 4, 4, 1, 4, 5]
    weighed = [cohens_kappa(told, heard, labels, weights="quadratic") for labels in ([1, 4, 5], scale)]
    assert weighed[0].value == pytest.approx(weighed[1].value)
    # Two readers and 50 proposals: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no give 0.4.
    readers = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    kappa = cohens_kappa([a for a, _ in readers], [b for _, b in readers], ["y", "n"])
    assert kappa.value == pytest.approx(0.4)
    assert kappa.agreement == 0.7
    assert cohens_kappa(["y"] * 9, ["y"] * 9, ["y", "n"]).value is None
    with pytest.raises(ValueError, match="'maybe' is none of the labels"):
        cohens_kappa(["y"], ["maybe"], ["y", "n"])


def test_a_calibration_shows_a_judge_that_always_says_the_same() -> None:
    rated = [Rated("pass", "pass", ("easy",))] * 90 + [Rated("fail", "pass", ("hard",))] * 10
    lazy = calibrate(rated, ["pass", "fail"])
    assert (lazy.kappa.agreement, lazy.baseline_agreement, lazy.beats_constant) == (0.9, 0.9, False)
    assert lazy.kappa.value == pytest.approx(0.0)
    answers = [*rated[:90], *[Rated("fail", "fail", ("hard",))] * 9, rated[-1]]
    good = calibrate(answers, ["pass", "fail"], judge_errors=11)
    assert (good.beats_constant, good.others, good.judge_errors) == (True, 10, 11)
    assert set(good.by_slice) == {"easy", "hard"}


def test_on_a_scale_a_judge_is_held_against_the_constant_that_is_least_far_off() -> None:
    exact = {1: 2, 3: 4, 5: 5}
    near = [Rated(human, judge) for human, judge in exact.items() for _ in range(10)]
    # 20 verdicts are one off: 20, where always 3 is off by 80.
    assert calibrate(near, [1, 2, 3, 4, 5], weights="quadratic").beats_constant
    assert not calibrate([Rated(each.human, 3) for each in near], [1, 3, 5], weights="quadratic").beats_constant
    # As labels they are no neighbours: a third is right, as with any constant.
    assert not calibrate(near, [1, 2, 3, 4, 5]).beats_constant


def test_limits_agree_with_the_handbooks_example() -> None:
    # NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.4.
    told = "52 47 53 49.3 50.1 47 51 50.1 51.2 50.5 49.6 47.6 49.9 51.3 47.8 51.2 52.6 52.4 53.6 52.1"
    values = [float(value) for value in told.split()]
    points = ewma(values, 50, [2.0539] * 20, weight=0.3, sigmas=3)
    assert [round(point.compared, 2) for point in points[:6]] == [50.6, 49.52, 50.56, 50.18, 50.16, 49.21]
    assert points[-1].limits.low == pytest.approx(47.4115, abs=1e-4)
    assert points[-1].limits.high == pytest.approx(52.5884, abs=1e-4)
    assert all(point.holds for point in points)
    assert not ewma([*values, 60.0], 50, [2.0539] * 21, weight=0.3, sigmas=3)[-1].holds
    assert proportion_limits(0.1, 900).high == pytest.approx(0.13)
    assert proportion_limits(0.01, 20).low == 0.0
    assert mean_limits(10, 2, 4).holds(12.9)
    assert not mean_limits(10, 2, 4).holds(13.1)


def test_a_share_is_held_to_the_handbooks_limits() -> None:
    # NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.3.2: wafers of 50 chips, of which 23.13 % are defective.
    told = proportion_limits(0.2313, 50)
    assert (round(told.low, 4), round(told.high, 4)) == (0.0524, 0.4102)
    known = Summary(10**9, 0.2313, math.sqrt(0.2313 * (1 - 0.2313)))

    def point(defective: int) -> tuple[bool, float]:
        sample = summary_of([1.0] * defective + [0.0] * (50 - defective), is_share=True)
        assert sample is not None
        found = newest_point([sample], known, moving=False, sigmas=3, is_share=True)
        assert found.limits.high == pytest.approx(told.high, abs=1e-6)
        return found.holds, found.value

    assert [point(each)[0] for each in (2, 3, 20, 21)] == [False, True, True, False]


def test_limits_allow_for_a_baseline_that_was_itself_sampled() -> None:
    # As wide as three standard errors of a difference of means: with equal samples sqrt(2) times those of a known mean.
    sample, baseline = Summary(50, 0.7, 0.2), Summary(50, 0.7, 0.2)
    found = newest_point([sample], baseline, moving=False, sigmas=3, is_share=False).limits
    assert found.high - found.centre == pytest.approx(3 * 0.2 * math.sqrt(2 / 50))
    moved = newest_point([sample] * 200, baseline, moving=True, sigmas=3, is_share=False).limits
    assert moved.high - moved.centre == pytest.approx(3 * 0.2 * math.sqrt(1 / 50 / 9 + 1 / 50))  # weight 0.2
    # Never a failure so far: one in fifty is no alarm, a handful is.
    perfect = summary_of([1.0] * 100, is_share=True)
    assert perfect is not None
    assert summary_of([], is_share=True) is None

    def holds(failures: int) -> bool:
        now = summary_of([1.0] * (50 - failures) + [0.0] * failures, is_share=True)
        assert now is not None
        return newest_point([now], perfect, moving=False, sigmas=3, is_share=True).holds

    assert [holds(each) for each in (0, 1, 5)] == [True, True, False]


@pytest.mark.parametrize("moving", [False, True])
def test_a_baseline_whose_scores_were_all_alike_is_no_hair_trigger(moving: bool) -> None:
    alike, inexact = summary_of([5.0] * 200, is_share=False), summary_of([0.11] * 20, is_share=False)
    assert alike is not None
    assert inexact is not None
    assert inexact.spread == 0, "whatever a sum of floats makes of the mean"

    def holds(*scores: float) -> bool:
        now = summary_of(scores, is_share=False)
        assert now is not None
        return newest_point([now] * 5, alike, moving=moving, sigmas=3, is_share=False).holds

    assert holds(*[5.0] * 50)
    assert holds(*[5.0] * 49, 4.0), "one answer that is a little worse"
    assert not holds(*[5.0] * 20, *[4.0] * 30)
    assert not holds(*[4.0] * 50), "all of them, and alike"


def test_bradley_terry_agrees_with_a_logistic_regression() -> None:
    games = {("a", "b"): 7, ("b", "a"): 3, ("a", "c"): 9, ("c", "a"): 2, ("b", "c"): 6, ("c", "b"): 5}
    ratings = bradley_terry(games, prior=0)
    design, won = [], []
    for first, second in [("a", "b"), ("a", "c"), ("b", "c")]:
        design.append([float(name == first) - float(name == second) for name in ("a", "b")])
        won.append([games[first, second], games[second, first]])
    a, b = GLM(np.array(won), np.array(design), family=Binomial()).fit().params
    scale = 400 / math.log(10)
    assert ratings["a"] - ratings["c"] == pytest.approx(a * scale, abs=1e-6)
    assert ratings["b"] - ratings["c"] == pytest.approx(b * scale, abs=1e-6)
    unbeaten = bradley_terry({("a", "b"): 5})
    assert unbeaten["a"] > unbeaten["b"]
    with pytest.raises(ValueError, match="never won"):
        bradley_terry({("a", "b"): 5}, prior=0)
