"""Two runs beside each other, example by example: what the comparison page lists.

A page of it costs the same number of queries however large the runs are: the scores of one scorer on both sides, the
examples that are left of the filters, and the answers of those on the page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import Q

from apps.evaluation.models import Evaluation, EvaluationItem, EvaluationMetric, ExampleRevision, Score, ScorerVersion
from apps.evaluation.types import Direction, ItemStatus

WHY: Final = "of two runs that the actor reached"
PER_PAGE: Final = 20
SHOWS: Final = (
    ("regressed", "Regressed"),
    ("improved", "Improved"),
    ("tied", "Tied"),
    ("unpaired", "Not on both sides"),
)
ORDERS: Final = (
    ("worst", "Largest regression first"),
    ("best", "Largest gain first"),
    ("position", "In the order of the dataset"),
)
MOST_WORDS: Final = 6


@dataclass(frozen=True, slots=True)
class CellQuery:
    """What to list; empty means any."""

    scorer: str = ""
    slice: str = ""
    show: str = ""
    text: str = ""
    order: str = "worst"


@dataclass(frozen=True, slots=True)
class Chip:
    """A score of one side, by its scorer's name."""

    name: str
    baseline: float | None
    candidate: float | None
    gain: float | None  # above 0 is better, whichever way the scorer goes
    value_kind: str


@dataclass(frozen=True, slots=True)
class Cell:
    """An example with both answers. An answer is None where that side has none."""

    revision: ExampleRevision
    baseline: EvaluationItem | None
    candidate: EvaluationItem | None
    chips: tuple[Chip, ...]
    gain: float | None


@dataclass(frozen=True, slots=True)
class Shared:
    """A scorer that both runs have, in the version of each."""

    slug: str
    name: str
    baseline: ScorerVersion
    candidate: ScorerVersion

    @property
    def sign(self) -> int:
        return 1 if self.candidate.direction == Direction.HIGHER else -1


def shared_scorers(baseline: Evaluation, candidate: Evaluation) -> list[Shared]:
    rows = EvaluationMetric.objects.unscoped(WHY).filter(evaluation__in=[baseline, candidate])
    sides: dict[int, dict[str, ScorerVersion]] = {baseline.pk: {}, candidate.pk: {}}
    for row in rows.select_related("scorer_version__scorer").order_by("pk"):
        sides[row.evaluation_id][row.scorer_version.scorer.slug] = row.scorer_version
    theirs = sides[baseline.pk]
    return [
        Shared(slug, version.scorer.name, theirs[slug], version)
        for slug, version in sides[candidate.pk].items()
        if slug in theirs
    ]


def slices_of(run: Evaluation) -> list[str]:
    return sorted(name for name in run.dataset_version.slices if name)


def cells(
    baseline: Evaluation, candidate: Evaluation, scorers: Sequence[Shared], query: CellQuery, page: str | None
) -> Page[Cell]:
    """A page of the examples that the query leaves, by the query's scorer or the first."""
    chosen = next((each for each in scorers if each.slug == query.scorer), scorers[0] if scorers else None)
    gains = {} if chosen is None else _gains(baseline, candidate, chosen)
    wanted = _wanted(baseline, candidate, query)
    keys = [(revision, gains.get(revision)) for revision in wanted]
    keys = [(revision, gain) for revision, gain in keys if _shown(gain, query.show)]
    if query.order == "best":
        keys.sort(key=lambda each: (each[1] is None, -(each[1] or 0.0)))
    elif query.order != "position":
        keys.sort(key=lambda each: (each[1] is None, each[1] or 0.0))
    found: Page[Any] = Paginator(keys, PER_PAGE).get_page(page)
    found.object_list = _cells(baseline, candidate, scorers, list(found.object_list))
    return found


def _shown(gain: float | None, show: str) -> bool:
    match show:
        case "regressed":
            return gain is not None and gain < 0
        case "improved":
            return gain is not None and gain > 0
        case "tied":
            return gain == 0
        case "unpaired":
            return gain is None
    return True


def _gains(baseline: Evaluation, candidate: Evaluation, scorer: Shared) -> dict[int, float]:
    before, after = _means(baseline, scorer.baseline), _means(candidate, scorer.candidate)
    return {key: scorer.sign * (after[key] - before[key]) for key in after.keys() & before.keys()}


def _means(run: Evaluation, version: ScorerVersion) -> dict[int, float]:
    rows = Score.objects.unscoped(WHY).filter(
        item__evaluation=run, item__status=ItemStatus.DONE, scorer_version=version, value__isnull=False
    )
    pairs = rows.order_by().values_list("item__revision_id", "value")
    if run.repetitions == 1:
        return {revision: value for revision, value in pairs if value is not None}
    grouped: defaultdict[int, list[float]] = defaultdict(list)
    for revision, value in pairs:
        if value is not None:
            grouped[revision].append(value)
    return {revision: sum(values) / len(values) for revision, values in grouped.items()}


