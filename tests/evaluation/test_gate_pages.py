"""The pages and the API of plans, gates and comparisons."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.evaluation.models import (
    Comparison,
    Evaluation,
    EvaluationItem,
    EvaluationPlan,
    GateDecision,
    Scorer,
)
from apps.evaluation.running import store
from apps.evaluation.selectors.gates import release_refusal
from apps.evaluation.services import calibration, gates
from apps.evaluation.services.plans import PlanFacts, PlannedMetric
from apps.evaluation.services.scorers import create_scorer
from apps.evaluation.types import GateStatus, RunStatus
from apps.tenants.models import Project
from apps.tenants.types import Scope
from tests.cast import Cast
from tests.evaluation.gating import Gated, dataset, finish, gated, right, run_of, scorer, version_of


@pytest.fixture
def world(cast: Cast) -> Gated:
    return gated(cast)


def client(cast: Cast, who: str) -> Client:
    made = Client()
    made.force_login(cast[who], backend="django.contrib.auth.backends.ModelBackend")
    return made


def review(number: int) -> str:
    return reverse("evaluation:version-review", args=["claims", "triage", number])


def decide(world: Gated, text: str, after: list[float]) -> GateDecision:
    decision = gates.open_gate(actor=world.cast.actor("developer"), version=world.save(text))
    assert decision.candidate is not None
    if decision.baseline is not None and decision.baseline.status != "done":
        finish(decision.baseline, right(0.5))
    finish(decision.candidate, after)
    gates.decide_gates()
    decision.refresh_from_db()
    return decision


def test_a_plan_is_set_in_the_form_and_the_version_is_reviewed_approved_and_released(world: Gated) -> None:
    cast = world.cast
    scientist = client(cast, "scientist")
    address = reverse("evaluation:plan", args=["claims", "triage"])
    form: dict[str, Any] = {
        "dataset": "golden", "split": "test", "project": "triage", "environment": "prod", "label": "live",
        "policy": "approval", "approvals_needed": "1", "canary_percent": "20", "runs_by_itself": "on",
        "repetitions": "1", "alpha": "0.05", "minimum_pairs": "30", "most_cost_ratio": "1.5", "budget_usd": "2.5",
        "scorer": ["exact-match", ""], "role": ["guard", "guard"], "margin": ["0", ""],
    }  # fmt: skip
    assert '<option value="golden" selected' not in scientist.get(address).content.decode()
    world.data.dataset.prompt = world.prompt
    world.data.dataset.save(update_fields=["prompt"])
    assert '<option value="golden" selected' in scientist.get(address).content.decode(), "the dataset made for it"
    answer = scientist.post(address, form)
    assert (answer.status_code, "must improve" in answer.content.decode()) == (422, True)
    assert scientist.post(address, form | {"role": ["primary", "guard"]}).status_code == 302
    plan = EvaluationPlan.objects.unscoped("test").get()
    assert (plan.canary_percent, plan.budget_picousd, plan.most_cost_ratio) == (20, 2_500_000_000_000, 1.5)
    assert 'value="exact-match" selected' in scientist.get(address).content.decode()

    # Its approvers are chosen among those whose role may approve.
    shown = scientist.get(address).content.decode()
    assert ("Owner" in shown, "Viewer" in shown, "Outsider" in shown) == (True, False, False)
    named = form | {"role": ["primary", "guard"], "approvers": [str(cast["owner"].pk)]}
    assert scientist.post(address, named | {"approvals_needed": "2"}).status_code == 422
    assert scientist.post(address, named | {"approvers": [str(cast["viewer"].pk)]}).status_code == 422
    assert scientist.post(address, named).status_code == 302
    assert list(plan.approvers.all()) == [cast["owner"]]

    decision = decide(world, "Sort well.", right(0.9))
    assert decision.status == GateStatus.WAITING
    assert "Approve" not in client(cast, "scientist").get(review(2)).content.decode().partition('id="decision"')[2]
    page = client(cast, "developer").get(review(2)).content.decode()
    assert "another member approves it" in page
    assert "gate_waiting" not in page
    assert "Version 2 waits for approval by its gate." in page
    assert "disabled" in page
    assert "0 of 1 approvals, by Owner." in page
    home = client(cast, "owner").get("/").content.decode()
    assert review(2) in home
    assert client(cast, "owner").post(reverse("evaluation:gate-answer", args=[decision.pk])).status_code == 302
    page = client(cast, "owner").get(review(2)).content.decode()
    assert "Give it all calls" in page
    assert re.search(r"Approved\s*</span>\s*Owner", page), "by name"
    assert "live 20%" in page
    log = client(cast, "owner").get(reverse("prompts:release-list", args=["claims", "triage"])).content.decode()
    assert ">20%<" in log
    assert ">80%<" in log
    assert review(2) not in client(cast, "owner").get("/").content.decode()
    widened = client(cast, "owner").post(reverse("evaluation:gate-widen", args=[decision.pk]), {"percent": "100"})
    assert widened.status_code == 302
    assert "live 100%" in client(cast, "viewer").get(review(2)).content.decode()


def test_advice_that_is_asked_for_later_hides_nothing_of_what_the_gate_decided(world: Gated) -> None:
    cast = world.cast
    world.plan(policy="approval")
    decision = decide(world, "Sort well.", right(0.9))
    facts = PlanFacts(dataset=world.data.dataset, project=cast.triage, metrics=[PlannedMetric(world.scorer)])
    advice = gates.open_gate(actor=cast.actor("developer"), version=decision.subject, facts=facts)
    assert advice.pk != decision.pk
    assert (decision.status, advice.status) == (GateStatus.WAITING, GateStatus.RUNNING)
    owner = client(cast, "owner")
    page = owner.get(review(2)).content.decode()
    assert "Approve" in page.partition('id="decision"')[2]
    assert "Version 2 waits for approval by its gate." in page
    assert f"{review(2)}?gate={decision.pk}" in owner.get("/").content.decode(), "the link leads to what waits"
    assert f"{review(2)}?gate={advice.pk}" in page
    told = client(cast, "developer").get(reverse("evaluation:prompt-gates", args=["claims", "triage"]))
    assert "Better" in told.content.decode()
    answer = owner.post(reverse("evaluation:gate-answer", args=[decision.pk]), {"refuse": "1"})
    assert answer["Location"] == f"{review(2)}?gate={decision.pk}"
    refusal = release_refusal(world.prompt, "prod", "live", world.prompt.versions.get(number=2))
    assert refusal is not None
    assert (refusal.code, "did not approve" in refusal.message) == ("gate_stopped", True)
    answer = owner.post(reverse("evaluation:gate-open", args=["claims", "triage", 2]))
    assert answer["Location"] == f"{review(2)}?gate={decision.pk}", "the same question has the same answer"


def test_a_gate_whose_run_is_paused_says_so_and_why(world: Gated) -> None:
    world.plan(policy="automatic")
    version = world.save("Sort well.")
    decision = gates.open_gate(actor=world.cast.actor("developer"), version=version)
    assert decision.candidate is not None
    address = reverse("evaluation:version-review", args=["claims", "triage", version.number])
    scientist = client(world.cast, "scientist")
    assert "is paused" not in scientist.get(address).content.decode()
    limit = "Rate limit reached: 60 requests per minute."
    rows = Evaluation.objects.unscoped("test").filter(pk=decision.candidate.pk)
    rows.update(status=RunStatus.RUNNING, error=limit)
    page = scientist.get(address).content.decode()
    assert "are being evaluated" in page
    assert limit in page
    assert reverse("evaluation:scorer-detail", args=["claims", "exact-match"]) in page
    store.pause(decision.candidate, "The monthly budget cannot cover this request.")
    page = scientist.get(address).content.decode()
    assert "is paused. The monthly budget cannot cover this request." in page
    assert reverse("evaluation:run-detail", args=[decision.candidate.public_id]) in page
    assert "are being evaluated" not in page


def test_a_stopped_version_shows_its_worst_regressions_and_is_overridden_by_an_admin(world: Gated) -> None:
    cast = world.cast
    world.plan(policy="automatic")
    decision = decide(world, "Sort badly.", right(0.1))
    page = client(cast, "scientist").get(review(2)).content.decode()
    assert page.count('class="card regression"') == 5
    assert "Override the gate" not in page
    # What is new in an answer is not therefore better: neither is struck out, and what was expected stands beside them.
    lost = page.partition('id="worst"')[2].partition("</section>")[0]
    assert "<del>" not in lost
    assert "<ins>" not in lost
    assert lost.count("<mark>") == 20, "on each side of five examples the version and the score"
    assert lost.count('<div class="side-name">Expected</div>') == 5
    assert 'Exact match yes → <strong class="tone-danger">no</strong>' in page
    assert "50.0% →" in page
    assert "-40.0 points" in page
    fragment = client(cast, "viewer").get(reverse("evaluation:prompt-gates", args=["claims", "triage"]))
    assert 'id="verdict-2"' in fragment.content.decode()
    override = reverse("evaluation:gate-override", args=[decision.pk])
    assert client(cast, "scientist").post(override, {"reason": "I know better than it."}).status_code == 403
    assert client(cast, "owner").post(override, {"reason": "The law asks for it."}).status_code == 302
    decision.refresh_from_db()
    assert decision.status == GateStatus.OVERRIDDEN


def test_two_runs_are_compared_filtered_and_weighed(cast: Cast) -> None:
    data = dataset(cast)
    metrics = [scorer(cast), scorer(cast, "normalised-match")]
    before, after = run_of(cast, data, "Old model", *metrics), run_of(cast, data, "New model", *metrics)
    finish(before, right(0.5), right(0.5))
    holes = [None if place == 59 else value for place, value in enumerate(right(0.8))]
    finish(after, holes, right(0.2), cost=3_000)
    here = client(cast, "scientist")
    pair = {"baseline": before.public_id, "candidate": after.public_id}
    address = reverse("evaluation:compare")

    def listed(**query: str) -> str:
        answer = here.get(address, pair | query)
        assert answer.status_code == 200
        return str(answer.content.decode())

    assert "Not weighed yet" in listed()
    assert here.post(reverse("evaluation:weigh"), pair).status_code == 302
    gates.decide_gates()
    comparison = Comparison.objects.unscoped("test").get()
    assert (comparison.status, comparison.verdict) == ("done", "better")
    page = listed()
    for word in ("Example by example", "Cost and quality", "1 unpaired", "1–20 of 60", "match yes → no"):
        assert word in page, word
    assert "of 18 examples" in listed(scorer="normalised-match", show="regressed")
    assert "of 18 examples" in listed(show="improved")
    assert "of 30 examples" in listed(slice="storm")
    assert "of 1 examples" in listed(show="unpaired")
    assert "of 1 examples" in listed(q="case-0007")
    assert listed(scorer="normalised-match").index("case-0012") < listed(scorer="normalised-match").index("case-0029")
    assert client(cast, "outsider").get(address, pair).status_code == 404

    # From a number to the run, its logged run, and from an answer to the request that gave it.
    items = EvaluationItem.objects.unscoped("test")
    items.filter(evaluation=before, position=31).update(request_id="0" * 31 + "1")
    items.filter(evaluation=after, position=31).update(request_id="recorded")
    Evaluation.objects.unscoped("test").filter(pk=after.pk).update(mlflow_run_id="abc", mlflow_experiment_id="7")
    page = listed(q="case-0031")
    assert reverse("evaluation:run-detail", args=[before.public_id]) in page
    assert reverse("gateway:request-detail", args=["0" * 31 + "1"]) in page
    assert "Why the candidate's answer" not in page
    assert "#/experiments/7/runs/abc" not in page, "MLflow knows no tenants: it is for the platform's staff"
    assert "#/experiments/7/runs/abc" in client(cast, "service_admin").get(address, pair).content.decode()
    assert "Why the baseline's answer" not in client(cast, "viewer").get(address, pair).content.decode()


def test_a_page_of_the_comparison_costs_as_many_queries_however_large_the_runs_are(cast: Cast) -> None:
    made = scorer(cast)
    here = client(cast, "scientist")

    def cost(size: int) -> int:
        data = dataset(cast, size, f"set-{size}")
        before, after = run_of(cast, data, "Before", made), run_of(cast, data, "After", made)
        finish(before, right(0.5, size))
        finish(after, right(0.8, size))
        pair = {"baseline": before.public_id, "candidate": after.public_id}
        with CaptureQueriesContext(connection) as captured:
            assert here.get(reverse("evaluation:compare"), pair).status_code == 200
        return len(captured)

    cost(30)  # what is read once per process
    assert cost(40) == cost(400)


def test_gates_at_the_api(world: Gated) -> None:
    cast = world.cast
    world.plan(policy="automatic")
    version = world.save("Sort well.")
    key = {"Authorization": f"Bearer {cast.keys['management']}"}
    api = Client(headers=key)
    assert api.get("/api/prompts/claims/triage/plan").json()["dataset"] == "golden"
    body = {"dataset": "golden", "project": "triage", "metrics": [{"scorer": "exact-match"}]}
    refused = api.put("/api/prompts/claims/triage/plan", body, content_type="application/json")
    assert refused.status_code == 403  # a key does not loosen its own gate

    def put(**more: Any) -> Any:
        answer = client(cast, "scientist").put(
            "/api/prompts/claims/triage/plan", body | {"policy": "automatic", **more}, content_type="application/json"
        )
        return answer.status_code, answer.json().get("approvers")

    assert put(approvers=["nobody@example.com"]) == (422, None)
    assert put(approvers=["outsider@example.com"]) == (422, None)
    assert put(approvers=["Owner@example.com"]) == (200, ["owner@example.com"])
    assert put() == (200, [])

    # A key of another project is told so; a key of another tenant finds nothing.
    elsewhere = Project.objects.create(tenant=cast.claims, slug="other", name="Other")
    cast.key("elsewhere", Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE, project=elsewhere)
    cast.key("lender", Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE, by="outsider", project=cast.loans)

    def opened_by(name: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {cast.keys[name]}"}
        body = {"tenant": "claims", "prompt": "triage", "version": version.number}
        told: dict[str, Any] = Client(headers=headers).post("/api/gates", body, content_type="application/json").json()
        return told

    told = opened_by("elsewhere")
    assert (told["status"], told["code"]) == (403, "key_of_other_project")
    assert told["detail"] == "The calls are made in the project 'triage', and this key is of another one."
    assert told["remedy"] == "Use a key of that project, or have the plan name the key's."
    assert opened_by("lender")["detail"] == "There is no prompt 'triage'."
    world.plan(policy="automatic")
    asked = {"tenant": "claims", "prompt": "triage", "version": version.number}
    opened = api.post("/api/gates", asked, content_type="application/json")
    assert opened.status_code == 201, opened.content
    found = opened.json()
    assert (found["status"], found["progress"]) == ("running", {"done": 0, "total": 120})
    assert api.post("/api/gates", asked, content_type="application/json").json()["id"] == found["id"]
    decision = GateDecision.objects.unscoped("test").select_related("baseline", "candidate").get(pk=found["id"])
    assert decision.baseline is not None
    assert decision.candidate is not None
    finish(decision.baseline, right(0.5))
    finish(decision.candidate, right(0.9))
    gates.decide_gates()
    found = api.get(f"/api/gates/{found['id']}").json()
    assert (found["status"], found["verdict"]) == ("released", "better")
    assert api.get("/api/gates", {"prompt": "triage", "verdict": "better"}).json()["results"][0]["id"] == found["id"]

    # A question of one's own gives advice and releases nothing.
    other = world.save("Sort otherwise.")
    mine = asked | {"version": other.number, "dataset": "golden", "scorers": ["normalised-match"], "minimum_pairs": 5}
    advice = api.post("/api/gates", mine, content_type="application/json")
    assert advice.status_code == 201, advice.content
    assert advice.json()["policy"]["policy"] == "advice"
    comparison = {"baseline": found["baseline"], "candidate": found["candidate"]}
    made = api.post("/api/comparisons", comparison, content_type="application/json").json()
    assert (made["verdict"], made["unfit_judge"]) == ("better", "")
    Scorer.objects.unscoped("test").filter(kind="exact-match").update(kind="brought-by-a-package")
    told = api.get(f"/api/comparisons/{made['id']}").json()["unfit_judge"]
    assert told.startswith("There is no scorer 'brought-by-a-package'"), "it is read all the same"


def test_the_page_shows_what_the_trust_in_a_judge_rests_on(world: Gated) -> None:
    cast = world.cast
    made = create_scorer(
        actor=cast.actor("scientist"), tenant=cast.claims, kind="judge-reference", parameters={"model": "m"}
    )
    world.plan(metrics=[PlannedMetric(made)])
    calibration.override_calibration(
        actor=cast.actor("scientist"), version=version_of(made), reason="We read <b>50</b> verdicts."
    )
    decide(world, "Sort well.", right(0.9))
    page = client(cast, "viewer").get(review(2)).content.decode()
    assert "Judge vouched for by Scientist until" in page
    assert "We read &lt;b&gt;50&lt;/b&gt; verdicts." in page
    world.plan(metrics=[PlannedMetric(made)], label="beta")  # where nothing is released yet
    decide(world, "Sort anew.", right(0.9))
    assert "Judge vouched for by Scientist until" in client(cast, "viewer").get(review(3)).content.decode()
