"""Reads of scorers, always for an actor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from apps.evaluation.models import EvaluationMetric, JudgeCalibration, Scorer, ScorerVersion
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.scorers import Need, registry
from apps.evaluation.types import RunStatus
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant

WHY: Final = "of a scorer that the actor reached"
CALLING: Final = frozenset({Need.JUDGE, Need.EMBEDDINGS, Need.SUBJECT})


@dataclass(frozen=True, slots=True)
class Kind:
    """What may be set up: a class of ``apps.evaluation.scorers``, in words."""

    slug: str
    title: str
    description: str
    is_screen: bool
    parameters: tuple[str, ...]


def kinds() -> dict[str, Kind]:
    """In the order to show them."""
    return {
        slug: Kind(slug, each.title, each.description, each.screen, tuple(each.parameters_schema))
        for slug, each in registry.registry().scorers.items()
    }


def scorers_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[Scorer]:
    """With ``newest`` (the newest version's number) and ``versions_made``."""
    rows = Scorer.objects.for_actor(actor).select_related("tenant", "owner")
    rows = rows if tenant is None else rows.filter(tenant=tenant)
    return rows.annotate(newest=Max("versions__number"), versions_made=Count("versions"))


def search_scorers(actor: Actor, tenant: Tenant, text: str = "", *, archived: bool = False) -> QuerySet[Scorer]:
    rows = scorers_for(actor, tenant).filter(is_archived=archived)
    for word in text.split()[:8]:
        rows = rows.filter(Q(name__icontains=word) | Q(kind__icontains=word) | Q(description__icontains=word))
    return rows


def get_scorer_for(actor: Actor, tenant_slug: str, slug: str) -> Scorer:
    scorer = scorers_for(actor).filter(tenant__slug=tenant_slug, slug=slug).first()
    if scorer is None:
        raise NotFound(f"There is no scorer {slug[:60]!r}.")
    return scorer


def versions_of(scorer: Scorer) -> QuerySet[ScorerVersion]:
    """Newest first."""
    return scorer.versions.select_related("created_by").order_by("-number")


def get_scorer_version_for(actor: Actor, tenant_slug: str, slug: str, number: int | None = None) -> ScorerVersion:
    """The newest version where no number is given."""
    scorer = get_scorer_for(actor, tenant_slug, slug)
    rows = versions_of(scorer).select_related("scorer__tenant")
    version = (rows if number is None else rows.filter(number=min(number, 2**31 - 1))).first()
    if version is None:
        raise NotFound(f"{scorer.name} has no version {number}.")
    return version


def is_judge(kind: str) -> bool:
    """Whether a kind asks a model for its opinion, so that it has to be calibrated."""
    known = registry.registry().scorers.get(kind)
    return known is not None and Need.JUDGE in known.needs


def calls_models(kind: str) -> bool:
    known = registry.registry().scorers.get(kind)
    return known is not None and bool(known.needs & CALLING)


def calibrations_of(version: ScorerVersion) -> QuerySet[JudgeCalibration]:
    """Newest first."""
    return version.calibrations.select_related("created_by").order_by("-pk")


def calibration_of(version: ScorerVersion) -> JudgeCalibration | None:
    """The one in force: the newest that has not expired. None where there is none, so that no gate may rely on it."""
    return version.calibrations.filter(expires_at__gt=timezone.now()).order_by("-pk").first()


def calibrations_in_force(versions: Iterable[ScorerVersion]) -> dict[int, JudgeCalibration]:
    """By version: one query."""
    rows = JudgeCalibration.objects.unscoped(WHY).filter(version__in=list(versions), expires_at__gt=timezone.now())
    return {row.version_id: row for row in rows.order_by("pk")}


def rated_uses(version: ScorerVersion) -> QuerySet[EvaluationMetric]:
    """Where a judge has judged recorded answers: what it can be measured on."""
    rows = EvaluationMetric.objects.unscoped(WHY).filter(scorer_version=version, evaluation__model=RECORDED)
    return rows.filter(evaluation__status=RunStatus.DONE).select_related("evaluation__tenant").order_by("-pk")


def metrics_of(scorer: Scorer) -> QuerySet[EvaluationMetric]:
    """Where it has scored: its newest runs."""
    rows = EvaluationMetric.objects.unscoped(WHY).filter(scorer_version__scorer=scorer)
    return rows.select_related("evaluation__tenant", "scorer_version").order_by("-pk")
