"""Projects: the applications of a tenant."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction

from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import Project, Tenant
from apps.tenants.services.changes import apply_changes
from apps.tenants.types import Environment


class ProjectFacts(TypedDict, total=False):
    description: str
    environment: str
    strict_parameters: bool
    content_percent: int


class ProjectChanges(ProjectFacts, total=False):
    name: str


def _clean(changes: ProjectChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = validation.clean_name(changes["name"])
    if "description" in changes:
        values["description"] = validation.clean_text(changes["description"], field="description", maximum=2000)
    if "environment" in changes:
        values["environment"] = validation.clean_choice(changes["environment"], Environment, field="environment")
    if "strict_parameters" in changes:
        values["strict_parameters"] = bool(changes["strict_parameters"])
    if "content_percent" in changes:
        values["content_percent"] = validation.clean_number(
            changes["content_percent"], field="content_percent", minimum=0, maximum=100
        )
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


@transaction.atomic
def create_project(*, actor: Actor, tenant: Tenant, slug: str, name: str, **facts: Unpack[ProjectFacts]) -> Project:
    require(actor, "project.create", tenant, what="create a project")
    slug = validation.clean_slug(slug)
    values = {"slug": slug, **_clean({"name": name, **facts})}
    try:
        with transaction.atomic():
            project = Project.objects.create(**{"tenant": tenant, **values})
    except IntegrityError:
        raise Conflict(f"{tenant.name} has a project {slug!r} already.", code="slug_taken", field="slug") from None
    audit.record(actor, "project.created", project, values, tenant)
    control_plane_changed()
    return project


@transaction.atomic
def update_project(*, actor: Actor, project: Project, **changes: Unpack[ProjectChanges]) -> Project:
    """Whether what its requests say is kept (``content_percent``) is for a tenant admin to decide."""
    require(actor, "project.update", project.tenant, project, what="change this project")
    values = _clean(changes)
    project = _locked(project)
    if values.get("content_percent", project.content_percent) != project.content_percent:
        require(actor, "tenant.update", project.tenant, what="decide whether what requests say is kept")
    if changed := apply_changes(project, values):
        audit.record(actor, "project.updated", project, changed, project.tenant)
        control_plane_changed()
    return project


@transaction.atomic
def archive_project(*, actor: Actor, project: Project) -> Project:
    """Its keys stop working at once; restoring it brings them back."""
    require(actor, "project.archive", project.tenant, project, what="archive this project")
    return _set_active(actor, _locked(project), False, "project.archived")


@transaction.atomic
def restore_project(*, actor: Actor, project: Project) -> Project:
    require(actor, "project.archive", project.tenant, project, what="restore this project")
    return _set_active(actor, _locked(project), True, "project.restored")


def _set_active(actor: Actor, project: Project, value: bool, action: str) -> Project:
    if apply_changes(project, {"is_active": value}):
        audit.record(actor, action, project, {}, project.tenant)
        control_plane_changed()
    return project


def _locked(project: Project) -> Project:
    rows = Project.objects.for_tenant(project.tenant).select_related("tenant")
    return rows.select_for_update(of=("self",)).get(pk=project.pk)
