"""The shapes of prompts, versions and releases at the management API.

``…Out`` is shown, ``New…`` creates, ``…Changes`` changes. What a version says is checked by the catalog itself.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from apps.prompts.models import Prompt, PromptVersion, Release
from apps.prompts.types import DEFAULT_LABEL, Decision, UseCase
from apps.tenants.rest.fields import Choice, Input, Moment, Output, Text, Texts, Whole
from apps.tenants.serializers import SLUG
from apps.tenants.types import Environment


class _Json(serializers.JSONField):
    """JSON of one kind, as it came."""

    kind: type = dict
    said = "an object"

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, self.kind):
            raise ValidationError(f"This has to be {self.said}.", code="invalid")
        return data


@extend_schema_field({"type": "object", "additionalProperties": True})
class JsonObject(_Json):
    pass


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
class JsonObjects(_Json):
    kind = list
    said = "a list"


class PromptOut(Output):
    tenant = serializers.CharField(source="tenant.slug")
    slug = serializers.CharField(help_text="The id that applications send.")
    name = serializers.CharField()
    description = serializers.CharField()
    use_case = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    owner = serializers.SerializerMethodField()
    is_archived = serializers.BooleanField()
    forked_from = serializers.CharField(source="forked_label", help_text="In words; empty where it is no fork.")
    created_at = Moment()
    updated_at = Moment(help_text="Of the last version or release.")

    def get_owner(self, row: Prompt) -> str | None:
        return row.owner.email if row.owner else None


class PromptChanges(Input):
    name = Text(max_length=200, required=False)
    description = Text(max_length=4_000, required=False, allow_blank=True)
    use_case = Choice([*UseCase.choices, ("", "Not stated")], required=False)
    tags = Texts(most=12, longest=40, required=False)


class NewPrompt(PromptChanges):
    tenant = Text(max_length=50)
    slug = Text(max_length=50, help_text=SLUG)
    name = Text(max_length=200)


class ContentFields(serializers.Serializer[Any]):
    messages = JsonObjects(help_text="Each with `role` (system, user, assistant) and `content`.")
    variables = JsonObject(required=False, help_text="JSON schemas by name; `default` makes one optional.")
    parameters = JsonObject(required=False, help_text="temperature, top_p, max_tokens, seed, stop, and the like.")
    tools = JsonObjects(required=False, help_text="In the form of the chat completions API.")
    output_schema = JsonObject(required=False, allow_null=True, help_text="The JSON schema of the answer.")
    model = serializers.CharField(required=False, allow_blank=True, max_length=200, help_text="The default model.")


class VersionOut(Output, ContentFields):
    number = serializers.IntegerField()
    content_hash = serializers.CharField()
    includes = JsonObject(help_text="Other prompts' texts in it, by how the messages refer to them.")
    parent = serializers.SerializerMethodField()  # type: ignore[assignment]
    message = serializers.CharField()
    author = serializers.CharField(source="author_label")
    created_at = Moment()

    def get_parent(self, row: PromptVersion) -> int | None:
        return row.parent.number if row.parent is not None else None


class SavedVersionOut(VersionOut):
    created = serializers.BooleanField(help_text="False: a version with this very content was there already.")


class NewVersion(Input, ContentFields):
    message = Text(max_length=300, required=False, allow_blank=True, help_text="What changed, and why.")
    parent = Whole(  # type: ignore[assignment]
        required=False, min_value=1, help_text="The number it follows; by default the newest."
    )


class ShareOut(Output):
    version = serializers.IntegerField(source="version.number")
    weight = serializers.IntegerField()


class ReleaseOut(Output):
    id = serializers.IntegerField(source="pk")
    environment = serializers.ChoiceField(Environment.choices)
    label = serializers.CharField()  # type: ignore[assignment]
    versions = ShareOut(source="shares.all", many=True, help_text="Empty: the label was withdrawn.")
    decision = serializers.ChoiceField(Decision.choices)
    reason = serializers.CharField()
    restores = serializers.SerializerMethodField(help_text="The release that a rollback went back to.")
    actor = serializers.CharField(source="actor_label")
    created_at = Moment()

    def get_restores(self, row: Release) -> int | None:
        return row.restores_id


class ShareIn(Input):
    version = Whole(min_value=1, max_value=2**31 - 1)
    weight = Whole(min_value=1, max_value=100, required=False)


class NewRelease(Input):
    environment = Choice(Environment.choices)
    label = Text(  # type: ignore[assignment]
        max_length=50, required=False, help_text=f"By default {DEFAULT_LABEL}."
    )
    versions = ShareIn(many=True, help_text="Several share the label's calls by weight; empty withdraws the label.")
    reason = Text(max_length=500, required=False, allow_blank=True)


class Rollback(Input):
    reason = Text(max_length=500, required=False, allow_blank=True)


class NewFork(Input):
    tenant = Text(max_length=50, help_text="Where the new prompt is to be.")
    slug = Text(max_length=50, help_text=SLUG)
    name = Text(max_length=200, required=False)


class Publishing(Input):
    note = Text(max_length=500, required=False, allow_blank=True, help_text="What it is good for.")


class PublicationOut(Output):
    id = serializers.IntegerField(source="pk")
    tenant = serializers.CharField(source="version.prompt.tenant.slug")
    slug = serializers.CharField(source="version.prompt.slug")
    name = serializers.CharField(source="version.prompt.name")
    note = serializers.CharField()
    published_at = Moment()
    version = VersionOut()
