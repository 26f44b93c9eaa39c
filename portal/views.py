"""The portal's own pages: Home, search, choosing where to work, the style guide. A wing's pages live in its app."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from apps.tenants.access import can
from apps.tenants.workspace import Workspace, choose, get_workspace
from portal import home as home_page
from portal.home import Place
from portal.search import search as search_all
from portal.styleguide import sample_context


def _place(request: HttpRequest, workspace: Workspace) -> Place | None:
    """The tenant that the reader works in; or the whole platform, for its staff who chose it or have no tenant."""
    if workspace.actor is None:
        return None
    if can(workspace.actor, "platform.view"):
        # Staff who are a member nowhere have come for the platform.
        default = "tenant" if workspace.role else "platform"
        if workspace.tenant is None or request.GET.get("view", default) == "platform":
            return Place(workspace.actor, None)
    return None if workspace.tenant is None else Place(workspace.actor, workspace.tenant, workspace.project)


@require_GET
@login_required
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """This month at a glance, and the way in. Somebody without a tenant reads what to do."""
    workspace = get_workspace(request)
    place = _place(request, workspace)
    if place is None:
        return render(request, "tenants/no_tenant.html", status=200)
    now = timezone.now()
    context = home_page.live_part(place, now) | {
        "place": place,
        "view": "platform" if place.tenant is None else "tenant",
        "may_see_platform": can(place.actor, "platform.view"),
    }
    if place.tenant is None:
        context |= {"providers": home_page.provider_lines(place.actor, now)}
        return render(request, "home_platform.html", context)
    local = now.astimezone(ZoneInfo(place.tenant.time_zone))
    name = str(request.user).split("@")[0].split(" ")[0]
    context |= home_page.way_in(workspace) | {
        "greeting": home_page.greeting(name, local),
        "waiting": home_page.waiting(place),
    }
    return render(request, "home.html", context)


@require_GET
@login_required
@never_cache
def home_live(request: HttpRequest) -> HttpResponse:
    """The moving part of Home, asked for every second: 204 while nothing is new since ``stamp``."""
    place = _place(request, get_workspace(request))
    if place is None:
        raise Http404
    now = timezone.now()
    if request.GET.get("stamp") == home_page.month_stamp(place, now):
        return HttpResponse(status=204)
    context = home_page.live_part(place, now) | {"place": place, "view": request.GET.get("view", "")}
    return render(request, "_home_platform_live.html" if place.tenant is None else "_home_live.html", context)


@require_GET
@login_required
@never_cache
def search(request: HttpRequest) -> HttpResponse:
    """What the command palette finds for ``q``."""
    workspace = get_workspace(request)
    if workspace.actor is None or workspace.tenant is None:
        return JsonResponse({"items": []})
    return JsonResponse({"items": search_all(workspace.actor, workspace.tenant, request.GET.get("q", ""))})


@login_required
@require_POST
def switch_workspace(request: HttpRequest) -> HttpResponse:
    """Work in another tenant (``tenant``) and project (``project``, empty for all), then go back to ``next``."""
    if not choose(request, tenant_slug=request.POST.get("tenant", ""), project_slug=request.POST.get("project", "")):
        raise Http404
    workspace = get_workspace(request)
    place = workspace.project.name if workspace.project else workspace.tenant
    messages.success(request, f"You are now working in {place}.")
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return HttpResponseRedirect(target)
    return redirect("/")


@require_GET
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component on one page, for staff (and for anybody under ``DEBUG``)."""
    if not (settings.DEBUG or getattr(request.user, "is_staff", False)):
        raise Http404
    return render(request, "styleguide.html", sample_context())
