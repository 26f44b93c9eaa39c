"""The adapter of each kind of provider: what its API speaks, put together."""

from __future__ import annotations

from apps.models.providers.aws.bedrock import bedrock_adapter
from apps.models.providers.aws.sagemaker import SageMakerAdapter
from apps.models.providers.base import Adapter
from apps.models.providers.composed import ComposedAdapter
from apps.models.providers.dialects import CHAT, EMBEDDINGS, MESSAGES, RESPONSES
from apps.models.providers.dialects.messages import CountTokensDialect
from apps.models.providers.services import (
    ANTHROPIC_VERSION,
    HeaderService,
    anthropic_address,
    azure_address,
    openai_address,
)
from apps.models.types import ProviderKind


def make_adapters() -> dict[str, Adapter]:
    """One of each, by ``ProviderKind``."""
    openai_like = ComposedAdapter(
        HeaderService(openai_address),
        {"chat.completions": CHAT, "responses": RESPONSES, "embeddings": EMBEDDINGS},
        into=CHAT,
        embeddings=EMBEDDINGS,
        usually="chat.completions",
    )
    # OpenAI's own API knows responses, and an OpenAI-compatible server whose setting ``native`` says so.
    openai = ComposedAdapter(
        HeaderService(openai_address),
        {"chat.completions": CHAT, "responses": RESPONSES, "embeddings": EMBEDDINGS},
        into=CHAT,
        embeddings=EMBEDDINGS,
    )
    azure = ComposedAdapter(
        HeaderService(azure_address, credential="api-key"),
        {"chat.completions": CHAT, "responses": RESPONSES, "embeddings": EMBEDDINGS},
        into=CHAT,
        embeddings=EMBEDDINGS,
        request_id_header="apim-request-id",
    )
    anthropic = ComposedAdapter(
        HeaderService(anthropic_address, credential="x-api-key", headers={"anthropic-version": ANTHROPIC_VERSION}),
        {"messages": MESSAGES, "count_tokens": CountTokensDialect()},
        into=MESSAGES,
        request_id_header="request-id",
    )
    return {
        ProviderKind.OPENAI_COMPATIBLE: openai_like,
        ProviderKind.SANDBOX: openai_like,
        ProviderKind.OPENAI: openai,
        ProviderKind.AZURE_OPENAI: azure,
        ProviderKind.GEMINI: openai_like,
        ProviderKind.ANTHROPIC: anthropic,
        ProviderKind.BEDROCK: bedrock_adapter(),
        ProviderKind.SAGEMAKER: SageMakerAdapter(),
    }
