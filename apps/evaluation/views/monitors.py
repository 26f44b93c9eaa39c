"""Monitors: the list, one with its chart, checks and alerts, its form, and what can be done with it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation.control_charts import Chart, chart_of, lines_of, shown_of, spark_of
from apps.evaluation.forms.monitors import MonitorForm
from apps.evaluation.models import Monitor, MonitorCheck
from apps.evaluation.selectors import monitors as selectors
from apps.evaluation.selectors.monitors import MonitorQuery
from apps.evaluation.services import alerts
from apps.evaluation.services import monitors as services
from apps.evaluation.types import ControlChart, MonitorState
from apps.evaluation.webhooks import secret_of
from apps.prompts.selectors import get_prompt_for
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError, PermissionDenied
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

CHECKS_PER_PAGE = 12
ORDERS = {"name": "name", "state": "urgency", "last": "last_at", "next": "next_at"}


def _text(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\x00", "").strip()[:200]


@require_GET
@tenant_page
def monitor_list(request: HttpRequest, here: Here) -> HttpResponse:
    query = MonitorQuery(text=_text(request, "q"), state=_text(request, "state"))
    page = page_of(
        sorted_by(selectors.search_monitors(here.actor, here.tenant, query), request, ORDERS, "state"), request
    )
    filtered = query != MonitorQuery()
    context = {
        "page": page,
        "entries": [_entry(monitor) for monitor in page],
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [{"name": "state", "label": "Any state", "options": MonitorState.choices, "value": query.state}],
        "may_monitor": can(here.actor, "evaluation.monitor", here.tenant),
        **_consent(here),
    }
    return render(request, "evaluation/monitor_list.html", context)


def _entry(monitor: Any) -> dict[str, Any]:
    """``monitor`` as the list's selector annotates it."""
    told = next((check for check in monitor.recent if check.statistics), None)
    return {
        "monitor": monitor,
        "state": MonitorState(monitor.state),
        "shown": [] if told is None else shown_of(told),
        "spark": spark_of(monitor.recent[::-1]),
        "tone": "danger" if monitor.state == MonitorState.OUT else "",
    }


def _consent(here: Here) -> dict[str, Any]:
    return {
        "sampled_projects": selectors.sampled_projects(here.tenant),
        "may_consent": can(here.actor, "tenant.update", here.tenant),
    }


@require_http_methods(["GET", "POST"])
@tenant_page
def monitor_create(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "evaluation.monitor", here.tenant, what="set a monitor up")
    project = here.workspace.project
    given: dict[str, Any] = {"prompt": _text(request, "prompt"), "model": _text(request, "model")}
    if given["prompt"]:
        given["baseline"] = "release"
    if project is not None:
        given["project"] = project.slug
    form = MonitorForm(request.POST or None, actor=here.actor, tenant=here.tenant, **given)
    if request.method == "POST" and form.is_valid():
        try:
            monitor = services.create_monitor(actor=here.actor, tenant=here.tenant, facts=form.facts())
        except PermissionDenied:
            raise
        except DomainError as error:
            add_domain_error(form, error)
        else:
            return _saved(request, monitor, f"{monitor.name} is there. Its first check is of the window open now.")
    context = {"form": form, "title": "New monitor", "back": reverse("evaluation:monitor-list"), **_consent(here)}
    return render(request, "evaluation/monitor_form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@tenant_page
def monitor_edit(request: HttpRequest, here: Here, tenant: str, monitor: str) -> HttpResponse:
    found = selectors.get_monitor_for(here.actor, tenant, monitor)
    require(here.actor, "evaluation.monitor", found.tenant, what="change this monitor")
    form = MonitorForm(request.POST or None, actor=here.actor, tenant=found.tenant, monitor=found)
    if request.method == "POST" and form.is_valid():
        before = found.webhook_url
        try:
            changed = services.update_monitor(actor=here.actor, monitor=found, facts=form.facts())
        except DomainError as error:
            if error.status in (403, 404):
                raise
            add_domain_error(form, error)
        else:
            return _saved(request, changed, "Saved.", is_new_secret=changed.webhook_url != before)
    context = {
        "form": form,
        "monitor": found,
        "title": f"Change {found.name}",
        "back": monitor_url(found),
        **_consent(here),
    }
    return render(request, "evaluation/monitor_form.html", context, status=422 if form.errors else 200)


def _saved(request: HttpRequest, monitor: Monitor, said: str, *, is_new_secret: bool = True) -> HttpResponse:
    """Where a webhook is new its secret is shown, this once."""
    if monitor.webhook_url and is_new_secret:
        return _show_secret(request, monitor)
    messages.success(request, said)
    return redirect(monitor_url(monitor))


def _show_secret(request: HttpRequest, monitor: Monitor) -> HttpResponse:
    return render(request, "evaluation/monitor_secret.html", {"monitor": monitor, "secret": secret_of(monitor)})


@require_GET
@tenant_page
def monitor_detail(request: HttpRequest, here: Here, tenant: str, monitor: str) -> HttpResponse:
    found = selectors.get_monitor_for(here.actor, tenant, monitor)
    may_read = can(here.actor, "request.view", found.tenant)
    checks = selectors.decided_checks_of(found)
    page = Paginator(selectors.checks_of(found), CHECKS_PER_PAGE).get_page(request.GET.get("page"))
    lines = lines_of(checks)
    wanted = _text(request, "line")
    line = next((each for each in lines if each.key == wanted), lines[0] if lines else None)
    chart: Chart | None = None
    if line is not None:
        moving = found.chart == ControlChart.EWMA
        chart = chart_of(line, checks, moving=moving, url_of=lambda check: _run_url(check) if may_read else "")
    context = {
        "monitor": found,
        "state": selectors.state_of(found, checks[-1] if checks else None),
        "newest": checks[-1] if checks else None,
        "is_checking": selectors.is_checking(found),
        "lines": lines,
        "line": line,
        "chart": chart,
        "page": page,
        "entries": [(check, shown_of(check)) for check in page],
        "episodes": selectors.episodes_of(found),
        "baseline": selectors.baseline_of(found),
        "may_read": may_read,
        "may_monitor": can(here.actor, "evaluation.monitor", found.tenant),
        **_consent(here),
    }
    return render(request, "evaluation/monitor_detail.html", context)


@require_GET
@tenant_page
def monitor_progress(request: HttpRequest, here: Here, tenant: str, monitor: str) -> HttpResponse:
    """The live line. When nothing is being scored any more the whole page is asked for again."""
    found = selectors.get_monitor_for(here.actor, tenant, monitor)
    is_checking = selectors.is_checking(found)
    context = {"monitor": found, "is_checking": is_checking}
    response = render(request, "evaluation/_monitor_progress.html", context)
    if not is_checking:
        response["HX-Refresh"] = "true"
    return response


@require_POST
@tenant_page
def monitor_act(request: HttpRequest, here: Here, tenant: str, monitor: str) -> HttpResponseRedirect:
    """``act`` is one of check, pause, resume and acknowledge."""
    found = selectors.get_monitor_for(here.actor, tenant, monitor)
    try:
        match request.POST.get("act", ""):
            case "check":
                check = services.check_now(actor=here.actor, monitor=found)
                said = "It is decided once its sample is scored." if not check.verdict else _decided(check)
            case "pause":
                services.pause_monitor(actor=here.actor, monitor=found)
                said = "Paused: nothing is checked until it is resumed."
            case "resume":
                services.pause_monitor(actor=here.actor, monitor=found, is_paused=False)
                said = "Resumed: the window that is open now is checked next."
            case "acknowledge":
                services.acknowledge(actor=here.actor, monitor=found)
                said = "Others see that you look after it, and nobody is told of the same again until it has ended."
            case _:
                messages.error(request, "There is nothing of that name to do.")
                return HttpResponseRedirect(monitor_url(found))
    except DomainError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, str(error))
    else:
        messages.success(request, said)
    return HttpResponseRedirect(monitor_url(found))


