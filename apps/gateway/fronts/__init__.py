"""The front APIs, by their addresses."""

from __future__ import annotations

from apps.gateway.fronts import bedrock
from apps.gateway.fronts.base import Errors, Front
from apps.gateway.fronts.bedrock import AwsErrors
from apps.gateway.fronts.messages import CountTokensFront, MessagesFront
from apps.gateway.fronts.opaque import FRONTS as OPAQUE
from apps.gateway.fronts.openai import ChatFront, EmbeddingsFront, OpenAIErrors
from apps.gateway.fronts.responses import ResponsesFront

ROUTES: dict[str, Front] = {
    "/v1/chat/completions": ChatFront(),
    "/v1/embeddings": EmbeddingsFront(),
    "/v1/responses": ResponsesFront(),
    "/v1/messages": MessagesFront(),
    "/v1/messages/count_tokens": CountTokensFront(),
    **OPAQUE,
}
# What answers where no front does.
_OPENAI_ERRORS, _AWS_ERRORS = OpenAIErrors(), AwsErrors()


def find(path: str) -> Front | None:
    """The front at ``path``, percent-encoded as it came."""
    return ROUTES.get(path) or bedrock.find(path)


def takes_signatures(path: str) -> bool:
    """Whether AWS SDKs call there, which sign in the place of showing a key."""
    return path.startswith(bedrock.PREFIX)


def errors_at(path: str) -> Errors:
    """How errors are written where there is no front."""
    return _AWS_ERRORS if path.startswith(bedrock.PREFIX) else _OPENAI_ERRORS
