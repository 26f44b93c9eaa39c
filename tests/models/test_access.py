"""Who may see, call, change and grant what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.models import selectors
from apps.models.models import AccessGrant, Endpoint, Model, Provider
from apps.models.selectors import Access, CatalogQuery
from apps.models.services import (
    create_endpoint,
    create_model,
    create_provider,
    disable_endpoint,
    disable_provider,
    enable_provider,
    grant_access,
    revoke_access,
    set_lifecycle,
    update_endpoint,
    update_model,
    update_provider,
)
from apps.models.types import LIFECYCLE_STEPS, Lifecycle
from apps.tenants.access import Actor
from apps.tenants.control_plane import control_plane_version
from apps.tenants.errors import Conflict, Invalid, NotFound, PermissionDenied
from apps.tenants.models import AuditEntry, Project, Tenant
from apps.tenants.types import TenantStatus
from tests.models.conftest import People

MEMBERS = ["admin", "developer", "viewer", "claimant", "outsider"]


def access(people: People, name: str, tenant: Tenant, project: Project | None = None) -> Access:
    return selectors.get_entry_for(people.actor(name), "acme/writer:8b", tenant, project).access


def test_a_model_needs_a_grant_and_a_grant_is_enough(people: People, model: Model) -> None:
    assert access(people, "developer", people.lending).code == "not_granted"
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=model)
    assert access(people, "developer", people.lending).allowed
    assert access(people, "claimant", people.claims).code == "not_granted"


def test_a_grant_to_one_project_covers_that_project_alone(people: People, model: Model) -> None:
    other = Project.objects.create(tenant=people.lending, slug="batch", name="Batch")
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=model, project=people.project)
    assert access(people, "developer", people.lending, people.project).allowed
    assert not access(people, "developer", people.lending, other).allowed
    assert access(people, "developer", people.lending).reason == "Granted to Support chat of Lending."
    developer = people.actor("developer")
    assert list(selectors.callable_models_for(developer, people.lending, people.project)) == [model]
    assert not selectors.callable_models_for(developer, people.lending, other).exists()


def test_an_expired_grant_grants_nothing(people: People, model: Model) -> None:
    grant = grant_access(actor=people.actor("engineer"), tenant=people.lending, model=model)
    AccessGrant.objects.for_tenant(people.lending).filter(pk=grant.pk).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert access(people, "developer", people.lending).code == "expired"
    assert not selectors.callable_models_for(people.actor("developer"), people.lending).exists()


def test_granting_twice_keeps_one_grant_and_revoking_ends_it(people: People, model: Model) -> None:
    engineer = people.actor("engineer")
    first = grant_access(actor=engineer, tenant=people.lending, model=model)
    until = timezone.now() + timedelta(days=30)
    second = grant_access(actor=engineer, tenant=people.lending, model=model, expires_at=until)
    assert first.pk == second.pk
    assert access(people, "developer", people.lending).expires_at == until
    revoke_access(actor=engineer, grant=second)
    assert access(people, "developer", people.lending).code == "not_granted"
    actions = list(AuditEntry.objects.for_tenant(people.lending).values_list("action", flat=True))
    assert actions == ["access.revoked", "access.changed", "access.granted"]


def test_a_grant_to_another_tenants_project_is_refused(people: People, model: Model) -> None:
    with pytest.raises(Invalid):
        grant_access(actor=people.actor("engineer"), tenant=people.claims, model=model, project=people.project)


@pytest.mark.parametrize("name", MEMBERS)
def test_nobody_but_platform_staff_grants(people: People, model: Model, name: str) -> None:
    with pytest.raises((PermissionDenied, NotFound)):
        grant_access(actor=people.actor(name), tenant=people.lending, model=model)
    assert not AccessGrant.objects.for_tenant(people.lending).exists()


def test_grants_of_another_tenant_do_not_exist(people: People, model: Model) -> None:
    grant = grant_access(actor=people.actor("engineer"), tenant=people.lending, model=model)
    assert selectors.get_grant_for(people.actor("developer"), grant.pk) == grant
    for name in ("claimant", "outsider"):
        assert not selectors.grants_for(people.actor(name)).exists()
        with pytest.raises(NotFound):
            selectors.get_grant_for(people.actor(name), grant.pk)


def test_the_outsider_sees_no_model(people: People, model: Model) -> None:
    outsider = people.actor("outsider")
    assert not selectors.models_for(outsider).exists()
    with pytest.raises(NotFound):
        selectors.get_model_for(outsider, model.slug)
    with pytest.raises(NotFound):
        selectors.search_models(outsider, CatalogQuery(), people.lending)
    with pytest.raises(NotFound):
        selectors.get_entry_for(people.actor("claimant"), model.slug, people.lending)


@pytest.mark.parametrize("lifecycle", [Lifecycle.PROPOSED, Lifecycle.IN_REVIEW, Lifecycle.RETIRED])
def test_a_model_that_is_not_approved_exists_for_staff_alone(
    people: People, model: Model, lifecycle: Lifecycle
) -> None:
    Model.objects.filter(pk=model.pk).update(lifecycle=lifecycle, is_open=True)
    with pytest.raises(NotFound):
        selectors.get_model_for(people.actor("admin"), model.slug)
    assert selectors.get_model_for(people.actor("engineer"), model.slug) == model
    assert access(people, "engineer", people.lending).code == "lifecycle"


def test_why_a_model_cannot_be_called_is_said(people: People, model: Model, provider: Provider) -> None:
    Model.objects.filter(pk=model.pk).update(is_open=True)
    assert access(people, "developer", people.lending).code == "open"
    engineer = people.actor("engineer")
    disable_provider(actor=engineer, provider=provider)
    assert access(people, "developer", people.lending).code == "no_endpoint"
    enable_provider(actor=engineer, provider=provider)
    disable_endpoint(actor=engineer, endpoint=model.endpoints.get())
    assert access(people, "developer", people.lending).code == "no_endpoint"
    people.lending.status = TenantStatus.SUSPENDED
    people.lending.save()
    assert access(people, "developer", people.lending).code == "tenant_inactive"


def test_the_search_filters_and_sorts(people: People, provider: Provider, operator: Actor) -> None:
    for slug, kind, context, capabilities, is_open in (
        ("alpha", "chat", 8_000, ["tools"], True),
        ("beta", "chat", 128_000, ["tools", "vision"], False),
        ("gamma-embed", "embedding", None, [], True),
    ):
        model = create_model(
            actor=operator,
            slug=slug,
            name=slug.title(),
            lifecycle="approved",
            kind=kind,
            context_tokens=context,
            capabilities=capabilities,
            is_open=is_open,
        )
        create_endpoint(actor=operator, model=model, provider=provider, upstream_model=slug)
    developer = people.actor("developer")

    def found(**query: object) -> list[str]:
        rows = selectors.search_models(developer, CatalogQuery(**query), people.lending)  # type: ignore[arg-type]
        return list(rows.values_list("slug", flat=True))

    assert found() == ["alpha", "beta", "gamma-embed"]
    assert found(text="EMB gamma") == ["gamma-embed"]
    Model.objects.filter(slug="alpha").update(description="The small sister of beta.")
    assert found(text="beta") == ["beta", "alpha"]
    assert found(kind="embedding") == ["gamma-embed"]
    assert found(capabilities=("tools",)) == ["alpha", "beta"]
    assert found(capabilities=("tools", "vision")) == ["beta"]
    assert found(callable_only=True) == ["alpha", "gamma-embed"]
    assert found(provider="upstream", kind="chat") == ["alpha", "beta"]
    assert found(provider="nobody") == []
    assert found(sort="context") == ["beta", "alpha", "gamma-embed"]
    assert found(text="%") == []


@pytest.mark.parametrize("name", MEMBERS)
def test_nobody_but_platform_staff_changes_the_registry(
    people: People, provider: Provider, model: Model, name: str
) -> None:
    actor = people.actor(name)
    endpoint = model.endpoints.get()
    version = control_plane_version()
    for act in (
        lambda: create_provider(actor=actor, slug="mine", name="Mine", base_url="https://192.0.43.9/v1"),
        lambda: update_provider(actor=actor, provider=provider, name="Mine"),
        lambda: disable_provider(actor=actor, provider=provider),
        lambda: create_model(actor=actor, slug="mine", name="Mine"),
        lambda: update_model(actor=actor, model=model, is_open=True),
        lambda: set_lifecycle(actor=actor, model=model, lifecycle="retired"),
        lambda: create_endpoint(actor=actor, model=model, provider=provider, upstream_model="mine"),
        lambda: update_endpoint(actor=actor, endpoint=endpoint, priority=9),
        lambda: disable_endpoint(actor=actor, endpoint=endpoint),
        lambda: selectors.providers_for(actor),
        lambda: selectors.endpoints_for(actor),
        lambda: selectors.prices_for(actor),
    ):
        with pytest.raises(PermissionDenied):
            act()
    assert control_plane_version() == version


def test_every_change_is_audited_and_told_to_the_gateway(people: People, provider: Provider, model: Model) -> None:
    engineer = people.actor("engineer")
    endpoint = model.endpoints.get()
    for act, action in (
        (lambda: update_provider(actor=engineer, provider=provider, name="Renamed"), "provider.updated"),
        (lambda: update_model(actor=engineer, model=model, is_open=True), "model.updated"),
        (lambda: set_lifecycle(actor=engineer, model=model, lifecycle="deprecated"), "model.lifecycle_changed"),
        (lambda: update_endpoint(actor=engineer, endpoint=endpoint, priority=3), "endpoint.updated"),
        (lambda: disable_endpoint(actor=engineer, endpoint=endpoint), "endpoint.disabled"),
    ):
        version = control_plane_version()
        act()
        entry = AuditEntry.objects.unscoped("test").first()
        assert entry is not None
        assert (entry.action, entry.actor_label) == (action, "engineer@example.com")
        assert control_plane_version() > version
        version = control_plane_version()
        act()  # again: nothing to change, nothing to record
        assert control_plane_version() == version


@pytest.mark.parametrize("present", Lifecycle)
def test_the_lifecycle_goes_its_steps_and_no_others(model: Model, operator: Actor, present: Lifecycle) -> None:
    for wanted in Lifecycle:
        Model.objects.filter(pk=model.pk).update(lifecycle=present)
        if wanted == present or wanted in LIFECYCLE_STEPS[present]:
            assert set_lifecycle(actor=operator, model=model, lifecycle=wanted).lifecycle == wanted
        else:
            with pytest.raises(Conflict):
                set_lifecycle(actor=operator, model=model, lifecycle=wanted)


@pytest.mark.parametrize("slug", ["", " ", "has space", "a/../b", "a//b", "end/", "../up", "x" * 201, "<b>", "nul\x00"])
def test_a_name_that_cannot_stand_in_a_url_is_refused(operator: Actor, db: None, slug: str) -> None:
    with pytest.raises(Invalid):
        create_model(actor=operator, slug=slug, name="Name")


def test_taken_names_are_conflicts(operator: Actor, provider: Provider, model: Model) -> None:
    with pytest.raises(Conflict):
        create_model(actor=operator, slug=model.slug, name="Again")
    with pytest.raises(Conflict):
        create_provider(actor=operator, slug=provider.slug, name="Again", base_url="https://192.0.43.9/v1")
    with pytest.raises(Conflict):
        create_endpoint(actor=operator, model=model, provider=provider, upstream_model="writer-8b")
    assert Endpoint.objects.count() == 1


def test_no_field_outside_the_form_can_be_written(operator: Actor, provider: Provider, model: Model) -> None:
    with pytest.raises(Invalid):
        update_model(actor=operator, model=model, lifecycle="retired")  # type: ignore[call-arg]
    with pytest.raises(Invalid):
        update_provider(actor=operator, provider=provider, credential_encrypted="x")  # type: ignore[call-arg]
    with pytest.raises(Invalid):
        update_endpoint(actor=operator, endpoint=model.endpoints.get(), model_id=9)  # type: ignore[call-arg]
    with pytest.raises(Invalid):
        update_endpoint(actor=operator, endpoint=model.endpoints.get(), connect_timeout_ms="soon")  # type: ignore[arg-type]


def test_a_later_endpoint_comes_after_the_earlier_ones(operator: Actor, provider: Provider, model: Model) -> None:
    second = create_endpoint(actor=operator, model=model, provider=provider, upstream_model="writer-8b-v2")
    assert (model.endpoints.first(), second.priority) == (Endpoint.objects.get(priority=0), 1)
