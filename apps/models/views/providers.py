"""The platform's providers: the list, onboarding one, trying it out, choosing its models, changing and disabling it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.models import offers, selectors, services
from apps.models.connection import Outcome, Report, try_connection
from apps.models.errors import CredentialError, DiscoveryFailed, UrlRefused
from apps.models.forms import KIND_CHOICES, EndpointForm, ProviderForm
from apps.models.models import Endpoint, Model, Provider
from apps.models.provider_settings import KINDS
from apps.models.services.providers import draft_provider
from apps.models.types import CALLABLE_LIFECYCLES, CredentialSource, Lifecycle
from apps.tenants.access import Actor, can, require
from apps.tenants.errors import Conflict, DomainError
from apps.tenants.views.requests import page_of, sorted_by, staff_page
from apps.tenants.wording import counted, listed_in_words

ORDERS = {"name": "name", "kind": "kind", "seen": "last_seen_at"}
MANAGE = "registry.manage"


@require_GET
@staff_page
def provider_list(request: HttpRequest, actor: Actor) -> HttpResponse:
    rows = selectors.providers_for(actor).annotate(
        live_models=Count("endpoints", filter=Q(endpoints__is_enabled=True)), all_models=Count("endpoints")
    )
    page = page_of(sorted_by(rows, request, ORDERS, "name"), request)
    return render(request, "models/provider_list.html", {"page": page, "may_manage": can(actor, MANAGE)})


@require_http_methods(["GET", "POST"])
@staff_page
def provider_create(request: HttpRequest, actor: Actor) -> HttpResponse:
    """``?kind=`` and ``?credential_source=`` choose the fields; by htmx the form alone comes back."""
    require(actor, MANAGE, what="register providers")
    given = request.POST if request.method == "POST" else request.GET
    form = _form(actor, given, bound=request.method == "POST")
    if request.method == "POST" and form.is_valid():
        try:
            provider = services.create_provider(actor=actor, kind=form.kind.kind, **form.values())
        except DomainError as error:
            form.add_refusal(error)
        else:
            messages.success(request, f"{provider} is registered. Now choose its models.")
            if shut_out := _shut_out(actor, provider, ()):
                messages.warning(request, f"{shut_out.title} {shut_out.text}")
            return redirect("models:provider-models", provider.slug)
    elif request.method == "GET":
        # What was typed survives another choice of kind or source; the secret is never in a URL.
        form.initial.update({name: given[name] for name in given if name in form.fields})
    context = {"form": form, "kinds": KIND_CHOICES, "provider": None}
    return render(request, _template(request), context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "POST"])
@staff_page
def provider_edit(request: HttpRequest, actor: Actor, provider: str) -> HttpResponse:
    row = selectors.get_provider_for(actor, provider)
    require(actor, MANAGE, what="change providers")
    source = (request.POST or request.GET).get("credential_source", row.credential_source)
    form = ProviderForm(
        request.POST if request.method == "POST" else None,
        kind=row.kind,
        source=source,
        provider=row,
        restricted=_restricted(actor),
    )
    if request.method == "POST" and form.is_valid():
        try:
            services.update_provider(actor=actor, provider=row, **form.values())
        except DomainError as error:
            form.add_refusal(error)
        else:
            messages.success(request, f"{row} is changed.")
            return redirect("models:provider-detail", row.slug)
    elif request.method == "GET":
        form.initial.update({name: request.GET[name] for name in request.GET if name in form.fields})
    context = {"form": form, "provider": row}
    return render(request, _template(request), context, status=422 if form.is_bound else 200)


@require_POST
@staff_page
def provider_try(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Try out what the form says, before it is saved."""
    require(actor, MANAGE, what="try providers out")
    given = request.POST.copy()
    for name in ("name", "slug"):  # what it will be called is of no matter to the test
        given[name] = "draft"
    form = _form(actor, given, bound=True)
    if not form.is_valid():
        report = Report(Outcome.REFUSED, "Fill in the form first.", _first_error(form))
        return render(request, "models/_provider_report.html", {"report": report})
    values = form.values()
    secret = values.pop("secret", "")
    try:
        draft, _ = draft_provider(kind=form.kind.kind, secret=secret, **values)
        report = try_connection(
            actor=actor, provider=draft, secret=secret, upstream_model=request.POST.get("try_model", "")
        )
    except DomainError as error:
        report = Report(Outcome.REFUSED, error.message, error.remedy, error.field or "")
    return render(request, "models/_provider_report.html", {"report": report})


