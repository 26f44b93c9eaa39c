"""Onboarding a provider in a real browser: the form of each kind, the connection test, its models, the day after."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import ARGUMENTS, log_in
from tests.fakes.process import FakeOpenAI
from tests.live import LiveLobby, LobbyFactory
from tests.models.test_hub_in_browser import PASSWORD

pytestmark = pytest.mark.browser

KEY = "sk-right-0123456789"
CAST = f"""
from apps.tenants.models import *
eve = User.objects.create_user("eve@bank.test", {PASSWORD!r}, name="Eve Engineer", platform_role="service_engineer",
    is_staff=True)
bank = Tenant.objects.create(slug="bank", name="Bank")
Membership.objects.create(tenant=bank, user=eve, role="admin")
"""


@pytest.fixture
def lobby(live_lobby: LobbyFactory) -> LiveLobby:
    lobby = live_lobby(start=False)
    lobby.python(CAST)
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    return lobby


def choose(page: Page, label: str, value: str) -> None:
    """Choose what brings other fields, and wait for them: what is typed into what is about to be replaced is lost."""
    with page.expect_response(lambda answer: "/new-provider/?" in answer.url):
        page.get_by_label(label).select_option(value)
    page.wait_for_function("() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')")


def test_a_provider_is_onboarded_tried_and_disabled(
    lobby: LiveLobby, chromium: str, tmp_path: Path, free_port: int
) -> None:
    complaints: list[str] = []
    with FakeOpenAI(tmp_path / "count.jsonl", "--require-key", KEY) as fake, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
        log_in(page, lobby.url, "eve@bank.test", PASSWORD, "/providers/")
        expect(page.get_by_text("No providers yet")).to_be_visible()
        page.get_by_role("link", name="Add a provider").first.click()

        # Another kind, other fields; what was typed stays.
        page.get_by_label("Name", exact=True).fill("Our models")
        choose(page, "Kind", "bedrock")
        expect(page.get_by_label("Guardrail").first).to_be_visible()
        expect(page.get_by_label("Region")).to_be_visible()
        expect(page.get_by_label("Role to assume")).to_be_visible()
        expect(page.get_by_label("Name", exact=True)).to_have_value("Our models")
        choose(page, "Where its credential is kept", "database")
        expect(page.get_by_label("Access key id")).to_be_visible()
        expect(page.get_by_label("Role to assume")).to_have_count(0)
        page.get_by_label("Region").fill("eu-nowhere-9")
        page.get_by_label("Short name").fill("ours")
        page.get_by_label("Secret access key or Bedrock API key").fill("bedrock-key-canary")
        page.get_by_role("button", name="Test the connection").click()
        report = page.locator("#provider-report .callout")
        expect(report).to_have_attribute("data-outcome", "wrong_region")

        choose(page, "Kind", "openai_compatible")
        expect(page.get_by_label("Guardrail")).to_have_count(0)
        page.get_by_label("Region").fill("")
        choose(page, "Where its credential is kept", "database")
        expect(page.get_by_label("API key")).to_be_visible()
        assert "canary" not in page.url
        page.get_by_label("Address").fill(f"http://127.0.0.1:{free_port}/v1")
        page.get_by_label("API key").fill("sk-wrong-0123456789")
        page.get_by_label("Model", exact=False).last.fill("fake-chat")
        page.get_by_role("button", name="Test the connection").click()
        expect(report).to_have_attribute("data-outcome", "unreachable")
        page.get_by_label("Address").fill(fake.url)
        page.get_by_role("button", name="Test the connection").click()
        expect(report).to_have_attribute("data-outcome", "wrong_key")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Test the connection").click()
        expect(report).to_have_attribute("data-outcome", "ok")

        page.get_by_role("button", name="Add provider").click()
        page.wait_for_url("**/providers/ours/models/")
        page.get_by_label("fake-chat", exact=True).check()
        page.get_by_role("button", name="Register the chosen models").click()
        page.wait_for_url("**/providers/ours/")
        expect(page.get_by_text("1 model of Our models registered.")).to_be_visible()

        page.goto(f"{lobby.url}/providers/")
        health = page.locator("#provider-health-ours")
        expect(health).to_have_text("Not called yet")
        page.screenshot(path=str(tmp_path / "providers.png"))
        health.click()
        page.wait_for_url("**/health/?provider=ours")
        page.goto(f"{lobby.url}/providers/ours/")

        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("button", name="Test the connection").click()
        expect(report).to_have_attribute("data-outcome", "ok")
        page.get_by_role("button", name="Rotate credential").click()
        page.get_by_label("API key").fill("sk-other-0123456789")
        page.get_by_role("button", name="Replace the credential").click()
        expect(page.get_by_text("is in use within a second")).to_be_visible()
        page.get_by_role("button", name="Test the connection").click()
        expect(report).to_have_attribute("data-outcome", "wrong_key")
        page.get_by_role("button", name="Disable").click()
        page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        expect(page.get_by_role("button", name="Enable")).to_be_visible()
        browser.close()
    assert complaints == []
