"""The shapes of plans, gates and comparisons at the management API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.evaluation.models import Comparison, EvaluationPlan, GateDecision, PlanMetric
from apps.evaluation.scorers.suites import CHOICES
from apps.evaluation.selectors.gates import progress_of
from apps.evaluation.services.gates import unfit_judge_of
from apps.evaluation.types import ComparisonStatus, GateStatus, MetricRole, ReleasePolicy, Split, Verdict
from apps.prompts.serializers import JsonObject
from apps.tenants.rest.fields import Choice, Flag, Input, Moment, Output, Text, Texts, Usd, Whole
from apps.tenants.types import Environment

_OPEN_SPLIT = [*Split.choices, ("", "All")]
_VERDICTS = [*Verdict.choices, ("", "None yet")]


@extend_schema_field({"type": "number"})
class Number(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class MetricIn(Input):
    scorer = Text(max_length=50, help_text="The scorer's short name.")
    role = Choice(MetricRole.choices, required=False, help_text="By default primary: it must improve.")
    margin = Number(required=False, min_value=0, help_text="Of a guard: how much worse, in the scorer's unit.")


class PlannedMetricOut(Output):
    scorer = serializers.CharField(source="scorer.slug")
    role = serializers.ChoiceField(MetricRole.choices)
    margin = serializers.FloatField()


class PlanOut(Output):
    dataset = serializers.CharField(source="dataset.slug")
    split = serializers.ChoiceField(_OPEN_SPLIT)
    project = serializers.CharField(source="project.slug")
    model = serializers.CharField(help_text="Empty: the version's own.")
    environment = serializers.ChoiceField([*Environment.choices, ("", "None: of a route")])
    label = serializers.CharField()  # type: ignore[assignment]
    policy = serializers.ChoiceField(ReleasePolicy.choices)
    approvals_needed = serializers.IntegerField()
    approvers = serializers.SerializerMethodField(help_text="Their e-mail addresses; empty: all whose role may.")
    canary_percent = serializers.IntegerField()
    runs_by_itself = serializers.BooleanField()
    repetitions = serializers.IntegerField()
    alpha = serializers.FloatField()
    minimum_pairs = serializers.IntegerField()
    most_cost_ratio = serializers.FloatField(allow_null=True)
    most_latency_ratio = serializers.FloatField(allow_null=True)
    budget_usd = Usd(source="budget_picousd", allow_null=True)
    metrics = serializers.SerializerMethodField()
    updated_at = Moment()

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_approvers(self, row: EvaluationPlan) -> list[str]:
        return sorted(row.approvers.values_list("email", flat=True))

    @extend_schema_field(PlannedMetricOut(many=True))
    def get_metrics(self, row: EvaluationPlan) -> Any:
        rows = PlanMetric.objects.unscoped("of a plan that the actor reached").filter(plan=row).select_related("scorer")
        return PlannedMetricOut(rows.order_by("pk"), many=True).data


class PlanIn(Input):
    """Put as a whole: what is left out is as in a new plan."""

    dataset = Text(max_length=50)
    project = Text(max_length=50, help_text="Calls are made in it, within its budgets.")
    metrics = MetricIn(many=True)
    split = Choice(_OPEN_SPLIT, required=False)
    model = Text(max_length=200, required=False, allow_blank=True)
    environment = Choice(Environment.choices, required=False)
    label = Text(max_length=50, required=False)  # type: ignore[assignment]
    policy = Choice(ReleasePolicy.choices, required=False)
    approvals_needed = Whole(required=False, min_value=1, max_value=5)
    approvers = Texts(
        most=50,
        longest=254,
        required=False,
        help_text="E-mail addresses of members whose role may approve; by default all. Never a version's author.",
    )
    canary_percent = Whole(required=False, min_value=1, max_value=100)
    runs_by_itself = Flag(required=False)
    repetitions = Whole(required=False, min_value=1, max_value=20)
    alpha = Number(required=False, min_value=0.0001, max_value=0.4)
    minimum_pairs = Whole(required=False, min_value=2, max_value=1_000_000)
    most_cost_ratio = Number(required=False, allow_null=True, min_value=0.01, max_value=1000)
    most_latency_ratio = Number(required=False, allow_null=True, min_value=0.01, max_value=1000)
    budget_usd = Usd(source="budget_picousd", required=False, allow_null=True)


class NewGate(Input):
    """By the plan. A prompt's version with ``dataset`` or ``suite`` is a question of its own: advice that releases
    nothing."""

    tenant = Text(max_length=50, required=False, help_text="With prompt.")
    prompt = Text(max_length=50, required=False)
    version = Whole(min_value=1, max_value=2**31 - 1, required=False, help_text="With prompt.")
    route = Whole(min_value=1, max_value=2**63 - 1, required=False, help_text="In the place of a prompt: its id.")
    revision = Whole(min_value=1, max_value=2**31 - 1, required=False, help_text="With route.")
    dataset = Text(max_length=50, required=False, help_text="With suite, by default the plan's.")
    scorers = Texts(most=12, longest=50, required=False, help_text="With dataset or suite: each must improve.")
    suite = Choice(CHOICES, required=False, help_text="A set of scorers: its accuracy must improve, the rest is shown.")
    project = Text(max_length=50, required=False, help_text="With dataset or suite; by default the key's.")
    model = Text(max_length=200, required=False, allow_blank=True)
    split = Choice(_OPEN_SPLIT, required=False)
    environment = Choice(Environment.choices, required=False)
    label = Text(max_length=50, required=False)  # type: ignore[assignment]
    repetitions = Whole(required=False, min_value=1, max_value=20)
    minimum_pairs = Whole(required=False, min_value=2, max_value=1_000_000)


class ApprovalOut(Output):
    by = serializers.CharField(source="user_label")
    is_approval = serializers.BooleanField()
    note = serializers.CharField()
    created_at = Moment()


class GateOut(Output):
    id = serializers.IntegerField(source="pk")
    tenant = serializers.CharField(source="tenant.slug")
    prompt = serializers.CharField(source="prompt.slug", allow_null=True, default=None, help_text="Or a route.")
    version = serializers.IntegerField(source="version.number", allow_null=True, default=None)
    route = serializers.CharField(source="route.slug", allow_null=True, default=None, help_text="Or a prompt.")
    revision = serializers.IntegerField(source="revision.number", allow_null=True, default=None)
    status = serializers.ChoiceField(GateStatus.choices)
    verdict = serializers.ChoiceField(_VERDICTS)
    reasons = serializers.ListField(child=serializers.CharField(), help_text="Why, in sentences.")
    policy = JsonObject(help_text="The plan as it was when the gate was opened.")
    candidate = serializers.SerializerMethodField(help_text="The version's evaluation.")
    baseline = serializers.SerializerMethodField(help_text="The released version's; null for a first release.")
    release = serializers.SerializerMethodField(help_text="What it released.")
    approvals = ApprovalOut(source="approvals.all", many=True)
    override_reason = serializers.CharField()
    created_at = Moment()
    decided_at = Moment(allow_null=True)

    def get_candidate(self, row: GateDecision) -> str | None:
        return None if row.candidate is None else row.candidate.public_id

    def get_baseline(self, row: GateDecision) -> str | None:
        return None if row.baseline is None else row.baseline.public_id

    def get_release(self, row: GateDecision) -> int | None:
        return row.release_id


class GateDetailOut(GateOut):
    progress = serializers.SerializerMethodField(help_text="Items of both evaluations that are over, and all.")
    evidence = JsonObject(help_text="The statistics as they were: metrics, worst regressions, usage, warnings.")

    @extend_schema_field({"type": "object", "properties": {"done": {"type": "integer"}, "total": {"type": "integer"}}})
    def get_progress(self, row: GateDecision) -> dict[str, int]:
        return progress_of(row)


class GateAnswer(Input):
    note = Text(max_length=500, required=False, allow_blank=True)


class GateOverride(Input):
    reason = Text(max_length=400)


class GateWidening(Input):
    percent = Whole(required=False, min_value=1, max_value=100, help_text="By default all of the calls.")


class NewComparison(Input):
    baseline = Text(max_length=16, help_text="An evaluation's id.")
    candidate = Text(max_length=16)


class ComparisonOut(Output):
    id = serializers.IntegerField(source="pk")
    baseline = serializers.CharField(source="baseline.public_id")
    candidate = serializers.CharField(source="candidate.public_id")
    status = serializers.ChoiceField(ComparisonStatus.choices)
    verdict = serializers.ChoiceField(_VERDICTS)
    error = serializers.CharField()
    evidence = JsonObject()
    unfit_judge = serializers.SerializerMethodField(
        help_text="Why a judge among the metrics that decide is not to be relied on; empty where all are."
    )
    created_at = Moment()

    def get_unfit_judge(self, row: Comparison) -> str:
        return unfit_judge_of(row)
