"""The review page of a version: what changed, what the evidence says, and who decides."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.evaluation.charts import interval_rows
from apps.evaluation.models import GateDecision
from apps.evaluation.selectors import gates as selectors
from apps.evaluation.services import gates
from apps.evaluation.types import GateStatus
from apps.prompts.diff import diff, word_diff
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.release_rules import refusal_of
from apps.prompts.selectors import get_prompt_for, get_version_of, label_state_of, labels_of, versions_of
from apps.tenants.access import can
from apps.tenants.errors import Conflict, Invalid, NotFound
from apps.tenants.views.requests import Here, tenant_page

SHOWN_VERSIONS = 100


@require_GET
@tenant_page
def version_review(request: HttpRequest, here: Here, tenant: str, prompt: str, number: int) -> HttpResponse:
    """The newest decision about the version, or ``?gate=ID``."""
    found = get_prompt_for(here.actor, tenant, prompt)
    version = get_version_of(found, number)
    decisions = list(selectors.gates_for(here.actor).filter(version=version)[:20])
    asked = request.GET.get("gate", "")
    decision = next((each for each in decisions if str(each.pk) == asked), decisions[0] if decisions else None)
    plan = selectors.plan_of(found)
    environment, label = _guarded(decision, plan)
    state = label_state_of(found, environment, label)
    old = _compared(found, version, decision) or selectors.main_version(state)
    if old is None or old.pk == version.pk:
        old = version.parent
    metrics = [] if decision is None else _with_judges(decision, decision.evidence.get("metrics", []))
    context = {
        "prompt": found,
        "version": version,
        "old": old,
        "diff": None if old is None else diff(old.content, version.content),
        "plan": plan,
        "decision": decision,
        "decisions": decisions,
        "environment": environment,
        "label": label,
        "state": state,
        "metrics": [(each, interval_rows(metrics).get(each["name"])) for each in metrics],
        "alone": [] if decision is None else _with_judges(decision, _alone(decision)),
        "worst": [] if decision is None else _diffed(decision),
        "usage": None if decision is None else decision.evidence.get("usage"),
        "refusal": refusal_of(found, environment, label, version),
        "checks": selectors.checklist(found, version, plan, decision),
        "progress": None if decision is None else selectors.progress_of(decision),
        "paused": [] if decision is None else selectors.paused_runs(decision),
        "waits": decision is not None and decision.status == GateStatus.RUNNING,
        "told": selectors.told_of(decision) if decision is not None and decision.status == GateStatus.WAITING else None,
        **_allowed(here, found, version, decision, state),
    }
    return render(request, "evaluation/version_review.html", context)


def _guarded(decision: GateDecision | None, plan: Any) -> tuple[str, str]:
    if decision is not None:
        return str(decision.policy["environment"]), str(decision.policy["label"])
    return ("prod", "live") if plan is None else (plan.environment, plan.label)


def _compared(prompt: Prompt, version: PromptVersion, decision: GateDecision | None) -> PromptVersion | None:
    number = None if decision is None else decision.policy.get("baseline_version")
    if number is None:
        return None
    try:
        return get_version_of(prompt, number)
    except NotFound:
        return None


def _alone(decision: GateDecision) -> list[dict[str, Any]]:
    """The metrics of a first release, which nothing was compared with."""
    found: list[dict[str, Any]] = decision.evidence.get("candidate", {}).get("metrics", [])
    return found


def _with_judges(decision: GateDecision, metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each metric of a judge with how far the judge was trusted when the gate was opened."""
    judges = {each.get("name"): each.get("judge") for each in decision.policy["metrics"]}
    return [{**each, "judge": _dated(judges.get(each["name"]))} for each in metrics]


def _dated(standing: dict[str, Any] | None) -> dict[str, Any] | None:
    if standing is None or "until" not in standing:
        return standing
    return {**standing, "until": datetime.fromisoformat(standing["until"])}


def _diffed(decision: GateDecision) -> list[dict[str, Any]]:
    return [
        {**each, "pieces": word_diff(each["baseline_output"], each["candidate_output"])}
        for each in decision.evidence.get("worst", [])
    ]


