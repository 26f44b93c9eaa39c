"""Schemathesis against every operation of the management API: no server error, no answer that the description lacks.

In the test run each operation gets a few examples; ``make fuzz`` (or ``API_FUZZ_EXAMPLES=500``) tries many. Every
operation is fuzzed as a service admin, who gets through to the services, and as a developer of one tenant; the cases
that Schemathesis makes of each operation's description, some 60 of each, as the admin alone. What a test does is undone
when it ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from pytest_django import Settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.client import BACKEND
from tests.cast import assemble

EXAMPLES = int(os.environ.get("API_FUZZ_EXAMPLES", "6"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
# Every second example is aimed at something that exists: random names never find it.
KNOWN: dict[str, Any] = {
    "tenant": "claims",
    "project": "triage",
    "provider": "upstream",
    "model": "acme/writer:8b",
}

schema = schemathesis.openapi.from_wsgi("/api/schema/", get_wsgi_application())


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    if not path_parameters:
        return path_parameters
    aimed = sum(map(len, map(str, path_parameters.values()))) % 2 == 0
    return {name: KNOWN.get(name, value) if aimed else value for name, value in path_parameters.items()}


@pytest.fixture
def world(db: None, settings: Settings) -> Iterator[dict[str, dict[str, str]]]:
    """Headers that sign in, by role."""
    from apps.gateway import services as gateway
    from apps.models import services as registry
    from apps.tenants import services
    from apps.tenants.access import Actor
    from apps.tenants.models import AuditEntry

    settings.API_REQUESTS_PER_MINUTE = settings.API_FAILED_KEYS_PER_MINUTE = 10**9
    cache.clear()
    cast = assemble()
    operator = Actor.system("test")
    provider = registry.create_provider(
        actor=operator, slug="upstream", name="Upstream", base_url="https://192.0.43.7/v1"
    )
    model = registry.create_model(actor=operator, slug="acme/writer:8b", name="Writer", lifecycle="approved")
    endpoint = registry.create_endpoint(actor=operator, model=model, provider=provider, upstream_model="writer-8b")
    limit = services.set_rate_limit(actor=operator, tenant=cast.claims, metric="requests", limit=5)
    budget = services.set_budget(actor=operator, tenant=cast.claims, amount_picousd=10**12)
    grant = registry.grant_access(actor=operator, tenant=cast.claims, model=model)
    route = gateway.create_route(
        actor=operator, tenant=cast.claims, slug="drafts", name="Drafts", targets=[{"model": model}]
    )
    KNOWN.update(prefix=cast.key_rows["inference"].prefix, user=cast["viewer"].pk)
    KNOWN.update(sequence=AuditEntry.objects.unscoped("test").order_by("-sequence")[0].sequence)
    # One "id" for all: whichever of these an operation means, some of them exist.
    KNOWN.update(id=min(limit.pk, budget.pk, grant.pk, endpoint.pk, route.pk))
    headers = {}
    for role in ("service_admin", "developer"):
        client = Client()
        client.force_login(cast[role], backend=BACKEND)
        session = client.cookies["sessionid"].value
        headers[role] = {"Cookie": f"sessionid={session}; csrftoken={'a' * 32}", "X-CSRFToken": "a" * 32}
    # As Django's own test client does: a request that ends must not close the connection whose transaction is the test.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield headers
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
    cache.clear()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=timedelta(seconds=30),
    derandomize=EXAMPLES < 50,  # the test run is the same each time; the long one explores
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
def test_operation(case: schemathesis.Case[Any], world: dict[str, dict[str, str]]) -> None:
    is_drawn = case.meta is None or case.meta.phase.name != TestPhase.COVERAGE
    for role in ("developer", "service_admin") if is_drawn else ("service_admin",):
        case.call_and_validate(headers=world[role], checks=CHECKS)


def test_every_operation_of_the_api_is_fuzzed() -> None:
    assert sum(1 for _ in schema.get_all_operations()) >= 60
