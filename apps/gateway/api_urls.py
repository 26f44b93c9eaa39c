"""The ledger's and the routes' addresses below /api/."""

from django.urls import path

from apps.gateway import api, api_routes

urlpatterns = [
    path("usage/summary", api.UsageSummary.as_view(), name="usage-summary"),
    path("usage/series", api.UsageSeries.as_view(), name="usage-series"),
    path("requests", api.RequestList.as_view(), name="request-list"),
    path("requests/<str:id>", api.RequestDetail.as_view(), name="request-detail"),
    path("routes", api_routes.RouteList.as_view(), name="route-list"),
    path("routes/<int:id>", api_routes.RouteDetail.as_view(), name="route-detail"),
    path("routes/<int:id>/revisions", api_routes.RevisionList.as_view(), name="route-revision-list"),
    path("routes/<int:id>/revisions/<int:number>", api_routes.RevisionDetail.as_view(), name="route-revision-detail"),
    path(
        "routes/<int:id>/revisions/<int:number>/in-force",
        api_routes.RevisionPutting.as_view(),
        name="route-revision-put",
    ),
    path("routes/<int:id>/simulate", api_routes.RouteSimulation.as_view(), name="route-simulate"),
]
