"""The shapes of usage, requests and routes at the management API. Of these only routes are written."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.gateway.routing.conditions import MAX_LENGTH
from apps.gateway.routing.selectors import model_of
from apps.gateway.selectors import attempts_of
from apps.gateway.services.routes import LONGEST_HEDGE_MS, SHORTEST_HEDGE_MS
from apps.gateway.services.targets import HEAVIEST, LAST_POSITION
from apps.gateway.types import Guard, Outcome, Purpose, RevisionState, Strategy, UsageStatus
from apps.tenants.rest.fields import Choice, Flag, Input, Moment, Output, Text, UsdOut, Whole
from apps.tenants.serializers import PROJECT


class SumsOut(Output):
    """Each kind of token is a part of input or of output."""

    requests = serializers.IntegerField(help_text="Upstream attempts.")
    errors = serializers.IntegerField()  # type: ignore[assignment]
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    cache_write_1h_tokens = serializers.IntegerField(help_text="Of the cache writes: kept for an hour.")
    reasoning_tokens = serializers.IntegerField()
    audio_input_tokens = serializers.IntegerField()
    audio_output_tokens = serializers.IntegerField()
    image_input_tokens = serializers.IntegerField()
    image_output_tokens = serializers.IntegerField()
    units = serializers.IntegerField(help_text="Images, seconds, characters or searches, as the model's kind says.")
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
    cache_write_1h_tokens = serializers.IntegerField(help_text="Of the cache writes: kept for an hour.")
    reasoning_tokens = serializers.IntegerField()
    audio_input_tokens = serializers.IntegerField()
    audio_output_tokens = serializers.IntegerField()
    image_input_tokens = serializers.IntegerField()
    image_output_tokens = serializers.IntegerField()
    units = serializers.IntegerField(help_text="Images, seconds, characters or searches, as the model's kind says.")
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


class TargetOut(Output):
    id = serializers.IntegerField()
    model = serializers.SerializerMethodField(help_text="The name of the model that it serves.")
    endpoint = serializers.IntegerField(source="endpoint_id", allow_null=True, help_text="Null: all of the model's.")
    purpose = serializers.ChoiceField(Purpose.choices)
    position = serializers.IntegerField(help_text="Lower is tried first.")
    weight = serializers.IntegerField()
    condition = serializers.CharField(help_text="Empty: always.")
    arm = serializers.CharField(help_text="Its name in an A/B comparison.")

    def get_model(self, row: Any) -> str:
        return model_of(row).slug


class RouteOut(Output):
    id = serializers.IntegerField()
    slug = serializers.CharField(help_text="What applications put in `model`.")
    tenant = serializers.SerializerMethodField(help_text="Null: the platform's, for everybody.")
    name = serializers.CharField()
    description = serializers.CharField()
    strategy = serializers.ChoiceField(Strategy.choices)
    sticky = serializers.BooleanField(help_text="A conversation stays with the target that it began with.")
    hedge_after_ms = serializers.IntegerField(allow_null=True)
    shadow_percent = serializers.IntegerField()
    is_enabled = serializers.BooleanField()
    targets = serializers.SerializerMethodField(help_text="Null: the platform's, whose staff alone see them.")
    guard = serializers.ChoiceField(Guard.choices, help_text="What a change of its targets has to pass.")
    revision = serializers.SerializerMethodField(help_text="The number of the one in force.")
    proposed = serializers.SerializerMethodField(help_text="Of the newest that waits to be in force; null: none.")
    created_at = Moment()

    def get_revision(self, row: Any) -> int | None:
        return None if row.revision is None else row.revision.number

    def get_proposed(self, row: Any) -> int | None:
        return None if row.proposed is None else row.proposed.number

    def get_tenant(self, row: Any) -> str | None:
        return None if row.tenant is None else str(row.tenant.slug)

    @extend_schema_field(TargetOut(many=True, allow_null=True))
    def get_targets(self, row: Any) -> Any:
        return TargetOut(row.targets.all(), many=True).data if row.shows_targets else None


class NewTarget(Input):
    model = Text(max_length=200, required=False, help_text="A model's name: all of its endpoints.")
    endpoint = Whole(min_value=1, max_value=2**63 - 1, required=False, help_text="Or one endpoint's id (staff).")
    purpose = Choice(Purpose.choices, required=False, help_text="Default normal.")
    position = Whole(min_value=0, max_value=LAST_POSITION, required=False, help_text="Default: as listed.")
    weight = Whole(min_value=0, max_value=HEAVIEST, required=False, help_text="Default 1.")
    condition = Text(max_length=MAX_LENGTH, allow_blank=True, required=False, help_text="As tokens > 8000.")
    arm = Text(max_length=50, allow_blank=True, required=False)


class RouteChanges(Input):
    name = Text(max_length=100, required=False)
    description = Text(max_length=2000, allow_blank=True, required=False)
    strategy = Choice(Strategy.choices, required=False)
    sticky = Flag(required=False)
    hedge_after_ms = Whole(
        min_value=SHORTEST_HEDGE_MS, max_value=LONGEST_HEDGE_MS, allow_null=True, required=False, help_text="Null: off."
    )
    shadow_percent = Whole(min_value=0, max_value=100, required=False)
    is_enabled = Flag(required=False)
    targets = NewTarget(many=True, required=False, help_text="In the place of those there are.")
    message = Text(max_length=300, allow_blank=True, required=False, help_text="What changed, and why.")


class TermsOut(Output):
    """A target of a revision, as it was."""

    to = serializers.CharField(help_text="What it was called.")
    model = serializers.CharField(help_text="The name of the model that it serves.")
    endpoint = serializers.IntegerField(allow_null=True, help_text="Null: all of the model's.")
    purpose = serializers.ChoiceField(Purpose.choices)
    position = serializers.IntegerField()
    weight = serializers.IntegerField()
    condition = serializers.CharField()
    arm = serializers.CharField()


class RevisionOut(Output):
    """How a route shares its requests. It never changes."""

    number = serializers.IntegerField()
    state = serializers.ChoiceField(RevisionState.choices)
    called = serializers.CharField(help_text="What to put in `model` to call it, while the route is guarded.")
    strategy = serializers.ChoiceField(Strategy.choices)
    sticky = serializers.BooleanField()
    hedge_after_ms = serializers.IntegerField(allow_null=True)
    targets = TermsOut(many=True)
    after = serializers.SerializerMethodField(help_text="The number of the one that was in force when it was saved.")
    message = serializers.CharField()
    author = serializers.CharField(source="author_name")
    created_at = Moment()
    in_force_at = Moment(allow_null=True, help_text="When it last came in force; null: never yet.")

    def get_after(self, row: Any) -> int | None:
        return None if row.parent is None else row.parent.number


class NewRevision(Input):
    """What is left out is as in the one in force."""

    targets = NewTarget(many=True, required=False)
    strategy = Choice(Strategy.choices, required=False)
    sticky = Flag(required=False)
    hedge_after_ms = Whole(
        min_value=SHORTEST_HEDGE_MS, max_value=LONGEST_HEDGE_MS, allow_null=True, required=False, help_text="Null: off."
    )
    message = Text(max_length=300, allow_blank=True, required=False, help_text="What changed, and why.")


class Putting(Input):
    reason = Text(max_length=500, allow_blank=True, required=False)


class Simulation(Input):
    """A request that nobody makes. What is left out is as of a plain one."""

    project = Text(max_length=101, help_text=f"{PROJECT} Who would call.")
    key = Text(max_length=20, required=False, help_text="The prefix of a key of the project, where it narrows models.")
    operation = Text(max_length=30, required=False, help_text="Default chat.completions.")
    tokens = Whole(min_value=0, max_value=10**9, required=False, help_text="Of the input, estimated. Default 100.")
    max_tokens = Whole(min_value=1, max_value=10**9, required=False)
    stream = Flag(required=False)
    has_images = Flag(required=False)
    has_tools = Flag(required=False)
    country = Text(max_length=2, required=False, help_text="Of the person, for example DE.")
    at = Moment(required=False, help_text="Default: now.")
    headers = serializers.DictField(child=Text(max_length=200), required=False, help_text='Those that begin with "x-".')
    tags = serializers.DictField(child=Text(max_length=200), required=False)
    conversation = Text(max_length=200, required=False, help_text="For sticky routes.")
    request_id = Text(max_length=32, required=False, help_text="What chance is drawn from. Default: a new one.")


class SimulatedOut(Output):
    endpoint = serializers.CharField()
    model = serializers.CharField()
    arm = serializers.CharField()
    score = serializers.FloatField(help_text="What the strategy compares; the lowest is asked first.")
    price_usd = UsdOut(source="cost_picousd", help_text="The most that it may cost there.")


class LeftOutOut(Output):
    endpoint = serializers.CharField()
    why = serializers.CharField()


class SimulationOut(Output):
    request_id = serializers.CharField()
    strategy = serializers.ChoiceField(Strategy.choices)
    arm = serializers.CharField()
    order = SimulatedOut(many=True, help_text="Asked one after the other, as long as one fails.")
    left_out = LeftOutOut(many=True)
    shadow = serializers.BooleanField(help_text="It would go to the shadow, too.")


class NewRoute(RouteChanges):
    slug = Text(max_length=50, help_text="Lower-case letters, digits and hyphens; no model's name.")
    name = Text(max_length=100)
    tenant = Text(max_length=50, required=False, allow_null=True, help_text="None: the platform's (staff).")
