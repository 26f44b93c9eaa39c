"""Datasets: the facts around their examples."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction

from apps.evaluation.content import clean_schemas
from apps.evaluation.models import Dataset, EvaluationPlan, Example, Upload
from apps.evaluation.types import UploadStatus
from apps.prompts.models import Prompt
from apps.prompts.services.prompts import clean_tags
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.archive import ArchiveError, archive
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import Membership, Tenant, User
from apps.tenants.services.changes import apply_changes

WHY = "what stands in a dataset that the actor was allowed"


class DatasetFacts(TypedDict, total=False):
    description: str
    prompt: Prompt | None
    owner: User | None
    tags: list[str]
    input_schema: dict[str, Any]
    expected_schema: dict[str, Any]


class DatasetChanges(DatasetFacts, total=False):
    name: str


@transaction.atomic
def create_dataset(*, actor: Actor, tenant: Tenant, slug: str, name: str, **facts: Unpack[DatasetFacts]) -> Dataset:
    """Without an example yet. Its owner is whoever made it, unless another member is named."""
    require(actor, "dataset.edit", tenant, what="create a dataset")
    slug = validation.clean_slug(slug)
    values = {"owner": actor.user, **_clean(tenant, {"name": name, **facts})}
    dataset = Dataset(tenant=tenant, slug=slug)
    for field, value in values.items():
        setattr(dataset, field, value)
    try:
        with transaction.atomic():
            dataset.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"{tenant.name} has a dataset {slug!r} already.", code="slug_taken", field="slug") from None
    audit.record(actor, "dataset.created", dataset, {"slug": slug, **_told(values)}, tenant)
    return dataset


@transaction.atomic
def update_dataset(*, actor: Actor, dataset: Dataset, **changes: Unpack[DatasetChanges]) -> Dataset:
    """A schema that is changed holds for what is saved from then on."""
    require(actor, "dataset.edit", dataset.tenant, what="change this dataset")
    values = _clean(dataset.tenant, changes)
    dataset = locked(dataset)
    if changed := apply_changes(dataset, values):
        audit.record(actor, "dataset.updated", dataset, _told(changed), dataset.tenant)
    return dataset


@transaction.atomic
def archive_dataset(*, actor: Actor, dataset: Dataset) -> Dataset:
    """Out of the lists, and nothing can be added; what was measured on it stays."""
    return _set_archived(actor, dataset, True, "dataset.archived")


@transaction.atomic
def restore_dataset(*, actor: Actor, dataset: Dataset) -> Dataset:
    return _set_archived(actor, dataset, False, "dataset.restored")


@transaction.atomic
def delete_dataset(*, actor: Actor, dataset: Dataset) -> None:
    """One that never had an example, as if it had not been made; any other is archived instead."""
    require(actor, "dataset.edit", dataset.tenant, what="delete this dataset")
    dataset = locked(dataset)
    uploads = Upload.objects.unscoped(WHY).filter(dataset=dataset)
    if uploads.filter(status__in=(UploadStatus.RECEIVED, UploadStatus.IMPORTING)).exists():
        raise Conflict(
            f"A file is on its way into {dataset.name}.", code="upload_open", remedy="Wait for it, or cancel it first."
        )
    if Example.objects.unscoped(WHY).filter(dataset=dataset).exists():
        raise Conflict(f"{dataset.name} has had examples.", code="not_empty", remedy="Archive it instead.")
    if EvaluationPlan.objects.unscoped(WHY).filter(dataset=dataset).exists():
        raise Conflict(
            f"An evaluation plan names {dataset.name}.", code="in_a_plan", remedy="Have the plan name another one."
        )
    files = list(uploads.filter(status=UploadStatus.READY).values_list("archive_key", flat=True))
    audit.record(actor, "dataset.deleted", dataset, {"slug": dataset.slug}, dataset.tenant)
    dataset.delete()
    transaction.on_commit(lambda: forget_files(files))


def forget_files(keys: Iterable[str]) -> None:
    """Out of the archive; what cannot be deleted just now is not worth an error to the one who waits."""
    for key in keys:
        with suppress(ArchiveError, OSError):
            archive().delete(key)


def _set_archived(actor: Actor, dataset: Dataset, value: bool, action: str) -> Dataset:
    require(actor, "dataset.edit", dataset.tenant, what="archive or restore this dataset")
    dataset = locked(dataset)
    if apply_changes(dataset, {"is_archived": value}):
        audit.record(actor, action, dataset, {}, dataset.tenant)
    return dataset


def locked(dataset: Dataset) -> Dataset:
    """The row, held until the transaction ends: its examples and versions change one after the other."""
    rows = Dataset.objects.for_tenant(dataset.tenant).select_related("tenant", "prompt", "owner")
    return rows.select_for_update(of=("self",)).get(pk=dataset.pk)


def open_for_changes(actor: Actor, dataset: Dataset, what: str) -> Dataset:
    """The locked row. Raises ``PermissionDenied``, or ``Conflict`` for one that is archived."""
    require(actor, "dataset.edit", dataset.tenant, what=what)
    dataset = locked(dataset)
    if dataset.is_archived:
        raise Conflict(f"{dataset.name} is archived.", code="archived", remedy="Restore it first.")
    return dataset


def _clean(tenant: Tenant, changes: DatasetChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = validation.clean_name(changes["name"])
    if "description" in changes:
        values["description"] = validation.clean_text(changes["description"], field="description", maximum=4_000)
    if "tags" in changes:
        values["tags"] = clean_tags(changes["tags"])
    if "prompt" in changes:
        prompt = changes["prompt"]
        if prompt is not None and prompt.tenant_id != tenant.pk:
            raise Invalid("There is no such prompt in this tenant.", field="prompt")
        values["prompt"] = prompt
    if "owner" in changes:
        owner = changes["owner"]
        if owner is not None and not Membership.objects.for_tenant(tenant).filter(user=owner).exists():
            raise Invalid("There is no such member in this tenant.", field="owner")
        values["owner"] = owner
    if "input_schema" in changes:
        values["input_schema"] = clean_schemas(changes["input_schema"], "input_schema")
    if "expected_schema" in changes:
        values["expected_schema"] = clean_schemas(changes["expected_schema"], "expected_schema")
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """For the audit trail: people by their address, prompts by their id."""

    def told(value: Any) -> Any:
        if isinstance(value, User):
            return value.email
        if isinstance(value, Prompt):
            return value.slug
        return [told(each) for each in value] if isinstance(value, list) else value

    return {name: told(value) for name, value in values.items()}
