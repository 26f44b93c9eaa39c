"""The management API, wing by wing, with its description and its documentation pages."""

from django.urls import include, path, re_path

from apps.tenants.rest.views import UnknownRoute
from portal.api_docs import Redoc, Schema, Swagger

app_name = "api"
urlpatterns = [
    path("", include("apps.tenants.api.urls")),
    path("", include("apps.models.api.urls")),
    path("", include("apps.prompts.api.urls")),
    path("", include("apps.evaluation.api.urls")),
    path("", include("apps.gateway.api_urls")),
    path("", include("apps.playground.api_urls")),
    path("schema/", Schema.as_view(), name="schema"),
    path("docs/", Swagger.as_view(), name="docs"),
    path("redoc/", Redoc.as_view(), name="redoc"),
    re_path(r"^.*$", UnknownRoute.as_view(), name="unknown"),
]
