"""A team's CI: from a prompt's file to a verdict by ``bin/lobby`` alone, with a real web, worker and sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import httpx
import pytest
import yaml
from playwright.sync_api import expect, sync_playwright

from lobby import gates, reports, sweeps
from lobby.api import Failed
from tests.browser import ARGUMENTS, log_in
from tests.cast import PASSWORD
from tests.gateway.world import World
from tests.live import ROOT, LiveLobby, LobbyFactory

SETUP = """
import json
from apps.models.sandbox_models import register
from apps.tenants.access import Actor
from tests.cast import assemble

cast = assemble()
register(actor=Actor.system("test"))
print(json.dumps(cast.keys))
"""
# What a key cannot do: it would loosen the gate that its own versions have to pass. And what models are compared with.
PLAN = """
from apps.evaluation.models import *
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, set_plan
from apps.prompts.models import Prompt
from apps.tenants.access import Actor
from apps.tenants.models import Project, User

data = Dataset.objects.unscoped("test").get(slug="golden")
scorer = Scorer.objects.unscoped("test").get(slug="exact-match")
project = Project.objects.unscoped("test").get(slug="triage")
facts = PlanFacts(dataset=data, project=project, metrics=[PlannedMetric(scorer)], policy="automatic")
person = Actor.of_user(User.objects.get(email="scientist@example.com"))
set_plan(actor=person, owner=Prompt.objects.unscoped("test").get(slug="triage"), facts=facts)

from apps.evaluation.services.scorers import create_scorer
from apps.gateway.services import create_route
from apps.models.models import Model
from apps.tenants.models import Tenant

