"""A new version's gate: opened once, decided once by the evidence, and released, stopped or put before people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from apps.evaluation import evidence
from apps.evaluation.models import (
    Comparison,
    Evaluation,
    EvaluationItem,
    EvaluationMetric,
    GateDecision,
    GateNotice,
    Score,
)
from apps.evaluation.running import stopping
from apps.evaluation.running.subjects import Subject
from apps.evaluation.selectors.gates import checklist, told_of, waiting_for
from apps.evaluation.services import gates, runs
from apps.evaluation.services.plans import PlannedMetric, remove_plan
from apps.evaluation.services.scorers import update_scorer
from apps.evaluation.terms import terms_of_run
from apps.evaluation.types import GateStatus, MetricRole, Verdict
from apps.models.models import Endpoint
from apps.prompts import services as prompts
from apps.prompts.models import PromptVersion, Release
from apps.prompts.selectors import label_state_of
from apps.prompts.types import Decision
from apps.tenants.errors import Conflict, Invalid, PermissionDenied
from apps.tenants.models import AuditEntry, Membership
from tests.cast import Cast
from tests.evaluation.gating import MODEL, SIZE, Gated, finish, gated, right, run_of, scorer, version_of
from tests.fakes.smtp_sink import smtp_sink


@pytest.fixture
def world(cast: Cast) -> Gated:
    return gated(cast)


def decided(world: Gated, version: PromptVersion, before: Any = None, after: Any = None) -> GateDecision:
    """The version's decision once both runs have these scores. The released version is right on half of them."""
    gates.open_gate_of_new_version(version.pk)
    decision = GateDecision.objects.unscoped("test").select_related("candidate", "baseline").get(version=version)
    if decision.baseline is not None and decision.baseline.status != "done":
        finish(decision.baseline, before or right(0.5))
    assert decision.candidate is not None
    finish(decision.candidate, after or right(0.8))
    gates.decide_gates()
    decision.refresh_from_db()
    return decision


def live(world: Gated) -> dict[int, int]:
    state = label_state_of(world.prompt, "prod", "live")
    assert state is not None
    return {share.version.number: share.percent for share in state.shares}


@pytest.mark.parametrize(
    ("after", "verdict", "status", "released"),
    [
        (right(0.8), Verdict.BETTER, GateStatus.RELEASED, {2: 100}),
        (right(0.2), Verdict.WORSE, GateStatus.STOPPED, {1: 100}),
        (right(0.5), Verdict.INCONCLUSIVE, GateStatus.STOPPED, {1: 100}),
    ],
)
def test_better_is_released_worse_is_stopped_even_is_inconclusive(
    world: Gated, after: list[float], verdict: str, status: str, released: dict[int, int]
) -> None:
    world.plan(policy="automatic")
    decision = decided(world, world.save("Sort well."), after=after)
    assert (decision.verdict, decision.status) == (verdict, status)
    assert live(world) == released
    (metric,) = decision.evidence["metrics"]
    assert (metric["pairs"], metric["unpaired"]) == (SIZE, 0)
    assert (metric["improved"], metric["regressed"]) == (18 * (verdict == "better"), 18 * (verdict == "worse"))
    if verdict == Verdict.BETTER:
        assert decision.release is not None
        assert (decision.release.decision, decision.release.actor_label) == (
            Decision.GATE,
            f"gate decision {decision.pk}",
        )
    if verdict == Verdict.WORSE:
        worst = decision.evidence["worst"]
        assert len(worst) == 5
        assert {each["difference"] for each in worst} == {-1.0}
        assert all(each["baseline_output"] != each["candidate_output"] for each in worst)
    if verdict == Verdict.INCONCLUSIVE:
        assert metric["minimum_detectable_effect"] > 0


