"""A prompt's evaluation plan."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from apps.evaluation.forms.gates import PlanForm
from apps.evaluation.selectors import gates as selectors
from apps.evaluation.services import plans
from apps.evaluation.types import MetricRole
from apps.prompts.selectors import get_prompt_for
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, tenant_page


@require_http_methods(["GET", "POST"])
@tenant_page
def plan(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    found = get_prompt_for(here.actor, tenant, prompt)
    require(here.actor, "evaluation.view", found.tenant, what="see how this prompt is evaluated")
    may_plan = can(here.actor, "evaluation.plan", found.tenant)
    if request.method == "POST":
        require(here.actor, "evaluation.plan", found.tenant, what="change how this prompt is evaluated")
    current = selectors.plan_of(found)
    form = PlanForm(request.POST or None, prompt=found, plan=current)
    if request.method == "POST" and form.is_valid():
        try:
            plans.set_plan(actor=here.actor, prompt=found, facts=form.facts())
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, "The plan is set. It counts from the next version on.")
            return redirect("evaluation:plan", tenant=tenant, prompt=prompt)
    context = {
        "prompt": found,
        "plan": current,
        "form": form,
        "roles": MetricRole.choices,
        "may_plan": may_plan,
        "history": selectors.gates_of(found).select_related("version", "candidate", "baseline").defer("evidence")[:20],
    }
    return render(request, "evaluation/plan.html", context, status=422 if form.errors else 200)


@require_POST
@tenant_page
def plan_remove(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    found = get_prompt_for(here.actor, tenant, prompt)
    plans.remove_plan(actor=here.actor, prompt=found)
    messages.success(request, "New versions are no longer evaluated by themselves.")
    return redirect("evaluation:plan", tenant=tenant, prompt=prompt)
