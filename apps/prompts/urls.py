"""The catalog's pages."""

from django.urls import path

from apps.prompts.views import catalog, releases, sharing, versions

app_name = "prompts"
_one = "prompts/<slug:tenant>/<slug:prompt>/"
urlpatterns = [
    path("prompts/", catalog.prompt_list, name="list"),
    path("prompts/new/", catalog.prompt_create, name="create"),
    path("prompts/preview/", versions.preview, name="preview"),
    path("prompts/shared/", sharing.shared_list, name="shared-list"),
    path("prompts/shared/<int:pk>/", sharing.shared_detail, name="shared-detail"),
    path("prompts/shared/<int:pk>/fork/", sharing.shared_fork, name="shared-fork"),
    path(_one, versions.prompt_detail, name="detail"),
    path(_one + "facts/", catalog.prompt_edit, name="edit"),
    path(_one + "archive/", catalog.prompt_archive, name="archive"),
    path(_one + "versions/new/", versions.version_create, name="version-create"),
    path(_one + "versions/<int:number>/", versions.version_detail, name="version-detail"),
    path(_one + "versions/<int:number>/publish/", sharing.version_publish, name="version-publish"),
    path(_one + "versions/<int:number>/fork/", sharing.version_fork, name="version-fork"),
    path(_one + "compare/", versions.compare, name="compare"),
    path(_one + "release/", releases.release_create, name="release-create"),
    path(_one + "releases/", releases.release_list, name="release-list"),
    path(_one + "releases/<int:pk>/roll-back/", releases.release_roll_back, name="release-roll-back"),
    path(_one + "withdraw/", releases.label_withdraw, name="label-withdraw"),
]
