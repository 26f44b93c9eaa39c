"""Runs: the list, a new one, and one with its progress, its figures and its items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation.forms.runs import ResumeForm, RunForm
from apps.evaluation.models import Evaluation
from apps.evaluation.selectors import monitors
from apps.evaluation.selectors import runs as selectors
from apps.evaluation.selectors.redteam import is_red_team
from apps.evaluation.selectors.runs import ItemQuery, RunQuery
from apps.evaluation.selectors.sweeps import get_sweep_for
from apps.evaluation.services import offer_failing_samples
from apps.evaluation.services import runs as services
from apps.evaluation.services.suites import set_up_for_an_estimate
from apps.evaluation.services.sweeps import estimate_sweep, start_sweep
from apps.evaluation.types import RunStatus
from apps.tenants.access import can, require
from apps.tenants.errors import Conflict, DomainError, PermissionDenied
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

ORDERS = {"name": "name", "started": "created_at", "status": "status", "cost": "spent_picousd", "items": "items_total"}
ITEMS_PER_PAGE = 25
SHOWS = [("failing", "Failing"), ("errors", "Errors"), ("reused", "Taken again")]
ACTS = {
    "pause": (services.pause_run, "The run pauses: calls in flight end."),
    "resume": (services.resume_run, "The run goes on."),
    "cancel": (services.cancel_run, "The run is cancelled; what was scored stays."),
    "retry": (services.retry_errors, "What went wrong is tried again."),
}


def _text(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\x00", "").strip()[:200]


@require_GET
@tenant_page
def run_list(request: HttpRequest, here: Here) -> HttpResponse:
    query = RunQuery(
        text=_text(request, "q"),
        status=_text(request, "status"),
        prompt=_text(request, "prompt"),
        dataset=_text(request, "dataset"),
    )
    page = page_of(
        sorted_by(selectors.search_runs(here.actor, here.tenant, query), request, ORDERS, "-started"), request
    )
    progress = selectors.progress_of(page)
    filtered = query != RunQuery()
    context = {
        "page": page,
        "entries": [(run, progress[run.pk]) for run in page],
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [
            {"name": "status", "label": "Any state", "options": RunStatus.choices, "value": query.status},
            {
                "name": "prompt",
                "label": "Any prompt",
                "options": selectors.prompts_evaluated(here.actor, here.tenant),
                "value": query.prompt,
            },
            {
                "name": "dataset",
                "label": "Any dataset",
                "options": selectors.datasets_evaluated(here.actor, here.tenant),
                "value": query.dataset,
            },
        ],
        "may_run": services.may_start(here.actor, here.tenant),
    }
    return render(request, "evaluation/run_list.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def run_create(request: HttpRequest, here: Here) -> HttpResponse:
    """What, on which dataset, with which scorers; what it would cost is shown before it is started."""
    require(here.actor, "evaluation.run", here.tenant, what="run an evaluation")
    services.caller_of(here.actor, here.tenant)  # who cannot start it learns so before the form is filled in
    initial = {
        "prompt_version": request.GET.get("prompt", ""),
        "dataset_version": request.GET.get("dataset", ""),
        "model": request.GET.get("model", ""),
        "project": here.workspace.project.slug if here.workspace.project is not None else "",
        "repetitions": 1,
        "reuse": True,
    }
    form = RunForm(request.POST or None, actor=here.actor, tenant=here.tenant, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():  # a run that is refused leaves no scorers of its suite behind
                plans = form.plans()
                if len(plans) > 1:
                    started = start_sweep(actor=here.actor, plans=plans)
                    messages.success(request, f"{len(started)} runs are queued.")
                    return redirect("evaluation:sweep-detail", sweep=started[0].sweep)
                run = services.start_run(actor=here.actor, plan=plans[0])
        except PermissionDenied:
            raise
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, f"{run.name} is queued.")
            return redirect(run_url(run))
    context = {"form": form, "lacks": form.lacks}
    return render(request, "evaluation/run_form.html", context, status=422 if form.errors else 200)


@require_POST
@tenant_page
def run_estimate(request: HttpRequest, here: Here) -> HttpResponse:
    """The part of the form that says what it would cost and take."""
    require(here.actor, "evaluation.run", here.tenant, what="run an evaluation")
    form = RunForm(request.POST, actor=here.actor, tenant=here.tenant)
    context: dict[str, Any] = {}
    if form.is_valid():
        try:
            with set_up_for_an_estimate():
                plans = form.plans()
                context["runs"] = len(plans)
                context["estimate"] = estimate_sweep(actor=here.actor, plans=plans)
        except DomainError as error:
            context["problem"] = str(error)
    return render(request, "evaluation/_run_estimate.html", context)


@require_GET
@tenant_page
def run_detail(request: HttpRequest, here: Here, run: str) -> HttpResponse:
    found = selectors.get_run_for(here.actor, run)
    show = _text(request, "show")
    query = ItemQuery(
        show=show if show in dict(SHOWS) else "", slice=_text(request, "slice"), scorer=_text(request, "scorer")
    )
    page = Paginator(selectors.items_of(found, query), ITEMS_PER_PAGE).get_page(request.GET.get("page"))
    metrics = list(found.metrics.all())
    filtered = query != ItemQuery()
    context = {
        **progress_context(here, found),
        "page": page,
        "metrics": metrics,
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [
            {"name": "show", "label": "All items", "options": SHOWS, "value": query.show},
            {
                "name": "scorer",
                "label": "Any scorer",
                "options": [(each.scorer_version.scorer.slug, each.scorer_version.scorer.name) for each in metrics],
                "value": query.scorer,
            },
            {
                "name": "slice",
                "label": "Any slice",
                "options": [(each, each) for each in selectors.slices_of(found)],
                "value": query.slice,
            },
        ],
        "check": monitors.check_of(found),
        "may_offer": can(here.actor, "dataset.offer", found.tenant),
        "earlier": selectors.earlier_runs_of(found),
        "mlflow_url": mlflow_url(here, found),
        "is_red_team": is_red_team(found),
        "may_see_requests": can(here.actor, "request.view", found.tenant),
    }
    return render(request, "evaluation/run_detail.html", context)


@require_GET
@tenant_page
def sweep_detail(request: HttpRequest, here: Here, sweep: str) -> HttpResponse:
    """Runs that were started together, side by side. While one of them goes on the table comes again by itself."""
    found = get_sweep_for(here.actor, sweep)
    context = {"sweep": found, "mlflow_url": _mlflow_runs_url(here, [row.run for row in found.rows])}
    return render(request, "evaluation/sweep_detail.html", context)


@require_GET
@tenant_page
def run_progress(request: HttpRequest, here: Here, run: str) -> HttpResponse:
    """The live part. When the run has ended the whole page is asked for again."""
    found = selectors.get_run_for(here.actor, run)
    response = render(request, "evaluation/_run_progress.html", progress_context(here, found))
    if not selectors.is_live(found):
        response["HX-Refresh"] = "true"
    return response


@require_GET
@tenant_page
def run_item(request: HttpRequest, here: Here, run: str, pk: int) -> HttpResponse:
    found = selectors.get_run_for(here.actor, run)
    item = selectors.get_item_of(found, pk)
    context = {
        "run": found,
        "item": item,
        "scores": item.scores.all(),
        "may_see_requests": can(here.actor, "request.view", found.tenant),
    }
    template = "evaluation/_run_item.html" if request.htmx else "evaluation/run_item.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_POST
@tenant_page
def run_act(request: HttpRequest, here: Here, run: str) -> HttpResponseRedirect:
    """``act`` is one of pause, resume (with a new ``budget``, or the old one), cancel and retry."""
    found = selectors.get_run_for(here.actor, run)
    service, said = ACTS.get(request.POST.get("act", ""), (None, ""))
    if service is None:
        messages.error(request, "There is nothing of that name to do.")
        return HttpResponseRedirect(run_url(found))
    values = {}
    if service is services.resume_run:
        form = ResumeForm(request.POST)
        if not form.is_valid():
            messages.error(request, f"New budget: {form.errors['budget'][0]}")
            return HttpResponseRedirect(run_url(found))
        values = {"budget_picousd": form.budget_picousd()}
    try:
        service(actor=here.actor, run=found, **values)
    except DomainError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, str(error))
    else:
        messages.success(request, said)
    return HttpResponseRedirect(run_url(found))


@require_POST
@tenant_page
def run_offer(request: HttpRequest, here: Here, run: str) -> HttpResponseRedirect:
    """What failed among the requests of production that the run scored goes to the golden-set inbox."""
    found = selectors.get_run_for(here.actor, run)
    try:
        offered = offer_failing_samples(actor=here.actor, run=found)
    except Conflict as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(run_url(found))
    messages.success(request, f"{offered:,} failing request{'' if offered == 1 else 's'} came to the inbox.")
    return HttpResponseRedirect(reverse("evaluation:inbox"))


def run_url(run: Evaluation) -> str:
    return reverse("evaluation:run-detail", args=[run.public_id])


def progress_context(here: Here, run: Evaluation) -> dict[str, Any]:
    progress = selectors.progress_of([run])[run.pk]
    scores_failed = sum(metric.summary.get("errors", 0) for metric in run.metrics.all())
    acts = []
    if can(here.actor, "evaluation.run", run.tenant, run.project):
        if run.status in (RunStatus.QUEUED, RunStatus.RUNNING):
            acts = [("pause", "Pause", "square"), ("cancel", "Cancel", "x")]
        elif run.status == RunStatus.PAUSED:
            acts = [("resume", "Resume", "play"), ("cancel", "Cancel", "x")]
        elif progress.errors or scores_failed:
            acts = [("retry", "Try errors again", "rotate-ccw")]
    asks_budget = bool(acts) and run.status == RunStatus.PAUSED and run.budget_picousd is not None
    facts = {"progress": progress, "scores_failed": scores_failed, "asks_budget": asks_budget}
    return {"run": run, **facts, "is_live": selectors.is_live(run), "acts": acts}


def _mlflow_runs_url(here: Here, runs: Sequence[Evaluation]) -> str:
    """MLflow's table of an experiment, in which a sweep's runs are nested: for the platform's staff."""
    logged = next((run.mlflow_experiment_id for run in runs if run.mlflow_run_id), "")
    if not logged or not can(here.actor, "registry.view"):
        return ""
    return f"{reverse('mlflow')}#/experiments/{logged}/runs?workflowType=machine_learning"


def mlflow_url(here: Here, run: Evaluation) -> str:
    """For the platform's staff, who may open it."""
    if not run.mlflow_run_id or not can(here.actor, "registry.view"):
        return ""
    return f"{reverse('mlflow')}#/experiments/{run.mlflow_experiment_id}/runs/{run.mlflow_run_id}"
