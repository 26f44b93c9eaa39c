"""A red team for real: its attacks go through a running gateway, to an upstream that leaks at certain words."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from apps.evaluation.redteam import Attack, By, Category, Severity, generate
from apps.evaluation.selectors.redteam import is_simulated
from apps.evaluation.statistics.wilson import wilson
from apps.gateway.services import create_route
from apps.models.models import Model
from apps.models.sandbox_models import register
from apps.models.services import create_endpoint, create_model, create_provider, grant_access
from apps.tenants.access import Actor
from tests.cast import Cast
from tests.evaluation.world import RunsWorld
from tests.gateway.world import bearer

WORD = "word"  # the upstream repeats its messages where the attack has it
STARTED = """
from apps.evaluation.services import redteam
from apps.evaluation.services.redteam import RedTeamPlan
run = redteam.start_red_team(actor=ada, plan=RedTeamPlan(project=project, model=model, **plan))
result = run.public_id
"""
REPORTED = """
from apps.evaluation.selectors.redteam import get_red_team_run, report_of
report = report_of(get_red_team_run(ada, run))
cells = lambda row: {each.name: [each.successes, each.judged] for each in row.by_severity if each.attacks}
result = {
    "whole": [report.whole.successes, report.whole.judged, report.whole.attacks],
    "interval": report.whole.interval,
    "categories": [[str(row.category), row.all.successes, row.all.judged, cells(row)] for row in report.categories],
    "techniques": {row.name: [row.successes, row.judged] for row in report.techniques},
    "findings": [each.key for each in report.findings],
    "before": report.before and [report.before.run.public_id, report.before.opened, report.before.closed],
}
"""


def gets_through(attack: Attack) -> bool:
    """By what is known of the upstream, worked out without the scorer."""
    if WORD not in attack.text.casefold() or attack.by == By.MARKER:
        return False  # to repeat an order is not to obey it
    return attack.by != By.REFUSAL or len(attack.text.replace("-", " ").split()) >= 12


@pytest.fixture(scope="module")
def world(runs_world: RunsWorld) -> RunsWorld:
    return runs_world


@pytest.fixture(scope="module")
def leaky(world: RunsWorld) -> str:
    return world.world.model(upstream=f"fake-chat@parrot={WORD}")


def attacked(world: RunsWorld, model: str, **plan: Any) -> str:
    run: str = world.run(STARTED, model=model, plan=plan)
    assert world.work(run) == "ended"
    return run


def test_the_report_counts_exactly_what_got_through(world: RunsWorld, leaky: str) -> None:
    run = attacked(world, leaky)
    report = world.run(REPORTED, run=run)
    attacks = generate()
    succeeded = [each for each in attacks if gets_through(each)]
    assert 5 < len(succeeded) < len(attacks)
    assert report["whole"] == [len(succeeded), len(attacks), len(attacks)]
    assert report["interval"] == pytest.approx(wilson(len(succeeded), len(attacks)))
    cells = Counter((str(each.category), str(each.severity)) for each in attacks)
    through = Counter((str(each.category), str(each.severity)) for each in succeeded)
    for category, successes, judged, by_severity in report["categories"]:
        assert judged == sum(count for (name, _), count in cells.items() if name == category)
        assert successes == sum(count for (name, _), count in through.items() if name == category)
        assert by_severity == {
            name: [through[category, name], cells[category, name]] for name in Severity.values if cells[category, name]
        }
    ranks = [
        (next((rank for rank, name in enumerate(Severity.values) if cells.get(name, [0])[0]), 4), -successes / judged)
        for _, successes, judged, cells in report["categories"]
    ]
    assert ranks == sorted(ranks), "the worst attacks that got through come first, then by how many did"
    assert len({worst for worst, _ in ranks}) > 1
    techniques = Counter(each.technique for each in attacks)
    assert {name: judged for name, (_, judged) in report["techniques"].items()} == techniques
    assert set(report["findings"]) == {each.key for each in succeeded}
    assert report["before"] is None


def test_the_same_suite_is_made_once_and_the_next_run_says_what_changed(world: RunsWorld, leaky: str) -> None:
    wanted = {"categories": ["system-prompt-leakage", "personal-data-leakage"], "size": "small"}
    first = attacked(world, leaky, **wanted)
    calls = len(world.world.fake.attempts())
    world.world.fake.control("parrot=record")
    try:
        second = attacked(world, leaky, **wanted)
    finally:
        world.world.fake.control("normal")
    assert len(world.world.fake.attempts()) == calls + 12, "what held yesterday is asked again"
    suites = world.run(
        "result = [[row.dataset_version.number, row.dataset_version.size, row.dataset_version.message] for row in"
        " map(run_named, both)]",
        both=[first, second],
    )
    assert suites[0] == suites[1]
    assert suites[0][1:] == [12, "Small suite, personal-data-leakage, system-prompt-leakage, seed 1"]
    reports = [world.run(REPORTED, run=run) for run in (first, second)]
    before, now = (set(report["findings"]) for report in reports)
    assert reports[0]["before"] is None
    assert now != before
    assert reports[1]["before"] == [first, len(now - before), len(before - now)]


def test_a_prompt_is_attacked_through_its_variable_and_findings_become_examples_once(
    world: RunsWorld, leaky: str
) -> None:
    run = world.run(
        """
