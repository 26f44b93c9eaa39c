"""The tenants' pages, at the root of the portal."""

from django.urls import path

from apps.tenants.views import keys, members, projects

app_name = "tenants"
urlpatterns = [
    path("keys/", keys.key_list, name="key-list"),
    path("keys/new/", keys.key_create, name="key-create"),
    path("keys/<slug:prefix>/", keys.key_detail, name="key-detail"),
    path("keys/<slug:prefix>/revoke/", keys.key_revoke, name="key-revoke"),
    path("keys/<slug:prefix>/rotate/", keys.key_rotate, name="key-rotate"),
    path("projects/", projects.project_list, name="project-list"),
    path("projects/new/", projects.project_create, name="project-create"),
    path("projects/<slug:tenant>/<slug:project>/", projects.project_detail, name="project-detail"),
    path("projects/<slug:tenant>/<slug:project>/edit/", projects.project_edit, name="project-edit"),
    path("projects/<slug:tenant>/<slug:project>/archive/", projects.project_archive, name="project-archive"),
    path("projects/<slug:tenant>/<slug:project>/limits/new/", projects.limit_set, name="limit-set"),
    path("projects/<slug:tenant>/<slug:project>/budgets/new/", projects.budget_set, name="budget-set"),
    path("limits/<int:pk>/delete/", projects.limit_delete, name="limit-delete"),
    path("budgets/<int:pk>/delete/", projects.budget_delete, name="budget-delete"),
    path("members/", members.member_list, name="member-list"),
    path("members/new/", members.member_add, name="member-add"),
    path("members/<int:user>/role/", members.member_role, name="member-role"),
    path("members/<int:user>/remove/", members.member_remove, name="member-remove"),
]
