"""Gates: a prompt's new version is evaluated beside the one that is released, and the evidence decides.

A decision's row is the truth. It is opened once for the same question, and decided once: whoever comes second (a
doubled message, a worker that was killed and woken) finds it decided. ``decide_gates`` looks at every open one, so
that a message that got lost loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.evaluation import evidence
from apps.evaluation.models import (
    Approval,
    Comparison,
    DatasetVersion,
    Evaluation,
    EvaluationPlan,
    GateDecision,
    JudgeCalibration,
    PlanMetric,
    ScorerVersion,
)
from apps.evaluation.scorers import Need, registry
from apps.evaluation.selectors import gates as selectors
from apps.evaluation.services.plans import PlanFacts, cleaned, told
from apps.evaluation.services.runs import MetricChoice, RunPlan, start_run
from apps.evaluation.services.scorers import current_version
from apps.evaluation.terms import Terms
from apps.evaluation.types import (
    LIVE_RUNS,
    ComparisonStatus,
    GateStatus,
    MetricRole,
    ReleasePolicy,
    RunStatus,
    Trigger,
    Verdict,
)
from apps.prompts import services as prompts
from apps.prompts.models import PromptVersion, Release
from apps.prompts.selectors import label_state_of
from apps.prompts.services.prompts import locked
from apps.prompts.types import Decision
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict, DomainError, Invalid, PermissionDenied
from apps.tenants.jobs import enqueue
from apps.tenants.models import Membership

DECIDE_TASK: Final = "evaluation.decide_gate"
WHY: Final = "a gate that its worker decides"
SHORTEST_REASON: Final = 10
# What does not change the question: who asked it, and when.
_ASKING: Final = ("trigger", "opened_by")


# Opened.


@transaction.atomic
def open_gate(
    *, actor: Actor, version: PromptVersion, trigger: str = Trigger.PERSON, facts: PlanFacts | None = None
) -> GateDecision:
    """Evaluate ``version`` by its prompt's plan, or by ``facts`` in its place: those give advice and release nothing.

    The same question asked again is answered by the same decision: asking until chance says yes would be no test.

    Raises:
        Conflict: There is no plan, or the label means this version already.
        Invalid: The plan does not fit what is there: a dataset without a version, a model that may not be called.
    """
    prompt = locked(version.prompt)
    require(actor, "evaluation.run", prompt.tenant, what="run this prompt's gate")
    version.prompt = prompt
    if facts is not None:
        values, chosen = cleaned(prompt, facts)
        stated = EvaluationPlan(tenant=prompt.tenant, prompt=prompt, **(values | {"policy": ReleasePolicy.ADVICE}))
        rows = [PlanMetric(scorer=each.scorer, role=each.role, margin=each.margin) for each in chosen]
        return _open(actor, stated, rows, version, trigger)
    plan = selectors.plan_of(prompt)
    if plan is None:
        raise Conflict(
            f"{prompt.name} has no evaluation plan.",
            code="no_plan",
            remedy="Set one on the prompt's page: the dataset, the metrics, and who decides.",
        )
    return _open(actor, plan, _metrics_of(plan), version, trigger)


def open_gate_of_new_version(version_id: int) -> None:
    """For a version that was saved under its prompt's plan. What stands in the way is the decision."""
    version = (
        PromptVersion.objects.unscoped(WHY)
        .select_related("prompt__tenant", "author", "prompt__evaluation_plan__updated_by")
        .filter(_planned_for(), pk=version_id)
        .first()
    )
    if version is None:
        return
    with transaction.atomic():
        prompt = locked(version.prompt)
        plan = selectors.plan_of(prompt)
        if plan is None or GateDecision.objects.unscoped(WHY).filter(version=version).exists():
            return
        version.prompt = prompt
        try:
            with transaction.atomic():
                _open(Actor.system("evaluation plan"), plan, _metrics_of(plan), version, Trigger.VERSION)
        except DomainError as error:
            if error.code == "nothing_to_gate":
                return
            facts = told(plan) | {"trigger": Trigger.VERSION, "opened_by": "evaluation plan", "baseline_version": None}
            decision = GateDecision.objects.create(
                tenant=prompt.tenant,
                prompt=prompt,
                version=version,
                policy=facts,
                status=GateStatus.FAILED,
                reasons=[str(error)],
                decided_at=timezone.now(),
            )
            _record(Actor.system("evaluation plan"), decision, "gate.failed")


