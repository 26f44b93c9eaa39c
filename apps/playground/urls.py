"""The playground."""

from django.urls import path

from apps.playground.views import conversations, examples, feedback, offers, page, ratings, recommendations

app_name = "playground"
urlpatterns = [
    path("playground/", page.index, name="index"),
    path("playground/models/", page.models, name="models"),
    path("playground/prompts/<slug:slug>/", page.prompt, name="prompt"),
    path("playground/budget/", page.budget, name="budget"),
    path("playground/highlight/", page.highlight, name="highlight"),
    path("playground/code/", page.draft_code, name="draft-code"),
    path("playground/files/<int:pk>/", page.attachment, name="attachment"),
    path("playground/conversations/", conversations.conversation_list, name="conversation-list"),
    path("playground/conversations/<str:public_id>/data/", page.conversation_data, name="conversation-data"),
    path(
        "playground/conversations/<str:public_id>/rename/",
        conversations.conversation_rename,
        name="conversation-rename",
    ),
    path(
        "playground/conversations/<str:public_id>/share/", conversations.conversation_share, name="conversation-share"
    ),
    path(
        "playground/conversations/<str:public_id>/use-case/",
        conversations.conversation_use_case,
        name="conversation-use-case",
    ),
    path("playground/conversations/<str:public_id>/fork/", conversations.conversation_fork, name="conversation-fork"),
    path(
        "playground/conversations/<str:public_id>/export/",
        conversations.conversation_export,
        name="conversation-export",
    ),
    path(
        "playground/conversations/<str:public_id>/delete/",
        conversations.conversation_delete,
        name="conversation-delete",
    ),
    path("playground/shared/<str:token>/", conversations.shared, name="shared"),
    path("playground/shared/<str:token>/fork/", conversations.shared_fork, name="shared-fork"),
    path("playground/answers/<int:pk>/code/", conversations.answer_code, name="code"),
    path("playground/answers/<int:pk>/feedback/", feedback.feedback, name="feedback"),
    path("playground/answers/<int:pk>/example/", examples.example_share, name="example-share"),
    path("playground/answers/<int:pk>/prompt/", offers.prompt_save, name="prompt-save"),
    path("playground/answers/<int:pk>/inbox/", offers.inbox_offer, name="inbox-offer"),
    path("playground/turns/<int:pk>/vote/", feedback.vote, name="vote"),
    path("examples/", examples.example_list, name="example-list"),
    path("examples/<str:public_id>/", examples.example_detail, name="example-detail"),
    path("examples/<str:public_id>/rate/", examples.example_rate, name="example-rate"),
    path("examples/<str:public_id>/fork/", examples.example_fork, name="example-fork"),
    path("examples/<str:public_id>/remove/", examples.example_remove, name="example-remove"),
    path("playground/recommendations/", recommendations.recommendations, name="recommendations"),
    path("playground/feedback/", feedback.feedback_list, name="feedback-list"),
    path("playground/feedback/rating-sets/", ratings.rating_sets, name="rating-sets"),
    path("playground/feedback/rating-sets/make/", ratings.rating_set_make, name="rating-set-make"),
    path("playground/feedback/rating-sets/allow/", ratings.rating_set_allow, name="rating-set-allow"),
    path("playground/feedback/<int:pk>/triage/", feedback.feedback_triage, name="feedback-triage"),
    path("prompts/<slug:tenant>/<slug:prompt>/feedback/", feedback.prompt_feedback, name="prompt-feedback"),
    path("playground/models/<path:slug>/feedback/", feedback.model_feedback, name="model-feedback"),
]
