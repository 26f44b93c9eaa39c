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
from apps.gateway.models import RouteRevision
from apps.gateway.routing.selectors import get_revision_for, get_route_for, revisions_of
from apps.gateway.routing.sharing import Sharing
from apps.gateway.types import Guard
from apps.prompts.diff import diff, word_diff
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.release_rules import refusal_of
from apps.prompts.selectors import get_prompt_for, get_version_of, label_state_of, labels_of, versions_of
from apps.tenants.access import can, require
from apps.tenants.errors import Conflict, Invalid, NotFound
from apps.tenants.models import Tenant
from apps.tenants.views.requests import Here, tenant_page

SHOWN_VERSIONS = 100


@require_GET
@tenant_page
def version_review(request: HttpRequest, here: Here, tenant: str, prompt: str, number: int) -> HttpResponse:
    """The newest decision about the version (before all advice), or ``?gate=ID``."""
    found = get_prompt_for(here.actor, tenant, prompt)
    version = get_version_of(found, number)
    decisions = list(selectors.gates_about(here.actor, version)[:20])
    decision = _shown(request, decisions)
    plan = selectors.plan_of(found)
    environment, label = _guarded(decision, plan)
    state = label_state_of(found, environment, label)
    old = _compared(found, version, decision) or selectors.main_version(state)
    if old is None or old.pk == version.pk:
        old = version.parent
    context = {
        "prompt": found,
        "version": version,
        "old": old,
        "diff": None if old is None else diff(old.content, version.content),
        "plan": plan,
        "decisions": decisions,
        "environment": environment,
        "label": label,
        "state": state,
        "refusal": refusal_of(found, environment, label, version),
        "checks": selectors.checklist(found, plan, decision),
        **_evidence(decision),
        **_allowed(here, found, version, decision, state),
    }
    return render(request, "evaluation/version_review.html", context)


@require_GET
@tenant_page
def revision_review(request: HttpRequest, here: Here, pk: int, number: int) -> HttpResponse:
    """The same of a route's revision."""
    revision = get_revision_for(here.actor, pk, number)
    route, tenant = revision.route, _tenant_of(revision)
    require(here.actor, "evaluation.view", tenant, what="see how this route is evaluated")
    decisions = list(selectors.gates_about(here.actor, revision)[:20])
    decision = _shown(request, decisions)
    plan = selectors.plan_of(route)
    old = _before(here, revision, decision)
    manages = can(here.actor, "route.manage", tenant)
    is_live = revision.pk == route.revision_id
    context = {
        "route": route,
        "version": revision,
        "old": old,
        "sharing": Sharing.of_revision(revision),
        "was": None if old is None else Sharing.of_revision(old),
        "plan": plan,
        "decisions": decisions,
        "checks": selectors.checklist(route, plan, decision),
        **_evidence(decision),
        **_answerable(here, tenant, revision, decision),
        "is_live": is_live,
        "may_run": can(here.actor, "evaluation.run", tenant) and route.guard != Guard.NONE,
        "may_plan": can(here.actor, "evaluation.plan", tenant),
        "may_put": manages and not is_live and (route.guard != Guard.GATE or revision.in_force_at is not None),
    }
    return render(request, "evaluation/revision_review.html", context)