def _metrics_of(plan: EvaluationPlan) -> list[PlanMetric]:
    return list(plan.metrics.select_related("scorer__tenant").order_by("pk"))


def _planned_for() -> Q:
    """Versions that were saved after their prompt's plan was last set."""
    return Q(
        prompt__evaluation_plan__runs_by_itself=True,
        prompt__is_archived=False,
        created_at__gte=F("prompt__evaluation_plan__updated_at"),
    )


def _open(
    actor: Actor, plan: EvaluationPlan, rows: Sequence[PlanMetric], version: PromptVersion, trigger: str
) -> GateDecision:
    prompt = version.prompt
    dataset = plan.dataset.versions.order_by("-number").first()
    if dataset is None:
        raise Invalid(
            f"The dataset {plan.dataset.name} has no version yet.",
            field="dataset",
            code="dataset_without_version",
            remedy="Freeze a version of it.",
        )
    baseline = selectors.main_version(label_state_of(prompt, plan.environment, plan.label))
    if baseline is not None and baseline.pk == version.pk:
        raise Conflict(f"“{plan.label}” means version {version.number} already.", code="nothing_to_gate")
    metrics = [(current_version(actor=actor, scorer=row.scorer), row) for row in rows]
    facts = told(plan, rows) | {
        "dataset_version": dataset.number,
        "model": plan.model or version.model,
        "baseline_version": None if baseline is None else baseline.number,
        "metrics": [
            {
                "scorer": row.scorer.slug,
                "name": row.scorer.name,
                "version": scorer.number,
                "role": row.role,
                "margin": row.margin,
            }
            for scorer, row in metrics
        ],
        "trigger": trigger,
        "opened_by": actor.label,
    }
    for earlier in GateDecision.objects.unscoped(WHY).filter(version=version).order_by("-pk")[:20]:
        if earlier.status != GateStatus.FAILED and _question(earlier.policy) == _question(facts):
            return earlier
    if unfit := unfit_judges([scorer for scorer, row in metrics if row.role != MetricRole.WATCH]):
        raise Invalid(unfit[0], field="metrics", code="judge_not_calibrated", remedy=unfit[1])
    choices = [MetricChoice(scorer, row.role, row.margin) for scorer, row in metrics]
    other = None
    if baseline is not None:
        baseline.prompt = prompt
        other = _reusable(plan, baseline, dataset, choices) or _start(
            actor, plan, baseline, dataset, choices, trigger, None
        )
    decision = GateDecision.objects.create(
        tenant=prompt.tenant,
        prompt=prompt,
        version=version,
        candidate=_start(actor, plan, version, dataset, choices, trigger, other),
        baseline=other,
        policy=facts,
    )
    _record(actor, decision, "gate.opened")
    enqueue(DECIDE_TASK, decision.pk)  # it may be that there is nothing to wait for
    return decision


def _question(policy: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in policy.items() if name not in _ASKING}


def _start(
    actor: Actor,
    plan: EvaluationPlan,
    version: PromptVersion,
    dataset: DatasetVersion,
    metrics: list[MetricChoice],
    trigger: str,
    baseline: Evaluation | None,
) -> Evaluation:
    run = RunPlan(
        project=plan.project,
        dataset_version=dataset,
        metrics=metrics,
        prompt_version=version,
        model=plan.model,
        split=plan.split,
        repetitions=plan.repetitions,
        baseline=baseline,
        budget_picousd=plan.budget_picousd,
    )
    people = [person for person in (actor.user, version.author, plan.updated_by) if person is not None]
    rows = Membership.objects.for_tenant(plan.tenant).filter(user__in=people)
    members = set(rows.values_list("user_id", flat=True))
    if actor.api_key_id is not None or (actor.user is not None and actor.user.pk in members):
        return start_run(actor=actor, plan=run, trigger=trigger)
    # Calls are made for a member: the platform's staff and the plan itself are none.
    caller = next((person for person in people if person.pk in members), None)
    return start_run(actor=Actor.system(actor.label), plan=run, trigger=trigger, caller=caller)


