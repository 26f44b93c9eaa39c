"""Red team: the runs there were, a new one, and the report of one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation import redteam_files
from apps.evaluation.forms.redteam import RedTeamForm
from apps.evaluation.models import Evaluation
from apps.evaluation.redteam import Category, Severity
from apps.evaluation.redteam.shaping import main_variable
from apps.evaluation.selectors import redteam as selectors
from apps.evaluation.selectors.redteam import Report, Verdict
from apps.evaluation.selectors.runs import is_live
from apps.evaluation.services import redteam as services
from apps.evaluation.services.runs import caller_of, may_start
from apps.evaluation.showing import shown
from apps.evaluation.views.runs import ORDERS, progress_context
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError, PermissionDenied
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

FINDINGS_PER_PAGE = 10


@require_GET
@tenant_page
def run_list(request: HttpRequest, here: Here) -> HttpResponse:
    rows = selectors.red_team_runs(here.actor, here.tenant)
    page = page_of(sorted_by(rows, request, ORDERS, "-started"), request)
    context = {"page": page, "may_run": may_start(here.actor, here.tenant)}
    return render(request, "evaluation/red_team_list.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def create(request: HttpRequest, here: Here) -> HttpResponse:
    """Whom to attack, and with what; what it would cost is shown before it is started."""
    require(here.actor, "evaluation.run", here.tenant, what="run a red team")
    caller_of(here.actor, here.tenant)  # who cannot start it learns so before the form is filled in
    initial = {
        "prompt_version": request.GET.get("prompt", ""),
        "model": request.GET.get("model", ""),
        "project": here.workspace.project.slug if here.workspace.project is not None else "",
    }
    form = RedTeamForm(request.POST or None, actor=here.actor, tenant=here.tenant, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            run = services.start_red_team(actor=here.actor, plan=form.plan())
        except PermissionDenied:
            raise
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, f"{run.name} is queued.")
            return redirect("evaluation:red-team-report", run.public_id)
    return render(request, "evaluation/red_team_form.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@tenant_page
def estimate(request: HttpRequest, here: Here) -> HttpResponse:
    """The part of the form that says what it would cost and take, and how the attacks reach the target."""
    require(here.actor, "evaluation.run", here.tenant, what="run a red team")
    form = RedTeamForm(request.POST, actor=here.actor, tenant=here.tenant)
    context: dict[str, Any] = {}
    if form.is_valid() and ((plan := form.plan()).prompt_version is not None or plan.model):
        version = plan.prompt_version
        context["is_prompt"] = version is not None
        context["variable"] = main_variable(version.content) if version is not None else ""
        context["is_simulated"] = selectors.is_simulated(
            plan.project.tenant, plan.model or (version.model if version else "")
        )
        try:
            context["estimate"] = services.estimate_red_team(actor=here.actor, plan=plan)
        except DomainError as error:
            context["problem"] = str(error)
    return render(request, "evaluation/_red_team_estimate.html", context)


@require_GET
@tenant_page
def report(request: HttpRequest, here: Here, run: str) -> HttpResponse:
    found = selectors.get_red_team_run(here.actor, run)
    made = selectors.report_of(found)
    query = _query(request)
    chosen = _matching(made, query)
    page = Paginator(chosen, FINDINGS_PER_PAGE).get_page(request.GET.get("page"))
    items = selectors.findings_of(found, [each.item_id for each in page.object_list])
    verdicts = {each.item_id: each for each in page.object_list}
    filtered = any(query.values())
    context = {
        **progress_context(here, found),
        "nav_at": reverse("evaluation:red-team-list"),
        "report": made,
        "weak": [each for each in made.techniques if each.successes],
        "held": [each for each in made.techniques if each.judged and not each.successes],
        "page": page,
        "findings": [(item, verdicts[item.pk], shown(item.revision.input)) for item in items],
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [
            {
                "name": "category",
                "label": "Any category",
                "options": [(each.category, each.category.label) for each in made.categories],
                "value": query["category"],
            },
            {"name": "severity", "label": "Any severity", "options": Severity.choices, "value": query["severity"]},
            {
                "name": "technique",
                "label": "Any technique",
                "options": [(each.name, each.name) for each in made.techniques],
                "value": query["technique"],
            },
        ],
        "severities": list(Severity),
        "compare_url": _compare_url(found, made),
        "is_simulated": selectors.is_simulated(found.tenant, found.model),
        "dataset": selectors.findings_dataset_of(found),
        "may_add": can(here.actor, "dataset.edit", found.tenant) and not is_live(found),
        "may_run": may_start(here.actor, found.tenant),
    }
    return render(request, "evaluation/red_team_report.html", context)


@require_POST
@tenant_page
def findings(request: HttpRequest, here: Here, run: str) -> HttpResponse:
    """``key`` is a finding; without one all of them become examples."""
    found = selectors.get_red_team_run(here.actor, run)
    keys = request.POST.getlist("key")[:1_000]
    try:
        added = services.add_findings(actor=here.actor, run=found, keys=keys or None)
    except DomainError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, str(error))
    else:
        name = added.dataset.name
        if not added.new:
            messages.info(request, f"{name} has {'it' if added.known == 1 else 'them'} already.")
        else:
            count = f"{added.new} example{'' if added.new == 1 else 's'}"
            messages.success(request, f"{count} added to {name}. Freeze a version there to evaluate by it.")
    return redirect("evaluation:red-team-report", found.public_id)


@require_GET
@tenant_page
def export(request: HttpRequest, here: Here, run: str) -> HttpResponse:
    """``?format=csv`` has every attack with its verdict; ``md`` the report with what got through."""
    found = selectors.get_red_team_run(here.actor, run)
    made = selectors.report_of(found)
    response: HttpResponseBase
    if request.GET.get("format") == "md":
        items = selectors.findings_of(found, [each.item_id for each in made.findings])
        response = HttpResponse(redteam_files.markdown(found, made, items), content_type="text/markdown; charset=utf-8")
        ending = "md"
    else:
        items = selectors.findings_of(found, [each.item_id for each in made.verdicts])
        response = StreamingHttpResponse(redteam_files.csv(made, items), content_type="text/csv")
        ending = "csv"
    response["Content-Disposition"] = f'attachment; filename="red-team-{found.public_id}.{ending}"'
    return response  # type: ignore[return-value]


def _query(request: HttpRequest) -> dict[str, str]:
    given = {name: request.GET.get(name, "") for name in ("category", "severity", "technique")}
    if given["category"] not in Category.values:
        given["category"] = ""
    if given["severity"] not in Severity.values:
        given["severity"] = ""
    return given


def _matching(made: Report, query: dict[str, str]) -> list[Verdict]:
    return [
        each
        for each in made.findings
        if all(not value or getattr(each, name) == value for name, value in query.items())
    ]


def _compare_url(run: Evaluation, made: Report) -> str:
    if made.before is None:
        return ""
    pair = {"baseline": made.before.run.public_id, "candidate": run.public_id}
    return f"{reverse('evaluation:compare')}?{urlencode(pair)}"