claims = Tenant.objects.unscoped("test").get(slug="claims")
route = {"slug": "claims-default", "name": "Claims", "targets": [{"model": Model.objects.get(slug="sandbox-chat")}]}
create_route(actor=Actor.of_user(User.objects.get(email="owner@example.com")), tenant=claims, **route)
create_scorer(actor=person, tenant=claims, kind="judge-reference", slug="right", parameters={"model": "sandbox-judge"})
"""
SCORER = """
from apps.evaluation.services.scorers import create_scorer
from apps.tenants.access import Actor
from apps.tenants.models import Tenant, User
person = Actor.of_user(User.objects.get(email="scientist@example.com"))
claims = Tenant.objects.unscoped("test").get(slug="claims")
create_scorer(actor=person, tenant=claims, kind="exact-match", slug="exact-match", parameters={})
"""
FILE = """---
id: triage
name: Claims triage
model: sandbox-chat
---
--- user ---
{text}
"""


def golden(size: int) -> str:
    """A CSV of ``size`` claims: what is right, what is wrong, and what is right for every other one."""
    rows = ["key,right,wrong,half,expected"]
    for n in range(size):
        right, wrong = f"hail {n}", f"fire {n}"
        rows.append(f"case-{n:02},{right},{wrong},{right if n % 2 else wrong},{right}")
    return "\n".join(rows) + "\n"


class Team:
    """A repository with a prompt's file and a dataset's, and the command."""

    def __init__(self, lobby: LiveLobby, key: str, directory: Path) -> None:
        self.lobby, self.directory = lobby, directory
        self.file = directory / "triage.prompt"
        self.env = {"PATH": os.environ["PATH"], "LOBBY_URL": lobby.url, "LOBBY_API_KEY": key}

    def run(self, *arguments: str, code: int = 0) -> Any:
        command = [str(ROOT / "bin" / "lobby"), *arguments, "--json"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}\n{self.lobby.output('worker')[-3000:]}"
        return json.loads(done.stdout)

    def called(self) -> Any:
        """The names that the key may put in ``model``."""
        headers = {"Authorization": f"Bearer {self.env['LOBBY_API_KEY']}"}
        return httpx.get(f"{self.lobby.url}/api/routes", headers=headers).json()

    def says(self, text: str) -> None:
        self.file.write_text(FILE.format(text=text))

    def pushed(self, text: str) -> str:
        self.says(text)
        return str(self.run("prompts", "push", str(self.file))[0]["version"])

    def dataset(self, slug: str, size: int) -> Any:
        path = self.directory / f"{slug}.csv"
        path.write_text(golden(size))
        return self.run("datasets", "push", str(path), "--dataset", slug, "--create", "--freeze")[0]

    def evaluated(self, version: str, *more: str, code: int = 0) -> Any:
        reports = ("--junit", str(self.directory / "gate.xml"), "--markdown", str(self.directory / "gate.md"))
        return self.run("eval", "run", "--prompt", "triage", "--version", version, *reports, *more, code=code)

    def failed_cases(self) -> list[bool]:
        cases = xml.parse(self.directory / "gate.xml").getroot().findall("testsuite/testcase")
        return [case.find("failure") is not None for case in cases]


@pytest.mark.browser
def test_from_a_prompts_file_and_a_csv_to_a_verdict_by_the_command_alone(
    live_lobby: LobbyFactory, tmp_path: Path, chromium: str
) -> None:
    lobby = live_lobby(start=False)
    keys = json.loads(lobby.python(SETUP).strip().splitlines()[-1])
    lobby.start()
    lobby.start_worker()
    team = Team(lobby, keys["management"], tmp_path)

    # A new prompt, its dataset, and what production says for now.
    team.says("Say {{half}}")
    assert team.run("prompts", "create", str(team.file))[0]["version"] == 1
    found = team.dataset("golden", 40)
    assert (found["added"], found["refused"], found["version"], found["frozen"]) == (40, 0, 1, True)
    assert team.run("prompts", "release", "triage", "--version", "1")[0]["label"] == "live"
    assert team.dataset("golden", 40)["same"] == 40, "pushed again it is the same version"

    # A change without a plan: advice on the dataset, whose verdict is the exit code with --gate alone.
    wrong = team.pushed("Say {{wrong}}")
    asked = ("--dataset", "golden", "--scorer", "exact-match")
    advice = team.evaluated(wrong, *asked, "--gate", code=gates.WORSE)
    assert (advice["verdict"], advice["status"], advice["policy"]["baseline_version"]) == ("worse", "advised", 1)
    assert team.failed_cases() == [True] * 7, "the verdict, the metric, five regressions"
    assert team.evaluated(wrong, *asked)["id"] == advice["id"], "without --gate it is enough that it was evaluated"

    # A suite on a few claims: too few for a verdict.
    team.dataset("few", 4)
    suite = ("--dataset", "few", "--suite", "standard")
    screened = team.evaluated(wrong, *suite)
    assert (screened["verdict"], screened["status"]) == ("inconclusive", "advised")
    told = (tmp_path / "gate.md").read_text()
    for metric in ("Normalised match", "Robustness: ROUGE-L", "Toxicity screen", "Bias screen: refusals"):
        assert f"| {metric} |" in told, metric
    assert team.evaluated(wrong, *suite, "--gate", code=gates.INCONCLUSIVE)["id"] == screened["id"]

    # Two versions at two temperatures, side by side: no gate, no verdict.
    axes = ("--version", "1", "--version", wrong, "--set", "temperature=0,0.5")
    swept = team.run("eval", "sweep", "--prompt", "triage", *axes, "--dataset", "few", "--scorer", "exact-match")
    assert swept["axes"] == ["prompt", "temperature"]
    assert [(row["tried"], row["run"]["metrics"][0]["mean"]) for row in swept["rows"]] == [
        ([f"version {version}", value], mean) for version, mean in (("1", 0.5), (wrong, 0.0)) for value in ("0", "0.5")
    ]
    told = sweeps.told(swept)
    assert told.splitlines()[0].split() == ["prompt", "temperature", "exact-match", "ms", "USD"]
    assert len(told.splitlines()) == 5

    # With a plan a better version releases itself.
    lobby.python(PLAN)
    right = team.pushed("Say {{right}}")
    better = team.evaluated(right, "--gate")
    assert (better["verdict"], better["status"]) == ("better", "released")
    assert better["policy"]["trigger"] in ("version", "ci")  # whoever came first: both asked the same
    assert team.run("gate", "--prompt", "triage", "--version", right)["id"] == better["id"]
    assert not any(team.failed_cases())
    refused = team.run("prompts", "release", "triage", "--version", wrong, code=2)
    assert refused["error"]["code"] == "gate_not_run", "advice, as this version had, is no gate"

    worse = team.evaluated(team.pushed("Reply with {{wrong}}"), "--gate", code=gates.WORSE)
    assert (worse["version"], worse["verdict"], worse["status"]) == (4, "worse", "stopped")
    assert len(worse["evidence"]["worst"]) == 5
    assert "fire 0" in (tmp_path / "gate.md").read_text()
    assert team.evaluated("4", *suite)["status"] == "advised"
    decided = team.run("gate", "--prompt", "triage", "--version", "4", code=gates.WORSE)
    assert decided["id"] == worse["id"], "advice that was asked for afterwards undoes nothing"

    even = team.evaluated(team.pushed("Reply with {{right}}"), "--gate", code=gates.INCONCLUSIVE)
    assert (even["verdict"], even["status"]) == ("inconclusive", "stopped")
    assert team.run("gate", "--prompt", "triage", "--version", "5", "--inconclusive-passes")["id"] == even["id"]
    assert [row["version"] for row in team.run("eval", "status", "--prompt", "triage")] == [5, 4, 4, 3, 2, 2]
    assert team.run("gate", "--prompt", "nosuch", "--version", "1", code=2)["error"]["code"] == "no_gate"
    _models_are_compared(team)
    _looked_at(lobby, chromium)

    # What is not evaluated, or not in time, is a failure with and without --gate.
    lobby.stop_process("worker")
    last = team.pushed("say {{right}}")
    late = team.evaluated(last, "--timeout", "0", code=2)
    assert late["status"] == "running"
    headers = {"Authorization": f"Bearer {keys['management']}"}
    cancelled = httpx.post(f"{lobby.url}/api/evaluations/{late['candidate']}/cancel", headers=headers)
    assert cancelled.status_code == 200
    lobby.start_worker()
    lost = team.evaluated(last, code=2)
    assert (lost["status"], lost["id"]) == ("failed", late["id"])
    assert team.run("gate", "--prompt", "triage", "--version", last, code=2)["id"] == late["id"]
    again = team.evaluated(last)
    assert (again["status"], again["verdict"]) == ("advised", "inconclusive")


def _models_are_compared(team: Team) -> None:
    """What is to come under a route's name beside what is: the same statistics, exit codes and reports."""
    World.eventually(lambda: "claims-default" in json.dumps(team.called()), within=10)
    asked = ("--dataset", "golden", "--prompt", "triage", "--version", "3", "--gate", "--json")
    files = ("--junit", str(team.directory / "gate.xml"), "--markdown", str(team.directory / "gate.md"))

    def compared(model: str, against: str, *more: str, code: int = 0) -> Any:
        return team.run("eval", "compare", "--model", model, "--against", against, *asked, *files, *more, code=code)

    better = compared("claims-default", "sandbox-judge")
    assert (better["verdict"], better["status"], better["evidence"]["metrics"][0]["pairs"]) == ("better", "advised", 40)
    assert not any(team.failed_cases())
    worse = compared("sandbox-judge", "claims-default", code=gates.WORSE)
    assert (worse["verdict"], worse["subject"]) == ("worse", "sandbox-judge against claims-default")
    assert team.failed_cases() == [True] * 7
    assert "Against claims-default." in (team.directory / "gate.md").read_text()
    even = compared("sandbox-chat", "claims-default", "--guard", "contains", "--margin", "0.1", code=gates.INCONCLUSIVE)
    assert [(each["role"], each["margin"]) for each in even["evidence"]["metrics"]] == [
        ("primary", 0.0),
        ("guard", 0.1),
    ]
    refused = compared("sandbox-chat", "claims-default", "--scorer", "right", code=2)
    assert refused["error"]["code"] == "judge_not_calibrated"
    assert compared("sandbox-chat", "nosuch", code=2)["error"]["code"] == "model_not_callable"