def _reusable(
    plan: EvaluationPlan, version: PromptVersion, dataset: DatasetVersion, metrics: list[MetricChoice]
) -> Evaluation | None:
    """The newest run of the baseline that asked the same: done, or on its way."""
    rows = Evaluation.objects.for_tenant(plan.tenant).filter(
        prompt_version=version,
        dataset_version=dataset,
        split=plan.split,
        model=plan.model or version.model,
        parameters={},
        repetitions=plan.repetitions,
        seed=None,
        status__in=(RunStatus.DONE, RunStatus.RUNNING, RunStatus.QUEUED),
    )
    wanted = {each.version.pk for each in metrics}
    for row in rows.order_by("-pk").prefetch_related("metrics")[:20]:
        if wanted <= {metric.scorer_version_id for metric in row.metrics.all()}:
            return row
    return None


def unfit_judges(versions: list[ScorerVersion]) -> tuple[str, str] | None:
    """(why, what to do) of the first judge whose agreement with people is not known well enough."""
    for version in versions:
        made = registry.make(version.scorer.kind, version.parameters)
        if Need.JUDGE not in made.needs:
            continue
        rows = JudgeCalibration.objects.unscoped(WHY).filter(version=version, expires_at__gt=timezone.now())
        newest = rows.order_by("-pk").first()
        name = f"{version.scorer.name} version {version.number}"
        remedy = "Calibrate it against people's ratings, or have its owner vouch for it with a reason."
        if newest is None:
            return f"The judge {name} is not calibrated.", remedy
        if not newest.is_sufficient:
            return f"The judge {name} agrees too little with people.", remedy
    return None


# Decided.


def decide_gates() -> None:
    """New versions that nobody heard of, every gate whose runs are over, and every comparison that waits."""
    recently = timezone.now() - timedelta(days=1)
    unheard = PromptVersion.objects.unscoped(WHY).filter(_planned_for(), created_at__gte=recently, gate_decisions=None)
    for pk in unheard.order_by("pk").values_list("pk", flat=True)[:20]:
        open_gate_of_new_version(pk)
    for pk in GateDecision.objects.unscoped(WHY).filter(status=GateStatus.RUNNING).values_list("pk", flat=True)[:100]:
        decide_gate(pk)
    waiting = Comparison.objects.unscoped(WHY).filter(status=ComparisonStatus.WAITING).values_list("pk", flat=True)
    for pk in waiting[:100]:
        weigh_comparison(pk)


def decide_gate(decision_id: int) -> None:
    """Nothing, where it is decided or its runs go on."""
    rows = GateDecision.objects.unscoped(WHY).select_related(
        "tenant", "prompt__tenant", "version__prompt", *_sides_of("candidate"), *_sides_of("baseline")
    )
    decision = rows.filter(pk=decision_id, status=GateStatus.RUNNING).first()
    if decision is None or any(run is not None and run.status in LIVE_RUNS for run in _runs(decision)):
        return
    found = _found(decision)
    with transaction.atomic():
        locked(decision.prompt)
        fresh = rows.filter(pk=decision_id, status=GateStatus.RUNNING).first()
        if fresh is not None:
            _decide(fresh, found)


def _sides_of(side: str) -> tuple[str, str]:
    return f"{side}__prompt_version", f"{side}__dataset_version__dataset"


def _runs(decision: GateDecision) -> list[Evaluation | None]:
    wanted = [decision.candidate]
    if decision.policy.get("baseline_version") is not None:
        wanted.append(decision.baseline)
    return wanted


