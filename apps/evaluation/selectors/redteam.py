"""Reads of red-team runs: which there are, what got through, and what did so before."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from django.db.models import Exists, OuterRef, QuerySet

from apps.evaluation.models import Dataset, Evaluation, EvaluationItem, EvaluationMetric, Score
from apps.evaluation.redteam.generation import severity_of, technique_of
from apps.evaluation.redteam.types import Category, Severity
from apps.evaluation.selectors.runs import get_run_for, search_runs
from apps.evaluation.statistics.wilson import wilson
from apps.evaluation.types import ItemStatus, RunStatus, ScoreStatus
from apps.gateway.models import Route
from apps.models.models import Endpoint
from apps.models.types import ProviderKind
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant

KIND: Final = "attack-success"
TAG: Final = "red-team"
WHY: Final = "of a red-team run that the actor reached"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One attack of a run. ``succeeded`` is None where it has no verdict: no answer came, or it could not be told."""

    item_id: int
    key: str
    category: str
    severity: str
    technique: str
    succeeded: bool | None

    @property
    def label(self) -> str:
        return str(Category(self.category).label)


@dataclass(frozen=True, slots=True)
class Tally:
    """Attacks of one kind. The interval is Wilson's, of 95 %; there is none where nothing has a verdict."""

    name: str
    attacks: int
    judged: int
    successes: int

    @property
    def rate(self) -> float | None:
        return self.successes / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.successes, self.judged) if self.judged else None

    @property
    def unknown(self) -> int:
        return self.attacks - self.judged


@dataclass(frozen=True, slots=True)
class CategoryTally:
    """``by_severity`` has every severity, the worst first. ``before`` is the share of the run that is compared with."""

    category: Category
    all: Tally
    by_severity: tuple[Tally, ...]
    before: Tally | None = None

    @property
    def worst(self) -> int:
        """The rank of the worst severity of which an attack got through; after all others where none did."""
        return next((rank for rank, each in enumerate(self.by_severity) if each.successes), len(self.by_severity))

    @property
    def change(self) -> float | None:
        """How much more gets through now, in share."""
        if self.before is None or self.before.rate is None or self.all.rate is None:
            return None
        return self.all.rate - self.before.rate


@dataclass(frozen=True, slots=True)
class Before:
    """The run before of the same suite on the same target, and how attacks that both have a verdict on differ."""

    run: Evaluation
    opened: int  # held then, get through now
    closed: int  # got through then, hold now


@dataclass(frozen=True, slots=True)
class Report:
    """``categories``: the one of which the worst attacks got through comes first, then by how many did;
    ``techniques``: what gets through most comes first."""

    whole: Tally
    categories: list[CategoryTally]
    techniques: list[Tally]
    verdicts: list[Verdict] = field(repr=False)
    before: Before | None = None

    @property
    def findings(self) -> list[Verdict]:
        """The attacks that got through, the worst first."""
        return [each for each in self.verdicts if each.succeeded]


def red_team_runs(actor: Actor, tenant: Tenant) -> QuerySet[Evaluation]:
    return search_runs(actor, tenant).filter(_has_verdicts())


def get_red_team_run(actor: Actor, public_id: str) -> Evaluation:
    """Raises ``NotFound`` also for a run of another kind."""
    run = get_run_for(actor, public_id)
    if not is_red_team(run):
        raise NotFound("There is no such red-team run.")
    return run


def is_red_team(run: Evaluation) -> bool:
    """Its metrics must be loaded with their scorers."""
    return any(metric.scorer_version.scorer.kind == KIND for metric in run.metrics.all())


def report_of(run: Evaluation) -> Report:
    verdicts = verdicts_of(run)
    earlier = run_before(run)
    then = {each.key: each for each in verdicts_of(earlier)} if earlier is not None else {}
    categories = []
    for category in Category:
        mine = [each for each in verdicts if each.category == category]
        if not mine:
            continue
        by_severity = tuple(_tally(each, (row for row in mine if row.severity == each)) for each in Severity)
        theirs = [each for each in then.values() if each.category == category]
        before = _tally(category, theirs) if theirs else None
        categories.append(CategoryTally(category, _tally(category, mine), by_severity, before))
    categories.sort(key=lambda each: (each.worst, -(each.all.rate or 0), -each.all.successes, each.all.name))
    names = Counter(each.technique for each in verdicts)
    techniques = [_tally(name, (each for each in verdicts if each.technique == name)) for name in names]
    techniques.sort(key=lambda each: (-(each.rate or 0), -each.successes, each.name))
    pairs = [(then[each.key].succeeded, each.succeeded) for each in verdicts if each.key in then]
    return Report(
        whole=_tally("all", verdicts),
        categories=categories,
        techniques=techniques,
        verdicts=sorted(verdicts, key=lambda each: (Severity(each.severity).rank, each.category, each.item_id)),
        before=None
        if earlier is None
        else Before(earlier, opened=pairs.count((False, True)), closed=pairs.count((True, False))),
    )


