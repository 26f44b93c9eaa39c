"""Runs, their items and scorers at the management API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.evaluation.models import Evaluation, EvaluationMetric, Scorer
from apps.evaluation.scorers.suites import CHOICES
from apps.evaluation.selectors.runs import progress_of
from apps.evaluation.types import Direction, ItemStatus, MetricRole, RunStatus, ScoreStatus, Split, Trigger, ValueKind
from apps.prompts.serializers import JsonObject
from apps.tenants.rest.fields import Choice, Flag, Input, Moment, Output, Text, Usd, UsdOut, Whole
from apps.tenants.serializers import SLUG


@extend_schema_field({})
class AnyJson(serializers.JSONField):
    """Any JSON value."""


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


class MetricOut(Output):
    scorer = serializers.CharField(source="scorer_version.scorer.slug")
    version = serializers.IntegerField(source="scorer_version.number")
    kind = serializers.CharField(source="scorer_version.scorer.kind")
    direction = serializers.ChoiceField(Direction.choices, source="scorer_version.direction")
    unit = serializers.CharField(source="scorer_version.unit")
    role = serializers.ChoiceField(MetricRole.choices)
    margin = serializers.FloatField()
    mean = serializers.SerializerMethodField()
    low = serializers.SerializerMethodField(help_text="Of the mean's 95 % interval.")
    high = serializers.SerializerMethodField()
    scores = serializers.SerializerMethodField()
    errors = serializers.SerializerMethodField()  # type: ignore[assignment]

    def get_mean(self, row: EvaluationMetric) -> float | None:
        return _number(row.summary.get("mean"))

    def get_low(self, row: EvaluationMetric) -> float | None:
        return _number(row.summary.get("low"))

    def get_high(self, row: EvaluationMetric) -> float | None:
        return _number(row.summary.get("high"))

    def get_scores(self, row: EvaluationMetric) -> int:
        return int(row.summary.get("n", 0))

    def get_errors(self, row: EvaluationMetric) -> int:
        return int(row.summary.get("errors", 0))


class RunOut(Output):
    id = serializers.CharField(source="public_id")
    tenant = serializers.CharField(source="tenant.slug")
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    status = serializers.ChoiceField(RunStatus.choices)
    error = serializers.CharField(help_text="Why it failed, or waits.")
    prompt = serializers.SerializerMethodField()
    prompt_version = serializers.SerializerMethodField()
    model = serializers.CharField()
    parameters = JsonObject()
    dataset = serializers.CharField(source="dataset_version.dataset.slug")
    dataset_version = serializers.IntegerField(source="dataset_version.number")
    split = serializers.CharField()
    repetitions = serializers.IntegerField()
    seed = serializers.IntegerField(allow_null=True)
    trigger = serializers.ChoiceField(Trigger.choices)
    sweep = serializers.CharField(help_text="The runs that were started with it have the same; empty without any.")
    items = serializers.IntegerField(source="items_total")
    estimate_usd = UsdOut(source="estimate_picousd", allow_null=True)
    budget_usd = UsdOut(source="budget_picousd", allow_null=True)
    spent_usd = UsdOut(source="spent_picousd")
    metrics = MetricOut(source="metrics.all", many=True)
    is_logged = serializers.SerializerMethodField(help_text="Whether MLflow has it.")
    created_by = serializers.SerializerMethodField()
    created_at = Moment()
    started_at = Moment(allow_null=True)
    finished_at = Moment(allow_null=True)

    def get_prompt(self, row: Evaluation) -> str | None:
        return row.prompt_version.prompt.slug if row.prompt_version is not None else None

    def get_prompt_version(self, row: Evaluation) -> int | None:
        return row.prompt_version.number if row.prompt_version is not None else None

    def get_is_logged(self, row: Evaluation) -> bool:
        return row.mlflow_status == "logged"

    def get_created_by(self, row: Evaluation) -> str | None:
        return row.created_by.email if row.created_by is not None else None


class ProgressOut(Output):
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]
    skipped = serializers.IntegerField(help_text="Not needed: the verdict was sure before.")
    reused = serializers.IntegerField(help_text="Answers that were taken again.")
    seconds_left = serializers.IntegerField(allow_null=True)


class RunDetailOut(RunOut):
    progress = serializers.SerializerMethodField()

    @extend_schema_field(ProgressOut)
    def get_progress(self, row: Evaluation) -> Any:
        return ProgressOut(progress_of([row])[row.pk]).data


class NewRunMetric(Input):
    scorer = Text(max_length=50)
    version = Whole(required=False, min_value=1, help_text="By default the newest.")
    role = Choice(MetricRole.choices, required=False)
    margin = serializers.FloatField(required=False, min_value=0)


class RunFields(Input):
    tenant = Text(max_length=50)
    project = Text(max_length=50)
    prompt = Text(max_length=50, required=False, help_text="Left out: the model alone.")
    prompt_version = Whole(required=False, min_value=1, help_text="By default the newest.")
    model = Text(max_length=200, required=False, help_text="By default the prompt's own.")
    parameters = JsonObject(required=False, help_text="temperature, max_tokens and the like, over the prompt's.")
    dataset = Text(max_length=50)
    dataset_version = Whole(required=False, min_value=1, help_text="By default the newest.")
    split = Choice(Split.choices, required=False)
    scorers = NewRunMetric(many=True, required=False, help_text="At least one, unless there is a suite.")
    suite = Choice(CHOICES, required=False, help_text="A set of scorers; those that the tenant lacks are set up.")
    repetitions = Whole(required=False, min_value=1, max_value=20)
    seed = Whole(required=False, min_value=0, max_value=2**31 - 1000)
    budget_usd = Usd(required=False, help_text="It pauses before it costs more.")
    reuse = Flag(required=False, help_text="False asks again what was asked before.")
    concurrency = Whole(required=False, min_value=1, max_value=64)
    name = Text(max_length=200, required=False)


class NewRun(RunFields):
    pass


class ResumedRun(Input):
    budget_usd = Usd(source="budget_picousd", required=False, help_text="A new one, where it paused at its old one.")


class NewSweep(RunFields):
    prompt_versions = serializers.ListField(
        child=Whole(min_value=1), required=False, max_length=24, help_text="In the place of prompt_version."
    )
    models = serializers.ListField(
        child=Text(max_length=200), required=False, max_length=24, help_text="In the place of model."
    )
    parameter_values = JsonObject(
        required=False,
        help_text='By a parameter\'s name what to try: `{"temperature": [0, 0.7]}`. At most 24 runs in all.',
    )


class SweepRowOut(Output):
    tried = serializers.ListField(child=serializers.CharField(), help_text="A value for each of the axes.")
    run = RunOut()
    mean_duration_ms = serializers.FloatField(source="duration_ms", allow_null=True)
    mean_first_token_ms = serializers.FloatField(source="first_token_ms", allow_null=True)
    mean_cost_usd = UsdOut(
        source="cost_picousd", allow_null=True, help_text="Of an answer; one taken again, with what it had cost."
    )


class SweepOut(Output):
    id = serializers.CharField()
    axes = serializers.ListField(
        child=serializers.CharField(), help_text="What differs: `prompt`, `model`, or a parameter."
    )
    is_live = serializers.BooleanField(help_text="Whether one of its runs goes on.")
    rows = SweepRowOut(many=True)


class EstimateOut(Output):
    examples = serializers.IntegerField()
    items = serializers.IntegerField()
    calls = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = UsdOut(source="cost_picousd", allow_null=True)
    seconds = serializers.IntegerField()
    is_measured = serializers.BooleanField(help_text="Whether earlier runs are behind it.")


class ScoreOut(Output):
    scorer = serializers.CharField(source="scorer_version.scorer.slug")
    status = serializers.ChoiceField(ScoreStatus.choices)
    value = serializers.FloatField(allow_null=True)
    label = serializers.CharField()  # type: ignore[assignment]
    reason = serializers.CharField()
    error_code = serializers.CharField()


class ItemOut(Output):
    id = serializers.IntegerField(source="pk")
    example = serializers.CharField(source="revision.example.key")
    slice = serializers.CharField(source="revision.slice")
    position = serializers.IntegerField()
    repetition = serializers.IntegerField()
    status = serializers.ChoiceField(ItemStatus.choices)
    input = JsonObject(source="revision.input")
    expected = AnyJson(source="revision.expected", allow_null=True)
    output = serializers.CharField()
    finish_reason = serializers.CharField()
    is_reused = serializers.BooleanField()
    duration_ms = serializers.IntegerField(allow_null=True)
    first_token_ms = serializers.IntegerField(allow_null=True, help_text="Where answers were streamed.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = UsdOut(source="cost_picousd")
    request_id = serializers.CharField()
    error_code = serializers.CharField()
    error = serializers.CharField()
    scores = ScoreOut(source="scores.all", many=True)


class ScorerOut(Output):
    tenant = serializers.CharField(source="tenant.slug")
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    kind = serializers.CharField()
    owner = serializers.SerializerMethodField()
    version = serializers.IntegerField(source="newest", allow_null=True)
    is_archived = serializers.BooleanField()
    created_at = Moment()

    def get_owner(self, row: Scorer) -> str | None:
        return row.owner.email if row.owner is not None else None


class ScorerVersionOut(Output):
    number = serializers.IntegerField()
    parameters = JsonObject()
    fingerprint = serializers.CharField()
    direction = serializers.ChoiceField(Direction.choices)
    value_kind = serializers.ChoiceField(ValueKind.choices)
    unit = serializers.CharField()
    created_at = Moment()


class NewScorer(Input):
    tenant = Text(max_length=50)
    kind = Text(max_length=50, help_text="For example exact-match.")
    slug = Text(max_length=50, required=False, help_text=SLUG)
    name = Text(max_length=200, required=False)
    description = Text(max_length=2_000, required=False, allow_blank=True)
    parameters = JsonObject(required=False)


class ScorerChanges(Input):
    name = Text(max_length=200, required=False)
    description = Text(max_length=2_000, required=False, allow_blank=True)
    parameters = JsonObject(required=False, help_text="Other parameters make a new version.")
