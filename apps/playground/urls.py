"""The playground."""

from django.urls import path

from apps.playground import views

app_name = "playground"
urlpatterns = [
    path("playground/", views.index, name="index"),
    path("playground/run/", views.run, name="run"),
    path("playground/render/", views.rendered, name="render"),
    path("playground/answers/<str:request_id>/", views.figures, name="figures"),
]
