"""Routes; and the ledger (one row per upstream attempt), its rollups, and the log of requests.

The ledger's rows are written by the drainer alone (``ledger/drain.py``), from the spool. Its references are without
database constraints: what was used and what it cost outlives the key, the project and the model.
"""

from __future__ import annotations

from typing import Any

from django.db import models

from apps.gateway.types import Guard, Outcome, Purpose, RevisionState, Strategy, UsageStatus
from apps.models.models import Endpoint, Model
from apps.tenants.models import Tenant, User
from apps.tenants.scoping import TenantScopedManager


class Route(models.Model):
    """What an application calls in the place of a model: a name, and how its targets share the requests.

    Without a tenant it is the platform's, for everybody. Of a tenant's own and the platform's of the same name the
    tenant's own counts, so that a name of the platform's never takes a tenant's away, nor tells of it.
    """

    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="routes")
    slug = models.SlugField(max_length=50, db_index=False, help_text="What applications put in model.")
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    strategy = models.CharField(max_length=20, choices=Strategy.choices, default=Strategy.PRIORITY)
    sticky = models.BooleanField(default=False, help_text="A conversation stays with the target that it began with.")
    hedge_after_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text="Ask a second endpoint when the first one is silent for so long."
    )
    shadow_percent = models.PositiveSmallIntegerField(
        default=0, help_text="Of its requests, how many go to the shadow target, too."
    )
    is_enabled = models.BooleanField(default=True)
    guard = models.CharField(
        max_length=10, choices=Guard.choices, default=Guard.NONE, help_text="Set by its evaluation plan."
    )
    revision = models.ForeignKey(
        "RouteRevision",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="That is in force.",
    )
    proposed = models.ForeignKey(
        "RouteRevision",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The newest that waits to be in force.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    # The platform's routes are nobody's tenant's: the selectors add them.
    objects = TenantScopedManager(view="route.view")

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="route_slug_in_tenant"),
            models.UniqueConstraint(
                fields=["slug"], condition=models.Q(tenant__isnull=True), name="route_slug_on_platform"
            ),
            models.CheckConstraint(condition=models.Q(shadow_percent__lte=100), name="route_shadow_percent"),
        ]

    def __str__(self) -> str:
        return self.slug


class RouteTarget(models.Model):
    """One endpoint, or a model with all of its endpoints, that a route may send to."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    endpoint = models.ForeignKey(Endpoint, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=20, choices=Purpose.choices, default=Purpose.NORMAL)
    position = models.PositiveSmallIntegerField(default=0, help_text="Lower is tried first.")
    weight = models.PositiveIntegerField(
        default=1, help_text="Its share where targets share; 0: only after the others."
    )
    condition = models.CharField(
        max_length=1000, blank=True, help_text="Only for requests of which it holds, for example tokens > 8000."
    )
    arm = models.SlugField(max_length=50, blank=True, db_index=False, help_text="Its name in an A/B comparison.")

    objects = TenantScopedManager(view="route.view", tenant="route__tenant_id")

    class Meta:
        ordering = ["route", "purpose", "position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(model__isnull=True, endpoint__isnull=False)
                | models.Q(model__isnull=False, endpoint__isnull=True),
                name="route_target_is_one",
            )
        ]

    def __str__(self) -> str:
        return str(self.endpoint or self.model)


class RouteRevision(models.Model):
    """How a route shared its requests, as somebody saved it; it never changes. The route's own columns and targets are
    those of the one in force. A guarded route's can be called by name: ``slug@3``."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    strategy = models.CharField(max_length=20, choices=Strategy.choices)
    sticky = models.BooleanField()
    hedge_after_ms = models.PositiveIntegerField(null=True, blank=True)
    targets = models.JSONField(default=list, blank=True, help_text="Sharing.targets, in the order of positions.")
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="What was in force when it was saved.",
    )
    message = models.CharField(max_length=300, blank=True, help_text="What changed, and why.")
    author = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    author_label = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    in_force_at = models.DateTimeField(null=True, blank=True, help_text="When it last came in force; empty: never yet.")

    objects = TenantScopedManager(view="route.view", tenant="route__tenant_id")

    class Meta:
        ordering = ["route", "-number"]
        constraints = [models.UniqueConstraint(fields=["route", "number"], name="route_revision_number")]

    def __str__(self) -> str:
        return f"revision {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A revision never changes: save a new one.")
        super().save(*args, **kwargs)

    @property
    def author_name(self) -> str:
        return str(self.author) if self.author_id and self.author else self.author_label

    @property
    def called(self) -> str:
        """Its name in calls."""
        return f"{self.route.slug}@{self.number}"

    @property
    def state(self) -> RevisionState:
        if self.pk == self.route.revision_id:
            return RevisionState.IN_FORCE
        if self.pk == self.route.proposed_id:
            return RevisionState.PROPOSED
        return RevisionState.DROPPED if self.in_force_at is None else RevisionState.PAST


