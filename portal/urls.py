"""The portal's routes, app by app."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("portal.page_urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
