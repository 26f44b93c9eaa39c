"""The catalog's addresses below /api/."""

from django.urls import path

from apps.prompts.api import prompts

_one = "prompts/<str:tenant>/<str:prompt>"
urlpatterns = [
    path("prompts", prompts.PromptList.as_view(), name="prompt-list"),
    path(_one, prompts.PromptDetail.as_view(), name="prompt-detail"),
    path(f"{_one}/archive", prompts.PromptArchiving.as_view(), name="prompt-archive"),
    path(f"{_one}/restore", prompts.PromptRestoring.as_view(), name="prompt-restore"),
    path(f"{_one}/versions", prompts.VersionList.as_view(), name="prompt-version-list"),
    path(f"{_one}/versions/<int:number>", prompts.VersionDetail.as_view(), name="prompt-version-detail"),
    path(f"{_one}/versions/<int:number>/fork", prompts.VersionFork.as_view(), name="prompt-version-fork"),
    path(
        f"{_one}/versions/<int:number>/publication",
        prompts.VersionPublication.as_view(),
        name="prompt-version-publication",
    ),
    path(f"{_one}/releases", prompts.ReleaseList.as_view(), name="prompt-release-list"),
    path(f"{_one}/releases/<int:id>/roll-back", prompts.ReleaseRollback.as_view(), name="prompt-roll-back"),
    path("published-prompts", prompts.PublicationList.as_view(), name="published-prompt-list"),
    path("published-prompts/<int:id>/fork", prompts.PublicationFork.as_view(), name="published-prompt-fork"),
]
