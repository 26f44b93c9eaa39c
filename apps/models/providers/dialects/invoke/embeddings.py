"""Embeddings by InvokeModel: the shapes of Amazon's Titan and of Cohere's models.

Source: the public Amazon Bedrock user guide, "Amazon Titan Embeddings" and "Cohere Embed".
"""

from __future__ import annotations

from typing import Any

import msgspec

from apps.models.providers.base import Operation, ProviderError, Target, Unreadable, UpstreamCall, Usage
from apps.models.providers.conversation import Written
from apps.models.providers.dialects.invoke.shapes import counted, shape_of
from apps.models.providers.embedding import EmbeddingReply, EmbeddingRequest

_encode = msgspec.json.Encoder().encode
MAX_COHERE_TEXTS = 96
_DOCUMENT = "search_document"


class _TitanRequest(msgspec.Struct):
    inputText: str = ""
    dimensions: int | None = None


class _CohereRequest(msgspec.Struct):
    texts: list[str] = []
    input_type: str = _DOCUMENT
    output_dimension: int | None = None
    embedding_types: list[str] | None = None


class _ByType(msgspec.Struct):
    floats: list[list[float]] | None = msgspec.field(default=None, name="float")


class _Answer(msgspec.Struct):
    """Titan's or Cohere's."""

    embedding: list[float] | None = None
    embeddings: list[list[float]] | _ByType | None = None
    inputTextTokenCount: int | None = None


_decode_titan = msgspec.json.Decoder(_TitanRequest).decode
_decode_cohere = msgspec.json.Decoder(_CohereRequest).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode


class InvokeEmbeddings:
    operation: Operation = "invoke"

    # The front's side.

    def request(self, call: UpstreamCall) -> EmbeddingRequest:
        fields = _encode(call.fields)
        try:
            if shape_of(call.fields) == "cohere_embedding":
                cohere = _decode_cohere(fields)
                known = _CohereRequest.__struct_fields__
                others = [name for name in call.fields if name not in known]
                if bytes(call.fields.get("truncate", b"")) == b'"NONE"':
                    others.remove("truncate")  # as it is elsewhere
                types = cohere.embedding_types
                if types is not None and types != ["float"]:
                    raise Unreadable("Only the type 'float' can be had of this model's provider.", "embedding_types")
                return EmbeddingRequest(cohere.texts, cohere.output_dimension, cohere.input_type, others)
            titan = _decode_titan(fields)
        except msgspec.ValidationError as error:
            raise Unreadable(str(error)) from None
        others = [name for name in call.fields if name not in ("inputText", "dimensions")]
        if bytes(call.fields.get("normalize", b"")) == b"true":
            others.remove("normalize")  # as it is elsewhere
        return EmbeddingRequest([titan.inputText], titan.dimensions, others=others)

    def reply(self, reply: EmbeddingReply, call: UpstreamCall) -> bytes:
        tokens = reply.usage.input_tokens if reply.usage is not None else 0
        if shape_of(call.fields) == "titan_embedding":
            vector = reply.vectors[0] if reply.vectors else []
            return _encode({"embedding": vector, "inputTextTokenCount": tokens})
        asked = _decode_cohere(_encode(call.fields))
        by_type = asked.embedding_types is not None
        return _encode(
            {
                "id": "",
                "texts": asked.texts,
                "embeddings": {"float": reply.vectors} if by_type else reply.vectors,
                "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
            }
        )

    # The upstream's side.

    def write(self, request: EmbeddingRequest, target: Target) -> Written:
        dropped = list(request.others)
        model = f"{target.setting('family')}.{target.upstream_model}".lower()
        if "cohere" in model:
            if len(request.inputs) > MAX_COHERE_TEXTS:
                raise Unreadable(f"This model takes at most {MAX_COHERE_TEXTS} inputs in one request.", "input")
            fields: dict[str, Any] = {
                "texts": list(request.inputs),
                "input_type": request.purpose or target.setting("input_type", _DOCUMENT),
                "embedding_types": ["float"],
            }
            if request.dimensions is not None:
                fields["output_dimension"] = request.dimensions
            return Written(fields, tuple(dropped))
        if len(request.inputs) != 1:
            raise Unreadable(
                f"This model takes one input in a request, and {len(request.inputs):,} were sent: send each by itself.",
                "input",
            )
        fields = {"inputText": request.inputs[0]}
        if request.purpose is not None:
            dropped.append("input_type")
        if request.dimensions is not None:
            if "titan-embed-text-v1" in model or "titan-embed-g1" in model:
                dropped.append("dimensions")  # its vectors have 1,536 numbers, always
            else:
                fields["dimensions"] = request.dimensions
        return Written(fields, tuple(dropped))

    def read(self, body: bytes) -> EmbeddingReply:
        """Cohere's models tell their usage in a header alone."""
        try:
            answer = _decode_answer(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
        usage: Usage | None = None
        if answer.inputTextTokenCount is not None:
            usage = counted(answer.inputTextTokenCount, 0)
        match answer:
            case _Answer(embedding=list(vector)):
                return EmbeddingReply([vector], usage)
            case _Answer(embeddings=list(vectors)) | _Answer(embeddings=_ByType(floats=list(vectors))):
                return EmbeddingReply(vectors, usage)
        raise ProviderError("malformed", "The upstream's answer holds no embedding.")