def test_a_decision_is_made_once_however_often_it_is_asked_for(world: Gated) -> None:
    world.plan(policy="automatic")
    version = world.save("Sort well.")
    for _ in range(2):
        gates.open_gate_of_new_version(version.pk)
    assert Evaluation.objects.unscoped("test").count() == 2
    decision = decided(world, version)
    for _ in range(2):
        gates.decide_gate(decision.pk)
        gates.decide_gates()
    assert Release.objects.unscoped("test").filter(decision=Decision.GATE).count() == 1
    assert gates.open_gate(actor=world.cast.actor("developer"), version=world.save("More.")).pk != decision.pk
    # The released version's evaluation is taken again: it asked the same of the same examples.
    candidate = decision.candidate
    # Asked of the version that it released, as a pipeline may that was slower than the plan.
    assert gates.open_gate(actor=world.cast.actor("developer"), version=version, trigger="ci").pk == decision.pk
    newest = GateDecision.objects.unscoped("test").order_by("-pk")[0]
    assert (newest.baseline, newest.policy["baseline_version"]) == (candidate, 2)
    # The same question has the same answer.
    assert gates.open_gate(actor=world.cast.actor("developer"), version=newest.subject).pk == newest.pk


def test_a_baseline_is_asked_anew_once_its_models_name_stands_for_another(world: Gated) -> None:
    world.plan(policy="automatic")
    first = decided(world, world.save("Sort badly."), after=right(0.2))
    assert first.baseline is not None
    item = first.baseline.items.select_related("revision").order_by("pk")[0]
    item.call_hash = Subject.of(first.baseline).hash_of(item.revision, item.repetition)
    item.save(update_fields=["call_hash"])
    developer = world.cast.actor("developer")
    second = gates.open_gate(actor=developer, version=world.save("Sort as ever."))
    assert second.baseline == first.baseline
    Endpoint.objects.filter(model__slug=MODEL).update(upstream_model="a-better-judge")
    third = gates.open_gate(actor=developer, version=world.save("Sort well."))
    assert third.baseline not in (None, first.baseline)
    assert third.policy["baseline_version"] == 1


def test_a_person_cannot_release_past_the_gate(world: Gated) -> None:
    cast = world.cast
    world.plan(policy="automatic")
    version = world.save("Sort badly.")
    with pytest.raises(Conflict) as refused:
        world.release(2)
    assert refused.value.code == "gate_not_run"
    decision = decided(world, version, after=right(0.2))
    with pytest.raises(Conflict) as refused:
        world.release(2)
    assert refused.value.code == "gate_stopped"
    assert "got worse" in refused.value.message
    with pytest.raises(Conflict):  # not even for a share of the calls
        prompts.release_versions(
            actor=cast.actor("owner"), prompt=world.prompt, environment="prod", label="live", weights={1: 99, 2: 1}
        )
    prompts.release_versions(
        actor=cast.actor("owner"), prompt=world.prompt, environment="dev", label="live", weights={2: 100}
    )
    for who, reason, error in (
        ("developer", "It is what the law asks for now.", PermissionDenied),
        ("owner", "Because", Invalid),
    ):
        with pytest.raises(error):
            gates.override_gate(actor=cast.actor(who), decision=decision, reason=reason)
    gates.override_gate(actor=cast.actor("owner"), decision=decision, reason="It is what the law asks for now.")
    decision.refresh_from_db()
    assert (decision.status, live(world)) == (GateStatus.OVERRIDDEN, {2: 100})
    assert decision.release is not None
    assert "the law" in decision.release.reason
    first = Release.objects.unscoped("test").filter(environment="prod").order_by("pk")[0]
    prompts.roll_back(actor=cast.actor("developer"), release=first)
    world.release(2)  # what was overridden stays so
    remove_plan(actor=cast.actor("scientist"), owner=world.prompt)
    world.save("Sort freely.")
    world.release(3)


def test_approvers_decide_and_the_author_is_none_of_them(world: Gated) -> None:
    cast = world.cast
    world.plan(policy="approval", approvals_needed=2)
    decision = decided(world, world.save("Sort well."))
    assert (decision.status, live(world)) == (GateStatus.WAITING, {1: 100})
    assert [
        bool(waiting_for(cast.actor(who), cast.claims)) for who in ("developer", "scientist", "owner", "viewer")
    ] == [
        False,
        True,
        True,
        False,
    ]
    with pytest.raises(PermissionDenied) as own:
        gates.answer_gate(actor=cast.actor("developer"), decision=decision, is_approval=True)
    assert own.value.code == "own_version"
    gates.answer_gate(actor=cast.actor("scientist"), decision=decision, is_approval=True)
    with pytest.raises(Conflict):
        gates.answer_gate(actor=cast.actor("scientist"), decision=decision, is_approval=True)
    assert not waiting_for(cast.actor("scientist"), cast.claims)
    assert live(world) == {1: 100}
    gates.answer_gate(actor=cast.actor("owner"), decision=decision, is_approval=True)
    decision.refresh_from_db()
    assert (decision.status, live(world)) == (GateStatus.RELEASED, {2: 100})

    refused = decided(world, world.save("Sort better."), after=right(1))
    gates.answer_gate(actor=cast.actor("owner"), decision=refused, is_approval=False, note="Too curt.")
    refused.refresh_from_db()
    assert (refused.status, refused.reasons[0]) == (GateStatus.STOPPED, "Owner did not approve it: Too curt.")


