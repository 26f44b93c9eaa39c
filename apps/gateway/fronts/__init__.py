"""The front APIs, by their addresses."""

from __future__ import annotations

from apps.gateway.fronts.base import Front
from apps.gateway.fronts.messages import CountTokensFront, MessagesFront
from apps.gateway.fronts.openai import ChatFront, EmbeddingsFront, OpenAIErrors
from apps.gateway.fronts.responses import ResponsesFront

ROUTES: dict[str, Front] = {
    "/v1/chat/completions": ChatFront(),
    "/v1/embeddings": EmbeddingsFront(),
    "/v1/responses": ResponsesFront(),
    "/v1/messages": MessagesFront(),
    "/v1/messages/count_tokens": CountTokensFront(),
}
# What answers where no front does.
ERRORS = OpenAIErrors()


def find(path: str) -> Front | None:
    """The front at ``path``, percent-encoded as it came."""
    return ROUTES.get(path)
