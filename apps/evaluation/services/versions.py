"""Versions: frozen once, never changed; what people said of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Max

from apps.evaluation.models import Dataset, DatasetVersion, Example, SignOff, VersionExample
from apps.evaluation.selectors.datasets import as_row, leak_check_of
from apps.evaluation.services.datasets import open_for_changes
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.archive import archive, new_key, writing
from apps.tenants.errors import Conflict, Invalid

WHY = "of a dataset that is being frozen"
AT_ONCE = 500
MOST_LEAKS = 50


@dataclass(frozen=True, slots=True)
class Frozen:
    """``created`` is false where the dataset had a version of exactly these rows already."""

    version: DatasetVersion
    created: bool


@dataclass(slots=True)
class _Manifest:
    digest: Any = field(default_factory=hashlib.sha256)
    revisions: list[int] = field(default_factory=list)
    slices: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    leaks: list[dict[str, Any]] = field(default_factory=list)


@transaction.atomic
def freeze_version(*, actor: Actor, dataset: Dataset, message: str = "") -> Frozen:
    """The newest revision of every example that is not removed, in the order in which they came."""
    dataset = open_for_changes(actor, dataset, "freeze a version")
    message = " ".join(validation.clean_text(message, field="message", maximum=300).split())
    key = new_key(dataset.tenant, "datasets", ".jsonl")
    with writing(key) as writer:
        manifest = _Manifest()
        for line in _lines(dataset, manifest):
            writer.write(line)
    if not manifest.revisions:
        archive().delete(key)
        raise Conflict(f"{dataset.name} has no example yet.", code="empty", remedy="Add or upload examples first.")
    digest = manifest.digest.hexdigest()
    existing = DatasetVersion.objects.unscoped(WHY).filter(dataset=dataset, manifest_hash=digest).first()
    if existing is not None:
        archive().delete(key)
        existing.dataset = dataset
        return Frozen(existing, created=False)
    try:
        version = _stored(actor, dataset, message, key, manifest)
    except BaseException:
        archive().delete(key)
        raise
    told = {"number": version.number, "hash": digest, "size": version.size, "message": message}
    audit.record(actor, "dataset.version_frozen", dataset, told, dataset.tenant)
    return Frozen(version, created=True)


def _stored(actor: Actor, dataset: Dataset, message: str, key: str, manifest: _Manifest) -> DatasetVersion:
    rows = DatasetVersion.objects.unscoped(WHY).filter(dataset=dataset)
    version = DatasetVersion.objects.create(
        dataset=dataset,
        number=(rows.aggregate(last=Max("number"))["last"] or 0) + 1,
        message=message,
        manifest_hash=manifest.digest.hexdigest(),
        archive_key=key,
        size=len(manifest.revisions),
        slices=dict(manifest.slices.most_common(100)),
        splits=dict(manifest.splits),
        leaks=manifest.leaks,
        created_by=actor.user,
    )
    VersionExample.objects.bulk_create(
        (
            VersionExample(version=version, revision_id=revision, position=at)
            for at, revision in enumerate(manifest.revisions, 1)
        ),
        batch_size=AT_ONCE,
    )
    return version


def _lines(dataset: Dataset, manifest: _Manifest) -> Iterator[bytes]:
    check = leak_check_of(dataset.prompt)
    rows = Example.objects.unscoped(WHY).filter(dataset=dataset, is_removed=False, current__isnull=False)
    for example in rows.select_related("current").order_by("pk").iterator(chunk_size=AT_ONCE):
        revision = example.current
        assert revision is not None
        fact = [example.key, revision.content_hash, revision.split, revision.slice, revision.tags]
        manifest.digest.update(json.dumps(fact).encode() + b"\n")
        manifest.revisions.append(revision.pk)
        manifest.splits[revision.split] += 1
        if revision.slice:
            manifest.slices[revision.slice] += 1
        if check is not None and len(manifest.leaks) < MOST_LEAKS:
            number, leaks = check
            if text := leaks.leaked(revision.input, revision.expected):
                manifest.leaks.append({"key": example.key, "prompt_version": number, "text": text})
        yield json.dumps(as_row(example.key, revision), ensure_ascii=False).encode() + b"\n"


@transaction.atomic
def sign_off(*, actor: Actor, version: DatasetVersion, is_approval: bool, note: str = "") -> SignOff:
    """A person's word on a version; their newest one counts. An objection says what is wrong."""
    require(actor, "dataset.sign_off", version.dataset.tenant, what="sign a version off")
    note = validation.clean_text(note, field="note", maximum=1_000)
    if not is_approval and not note:
        raise Invalid("Say what is wrong with it.", field="note")
    row = SignOff.objects.create(
        version=version, user=actor.user, user_label=actor.label, is_approval=is_approval, note=note
    )
    action = "dataset.signed_off" if is_approval else "dataset.objected"
    audit.record(actor, action, version.dataset, {"number": version.number, "note": note}, version.dataset.tenant)
    return row