def _looked_at(lobby: LiveLobby, chromium: str) -> None:
    """The same in a browser: why a version was stopped, its examples side by side, and the plan."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 390, "height": 844}, color_scheme="dark")
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        log_in(page, lobby.url, "scientist@example.com", PASSWORD, "/prompts/claims/triage/versions/4/")
        expect(page.locator("#verdict-4")).to_have_text("Worse")
        expect(page.locator("#verdict-3")).to_have_text("Better")
        page.get_by_role("link", name="Review").click()
        expect(page.locator(".regression")).to_have_count(5)
        expect(page.get_by_role("button", name="Release")).to_be_disabled()
        expect(page.get_by_text("The gate that guards “live” in production stopped version 4")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        # The page is of what the gate decided, not of the advice that was asked for afterwards.
        page.get_by_role("link", name="Every example, side by side").click()
        expect(page.get_by_text("1–20 of 40")).to_be_visible()
        page.get_by_placeholder("Search examples and answers").press_sequentially("case-07")
        expect(page.locator("#cells .regression")).to_have_count(1)
        expect(page.locator("#cells mark")).to_have_text(["hail", "fire"])
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
        page.goto(f"{lobby.url}/prompts/claims/triage/versions/4/review/")
        expect(page.get_by_role("button", name="Release")).to_be_enabled()
        browser.close()
    assert complaints == []


def test_the_workflow_of_the_docs_gates_what_changed_and_takes_in_what_is_new(
    live_lobby: LobbyFactory, tmp_path: Path
) -> None:
    lobby = live_lobby(start=False)
    keys = json.loads(lobby.python(SETUP).strip().splitlines()[-1])
    lobby.start()
    lobby.start_worker()
    (tmp_path / "prompts").mkdir()
    team = Team(lobby, keys["management"], tmp_path / "prompts")
    text = (ROOT / "docs" / "ci.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    (step,) = [each for each in yaml.safe_load(text)["jobs"]["gate"]["steps"] if "Gate" in each.get("name", "")]
    script = step["run"].replace("${{ github.base_ref }}", "main")
    env = team.env | {"PATH": f"{Path(sys.executable).parent}:{team.env['PATH']}", "PYTHONPATH": str(ROOT)}

    def git(*arguments: str) -> None:
        person = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", *person, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def job() -> tuple[int, str]:
        git("add", "prompts")
        done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    git("init", "-q", "-b", "main")
    team.says("Say {{half}}")
    (tmp_path / "prompts" / "other.prompt").write_text(FILE.format(text="Hello").replace("triage", "other"))
    git("add", "prompts")
    git("commit", "-q", "-m", "Prompts")
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    team.run("prompts", "create", *map(str, sorted(team.directory.glob("*.prompt"))))
    assert job() == (0, ""), "nothing changed"

    # A new one is made, and pushed again it is there; one that is broken says why.
    fresh = tmp_path / "prompts" / "fresh.prompt"
    fresh.write_text(FILE.format(text="Hello").replace("triage", "fresh"))
    assert job() == (0, "fresh: version 1 is saved.\n")
    assert job()[0] == 0
    fresh.write_text(FILE.format(text="Hello {{").replace("triage", "fresh").replace("---", "--", 1))
    code, told = job()
    assert (code, "fresh.prompt" in told, "Traceback" in told) == (2, True, False), told
    fresh.unlink()

    # A changed one without a plan is a failure; with one its verdict is the job's.
    team.dataset("golden", 40)
    team.run("prompts", "release", "triage", "--version", "1")
    team.says("Say {{wrong}}")
    code, told = job()
    assert (code, "no evaluation plan" in told) == (2, True), told
    lobby.python(SCORER + PLAN)
    code, told = job()
    assert (code, "worse" in told) == (gates.WORSE, True), told
    assert "Exact match" in (tmp_path / "reports" / "triage.md").read_text()
    (tmp_path / "prompts" / "other.prompt").write_text("no prompt")
    code, told = job()
    assert (code, "other.prompt" in told, "Traceback" in told) == (2, True, False), told


def decision(**more: Any) -> dict[str, Any]:
    metric = {
        "name": "Exact <b>match</b> | x",
        "value_kind": "binary",
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


@pytest.mark.parametrize(
    ("status", "verdict", "code", "outcome"),
    [
        ("stopped", "worse", gates.WORSE, "failure"),
        ("stopped", "better", gates.WORSE, "failure"),  # refused by a person
        ("stopped", "", gates.WORSE, "failure"),  # a first release that a person refused
        ("stopped", "inconclusive", gates.INCONCLUSIVE, "skipped"),
        ("waiting", "", gates.INCONCLUSIVE, "skipped"),  # a first release
        ("waiting", "better", gates.PASSED, None),
        ("overridden", "worse", gates.PASSED, None),
        ("running", "", 2, "error"),
        ("failed", "", 2, "error"),
    ],
)
def test_the_report_says_what_the_exit_code_says(status: str, verdict: str, code: int, outcome: str | None) -> None:
    about = decision(status=status, verdict=verdict)
    if verdict != "worse":
        about["evidence"] = {}
    if code == 2:
        with pytest.raises(Failed):
            gates.exit_code(about)
    else:
        assert gates.exit_code(about) == code
        assert gates.exit_code(about, inconclusive_passes=True) == (0 if code == gates.INCONCLUSIVE else code)
    cases = xml.fromstring(reports.junit(about)).findall("testsuite/testcase")
    assert cases
    assert [child.tag for case in cases for child in case] == [outcome] * len(cases if outcome else [])
