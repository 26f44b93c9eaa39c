"""The model hub in a real browser: search as one types, filters in the URL, the card, its snippets; small screens."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser import ARGUMENTS, log_in
from tests.live import LiveLobby, LobbyFactory

pytestmark = pytest.mark.browser

PASSWORD = "correct-horse-battery"
CAST = f"""
from apps.models.sandbox_models import register
from apps.models.services import create_model
from apps.tenants.access import Actor
from apps.tenants.models import *
ada = User.objects.create_user("ada@bank.test", {PASSWORD!r}, name="Ada Lovelace")
bank = Tenant.objects.create(slug="bank", name="Bank")
Membership.objects.create(tenant=bank, user=ada, role="developer")
actor = Actor.system("test")
register(actor=actor)
create_model(actor=actor, slug="acme/writer:8b", name="Acme Writer", lifecycle="approved")
"""


@pytest.fixture
def lobby(live_lobby: LobbyFactory) -> LiveLobby:
    lobby = live_lobby(start=False)
    lobby.python(CAST)
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    return lobby


def test_a_person_finds_a_model_and_learns_how_to_call_it(lobby: LiveLobby, chromium: str) -> None:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 390, "height": 844}, color_scheme="dark")
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        log_in(page, lobby.url, "ada@bank.test", PASSWORD, "/models/")
        cards = page.locator("#model-grid article")
        expect(cards).to_have_count(4)

        page.get_by_placeholder("Search models").press_sequentially("simulated")
        expect(cards).to_have_count(3)
        expect(page).to_have_url(re.compile(r"q=simulated"))
        page.get_by_label("Any kind").select_option("embedding")
        expect(cards).to_have_count(1)
        expect(page).to_have_url(re.compile(r"kind=embedding"))
        page.reload()
        expect(cards).to_have_count(1)
        page.get_by_role("link", name="Clear").click()
        expect(cards).to_have_count(4)
        page.get_by_label("Any access").select_option("now")
        expect(cards).to_have_count(3)

        page.get_by_role("link", name="Sandbox chat (simulated)").click()
        page.wait_for_url("**/models/sandbox-chat/")
        expect(page.get_by_text("Its answers come from the built-in generator")).to_be_visible()
        page.get_by_role("tab", name="Python").click()
        expect(page.get_by_role("tabpanel").filter(has_text="from openai import OpenAI")).to_be_visible()
        expect(page.get_by_role("tabpanel").filter(has_text="curl -N")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        page.goto(f"{lobby.url}/models/acme/writer:8b/")
        expect(page.get_by_text("cannot call it yet.")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
    assert complaints == []
