"""The registry in the admin: one more face of the same services."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.models.credentials import credential_of
from apps.models.models import AccessGrant, Endpoint, Model, Price, Provider
from apps.models.sandbox_models import register
from apps.tenants.access import Actor
from apps.tenants.models import AuditEntry
from tests.models.conftest import People, RawServer, send

CANARY = "sk-canary-of-the-admin"
NO_INLINES = {
    "endpoints-TOTAL_FORMS": 0,
    "endpoints-INITIAL_FORMS": 0,
    "prices-TOTAL_FORMS": 0,
    "prices-INITIAL_FORMS": 0,
}
SUBMITTED = {"_form_submitted": "True"}  # what an action's dialog sends
TABLES = ["provider", "model", "endpoint", "price", "accessgrant"]


@pytest.fixture
def staff(people: People) -> Client:
    return signed_in(people, "engineer")


def signed_in(people: People, name: str) -> Client:
    client = Client()
    client.force_login(people[name], backend="django.contrib.auth.backends.ModelBackend")
    return client


def add(client: Client, table: str, **data: Any) -> tuple[int, str]:
    response = client.post(reverse(f"admin:registry_{table}_add"), data)
    return response.status_code, response.content.decode()


def change(client: Client, row: Any, **data: Any) -> tuple[int, str]:
    url = reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk])
    response = client.post(url, {**NO_INLINES, **data})
    return response.status_code, response.content.decode()


PROVIDER = {
    **NO_INLINES,
    "name": "Acme",
    "slug": "acme",
    "kind": "openai_compatible",
    "base_url": "https://192.0.43.9/v1",
    "credential_source": "database",
    "credential_env": "",
}


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_its_list_and_pages(staff: Client, model: Model, operator: Actor, table: str) -> None:
    register(actor=operator)
    url = reverse(f"admin:registry_{table}_changelist")
    assert staff.get(url).status_code == 200
    assert staff.get(url, {"q": "sandbox"}).status_code == 200
    assert staff.get(reverse(f"admin:registry_{table}_add")).status_code == 200
    rows: dict[str, Any] = {"provider": Provider, "model": Model, "endpoint": Endpoint, "price": Price}
    if table in rows:
        row = rows[table].objects.first()
        page = staff.get(reverse(f"admin:registry_{table}_change", args=[row.pk]))
        assert page.status_code == 200


@pytest.mark.parametrize("name", ["admin", "developer", "outsider"])
def test_whoever_is_not_platform_staff_gets_nowhere(people: People, provider: Provider, name: str) -> None:
    client = signed_in(people, name)
    for table in TABLES:
        assert client.get(reverse(f"admin:registry_{table}_changelist")).status_code in (302, 403)
    status, _ = add(client, "provider", **PROVIDER, credential=CANARY)
    assert status in (302, 403)
    assert not Provider.objects.filter(slug="acme").exists()


def test_a_credential_is_entered_and_never_shown(staff: Client) -> None:
    assert add(staff, "provider", **PROVIDER, credential=CANARY)[0] == 302
    provider = Provider.objects.get(slug="acme")
    assert credential_of(provider) == CANARY
    page = staff.get(reverse("admin:registry_provider_change", args=[provider.pk])).content.decode()
    assert CANARY not in page
    assert provider.credential_encrypted not in page
    audited = "".join(str(entry.data) for entry in AuditEntry.objects.unscoped("test"))
    assert CANARY not in audited


def test_what_a_service_refuses_stands_beside_its_field(staff: Client) -> None:
    status, page = add(staff, "provider", **PROVIDER | {"base_url": "https://169.254.169.254/v1"}, credential=CANARY)
    assert (status, "an address that Lobby never calls" in page) == (200, True)
    assert CANARY not in page
    status, page = add(staff, "provider", **PROVIDER)
    assert (status, "Enter the credential" in page) == (200, True)
    assert not Provider.objects.exists()


def test_another_host_asks_for_the_credential_again(staff: Client) -> None:
    add(staff, "provider", **PROVIDER, credential=CANARY)
    provider = Provider.objects.get()
    moved = PROVIDER | {"base_url": "https://192.0.43.10/v1"}
    status, page = change(staff, provider, **moved)
    assert (status, "Enter the credential" in page) == (200, True)
    assert change(staff, provider, **moved, credential="sk-new")[0] == 302
    provider.refresh_from_db()
    assert credential_of(provider) == "sk-new"
    assert change(staff, provider, **moved | {"name": "Renamed"})[0] == 302
    provider.refresh_from_db()
    assert (provider.name, credential_of(provider)) == ("Renamed", "sk-new")


def test_a_model_is_registered_and_goes_its_lifecycle(staff: Client) -> None:
    facts = {
        **NO_INLINES,
        "name": "Writer",
        "slug": "acme/writer",
        "kind": "chat",
        "lifecycle": "proposed",
        "capabilities": ["tools"],
    }
    assert add(staff, "model", **facts)[0] == 302
    model = Model.objects.get()
    assert (model.lifecycle, model.capabilities) == ("proposed", ["tools"])
    assert change(staff, model, **facts | {"lifecycle": "approved", "name": "The writer"})[0] == 302
    model.refresh_from_db()
    assert (model.lifecycle, model.name) == ("approved", "The writer")
    status, page = change(staff, model, **facts | {"lifecycle": "proposed", "name": "Other"})
    assert (status, "cannot become proposed" in page) == (200, True)
    model.refresh_from_db()
    assert model.name == "The writer"


def test_an_endpoint_is_registered_and_switched(staff: Client, model: Model, provider: Provider) -> None:
    timeouts = {f"{name}_timeout_ms": 1000 for name in ("connect", "first_byte", "idle", "total")}
    facts = {"priority": 4, "region": "eu-central-1", "settings": "{}", **timeouts}
    assert add(staff, "endpoint", model=model.pk, provider=provider.pk, upstream_model="v2", **facts)[0] == 302
    endpoint = Endpoint.objects.get(upstream_model="v2")
    assert (endpoint.priority, endpoint.region) == (4, "eu-central-1")
    assert change(staff, endpoint, **facts | {"priority": 1})[0] == 302
    endpoint.refresh_from_db()
    assert endpoint.priority == 1
    staff.post(reverse("admin:registry_endpoint_disable", args=[endpoint.pk]), SUBMITTED)
    endpoint.refresh_from_db()
    assert not endpoint.is_enabled


def test_a_price_is_added_in_dollars_and_cannot_be_changed(staff: Client, people: People, model: Model) -> None:
    facts = {
        "model": model.pk,
        "endpoint": "",
        "effective_from_0": "2026-01-01",
        "effective_from_1": "00:00:00",
        "source": "Contract 7",
        "input_usd": "2.5",
        "output_usd": "10",
        "request_usd": "0.4",
    }
    assert add(staff, "price", **facts)[0] == 302
    price = Price.objects.get()
    assert (price.input_picousd, price.output_picousd, price.request_picousd) == (2_500_000, 10_000_000, 400_000_000)
    assert (price.cached_input_picousd, price.created_by) == (None, people["engineer"])
    status, page = add(staff, "price", **facts | {"input_usd": "0.0000001"})
    assert (status, "more digits than Lobby keeps" in page) == (200, True)
    assert change(staff, price, **facts)[0] == 403
    delete = staff.post(reverse("admin:registry_price_delete", args=[price.pk]), {"post": "yes"})
    assert (delete.status_code, Price.objects.count()) == (403, 1)


def test_access_is_granted_and_revoked(staff: Client, people: People, model: Model) -> None:
    assert add(staff, "accessgrant", model=model.pk, tenant=people.lending.pk)[0] == 302
    grant = AccessGrant.objects.for_tenant(people.lending).get()
    assert grant.granted_by == people["engineer"]
    staff.post(reverse("admin:registry_accessgrant_delete", args=[grant.pk]), {"post": "yes"})
    assert not AccessGrant.objects.for_tenant(people.lending).exists()
    actions = list(AuditEntry.objects.for_tenant(people.lending).values_list("action", flat=True))
    assert actions == ["access.revoked", "access.granted"]


def test_models_are_discovered_from_a_providers_page(staff: Client, raw_server: RawServer) -> None:
    local = PROVIDER | {"base_url": raw_server.url, "credential_source": "none"}
    assert add(staff, "provider", **local)[0] == 302
    raw_server.answer = lambda handler: send(handler, 200, b'{"data": [{"id": "one"}]}')
    url = reverse("admin:registry_provider_discover", args=[Provider.objects.get().pk])
    assert staff.post(url, SUBMITTED).status_code == 302
    assert Model.objects.get().slug == "one"


@pytest.mark.parametrize("table", ["provider", "model", "endpoint"])
def test_what_the_ledger_points_at_is_never_deleted(staff: Client, model: Model, table: str) -> None:
    row: Any = {"provider": Provider, "model": Model, "endpoint": Endpoint}[table].objects.get()  # type: ignore[attr-defined]
    response = staff.post(reverse(f"admin:registry_{table}_delete", args=[row.pk]), {"post": "yes"})
    assert response.status_code == 403
    assert type(row).objects.filter(pk=row.pk).exists()
