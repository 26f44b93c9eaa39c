"""Usage, requests, and the speed of models. A model's name may hold slashes, dots and colons."""

from django.urls import path

from apps.gateway.views import requests, usage

app_name = "gateway"
urlpatterns = [
    path("usage/", usage.usage, name="usage"),
    path("usage/models/<path:slug>/speed/", usage.model_speed, name="model-speed"),
    path("requests/", requests.request_list, name="request-list"),
    path("requests/<str:request_id>/", requests.request_detail, name="request-detail"),
]
