"""A team's CI: from a prompt's file to a verdict by ``bin/lobby`` alone, with a real web, worker and sandbox."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import pytest
from playwright.sync_api import expect, sync_playwright

from lobby import gates, reports
from tests.cast import PASSWORD
from tests.live import ROOT, LiveLobby, LobbyFactory
from tests.models.test_hub_in_browser import ARGUMENTS

SETUP = """
import json
from apps.evaluation.models import *
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, set_plan
from apps.evaluation.services.scorers import create_scorer
from apps.evaluation.types import Source
from apps.models.sandbox_models import register
from apps.prompts import services as prompts
from apps.tenants.access import Actor
from tests.cast import assemble

cast = assemble()
register(actor=Actor.system("test"))
person = cast.actor("scientist")
data = Dataset.objects.create(tenant=cast.claims, slug="golden", name="Golden set")
version = DatasetVersion.objects.create(dataset=data, number=1, manifest_hash="golden", size=40)
for n in range(40):
    example = Example.objects.create(dataset=data, key=f"case-{n:02}")
    right, wrong = f"hail {n}", f"fire {n}"
    revision = ExampleRevision.objects.create(
        example=example, number=1, source=Source.UPLOAD, content_hash=f"{n:064}", expected=right,
        input={"right": right, "wrong": wrong, "half": right if n % 2 else wrong},
    )
    VersionExample.objects.create(version=version, revision=revision, position=n)
