"""Single sign-on against a provider that lies: what is not exactly right is refused, and changes nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.urls import reverse

from apps.tenants import services
from apps.tenants.models import AuditEntry, User
from tests.fakes.oidc import CLIENT_ID, CLIENT_SECRET, Provider, serve_oidc
from tests.tenants.conftest import OPERATOR, Cast

LOGIN = "/accounts/oidc/sso/login/"


@pytest.fixture
def idp(settings: Any, db: None) -> Iterator[Provider]:
    with serve_oidc() as provider:
        app = {
            "provider_id": "sso",
            "name": "Single sign-on",
            "client_id": CLIENT_ID,
            "secret": CLIENT_SECRET,
            "settings": {"server_url": provider.url},
        }
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
        yield provider


def leave(client: Client, query: str = "") -> str:
    """Press the button: the provider's address with its parameters."""
    answer = client.post(LOGIN + query)
    assert answer.status_code == 200
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', answer.content.decode())
    assert found
    return html.unescape(found[1])


def sign_in(client: Client, idp: Provider, query: str = "") -> Any:
    address = leave(client, query)
    parameters = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    back = urlsplit(idp.authorize(parameters))
    return client.get(f"{back.path}?{back.query}")


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_honest_answer_signs_in_somebody_new_without_any_right(idp: Provider) -> None:
    idp.claims = {"email": "ada@bank.test", "email_verified": True, "name": "Ada Lovelace"}
    client = Client()
    answer = sign_in(client, idp)
    assert answer.status_code == 302
    assert is_signed_in(client)
    ada = User.objects.get(email="ada@bank.test")
    assert (ada.name, ada.platform_role, ada.is_staff, ada.has_usable_password()) == ("Ada Lovelace", "", False, False)
    assert SocialAccount.objects.get(user=ada).uid == f"{idp.url}#subject-1"
    assert "You belong to no tenant yet" in client.get(reverse("tenants:key-list")).content.decode()
    actions = AuditEntry.objects.unscoped("test").filter(target_id=str(ada.pk)).values_list("action", flat=True)
    assert list(actions) == ["user.created"]


def test_request_carries_pkce_state_and_nonce_and_nothing_of_the_link(idp: Provider) -> None:
    address = leave(Client(), "?scope=admin&auth_params=nonce%3Dchosen%26prompt%3Dnone")
    query = parse_qs(urlsplit(address).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["nonce"][0]) == 43
    assert query["state"]
    assert set(query["scope"][0].split()) == {"openid", "profile", "email"}
    assert "prompt" not in query


@pytest.mark.parametrize(
    "lie",
    [
        "issuer",
        "audience",
        "second audience",
        "nonce",
        "no nonce",
        "expired",
        "no subject",
        "none",
        "hmac",
        "foreign key",
        "unknown kid",
        "altered",
        "no id token",
        "state",
    ],
)
def test_lie_is_refused(idp: Provider, lie: str) -> None:
    idp.lie = lie
    idp.claims = {"email": "ada@bank.test", "email_verified": True}
    client = Client()
    answer = sign_in(client, idp)
    assert "Single sign-on failed" in answer.content.decode()
    assert not is_signed_in(client)
    assert not User.objects.exists()


def test_provider_that_says_it_is_another_issuer_is_refused(idp: Provider) -> None:
    idp.lie = "discovery"
    client = Client()
    answer = client.post(LOGIN)
    assert "Single sign-on failed" in answer.content.decode()


def test_provider_that_cannot_be_reached_is_a_page_and_not_an_error(
    idp: Provider, settings: Any, free_port: int
) -> None:
    app = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]
    app["settings"]["server_url"] = f"http://127.0.0.1:{free_port}"
    answer = Client().post(LOGIN)
    assert answer.status_code < 500
    assert "Single sign-on failed" in answer.content.decode()


def test_userinfo_of_another_subject_is_refused(idp: Provider) -> None:
    idp.lie = "userinfo subject"  # the ID token names no address, so userinfo is asked
    client = Client()
    assert "Single sign-on failed" in sign_in(client, idp).content.decode()
    assert not User.objects.exists()


def test_userinfo_supplies_the_address_that_the_token_lacks(idp: Provider) -> None:
    client = Client()
    sign_in(client, idp)
    assert User.objects.get().email == "userinfo@bank.test"


def test_answer_cannot_be_replayed(idp: Provider) -> None:
    idp.claims = {"email": "ada@bank.test", "email_verified": True}
    client = Client()
    address = leave(client)
    parameters = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    back = urlsplit(idp.authorize(parameters))
    thief = Client()
    assert "Single sign-on failed" in thief.get(f"{back.path}?{back.query}").content.decode()
    assert not is_signed_in(thief)
    client.get(f"{back.path}?{back.query}")
    assert is_signed_in(client)
    client.logout()
    assert "Single sign-on failed" in client.get(f"{back.path}?{back.query}").content.decode()


