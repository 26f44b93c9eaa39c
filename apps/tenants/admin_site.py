"""The admin's site: for platform staff alone, signed in as everywhere else, over all tenants."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.contrib import admin
from django.contrib.admin import sites
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import SimpleTemplateResponse
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from unfold.apps import BasicAppConfig
from unfold.sites import UnfoldAdminSite

from apps.tenants.scoping import unscoped

# The order of Lobby's own apps, which come before those of the packages that it is made of.
APPS = ("tenants", "registry", "gateway", "prompts", "evaluation")


class LobbyAdminSite(UnfoldAdminSite):  # type: ignore[misc]
    site_title = "Lobby"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(getattr(request.user, "is_platform_staff", False))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The portal's own sign-in: one form, one lockout, one single sign-on."""
        # Needs the user model, and this module is read before there are any.
        from django.contrib.auth.views import redirect_to_login

        target = request.GET.get("next", reverse("admin:index"))
        if self.has_permission(request):
            return redirect("admin:index")
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(target)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        def place(app: dict[str, Any]) -> int:
            return APPS.index(app["app_label"]) if app["app_label"] in APPS else len(APPS)

        return sorted(super().get_app_list(request, app_label), key=place)

    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Callable[..., Any]:
        """Forms, filters and lists ask the default managers: inside an admin's view they answer for all tenants."""
        inner = super().admin_view(view, cacheable)

        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            with unscoped("the admin, open to platform staff alone"):
                response: HttpResponseBase = inner(request, *args, **kwargs)
                if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
                    response.render()
            return response

        update_wrapper(page, inner)
        return page


class UnfoldConfig(BasicAppConfig):  # type: ignore[misc]
    """Unfold, with Lobby's site in the place of Django's default one."""

    default = True

    def ready(self) -> None:
        admin.site = sites.site = LobbyAdminSite()


# Title, then (label, route, icon of Material Symbols). What is not installed or registered is left out.
SIDEBAR: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Tenants",
        (
            ("Tenants", "admin:tenants_tenant_changelist", "domain"),
            ("Projects", "admin:tenants_project_changelist", "folder_open"),
            ("Members", "admin:tenants_membership_changelist", "group"),
            ("API keys", "admin:tenants_apikey_changelist", "key"),
            ("Rate limits", "admin:tenants_ratelimit_changelist", "speed"),
            ("Budgets", "admin:tenants_budget_changelist", "account_balance_wallet"),
            ("Audit trail", "admin:tenants_auditentry_changelist", "history"),
        ),
    ),
    (
        "Models",
        (
            ("Providers", "admin:registry_provider_changelist", "cloud"),
            ("Models", "admin:registry_model_changelist", "neurology"),
            ("Endpoints", "admin:registry_endpoint_changelist", "lan"),
            ("Prices", "admin:registry_price_changelist", "sell"),
            ("Access grants", "admin:registry_accessgrant_changelist", "verified_user"),
        ),
    ),
    (
        "Routing",
        (
            ("Routes", "admin:gateway_route_changelist", "alt_route"),
            ("Targets", "admin:gateway_routetarget_changelist", "near_me"),
        ),
    ),
    (
        "Ledger",
        (
            ("Requests", "admin:gateway_requestlog_changelist", "swap_vert"),
            ("Usage records", "admin:gateway_usagerecord_changelist", "receipt_long"),
            ("Rollups", "admin:gateway_usagerollup_changelist", "bar_chart"),
        ),
    ),
    (
        "Prompts",
        (
            ("Prompts", "admin:prompts_prompt_changelist", "article"),
            ("Versions", "admin:prompts_promptversion_changelist", "history"),
            ("Releases", "admin:prompts_release_changelist", "rocket_launch"),
            ("Published", "admin:prompts_publication_changelist", "share"),
        ),
    ),
    (
        "Datasets",
        (
            ("Datasets", "admin:evaluation_dataset_changelist", "dataset"),
            ("Versions", "admin:evaluation_datasetversion_changelist", "lock"),
            ("Uploads", "admin:evaluation_upload_changelist", "upload_file"),
            ("Inbox", "admin:evaluation_inboxitem_changelist", "inbox"),
        ),
    ),
    (
        "People and safety",
        (
            ("Users", "admin:tenants_user_changelist", "person"),
            ("Sign-on identities", "admin:socialaccount_socialaccount_changelist", "badge"),
            ("Failed logins", "admin:axes_accessattempt_changelist", "lock_clock"),
            ("Login log", "admin:axes_accesslog_changelist", "login"),
        ),
    ),
    (
        "Jobs",
        (
            ("Schedules", "admin:django_celery_beat_periodictask_changelist", "schedule"),
            ("Task results", "admin:django_celery_results_taskresult_changelist", "task_alt"),
        ),
    ),
)


def style(request: HttpRequest) -> str:
    """Our own lines below Unfold's (``UNFOLD["STYLES"]``)."""
    return static("css/admin.css")


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's navigation (``UNFOLD["SIDEBAR"]["navigation"]``)."""
    groups = []
    for title, entries in SIDEBAR:
        items = []
        for label, route, icon in entries:
            try:
                items.append({"title": label, "icon": icon, "link": reverse(route)})
            except NoReverseMatch:
                continue
        if items:
            groups.append({"title": title, "separator": True, "collapsible": False, "items": items})
    return groups
