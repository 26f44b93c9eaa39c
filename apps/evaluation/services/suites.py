"""Suites of scorers (``apps.evaluation.scorers.suites``) as scorers of a tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from django.db import transaction

from apps.evaluation.models import Scorer, ScorerVersion
from apps.evaluation.scorers import registry
from apps.evaluation.scorers.suites import SUITES, Member
from apps.evaluation.services.runs import MetricChoice
from apps.evaluation.services.scorers import create_scorer, current_version
from apps.evaluation.types import MetricRole
from apps.tenants.access import Actor, require
from apps.tenants.errors import Invalid
from apps.tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class SuiteScorer:
    """``role`` is what a gate by the suite asks of it."""

    version: ScorerVersion
    role: str

    @property
    def scorer(self) -> Scorer:
        return self.version.scorer


@transaction.atomic
def ensure_suite(*, actor: Actor, tenant: Tenant, suite: str) -> list[SuiteScorer]:
    """The suite's scorers: the tenant's own of the same kind and parameters, and where there is none a new one."""
    require(actor, "evaluation.run", tenant, what="set scorers up")
    if suite not in SUITES:
        raise Invalid(
            f"There is no suite {suite[:60]!r}.", field="suite", remedy=f"There are {', '.join(sorted(SUITES))}."
        )
    Tenant.objects.unscoped("a lock").select_for_update(of=("self",)).get(
        pk=tenant.pk
    )  # two at once would both set it up
    members = SUITES[suite].members
    decides = any(member.decides for member in members)
    found = []
    for member in members:
        scorer = _same(tenant, member) or _new(actor, tenant, member)
        role = MetricRole.PRIMARY if member.decides or not decides else MetricRole.WATCH
        found.append(SuiteScorer(current_version(actor=actor, scorer=scorer), role))
    return found


def with_suite(*, actor: Actor, tenant: Tenant, suite: str, metrics: list[MetricChoice]) -> list[MetricChoice]:
    """A run's metrics with the suite's. One that is in both is there as it was chosen."""
    chosen = {each.version.pk for each in metrics}
    members = ensure_suite(actor=actor, tenant=tenant, suite=suite)
    return [*metrics, *(MetricChoice(each.version) for each in members if each.version.pk not in chosen)]


@contextmanager
def set_up_for_an_estimate() -> Iterator[None]:
    """What is set up inside is undone: who only asks what a run would cost sets nothing up."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _same(tenant: Tenant, member: Member) -> Scorer | None:
    wanted = registry.make(member.scorer, member.parameters).parameters
    rows = Scorer.objects.for_tenant(tenant).filter(kind=member.scorer, is_archived=False)
    for scorer in rows.select_related("tenant").prefetch_related("versions").order_by("pk"):
        versions = list(scorer.versions.all())
        if versions and max(versions, key=lambda each: each.number).parameters == wanted:
            return scorer
    return None


def _new(actor: Actor, tenant: Tenant, member: Member) -> Scorer:
    taken = set(Scorer.objects.for_tenant(tenant).values_list("slug", flat=True))
    slug = member.slug or member.scorer
    free = slug if slug not in taken else next(name for n in count(2) if (name := f"{slug}-{n}") not in taken)
    return create_scorer(
        actor=actor,
        tenant=tenant,
        kind=member.scorer,
        slug=free,
        name=member.name,
        parameters=member.parameters,
    )
