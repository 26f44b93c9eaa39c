"""Single sign-on as a person does it: in a browser, against a real OpenID provider on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser import ARGUMENTS
from tests.live import LiveLobby, LobbyFactory
from tests.servers import die_with_parent

pytestmark = pytest.mark.browser

ADA = {"sub": "ada-0001", "email": "ada@bank.test", "email_verified": True, "name": "Ada Lovelace"}
# Her address is that of a local account with a password.
MALLORY = {"sub": "mallory-0002", "email": "alice@bank.test", "email_verified": True, "name": "Mallory"}

MEMBERS = """
from apps.tenants import services
from apps.tenants.access import Actor
operator = Actor.system("test")
retail = services.create_tenant(actor=operator, slug="retail", name="Retail Banking")
services.create_project(actor=operator, tenant=retail, slug="chat", name="Support chat")
alice = services.create_user(actor=operator, email="alice@bank.test", password="correct horse battery")
services.add_member(actor=operator, tenant=retail, user=alice, role="admin")
"""


@pytest.fixture
def issuer(free_port: int) -> Iterator[str]:
    """A provider that demands a nonce, and knows Ada and Mallory."""
    url = f"http://127.0.0.1:{free_port}"
    users = [part for user in (ADA, MALLORY) for part in ("--user-claims", json.dumps(user))]
    command = ["-W", "ignore", "-m", "oidc_provider_mock", "--port", str(free_port), "--require-nonce", "true", *users]
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent()
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{url}/.well-known/openid-configuration", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, "The OpenID provider ended."
                assert time.monotonic() < deadline, "The OpenID provider does not answer."
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def lobby(live_lobby: LobbyFactory, issuer: str) -> LiveLobby:
    lobby = live_lobby(
        {
            "OIDC_ISSUER": issuer,
            "OIDC_CLIENT_ID": "lobby",
            "OIDC_CLIENT_SECRET": "the secret of the loopback client",
            "OIDC_NAME": "Bank sign-on",
        },
        start=False,
    )
    lobby.python(MEMBERS)
    lobby.start_web()
    return lobby


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                *ARGUMENTS,
                # The provider's page names a style sheet elsewhere: not to be found, at once.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


def test_people_sign_on_and_an_address_alone_opens_nothing(lobby: LiveLobby, browser: Browser) -> None:
    # Somebody new comes in, and learns what is missing.
    ada = browser.new_context()
    page = ada.new_page()
    page.set_default_timeout(20_000)
    page.goto(f"{lobby.url}/keys/", wait_until="domcontentloaded")
    assert "/accounts/login/" in page.url
    before = {cookie.get("value") for cookie in ada.cookies() if cookie.get("name") == "sessionid"}
    page.get_by_text("Bank sign-on").click(no_wait_after=True)
    page.get_by_role("button", name=str(ADA["sub"])).click(no_wait_after=True)
    page.wait_for_url(f"{lobby.url}/keys/", wait_until="domcontentloaded")
    assert page.get_by_text("You belong to no tenant yet").is_visible()
    after = {cookie.get("value") for cookie in ada.cookies() if cookie.get("name") == "sessionid"}
    assert after
    assert not before & after

    # A tenant admin adds her; the same session then sees the tenant.
    lobby.python(
        "from apps.tenants import services\n"
        "from apps.tenants.access import Actor\n"
        "from apps.tenants.models import Tenant, User\n"
        "actor = Actor.of_user(User.objects.get(email='alice@bank.test'))\n"
        "retail = Tenant.objects.for_actor(actor).get()\n"
        "services.invite_member(actor=actor, tenant=retail, email='ada@bank.test', role='developer')\n"
    )
    page.goto(f"{lobby.url}/keys/", wait_until="domcontentloaded")
    page.get_by_role("link", name="Create key").click(no_wait_after=True)
    page.get_by_label("Name", exact=True).fill("first")
    page.get_by_role("button", name="Create key").click(no_wait_after=True)
    page.locator("#new-key").wait_for()
    assert page.locator("#new-key").inner_text().startswith("lby_")

    # Somebody whose provider names a local account's address does not get that account.
    mallory = browser.new_context().new_page()
    mallory.set_default_timeout(20_000)
    mallory.goto(f"{lobby.url}/accounts/login/", wait_until="domcontentloaded")
    mallory.get_by_text("Bank sign-on").click(no_wait_after=True)
    mallory.get_by_role("button", name=str(MALLORY["sub"])).click(no_wait_after=True)
    mallory.get_by_role("heading", name="There is an account for this address already").wait_for()
    mallory.goto(f"{lobby.url}/keys/", wait_until="domcontentloaded")
    assert "/accounts/login/" in mallory.url

    # Who refuses at the provider is told so, and is not signed in.
    refuser = browser.new_context().new_page()
    refuser.set_default_timeout(20_000)
    refuser.goto(f"{lobby.url}/accounts/login/", wait_until="domcontentloaded")
    refuser.get_by_text("Bank sign-on").click(no_wait_after=True)
    refuser.get_by_role("button", name="Deny").click(no_wait_after=True)
    refuser.wait_for_url(f"{lobby.url}/**", wait_until="domcontentloaded")
    refuser.goto(f"{lobby.url}/keys/", wait_until="domcontentloaded")
    assert "/accounts/login/" in refuser.url

    # Deactivated: over at the next request.
    lobby.python(
        "from apps.tenants import services\n"
        "from apps.tenants.access import Actor\n"
        "from apps.tenants.models import User\n"
        "services.deactivate_user(actor=Actor.system('test'), user=User.objects.get(email='ada@bank.test'))\n"
    )
    page.goto(f"{lobby.url}/keys/", wait_until="domcontentloaded")
    assert "/accounts/login/" in page.url
