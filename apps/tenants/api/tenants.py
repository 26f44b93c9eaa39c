"""/api/tenants and /api/projects."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.tenants import selectors, services
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView
from apps.tenants.serializers import (
    NeededReason,
    NewProject,
    NewTenant,
    Nothing,
    ProjectChanges,
    ProjectOut,
    Reason,
    TenantChanges,
    TenantOut,
)
from apps.tenants.types import Environment, TenantStatus

TENANTS, PROJECTS = "Tenants", "Projects"


class TenantFilters(Filters):
    orderings = ("name", "slug", "created_at")
    search_in = ("name", "slug", "cost_center")
    status = ChoiceFilter(choices=TenantStatus.choices)
    cost_center = TextFilter(max_length=50)


class TenantList(ApiView):
    @operation("list-tenants", "List tenants", tag=TENANTS, response=TenantOut, filters=TenantFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.tenants_for(self.actor), TenantOut, TenantFilters)

    @operation(
        "create-tenant",
        "Create a tenant",
        tag=TENANTS,
        request=NewTenant,
        response=TenantOut,
        status=201,
        errors=CONFLICT,
        description="For service admins.",
    )
    def post(self, request: Request) -> Response:
        tenant = services.create_tenant(actor=self.actor, **self.body(NewTenant))
        return self.shown(TenantOut, tenant, 201)


class TenantDetail(ApiView):
    @operation("get-tenant", "Get a tenant", tag=TENANTS, response=TenantOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str) -> Response:
        return self.shown(TenantOut, selectors.get_tenant_for(self.actor, tenant))

    @operation(
        "change-tenant", "Change a tenant", tag=TENANTS, request=TenantChanges, response=TenantOut, errors=NOT_FOUND
    )
    def patch(self, request: Request, tenant: str) -> Response:
        row = selectors.get_tenant_for(self.actor, tenant)
        return self.shown(TenantOut, services.update_tenant(actor=self.actor, tenant=row, **self.body(TenantChanges)))


class TenantSuspension(ApiView):
    @operation(
        "suspend-tenant",
        "Suspend a tenant",
        tag=TENANTS,
        request=NeededReason,
        response=TenantOut,
        errors=NOT_FOUND | CONFLICT,
        description="Stops its calls and changes at once; its people can still look. For service admins.",
    )
    def post(self, request: Request, tenant: str) -> Response:
        row = selectors.get_tenant_for(self.actor, tenant)
        return self.shown(TenantOut, services.suspend_tenant(actor=self.actor, tenant=row, **self.body(NeededReason)))


class TenantReactivation(ApiView):
    @operation(
        "reactivate-tenant",
        "Reactivate a tenant",
        tag=TENANTS,
        request=Nothing,
        response=TenantOut,
        errors=NOT_FOUND | CONFLICT,
        description="Ends a suspension, or onboarding. For service admins.",
    )
    def post(self, request: Request, tenant: str) -> Response:
        row = selectors.get_tenant_for(self.actor, tenant)
        self.body(Nothing)
        return self.shown(TenantOut, services.reactivate_tenant(actor=self.actor, tenant=row))


class TenantOffboarding(ApiView):
    @operation(
        "offboard-tenant",
        "Offboard a tenant",
        tag=TENANTS,
        request=Reason,
        response=TenantOut,
        errors=NOT_FOUND,
        description="The end: its keys are revoked, its members lose sight of it; ledger and audit trail stay.",
    )
    def post(self, request: Request, tenant: str) -> Response:
        row = selectors.get_tenant_for(self.actor, tenant)
        return self.shown(TenantOut, services.offboard_tenant(actor=self.actor, tenant=row, **self.body(Reason)))


class ProjectFilters(Filters):
    orderings = ("name", "slug", "created_at")
    search_in = ("name", "slug", "description")
    tenant = TextFilter("tenant__slug")
    environment = ChoiceFilter(choices=Environment.choices)
    is_active = FlagFilter()


class ProjectList(ApiView):
    @operation("list-projects", "List projects", tag=PROJECTS, response=ProjectOut, filters=ProjectFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.projects_for(self.actor), ProjectOut, ProjectFilters)

    @operation(
        "create-project",
        "Create a project",
        tag=PROJECTS,
        request=NewProject,
        response=ProjectOut,
        status=201,
        errors=CONFLICT,
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewProject)
        slug = body.pop("tenant")
        tenant = self.referenced("tenant", lambda: selectors.get_tenant_for(self.actor, slug))
        return self.shown(ProjectOut, services.create_project(actor=self.actor, tenant=tenant, **body), 201)


class ProjectDetail(ApiView):
    @operation("get-project", "Get a project", tag=PROJECTS, response=ProjectOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, project: str) -> Response:
        return self.shown(ProjectOut, selectors.get_project_for(self.actor, tenant, project))

    @operation(
        "change-project",
        "Change a project",
        tag=PROJECTS,
        request=ProjectChanges,
        response=ProjectOut,
        errors=NOT_FOUND,
    )
    def patch(self, request: Request, tenant: str, project: str) -> Response:
        row = selectors.get_project_for(self.actor, tenant, project)
        return self.shown(
            ProjectOut, services.update_project(actor=self.actor, project=row, **self.body(ProjectChanges))
        )


class ProjectArchiving(ApiView):
    @operation(
        "archive-project",
        "Archive a project",
        tag=PROJECTS,
        request=Nothing,
        response=ProjectOut,
        errors=NOT_FOUND,
        description="Its keys stop working at once; restoring it brings them back.",
    )
    def post(self, request: Request, tenant: str, project: str) -> Response:
        row = selectors.get_project_for(self.actor, tenant, project)
        self.body(Nothing)
        return self.shown(ProjectOut, services.archive_project(actor=self.actor, project=row))


class ProjectRestoring(ApiView):
    @operation(
        "restore-project",
        "Restore a project",
        tag=PROJECTS,
        request=Nothing,
        response=ProjectOut,
        errors=NOT_FOUND,
    )
    def post(self, request: Request, tenant: str, project: str) -> Response:
        row = selectors.get_project_for(self.actor, tenant, project)
        self.body(Nothing)
        return self.shown(ProjectOut, services.restore_project(actor=self.actor, project=row))