@require_GET
@staff_page
def provider_detail(request: HttpRequest, actor: Actor, provider: str) -> HttpResponse:
    row = selectors.get_provider_for(actor, provider)
    facts = KINDS[row.kind]
    endpoints = list(selectors.endpoints_at(actor, row))
    context = {
        "provider": row,
        "facts": facts,
        "shut_out": _shut_out(actor, row, endpoints),
        "settings": [(each.label, row.settings[each.name]) for each in facts.settings if row.settings.get(each.name)],
        "endpoints": endpoints,
        "may_manage": can(actor, MANAGE),
        "may_rotate": can(actor, MANAGE)
        and not row.from_environment
        and row.credential_source == CredentialSource.DATABASE,
    }
    return render(request, "models/provider_detail.html", context)


@require_POST
@staff_page
def provider_test(request: HttpRequest, actor: Actor, provider: str) -> HttpResponse:
    """Try out a registered provider, as it is."""
    row = selectors.get_provider_for(actor, provider)
    try:
        report = try_connection(actor=actor, provider=row, upstream_model=request.POST.get("try_model", ""))
    except DomainError as error:
        if error.status == 403:
            raise
        report = Report(Outcome.REFUSED, error.message, error.remedy, error.field or "")
    return render(request, "models/_provider_report.html", {"report": report, "provider": row})


@require_POST
@staff_page
def provider_switch(request: HttpRequest, actor: Actor, provider: str) -> HttpResponse:
    """On or off, by ``enabled``."""
    row = selectors.get_provider_for(actor, provider)
    if request.POST.get("enabled") == "true":
        services.enable_provider(actor=actor, provider=row)
        messages.success(request, f"{row} is enabled: calls may go to it again.")
    else:
        services.disable_provider(actor=actor, provider=row)
        messages.success(request, f"{row} is disabled: nothing is sent to it any more.")
    return redirect("models:provider-detail", row.slug)


@require_POST
@staff_page
def provider_rotate(request: HttpRequest, actor: Actor, provider: str) -> HttpResponse:
    """A new credential in the place of the old one."""
    row = selectors.get_provider_for(actor, provider)
    try:
        services.set_credential(actor=actor, provider=row, secret=request.POST.get("secret", ""))
    except (CredentialError, Conflict) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"The new credential of {row} is in use within a second.")
    return redirect("models:provider-detail", row.slug)


@require_http_methods(["GET", "POST"])
@staff_page
def provider_models(request: HttpRequest, actor: Actor, provider: str) -> HttpResponse:
    """Choose from what the provider lists; or name one that no list has."""
    row = selectors.get_provider_for(actor, provider)
    require(actor, MANAGE, what="register models")
    form = EndpointForm(request.POST if "upstream_model" in request.POST else None, kind=row.kind)
    try:
        if request.method == "POST" and not form.is_bound:
            chosen = list(dict.fromkeys(request.POST.getlist("models")))
            added = offers.register_models(actor=actor, provider=row, upstream_models=chosen)
            standing = _standing(actor, added)
            messages.success(request, f"{counted(len(added), 'model')} of {row} registered. {standing}".strip())
            return redirect("models:provider-detail", row.slug)
        if form.is_bound and form.is_valid() and _add_endpoint(request, actor, row, form):
            return redirect("models:provider-detail", row.slug)
    except DomainError as error:
        if error.status == 403:
            raise
        messages.error(request, str(error))
    context = {"provider": row, "facts": KINDS[row.kind], "form": form, **_offers(actor, row)}
    return render(request, "models/provider_models.html", context, status=422 if form.is_bound else 200)