def test_a_plan_may_name_its_approvers_and_says_so_of_what_waits_already(world: Gated) -> None:
    cast = world.cast
    with pytest.raises(Invalid, match=r"viewer@example.com may not approve"):
        world.plan(approvers=[cast["owner"], cast["viewer"]])
    with pytest.raises(Invalid, match="may not approve in this tenant"):
        world.plan(approvers=[cast["outsider"]])
    with pytest.raises(Invalid, match="2 approvals are needed, and 1 may give one"):
        world.plan(approvers=[cast["owner"]], approvals_needed=2)
    world.plan(policy="approval", approvers=[cast["owner"], cast["developer"]])
    decision = decided(world, world.save("Sort well."))

    def asked() -> dict[str, bool]:
        people = ("developer", "scientist", "owner")
        return {who: decision in waiting_for(cast.actor(who), cast.claims) for who in people}

    assert asked() == {"developer": False, "scientist": False, "owner": True}, "an author that is named stays one"
    assert [row.user for row in GateNotice.objects.unscoped("test")] == [cast["owner"]]
    for who, code in (
        ("scientist", "not_an_approver"),
        ("service_admin", "not_an_approver"),
        ("developer", "own_version"),
    ):
        with pytest.raises(PermissionDenied) as refused:
            gates.answer_gate(actor=cast.actor(who), decision=decision, is_approval=True)
        assert refused.value.code == code
    assert decision.policy["approvers"] == ["developer@example.com", "owner@example.com"]

    # Who approves is as the plan says now; another approver makes no other question.
    world.plan(policy="approval", approvers=[cast["scientist"]])
    assert asked() == {"developer": False, "scientist": True, "owner": False}
    assert gates.open_gate(actor=cast.actor("developer"), version=decision.subject) == decision
    assert gates.deliver_notices() == 0, "the owner is not asked any more"
    Membership.objects.unscoped("test").filter(user=cast["scientist"]).update(role="viewer")
    with pytest.raises(PermissionDenied):
        gates.answer_gate(actor=cast.actor("scientist"), decision=decision, is_approval=True)
    with pytest.raises(PermissionDenied, match="names who approves"):
        gates.answer_gate(actor=cast.actor("owner"), decision=decision, is_approval=True)
    Membership.objects.unscoped("test").filter(user=cast["scientist"]).update(role="data_scientist")
    gates.answer_gate(actor=cast.actor("scientist"), decision=decision, is_approval=True)
    assert live(world) == {2: 100}
    told = AuditEntry.objects.unscoped("test").filter(action="evaluation_plan.set").order_by("-sequence")[0]
    assert told.data["approvers"] == [["developer@example.com", "owner@example.com"], ["scientist@example.com"]]


