"""The ledger's addresses below /api/."""

from django.urls import path

from apps.gateway import api

urlpatterns = [
    path("usage/summary", api.UsageSummary.as_view(), name="usage-summary"),
    path("usage/series", api.UsageSeries.as_view(), name="usage-series"),
    path("requests", api.RequestList.as_view(), name="request-list"),
    path("requests/<str:id>", api.RequestDetail.as_view(), name="request-detail"),
]
