"""Reads of the ledger, always for an actor. Sums come from the rollups, so that their cost does not grow with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet, Sum

from apps.gateway.models import Granularity, RequestLog, UsageRecord, UsageRollup
from apps.gateway.types import Outcome
from apps.models.models import Model
from apps.models.providers.base import USAGE_KINDS
from apps.prompts.models import Prompt
from apps.tenants.access import Actor
from apps.tenants.errors import Invalid, NotFound
from apps.tenants.models import ApiKey, Project, Tenant, User

_SUMMED = (
    "requests",
    "errors",
    *USAGE_KINDS,
    "cost_picousd",
    "duration_ms",
    "first_token_ms",
    "first_tokens",
)
# Of the newest records, so many are looked through for a model's, and so many of those are measured.
SPEED_WINDOW = 10_000
SPEED_SAMPLES = 500
FEWEST_SAMPLES = 5
WHY_NAMES = "names of what the actor's own rows point to"


class GroupBy(StrEnum):
    TENANT = "tenant"
    PROJECT = "project"
    MODEL = "model"
    KEY = "key"
    USER = "user"
    STATUS = "status"


_GROUP_FIELD = {
    GroupBy.TENANT: "tenant_id",
    GroupBy.PROJECT: "project_id",
    GroupBy.MODEL: "model_id",
    GroupBy.KEY: "api_key_id",
    GroupBy.USER: "user_id",
    GroupBy.STATUS: "status",
}


@dataclass(frozen=True, slots=True)
class UsageSums:
    """``requests`` counts upstream attempts. Kinds of tokens are parts of input or of output; ``units`` of several
    models are of several sorts."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    units: int = 0
    cost_picousd: int = 0
    duration_ms: int = 0
    first_token_ms: int = 0
    first_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def mean_duration_ms(self) -> float | None:
        return self.duration_ms / self.requests if self.requests else None

    @property
    def mean_first_token_ms(self) -> float | None:
        return self.first_token_ms / self.first_tokens if self.first_tokens else None


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """The sums of one bucket and one group; ``key`` is the group's id (or status), ``label`` its name."""

    bucket: datetime
    key: int | str
    label: str
    sums: UsageSums


@dataclass(frozen=True, slots=True)
class UsageGroup:
    key: int | str
    label: str
    sums: UsageSums


@dataclass(frozen=True, slots=True)
class UsageFilters:
    """Which part of the usage to add up; empty means any."""

    project_id: int | None = None
    api_key_id: int | None = None
    user_id: int | None = None
    model_id: int | None = None


def usage_summary(
    actor: Actor, tenant: Tenant | None, since: datetime, until: datetime, filters: UsageFilters = UsageFilters()
) -> UsageSums:
    """Everything that the actor may see in ``[since, until)``: one tenant's, or (None) all of theirs.

    Whole hours when the range is under two days, else whole days in each tenant's zone: a bucket counts when it begins
    in the range.
    """
    rows = _rollups(actor, tenant, since, until, _granularity(since, until), filters)
    return _sums(rows.aggregate(**_aggregates()))


def usage_by(
    actor: Actor,
    tenant: Tenant | None,
    since: datetime,
    until: datetime,
    group_by: str,
    filters: UsageFilters = UsageFilters(),
) -> list[UsageGroup]:
    """The same range by group, the dearest first."""
    field = _field(group_by)
    rows = _rollups(actor, tenant, since, until, _granularity(since, until), filters)
    found = [(row[field], _sums(row)) for row in rows.values(field).annotate(**_aggregates())]
    labels = _labels(group_by, {key for key, _ in found})
    groups = [UsageGroup(key, labels[key], sums) for key, sums in found]
    return sorted(groups, key=lambda group: (-group.sums.cost_picousd, -group.sums.requests, group.label))


def usage_series(
    actor: Actor,
    tenant: Tenant | None,
    since: datetime,
    until: datetime,
    *,
    group_by: str,
    granularity: str = "",
    filters: UsageFilters = UsageFilters(),
) -> list[UsagePoint]:
    """Sums per bucket and group, in the order of time. Buckets without usage are left out.

    ``group_by`` is one of ``GroupBy``, ``granularity`` hour or day (by default what suits the range).
    Raises ``Invalid``.
    """
    field = _field(group_by)
    if granularity not in ("", *Granularity.values):
        raise Invalid(f"{granularity!r} is no granularity: hour or day.", field="granularity")
    rows = _rollups(actor, tenant, since, until, granularity or _granularity(since, until), filters)
    found = list(rows.values("bucket", field).annotate(**_aggregates()).order_by("bucket", field))
    labels = _labels(group_by, {row[field] for row in found})
    return [UsagePoint(row["bucket"], row[field], labels[row[field]], _sums(row)) for row in found]


