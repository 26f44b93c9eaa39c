"""Projects: the list, one with its keys, limits and budgets, and their forms."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.tenants import selectors, services
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError
from apps.tenants.forms import (
    BudgetForm,
    LimitForm,
    ProjectEditForm,
    ProjectForm,
    add_domain_error,
    budget_initial,
    limit_initial,
    project_initial,
)
from apps.tenants.models import Budget, Project, RateLimit
from apps.tenants.money import format_usd
from apps.tenants.types import BudgetPeriod, Environment, Metric
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

ORDERS = {"name": "name", "environment": "environment", "created": "created_at", "keys": "usable_keys"}
STATUSES = [("active", "Active"), ("archived", "Archived")]
SHOWN_KEYS = 10


@require_GET
@tenant_page
def project_list(request: HttpRequest, here: Here) -> HttpResponse:
    projects = selectors.with_key_counts(selectors.projects_for(here.actor, here.tenant))
    search, environment = request.GET.get("q", "").strip(), request.GET.get("environment", "")
    status = request.GET.get("status", "")
    if search:
        projects = projects.filter(Q(name__icontains=search) | Q(slug__icontains=search))
    if environment in Environment.values:
        projects = projects.filter(environment=environment)
    if status in {"active", "archived"}:
        projects = projects.filter(is_active=status == "active")
    filtered = bool(search or environment or status)
    context = {
        "page": page_of(sorted_by(projects, request, ORDERS, "name"), request),
        "search": search,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [
            {
                "name": "environment",
                "label": "Any environment",
                "options": Environment.choices,
                "value": environment,
            },
            {"name": "status", "label": "Any status", "options": STATUSES, "value": status},
        ],
        "may_create": can(here.actor, "project.create", here.tenant),
    }
    return render(request, "tenants/project_list.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def project_create(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "project.create", here.tenant, what="create a project")
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            project = services.create_project(actor=here.actor, tenant=here.tenant, **form.cleaned_data)
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, f"The project {project.name} is there. Create its first key.")
            return redirect("tenants:project-detail", tenant=here.tenant.slug, project=project.slug)
    return _form(request, form, title="New project", back=reverse("tenants:project-list"), action="Create project")


@require_GET
@tenant_page
def project_detail(request: HttpRequest, here: Here, tenant: str, project: str) -> HttpResponse:
    found = selectors.get_project_for(here.actor, tenant, project)
    may_see_keys = can(here.actor, "apikey.view", found.tenant, found)
    keys = selectors.with_status(selectors.keys_for(here.actor, found.tenant).filter(project=found), "active")
    context = {
        "project": found,
        "may_see_keys": may_see_keys,
        "keys": keys.order_by("-created_at")[:SHOWN_KEYS] if may_see_keys else [],
        "limits": selectors.limits_for(here.actor, found.tenant).filter(Q(project=found) | Q(project=None)),
        "budgets": selectors.budgets_for(here.actor, found.tenant).filter(Q(project=found) | Q(project=None)),
        "may_create_key": found.is_active and can(here.actor, "apikey.create", found.tenant, found),
        "may_edit": can(here.actor, "project.update", found.tenant, found),
        "may_archive": can(here.actor, "project.archive", found.tenant, found),
        "may_limit": can(here.actor, "limit.manage", found.tenant, found),
        "may_budget": can(here.actor, "budget.manage", found.tenant, found),
    }
    return render(request, "tenants/project_detail.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def project_edit(request: HttpRequest, here: Here, tenant: str, project: str) -> HttpResponse:
    found = selectors.get_project_for(here.actor, tenant, project)
    require(here.actor, "project.update", found.tenant, found, what="change this project")
    may_consent = can(here.actor, "tenant.update", found.tenant)
    form = ProjectEditForm(request.POST or None, initial=project_initial(found), may_consent=may_consent)
    if request.method == "POST" and form.is_valid():
        try:
            services.update_project(actor=here.actor, project=found, **form.cleaned_data)
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, "Saved.")
            return _to(found)
    return _form(request, form, title=f"Edit {found.name}", back=_url(found), action="Save", project=found)


@require_POST
@tenant_page
def project_archive(request: HttpRequest, here: Here, tenant: str, project: str) -> HttpResponse:
    """Archives, or restores with ``restore`` in the form."""
    found = selectors.get_project_for(here.actor, tenant, project)
    if request.POST.get("restore"):
        services.restore_project(actor=here.actor, project=found)
        messages.success(request, f"{found.name} is restored; its keys work again.")
    else:
        services.archive_project(actor=here.actor, project=found)
        messages.success(request, f"{found.name} is archived; its keys are refused.")
    return _to(found)


@require_http_methods(["GET", "POST"])
@tenant_page
def limit_set(request: HttpRequest, here: Here, tenant: str, project: str) -> HttpResponse:
    found = selectors.get_project_for(here.actor, tenant, project)
    require(here.actor, "limit.manage", found.tenant, found, what="change rate limits")
    rows = selectors.limits_for(here.actor, found.tenant, found).filter(api_key=None, user=None).order_by("model", "pk")
    form = LimitForm(request.POST or None, initial=limit_initial(_limit_asked(rows, request.GET)))
    if request.method == "POST" and form.is_valid():
        before = {row.pk: str(row) for row in rows}
        try:
            row = services.set_rate_limit(actor=here.actor, tenant=found.tenant, project=found, **form.cleaned_data)
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, _in_force("limit", before.get(row.pk), str(row)))
            return _to(found)
    title = f"Rate limit of {found.name}"
    return _form(request, form, title=title, back=_url(found), action="Set limit", project=found)


@require_POST
@tenant_page
def limit_delete(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    row = selectors.get_limit_for(here.actor, pk)
    project = row.project
    services.delete_rate_limit(actor=here.actor, rate_limit=row)
    messages.success(request, "The limit is gone.")
    return _to(project)


@require_http_methods(["GET", "POST"])
@tenant_page
def budget_set(request: HttpRequest, here: Here, tenant: str, project: str) -> HttpResponse:
    found = selectors.get_project_for(here.actor, tenant, project)
    require(here.actor, "budget.manage", found.tenant, found, what="change budgets")
    rows = selectors.budgets_for(here.actor, found.tenant, found).filter(api_key=None).order_by("pk")
    form = BudgetForm(request.POST or None, initial=budget_initial(_budget_asked(rows, request.GET)))
    if request.method == "POST" and form.is_valid():
        before = {row.pk: format_usd(row.amount_picousd) for row in rows}
        try:
            row = services.set_budget(actor=here.actor, tenant=found.tenant, project=found, **form.values())
        except DomainError as error:
            error.field = "amount" if error.field == "amount_picousd" else error.field
            add_domain_error(form, error)
        else:
            messages.success(request, _in_force("budget", before.get(row.pk), format_usd(row.amount_picousd)))
            return _to(found)
    title = f"Budget of {found.name}"
    return _form(request, form, title=title, back=_url(found), action="Set budget", project=found)


@require_POST
@tenant_page
def budget_delete(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    row = selectors.get_budget_for(here.actor, pk)
    project = row.project
    services.delete_budget(actor=here.actor, budget=row)
    messages.success(request, "The budget is gone.")
    return _to(project)


def _limit_asked(rows: QuerySet[RateLimit], asked: QueryDict) -> RateLimit | None:
    """The limit that the form begins with: of ``?metric=``, else of the metric that the form offers first."""
    metric = asked.get("metric", "")
    return rows.filter(metric=metric if metric in Metric.values else Metric.values[0]).first()


def _budget_asked(rows: QuerySet[Budget], asked: QueryDict) -> Budget | None:
    period = asked.get("period", "")
    return rows.filter(period=period if period in BudgetPeriod.values else BudgetPeriod.MONTH).first()


def _in_force(what: str, before: str | None, now: str) -> str:
    if before is None or before == now:
        return f"The {what} is in force."
    return f"Replaced {before} by {now}."


def _url(project: Project) -> str:
    return reverse("tenants:project-detail", args=[project.tenant.slug, project.slug])


def _to(project: Project | None) -> HttpResponse:
    return redirect("tenants:project-list") if project is None else redirect(_url(project))


def _form(request: HttpRequest, form: forms.Form, **context: Any) -> HttpResponse:
    return render(request, "tenants/project_form.html", {"form": form, **context}, status=422 if form.errors else 200)
