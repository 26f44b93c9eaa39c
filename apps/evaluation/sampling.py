"""Samples of production requests as examples: what was asked, and the answer that was given, redacted both.

They are taken from what the gateway keeps (``RequestContent``): of projects whose tenant has agreed, without personal
data. A sample lives as long as what it was taken from.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Max, QuerySet

from apps.evaluation.content import Content
from apps.evaluation.models import (
    Dataset,
    DatasetVersion,
    Evaluation,
    EvaluationItem,
    Example,
    ExampleRevision,
    Monitor,
    VersionExample,
)
from apps.evaluation.running.subjects import ANSWER
from apps.evaluation.types import Scrub, Source
from apps.gateway.models import RequestContent, RequestLog

WHY: Final = "samples of a monitor, for its own tenant"
MOST_CONSIDERED: Final = 50_000  # requests of a window that a sample is drawn from, the newest ones
AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Drawn:
    """``found`` is how many there were to draw from."""

    found: int
    contents: tuple[RequestContent, ...]


def slice_of(version: int | None) -> str:
    """By which an example says which version of the prompt answered."""
    return "" if version is None else f"v{version}"


def draw(monitor: Monitor, since: datetime, until: datetime, version: int | None, size: int) -> Drawn:
    """At random, and the same ones when asked again: of what ``version`` answered, or (None) of all that it watches."""
    rows = _contents(monitor).filter(at__gte=since, at__lt=until)
    if version is not None:
        rows = rows.filter(prompt_version=version)
    ids = list(rows.order_by("-at", "-pk").values_list("pk", flat=True)[:MOST_CONSIDERED])
    seed = f"{monitor.pk} {since.timestamp()} {until.timestamp()} {version}"
    chosen = random.Random(seed).sample(sorted(ids), min(size, len(ids)))  # noqa: S311
    found = RequestContent.objects.unscoped(WHY).filter(pk__in=chosen).order_by("at", "pk")
    return Drawn(len(ids), tuple(found))


def _contents(monitor: Monitor) -> QuerySet[RequestContent]:
    rows = RequestContent.objects.for_tenant(monitor.tenant).filter(project__content_percent__gt=0, error="")
    if monitor.prompt_id is None:
        return rows.filter(model_slug=monitor.model)
    return rows.filter(prompt_id=monitor.prompt_id, label=monitor.label, environment=monitor.environment)


def freeze(monitor: Monitor, contents: Sequence[RequestContent], message: str) -> DatasetVersion:
    """A version of the monitor's dataset that holds just these. The same ones again are the same version."""
    dataset = monitor.dataset
    logged = _figures(contents)
    by_version = monitor.prompt_id is not None
    sampled = [(each, _content(each, logged.get(each.request_id, {}), by_version)) for each in contents]
    revisions = _revisions(dataset, sampled)
    digest = hashlib.sha256("\n".join(each.content_hash for each in revisions).encode()).hexdigest()
    rows = DatasetVersion.objects.unscoped(WHY).filter(dataset=dataset)
    existing = rows.filter(manifest_hash=digest).first()
    if existing is not None:
        existing.dataset = dataset
        return existing
    slices: dict[str, int] = {}
    for each in revisions:
        slices[each.slice] = slices.get(each.slice, 0) + 1
    version = DatasetVersion.objects.create(
        dataset=dataset,
        number=(rows.aggregate(last=Max("number"))["last"] or 0) + 1,
        message=message[:300],
        manifest_hash=digest,
        size=len(revisions),
        slices={name: count for name, count in slices.items() if name},
    )
    VersionExample.objects.bulk_create(
        [VersionExample(version=version, revision=each, position=at) for at, each in enumerate(revisions, 1)]
    )
    return version


def _revisions(dataset: Dataset, sampled: Sequence[tuple[RequestContent, Content]]) -> list[ExampleRevision]:
    keys = [content.request_id for content, _ in sampled]
    rows = ExampleRevision.objects.unscoped(WHY).filter(example__dataset=dataset, example__key__in=keys)
    known = {row.example.key: row for row in rows.select_related("example")}
    new = [(row, content) for row, content in sampled if row.request_id not in known]
    examples = Example.objects.bulk_create([Example(dataset=dataset, key=row.request_id) for row, _ in new])
    made = ExampleRevision.objects.bulk_create(
        [
            ExampleRevision(
                example=example,
                number=1,
                input=content.input,
                slice=content.slice,
                text=content.text,
                content_hash=content.digest,
                source=Source.REQUEST,
                source_ref=row.request_id,
                scrub=Scrub.REDACTED if row.redactions else Scrub.CLEAN,
            )
            for example, (row, content) in zip(examples, new, strict=True)
        ]
    )
    known |= {row.request_id: revision for (row, _), revision in zip(new, made, strict=True)}
    return [known[key] for key in keys]


def _content(row: RequestContent, logged: dict[str, Any], by_version: bool) -> Content:
    answer = {
        "text": row.answer,
        "tool_calls": row.tool_calls,
        "finish_reason": row.finish_reason,
        **{name: value for name, value in logged.items() if value is not None},
    }
    # The request's id makes equal exchanges examples of their own.
    return Content(
        input={"messages": row.messages, ANSWER: json.loads(json.dumps(answer)), "request": row.request_id},
        slice=slice_of(row.prompt_version if by_version else None),
    )


def _figures(contents: Sequence[RequestContent]) -> dict[str, dict[str, Any]]:
    """What each request took, as the ledger says."""
    rows = RequestLog.objects.unscoped(WHY).filter(request_id__in=[each.request_id for each in contents])
    return {
        row["request_id"]: {
            "duration_ms": row["duration_ms"],
            "first_token_ms": row["first_token_ms"],
            "cost_picousd": row["cost_picousd"],
            "input_tokens": row["input_tokens"],
            "output_tokens": row["output_tokens"],
        }
        for row in rows.values(
            "request_id", "duration_ms", "first_token_ms", "cost_picousd", "input_tokens", "output_tokens"
        )
    }


def forget(dataset: Dataset) -> None:
    """All of a monitor that is gone: its samples, and the runs over them with their scores."""
    Evaluation.objects.unscoped(WHY).filter(dataset_version__dataset=dataset).delete()
    VersionExample.objects.unscoped(WHY).filter(version__dataset=dataset).delete()
    dataset.delete()


def forget_expired() -> int:
    """Samples of which the request is no longer kept go, with their scores; what the checks made of them stays."""
    gone = 0
    for dataset in Dataset.objects.unscoped(WHY).filter(monitor__isnull=False):
        examples = Example.objects.unscoped(WHY).filter(dataset=dataset)
        kept = RequestContent.objects.unscoped(WHY).filter(tenant_id=dataset.tenant_id).values("request_id")
        due = examples.exclude(key__in=kept).order_by("pk")
        while ids := list(due.values_list("pk", flat=True)[:AT_ONCE]):
            EvaluationItem.objects.unscoped(WHY).filter(revision__example__in=ids).delete()
            VersionExample.objects.unscoped(WHY).filter(revision__example__in=ids).delete()
            Example.objects.unscoped(WHY).filter(pk__in=ids).delete()
            gone += len(ids)
    return gone
