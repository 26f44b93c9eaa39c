"""Which model does best here for a use case, from the tenant's own votes, feedback, examples and evaluations."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.models.selectors import callable_models_for, names_of
from apps.playground.catalog import names_of_prompts
from apps.playground.reports import standings, used_cases
from apps.playground.types import UseCase
from apps.playground.views.requests import project_named
from apps.tenants.access import can
from apps.tenants.views.requests import Here, tenant_page


@require_GET
@tenant_page
def recommendations(request: HttpRequest, here: Here) -> HttpResponse:
    used = used_cases(here.actor, here.tenant)
    wanted = request.GET.get("use_case", "")
    use_case = wanted if wanted in UseCase.values else (used[0][0] if used else UseCase.SUMMARISE.value)
    rows = standings(here.actor, here.tenant, use_case)
    names = names_of(row.model_slug for row in rows)
    prompts = names_of_prompts(here.tenant, [row.prompt_slug for row in rows if row.prompt_slug])
    project = project_named(here, "")
    ready: set[str] = set()
    if project is not None:
        ready = set(callable_models_for(here.actor, here.tenant, project).values_list("slug", flat=True))
    for row in rows:
        row.name, row.is_ready = names[row.model_slug], row.model_slug in ready
        row.prompt_name = prompts.get(row.prompt_slug, "")
    context = {
        "use_case": use_case,
        "use_case_label": UseCase(use_case).label,
        "use_cases": [(value, label, (value, label) in used) for value, label in UseCase.choices],
        "rows": rows,
        "may_call": can(here.actor, "model.call", here.tenant) and project is not None,
        "may_triage": can(here.actor, "feedback.triage", here.tenant),
        "project": project,
    }
    return render(request, "playground/recommendations.html", context)
