"""The shapes of datasets, examples, versions and uploads at the management API.

``…Out`` is shown, ``New…`` creates, ``…Changes`` changes. What an example says is checked by the datasets themselves.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from apps.evaluation.content import LONGEST_NAME, LONGEST_TAG, MOST_TAGS
from apps.evaluation.models import Dataset, DatasetVersion, Upload
from apps.evaluation.selectors.datasets import opinions_on, standing_of
from apps.evaluation.types import Split
from apps.prompts.serializers import JsonObject
from apps.tenants.rest.fields import Choice, Flag, Input, Moment, Output, Text, Texts
from apps.tenants.serializers import SLUG

WHAT_INPUT = 'Values by name, or {"messages": [...]} as in the chat completions API.'


@extend_schema_field({"description": "Any JSON value; null is one."})
class JsonValue(serializers.JSONField):
    def run_validation(self, data: Any = empty) -> Any:
        return None if data is None else super().run_validation(data)


class DatasetOut(Output):
    tenant = serializers.CharField(source="tenant.slug")
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    prompt = serializers.SerializerMethodField(help_text="The id of the prompt that it tests.")
    tags = serializers.ListField(child=serializers.CharField())
    owner = serializers.SerializerMethodField()
    input_schema = serializers.JSONField()
    expected_schema = serializers.JSONField()
    is_archived = serializers.BooleanField()
    created_at = Moment()
    updated_at = Moment()

    def get_prompt(self, row: Dataset) -> str | None:
        return row.prompt.slug if row.prompt else None

    def get_owner(self, row: Dataset) -> str | None:
        return row.owner.email if row.owner else None


class DatasetChanges(Input):
    name = Text(max_length=200, required=False)
    description = Text(max_length=4_000, required=False, allow_blank=True)
    prompt = Text(max_length=50, required=False, allow_null=True, help_text="The id of the prompt that it tests.")
    tags = Texts(most=12, longest=40, required=False)
    input_schema = JsonObject(required=False, help_text="A JSON schema that every input is held to.")
    expected_schema = JsonObject(required=False, help_text="A JSON schema that every expected answer is held to.")


class NewDataset(DatasetChanges):
    tenant = Text(max_length=50)
    slug = Text(max_length=50, help_text=SLUG)
    name = Text(max_length=200)


class ExampleOut(Output):
    id = serializers.IntegerField(source="pk")
    key = serializers.CharField()
    revision = serializers.IntegerField(source="current.number")
    input = serializers.JSONField(source="current.input")
    expected = serializers.JSONField(source="current.expected")
    context = serializers.ListField(source="current.context", child=serializers.CharField())  # type: ignore[assignment]
    tags = serializers.ListField(source="current.tags", child=serializers.CharField())
    slice = serializers.CharField(source="current.slice")
    split = serializers.CharField(source="current.split")
    source = serializers.CharField(source="current.source")  # type: ignore[assignment]
    source_ref = serializers.CharField(source="current.source_ref")
    scrub = serializers.CharField(source="current.scrub")
    content_hash = serializers.CharField(source="current.content_hash")
    created_at = Moment(source="current.created_at")


class ExampleChanges(Input):
    """Everything that the example is to say from now on: what is left out is empty."""

    input = JsonObject(help_text=WHAT_INPUT)
    expected = JsonValue(required=False)
    context = serializers.ListField(child=Text(max_length=1_000_000), max_length=100, required=False)  # type: ignore[assignment]
    tags = Texts(most=MOST_TAGS, longest=LONGEST_TAG, required=False)
    slice = Text(max_length=LONGEST_NAME, required=False, allow_blank=True)
    split = Choice(Split.choices, required=False)


class NewExample(ExampleChanges):
    key = Text(max_length=LONGEST_NAME, required=False, help_text="Your own id of it; by default made of the input.")


class SignOffOut(Output):
    is_approval = serializers.BooleanField()
    note = serializers.CharField()
    user = serializers.CharField(source="user_label")
    created_at = Moment()


class VersionOfDatasetOut(Output):
    number = serializers.IntegerField()
    message = serializers.CharField()
    manifest_hash = serializers.CharField()
    size = serializers.IntegerField()
    slices = serializers.DictField(child=serializers.IntegerField())
    splits = serializers.DictField(child=serializers.IntegerField())
    leaks = serializers.ListField(
        child=serializers.DictField(), help_text="Examples whose text stood in the prompt when this was frozen."
    )
    standing = serializers.SerializerMethodField(help_text="signed, objected or open.")
    sign_offs = serializers.SerializerMethodField(help_text="The last word of each who said one.")
    created_by = serializers.SerializerMethodField()
    created_at = Moment()

    def get_standing(self, row: DatasetVersion) -> str:
        return standing_of(row)

    @extend_schema_field(SignOffOut(many=True))
    def get_sign_offs(self, row: DatasetVersion) -> Any:
        return SignOffOut(opinions_on(row), many=True).data

    def get_created_by(self, row: DatasetVersion) -> str | None:
        return row.created_by.email if row.created_by else None


class FrozenVersionOut(VersionOfDatasetOut):
    created = serializers.BooleanField(help_text="False: a version of exactly these rows was there already.")


class NewDatasetVersion(Input):
    message = Text(max_length=300, required=False, allow_blank=True, help_text="What changed, and why.")


class NewSignOff(Input):
    is_approval = Flag(help_text="False is an objection, which needs a note.")
    note = Text(max_length=1_000, required=False, allow_blank=True)


class ChangesOut(Output):
    """Keys of examples, at most a thousand of each."""

    before = serializers.IntegerField(allow_null=True, help_text="The version compared with.")
    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())
    changed = serializers.ListField(child=serializers.CharField())
    total = serializers.IntegerField()


class UploadError(Output):
    line = serializers.IntegerField()
    column = serializers.CharField()
    reason = serializers.CharField()


class UploadOut(Output):
    id = serializers.IntegerField(source="pk")
    file_name = serializers.CharField()
    format = serializers.CharField()
    size = serializers.IntegerField()
    status = serializers.CharField(help_text="received, ready, importing, done, failed or cancelled.")
    columns = serializers.ListField(child=serializers.CharField())
    mapping = serializers.DictField(child=serializers.CharField(allow_blank=True), help_text="The part of each column.")
    bytes_read = serializers.IntegerField()
    rows_total = serializers.IntegerField(allow_null=True)
    rows_read = serializers.IntegerField()
    rows_added = serializers.IntegerField()
    rows_changed = serializers.IntegerField()
    rows_same = serializers.IntegerField()
    rows_refused = serializers.IntegerField()
    errors = UploadError(many=True, help_text="The first hundred.")  # type: ignore[assignment]
    error = serializers.CharField(help_text="Why the whole file was refused.")
    created_by = serializers.SerializerMethodField()
    created_at = Moment()
    finished_at = Moment(allow_null=True)

    def get_created_by(self, row: Upload) -> str | None:
        return row.created_by.email if row.created_by else None


class NewUpload(Input):
    file = serializers.FileField(help_text="CSV, TSV, JSON Lines or Parquet, by its name's ending.")


class NewImport(Input):
    mapping = serializers.DictField(
        child=serializers.CharField(max_length=80, allow_blank=True),
        required=False,
        help_text="The part of each column: input, input:NAME, messages, expected, context, tags, slice, split, key. By"
        " default as guessed.",
    )
