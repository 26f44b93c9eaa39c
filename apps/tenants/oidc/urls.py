"""allauth includes these under /accounts/; the names are the ones that its provider class reverses."""

from django.urls import path

from apps.tenants.oidc import views

urlpatterns = [
    path("oidc/<slug:provider_id>/login/", views.login, name="openid_connect_login"),
    path("oidc/<slug:provider_id>/login/callback/", views.callback, name="openid_connect_callback"),
]