def test_those_who_may_approve_are_told_by_mail_until_it_arrives_or_is_decided(
    world: Gated, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    cast = world.cast
    world.plan(policy="approval", approvals_needed=2)
    with smtp_sink() as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        sink.refuses = True
        decision = decided(world, world.save("Sort well."))
        gates.decide_gates()
        rows = GateNotice.objects.unscoped("test").order_by("user__email")
        # Never the author; nobody who may only look.
        assert [row.user.email for row in rows] == ["owner@example.com", "scientist@example.com"]
        assert gates.deliver_notices() == 0
        assert [(row.status, row.error) for row in rows.all()] == [
            ("waiting", "The mail server: SMTPRecipientsRefused.")
        ] * 2
        sink.refuses = False
        gates.answer_gate(actor=cast.actor("owner"), decision=decision, is_approval=True)
        later = timezone.now() + timedelta(minutes=1)
        monkeypatch.setattr(timezone, "now", lambda: later)
        assert gates.deliver_notices() == 1, "who has answered is not asked any more"
        assert gates.deliver_notices() == 0
        [mail] = sink.mails
        assert (mail["To"], mail["Subject"]) == (
            "scientist@example.com",
            "Lobby: Claims triage version 2 waits for your approval",
        )
        text = mail.get_content()
        assert "/prompts/claims/triage/versions/2/review/" in text
        assert "before “live” means it in production" in text
        assert decision.reasons[0] in " ".join(text.split())
        assert told_of(decision) == {"all": 2, "sent": 1}

        # Decided before the mail went out, or no approver any more: nothing is sent.
        other = decided(world, world.save("Sort better.", by="scientist"), after=right(0.9))
        Membership.objects.unscoped("test").filter(user=cast["developer"]).update(role="viewer")
        gates.answer_gate(actor=cast.actor("owner"), decision=other, is_approval=False)
        assert gates.deliver_notices() == 0
        assert told_of(other) == {"all": 2, "sent": 0}
        third = decided(world, world.save("Sort best.", by="scientist"), after=right(1))
        assert third.status == GateStatus.WAITING
        Membership.objects.unscoped("test").filter(user=cast["owner"]).update(role="viewer")
        assert gates.deliver_notices() == 0
        assert len(sink.mails) == 1


def test_a_label_that_moved_meanwhile_is_not_released_over(world: Gated) -> None:
    world.plan(policy="approval")
    decision = decided(world, world.save("Sort well."))
    other = decided(world, world.save("Sort otherwise."), after=right(0.9))
    for each in (other, decision):
        assert each.status == GateStatus.WAITING
    gates.answer_gate(actor=world.cast.actor("owner"), decision=other, is_approval=True)
    with pytest.raises(Conflict) as moved:
        gates.answer_gate(actor=world.cast.actor("owner"), decision=decision, is_approval=True)
    assert moved.value.code == "label_moved"
    again = gates.open_gate(actor=world.cast.actor("scientist"), version=decision.subject)
    assert (again.pk != decision.pk, again.policy["baseline_version"]) == (True, 3)


def test_a_first_release_waits_for_approval_and_a_canary_is_widened(world: Gated) -> None:
    owner = world.cast.actor("owner")
    world.plan(policy="automatic", label="beta", canary_percent=10)
    first = decided(world, world.save("Sort anew."))
    assert (first.verdict, first.status, first.baseline) == ("", GateStatus.WAITING, None)
    gates.answer_gate(actor=owner, decision=first, is_approval=True)
    second = decided(world, world.save("Sort well."), after=right(1))
    assert second.status == GateStatus.RELEASED

    def shares() -> dict[int, int]:
        state = label_state_of(world.prompt, "prod", "beta")
        assert state is not None
        return {share.version.number: share.percent for share in state.shares}

    assert shares() == {2: 90, 3: 10}
    gates.widen_release(actor=owner, decision=second, percent=50)
    assert shares() == {2: 50, 3: 50}
    with pytest.raises(Invalid):
        gates.widen_release(actor=owner, decision=second, percent=50)
    gates.widen_release(actor=owner, decision=second)
    assert shares() == {3: 100}


def test_guards_limits_and_minimum_pairs(world: Gated) -> None:
    guard = scorer(world.cast, "normalised-match")
    metrics = [PlannedMetric(world.scorer), PlannedMetric(guard, MetricRole.GUARD, 0.1)]
    world.plan(policy="automatic", metrics=metrics, most_cost_ratio=1.5)

    def gate(text: str, after: Any, guarded: Any, **usage: int) -> GateDecision:
        decision = gates.open_gate(actor=world.cast.actor("developer"), version=world.save(text))
        assert decision.baseline is not None
        assert decision.candidate is not None
        if decision.baseline.status != "done":
            finish(decision.baseline, right(0.5), right(1))
        finish(decision.candidate, after, guarded, **usage)
        gates.decide_gate(decision.pk)
        decision.refresh_from_db()
        return decision

    broken = gate("One.", right(1), right(0.5))
    assert (broken.verdict, broken.status) == (Verdict.WORSE, GateStatus.STOPPED)
    assert "more than 10.0 points" in broken.reasons[0]
    dear = gate("Two.", right(1), right(1), cost=2_000)
    assert (dear.verdict, dear.reasons[0]) == (
        Verdict.WORSE,
        "Cost: an answer takes 2.00 times the baseline's; the limit is 1.5 times.",
    )
    assert gate("Three.", right(1), right(1)).status == GateStatus.RELEASED
    world.plan(policy="automatic", metrics=metrics, minimum_pairs=SIZE + 1)
    few = gate("Four.", right(1), right(1))
    assert (few.verdict, few.status) == (Verdict.INCONCLUSIVE, GateStatus.STOPPED)


def test_two_scorers_of_one_name_are_two_metrics(world: Gated) -> None:
    """As two of one kind are called, until somebody gives them names."""
    other = scorer(world.cast, slug="other-match")
    assert other.name == world.scorer.name
    metrics = [PlannedMetric(world.scorer, MetricRole.PRIMARY), PlannedMetric(other, MetricRole.GUARD)]
    world.plan(policy="automatic", metrics=metrics)
    decision = gates.open_gate(actor=world.cast.actor("developer"), version=world.save("Sort well."))
    assert decision.baseline is not None
    assert decision.candidate is not None
    finish(decision.baseline, right(0.5), right(1))
    assert stopping.enough(decision.candidate) == ""
    finish(decision.candidate, right(0.8), right(1))
    gates.decide_gates()
    decision.refresh_from_db()
    assert (decision.verdict, decision.status) == (Verdict.BETTER, GateStatus.RELEASED), decision.reasons
    told = [each["name"] for each in decision.evidence["metrics"]]
    assert told == ["Exact match (exact-match)", "Exact match (other-match)"]


def test_a_judge_that_answers_garbage_is_counted_and_told(world: Gated) -> None:
    world.plan(policy="automatic")
    decision = decided(world, world.save("Sort well."), after=[1.0] * 20 + [None] * 40)
    assert (decision.verdict, decision.status) == (Verdict.INCONCLUSIVE, GateStatus.STOPPED)
    (metric,) = decision.evidence["metrics"]
    assert (metric["pairs"], metric["unpaired"]) == (20, 40)
    [told] = decision.evidence["warnings"]
    assert "have no score by Exact match: The judge's answer is no JSON." in told
    assert told.startswith("40 answers of ")
    assert "40 examples have a value on one side only (most often: “The judge's answer is no JSON”)" in metric["reason"]
    with pytest.raises(Conflict) as refused:
        world.release(2)
    assert refused.value.remedy.startswith("Save a better version")


def test_a_dataset_without_answers_is_not_the_versions_fault(world: Gated) -> None:
    world.plan(policy="automatic")
    decision = gates.open_gate(actor=world.cast.actor("developer"), version=world.save("Sort well."))
    for run in (decision.baseline, decision.candidate):
        assert run is not None
        finish(run, [1.0] * 30 + [None] * 30)
    gates.decide_gates()
    decision.refresh_from_db()
    assert (decision.verdict, decision.status) == (Verdict.INCONCLUSIVE, GateStatus.STOPPED)
    told = "30 examples have a value on neither side (most often: “The judge's answer is no JSON”)"
    assert told in decision.reasons[0]
    with pytest.raises(Conflict) as refused:
        world.release(2)
    assert told in refused.value.message
    assert refused.value.remedy.startswith("Mend what its examples have no score for")


def test_no_ratio_of_costs_allows_a_price_where_there_was_none(world: Gated) -> None:
    world.plan(policy="automatic", most_cost_ratio=1.5)
    decision = gates.open_gate(actor=world.cast.actor("developer"), version=world.save("Think hard."))
    assert decision.baseline is not None
    assert decision.candidate is not None
    finish(decision.baseline, right(0.5), cost=0)
    finish(decision.candidate, right(0.9), cost=2_000)
    gates.decide_gates()
    decision.refresh_from_db()
    assert (decision.verdict, decision.status) == (Verdict.WORSE, GateStatus.STOPPED)
    assert decision.reasons[0] == (
        "Cost: an answer costs something, and the baseline's nothing; the limit is 1.5 times."
    )
    assert [check.state for check in checklist(world.prompt, None, decision)] == ["ok", "failed"]


def test_a_slower_version_is_stopped_by_the_limit_of_time(world: Gated) -> None:
    world.plan(policy="automatic", most_latency_ratio=1.5)
    decision = gates.open_gate(actor=world.cast.actor("developer"), version=world.save("Think long."))
    assert decision.baseline is not None
    assert decision.candidate is not None
    finish(decision.baseline, right(0.5), ms=500)
    finish(decision.candidate, right(1), ms=800)
    gates.decide_gates()
    decision.refresh_from_db()
    assert (decision.verdict, decision.status, decision.reasons[0]) == (
        Verdict.WORSE,
        GateStatus.STOPPED,
        "Time: an answer takes 1.60 times the baseline's; the limit is 1.5 times.",
    )


def test_a_difference_that_two_runs_of_one_version_have_releases_nothing(world: Gated) -> None:
    world.plan(policy="automatic")
    decision = gates.open_gate(actor=world.cast.actor("developer"), version=world.save("Sort well."))
    assert decision.baseline is not None
    assert decision.candidate is not None
    # The released version was run before: it was right on the other half.
    earlier = run_of(world.cast, world.data, "Earlier", world.scorer)
    Evaluation.objects.unscoped("test").filter(pk=earlier.pk).update(prompt_version=decision.baseline.prompt_version)
    finish(earlier, [1 - value for value in right(0.5)])
    finish(decision.baseline, right(0.5))
    finish(decision.candidate, right(0.7))  # 12 better, none worse: no chance, but not more than the version differs
    gates.decide_gates()
    decision.refresh_from_db()
    assert (decision.verdict, decision.status) == (Verdict.INCONCLUSIVE, GateStatus.STOPPED)
    (metric,) = decision.evidence["metrics"]
    assert metric["difference"] == pytest.approx(0.2)
    assert metric["adjusted_p_value"] < 0.01
    assert metric["noise_floor"] == pytest.approx(0.253, abs=0.001)
    assert "within the noise floor of 25.3 points" in decision.reasons[0]


def test_what_stands_in_the_way_is_told_by_the_decision(world: Gated) -> None:
    world.plan(policy="automatic", model="acme/none:0b")
    version = world.save("Sort well.")
    gates.open_gate_of_new_version(version.pk)
    decision = GateDecision.objects.unscoped("test").get(version=version)
    assert decision.status == GateStatus.FAILED
    assert "acme/none:0b" in decision.reasons[0]
    assert decision.policy["baseline_version"] == 1, "what it would have been compared with"
    with pytest.raises(Conflict) as refused:
        world.release(2)
    assert (refused.value.code, "run the gate again" in (refused.value.remedy or "")) == ("gate_failed", True)
    world.plan(policy="automatic")
    again = gates.open_gate(actor=world.cast.actor("developer"), version=version)
    assert again.candidate is not None
    Evaluation.objects.unscoped("test").filter(pk=again.candidate.pk).update(status="failed", error="No budget.")
    assert again.baseline is not None
    finish(again.baseline, right(0.5))
    gates.decide_gates()
    again.refresh_from_db()
    assert (again.status, again.reasons) == (GateStatus.FAILED, ["The version's evaluation failed: No budget."])


def test_a_new_version_opens_its_gate_after_the_commit(
    world: Gated, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    world.plan()
    version = world.save("Sort well.")
    gates.decide_gates()  # as the sweep does where the message was lost
    decision = GateDecision.objects.unscoped("test").get(version=version)
    assert (decision.status, decision.policy["trigger"]) == (GateStatus.RUNNING, "version")
    assert decision.candidate is not None
    assert decision.candidate.created_by == world.cast["developer"]
    assert not Comparison.objects.unscoped("test").exists()


def test_the_noise_floor_is_that_of_the_examples_that_are_compared(world: Gated) -> None:
    """Runs of the baseline on more of the dataset tell how much its answers differ, and not over how many."""
    version = world.save("Sort anew.")
    small, large = (
        Evaluation.objects.create(
            tenant=world.cast.claims,
            project=world.cast.triage,
            name=split or "all",
            prompt_version=version,
            model=MODEL,
            dataset_version=world.data,
            split=split,
        )
        for split in ("test", "")
    )
    for run in (small, large):
        EvaluationMetric.objects.create(evaluation=run, scorer_version=version_of(world.scorer), role="primary")
    finish(large, right(0.5))
    finish(small, right(0.7))
    EvaluationItem.objects.unscoped("test").filter(evaluation=small, position__gte=15).delete()
    Score.objects.unscoped("test").filter(item__evaluation=large, item__position__in=(0, 1)).update(value=0)
    found = evidence.weigh(small, small, terms_of_run(small.metrics.all()))
    # Of 15 examples that both answered, 2 changed: a variance of 2 × 1/2 over 15 degrees of freedom.
    assert found["metrics"][0]["noise_floor"] == pytest.approx(1.96 * (2 * (1 / 15) / 15) ** 0.5, rel=1e-3)


def test_two_runs_are_weighed_again_once_errors_of_one_were_tried_again(world: Gated) -> None:
    scientist = world.cast.actor("scientist")
    before, after = (run_of(world.cast, world.data, name, world.scorer) for name in ("Before", "After"))
    finish(before, right(0.5))
    finish(after, [1.0] * 20 + [None] * 40)

    def weighed() -> Comparison:
        comparison = gates.compare_evaluations(actor=scientist, baseline=before, candidate=after)
        gates.decide_gates()
        comparison.refresh_from_db()
        return comparison

    first = weighed()
    assert (first.status, first.verdict) == ("done", Verdict.INCONCLUSIVE)
    runs.retry_errors(actor=scientist, run=after)
    again = weighed()
    assert (again.pk, again.status, again.verdict, again.evidence) == (first.pk, "waiting", "", {})
    items = EvaluationItem.objects.unscoped("test").filter(evaluation=after)
    version = version_of(world.scorer)
    Score.objects.bulk_create(
        Score(item=item, scorer_version=version, value=1) for item in items.filter(status="pending")
    )
    items.update(status="done")
    Evaluation.objects.unscoped("test").filter(pk=after.pk).update(status="done")
    last = weighed()
    assert (last.status, last.verdict, last.evidence["metrics"][0]["pairs"]) == ("done", Verdict.BETTER, SIZE)


def test_of_two_versions_of_a_scorer_in_both_runs_the_newer_is_weighed(world: Gated) -> None:
    scientist = world.cast.actor("scientist")
    made = scorer(world.cast, "normalised-match")
    older = version_of(made)
    update_scorer(actor=scientist, scorer=made, parameters={"ignore": ["case"]})
    pair = [run_of(world.cast, world.data, name, made) for name in ("Before", "After")]
    for run, share in zip(pair, (0.5, 0.8), strict=True):
        EvaluationMetric.objects.create(evaluation=run, scorer_version=older)
        finish(run, right(0.5), right(share))
    comparison = gates.compare_evaluations(actor=scientist, baseline=pair[0], candidate=pair[1])
    gates.weigh_comparison(comparison.pk)
    comparison.refresh_from_db()
    assert (comparison.error, comparison.verdict) == ("", Verdict.INCONCLUSIVE)
    assert [each["versions"] for each in comparison.evidence["metrics"]] == [[2, 2]]


def test_a_gate_that_an_outage_left_without_a_verdict_is_asked_anew_once_the_errors_were_tried_again(
    world: Gated,
) -> None:
    world.plan(policy="automatic")
    version = world.save("Sort well.")
    developer = world.cast.actor("developer")
    decision = decided(world, version, after=[1.0] * 20 + [None] * 40)
    assert (decision.verdict, decision.status) == (Verdict.INCONCLUSIVE, GateStatus.STOPPED)
    assert gates.open_gate(actor=developer, version=version) == decision, "nothing has changed since"
    candidate = decision.candidate
    assert candidate is not None
    runs.retry_errors(actor=developer, run=candidate)
    assert gates.open_gate(actor=developer, version=version) == decision, "not yet"
    Evaluation.objects.unscoped("test").filter(pk=candidate.pk).update(status="done", finished_at=timezone.now())
    again = gates.open_gate(actor=developer, version=version)
    assert (again.status, again.baseline) == (GateStatus.RUNNING, decision.baseline)
    assert again.pk != decision.pk
    assert gates.open_gate(actor=developer, version=version) == again
