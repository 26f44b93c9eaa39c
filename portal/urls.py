"""The portal's routes, app by app."""

from django.contrib import admin
from django.http import Http404
from django.urls import include, path
from django.views.defaults import page_not_found

from portal.mlflow_proxy import mlflow

# Only where pages are served: commands and workers start sooner without.
admin.autodiscover()

urlpatterns = [
    path("", include("portal.page_urls")),
    path("", include("apps.tenants.urls")),
    path("", include("apps.models.urls")),
    path("", include("apps.prompts.urls")),
    path("", include("apps.evaluation.urls")),
    path("", include("apps.gateway.urls")),
    path("", include("apps.playground.urls")),
    # Somebody who could change their own address could be invited in another's place: an administrator changes it.
    path("accounts/email/", page_not_found, {"exception": Http404()}),
    path("accounts/", include("allauth.urls")),
    path("api/", include("portal.api_urls")),
    path("mlflow/", mlflow, name="mlflow"),
    path("mlflow/<path:path>", mlflow, name="mlflow-path"),
    path("admin/", admin.site.urls),
]

handler400 = "portal.error_views.bad_request"
handler403 = "portal.error_views.permission_denied"
handler404 = "portal.error_views.page_not_found"
handler500 = "portal.error_views.server_error"
