"""How each endpoint is doing, live: its circuit breaker, speed and errors, over all processes."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.gateway.routing.health import State
from apps.gateway.routing.health_selectors import EndpointStatus, endpoint_health_for
from apps.models import selectors as registry
from apps.models.models import Endpoint
from apps.tenants.access import Actor
from apps.tenants.views.requests import staff_page

_ORDER = {"open": 0, "half_open": 1, "cooling": 2, "failing": 3, "healthy": 4, "unused": 5, "disabled": 6}
# The badge of each state, and its words.
_SHOWN = {
    "open": ("down", "Open"),
    "half_open": ("degraded", "Waiting for a call to try it"),
    "cooling": ("degraded", "Limited"),
    "failing": ("degraded", "Failing"),
    "healthy": ("healthy", "Healthy"),
    "unused": ("draft", "Not called yet"),
    "disabled": ("disabled", "Disabled"),
}
_TROUBLES = frozenset({"open", "half_open", "cooling", "failing"})
FAILING_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class EndpointLine:
    """``state`` is a key of ``_SHOWN``."""

    endpoint: Endpoint
    status: EndpointStatus | None
    state: str

    @property
    def badge(self) -> str:
        return _SHOWN[self.state][0]

    @property
    def label(self) -> str:
        return _SHOWN[self.state][1]

    @property
    def why(self) -> str:
        """What the state means now, in a sentence."""
        status = self.status
        if status is None:
            return ""
        if self.state == "open":
            return f"{status.reason or 'it failed'}; tried again in {status.open_for:.0f} s".capitalize()
        if self.state == "half_open":
            return "The next call decides whether it is used again"
        if self.state == "cooling":
            return f"The provider limits Lobby for {status.cool_for:.0f} s more"
        return ""


def lines_of(endpoints: list[Endpoint], health: dict[int, EndpointStatus]) -> list[EndpointLine]:
    """The worst first."""
    lines = [EndpointLine(each, health.get(each.pk), _state(each, health.get(each.pk))) for each in endpoints]
    return sorted(lines, key=lambda line: (_ORDER[line.state], str(line.endpoint.model), line.endpoint.pk))


@dataclass(frozen=True, slots=True)
class ProviderBadge:
    """``line`` is of its endpoint that is worst off; ``troubled`` counts those that are not well, of ``live`` ones."""

    slug: str
    line: EndpointLine
    troubled: int
    live: int


def providers_of(lines: list[EndpointLine]) -> list[ProviderBadge]:
    by_provider: dict[str, list[EndpointLine]] = {}
    for line in lines:
        by_provider.setdefault(line.endpoint.provider.slug, []).append(line)
    return [
        ProviderBadge(
            slug,
            mine[0],
            sum(line.state in _TROUBLES for line in mine),
            sum(line.state != "disabled" for line in mine),
        )
        for slug, mine in by_provider.items()
    ]


@require_GET
@staff_page
def endpoint_health(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The page; by htmx the part of it that lives. ``?provider=`` narrows it; ``?by=provider`` is the badge of each
    provider, for the list of them."""
    endpoints = registry.endpoints_for(actor)
    if request.GET.get("by") == "provider":
        badges = providers_of(lines_of(list(endpoints), endpoint_health_for(actor)))
        return render(request, "gateway/_provider_health.html", {"badges": badges})
    provider = request.GET.get("provider", "").replace("\x00", "")
    if provider:
        endpoints = endpoints.filter(provider__slug=provider)
    lines = lines_of(list(endpoints), endpoint_health_for(actor))
    live = [line for line in lines if line.state not in ("disabled", "unused")]
    context = {
        "lines": lines,
        "provider": provider,
        "healthy": sum(line.state == "healthy" for line in live),
        "troubled": sum(line.state in ("failing", "cooling", "half_open") for line in live),
        "open": sum(line.state == "open" for line in live),
        "in_flight": sum(line.status.in_flight for line in lines if line.status is not None),
    }
    fragment = request.headers.get("HX-Request") == "true"
    return render(request, "gateway/_endpoint_health.html" if fragment else "gateway/endpoint_health.html", context)


def _state(endpoint: Endpoint, status: EndpointStatus | None) -> str:
    if not registry.is_live(endpoint):
        return "disabled"
    if status is None:
        return "unused"
    if status.state is not State.CLOSED:
        return status.state.value
    if status.cool_for > 0:
        return "cooling"
    if not status.requests:
        return "unused"
    return "failing" if status.failure_share > FAILING_SHARE and _failed_last(status) else "healthy"


def _failed_last(status: EndpointStatus) -> bool:
    """Whether its newest news is bad: a share over all time alone would never forgive."""
    if status.failed_ago is None:
        return False
    return status.ok_ago is None or status.failed_ago <= status.ok_ago
