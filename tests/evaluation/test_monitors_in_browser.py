"""The pages of monitors in a real browser, in both themes: read, drawn, filtered, set up."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.axe import grave_violations
from tests.browser import ARGUMENTS, log_in
from tests.live import LobbyFactory

pytestmark = pytest.mark.browser
PASSWORD = "correct-horse-battery"
WATCHED = f"""
from datetime import timedelta
from django.utils import timezone
from apps.evaluation.models import *
from apps.evaluation.services.monitors import MonitorFacts, create_monitor
from apps.evaluation.services.scorers import create_scorer
from apps.tenants.access import Actor
from apps.tenants.models import *
mei = User.objects.create_user("mei@bank.test", {PASSWORD!r}, name="Mei")
bank = Tenant.objects.create(slug="bank", name="Bank")
project = Project.objects.create(tenant=bank, slug="app", name="App", environment="prod", content_percent=20)
Membership.objects.create(tenant=bank, user=mei, role="admin")
actor, now = Actor.of_user(mei), timezone.now().replace(minute=0, second=0, microsecond=0)
scorer = create_scorer(actor=actor, tenant=bank, kind="refusal", name="Refusal")
monitor = create_monitor(actor=actor, tenant=bank, facts=MonitorFacts(
    name="Refusals", project=project, scorers=[scorer], model="writer", recipients=[mei],
    baseline_since=now - timedelta(days=9), baseline_until=now - timedelta(days=2),
))
for at, share in enumerate((0.02, 0.04, 0.0, 0.02, 0.4)):
    until = now - timedelta(hours=5 - at)
    verdict = "out" if share > 0.1 else "in"
    row = dict(
        scorer="refusal", name="Refusal", scorer_version=1, number=1, kind="binary", direction="lower", unit="",
        version=None, is_canary=False, errors=0, n=50, mean=share, spread=0.1, compared=share, low=0.0, centre=0.02,
        high=0.09, is_better=False, verdict=verdict,
    )
    check = MonitorCheck.objects.create(
        monitor=monitor, since=until - timedelta(hours=1), until=until, verdict=verdict, statistics=[row],
        arms=[dict(version=None, percent=100, is_canary=False, found=300, sampled=50)],
        reasons=["Refusal is at 40.0%, above its limit of 9.0%."] if verdict == "out" else [], decided_at=until,
    )
MonitorAlert.objects.create(monitor_check=check, channel="mail", address="mei@bank.test", status="failed", error="No.")
"""
DRAWN = """() => { const c = document.querySelector('canvas[data-chart]');
 return c.width > 0 && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v) }"""


def narrow(page: Page) -> int:
    """How far the page is wider than the screen."""
    wider: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wider


def test_a_monitor_is_read_acted_on_and_set_up(live_lobby: LobbyFactory, chromium: str) -> None:
    lobby = live_lobby(start=False)
    lobby.python(WATCHED)
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 900}, color_scheme="light")
        page.set_default_timeout(30_000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        log_in(page, lobby.url, "mei@bank.test", PASSWORD)
        page.get_by_role("link", name="Monitors").first.click()
        row = page.locator("#monitor-list tbody tr")
        expect(row).to_contain_text("Out of limits")
        expect(row).to_contain_text("40.0%")
        expect(row.locator("svg.spark")).to_be_visible()
        page.get_by_label("Any state").select_option("calm")
        expect(page.locator("#monitor-list")).to_contain_text("No monitor matches")
        page.get_by_label("Any state").select_option("out")
        row.get_by_role("link", name="Refusals").click()

        page.wait_for_function(DRAWN)
        expect(page.locator(".legend")).to_contain_text("Outside, for the worse")
        expect(page.locator(".chart-words")).to_contain_text("1 of 5 points is outside")
        page.get_by_role("button", name="I look after it").click()
        expect(page.locator(".episode")).to_contain_text("Acknowledged")
        page.get_by_role("button", name="Send again to mei@bank.test").click()
        expect(page.locator(".episode")).to_contain_text("Being delivered")
        page.get_by_role("button", name="Delete").click()
        dialog = page.locator("dialog[open]")
        expect(dialog).to_contain_text("pause it instead")
        dialog.get_by_role("button", name="Cancel").click()

        addresses = ("/monitors/", "/monitors/bank/refusals/", "/monitors/new/", "/monitors/bank/refusals/edit/")
        for scheme, width in (("light", 1280), ("dark", 390)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 900})
            for address in addresses:
                page.goto(lobby.url + address)
                assert grave_violations(page) == [], (scheme, address)
                assert narrow(page) <= 0, (scheme, address)
        page.get_by_label("Name").fill("Renamed")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Renamed")).to_be_visible()
        browser.close()
    assert complaints == []
