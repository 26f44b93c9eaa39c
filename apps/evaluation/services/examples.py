"""Examples: each change is a new revision; what was frozen keeps the old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.evaluation.content import Content, Schemas, clean_content, clean_label
from apps.evaluation.errors import ExampleInvalid
from apps.evaluation.mapping import key_of
from apps.evaluation.models import Dataset, Example, ExampleRevision
from apps.evaluation.services.datasets import open_for_changes
from apps.evaluation.types import Scrub, Source, Split
from apps.tenants import audit
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict
from apps.tenants.models import User

MOST_EXAMPLES = 200_000
WHY = "of a dataset that is being changed"


class Outcome(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Provenance:
    source: str
    user: User | None
    scrub: str = Scrub.NOT_NEEDED


@dataclass(frozen=True, slots=True)
class Incoming:
    key: str
    content: Content
    source_ref: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    example: Example
    revision: ExampleRevision
    outcome: Outcome


@transaction.atomic
def add_example(
    *,
    actor: Actor,
    dataset: Dataset,
    input: Any,
    expected: Any = None,
    context: Any = (),
    tags: Any = (),
    slice: str = "",
    split: str = Split.TEST,
    key: str = "",
) -> Stored:
    """Without a ``key`` the example is known by its input."""
    dataset = open_for_changes(actor, dataset, "add an example")
    content = clean_content(
        input=input,
        expected=expected,
        context=context,
        tags=tags,
        slice=slice,
        split=split,
        schemas=schemas_of(dataset),
    )
    key = clean_label(key, "key") or key_of(content.input)
    if Example.objects.unscoped(WHY).filter(dataset=dataset, key=key, is_removed=False).exists():
        raise Conflict(
            f"{dataset.name} has the example {key!r} already.", code="key_taken", field="key", remedy="Edit that one."
        )
    [stored] = store(dataset, [Incoming(key, content)], Provenance(Source.PERSON, actor.user))
    audit.record(actor, "dataset.example_added", stored.example, {"dataset": dataset.slug}, dataset.tenant)
    return stored


@transaction.atomic
def edit_example(
    *,
    actor: Actor,
    example: Example,
    input: Any,
    expected: Any = None,
    context: Any = (),
    tags: Any = (),
    slice: str = "",
    split: str = Split.TEST,
) -> Stored:
    """Everything that it is to say from now on. What it says already makes no new revision."""
    dataset = open_for_changes(actor, example.dataset, "edit an example")
    content = clean_content(
        input=input,
        expected=expected,
        context=context,
        tags=tags,
        slice=slice,
        split=split,
        schemas=schemas_of(dataset),
    )
    [stored] = store(dataset, [Incoming(example.key, content)], Provenance(Source.PERSON, actor.user))
    if stored.outcome != Outcome.SAME:
        told = {"dataset": dataset.slug, "revision": stored.revision.number}
        audit.record(actor, "dataset.example_edited", stored.example, told, dataset.tenant)
    return stored


@transaction.atomic
def remove_example(*, actor: Actor, example: Example) -> Example:
    """Left out of the next version; those that are frozen keep it."""
    return _set_removed(actor, example, True, "dataset.example_removed")


@transaction.atomic
def restore_example(*, actor: Actor, example: Example) -> Example:
    return _set_removed(actor, example, False, "dataset.example_restored")


def _set_removed(actor: Actor, example: Example, value: bool, action: str) -> Example:
    dataset = open_for_changes(actor, example.dataset, "remove or restore an example")
    if example.is_removed != value:
        example.is_removed = value
        example.save(update_fields=["is_removed"])
        touch(dataset)
        audit.record(actor, action, example, {"dataset": dataset.slug}, dataset.tenant)
    return example


def schemas_of(dataset: Dataset) -> Schemas:
    return Schemas(dataset.input_schema, dataset.expected_schema)


def touch(dataset: Dataset) -> None:
    dataset.updated_at = timezone.now()
    dataset.save(update_fields=["updated_at"])


def store(dataset: Dataset, rows: Sequence[Incoming], provenance: Provenance) -> list[Stored]:
    """Into the tables, by key; ``dataset`` is locked, and no key is there twice. A handful of queries for any number.

    An example that had been removed comes back.
    """
    found = {
        each.key: each
        for each in Example.objects.unscoped(WHY)
        .filter(dataset=dataset, key__in=[row.key for row in rows])
        .select_related("current")
    }
    new = [Example(dataset=dataset, key=row.key) for row in rows if row.key not in found]
    if new and Example.objects.unscoped(WHY).filter(dataset=dataset).count() + len(new) > MOST_EXAMPLES:
        raise ExampleInvalid(f"A dataset holds at most {MOST_EXAMPLES:,} examples.", code="dataset_full")
    for example in Example.objects.bulk_create(new):
        found[example.key] = example
    stored: list[Stored] = []
    revisions: list[ExampleRevision] = []
    touched: list[Example] = []
    for row in rows:
        example = found[row.key]
        current = example.current
        is_back = example.is_removed
        same = current is not None and _says(current, row.content)
        if is_back or not same:
            example.is_removed = False
            touched.append(example)
        outcome = Outcome.ADDED if current is None or is_back else Outcome.CHANGED
        if same and current is not None:
            stored.append(Stored(example, current, outcome if is_back else Outcome.SAME))
            continue
        revision = _revision(example, (current.number if current else 0) + 1, row, provenance)
        revisions.append(revision)
        stored.append(Stored(example, revision, outcome))
    ExampleRevision.objects.bulk_create(revisions)
    for each in stored:
        each.example.current = each.revision
    Example.objects.unscoped(WHY).bulk_update(touched, ["current", "is_removed"], batch_size=200)
    if touched:
        touch(dataset)
    return stored


def _revision(example: Example, number: int, row: Incoming, provenance: Provenance) -> ExampleRevision:
    content = row.content
    return ExampleRevision(
        example=example,
        number=number,
        input=content.input,
        expected=content.expected,
        context=content.context,
        tags=content.tags,
        slice=content.slice,
        split=content.split,
        text=content.text,
        content_hash=content.digest,
        source=provenance.source,
        source_ref=row.source_ref,
        scrub=provenance.scrub,
        created_by=provenance.user,
    )


def _says(revision: ExampleRevision, content: Content) -> bool:
    return (revision.content_hash, revision.tags, revision.slice, revision.split) == (
        content.digest,
        content.tags,
        content.slice,
        content.split,
    )
