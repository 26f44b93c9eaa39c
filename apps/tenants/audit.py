"""The audit trail: who did what to what, when, append-only and hash-chained.

Each entry's hash is SHA-256 over the canonical JSON of its content together with the hash of the entry before it, so
no entry can be altered, removed or slipped in without every later hash failing. ``AuditHead`` remembers the last one,
so that cutting off the end shows as well. Somebody who can rewrite the whole database could rebuild the chain:
``audit verify`` prints the head for keeping elsewhere, and takes it back as an anchor.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models
from django.utils import timezone

from apps.tenants import audit_triggers
from apps.tenants.access import Actor
from apps.tenants.control_plane import lock_control_plane
from apps.tenants.models import AuditEntry, AuditHead, Tenant

GENESIS = "0" * 64
HEAD_ID = 1
REDACTED = "[redacted]"
_SECRET_NAMES = re.compile(r"password|secret|hmac|plaintext|credential|token(?!s)|authorization|cookie", re.IGNORECASE)
_KEY_TEXT = re.compile(r"(lby_[a-z0-9]{10}_)[A-Za-z0-9]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LABEL_LENGTH = 254


def record(
    actor: Actor,
    action: str,
    target: models.Model,
    data: Mapping[str, Any] | None = None,
    tenant: Tenant | None = None,
) -> AuditEntry:
    """Append one entry in the transaction of the act itself; call it after the act's own writes.

    Args:
        action: A verb of the past tense after its noun, for example ``project.created``.
        target: What was acted on.
        data: Plain values worth keeping, for example ``{"role": ["viewer", "admin"]}`` for a change from, to.
        tenant: Whose trail it belongs to; None for acts of the platform.

    Raises:
        RuntimeError: Outside a transaction.
    """
    lock_control_plane()
    head, _ = AuditHead.objects.get_or_create(pk=HEAD_ID, defaults={"sequence": 0, "hash": GENESIS})
    entry = AuditEntry(
        sequence=head.sequence + 1,
        at=timezone.now(),
        tenant_id=None if tenant is None else tenant.pk,
        actor_id=None if actor.user is None else actor.user.pk,
        actor_label=_text(actor.label)[:_LABEL_LENGTH],
        action=action,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_label=_text(str(target))[:_LABEL_LENGTH],
        data=storable(data or {}),
        previous_hash=head.hash,
    )
    entry.hash = hash_of(entry)
    entry.save(force_insert=True)
    AuditHead.objects.filter(pk=HEAD_ID).update(sequence=entry.sequence, hash=entry.hash)
    return entry


def hash_of(entry: AuditEntry) -> str:
    """The hash that ``entry`` ought to have, from its content and its ``previous_hash``."""
    content = {
        "sequence": entry.sequence,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "tenant": entry.tenant_id,
        "actor": entry.actor_id,
        "actor_label": entry.actor_label,
        "action": entry.action,
        "target_type": entry.target_type,
        "target_id": entry.target_id,
        "target_label": entry.target_label,
        "data": entry.data,
        "previous": entry.previous_hash,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def storable(value: Any) -> Any:
    """``value`` as plain JSON that reads back equal from every database, without anything that looks like a secret.

    Floats and other types become text: PostgreSQL's jsonb and SQLite write numbers differently, and the hash must not.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {
            _text(str(key)): REDACTED if _SECRET_NAMES.search(str(key)) else storable(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        items = [storable(item) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    if isinstance(value, datetime):
        return value.isoformat()
    return _text(str(value))


def _text(value: str) -> str:
    return _KEY_TEXT.sub(r"\1" + REDACTED, _UNSTORABLE.sub("\ufffd", value))


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problem`` is empty when the trail is whole; otherwise ``sequence`` is the first place where it is not."""

    entries: int
    head_hash: str
    sequence: int | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem


def verify(anchor: tuple[int, str] | None = None) -> Verdict:
    """Walk the whole trail. ``anchor`` is a sequence and the hash that it had when somebody wrote it down."""
    absent = audit_triggers.missing(connection)
    previous, expected = GENESIS, 1
    anchor_seen = anchor is None or anchor[0] == 0
    for entry in _in_order():
        if entry.sequence != expected:
            return Verdict(expected - 1, previous, expected, f"entry {expected} is missing")
        if entry.previous_hash != previous:
            return Verdict(expected - 1, previous, expected, "its link to the entry before it is broken")
        if entry.hash != hash_of(entry):
            return Verdict(expected - 1, previous, expected, "its content is not what was recorded")
        if anchor is not None and entry.sequence == anchor[0]:
            anchor_seen = True
            if entry.hash != anchor[1]:
                return Verdict(
                    expected - 1, previous, expected, "its hash is not the anchor's: the trail was rewritten"
                )
        previous, expected = entry.hash, expected + 1
    count = expected - 1
    head = AuditHead.objects.filter(pk=HEAD_ID).first()
    head_sequence, head_hash = (head.sequence, head.hash) if head else (0, GENESIS)
    if head_sequence > count or not anchor_seen:
        return Verdict(count, previous, expected, "the end of the trail was cut off here")
    if (head_sequence, head_hash) != (count, previous):
        return Verdict(count, previous, count, "the recorded head does not match the last entry")
    if absent:
        return Verdict(count, previous, None, f"the database's protection is off: no trigger {', '.join(absent)}")
    return Verdict(count, previous)


def _in_order(batch: int = 2000) -> Iterator[AuditEntry]:
    # By pages rather than one long cursor: the walk holds no read transaction open while it hashes.
    after = -1
    while True:
        page = list(
            AuditEntry.objects.unscoped("verify the chain").filter(sequence__gt=after).order_by("sequence")[:batch]
        )
        yield from page
        if len(page) < batch:
            return
        after = page[-1].sequence