def _reference(to: str, **options: Any) -> Any:
    return models.ForeignKey(
        to, null=True, blank=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+", **options
    )


class UsageRecord(models.Model):
    """What one upstream attempt used and cost. ``attempt_id`` is unique: a replayed spool line changes nothing."""

    # Their indexes are declared below: a unique or indexed text field would get a second index for LIKE on PostgreSQL.
    attempt_id = models.CharField(max_length=32)
    request_id = models.CharField(max_length=32)
    at = models.DateTimeField()
    tenant = _reference("tenants.Tenant", db_index=False)
    project = _reference("tenants.Project", db_index=False)
    api_key = _reference("tenants.ApiKey", db_index=False)
    user = _reference("tenants.User", db_index=False)
    model = _reference("registry.Model", db_index=False)
    endpoint = _reference("registry.Endpoint", db_index=False)
    price = _reference("registry.Price", db_index=False)
    status = models.CharField(max_length=12, choices=UsageStatus.choices)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    http_status = models.PositiveSmallIntegerField(help_text="What the upstream answered; 0 when nothing came.")
    streamed = models.BooleanField()
    # Every other kind of token is a part of input_tokens or of output_tokens; an hour's cache writes, of all cache
    # writes. Units are images, seconds, characters or searches, as the model's kind says.
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_1h_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    audio_input_tokens = models.PositiveBigIntegerField(default=0)
    audio_output_tokens = models.PositiveBigIntegerField(default=0)
    image_input_tokens = models.PositiveBigIntegerField(default=0)
    image_output_tokens = models.PositiveBigIntegerField(default=0)
    units = models.PositiveBigIntegerField(default=0)
    cost_picousd = models.BigIntegerField(default=0)
    duration_ms = models.PositiveIntegerField(default=0)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    upstream_request_id = models.CharField(max_length=200, blank=True)

    objects = TenantScopedManager(view="request.view", project="project_id")

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["attempt_id"], name="usage_attempt_unique")]
        indexes = [
            models.Index(fields=["request_id"], name="usage_request"),
            models.Index(fields=["tenant", "-at"], name="usage_tenant_at"),
        ]

    def __str__(self) -> str:
        return self.attempt_id


class Granularity(models.TextChoices):
    HOUR = "hour", "Hour"  # in UTC
    DAY = "day", "Day"  # in the tenant's time zone


class UsageRollup(models.Model):
    """Sums of the ledger per hour (UTC) and per day (tenant's zone), bumped in the transaction of the rows they count.

    Ids are plain numbers, 0 for none, so that the unique constraint holds on every database.
    """

    granularity = models.CharField(max_length=4, choices=Granularity.choices)
    bucket = models.DateTimeField(help_text="When the hour, or the tenant's day, began.")
    tenant_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField(default=0)
    user_id = models.BigIntegerField(default=0)
    model_id = models.BigIntegerField()
    status = models.CharField(max_length=12, choices=UsageStatus.choices)
    requests = models.PositiveBigIntegerField(default=0, help_text="Upstream attempts: the records counted here.")
    errors = models.PositiveBigIntegerField(default=0, help_text="Of them, those that failed or were interrupted.")
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_1h_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    audio_input_tokens = models.PositiveBigIntegerField(default=0)
    audio_output_tokens = models.PositiveBigIntegerField(default=0)
    image_input_tokens = models.PositiveBigIntegerField(default=0)
    image_output_tokens = models.PositiveBigIntegerField(default=0)
    units = models.PositiveBigIntegerField(default=0)
    cost_picousd = models.BigIntegerField(default=0)
    duration_ms = models.PositiveBigIntegerField(default=0)
    first_token_ms = models.PositiveBigIntegerField(default=0, help_text="Sum over the streams that had a first token.")
    first_tokens = models.PositiveBigIntegerField(default=0, help_text="How many streams had a first token.")

    objects = TenantScopedManager(view="usage.view", project="project_id")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "granularity",
                    "tenant_id",
                    "bucket",
                    "project_id",
                    "model_id",
                    "api_key_id",
                    "user_id",
                    "status",
                ],
                name="rollup_unique",
            ),
            # SQLite would go on in floating point beyond 64 bits: better that the record is refused and kept aside.
            models.CheckConstraint(
                condition=models.Q(cost_picousd__gte=-9 * 10**18, cost_picousd__lte=9 * 10**18),
                name="rollup_cost_is_exact",
            ),
        ]
        indexes = [models.Index(fields=["granularity", "bucket"], name="rollup_bucket")]

    def __str__(self) -> str:
        return f"{self.granularity} from {self.bucket:%Y-%m-%d %H:%M}"


