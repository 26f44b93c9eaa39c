"""The shapes of usage and of requests at the management API. All of them are only shown."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.gateway.selectors import attempts_of
from apps.gateway.types import Outcome, UsageStatus
from apps.tenants.rest.fields import Moment, Output, UsdOut
from apps.tenants.serializers import PROJECT


class SumsOut(Output):
    """Cached and cache-write tokens are parts of input, reasoning tokens a part of output."""

    requests = serializers.IntegerField(help_text="Upstream attempts.")
    errors = serializers.IntegerField()  # type: ignore[assignment]
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    cost_usd = UsdOut(source="cost_picousd")
    mean_duration_ms = serializers.FloatField(allow_null=True)
    mean_first_token_ms = serializers.FloatField(allow_null=True)


class GroupOut(Output):
    key = serializers.CharField(help_text="The group's id, or its status; 0 for none.")
    label = serializers.CharField()  # type: ignore[assignment]
    sums = SumsOut()


class PointOut(GroupOut):
    bucket = Moment(help_text="When the hour (UTC), or the tenant's day, began.")


class SummaryOut(Output):
    since = Moment()
    until = Moment()
    total = SumsOut()
    groups = GroupOut(many=True, help_text="The dearest first; empty without `group_by`.")


class SeriesOut(Output):
    since = Moment()
    until = Moment()
    points = PointOut(many=True, help_text="In the order of time. Buckets without usage are left out.")


class RequestOut(Output):
    id = serializers.CharField(source="request_id", help_text="As in the header x-lobby-request-id.")
    at = Moment()
    tenant = serializers.SerializerMethodField()
    project = serializers.SerializerMethodField(help_text=PROJECT)
    key = serializers.SerializerMethodField(help_text="The prefix of the API key.")
    user = serializers.SerializerMethodField()
    model = serializers.CharField(source="model_slug")
    operation = serializers.CharField()
    streamed = serializers.BooleanField()
    outcome = serializers.ChoiceField(Outcome.choices)
    http_status = serializers.IntegerField()
    error_code = serializers.CharField()
    attempts = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = UsdOut(source="cost_picousd")
    duration_ms = serializers.IntegerField()
    first_token_ms = serializers.IntegerField(allow_null=True)

    # The log has no database constraints: what it points to may be gone.

    def get_tenant(self, row: Any) -> str | None:
        return row.tenant.slug if row.tenant else None

    def get_project(self, row: Any) -> str | None:
        return f"{row.tenant.slug}/{row.project.slug}" if row.tenant and row.project else None

    def get_key(self, row: Any) -> str | None:
        return row.api_key.prefix if row.api_key else None

    def get_user(self, row: Any) -> str | None:
        return row.user.email if row.user else None


class AttemptOut(Output):
    """One call of an upstream."""

    id = serializers.CharField(source="attempt_id")
    at = Moment()
    model = serializers.SerializerMethodField()
    endpoint = serializers.IntegerField(source="endpoint_id", allow_null=True)
    provider = serializers.SerializerMethodField()
    status = serializers.ChoiceField(UsageStatus.choices, help_text="How its tokens are known.")
    outcome = serializers.ChoiceField(Outcome.choices)
    http_status = serializers.IntegerField(help_text="What the upstream answered; 0 when nothing came.")
    streamed = serializers.BooleanField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    price = serializers.IntegerField(source="price_id", allow_null=True, help_text="The price it was settled at.")
    cost_usd = UsdOut(source="cost_picousd")
    duration_ms = serializers.IntegerField()
    first_token_ms = serializers.IntegerField(allow_null=True)
    upstream_request_id = serializers.CharField()

    def get_model(self, row: Any) -> str | None:
        return row.model.slug if row.model else None

    def get_provider(self, row: Any) -> str | None:
        return row.endpoint.provider.slug if row.endpoint else None


class RequestDetailOut(RequestOut):
    why = serializers.DictField(help_text="The facts behind the answer: key, limits, route, attempts, price, timing.")
    upstream_attempts = serializers.SerializerMethodField()

    @extend_schema_field(AttemptOut(many=True))
    def get_upstream_attempts(self, row: Any) -> list[dict[str, Any]]:
        return list(AttemptOut(attempts_of(row), many=True).data)
