"""The model hub: the grid, and a model's card."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.models import selectors
from apps.models.prices import figures_per_million
from apps.models.selectors import CatalogQuery
from apps.models.snippets import snippets_for
from apps.models.types import Capability, Lifecycle, ModelKind
from apps.tenants.access import can
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


@require_GET
@tenant_page
def model_card(request: HttpRequest, here: Here, slug: str) -> HttpResponse:
    entry = selectors.get_entry_for(here.actor, slug, here.tenant, here.workspace.project)
    prices = selectors.price_history_for(here.actor, entry.model)[:PRICES_SHOWN]
    context = {
        "entry": entry,
        "model": entry.model,
        "refusal": f"{entry.access.reason} {entry.access.remedy}",
        "figures": figures_per_million(entry.price) if entry.price else [],
        "prices": [(price, figures_per_million(price)) for price in prices],
        "grants": selectors.grants_for(here.actor, here.tenant, entry.model),
        "tabs": snippets_for(entry.model),
        "is_registry_staff": can(here.actor, "registry.view"),
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
