"""What every page knows: where the reader works, where they can go, and the brand."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject

from apps.tenants.access import can
from apps.tenants.workspace import get_workspace


class NavItem(NamedTuple):
    label: str
    url: str
    icon: str
    keys: str = ""
    group: str = ""
    external: bool = False


class NavEntry(NamedTuple):
    label: str
    route: str
    icon: str
    keys: str
    group: str
    staff_only: bool = False
    external: bool = False
    needs: str = ""
    """The action without which the page would only be refused."""
    fragment: str = ""
    """Where to begin on a page that finds its way by the part after #."""


NAV: tuple[NavEntry, ...] = (
    NavEntry("Home", "portal:home", "house", "g h", ""),
    NavEntry("Models", "models:list", "layout-grid", "g m", ""),
    NavEntry("Playground", "playground:index", "message-square-text", "g p", ""),
    NavEntry("Examples", "playground:example-list", "star", "g e", ""),
    NavEntry("Prompts", "prompts:list", "scroll-text", "g o", "Improve"),
    NavEntry("Datasets", "evaluation:dataset-list", "database", "g s", "Improve"),
    NavEntry("Inbox", "evaluation:inbox", "inbox", "g i", "Improve"),
    NavEntry("Scorers", "evaluation:scorer-list", "scale", "g w", "Improve"),
    NavEntry("Evaluations", "evaluation:run-list", "flask-conical", "g l", "Improve"),
    NavEntry("Red team", "evaluation:red-team-list", "zap", "g z", "Improve"),
    NavEntry("Monitors", "evaluation:monitor-list", "bell", "g q", "Improve"),
    NavEntry("Keys", "tenants:key-list", "key-round", "g k", "Build", needs="apikey.view"),
    NavEntry("Projects", "tenants:project-list", "folder-kanban", "g j", "Build"),
    NavEntry("Members", "tenants:member-list", "users", "g t", "Build"),
    NavEntry("API docs", "api:docs", "book-open", "g d", "Build", external=True),
    NavEntry("Usage", "gateway:usage", "chart-column", "g u", "Operate"),
    NavEntry("Routes", "gateway:route-list", "route", "g n", "Operate"),
    NavEntry("Requests", "gateway:request-list", "activity", "g r", "Operate", needs="request.view"),
    NavEntry("Providers", "models:provider-list", "server", "g v", "Platform", staff_only=True),
    NavEntry("Health", "gateway:health", "gauge", "g y", "Platform", staff_only=True),
    NavEntry(
        "MLflow", "mlflow", "chart-column", "g f", "Platform", staff_only=True, external=True, fragment="#/experiments"
    ),
    NavEntry("Admin", "admin:index", "shield-check", "g a", "Platform", staff_only=True, external=True),
)


def route(name: str) -> str:
    """The URL of a route, or an empty string while its wing is not installed."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def navigation(request: HttpRequest) -> list[NavItem]:
    staff = bool(getattr(request.user, "is_staff", False))
    here = get_workspace(request)

    def opens(entry: NavEntry) -> bool:
        if entry.staff_only and not staff:
            return False
        return not entry.needs or here.actor is None or here.tenant is None or can(here.actor, entry.needs, here.tenant)

    return [
        NavItem(entry.label, url + entry.fragment, entry.icon, entry.keys, entry.group, entry.external)
        for entry in NAV
        if opens(entry) and (url := route(entry.route))
    ]


def palette(request: HttpRequest) -> list[dict[str, Any]]:
    """What the command palette offers before it asks the server: the navigation, and the reader's other tenants."""
    items: list[dict[str, Any]] = [
        {"label": item.label, "url": item.url, "icon": item.icon, "keys": item.keys, "group": "Go to"}
        for item in navigation(request)
    ]
    workspace, switch = get_workspace(request), route("portal:switch")
    if switch:
        items += [
            {
                "label": f"Switch to {tenant.name}",
                "icon": "building-2",
                "group": "Tenants",
                "post": {"url": switch, "data": {"tenant": tenant.slug, "next": "/"}},
            }
            for tenant in workspace.tenants
            if tenant != workspace.tenant
        ]
    return items


def lobby(request: HttpRequest) -> dict[str, Any]:
    """``lobby_nav``, ``lobby_palette``, ``workspace`` (``apps.tenants.workspace``), ``brand_color``, ``lobby_version``.

    All lazy: an error page, or a page without the sidebar, asks the database nothing.
    """
    if not hasattr(request, "user"):  # a request that failed before the session was read
        return {
            "lobby_nav": [],
            "lobby_palette": [],
            "workspace": None,
            "brand_color": "",
            "lobby_version": settings.LOBBY_VERSION,
        }
    return {
        "lobby_nav": functools.cache(lambda: navigation(request)),
        "lobby_palette": functools.cache(lambda: palette(request)),
        "workspace": SimpleLazyObject(lambda: get_workspace(request)),
        "brand_color": SimpleLazyObject(lambda: brand_color(request)),
        "lobby_version": settings.LOBBY_VERSION,
    }


def brand_color(request: HttpRequest) -> str:
    tenant = get_workspace(request).tenant
    return tenant.brand_color if tenant else ""
