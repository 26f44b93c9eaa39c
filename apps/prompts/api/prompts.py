"""/api/prompts: prompts, their versions and releases; and what was published, at /api/published-prompts."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.prompts import selectors, services
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.serializers import (
    NewFork,
    NewPrompt,
    NewRelease,
    NewVersion,
    PromptChanges,
    PromptOut,
    PublicationOut,
    Publishing,
    ReleaseOut,
    Rollback,
    SavedVersionOut,
    VersionOut,
)
from apps.prompts.types import DEFAULT_LABEL, UseCase
from apps.tenants import selectors as tenants
from apps.tenants.access import require_somewhere
from apps.tenants.errors import Invalid
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView, no_content
from apps.tenants.types import Environment

PROMPTS = "Prompts"


class PromptFilters(Filters):
    orderings = ("name", "slug", "updated_at", "created_at")
    search_in = ("name", "slug", "description", "tags")
    tenant = TextFilter("tenant__slug")
    use_case = ChoiceFilter(choices=UseCase.choices)
    is_archived = FlagFilter()


class PromptList(ApiView):
    @operation("list-prompts", "List prompts", tag=PROMPTS, response=PromptOut, filters=PromptFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.prompts_for(self.actor), PromptOut, PromptFilters)

    @operation(
        "create-prompt",
        "Create a prompt",
        tag=PROMPTS,
        request=NewPrompt,
        response=PromptOut,
        status=201,
        errors=CONFLICT,
        description="Without a version yet. For developers, data scientists and tenant admins.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewPrompt)
        slug = body.pop("tenant")
        tenant = self.referenced("tenant", lambda: tenants.get_tenant_for(self.actor, slug))
        return self.shown(PromptOut, services.create_prompt(actor=self.actor, tenant=tenant, **body), 201)


class _OfPrompt(ApiView):
    def found(self, tenant: str, prompt: str) -> Prompt:
        return selectors.get_prompt_for(self.actor, tenant, prompt)


class PromptDetail(_OfPrompt):
    @operation("get-prompt", "Get a prompt", tag=PROMPTS, response=PromptOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, prompt: str) -> Response:
        return self.shown(PromptOut, self.found(tenant, prompt))

    @operation(
        "change-prompt", "Change a prompt", tag=PROMPTS, request=PromptChanges, response=PromptOut, errors=NOT_FOUND
    )
    def patch(self, request: Request, tenant: str, prompt: str) -> Response:
        row = self.found(tenant, prompt)
        return self.shown(PromptOut, services.update_prompt(actor=self.actor, prompt=row, **self.body(PromptChanges)))


class PromptArchiving(_OfPrompt):
    @operation(
        "archive-prompt",
        "Archive a prompt",
        tag=PROMPTS,
        response=PromptOut,
        errors=NOT_FOUND,
        description="Calls that name it are refused until it is restored.",
    )
    def post(self, request: Request, tenant: str, prompt: str) -> Response:
        row = self.found(tenant, prompt)
        return self.shown(PromptOut, services.archive_prompt(actor=self.actor, prompt=row))


class PromptRestoring(_OfPrompt):
    @operation("restore-prompt", "Restore a prompt", tag=PROMPTS, response=PromptOut, errors=NOT_FOUND)
    def post(self, request: Request, tenant: str, prompt: str) -> Response:
        row = self.found(tenant, prompt)
        return self.shown(PromptOut, services.restore_prompt(actor=self.actor, prompt=row))


class VersionFilters(Filters):
    orderings = ("number", "created_at")
    default_ordering = "-number"
    hash = TextFilter("content_hash")


class VersionList(_OfPrompt):
    @operation(
        "list-prompt-versions",
        "List a prompt's versions",
        tag=PROMPTS,
        response=VersionOut,
        filters=VersionFilters,
        paged=True,
        errors=NOT_FOUND,
    )
    def get(self, request: Request, tenant: str, prompt: str) -> Response:
        return self.page(selectors.versions_of(self.found(tenant, prompt)), VersionOut, VersionFilters)

    @operation(
        "save-prompt-version",
        "Save a version",
        tag=PROMPTS,
        request=NewVersion,
        response=SavedVersionOut,
        status=201,
        errors=NOT_FOUND,
        description="A version never changes. Where one with this very content is there, it is shown, with `created`"
        " false.",
    )
    def post(self, request: Request, tenant: str, prompt: str) -> Response:
        row = self.found(tenant, prompt)
        content = self.body(NewVersion)
        message, number = content.pop("message", ""), content.pop("parent", None)
        parent = None
        if number is not None:
            parent = self.referenced("parent", lambda: selectors.get_version_of(row, number))
        saved = services.save_version(actor=self.actor, prompt=row, content=content, message=message, parent=parent)
        saved.version.created = saved.created  # type: ignore[attr-defined]
        return self.shown(SavedVersionOut, saved.version, 201)


class VersionDetail(_OfPrompt):
    @operation("get-prompt-version", "Get a version", tag=PROMPTS, response=VersionOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, prompt: str, number: int) -> Response:
        return self.shown(VersionOut, selectors.get_version_of(self.found(tenant, prompt), number))


def _forked(view: ApiView, version: PromptVersion) -> Response:
    body = view.body(NewFork)
    slug = body.pop("tenant")
    tenant = view.referenced("tenant", lambda: tenants.get_tenant_for(view.actor, slug))
    return view.shown(PromptOut, services.fork_version(actor=view.actor, version=version, tenant=tenant, **body), 201)


class VersionFork(_OfPrompt):
    @operation(
        "fork-prompt-version",
        "Fork a version",
        tag=PROMPTS,
        request=NewFork,
        response=PromptOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
        description="Makes a new prompt that begins with this version.",
    )
    def post(self, request: Request, tenant: str, prompt: str, number: int) -> Response:
        version = selectors.get_version_of(self.found(tenant, prompt), number)
        return _forked(self, version)


class VersionPublication(_OfPrompt):
    @operation(
        "publish-prompt-version",
        "Publish a version",
        tag=PROMPTS,
        request=Publishing,
        status=204,
        errors=NOT_FOUND,
        description="Every tenant may read and fork it. For tenant admins.",
    )
    def put(self, request: Request, tenant: str, prompt: str, number: int) -> Response:
        version = selectors.get_version_of(self.found(tenant, prompt), number)
        services.publish_version(actor=self.actor, version=version, **self.body(Publishing))
        return no_content()

    @operation("withdraw-prompt-publication", "Withdraw a publication", tag=PROMPTS, status=204, errors=NOT_FOUND)
    def delete(self, request: Request, tenant: str, prompt: str, number: int) -> Response:
        version = selectors.get_version_of(self.found(tenant, prompt), number)
        services.withdraw_publication(actor=self.actor, version=version)
        return no_content()


class ReleaseFilters(Filters):
    orderings = ("pk", "created_at")
    default_ordering = "-pk"
    environment = ChoiceFilter(choices=Environment.choices)
    label = TextFilter()


class ReleaseList(_OfPrompt):
    @operation(
        "list-prompt-releases",
        "List a prompt's releases",
        tag=PROMPTS,
        response=ReleaseOut,
        filters=ReleaseFilters,
        paged=True,
        errors=NOT_FOUND,
        description="The newest of an environment and a label is in force.",
    )
    def get(self, request: Request, tenant: str, prompt: str) -> Response:
        rows = selectors.releases_of(self.found(tenant, prompt))
        return self.page(rows, ReleaseOut, ReleaseFilters)

    @operation(
        "release-prompt",
        "Release versions",
        tag=PROMPTS,
        request=NewRelease,
        response=ReleaseOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
        description="From now on the label means these versions, in the projects of the environment.",
    )
    def post(self, request: Request, tenant: str, prompt: str) -> Response:
        row = self.found(tenant, prompt)
        body = self.body(NewRelease)
        shares = body.pop("versions")
        body.setdefault("label", DEFAULT_LABEL)
        if not shares:
            return self.shown(ReleaseOut, services.withdraw_label(actor=self.actor, prompt=row, **body), 201)
        weights = {share["version"]: share.get("weight", 100) for share in shares}
        if len(weights) != len(shares):
            raise Invalid("A version is there twice.", field="versions")
        release = services.release_versions(actor=self.actor, prompt=row, weights=weights, **body)
        return self.shown(ReleaseOut, release, 201)


class ReleaseRollback(_OfPrompt):
    @operation(
        "roll-back-prompt",
        "Roll back to a release",
        tag=PROMPTS,
        request=Rollback,
        response=ReleaseOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
        description="The label means again what it meant in that release.",
    )
    def post(self, request: Request, tenant: str, prompt: str, id: int) -> Response:
        release = selectors.get_release_of(self.found(tenant, prompt), id)
        release = services.roll_back(actor=self.actor, release=release, **self.body(Rollback))
        return self.shown(ReleaseOut, release, 201)


class PublicationFilters(Filters):
    orderings = ("published_at",)
    default_ordering = "-published_at"
    search_in = ("version__prompt__name", "version__prompt__description", "note")


class PublicationList(ApiView):
    @operation(
        "list-published-prompts",
        "List published prompts",
        tag=PROMPTS,
        response=PublicationOut,
        filters=PublicationFilters,
        paged=True,
        description="What any tenant has published to all.",
    )
    def get(self, request: Request) -> Response:
        return self.page(
            selectors.publications_for(self.actor).select_related("version__parent"), PublicationOut, PublicationFilters
        )


class PublicationFork(ApiView):
    @operation(
        "fork-published-prompt",
        "Fork a published prompt",
        tag=PROMPTS,
        request=NewFork,
        response=PromptOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
    )
    def post(self, request: Request, id: int) -> Response:
        require_somewhere(self.actor, "prompt.edit", what="fork a prompt")
        return _forked(self, selectors.get_publication_for(self.actor, id).version)
