"""Two months of plausible usage, the same for the same day: written to the spool as the gateway writes it.

What the drainer then makes of it (records, rollups, the interrupted requests) is not made up: it takes the road that
every request takes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from django.db.models import Q

from apps.gateway.ledger.lines import AnyLine, Intent, RequestLine, Settlement
from apps.gateway.ledger.pricing import PriceTerms, cost_picousd
from apps.gateway.ledger.spool import Spool
from apps.gateway.snapshot_loader import budget_text, limit_text
from apps.gateway.types import Outcome, UsageStatus
from apps.models.models import Endpoint, Price
from apps.models.providers.base import USAGE_KINDS, Usage
from apps.models.types import ModelKind
from apps.tenants.models import Budget, RateLimit
from apps.tenants.types import Metric
from portal.demo import catalog
from portal.demo.control_plane import HISTORY_DAYS, DemoKeyRow

DAYS = HISTORY_DAYS
SPOOL_BYTES = 1024**3
# One bad afternoon, so that there is something to find: so many days ago, these hours (UTC), this share of failures.
INCIDENT_DAYS_AGO, INCIDENT_HOURS, INCIDENT_FAILURES = 17, (12, 13, 14), 0.35
SUSPENDED_DAYS_AGO, EXPIRED_DAYS_AGO = 6, 11

OFFICE_HOURS = (0, 0, 0, 0, 0, 0, 1, 4, 12, 18, 19, 17, 11, 15, 18, 17, 14, 8, 3, 2, 1, 1, 0, 0)
ALL_HOURS = (5, 4, 3, 3, 3, 4, 6, 9, 12, 13, 13, 12, 12, 12, 12, 12, 12, 13, 14, 14, 13, 11, 9, 7)

_encode = msgspec.json.Encoder().encode


class Served:
    """A model as the history sees it: where it is called, and what it cost when."""

    def __init__(self, slug: str) -> None:
        self.endpoint: Endpoint = catalog.endpoint_of(slug)
        self.is_embedding = self.endpoint.model.kind == ModelKind.EMBEDDING
        self._prices = [
            (price.effective_from, price.pk, PriceTerms.of(price))
            for price in Price.objects.filter(model=self.endpoint.model).order_by("effective_from", "pk")
        ]

    def price_at(self, moment: datetime) -> tuple[int, PriceTerms]:
        """The price in force; for the time before the first one, the first."""
        begun = [price for price in self._prices if price[0] <= moment] or self._prices[:1]
        return begun[-1][1], begun[-1][2]


class Rules:
    """The limits and budgets that cover a key's calls, and what the gateway writes down about them."""

    def __init__(self, row: DemoKeyRow) -> None:
        project = row.api_key.project
        covers = Q(project=None) | Q(project=project)
        related = ("tenant", "project", "api_key")
        self._slug = row.tenant_plan.slug
        self._limits = list(
            RateLimit.objects.for_tenant(project.tenant)
            .filter(covers, api_key=None, user=None)
            .select_related(*related, "user")
            .order_by("pk")
        )
        budgets = Budget.objects.for_tenant(project.tenant).filter(covers, api_key=None)
        self._budgets = [budget_text(budget) for budget in budgets.select_related(*related).order_by("pk")]

    def asked(self, terms: PriceTerms, usage: Usage) -> dict[str, Any]:
        """What is held while the call runs: a little more input than counted, output up to a round maximum."""
        most = Usage(
            round(usage.input_tokens * 1.1), 1 << usage.output_tokens.bit_length() if usage.output_tokens else 0
        )
        held = {"tokens": most.input_tokens + most.output_tokens, "cost_picousd": cost_picousd(terms, most)}
        return {"held": held} | ({"budgets": self._budgets} if self._budgets else {})

    def admitted(self, asked: dict[str, Any], at: int) -> dict[str, Any]:
        tokens, free = asked["held"]["tokens"], 0.4 + at % 600 / 1000
        left = [
            {
                "rule": limit_text(limit),
                "left": max(int((limit.limit - (tokens if limit.metric == Metric.TOKENS else 1)) * free), 0),
            }
            for limit in self._limits
        ]
        return asked | {"granted_tokens": tokens, "limits": left}

    def denied(self, asked: dict[str, Any], at: int) -> dict[str, Any]:
        """By the tenant's tokens per minute, in the words that the gateway says (``apps/gateway/admission.py``)."""
        rule = next(limit_text(limit) for limit in self._limits if limit.metric == Metric.TOKENS)
        tokens = asked["held"]["tokens"]
        left = tokens * (at % 90) // 100
        said = (
            f"Rate limit reached: {rule}. This request may use up to {tokens:,} tokens and {left:,}"
            " are left; a shorter input or a smaller max_completion_tokens asks for less. Try again in"
            f" {1 + at % 40} s, or ask an admin of tenant {self._slug} for more."
        )
        return asked | {"denied_by": rule, "said": said}


