"""A data scientist's way in a real browser: scorers, a run in three choices with its cost, its progress."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser import ARGUMENTS, log_in
from tests.evaluation.world import RunsWorld

pytestmark = pytest.mark.browser
PASSWORD = "correct horse battery staple"


def test_a_run_is_started_in_three_choices_and_read(runs_world: RunsWorld, chromium: str) -> None:
    lobby = runs_world.world.lobby
    asked = [{"role": "user", "content": "in the browser"}]
    examples = [{"input": {"messages": asked, "n": n}, "expected": ["w0", "elsewhere"][n]} for n in range(2)]
    runs_world.dataset("browsed", examples)
    complaints: list[str] = []
    lobby.start_worker()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
            page.set_default_timeout(60_000)
            expect.set_options(timeout=60_000)
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            log_in(page, lobby.url, "ada@example.com", PASSWORD, "/evaluations/")
            page.get_by_role("link", name="New run").first.click()

            page.get_by_role("combobox", name="Model").select_option("fake-chat")
            page.get_by_label("Dataset").select_option("browsed@1")
            page.locator(".scorer-pick", has_text="Contains").click()
            estimate = page.locator("#run-estimate")
            expect(estimate).to_contain_text("2 items")
            expect(estimate).to_contain_text("It would cost about")
            # An estimate that is asked for when the button has just been pressed starts no second run.
            stay = (
                "document.querySelector('#run-form').addEventListener('submit', e => e.preventDefault(), {once: true})"
            )
            page.evaluate(stay)
            page.get_by_role("button", name="Start the run").click()
            with page.expect_request(lambda asked: asked.method == "POST") as sent:
                page.evaluate("document.querySelector('#run-form').dispatchEvent(new Event('change'))")
            assert sent.value.url.endswith("/evaluations/new/estimate/")
            page.get_by_role("button", name="Start the run").click()

            expect(page.locator(".run-head .badge")).to_contain_text("Done")  # without a reload by hand
            expect(page.locator(".metric-card")).to_contain_text("50%")
            expect(page.locator("#item-list tbody tr")).to_have_count(2)
            page.get_by_label("All items").select_option("failing")
            expect(page.locator("#item-list tbody tr")).to_have_count(1)
            page.locator("#item-list tbody a").first.click()
            panel = page.locator("#item-panel-body")
            expect(panel).to_contain_text("elsewhere")
            expect(panel.get_by_role("link", name="Why this answer")).to_be_visible()

            # On a phone each item is a card, with its scores and its cost.
            page.set_viewport_size({"width": 390, "height": 844})
            page.reload()
            item = page.locator("#item-list tbody tr").first
            for part in (item.locator(".score-chips"), item.locator("td[data-label=Cost]")):
                box = part.bounding_box()
                assert box is not None
                assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
            browser.close()
    finally:
        lobby.stop_process("worker")
    assert complaints == []
