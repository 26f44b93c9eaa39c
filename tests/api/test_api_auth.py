"""Who may call the management API, and with what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from apps.tenants.models import ApiKey, Membership
from apps.tenants.services import deactivate_user, suspend_tenant
from apps.tenants.types import Role, Scope
from tests.api.client import BACKEND, Api

UNKNOWN = "Bearer lby_" + "a" * 10 + "_" + "B" * 43  # well formed, and nobody's


def test_nobody_is_asked_to_show_a_key(api: Api) -> None:
    answer = api.get("tenants")
    assert (answer.status, answer.code) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_management_key_reads_its_own_tenant_in_either_header(api: Api) -> None:
    for headers in ({"by": "key:reading"}, {"x-api-key": api.cast.keys["reading"]}):
        answer = api.get("tenants", **headers)
        assert answer.status == 200
        assert [each["slug"] for each in answer.body["results"]] == ["claims"]


def test_a_key_with_only_reading_cannot_write(api: Api) -> None:
    answer = api.patch("projects/claims/triage", {"name": "Other"}, by="key:reading")
    assert (answer.status, answer.code) == (403, "missing_scope")
    assert api.patch("projects/claims/triage", {"name": "Other"}, by="key:management").body["name"] == "Other"


def test_an_inference_key_is_not_for_management(api: Api) -> None:
    answer = api.get("tenants", by="key:inference")
    assert (answer.status, answer.code) == (403, "missing_scope")


def test_a_revoked_or_expired_key_is_refused(api: Api) -> None:
    assert (answer := api.get("me", by="key:revoked")).status == 401
    assert answer.code == "key_unusable"
    ApiKey.objects.unscoped("test").filter(pk=api.cast.key_rows["reading"].pk).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert api.get("me", by="key:reading").code == "key_unusable"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Basic abc",
        "lby_abc",
        "Bearer lby_short",
        "Bearer lby_" + "a" * 10 + "_" + "B" * 43,
        "Bearer \xff",
    ],
)
def test_what_is_no_key_is_a_401_and_says_so(api: Api, header: str) -> None:
    answer = api.get("me", Authorization=header)
    assert (answer.status, answer.code) == (401, "not_authenticated")


def test_a_wrong_secret_with_the_right_prefix_is_refused(api: Api) -> None:
    key = api.cast.keys["management"]
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert api.get("me", Authorization=f"Bearer {wrong}").status == 401


def test_a_bad_key_is_refused_even_beside_a_good_session(api: Api) -> None:
    assert api.get("me", by="owner", Authorization="Bearer nonsense").status == 401


def test_a_key_is_bound_to_its_networks(api: Api) -> None:
    api.cast.key("elsewhere", Scope.MANAGEMENT_READ, cidrs=("192.0.2.0/24",))
    api.cast.key("here", Scope.MANAGEMENT_READ, cidrs=("127.0.0.0/8",))
    assert api.get("me", by="key:elsewhere").code == "address_not_allowed"
    assert api.get("me", by="key:here").status == 200


def test_a_key_is_never_more_than_its_creator(api: Api) -> None:
    Membership.objects.unscoped("test").filter(user=api.cast["owner"]).update(role=Role.VIEWER)
    assert api.patch("projects/claims/triage", {"name": "Other"}, by="key:management").status == 403
    deactivate_user(actor=api.cast.actor("service_admin"), user=api.cast["owner"])
    assert api.get("tenants", by="key:management").body["results"] == []


def test_a_key_stays_inside_its_project(api: Api) -> None:
    assert api.post("projects", {"tenant": "claims", "slug": "new", "name": "New"}, by="key:management").status == 403
    assert api.post("keys", {"project": "lending/loans", "name": "k"}, by="key:management").status == 422


def test_writing_by_session_needs_the_csrf_token(api: Api) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(api.cast["owner"], backend=BACKEND)

    def send(**headers: str) -> Any:
        path, kind = "/api/projects/claims/triage", "application/json"
        return client.patch(path, {"name": "Other"}, content_type=kind, headers=headers)

    refused = send()
    assert refused.status_code == 403
    assert refused.json()["code"] == "csrf_failed"
    client.cookies["csrftoken"] = "a" * 32
    assert send(**{"X-CSRFToken": "a" * 32}).status_code == 200


def test_a_suspended_tenant_can_be_read_and_not_written(api: Api) -> None:
    suspend_tenant(actor=api.cast.actor("service_admin"), tenant=api.cast.claims, reason="unpaid")
    assert api.get("projects/claims/triage", by="owner").status == 200
    assert api.patch("projects/claims/triage", {"name": "x"}, by="owner").code == "tenant_suspended"


def test_failed_keys_are_throttled_by_address_and_good_ones_by_actor(api: Api, settings: Settings) -> None:
    settings.API_FAILED_KEYS_PER_MINUTE = 3
    bad = UNKNOWN
    statuses = [api.get("me", Authorization=bad).status for _ in range(5)]
    # A minute may end in between: then the count begins anew.
    assert 429 in statuses or statuses.count(401) == 5
    if statuses[-1] == 429:
        answer = api.get("me", by="key:reading")
        assert (answer.status, answer.code) == (429, "too_many_requests")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_an_actor_who_calls_too_often_is_told_when_to_come_back(api: Api, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 2
    answers = [api.get("me", by="owner") for _ in range(6)]
    refused = [each for each in answers if each.status == 429]
    assert refused
    assert refused[0].code == "too_many_requests"
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert api.get("me", by="viewer").status == 200  # somebody else is not hurt


def test_a_database_that_does_not_answer_is_a_503_and_never_a_401(api: Api) -> None:
    from django.db import OperationalError

    def down(execute: object, sql: str, params: object, many: bool, context: object) -> object:
        raise OperationalError("server closed the connection")

    with connection.execute_wrapper(down):
        answer = api.get("me", by="key:reading")
    assert (answer.status, answer.code) == (503, "database_unavailable")
    assert answer.headers["Retry-After"]


def test_me_tells_who_one_is(api: Api) -> None:
    me = api.get("me", by="developer").body
    assert me["kind"] == "user"
    assert me["user"]["email"] == "developer@example.com"
    assert me["tenants"] == [{"tenant": "claims", "name": "Claims", "status": "active", "role": "developer"}]
    key = api.get("me", by="key:management").body
    assert key["kind"] == "api_key"
    assert key["key"]["project"] == "claims/triage"
    assert key["key"]["scopes"] == ["management:read", "management:write"]
