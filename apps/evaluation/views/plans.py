"""The evaluation plan of a prompt or a route."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.evaluation.forms.gates import PlanForm
from apps.evaluation.selectors import gates as selectors
from apps.evaluation.services import plans
from apps.evaluation.types import MetricRole
from apps.gateway.models import Route
from apps.gateway.routing.selectors import get_route_for
from apps.prompts.models import Prompt
from apps.prompts.selectors import get_prompt_for
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError, NotFound
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, tenant_page


@require_http_methods(["GET", "POST"])
@tenant_page
def plan(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    found = get_prompt_for(here.actor, tenant, prompt)
    return _plan(request, here, found, reverse("evaluation:plan", args=[tenant, prompt]))


@require_http_methods(["GET", "POST"])
@tenant_page
def route_plan(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    found = get_route_for(here.actor, pk)
    return _plan(request, here, found, reverse("evaluation:route-plan", args=[pk]))


@require_POST
@tenant_page
def plan_remove(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    plans.remove_plan(actor=here.actor, owner=get_prompt_for(here.actor, tenant, prompt))
    messages.success(request, "New versions are no longer evaluated by themselves.")
    return redirect("evaluation:plan", tenant=tenant, prompt=prompt)


@require_POST
@tenant_page
def route_plan_remove(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    plans.remove_plan(actor=here.actor, owner=get_route_for(here.actor, pk))
    messages.success(request, "The route is no longer guarded: changes are in force at once.")
    return redirect("evaluation:route-plan", pk)


def _plan(request: HttpRequest, here: Here, owner: Prompt | Route, address: str) -> HttpResponse:
    tenant = owner.tenant
    if tenant is None:
        raise NotFound("It is the platform's: no tenant decides about its changes.")
    require(here.actor, "evaluation.view", tenant, what="see how this is evaluated")
    may_plan = can(here.actor, "evaluation.plan", tenant)
    if request.method == "POST":
        require(here.actor, "evaluation.plan", tenant, what="change how this is evaluated")
    current = selectors.plan_of(owner)
    form = PlanForm(request.POST or None, owner=owner, plan=current)
    if request.method == "POST" and form.is_valid():
        try:
            plans.set_plan(actor=here.actor, owner=owner, facts=form.facts())
        except DomainError as error:
            add_domain_error(form, error)
        else:
            noun = "change of its targets" if isinstance(owner, Route) else "version"
            messages.success(request, f"The plan is set. It counts from the next {noun} on.")
            return redirect(address)
    context = {
        "owner": owner,
        "prompt": owner if isinstance(owner, Prompt) else None,
        "route": owner if isinstance(owner, Route) else None,
        "plan": current,
        "form": form,
        "roles": MetricRole.choices,
        "may_plan": may_plan,
        "history": selectors.gates_of(owner).defer("evidence")[:20],
    }
    return render(request, "evaluation/plan.html", context, status=422 if form.errors else 200)