class RequestLog(models.Model):
    """One request as its caller saw it, denials included, with the facts behind the answer (``why``)."""

    request_id = models.CharField(max_length=32)
    at = models.DateTimeField()
    tenant = _reference("tenants.Tenant", db_index=False)
    project = _reference("tenants.Project", db_index=False)
    api_key = _reference("tenants.ApiKey", db_index=False)
    user = _reference("tenants.User", db_index=False)
    model_slug = models.CharField(max_length=200, blank=True)
    operation = models.CharField(max_length=30, help_text="For example chat.completions.")
    streamed = models.BooleanField(default=False)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    http_status = models.PositiveSmallIntegerField()
    error_code = models.CharField(max_length=64, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost_picousd = models.BigIntegerField(default=0)
    duration_ms = models.PositiveIntegerField(default=0)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    prompt = _reference("prompts.Prompt", db_index=False)
    prompt_version = models.PositiveIntegerField(null=True, blank=True, help_text="Its number.")
    why = models.JSONField(default=dict)

    objects = TenantScopedManager(view="request.view", project="project_id")

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["request_id"], name="request_unique")]
        indexes = [
            models.Index(fields=["tenant", "-at"], name="request_tenant_at"),
            models.Index(fields=["-at"], name="request_at"),
            models.Index(fields=["prompt", "-at"], name="request_prompt_at", condition=models.Q(prompt__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.request_id

    @property
    def route_slug(self) -> str:
        """The route that was called, where it was one."""
        route = self.why.get("route") if isinstance(self.why, dict) else None
        return str(route.get("slug") or "") if isinstance(route, dict) else ""


class RequestContent(models.Model):
    """What a sampled request said and was answered, redacted before it was written; until its tenant's retention. One
    that failed at the provider has an ``error`` in the place of an answer.

    ``model_slug`` is what the caller named: a model or a route. ``messages`` are ``{"role", "content"}`` in plain text.
    """

    request_id = models.CharField(max_length=32)
    at = models.DateTimeField()
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    project = models.ForeignKey("tenants.Project", on_delete=models.CASCADE, related_name="+")
    model_slug = models.CharField(max_length=200)
    prompt = _reference("prompts.Prompt", db_index=False)
    prompt_version = models.PositiveIntegerField(null=True, blank=True, help_text="Its number.")
    label = models.CharField(max_length=50, blank=True, help_text="By which the caller named the prompt's version.")
    environment = models.CharField(max_length=10)
    messages = models.JSONField()
    answer = models.TextField(blank=True)
    tool_calls = models.JSONField(default=list, blank=True)
    finish_reason = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=40, blank=True, help_text="The code that its caller was told.")
    redactions = models.JSONField(default=list, blank=True, help_text="What was replaced, by kind.")

    objects = TenantScopedManager(view="request.view", project="project_id")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request_id"], name="content_request_unique")]
        indexes = [
            models.Index(fields=["tenant", "at"], name="content_failed", condition=~models.Q(error="")),
            models.Index(fields=["tenant", "at"], name="content_tenant_at"),
            models.Index(fields=["prompt", "at"], name="content_prompt_at", condition=models.Q(prompt__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.request_id


class StoredResponse(models.Model):
    """A response of the Responses API that its project can go on from or read again, until it expires.

    It holds content: what was asked (``items``: the whole conversation up to it) and what was answered (``body``).
    """

    response_id = models.CharField(max_length=200)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    project = models.ForeignKey("tenants.Project", on_delete=models.CASCADE, related_name="+")
    items = models.TextField(help_text="A JSON list of the input's items and the output's.")
    body = models.TextField(help_text="The response, as JSON.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    objects = TenantScopedManager(view="request.view", project="project_id")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "response_id"], name="response_once_in_project")]

    def __str__(self) -> str:
        return self.response_id
