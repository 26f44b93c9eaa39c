import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import apps.playground.models


class Migration(migrations.Migration):
    replaces = [
        ("playground", "0001_initial"),
        ("playground", "0002_prompts_in_columns"),
        ("playground", "0003_keys_of_runs"),
    ]

    initial = True

    dependencies = [
        ("tenants", "0001_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "public_id",
                    models.CharField(
                        default=apps.playground.models.new_public_id, editable=False, max_length=16, unique=True
                    ),
                ),
                ("title", models.CharField(max_length=200)),
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
                ("columns", models.JSONField(default=list)),
                (
                    "is_blind",
                    models.BooleanField(default=False, help_text="The models' names are hidden until the vote."),
                ),
                ("share_token", models.CharField(blank=True, editable=False, max_length=32, null=True, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(help_text="Of the last turn: retention counts from here.")),
                (
                    "forked_from",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="playground.conversation",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
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
                "ordering": ["-updated_at"],
                "indexes": [
                    models.Index(fields=["tenant", "owner", "-updated_at"], name="conversation_owner"),
                    models.Index(fields=["tenant", "updated_at"], name="conversation_retention"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Turn",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="turns", to="playground.conversation"
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="children",
                        to="playground.turn",
                    ),
                ),
                (
                    "run_key",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="Who asked, and their page's own key of the run.",
                        max_length=90,
                        null=True,
                        unique=True,
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Answer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("column", models.PositiveSmallIntegerField(validators=[django.core.validators.MaxValueValidator(3)])),
                ("step", models.PositiveSmallIntegerField(default=0)),
                ("model_slug", models.CharField(max_length=200)),
                ("settings", models.JSONField(default=dict, help_text="The column as it was run.")),
                ("text", models.TextField(blank=True)),
                ("reasoning", models.TextField(blank=True)),
                ("tool_calls", models.JSONField(blank=True, default=list)),
                (
                    "tool_results",
                    models.JSONField(blank=True, default=dict, help_text="By the call's id, as typed in."),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("done", "Done"),
                            ("stopped", "Stopped"),
                            ("failed", "Failed"),
                            ("interrupted", "Interrupted"),
                        ],
                        default="running",
                        max_length=12,
                    ),
                ),
                ("error", models.JSONField(blank=True, default=dict)),
                (
                    "process",
                    models.CharField(blank=True, help_text="The channel of the process that runs it.", max_length=100),
                ),
                ("request_id", models.CharField(blank=True, max_length=32)),
                ("input_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("output_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                (
                    "cost_picousd",
                    models.BigIntegerField(blank=True, help_text="The ledger's, once it is there.", null=True),
                ),
                ("first_token_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("duration_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "turn",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="answers", to="playground.turn"
                    ),
                ),
                (
                    "prompt_slug",
                    models.CharField(blank=True, help_text="The catalog's prompt that was asked with.", max_length=50),
                ),
                (
                    "prompt_version",
                    models.PositiveIntegerField(blank=True, help_text="The one that the gateway served.", null=True),
                ),
            ],
            options={
                "ordering": ["pk"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "running")), fields=["created_at"], name="answer_running"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("turn", "column", "step"), name="answer_once_per_step")
                ],
            },
        ),
        migrations.CreateModel(
            name="Feedback",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("model_slug", models.CharField(max_length=200)),
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
                ("verdict", models.CharField(choices=[("up", "Good"), ("down", "Bad")], max_length=4)),
                (
                    "reasons",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Of: fabricated, inappropriate, unsafe, wrong, unhelpful, too_long.",
                    ),
                ),
                ("note", models.TextField(blank=True)),
                ("correction", models.TextField(blank=True, help_text="The answer as it should have been.")),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("confirmed", "Confirmed"), ("resolved", "Resolved")],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("triaged_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "answer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="feedback", to="playground.answer"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant"
                    ),
                ),
                (
                    "triaged_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
                "verbose_name_plural": "feedback",
                "ordering": ["-created_at"],
                "indexes": [
                    models.Index(fields=["tenant", "-created_at"], name="feedback_tenant"),
                    models.Index(fields=["model_slug", "-created_at"], name="feedback_model"),
                ],
                "constraints": [models.UniqueConstraint(fields=("answer", "user"), name="feedback_once_per_reader")],
            },
        ),
        migrations.CreateModel(
            name="SavedExample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "public_id",
                    models.CharField(
                        default=apps.playground.models.new_public_id, editable=False, max_length=16, unique=True
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                (
                    "use_case",
                    models.CharField(
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
                ("note", models.TextField(blank=True, help_text="Why it is worth reading.")),
                ("model_slug", models.CharField(max_length=200)),
                ("settings", models.JSONField(default=dict, help_text="The column as it was run.")),
                ("messages", models.JSONField(default=list)),
                ("answer", models.TextField()),
                ("cost_picousd", models.BigIntegerField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="tenants.project",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="playground.answer",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant"
                    ),
                ),
                ("prompt_slug", models.CharField(blank=True, max_length=50)),
                ("prompt_version", models.PositiveIntegerField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-created_at"],
                "indexes": [models.Index(fields=["tenant", "-created_at"], name="example_tenant")],
            },
        ),
        migrations.CreateModel(
            name="ExampleRating",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "stars",
                    models.PositiveSmallIntegerField(
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(5),
                        ]
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "example",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="ratings",
                        to="playground.savedexample",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("example", "user"), name="rating_once_per_reader")],
            },
        ),
        migrations.CreateModel(
            name="Attachment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("media_type", models.CharField(max_length=100)),
                ("size", models.PositiveIntegerField(help_text="In bytes, decoded.")),
                ("content", models.TextField()),
                (
                    "turn",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="attachments", to="playground.turn"
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Vote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("model_a", models.CharField(max_length=200)),
                ("model_b", models.CharField(max_length=200)),
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
                (
                    "winner",
                    models.CharField(
                        choices=[
                            ("a", "A is better"),
                            ("b", "B is better"),
                            ("tie", "Tie"),
                            ("both_bad", "Both are bad"),
                        ],
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "answer_a",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="playground.answer"
                    ),
                ),
                (
                    "answer_b",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="playground.answer"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant"
                    ),
                ),
                (
                    "turn",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="votes", to="playground.turn"
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
                "ordering": ["-created_at"],
                "indexes": [models.Index(fields=["tenant", "-created_at"], name="vote_tenant")],
                "constraints": [models.UniqueConstraint(fields=("turn", "user"), name="vote_once_per_turn")],
            },
        ),
    ]
