import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [
        ("gateway", "0001_initial"),
        ("gateway", "0002_initial"),
        ("gateway", "0003_indexes_by_name"),
        ("gateway", "0004_exact_rollups"),
        ("gateway", "0005_routes"),
        ("gateway", "0006_usage_of_every_kind"),
        ("gateway", "0007_stored_responses"),
        ("gateway", "0008_prompts_in_the_log"),
        ("gateway", "0009_request_content"),
        ("gateway", "0010_failed_samples"),
        ("gateway", "0011_route_revisions"),
        ("gateway", "0012_first_revisions"),
    ]

    initial = True

    dependencies = [
        ("prompts", "0001_tables"),
        ("registry", "0001_tables"),
        ("tenants", "0001_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="RequestLog",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("request_id", models.CharField(max_length=32)),
                ("at", models.DateTimeField()),
                ("model_slug", models.CharField(blank=True, max_length=200)),
                ("operation", models.CharField(help_text="For example chat.completions.", max_length=30)),
                ("streamed", models.BooleanField(default=False)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("ok", "OK"),
                            ("denied", "Denied"),
                            ("invalid", "Invalid"),
                            ("upstream_error", "Upstream error"),
                            ("cancelled", "Cancelled"),
                            ("interrupted", "Interrupted"),
                        ],
                        max_length=16,
                    ),
                ),
                ("http_status", models.PositiveSmallIntegerField()),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("input_tokens", models.PositiveBigIntegerField(default=0)),
                ("output_tokens", models.PositiveBigIntegerField(default=0)),
                ("cost_picousd", models.BigIntegerField(default=0)),
                ("duration_ms", models.PositiveIntegerField(default=0)),
                ("first_token_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("why", models.JSONField(default=dict)),
                (
                    "api_key",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.apikey",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.project",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="prompts.prompt",
                    ),
                ),
                ("prompt_version", models.PositiveIntegerField(blank=True, help_text="Its number.", null=True)),
            ],
            options={
                "ordering": ["-at"],
                "indexes": [
                    models.Index(fields=["tenant", "-at"], name="request_tenant_at"),
                    models.Index(fields=["-at"], name="request_at"),
                    models.Index(
                        condition=models.Q(("prompt__isnull", False)),
                        fields=["prompt", "-at"],
                        name="request_prompt_at",
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("request_id",), name="request_unique")],
            },
        ),
        migrations.CreateModel(
            name="UsageRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("attempt_id", models.CharField(max_length=32)),
                ("request_id", models.CharField(max_length=32)),
                ("at", models.DateTimeField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("measured", "Measured"),
                            ("estimated", "Estimated"),
                            ("interrupted", "Interrupted"),
                            ("reconciled", "Reconciled"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("ok", "OK"),
                            ("denied", "Denied"),
                            ("invalid", "Invalid"),
                            ("upstream_error", "Upstream error"),
                            ("cancelled", "Cancelled"),
                            ("interrupted", "Interrupted"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "http_status",
                    models.PositiveSmallIntegerField(help_text="What the upstream answered; 0 when nothing came."),
                ),
                ("streamed", models.BooleanField()),
                ("input_tokens", models.PositiveBigIntegerField(default=0)),
                ("output_tokens", models.PositiveBigIntegerField(default=0)),
                ("cached_tokens", models.PositiveBigIntegerField(default=0)),
                ("cache_write_tokens", models.PositiveBigIntegerField(default=0)),
                ("reasoning_tokens", models.PositiveBigIntegerField(default=0)),
                ("cost_picousd", models.BigIntegerField(default=0)),
                ("duration_ms", models.PositiveIntegerField(default=0)),
                ("first_token_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("upstream_request_id", models.CharField(blank=True, max_length=200)),
                (
                    "api_key",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.apikey",
                    ),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="registry.endpoint",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="registry.model",
                    ),
                ),
                (
                    "price",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="registry.price",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.project",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("audio_input_tokens", models.PositiveBigIntegerField(default=0)),
                ("audio_output_tokens", models.PositiveBigIntegerField(default=0)),
                ("cache_write_1h_tokens", models.PositiveBigIntegerField(default=0)),
                ("image_input_tokens", models.PositiveBigIntegerField(default=0)),
                ("image_output_tokens", models.PositiveBigIntegerField(default=0)),
                ("units", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "ordering": ["-at"],
                "indexes": [
                    models.Index(fields=["tenant", "-at"], name="usage_tenant_at"),
                    models.Index(fields=["request_id"], name="usage_request"),
                ],
                "constraints": [models.UniqueConstraint(fields=("attempt_id",), name="usage_attempt_unique")],
            },
        ),
        migrations.CreateModel(
            name="UsageRollup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("granularity", models.CharField(choices=[("hour", "Hour"), ("day", "Day")], max_length=4)),
                ("bucket", models.DateTimeField(help_text="When the hour, or the tenant's day, began.")),
                ("tenant_id", models.BigIntegerField()),
                ("project_id", models.BigIntegerField()),
                ("api_key_id", models.BigIntegerField(default=0)),
                ("user_id", models.BigIntegerField(default=0)),
                ("model_id", models.BigIntegerField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("measured", "Measured"),
                            ("estimated", "Estimated"),
                            ("interrupted", "Interrupted"),
                            ("reconciled", "Reconciled"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "requests",
                    models.PositiveBigIntegerField(default=0, help_text="Upstream attempts: the records counted here."),
                ),
                (
                    "errors",
                    models.PositiveBigIntegerField(
                        default=0, help_text="Of them, those that failed or were interrupted."
                    ),
                ),
                ("input_tokens", models.PositiveBigIntegerField(default=0)),
                ("output_tokens", models.PositiveBigIntegerField(default=0)),
                ("cached_tokens", models.PositiveBigIntegerField(default=0)),
                ("cache_write_tokens", models.PositiveBigIntegerField(default=0)),
                ("reasoning_tokens", models.PositiveBigIntegerField(default=0)),
                ("cost_picousd", models.BigIntegerField(default=0)),
                ("duration_ms", models.PositiveBigIntegerField(default=0)),
                (
                    "first_token_ms",
                    models.PositiveBigIntegerField(default=0, help_text="Sum over the streams that had a first token."),
                ),
                (
                    "first_tokens",
                    models.PositiveBigIntegerField(default=0, help_text="How many streams had a first token."),
                ),
                ("audio_input_tokens", models.PositiveBigIntegerField(default=0)),
                ("audio_output_tokens", models.PositiveBigIntegerField(default=0)),
                ("cache_write_1h_tokens", models.PositiveBigIntegerField(default=0)),
                ("image_input_tokens", models.PositiveBigIntegerField(default=0)),
                ("image_output_tokens", models.PositiveBigIntegerField(default=0)),
                ("units", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["granularity", "bucket"], name="rollup_bucket")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "granularity",
                            "tenant_id",
                            "bucket",
                            "project_id",
                            "model_id",
                            "api_key_id",
                            "user_id",
                            "status",
                        ),
                        name="rollup_unique",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cost_picousd__gte", -9000000000000000000), ("cost_picousd__lte", 9000000000000000000)
                        ),
                        name="rollup_cost_is_exact",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredResponse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("response_id", models.CharField(max_length=200)),
                ("items", models.TextField(help_text="A JSON list of the input's items and the output's.")),
                ("body", models.TextField(help_text="The response, as JSON.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField(db_index=True)),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.project"
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
                "constraints": [
                    models.UniqueConstraint(fields=("project", "response_id"), name="response_once_in_project")
                ],
            },
        ),
        migrations.CreateModel(
            name="RequestContent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("request_id", models.CharField(max_length=32)),
                ("at", models.DateTimeField()),
                ("model_slug", models.CharField(max_length=200)),
                ("prompt_version", models.PositiveIntegerField(blank=True, help_text="Its number.", null=True)),
                (
                    "label",
                    models.CharField(
                        blank=True, help_text="By which the caller named the prompt's version.", max_length=50
                    ),
                ),
                ("environment", models.CharField(max_length=10)),
                ("messages", models.JSONField()),
                ("answer", models.TextField(blank=True)),
                ("tool_calls", models.JSONField(blank=True, default=list)),
                ("finish_reason", models.CharField(blank=True, max_length=40)),
                ("redactions", models.JSONField(blank=True, default=list, help_text="What was replaced, by kind.")),
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
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="prompts.prompt",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                ("error", models.CharField(blank=True, help_text="The code that its caller was told.", max_length=40)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "at"], name="content_tenant_at"),
                    models.Index(
                        condition=models.Q(("prompt__isnull", False)), fields=["prompt", "at"], name="content_prompt_at"
                    ),
                    models.Index(
                        condition=models.Q(("error", ""), _negated=True), fields=["tenant", "at"], name="content_failed"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("request_id",), name="content_request_unique")],
            },
        ),
        migrations.CreateModel(
            name="Route",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField(db_index=False, help_text="What applications put in model.")),
                ("name", models.CharField(max_length=100)),
                ("description", models.TextField(blank=True)),
                (
                    "strategy",
                    models.CharField(
                        choices=[
                            ("priority", "Priority"),
                            ("weighted", "Weighted"),
                            ("least_busy", "Least busy"),
                            ("latency", "Latency"),
                            ("cost", "Cost"),
                            ("conditions", "Conditions"),
                        ],
                        default="priority",
                        max_length=20,
                    ),
                ),
                (
                    "sticky",
                    models.BooleanField(
                        default=False, help_text="A conversation stays with the target that it began with."
                    ),
                ),
                (
                    "hedge_after_ms",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Ask a second endpoint when the first one is silent for so long.",
                        null=True,
                    ),
                ),
                (
                    "shadow_percent",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Of its requests, how many go to the shadow target, too."
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="routes",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "guard",
                    models.CharField(
                        choices=[
                            ("none", "Nothing: changes are in force at once"),
                            ("advice", "Changes are proposed; people put them in force"),
                            ("gate", "Changes are proposed; their gate puts them in force"),
                        ],
                        default="none",
                        help_text="Set by its evaluation plan.",
                        max_length=10,
                    ),
                ),
            ],
            options={
                "ordering": ["slug"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "slug"), name="route_slug_in_tenant"),
                    models.UniqueConstraint(
                        condition=models.Q(("tenant__isnull", True)), fields=("slug",), name="route_slug_on_platform"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("shadow_percent__lte", 100)), name="route_shadow_percent"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RouteTarget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("normal", "Normal"),
                            ("fallback_context", "When the input is too long"),
                            ("fallback_policy", "When the provider's content policy refuses"),
                            ("shadow", "Shadow (mirrored, never answered from)"),
                        ],
                        default="normal",
                        max_length=20,
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=0, help_text="Lower is tried first.")),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=1, help_text="Its share where targets share; 0: only after the others."
                    ),
                ),
                (
                    "condition",
                    models.CharField(
                        blank=True,
                        help_text="Only for requests of which it holds, for example tokens > 8000.",
                        max_length=1000,
                    ),
                ),
                ("arm", models.SlugField(blank=True, db_index=False, help_text="Its name in an A/B comparison.")),
                (
                    "endpoint",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="registry.endpoint",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="registry.model",
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="targets", to="gateway.route"
                    ),
                ),
            ],
            options={
                "ordering": ["route", "purpose", "position", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("endpoint__isnull", False), ("model__isnull", True)),
                            models.Q(("endpoint__isnull", True), ("model__isnull", False)),
                            _connector="OR",
                        ),
                        name="route_target_is_one",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RouteRevision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                (
                    "strategy",
                    models.CharField(
                        choices=[
                            ("priority", "Priority"),
                            ("weighted", "Weighted"),
                            ("least_busy", "Least busy"),
                            ("latency", "Latency"),
                            ("cost", "Cost"),
                            ("conditions", "Conditions"),
                        ],
                        max_length=20,
                    ),
                ),
                ("sticky", models.BooleanField()),
                ("hedge_after_ms", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "targets",
                    models.JSONField(blank=True, default=list, help_text="Sharing.targets, in the order of positions."),
                ),
                ("message", models.CharField(blank=True, help_text="What changed, and why.", max_length=300)),
                ("author_label", models.CharField(blank=True, max_length=254)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "in_force_at",
                    models.DateTimeField(
                        blank=True, help_text="When it last came in force; empty: never yet.", null=True
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        help_text="What was in force when it was saved.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="gateway.routerevision",
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="revisions", to="gateway.route"
                    ),
                ),
            ],
            options={
                "ordering": ["route", "-number"],
                "constraints": [models.UniqueConstraint(fields=("route", "number"), name="route_revision_number")],
            },
        ),
        migrations.AddField(
            model_name="Route",
            name="proposed",
            field=models.ForeignKey(
                blank=True,
                help_text="The newest that waits to be in force.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="gateway.routerevision",
            ),
        ),
        migrations.AddField(
            model_name="Route",
            name="revision",
            field=models.ForeignKey(
                blank=True,
                help_text="That is in force.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="gateway.routerevision",
            ),
        ),
    ]
