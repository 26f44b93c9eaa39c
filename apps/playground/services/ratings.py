"""People's ratings of answers as a dataset that judges are measured on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from apps.evaluation.content import clean_content
from apps.evaluation.errors import ExampleInvalid
from apps.evaluation.models import Dataset, DatasetVersion, Example
from apps.evaluation.services import create_dataset, freeze_version
from apps.evaluation.services.datasets import open_for_changes
from apps.evaluation.services.examples import Incoming, Provenance, schemas_of, store, touch
from apps.evaluation.types import Scrub, Source, Split
from apps.gateway.redaction import Redactor
from apps.playground.rated import Rated, messages_of, rated_of
from apps.playground.types import RatingKind
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict
from apps.tenants.models import Tenant
from apps.tenants.services import update_tenant

AT_ONCE: Final = 500
WHY: Final = "of a rating set that the actor makes"
SLUGS: Final = {RatingKind.THUMBS: "playground-ratings", RatingKind.VOTES: "playground-votes"}
NAMES: Final = {RatingKind.THUMBS: "Playground ratings", RatingKind.VOTES: "Playground blind votes"}


@dataclass(frozen=True, slots=True)
class RatingSet:
    """``created`` is false where the ratings were frozen as they are already; ``left_out`` could not be copied."""

    version: DatasetVersion
    created: bool
    left_out: int

    @property
    def dataset(self) -> Dataset:
        return self.version.dataset


def may_make_rating_sets(actor: Actor, tenant: Tenant) -> None:
    """Raises ``PermissionDenied``: it takes those who triage feedback and may edit datasets."""
    require(actor, "feedback.triage", tenant, what="make a rating set of feedback")
    require(actor, "dataset.edit", tenant, what="make a rating set of feedback")


@transaction.atomic
def make_rating_set(*, actor: Actor, tenant: Tenant, kind: str) -> RatingSet:
    """A frozen version of the tenant's rating set, with what is rated now and without personal data.

    Ratings that were taken back, or whose conversation is gone, are not in it; earlier versions stay as they were.

    Raises:
        PermissionDenied: The actor does not triage feedback, or may not edit datasets.
        Conflict: The tenant copies no feedback, or nothing was rated yet.
    """
    may_make_rating_sets(actor, tenant)
    wanted = RatingKind(validation.clean_choice(kind, RatingKind, field="kind"))
    if not Tenant.objects.for_tenant(tenant).values_list("copies_feedback", flat=True).get():
        raise Conflict(
            f"{tenant.name} does not have feedback copied into datasets.",
            code="feedback_not_copied",
            remedy="A tenant admin can allow it.",
        )
    rows = rated_of(tenant, wanted)
    if not rows:
        raise Conflict("Nobody has rated a text here yet.", code="nothing_rated")
    dataset = _dataset(actor, tenant, wanted)
    asked = messages_of(tenant, [row.answer for row in rows])
    groups: dict[str, list[Incoming]] = {Scrub.CLEAN: [], Scrub.REDACTED: []}
    for row in rows:
        if messages := asked.get(row.answer.pk):
            _add(dataset, row, messages, groups)
    kept = {each.key for group in groups.values() for each in group}
    for scrub, group in groups.items():
        provenance = Provenance(Source.FEEDBACK, actor.user, scrub)
        for at in range(0, len(group), AT_ONCE):
            store(dataset, group[at : at + AT_ONCE], provenance)
    _remove_others(dataset, kept)
    frozen = freeze_version(actor=actor, dataset=dataset, message="As people have rated in the playground")
    frozen.version.dataset = dataset
    made = RatingSet(frozen.version, frozen.created, len(rows) - len(kept))
    told = {"kind": str(wanted), "version": frozen.version.number, "ratings": len(kept), "left_out": made.left_out}
    audit.record(actor, "feedback.rating_set_made", dataset, told, tenant)
    return made


def allow_rating_sets(*, actor: Actor, tenant: Tenant, is_allowed: bool) -> Tenant:
    """Whether the tenant's feedback may be copied: a tenant admin's to say."""
    return update_tenant(actor=actor, tenant=tenant, copies_feedback=is_allowed)


def _dataset(actor: Actor, tenant: Tenant, kind: RatingKind) -> Dataset:
    dataset = Dataset.objects.for_tenant(tenant).filter(slug=SLUGS[kind]).first()
    if dataset is None:
        dataset = create_dataset(
            actor=actor,
            tenant=tenant,
            slug=SLUGS[kind],
            name=NAMES[kind],
            description="Answers of the playground with what people said of them, to measure judges on.",
        )
    return open_for_changes(actor, dataset, "make a rating set of feedback")


def _add(dataset: Dataset, row: Rated, messages: list[dict[str, Any]], groups: dict[str, list[Incoming]]) -> None:
    """What the dataset cannot hold is left out."""
    redactor = Redactor()
    given: dict[str, Any] = {"messages": messages, "answer": row.answer.text}
    if row.other:
        given["baseline_answer"] = row.other
    expected: dict[str, Any] = {"rating": row.rating}
    if row.reference:
        expected["reference"] = row.reference
    try:
        content = clean_content(
            input=redactor.value(given),
            expected=redactor.value(expected),
            tags=list(row.reasons),
            slice=row.use_case,
            split=Split.DEV,
            schemas=schemas_of(dataset),
        )
    except ExampleInvalid:
        return
    scrub = Scrub.REDACTED if redactor.found else Scrub.CLEAN
    groups[scrub].append(Incoming(row.key, content, row.source_ref))


def _remove_others(dataset: Dataset, kept: Iterable[str]) -> None:
    """Ratings that are no more; what people have added to the dataset by hand stays."""
    rows = Example.objects.unscoped(WHY).filter(dataset=dataset, is_removed=False, current__source=Source.FEEDBACK)
    gone = set(rows.values_list("key", flat=True)) - set(kept)
    if gone:
        rows.filter(key__in=gone).update(is_removed=True)
        touch(dataset)