def _wanted(baseline: Evaluation, candidate: Evaluation, query: CellQuery) -> list[int]:
    """The revisions of either run that the filters leave, in the dataset's order."""
    rows = EvaluationItem.objects.unscoped(WHY)
    alike = (baseline.dataset_version_id, baseline.split) == (candidate.dataset_version_id, candidate.split)
    if alike and not query.text:  # then both have the same examples, and one of them tells
        rows = rows.filter(evaluation=candidate, repetition=0)
    else:
        rows = rows.filter(evaluation__in=[baseline, candidate])
    if query.slice:
        rows = rows.filter(revision__slice=query.slice)
    for word in query.text.split()[:MOST_WORDS]:
        rows = rows.filter(
            Q(output__icontains=word) | Q(revision__example__key__icontains=word) | Q(revision__input__icontains=word)
        )
    return list(dict.fromkeys(rows.order_by("position", "revision_id").values_list("revision_id", flat=True)))


def _cells(
    baseline: Evaluation, candidate: Evaluation, scorers: Sequence[Shared], keys: Sequence[tuple[int, float | None]]
) -> list[Cell]:
    ids = [revision for revision, _ in keys]
    revisions = {
        row.pk: row for row in ExampleRevision.objects.unscoped(WHY).filter(pk__in=ids).select_related("example")
    }
    items: dict[tuple[int, int], EvaluationItem] = {}
    rows = EvaluationItem.objects.unscoped(WHY).filter(evaluation__in=[baseline, candidate], revision__in=ids)
    for row in rows.order_by("repetition"):
        items.setdefault((row.evaluation_id, row.revision_id), row)
    scores: defaultdict[tuple[int, int, int], list[float]] = defaultdict(list)
    scored = Score.objects.unscoped(WHY).filter(
        item__evaluation__in=[baseline, candidate], item__revision__in=ids, value__isnull=False
    )
    for run, revision, version, value in scored.values_list(
        "item__evaluation_id", "item__revision_id", "scorer_version_id", "value"
    ):
        if value is not None:
            scores[(run, revision, version)].append(value)

    def mean(run: Evaluation, revision: int, version: ScorerVersion) -> float | None:
        values = scores.get((run.pk, revision, version.pk))
        return sum(values) / len(values) if values else None

    def chip(revision: int, scorer: Shared) -> Chip:
        before, after = mean(baseline, revision, scorer.baseline), mean(candidate, revision, scorer.candidate)
        gain = None if before is None or after is None else scorer.sign * (after - before)
        return Chip(scorer.name, before, after, gain, scorer.candidate.value_kind)

    return [
        Cell(
            revisions[revision],
            items.get((baseline.pk, revision)),
            items.get((candidate.pk, revision)),
            tuple(chip(revision, scorer) for scorer in scorers),
            gain,
        )
        for revision, gain in keys
        if revision in revisions
    ]


@dataclass(frozen=True, slots=True)
class Quality:
    """A run as a point: what an answer cost, and the mean of the first scorer."""

    run: Evaluation
    cost_picousd: float
    value: float
    kind: str  # baseline, candidate or other


def cost_and_quality(baseline: Evaluation, candidate: Evaluation, scorer: Shared | None) -> list[Quality]:
    """The two runs, and others that scored the same dataset's version by the same scorer's version."""
    if scorer is None:
        return []
    rows = (
        EvaluationMetric.objects.unscoped(WHY)
        .filter(
            Q(evaluation__in=[baseline, candidate])
            | Q(evaluation__dataset_version=candidate.dataset_version_id, scorer_version=scorer.candidate),
            scorer_version__in=[scorer.baseline, scorer.candidate],
            evaluation__status="done",
            evaluation__tenant=candidate.tenant_id,
        )
        .select_related("evaluation")
        .order_by("-evaluation_id")[:40]
    )
    found: dict[int, Quality] = {}
    for row in rows:
        run, mean = row.evaluation, _mean_of(row.summary)
        if mean is None or not run.items_total:
            continue
        kind = {baseline.pk: "baseline", candidate.pk: "candidate"}.get(run.pk, "other")
        found.setdefault(run.pk, Quality(run, run.spent_picousd / run.items_total, mean, kind))
    return list(found.values())


def _mean_of(summary: Mapping[str, Any]) -> float | None:
    mean = summary.get("mean")
    return float(mean) if isinstance(mean, int | float) else None
