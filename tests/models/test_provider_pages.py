"""The pages of providers and models: who cannot use what, why, and the one button that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.models.models import Endpoint, Model, Provider
from apps.models.services import create_endpoint, create_provider, grant_access, update_provider
from apps.tenants.access import Actor
from apps.tenants.models import AuditEntry
from tests.models.conftest import People

SignIn = Callable[[str], Client]


@pytest.fixture
def sign_in(people: People) -> SignIn:
    def sign_in(name: str) -> Client:
        client = Client()
        client.force_login(people[name], backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in


@pytest.fixture
def restricted(people: People) -> People:
    """Lending's data stays in eu-central-1; Claims' may go anywhere."""
    people.lending.residency = ["eu-central-1"]
    people.lending.save(update_fields=["residency"])
    return people


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def page_of(provider: Provider) -> str:
    return reverse("models:provider-detail", args=[provider.slug])


def told(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def test_a_provider_without_a_region_names_the_tenants_that_cannot_use_it(
    sign_in: SignIn, restricted: People, model: Model, provider: Provider, operator: Actor
) -> None:
    staff = sign_in("engineer")
    page = text(staff, page_of(provider))
    assert "Lending cannot use it." in page
    assert "Claims cannot" not in page
    update_provider(actor=operator, provider=provider, settings={"region": "eu-central-1"})
    assert "cannot use it" not in text(staff, page_of(provider))
    update_provider(actor=operator, provider=provider, settings={"region": "us-east-1"})
    assert "cannot use it" not in text(staff, page_of(provider)), "that is meant, and no slip"


def test_registering_one_without_a_region_says_so_at_once(sign_in: SignIn, restricted: People) -> None:
    staff = sign_in("engineer")
    form = {
        "kind": "openai_compatible",
        "name": "Ours",
        "slug": "ours",
        "base_url": "https://192.0.43.7/v1",
        "credential_source": "none",
    }
    assert "Lending allows named regions only" in text(staff, f"{reverse('models:provider-create')}?kind=openai")
    response = staff.post(reverse("models:provider-create"), form, follow=True)
    assert "Lending cannot use it." in told(response)
    assert "Set the region" in told(response)
    again = staff.post(
        reverse("models:provider-create"), {**form, "slug": "theirs", "region": "eu-central-1"}, follow=True
    )
    assert "cannot use it" not in told(again)


def test_where_a_provider_of_the_environment_runs_is_entered_in_the_portal(
    sign_in: SignIn, restricted: People, model: Model, provider: Provider
) -> None:
    Provider.objects.filter(pk=provider.pk).update(from_environment=True)
    staff = sign_in("engineer")
    edit = reverse("models:provider-edit", args=[provider.slug])
    page = text(staff, edit)
    assert 'name="region"' in page
    assert 'name="base_url"' not in page
    assert 'name="secret"' not in page
    response = staff.post(edit, {"name": "Upstream", "region": "eu-central-1"}, follow=True)
    assert "Upstream is changed." in told(response)
    assert Endpoint.objects.get(provider=provider).region == "eu-central-1"


def test_a_models_page_says_why_this_tenant_cannot_use_it_and_whom_to_ask(
    sign_in: SignIn, restricted: People, model: Model, provider: Provider, operator: Actor
) -> None:
    card = reverse("models:card", args=[model.slug])
    developer = sign_in("developer")

    def access(client: Client) -> str:
        return str(client.get(card).context["entry"].access.code)

    assert access(developer) == "residency"
    assert "It runs in an unknown region; Lending allows only eu-central-1." in text(developer, card)
    assert "Ask a service admin" in text(developer, card)
    assert model.slug not in {
        entry.model.slug for entry in developer.get(f"{reverse('models:list')}?access=now").context["entries"]
    }
    assert access(sign_in("claimant")) == "not_granted", "Claims' data may go anywhere"

    update_provider(actor=operator, provider=provider, settings={"region": "eu-central-1"})
    assert access(developer) == "not_granted"
    grant = f"{reverse('admin:registry_accessgrant_add')}?model={model.pk}"
    assert grant not in text(developer, card)
    grant_access(actor=operator, tenant=restricted.lending, model=model)
    assert access(developer) == "granted"
    assert model.slug in {
        entry.model.slug for entry in developer.get(f"{reverse('models:list')}?access=now").context["entries"]
    }


def test_an_open_model_is_not_said_to_be_everybodys_where_its_region_shuts_tenants_out(
    sign_in: SignIn, provider: Provider, restricted: People, settings: Any
) -> None:
    settings.DISCOVERED_MODELS_OPEN = True
    url = reverse("models:provider-models", args=[provider.slug])
    response = sign_in("engineer").post(url, {"upstream_model": "acme-1", "slug": "", "kind": "chat"}, follow=True)
    assert "Every active tenant can call it, but Lending: not in their regions." in told(response)


@pytest.mark.parametrize("is_open", [True, False])
def test_a_model_named_by_hand_stands_as_one_chosen_from_the_list(
    sign_in: SignIn, provider: Provider, settings: Any, is_open: bool
) -> None:
    settings.DISCOVERED_MODELS_OPEN = is_open
    staff = sign_in("engineer")
    url = reverse("models:provider-models", args=[provider.slug])
    response = staff.post(url, {"upstream_model": "acme-1", "slug": "", "kind": "chat"}, follow=True)
    model = Model.objects.get(slug="acme-1")
    assert (model.lifecycle, model.is_open) == (("approved", True) if is_open else ("proposed", False))
    assert ("Every active tenant can call it." if is_open else "waiting for approval") in told(response)
    assert ("Approve acme-1?" in response.content.decode()) is not is_open


def test_staff_approve_a_proposed_model_where_they_see_it(
    sign_in: SignIn, people: People, model: Model, provider: Provider
) -> None:
    Model.objects.filter(pk=model.pk).update(lifecycle="proposed")
    url = reverse("models:approve", args=[model.slug])
    assert sign_in("admin").post(url).status_code == 403
    staff = sign_in("engineer")
    response = staff.post(url, {"provider": provider.slug}, follow=True)
    assert response.redirect_chain == [(page_of(provider), 302)]
    assert told(response) == "Acme Writer is approved. Tenants can call it once it is granted to them."
    assert "Approve Acme Writer?" not in response.content.decode()
    entry = AuditEntry.objects.unscoped("test").get(action="model.lifecycle_changed")
    assert entry.actor_label == people["engineer"].email
    Model.objects.filter(pk=model.pk).update(lifecycle="retired")
    assert "cannot become approved" in told(staff.post(url, follow=True)), "that is for a review"


def test_prices_and_grants_are_one_click_away_with_the_model_chosen(
    sign_in: SignIn, people: People, model: Model, provider: Provider, operator: Actor
) -> None:
    staff = sign_in("engineer")
    endpoint = Endpoint.objects.get(model=model)
    page = text(staff, page_of(provider))
    price = f"{reverse('admin:registry_price_add')}?model={model.pk}&amp;endpoint={endpoint.pk}"
    grant = f"{reverse('admin:registry_accessgrant_add')}?model={model.pk}"
    assert price in page
    assert f'{grant}"' in page
    assert "selected>Acme Writer" in text(staff, grant)
    assert "selected>Acme Writer" in text(staff, price.replace("&amp;", "&"))
    grant_access(actor=operator, tenant=people.lending, model=model)
    assert "1 grant</a>" in text(staff, page_of(provider))
    listed = text(staff, f"{reverse('admin:registry_accessgrant_changelist')}?model__id__exact={model.pk}")
    assert "Lending" in listed
    other = create_provider(actor=operator, slug="other", name="Other", base_url="https://192.0.43.8/v1")
    create_endpoint(actor=operator, model=model, provider=other, upstream_model="writer")
    assert "1 grant</a>" in text(staff, page_of(other))