def _allowed(
    here: Here, prompt: Prompt, version: PromptVersion, decision: GateDecision | None, state: Any
) -> dict[str, Any]:
    actor, tenant = here.actor, prompt.tenant
    shares = {} if state is None else {share.version.number: share.percent for share in state.shares}
    mine = actor.user is not None and version.author_id == actor.user.pk
    answered = decision is not None and any(
        actor.user is not None and each.user_id == actor.user.pk for each in decision.approvals.all()
    )
    waiting = decision is not None and decision.status == GateStatus.WAITING
    closed = (GateStatus.RUNNING, GateStatus.RELEASED, GateStatus.OVERRIDDEN)
    return {
        "is_mine": mine,
        "answered": answered,
        "is_live": shares.get(version.number, 0) > 0,
        "share": shares.get(version.number, 0),
        "may_approve": waiting and not mine and not answered and can(actor, "gate.approve", tenant),
        "may_override": decision is not None and decision.status not in closed and can(actor, "gate.override", tenant),
        "may_run": can(actor, "evaluation.run", tenant) and not prompt.is_archived,
        "may_plan": can(actor, "evaluation.plan", tenant),
        "may_release": can(actor, "prompt.release", tenant) and not prompt.is_archived,
        "may_widen": decision is not None
        and decision.status == GateStatus.RELEASED
        and len(shares) > 1
        and version.number in shares
        and can(actor, "prompt.release", tenant),
    }


@require_GET
@tenant_page
def prompt_gates(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    """The verdicts of a prompt's versions, for its timeline; and what its plan is, in a line."""
    found = get_prompt_for(here.actor, tenant, prompt)
    versions = list(versions_of(found)[:SHOWN_VERSIONS])
    newest = selectors.newest_gates(versions)
    context = {
        "prompt": found,
        "plan": selectors.plan_of(found),
        "verdicts": [(each, newest[each.pk]) for each in versions if each.pk in newest],
        "labels": labels_of([found]).get(found.pk, []),
    }
    return render(request, "evaluation/_prompt_gates.html", context)


@require_POST
@tenant_page
def gate_open(request: HttpRequest, here: Here, tenant: str, prompt: str, number: int) -> HttpResponse:
    version = get_version_of(get_prompt_for(here.actor, tenant, prompt), number)
    try:
        decision = gates.open_gate(actor=here.actor, version=version)
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    else:
        if decision.status == GateStatus.RUNNING:
            messages.success(request, "The gate runs.")
        else:
            messages.info(request, "This question has been decided: the same evidence, the same decision.")
    return redirect("evaluation:version-review", tenant=tenant, prompt=prompt, number=number)


@require_POST
@tenant_page
def gate_answer(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """Approves, or refuses with ``refuse`` in the form."""
    decision = selectors.get_gate_for(here.actor, pk)
    is_approval = not request.POST.get("refuse")
    try:
        decision = gates.answer_gate(
            actor=here.actor, decision=decision, is_approval=is_approval, note=request.POST.get("note", "")
        )
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    else:
        told = {
            GateStatus.RELEASED: "Approved and released.",
            GateStatus.STOPPED: "Refused: the version is stopped.",
        }.get(GateStatus(decision.status), "Approved. It waits for further approvals.")
        messages.success(request, told)
    return _back(decision)


@require_POST
@tenant_page
def gate_override(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    decision = selectors.get_gate_for(here.actor, pk)
    try:
        gates.override_gate(actor=here.actor, decision=decision, reason=request.POST.get("reason", ""))
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Released in spite of the gate. The reason stays with the decision.")
    return _back(decision)


@require_POST
@tenant_page
def gate_widen(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    decision = selectors.get_gate_for(here.actor, pk)
    text = request.POST.get("percent", "100")
    try:
        percent = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
        gates.widen_release(actor=here.actor, decision=decision, percent=percent)
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Version {decision.version.number} has {percent} % of the calls.")
    return _back(decision)


def _back(decision: GateDecision) -> HttpResponse:
    return redirect(
        "evaluation:version-review",
        tenant=decision.tenant.slug,
        prompt=decision.prompt.slug,
        number=decision.version.number,
    )
