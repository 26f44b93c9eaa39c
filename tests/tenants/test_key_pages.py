from __future__ import annotations

import re

import pytest
from django.urls import reverse

from apps.tenants import apikeys, services
from apps.tenants.models import ApiKey
from apps.tenants.types import Scope
from tests.tenants.conftest import OPERATOR, Cast


def make_key(cast: Cast, who: str = "bob", name: str = "laptop") -> ApiKey:
    return services.create_api_key(actor=cast.actor(who), project=cast.chat, name=name).api_key


def key_row(key: ApiKey) -> ApiKey:
    return ApiKey.objects.unscoped("test").get(pk=key.pk)


def draft(page: bytes) -> str:
    found = re.search(rb'name="draft" value="([^"]+)"', page)
    assert found
    return found[1].decode()


def form_data(cast: Cast, page: bytes, **changes: object) -> dict[str, object]:
    return {
        "draft": draft(page),
        "project": cast.chat.pk,
        "name": "nightly",
        "scopes": [Scope.INFERENCE],
        "lifetime": "90",
        **changes,
    }


def test_developer_creates_a_key_and_sees_it_once(cast: Cast) -> None:
    client = cast.client("bob")
    page = client.get(reverse("tenants:key-create"))
    answer = client.post(reverse("tenants:key-create"), form_data(cast, page.content))
    assert answer.status_code == 201
    assert "no-store" in answer["Cache-Control"]
    found = re.search(rb"lby_[a-z0-9]{10}_[A-Za-z0-9]{43}", answer.content)
    assert found
    prefix, secret = apikeys.split(found[0].decode()) or ("", "")
    key = ApiKey.objects.unscoped("test").get(prefix=prefix)
    assert apikeys.verify(secret, key.secret_hmac)
    assert key.created_by == cast.bob
    assert key.expires_at is not None
    for_aws = apikeys.aws_secret_access_key(prefix, key.secret_hmac)
    assert {apikeys.aws_access_key_id(prefix), for_aws} <= set(re.findall(r"[\w-]+", answer.content.decode()))
    for url in (reverse("tenants:key-list"), reverse("tenants:key-detail", args=[prefix])):
        shown = client.get(url).content.decode()
        assert secret not in shown
        assert for_aws not in shown
    assert secret not in str(dict(client.session))


def test_reload_of_the_new_key_makes_no_other(cast: Cast) -> None:
    client = cast.client("bob")
    data = form_data(cast, client.get(reverse("tenants:key-create")).content)
    assert client.post(reverse("tenants:key-create"), data).status_code == 201
    assert client.post(reverse("tenants:key-create"), data).status_code == 302
    assert ApiKey.objects.unscoped("test").count() == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "required"),
        ({"scopes": [Scope.MANAGEMENT_WRITE]}, "not one of the available choices"),
        ({"lifetime": "date"}, "Choose the last day"),
        ({"lifetime": "date", "expires_on": "2001-01-01"}, "lies in the past"),
        ({"cidrs": "300.1.2.3"}, "is no network"),
        ({"allowed_models": "gpt;drop"}, "is no model name"),
    ],
)
def test_bad_form_answers_422_and_says_why(cast: Cast, changes: dict[str, object], said: str) -> None:
    client = cast.client("bob")
    page = client.get(reverse("tenants:key-create"))
    answer = client.post(reverse("tenants:key-create"), form_data(cast, page.content, **changes))
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not ApiKey.objects.unscoped("test").exists()
    again = client.post(reverse("tenants:key-create"), form_data(cast, answer.content))
    assert again.status_code == 201


def test_project_of_another_tenant_is_no_choice(cast: Cast) -> None:
    client = cast.client("bob")
    page = client.get(reverse("tenants:key-create"))
    answer = client.post(reverse("tenants:key-create"), form_data(cast, page.content, project=cast.triage.pk))
    assert answer.status_code == 422
    assert not ApiKey.objects.unscoped("test").exists()


