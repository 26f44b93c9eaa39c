"""What people try and say in the playground: conversations (a tree of turns), feedback, votes, shared examples.

A conversation is its owner's alone until they share it. Examples are copies, so that they outlive where they came from.
"""

from __future__ import annotations

import secrets

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from apps.playground.types import MOST_COLUMNS, AnswerStatus, Reason, TriageStatus, UseCase, Verdict, Winner
from apps.prompts.placeholders import written
from apps.tenants.models import Project, Tenant, User
from apps.tenants.scoping import TenantScopedManager


def prompt_label(slug: str, version: int | None) -> str:
    return f"{slug} v{version}" if slug and version else slug


def new_public_id() -> str:
    return secrets.token_urlsafe(12)


def new_share_token() -> str:
    """Longer: whoever has it, and is of the tenant, may read."""
    return secrets.token_urlsafe(24)


class Conversation(models.Model):
    """``columns`` are the settings (``types.Column``) of the next run; in a blind one their order is the server's."""

    public_id = models.CharField(max_length=16, unique=True, default=new_public_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=200)
    use_case = models.CharField(max_length=20, choices=UseCase.choices, blank=True)
    columns = models.JSONField(default=list)
    is_blind = models.BooleanField(default=False, help_text="The models' names are hidden until the vote.")
    share_token = models.CharField(max_length=32, unique=True, null=True, blank=True, editable=False)
    forked_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(help_text="Of the last turn: retention counts from here.")

    objects = TenantScopedManager(view="example.view")

    class Meta:
        ordering = ["-updated_at"]
        indexes = [
            models.Index(fields=["tenant", "owner", "-updated_at"], name="conversation_owner"),
            models.Index(fields=["tenant", "updated_at"], name="conversation_retention"),
        ]

    def __str__(self) -> str:
        # Not the title: it would outlive the conversation in the audit trail.
        return f"conversation {self.public_id}"

    @property
    def is_shared(self) -> bool:
        return self.share_token is not None


class Turn(models.Model):
    """What was asked, after ``parent``. Two turns of one parent are branches. ``message`` is empty where the columns'
    prompts said it all, which only a root may be.
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    message = models.TextField(blank=True)
    run_key = models.CharField(
        max_length=90,
        unique=True,
        null=True,
        blank=True,
        editable=False,
        help_text="Who asked, and their page's own key of the run.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="example.view", tenant="conversation__tenant_id")

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"turn {self.pk}"


class Attachment(models.Model):
    """A file of a turn. ``content`` is base64 for images, else the text itself."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField(help_text="In bytes, decoded.")
    content = models.TextField()

    objects = TenantScopedManager(view="example.view", tenant="turn__conversation__tenant_id")

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"attachment {self.pk}"

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/")


class Answer(models.Model):
    """What a column answered to a turn. After a tool call the next ``step`` goes on with the results given by hand."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="answers")
    column = models.PositiveSmallIntegerField(validators=[MaxValueValidator(MOST_COLUMNS - 1)])
    step = models.PositiveSmallIntegerField(default=0)
    model_slug = models.CharField(max_length=200)
    prompt_slug = models.CharField(max_length=50, blank=True, help_text="The catalog's prompt that was asked with.")
    prompt_version = models.PositiveIntegerField(null=True, blank=True, help_text="The one that the gateway served.")
    settings = models.JSONField(default=dict, help_text="The column as it was run.")
    text = models.TextField(blank=True)
    reasoning = models.TextField(blank=True)
    tool_calls = models.JSONField(default=list, blank=True)
    tool_results = models.JSONField(default=dict, blank=True, help_text="By the call's id, as typed in.")
    status = models.CharField(max_length=12, choices=AnswerStatus.choices, default=AnswerStatus.RUNNING)
    error = models.JSONField(default=dict, blank=True)
    process = models.CharField(max_length=100, blank=True, help_text="The channel of the process that runs it.")
    request_id = models.CharField(max_length=32, blank=True)
    input_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    output_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    cost_picousd = models.BigIntegerField(null=True, blank=True, help_text="The ledger's, once it is there.")
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="example.view", tenant="turn__conversation__tenant_id")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["turn", "column", "step"], name="answer_once_per_step")]
        indexes = [
            models.Index(fields=["created_at"], name="answer_running", condition=models.Q(status=AnswerStatus.RUNNING))
        ]

    def __str__(self) -> str:
        return f"answer {self.pk}"

    @property
    def prompt_label(self) -> str:
        """With which version of which prompt it was asked; empty without one."""
        return prompt_label(self.prompt_slug, self.prompt_version)

    @property
    def prompt_values(self) -> list[tuple[str, str]]:
        """The prompt's variables as they were filled in."""
        values = (self.settings.get("prompt") or {}).get("variables", {})
        return [(name, written(value)) for name, value in values.items()]


