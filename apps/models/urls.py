"""The model hub's pages. A model's name may hold slashes, dots and colons."""

from django.urls import path

from apps.models import views

app_name = "models"
urlpatterns = [
    path("models/", views.model_list, name="list"),
    # A model's name holds slashes, so nothing comes after one.
    path("licences/<path:slug>/", views.licence_accept, name="licence-accept"),
    path("models/<path:slug>/", views.model_card, name="card"),
]
