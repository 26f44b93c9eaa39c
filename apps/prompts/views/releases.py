"""Releases: the log, a new one, back to an earlier one."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.prompts import selectors, services
from apps.prompts.forms import ReleaseForm
from apps.prompts.models import Release
from apps.prompts.views.catalog import prompt_url
from apps.tenants.access import can
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.views.requests import Here, tenant_page

PER_PAGE = 25


@require_GET
@tenant_page
def release_list(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    page = Paginator(selectors.releases_of(found), PER_PAGE).get_page(request.GET.get("page"))
    states = selectors.labels_of([found]).get(found.pk, [])
    now = {state.release.pk for state in states}
    meaning = {(state.environment, state.label): selectors.weights_of(state.release) for state in states}

    def may_restore(release: Release) -> bool:
        weights = selectors.weights_of(release)
        return bool(weights) and meaning.get((release.environment, release.label)) != weights

    context = {
        "prompt": found,
        "page": page,
        "entries": [(each, selectors.shares_of(each), each.pk in now, may_restore(each)) for each in page],
        "labels": states,
        "may_release": can(here.actor, "prompt.release", found.tenant),
    }
    return render(request, "prompts/release_list.html", context)


@require_POST
@tenant_page
def release_create(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    form = ReleaseForm(request.POST)
    try:
        if not form.is_valid():
            name, errors = next(iter(form.errors.items()))
            raise Invalid(f"{name}: {errors[0]}", field=name)
        release = services.release_versions(actor=here.actor, prompt=found, weights=form.weights(), **form.cleaned_data)
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
        return redirect(prompt_url(found))
    messages.success(request, f"“{release.label}” in {release.get_environment_display().lower()} is released.")
    return redirect("prompts:release-list", tenant=tenant, prompt=prompt)


@require_POST
@tenant_page
def release_roll_back(request: HttpRequest, here: Here, tenant: str, prompt: str, pk: int) -> HttpResponse:
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    release = selectors.get_release_of(found, pk)
    try:
        services.roll_back(actor=here.actor, release=release, reason=request.POST.get("reason", ""))
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"“{release.label}” means again what it did then.")
    return redirect("prompts:release-list", tenant=tenant, prompt=prompt)


@require_POST
@tenant_page
def label_withdraw(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    environment, label = request.POST.get("environment", ""), request.POST.get("label", "")
    try:
        services.withdraw_label(
            actor=here.actor,
            prompt=found,
            environment=environment,
            label=label,
            reason=request.POST.get("reason", ""),
        )
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"“{label}” is withdrawn: callers of it are refused.")
    return redirect("prompts:release-list", tenant=tenant, prompt=prompt)
