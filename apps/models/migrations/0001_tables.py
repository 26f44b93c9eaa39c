import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [
        ("registry", "0001_initial"),
        ("registry", "0002_initial"),
        ("registry", "0003_discovery"),
        ("registry", "0004_licence"),
        ("registry", "0005_provider_settings"),
        ("registry", "0006_prices_of_every_kind"),
    ]

    initial = True

    dependencies = [
        ("tenants", "0001_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="Model",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.CharField(max_length=200, unique=True)),
                ("name", models.CharField(max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("chat", "Chat"),
                            ("embedding", "Embedding"),
                            ("rerank", "Rerank"),
                            ("image", "Image"),
                            ("transcription", "Transcription"),
                            ("speech", "Speech"),
                            ("moderation", "Moderation"),
                        ],
                        default="chat",
                        max_length=20,
                    ),
                ),
                (
                    "publisher",
                    models.CharField(blank=True, help_text="Who made it, for example OpenAI.", max_length=100),
                ),
                ("description", models.TextField(blank=True)),
                ("intended_use", models.TextField(blank=True)),
                ("out_of_scope_use", models.TextField(blank=True, help_text="What it must not be used for.")),
                (
                    "lifecycle",
                    models.CharField(
                        choices=[
                            ("proposed", "Proposed"),
                            ("in_review", "In review"),
                            ("approved", "Approved"),
                            ("deprecated", "Deprecated"),
                            ("retired", "Retired"),
                        ],
                        default="approved",
                        max_length=20,
                    ),
                ),
                ("licence", models.CharField(blank=True, max_length=100)),
                ("context_tokens", models.PositiveIntegerField(blank=True, null=True)),
                ("max_output_tokens", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "capabilities",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Of: streaming, tools, vision, json_schema, reasoning, logprobs.",
                    ),
                ),
                (
                    "is_open",
                    models.BooleanField(default=False, help_text="Every active tenant may call it without a grant."),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "licence_needs_acceptance",
                    models.BooleanField(
                        default=False,
                        help_text="A tenant calls it only once one of its admins has accepted the licence.",
                        verbose_name="licence must be accepted",
                    ),
                ),
                ("licence_url", models.CharField(blank=True, max_length=500, verbose_name="licence's address")),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="AccessGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("licence_accepted_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "granted_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="access_grants",
                        to="tenants.project",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="access_grants", to="tenants.tenant"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="access_grants", to="registry.model"
                    ),
                ),
            ],
            options={
                "ordering": ["tenant__name", "model__name"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "project", "model"), name="grant_once_per_project"),
                    models.UniqueConstraint(
                        condition=models.Q(("project__isnull", True)),
                        fields=("tenant", "model"),
                        name="grant_once_per_tenant",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Provider",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField(unique=True)),
                ("name", models.CharField(max_length=100)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("openai", "OpenAI"),
                            ("azure_openai", "Azure OpenAI"),
                            ("anthropic", "Anthropic"),
                            ("bedrock", "Amazon Bedrock"),
                            ("sagemaker", "Amazon SageMaker"),
                            ("gemini", "Google Gemini"),
                            ("openai_compatible", "OpenAI-compatible server"),
                            ("sandbox", "Sandbox (built in, simulated)"),
                        ],
                        max_length=30,
                    ),
                ),
                (
                    "base_url",
                    models.CharField(
                        blank=True,
                        help_text="For example https://api.openai.com/v1. Empty: the kind's own.",
                        max_length=500,
                        verbose_name="address",
                    ),
                ),
                (
                    "credential_source",
                    models.CharField(
                        choices=[
                            ("none", "None needed"),
                            ("environment", "Environment variable"),
                            ("database", "Encrypted in the database"),
                            ("secretsmanager", "AWS Secrets Manager"),
                            ("aws", "AWS role or profile"),
                        ],
                        default="none",
                        max_length=20,
                    ),
                ),
                (
                    "credential_env",
                    models.CharField(
                        blank=True,
                        help_text="The variable that holds the key.",
                        max_length=100,
                        verbose_name="environment variable",
                    ),
                ),
                ("credential_encrypted", models.TextField(blank=True, editable=False)),
                ("is_enabled", models.BooleanField(default=True)),
                (
                    "from_environment",
                    models.BooleanField(default=False, editable=False, help_text="Registered at start-up."),
                ),
                (
                    "last_seen_at",
                    models.DateTimeField(
                        blank=True, editable=False, help_text="When its list of models was last read.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "auto_discover",
                    models.BooleanField(
                        default=False,
                        help_text="Ask it for its list of models now and then, and register them.",
                        verbose_name="discover models",
                    ),
                ),
                (
                    "last_error",
                    models.CharField(
                        blank=True, editable=False, help_text="Why it could not be read since.", max_length=300
                    ),
                ),
                (
                    "missing_since",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="Since when the environment no longer names it.",
                        null=True,
                    ),
                ),
                (
                    "credential_secret",
                    models.CharField(
                        blank=True,
                        help_text="Its name or ARN in AWS Secrets Manager.",
                        max_length=512,
                        verbose_name="secret",
                    ),
                ),
                (
                    "credential_secret_key",
                    models.CharField(
                        blank=True,
                        help_text="Where the secret is JSON: the key that holds it.",
                        max_length=100,
                        verbose_name="key in the secret",
                    ),
                ),
                (
                    "settings",
                    models.JSONField(
                        blank=True, default=dict, help_text="What its kind needs: a region, an API version."
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Endpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("upstream_model", models.CharField(help_text="The provider's own name of the model.", max_length=300)),
                (
                    "region",
                    models.CharField(blank=True, help_text="Where it runs, for example eu-central-1.", max_length=50),
                ),
                ("priority", models.PositiveIntegerField(default=0, help_text="Lower is tried first.")),
                ("is_enabled", models.BooleanField(default=True)),
                ("connect_timeout_ms", models.PositiveIntegerField(default=5000)),
                ("first_byte_timeout_ms", models.PositiveIntegerField(default=60000)),
                ("idle_timeout_ms", models.PositiveIntegerField(default=60000)),
                ("total_timeout_ms", models.PositiveIntegerField(default=600000)),
                ("settings", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="endpoints", to="registry.model"
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="endpoints", to="registry.provider"
                    ),
                ),
                (
                    "from_discovery",
                    models.BooleanField(default=False, editable=False, help_text="Found in the provider's own list."),
                ),
                (
                    "missing_since",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="Since when the provider no longer lists it; disabled by that.",
                        null=True,
                    ),
                ),
            ],
            options={
                "ordering": ["model__name", "priority", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("model", "provider", "upstream_model", "region"), name="endpoint_unique_in_model"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("effective_from", models.DateTimeField(default=django.utils.timezone.now)),
                ("input_picousd", models.PositiveBigIntegerField(default=0)),
                ("output_picousd", models.PositiveBigIntegerField(default=0)),
                (
                    "cached_input_picousd",
                    models.PositiveBigIntegerField(blank=True, help_text="Empty: as input.", null=True),
                ),
                (
                    "cache_write_picousd",
                    models.PositiveBigIntegerField(blank=True, help_text="Empty: as input.", null=True),
                ),
                (
                    "reasoning_picousd",
                    models.PositiveBigIntegerField(blank=True, help_text="Empty: as output.", null=True),
                ),
                ("request_picousd", models.PositiveBigIntegerField(default=0, help_text="Per request.")),
                ("source", models.CharField(blank=True, help_text="Where the figures come from.", max_length=200)),
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
                    "endpoint",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="prices",
                        to="registry.endpoint",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="prices", to="registry.model"
                    ),
                ),
                (
                    "audio_input_picousd",
                    models.PositiveBigIntegerField(blank=True, help_text="Empty: as input.", null=True),
                ),
                (
                    "audio_output_picousd",
                    models.PositiveBigIntegerField(blank=True, help_text="Empty: as output.", null=True),
                ),
                (
                    "cache_write_1h_picousd",
                    models.PositiveBigIntegerField(blank=True, help_text="Empty: as cache write.", null=True),
                ),
                (
                    "image_input_picousd",
                    models.PositiveBigIntegerField(blank=True, help_text="Empty: as input.", null=True),
                ),
                (
                    "image_output_picousd",
                    models.PositiveBigIntegerField(blank=True, help_text="Empty: as output.", null=True),
                ),
                (
                    "unit",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("image", "Image"),
                            ("second", "Second of sound"),
                            ("character", "Character"),
                            ("search", "Search"),
                        ],
                        help_text="What is sold by the piece.",
                        max_length=10,
                    ),
                ),
                ("unit_picousd", models.PositiveBigIntegerField(default=0, help_text="Per unit.")),
            ],
            options={
                "ordering": ["model__name", "-effective_from"],
                "indexes": [models.Index(fields=["model", "-effective_from"], name="price_model_effective")],
            },
        ),
    ]
