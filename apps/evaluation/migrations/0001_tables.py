import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import apps.evaluation.models.monitors
import apps.evaluation.models.runs


class Migration(migrations.Migration):
    replaces = [
        ("evaluation", "0001_initial"),
        ("evaluation", "0002_datasets"),
        ("evaluation", "0003_running"),
        ("evaluation", "0004_comparisons"),
        ("evaluation", "0005_mlflow_claim"),
        ("evaluation", "0006_monitors"),
        ("evaluation", "0007_acknowledged_checks"),
        ("evaluation", "0008_generated_attacks"),
        ("evaluation", "0009_calibration_sources"),
        ("evaluation", "0010_gate_notices"),
        ("evaluation", "0011_route_gates"),
        ("evaluation", "0012_route_plans_go"),
    ]

    initial = True

    dependencies = [
        ("gateway", "0001_tables"),
        ("prompts", "0001_tables"),
        ("tenants", "0001_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="Dataset",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=200)),
                ("description", models.TextField(blank=True)),
                ("tags", models.JSONField(blank=True, default=list)),
                ("input_schema", models.JSONField(blank=True, default=dict)),
                ("expected_schema", models.JSONField(blank=True, default=dict)),
                ("is_archived", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        blank=True,
                        help_text="What it tests.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="datasets",
                        to="prompts.prompt",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="datasets", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "indexes": [models.Index(fields=["tenant", "-updated_at"], name="dataset_tenant_updated")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "slug"), name="dataset_slug_unique_in_tenant")
                ],
            },
        ),
        migrations.CreateModel(
            name="DatasetVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(1)])),
                ("message", models.CharField(blank=True, max_length=300)),
                ("manifest_hash", models.CharField(max_length=64)),
                ("archive_key", models.CharField(blank=True, max_length=300)),
                ("size", models.PositiveIntegerField(help_text="Examples in it.")),
                ("slices", models.JSONField(blank=True, default=dict, help_text="Examples by slice.")),
                ("splits", models.JSONField(blank=True, default=dict, help_text="Examples by split.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "dataset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="evaluation.dataset"
                    ),
                ),
                (
                    "leaks",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Examples whose text stood in the prompt itself when this was frozen.",
                    ),
                ),
            ],
            options={
                "ordering": ["dataset", "-number"],
                "constraints": [
                    models.UniqueConstraint(fields=("dataset", "number"), name="dataset_version_number_unique"),
                    models.UniqueConstraint(fields=("dataset", "manifest_hash"), name="dataset_version_content_unique"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Evaluation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "public_id",
                    models.CharField(
                        default=apps.evaluation.models.runs.new_public_id, editable=False, max_length=16, unique=True
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("model", models.CharField(max_length=200)),
                (
                    "parameters",
                    models.JSONField(blank=True, default=dict, help_text="Over those of the prompt's version."),
                ),
                (
                    "split",
                    models.CharField(
                        blank=True,
                        choices=[("test", "Test"), ("dev", "Development")],
                        help_text="Empty means all.",
                        max_length=10,
                    ),
                ),
                ("repetitions", models.PositiveSmallIntegerField(default=1)),
                ("seed", models.IntegerField(blank=True, null=True)),
                (
                    "trigger",
                    models.CharField(
                        choices=[
                            ("person", "Started by a person"),
                            ("ci", "Started by the command line or API"),
                            ("version", "Started by a new version"),
                            ("monitor", "Started by a monitor"),
                        ],
                        default="person",
                        max_length=10,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("done", "Done"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=10,
                    ),
                ),
                (
                    "error",
                    models.CharField(blank=True, help_text="Why it failed or waits, for its reader.", max_length=500),
                ),
                ("items_total", models.PositiveIntegerField(default=0)),
                ("estimate_picousd", models.BigIntegerField(blank=True, null=True)),
                (
                    "budget_picousd",
                    models.BigIntegerField(blank=True, help_text="It pauses before it costs more.", null=True),
                ),
                ("spent_picousd", models.BigIntegerField(default=0)),
                ("code_version", models.CharField(blank=True, max_length=64)),
                (
                    "mlflow_status",
                    models.CharField(
                        choices=[("pending", "To be logged"), ("logged", "Logged")], default="pending", max_length=10
                    ),
                ),
                ("mlflow_experiment_id", models.CharField(blank=True, max_length=64)),
                ("mlflow_run_id", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("beat_at", models.DateTimeField(blank=True, help_text="When a worker last held it.", null=True)),
                (
                    "baseline",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="evaluation.evaluation",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "dataset_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="evaluations",
                        to="evaluation.datasetversion",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.project"
                    ),
                ),
                (
                    "prompt_version",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="evaluations",
                        to="prompts.promptversion",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="evaluations", to="tenants.tenant"
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="tenants.apikey",
                    ),
                ),
                ("concurrency", models.PositiveSmallIntegerField(default=16, help_text="Calls at once, at the most.")),
                (
                    "reuses_answers",
                    models.BooleanField(
                        default=True,
                        help_text="Takes an answer that the same call was given before, rather than asking again.",
                    ),
                ),
                ("sweep", models.CharField(blank=True, max_length=16)),
                (
                    "mlflow_claimed_at",
                    models.DateTimeField(blank=True, help_text="When a worker began to log it.", null=True),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [
                    models.Index(fields=["tenant", "-id"], name="evaluation_of_tenant"),
                    models.Index(fields=["status", "beat_at"], name="evaluation_live"),
                    models.Index(fields=["mlflow_status"], name="evaluation_to_log"),
                ],
            },
        ),
        migrations.CreateModel(
            name="EvaluationPlan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "split",
                    models.CharField(
                        blank=True, choices=[("test", "Test"), ("dev", "Development")], default="test", max_length=10
                    ),
                ),
                ("model", models.CharField(blank=True, help_text="Empty means the version's own.", max_length=200)),
                (
                    "environment",
                    models.CharField(
                        blank=True,
                        choices=[("dev", "Development"), ("test", "Test"), ("prod", "Production")],
                        max_length=10,
                    ),
                ),
                ("label", models.SlugField(blank=True)),
                (
                    "policy",
                    models.CharField(
                        choices=[
                            ("automatic", "Released when better"),
                            ("approval", "Released when better and approved"),
                            ("advice", "Only advice"),
                        ],
                        default="approval",
                        max_length=10,
                    ),
                ),
                (
                    "approvals_needed",
                    models.PositiveSmallIntegerField(
                        default=1, validators=[django.core.validators.MaxValueValidator(5)]
                    ),
                ),
                (
                    "canary_percent",
                    models.PositiveSmallIntegerField(
                        default=100,
                        help_text="Share of the first release.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                ("runs_by_itself", models.BooleanField(default=True, help_text="On every new version.")),
                (
                    "repetitions",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(20),
                        ],
                    ),
                ),
                (
                    "alpha",
                    models.FloatField(
                        default=0.05, help_text="The most often that an even version is released, as a share."
                    ),
                ),
                ("minimum_pairs", models.PositiveIntegerField(default=30)),
                (
                    "most_cost_ratio",
                    models.FloatField(blank=True, help_text="The candidate's cost over the baseline's.", null=True),
                ),
                ("most_latency_ratio", models.FloatField(blank=True, null=True)),
                ("budget_picousd", models.BigIntegerField(blank=True, help_text="Of one evaluation.", null=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "dataset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="plans", to="evaluation.dataset"
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.project"
                    ),
                ),
                (
                    "prompt",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="evaluation_plan",
                        to="prompts.prompt",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant"
                    ),
                ),
                (
                    "updated_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "route",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="evaluation_plan",
                        to="gateway.route",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("prompt__isnull", False), ("route__isnull", True)),
                            models.Q(("prompt__isnull", True), ("route__isnull", False)),
                            _connector="OR",
                        ),
                        name="plan_of_one",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="GateDecision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("policy", models.JSONField(default=dict)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("running", "Being evaluated"),
                            ("waiting", "Waiting for approval"),
                            ("released", "Released"),
                            ("stopped", "Stopped"),
                            ("overridden", "Released by override"),
                            ("advised", "Advice given"),
                            ("failed", "Could not be decided"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                (
                    "verdict",
                    models.CharField(
                        blank=True,
                        choices=[("better", "Better"), ("worse", "Worse"), ("inconclusive", "Inconclusive")],
                        max_length=12,
                    ),
                ),
                ("reasons", models.JSONField(blank=True, default=list, help_text="Why, in sentences.")),
                ("evidence", models.JSONField(blank=True, default=dict)),
                ("override_reason", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "baseline",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="evaluation.evaluation",
                    ),
                ),
                (
                    "candidate",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="gate_decision",
                        to="evaluation.evaluation",
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="gate_decisions",
                        to="prompts.prompt",
                    ),
                ),
                (
                    "release",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="gate_decisions",
                        to="prompts.release",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant"
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="gate_decisions",
                        to="prompts.promptversion",
                    ),
                ),
                (
                    "revision",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="gate_decisions",
                        to="gateway.routerevision",
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="gate_decisions",
                        to="gateway.route",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["prompt", "-id"], name="gate_of_prompt")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("prompt__isnull", False),
                                ("revision__isnull", True),
                                ("route__isnull", True),
                                ("version__isnull", False),
                            ),
                            models.Q(
                                ("prompt__isnull", True),
                                ("revision__isnull", False),
                                ("route__isnull", False),
                                ("version__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="gate_about_one",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user_label", models.CharField(max_length=254)),
                ("is_approval", models.BooleanField()),
                ("note", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "decision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approvals",
                        to="evaluation.gatedecision",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [models.UniqueConstraint(fields=("decision", "user"), name="approval_once")],
            },
        ),
        migrations.CreateModel(
            name="Scorer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=200)),
                ("description", models.TextField(blank=True)),
                ("kind", models.CharField(max_length=50)),
                ("is_archived", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="scorers", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "slug"), name="scorer_slug_unique_in_tenant")
                ],
            },
        ),
        migrations.CreateModel(
            name="PlanMetric",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[("primary", "Must improve"), ("guard", "Must not get worse"), ("watch", "Only shown")],
                        max_length=10,
                    ),
                ),
                ("margin", models.FloatField(default=0, validators=[django.core.validators.MinValueValidator(0)])),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="metrics",
                        to="evaluation.evaluationplan",
                    ),
                ),
                (
                    "scorer",
                    models.ForeignKey(
                        help_text="In its newest version.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="evaluation.scorer",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [models.UniqueConstraint(fields=("plan", "scorer"), name="plan_scorer_once")],
            },
        ),
        migrations.CreateModel(
            name="ScorerVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(1)])),
                ("parameters", models.JSONField(blank=True, default=dict)),
                ("fingerprint", models.CharField(max_length=64)),
                (
                    "direction",
                    models.CharField(
                        choices=[("higher", "Higher is better"), ("lower", "Lower is better")], max_length=10
                    ),
                ),
                (
                    "value_kind",
                    models.CharField(
                        choices=[("binary", "Yes or no"), ("ordinal", "On a scale"), ("continuous", "A number")],
                        max_length=12,
                    ),
                ),
                ("low", models.FloatField(blank=True, null=True)),
                ("high", models.FloatField(blank=True, null=True)),
                ("unit", models.CharField(blank=True, max_length=20)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "scorer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="evaluation.scorer"
                    ),
                ),
            ],
            options={
                "ordering": ["scorer", "-number"],
                "constraints": [
                    models.UniqueConstraint(fields=("scorer", "number"), name="scorer_version_number_unique"),
                    models.UniqueConstraint(fields=("scorer", "fingerprint"), name="scorer_version_content_unique"),
                ],
            },
        ),
        migrations.CreateModel(
            name="JudgeCalibration",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "source",
                    models.CharField(
                        help_text="Whose ratings: a dataset's version, or feedback since when.", max_length=300
                    ),
                ),
                ("pairs", models.PositiveIntegerField(default=0)),
                ("kappa", models.FloatField(blank=True, null=True)),
                ("kappa_low", models.FloatField(blank=True, help_text="Of the 95 % interval.", null=True)),
                ("kappa_high", models.FloatField(blank=True, null=True)),
                ("accuracy", models.FloatField(blank=True, null=True)),
                (
                    "baseline_accuracy",
                    models.FloatField(
                        blank=True, help_text="Of always giving the answer that people gave most.", null=True
                    ),
                ),
                ("by_slice", models.JSONField(blank=True, default=dict)),
                ("is_sufficient", models.BooleanField()),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="calibrations",
                        to="evaluation.scorerversion",
                    ),
                ),
                (
                    "sources",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="How many of the ratings came from where: counts by an example's source.",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="EvaluationMetric",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[("primary", "Must improve"), ("guard", "Must not get worse"), ("watch", "Only shown")],
                        default="watch",
                        max_length=10,
                    ),
                ),
                (
                    "margin",
                    models.FloatField(default=0, help_text="How much worse a guard may be, in the scorer's unit."),
                ),
                ("summary", models.JSONField(blank=True, default=dict)),
                (
                    "evaluation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="metrics", to="evaluation.evaluation"
                    ),
                ),
                (
                    "scorer_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="evaluation.scorerversion"
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [models.UniqueConstraint(fields=("evaluation", "scorer_version"), name="metric_once")],
            },
        ),
        migrations.CreateModel(
            name="SignOff",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user_label", models.CharField(max_length=254)),
                ("is_approval", models.BooleanField()),
                ("note", models.CharField(blank=True, max_length=1000)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sign_offs",
                        to="evaluation.datasetversion",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="Upload",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("file_name", models.CharField(max_length=200)),
                (
                    "format",
                    models.CharField(
                        choices=[("csv", "CSV"), ("jsonl", "JSON Lines"), ("parquet", "Parquet")], max_length=10
                    ),
                ),
                ("size", models.PositiveBigIntegerField(help_text="Bytes.")),
                ("archive_key", models.CharField(max_length=300)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("ready", "Ready to import"),
                            ("importing", "Importing"),
                            ("done", "Imported"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="received",
                        max_length=10,
                    ),
                ),
                ("columns", models.JSONField(blank=True, default=list, help_text="As the file has them.")),
                ("preview", models.JSONField(blank=True, default=list, help_text="The first rows.")),
                ("mapping", models.JSONField(blank=True, default=dict, help_text="What each column is for.")),
                ("bytes_read", models.PositiveBigIntegerField(default=0)),
                ("rows_read", models.PositiveIntegerField(default=0)),
                ("rows_added", models.PositiveIntegerField(default=0)),
                ("rows_changed", models.PositiveIntegerField(default=0)),
                ("rows_same", models.PositiveIntegerField(default=0)),
                ("rows_refused", models.PositiveIntegerField(default=0)),
                (
                    "errors",
                    models.JSONField(blank=True, default=list, help_text="The first refused rows: line, column, why."),
                ),
                ("error", models.CharField(blank=True, help_text="Why the whole file was refused.", max_length=500)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "dataset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="uploads", to="evaluation.dataset"
                    ),
                ),
                (
                    "progressed_at",
                    models.DateTimeField(blank=True, help_text="When a worker last wrote how far it is.", null=True),
                ),
                (
                    "rows_total",
                    models.PositiveBigIntegerField(blank=True, help_text="Where the file itself says.", null=True),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="Comparison",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("terms", models.JSONField(default=dict, help_text="What it was weighed by.")),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "Being weighed"), ("done", "Done"), ("failed", "Could not be compared")],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                (
                    "verdict",
                    models.CharField(
                        blank=True,
                        choices=[("better", "Better"), ("worse", "Worse"), ("inconclusive", "Inconclusive")],
                        max_length=12,
                    ),
                ),
                ("evidence", models.JSONField(blank=True, default=dict)),
                (
                    "error",
                    models.CharField(blank=True, help_text="Why there is no evidence, for its reader.", max_length=500),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("weighed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "baseline",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="evaluation.evaluation"
                    ),
                ),
                (
                    "candidate",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="comparisons",
                        to="evaluation.evaluation",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["status"], name="comparison_waiting")],
                "constraints": [models.UniqueConstraint(fields=("baseline", "candidate"), name="comparison_once")],
            },
        ),
        migrations.CreateModel(
            name="Monitor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=200)),
                (
                    "environment",
                    models.CharField(
                        blank=True,
                        choices=[("dev", "Development"), ("test", "Test"), ("prod", "Production")],
                        max_length=10,
                    ),
                ),
                ("label", models.SlugField(blank=True)),
                ("model", models.CharField(blank=True, max_length=200)),
                (
                    "window_minutes",
                    models.PositiveIntegerField(
                        choices=[
                            (15, "Every 15 minutes"),
                            (60, "Every hour"),
                            (360, "Every 6 hours"),
                            (1440, "Every day"),
                        ],
                        default=60,
                    ),
                ),
                (
                    "sample_size",
                    models.PositiveIntegerField(default=50, help_text="Requests of a window that are scored."),
                ),
                ("minimum_sample", models.PositiveIntegerField(default=20)),
                (
                    "baseline",
                    models.CharField(
                        choices=[("period", "A period that was good"), ("release", "The version released before")],
                        default="period",
                        max_length=10,
                    ),
                ),
                ("baseline_since", models.DateTimeField(blank=True, null=True)),
                ("baseline_until", models.DateTimeField(blank=True, null=True)),
                (
                    "chart",
                    models.CharField(
                        choices=[
                            ("shewhart", "Each check by itself (Shewhart)"),
                            ("ewma", "Moving average of the checks (EWMA)"),
                        ],
                        default="shewhart",
                        max_length=10,
                    ),
                ),
                (
                    "sigmas",
                    models.FloatField(
                        default=3.0,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(6),
                        ],
                    ),
                ),
                ("webhook_url", models.CharField(blank=True, max_length=500)),
                (
                    "webhook_nonce",
                    models.CharField(
                        default=apps.evaluation.models.monitors.new_webhook_nonce, editable=False, max_length=16
                    ),
                ),
                ("rolls_back", models.BooleanField(default=False, help_text="A canary that is out of control.")),
                ("is_paused", models.BooleanField(default=False)),
                ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "dataset",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.RESTRICT, related_name="monitor", to="evaluation.dataset"
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.project"
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="monitors",
                        to="prompts.prompt",
                    ),
                ),
                (
                    "recipients",
                    models.ManyToManyField(
                        help_text="Members who are told by mail.", related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("scorers", models.ManyToManyField(related_name="+", to="evaluation.scorer")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="monitors", to="tenants.tenant"
                    ),
                ),
                (
                    "updated_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "indexes": [models.Index(fields=["is_paused", "next_at"], name="monitor_due")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "slug"), name="monitor_slug_unique_in_tenant"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("model", ""), ("prompt__isnull", False)),
                            models.Q(("prompt__isnull", True), models.Q(("model", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="monitor_watches_one_thing",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MonitorCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("check", "Check"), ("baseline", "Baseline")], default="check", max_length=10
                    ),
                ),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("reference", models.CharField(blank=True, max_length=20)),
                ("arms", models.JSONField(blank=True, default=list)),
                (
                    "verdict",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("in", "In control"),
                            ("out", "Out of control"),
                            ("insufficient", "Too few to tell"),
                            ("failed", "Could not be checked"),
                            ("ready", "Ready"),
                        ],
                        max_length=12,
                    ),
                ),
                ("statistics", models.JSONField(blank=True, default=list)),
                ("reasons", models.JSONField(blank=True, default=list)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "baseline",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="evaluation.monitorcheck",
                    ),
                ),
                (
                    "evaluation",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="monitor_check",
                        to="evaluation.evaluation",
                    ),
                ),
                (
                    "monitor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="checks", to="evaluation.monitor"
                    ),
                ),
                (
                    "release",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="prompts.release",
                    ),
                ),
                (
                    "rollback",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="monitor_checks",
                        to="prompts.release",
                    ),
                ),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-until", "-pk"],
                "indexes": [
                    models.Index(fields=["monitor", "kind", "-until"], name="check_of_monitor"),
                    models.Index(condition=models.Q(("verdict", "")), fields=["created_at"], name="check_undecided"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "check")),
                        fields=("monitor", "since", "until"),
                        name="check_once_per_window",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MonitorAlert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel", models.CharField(choices=[("mail", "Mail"), ("webhook", "Webhook")], max_length=10)),
                ("address", models.CharField(help_text="A mail address or a URL.", max_length=500)),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "Being delivered"), ("sent", "Delivered"), ("failed", "Given up")],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("leased_until", models.DateTimeField(blank=True, null=True)),
                ("error", models.CharField(blank=True, help_text="Why the last try failed.", max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                (
                    "monitor_check",
                    models.ForeignKey(
                        db_column="check_id",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alerts",
                        to="evaluation.monitorcheck",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "indexes": [
                    models.Index(condition=models.Q(("status", "waiting")), fields=["next_at"], name="alert_due")
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("monitor_check", "channel", "address"), name="alert_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="GateNotice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "Being delivered"), ("sent", "Delivered"), ("failed", "Given up")],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("leased_until", models.DateTimeField(blank=True, null=True)),
                ("error", models.CharField(blank=True, help_text="Why the last try failed.", max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                (
                    "decision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notices",
                        to="evaluation.gatedecision",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "indexes": [
                    models.Index(condition=models.Q(("status", "waiting")), fields=["next_at"], name="notice_due")
                ],
                "constraints": [models.UniqueConstraint(fields=("decision", "user"), name="notice_once")],
            },
        ),
        migrations.CreateModel(
            name="Example",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=100)),
                (
                    "is_removed",
                    models.BooleanField(default=False, help_text="Left out of the next version; older ones keep it."),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "dataset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="examples", to="evaluation.dataset"
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("dataset", "key"), name="example_key_unique_in_dataset")
                ],
            },
        ),
        migrations.CreateModel(
            name="ExampleRevision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(1)])),
                ("input", models.JSONField()),
                ("expected", models.JSONField(blank=True, null=True)),
                ("context", models.JSONField(blank=True, default=list)),
                ("tags", models.JSONField(blank=True, default=list)),
                ("slice", models.CharField(blank=True, help_text="The segment that it stands for.", max_length=100)),
                (
                    "split",
                    models.CharField(choices=[("test", "Test"), ("dev", "Development")], default="test", max_length=10),
                ),
                ("content_hash", models.CharField(db_index=True, max_length=64)),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("upload", "Uploaded"),
                            ("request", "From a request"),
                            ("feedback", "From feedback"),
                            ("answer", "From the playground"),
                            ("review", "From a review"),
                            ("person", "Written here"),
                            ("attack", "From an attack that got through"),
                            ("template", "Generated attack"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "source_ref",
                    models.CharField(blank=True, help_text="A request's id, a file and line, …", max_length=200),
                ),
                (
                    "scrub",
                    models.CharField(
                        choices=[
                            ("not_needed", "Not needed"),
                            ("pending", "To be checked"),
                            ("clean", "Nothing found"),
                            ("redacted", "Redacted"),
                        ],
                        default="not_needed",
                        max_length=12,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "example",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="revisions", to="evaluation.example"
                    ),
                ),
                ("text", models.TextField(blank=True, help_text="Its beginning as plain text, to be searched.")),
            ],
            options={
                "ordering": ["example", "-number"],
                "constraints": [models.UniqueConstraint(fields=("example", "number"), name="revision_number_unique")],
            },
        ),
        migrations.CreateModel(
            name="EvaluationItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("repetition", models.PositiveSmallIntegerField(default=0)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Waiting"),
                            ("done", "Done"),
                            ("error", "Error"),
                            ("skipped", "Not needed"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("leased_until", models.DateTimeField(blank=True, null=True)),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("call_hash", models.CharField(blank=True, max_length=64)),
                ("is_reused", models.BooleanField(default=False)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("output", models.TextField(blank=True)),
                ("tool_calls", models.JSONField(blank=True, default=list)),
                ("finish_reason", models.CharField(blank=True, max_length=40)),
                ("duration_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("first_token_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("input_tokens", models.PositiveIntegerField(default=0)),
                ("output_tokens", models.PositiveIntegerField(default=0)),
                ("cost_picousd", models.BigIntegerField(default=0)),
                ("error_code", models.CharField(blank=True, max_length=60)),
                ("error", models.CharField(blank=True, max_length=500)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "evaluation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="items", to="evaluation.evaluation"
                    ),
                ),
                (
                    "revision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="evaluation.examplerevision"
                    ),
                ),
                ("leased_by", models.CharField(blank=True, max_length=32)),
                (
                    "saved_picousd",
                    models.BigIntegerField(default=0, help_text="What the answer had cost that was taken again."),
                ),
            ],
            options={
                "ordering": ["position", "repetition"],
                "indexes": [
                    models.Index(fields=["evaluation", "status", "position"], name="item_of_run"),
                    models.Index(condition=models.Q(("status", "done")), fields=["call_hash"], name="item_by_call"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("evaluation", "revision", "repetition"), name="item_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="InboxItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("upload", "Uploaded"),
                            ("request", "From a request"),
                            ("feedback", "From feedback"),
                            ("answer", "From the playground"),
                            ("review", "From a review"),
                            ("person", "Written here"),
                            ("attack", "From an attack that got through"),
                            ("template", "Generated attack"),
                        ],
                        max_length=10,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=200)),
                ("input", models.JSONField()),
                ("output", models.TextField(blank=True, help_text="What was answered.")),
                (
                    "expected",
                    models.JSONField(blank=True, help_text="What should have been answered, where known.", null=True),
                ),
                ("reasons", models.JSONField(blank=True, default=list)),
                ("note", models.CharField(blank=True, max_length=1000)),
                ("cluster", models.CharField(blank=True, help_text="Words that items like it share.", max_length=100)),
                ("content_hash", models.CharField(max_length=64)),
                (
                    "scrub",
                    models.CharField(
                        choices=[
                            ("not_needed", "Not needed"),
                            ("pending", "To be checked"),
                            ("clean", "Nothing found"),
                            ("redacted", "Redacted"),
                        ],
                        default="pending",
                        max_length=12,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("accepted", "Accepted"), ("dismissed", "Dismissed")],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "example",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="evaluation.example",
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="prompts.prompt",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant"
                    ),
                ),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("redactions", models.JSONField(blank=True, default=list, help_text="What was replaced, by kind.")),
                ("sorted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "warnings",
                    models.JSONField(
                        blank=True, default=list, help_text="Duplicates in datasets, and text of the prompt."
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["tenant", "status", "-id"], name="inbox_open")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("source_ref", ""), _negated=True),
                        fields=("tenant", "source", "source_ref"),
                        name="inbox_source_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Score",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(choices=[("ok", "Scored"), ("error", "Error")], default="ok", max_length=5),
                ),
                ("value", models.FloatField(blank=True, null=True)),
                ("label", models.CharField(blank=True, max_length=100)),
                ("reason", models.TextField(blank=True)),
                ("error_code", models.CharField(blank=True, max_length=60)),
                ("details", models.JSONField(blank=True, default=dict)),
                ("cost_picousd", models.BigIntegerField(default=0)),
                (
                    "item",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="scores",
                        to="evaluation.evaluationitem",
                    ),
                ),
                (
                    "scorer_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="evaluation.scorerversion"
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("item", "scorer_version"), name="score_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "ok"), ("value__isnull", False)),
                            models.Q(("status", "error"), ("value__isnull", True)),
                            _connector="OR",
                        ),
                        name="score_value_or_error",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="VersionExample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                (
                    "revision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="memberships",
                        to="evaluation.examplerevision",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="members",
                        to="evaluation.datasetversion",
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
                "constraints": [
                    models.UniqueConstraint(fields=("version", "position"), name="version_position_unique"),
                    models.UniqueConstraint(fields=("version", "revision"), name="version_revision_unique"),
                ],
            },
        ),
        migrations.AddField(
            model_name="Example",
            name="current",
            field=models.ForeignKey(
                blank=True,
                help_text="Its newest revision.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="evaluation.examplerevision",
            ),
        ),
    ]
