"""What may be called: providers, models, the endpoints that serve them, prices, and who was granted what."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from apps.models.types import CredentialSource, Lifecycle, ModelKind, PriceUnit, ProviderKind
from apps.tenants.models import Project, Tenant, User
from apps.tenants.scoping import TenantScopedManager


class Provider(models.Model):
    """A server or service that answers, with the credential that Lobby shows it."""

    slug = models.SlugField(unique=True, max_length=50)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=30, choices=ProviderKind.choices)
    base_url = models.CharField(
        "address", max_length=500, blank=True, help_text="For example https://api.openai.com/v1. Empty: the kind's own."
    )
    settings = models.JSONField(default=dict, blank=True, help_text="What its kind needs: a region, an API version.")
    credential_source = models.CharField(max_length=20, choices=CredentialSource.choices, default=CredentialSource.NONE)
    credential_env = models.CharField(
        "environment variable", max_length=100, blank=True, help_text="The variable that holds the key."
    )
    credential_secret = models.CharField(
        "secret", max_length=512, blank=True, help_text="Its name or ARN in AWS Secrets Manager."
    )
    credential_secret_key = models.CharField(
        "key in the secret", max_length=100, blank=True, help_text="Where the secret is JSON: the key that holds it."
    )
    credential_encrypted = models.TextField(blank=True, editable=False)
    is_enabled = models.BooleanField(default=True)
    from_environment = models.BooleanField(default=False, editable=False, help_text="Registered at start-up.")
    missing_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when the environment no longer names it."
    )
    auto_discover = models.BooleanField(
        "discover models", default=False, help_text="Ask it for its list of models now and then, and register them."
    )
    last_seen_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When its list of models was last read."
    )
    last_error = models.CharField(
        max_length=300, blank=True, editable=False, help_text="Why it could not be read since."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_simulated(self) -> bool:
        return self.kind == ProviderKind.SANDBOX


class Model(models.Model):
    """A model as tenants know it. ``slug`` is the name an application puts in ``model``."""

    slug = models.CharField(unique=True, max_length=200)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=ModelKind.choices, default=ModelKind.CHAT)
    publisher = models.CharField(max_length=100, blank=True, help_text="Who made it, for example OpenAI.")
    description = models.TextField(blank=True)
    intended_use = models.TextField(blank=True)
    out_of_scope_use = models.TextField(blank=True, help_text="What it must not be used for.")
    lifecycle = models.CharField(max_length=20, choices=Lifecycle.choices, default=Lifecycle.APPROVED)
    licence = models.CharField(max_length=100, blank=True)
    licence_url = models.CharField("licence's address", max_length=500, blank=True)
    licence_needs_acceptance = models.BooleanField(
        "licence must be accepted",
        default=False,
        help_text="A tenant calls it only once one of its admins has accepted the licence.",
    )
    context_tokens = models.PositiveIntegerField(null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True)
    capabilities = models.JSONField(
        default=list, blank=True, help_text="Of: streaming, tools, vision, json_schema, reasoning, logprobs."
    )
    is_open = models.BooleanField(default=False, help_text="Every active tenant may call it without a grant.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_waiting(self) -> bool:
        """For somebody to approve it."""
        return self.lifecycle in (Lifecycle.PROPOSED, Lifecycle.IN_REVIEW)


class Endpoint(models.Model):
    """One place where a model can be called: a provider's own name for it, in a region."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="endpoints")
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="endpoints")
    upstream_model = models.CharField(max_length=300, help_text="The provider's own name of the model.")
    region = models.CharField(max_length=50, blank=True, help_text="Where it runs, for example eu-central-1.")
    priority = models.PositiveIntegerField(default=0, help_text="Lower is tried first.")
    is_enabled = models.BooleanField(default=True)
    connect_timeout_ms = models.PositiveIntegerField(default=5_000)
    first_byte_timeout_ms = models.PositiveIntegerField(default=60_000)
    idle_timeout_ms = models.PositiveIntegerField(default=60_000)
    total_timeout_ms = models.PositiveIntegerField(default=600_000)
    settings = models.JSONField(default=dict, blank=True)
    from_discovery = models.BooleanField(default=False, editable=False, help_text="Found in the provider's own list.")
    missing_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when the provider no longer lists it; disabled by that."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["model__name", "priority", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "provider", "upstream_model", "region"], name="endpoint_unique_in_model"
            )
        ]

    def __str__(self) -> str:
        return f"{self.upstream_model} at {self.provider}"


class Price(models.Model):
    """What a model's use costs from a moment on, in picodollars per token (USD per million tokens x 10^6) or unit.

    The price in force at time t is the newest with ``effective_from <= t``; an endpoint's own price beats the model's.
    A correction is a new row, never an edit.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="prices")
    endpoint = models.ForeignKey(Endpoint, null=True, blank=True, on_delete=models.CASCADE, related_name="prices")
    effective_from = models.DateTimeField(default=timezone.now)
    input_picousd = models.PositiveBigIntegerField(default=0)
    output_picousd = models.PositiveBigIntegerField(default=0)
    cached_input_picousd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: as input.")
    cache_write_picousd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: as input.")
    cache_write_1h_picousd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: as cache write.")
    reasoning_picousd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: as output.")
    audio_input_picousd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: as input.")
    audio_output_picousd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: as output.")
    image_input_picousd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: as input.")
    image_output_picousd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: as output.")
    unit = models.CharField(
        max_length=10, choices=PriceUnit.choices, blank=True, help_text="What is sold by the piece."
    )
    unit_picousd = models.PositiveBigIntegerField(default=0, help_text="Per unit.")
    request_picousd = models.PositiveBigIntegerField(default=0, help_text="Per request.")
    source = models.CharField(max_length=200, blank=True, help_text="Where the figures come from.")
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["model__name", "-effective_from"]
        indexes = [models.Index(fields=["model", "-effective_from"], name="price_model_effective")]

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_from:%Y-%m-%d}"


class AccessGrant(models.Model):
    """A tenant (or one project of it) may call a model, until ``expires_at`` or for good.

    Where the model's licence must be accepted, a grant is of use once ``licence_accepted_at`` is set. A tenant accepts
    for all its grants of the model at once; for an open model the acceptance makes the grant.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="access_grants")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE, related_name="access_grants")
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="access_grants")
    expires_at = models.DateTimeField(null=True, blank=True)
    licence_accepted_at = models.DateTimeField(null=True, blank=True)
    granted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    # A grant to the whole tenant covers each of its projects: a key sees its tenant's grants, not its project's alone.
    objects: ClassVar[TenantScopedManager[Self]] = TenantScopedManager(view="model.view")

    class Meta:
        ordering = ["tenant__name", "model__name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "project", "model"], name="grant_once_per_project"),
            models.UniqueConstraint(
                fields=["tenant", "model"], condition=models.Q(project__isnull=True), name="grant_once_per_tenant"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} for {self.project or self.tenant}"