scorer = create_scorer(actor=person, tenant=cast.claims, kind="exact-match")
prompt = prompts.create_prompt(actor=person, tenant=cast.claims, slug="triage", name="Claims triage")
content = {"messages": [{"role": "user", "content": "Say {{half}}"}], "model": "sandbox-chat"}
prompts.save_version(actor=person, prompt=prompt, content=content)
prompts.release_versions(actor=person, prompt=prompt, environment="prod", label="live", weights={1: 100})
facts = PlanFacts(dataset=data, project=cast.triage, metrics=[PlannedMetric(scorer)], policy="automatic")
set_plan(actor=person, prompt=prompt, facts=facts)
print(json.dumps(cast.keys))
"""
FILE = """---
id: triage
model: sandbox-chat
---
--- user ---
{text}
"""


@pytest.mark.browser
def test_a_better_version_releases_itself_a_worse_is_stopped_and_an_even_one_is_inconclusive(
    live_lobby: LobbyFactory, tmp_path: Path, chromium: str
) -> None:
    lobby = live_lobby(start=False)
    keys = json.loads(lobby.python(SETUP).strip().splitlines()[-1])
    lobby.start()
    lobby.start_worker()
    env = {"PATH": os.environ["PATH"], "LOBBY_URL": lobby.url, "LOBBY_API_KEY": keys["management"]}

    def run(*arguments: str, code: int = 0) -> Any:
        command = [str(ROOT / "bin" / "lobby"), *arguments, "--json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}\n{lobby.output('worker')[-3000:]}"
        return json.loads(done.stdout)

    def pushed(text: str) -> str:
        file = tmp_path / "triage.prompt"
        file.write_text(FILE.format(text=text))
        return str(run("prompts", "push", str(file))[0]["version"])

    def gated(text: str, code: int) -> Any:
        reported = ("--junit", str(tmp_path / "gate.xml"), "--markdown", str(tmp_path / "gate.md"))
        return run("eval", "run", "--prompt", "triage", "--version", pushed(text), "--gate", *reported, code=code)

    better = gated("Say {{right}}", gates.PASSED)
    assert (better["verdict"], better["status"]) == ("better", "released")
    assert better["policy"]["trigger"] in ("version", "ci")  # whoever came first: both asked the same
    assert run("gate", "--prompt", "triage", "--version", "2")["id"] == better["id"]

    worse = gated("Say {{wrong}}", gates.WORSE)
    assert (worse["verdict"], worse["status"]) == ("worse", "stopped")
    assert len(worse["evidence"]["worst"]) == 5
    report = xml.parse(tmp_path / "gate.xml").getroot()
    cases = report.findall("testsuite/testcase")
    assert [case.find("failure") is not None for case in cases] == [True] * 7  # verdict, metric, five regressions
    assert "fire 0" in (tmp_path / "gate.md").read_text()
    assert run("gate", "--prompt", "triage", "--version", "3", code=gates.WORSE)["id"] == worse["id"]

    even = gated("Reply with {{right}}", gates.INCONCLUSIVE)
    assert (even["verdict"], even["status"]) == ("inconclusive", "stopped")
    assert run("gate", "--prompt", "triage", "--version", "4", "--inconclusive-passes")["id"] == even["id"]
    assert [row["version"] for row in run("eval", "status", "--prompt", "triage")] == [4, 3, 2]

    # A dataset of one's own, against what is released now: advice.
    asked = ("eval", "run", "--prompt", "triage", "--version", "3", "--dataset", "golden", "--scorer", "exact-match")
    advice = run(*asked)
    assert (advice["verdict"], advice["status"], advice["policy"]["baseline_version"]) == ("worse", "advised", 2)
    assert run("gate", "--prompt", "nosuch", "--version", "1", code=2)["error"]["code"] == "no_gate"
    _looked_at(lobby, chromium)


def _looked_at(lobby: LiveLobby, chromium: str) -> None:
    """The same in a browser: why a version was stopped, its examples side by side, and the plan."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{lobby.url}/accounts/login/?next=/prompts/claims/triage/versions/3/")
        page.get_by_label("Email").fill("scientist@example.com")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.locator("#verdict-3")).to_have_text("Worse")
        expect(page.locator("#verdict-2")).to_have_text("Better")
        page.get_by_role("link", name="Review").click()
        expect(page.locator(".regression")).to_have_count(5)
        expect(page.get_by_role("button", name="Release")).to_be_disabled()
        expect(page.get_by_text("The gate that guards “live” in production stopped version 3")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        # The newest decision is the advice that was asked for by hand, on the same two runs.
        page.get_by_role("link", name="Every example, side by side").click()
        expect(page.get_by_text("1–20 of 40")).to_be_visible()
        page.get_by_placeholder("Search examples and answers").press_sequentially("case-07")
        expect(page.locator("#cells .regression")).to_have_count(1)
        expect(page.locator("#cells del")).to_have_text(["hail"])
        expect(page.locator("#cells ins")).to_have_text(["fire"])
        page.reload()
        expect(page.locator("#cells .regression")).to_have_count(1)
        page.get_by_role("link", name="Clear").click()
        page.get_by_label("Any change").select_option("improved")
        expect(page.get_by_text("No example matches")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        page.goto(f"{lobby.url}/prompts/claims/triage/plan/")
        page.get_by_label("Policy").select_option("advice")
        page.get_by_role("button", name="Save the plan").click()
        expect(page.get_by_text("The plan is set.")).to_be_visible()
        page.goto(f"{lobby.url}/prompts/claims/triage/versions/3/review/")
        expect(page.get_by_role("button", name="Release")).to_be_enabled()
        browser.close()
    assert complaints == []


def decision(**more: Any) -> dict[str, Any]:
    metric = {
        "name": "Exact <b>match</b> | x",
        "role": "primary",
        "verdict": "worse",
        "reason": "It got worse.",
        "baseline_mean": 0.9,
        "candidate_mean": 0.5,
        "difference": -0.4,
        "interval": {"low": -0.5, "high": -0.3, "level": 0.95},
        "improved": 1,
        "regressed": 20,
        "tied": 3,
    }
    worst = {
        "example": "case-1",
        "metric": "Exact match",
        "baseline": 1.0,
        "candidate": 0.0,
        "baseline_output": "fine",
        "candidate_output": "```\n# <script>alert(1)</script> \x00\x1b ]]> ````",
    }
    made: dict[str, Any] = {
        "id": 1,
        "tenant": "claims",
        "prompt": "triage",
        "version": 2,
        "status": "stopped",
        "verdict": "worse",
        "reasons": ["Exact match: it got worse."],
        "policy": {"baseline_version": 1},
        "candidate": "c",
        "baseline": "b",
        "created_at": "2026-03-01T12:00:00Z",
        "evidence": {"metrics": [metric], "worst": [worst], "warnings": []},
    }
    return made | more


def test_reports_hold_whatever_a_model_has_written() -> None:
    told = reports.markdown(decision(), "https://lobby.example.com/x/")
    fences = [line for line in told.splitlines() if line.startswith("```")]
    assert "`````" in fences  # longer than any run of the answer's
    assert "<b>" not in told.split("<details>")[0]
    suite = xml.fromstring(reports.junit(decision())).find("testsuite")
    assert suite is not None
    # The order and the attributes that the common schema (Apache Ant's) asks for.
    assert {"name", "tests", "failures", "errors", "time", "timestamp", "hostname"} <= set(suite.attrib)
    assert (suite.get("tests"), suite.get("failures"), suite.get("timestamp")) == ("3", "3", "2026-03-01T12:00:00")
    kinds = [child.tag for child in suite]
    assert kinds == ["properties", "testcase", "testcase", "testcase", "system-out", "system-err"]
    for case in suite.findall("testcase"):
        assert {"name", "classname", "time"} <= set(case.attrib)
        assert [child.tag for child in case] == ["failure"]
        assert case[0].get("type")


def test_the_summary_says_what_the_trust_in_a_judge_rests_on() -> None:
    until = "2026-04-01T12:00:00+00:00"
    vouched = {"is_sufficient": True, "by": "Ada", "reason": "Read | by three.", "until": until}
    known = {"is_sufficient": True, "until": until, "kappa": 0.71, "low": 0.55, "high": None, "pairs": 64}
    judges = [("A", vouched), ("B", known | {"high": 0.87}), ("C", {"is_sufficient": False}), ("D", None)]
    policy = {"baseline_version": 1, "metrics": [{"name": name, "judge": judge} for name, judge in judges]}
    told = reports.markdown(decision(policy=policy)).splitlines()
    assert [line for line in told if "judge" in line] == [
        "- A: judge vouched for by Ada until 2026-04-01: Read \\| by three.",
        "- B: judge agrees with people: kappa 0.71 (0.55 to 0.87), 64 ratings",
        "- C: judge not calibrated",
    ]


def test_exit_codes() -> None:
    assert gates.exit_code(decision()) == gates.WORSE
    assert gates.exit_code(decision(status="overridden")) == gates.PASSED
    assert gates.exit_code(decision(status="waiting", verdict="better")) == gates.PASSED
    assert gates.exit_code(decision(status="stopped", verdict="better")) == gates.WORSE  # refused by a person
    assert gates.exit_code(decision(verdict="inconclusive")) == gates.INCONCLUSIVE
    assert gates.exit_code(decision(verdict="inconclusive"), inconclusive_passes=True) == gates.PASSED
