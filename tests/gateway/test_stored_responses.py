"""What a project kept of the Responses API, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone
from msgspec import Raw

from apps.gateway.models import StoredResponse
from apps.gateway.services import stored_responses
from apps.gateway.snapshot import Principal
from apps.tenants.models import Project, Tenant
from tests.gateway.routing.making import principal

pytestmark = [pytest.mark.backends, pytest.mark.django_db]


def test_an_id_that_no_database_can_hold_is_a_missing_one() -> None:
    assert stored_responses.recall(principal(), "resp_\0") is None
    assert stored_responses.read(principal(), "\0") is None
    assert stored_responses.forget(principal(), "\0") is False


def caller(slug: str, *, days: int) -> Principal:
    """A principal of a new tenant that keeps things for so many days."""
    tenant = Tenant.objects.create(slug=slug, name=slug, retention_days=days)
    project = Project.objects.create(tenant=tenant, slug="app", name="App")
    made = principal()
    facts = replace(made.project, id=project.pk, tenant=replace(made.project.tenant, id=tenant.pk))
    return replace(made, project=facts)


def keep(principal: Principal, response_id: str) -> StoredResponse:
    stored_responses.remember(principal, response_id, [Raw(b'{"role":"user","content":"Hi"}')], b'{"id":"r"}')
    return StoredResponse.objects.unscoped("test").get(tenant_id=principal.tenant.id, response_id=response_id)


@pytest.mark.parametrize(("days", "kept"), [(3, 3), (365, 30)])
def test_a_response_is_kept_as_long_as_its_tenant_says_and_30_days_at_most(days: int, kept: int) -> None:
    one = caller("claims", days=days)
    row = keep(one, "resp_1")
    assert abs(row.expires_at - timezone.now() - timedelta(days=kept)) < timedelta(minutes=5)
    assert stored_responses.read(one, "resp_1") == b'{"id":"r"}'
    StoredResponse.objects.unscoped("test").update(expires_at=timezone.now())
    assert stored_responses.read(one, "resp_1") is None, "expired, though the task has not come yet"
    assert stored_responses.recall(one, "resp_1") is None


def test_what_is_due_is_deleted_by_each_tenants_own_retention() -> None:
    short, long = caller("claims", days=5), caller("lending", days=20)
    for one in (short, long):
        keep(one, "resp_1")
    now = timezone.now()
    assert stored_responses.delete_expired_responses(now + timedelta(days=4)) == 0
    assert stored_responses.delete_expired_responses(now + timedelta(days=6)) == 1
    assert stored_responses.read(short, "resp_1") is None
    assert stored_responses.read(long, "resp_1") is not None
    # Shortened since it was kept: that is heeded, too.
    Tenant.objects.unscoped("test").filter(pk=long.tenant.id).update(retention_days=2)
    assert stored_responses.delete_expired_responses(now + timedelta(days=3)) == 1


def test_another_tenants_response_is_a_missing_one() -> None:
    mine, theirs = caller("claims", days=5), caller("lending", days=5)
    keep(mine, "resp_1")
    assert stored_responses.read(theirs, "resp_1") is None
    assert stored_responses.forget(theirs, "resp_1") is False
    assert stored_responses.read(mine, "resp_1") is not None
