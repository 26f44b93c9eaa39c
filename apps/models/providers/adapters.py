"""The adapter of each kind of provider: what its API speaks, put together."""

from __future__ import annotations

from apps.models.providers.base import Adapter
from apps.models.providers.composed import ComposedAdapter
from apps.models.providers.dialects import CHAT, EMBEDDINGS
from apps.models.providers.services import HeaderService, openai_address
from apps.models.types import ProviderKind


def make_adapters() -> dict[str, Adapter]:
    """One of each, by ``ProviderKind``."""
    openai_like = ComposedAdapter(
        HeaderService(openai_address),
        {"chat.completions": CHAT, "embeddings": EMBEDDINGS},
        into=CHAT,
        embeddings=EMBEDDINGS,
    )
    return {ProviderKind.OPENAI_COMPATIBLE: openai_like, ProviderKind.SANDBOX: openai_like}
