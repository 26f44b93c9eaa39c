"""Every error of the API is a problem (RFC 9457) that says what is wrong and where."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.api.client import Api

pytestmark = pytest.mark.backends  # NUL, huge numbers and odd texts are refused by each database in its own way


@pytest.mark.parametrize("path", ["", "nothing", "tenants/", "tenants/claims/", "keys/x/y/z", "requests/a/b/c", "%00"])
@pytest.mark.parametrize("by", ["", "owner"])
def test_unknown_addresses_are_problems_too(api: Api, path: str, by: str) -> None:
    assert api.get(path, by=by).code == "unknown_route"


def test_other_methods_are_refused(api: Api) -> None:
    for method in ("DELETE", "PUT", "OPTIONS", "TRACE"):
        assert api.call(method, "tenants", by="owner").code == "method_not_allowed"


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"nonsense", b"[" * 100_000, b'{"name": NaN}', b'{"retention_days": ' + b"9" * 5000 + b"}"],
    ids=["cut", "not-utf8", "words", "deep", "nan", "digits"],
)
def test_what_is_no_json_is_a_400(api: Api, body: bytes) -> None:
    answer = api.call("PATCH", "tenants/claims", body, by="owner")
    assert (answer.status, answer.code) == (400, "malformed_body")


def test_other_content_types_are_refused(api: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = api.call("PATCH", "tenants/claims", b"name=x", by="owner", content_type=kind)
        assert (answer.status, answer.code) == (415, "unsupported_media_type"), kind


def test_a_huge_body_is_refused(api: Api) -> None:
    answer = api.call("PATCH", "tenants/claims", b'{"name": "' + b"x" * 1_100_000 + b'"}', by="owner")
    assert (answer.status, answer.code) == (413, "body_too_large")


@pytest.mark.parametrize("body", [[], "text", 7, [{"name": "x"}]])
def test_a_body_has_to_be_an_object(api: Api, body: object) -> None:
    assert api.patch("tenants/claims", body, by="owner").status == 422


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"name": 7}, ["#/name"]),
        ({"name": None}, ["#/name"]),
        ({"name": "a\x00b"}, ["#/name"]),
        ({"name": "\ud800"}, ["#/name"]),
        ({"name": "x" * 201}, ["#/name"]),
        ({"retention_days": True}, ["#/retention_days"]),
        ({"retention_days": "30"}, ["#/retention_days"]),
        ({"retention_days": 10**30}, ["#/retention_days"]),
        ({"residency": "eu-west-1"}, ["#/residency"]),
        ({"residency": ["eu-west-1", 3]}, ["#/residency/1"]),
        ({"time_zone": "Mars/Olympus"}, ["#/time_zone"]),
        ({"brand_color": "red"}, ["#/brand_color"]),
        ({"a~b/c": 1}, ["#/a~0b~1c"]),
    ],
)
def test_a_wrong_value_is_pointed_at(api: Api, body: object, pointers: list[str]) -> None:
    answer = api.patch("tenants/claims", body, by="owner")
    assert answer.status == 422
    assert answer.code
    assert answer.blamed == pointers


def test_several_wrong_values_are_all_named(api: Api) -> None:
    answer = api.post("limits", {"tenant": 1, "metric": "x", "limit": 0}, by="owner")
    assert set(answer.blamed) == {"#/tenant", "#/metric", "#/limit"}
    assert {each["code"] for each in answer.body["errors"]} >= {"invalid_choice", "min_value"}


def test_a_services_refusal_names_the_inputs_own_field(api: Api) -> None:
    answer = api.post("budgets", {"tenant": "claims", "amount_usd": "10000000"}, by="owner")
    assert answer.status == 422
    assert answer.blamed == ["#/amount_usd"]
    assert api.post("budgets", {"tenant": "claims"}, by="owner").blamed == ["#/amount_usd"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("statu=active", "statu"),
        ("status=nonsense", "status"),
        ("status=active&status=suspended", "status"),
        ("ordering=secret_hmac", "ordering"),
        ("page_size=0", "page_size"),
        ("page_size=201", "page_size"),
        ("page_size=٣", "page_size"),
        ("cursor=nonsense", "cursor"),
        ("cursor=" + "A" * 3000, "cursor"),
        ("cursor=%00", "cursor"),
        ("search=" + "x" * 300, "search"),
        ("search=%00", "search"),
        ("cost_center=%00", "cost_center"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(api: Api, query: str, parameter: str) -> None:
    answer = api.get(f"tenants?{query}", by="owner")
    assert answer.status == 400
    assert answer.code
    assert answer.blamed == [parameter]


@pytest.mark.parametrize(
    "moment", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00%2B14:00", "2026-13-01T00:00:00Z"]
)
def test_a_bad_time_is_a_400(api: Api, moment: str) -> None:
    assert api.get(f"audit?since={moment}", by="owner").blamed == ["since"]


def test_ids_beyond_the_databases_numbers_are_just_missing(api: Api) -> None:
    for path in (f"limits/{10**30}", f"members/claims/{10**30}", f"budgets/{2**63}", "keys/%00", "tenants/%00"):
        assert api.get(path, by="owner").code == "not_found", path


def test_what_django_refuses_by_itself_is_a_problem_under_api_and_a_page_elsewhere(api: Api) -> None:
    assert api.get("me", by="owner", Host="#(").code == "malformed_request"
    assert Client().get("/keys/", headers={"Host": "#("}).headers["Content-Type"].startswith("text/html")
