"""The model hub: the grid, and a model's card."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.models import selectors, services
from apps.models.prices import figures_per_million
from apps.models.selectors import CatalogQuery
from apps.models.snippets import snippets_for
from apps.models.types import Capability, Lifecycle, ModelKind
from apps.tenants.access import can
from apps.tenants.errors import Conflict
from apps.tenants.views.requests import Here, tenant_page

CARDS_PER_PAGE = 24
PRICES_SHOWN = 20


@require_GET
@tenant_page
def model_list(request: HttpRequest, here: Here) -> HttpResponse:
    query = _query(request)
    rows = selectors.search_models(here.actor, query, here.tenant, here.workspace.project)
    page = Paginator(rows, CARDS_PER_PAGE).get_page(request.GET.get("page"))
    filtered = query != CatalogQuery(sort=query.sort)
    is_staff = can(here.actor, "registry.view")
    context = {
        "page": page,
        "entries": selectors.catalog_entries(page.object_list, here.tenant, here.workspace.project),
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": _selects(query, selectors.provider_choices_for(here.actor), is_staff=is_staff),
        "is_registry_staff": is_staff,
    }
    return render(request, "models/model_list.html", context)


@require_POST
@tenant_page
def licence_accept(request: HttpRequest, here: Here, slug: str) -> HttpResponse:
    model = selectors.get_model_for(here.actor, slug)
    try:
        services.accept_licence(actor=here.actor, tenant=here.tenant, model=model)
    except Conflict as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{here.tenant.name} has accepted the licence of {model.name}.")
    return redirect("models:card", slug)


@require_GET
@tenant_page
def model_card(request: HttpRequest, here: Here, slug: str) -> HttpResponse:
    entry = selectors.get_entry_for(here.actor, slug, here.tenant, here.workspace.project)
    prices = selectors.price_history_for(here.actor, entry.model)[:PRICES_SHOWN]
    grants = list(selectors.grants_for(here.actor, here.tenant, entry.model))
    context = {
        "entry": entry,
        "model": entry.model,
        "figures": figures_per_million(entry.price) if entry.price else [],
        "prices": [(price, figures_per_million(price)) for price in prices],
        "grants": grants,
        "tabs": snippets_for(entry.model),
        "here_tenant": here.tenant,
        "licence_accepted_at": next((each.licence_accepted_at for each in grants if each.licence_accepted_at), None),
        "acceptance": (
            f"{here.tenant.name} agrees to {entry.model.licence or 'the licence'} for {entry.model.name}, in every"
            " project that may call it. The audit trail keeps who accepted, and when."
        ),
        "may_accept": entry.access.code == "licence" and can(here.actor, "licence.accept", here.tenant),
        "is_registry_staff": can(here.actor, "registry.view"),
        "may_mend": can(here.actor, "registry.manage") and can(here.actor, "access.grant"),
    }
    return render(request, "models/model_card.html", context)


def _query(request: HttpRequest) -> CatalogQuery:
    asked = request.GET
    capability = asked.get("capability", "")
    sort = asked.get("sort", "")
    return CatalogQuery(
        text=asked.get("q", "").replace("\x00", "").strip()[:200],
        kind=asked.get("kind", "") if asked.get("kind") in ModelKind.values else "",
        provider=asked.get("provider", "").replace("\x00", ""),
        capabilities=(capability,) if capability in Capability.values else (),
        lifecycle=asked.get("lifecycle", "") if asked.get("lifecycle") in Lifecycle.values else "",
        callable_only=asked.get("access") == "now",
        sort=sort if sort in selectors.SORTS else "name",
    )


def _selects(query: CatalogQuery, providers: list[tuple[str, str]], *, is_staff: bool) -> list[dict[str, Any]]:
    stages = Lifecycle.choices if is_staff else [(each.value, each.label) for each in selectors.SEEN_BY_MEMBERS]
    capability = query.capabilities[0] if query.capabilities else ""
    return [
        {
            "name": "access",
            "label": "Any access",
            "options": [("now", "I can use it now")],
            "value": "now" if query.callable_only else "",
        },
        {"name": "kind", "label": "Any kind", "options": ModelKind.choices, "value": query.kind},
        {"name": "capability", "label": "Any capability", "options": Capability.choices, "value": capability},
        {"name": "provider", "label": "Any provider", "options": providers, "value": query.provider},
        {"name": "lifecycle", "label": "Any lifecycle", "options": stages, "value": query.lifecycle},
        {
            "name": "sort",
            "label": "Sort by name",
            "options": [(value, label) for value, label in selectors.SORTS.items() if value != "name"],
            "value": "" if query.sort == "name" else query.sort,
        },
    ]
