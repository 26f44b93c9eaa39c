"""What the command palette finds for an actor: pages, models, prompts, monitors, projects, keys, requests by id."""

from __future__ import annotations

import re

from django.db.models import Q
from django.urls import reverse

from apps.evaluation.selectors.datasets import DatasetQuery, search_datasets
from apps.evaluation.selectors.monitors import MonitorQuery, search_monitors
from apps.gateway.selectors import RequestFilters, requests_for
from apps.models.selectors import CatalogQuery, search_models
from apps.prompts.selectors import PromptQuery, search_prompts
from apps.tenants.access import Actor, can
from apps.tenants.models import Tenant
from apps.tenants.selectors import keys_for, projects_for, tenants_for

FEWEST_LETTERS = 2
MOST_LETTERS = 100
OF_EACH = 6
Item = dict[str, object]
_REQUEST_ID = re.compile(r"[0-9a-f]{6,32}")


def search(actor: Actor, tenant: Tenant, query: str) -> list[Item]:
    """At most a few of each kind, models first."""
    query = query.replace("\x00", "").strip()[:MOST_LETTERS]
    if len(query) < FEWEST_LETTERS:
        return []
    found = _models(actor, tenant, query) + _prompts(actor, tenant, query) + _datasets(actor, tenant, query)
    found += _monitors(actor, tenant, query) + _projects(actor, tenant, query)
    if can(actor, "apikey.view", tenant):
        found += _keys(actor, tenant, query)
    if can(actor, "request.view", tenant) and _REQUEST_ID.fullmatch(query.lower()):
        found += _requests(actor, tenant, query.lower())
    if can(actor, "platform.view"):
        found += _tenants(actor, query)
    return found


def _models(actor: Actor, tenant: Tenant, query: str) -> list[Item]:
    rows = search_models(actor, CatalogQuery(text=query), tenant)[:OF_EACH]
    return [
        {
            "label": row.name,
            "url": reverse("models:card", args=[row.slug]),
            "icon": "box",
            "hint": row.slug,
            "group": "Models",
        }
        for row in rows
    ]


def _prompts(actor: Actor, tenant: Tenant, query: str) -> list[Item]:
    rows = search_prompts(actor, tenant, PromptQuery(text=query)).order_by("name")[:OF_EACH]
    return [
        {
            "label": row.name,
            "url": reverse("prompts:detail", args=[tenant.slug, row.slug]),
            "icon": "scroll-text",
            "hint": row.slug,
            "group": "Prompts",
        }
        for row in rows
    ]


def _datasets(actor: Actor, tenant: Tenant, query: str) -> list[Item]:
    rows = search_datasets(actor, tenant, DatasetQuery(text=query)).order_by("name")[:OF_EACH]
    return [
        {
            "label": row.name,
            "url": reverse("evaluation:dataset-detail", args=[tenant.slug, row.slug]),
            "icon": "database",
            "hint": row.slug,
            "group": "Datasets",
        }
        for row in rows
    ]


def _monitors(actor: Actor, tenant: Tenant, query: str) -> list[Item]:
    rows = search_monitors(actor, tenant, MonitorQuery(text=query)).order_by("name")[:OF_EACH]
    return [
        {
            "label": row.name,
            "url": reverse("evaluation:monitor-detail", args=[tenant.slug, row.slug]),
            "icon": "bell",
            "hint": row.watched,
            "group": "Monitors",
        }
        for row in rows
    ]


def _projects(actor: Actor, tenant: Tenant, query: str) -> list[Item]:
    rows = projects_for(actor, tenant).filter(Q(name__icontains=query) | Q(slug__icontains=query))[:OF_EACH]
    return [
        {
            "label": row.name,
            "url": reverse("tenants:project-detail", args=[row.tenant.slug, row.slug]),
            "icon": "folder-kanban",
            "hint": row.get_environment_display(),
            "group": "Projects",
        }
        for row in rows
    ]


def _keys(actor: Actor, tenant: Tenant, query: str) -> list[Item]:
    # A whole key may be pasted: only its public prefix is looked for.
    prefix = query.removeprefix("lby_").split("_")[0]
    rows = keys_for(actor, tenant).filter(Q(name__icontains=query) | Q(prefix__startswith=prefix))[:OF_EACH]
    return [
        {
            "label": row.name,
            "url": reverse("tenants:key-detail", args=[row.prefix]),
            "icon": "key-round",
            "hint": f"{row.project.name}, {row.status}",
            "group": "Keys",
        }
        for row in rows
    ]


def _requests(actor: Actor, tenant: Tenant, query: str) -> list[Item]:
    rows = requests_for(actor, RequestFilters(tenant=tenant, request_id=query))[:OF_EACH]
    return [
        {
            "label": f"Request {row.request_id}",
            "url": reverse("gateway:request-detail", args=[row.request_id]),
            "icon": "activity",
            "hint": row.get_outcome_display(),
            "group": "Requests",
        }
        for row in rows
    ]


def _tenants(actor: Actor, query: str) -> list[Item]:
    """For the platform's staff: the admin's page of it."""
    rows = tenants_for(actor).filter(Q(name__icontains=query) | Q(slug__icontains=query))[:OF_EACH]
    return [
        {
            "label": row.name,
            "url": reverse("admin:tenants_tenant_change", args=[row.pk]),
            "icon": "building-2",
            "hint": row.get_status_display(),
            "group": "Tenants",
        }
        for row in rows
    ]
