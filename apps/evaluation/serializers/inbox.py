"""What went wrong elsewhere, as an application offers it to the golden-set inbox."""

from __future__ import annotations

from rest_framework import serializers

from apps.evaluation.serializers.datasets import WHAT_INPUT, JsonValue
from apps.evaluation.types import InboxStatus, Source
from apps.prompts.serializers import JsonObject
from apps.tenants.rest.fields import Choice, Input, Moment, Output, Text, Texts

OFFERED = [(each.value, each.label) for each in (Source.FEEDBACK, Source.REQUEST)]


class NewInboxItem(Input):
    tenant = Text(max_length=50)
    source = Choice(  # type: ignore[assignment]
        OFFERED, help_text="What it is about: what somebody said of an answer, or a request that failed."
    )
    source_ref = Text(
        max_length=200, required=False, help_text="Your own id of it, or the request's: the same one is one item."
    )
    prompt = Text(max_length=50, required=False, help_text="The id of the prompt that was asked.")
    input = JsonObject(help_text=WHAT_INPUT)
    output = Text(max_length=100_000, required=False, allow_blank=True, help_text="What was answered.")
    expected = JsonValue(required=False, help_text="What should have been answered, where known.")
    reasons = Texts(required=False, most=10, longest=40, help_text="In a word each: wrong, unsafe, too long.")
    note = Text(max_length=1_000, required=False, allow_blank=True)


class RedactionOut(Output):
    kind = serializers.CharField()
    times = serializers.IntegerField()


class InboxItemOut(Output):
    id = serializers.IntegerField(source="pk")
    source = serializers.ChoiceField(Source.choices)  # type: ignore[assignment]
    source_ref = serializers.CharField()
    status = serializers.ChoiceField(InboxStatus.choices)
    input = serializers.JSONField(help_text="As it is kept: personal data that has a shape is replaced.")
    redactions = RedactionOut(many=True, help_text="What was replaced, by kind.")
    created_at = Moment()
