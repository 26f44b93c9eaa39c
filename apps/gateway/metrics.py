"""The gateway's Prometheus metrics. Labels are of bounded cardinality: no key, user or request id among them."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from apps.models.providers.base import USAGE_KINDS, Usage

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

registry = CollectorRegistry()
requests = Counter("lobby_requests_total", "Requests answered.", ["operation", "outcome", "status"], registry=registry)
duration = Histogram(
    "lobby_request_seconds",
    "From the request's first byte to the answer's last.",
    ["operation"],
    buckets=SECONDS,
    registry=registry,
)
first_token = Histogram(
    "lobby_first_token_seconds", "From dispatch to the first byte of a stream.", buckets=SECONDS, registry=registry
)
attempts = Counter("lobby_upstream_attempts_total", "Upstream attempts.", ["provider", "outcome"], registry=registry)
tokens = Counter("lobby_tokens_total", "Tokens settled.", ["kind"], registry=registry)
cost = Counter("lobby_cost_usd_total", "Cost settled, in US dollars.", registry=registry)
refusals = Counter(
    "lobby_refusals_total",
    "Requests refused before they were admitted to a model.",
    ["status", "code"],
    registry=registry,
)
unlogged = Counter(
    "lobby_denials_unlogged_total", "Refused requests left out of the log to bound its growth.", registry=registry
)
in_flight = Gauge("lobby_in_flight_requests", "Requests being served.", registry=registry)
snapshot_age = Gauge("lobby_snapshot_age_seconds", "Since the control plane was last seen.", registry=registry)
loop_lag = Gauge("lobby_event_loop_lag_seconds", "How late the event loop runs.", registry=registry)
settlements_waiting = Gauge(
    "lobby_settlements_waiting", "Settlements that the spool did not take yet.", registry=registry
)

contents_lost = Counter(
    "lobby_contents_lost_total", "Samples of what requests say that could not be kept.", ["why"], registry=registry
)
close_failures = Counter(
    "lobby_upstream_close_failures_total",
    "Upstream connections that failed while being closed.",
    ["error"],
    registry=registry,
)

_TOKENS = [(name, tokens.labels(name.removesuffix("_tokens"))) for name in USAGE_KINDS if name.endswith("_tokens")]


@cache
def _attempts_of(provider: str, outcome: str) -> Counter:
    return attempts.labels(provider, outcome)


@cache
def _requests_of(operation: str, outcome: str, status: int) -> Counter:
    return requests.labels(operation, outcome, str(status))


@cache
def _duration_of(operation: str) -> Histogram:
    return duration.labels(operation)


def count_attempt(provider: str, outcome: str, usage: Usage, cost_picousd: int, first_token_ms: int | None) -> None:
    _attempts_of(provider, outcome).inc()
    for name, counter in _TOKENS:
        if count := getattr(usage, name):
            counter.inc(count)
    cost.inc(cost_picousd / 1e12)
    if first_token_ms is not None:
        first_token.observe(first_token_ms / 1000)


def count_request(operation: str, outcome: str, status: int, seconds: float) -> None:
    _requests_of(operation, outcome, status).inc()
    _duration_of(operation).observe(seconds)


CONTENT_TYPE = CONTENT_TYPE_LATEST


def render() -> bytes:
    return generate_latest(registry)