@require_POST
@staff_page
def model_approve(request: HttpRequest, actor: Actor, slug: str) -> HttpResponse:
    """Make a proposed model, or one in review, callable by those who have a grant. Back to where it was asked for."""
    model = selectors.get_model_for(actor, slug)
    provider = selectors.get_provider_for(actor, request.POST["provider"]) if request.POST.get("provider") else None
    try:
        model = services.set_lifecycle(actor=actor, model=model, lifecycle=Lifecycle.APPROVED)
    except Conflict as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{model} is approved. {_callers(model)}")
    return redirect("models:provider-detail", provider.slug) if provider else redirect("models:card", model.slug)


def _add_endpoint(request: HttpRequest, actor: Actor, provider: Provider, form: EndpointForm) -> bool:
    data = form.cleaned_data
    try:
        endpoint, is_new = offers.name_model(
            actor=actor,
            provider=provider,
            upstream_model=data["upstream_model"],
            slug=data["slug"],
            kind=data["kind"],
            endpoint_settings=form.settings(),
        )
    except DomainError as error:
        form.add_refusal(error)
        return False
    if is_new:
        messages.success(request, f"{endpoint.model} is registered. {_standing(actor, [endpoint])}")
    else:
        messages.success(request, f"{endpoint.model} has another endpoint, at {provider}.")
    return True


def _standing(actor: Actor, endpoints: list[Endpoint]) -> str:
    """What comes next for models that were just registered."""
    waiting = [endpoint for endpoint in endpoints if endpoint.model.lifecycle not in CALLABLE_LIFECYCLES]
    if waiting:
        return f"{counted(len(waiting), 'model')} waiting for approval: nobody can call what is not approved."
    if len(endpoints) != 1:
        return ""
    [endpoint] = endpoints
    if endpoint.model.is_open and not endpoint.provider.is_simulated:
        regions = set(endpoint.model.endpoints.values_list("region", flat=True))
        if shut_out := [tenant.name for tenant in selectors.tenants_shut_out(actor, regions)]:
            return f"Every active tenant can call it, but {listed_in_words(shut_out)}: not in their regions."
    return _callers(endpoint.model)


def _callers(model: Model) -> str:
    if model.is_open:
        return "Every active tenant can call it."
    return "Tenants can call it once it is granted to them."


@dataclass(frozen=True, slots=True)
class ShutOut:
    """Which tenants cannot use a provider because nobody has said where it runs."""

    title: str
    text: str


def _shut_out(actor: Actor, provider: Provider, endpoints: Sequence[Endpoint]) -> ShutOut | None:
    regions = {endpoint.region for endpoint in endpoints} or {provider.settings.get("region", "")}
    if provider.is_simulated or "" not in regions:
        return None
    names = [tenant.name for tenant in selectors.tenants_shut_out(actor, regions)]
    if not names:
        return None
    title = f"{listed_in_words(names)} cannot use it."
    who = "That tenant allows" if len(names) == 1 else "These tenants allow"
    what = "this provider" if len(regions) == 1 else "some of its endpoints"
    verb = "runs" if len(regions) == 1 else "run"
    return ShutOut(title, f"{who} named regions only, and Lobby does not know where {what} {verb}. Set the region.")


def _restricted(actor: Actor) -> list[str]:
    return [tenant.name for tenant in selectors.tenants_shut_out(actor, ())]


def _offers(actor: Actor, provider: Provider) -> dict[str, Any]:
    if not KINDS[provider.kind].lists_models:
        return {"offers": []}
    try:
        return {"offers": offers.offers_of(actor=actor, provider=provider)}
    except (DiscoveryFailed, CredentialError, UrlRefused) as error:
        return {"offers": [], "unlisted": str(error)}


def _form(actor: Actor, given: Any, *, bound: bool) -> ProviderForm:
    kind = given.get("kind", "")
    if kind not in dict(KIND_CHOICES):
        kind = KIND_CHOICES[0][0]
    return ProviderForm(
        given if bound else None, kind=kind, source=given.get("credential_source", ""), restricted=_restricted(actor)
    )


def _first_error(form: ProviderForm) -> str:
    for name, errors in form.errors.items():
        label = form.fields[name].label or name.replace("_", " ").capitalize() if name in form.fields else ""
        return f"{label}: {errors[0]}" if label else str(errors[0])
    return ""


def _template(request: HttpRequest) -> str:
    return "models/_provider_form.html" if request.headers.get("HX-Request") == "true" else "models/provider_form.html"
