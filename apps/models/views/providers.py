"""The platform's providers: the list, onboarding one, trying it out, choosing its models, changing and disabling it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.models import offers, selectors, services
from apps.models.connection import Outcome, Report, try_connection
from apps.models.errors import CredentialError, DiscoveryFailed, UrlRefused
from apps.models.forms import KIND_CHOICES, EndpointForm, ProviderForm
from apps.models.models import Model, Provider
from apps.models.provider_settings import KINDS
from apps.models.services.providers import draft_provider
from apps.models.types import CredentialSource, Lifecycle
from apps.tenants.access import Actor, can, require
from apps.tenants.errors import Conflict, DomainError
from apps.tenants.views.requests import page_of, sorted_by, staff_page

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
    form = _form(given, bound=request.method == "POST")
    if request.method == "POST" and form.is_valid():
        try:
            provider = services.create_provider(actor=actor, kind=form.kind.kind, **form.values())
        except DomainError as error:
            form.add_refusal(error)
        else:
            messages.success(request, f"{provider} is registered. Now choose its models.")
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
    if row.from_environment:
        messages.info(request, f"{row} is registered from the environment: change its variables and restart.")
        return redirect("models:provider-detail", row.slug)
    source = (request.POST or request.GET).get("credential_source", row.credential_source)
    form = ProviderForm(request.POST if request.method == "POST" else None, kind=row.kind, source=source, provider=row)
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
    form = _form(given, bound=True)
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
    context = {
        "provider": row,
        "facts": facts,
        "settings": [(each.label, row.settings[each.name]) for each in facts.settings if row.settings.get(each.name)],
        "endpoints": selectors.endpoints_for(actor).filter(provider=row).order_by("-is_enabled", "upstream_model"),
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
            messages.success(request, f"{len(added)} model{'' if len(added) == 1 else 's'} of {row} registered.")
            return redirect("models:provider-detail", row.slug)
        if form.is_bound and form.is_valid() and _add_endpoint(request, actor, row, form):
            return redirect("models:provider-detail", row.slug)
    except DomainError as error:
        if error.status == 403:
            raise
        messages.error(request, str(error))
    context = {"provider": row, "facts": KINDS[row.kind], "form": form, **_offers(actor, row)}
    return render(request, "models/provider_models.html", context, status=422 if form.is_bound else 200)


def _add_endpoint(request: HttpRequest, actor: Actor, provider: Provider, form: EndpointForm) -> bool:
    data = form.cleaned_data
    slug = data["slug"] or data["upstream_model"]
    try:
        with transaction.atomic():
            known = Model.objects.filter(slug=slug).first()
            model = known or services.create_model(
                actor=actor, slug=slug, name=slug, kind=data["kind"], lifecycle=Lifecycle.PROPOSED
            )
            services.create_endpoint(
                actor=actor,
                model=model,
                provider=provider,
                upstream_model=data["upstream_model"],
                settings=form.settings(),
            )
    except DomainError as error:
        form.add_refusal(error)
        return False
    if known is None:
        messages.success(request, f"{model} is registered as {model.get_lifecycle_display().lower()}.")
    else:
        messages.success(request, f"{model} has another endpoint, at {provider}.")
    return True


def _offers(actor: Actor, provider: Provider) -> dict[str, Any]:
    if not KINDS[provider.kind].lists_models:
        return {"offers": []}
    try:
        return {"offers": offers.offers_of(actor=actor, provider=provider)}
    except (DiscoveryFailed, CredentialError, UrlRefused) as error:
        return {"offers": [], "unlisted": str(error)}


def _form(given: Any, *, bound: bool) -> ProviderForm:
    kind = given.get("kind", "")
    if kind not in dict(KIND_CHOICES):
        kind = KIND_CHOICES[0][0]
    return ProviderForm(given if bound else None, kind=kind, source=given.get("credential_source", ""))


def _first_error(form: ProviderForm) -> str:
    for name, errors in form.errors.items():
        label = form.fields[name].label or name.replace("_", " ").capitalize() if name in form.fields else ""
        return f"{label}: {errors[0]}" if label else str(errors[0])
    return ""


def _template(request: HttpRequest) -> str:
    return "models/_provider_form.html" if request.headers.get("HX-Request") == "true" else "models/provider_form.html"
