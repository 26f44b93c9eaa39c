"""A golden set from a spreadsheet to a signature, in a real browser with a real worker; and from a terminal."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.axe import grave_violations
from tests.browser import ARGUMENTS, log_in
from tests.live import ROOT, LiveLobby, LobbyFactory

pytestmark = pytest.mark.browser

CAST = """
import json
from apps.evaluation.services import offer_to_inbox
from apps.prompts import services as prompts
from tests.cast import assemble
cast = assemble()
prompt = prompts.create_prompt(actor=cast.actor("developer"), tenant=cast.claims, slug="triage", name="Claims triage")
prompts.save_version(actor=cast.actor("developer"), prompt=prompt, content={"messages": [
    {"role": "user", "content": "Sort {{claim}} of {{amount}}."}], "variables": {"amount": {"type": "number"}}})
for n in range(2):
    offer_to_inbox(actor=cast.actor("viewer"), tenant=cast.claims, source="feedback", prompt=prompt, reasons=["wrong"],
        input={"claim": f"Hail broke skylight {n}, write to ann@mail.example", "amount": n}, output="motor")
print(json.dumps(cast.keys))
"""
FILE = """id,what happened,amount,answer,segment
c-1,Hail broke a skylight,250,home,hail
c-2,"Two cars, one scratch",80.5,motor,parking
c-3,The dog bit,a lot,liability,dogs
"""


def sign_in(page: Page, lobby: LiveLobby, part: str) -> None:
    from tests.cast import PASSWORD

    log_in(page, lobby.url, f"{part}@example.com", PASSWORD, "/datasets/")


def test_from_a_spreadsheet_to_a_signature(live_lobby: LobbyFactory, chromium: str, tmp_path: Path) -> None:
    lobby = live_lobby(start=False)
    keys = json.loads(lobby.python(CAST).strip().splitlines()[-1])
    lobby.start_worker()
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    file = tmp_path / "claims.csv"
    file.write_text(FILE)
    complaints: list[str] = []

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        sign_in(page, lobby, "developer")
        expect(page.get_by_text("No datasets yet")).to_be_visible()
        page.get_by_role("link", name="Make the first dataset").click()
        page.get_by_label("Name").fill("Golden claims")
        page.get_by_label("Id", exact=True).fill("golden")
        page.get_by_label("Prompt").select_option("triage")
        page.get_by_role("button", name="Create dataset").click()

        # A file that is none: told at once, with what to do. Then the right one.
        page.locator("#file").set_input_files(
            {"name": "a.csv", "mimeType": "text/csv", "buffer": FILE.encode("utf-16")}
        )
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("alert")).to_contain_text("UTF-16")
        page.locator("#file").set_input_files(file)
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("heading", name="What is each column?")).to_be_visible()
        expect(page.get_by_label("what happened is")).to_have_value("input:claim")  # the one that is left
        expect(page.get_by_label("id is")).to_have_value("key")
        assert grave_violations(page) == []
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_role("heading", name="Rows that were refused")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("row", name="4 amount")).to_contain_text("'a lot' is no number")
        assert grave_violations(page) == []

        # Corrected by hand, frozen, looked at.
        page.get_by_role("link", name="Look at the examples").click()
        expect(page.get_by_role("row", name="Hail broke a skylight")).to_contain_text("home")
        assert grave_violations(page) == []
        page.get_by_role("link", name="Hail broke a skylight").click()
        page.get_by_role("link", name="Edit").click()
        page.get_by_label("Expected answer").fill("house")
        page.get_by_role("button", name="Save as revision 2").click()
        expect(page.get_by_role("listitem").filter(has_text="2, now")).to_be_visible()
        assert grave_violations(page) == []
        page.get_by_role("button", name="Freeze version").click()
        page.get_by_label("What changed").fill("First golden set")
        page.get_by_role("button", name="Freeze", exact=True).click()
        expect(page.get_by_text("Version 1 is frozen")).to_be_visible()

        # The inbox: what the worker made of it, and two items into the dataset.
        page.goto(f"{lobby.url}/inbox/")
        expect(page.get_by_text("Hail broke skylight 0, write to [e-mail 1]")).to_be_visible()
        expect(page.get_by_role("navigation", name="Clusters")).to_contain_text("hail", timeout=20_000)
        assert grave_violations(page) == []
        page.get_by_label("All of this page").check()
        page.get_by_label("Dataset").select_option("golden")
        page.get_by_role("button", name="Accept").click()
        expect(page.get_by_text("2 items are now in Golden claims")).to_be_visible()

        # The terminal says the same, and what was refused by line.
        def run(*arguments: str, code: int = 0) -> Any:
            env = {"PATH": os.environ["PATH"], "LOBBY_URL": lobby.url, "LOBBY_API_KEY": keys["management"]}
            command = [str(ROOT / "bin" / "lobby"), "datasets", "push", *arguments]
            done = subprocess.run(command, env=env, capture_output=True, text=True)
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout

        file.write_text(FILE.replace("a lot", "120"))
        pushed = json.loads(run(str(file), "--dataset", "golden", "--freeze", "-m", "The dog, too", "--json"))[0]
        counts = [pushed[each] for each in ("added", "changed", "same", "refused", "version", "frozen")]
        assert counts == [1, 1, 1, 0, 2, True]
        told = run("/dev/stdin", "--dataset", "other", "--create", code=2)
        assert told == ""
        # A file that is refused, whole or row by row, leaves no dataset behind.
        file.write_bytes(FILE.encode("utf-16"))
        assert run(str(file), "--dataset", "other", "--create", code=2) == ""
        file.write_text("claim,split\nb,moon\n")
        told = run(str(file), "--dataset", "other", "--create", "--freeze", code=1)
        assert "no row could be used: the dataset was not made" in told
        page.goto(f"{lobby.url}/datasets/")
        expect(page.get_by_role("link", name="Golden claims")).to_be_visible()
        expect(page.get_by_role("link", name="other")).to_have_count(0)
        file.write_text("claim,split,note=x\na,test,1\nb,moon,2\n")
        told = run(str(file), "--dataset", "other", "--create", code=1)
        assert "other: 1 added, 0 changed, 0 the same, 1 refused." in told
        assert "line 3, split: 'moon' is no split." in told
        assert "columns: claim is input:claim, split is split, note=x is input:note_x" in told
        assert "was there already" not in told
        already = "other was there already: these examples were added to it"
        assert already in run(str(file), "--dataset", "other", "--create", code=1)
        again = json.loads(run(str(file), "--dataset", "other", "--create", "--json", code=1))[0]
        assert (again["created"], again["same"]) == (False, 1)
        file.write_text("claim,amount,colour\na,2,red\n")
        assert "left out: colour (--map" in run(str(file), "--dataset", "for", "--create", "--prompt", "triage")
        # A header that is mistyped empties nothing, and the file is not kept waiting.
        file.write_text("claim,anser\nHail broke a skylight,home\n")
        refused = json.loads(run(str(file), "--dataset", "golden", "--json", code=2))
        assert "No column is the expected answer, which the " in refused["error"]["message"]
        headers = {"Authorization": f"Bearer {keys['management']}"}
        uploads = httpx.get(f"{lobby.url}/api/datasets/claims/golden/uploads", headers=headers).json()["results"]
        assert "ready" not in [each["status"] for each in uploads]
        assert "cancelled" in [each["status"] for each in uploads]
        # What is said of a column counts before what was guessed of another.
        file.write_text("claim,answer,said\na,home,motor\n")
        told = run(str(file), "--dataset", "mapped", "--create", "--map", "said=expected")
        assert "columns: claim is input:claim, said is expected" in told

        # Somebody who knows the subject signs it off, on the page that shows what changed.
        other = browser.new_context(reduced_motion="reduce", viewport={"width": 390, "height": 844}).new_page()
        sign_in(other, lobby, "reviewer")
        other.goto(f"{lobby.url}/datasets/claims/golden/versions/2/")
        expect(other.get_by_text("3 added · 1 changed · 0 removed")).to_be_visible()
        assert grave_violations(other) == []
        other.get_by_role("button", name="Sign off").click()
        expect(other.get_by_text("Reviewer signed it off")).to_be_visible()
        browser.close()
    assert complaints == []