def test_developer_revokes_their_own_key(cast: Cast) -> None:
    key = make_key(cast)
    answer = cast.client("bob").post(reverse("tenants:key-revoke", args=[key.prefix]))
    assert answer.status_code == 302
    assert key_row(key).revoked_at is not None


def test_developer_may_not_revoke_a_colleagues_key(cast: Cast) -> None:
    key = make_key(cast, "alice")
    assert cast.client("bob").post(reverse("tenants:key-revoke", args=[key.prefix])).status_code == 403
    assert key_row(key).revoked_at is None


def test_rotation_shows_a_successor_once_and_dates_the_old_key(cast: Cast) -> None:
    key = make_key(cast)
    answer = cast.client("bob").post(reverse("tenants:key-rotate", args=[key.prefix]), {"overlap": "24"})
    assert answer.status_code == 201
    assert re.search(rb"lby_[a-z0-9]{10}_[A-Za-z0-9]{43}", answer.content)
    assert key_row(key).expires_at is not None


@pytest.mark.parametrize("who", ["rita", "victor"])
def test_roles_that_use_no_keys_are_refused(cast: Cast, who: str) -> None:
    key = make_key(cast)
    client = cast.client(who)
    assert client.get(reverse("tenants:key-list")).status_code == 403
    assert client.get(reverse("tenants:key-create")).status_code == 403
    assert client.get(reverse("tenants:key-detail", args=[key.prefix])).status_code == 404
    assert client.post(reverse("tenants:key-revoke", args=[key.prefix])).status_code == 404


def test_outsider_gets_404_as_for_a_missing_key(cast: Cast) -> None:
    key = make_key(cast)
    client = cast.client("oscar")
    for prefix in (key.prefix, "nosuchkey0"):
        assert client.get(reverse("tenants:key-detail", args=[prefix])).status_code == 404
        assert client.post(reverse("tenants:key-revoke", args=[prefix])).status_code == 404
        assert client.post(reverse("tenants:key-rotate", args=[prefix]), {"overlap": "0"}).status_code == 404
    assert key.prefix.encode() not in client.get(reverse("tenants:key-list")).content
    assert key_row(key).is_usable


def test_somebody_without_a_tenant_reads_what_to_do(cast: Cast) -> None:
    answer = cast.client("nora").get(reverse("tenants:key-list"))
    assert answer.status_code == 403
    assert "You belong to no tenant yet" in answer.content.decode()


def test_anonymous_is_sent_to_sign_in(db: None) -> None:
    from django.test import Client

    answer = Client().get(reverse("tenants:key-list"))
    assert answer.status_code == 302
    assert answer["Location"] == "/accounts/login/?next=/keys/"


def test_list_searches_filters_and_sorts_by_url(cast: Cast) -> None:
    first, second = make_key(cast, name="aardvark"), make_key(cast, name="zebra")
    services.revoke_api_key(actor=OPERATOR, api_key=second)
    client = cast.client("bob")

    def names(query: str) -> list[str]:
        page = client.get(reverse("tenants:key-list") + query).context["page"]
        return [key.name for key in page]

    assert names("?q=aard") == ["aardvark"]
    assert names(f"?q=lby_{second.prefix}_…") == ["zebra"]
    assert names("?status=active") == ["aardvark"]
    assert names("?status=revoked") == ["zebra"]
    assert names("?sort=name") == ["aardvark", "zebra"]
    assert names("?sort=-name") == ["zebra", "aardvark"]
    assert names("?sort=password") == names("")
    assert names("?project=chat") == ["zebra", "aardvark"]
    assert names("?project=triage") == []
    assert first.prefix


def test_list_costs_the_same_queries_for_3_keys_and_300(cast: Cast) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = cast.client("alice")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse("tenants:key-list")).status_code == 200
        return len(queries)

    for number in range(3):
        make_key(cast, name=f"key {number}")
    few = cost()
    ApiKey.objects.bulk_create(
        [
            ApiKey(project=cast.chat, name=f"key {n}", prefix=f"bulk{n:06}", secret_hmac="0" * 64, created_by=cast.bob)
            for n in range(297)
        ]
    )
    assert cost() == few
    assert few <= 12
