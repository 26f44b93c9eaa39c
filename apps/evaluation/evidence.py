"""The evidence for a verdict: two runs weighed by their terms, as plain JSON that is kept for good.

    evidence = weigh(baseline, candidate, terms)

It reads scores and answers, and asks ``apps.evaluation.statistics``, which imports numpy and scipy: only a worker does.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.db.models import Count, Q, QuerySet

from apps.evaluation.charts import distribution_of, scatter_of
from apps.evaluation.models import Evaluation, EvaluationItem, EvaluationMetric, ExampleRevision, Score, ScorerVersion
from apps.evaluation.statistics.types import Comparison, Metric, Policy, Series
from apps.evaluation.terms import Terms, terms_of_run
from apps.evaluation.types import Direction, ItemStatus, MetricRole, RunStatus, ScoreStatus, ValueKind, Verdict

WHY: Final = "two runs of one tenant that are weighed against each other"
WORST: Final = 5
LONGEST_TEXT: Final = 4_000
NOISE_RUNS: Final = 5  # earlier runs of the baseline that tell how much it differs from itself

Grouped = dict[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class _Side:
    """One run's part in a metric."""

    run: Evaluation
    version: ScorerVersion
    values: Grouped


def weigh(baseline: Evaluation, candidate: Evaluation, terms: Terms) -> dict[str, Any]:
    """Raises ValueError where the two have no primary metric in common."""
    from apps.evaluation.statistics.gates import decide

    sides, missing = _sides(baseline, candidate, terms)
    if not any(metric.role == MetricRole.PRIMARY for metric, _, _ in sides):
        raise ValueError("The two runs have no primary metric in common.")
    policy = _policy(terms)
    series = [Series(metric, left.values, right.values, _why_missing(left, right)) for metric, left, right in sides]
    decision = decide(series, policy)
    told = [_metric(found, left, right) for found, (_, left, right) in zip(decision.comparisons, sides, strict=True)]
    usage = _usage(baseline, candidate)
    breaches = _breaches(terms, usage)
    verdict = Verdict.WORSE if breaches else decision.verdict
    skipped = len(_skipped(candidate) | _skipped(baseline))
    early = [f"It stopped early: {skipped:,} examples could not have changed the verdict."] if skipped else []
    return {
        "verdict": str(verdict),
        "reasons": [*breaches, *decision.reasons, *early],
        "skipped": skipped,
        "metrics": told,
        "worst": _worst(baseline, candidate, decision.comparisons, sides),
        "usage": usage,
        "warnings": [*_warnings(baseline, candidate, sides), *(f"{name} is not in both runs." for name in missing)],
        "policy": asdict(decision.policy),
        "baseline": _run(baseline),
        "candidate": _run(candidate),
    }


def certain_verdict(baseline: Evaluation, candidate: Evaluation, terms: Terms) -> Verdict | None:
    """Of a candidate that is still running beside a baseline that is done: the verdict that the rest cannot change
    (INCONCLUSIVE: it cannot become better). None where it still may."""
    from apps.evaluation.statistics.curtailment import Unfinished, certain

    # Before the scores are read: what another worker finishes in between is still to come, and does not lack a score.
    items = EvaluationItem.objects.unscoped(WHY).filter(evaluation=candidate, status=ItemStatus.PENDING)
    left = set(map(str, items.order_by().values_list("revision_id", flat=True).distinct()))
    sides, missing = _sides(baseline, candidate, terms)
    if missing or not any(metric.role == MetricRole.PRIMARY for metric, _, _ in sides):
        return None
    unfinished = [
        Unfinished(Series(metric, before.values, after.values), after.version.low, after.version.high)
        for metric, before, after in sides
    ]
    limited = terms.most_cost_ratio is not None or terms.most_latency_ratio is not None
    return certain(unfinished, left, _policy(terms), limited=limited)


