"""The tenants' addresses below /api/."""

from django.urls import path

from apps.tenants.api import audit, keys, limits, members, tenants

urlpatterns = [
    path("me", members.Me.as_view(), name="me"),
    path("tenants", tenants.TenantList.as_view(), name="tenant-list"),
    path("tenants/<str:tenant>", tenants.TenantDetail.as_view(), name="tenant-detail"),
    path("tenants/<str:tenant>/suspend", tenants.TenantSuspension.as_view(), name="tenant-suspend"),
    path("tenants/<str:tenant>/reactivate", tenants.TenantReactivation.as_view(), name="tenant-reactivate"),
    path("tenants/<str:tenant>/offboard", tenants.TenantOffboarding.as_view(), name="tenant-offboard"),
    path("projects", tenants.ProjectList.as_view(), name="project-list"),
    path("projects/<str:tenant>/<str:project>", tenants.ProjectDetail.as_view(), name="project-detail"),
    path("projects/<str:tenant>/<str:project>/archive", tenants.ProjectArchiving.as_view(), name="project-archive"),
    path("projects/<str:tenant>/<str:project>/restore", tenants.ProjectRestoring.as_view(), name="project-restore"),
    path("members", members.MemberList.as_view(), name="member-list"),
    path("members/<str:tenant>/<int:user>", members.MemberDetail.as_view(), name="member-detail"),
    path("keys", keys.KeyList.as_view(), name="key-list"),
    path("keys/<str:prefix>", keys.KeyDetail.as_view(), name="key-detail"),
    path("keys/<str:prefix>/revoke", keys.KeyRevocation.as_view(), name="key-revoke"),
    path("keys/<str:prefix>/rotate", keys.KeyRotation.as_view(), name="key-rotate"),
    path("limits", limits.LimitList.as_view(), name="limit-list"),
    path("limits/<int:id>", limits.LimitDetail.as_view(), name="limit-detail"),
    path("budgets", limits.BudgetList.as_view(), name="budget-list"),
    path("budgets/<int:id>", limits.BudgetDetail.as_view(), name="budget-detail"),
    path("audit", audit.AuditList.as_view(), name="audit-list"),
    path("audit/<int:sequence>", audit.AuditDetail.as_view(), name="audit-detail"),
]