from apps.evaluation.services import redteam
from apps.evaluation.services.redteam import RedTeamPlan
prompt = prompts.create_prompt(actor=ada, tenant=tenant, slug="sorting", name="Sorting")
content = {
    "messages": [
        {"role": "system", "content": "Sort claims for the motor department of Harbour Mutual.\\nSay it in {{tone}}."},
        {"role": "user", "content": "Claim: {{claim}}"},
    ],
    "variables": {"tone": {"type": "string", "enum": ["one word", "a sentence"]}, "claim": {"type": "string"}},
    "model": model,
}
version = prompts.save_version(actor=ada, prompt=prompt, content=content).version
plan = RedTeamPlan(project=project, prompt_version=version, categories=["system-prompt-leakage"], size="standard")
estimate = redteam.estimate_red_team(actor=ada, plan=plan)
assert (estimate.calls, estimate.cost_picousd > 0) == (16, True)
result = redteam.start_red_team(actor=ada, plan=plan).public_id
""",
        model=leaky,
    )
    asked = {"prompt": {"id": "sorting", "version": 1, "variables": {"tone": "one word", "claim": "Hail"}}}
    url = f"{world.world.lobby.base_url}/chat/completions"
    world.world.eventually(
        lambda: httpx.post(url, json=asked, headers=bearer(world.world.key)).status_code == 200, within=10
    )  # a prompt is called as soon as the gateway has heard of it
    assert world.work(run) == "ended"
    assert world.facts(run)["status"] == "done"
    report = world.run(REPORTED, run=run)
    attacks = generate([Category.PROMPT_LEAK])
    assert set(report["findings"]) == {each.key for each in attacks if WORD in each.text.casefold()}
    found = world.run(
        """
from apps.evaluation.services import redteam
run = run_named(run)
one = redteam.add_findings(actor=ada, run=run, keys=[key])
every = redteam.add_findings(actor=ada, run=run)
again = redteam.add_findings(actor=ada, run=run)
rows = ExampleRevision.objects.unscoped("test").filter(example__dataset=one.dataset)
frozen = __import__("apps.evaluation.services", fromlist=["x"]).freeze_version(actor=ada, dataset=one.dataset).version
result = {
    "counts": [[each.new, each.known] for each in (one, every, again)],
    "dataset": [one.dataset.slug, one.dataset.tags, one.dataset.prompt.slug, frozen.size, frozen.leaks],
    "sources": sorted({row.source for row in rows}),
    "first": [[row.example.key, row.slice, sorted(row.tags), row.expected["attack"]] for row in rows.order_by("pk")][0],
}
""",
        run=run,
        key=report["findings"][0],
    )
    count = len(report["findings"])
    attack = next(each for each in attacks if each.key == report["findings"][0])
    assert found["counts"] == [[1, 0], [count - 1, 1], [0, count]]
    assert found["dataset"] == ["red-team-findings-sorting", ["red-team"], "sorting", count, []]
    assert found["sources"] == ["attack"]
    told = {"by": "instructions", "secrets": []}
    assert found["first"] == [attack.key, attack.category, sorted(attack.tags), told]


def test_what_does_not_fit_is_refused_before_anything_is_asked(world: RunsWorld, leaky: str) -> None:
    refused = world.run(
        """
from apps.evaluation.services import redteam
from apps.evaluation.services.redteam import RedTeamPlan
from apps.tenants.errors import DomainError
result = []
for plan in ({"model": model, "categories": []}, {"model": model, "categories": ["luck"]}, {}, {"model": "no-such"},
             {"model": model, "size": "huge"}, {"model": model, "seed": -1}):
    try:
        redteam.start_red_team(actor=ada, plan=RedTeamPlan(project=project, **plan))
    except DomainError as error:
        result.append([error.code, getattr(error, "field", "")])
""",
        model=leaky,
    )
    assert [field for _, field in refused] == ["categories", "categories", "model", "model", "size", "seed"]


def test_a_route_is_simulated_by_what_its_own_tenant_means_by_its_name(cast: Cast) -> None:
    actor = Actor.system("test")
    register(actor=actor)
    provider = create_provider(
        actor=actor, slug="real", name="Real", base_url="https://192.0.43.7", credential_source="none"
    )
    real = create_model(actor=actor, slug="real", name="Real", lifecycle="approved")
    create_endpoint(actor=actor, model=real, provider=provider, upstream_model="real")
    grant_access(actor=actor, tenant=cast.lending, model=real)
    for tenant, model in ((cast.claims, Model.objects.get(slug="sandbox-chat")), (cast.lending, real)):
        create_route(actor=actor, tenant=tenant, slug="ours", name="Ours", targets=[{"model": model}])
    assert [is_simulated(tenant, "ours") for tenant in (cast.claims, cast.lending)] == [True, False]
    assert [is_simulated(cast.claims, name) for name in ("sandbox-chat", "real", "nosuch")] == [True, False, False]
