"""How the endpoints are doing, over all processes, for the platform's staff: live, from what the processes publish."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.utils import timezone

from apps.gateway.routing.health import Health, State
from apps.gateway.routing.shared_health import EndpointReport, Report, read_reports
from apps.tenants.access import Actor, require

_RANK = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One endpoint over all processes. Percentiles are each process's own, the middle by their requests, the 95th the
    worst of them; ages and remaining times are in seconds.
    """

    endpoint_id: int
    state: State
    reason: str  # why the breaker is open
    open_for: float
    cool_for: float  # the provider limits us for so long
    in_flight: int
    requests: int  # since the processes began
    failures: int
    first_token_ms: tuple[int, int] | None  # median, 95th percentile
    duration_ms: tuple[int, int] | None
    tokens_per_s: float | None
    ok_ago: float | None
    failed_ago: float | None
    last_error: str

    @property
    def failure_share(self) -> float:
        return self.failures / self.requests if self.requests else 0.0


def endpoint_health_for(actor: Actor) -> dict[int, EndpointStatus]:
    """By endpoint id; an endpoint that nothing was sent to yet has no entry."""
    require(actor, "registry.view", what="see the endpoints")
    return _read()


def health_on_route(endpoint_ids: Iterable[int]) -> dict[int, EndpointStatus]:
    """The same of the endpoints on a route, for whoever is shown its targets: how they are, and nothing of what was
    said of them."""
    wanted = set(endpoint_ids)
    return {each: replace(status, reason="", last_error="") for each, status in _read().items() if each in wanted}


def _read() -> dict[int, EndpointStatus]:
    now = timezone.now().timestamp()
    by_endpoint: dict[int, list[EndpointReport]] = {}
    for report in read_reports():
        age = max(now - report.at, 0.0)
        for each in report.endpoints:
            each.open_for = max(each.open_for - age, 0.0)
            each.cool_for = max(each.cool_for - age, 0.0)
            if each.state == State.OPEN and not each.open_for:
                each.state = State.HALF_OPEN.value
            by_endpoint.setdefault(each.id, []).append(each)
    return {endpoint_id: _merged(endpoint_id, rows) for endpoint_id, rows in by_endpoint.items()}


def health_as_published(reports: Iterable[Report], *, failures: int, seconds: float) -> Health:
    """The health that a process would go by which knew what all of them have published."""
    health = Health(failures=failures, seconds=seconds)
    for report in reports:
        for each in report.endpoints:
            mine = health.of(each.id)
            mine.in_flight += each.in_flight
            if each.open_for:
                health.open_as_told(each.id, each.open_for, each.reason)
            if each.cool_for:
                health.cool_as_told(each.id, each.cool_for)
            if each.expected_first_ms is not None and each.measured_ago is not None:
                mine.first_token_ms, mine.tokens_per_s = each.expected_first_ms, each.tokens_per_s
                mine.measured_at = health.clock() - each.measured_ago
    return health


def _merged(endpoint_id: int, rows: list[EndpointReport]) -> EndpointStatus:
    worst = max(rows, key=lambda row: (_RANK[State(row.state)], row.open_for))
    newest_failure = min(rows, key=lambda row: row.failed_ago if row.failed_ago is not None else float("inf"))
    speeds = [row.tokens_per_s for row in rows if row.tokens_per_s is not None]
    return EndpointStatus(
        endpoint_id=endpoint_id,
        state=State(worst.state),
        reason=worst.reason,
        open_for=worst.open_for,
        cool_for=max(row.cool_for for row in rows),
        in_flight=sum(row.in_flight for row in rows),
        requests=sum(row.requests for row in rows),
        failures=sum(row.failures for row in rows),
        first_token_ms=_percentiles([(row.requests, row.first_token_ms) for row in rows]),
        duration_ms=_percentiles([(row.requests, row.duration_ms) for row in rows]),
        tokens_per_s=sum(speeds) / len(speeds) if speeds else None,
        ok_ago=min((row.ok_ago for row in rows if row.ok_ago is not None), default=None),
        failed_ago=newest_failure.failed_ago,
        last_error=newest_failure.last_error,
    )


def _percentiles(rows: list[tuple[int, tuple[int, int] | None]]) -> tuple[int, int] | None:
    told = [(max(weight, 1), pair) for weight, pair in rows if pair is not None]
    if not told:
        return None
    middle = sum(weight * pair[0] for weight, pair in told) / sum(weight for weight, _ in told)
    return round(middle), max(pair[1] for _, pair in told)
