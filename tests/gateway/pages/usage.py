"""Usage to show on pages, written by the real road: lines in a spool, drained."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.test import Client
from django.utils import timezone

from apps.gateway.ledger.drain import drain_once
from apps.models.models import Endpoint, Model, Price, Provider
from apps.models.types import ProviderKind
from apps.tenants.models import Project, User
from tests.cast import Cast
from tests.gateway.ledger.books import dead_segment, encoded, request, settlement

BACKEND = "django.contrib.auth.backends.ModelBackend"
USD = 10**12


class Usage:
    """``add`` requests of the cast's projects, then ``drain``."""

    def __init__(self, spool: Path, cast: Cast) -> None:
        self.spool = spool
        self.cast = cast
        self.provider = Provider.objects.create(slug="acme", name="Acme AI", kind=ProviderKind.OPENAI_COMPATIBLE)
        self.model = self.make_model("writer")
        self._numbers = itertools.count(1)
        self._lines: list[bytes] = []

    def make_model(self, slug: str) -> Model:
        model = Model.objects.create(slug=slug, name=slug.title(), is_open=True)
        Endpoint.objects.create(model=model, provider=self.provider, upstream_model=slug)
        Price.objects.create(model=model, input_picousd=2_000_000, output_picousd=8_000_000, source="the test's")
        return model

    def add(
        self,
        project: Project | None = None,
        *,
        at: datetime | None = None,
        cost: int = USD,
        model: Model | None = None,
        why: dict[str, Any] | None = None,
        attempts: int = 1,
        **fields: Any,
    ) -> str:
        """One request with ``attempts`` (0: it was refused), its id. ``fields`` go to the request's line."""
        number = next(self._numbers)
        project, model = project or self.cast.triage, model or self.model
        key = self.cast.key_rows["inference" if project == self.cast.triage else "foreign"]
        moment = int((at or timezone.now() - timedelta(seconds=5)).timestamp() * 1000)
        ids = {"at": moment, "tenant_id": project.tenant_id, "project_id": project.pk, "api_key_id": key.pk}
        outcome = fields.pop("outcome", "ok")
        tokens = {"input_tokens": fields.pop("input_tokens", 100), "output_tokens": fields.pop("output_tokens", 50)}
        price = model.prices.get()
        endpoint = model.endpoints.get()
        served = {"model_id": model.pk, "endpoint_id": endpoint.pk, "price_id": price.pk}
        used = tokens | {"cost_picousd": cost} if attempts else {}
        lines = [
            settlement(number * 100 + each, request_id=f"{number:032x}", outcome=outcome, **ids, **served, **used)
            for each in range(attempts)
        ]
        told = {"why": why or {}, "model_slug": model.slug, "outcome": outcome, "attempts": attempts}
        self._lines.append(encoded(*lines, request(number, **(ids | used | told | fields))))
        return f"{number:032x}"

    def drain(self) -> None:
        dead_segment(self.spool, b"".join(self._lines))
        self._lines = []
        drain_once(self.spool)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client
