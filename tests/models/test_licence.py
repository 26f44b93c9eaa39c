"""A model whose licence must be accepted: who can accept it, and that nobody calls it before."""

from __future__ import annotations

import time

import pytest
from django.test import Client
from django.urls import reverse

from apps.gateway.errors import LicenceNotAccepted, ModelNotFound
from apps.gateway.routing.plans import Plan
from apps.gateway.snapshot import Principal, Snapshot
from apps.gateway.snapshot_loader import load_snapshot
from apps.models import selectors
from apps.models.models import AccessGrant, Model
from apps.models.services import accept_licence, grant_access, revoke_access, update_model
from apps.tenants.errors import Conflict, Invalid, NotFound, PermissionDenied
from apps.tenants.models import AuditEntry, Project
from tests.models.conftest import People

LATER = 4_000_000_000.0


@pytest.fixture
def licensed(people: People, model: Model) -> Model:
    return update_model(
        actor=people.actor("engineer"),
        model=model,
        licence="Acme Community Licence",
        licence_url="https://acme.example/licence",
        licence_needs_acceptance=True,
    )


def principal(snapshot: Snapshot, people: People, name: str) -> Principal:
    user = snapshot.users[people[name].pk]
    return Principal(project=user.projects[0], user_id=user.id)


def plan(people: People, name: str, slug: str) -> Plan:
    snapshot = load_snapshot()
    return snapshot.plan(principal(snapshot, people, name), slug, time.time())


def signed_in(people: People, name: str) -> Client:
    client = Client()
    client.force_login(people[name], backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_granted_model_is_called_only_once_its_licence_is_accepted(people: People, licensed: Model) -> None:
    Project.objects.create(tenant=people.claims, slug="intake", name="Intake")
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=licensed)
    with pytest.raises(LicenceNotAccepted) as refused:
        plan(people, "developer", licensed.slug)
    assert (refused.value.status, refused.value.code) == (403, "licence_not_accepted")
    assert "an admin of tenant lending" in refused.value.message
    # Who has no grant learns nothing of it: the same answer as for a model that there is not.
    with pytest.raises(ModelNotFound):
        plan(people, "claimant", licensed.slug)
    assert not selectors.callable_models_for(people.actor("developer"), people.lending).exists()

    accept_licence(actor=people.actor("admin"), tenant=people.lending, model=licensed)
    assert plan(people, "developer", licensed.slug).candidates
    assert selectors.callable_models_for(people.actor("developer"), people.lending).get() == licensed
    with pytest.raises(ModelNotFound):
        plan(people, "claimant", licensed.slug)
    entry = AuditEntry.objects.for_tenant(people.lending).get(action="licence.accepted")
    assert entry.data["licence"] == "Acme Community Licence"


def test_the_models_that_can_be_called_leave_it_out_until_then(people: People, licensed: Model) -> None:
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=licensed)
    before = load_snapshot()
    assert before.callable_plans(principal(before, people, "developer"), time.time()) == []
    accept_licence(actor=people.actor("admin"), tenant=people.lending, model=licensed)
    after = load_snapshot()
    assert [each.slug for each in after.callable_plans(principal(after, people, "developer"), time.time())] == [
        licensed.slug
    ]


def test_an_open_model_too_waits_for_each_tenant(people: People, licensed: Model) -> None:
    Project.objects.create(tenant=people.claims, slug="intake", name="Intake")
    update_model(actor=people.actor("engineer"), model=licensed, is_open=True)
    for name in ("developer", "claimant"):
        with pytest.raises(LicenceNotAccepted):
            plan(people, name, licensed.slug)
    accept_licence(actor=people.actor("admin"), tenant=people.lending, model=licensed)
    assert plan(people, "developer", licensed.slug).grant_ends_at is None
    with pytest.raises(LicenceNotAccepted):
        plan(people, "claimant", licensed.slug)
    # Revoking the grant that the acceptance made takes the acceptance back.
    revoke_access(
        actor=people.actor("engineer"), grant=AccessGrant.objects.for_tenant(people.lending).get(model=licensed)
    )
    with pytest.raises(LicenceNotAccepted):
        plan(people, "developer", licensed.slug)


def test_an_acceptance_holds_for_the_tenants_grants_of_now_and_later(people: People, licensed: Model) -> None:
    engineer = people.actor("engineer")
    grant_access(actor=engineer, tenant=people.lending, model=licensed, project=people.project)
    accept_licence(actor=people.actor("admin"), tenant=people.lending, model=licensed)
    other = Project.objects.create(tenant=people.lending, slug="batch", name="Batch")
    later = grant_access(actor=engineer, tenant=people.lending, model=licensed, project=other)
    assert later.licence_accepted_at is not None
    accept_licence(actor=people.actor("admin"), tenant=people.lending, model=licensed)
    assert AuditEntry.objects.for_tenant(people.lending).filter(action="licence.accepted").count() == 1


def test_an_expired_grant_is_no_reason_to_speak_of_a_licence(people: People, licensed: Model) -> None:
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=licensed)
    AccessGrant.objects.for_tenant(people.lending).update(expires_at="2026-01-01T00:00:00Z")
    snapshot = load_snapshot()
    with pytest.raises(ModelNotFound):
        snapshot.plan(principal(snapshot, people, "developer"), licensed.slug, LATER)


@pytest.mark.parametrize("name", ["developer", "viewer", "claimant", "outsider", "engineer"])
def test_nobody_but_the_tenants_admins_accepts(people: People, licensed: Model, name: str) -> None:
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=licensed)
    with pytest.raises((PermissionDenied, NotFound)):
        accept_licence(actor=people.actor(name), tenant=people.lending, model=licensed)
    assert AccessGrant.objects.for_tenant(people.lending).get().licence_accepted_at is None


def test_there_is_nothing_to_accept_without_a_grant_or_without_a_licence(people: People, licensed: Model) -> None:
    with pytest.raises(NotFound):
        accept_licence(actor=people.actor("admin"), tenant=people.lending, model=licensed)
    update_model(actor=people.actor("engineer"), model=licensed, licence_needs_acceptance=False)
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=licensed)
    assert plan(people, "developer", licensed.slug).candidates
    with pytest.raises(Conflict):
        accept_licence(actor=people.actor("admin"), tenant=people.lending, model=licensed)


def test_an_admin_accepts_on_the_card_and_a_developer_reads_who_can(people: People, licensed: Model) -> None:
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=licensed)
    card, accept = reverse("models:card", args=[licensed.slug]), reverse("models:licence-accept", args=[licensed.slug])
    page = signed_in(people, "developer").get(card).content.decode()
    assert "Ask an admin of Lending" in page
    assert "https://acme.example/licence" in page
    assert accept not in page
    assert signed_in(people, "developer").post(accept).status_code == 403
    admin = signed_in(people, "admin")
    assert accept in admin.get(card).content.decode()
    assert admin.post(accept)["Location"] == card
    page = admin.get(card).content.decode()
    assert "Accepted" in page
    assert accept not in page


def test_an_address_of_a_licence_is_one_that_can_be_followed(people: People, licensed: Model) -> None:
    with pytest.raises(Invalid) as refused:
        update_model(actor=people.actor("engineer"), model=licensed, licence_url="javascript:alert(1)")
    assert refused.value.field == "licence_url"