def _policy(terms: Terms) -> Policy:
    return Policy(alpha=terms.alpha, minimum_pairs=max(2, terms.minimum_pairs), worst=WORST)


def _sides(
    baseline: Evaluation, candidate: Evaluation, terms: Terms
) -> tuple[list[tuple[Metric, _Side, _Side]], list[str]]:
    """The metrics that both runs have, each with both sides, and the names of the others."""
    theirs, ours = _versions(baseline), _versions(candidate)
    sides: list[tuple[Metric, _Side, _Side]] = []
    missing: list[str] = []
    not_needed = _skipped(baseline) | _skipped(candidate)
    answered = {run.pk: _revisions(run) for run in (baseline, candidate)}
    # Scorers of one kind bear one name, unless somebody gave them others.
    named = Counter(term.name for term in terms.metrics)
    for term in terms.metrics:
        name = term.name if named[term.name] == 1 else f"{term.name} ({term.scorer})"
        if term.scorer not in theirs or term.scorer not in ours:
            missing.append(name)
            continue
        left = _Side(baseline, theirs[term.scorer], {})
        left.values.update(_values(baseline, left.version, answered[baseline.pk], not_needed))
        right = _Side(candidate, ours[term.scorer], {})
        right.values.update(_values(candidate, right.version, answered[candidate.pk], not_needed))
        metric = Metric(
            name=f"{name} ({right.version.unit})" if right.version.unit else name,
            direction=Direction(right.version.direction),
            value_kind=ValueKind(right.version.value_kind),
            role=MetricRole(term.role),
            margin=term.margin,
            noise_floor=_noise_floor(baseline, left),
        )
        sides.append((metric, left, right))
    return sides, missing


def terms_of(run: Evaluation) -> Terms:
    """By the run's own metrics."""
    rows = EvaluationMetric.objects.unscoped(WHY).filter(evaluation=run).select_related("scorer_version__scorer")
    return terms_of_run(rows.order_by("pk"))


def summary_of(run: Evaluation) -> dict[str, Any]:
    """A run by itself: where there is nothing to compare it with."""
    rows = EvaluationMetric.objects.unscoped(WHY).filter(evaluation=run).select_related("scorer_version__scorer")
    told = [
        {
            "name": row.scorer_version.scorer.name,
            "value_kind": row.scorer_version.value_kind,
            "role": row.role,
            "summary": row.summary,
        }
        for row in rows.order_by("pk")
    ]
    return _run(run) | {"metrics": told}


def _versions(run: Evaluation) -> dict[str, ScorerVersion]:
    """By the scorer's slug; where a run has two versions of one, the newer."""
    rows = EvaluationMetric.objects.unscoped(WHY).filter(evaluation=run).select_related("scorer_version__scorer")
    ordered = sorted((each.scorer_version for each in rows), key=lambda version: version.number)
    return {version.scorer.slug: version for version in ordered}


def _revisions(run: Evaluation) -> list[int]:
    """Of the run's items that are over: each was asked, whatever came of it."""
    rows = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run, status__in=(ItemStatus.DONE, ItemStatus.ERROR))
    return list(rows.order_by("revision_id").values_list("revision_id", flat=True).distinct())


def _skipped(run: Evaluation) -> set[int]:
    """Revisions that nobody asked about, as the verdict was sure before: they are no failures of either side."""
    items = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run)
    skipped = items.filter(status=ItemStatus.SKIPPED).values_list("revision_id", flat=True)
    asked = items.filter(status__in=(ItemStatus.DONE, ItemStatus.ERROR)).values("revision_id")
    return set(skipped.exclude(revision__in=asked))


