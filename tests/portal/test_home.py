"""Home: whose month it shows, when it has something new, and what it says to somebody new. And the palette's search."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.tenants.models import Membership, Project, Tenant, User
from apps.tenants.services import create_api_key, set_budget, suspend_tenant
from apps.tenants.types import Role
from tests.cast import Cast, assemble
from tests.gateway.pages.usage import USD, Usage, client_of


@pytest.fixture
def cast(db: None) -> Cast:
    return assemble()


@pytest.fixture
def usage(cast: Cast, tmp_path: Path) -> Usage:
    return Usage(tmp_path / "spool", cast)


def home(client: Client, query: str = "") -> Any:
    response = client.get(f"/{query}")
    assert response.status_code == 200
    return response


def test_month_in_figures(usage: Usage, cast: Cast) -> None:
    usage.add(cost=2 * USD)
    usage.add(cost=USD, outcome="upstream_error")
    usage.drain()
    context = home(client_of(cast["developer"])).context
    assert context["total"].cost_picousd == 3 * USD
    assert context["tokens"] == 300
    assert context["error_rate"] == pytest.approx(0.5)
    assert sum(context["sparks"]["requests"]) == 2
    assert [line.sums.requests for line in context["projects"]] == [2]
    assert len(context["recent"]) == 2


def test_outsider_sees_their_own_month_alone(usage: Usage, cast: Cast) -> None:
    usage.add(cost=777 * USD)
    usage.drain()
    client = client_of(cast["outsider"])
    for query in ("", "?view=platform", "?view=tenant"):
        page = home(client, query)
        assert page.context["total"].requests == 0
        assert "777" not in page.content.decode()
        assert "Claims" not in page.content.decode()
    assert "777" not in client.get("/live/?view=platform").content.decode()


def test_live_part_comes_when_there_is_something_new(usage: Usage, cast: Cast) -> None:
    usage.add()
    usage.drain()
    client = client_of(cast["developer"])
    stamp = home(client).context["stamp"]
    assert client.get("/live/", {"stamp": stamp}).status_code == 204
    usage.add(outcome="denied", attempts=0, error_code="budget_exceeded")  # in no rollup, but among the requests
    usage.drain()
    answer = client.get("/live/", {"stamp": stamp})
    assert answer.status_code == 200
    assert "Denied" in answer.content.decode()
    assert "<html" not in answer.content.decode()
    stamp = answer.context["stamp"]
    usage.add(cast.loans)
    usage.drain()
    assert client.get("/live/", {"stamp": stamp}).status_code == 204


def test_poll_is_cheap(usage: Usage, cast: Cast) -> None:
    for _ in range(50):
        usage.add()
    usage.drain()
    client = client_of(cast["owner"])
    stamp = home(client).context["stamp"]
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/live/", {"stamp": stamp}).status_code == 204
    assert len(queries) <= 7
    assert not [query for query in queries if "gateway_usagerecord" in query["sql"]]


def test_viewer_sees_figures_and_no_requests(usage: Usage, cast: Cast) -> None:
    usage.add()
    usage.drain()
    page = home(client_of(cast["viewer"]))
    assert page.context["total"].requests == 1
    assert page.context["recent"] == []
    assert "Last requests" not in page.content.decode()
    assert "LOBBY_API_KEY" not in page.content.decode()
    assert "ask a tenant admin" in page.content.decode()


def test_a_viewers_navigation_leads_to_no_refusal(cast: Cast) -> None:
    def links(who: str) -> set[str]:
        page = client_of(cast[who]).get("/").content.decode()
        return {link for link in ("/keys/", "/requests/", "/usage/") if f'class="nav-link" href="{link}"' in page}

    assert links("developer") == {"/keys/", "/requests/", "/usage/"}
    assert links("viewer") == {"/usage/"}


def test_somebody_without_a_tenant_reads_what_to_do(cast: Cast) -> None:
    nora = User.objects.create_user("nora@example.com", "x")
    assert "You belong to no tenant yet" in home(client_of(nora)).content.decode()
    assert client_of(nora).get("/live/").status_code == 404


@pytest.mark.parametrize("path", ["/", "/playground/"])
def test_members_of_a_suspended_tenant_read_whom_to_ask(cast: Cast, path: str) -> None:
    suspend_tenant(actor=cast.actor("service_admin"), tenant=cast.claims, reason="unpaid")
    page = client_of(cast["developer"]).get(path).content.decode()
    assert "is suspended; ask the platform" in page
    assert "make you a developer" not in page


def test_anonymous_is_sent_to_sign_in(db: None) -> None:
    for path in ("/", "/live/", "/search/?q=ab"):
        assert Client().get(path)["Location"].startswith("/accounts/login/"), path


def test_new_tenant_reads_its_first_steps(cast: Cast) -> None:
    fresh = Tenant.objects.create(slug="fresh", name="Fresh")
    vera = User.objects.create_user("vera@example.com", "x")
    Membership.objects.create(tenant=fresh, user=vera, role=Role.ADMIN)
    page = home(client_of(vera)).content.decode()
    for said in ("Create a project", "The first call", "Add your people", "No budget holds"):
        assert said in page
    Project.objects.create(tenant=fresh, slug="app", name="App")
    assert "Create a key" in home(client_of(vera)).content.decode()


def test_curl_line_speaks_of_the_readers_own_key(usage: Usage, cast: Cast) -> None:
    create_api_key(
        actor=cast.actor("developer"), project=cast.triage, name="For CI", scopes=["management:read"]
    )  # newer, and of no use for the call
    page = home(client_of(cast["developer"])).content.decode()
    assert "LOBBY_API_KEY" in page
    assert f"lby_{cast.key_rows['inference'].prefix}_" in page
    assert cast.keys["inference"] not in page


def test_what_lobby_was_refused_itself_is_no_news(usage: Usage, cast: Cast) -> None:
    usage.add(why={"by_lobby": True}, attempts=0, outcome="denied", error_code="rate_limit_exceeded")
    usage.add(attempts=0, outcome="denied", error_code="rate_limit_exceeded")
    usage.drain()
    (told,) = home(client_of(cast["owner"])).context["recent"]
    assert told.outcome == "denied"
    assert "by_lobby" not in told.why


def test_staff_see_the_platform(usage: Usage, cast: Cast) -> None:
    usage.add(cost=USD)
    usage.add(cast.loans, cost=4 * USD, outcome="upstream_error")
    usage.drain()
    suspend_tenant(actor=cast.actor("service_admin"), tenant=cast.lending, reason="test")
    context = home(client_of(cast["service_engineer"])).context
    assert [(line.name, line.bar) for line in context["tenants"]] == [("Lending", 1000), ("Claims", 250)]
    (provider,) = context["providers"]
    assert (provider.attempts, provider.failed, provider.state) == (2, 1, "degraded")
    usage.provider.is_enabled = False
    usage.provider.save(update_fields=["is_enabled"])
    assert home(client_of(cast["service_engineer"])).context["providers"][0].state == "disabled"
    assert home(client_of(cast["service_engineer"]), "?view=tenant").context["place"].tenant is not None


def test_home_costs_the_same_queries_for_3_projects_and_300_requests(usage: Usage, cast: Cast) -> None:
    client = client_of(cast["owner"])

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            home(client)
        return len(queries)

    def more(projects: int, requests: int, word: str) -> None:
        for number in range(projects):
            project = Project.objects.create(tenant=cast.claims, slug=f"{word}-{number}", name=f"{word} {number}")
            set_budget(actor=cast.actor("owner"), tenant=cast.claims, project=project, amount_picousd=USD)
            for each in range(requests // projects):
                usage.add(project, at=timezone.now() - timedelta(minutes=each))
        usage.drain()

    cast.key_rows["foreign"] = cast.key_rows["inference"]
    more(3, 3, "few")
    few = cost()
    more(30, 300, "many")
    assert cost() == few
    assert few <= 30


def found(client: Client, query: str) -> list[tuple[str, str]]:
    items = client.get("/search/", {"q": query}).json()["items"]
    return [(str(item["group"]), str(item["label"])) for item in items]


def test_search_finds_what_the_reader_may_open(usage: Usage, cast: Cast) -> None:
    request_id = usage.add()
    usage.drain()
    client = client_of(cast["developer"])
    assert ("Models", "Writer") in found(client, "writ")
    assert ("Projects", "Claims triage") in found(client, "triage")
    assert ("Keys", "inference") in found(client, "infer")
    assert ("Keys", "inference") in found(client, cast.keys["inference"])
    assert ("Requests", f"Request {request_id}") in found(client, request_id)
    for item in client.get("/search/", {"q": "triage"}).json()["items"]:
        assert client.get(item["url"]).status_code == 200
    assert found(client, "t") == []
    assert found(client, "tri\x00age")


def test_search_of_an_outsider_finds_nothing_foreign(usage: Usage, cast: Cast) -> None:
    request_id = usage.add()
    usage.drain()
    client = client_of(cast["outsider"])
    for query in ("triage", "inference", request_id, cast.keys["inference"], "lending"):
        groups = {group for group, _ in found(client, query)}
        assert not groups & {"Projects", "Keys", "Requests", "Tenants"}, query
    viewer = client_of(cast["viewer"])
    assert not {group for group, _ in found(viewer, "inference")} & {"Keys"}
