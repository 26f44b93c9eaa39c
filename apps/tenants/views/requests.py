"""What the pages ask of a request: who acts, in which tenant, which page and order of a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Concatenate, ParamSpec, TypeVar

from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.vary import vary_on_headers

from apps.tenants.access import Actor, require
from apps.tenants.errors import PermissionDenied
from apps.tenants.models import Tenant
from apps.tenants.workspace import Workspace, get_workspace

P = ParamSpec("P")
M = TypeVar("M", bound=Model)
PER_PAGE = 25


class Here:
    """The reader's actor and the tenant that they work in."""

    def __init__(self, actor: Actor, tenant: Tenant, workspace: Workspace) -> None:
        self.actor = actor
        self.tenant = tenant
        self.workspace = workspace


def tenant_page(
    view: Callable[Concatenate[HttpRequest, Here, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """A page for somebody signed in who works in a tenant; without one they read what to do. No cache keeps it."""

    def page(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        workspace = get_workspace(request)
        if workspace.actor is None or workspace.tenant is None:
            return render(request, "tenants/no_tenant.html", status=403)
        return view(request, Here(workspace.actor, workspace.tenant, workspace), *args, **kwargs)

    update_wrapper(page, view)
    return login_required(never_cache(vary_on_headers("HX-Request")(page)))


def sorted_by(rows: QuerySet[M], request: HttpRequest, orders: Mapping[str, str], default: str) -> QuerySet[M]:
    """Ordered by ``?sort=name`` or ``?sort=-name``, where ``orders`` maps the names to fields; ties by id."""
    wanted = request.GET.get("sort") or default
    name = wanted.removeprefix("-")
    if name not in orders:
        wanted, name = default, default.removeprefix("-")
    return rows.order_by(("-" if wanted.startswith("-") else "") + orders[name], "-pk")


def page_of(rows: QuerySet[M], request: HttpRequest) -> Page[M]:
    return Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))


def staff_page(
    view: Callable[Concatenate[HttpRequest, Actor, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """A page of the platform's, for whoever may see the registry, wherever they work. No cache keeps it."""

    def page(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        actor = get_workspace(request).actor
        if actor is None:
            raise PermissionDenied("This page is for the platform's staff.")
        require(actor, "registry.view", what="see the platform's providers")
        return view(request, actor, *args, **kwargs)

    update_wrapper(page, view)
    return login_required(never_cache(vary_on_headers("HX-Request")(page)))