def _values(
    run: Evaluation, version: ScorerVersion, revisions: Sequence[int], not_needed: Set[int] = frozenset()
) -> Grouped:
    """By revision. One that was asked and has no score has no values, so that it counts as unpaired."""
    grouped: Grouped = {str(each): [] for each in revisions}
    rows = Score.objects.unscoped(WHY).filter(
        item__evaluation=run, item__status=ItemStatus.DONE, scorer_version=version
    )
    for revision, value in rows.order_by("item__revision_id", "item__repetition").values_list(
        "item__revision_id", "value"
    ):
        grouped.setdefault(str(revision), []).append(value)
    return {key: values for key, values in grouped.items() if int(key) not in not_needed}


def _noise_floor(baseline: Evaluation, side: _Side) -> float | None:
    """From answers of the same version to the same examples: its repetitions, and earlier runs of the same."""
    from apps.evaluation.statistics.noise import noise_floor

    same = Evaluation.objects.unscoped(WHY).filter(
        prompt_version=baseline.prompt_version_id,
        model=baseline.model,
        dataset_version=baseline.dataset_version_id,
        parameters=baseline.parameters,
        status=RunStatus.DONE,
    )
    ids = list(same.exclude(pk=baseline.pk).order_by("-pk").values_list("pk", flat=True)[:NOISE_RUNS])
    rows = Score.objects.unscoped(WHY).filter(
        # An answer that was taken again says nothing of how much answers differ.
        Q(item__evaluation=baseline) | Q(item__evaluation__in=ids, item__is_reused=False),
        # The same version may have been evaluated on more examples: the floor is that of a mean over these.
        item__revision__in=EvaluationItem.objects.unscoped(WHY).filter(evaluation=baseline).values("revision"),
        scorer_version=side.version,
        item__status=ItemStatus.DONE,
    )
    grouped: defaultdict[str, list[float | None]] = defaultdict(list)
    for revision, value in rows.order_by("pk").values_list("item__revision_id", "value"):
        grouped[str(revision)].append(value)
    return noise_floor(grouped, repetitions=baseline.repetitions)


def _metric(found: Comparison, left: _Side, right: _Side) -> dict[str, Any]:
    plain = asdict(found)
    metric = plain.pop("metric")
    plain.pop("regressions")
    pairs = paired_means(left.values, right.values)
    sign = 1 if found.metric.direction == Direction.HIGHER else -1
    gains = [sign * (after - before) for before, after in pairs.values()]
    return {
        **metric,
        **plain,
        "scorer": right.version.scorer.slug,
        "versions": [left.version.number, right.version.number],
        "unit": right.version.unit,
        "low": right.version.low,
        "high": right.version.high,
        "improved": sum(gain > 0 for gain in gains),
        "regressed": sum(gain < 0 for gain in gains),
        "tied": sum(gain == 0 for gain in gains),
        "distribution": distribution_of(list(_means(left.values).values()), list(_means(right.values).values())),
        "scatter": scatter_of(list(pairs.values())),
    }


def paired_means(
    left: Mapping[str, Sequence[float | None]], right: Mapping[str, Sequence[float | None]]
) -> dict[str, tuple[float, float]]:
    """(baseline, candidate) of what both have a value for: each the mean of its repetitions."""
    before, after = _means(left), _means(right)
    return {key: (before[key], after[key]) for key in before.keys() & after.keys()}


