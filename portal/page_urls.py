"""The portal's own pages; the apps' are in theirs."""

from django.urls import path

from portal import views

app_name = "portal"
urlpatterns = [
    path("workspace/", views.switch_workspace, name="switch"),
    path("styleguide/", views.styleguide, name="styleguide"),
]
