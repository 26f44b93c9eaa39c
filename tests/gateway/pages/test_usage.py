"""The usage page: whose figures, of which period, by which group, and as a file."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.gateway.reports import Delta
from apps.tenants.models import ApiKey, Project
from apps.tenants.services import set_budget
from tests.cast import Cast
from tests.gateway.pages.usage import USD, Usage, client_of


def context_of(client: Any, query: str = "") -> Any:
    response = client.get(f"/usage/{query}")
    assert response.status_code == 200
    return response.context


def rows_of(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(response).decode())))


def test_sums_the_tenants_usage_by_model_and_by_day(usage: Usage, cast: Cast) -> None:
    other = usage.make_model("reader")
    now = timezone.now()
    for days in (0, 1, 1, 5):
        usage.add(at=now - timedelta(days=days, seconds=1), cost=2 * USD)
    usage.add(model=other, at=now - timedelta(days=1), cost=USD, outcome="upstream_error")
    usage.drain()
    context = context_of(client_of(cast["viewer"]), "?period=7d&by=model")
    assert context["total"].cost_picousd == 9 * USD
    assert context["total"].requests == 5
    assert context["error_rate"] == pytest.approx(0.2)
    rows = context["tables"][0]["rows"]
    assert [(row["label"], row["sums"].requests) for row in rows] == [("writer", 4), ("reader", 1)]
    writer = next(line for line in context["spend"]["series"] if line["name"] == "writer")
    assert len(writer["values"]) == 7
    assert sum(writer["values"]) == pytest.approx(8)
    assert context["requests"]["series"][1]["values"][-2] == 1


def test_outsider_sees_nothing_of_another_tenant(usage: Usage, cast: Cast) -> None:
    usage.add(cost=777 * USD)
    usage.drain()
    client = client_of(cast["outsider"])
    for query in ("", "?tenant=all", "?project=triage", "?by=key", f"?by=tenant&project={cast.triage.slug}"):
        context = context_of(client, query)
        assert context["total"].requests == 0, query
        assert b"777" not in client.get(f"/usage/{query}").content
    assert rows_of(client.get("/usage/?export=csv&tenant=all")) == []


def test_platform_staff_choose_all_tenants(usage: Usage, cast: Cast) -> None:
    usage.add(cost=USD)
    usage.add(cast.loans, cost=3 * USD)
    usage.drain()
    context = context_of(client_of(cast["service_engineer"]), "?tenant=all")
    assert [(row["label"], row["sums"].cost_picousd) for row in context["tables"][0]["rows"]] == [
        ("Lending", 3 * USD),
        ("Claims", USD),
    ]


def test_days_are_the_tenants_own(usage: Usage, cast: Cast) -> None:
    cast.claims.time_zone = "Pacific/Auckland"
    cast.claims.save(update_fields=["time_zone"])
    zone = ZoneInfo("Pacific/Auckland")
    midnight = timezone.now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = midnight - timedelta(days=1)
    usage.add(at=yesterday + timedelta(minutes=1), cost=USD)
    usage.add(at=midnight - timedelta(minutes=1), cost=USD)
    usage.add(at=yesterday - timedelta(minutes=1), cost=5 * USD)
    usage.drain()
    day = f"{yesterday:%Y-%m-%d}"
    by_hour = context_of(client_of(cast["viewer"]), f"?period=custom&from={day}&to={day}")
    assert by_hour["total"].cost_picousd == 2 * USD
    assert by_hour["spend"]["labels"][0] == "00:00"
    by_day = context_of(client_of(cast["viewer"]), "?period=7d")
    assert [round(value) for value in by_day["spend"]["series"][0]["values"]][-3:] == [5, 2, 0]


def test_drills_from_a_group_to_its_requests(usage: Usage, cast: Cast) -> None:
    usage.add(why={"caller": "x"})
    usage.add(model=usage.make_model("reader"))
    usage.drain()
    client = client_of(cast["developer"])
    for by in ("model", "project", "key"):
        row = context_of(client, f"?by={by}")["tables"][0]["rows"][0]
        found = client.get(row["url"]).context["rows"]
        assert len(found) == row["sums"].requests
    # Who may not see requests gets figures without the way to them.
    assert not context_of(client_of(cast["viewer"]), "?by=model")["tables"][0]["rows"][0]["url"]


def test_compares_with_the_same_stretch_before(usage: Usage, cast: Cast) -> None:
    now = timezone.now()
    for days in (0.01, 1, 2):
        usage.add(at=now - timedelta(days=days), cost=2 * USD)
    usage.add(at=now - timedelta(days=8), cost=3 * USD)
    usage.drain()
    assert context_of(client_of(cast["viewer"]), "?period=7d")["deltas"]["cost"].text == "+100%"


@pytest.mark.parametrize(
    ("now", "before", "text", "tone"),
    [
        (120, 100, "+20%", "bad"),
        (80, 100, "\N{MINUS SIGN}20%", "good"),
        (5, 0, "", ""),
        (100, 100, "0%", ""),
        (3000, 1, "x3,000", "bad"),
    ],
)
def test_delta_in_words(now: float, before: float, text: str, tone: str) -> None:
    delta = Delta.of(now, before, more_is="bad")
    assert (delta.text, delta.tone) == (text, tone)


def test_csv_holds_what_the_charts_show_and_no_formula(usage: Usage, cast: Cast) -> None:
    ApiKey.objects.unscoped("test").filter(pk=cast.key_rows["inference"].pk).update(name='=HYPERLINK("//evil")')
    usage.add(cost=1_234_567)
    usage.drain()
    response = client_of(cast["owner"]).get("/usage/?by=key&period=7d&export=csv")
    assert response["Content-Type"].startswith("text/csv")
    (row,) = rows_of(response)
    assert row["key"].startswith("'=HYPERLINK")
    assert row["cost_usd"] == "0.000001234567"
    assert row["requests"] == "1"


@pytest.mark.parametrize(
    "query",
    [
        "?period=nonsense",
        "?period=custom&from=x",
        "?by=nothing",
        "?model=%00",
        "?project=none",
        "?period=custom&from=0001-01-01&to=0001-01-02",
        "?period=custom&from=9999-12-31&to=9999-12-31",
    ],
)
def test_nonsense_in_the_url_is_no_error(usage: Usage, cast: Cast, query: str) -> None:
    context_of(client_of(cast["viewer"]), query)


def test_budget_shows_what_is_spent_and_where_it_leads(usage: Usage, cast: Cast) -> None:
    set_budget(actor=cast.actor("owner"), tenant=cast.claims, amount_picousd=100 * USD, period="year")
    now = timezone.now()
    for days in range(1, 8):
        usage.add(at=now - timedelta(days=days), cost=USD)
    usage.drain()
    (standing,) = context_of(client_of(cast["viewer"]))["budgets"]
    year = datetime(now.year, 1, 1, tzinfo=ZoneInfo("UTC"))
    spent = min(7, (now - year).days) * USD
    days_left = (standing.ends_at - now).total_seconds() / 86_400
    assert standing.spent == spent
    assert standing.forecast == pytest.approx(spent + days_left * USD, rel=0.001)


def test_page_costs_the_same_queries_for_3_groups_and_300(usage: Usage, cast: Cast) -> None:
    client = client_of(cast["owner"])

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            context_of(client, "?by=project&period=7d")
        return len(queries)

    def more(count: int, word: str) -> None:
        for number in range(count):
            project = Project.objects.create(tenant=cast.claims, slug=f"{word}-{number}", name=f"{word} {number}")
            set_budget(actor=cast.actor("owner"), tenant=cast.claims, project=project, amount_picousd=USD)
            usage.add(project, at=timezone.now() - timedelta(hours=number % 100))
        usage.drain()

    usage.cast.key_rows["foreign"] = usage.cast.key_rows["inference"]
    more(3, "few")
    few = cost()
    more(120, "many")
    assert cost() == few
    assert few <= 20


def test_model_speed_tells_of_the_platform_and_counts_for_the_tenant(usage: Usage, cast: Cast) -> None:
    usage.add(output_tokens=70)
    usage.drain()
    few = client_of(cast["viewer"]).get("/usage/models/writer/speed/").content.decode()
    assert few.count("not measured yet") == 2
    assert "of the last" not in few
    for _ in range(4):
        usage.add(output_tokens=70)
    usage.drain()
    page = client_of(cast["viewer"]).get("/usage/models/writer/speed/")
    assert page.status_code == 200
    assert page.context["total"].requests == 5
    assert page.context["speed"].tokens_per_second == pytest.approx(70 * 1000 / 7)
    other = client_of(cast["outsider"]).get("/usage/models/writer/speed/")
    assert other.context["total"].requests == 0
    assert client_of(cast["viewer"]).get("/usage/models/none/speed/").status_code == 404
