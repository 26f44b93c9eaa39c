"""Usage, requests, and the speed of models. A model's name may hold slashes, dots and colons."""

from django.urls import path

from apps.gateway import views

app_name = "gateway"
urlpatterns = [
    path("usage/", views.usage, name="usage"),
    path("usage/models/<path:slug>/speed/", views.model_speed, name="model-speed"),
    path("requests/", views.request_list, name="request-list"),
    path("requests/<str:request_id>/", views.request_detail, name="request-detail"),
]
