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

# What may follow what. A retired model comes back only through a review.
LIFECYCLE_STEPS: dict[Lifecycle, frozenset[Lifecycle]] = {
    Lifecycle.PROPOSED: frozenset({Lifecycle.IN_REVIEW, Lifecycle.APPROVED, Lifecycle.RETIRED}),
    Lifecycle.IN_REVIEW: frozenset({Lifecycle.PROPOSED, Lifecycle.APPROVED, Lifecycle.RETIRED}),
    Lifecycle.APPROVED: frozenset({Lifecycle.IN_REVIEW, Lifecycle.DEPRECATED, Lifecycle.RETIRED}),
    Lifecycle.DEPRECATED: frozenset({Lifecycle.APPROVED, Lifecycle.RETIRED}),
    Lifecycle.RETIRED: frozenset({Lifecycle.IN_REVIEW}),
}


class ProviderKind(models.TextChoices):
    """Which adapter speaks to it."""

    OPENAI = "openai", "OpenAI"
    AZURE_OPENAI = "azure_openai", "Azure OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    BEDROCK = "bedrock", "Amazon Bedrock"
    SAGEMAKER = "sagemaker", "Amazon SageMaker"
    GEMINI = "gemini", "Google Gemini"
    OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible server"
    SANDBOX = "sandbox", "Sandbox (built in, simulated)"


class ModelKind(models.TextChoices):
    CHAT = "chat", "Chat"
    EMBEDDING = "embedding", "Embedding"
    RERANK = "rerank", "Rerank"
    IMAGE = "image", "Image"
    TRANSCRIPTION = "transcription", "Transcription"
    SPEECH = "speech", "Speech"
    MODERATION = "moderation", "Moderation"


class PriceUnit(models.TextChoices):
    """What is sold by the piece rather than by tokens."""

    IMAGE = "image", "Image"
    SECOND = "second", "Second of sound"
    CHARACTER = "character", "Character"
    SEARCH = "search", "Search"


# The unit that a kind of model is metered in, beside tokens.
UNITS: dict[str, PriceUnit] = {
    ModelKind.RERANK: PriceUnit.SEARCH,
    ModelKind.IMAGE: PriceUnit.IMAGE,
    ModelKind.TRANSCRIPTION: PriceUnit.SECOND,
    ModelKind.SPEECH: PriceUnit.CHARACTER,
}


class CredentialSource(models.TextChoices):
    NONE = "none", "None needed"
    ENVIRONMENT = "environment", "Environment variable"
    DATABASE = "database", "Encrypted in the database"
    SECRETS_MANAGER = "secretsmanager", "AWS Secrets Manager"
    AWS = "aws", "AWS role or profile"


class Capability(models.TextChoices):
    STREAMING = "streaming", "Streaming"
    TOOLS = "tools", "Tools"
    VISION = "vision", "Images in"
    JSON_SCHEMA = "json_schema", "JSON schema"
    REASONING = "reasoning", "Reasoning"
    LOGPROBS = "logprobs", "Log probabilities"


AWS_KINDS = frozenset({ProviderKind.BEDROCK, ProviderKind.SAGEMAKER})

SANDBOX_URL = "sandbox:"
CONNECTION_TEST = "connection-test"  # the attempt id that a test of a connection bears; no ledger has it
