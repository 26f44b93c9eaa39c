"""A route in a real browser: made, put in order by keys and by dragging, simulated; and the live page of health."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import ARGUMENTS, log_in
from tests.live import LiveLobby, LobbyFactory
from tests.models.test_hub_in_browser import PASSWORD

pytestmark = pytest.mark.browser

CAST = f"""
from apps.models.sandbox_models import register
from apps.tenants.access import Actor
from apps.tenants.models import *
eve = User.objects.create_user("eve@bank.test", {PASSWORD!r}, name="Eve", platform_role="service_engineer",
    is_staff=True)
bank = Tenant.objects.create(slug="bank", name="Bank")
Membership.objects.create(tenant=bank, user=eve, role="admin")
Project.objects.create(tenant=bank, slug="claims", name="Claims")
register(actor=Actor.system("test"))
"""


@pytest.fixture
def lobby(live_lobby: LobbyFactory) -> LiveLobby:
    lobby = live_lobby(start=False)
    lobby.python(CAST)
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    return lobby


def order(page: Page) -> list[str]:
    return [each.input_value() for each in page.locator("select[name=target_to]").all()]


def test_a_route_is_made_ordered_and_simulated(lobby: LiveLobby, chromium: str) -> None:
    complaints: list[str] = []
    key = lobby.create_key("bank/claims")  # known to the gateway by the time it is used
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        log_in(page, lobby.url, "eve@bank.test", PASSWORD, "/routes/new/")

        page.get_by_label("Name", exact=True).fill("Claims, default")
        page.get_by_label("Name in calls").fill("claims-default")
        chat, judge = "model:sandbox-chat", "model:sandbox-judge"
        find = page.get_by_placeholder("Find a model or provider")
        find.fill("judge")
        offered = page.locator("select[name=target_to]").nth(0).locator("option[value]:not([hidden])")
        assert {each.get_attribute("value") for each in offered.all()} - {""} >= {judge}
        assert chat not in {each.get_attribute("value") for each in offered.all()}
        find.fill("")
        page.get_by_label("Goes to").nth(0).select_option(chat)
        page.get_by_label("Goes to").nth(1).select_option(judge)
        page.get_by_label("Goes to").nth(1).press("Alt+ArrowUp")
        assert order(page) == [judge, chat]
        page.get_by_role("button", name="Move down").nth(0).click()
        assert order(page) == [chat, judge]
        page.locator("[data-order-handle]").nth(1).drag_to(
            page.locator("[data-order-row]").nth(0), target_position={"x": 40, "y": 4}
        )
        assert order(page) == [judge, chat]
        weight = page.get_by_label("Weight").nth(0)
        expect(weight).to_be_hidden()
        page.get_by_label("Strategy").select_option("latency")
        expect(weight).to_be_hidden()
        page.get_by_label("Keep a conversation with its target").check()
        expect(weight).to_be_visible()
        page.get_by_label("Strategy").select_option("weighted")
        expect(weight).to_be_visible()
        page.get_by_label("Keep a conversation with its target").uncheck()
        page.get_by_label("Strategy").select_option("priority")
        expect(weight).to_be_hidden()
        page.get_by_role("button", name="Create route").click()
        expect(page.get_by_role("heading", name="Claims, default")).to_be_visible()
        ranks = page.locator(".cols > div ol.targets .strong")
        expect(ranks.nth(0)).to_have_text("Sandbox judge (simulated)")

        page.get_by_role("button", name="Simulate").click()
        expect(page.locator("#route-simulation")).to_contain_text("It would be tried in this order")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("link", name="Edit").click()
        expect(page.get_by_role("heading", name="Edit route")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        page.goto(f"{lobby.url}/health/")
        row = page.locator("tr", has_text="Sandbox chat (simulated)")
        expect(row).to_have_attribute("data-state", "unused")
        # It is live: a call shows without the page being asked for again.
        page.evaluate("window.opened = true")
        body = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"Authorization": f"Bearer {key}"}
        called = httpx.post(f"{lobby.base_url}/chat/completions", json=body, headers=headers, timeout=30)
        assert called.status_code == 200, called.text
        expect(row).to_have_attribute("data-state", "healthy", timeout=20_000)
        assert page.evaluate("window.opened")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
    assert complaints == []
