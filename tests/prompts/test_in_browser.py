"""The catalog in a real browser: the editor changes what is changed in it, and a phone shows all there is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import ARGUMENTS, log_in
from tests.live import LiveLobby, LobbyFactory
from tests.models.test_hub_in_browser import PASSWORD

pytestmark = pytest.mark.browser

CONTENT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "\nBe kind."},
        {"role": "user", "content": "{{letter}} {{tone}} {{level}} {{note}}"},
    ],
    "variables": {
        "letter": {"type": "string", "examples": ["Dear all,\nit leaks.", "Second"]},
        "tone": {"type": "string", "default": ""},
        "level": {"enum": [1, 2], "default": 1},
        "note": {"type": ["string", "null"], "default": None},
    },
    "parameters": {"stop": ["\n\n", "\nUser:"]},
}
CAST = f"""
from apps.prompts import services
from apps.tenants.access import Actor
from apps.tenants.models import *
eve = User.objects.create_user("eve@bank.test", {PASSWORD!r}, name="Eve")
bank = Tenant.objects.create(slug="bank", name="Bank")
Membership.objects.create(tenant=bank, user=eve, role="admin")
actor = Actor.system("test")
prompt = services.create_prompt(actor=actor, tenant=bank, slug="triage", name="Triage")
services.save_version(actor=actor, prompt=prompt, content={CONTENT!r})
"""
SAVED = """
import json
from apps.prompts.models import PromptVersion
newest = PromptVersion.objects.unscoped("test").order_by("-number").first()
print(json.dumps([newest.messages, newest.variables, newest.parameters]))
"""


@pytest.fixture
def lobby(live_lobby: LobbyFactory) -> LiveLobby:
    lobby = live_lobby(start=False)
    lobby.python(CAST)
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    return lobby


def test_a_version_is_written_from_another_and_an_archived_prompt_restored(lobby: LiveLobby, chromium: str) -> None:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        log_in(page, lobby.url, "eve@bank.test", PASSWORD, "/prompts/bank/triage/versions/new/")

        page.get_by_role("button", name="Save version").click()
        expect(page.get_by_text("says exactly this already")).to_be_visible()

        page.get_by_role("link", name="New version").click()
        text = page.get_by_label("Text of the message").nth(1)
        text.fill(text.input_value() + " {{place}}")
        place = page.get_by_role("group", name="place")
        place.get_by_label("Example").fill("Kiel")
        expect(page.locator("#prompt-preview")).to_contain_text("1 null Kiel")
        page.get_by_role("group", name="tone").get_by_label("What it is").fill("How it sounds")
        page.get_by_label("What changed, and why").fill("Places")
        page.get_by_role("button", name="Save version").click()
        expect(page.get_by_text("Version 2 is saved.")).to_be_visible()

        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert _fits(page), width
        expect(page.get_by_role("cell", name="Kiel")).to_be_visible()

        page.get_by_role("link", name="Facts").click()
        page.get_by_role("button", name="Archive the prompt").click()
        page.get_by_role("button", name="Archive", exact=True).click()
        expect(page.get_by_text("is archived and no longer served")).to_be_visible()
        page.get_by_role("button", name="Restore").click()
        expect(page.get_by_text("is restored and served again")).to_be_visible()
        browser.close()
    messages, variables, parameters = json.loads(lobby.python(SAVED))
    said = [*CONTENT["messages"][:1], {"role": "user", "content": f"{CONTENT['messages'][1]['content']} {{{{place}}}}"}]
    assert (messages, parameters) == (said, CONTENT["parameters"])
    assert variables == {
        **CONTENT["variables"],
        "tone": {"type": "string", "default": "", "description": "How it sounds"},
        "place": {"type": "string", "examples": ["Kiel"]},
    }
    assert complaints == []


def _fits(page: Page) -> bool:
    """Neither the page nor the table of variables is wider than the window."""
    wider = "element => element.scrollWidth <= element.clientWidth"
    return all(page.locator(each).first.evaluate(wider) for each in ("html", ".table-scroll"))
