"""/api/prompts/…/plan, /api/gates and /api/comparisons."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from apps.evaluation.models import Dataset, GateDecision, Scorer
from apps.evaluation.selectors import gates as selectors
from apps.evaluation.serializers.gates import (
    ComparisonOut,
    GateAnswer,
    GateDetailOut,
    GateOut,
    GateOverride,
    GateWidening,
    NewComparison,
    NewGate,
    PlanIn,
    PlanOut,
)
from apps.evaluation.services import gates, plans
from apps.evaluation.services.plans import PlanFacts, PlannedMetric
from apps.evaluation.services.scorers import ensure_default_scorers
from apps.evaluation.services.suites import ensure_suite
from apps.evaluation.types import GateStatus, MetricRole, Trigger, Verdict
from apps.gateway.models import Route
from apps.gateway.routing.selectors import get_revision_for, get_route_for
from apps.prompts.models import Prompt
from apps.prompts.selectors import get_prompt_for, get_version_of
from apps.tenants import selectors as tenants
from apps.tenants.errors import Invalid
from apps.tenants.models import Tenant, User
from apps.tenants.rest.filters import ChoiceFilter, Filters, NumberFilter, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView, no_content

GATES = "Gates"


class _Naming(ApiView):
    """What a body names by its slug."""

    def dataset(self, tenant: Tenant, slug: str) -> Dataset:
        row = Dataset.objects.for_actor(self.actor).filter(tenant=tenant, slug=slug, monitor=None).first()
        if row is None:
            raise Invalid(f"There is no dataset {slug[:60]!r}.", field="dataset", code="not_found")
        return row

    def set_plan(self, owner: Prompt | Route) -> Response:
        tenant = plans.tenant_of(owner)
        body = self.body(PlanIn)
        project = body.pop("project")
        facts = PlanFacts(
            dataset=self.dataset(tenant, body.pop("dataset")),
            project=self.referenced("project", lambda: tenants.get_project_for(self.actor, tenant.slug, project)),
            metrics=[self.metric(tenant, each) for each in body.pop("metrics")],
            approvers=self.approvers(tenant, body.pop("approvers", [])),
            **body,
        )
        plans.set_plan(actor=self.actor, owner=owner, facts=facts)
        return self.shown(PlanOut, selectors.get_plan_of(owner))

    def approvers(self, tenant: Tenant, emails: list[str]) -> list[User]:
        found = []
        for email in emails:
            person = plans.may_approve(tenant.pk).filter(email__iexact=email.strip()).first()
            if person is None:
                raise Invalid(
                    f"{email[:100]!r} is no member who may approve in this tenant.", field="approvers", code="not_found"
                )
            found.append(person)
        return found

    def metric(self, tenant: Tenant, given: dict[str, Any]) -> PlannedMetric:
        slug = given["scorer"]
        rows = Scorer.objects.for_actor(self.actor).filter(tenant=tenant, slug=slug)
        row = rows.select_related("tenant").first()
        if row is None:
            raise Invalid(f"There is no scorer {slug[:60]!r}.", field="metrics", code="not_found")
        return PlannedMetric(row, given.get("role", MetricRole.PRIMARY), given.get("margin", 0.0))


class PromptPlan(_Naming):
    def found(self, tenant: str, prompt: str) -> Prompt:
        return get_prompt_for(self.actor, tenant, prompt)

    @operation("get-prompt-plan", "Get a prompt's evaluation plan", tag=GATES, response=PlanOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, prompt: str) -> Response:
        return self.shown(PlanOut, selectors.get_plan_of(self.found(tenant, prompt)))

    @operation(
        "set-prompt-plan",
        "Set a prompt's evaluation plan",
        tag=GATES,
        request=PlanIn,
        response=PlanOut,
        errors=NOT_FOUND,
        description="For people alone: a key cannot change the gate that its own versions have to pass.",
    )
    def put(self, request: Request, tenant: str, prompt: str) -> Response:
        return self.set_plan(self.found(tenant, prompt))

    @operation("remove-prompt-plan", "Remove a prompt's evaluation plan", tag=GATES, status=204, errors=NOT_FOUND)
    def delete(self, request: Request, tenant: str, prompt: str) -> Response:
        plans.remove_plan(actor=self.actor, owner=self.found(tenant, prompt))
        return no_content()


class RoutePlan(_Naming):
    @operation("get-route-plan", "Get a route's evaluation plan", tag=GATES, response=PlanOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int) -> Response:
        return self.shown(PlanOut, selectors.get_plan_of(get_route_for(self.actor, id)))

    @operation(
        "set-route-plan",
        "Guard a route with an evaluation plan",
        tag=GATES,
        request=PlanIn,
        response=PlanOut,
        errors=NOT_FOUND,
        description="Changes of its targets are proposed from then on. Of a tenant's own route; model, environment,"
        " label and share mean nothing there. For people alone.",
    )
    def put(self, request: Request, id: int) -> Response:
        return self.set_plan(get_route_for(self.actor, id))

    @operation("remove-route-plan", "Remove a route's evaluation plan", tag=GATES, status=204, errors=NOT_FOUND)
    def delete(self, request: Request, id: int) -> Response:
        plans.remove_plan(actor=self.actor, owner=get_route_for(self.actor, id))
        return no_content()


class GateFilters(Filters):
    orderings = ("pk",)
    default_ordering = "-pk"
    tenant = TextFilter("tenant__slug")
    prompt = TextFilter("prompt__slug")
    version = NumberFilter("version__number")
    route = NumberFilter("route__pk")
    revision = NumberFilter("revision__number")
    status = ChoiceFilter(choices=GateStatus.choices)
    verdict = ChoiceFilter(choices=Verdict.choices)


class GateList(_Naming):
    @operation("list-gates", "List gate decisions", tag=GATES, response=GateOut, filters=GateFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.gates_for(self.actor).defer("evidence"), GateOut, GateFilters)

    @operation(
        "open-gate",
        "Gate a version or a revision",
        tag=GATES,
        request=NewGate,
        response=GateDetailOut,
        status=201,
        errors=CONFLICT,
        description="Evaluates a prompt's version beside the released one, or a guarded route's revision beside the one"
        " in force. The same question has the same decision.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewGate)
        trigger = Trigger.PERSON if self.actor.api_key_id is None else Trigger.CI
        if "route" in body:
            return self._of_route(body, trigger)
        if missing := [name for name in ("tenant", "prompt", "version") if name not in body]:
            raise Invalid("Name a tenant's prompt and version, or a route and revision.", field=missing[0])
        tenant, slug, number = body.pop("tenant"), body.pop("prompt"), body.pop("version")
        prompt = self.referenced("prompt", lambda: get_prompt_for(self.actor, tenant, slug))
        version = self.referenced("version", lambda: get_version_of(prompt, number))
        with transaction.atomic():  # a gate that is refused leaves no scorers of its suite behind
            facts = self._facts(prompt, body) if body else None
            decision = gates.open_gate(actor=self.actor, version=version, trigger=trigger, facts=facts)
        return self.shown(GateDetailOut, selectors.get_gate_for(self.actor, decision.pk), 201)

    def _of_route(self, body: dict[str, Any], trigger: str) -> Response:
        pk, number = body.pop("route"), body.pop("revision", None)
        body.pop("tenant", None)
        if body or number is None:
            field = min(body) if body else "revision"
            raise Invalid("A route's gate is opened with its revision alone: by its plan.", field=field)
        revision = self.referenced("revision", lambda: get_revision_for(self.actor, pk, number))
        decision = gates.open_gate(actor=self.actor, version=revision, trigger=trigger)
        return self.shown(GateDetailOut, selectors.get_gate_for(self.actor, decision.pk), 201)

    def _facts(self, prompt: Prompt, body: dict[str, Any]) -> PlanFacts:
        if "dataset" not in body and "suite" not in body:
            raise Invalid(
                f"{min(body)!r} goes with a dataset or a suite.",
                field="dataset",
                remedy="Without them the prompt's plan says how it is evaluated.",
            )
        tenant = prompt.tenant
        if "dataset" in body:
            dataset = self.dataset(tenant, body.pop("dataset"))
        else:
            plan = selectors.plan_of(prompt)
            if plan is None:
                raise Invalid(
                    f"{prompt.name} has no evaluation plan that would say on which dataset.",
                    field="dataset",
                    code="no_plan",
                    remedy="Name a dataset.",
                )
            dataset = plan.dataset
            body = {"split": plan.split, "model": plan.model, **body}
        slug, suite = body.pop("project", ""), body.pop("suite", "")
        scorers = body.pop("scorers", [] if suite else ["exact-match"])
        rows = tenants.projects_for(self.actor, tenant)
        chosen = rows.filter(slug=slug) if slug else rows.filter(pk=self.actor.project_id or 0)
        project = chosen.select_related("tenant").first()
        if project is None:
            raise Invalid("Say in which project the calls are made.", field="project", code="not_found")
        ensure_default_scorers(actor=self.actor, tenant=tenant)
        metrics = [self.metric(tenant, {"scorer": each}) for each in scorers]
        if suite:
            named = {each.scorer.pk for each in metrics}
            members = ensure_suite(actor=self.actor, tenant=tenant, suite=suite)
            metrics += [PlannedMetric(each.scorer, each.role) for each in members if each.scorer.pk not in named]
        return PlanFacts(dataset=dataset, project=project, metrics=metrics, **body)


class _OfGate(ApiView):
    def found(self, id: int) -> GateDecision:
        return selectors.get_gate_for(self.actor, id)

    def renewed(self, id: int) -> Response:
        return self.shown(GateDetailOut, self.found(id))


class GateDetail(_OfGate):
    @operation("get-gate", "Get a gate decision", tag=GATES, response=GateDetailOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int) -> Response:
        return self.renewed(id)


class GateApproval(_OfGate):
    @operation(
        "approve-gate",
        "Approve a decision",
        tag=GATES,
        request=GateAnswer,
        response=GateDetailOut,
        errors=NOT_FOUND | CONFLICT,
        description="For members other than the version's author. With the last one that is needed it is released.",
    )
    def post(self, request: Request, id: int) -> Response:
        row = self.found(id)
        gates.answer_gate(actor=self.actor, decision=row, is_approval=True, **self.body(GateAnswer))
        return self.renewed(id)


class GateRefusal(_OfGate):
    @operation(
        "refuse-gate",
        "Refuse a decision",
        tag=GATES,
        request=GateAnswer,
        response=GateDetailOut,
        errors=NOT_FOUND | CONFLICT,
        description="One refusal stops the version.",
    )
    def post(self, request: Request, id: int) -> Response:
        row = self.found(id)
        gates.answer_gate(actor=self.actor, decision=row, is_approval=False, **self.body(GateAnswer))
        return self.renewed(id)


class GateOverriding(_OfGate):
    @operation(
        "override-gate",
        "Override a gate",
        tag=GATES,
        request=GateOverride,
        response=GateDetailOut,
        errors=NOT_FOUND | CONFLICT,
        description="Releases in spite of the gate, with a reason that stays. For tenant admins.",
    )
    def post(self, request: Request, id: int) -> Response:
        row = self.found(id)
        gates.override_gate(actor=self.actor, decision=row, **self.body(GateOverride))
        return self.renewed(id)


class GateWiden(_OfGate):
    @operation(
        "widen-gate-release",
        "Widen a canary",
        tag=GATES,
        request=GateWidening,
        response=GateDetailOut,
        errors=NOT_FOUND | CONFLICT,
        description="The version that the gate released gets a larger share of the calls.",
    )
    def post(self, request: Request, id: int) -> Response:
        row = self.found(id)
        gates.widen_release(actor=self.actor, decision=row, **self.body(GateWidening))
        return self.renewed(id)


class ComparisonList(ApiView):
    @operation(
        "compare-evaluations",
        "Compare two evaluations",
        tag=GATES,
        request=NewComparison,
        response=ComparisonOut,
        status=201,
        description="Whatever they evaluated. It is weighed once both are done.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewComparison)
        pair = {
            side: self.referenced(side, lambda side=side: selectors.get_evaluation_for(self.actor, body[side]))  # type: ignore[misc]
            for side in ("baseline", "candidate")
        }
        comparison = gates.compare_evaluations(actor=self.actor, **pair)
        return self.shown(ComparisonOut, selectors.get_comparison_for(self.actor, comparison.pk), 201)


class ComparisonDetail(ApiView):
    @operation("get-comparison", "Get a comparison", tag=GATES, response=ComparisonOut, errors=NOT_FOUND)
    def get(self, request: Request, id: int) -> Response:
        return self.shown(ComparisonOut, selectors.get_comparison_for(self.actor, id))
