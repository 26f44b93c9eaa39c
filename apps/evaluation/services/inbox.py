"""The golden-set inbox: what went wrong somewhere, offered as an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.evaluation.content import checked, clean_content
from apps.evaluation.models import InboxItem
from apps.evaluation.redaction import Redactor
from apps.evaluation.types import InboxStatus, Scrub, Source
from apps.prompts.models import Prompt
from apps.tenants import validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Invalid
from apps.tenants.jobs import enqueue
from apps.tenants.models import Tenant

MOST_REASONS = 10
LONGEST_NOTE = 1_000
LONGEST_OUTPUT = 100_000
SORT_TASK = "evaluation.sort_inbox"


@transaction.atomic
def offer_to_inbox(
    *,
    actor: Actor,
    tenant: Tenant,
    source: str,
    input: dict[str, Any],
    source_ref: str = "",
    output: str = "",
    expected: Any = None,
    reasons: Sequence[str] = (),
    note: str = "",
    prompt: Prompt | None = None,
) -> InboxItem:
    """``input`` is an example's: values of a prompt's variables, or ``{"messages": [...]}``.

    Personal data is replaced before anything is written. The same ``source`` and ``source_ref`` are one item: offered
    again, it says what was said last, unless somebody has decided on it already. Every member may offer.
    """
    require(actor, "dataset.offer", tenant, what="offer something for a dataset")
    if prompt is not None and prompt.tenant_id != tenant.pk:
        raise Invalid("The prompt is of another tenant.", field="prompt")
    source = validation.clean_choice(source, Source, field="source")
    source_ref = validation.clean_name(source_ref, field="source_ref") if source_ref else ""
    redactor = Redactor()
    content = clean_content(
        input=redactor.value(checked(input, "input")), expected=redactor.value(checked(expected, "expected"))
    )
    values: dict[str, Any] = {
        "prompt": prompt,
        "input": content.input,
        "output": redactor.text(_text(output, "output", LONGEST_OUTPUT)),
        "expected": content.expected,
        "reasons": [_text(each, "reasons", 40) for each in reasons][:MOST_REASONS],
        "note": redactor.text(_text(note, "note", LONGEST_NOTE))[:LONGEST_NOTE],
        "content_hash": content.digest,
        "redactions": redactor.found,
        "scrub": Scrub.REDACTED if redactor.found else Scrub.CLEAN,
        "cluster": "",
        "warnings": [],
        "sorted_at": None,
    }
    item = _stored(tenant, source, source_ref, values, actor)
    enqueue(SORT_TASK, tenant.pk)
    return item


def _stored(tenant: Tenant, source: str, source_ref: str, values: dict[str, Any], actor: Actor) -> InboxItem:
    item = InboxItem(tenant=tenant, source=source, source_ref=source_ref, created_by=actor.user)
    _fill(item, values)
    try:
        with transaction.atomic():
            item.save(force_insert=True)
        return item
    except IntegrityError:
        rows = InboxItem.objects.for_tenant(tenant).filter(source=source, source_ref=source_ref)
        item = rows.select_for_update(of=("self",)).get()
    if item.status == InboxStatus.OPEN:
        _fill(item, values)
        item.save(update_fields=list(values))
    return item


def _fill(item: InboxItem, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(item, name, value)


def _text(value: str, field: str, maximum: int) -> str:
    """Shortened rather than refused: whoever offers was busy with something else."""
    return validation.clean_text(value.replace("\x00", "").strip()[:maximum], field=field, maximum=maximum)
