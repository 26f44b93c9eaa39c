"""The list of requests, its filters and pages, and the why of one."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.gateway.books import new_id
from apps.gateway.csv_files import cell
from apps.gateway.models import UsageRecord
from apps.tenants.models import Project
from tests.cast import Cast
from tests.gateway.pages.usage import USD, Usage, client_of

SERVED_WHY = {
    "caller": "key inference (x)",
    "project": "claims/triage",
    "held": {"tokens": 4_200, "cost_picousd": 3 * USD},
    "limits": [{"rule": "600 requests per minute for project claims/triage", "left": 599}],
    "budgets": ["monthly budget of $25.00 for tenant claims"],
    "candidates": ["writer at Acme AI", "writer at Other"],
    "left_out": [{"endpoint": "writer at Far", "why": "runs in us-east-1; allowed: eu-west-1"}],
}


def listed(client: Any, query: str = "") -> list[str]:
    response = client.get(f"/requests/{query}")
    assert response.status_code == 200
    return [row.request_id for row in response.context["rows"]]


def test_newest_first_and_refusals_included(usage: Usage, cast: Cast) -> None:
    now = timezone.now()
    first = usage.add(at=now - timedelta(minutes=3))
    second = usage.add(at=now - timedelta(minutes=2), outcome="denied", attempts=0, error_code="rate_limit_exceeded")
    usage.add(cast.loans)
    usage.drain()
    assert listed(client_of(cast["developer"])) == [second, first]
    assert listed(client_of(cast["developer"]), "?outcome=denied") == [second]


def test_the_route_that_was_called_is_shown_beside_what_answered(usage: Usage, cast: Cast) -> None:
    request_id = usage.add(why={**SERVED_WHY, "route": {"slug": "claims-default", "strategy": "priority"}})
    usage.drain()
    client = client_of(cast["developer"])
    page = client.get("/requests/").content.decode()
    assert "claims-default <span" in page
    assert f"route to {usage.model.slug}" in page
    assert "<dt>Route</dt><dd>claims-default</dd>" in client.get(f"/requests/{request_id}/").content.decode()
    [row] = csv.DictReader(io.StringIO(b"".join(client.get("/requests/?export=csv")).decode("utf-8-sig")))
    assert (row["route"], row["model"]) == ("claims-default", usage.model.slug)


def test_access_that_has_ended_is_said_with_who_can_renew_it(usage: Usage, cast: Cast) -> None:
    said = "The route 'claims-default' has nothing left that tenant claims may call: its access has ended."
    request_id = usage.add(
        model_slug="claims-default", why={"said": said}, outcome="denied", attempts=0, error_code="no_access"
    )
    usage.drain()
    page = client_of(cast["developer"]).get(f"/requests/{request_id}/").content.decode()
    assert "its access has ended" in page
    assert "A service admin can renew it." in page


@pytest.mark.parametrize("part", ["viewer", "reviewer"])
def test_roles_that_call_no_models_read_who_can(usage: Usage, cast: Cast, part: str) -> None:
    request_id = usage.add()
    usage.drain()
    answer = client_of(cast[part]).get("/requests/")
    assert answer.status_code == 403
    assert "developer" in answer.content.decode()
    assert client_of(cast[part]).get(f"/requests/{request_id}/").status_code == 404


def test_outsider_gets_404_as_for_a_missing_request(usage: Usage, cast: Cast) -> None:
    request_id = usage.add()
    usage.drain()
    client = client_of(cast["outsider"])
    for each in (request_id, "0" * 32, request_id[:8]):
        assert client.get(f"/requests/{each}/").status_code == 404
    for query in ("", f"?q={request_id}", "?project=triage", f"?key={cast.key_rows['inference'].pk}", "?export=csv"):
        response = client.get(f"/requests/{query}")
        body = b"".join(response) if response.streaming else response.content
        assert b"writer" not in body, query


def test_an_id_of_this_moment_is_told_to_wait_whoever_asks(cast: Cast) -> None:
    for user in (cast["developer"], cast["outsider"]):
        page = client_of(user).get(f"/requests/{new_id()}/")
        assert (page.status_code, page.headers["Refresh"]) == (404, "1")
        assert "looks again by itself" in page.content.decode()
        gone = client_of(user).get(f"/requests/{0x0198_0000_0000:012x}{'0' * 20}/")
        assert (gone.status_code, gone.has_header("Refresh")) == (404, False)


def test_filters_narrow_and_combine(usage: Usage, cast: Cast) -> None:
    other = Project.objects.create(tenant=cast.claims, slug="letters", name="Letters")
    usage.cast.key_rows["foreign"] = usage.cast.key_rows["inference"]
    reader = usage.make_model("reader")
    plain = usage.add()
    streamed = usage.add(model=reader, streamed=True, first_token_ms=80)
    failed = usage.add(other, outcome="upstream_error", error_code="upstream_timeout_idle")
    old = usage.add(at=timezone.now() - timedelta(days=20))
    usage.drain()
    client = client_of(cast["scientist"])
    for query, expected in {
        "?model=reader": {streamed},
        "?project=letters": {failed},
        "?answer=yes": {streamed},
        "?answer=no": {plain, failed},
        "?code=upstream_timeout_idle": {failed},
        "?outcome=upstream_error&model=reader": set(),
        "?period=30d": {plain, streamed, failed, old},
        f"?q={old[:32]}": {old},  # an id is found whenever it was
        f"?key={cast.key_rows['inference'].pk}": {plain, streamed, failed},
        "?key=x": set(),
        "?outcome=nonsense": {plain, streamed, failed},
    }.items():
        assert set(listed(client, query)) == expected, query


def test_pages_follow_each_other_in_every_order(usage: Usage, cast: Cast) -> None:
    now = timezone.now()
    made = [usage.add(at=now - timedelta(seconds=number), cost=number % 7) for number in range(120)]
    usage.drain()
    client = client_of(cast["owner"])
    for sort in ("", "-cost", "duration", "nonsense"):
        url, seen = f"/requests/?sort={sort}", list[str]()
        while url:
            context = client.get(url).context
            seen += [row.request_id for row in context["rows"]]
            url = f"/requests/{context['next_url']}" if context["next_url"] else ""
        assert sorted(seen) == sorted(made), sort
    assert client.get("/requests/?cursor=rubbish").status_code == 400


def test_csv_is_of_what_is_shown_with_formulas_disarmed(usage: Usage, cast: Cast) -> None:
    usage.add(model_slug="=cmd|'/c calc'!A1", cost=5)
    usage.drain()
    response = client_of(cast["developer"]).get("/requests/?export=csv")
    (row,) = csv.DictReader(io.StringIO(b"".join(response).decode()))
    assert row["model"] == "'=cmd|'/c calc'!A1"
    assert row["cost_usd"] == "0.000000000005"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "\N{FULLWIDTH EQUALS SIGN}1"])
def test_no_cell_begins_as_a_formula(text: str) -> None:
    assert cell(text).startswith("'")
    assert cell(f"a{text}") == f"a{text}"
    assert cell(-5) == "-5"


def test_list_costs_the_same_queries_for_3_rows_and_300(usage: Usage, cast: Cast) -> None:
    client = client_of(cast["owner"])

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            listed(client)
        return len(queries)

    for _ in range(3):
        usage.add()
    usage.drain()
    few = cost()
    for _ in range(297):
        usage.add()
    usage.drain()
    assert cost() == few
    assert few <= 16


def why_of(cast: Cast, request_id: str) -> tuple[Any, str]:
    response = client_of(cast["developer"]).get(f"/requests/{request_id}/")
    assert response.status_code == 200
    return response.context["why"], response.content.decode()


def attempt(number: int, each: int, **fields: Any) -> dict[str, Any]:
    told = {"id": f"a{number * 100 + each:031x}", "endpoint": "writer at Acme AI", "outcome": "ok", "status": 200}
    return told | {"ms": 900, "after_ms": 3, "first_token_ms": None} | fields


def test_why_of_a_served_request_tells_its_life(usage: Usage, cast: Cast) -> None:
    why = SERVED_WHY | {
        "attempts": [
            attempt(1, 0, outcome="upstream_error", status=503, ms=40, error="overloaded"),
            attempt(1, 1, after_ms=45, ms=900, first_token_ms=120),
        ]
    }
    request_id = usage.add(why=why, attempts=2, duration_ms=950, streamed=True, cost=100 * 2_000_000 + 50 * 8_000_000)
    usage.drain()
    told, page = why_of(cast, request_id)
    assert [step.kind for step in told.steps] == [
        *("key", "model", "limits", "budgets", "route", "attempt", "attempt", "settlement", "answer")
    ]
    assert [step.tone for step in told.steps if step.kind == "attempt"] == ["danger", "ok"]
    for said in ("599 left after it", "$3.00 was held", "HTTP 503. overloaded", "Left out: writer at Far"):
        assert said in page
    assert [bar.ms for bar in told.bars] == [3, 40, 120, 780]
    assert sum(line.cost_picousd for line in told.bills[1].lines) == told.bills[1].record.cost_picousd
    assert told.own_ms == 10
    assert told.denial is None
    assert "no room for" not in page
    capped = {**why, "held": {"tokens": 300, "cost_picousd": USD // 100, "asked_tokens": 4_200}}
    request_id = usage.add(why=capped)
    usage.drain()
    page = why_of(cast, request_id)[1]
    assert "$0.01 was held" in page
    assert "There was no room for the 4,200 that it might have used" in page


@pytest.mark.parametrize(
    ("code", "kind", "place"),
    [
        ("rate_limit_exceeded", "limits", "#limits"),
        ("budget_exceeded", "budgets", "#budgets"),
        ("model_not_found", "model", "?access=now"),
        ("no_endpoint", "route", "?access=now"),
    ],
)
def test_why_of_a_denial_names_the_rule_and_the_way_to_change_it(
    usage: Usage, cast: Cast, code: str, kind: str, place: str
) -> None:
    why = {"caller": "x", "denied_by": "600 requests per minute", "said": "Ask an admin of tenant claims for more."}
    request_id = usage.add(why=why, outcome="denied", attempts=0, error_code=code, http_status=429)
    usage.drain()
    told, page = why_of(cast, request_id)
    assert [step.kind for step in told.steps if step.tone == "danger"] == [kind, "answer"]
    assert "Ask an admin of tenant claims for more." in page
    assert place in page


def test_why_of_what_was_cut_off_makes_up_nothing(usage: Usage, cast: Cast) -> None:
    request_id = usage.add(why={}, outcome="interrupted", error_code="server_stopped", http_status=503)
    usage.drain()
    told, page = why_of(cast, request_id)
    assert told.headline == "Cut off: the server stopped"
    assert told.bars == ()
    assert "{" not in page.split("<main")[1].split("</main>")[0].replace("{}", "")


def test_what_was_not_written_down_is_not_claimed(usage: Usage, cast: Cast) -> None:
    request_id = usage.add(why={}, outcome="interrupted", error_code="interrupted", http_status=0)
    usage.drain()
    told, page = why_of(cast, request_id)
    assert not {"limits", "budgets"} & {step.kind for step in told.steps}
    assert told.steps[-1].title == "No answer was sent"
    assert "HTTP 0" not in page
    assert "Granted to" not in page


def test_what_never_reached_its_provider_is_not_said_to_be_counted_there(usage: Usage, cast: Cast) -> None:
    request_id = usage.add(outcome="upstream_error", input_tokens=0, output_tokens=0, cost=0)
    usage.drain()
    _, page = why_of(cast, request_id)
    assert "Counted by the provider." in page
    UsageRecord.objects.unscoped("test").update(http_status=0)
    _, page = why_of(cast, request_id)
    assert "It never reached the provider." in page
    assert "Counted by the provider." not in page
    assert "No price was known" not in page


def test_hostile_facts_are_text(usage: Usage, cast: Cast) -> None:
    nasty = "<script>alert(1)</script>"
    why = {"attempts": [attempt(1, 0, endpoint=nasty, error=nasty)], "candidates": [nasty]}
    request_id = usage.add(why=why, model_slug=nasty)
    usage.drain()
    _, page = why_of(cast, request_id)
    assert nasty not in page
    assert nasty not in client_of(cast["developer"]).get("/requests/").content.decode()


def test_side_panel_gets_the_part_alone(usage: Usage, cast: Cast) -> None:
    request_id = usage.add()
    usage.drain()
    headers = {"HX-Request": "true", "HX-Target": "request-panel-body"}
    page = client_of(cast["owner"]).get(f"/requests/{request_id}/", headers=headers).content.decode()
    assert "<html" not in page
    assert "Open as page" in page
