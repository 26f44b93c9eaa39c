"""Gates: how a prompt's new versions and a route's new revisions are judged, and every decision with its evidence, for
good."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from apps.evaluation.models.datasets import Dataset
from apps.evaluation.models.deliveries import Delivery
from apps.evaluation.models.runs import Evaluation
from apps.evaluation.models.scorers import Scorer
from apps.evaluation.types import GateStatus, MetricRole, ReleasePolicy, Split, Verdict
from apps.gateway.models import Route, RouteRevision
from apps.prompts.models import Prompt, PromptVersion, Release
from apps.tenants.models import Project, Tenant, User
from apps.tenants.scoping import TenantScopedManager
from apps.tenants.types import Environment


class EvaluationPlan(models.Model):
    """What happens to a prompt's new version: it is evaluated in ``project`` on the newest version of ``dataset``
    beside the version that ``label`` means in ``environment``, and released as ``policy`` says. A route's revision is
    evaluated beside the one in force; it has neither label nor environment, and is a model of its own."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    prompt = models.OneToOneField(
        Prompt, null=True, blank=True, on_delete=models.CASCADE, related_name="evaluation_plan"
    )
    route = models.OneToOneField(Route, null=True, blank=True, on_delete=models.CASCADE, related_name="evaluation_plan")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="plans")
    split = models.CharField(max_length=10, choices=Split.choices, blank=True, default=Split.TEST)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=200, blank=True, help_text="Empty means the version's own.")
    environment = models.CharField(max_length=10, choices=Environment.choices, blank=True)
    label = models.SlugField(max_length=50, blank=True)
    policy = models.CharField(max_length=10, choices=ReleasePolicy.choices, default=ReleasePolicy.APPROVAL)
    approvals_needed = models.PositiveSmallIntegerField(default=1, validators=[MaxValueValidator(5)])
    approvers = models.ManyToManyField(
        User, blank=True, related_name="+", help_text="Who approves; empty means all whose role may."
    )
    canary_percent = models.PositiveSmallIntegerField(
        default=100, validators=[MinValueValidator(1), MaxValueValidator(100)], help_text="Share of the first release."
    )
    runs_by_itself = models.BooleanField(default=True, help_text="On every new version.")
    repetitions = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(20)])
    alpha = models.FloatField(default=0.05, help_text="The most often that an even version is released, as a share.")
    minimum_pairs = models.PositiveIntegerField(default=30)
    most_cost_ratio = models.FloatField(null=True, blank=True, help_text="The candidate's cost over the baseline's.")
    most_latency_ratio = models.FloatField(null=True, blank=True)
    budget_picousd = models.BigIntegerField(null=True, blank=True, help_text="Of one evaluation.")
    updated_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantScopedManager(view="evaluation.view")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(prompt__isnull=False, route__isnull=True)
                | models.Q(prompt__isnull=True, route__isnull=False),
                name="plan_of_one",
            )
        ]

    def __str__(self) -> str:
        return f"plan of {self.owner}"

    @property
    def owner(self) -> Prompt | Route:
        """Whose new versions, or revisions, it is about."""
        found = self.prompt or self.route
        assert found is not None  # a constraint of the table
        return found


class PlanMetric(models.Model):
    plan = models.ForeignKey(EvaluationPlan, on_delete=models.CASCADE, related_name="metrics")
    scorer = models.ForeignKey(Scorer, on_delete=models.PROTECT, related_name="+", help_text="In its newest version.")
    role = models.CharField(max_length=10, choices=MetricRole.choices)
    margin = models.FloatField(default=0, validators=[MinValueValidator(0)])

    objects = TenantScopedManager(view="evaluation.view", tenant="plan__tenant_id")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["plan", "scorer"], name="plan_scorer_once")]

    def __str__(self) -> str:
        return f"{self.scorer} ({self.role})"


class GateDecision(models.Model):
    """``policy`` is the plan as it was; ``evidence`` the statistics (``statistics.Comparison``) as they were. Without a
    baseline there was nothing to compare with: a first release."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    prompt = models.ForeignKey(Prompt, null=True, blank=True, on_delete=models.CASCADE, related_name="gate_decisions")
    version = models.ForeignKey(
        PromptVersion, null=True, blank=True, on_delete=models.CASCADE, related_name="gate_decisions"
    )
    # A route is not deleted from under its decisions: the gateway refuses it.
    route = models.ForeignKey(Route, null=True, blank=True, on_delete=models.RESTRICT, related_name="gate_decisions")
    revision = models.ForeignKey(
        RouteRevision, null=True, blank=True, on_delete=models.RESTRICT, related_name="gate_decisions"
    )
    candidate = models.OneToOneField(Evaluation, null=True, on_delete=models.SET_NULL, related_name="gate_decision")
    baseline = models.ForeignKey(Evaluation, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    policy = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=GateStatus.choices, default=GateStatus.RUNNING)
    verdict = models.CharField(max_length=12, choices=Verdict.choices, blank=True)
    reasons = models.JSONField(default=list, blank=True, help_text="Why, in sentences.")
    evidence = models.JSONField(default=dict, blank=True)
    release = models.ForeignKey(
        Release, null=True, blank=True, on_delete=models.SET_NULL, related_name="gate_decisions"
    )
    override_reason = models.CharField(max_length=500, blank=True)
    decided_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    objects = TenantScopedManager(view="evaluation.view")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["prompt", "-id"], name="gate_of_prompt")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    prompt__isnull=False, version__isnull=False, route__isnull=True, revision__isnull=True
                )
                | models.Q(prompt__isnull=True, version__isnull=True, route__isnull=False, revision__isnull=False),
                name="gate_about_one",
            )
        ]

    def __str__(self) -> str:
        return f"decision about {self.subject}"

    @property
    def owner(self) -> Prompt | Route:
        found = self.prompt or self.route
        assert found is not None  # a constraint of the table
        return found

    @property
    def subject(self) -> PromptVersion | RouteRevision:
        """What it is about."""
        found = self.version or self.revision
        assert found is not None
        return found

    @property
    def noun(self) -> str:
        return "version" if self.route_id is None else "revision"


class Approval(models.Model):
    """A person's word on a decision that waits for it. Never its author's."""

    decision = models.ForeignKey(GateDecision, on_delete=models.CASCADE, related_name="approvals")
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    user_label = models.CharField(max_length=254)
    is_approval = models.BooleanField()
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="evaluation.view", tenant="decision__tenant_id")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["decision", "user"], name="approval_once")]

    def __str__(self) -> str:
        return f"{'approval' if self.is_approval else 'refusal'} by {self.user_label}"


class GateNotice(Delivery):
    """One for each person who may approve a decision that waits: they are told by mail, once."""

    decision = models.ForeignKey(GateDecision, on_delete=models.CASCADE, related_name="notices")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")

    objects = TenantScopedManager(view="evaluation.view", tenant="decision__tenant_id")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["decision", "user"], name="notice_once")]
        indexes = [models.Index(fields=["next_at"], condition=models.Q(status="waiting"), name="notice_due")]

    def __str__(self) -> str:
        return f"notice to {self.user}"
