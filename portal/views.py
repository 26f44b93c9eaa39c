"""The portal's own pages: choosing where to work, and the style guide. What belongs to a wing lives in its app."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from apps.tenants.workspace import choose, get_workspace
from portal.styleguide import sample_context


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