def _found(decision: GateDecision) -> dict[str, Any]:
    """The evidence, or under ``failed`` why there is none."""
    for run, name in zip(_runs(decision), ("version", "released version"), strict=False):
        if run is None:
            return {"failed": f"The {name}'s evaluation is gone."}
        if run.status != RunStatus.DONE:
            why = f": {run.error}" if run.error else "."
            return {"failed": f"The {name}'s evaluation was {run.get_status_display().lower()}{why}"}
    assert decision.candidate is not None
    if decision.baseline is None:
        return {"candidate": evidence.summary_of(decision.candidate)}
    try:
        return evidence.weigh(decision.baseline, decision.candidate, Terms.of(decision.policy))
    except ValueError as error:
        return {"failed": str(error)}


def _decide(decision: GateDecision, found: dict[str, Any]) -> None:
    policy = decision.policy
    actor = Actor.system(f"gate decision {decision.pk}")
    if "failed" in found:
        _settle(actor, decision, GateStatus.FAILED, [found["failed"]])
        return
    decision.evidence = found
    if decision.baseline is None:
        reasons = [f"There is nothing to compare with: “{policy['label']}” means no version yet."]
        wanted = GateStatus.ADVISED if policy["policy"] == ReleasePolicy.ADVICE else GateStatus.WAITING
        _settle(actor, decision, wanted, reasons)
        return
    _keep_comparison(decision, found)
    decision.verdict = found["verdict"]
    reasons = list(found["reasons"])
    if policy["policy"] == ReleasePolicy.ADVICE:
        _settle(actor, decision, GateStatus.ADVISED, reasons)
    elif decision.verdict != Verdict.BETTER:
        _settle(actor, decision, GateStatus.STOPPED, reasons)
    elif moved := _moved(decision):
        _settle(actor, decision, GateStatus.STOPPED, [moved, *reasons])
    elif policy["policy"] == ReleasePolicy.APPROVAL:
        _settle(actor, decision, GateStatus.WAITING, reasons)
    else:
        decision.release = _release(actor, decision, f"Gate decision {decision.pk}: better.")
        _settle(actor, decision, GateStatus.RELEASED, reasons)


def _settle(actor: Actor, decision: GateDecision, status: GateStatus, reasons: list[str]) -> None:
    decision.status = status
    decision.reasons = reasons
    decision.decided_at = timezone.now()
    decision.save(update_fields=["status", "verdict", "reasons", "evidence", "release", "decided_at", "decided_by"])
    _record(actor, decision, f"gate.{status}")


def _record(actor: Actor, decision: GateDecision, action: str, **more: Any) -> None:
    policy = decision.policy
    facts = {
        "prompt": decision.prompt.slug,
        "version": decision.version.number,
        "against": policy.get("baseline_version"),
        "label": policy.get("label"),
        "environment": policy.get("environment"),
        "verdict": decision.verdict,
        "reason": decision.reasons[0][:300] if decision.reasons else "",
    }
    audit.record(actor, action, decision, facts | more, decision.tenant)


def _moved(decision: GateDecision) -> str:
    """Why the evidence no longer fits: the label has moved, or the prompt was archived, since the gate was opened."""
    policy = decision.policy
    if decision.prompt.is_archived:
        return "The prompt was archived meanwhile."
    now = selectors.main_version(label_state_of(decision.prompt, policy["environment"], policy["label"]))
    number = None if now is None else now.number
    if number == policy["baseline_version"]:
        return ""
    means = "no version" if number is None else f"version {number}"
    return f"“{policy['label']}” means {means} meanwhile, so the comparison no longer fits: run the gate again."


def _release(
    actor: Actor, decision: GateDecision, reason: str, kind: Decision = Decision.GATE, *, percent: int | None = None
) -> Release:
    """With the plan's share of the calls, beside the version that it was compared with."""
    policy = decision.policy
    share = policy["canary_percent"] if percent is None else percent
    number, before = decision.version.number, policy["baseline_version"]
    weights = {number: 100} if before is None or share >= 100 else {before: 100 - share, number: share}
    return prompts.release_decided(
        actor=actor,
        prompt=decision.prompt,
        environment=policy["environment"],
        label=policy["label"],
        weights=weights,
        reason=reason,
        decision=kind,
    )