@require_GET
@tenant_page
def route_gates(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """The verdicts of a route's revisions, for its history; what its plan is, and what waits."""
    route = get_route_for(here.actor, pk)
    tenant = route.tenant
    if tenant is None:
        raise NotFound("It is the platform's.")
    require(here.actor, "evaluation.view", tenant, what="see how this route is evaluated")
    newest = selectors.newest_gates_of(route)
    context = {
        "route": route,
        "plan": selectors.plan_of(route),
        "verdicts": sorted(newest.items(), reverse=True),
        "waiting": None if route.proposed is None else newest.get(route.proposed.number),
        "may_plan": can(here.actor, "evaluation.plan", tenant),
    }
    return render(request, "evaluation/_route_gates.html", context)


@require_POST
@tenant_page
def revision_gate_open(request: HttpRequest, here: Here, pk: int, number: int) -> HttpResponse:
    revision = get_revision_for(here.actor, pk, number)
    opened = _opened(request, here, revision)
    return redirect("evaluation:revision-review", pk=pk, number=number) if opened is None else _back(opened)


def _shown(request: HttpRequest, decisions: list[GateDecision]) -> GateDecision | None:
    asked = request.GET.get("gate", "")
    first = next(iter(selectors.deciding_first(decisions)), None)
    return next((each for each in decisions if str(each.pk) == asked), first)


def _tenant_of(revision: RouteRevision) -> Tenant:
    tenant = revision.route.tenant
    if tenant is None:
        raise NotFound("It is the platform's: no tenant decides about it.")
    return tenant


def _before(here: Here, revision: RouteRevision, decision: GateDecision | None) -> RouteRevision | None:
    """What it was compared with; else what is in force, or was when it was saved."""
    number = None if decision is None else decision.policy.get("baseline_version")
    if number is not None:
        return revisions_of(revision.route).filter(number=number).first()
    current = revision.route.revision
    return current if current is not None and current.pk != revision.pk else revision.parent


def _evidence(decision: GateDecision | None) -> dict[str, Any]:
    """What a page of a decision shows, whatever it is about."""
    metrics = [] if decision is None else _with_judges(decision, decision.evidence.get("metrics", []))
    return {
        "decision": decision,
        "metrics": [(each, interval_rows(metrics).get(each["name"])) for each in metrics],
        "alone": [] if decision is None else _with_judges(decision, _alone(decision)),
        "worst": [] if decision is None else _diffed(decision),
        "usage": None if decision is None else decision.evidence.get("usage"),
        "progress": None if decision is None else selectors.progress_of(decision),
        "held_up": [] if decision is None else selectors.held_up(decision),
        "paused": [] if decision is None else selectors.paused_runs(decision),
        "waits": decision is not None and decision.status == GateStatus.RUNNING,
        "told": selectors.told_of(decision) if decision is not None and decision.status == GateStatus.WAITING else None,
    }


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
    return {
        **_answerable(here, tenant, version, decision),
        "is_live": shares.get(version.number, 0) > 0,
        "share": shares.get(version.number, 0),
        "may_run": can(actor, "evaluation.run", tenant) and not prompt.is_archived,
        "may_plan": can(actor, "evaluation.plan", tenant),
        "may_release": can(actor, "prompt.release", tenant) and not prompt.is_archived,
        "may_widen": decision is not None
        and decision.status == GateStatus.RELEASED
        and len(shares) > 1
        and version.number in shares
        and can(actor, "prompt.release", tenant),
    }


def _answerable(
    here: Here, tenant: Tenant, subject: PromptVersion | RouteRevision, decision: GateDecision | None
) -> dict[str, Any]:
    actor = here.actor
    mine = actor.user is not None and subject.author_id == actor.user.pk
    answered = decision is not None and any(
        actor.user is not None and each.user_id == actor.user.pk for each in decision.approvals.all()
    )
    waiting = decision is not None and decision.status == GateStatus.WAITING
    named = selectors.approvers_of(decision) if decision is not None and waiting else []
    asked = not mine and not answered and (not named or actor.user in named)
    closed = (GateStatus.RUNNING, GateStatus.RELEASED, GateStatus.OVERRIDDEN)
    return {
        "is_mine": mine,
        "answered": answered,
        "may_approve": waiting and asked and can(actor, "gate.approve", tenant),
        "may_override": decision is not None and decision.status not in closed and can(actor, "gate.override", tenant),
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
    opened = _opened(request, here, version)
    if opened is None:
        return redirect("evaluation:version-review", tenant=tenant, prompt=prompt, number=number)
    return _back(opened)


def _opened(request: HttpRequest, here: Here, version: PromptVersion | RouteRevision) -> GateDecision | None:
    try:
        decision = gates.open_gate(actor=here.actor, version=version)
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
        return None
    if decision.status == GateStatus.RUNNING:
        messages.success(request, "The gate runs.")
    else:
        messages.info(request, "This question has been decided: the same evidence, the same decision.")
    return decision


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
            GateStatus.STOPPED: f"Refused: the {decision.noun} is stopped.",
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
        messages.success(request, f"Version {decision.subject.number} has {percent} % of the calls.")
    return _back(decision)


def _back(decision: GateDecision) -> HttpResponse:
    return redirect(gates.review_path_of(decision))
