"""What the management API does: the same acts as the pages, through the same services."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.gateway.models import RequestLog
from apps.models import services as registry
from apps.models.models import Provider
from apps.tenants import apikeys
from apps.tenants.access import Actor
from apps.tenants.models import ApiKey, AuditEntry, Budget, Membership, Project, User
from tests.api.client import Answer, Api

OPERATOR = Actor.system("test")


def walk(api: Api, path: str, by: str, *, link: str = "next") -> list[Any]:
    """Every row of a list, page after page."""
    rows: list[Any] = []
    for _ in range(100):
        answer = api.get(path, by=by)
        assert answer.status == 200, answer.body
        rows += answer.body["results"]
        if answer.body[link] is None:
            return rows
        path = answer.body[link].partition("/api/")[2]
    raise AssertionError("The list has no end.")


class TestKeys:
    def test_the_plaintext_is_shown_once_and_works(self, api: Api) -> None:
        answer = api.post(
            "keys", {"project": "claims/triage", "name": "ci", "scopes": ["management:read"]}, by="developer"
        )
        assert answer.status == 201
        plaintext = answer.body["api_key"]
        assert apikeys.split(plaintext)
        assert api.get("me", Authorization=f"Bearer {plaintext}").body["key"]["name"] == "ci"
        shown = api.get(f"keys/{answer.body['key']['prefix']}", by="developer")
        secret = plaintext.rpartition("_")[2]
        for text in (json.dumps(shown.body), json.dumps(api.get("audit", by="owner").body)):
            assert secret not in text
        assert "no-store" in answer.headers["Cache-Control"]

    def test_scopes_are_at_most_what_one_may_grant(self, api: Api) -> None:
        answer = api.post(
            "keys", {"project": "claims/triage", "name": "x", "scopes": ["management:write"]}, by="developer"
        )
        assert (answer.status, answer.code, answer.blamed) == (403, "scope_not_grantable", ["#/scopes"])

    def test_revoking_is_for_good_and_again_changes_nothing(self, api: Api) -> None:
        path = f"keys/{api.cast.key_rows['inference'].prefix}/revoke"
        first = api.post(path, {"reason": "leaked"}, by="developer")
        again = api.post(path, {}, by="developer")
        assert first.status == again.status == 200
        assert first.body["revoked_at"] == again.body["revoked_at"]
        assert not again.body["is_usable"]

    def test_rotation_gives_a_successor_and_an_overlap(self, api: Api) -> None:
        answer = api.post(f"keys/{api.cast.key_rows['inference'].prefix}/rotate", {"overlap_hours": 1}, by="developer")
        assert answer.status == 201
        assert answer.body["key"]["scopes"] == ["inference"]
        old = ApiKey.objects.unscoped("test").get(pk=api.cast.key_rows["inference"].pk)
        assert old.expires_at is not None
        assert timedelta(minutes=55) < old.expires_at - timezone.now() <= timedelta(hours=1)


class TestMassAssignment:
    """No field is written that an input does not name: not by accident, not on purpose."""

    @pytest.mark.parametrize(
        ("method", "path", "body", "unknown"),
        [
            ("PATCH", "tenants/claims", {"status": "active", "slug": "x", "id": 1}, {"status", "slug", "id"}),
            ("PATCH", "projects/claims/triage", {"tenant": "lending", "is_active": False}, {"tenant", "is_active"}),
            ("PATCH", "members/claims/{viewer}", {"role": "viewer", "user": 1, "platform_role": "service_admin"},
             {"user", "platform_role"}),
            ("POST", "keys", {"project": "claims/x", "name": "x", "created_by": 1, "secret_hmac": "", "prefix": ""},
             {"created_by", "secret_hmac", "prefix"}),
            ("POST", "members", {"tenant": "claims", "email": "a@b.example", "role": "viewer", "is_staff": True},
             {"is_staff"}),
            ("POST", "budgets", {"tenant": "claims", "amount_usd": "1", "amount_picousd": 10**18}, {"amount_picousd"}),
        ],
    )  # fmt: skip
    def test_unknown_fields_are_refused(
        self, api: Api, method: str, path: str, body: dict[str, Any], unknown: set[str]
    ) -> None:
        before = AuditEntry.objects.unscoped("test").count()
        answer = api.call(method, path.format(viewer=api.cast["viewer"].pk), body, by="owner")
        assert answer.status == 422
        assert set(answer.blamed) == {f"#/{name}" for name in unknown}
        assert {each["code"] for each in answer.body["errors"]} == {"unknown_field"}
        assert AuditEntry.objects.unscoped("test").count() == before

    def test_a_developer_cannot_raise_their_own_role(self, api: Api) -> None:
        path = f"members/claims/{api.cast['developer'].pk}"
        assert api.patch(path, {"role": "admin"}, by="developer").status == 403
        assert Membership.objects.for_tenant(api.cast.claims).get(user=api.cast["developer"]).role == "developer"


class TestMoney:
    @pytest.mark.parametrize(
        ("text", "picousd", "shown"),
        [("12.50", 12_500_000_000_000, "12.5"), ("0.000000000001", 1, "0.000000000001"), ("0", 0, "0"),
         ("8999999.999999999999", 8_999_999_999_999_999_999, "8999999.999999999999"), ("007", 7 * 10**12, "7")],
    )  # fmt: skip
    def test_is_exact_both_ways(self, api: Api, text: str, picousd: int, shown: str) -> None:
        answer = api.post("budgets", {"tenant": "claims", "amount_usd": text}, by="owner")
        assert answer.status == 200, answer.body
        assert answer.body["amount_usd"] == shown
        assert Budget.objects.for_tenant(api.cast.claims).get().amount_picousd == picousd

    @pytest.mark.parametrize(
        "wrong", [12.5, 12, "12,5", "1e3", "-1", "NaN", "Infinity", "0.0000000000001", "", " 1", "١", None]
    )
    def test_anything_but_a_decimal_text_is_refused(self, api: Api, wrong: object) -> None:
        answer = api.post("budgets", {"tenant": "claims", "amount_usd": wrong}, by="owner")
        assert (answer.status, answer.blamed) == (422, ["#/amount_usd"])

    def test_prices_are_per_million_tokens_and_exact(self, api: Api) -> None:
        registry.create_model(actor=OPERATOR, slug="acme/writer:8b", name="Writer", lifecycle="approved")
        body = {"model": "acme/writer:8b", "input_usd_per_mtok": "0.075", "output_usd_per_mtok": "15",
                "request_usd": "0.0000001"}  # fmt: skip
        answer = api.post("prices", body, by="service_engineer")
        assert answer.status == 201, answer.body
        assert {name: answer.body[name] for name in body} == body
        assert answer.body["cached_input_usd_per_mtok"] is None
        assert api.get("prices?model=acme/writer:8b", by="viewer").body["results"] == [answer.body]
        fine = api.post("prices", {**body, "input_usd_per_mtok": "0.0000001"}, by="service_engineer")
        assert (fine.status, fine.blamed) == (422, ["#/input_usd_per_mtok"])


class TestProviders:
    def test_a_credential_is_written_and_never_read(self, api: Api) -> None:
        secret = "sk-canary-0123456789abcdef"
        made = api.post(
            "providers",
            {"slug": "acme", "name": "Acme", "base_url": "https://192.0.43.7/v1", "credential_source": "database",
             "secret": secret},
            by="service_admin",
        )  # fmt: skip
        assert made.status == 201, made.body
        put = api.put("providers/acme/credential", {"secret": secret + "2"}, by="service_admin")
        assert put.body["has_credential"] is True
        everything = [made, put, api.get("providers", by="service_admin"), api.get("audit", by="service_admin")]
        assert all("canary" not in json.dumps(each.body) for each in everything)
        assert "canary" not in Provider.objects.get().credential_encrypted

    def test_a_bad_credential_is_pointed_at_without_being_repeated(self, api: Api) -> None:
        answer = api.post(
            "providers",
            {"slug": "acme", "name": "A", "base_url": "https://192.0.43.7/v1", "secret": "sk-canary-0123456789"},
            by="service_admin",
        )
        assert answer.status == 422
        assert "canary" not in json.dumps(answer.body)

    def test_another_server_needs_its_credential_again(self, api: Api) -> None:
        registry.create_provider(
            actor=OPERATOR, slug="acme", name="A", base_url="https://192.0.43.7/v1", credential_source="database",
            secret="sk-canary-0123456789",
        )  # fmt: skip
        answer = api.patch("providers/acme", {"base_url": "https://192.0.43.8/v1"}, by="service_admin")
        assert (answer.status, answer.code) == (422, "credential_needed")

    def test_a_private_address_is_refused(self, api: Api) -> None:
        answer = api.post(
            "providers", {"slug": "x", "name": "X", "base_url": "http://169.254.169.254/v1"}, by="service_admin"
        )
        assert (answer.status, answer.code, answer.blamed) == (422, "url_refused", ["#/base_url"])


class TestModels:
    def test_names_with_slashes_and_steps_of_the_lifecycle(self, api: Api) -> None:
        assert api.post("models", {"slug": "acme/writer:8b", "name": "Writer"}, by="service_engineer").status == 201
        assert api.get("models/acme/writer:8b", by="viewer").status == 404  # proposed: for the staff alone
        body = {"lifecycle": "approved", "publisher": "Acme"}
        assert api.patch("models/acme/writer:8b", body, by="service_engineer").body["lifecycle"] == "approved"
        assert api.get("models/acme/writer:8b", by="viewer").body["publisher"] == "Acme"
        wrong = api.patch("models/acme/writer:8b", {"publisher": "No", "lifecycle": "proposed"}, by="service_engineer")
        assert (wrong.status, wrong.code) == (409, "lifecycle_step")
        assert api.get("models/acme/writer:8b", by="viewer").body["publisher"] == "Acme"  # all or nothing


@pytest.mark.backends
class TestPages:
    @pytest.fixture
    def projects(self, api: Api) -> list[str]:
        rows = [Project(tenant=api.cast.claims, slug=f"p{n:03}", name=f"Same name {n % 3}") for n in range(60)]
        Project.objects.bulk_create(rows)
        return sorted([row.slug for row in rows] + ["triage"])

    @pytest.mark.parametrize("ordering", ["name", "-name", "slug", "-slug", "created_at", "-created_at"])
    @pytest.mark.parametrize("size", [5, 61, 200])
    def test_every_row_comes_once_in_order_there_and_back(
        self, api: Api, projects: list[str], ordering: str, size: int
    ) -> None:
        rows = walk(api, f"projects?ordering={ordering}&page_size={size}", "owner")
        assert sorted(row["slug"] for row in rows) == projects
        values = [row[ordering.lstrip("-")] for row in rows]
        assert values == sorted(values, reverse=ordering.startswith("-"))
        last = f"projects?ordering={ordering}&page_size={size}"
        while (following := api.get(last, by="owner").body["next"]) is not None:
            last = following.partition("/api/")[2]
        back: list[str] = []
        path: str | None = last
        while path:
            page = api.get(path, by="owner").body
            back = [row["slug"] for row in page["results"]] + back
            path = page["previous"] and page["previous"].partition("/api/")[2]
        assert back == [row["slug"] for row in rows]

    def test_rows_added_meanwhile_neither_double_nor_hide_others(self, api: Api, projects: list[str]) -> None:
        first = api.get("projects?ordering=slug&page_size=10", by="owner").body
        Project.objects.create(tenant=api.cast.claims, slug="p0000", name="Earlier")
        rest = walk(api, first["next"].partition("/api/")[2], "owner")
        seen = [row["slug"] for row in [*first["results"], *rest]]
        assert seen == projects

    def test_a_cursor_of_another_order_or_with_a_made_up_row_is_refused(self, api: Api, projects: list[str]) -> None:
        link = api.get("projects?ordering=name&page_size=2", by="owner").body["next"]
        cursor = link.partition("cursor=")[2].partition("&")[0]
        assert api.get(f"projects?ordering=slug&cursor={cursor}", by="owner").blamed == ["cursor"]
        for content in (
            ["name", False, "x", "y"], ["name", False, None, 1], ["name", False, "\x00", 1], ["name", 2, "x", 1],
            ["name", False, "x", 10**40], {"a": 1}, 7, ["name", False, "\ud800", 1],
        ):  # fmt: skip
            forged = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
            assert api.get(f"projects?ordering=name&cursor={forged}", by="owner").blamed == ["cursor"], content

    def test_a_cursor_opens_nothing_of_another_tenant(self, api: Api, projects: list[str]) -> None:
        link = api.get("projects?page_size=2", by="service_admin").body["next"].partition("/api/")[2]
        assert {row["tenant"] for row in walk(api, link, "outsider")} <= {"lending"}

    def test_filters_and_search_narrow(self, api: Api, projects: list[str]) -> None:
        assert len(walk(api, "projects?search=SAME%20p01", "owner")) == 10
        assert walk(api, "projects?tenant=lending", "owner") == []
        assert len(walk(api, "projects?tenant=lending", "service_admin")) == 1
        assert walk(api, "projects?is_active=false", "owner") == []


class TestUsageAndRequests:
    def test_ranges_that_cannot_be_are_refused(self, api: Api) -> None:
        for query, parameter in (
            ("since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", "since"),
            ("since=2000-01-01T00:00:00Z", "since"),
            ("group_by=secret", "group_by"),
            ("tenant=lending", "tenant"),
            ("tenant=nowhere", "tenant"),
        ):
            answer = api.get(f"usage/summary?{query}", by="owner")
            assert (answer.status, answer.blamed) == (400, [parameter]), query
        assert api.get("usage/series?granularity=hour&since=2025-01-01T00:00:00Z", by="owner").blamed == ["since"]

    def test_names_of_keys_are_for_those_who_may_see_keys(self, api: Api) -> None:
        assert api.get("usage/summary?group_by=key", by="viewer").status == 403
        assert api.get("usage/summary?group_by=key", by="developer").status == 200

    def test_a_request_tells_its_why(self, api: Api) -> None:
        RequestLog(
            request_id="f" * 32, at=timezone.now(), tenant=api.cast.claims, project=api.cast.triage,
            api_key=api.cast.key_rows["inference"], model_slug="m", operation="chat.completions", outcome="denied",
            http_status=429, error_code="rate_limited", why={"rule": "100 requests per minute"},
        ).save()  # fmt: skip
        row = api.get(f"requests/{'f' * 32}", by="developer").body
        assert row["why"] == {"rule": "100 requests per minute"}
        assert row["upstream_attempts"] == []
        assert row["project"] == "claims/triage"
        assert row["at"].endswith("Z")
        listed: Answer = api.get("requests?outcome=denied", by="developer")
        assert [each["id"] for each in listed.body["results"]] == ["f" * 32]
        assert "why" not in listed.body["results"][0]


def test_a_tenant_is_made_used_suspended_and_offboarded(api: Api) -> None:
    by = "service_admin"
    assert api.post("tenants", {"slug": "new", "name": "New"}, by=by).status == 201
    assert api.post("tenants", {"slug": "new", "name": "New"}, by=by).code == "slug_taken"
    assert api.post("projects", {"tenant": "new", "slug": "app", "name": "App"}, by=by).status == 201
    member = api.post("members", {"tenant": "new", "email": "new@example.com", "role": "admin"}, by=by)
    assert member.status == 201
    assert User.objects.filter(email="new@example.com").exists()
    path = f"members/new/{member.body['user']['id']}"
    assert api.delete(path, by=by).status == 204
    assert api.delete(path, by=by).status == 404
    assert api.post("tenants/new/suspend", {}, by=by).status == 422
    assert api.post("tenants/new/suspend", {"reason": "unpaid"}, by=by).body["status"] == "suspended"
    assert api.post("tenants/new/reactivate", by=by).body["status"] == "active"
    assert api.post("tenants/new/offboard", {}, by=by).body["status"] == "offboarded"
    actions = [row["action"] for row in walk(api, "audit?tenant=new&ordering=sequence", by)]
    assert actions[0] == "tenant.created"
    assert actions[-1] == "tenant.offboarded"


def test_limits_are_one_for_each_subject(api: Api) -> None:
    body = {"tenant": "claims", "project": "triage", "metric": "requests", "limit": 5}
    first = api.post("limits", body, by="owner").body
    again = api.post("limits", {**body, "limit": 7}, by="owner").body
    assert (first["id"], first["limit"]) == (again["id"], 5)
    assert again["limit"] == 7
    assert again["project"] == "claims/triage"
    assert api.delete(f"limits/{first['id']}", by="owner").status == 204
    assert api.get("limits", by="owner").body["results"] == []
    key = api.cast.key_rows["foreign"].prefix
    assert api.post("limits", {**body, "key": key}, by="owner").blamed == ["#/key"]
