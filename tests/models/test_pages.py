"""The model hub's pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.models.models import Endpoint, Model, Price, Provider
from apps.models.prices import Figures
from apps.models.sandbox_models import register
from apps.models.services import add_price, grant_access, update_model
from apps.tenants.access import Actor
from tests.models.conftest import People

SignIn = Callable[[str], Client]


@pytest.fixture
def sign_in(people: People) -> SignIn:
    def sign_in(name: str) -> Client:
        client = Client()
        client.force_login(people[name], backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in


def text(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status
    return response.content.decode()


def card(slug: str) -> str:
    return reverse("models:card", args=[slug])


def test_whoever_is_not_signed_in_is_sent_to_the_login(db: None) -> None:
    for path in (reverse("models:list"), card("any")):
        response = Client().get(path)
        assert (response.status_code, response["Location"].startswith("/accounts/login/")) == (302, True)


def test_the_outsider_sees_no_model(sign_in: SignIn, model: Model) -> None:
    client = sign_in("outsider")
    for path in (reverse("models:list"), card(model.slug)):
        assert model.name not in text(client, path, 403)


def test_the_grid_shows_price_and_access(sign_in: SignIn, people: People, model: Model, operator: Actor) -> None:
    add_price(actor=operator, model=model, figures=Figures(2_500_000, 10_000_000))
    page = text(sign_in("developer"), reverse("models:list"))
    assert "Acme Writer" in page
    assert "$2.50" in page
    assert "$10.00" in page
    assert "Needs a grant" in page
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=model)
    assert "Ready" in text(sign_in("developer"), reverse("models:list"))
    assert "Needs a grant" in text(sign_in("claimant"), reverse("models:list"))


def test_the_filters_are_in_the_url(sign_in: SignIn, model: Model, operator: Actor) -> None:
    register(actor=operator)
    client = sign_in("viewer")
    url = reverse("models:list")
    assert "Acme Writer" not in text(client, f"{url}?access=now")
    assert "sandbox-embed" not in text(client, f"{url}?kind=chat")
    assert "Acme Writer" not in text(client, f"{url}?q=simulated")
    assert "sandbox-chat" in text(client, f"{url}?capability=tools&provider=sandbox&lifecycle=approved&sort=price")
    assert "No model matches" in text(client, f"{url}?q=nothing-like-it")


@pytest.mark.parametrize(
    "query", ["q=%00", "kind=nope", "capability=%22", "page=-1", "page=x", "sort=;", "provider=%00%27", "lifecycle=x"]
)
def test_a_malformed_filter_is_no_error(sign_in: SignIn, model: Model, query: str) -> None:
    text(sign_in("viewer"), f"{reverse('models:list')}?{query}")


def test_the_card_says_what_it_is_and_how_to_call_it(
    sign_in: SignIn, people: People, model: Model, operator: Actor
) -> None:
    add_price(actor=operator, model=model, figures=Figures(2_500_000, 10_000_000), source="Contract 7")
    update_model(
        actor=operator,
        model=model,
        description="Writes <b>letters</b>.",
        intended_use="Letters",
        out_of_scope_use="Legal advice",
        capabilities=["tools"],
    )
    grant_access(actor=people.actor("engineer"), tenant=people.lending, model=model, project=people.project)
    page = text(sign_in("developer"), "/models/acme/writer:8b/")
    for expected in (
        "Letters",
        "Legal advice",
        "Contract 7",
        "$2.50",
        "/chat/completions",
        "LOBBY_API_KEY",
        "acme/writer:8b",
        "Granted to Support chat of Lending.",
        "&lt;b&gt;letters",
    ):
        assert expected in page
    assert "192.0.43.7" not in page  # where the provider listens is the staff's business
    other = text(sign_in("claimant"), "/models/acme/writer:8b/")
    assert "Not granted to Claims." in other
    assert "Support chat" not in other


def test_an_embedding_model_shows_how_to_embed(sign_in: SignIn, operator: Actor, people: People) -> None:
    register(actor=operator)
    page = text(sign_in("viewer"), card("sandbox-embed"))
    assert "/embeddings" in page
    assert "Simulated" in page
    assert "nothing is billed" in page


def test_missing_and_hidden_models_look_alike(sign_in: SignIn, model: Model) -> None:
    Model.objects.filter(pk=model.pk).update(lifecycle="proposed")
    client = sign_in("admin")
    hidden, missing = client.get(card(model.slug)), client.get(card("no/such:model"))
    assert (hidden.status_code, missing.status_code) == (404, 404)
    assert "Acme" not in hidden.content.decode()
    assert "Acme Writer" in text(sign_in("engineer"), card(model.slug))


def add_models(provider: Provider, numbers: range) -> None:
    models = Model.objects.bulk_create(
        Model(slug=f"bulk-{number}", name=f"Bulk {number}", is_open=True) for number in numbers
    )
    Endpoint.objects.bulk_create(
        Endpoint(model=model, provider=provider, upstream_model=model.slug) for model in models
    )
    Price.objects.bulk_create(Price(model=model, input_picousd=5) for model in models)


def test_the_grid_needs_as_many_queries_for_300_models_as_for_3(sign_in: SignIn, provider: Provider) -> None:
    client = sign_in("developer")
    counts = []
    for numbers in (range(3), range(3, 300)):
        add_models(provider, numbers)
        with CaptureQueriesContext(connection) as queries:
            text(client, reverse("models:list"))
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[1] <= 16