# What people say to it.


@transaction.atomic
def answer_gate(*, actor: Actor, decision: GateDecision, is_approval: bool, note: str = "") -> GateDecision:
    """One member's word on a decision that waits: with enough approvals it is released, with one refusal stopped.

    Raises:
        PermissionDenied: It is the actor's own version.
        Conflict: It does not wait, or no longer fits what is released; or the actor has answered.
    """
    require(actor, "gate.approve", decision.tenant, what="approve this release")
    decision = _locked(decision)
    if actor.user is None or decision.version.author_id == actor.user.pk:
        raise PermissionDenied(
            "A version's author does not approve it.", code="own_version", remedy="Ask another member of the tenant."
        )
    if decision.status != GateStatus.WAITING:
        raise Conflict(
            f"The decision is not waiting: {decision.get_status_display().lower()}.", code="gate_not_waiting"
        )
    note = " ".join(validation.clean_text(note, field="note", maximum=500).split())
    rows = Approval.objects.for_tenant(decision.tenant).filter(decision=decision)
    if rows.filter(user=actor.user).exists():
        raise Conflict("You have answered already.", code="already_answered")
    if is_approval and (moved := _moved(decision)):
        raise Conflict(moved, code="label_moved", remedy="Run the gate again.")
    Approval.objects.create(
        decision=decision, user=actor.user, user_label=actor.label, is_approval=is_approval, note=note
    )
    decision.decided_by = actor.user
    if not is_approval:
        refused = f"{actor.user} did not approve it{f': {note}' if note else '.'}"
        _settle(actor, decision, GateStatus.STOPPED, [refused, *decision.reasons])
        return decision
    given = rows.filter(is_approval=True).count()
    _record(actor, decision, "gate.approved", given=given, needed=decision.policy["approvals_needed"])
    if given >= decision.policy["approvals_needed"]:
        decision.release = _release(actor, decision, f"Gate decision {decision.pk}: approved.")
        _settle(actor, decision, GateStatus.RELEASED, decision.reasons)
    return decision


@transaction.atomic
def override_gate(*, actor: Actor, decision: GateDecision, reason: str) -> GateDecision:
    """Release in spite of the gate, all of the calls at once; the reason stays with the decision and the release."""
    require(actor, "gate.override", decision.tenant, what="override a gate")
    decision = _locked(decision)
    reason = " ".join(validation.clean_text(reason, field="reason", maximum=400).split())
    if len(reason) < SHORTEST_REASON:
        raise Invalid(
            "An override needs its reason.", field="reason", remedy="Say in a sentence why the evidence does not count."
        )
    if decision.status in (GateStatus.RUNNING, GateStatus.RELEASED, GateStatus.OVERRIDDEN):
        raise Conflict(
            f"There is nothing to override: {decision.get_status_display().lower()}.", code="nothing_to_override"
        )
    decision.override_reason = reason
    decision.decided_by = actor.user
    decision.save(update_fields=["override_reason"])
    decision.release = _release(
        actor, decision, f"Override of gate decision {decision.pk}: {reason}", Decision.PERSON, percent=100
    )
    _settle(actor, decision, GateStatus.OVERRIDDEN, decision.reasons)
    return decision


