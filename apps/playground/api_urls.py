"""The addresses of the playground below /api/."""

from django.urls import path

from apps.playground.api import RatingSets

urlpatterns = [
    path("tenants/<str:tenant>/rating-sets", RatingSets.as_view(), name="rating-sets"),
]
