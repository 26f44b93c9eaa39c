"""Usage, requests, routes, and the speed of models. A model's name may hold slashes, dots and colons."""

from django.urls import path

from apps.gateway.views import health, prompts, requests, routes, usage

app_name = "gateway"
urlpatterns = [
    path("usage/", usage.usage, name="usage"),
    path("usage/models/<path:slug>/speed/", usage.model_speed, name="model-speed"),
    path("health/", health.endpoint_health, name="health"),
    path("usage/prompts/<slug:tenant>/<slug:prompt>/", prompts.prompt_traffic, name="prompt-traffic"),
    path("routes/", routes.route_list, name="route-list"),
    path("routes/new/", routes.route_create, name="route-create"),
    path("routes/<int:pk>/", routes.route_detail, name="route-detail"),
    path("routes/<int:pk>/edit/", routes.route_edit, name="route-edit"),
    path("routes/<int:pk>/simulate/", routes.route_simulate, name="route-simulate"),
    path("routes/<int:pk>/revisions/<int:number>/in-force/", routes.revision_put, name="route-revision-put"),
    path("routes/<int:pk>/delete/", routes.route_delete, name="route-delete"),
    path("requests/", requests.request_list, name="request-list"),
    path("requests/<str:request_id>/", requests.request_detail, name="request-detail"),
]
