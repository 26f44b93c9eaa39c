"""A guarded route's changes: proposed, evaluated beside what is in force, and put there by what the evidence says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from apps.evaluation.mlflow_log import experiment_of
from apps.evaluation.models import EvaluationPlan, GateDecision
from apps.evaluation.selectors.gates import waiting_for
from apps.evaluation.services import gates
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, remove_plan, set_plan
from apps.gateway import services as gateway
from apps.gateway.models import Route, RouteRevision
from apps.models import services as registry
from apps.models.models import Model
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict, Invalid, PermissionDenied
from tests.api.client import Api
from tests.cast import Cast
from tests.evaluation.gating import MODEL, dataset, finish, model, right, scorer

pytestmark = pytest.mark.django_db
OPERATOR = Actor.system("test")
OTHER = "acme/other:2b"


@dataclass
class Guarded:
    cast: Cast
    route: Route

    def propose(self, slug: str = OTHER, by: str = "owner", **facts: Any) -> RouteRevision:
        targets: list[gateway.TargetSpec] = [{"model": Model.objects.get(slug=slug)}]
        saved = gateway.update_route(actor=self.cast.actor(by), route=self.route, targets=targets, **facts)
        assert saved.proposed is not None
        return saved.proposed

    def plan(self, **facts: Any) -> None:
        data = facts.pop("data", None) or dataset(self.cast)
        made = facts.pop("made", None) or scorer(self.cast)
        whole = PlanFacts(dataset=data.dataset, project=self.cast.triage, metrics=[PlannedMetric(made)], **facts)
        set_plan(actor=self.cast.actor("scientist"), owner=self.route, facts=whole)

    def decided(self, revision: RouteRevision, was: float, now: float) -> GateDecision:
        """The decision that opens by itself, once both are so often right."""
        gates.open_gate_of_revision(revision.pk)
        decision = GateDecision.objects.for_tenant(self.cast.claims).get(revision=revision)
        assert decision.baseline is not None
        assert decision.candidate is not None
        for run, share in ((decision.baseline, was), (decision.candidate, now)):
            run.refresh_from_db()
            if run.status != "done":
                finish(run, right(share))
        gates.decide_gate(decision.pk)
        decision.refresh_from_db()
        return decision

    def now(self) -> tuple[int, list[str]]:
        self.route.refresh_from_db()
        assert self.route.revision is not None
        rows = self.route.targets.select_related("model")
        return self.route.revision.number, [row.model.slug for row in rows if row.model is not None]


@pytest.fixture
def world(cast: Cast) -> Guarded:
    model(cast)
    provider = Model.objects.get(slug=MODEL).endpoints.get().provider
    other = registry.create_model(actor=OPERATOR, slug=OTHER, name="Other", lifecycle="approved", is_open=True)
    registry.create_endpoint(actor=OPERATOR, model=other, provider=provider, upstream_model="other")
    route = gateway.create_route(
        actor=cast.actor("owner"),
        tenant=cast.claims,
        slug="claims-default",
        name="Claims",
        targets=[{"model": Model.objects.get(slug=MODEL)}],
    )
    return Guarded(cast, route)


def test_a_better_revision_is_put_in_force_by_its_gate_and_a_worse_one_is_not(world: Guarded) -> None:
    world.plan(policy="automatic")
    decision = world.decided(world.propose(message="Try the other"), 0.5, 0.9)
    assert decision.baseline is not None
    assert decision.candidate is not None
    names = {experiment_of(run)[0] for run in (decision.baseline, decision.candidate)}
    assert names == {"claims: route claims-default"}, "one in MLflow, whatever revision it is about"
    assert decision.candidate is not None
    assert decision.baseline is not None
    assert (decision.baseline.model, decision.candidate.model) == ("claims-default@1", "claims-default@2")
    assert (decision.verdict, decision.status, world.now()) == ("better", "released", (2, [OTHER]))
    assert decision.evidence["warnings"] == [], "that two revisions differ is what is asked"
    assert (decision.policy["baseline_version"], decision.policy["model"]) == (1, "claims-default@2")
    # The way back is open, and a change for the worse is stopped.
    both: list[gateway.TargetSpec] = [{"model": each} for each in Model.objects.order_by("slug")]
    worse = gateway.set_targets(actor=world.cast.actor("owner"), route=world.route, targets=both).proposed
    assert worse is not None
    stopped = world.decided(worse, 0.9, 0.4)
    assert (stopped.verdict, stopped.status, world.now()[0]) == ("worse", "stopped", 2)
    assert stopped.evidence["worst"], "where it lost"
    # Asked again it is the same decision; nor does saving the change again ask anew.
    assert gates.open_gate(actor=world.cast.actor("developer"), version=worse).pk == stopped.pk
    gateway.set_targets(actor=world.cast.actor("owner"), route=world.route, targets=both)
    gates.open_gate_of_revision(worse.pk)
    assert GateDecision.objects.for_tenant(world.cast.claims).count() == 2
    with pytest.raises(Conflict, match="is guarded"):
        gateway.delete_route(actor=world.cast.actor("owner"), route=world.route)
    remove_plan(actor=world.cast.actor("scientist"), owner=world.route)
    with pytest.raises(Conflict, match="stay for good"):
        gateway.delete_route(actor=world.cast.actor("owner"), route=world.route)
    gateway.put_in_force(actor=world.cast.actor("owner"), revision=worse)
    assert world.now()[0] == worse.number, "without a plan a person says so"


def test_a_lost_message_is_made_good(world: Guarded) -> None:
    world.plan(policy="automatic")
    revision = world.propose()
    gates.decide_gates()
    assert GateDecision.objects.for_tenant(world.cast.claims).get().revision == revision


def test_approval_is_for_others_than_the_author(world: Guarded) -> None:
    cast = world.cast
    world.plan(policy="approval")
    decision = world.decided(world.propose(), 0.5, 0.9)
    assert (decision.status, world.now()[0]) == ("waiting", 1)
    assert decision not in waiting_for(cast.actor("owner"), cast.claims)
    assert decision in waiting_for(cast.actor("developer"), cast.claims)
    with pytest.raises(PermissionDenied, match="author does not approve"):
        gates.answer_gate(actor=cast.actor("owner"), decision=decision, is_approval=True)
    gates.deliver_notices()
    told = [each for each in mail.outbox if each.to == [cast["developer"].email]]
    assert "Claims revision 2 waits for your approval" in told[0].subject
    assert reverse("evaluation:revision-review", args=[world.route.pk, 2]) in told[0].body
    assert not [each for each in mail.outbox if each.to == [cast["owner"].email]]
    client = Client()
    client.force_login(cast["developer"], backend="django.contrib.auth.backends.ModelBackend")
    home = client.get(reverse("portal:home")).content.decode()
    assert reverse("evaluation:revision-review", args=[world.route.pk, 2]) in home
    page = client.get(reverse("evaluation:revision-review", args=[world.route.pk, 2])).content.decode()
    assert "Approve" in page
    assert "weight 1" not in page, "by priority none counts"
    answer = client.post(reverse("evaluation:gate-answer", args=[decision.pk]), {"note": "Yes"})
    address = reverse("evaluation:revision-review", args=[world.route.pk, 2])
    assert answer["Location"] == f"{address}?gate={decision.pk}"
    assert world.now() == (2, [OTHER])


def test_what_moved_meanwhile_makes_the_evidence_stale(world: Guarded) -> None:
    cast = world.cast
    world.plan(policy="approval")
    first = world.decided(world.propose(), 0.5, 0.9)
    world.propose(strategy="cost")
    gates.answer_gate(actor=cast.actor("developer"), decision=first, is_approval=True)
    third = RouteRevision.objects.unscoped("test").get(route=world.route, number=3)
    again = gates.open_gate(actor=cast.actor("developer"), version=third)
    gateway.put_in_force(actor=cast.actor("owner"), revision=RouteRevision.objects.unscoped("test").get(number=1))
    assert again.baseline is not None
    assert again.candidate is not None
    again.candidate.refresh_from_db()
    for run, share in ((again.baseline, 0.9), (again.candidate, 1.0)):
        if run.status != "done":
            finish(run, right(share))
    gates.decide_gate(again.pk)
    again.refresh_from_db()
    assert again.status == "stopped"
    assert again.verdict != "better" or "is in force meanwhile" in again.reasons[0]
    assert world.now()[0] == 1


def test_an_admin_overrides_with_a_reason_and_nobody_else_does(world: Guarded) -> None:
    cast = world.cast
    world.plan(policy="automatic")
    decision = world.decided(world.propose(), 0.9, 0.5)
    with pytest.raises(PermissionDenied):
        gates.override_gate(actor=cast.actor("developer"), decision=decision, reason="It has to be so.")
    gates.override_gate(actor=cast.actor("owner"), decision=decision, reason="The old one is withdrawn.")
    decision.refresh_from_db()
    assert (decision.status, world.now()) == ("overridden", (2, [OTHER]))


def test_advice_binds_nobody(world: Guarded) -> None:
    world.plan(policy="advice")
    revision = world.propose()
    assert world.decided(revision, 0.9, 0.5).status == "advised"
    assert world.now()[0] == 1
    gateway.put_in_force(actor=world.cast.actor("owner"), revision=revision)
    assert world.now()[0] == 2


def test_what_stands_in_the_way_is_the_decision(world: Guarded) -> None:
    world.plan(policy="automatic")
    world.cast.triage.is_active = False
    world.cast.triage.save()
    revision = world.propose()
    gates.open_gate_of_revision(revision.pk)
    decision = GateDecision.objects.for_tenant(world.cast.claims).get()
    assert (decision.status, decision.policy["baseline_version"]) == ("failed", 1)
    assert "archived" in decision.reasons[0]


def test_what_a_better_revision_sends_to_is_gone(world: Guarded) -> None:
    world.plan(policy="automatic")
    revision = world.propose()
    Model.objects.filter(slug=OTHER).update(is_open=False)
    gates.open_gate_of_revision(revision.pk)
    decision = world.decided(revision, 0.5, 0.9)
    assert (decision.status, world.now()[0]) == ("stopped", 1)
    assert "may not call" in decision.reasons[0]


def test_who_may_guard_which_route(world: Guarded) -> None:
    cast = world.cast
    data, made = dataset(cast), scorer(cast)
    facts = PlanFacts(dataset=data.dataset, project=cast.triage, metrics=[PlannedMetric(made)])
    house = gateway.create_route(actor=OPERATOR, tenant=None, slug="house", name="House")
    with pytest.raises(Invalid, match="serve every tenant"):
        set_plan(actor=OPERATOR, owner=house, facts=facts)
    with pytest.raises(PermissionDenied):
        set_plan(actor=cast.actor("viewer"), owner=world.route, facts=facts)
    with pytest.raises(IntegrityError), transaction.atomic():
        EvaluationPlan.objects.create(tenant=cast.claims, dataset=data.dataset, project=cast.triage)
    cache.clear()
    api = Api(cast)
    plan = {"dataset": "golden", "project": "triage", "metrics": [{"scorer": "exact-match"}], "policy": "automatic"}
    path = f"routes/{world.route.pk}"
    for who, status in (("key:management", 403), ("viewer", 403), ("outsider", 404), ("scientist", 200)):
        assert api.put(f"{path}/plan", plan, by=who).status == status, who
    assert api.get(path, by="viewer").body["guard"] == "gate"
    assert api.post(f"{path}/revisions", {"strategy": "cost"}, by="owner").body["state"] == "proposed"
    opened = api.post("gates", {"route": world.route.pk, "revision": 2}, by="developer")
    assert (opened.status, opened.body["route"], opened.body["revision"], opened.body["prompt"]) == (
        201, "claims-default", 2, None,
    ), opened.body  # fmt: skip
    assert api.get(f"gates?route={world.route.pk}", by="viewer").body["results"][0]["id"] == opened.body["id"]
    assert api.post("gates", {"route": world.route.pk}, by="developer").status == 422
    assert api.post("gates", {"tenant": "claims"}, by="developer").status == 422
    for who, status in (("key:management", 403), ("owner", 204)):
        assert api.delete(f"{path}/plan", by=who).status == status, who
    assert api.get(path, by="viewer").body["guard"] == "none"


def test_the_pages_say_what_guards_a_route_and_what_waits(world: Guarded) -> None:
    cast = world.cast
    client = Client()
    client.force_login(cast["owner"], backend="django.contrib.auth.backends.ModelBackend")
    pk = world.route.pk
    aside = reverse("evaluation:route-gates", args=[pk])
    assert "Guard it with an evaluation plan" in client.get(aside).content.decode()
    form = client.get(reverse("evaluation:route-plan", args=[pk])).content.decode()
    assert "id_canary_percent" not in form
    assert re.findall(r"[^<>.]*\bversion\b[^<>.]*", form) == ["Its newest version counts at the time of the gate"]
    data, made = dataset(cast), scorer(cast)
    body = {
        "dataset": "golden", "split": "", "project": "triage", "policy": "automatic", "approvals_needed": "1",
        "repetitions": "1", "alpha": "0.05", "minimum_pairs": "30", "runs_by_itself": "on",
        "scorer": "exact-match", "role": "primary", "margin": "",
    }  # fmt: skip
    assert client.post(reverse("evaluation:route-plan", args=[pk]), body).status_code == 302
    assert (data.size, made.slug) == (60, "exact-match")
    world.decided(world.propose(message="Cheaper"), 0.9, 0.5)
    shown = client.get(aside).content.decode()
    assert "Revision 2" in shown
    assert "Stopped" in shown
    review = client.get(reverse("evaluation:revision-review", args=[pk, 2])).content.decode()
    for words in ("Revision 1 → 2", "Where it lost most", "Cheaper", "Not to be put in force by hand", OTHER):
        assert words in review, words
    plan = client.get(reverse("evaluation:route-plan", args=[pk])).content.decode()
    assert "against r1" in plan
    assert "is guarded" in client.get(reverse("gateway:route-edit", args=[pk])).content.decode()
    client.post(reverse("evaluation:revision-gate-open", args=[pk, 2]))
    client.post(reverse("evaluation:route-plan-remove", args=[pk]))
    world.route.refresh_from_db()
    assert world.route.guard == "none"
    client.force_login(cast["outsider"], backend="django.contrib.auth.backends.ModelBackend")
    for name in ("route-gates", "route-plan"):
        assert client.get(reverse(f"evaluation:{name}", args=[pk])).status_code == 404
    assert client.get(reverse("evaluation:revision-review", args=[pk, 2])).status_code == 404
