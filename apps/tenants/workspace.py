"""Where a person is working: the tenant and project chosen in the sidebar, checked at every use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant, User
from apps.tenants.types import Role, TenantStatus

TENANT_KEY = "workspace_tenant"
PROJECT_KEY = "workspace_project"
# Platform staff may look into every tenant; the switcher lists this many, search finds the rest.
MAX_TENANTS = 50


@dataclass(frozen=True, slots=True)
class Workspace:
    """``role`` is the reader's own in ``tenant``, empty for platform staff who look in. No ``project`` means all."""

    actor: Actor | None = None
    tenant: Tenant | None = None
    role: str = ""
    project: Project | None = None
    tenants: list[Tenant] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)

    @property
    def role_label(self) -> str:
        return str(Role(self.role).label) if self.role else "Platform staff"


def _chosen_tenant(actor: Actor, tenants: list[Tenant], slug: str) -> Tenant | None:
    """The tenant named in the session, if it is still the actor's to see; else their first own one; else the first."""
    if slug:
        found = next((tenant for tenant in tenants if tenant.slug == slug), None)
        if found is None and len(tenants) == MAX_TENANTS:
            found = Tenant.objects.for_actor(actor).filter(slug=slug).first()
        if found is not None:
            return found
    return next((tenant for tenant in tenants if tenant.pk in actor.standings), tenants[0] if tenants else None)


def build_workspace(user: User, session: Mapping[str, Any]) -> Workspace:
    """Three queries: the reader's standings, their tenants, the chosen tenant's projects."""
    actor = Actor.of_user(user)
    rows = Tenant.objects.for_actor(actor).exclude(status=TenantStatus.OFFBOARDED).order_by("name")
    tenants = list(rows[:MAX_TENANTS])
    tenant = _chosen_tenant(actor, tenants, session.get(TENANT_KEY, ""))
    if tenant is None:
        return Workspace(actor=actor)
    standing = actor.standings.get(tenant.pk)
    projects = list(Project.objects.for_tenant(tenant).filter(is_active=True).order_by("name"))
    wanted = session.get(PROJECT_KEY, "")
    return Workspace(
        actor=actor,
        tenant=tenant,
        role=standing.role if standing else "",
        project=next((project for project in projects if project.slug == wanted), None),
        tenants=tenants,
        projects=projects,
    )


def get_workspace(request: HttpRequest) -> Workspace:
    """The request's workspace, read once."""
    cached: Workspace | None = getattr(request, "_lobby_workspace", None)
    if cached is None:
        user = request.user
        cached = build_workspace(user, request.session) if isinstance(user, User) else Workspace()
        request._lobby_workspace = cached  # type: ignore[attr-defined]
    return cached


def choose(request: HttpRequest, *, tenant_slug: str, project_slug: str = "") -> bool:
    """Work in another tenant or project from now on; false where the reader may not see it. No project means all."""
    workspace = get_workspace(request)
    if workspace.actor is None:
        return False
    tenant = Tenant.objects.for_actor(workspace.actor).filter(slug=tenant_slug).first()
    if tenant is None:
        return False
    if project_slug and not Project.objects.for_tenant(tenant).filter(slug=project_slug, is_active=True).exists():
        return False
    request.session[TENANT_KEY] = tenant_slug
    request.session[PROJECT_KEY] = project_slug
    del request._lobby_workspace  # type: ignore[attr-defined]
    return True