@transaction.atomic
def widen_release(*, actor: Actor, decision: GateDecision, percent: int = 100) -> Release:
    """Give the version that the gate released a larger share of the calls."""
    require(actor, "prompt.release", decision.tenant, what="release this prompt")
    decision = _locked(decision)
    percent = validation.clean_number(percent, field="percent", minimum=1, maximum=100)
    policy = decision.policy
    state = label_state_of(decision.prompt, policy.get("environment", ""), policy.get("label", ""))
    shares = {} if state is None else {share.version.number: share.percent for share in state.shares}
    now = shares.get(decision.version.number, 0)
    if decision.status != GateStatus.RELEASED or len(shares) < 2 or not now:
        raise Conflict("The version does not share the label's calls with another.", code="nothing_to_widen")
    if percent <= now:
        raise Invalid(f"It has {now} % of the calls already.", field="percent")
    others = {number: share for number, share in shares.items() if number != decision.version.number}
    if percent == 100:
        weights = {decision.version.number: 100}
    else:
        total = sum(others.values())
        weights = {number: max(1, round((100 - percent) * share / total)) for number, share in others.items()}
        weights[decision.version.number] = percent
    release = prompts.release_decided(
        actor=actor,
        prompt=decision.prompt,
        environment=policy["environment"],
        label=policy["label"],
        weights=weights,
        reason=f"Gate decision {decision.pk}: widened to {percent} %.",
    )
    _record(actor, decision, "gate.widened", percent=percent)
    return release


def _locked(decision: GateDecision) -> GateDecision:
    """By its prompt's lock, under which labels move, too."""
    prompt = locked(decision.prompt)
    rows = GateDecision.objects.for_tenant(decision.tenant).select_related("tenant", "version__author")
    row = rows.get(pk=decision.pk)
    row.prompt = row.version.prompt = prompt
    return row


# Any two runs.


@transaction.atomic
def compare_evaluations(*, actor: Actor, baseline: Evaluation, candidate: Evaluation) -> Comparison:
    """The two weighed against each other, whatever they evaluated: versions, models, routes. A worker does it, once
    both are done; the same two again are the same comparison."""
    tenant = candidate.tenant
    require(actor, "evaluation.run", tenant, what="compare evaluations")
    if baseline.tenant_id != tenant.pk:
        raise Invalid("The two evaluations are not of one tenant.", field="baseline")
    if baseline.pk == candidate.pk:
        raise Invalid("An evaluation is not compared with itself.", field="baseline")
    comparison, created = Comparison.objects.for_tenant(tenant).get_or_create(
        baseline=baseline,
        candidate=candidate,
        defaults={
            "tenant": tenant,
            "terms": evidence.terms_of(candidate).as_json(),
            "created_by": actor.user,
        },
    )
    if not created and comparison.status == ComparisonStatus.FAILED:
        comparison.status, comparison.error = ComparisonStatus.WAITING, ""
        comparison.save(update_fields=["status", "error"])
    if comparison.status == ComparisonStatus.WAITING:
        enqueue("evaluation.weigh", comparison.pk)
    return comparison


def weigh_comparison(comparison_id: int) -> None:
    """Nothing, where it is weighed or a run goes on."""
    rows = Comparison.objects.unscoped(WHY).select_related("tenant", *_sides_of("candidate"), *_sides_of("baseline"))
    comparison = rows.filter(pk=comparison_id, status=ComparisonStatus.WAITING).first()
    if comparison is None:
        return
    runs = (comparison.baseline, comparison.candidate)
    if any(run.status in LIVE_RUNS for run in runs):
        return
    values: dict[str, Any] = {"weighed_at": timezone.now()}
    try:
        found = evidence.weigh(comparison.baseline, comparison.candidate, Terms.of(comparison.terms))
        values |= {"status": ComparisonStatus.DONE, "verdict": found["verdict"], "evidence": found}
    except ValueError as error:
        values |= {"status": ComparisonStatus.FAILED, "error": str(error)[:500]}
    Comparison.objects.unscoped(WHY).filter(pk=comparison.pk, status=ComparisonStatus.WAITING).update(**values)


def _keep_comparison(decision: GateDecision, found: dict[str, Any]) -> None:
    """So that the page of the two runs shows what the gate saw."""
    assert decision.baseline is not None
    assert decision.candidate is not None
    Comparison.objects.unscoped(WHY).update_or_create(
        baseline=decision.baseline,
        candidate=decision.candidate,
        defaults={
            "tenant": decision.tenant,
            "terms": Terms.of(decision.policy).as_json(),
            "status": ComparisonStatus.DONE,
            "verdict": found["verdict"],
            "evidence": found,
            "error": "",
            "weighed_at": timezone.now(),
        },
    )
