"""/api/red-team: start a red team; its report and what became of its findings below /api/evaluations."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.evaluation.api.runs import prompt_version_of
from apps.evaluation.models import Evaluation
from apps.evaluation.redteam import Category, Size
from apps.evaluation.redteam.generation import DEFAULT_SEED
from apps.evaluation.selectors import redteam as selectors
from apps.evaluation.selectors.runs import get_run_for
from apps.evaluation.serializers.redteam import FindingsOut, NewFindings, NewRedTeam, ReportOut
from apps.evaluation.serializers.runs import EstimateOut, RunDetailOut
from apps.evaluation.services import redteam
from apps.evaluation.services.redteam import RedTeamPlan
from apps.evaluation.types import Trigger
from apps.tenants import selectors as tenants
from apps.tenants.access import require
from apps.tenants.errors import NotFound
from apps.tenants.models import Project
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView

RED_TEAM = "Red team"


class RedTeam(ApiView):
    @operation(
        "start-red-team",
        "Start a red team",
        tag=RED_TEAM,
        request=NewRedTeam,
        response=RunDetailOut,
        status=201,
        errors=CONFLICT,
        description="Generated attacks on a prompt's version, a model or a route: an evaluation run like any other.",
    )
    def post(self, request: Request) -> Response:
        run = redteam.start_red_team(actor=self.actor, plan=_planned(self, self.body(NewRedTeam)), trigger=Trigger.CI)
        return self.shown(RunDetailOut, get_run_for(self.actor, run.public_id), 201)


class RedTeamEstimate(ApiView):
    @operation(
        "estimate-red-team",
        "Estimate a red team",
        tag=RED_TEAM,
        request=NewRedTeam,
        response=EstimateOut,
        description="What it would cost and take. Nothing is started.",
    )
    def post(self, request: Request) -> Response:
        plan = _planned(self, self.body(NewRedTeam))
        return self.shown(EstimateOut, redteam.estimate_red_team(actor=self.actor, plan=plan))


class _OfRun(ApiView):
    def found(self, id: str) -> Evaluation:
        return selectors.get_red_team_run(self.actor, id)


class RedTeamReport(_OfRun):
    @operation(
        "get-red-team-report",
        "Get a red team's report",
        tag=RED_TEAM,
        response=ReportOut,
        errors=NOT_FOUND,
        description="As far as the run is: `judged` says how many attacks have a verdict.",
    )
    def get(self, request: Request, id: str) -> Response:
        return self.shown(ReportOut, selectors.report_of(self.found(id)))


class RedTeamFindings(_OfRun):
    @operation(
        "add-red-team-findings",
        "Make findings regression examples",
        tag=RED_TEAM,
        request=NewFindings,
        response=FindingsOut,
        errors=NOT_FOUND | CONFLICT,
        description="Asked again, it adds none twice.",
    )
    def post(self, request: Request, id: str) -> Response:
        keys = self.body(NewFindings).get("keys")
        return self.shown(FindingsOut, redteam.add_findings(actor=self.actor, run=self.found(id), keys=keys))


def _project(view: ApiView, tenant: str, slug: str) -> Project:
    """The one that is named, else the key's own."""
    if slug:
        return tenants.get_project_for(view.actor, tenant, slug)
    own = Project.objects.for_actor(view.actor).filter(pk=view.actor.project_id or 0, tenant__slug=tenant)
    found = own.select_related("tenant").first()
    if found is None:
        raise NotFound("Say in which project the calls are made.")
    return found


def _planned(view: ApiView, body: dict[str, Any]) -> RedTeamPlan:
    """The plan that a body asks for; what it names and the actor does not see is that field's fault."""
    actor, tenant = view.actor, body["tenant"]
    where = view.referenced("project", lambda: _project(view, tenant, body.get("project", "")))
    require(actor, "evaluation.run", where.tenant, where, what="run a red team")
    prompt = None
    if "prompt" in body:
        prompt = view.referenced("prompt", lambda: prompt_version_of(actor, tenant, body))
    return RedTeamPlan(
        project=where,
        prompt_version=prompt,
        model=body.get("model", ""),
        categories=body.get("categories", list(Category)),
        size=body.get("size", Size.STANDARD),
        seed=body.get("seed", DEFAULT_SEED),
        budget_picousd=body.get("budget_usd"),
        name=body.get("name", ""),
    )