def write_history(rows: Sequence[DemoKeyRow], spool_dir: Path, now: datetime) -> int:
    """Append the history of ``rows`` to the spool; how many requests it holds."""
    served = {slug: Served(slug) for slug in {row.project_plan.model for row in rows}}
    requests = 0
    with Spool(spool_dir, max_bytes=SPOOL_BYTES) as spool:
        for row in rows:
            parts: list[bytes] = []
            for lines in _history_of(row, served[row.project_plan.model], Rules(row), now):
                parts += [_encode(line) + b"\n" for line in lines]
                requests += 1
            spool.append(b"".join(parts))
    return requests


def _history_of(row: DemoKeyRow, served: Served, rules: Rules, now: datetime) -> Iterator[list[AnyLine]]:
    zone = ZoneInfo(row.tenant_plan.time_zone)
    weights = ALL_HOURS if row.project_plan.round_the_clock else OFFICE_HOURS
    end = now - timedelta(days=_last_day(row))
    for days_ago in range(DAYS, -1, -1):
        day = (now.astimezone(zone) - timedelta(days=days_ago)).replace(hour=0, minute=0, second=0, microsecond=0)
        # A seed of its own for each key and day: that day stays as it is, whenever the history is made.
        rng = random.Random(f"{row.tenant_plan.slug}/{row.project_plan.slug}/{row.plan.name}/{day:%Y-%m-%d}")  # noqa: S311
        for hour in sorted(rng.choices(range(24), weights, k=_requests_on(row, day, days_ago, rng))):
            moment = day + timedelta(hours=hour, seconds=rng.uniform(0, 3600))
            if moment < end:
                yield _request(row, served, rules, moment, rng, now)


def _last_day(row: DemoKeyRow) -> int:
    if row.tenant_plan.suspended:
        return SUSPENDED_DAYS_AGO
    return EXPIRED_DAYS_AGO if row.plan.state == "expired" else 0


def _requests_on(row: DemoKeyRow, day: datetime, days_ago: int, rng: random.Random) -> int:
    progress = 1 - days_ago / DAYS
    # ``growth`` is the ratio of the last day to the first; the plan's figure is the middle's.
    trend = 2 * (1 + (row.project_plan.growth - 1) * progress) / (1 + row.project_plan.growth)
    if day.weekday() < 5:
        week = 1.0
    else:
        week = 0.7 if row.project_plan.round_the_clock else 0.08
    mean = row.plan.daily_requests * trend * week * (1 + 0.12 * math.sin(days_ago / 4))
    return max(0, round(rng.gauss(mean, math.sqrt(mean + 0.01))))