class Feedback(models.Model):
    """One person's word on one answer, for those who answer for the model."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    model_slug = models.CharField(max_length=200)
    use_case = models.CharField(max_length=20, choices=UseCase.choices, blank=True)
    verdict = models.CharField(max_length=4, choices=Verdict.choices)
    reasons = models.JSONField(default=list, blank=True, help_text=f"Of: {', '.join(Reason.values)}.")
    note = models.TextField(blank=True)
    correction = models.TextField(blank=True, help_text="The answer as it should have been.")
    status = models.CharField(max_length=10, choices=TriageStatus.choices, default=TriageStatus.OPEN)
    triaged_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    triaged_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="feedback.view")

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "feedback"
        constraints = [models.UniqueConstraint(fields=["answer", "user"], name="feedback_once_per_reader")]
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="feedback_tenant"),
            models.Index(fields=["model_slug", "-created_at"], name="feedback_model"),
        ]

    def __str__(self) -> str:
        return f"feedback {self.pk}"


class Vote(models.Model):
    """The outcome of a blind comparison: a preference pair. ``answer_a`` stood on the left."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="votes")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    answer_a = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="+")
    answer_b = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="+")
    model_a = models.CharField(max_length=200)
    model_b = models.CharField(max_length=200)
    use_case = models.CharField(max_length=20, choices=UseCase.choices, blank=True)
    winner = models.CharField(max_length=8, choices=Winner.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="example.view")

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["turn", "user"], name="vote_once_per_turn")]
        indexes = [models.Index(fields=["tenant", "-created_at"], name="vote_tenant")]

    def __str__(self) -> str:
        return f"vote {self.pk}"


class SavedExample(models.Model):
    """A good exchange, shared with the tenant. ``messages`` are those that led to ``answer``, in OpenAI's form."""

    public_id = models.CharField(max_length=16, unique=True, default=new_public_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    author = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=200)
    use_case = models.CharField(max_length=20, choices=UseCase.choices)
    tags = models.JSONField(default=list, blank=True)
    note = models.TextField(blank=True, help_text="Why it is worth reading.")
    model_slug = models.CharField(max_length=200)
    prompt_slug = models.CharField(max_length=50, blank=True)
    prompt_version = models.PositiveIntegerField(null=True, blank=True)
    settings = models.JSONField(default=dict, help_text="The column as it was run.")
    messages = models.JSONField(default=list)
    answer = models.TextField()
    cost_picousd = models.BigIntegerField(null=True, blank=True)
    source = models.ForeignKey(Answer, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="example.view")

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["tenant", "-created_at"], name="example_tenant")]

    def __str__(self) -> str:
        return self.title

    @property
    def prompt_label(self) -> str:
        return prompt_label(self.prompt_slug, self.prompt_version)

    @property
    def prompt_values(self) -> list[tuple[str, str]]:
        values = (self.settings.get("prompt") or {}).get("variables", {})
        return [(name, written(value)) for name, value in values.items()]


class ExampleRating(models.Model):
    example = models.ForeignKey(SavedExample, on_delete=models.CASCADE, related_name="ratings")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    stars = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(5)])
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="example.view", tenant="example__tenant_id")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["example", "user"], name="rating_once_per_reader")]

    def __str__(self) -> str:
        return f"{self.stars} of 5"