def _means(values: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    found = {}
    for key, each in values.items():
        known = [value for value in each if value is not None and math.isfinite(value)]
        if known:
            found[key] = math.fsum(known) / len(known)
    return found


def _worst(
    baseline: Evaluation,
    candidate: Evaluation,
    comparisons: Sequence[Comparison],
    sides: Sequence[tuple[Metric, _Side, _Side]],
) -> list[dict[str, Any]]:
    """The examples that lost most: by the primary metrics, then, where those are few, by the guards."""
    order = {MetricRole.PRIMARY: 0, MetricRole.GUARD: 1}
    ranked = sorted(
        (each for each in comparisons if each.metric.role in order), key=lambda each: order[each.metric.role]
    )
    chosen: dict[str, tuple[Comparison, Any]] = {}
    for comparison in ranked:
        for regression in comparison.regressions:
            if len(chosen) < WORST:
                chosen.setdefault(regression.example, (comparison, regression))
    rows = {
        str(row.pk): row
        for row in ExampleRevision.objects.unscoped(WHY).filter(pk__in=map(int, chosen)).select_related("example")
    }
    outputs = {run.pk: _outputs(run, chosen) for run in (baseline, candidate)}
    return [
        {
            "example": rows[key].example.key,
            "revision": int(key),
            "slice": rows[key].slice,
            "input": rows[key].input,
            "expected": rows[key].expected,
            "metric": comparison.metric.name,
            "value_kind": comparison.metric.value_kind,
            "baseline": regression.baseline,
            "candidate": regression.candidate,
            "difference": regression.difference,
            "baseline_output": outputs[baseline.pk].get(key, ""),
            "candidate_output": outputs[candidate.pk].get(key, ""),
        }
        for key, (comparison, regression) in chosen.items()
        if key in rows
    ]


def _outputs(run: Evaluation, revisions: Mapping[str, Any]) -> dict[str, str]:
    rows = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run, revision__in=map(int, revisions))
    found: dict[str, str] = {}
    for revision, output, error in rows.order_by("repetition").values_list("revision_id", "output", "error"):
        found.setdefault(str(revision), (output or error)[:LONGEST_TEXT])
    return found


def _usage(baseline: Evaluation, candidate: Evaluation) -> dict[str, Any]:
    """What an answer cost and took, on the examples that both answered."""
    left, right = _taken(baseline), _taken(candidate)
    both = sorted(left.keys() & right.keys())
    told: dict[str, Any] = {"examples": len(both)}
    for name, place in (("cost_picousd", 0), ("duration_ms", 1)):
        before = [left[key][place] for key in both]
        after = [right[key][place] for key in both]
        known = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
        was = math.fsum(a for a, _ in known) / len(known) if known else None
        now = math.fsum(b for _, b in known) / len(known) if known else None
        told[name] = {"baseline": was, "candidate": now, "ratio": now / was if was and now is not None else None}
    return told


def _taken(run: Evaluation) -> dict[int, tuple[float, float | None]]:
    rows = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run, status=ItemStatus.DONE)
    grouped: defaultdict[int, list[tuple[int, int | None]]] = defaultdict(list)
    for revision, reused, cost, saved, duration in rows.values_list(
        "revision_id", "is_reused", "cost_picousd", "saved_picousd", "duration_ms"
    ):
        grouped[revision].append((saved if reused else cost, duration))
    found: dict[int, tuple[float, float | None]] = {}
    for revision, each in grouped.items():
        times = [duration for _, duration in each if duration is not None]
        found[revision] = (
            math.fsum(cost for cost, _ in each) / len(each),
            math.fsum(times) / len(times) if times else None,
        )
    return found


def _breaches(terms: Terms, usage: Mapping[str, Any]) -> list[str]:
    found = []
    for name, most, word in (
        ("cost_picousd", terms.most_cost_ratio, "Cost"),
        ("duration_ms", terms.most_latency_ratio, "Time"),
    ):
        before, now, ratio = (usage[name][each] for each in ("baseline", "candidate", "ratio"))
        # A price where there was none is more than any ratio. (A time of 0 ms is one that is too short to be measured.)
        if most is not None and name == "cost_picousd" and before == 0 and now:
            found.append(f"Cost: an answer costs something, and the baseline's nothing; the limit is {most:g} times.")
        if most is not None and ratio is not None and ratio > most:
            found.append(f"{word}: an answer takes {ratio:.2f} times the baseline's; the limit is {most:g} times.")
    return found


def _of_one_route(*models: str) -> bool:
    """Whether they are revisions of one route (``slug@3``), which differ by what is asked about them."""
    named = [model.rpartition("@") for model in models]
    return all(slug and number.isdigit() for slug, _, number in named) and len({slug for slug, _, _ in named}) == 1


