"""The golden-set inbox: offered once, redacted before it is written, another tenant's never seen."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.evaluation.models import InboxItem
from apps.evaluation.services import offer_failed_requests, offer_to_inbox
from apps.gateway.services.contents import ContentFacts, Said, keep_content
from apps.tenants.errors import Conflict, Invalid, NotFound
from apps.tenants.services import update_project
from tests.cast import Cast

ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Refund to DE89 3704 0044 0532 0130 00, ann@x.example"}]
}


def offer(cast: Cast, part: str = "viewer", **more: Any) -> InboxItem:
    given: dict[str, Any] = {"tenant": cast.claims, "source": "feedback", "source_ref": "feedback/7", "input": ASKED}
    return offer_to_inbox(actor=cast.actor(part), **{**given, **more})


def test_personal_data_is_gone_before_anything_is_written(cast: Cast) -> None:
    item = offer(cast, output="Sent to ann@x.example.", note="by 555-123-4567", reasons=["wrong"])
    row = InboxItem.objects.for_tenant(cast.claims).get()
    assert row.input["messages"][0]["content"] == "Refund to [IBAN 1], [e-mail 1]"
    assert (row.output, row.note, row.scrub) == ("Sent to [e-mail 1].", "by [phone number 1]", "redacted")
    assert [(each["kind"], each["times"]) for each in row.redactions] == [
        ("IBAN", 1), ("e-mail", 2), ("phone number", 1),
    ]  # fmt: skip
    assert "ann@" not in str(row.__dict__)
    assert item.created_by == cast["viewer"]


def test_the_same_source_is_one_item_until_somebody_decides(cast: Cast) -> None:
    first = offer(cast, reasons=["wrong"])
    again = offer(cast, reasons=["unsafe"], note="Worse than I thought")
    assert (again.pk, again.reasons) == (first.pk, ["unsafe"])
    InboxItem.objects.for_tenant(cast.claims).update(status="dismissed")
    assert offer(cast, reasons=["other"]).reasons == ["unsafe"]
    assert offer(cast, source_ref="").pk != offer(cast, source_ref="").pk


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": {}},
        {"input": {"messages": [{"content": "no role"}]}},
        {"input": {"x": float("nan")}},
        {"input": {"x": "a\x00b"}},
        {"source": "moon"},
        {"expected": {"x": {1, 2}}},
    ],
)
def test_what_cannot_be_an_example_is_refused(cast: Cast, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        offer(cast, **wrong)


def test_to_the_outsider_there_is_no_such_tenant(cast: Cast) -> None:
    with pytest.raises(NotFound):
        offer(cast, "outsider")


def test_failed_requests_are_brought_in_once_by_who_may_read_requests(cast: Cast) -> None:
    update_project(actor=cast.actor("owner"), project=cast.triage, content_percent=10)
    for number, error in enumerate(["upstream_timeout_idle", "", "content_policy"]):
        facts = ContentFacts(f"{number:032x}", timezone.now(), cast.claims.pk, cast.triage.pk, "prod", "fake-chat")
        keep_content(facts, [Said("user", f"Question {number}")], Said("assistant", "" if error else "Yes."), error)
    client = Client()
    client.force_login(cast["developer"])
    assert "2 sampled requests failed" in client.get("/inbox/").content.decode()
    client.post("/inbox/failed/")
    page = client.get("/inbox/").content.decode()
    assert "upstream timeout idle" in page
    assert "sampled request" not in page
    rows = InboxItem.objects.for_tenant(cast.claims).order_by("source_ref")
    assert [(row.input["messages"][0]["content"], row.output, row.reasons, row.source) for row in rows] == [
        ("Question 0", "", ["upstream timeout idle"], "request"),
        ("Question 2", "", ["content policy"], "request"),
    ]
    with pytest.raises(Conflict):
        offer_failed_requests(actor=cast.actor("developer"), tenant=cast.claims)
    rows.delete()
    with pytest.raises(Conflict):
        offer_failed_requests(actor=cast.actor("viewer"), tenant=cast.claims)
    with pytest.raises(NotFound):
        offer_failed_requests(actor=cast.actor("outsider"), tenant=cast.claims)
    assert not InboxItem.objects.unscoped("test").exists()


def test_a_failed_request_that_can_be_no_example_does_not_hold_up_the_others(cast: Cast) -> None:
    update_project(actor=cast.actor("owner"), project=cast.triage, content_percent=10)
    client = Client()
    client.force_login(cast["developer"])

    def failed(number: int, turns: int) -> None:
        facts = ContentFacts(f"{number:032x}", timezone.now(), cast.claims.pk, cast.triage.pk, "prod", "fake-chat")
        keep_content(facts, [Said("user", "Go on.")] * turns, Said("assistant", ""), "context_length_exceeded")

    failed(1, 501)
    told = client.post("/inbox/failed/", follow=True).content.decode()
    assert "There are 501 messages; at most 500 fit." in told
    failed(2, 2)
    assert "1 item is brought in." in client.post("/inbox/failed/", follow=True).content.decode()
    assert [row.source_ref for row in InboxItem.objects.for_tenant(cast.claims)] == [f"{2:032x}"]


def test_an_application_offers_what_failed_there(cast: Cast) -> None:
    offered = {
        "tenant": "claims",
        "source": "request",
        "source_ref": "req-17",
        "input": ASKED,
        "output": "",
        "reasons": ["timed out"],
    }
    client = Client(headers={"authorization": f"Bearer {cast.keys['management']}"})

    def post(**more: Any) -> Any:
        return client.post("/api/inbox", offered | more, content_type="application/json")

    made = post()
    assert made.status_code == 201, made.content
    assert made.json()["input"]["messages"][0]["content"] == "Refund to [IBAN 1], [e-mail 1]"
    assert made.json()["redactions"] == [{"kind": "IBAN", "times": 1}, {"kind": "e-mail", "times": 1}]
    assert post(reasons=["wrong"]).json()["id"] == made.json()["id"], "the same request again"
    row = InboxItem.objects.for_tenant(cast.claims).get()
    assert (row.source, row.reasons) == ("request", ["wrong"])
    refused: list[dict[str, Any]] = [{"source": "moon"}, {"input": {}}, {"prompt": "nobodys"}, {"tenant": "lending"}]
    for wrong in refused:
        assert post(**wrong).status_code in (404, 422), wrong
    assert InboxItem.objects.unscoped("test").count() == 1
