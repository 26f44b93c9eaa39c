"""What sampled requests said: redacted before it is written, gone when its tenant's retention says so, or at once when
its project keeps nothing any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from apps.gateway.models import RequestContent
from apps.gateway.redaction import Redactor
from apps.tenants.models import Tenant

WHY = "samples of requests, for their own tenant"
# Each transaction is short: on SQLite others wait for it.
BATCH = 500
LONGEST_TEXT = 200_000


@dataclass(frozen=True, slots=True)
class ContentFacts:
    """Which request it was. ``model_slug`` is what its caller named; ``prompt_id`` and ``prompt_version`` are 0 where
    it named no prompt."""

    request_id: str
    at: datetime
    tenant_id: int
    project_id: int
    environment: str
    model_slug: str
    prompt_id: int = 0
    prompt_version: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A message or an answer in plain text. ``tool_calls`` are ``{"name", "arguments"}``."""

    role: str
    text: str
    tool_calls: tuple[dict[str, str], ...] = ()
    finish_reason: str = ""


def keep_content(facts: ContentFacts, messages: Sequence[Said], answer: Said, error: str = "") -> RequestContent:
    """Personal data is replaced in all of its texts alike. A request is kept once, however often it is offered.

    ``error`` is the code of a request that failed; its answer is empty.
    """
    redactor = Redactor()
    row, _ = RequestContent.objects.unscoped(WHY).get_or_create(
        request_id=facts.request_id,
        defaults={
            "at": facts.at,
            "tenant_id": facts.tenant_id,
            "project_id": facts.project_id,
            "environment": facts.environment,
            "model_slug": facts.model_slug[:200],
            "prompt_id": facts.prompt_id or None,
            "prompt_version": facts.prompt_version or None,
            "label": facts.label[:50],
            "messages": [{"role": each.role, "content": _clean(redactor, each.text)} for each in messages],
            "answer": _clean(redactor, answer.text),
            "tool_calls": [{name: _clean(redactor, text) for name, text in call.items()} for call in answer.tool_calls],
            "finish_reason": answer.finish_reason[:40],
            "error": error[:40],
            "redactions": redactor.found,
        },
    )
    return row


def delete_expired_contents(now: datetime) -> int:
    """How many were due: older than their tenant keeps anything, or of a project that keeps nothing now."""
    deleted = _delete(RequestContent.objects.unscoped(WHY).filter(project__content_percent=0))
    for tenant in Tenant.objects.unscoped("retention of every tenant"):
        before = now - timedelta(days=tenant.retention_days)
        deleted += _delete(RequestContent.objects.for_tenant(tenant).filter(at__lt=before))
    return deleted


def _delete(due: QuerySet[RequestContent]) -> int:
    deleted = 0
    while ids := list(due.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        RequestContent.objects.unscoped(WHY).filter(pk__in=ids).delete()
        deleted += len(ids)
    return deleted


def _clean(redactor: Redactor, text: str) -> Any:
    """Without what no database takes, within bounds, and without personal data."""
    storable = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return redactor.text(storable[:LONGEST_TEXT])
