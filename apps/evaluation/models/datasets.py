"""Datasets: examples that change by revisions, and versions that freeze which revisions belong together."""

from __future__ import annotations

from typing import Any

from django.core.validators import MinValueValidator
from django.db import models

from apps.evaluation.types import InboxStatus, Scrub, Source, Split, UploadFormat, UploadStatus
from apps.prompts.models import Prompt
from apps.tenants.models import Tenant, User
from apps.tenants.scoping import TenantScopedManager


class Dataset(models.Model):
    """``input_schema`` and ``expected_schema`` are JSON Schemas that every new revision is held to; empty means any."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="datasets")
    slug = models.SlugField(max_length=50)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    owner = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    prompt = models.ForeignKey(
        Prompt, null=True, blank=True, on_delete=models.SET_NULL, related_name="datasets", help_text="What it tests."
    )
    tags = models.JSONField(default=list, blank=True)
    input_schema = models.JSONField(default=dict, blank=True)
    expected_schema = models.JSONField(default=dict, blank=True)
    is_archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantScopedManager(view="dataset.view")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="dataset_slug_unique_in_tenant")]
        indexes = [models.Index(fields=["tenant", "-updated_at"], name="dataset_tenant_updated")]

    def __str__(self) -> str:
        return self.name


class Example(models.Model):
    """One case, whatever its wording: its revisions say what it was when. ``key`` is the team's own id for it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="examples")
    key = models.CharField(max_length=100)
    is_removed = models.BooleanField(default=False, help_text="Left out of the next version; older ones keep it.")
    current = models.ForeignKey(
        "ExampleRevision",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Its newest revision.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="dataset.view", tenant="dataset__tenant_id")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["dataset", "key"], name="example_key_unique_in_dataset")]

    def __str__(self) -> str:
        return self.key


class ExampleRevision(models.Model):
    """Immutable.

    ``input`` is what a subject is given: an object with values for a prompt's variables, or ``{"messages": [...]}`` as
    in the chat completions API. ``expected`` is any JSON value, or null where no answer is the right one. ``context``
    holds the texts that an answer must be grounded in. ``content_hash`` is SHA-256 over the canonical JSON of these
    three.
    """

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    input = models.JSONField()
    expected = models.JSONField(null=True, blank=True)
    context = models.JSONField(default=list, blank=True)
    tags = models.JSONField(default=list, blank=True)
    slice = models.CharField(max_length=100, blank=True, help_text="The segment that it stands for.")
    split = models.CharField(max_length=10, choices=Split.choices, default=Split.TEST)
    text = models.TextField(blank=True, help_text="Its beginning as plain text, to be searched.")
    content_hash = models.CharField(max_length=64, db_index=True)
    source = models.CharField(max_length=10, choices=Source.choices)
    source_ref = models.CharField(max_length=200, blank=True, help_text="A request's id, a file and line, …")
    scrub = models.CharField(max_length=12, choices=Scrub.choices, default=Scrub.NOT_NEEDED)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="dataset.view", tenant="example__dataset__tenant_id")

    class Meta:
        ordering = ["example", "-number"]
        constraints = [models.UniqueConstraint(fields=["example", "number"], name="revision_number_unique")]

    def __str__(self) -> str:
        return f"revision {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A revision never changes: save a new one.")
        super().save(*args, **kwargs)


