"""The playground."""

from django.urls import path

from apps.playground.views import page

app_name = "playground"
urlpatterns = [
    path("playground/", page.index, name="index"),
    path("playground/run/", page.run, name="run"),
    path("playground/render/", page.rendered, name="render"),
    path("playground/answers/<str:request_id>/", page.figures, name="figures"),
]
