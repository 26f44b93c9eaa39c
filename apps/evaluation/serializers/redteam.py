"""Red-team runs at the management API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.evaluation.redteam import Category, Severity, Size
from apps.evaluation.selectors.redteam import CategoryTally, Report, Tally, Verdict
from apps.evaluation.services.redteam import MOST_SEED
from apps.tenants.rest.fields import Choice, Input, Output, Text, Texts, Usd, Whole


class NewRedTeam(Input):
    tenant = Text(max_length=50)
    project = Text(max_length=50, required=False, help_text="By default the key's.")
    prompt = Text(max_length=50, required=False, help_text="Left out: the model alone.")
    prompt_version = Whole(required=False, min_value=1, help_text="By default the newest.")
    model = Text(max_length=200, required=False, help_text="A model's or a route's. By default the prompt's own.")
    categories = Texts(
        most=len(Category), longest=40, required=False, help_text=f"Of {', '.join(Category)}; by default all of them."
    )
    size = Choice(Size.choices, required=False, help_text="How many of each category: 6, 16 or 40. By default 16.")
    seed = Whole(required=False, min_value=0, max_value=MOST_SEED, help_text="By default 1.")
    budget_usd = Usd(required=False, help_text="It pauses before it costs more.")
    name = Text(max_length=200, required=False)


class TallyOut(Output):
    name = serializers.CharField()
    attacks = serializers.IntegerField()
    judged = serializers.IntegerField(help_text="With a verdict.")
    successes = serializers.IntegerField(help_text="That got through.")
    rate = serializers.FloatField(allow_null=True, help_text="Of those with a verdict.")
    low = serializers.SerializerMethodField(help_text="Of the rate's 95 % interval.")
    high = serializers.SerializerMethodField()

    def get_low(self, row: Tally) -> float | None:
        return row.interval[0] if row.interval is not None else None

    def get_high(self, row: Tally) -> float | None:
        return row.interval[1] if row.interval is not None else None


class CategoryOut(Output):
    category = serializers.ChoiceField(Category.choices)
    all = TallyOut()
    by_severity = serializers.SerializerMethodField(help_text="The worst severity first.")
    before = TallyOut(allow_null=True, help_text="Of the run before of the same suite on the same target.")

    @extend_schema_field(TallyOut(many=True))
    def get_by_severity(self, row: CategoryTally) -> Any:
        return TallyOut(row.by_severity, many=True).data


class FindingOut(Output):
    key = serializers.CharField()
    category = serializers.ChoiceField(Category.choices)
    severity = serializers.ChoiceField(Severity.choices)
    technique = serializers.CharField()
    item = serializers.IntegerField(source="item_id")


class ReportOut(Output):
    all = TallyOut(source="whole")
    categories = CategoryOut(many=True, help_text="What gets through most comes first.")
    techniques = TallyOut(many=True)
    findings = serializers.SerializerMethodField(help_text="The attacks that got through, the worst first.")
    before = serializers.SerializerMethodField(help_text="The run that this one is compared with.")

    @extend_schema_field(FindingOut(many=True))
    def get_findings(self, row: Report) -> Any:
        findings: list[Verdict] = row.findings
        return FindingOut(findings, many=True).data

    def get_before(self, row: Report) -> str | None:
        return row.before.run.public_id if row.before is not None else None


class NewFindings(Input):
    keys = Texts(most=1_000, longest=100, required=False, help_text="Of findings. By default all of them.")


class FindingsOut(Output):
    dataset = serializers.CharField(source="dataset.slug")
    new = serializers.IntegerField()
    known = serializers.IntegerField(help_text="That the dataset had already.")