def _request(
    row: DemoKeyRow, served: Served, rules: Rules, moment: datetime, rng: random.Random, now: datetime
) -> list[AnyLine]:
    """The lines of one request, in the gateway's order."""
    at = int(moment.timestamp() * 1000)
    project = row.api_key.project
    who: dict[str, Any] = {
        "request_id": _id(at, rng),
        "at": at,
        "tenant_id": project.tenant_id,
        "project_id": project.pk,
        "api_key_id": row.api_key.pk,
    }
    streamed = not served.is_embedding and rng.random() < row.plan.streams
    operation = "embeddings" if served.is_embedding else "chat.completions"
    slug = served.endpoint.model.slug
    price_id, terms = served.price_at(moment)
    about: dict[str, Any] = {
        "model_id": served.endpoint.model_id,
        "endpoint_id": served.endpoint.pk,
        "price_id": price_id,
    }
    whole = _usage(row, served, rng)
    label = f"key {row.api_key.name} ({row.api_key.prefix})"
    project_label = f"{row.tenant_plan.slug}/{row.project_plan.slug}"

    def ended(outcome: Outcome, status: int, facts: dict[str, Any], **numbers: Any) -> RequestLine:
        why = {"caller": label, "project": project_label, **facts}
        return msgspec.convert(
            {
                **who,
                "line": "request",
                "operation": operation,
                "outcome": outcome.value,
                "http_status": status,
                "model_slug": slug,
                "streamed": streamed,
                "why": why,
                **numbers,
            },
            RequestLine,
        )

    chance = rng.random()
    asked = {"candidates": [str(served.endpoint)]} | rules.asked(terms, whole)
    if chance < 0.006:
        return [ended(Outcome.DENIED, 429, rules.denied(asked, at), error_code="rate_limit_exceeded")]
    if chance < 0.011:
        return [ended(Outcome.INVALID, 400, {}, error_code="invalid_request")]
    facts = rules.admitted(asked, at)

    lines: list[AnyLine] = []
    tries: list[dict[str, Any]] = []
    spent_ms = 2 + at % 5  # Lobby's own checks
    fails = INCIDENT_FAILURES if _in_incident(moment, now) else 0.008
    for number in (1, 2):
        attempt_id = _id(at + spent_ms, rng)
        common: dict[str, Any] = {**who, **about, "attempt_id": attempt_id, "streamed": streamed}
        lines.append(
            Intent(**common, model_slug=slug, operation=operation, input_tokens=round(whole.input_tokens * 1.1))
        )
        failed = rng.random() < fails
        ms, first_ms = _timing(whole, rng)
        if failed:
            ms = round(rng.uniform(200, 4000))
            status = rng.choice((500, 502, 503, 529))
            lines.append(
                Settlement(
                    **common,
                    status=UsageStatus.MEASURED.value,
                    outcome=Outcome.UPSTREAM_ERROR.value,
                    http_status=status,
                    duration_ms=ms,
                )
            )
            tries.append(_try(attempt_id, served, Outcome.UPSTREAM_ERROR, status, spent_ms, ms, None, price_id))
            spent_ms += ms
            if number == 2:
                failure: dict[str, Any] = {
                    "error_code": "upstream_error",
                    "attempts": 2,
                    "duration_ms": spent_ms,
                }
                lines.append(ended(Outcome.UPSTREAM_ERROR, 502, facts | {"attempts": tries}, **failure))
            continue
        if streamed and rng.random() < 0.002:
            return lines  # the process died here: the drainer will find the intent without its settlement
        usage, known, outcome, status = whole, UsageStatus.MEASURED, Outcome.OK, 200
        if streamed and rng.random() < 0.02:
            # The caller left in the middle of the answer.
            part = rng.uniform(0.1, 0.9)
            usage = Usage(whole.input_tokens, max(1, round(whole.output_tokens * part)))
            known, outcome, status, ms = UsageStatus.ESTIMATED, Outcome.CANCELLED, 499, max(first_ms, round(ms * part))
        first = first_ms if streamed else None
        cost = cost_picousd(terms, usage)
        tokens: dict[str, Any] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_picousd": cost,
        }
        lines.append(
            Settlement(
                **common,
                **{name: getattr(usage, name) for name in USAGE_KINDS},
                status=known.value,
                outcome=outcome.value,
                http_status=200,
                cost_picousd=cost,
                duration_ms=ms,
                first_token_ms=first,
            )
        )
        tries.append(_try(attempt_id, served, outcome, 200, spent_ms, ms, first, price_id))
        numbers: dict[str, Any] = {
            "attempts": number,
            "duration_ms": spent_ms + ms,
            "first_token_ms": first,
            **tokens,
        }
        if outcome is Outcome.CANCELLED:
            numbers["error_code"] = "client_closed_request"
        lines.append(ended(outcome, status, facts | {"attempts": tries}, **numbers))
        break
    return lines


def _try(
    attempt_id: str,
    served: Served,
    outcome: Outcome,
    status: int,
    after: int,
    ms: int,
    first: int | None,
    price_id: int,
) -> dict[str, Any]:
    usage = UsageStatus.ESTIMATED if outcome is Outcome.CANCELLED else UsageStatus.MEASURED
    return {
        "id": attempt_id,
        "endpoint": str(served.endpoint),
        "region": served.endpoint.region,
        "outcome": outcome.value,
        "status": status,
        "usage": usage.value,
        "after_ms": after,
        "ms": ms,
        "first_token_ms": first,
        "price_id": price_id,
    }


def _usage(row: DemoKeyRow, served: Served, rng: random.Random) -> Usage:
    tokens_in = max(8, round(row.plan.input_tokens * rng.lognormvariate(-0.1, 0.45)))
    if served.is_embedding:
        return Usage(tokens_in)
    tokens_out = max(1, round(row.plan.output_tokens * rng.lognormvariate(-0.12, 0.5)))
    cached = round(tokens_in * rng.uniform(0.3, 0.7)) if rng.random() < 0.3 else 0
    reasoning = round(tokens_out * rng.uniform(0.2, 0.5)) if rng.random() < 0.1 else 0
    image = round(tokens_in * rng.uniform(0.1, 0.25)) if rng.random() < 0.05 else 0
    return Usage(tokens_in, tokens_out, cached, reasoning_tokens=reasoning, image_input_tokens=image)


def _timing(usage: Usage, rng: random.Random) -> tuple[int, int]:
    """Milliseconds to the last byte, and to the first token: some slowness now and then."""
    slow = rng.choices((1.0, 3.5), (97, 3))[0]
    first = round(slow * (120 + usage.input_tokens * 0.03) * rng.lognormvariate(0, 0.35))
    return first + round(slow * usage.output_tokens * rng.uniform(9, 16)), first


def _in_incident(moment: datetime, now: datetime) -> bool:
    utc = moment.astimezone(now.tzinfo)
    return (now.date() - utc.date()).days == INCIDENT_DAYS_AGO and utc.hour in INCIDENT_HOURS


def _id(at: int, rng: random.Random) -> str:
    """As the gateway makes them: 48 bits of Unix milliseconds, 80 random bits."""
    return f"{at:012x}{rng.getrandbits(80):020x}"
