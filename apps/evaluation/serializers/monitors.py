"""The shapes of monitors and their checks at the management API."""

from __future__ import annotations

from rest_framework import serializers

from apps.evaluation.models import Monitor, MonitorCheck
from apps.evaluation.serializers.gates import Number
from apps.evaluation.serializers.runs import AnyJson
from apps.evaluation.types import AlertChannel, AlertStatus, Baseline, CheckVerdict, ControlChart
from apps.tenants.rest.fields import Choice, Flag, Input, Moment, Output, Text, Texts, Whole
from apps.tenants.serializers import SLUG
from apps.tenants.types import Environment


class MonitorOut(Output):
    tenant = serializers.CharField(source="tenant.slug")
    slug = serializers.CharField()
    name = serializers.CharField()
    project = serializers.CharField(source="project.slug")
    prompt = serializers.CharField(source="prompt.slug", default=None, allow_null=True)
    environment = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    model = serializers.CharField(help_text="A model's or a route's name; empty where a prompt is watched.")
    scorers = serializers.SerializerMethodField()
    window_minutes = serializers.IntegerField()
    sample_size = serializers.IntegerField()
    minimum_sample = serializers.IntegerField()
    baseline = serializers.ChoiceField(Baseline.choices)
    baseline_since = Moment(allow_null=True)
    baseline_until = Moment(allow_null=True)
    chart = serializers.ChoiceField(ControlChart.choices)
    sigmas = serializers.FloatField()
    recipients = serializers.SerializerMethodField()
    webhook_url = serializers.CharField()
    rolls_back = serializers.BooleanField()
    is_paused = serializers.BooleanField()
    next_at = Moment(help_text="When the window that is open now can be checked.")
    created_at = Moment()

    def get_scorers(self, row: Monitor) -> list[str]:
        return [each.slug for each in row.scorers.all()]

    def get_recipients(self, row: Monitor) -> list[str]:
        return [each.email for each in row.recipients.all()]


class MonitorIn(Input):
    """Put as a whole: what is left out is as in a new monitor. It watches a prompt's label, or a model or route."""

    name = Text(max_length=200)
    project = Text(max_length=50, help_text="Judges are called in it, within its budgets.")
    scorers = Texts(most=8, longest=50, help_text="Such as need no expected answer; judges that are calibrated.")
    prompt = Text(max_length=50, required=False)
    environment = Choice(Environment.choices, required=False)
    label = Text(max_length=50, required=False)  # type: ignore[assignment]
    model = Text(max_length=200, required=False)
    window_minutes = Whole(required=False, min_value=15, max_value=1_440, help_text="15, 60, 360 or 1,440.")
    sample_size = Whole(required=False, min_value=5, max_value=1_000)
    minimum_sample = Whole(required=False, min_value=5, max_value=1_000)
    baseline = Choice(Baseline.choices, required=False)
    baseline_since = Moment(required=False)
    baseline_until = Moment(required=False)
    chart = Choice(ControlChart.choices, required=False)
    sigmas = Number(required=False, min_value=1, max_value=6)
    recipients = Texts(most=20, longest=254, required=False, help_text="Members' mail addresses.")
    webhook_url = Text(max_length=500, required=False, allow_blank=True)
    rolls_back = Flag(required=False)


class NewMonitor(MonitorIn):
    tenant = Text(max_length=50)
    slug = Text(max_length=50, required=False, help_text=SLUG)


class WebhookSecret(Output):
    secret = serializers.CharField(help_text="As the Standard Webhooks specification has it.")


class AlertOut(Output):
    id = serializers.IntegerField(source="pk")
    channel = serializers.ChoiceField(AlertChannel.choices)
    address = serializers.CharField()
    status = serializers.ChoiceField(AlertStatus.choices)
    tries = serializers.IntegerField()
    error = serializers.CharField()
    sent_at = Moment(allow_null=True)


class MonitorCheckOut(Output):
    id = serializers.IntegerField(source="pk")
    since = Moment()
    until = Moment()
    verdict = serializers.ChoiceField([*CheckVerdict.choices, ("", "None yet")])
    reasons = serializers.ListField(child=serializers.CharField())
    arms = AnyJson(help_text="How many requests were found and sampled, by the prompt's version.")
    statistics = AnyJson(help_text="Each scorer's figures and limits, by the prompt's version.")
    evaluation = serializers.CharField(source="evaluation.public_id", default=None, allow_null=True)
    rolled_back = serializers.SerializerMethodField()
    alerts = AlertOut(many=True)
    acknowledged_by = serializers.CharField(source="acknowledged_by.email", default=None, allow_null=True)
    acknowledged_at = Moment(allow_null=True)
    decided_at = Moment(allow_null=True)

    def get_rolled_back(self, row: MonitorCheck) -> bool:
        return row.rollback_id is not None
