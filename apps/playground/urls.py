"""The playground."""

from django.urls import path

from apps.playground.views import examples, feedback, page, recommendations

app_name = "playground"
urlpatterns = [
    path("playground/", page.index, name="index"),
    path("playground/run/", page.run, name="run"),
    path("playground/render/", page.rendered, name="render"),
    path("playground/answers/<str:request_id>/", page.figures, name="figures"),
    path("playground/answers/<int:pk>/feedback/", feedback.feedback, name="feedback"),
    path("playground/answers/<int:pk>/example/", examples.example_share, name="example-share"),
    path("playground/turns/<int:pk>/vote/", feedback.vote, name="vote"),
    path("examples/", examples.example_list, name="example-list"),
    path("examples/<str:public_id>/", examples.example_detail, name="example-detail"),
    path("examples/<str:public_id>/rate/", examples.example_rate, name="example-rate"),
    path("examples/<str:public_id>/fork/", examples.example_fork, name="example-fork"),
    path("examples/<str:public_id>/remove/", examples.example_remove, name="example-remove"),
    path("playground/recommendations/", recommendations.recommendations, name="recommendations"),
    path("playground/feedback/", feedback.feedback_list, name="feedback-list"),
    path("playground/feedback/<int:pk>/triage/", feedback.feedback_triage, name="feedback-triage"),
    path("playground/models/<path:slug>/feedback/", feedback.model_feedback, name="model-feedback"),
]