@dataclass(frozen=True, slots=True)
class RequestFilters:
    """What to show of the request log; empty means any."""

    tenant: Tenant | None = None
    project_id: int | None = None
    api_key_id: int | None = None
    user_id: int | None = None
    model_slug: str = ""
    operation: str = ""
    outcome: str = ""
    error_code: str = ""
    streamed: bool | None = None
    request_id: str = ""  # or its beginning
    since: datetime | None = None
    until: datetime | None = None


def requests_for(actor: Actor, filters: RequestFilters = RequestFilters()) -> QuerySet[RequestLog]:
    """The requests that the actor may see, newest first."""
    rows = RequestLog.objects.for_actor(actor).select_related("tenant", "project", "api_key", "user")
    if filters.tenant is not None:
        rows = rows.filter(tenant_id=filters.tenant.pk)
    wanted = {
        "project_id": filters.project_id,
        "api_key_id": filters.api_key_id,
        "user_id": filters.user_id,
        "model_slug": filters.model_slug or None,
        "operation": filters.operation or None,
        "outcome": filters.outcome or None,
        "error_code": filters.error_code or None,
        "streamed": filters.streamed,
        "request_id__startswith": filters.request_id or None,
        "at__gte": filters.since,
        "at__lt": filters.until,
    }
    return rows.filter(**{name: value for name, value in wanted.items() if value is not None}).order_by("-at", "-pk")


def newest_request_id(actor: Actor, tenant: Tenant) -> str:
    """By its index alone: cheap enough to be asked every second. Empty when there is none."""
    rows = RequestLog.objects.for_actor(actor).filter(tenant_id=tenant.pk).order_by("-at")
    return rows.values_list("request_id", flat=True).first() or ""


def get_request_for(actor: Actor, request_id: str) -> RequestLog:
    """Raises ``NotFound``."""
    request = requests_for(actor).filter(request_id=request_id[:32]).first()
    if request is None or request.request_id != request_id:
        raise NotFound("There is no such request.")
    return request


def attempts_of(request: RequestLog) -> list[UsageRecord]:
    """The upstream attempts of a request that was reached by ``get_request_for``, in their order."""
    rows = UsageRecord.objects.unscoped("the attempts of a request that the actor may see")
    rows = rows.filter(request_id=request.request_id)
    return list(rows.select_related("model", "endpoint__provider", "price").order_by("at", "pk"))


@dataclass(frozen=True, slots=True)
class Speed:
    """As measured here. ``first_token_ms`` and ``tokens_per_second`` are medians, or None where nothing tells."""

    samples: int
    first_token_ms: float | None
    tokens_per_second: float | None


def model_speed(model: Model) -> Speed:
    """How fast a model answers here, from its newest answers among the platform's newest records: a bounded read.

    It tells nothing of any tenant, and so needs no actor.
    """
    newest = UsageRecord.objects.unscoped("speed of a model for the whole platform")
    last = newest.order_by("-pk").values_list("pk", flat=True).first()
    if last is None:
        return Speed(0, None, None)
    rows = newest.filter(pk__gt=last - SPEED_WINDOW, model_id=model.pk, outcome=Outcome.OK).order_by("-pk")
    figures = rows.values_list("first_token_ms", "output_tokens", "duration_ms")[:SPEED_SAMPLES]
    first_tokens: list[int] = []
    rates: list[float] = []
    for first_token_ms, output_tokens, duration_ms in figures:
        if first_token_ms is not None:
            first_tokens.append(first_token_ms)
        # A whole answer's first token is not seen: its time counts from the start.
        writing = duration_ms - (first_token_ms or 0)
        if output_tokens > 1 and writing > 0:
            rates.append(output_tokens * 1000 / writing)
    return Speed(
        max(len(first_tokens), len(rates)),
        median(first_tokens) if len(first_tokens) >= FEWEST_SAMPLES else None,
        median(rates) if len(rates) >= FEWEST_SAMPLES else None,
    )


@dataclass(frozen=True, slots=True)
class VersionTraffic:
    """What one version of a prompt was asked and cost. ``share`` is of all the prompt's requests."""

    number: int
    requests: int
    errors: int
    tokens: int
    cost_picousd: int
    mean_ms: float
    share: float

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests

    @property
    def cost_per_thousand_picousd(self) -> int:
        return self.cost_picousd * 1000 // self.requests


