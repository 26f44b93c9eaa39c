"""The words of the registry: lifecycle, provider kinds, modalities."""

from __future__ import annotations

from django.db import models


class Lifecycle(models.TextChoices):
    PROPOSED = "proposed", "Proposed"
    IN_REVIEW = "in_review", "In review"
    APPROVED = "approved", "Approved"
    DEPRECATED = "deprecated", "Deprecated"
    RETIRED = "retired", "Retired"


CALLABLE_LIFECYCLES = frozenset({Lifecycle.APPROVED, Lifecycle.DEPRECATED})


class ProviderKind(models.TextChoices):
    """Which adapter speaks to it."""

    OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible server"
    SANDBOX = "sandbox", "Sandbox (built in, simulated)"


class ModelKind(models.TextChoices):
    CHAT = "chat", "Chat"
    EMBEDDING = "embedding", "Embedding"


class CredentialSource(models.TextChoices):
    NONE = "none", "None needed"
    ENVIRONMENT = "environment", "Environment variable"
    DATABASE = "database", "Encrypted in the database"
