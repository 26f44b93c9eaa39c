"""Scorers as a tenant sets them up: a kind with parameters, and a version for each that a score was made by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Max

from apps.evaluation.models import Scorer, ScorerVersion
from apps.evaluation.scorers import Scorer as ScorerKind
from apps.evaluation.scorers import registry
from apps.evaluation.types import Direction, ValueKind
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict
from apps.tenants.models import Tenant

# What a tenant begins with: kinds that need no parameters, no model and no network.
DEFAULT_KINDS: Final = (
    "exact-match",
    "normalised-match",
    "contains",
    "rouge-l",
    "latency",
    "cost",
    "length",
    "refusal",
)


@transaction.atomic
def create_scorer(
    *,
    actor: Actor,
    tenant: Tenant,
    kind: str,
    slug: str = "",
    name: str = "",
    description: str = "",
    parameters: Mapping[str, Any] | None = None,
) -> Scorer:
    """A scorer with its first version. Raises ``ScorerUnknown`` and ``ParametersInvalid``, too."""
    require(actor, "evaluation.run", tenant, what="set a scorer up")
    made = registry.make(kind, parameters)
    scorer = Scorer(
        tenant=tenant,
        slug=validation.clean_slug(slug or kind),
        name=validation.clean_name(name or made.title),
        description=validation.clean_text(description or made.description, field="description", maximum=2_000),
        kind=kind,
        owner=actor.user,
    )
    try:
        with transaction.atomic():
            scorer.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            f"{tenant.name} has a scorer {scorer.slug!r} already.", code="slug_taken", field="slug"
        ) from None
    version = _version_of(actor, scorer, made)
    audit.record(
        actor, "scorer.created", scorer, {"slug": scorer.slug, "kind": kind, "version": version.number}, tenant
    )
    return scorer


@transaction.atomic
def update_scorer(
    *,
    actor: Actor,
    scorer: Scorer,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> ScorerVersion:
    """The version that counts from now on: a new one where the parameters are others, or the kind's code is."""
    scorer = _locked(actor, scorer, "change this scorer")
    changed = []
    if name is not None:
        scorer.name = validation.clean_name(name)
        changed.append("name")
    if description is not None:
        scorer.description = validation.clean_text(description, field="description", maximum=2_000)
        changed.append("description")
    if changed:
        scorer.save(update_fields=changed)
    newest = scorer.versions.order_by("-number").first()
    if parameters is None:
        parameters = {} if newest is None else newest.parameters
    version = _version_of(actor, scorer, registry.make(scorer.kind, parameters))
    if changed or newest is None or version.pk != newest.pk:
        audit.record(actor, "scorer.updated", scorer, {"slug": scorer.slug, "version": version.number}, scorer.tenant)
    return version


@transaction.atomic
def archive_scorer(*, actor: Actor, scorer: Scorer, is_archived: bool = True) -> Scorer:
    """Hidden from new runs; what it scored stays."""
    scorer = _locked(actor, scorer, "archive this scorer")
    if scorer.is_archived != is_archived:
        scorer.is_archived = is_archived
        scorer.save(update_fields=["is_archived"])
        audit.record(
            actor, "scorer.archived" if is_archived else "scorer.restored", scorer, {"slug": scorer.slug}, scorer.tenant
        )
    return scorer


@transaction.atomic
def ensure_default_scorers(*, actor: Actor, tenant: Tenant) -> list[Scorer]:
    """The set to begin with, for a tenant that has no scorer yet; else what it lacks of the set. What was made."""
    require(actor, "evaluation.run", tenant, what="set scorers up")
    there = set(Scorer.objects.for_tenant(tenant).values_list("slug", flat=True))
    return [create_scorer(actor=actor, tenant=tenant, kind=kind) for kind in DEFAULT_KINDS if kind not in there]


def current_version(*, actor: Actor, scorer: Scorer) -> ScorerVersion:
    """The version to score by now: a new one where the kind's code has changed since the last."""
    newest = scorer.versions.order_by("-number").first()
    made = registry.make(scorer.kind, {} if newest is None else newest.parameters)
    if newest is not None and newest.fingerprint == made.version:
        return newest
    return update_scorer(actor=actor, scorer=scorer)


def _version_of(actor: Actor, scorer: Scorer, made: ScorerKind) -> ScorerVersion:
    """The version that ``made`` is: the one with its fingerprint, or a new one."""
    same = scorer.versions.filter(fingerprint=made.version).first()
    newest = scorer.versions.aggregate(newest=Max("number"))["newest"] or 0
    if same is not None and same.number == newest:
        return same
    if same is not None:
        raise Conflict(
            f"Version {same.number} of {scorer.name} has these parameters.",
            code="version_exists",
            field="parameters",
            remedy="A run may use an earlier version as it is.",
        )
    low, high = made.range
    return ScorerVersion.objects.create(
        scorer=scorer,
        number=newest + 1,
        parameters=dict(made.parameters),
        fingerprint=made.version,
        direction=Direction(made.direction),
        value_kind=ValueKind(made.value_kind),
        low=low,
        high=high,
        unit=made.unit[:20],
        created_by=actor.user,
    )


def _locked(actor: Actor, scorer: Scorer, what: str) -> Scorer:
    require(actor, "evaluation.run", scorer.tenant, what=what)
    rows = Scorer.objects.for_tenant(scorer.tenant).select_for_update(of=("self",)).select_related("tenant")
    return rows.get(pk=scorer.pk)