@dataclass(frozen=True, slots=True)
class PromptTraffic:
    """``versions`` is what applications and people asked, the newest version first. Apart from it what Lobby asked
    itself: evaluations and the playground."""

    versions: list[VersionTraffic]
    own_requests: int
    own_cost_picousd: int

    @property
    def cost_picousd(self) -> int:
        return sum(row.cost_picousd for row in self.versions)


def prompt_traffic(actor: Actor, prompt: Prompt, since: datetime) -> PromptTraffic:
    """Of a prompt that the actor may see, in the projects whose usage they may see."""
    rows = RequestLog.objects.for_actor(actor, "usage.view").filter(
        tenant_id=prompt.tenant_id, prompt_id=prompt.pk, at__gte=since, prompt_version__isnull=False
    )
    by_lobby = Q(why__has_key="by_lobby")
    own = rows.filter(by_lobby).aggregate(requests=Count("pk"), cost=Sum("cost_picousd"))
    sums = (
        rows.filter(~by_lobby)
        .order_by()
        .values("prompt_version")
        .annotate(
            requests=Count("pk"),
            errors=Count("pk", filter=~Q(outcome=Outcome.OK)),
            tokens=Sum("input_tokens") + Sum("output_tokens"),
            cost=Sum("cost_picousd"),
            ms=Avg("duration_ms"),
        )
    )
    found = sums.order_by("-prompt_version")
    total = sum(row["requests"] for row in found)
    versions = [
        VersionTraffic(
            row["prompt_version"] or 0,
            row["requests"],
            row["errors"],
            row["tokens"],
            row["cost"],
            row["ms"],
            row["requests"] / total,
        )
        for row in found
    ]
    return PromptTraffic(versions, own["requests"], own["cost"] or 0)


def _rollups(
    actor: Actor,
    tenant: Tenant | None,
    since: datetime,
    until: datetime,
    granularity: str,
    filters: UsageFilters = UsageFilters(),
) -> QuerySet[UsageRollup]:
    rows = UsageRollup.objects.for_actor(actor).filter(granularity=granularity, bucket__gte=since, bucket__lt=until)
    wanted = {
        "tenant_id": None if tenant is None else tenant.pk,
        "project_id": filters.project_id,
        "api_key_id": filters.api_key_id,
        "user_id": filters.user_id,
        "model_id": filters.model_id,
    }
    return rows.filter(**{name: value for name, value in wanted.items() if value is not None}).order_by()


def _granularity(since: datetime, until: datetime) -> str:
    return Granularity.HOUR if until - since < timedelta(days=2) else Granularity.DAY


def _aggregates() -> dict[str, Sum]:
    return {f"sum_{name}": Sum(name) for name in _SUMMED}


def _sums(row: Mapping[str, Any]) -> UsageSums:
    return UsageSums(**{name: int(row[f"sum_{name}"] or 0) for name in _SUMMED})


def _field(group_by: str) -> str:
    try:
        return _GROUP_FIELD[GroupBy(group_by)]
    except ValueError:
        raise Invalid(f"{group_by!r} is no grouping: {', '.join(GroupBy)}.", field="group_by") from None


def _labels(group_by: str, keys: Iterable[Any]) -> dict[Any, str]:
    """Names for ids, one query. What is no more keeps its number."""
    if group_by == GroupBy.STATUS:
        return {key: str(key) for key in keys}
    ids = [key for key in keys if key]
    named: dict[Any, str] = {}
    match group_by:
        case GroupBy.TENANT:
            named = dict(Tenant.objects.unscoped(WHY_NAMES).filter(pk__in=ids).values_list("pk", "name"))
        case GroupBy.PROJECT:
            projects = Project.objects.unscoped(WHY_NAMES).filter(pk__in=ids).select_related("tenant")
            named = {project.pk: f"{project.tenant.slug}/{project.slug}" for project in projects}
        case GroupBy.MODEL:
            named = dict(Model.objects.filter(pk__in=ids).values_list("pk", "slug"))
        case GroupBy.KEY:
            named = {key.pk: str(key) for key in ApiKey.objects.unscoped(WHY_NAMES).filter(pk__in=ids)}
        case GroupBy.USER:
            named = {user.pk: str(user) for user in User.objects.filter(pk__in=ids)}
    return {key: named.get(key, f"#{key}" if key else "none") for key in keys}
