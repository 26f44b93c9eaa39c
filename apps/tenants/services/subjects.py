"""What a limit or a budget covers: a tenant, or one project, key or user of it."""

from __future__ import annotations

from apps.tenants.errors import Invalid
from apps.tenants.models import ApiKey, Membership, Project, Tenant, User


def check_subject(
    tenant: Tenant, project: Project | None, api_key: ApiKey | None, user: User | None = None
) -> Project | None:
    """The project that the row belongs to (a key brings its own).

    Raises:
        Invalid: A subject of another tenant, or ones that do not fit together.
    """
    if project is not None and project.tenant_id != tenant.pk:
        raise Invalid("There is no such project in this tenant.", field="project")
    if api_key is not None:
        if api_key.project.tenant_id != tenant.pk or (project is not None and api_key.project_id != project.pk):
            raise Invalid("There is no such API key in this project.", field="api_key")
        project = api_key.project
    if user is not None and not Membership.objects.for_tenant(tenant).filter(user=user).exists():
        raise Invalid("There is no such member in this tenant.", field="user")
    return project