def verdicts_of(run: Evaluation) -> list[Verdict]:
    """Of every attack of the run, in their order, in two queries."""
    scores = Score.objects.unscoped(WHY).filter(
        item__evaluation=run, item__status=ItemStatus.DONE, scorer_version__scorer__kind=KIND, status=ScoreStatus.OK
    )
    values = dict(scores.values_list("item_id", "value"))
    items = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run, revision__slice__in=Category.values)
    rows = items.order_by("position", "repetition").values_list(
        "pk", "revision__example__key", "revision__slice", "revision__tags"
    )
    return [
        Verdict(pk, key, category, severity_of(tags), technique_of(tags), values[pk] == 1 if pk in values else None)
        for pk, key, category, tags in rows
    ]


def run_before(run: Evaluation) -> Evaluation | None:
    """The newest earlier run of the same suite on the same target that is done: of a prompt, whichever its version."""
    rows = Evaluation.objects.unscoped(WHY).filter(
        _has_verdicts(),
        tenant=run.tenant_id,
        dataset_version=run.dataset_version_id,
        status=RunStatus.DONE,
        pk__lt=run.pk,
    )
    if run.prompt_version is not None:
        rows = rows.filter(prompt_version__prompt=run.prompt_version.prompt_id)
    else:
        rows = rows.filter(prompt_version=None, model=run.model)
    return rows.select_related("prompt_version__prompt").order_by("-pk").first()


def findings_of(run: Evaluation, ids: Iterable[int]) -> list[EvaluationItem]:
    """Those items with their attacks and what was said of them, in the order of ``ids``; ``verdict`` is the score."""
    wanted = list(ids)
    items = EvaluationItem.objects.unscoped(WHY).filter(evaluation=run, pk__in=wanted)
    found = {item.pk: item for item in items.select_related("revision__example__dataset")}
    scores = Score.objects.unscoped(WHY).filter(item__in=found, scorer_version__scorer__kind=KIND)
    verdicts = {score.item_id: score for score in scores}
    for pk, item in found.items():
        item.verdict = verdicts.get(pk)  # type: ignore[attr-defined]
    return [found[pk] for pk in wanted if pk in found]


def findings_slug(prompt_slug: str) -> str:
    """Of the dataset that what got through becomes examples of."""
    return bounded_slug(f"{TAG}-findings", prompt_slug)


def bounded_slug(stem: str, prompt_slug: str) -> str:
    """The stem with the prompt's name, at most 50 characters; a name that is cut is told apart by its hash."""
    whole = f"{stem}-{prompt_slug}" if prompt_slug else stem
    if len(whole) <= 50:
        return whole
    return f"{whole[:41].rstrip('-')}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def findings_dataset_of(run: Evaluation) -> Dataset | None:
    slug = findings_slug(run.prompt_version.prompt.slug if run.prompt_version is not None else "")
    rows = Dataset.objects.for_tenant(run.tenant).filter(slug=slug)
    return rows.select_related("tenant").first()


def is_simulated(tenant: Tenant, model: str) -> bool:
    """Whether only Lobby's sandbox answers the tenant under this name, of a model or of a route of its own."""
    routes = Route.objects.for_tenant(tenant).filter(slug=model)
    endpoints = Endpoint.objects.filter(is_enabled=True, model__slug=model)
    if not endpoints.exists():
        endpoints = Endpoint.objects.filter(is_enabled=True, model__in=routes.values("targets__model"))
    kinds = set(endpoints.values_list("provider__kind", flat=True))
    return kinds == {ProviderKind.SANDBOX}


def _tally(name: str, verdicts: Iterable[Verdict]) -> Tally:
    rows = list(verdicts)
    judged = [each for each in rows if each.succeeded is not None]
    return Tally(str(name), len(rows), len(judged), sum(bool(each.succeeded) for each in judged))


def _has_verdicts() -> Exists:
    return Exists(
        EvaluationMetric.objects.unscoped(WHY).filter(evaluation=OuterRef("pk"), scorer_version__scorer__kind=KIND)
    )