class DatasetVersion(models.Model):
    """Immutable but for its sign-offs. ``manifest_hash`` is SHA-256 over its rows in order: key, content hash, split,
    slice and tags of each. ``archive_key`` is where the same rows lie as JSON Lines in the archive."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    message = models.CharField(max_length=300, blank=True)
    manifest_hash = models.CharField(max_length=64)
    archive_key = models.CharField(max_length=300, blank=True)
    size = models.PositiveIntegerField(help_text="Examples in it.")
    slices = models.JSONField(default=dict, blank=True, help_text="Examples by slice.")
    splits = models.JSONField(default=dict, blank=True, help_text="Examples by split.")
    leaks = models.JSONField(
        default=list, blank=True, help_text="Examples whose text stood in the prompt itself when this was frozen."
    )
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="dataset.view", tenant="dataset__tenant_id")

    class Meta:
        ordering = ["dataset", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="dataset_version_number_unique"),
            models.UniqueConstraint(fields=["dataset", "manifest_hash"], name="dataset_version_content_unique"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class VersionExample(models.Model):
    """A revision's place in a version."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="members")
    revision = models.ForeignKey(ExampleRevision, on_delete=models.RESTRICT, related_name="memberships")
    position = models.PositiveIntegerField()

    objects = TenantScopedManager(view="dataset.view", tenant="version__dataset__tenant_id")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="version_position_unique"),
            models.UniqueConstraint(fields=["version", "revision"], name="version_revision_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.position} of {self.version}"


class SignOff(models.Model):
    """A subject-matter expert's word that a version is right, or what is wrong with it."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="sign_offs")
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    user_label = models.CharField(max_length=254)
    is_approval = models.BooleanField()
    note = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="dataset.view", tenant="version__dataset__tenant_id")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{'sign-off' if self.is_approval else 'objection'} by {self.user_label}"


class Upload(models.Model):
    """A file on its way into a dataset. The file lies in the archive until it is imported or given up."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="uploads")
    file_name = models.CharField(max_length=200)
    format = models.CharField(max_length=10, choices=UploadFormat.choices)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    archive_key = models.CharField(max_length=300)
    status = models.CharField(max_length=10, choices=UploadStatus.choices, default=UploadStatus.RECEIVED)
    columns = models.JSONField(default=list, blank=True, help_text="As the file has them.")
    preview = models.JSONField(default=list, blank=True, help_text="The first rows.")
    mapping = models.JSONField(default=dict, blank=True, help_text="What each column is for.")
    bytes_read = models.PositiveBigIntegerField(default=0)
    rows_total = models.PositiveBigIntegerField(null=True, blank=True, help_text="Where the file itself says.")
    rows_read = models.PositiveIntegerField(default=0)
    rows_added = models.PositiveIntegerField(default=0)
    rows_changed = models.PositiveIntegerField(default=0)
    rows_same = models.PositiveIntegerField(default=0)
    rows_refused = models.PositiveIntegerField(default=0)
    errors = models.JSONField(default=list, blank=True, help_text="The first refused rows: line, column, why.")
    error = models.CharField(max_length=500, blank=True, help_text="Why the whole file was refused.")
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    progressed_at = models.DateTimeField(null=True, blank=True, help_text="When a worker last wrote how far it is.")
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TenantScopedManager(view="dataset.view", tenant="dataset__tenant_id")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.file_name


class InboxItem(models.Model):
    """Something that went wrong (or right) somewhere, offered as a golden example.

    Personal data is replaced before the row is written: ``redactions`` says what was, by kind, and never repeats it.
    ``cluster`` and ``warnings`` are worked out by the worker; ``sorted_at`` is when.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    prompt = models.ForeignKey(Prompt, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    source = models.CharField(max_length=10, choices=Source.choices)
    source_ref = models.CharField(max_length=200, blank=True)
    input = models.JSONField()
    output = models.TextField(blank=True, help_text="What was answered.")
    expected = models.JSONField(null=True, blank=True, help_text="What should have been answered, where known.")
    reasons = models.JSONField(default=list, blank=True)
    note = models.CharField(max_length=1000, blank=True)
    cluster = models.CharField(max_length=100, blank=True, help_text="Words that items like it share.")
    warnings = models.JSONField(default=list, blank=True, help_text="Duplicates in datasets, and text of the prompt.")
    redactions = models.JSONField(default=list, blank=True, help_text="What was replaced, by kind.")
    sorted_at = models.DateTimeField(null=True, blank=True)
    content_hash = models.CharField(max_length=64)
    scrub = models.CharField(max_length=12, choices=Scrub.choices, default=Scrub.PENDING)
    status = models.CharField(max_length=10, choices=InboxStatus.choices, default=InboxStatus.OPEN)
    example = models.ForeignKey(Example, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    decided_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="dataset.view")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["tenant", "status", "-id"], name="inbox_open")]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "source", "source_ref"],
                condition=~models.Q(source_ref=""),
                name="inbox_source_once",
            )
        ]

    def __str__(self) -> str:
        return f"inbox item {self.pk}"
