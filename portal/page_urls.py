"""The portal's own pages; the apps' are in theirs."""

from django.urls import path

from portal import views

app_name = "portal"
urlpatterns = [
    path("", views.home, name="home"),
    path("live/", views.home_live, name="home-live"),
    path("search/", views.search, name="search"),
    path("workspace/", views.switch_workspace, name="switch"),
    path("styleguide/", views.styleguide, name="styleguide"),
]
