"""The catalog: prompts, their versions that never change, and which version a label has pointed to since when."""

from __future__ import annotations

from typing import Any

import msgspec
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from apps.prompts.types import Content, Decision, UseCase
from apps.tenants.models import Tenant, User
from apps.tenants.scoping import TenantScopedManager
from apps.tenants.types import Environment


class Prompt(models.Model):
    """``slug`` is the id that an application sends. ``forked_from`` may be another tenant's, which had published it."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="prompts")
    slug = models.SlugField(max_length=50)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    owner = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    use_case = models.CharField(max_length=20, choices=UseCase.choices, blank=True)
    tags = models.JSONField(default=list, blank=True)
    is_archived = models.BooleanField(default=False, help_text="Hidden from the list and no longer served.")
    forked_from = models.ForeignKey(
        "PromptVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="forks"
    )
    forked_label = models.CharField(
        max_length=300, blank=True, help_text="Where it was forked from, in words that stay."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, help_text="Of the last version or release.")

    objects = TenantScopedManager(view="prompt.view")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="prompt_slug_unique_in_tenant")]
        indexes = [models.Index(fields=["tenant", "-updated_at"], name="prompt_tenant_updated")]

    def __str__(self) -> str:
        return self.name


class PromptVersion(models.Model):
    """Immutable. ``number`` counts from 1 in its prompt; ``content_hash`` is once in it (see ``content.py``)."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    messages = models.JSONField()
    variables = models.JSONField(default=dict, blank=True, help_text="JSON schemas by name.")
    parameters = models.JSONField(default=dict, blank=True)
    tools = models.JSONField(default=list, blank=True)
    output_schema = models.JSONField(null=True, blank=True)
    model = models.CharField(
        "default model", max_length=200, blank=True, help_text="Called where the caller names none."
    )
    includes = models.JSONField(default=dict, blank=True, help_text="Texts of other prompts, as they were.")
    content_hash = models.CharField(max_length=64)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    message = models.CharField(max_length=300, blank=True, help_text="What changed, and why.")
    author = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    author_label = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="prompt.view", tenant="prompt__tenant_id")

    class Meta:
        ordering = ["prompt", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["prompt", "number"], name="version_number_unique"),
            models.UniqueConstraint(fields=["prompt", "content_hash"], name="version_content_unique"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A version never changes: save a new one.")
        super().save(*args, **kwargs)

    @property
    def content(self) -> Content:
        stored = {name: getattr(self, name) for name in Content.__struct_fields__}
        return msgspec.convert(stored, Content)

    @property
    def author_name(self) -> str:
        return str(self.author) if self.author_id and self.author else self.author_label


class Release(models.Model):
    """From then on ``label`` means these versions, in the projects of ``environment``. Append-only: the newest counts.

    Without any version the label was withdrawn.
    """

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="releases")
    environment = models.CharField(max_length=10, choices=Environment.choices)
    label = models.SlugField(max_length=50)
    versions = models.ManyToManyField(PromptVersion, through="ReleaseShare", related_name="releases")
    decision = models.CharField(max_length=20, choices=Decision.choices, default=Decision.PERSON)
    reason = models.CharField(max_length=500, blank=True)
    restores = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    released_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    actor_label = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="prompt.view", tenant="prompt__tenant_id")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["prompt", "environment", "label", "-id"], name="release_of_label")]

    def __str__(self) -> str:
        return f"{self.label} in {self.environment}"

    @property
    def actor_name(self) -> str:
        return str(self.released_by) if self.released_by_id and self.released_by else self.actor_label


class ReleaseShare(models.Model):
    """A version's part of a release: ``weight`` of the sum of all."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="shares")
    version = models.ForeignKey(PromptVersion, on_delete=models.CASCADE, related_name="shares")
    weight = models.PositiveSmallIntegerField(default=100, validators=[MinValueValidator(1), MaxValueValidator(100)])

    objects = TenantScopedManager(view="prompt.view", tenant="release__prompt__tenant_id")

    class Meta:
        ordering = ["-weight", "pk"]
        constraints = [models.UniqueConstraint(fields=["release", "version"], name="share_once_per_release")]

    def __str__(self) -> str:
        return f"{self.weight} for {self.version}"


class Publication(models.Model):
    """A version that every tenant may read and fork, until it is withdrawn. What was forked stays."""

    version = models.OneToOneField(PromptVersion, on_delete=models.CASCADE, related_name="publication")
    note = models.CharField(max_length=500, blank=True, help_text="What it is good for, to people who do not know it.")
    published_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    published_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="prompt.view", tenant="version__prompt__tenant_id")

    class Meta:
        ordering = ["-published_at"]

    def __str__(self) -> str:
        return f"publication of {self.version}"
