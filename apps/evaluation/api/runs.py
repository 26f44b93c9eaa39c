"""/api/evaluations: start a run, follow it, read its items; and /api/scorers."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from apps.evaluation.models import DatasetVersion, Evaluation, Scorer
from apps.evaluation.selectors import runs as selectors
from apps.evaluation.selectors import scorers as scorer_selectors
from apps.evaluation.selectors.sweeps import get_sweep_for
from apps.evaluation.serializers.runs import (
    EstimateOut,
    ItemOut,
    NewRun,
    NewScorer,
    NewSweep,
    ResumedRun,
    RunDetailOut,
    RunOut,
    ScorerChanges,
    ScorerOut,
    ScorerVersionOut,
    SweepOut,
)
from apps.evaluation.services import runs, scorers
from apps.evaluation.services.runs import MetricChoice, RunPlan
from apps.evaluation.services.suites import set_up_for_an_estimate, with_suite
from apps.evaluation.services.sweeps import Axes, plans_of, start_sweep
from apps.evaluation.types import ItemStatus, MetricRole, RunStatus, Trigger
from apps.prompts.models import PromptVersion
from apps.prompts.selectors import get_prompt_for, versions_of
from apps.tenants import selectors as tenants
from apps.tenants.access import require
from apps.tenants.errors import Invalid, NotFound
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView

EVALUATIONS = "Evaluations"


class RunFilters(Filters):
    orderings = ("pk",)
    default_ordering = "-pk"
    search_in = ("name", "model")
    tenant = TextFilter("tenant__slug")
    status = ChoiceFilter(choices=RunStatus.choices)
    prompt = TextFilter("prompt_version__prompt__slug")
    dataset = TextFilter("dataset_version__dataset__slug")


class RunList(ApiView):
    @operation("list-evaluations", "List runs", tag=EVALUATIONS, response=RunOut, filters=RunFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.runs_for(self.actor), RunOut, RunFilters)

    @operation(
        "start-evaluation",
        "Start a run",
        tag=EVALUATIONS,
        request=NewRun,
        response=RunDetailOut,
        status=201,
        errors=CONFLICT,
        description="A prompt's version, or a model alone, answers a dataset's version, and scorers score the answers."
        " Its calls are made in the project, with its limits and budgets.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewRun)
        with transaction.atomic():  # a run that is refused leaves no scorers of its suite behind
            run = runs.start_run(actor=self.actor, plan=planned(self, body), trigger=Trigger.CI)
        return self.shown(RunDetailOut, selectors.get_run_for(self.actor, run.public_id), 201)


class RunEstimate(ApiView):
    @operation(
        "estimate-evaluation",
        "Estimate a run",
        tag=EVALUATIONS,
        request=NewRun,
        response=EstimateOut,
        description="What it would cost and take. Nothing is started.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewRun)
        with set_up_for_an_estimate():
            found = runs.estimate_run(actor=self.actor, plan=planned(self, body))
        return self.shown(EstimateOut, found)


class SweepList(ApiView):
    @operation(
        "start-sweep",
        "Start a sweep",
        tag=EVALUATIONS,
        request=NewSweep,
        response=SweepOut,
        status=201,
        errors=CONFLICT,
        description="Several versions, models or values of parameters, each with each, as runs of their own: all of"
        " them, or none. A budget is each run's.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewSweep)
        axes = _axes(self, body)
        with transaction.atomic():
            started = start_sweep(actor=self.actor, plans=plans_of(planned(self, body), axes), trigger=Trigger.CI)
        return self.shown(SweepOut, get_sweep_for(self.actor, started[0].sweep), 201)


class SweepDetail(ApiView):
    @operation("get-sweep", "Get a sweep", tag=EVALUATIONS, response=SweepOut, errors=NOT_FOUND)
    def get(self, request: Request, id: str) -> Response:
        return self.shown(SweepOut, get_sweep_for(self.actor, id))


def _axes(view: ApiView, body: dict[str, Any]) -> Axes:
    values = body.get("parameter_values", {})
    if any(not isinstance(each, list) or not each for each in values.values()):
        raise Invalid("Each parameter has a list of values to try.", field="parameter_values")
    versions: list[PromptVersion] = []
    if "prompt_versions" in body:
        if "prompt" not in body:
            raise Invalid("Versions are a prompt's: name it.", field="prompt")
        versions = [
            view.referenced(
                "prompt_versions",
                lambda number=number: prompt_version_of(  # type: ignore[misc]
                    view.actor, body["tenant"], body | {"prompt_version": number}
                ),
            )
            for number in body["prompt_versions"]
        ]
    return Axes(versions, body.get("models", []), values)


class _OfRun(ApiView):
    def found(self, id: str) -> Evaluation:
        return selectors.get_run_for(self.actor, id)


class RunDetail(_OfRun):
    @operation("get-evaluation", "Get a run", tag=EVALUATIONS, response=RunDetailOut, errors=NOT_FOUND)
    def get(self, request: Request, id: str) -> Response:
        return self.shown(RunDetailOut, self.found(id))


class RunPause(_OfRun):
    @operation("pause-evaluation", "Pause a run", tag=EVALUATIONS, response=RunDetailOut, errors=NOT_FOUND | CONFLICT)
    def post(self, request: Request, id: str) -> Response:
        runs.pause_run(actor=self.actor, run=self.found(id))
        return self.shown(RunDetailOut, self.found(id))


class RunResume(_OfRun):
    @operation(
        "resume-evaluation",
        "Resume a run",
        tag=EVALUATIONS,
        request=ResumedRun,
        response=RunDetailOut,
        errors=NOT_FOUND | CONFLICT,
    )
    def post(self, request: Request, id: str) -> Response:
        runs.resume_run(actor=self.actor, run=self.found(id), **self.body(ResumedRun))
        return self.shown(RunDetailOut, self.found(id))


class RunCancel(_OfRun):
    @operation("cancel-evaluation", "Cancel a run", tag=EVALUATIONS, response=RunDetailOut, errors=NOT_FOUND | CONFLICT)
    def post(self, request: Request, id: str) -> Response:
        runs.cancel_run(actor=self.actor, run=self.found(id))
        return self.shown(RunDetailOut, self.found(id))


class RunRetry(_OfRun):
    @operation(
        "retry-evaluation",
        "Try a run's errors again",
        tag=EVALUATIONS,
        response=RunDetailOut,
        errors=NOT_FOUND | CONFLICT,
    )
    def post(self, request: Request, id: str) -> Response:
        runs.retry_errors(actor=self.actor, run=self.found(id))
        return self.shown(RunDetailOut, self.found(id))


class ItemFilters(Filters):
    orderings = ("pk",)
    status = ChoiceFilter(choices=ItemStatus.choices)
    slice = TextFilter("revision__slice")
    example = TextFilter("revision__example__key")
    is_reused = FlagFilter()


class ItemList(_OfRun):
    @operation(
        "list-evaluation-items",
        "List a run's items",
        tag=EVALUATIONS,
        response=ItemOut,
        filters=ItemFilters,
        paged=True,
        errors=NOT_FOUND,
        description="Each answer with its scores.",
    )
    def get(self, request: Request, id: str) -> Response:
        return self.page(selectors.items_of(self.found(id)), ItemOut, ItemFilters)


class ScorerFilters(Filters):
    orderings = ("name", "slug", "created_at")
    search_in = ("name", "slug", "description", "kind")
    tenant = TextFilter("tenant__slug")
    kind = TextFilter()
    is_archived = FlagFilter()


class ScorerList(ApiView):
    @operation("list-scorers", "List scorers", tag=EVALUATIONS, response=ScorerOut, filters=ScorerFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(scorer_selectors.scorers_for(self.actor), ScorerOut, ScorerFilters)

    @operation(
        "create-scorer",
        "Set a scorer up",
        tag=EVALUATIONS,
        request=NewScorer,
        response=ScorerOut,
        status=201,
        errors=CONFLICT,
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewScorer)
        slug = body.pop("tenant")
        tenant = self.referenced("tenant", lambda: tenants.get_tenant_for(self.actor, slug))
        made = scorers.create_scorer(actor=self.actor, tenant=tenant, **body)
        return self.shown(ScorerOut, scorer_selectors.get_scorer_for(self.actor, tenant.slug, made.slug), 201)


class _OfScorer(ApiView):
    def found(self, tenant: str, scorer: str) -> Scorer:
        return scorer_selectors.get_scorer_for(self.actor, tenant, scorer)


class ScorerDetail(_OfScorer):
    @operation("get-scorer", "Get a scorer", tag=EVALUATIONS, response=ScorerOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, scorer: str) -> Response:
        return self.shown(ScorerOut, self.found(tenant, scorer))

    @operation(
        "change-scorer",
        "Change a scorer",
        tag=EVALUATIONS,
        request=ScorerChanges,
        response=ScorerVersionOut,
        errors=NOT_FOUND | CONFLICT,
        description="The version that counts from now on: a new one where the parameters are others.",
    )
    def patch(self, request: Request, tenant: str, scorer: str) -> Response:
        row = self.found(tenant, scorer)
        version = scorers.update_scorer(actor=self.actor, scorer=row, **self.body(ScorerChanges))
        return self.shown(ScorerVersionOut, version)


def planned(view: ApiView, body: dict[str, Any]) -> RunPlan:
    """The plan that a body asks for; what it names and the actor does not see is that field's fault."""
    actor = view.actor
    tenant, project = body["tenant"], body["project"]
    where = view.referenced("project", lambda: tenants.get_project_for(actor, tenant, project))
    require(actor, "evaluation.run", where.tenant, where, what="run an evaluation")
    prompt = None
    if "prompt" in body:
        prompt = view.referenced("prompt", lambda: prompt_version_of(actor, tenant, body))
    dataset = view.referenced("dataset", lambda: _dataset_version(actor, tenant, body))
    metrics = [
        MetricChoice(
            view.referenced(
                "scorers",
                lambda each=each: scorer_selectors.get_scorer_version_for(  # type: ignore[misc]
                    actor, tenant, each["scorer"], each.get("version")
                ),
            ),
            each.get("role", MetricRole.WATCH),
            each.get("margin", 0.0),
        )
        for each in body.get("scorers", [])
    ]
    if "suite" in body:
        metrics = with_suite(actor=actor, tenant=where.tenant, suite=body["suite"], metrics=metrics)
    return RunPlan(
        project=where,
        dataset_version=dataset,
        metrics=metrics,
        prompt_version=prompt,
        model=body.get("model", ""),
        parameters=body.get("parameters"),
        split=body.get("split", ""),
        repetitions=body.get("repetitions", 1),
        seed=body.get("seed"),
        name=body.get("name", ""),
        budget_picousd=body.get("budget_usd"),
        reuses_answers=body.get("reuse", True),
        concurrency=body.get("concurrency", 16),
    )


def prompt_version_of(actor: Any, tenant: str, body: dict[str, Any]) -> PromptVersion:
    prompt = get_prompt_for(actor, tenant, body["prompt"])
    rows = versions_of(prompt).select_related("prompt__tenant")
    number = body.get("prompt_version")
    version = (rows if number is None else rows.filter(number=min(number, 2**31 - 1))).first()
    if version is None:
        raise NotFound(f"{prompt.name} has no version{'' if number is None else f' {number}'}.")
    return version


def _dataset_version(actor: Any, tenant: str, body: dict[str, Any]) -> DatasetVersion:
    rows = DatasetVersion.objects.for_actor(actor).filter(dataset__tenant__slug=tenant, dataset__slug=body["dataset"])
    number = body.get("dataset_version")
    if number is not None:
        rows = rows.filter(number=min(number, 2**31 - 1))
    version = rows.select_related("dataset__tenant").order_by("-number").first()
    if version is None:
        raise NotFound(f"There is no frozen version of a dataset {body['dataset'][:60]!r}.")
    return version