def _decided(check: MonitorCheck) -> str:
    return f"{check.get_verdict_display()}: {' '.join(check.reasons)}".removesuffix(": ")


@require_POST
@tenant_page
def monitor_delete(request: HttpRequest, here: Here, tenant: str, monitor: str) -> HttpResponseRedirect:
    found = selectors.get_monitor_for(here.actor, tenant, monitor)
    try:
        services.delete_monitor(actor=here.actor, monitor=found)
    except DomainError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, str(error))
        return HttpResponseRedirect(monitor_url(found))
    messages.success(request, f"{found.name} is deleted, with its checks and samples.")
    return HttpResponseRedirect(reverse("evaluation:monitor-list"))


@require_POST
@tenant_page
def monitor_secret(request: HttpRequest, here: Here, tenant: str, monitor: str) -> HttpResponse:
    """Another one, shown once."""
    found = selectors.get_monitor_for(here.actor, tenant, monitor)
    try:
        renewed = services.renew_secret(actor=here.actor, monitor=found)
    except DomainError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, str(error))
        return redirect(monitor_url(found))
    return _show_secret(request, renewed)


@require_POST
@tenant_page
def alert_retry(request: HttpRequest, here: Here, tenant: str, monitor: str, pk: int) -> HttpResponseRedirect:
    found = selectors.get_monitor_for(here.actor, tenant, monitor)
    alert = selectors.get_alert_of(found, pk)
    try:
        alerts.retry_alert(actor=here.actor, alert=alert)
    except DomainError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, str(error))
    else:
        messages.success(request, f"It is sent to {alert.address} again.")
    return HttpResponseRedirect(monitor_url(found) + "#alerts")


@require_GET
@tenant_page
def prompt_monitors(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    """Those that watch a prompt, for its page."""
    found = get_prompt_for(here.actor, tenant, prompt)
    entries = [_entry(monitor) for monitor in selectors.monitors_of(here.actor, found)]
    context = {
        "prompt": found,
        "entries": sorted(entries, key=lambda each: MonitorState.values.index(each["state"])),
        "may_monitor": can(here.actor, "evaluation.monitor", found.tenant),
    }
    return render(request, "evaluation/_prompt_monitors.html", context)


def monitor_url(monitor: Monitor) -> str:
    return reverse("evaluation:monitor-detail", args=[monitor.tenant.slug, monitor.slug])


def _run_url(check: MonitorCheck) -> str:
    run = check.evaluation
    return "" if run is None else reverse("evaluation:run-detail", args=[run.public_id])
