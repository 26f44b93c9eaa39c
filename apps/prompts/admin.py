"""The catalog in the admin: to look at across tenants. Prompts are written and released on their own pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from apps.prompts.models import Prompt, PromptVersion, Publication, Release, ReleaseShare
from apps.tenants.admin_base import ReadOnlyAdmin


class _Inline(TabularInline):  # type: ignore[misc]
    extra = 0
    tab = True
    show_change_link = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class VersionInline(_Inline):
    model = PromptVersion
    fields = ["number", "message", "author_label", "model", "content_hash", "created_at"]
    readonly_fields = fields
    fk_name = "prompt"


class ReleaseInline(_Inline):
    model = Release
    fields = ["environment", "label", "decision", "reason", "actor_label", "created_at"]
    readonly_fields = fields


class ShareInline(_Inline):
    model = ReleaseShare
    fields = ["version", "weight"]
    readonly_fields = fields


@admin.register(Prompt)
class PromptAdmin(ReadOnlyAdmin[Prompt]):
    view_action = "prompt.view"
    list_display = ["name", "slug", "tenant", "owner", "use_case", "is_archived", "updated_at"]
    list_filter = ["use_case", "is_archived", "tenant"]
    search_fields = ["name", "slug", "description"]
    list_select_related = ["tenant", "owner"]
    inlines = [VersionInline, ReleaseInline]


@admin.register(PromptVersion)
class PromptVersionAdmin(ReadOnlyAdmin[PromptVersion]):
    view_action = "prompt.view"
    list_display = ["prompt", "number", "message", "author_label", "model", "created_at"]
    search_fields = ["prompt__name", "prompt__slug", "message", "content_hash"]
    list_select_related = ["prompt"]


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin[Release]):
    view_action = "prompt.view"
    list_display = ["prompt", "environment", "label", "decision", "reason", "actor_label", "created_at"]
    list_filter = ["environment", "decision"]
    search_fields = ["prompt__name", "prompt__slug", "label", "reason"]
    list_select_related = ["prompt"]
    inlines = [ShareInline]


@admin.register(Publication)
class PublicationAdmin(ReadOnlyAdmin[Publication]):
    view_action = "prompt.view"
    list_display = ["version", "note", "published_by", "published_at"]
    list_select_related = ["version__prompt", "published_by"]