@pytest.mark.parametrize("verified", [True, False])
def test_address_of_a_local_account_with_a_password_is_no_proof(cast: Cast, idp: Provider, verified: bool) -> None:
    idp.claims = {"email": "ALICE@bank.test", "email_verified": verified}
    client = Client()
    answer = sign_in(client, idp)
    assert answer.status_code == 403
    assert not is_signed_in(client)
    assert not SocialAccount.objects.exists()
    if verified:
        assert "There is an account for this address already" in answer.content.decode()


def test_invited_account_is_linked_on_a_verified_address(cast: Cast, idp: Provider) -> None:
    invited = services.invite_member(actor=OPERATOR, tenant=cast.retail, email="new@bank.test", role="viewer").user
    idp.claims = {"email": "new@bank.test", "email_verified": True}
    client = Client()
    sign_in(client, idp)
    assert client.session["_auth_user_id"] == str(invited.pk)
    actions = AuditEntry.objects.unscoped("test").filter(target_id=str(invited.pk), target_type="tenants.user")
    assert "user.sso_connected" in [entry.action for entry in actions]


def test_invited_account_is_not_linked_on_an_unverified_address(cast: Cast, idp: Provider) -> None:
    services.invite_member(actor=OPERATOR, tenant=cast.retail, email="new@bank.test", role="admin")
    idp.claims = {"email": "new@bank.test", "email_verified": False}
    client = Client()
    assert "Your address is not verified" in sign_in(client, idp).content.decode()
    assert not is_signed_in(client)


def test_second_subject_with_a_linked_address_is_refused(cast: Cast, idp: Provider) -> None:
    services.invite_member(actor=OPERATOR, tenant=cast.retail, email="new@bank.test", role="admin")
    idp.claims = {"email": "new@bank.test", "email_verified": True}
    sign_in(Client(), idp)
    idp.subject = "subject-2"
    client = Client()
    assert sign_in(client, idp).status_code == 403
    assert not is_signed_in(client)


def test_renamed_person_stays_the_same_person(cast: Cast, idp: Provider) -> None:
    idp.claims = {"email": "ada@bank.test", "email_verified": True}
    sign_in(Client(), idp)
    ada = User.objects.get(email="ada@bank.test")
    idp.claims = {"email": "alice@bank.test", "email_verified": True}
    client = Client()
    sign_in(client, idp)
    assert client.session["_auth_user_id"] == str(ada.pk)
    assert User.objects.get(pk=ada.pk).email == "ada@bank.test"


def test_deactivated_person_is_not_let_in(cast: Cast, idp: Provider) -> None:
    idp.claims = {"email": "ada@bank.test", "email_verified": True}
    sign_in(Client(), idp)
    services.deactivate_user(actor=OPERATOR, user=User.objects.get(email="ada@bank.test"))
    client = Client()
    sign_in(client, idp)
    assert not is_signed_in(client)


@pytest.mark.parametrize("target", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)"])
def test_hostile_next_is_ignored(idp: Provider, target: str) -> None:
    from urllib.parse import quote

    idp.claims = {"email": "ada@bank.test", "email_verified": True}
    answer = sign_in(Client(), idp, f"?next={quote(target, safe='')}")
    assert answer.status_code == 302
    assert answer["Location"] == "/"


def test_session_id_rotates_at_sign_in(idp: Provider) -> None:
    idp.claims = {"email": "ada@bank.test", "email_verified": True}
    client = Client()
    leave(client)
    before = client.session.session_key
    sign_in(client, idp)
    assert client.session.session_key != before


def test_signed_in_person_connects_their_own_account(cast: Cast, idp: Provider) -> None:
    idp.claims = {"email": "alice@elsewhere.test", "email_verified": True}
    client = cast.client("alice")
    sign_in(client, idp, "?process=connect")
    assert SocialAccount.objects.get().user == cast.alice
    again = Client()
    sign_in(again, idp)
    assert again.session["_auth_user_id"] == str(cast.alice.pk)


def test_page_of_connections_offers_the_sign_on(cast: Cast, idp: Provider) -> None:
    page = cast.client("alice").get(reverse("socialaccount_connections"))
    assert page.status_code == 200
    assert "/accounts/oidc/sso/login/?process=connect" in page.content.decode()


def test_page_of_connections_says_so_where_there_is_no_sign_on(cast: Cast, settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = {}
    client = cast.client("alice")
    page = client.get(reverse("socialaccount_connections")).content.decode()
    assert "not set up in this Lobby" in page
    assert reverse("socialaccount_connections") not in client.get(reverse("account_change_password")).content.decode()
