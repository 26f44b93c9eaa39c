import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [("prompts", "0001_initial"), ("prompts", "0002_gate_decision")]

    initial = True

    dependencies = [
        ("tenants", "0001_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="Prompt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=200)),
                ("description", models.TextField(blank=True)),
                (
                    "use_case",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("summarise", "Summarise"),
                            ("draft", "Draft and rewrite"),
                            ("extract", "Extract data"),
                            ("classify", "Classify"),
                            ("answer", "Answer from documents"),
                            ("analyse", "Analyse and reason"),
                            ("translate", "Translate"),
                            ("code", "Write code"),
                            ("converse", "Converse"),
                        ],
                        max_length=20,
                    ),
                ),
                ("tags", models.JSONField(blank=True, default=list)),
                (
                    "is_archived",
                    models.BooleanField(default=False, help_text="Hidden from the list and no longer served."),
                ),
                (
                    "forked_label",
                    models.CharField(
                        blank=True, help_text="Where it was forked from, in words that stay.", max_length=300
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True, help_text="Of the last version or release.")),
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
                        on_delete=django.db.models.deletion.CASCADE, related_name="prompts", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "indexes": [models.Index(fields=["tenant", "-updated_at"], name="prompt_tenant_updated")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "slug"), name="prompt_slug_unique_in_tenant")
                ],
            },
        ),
        migrations.CreateModel(
            name="PromptVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(1)])),
                ("messages", models.JSONField()),
                ("variables", models.JSONField(blank=True, default=dict, help_text="JSON schemas by name.")),
                ("parameters", models.JSONField(blank=True, default=dict)),
                ("tools", models.JSONField(blank=True, default=list)),
                ("output_schema", models.JSONField(blank=True, null=True)),
                (
                    "model",
                    models.CharField(
                        blank=True,
                        help_text="Called where the caller names none.",
                        max_length=200,
                        verbose_name="default model",
                    ),
                ),
                (
                    "includes",
                    models.JSONField(blank=True, default=dict, help_text="Texts of other prompts, as they were."),
                ),
                ("content_hash", models.CharField(max_length=64)),
                ("message", models.CharField(blank=True, help_text="What changed, and why.", max_length=300)),
                ("author_label", models.CharField(blank=True, max_length=254)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
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
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="prompts.promptversion",
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="prompts.prompt"
                    ),
                ),
            ],
            options={
                "ordering": ["prompt", "-number"],
                "constraints": [
                    models.UniqueConstraint(fields=("prompt", "number"), name="version_number_unique"),
                    models.UniqueConstraint(fields=("prompt", "content_hash"), name="version_content_unique"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Publication",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "note",
                    models.CharField(
                        blank=True, help_text="What it is good for, to people who do not know it.", max_length=500
                    ),
                ),
                ("published_at", models.DateTimeField(auto_now_add=True)),
                (
                    "published_by",
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
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="publication",
                        to="prompts.promptversion",
                    ),
                ),
            ],
            options={
                "ordering": ["-published_at"],
            },
        ),
        migrations.CreateModel(
            name="Release",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "environment",
                    models.CharField(
                        choices=[("dev", "Development"), ("test", "Test"), ("prod", "Production")], max_length=10
                    ),
                ),
                ("label", models.SlugField()),
                (
                    "decision",
                    models.CharField(
                        choices=[
                            ("person", "Released by a person"),
                            ("rollback", "Rolled back"),
                            ("withdrawal", "Withdrawn"),
                            ("gate", "Released by its gate"),
                        ],
                        default="person",
                        max_length=20,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("actor_label", models.CharField(max_length=254)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "prompt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="releases", to="prompts.prompt"
                    ),
                ),
                (
                    "released_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "restores",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="prompts.release",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["prompt", "environment", "label", "-id"], name="release_of_label")],
            },
        ),
        migrations.CreateModel(
            name="ReleaseShare",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "weight",
                    models.PositiveSmallIntegerField(
                        default=100,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "release",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="shares", to="prompts.release"
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="shares", to="prompts.promptversion"
                    ),
                ),
            ],
            options={
                "ordering": ["-weight", "pk"],
                "constraints": [models.UniqueConstraint(fields=("release", "version"), name="share_once_per_release")],
            },
        ),
        migrations.AddField(
            model_name="Prompt",
            name="forked_from",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="forks",
                to="prompts.promptversion",
            ),
        ),
        migrations.AddField(
            model_name="release",
            name="versions",
            field=models.ManyToManyField(
                related_name="releases", through="prompts.ReleaseShare", to="prompts.promptversion"
            ),
        ),
    ]
