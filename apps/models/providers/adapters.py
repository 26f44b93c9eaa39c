"""The adapter of each kind of provider: what its API speaks, put together."""

from __future__ import annotations

from apps.models.providers.aws.bedrock import bedrock_adapter
from apps.models.providers.aws.sagemaker import SageMakerAdapter
from apps.models.providers.base import Adapter
from apps.models.providers.composed import ComposedAdapter
from apps.models.providers.dialects import CHAT, EMBEDDINGS, MESSAGES, RESPONSES
from apps.models.providers.dialects.chat import ChatDialect
from apps.models.providers.dialects.messages import CountTokensDialect
from apps.models.providers.dialects.opaque import OPAQUE
from apps.models.providers.services import (
    ANTHROPIC_VERSION,
    HeaderService,
    anthropic_address,
    azure_address,
    azure_native,
    openai_address,
)
from apps.models.types import ProviderKind


def make_adapters() -> dict[str, Adapter]:
    """One of each, by ``ProviderKind``."""
    # Small and older servers know ``max_tokens`` alone; those that know the newer name know it, too. And of a server
    # nothing else is known than that it speaks like OpenAI's first API, until an endpoint's settings say more.
    compatible_chat = ChatDialect(max_tokens_field="max_tokens")
    compatible = ComposedAdapter(
        HeaderService(openai_address),
        {"chat.completions": compatible_chat, "responses": RESPONSES, "embeddings": EMBEDDINGS, **OPAQUE},
        into=compatible_chat,
        also=[RESPONSES],
        embeddings=EMBEDDINGS,
        usually="chat.completions",
    )
    openai = ComposedAdapter(
        HeaderService(openai_address),
        {"chat.completions": CHAT, "responses": RESPONSES, "embeddings": EMBEDDINGS, **OPAQUE},
        into=CHAT,
        also=[RESPONSES],
        embeddings=EMBEDDINGS,
    )
    azure = ComposedAdapter(
        HeaderService(azure_address, credential="api-key"),
        {"chat.completions": CHAT, "responses": RESPONSES, "embeddings": EMBEDDINGS, **OPAQUE},
        into=CHAT,
        also=[RESPONSES],
        embeddings=EMBEDDINGS,
        usually=azure_native,
        request_id_header="apim-request-id",
    )
    gemini = ComposedAdapter(
        HeaderService(openai_address),
        {
            "chat.completions": CHAT,
            "embeddings": EMBEDDINGS,
            "images.generations": OPAQUE["images.generations"],
        },
        into=CHAT,
        embeddings=EMBEDDINGS,
    )
    sandbox = ComposedAdapter(
        HeaderService(openai_address),
        {"chat.completions": CHAT, "embeddings": EMBEDDINGS},
        into=CHAT,
        embeddings=EMBEDDINGS,
    )
    anthropic = ComposedAdapter(
        HeaderService(anthropic_address, credential="x-api-key", headers={"anthropic-version": ANTHROPIC_VERSION}),
        {"messages": MESSAGES, "count_tokens": CountTokensDialect()},
        into=MESSAGES,
        request_id_header="request-id",
    )
    return {
        ProviderKind.OPENAI_COMPATIBLE: compatible,
        ProviderKind.SANDBOX: sandbox,
        ProviderKind.OPENAI: openai,
        ProviderKind.AZURE_OPENAI: azure,
        ProviderKind.GEMINI: gemini,
        ProviderKind.ANTHROPIC: anthropic,
        ProviderKind.BEDROCK: bedrock_adapter(),
        ProviderKind.SAGEMAKER: SageMakerAdapter(),
    }