def _warnings(baseline: Evaluation, candidate: Evaluation, sides: Sequence[tuple[Metric, _Side, _Side]]) -> list[str]:
    found = []
    if baseline.dataset_version_id != candidate.dataset_version_id:
        found.append(
            f"The datasets differ: {_dataset(baseline)} and {_dataset(candidate)}. Only examples that are the same in"
            " both are paired."
        )
    if baseline.model != candidate.model and not _of_one_route(baseline.model, candidate.model):
        found.append(f"The models differ: {baseline.model} and {candidate.model}.")
    if baseline.parameters != candidate.parameters:
        found.append("The runs' parameters differ.")
    for metric, left, right in sides:
        if left.version.pk != right.version.pk:
            found.append(
                f"{metric.name} was scored by version {left.version.number} there and by version"
                f" {right.version.number} here: the scores may not mean the same."
            )
    for _, left, right in sides:
        found += filter(None, (_unscored(side) for side in (left, right)))
    for run in (baseline, candidate):
        errors = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run, status=ItemStatus.ERROR).count()
        if errors:
            found.append(f"{errors:,} answers of “{run.name}” are errors.")
    return found


def _unscored(side: _Side) -> str:
    """How many answers of the run the scorer could not score, and why most of them."""
    rows = Score.objects.unscoped(WHY).filter(
        item__evaluation=side.run, item__status=ItemStatus.DONE, scorer_version=side.version, status=ScoreStatus.ERROR
    )
    codes = _error_codes(rows)
    total = sum(row["n"] for row in codes)
    if not total:
        return ""
    example = rows.filter(error_code=codes[0]["error_code"]).order_by("pk").values_list("reason", flat=True)[0]
    most = f": {example}" if len(codes) == 1 else f", most often: {example}"
    return f"{total:,} answers of “{side.run.name}” have no score by {side.version.scorer.name}{most}"[:400]


def _why_missing(left: _Side, right: _Side) -> str:
    """Why most of the missing values are missing: the scorer could not score the answer, or there was none."""
    if len(paired_means(left.values, right.values)) == len(left.values.keys() | right.values.keys()):
        return ""
    runs = (left.run, right.run)
    scores = Score.objects.unscoped(WHY).filter(
        item__evaluation__in=runs,
        item__status=ItemStatus.DONE,
        scorer_version__in=(left.version, right.version),
        status=ScoreStatus.ERROR,
    )
    items = EvaluationItem.objects.unscoped(WHY).filter(evaluation__in=runs, status=ItemStatus.ERROR)
    found: list[tuple[int, str]] = []
    for rows, name in ((scores, "reason"), (items, "error")):
        for code in _error_codes(rows)[:1]:
            same = rows.filter(error_code=code["error_code"])
            found.append((code["n"], same.order_by("pk").values_list(name, flat=True)[0]))
    return max(found, default=(0, ""), key=lambda each: each[0])[1]


def _error_codes(rows: QuerySet[Any]) -> list[dict[str, Any]]:
    """With how often each is, the commonest first."""
    return list(rows.order_by().values("error_code").annotate(n=Count("pk")).order_by("-n", "error_code"))


def _dataset(run: Evaluation) -> str:
    return f"{run.dataset_version.dataset.name} version {run.dataset_version.number}"


def _run(run: Evaluation) -> dict[str, Any]:
    version = run.prompt_version
    return {
        "evaluation": run.public_id,
        "name": run.name,
        "model": run.model,
        "prompt_version": None if version is None else version.number,
        "prompt_hash": "" if version is None else version.content_hash,
        "dataset": run.dataset_version.dataset.slug,
        "dataset_version": run.dataset_version.number,
        "dataset_hash": run.dataset_version.manifest_hash,
        "split": run.split,
        "repetitions": run.repetitions,
        "code_version": run.code_version,
        "mlflow_run_id": run.mlflow_run_id,
    }
