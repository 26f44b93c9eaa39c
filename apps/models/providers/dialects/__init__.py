"""The dialects, by the front operation that speaks each."""

from __future__ import annotations

from apps.models.providers.base import Operation, UpstreamCall
from apps.models.providers.dialects.base import FrontDialect
from apps.models.providers.dialects.chat import ChatDialect
from apps.models.providers.dialects.converse import ConverseDialect
from apps.models.providers.dialects.embeddings import EmbeddingsDialect
from apps.models.providers.dialects.invoke import InvokeDialect
from apps.models.providers.dialects.invoke.embeddings import InvokeEmbeddings
from apps.models.providers.dialects.invoke.shapes import shape_of
from apps.models.providers.dialects.messages import MessagesDialect
from apps.models.providers.dialects.responses import ResponsesDialect
from apps.models.providers.embedding import EmbeddingDialect

CHAT = ChatDialect()
CONVERSE = ConverseDialect()
EMBEDDINGS = EmbeddingsDialect()
INVOKE_EMBEDDINGS = InvokeEmbeddings()
MESSAGES = MessagesDialect()
RESPONSES = ResponsesDialect()
INVOKE = InvokeDialect(MESSAGES)

# Those of conversations; ``invoke`` is one where its body is that of the messages API.
DIALECTS: dict[Operation, FrontDialect] = {
    "chat.completions": CHAT,
    "messages": MESSAGES,
    "converse": CONVERSE,
    "responses": RESPONSES,
    "invoke": INVOKE,
}


def embedding_front(call: UpstreamCall) -> EmbeddingDialect | None:
    """The dialect of a call for embeddings; None of any other call."""
    if call.operation == "embeddings":
        return EMBEDDINGS
    if call.operation == "invoke" and shape_of(call.fields) in ("titan_embedding", "cohere_embedding"):
        return INVOKE_EMBEDDINGS
    return None
