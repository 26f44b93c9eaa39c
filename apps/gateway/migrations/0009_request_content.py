import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0008_prompts_in_the_log"),
        ("prompts", "0001_initial"),
        ("tenants", "0003_project_content"),
    ]

    operations = [
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
                (
                    "redactions",
                    models.JSONField(blank=True, default=list, help_text="What was replaced, by kind."),
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
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "at"], name="content_tenant_at"),
                    models.Index(
                        condition=models.Q(("prompt__isnull", False)), fields=["prompt", "at"], name="content_prompt_at"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("request_id",), name="content_request_unique")],
            },
        ),
    ]
