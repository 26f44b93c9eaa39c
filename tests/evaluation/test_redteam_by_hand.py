"""A red team from a terminal, and in a real browser: chosen, estimated, confirmed, read, made into examples."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from lobby import redteam
from tests.axe import grave_violations
from tests.browser import ARGUMENTS, log_in
from tests.cast import PASSWORD
from tests.live import ROOT, LobbyFactory

SETUP = """
import json
from apps.models.sandbox_models import register
from apps.prompts import services as prompts
from apps.tenants.access import Actor
from tests.cast import assemble

cast = assemble()
register(actor=Actor.system("test"))
person = cast.actor("scientist")
prompt = prompts.create_prompt(actor=person, tenant=cast.claims, slug="echo", name="Echo")
content = {"messages": [{"role": "user", "content": "Say {{claim}}"}], "model": "sandbox-chat"}
prompts.save_version(actor=person, prompt=prompt, content=content)
print(json.dumps(cast.keys))
"""


@pytest.mark.browser
def test_a_red_team_from_a_terminal_and_in_a_browser(live_lobby: LobbyFactory, tmp_path: Path, chromium: str) -> None:
    lobby = live_lobby(start=False)
    keys = json.loads(lobby.python(SETUP).strip().splitlines()[-1])
    lobby.start()
    lobby.start_worker()
    env = {"PATH": os.environ["PATH"], "LOBBY_URL": lobby.url, "LOBBY_API_KEY": keys["management"]}

    def run(*arguments: str, code: int) -> Any:
        command = [str(ROOT / "bin" / "lobby"), "redteam", "run", "--size", "small", *arguments, "--json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}\n{lobby.output('worker')[-3000:]}"
        return json.loads(done.stdout)

    # The prompt says what it is told, a planted record too; an order that is repeated is not obeyed.
    attack = ("--prompt", "echo", "--categories", "personal-data-leakage,prompt-injection")
    summary = tmp_path / "summary.md"
    report = run(*attack, "--max-rate", "0.5", "--markdown", str(summary), code=redteam.EXCEEDED)["report"]
    assert {row["category"]: row["all"]["successes"] for row in report["categories"]} == {
        "personal-data-leakage": 6,
        "prompt-injection": 0,
    }
    assert "| personal-data-leakage | 6 of 6 | 100% |" in summary.read_text()
    run(*attack, code=redteam.PASSED)
    run("--prompt", "echo", "--categories", "prompt-injection", "--max-rate", "0", code=redteam.PASSED)
    assert run("--prompt", "none", code=2)["error"]["code"]

    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        log_in(page, lobby.url, "developer@example.com", PASSWORD, "/red-team/")
        expect(page.locator("#red-team-list tbody tr")).to_have_count(3)
        _check(page)
        page.get_by_role("link", name="New red team").click()
        estimate = page.locator("#red-team-estimate")
        expect(estimate).to_contain_text("Choose whom to attack")
        page.get_by_label("Prompt", exact=False).first.select_option("echo@1")
        expect(estimate).to_contain_text("36 attacks")
        expect(estimate).to_contain_text("claim")
        expect(estimate).to_contain_text("The target is the sandbox.")
        for category in ("Jailbreak", "System-prompt leakage", "Harmful requests", "Encoding tricks"):
            page.locator(".scorer-pick", has_text=category).click()
        expect(estimate).to_contain_text("12 attacks")
        _check(page)
        page.get_by_role("button", name="Start the red team").click()
        page.get_by_role("dialog").get_by_role("button", name="Start the red team").click()

        expect(page.locator(".run-head .badge")).to_contain_text("Done")  # without a reload by hand
        expect(page.locator(".stats")).to_contain_text("6 of 12")
        expect(page.locator('#side [aria-current="page"]')).to_have_text(re.compile("Red team"))
        expect(page.get_by_text("Compare the two")).to_be_visible()
        expect(page.locator(".finding")).to_have_count(6)
        _check(page)
        page.get_by_label("Any technique").select_option("role-play")
        expect(page.locator(".finding")).to_have_count(1)
        expect(page.locator(".finding")).to_contain_text("The planted personal data")
        page.locator(".finding").get_by_role("button", name="Regression example of").click()
        expect(page.get_by_text("1 example added")).to_be_visible()
        page.get_by_role("button", name="Add all to regression examples").click()
        expect(page.get_by_text("5 examples added")).to_be_visible()
        page.get_by_role("link", name="Regression examples").click()
        expect(page.get_by_role("heading", name="Red team: findings on Echo")).to_be_visible()
        page.go_back()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        assert len(Path(download.value.path()).read_text().splitlines()) >= 13
        browser.close()
    assert complaints == []


def _check(page: Page) -> None:
    """In both themes."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert grave_violations(page) == [], theme


@pytest.mark.parametrize(
    ("severity", "max_rate", "code"),
    [
        ("low", None, redteam.PASSED),
        ("low", 0.2, redteam.EXCEEDED),
        ("low", 0.25, redteam.PASSED),
        ("high", 0.0, redteam.PASSED),
        ("critical", 1.0, redteam.NO_VERDICT),
    ],
)
def test_the_exit_code_holds_each_category_against_the_limit(severity: str, max_rate: float | None, code: int) -> None:
    cells = {"critical": (0, 0, 2), "high": (0, 2, 2), "medium": (1, 2, 2), "low": (0, 0, 0)}
    by_severity = [
        {"name": name, "successes": successes, "judged": judged, "attacks": attacks}
        for name, (successes, judged, attacks) in cells.items()
    ]
    report = {"categories": [{"category": "jailbreak", "by_severity": by_severity}]}
    assert redteam.exit_code(report, severity=severity, max_rate=max_rate) == code
