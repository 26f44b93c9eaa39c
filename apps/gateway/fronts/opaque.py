"""What is passed on without being understood: rerank, images, sound, moderations; checked as far as it is metered.

Source: the public API references of OpenAI (images, audio, moderations) and of Cohere, Jina and vLLM (rerank).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from apps.gateway.errors import InvalidRequest
from apps.gateway.fronts.base import JSON, Arrived, Front, Options, Parsed
from apps.gateway.fronts.openai import OpenAIErrors
from apps.gateway.fronts.parsing import parse_json
from apps.models.providers.base import Operation
from apps.models.providers.dialects.multipart import MalformedForm, field_of, read_form

Name = Annotated[str, Meta(min_length=1, max_length=200)]
# Upper bounds for the hold. Cohere counts a search per hundred documents, long ones in pieces of 500 tokens.
DOCUMENTS_PER_SEARCH = 100
BYTES_PER_DOCUMENT = 500
# An image in the dearest size and quality comes to some 6,200 tokens.
TOKENS_PER_DRAWN_IMAGE = 10_000
# The fewest bytes that a second of intelligible speech takes (Opus at 6 kbit/s), and what is usual.
FEWEST_BYTES_PER_SECOND = 750
USUAL_BYTES_PER_SECOND = 4_000
# Of sound, in and out: published figures are 10 to 50 tokens a second, and people say some 15 characters in one.
AUDIO_TOKENS_PER_SECOND = 100
AUDIO_TOKENS_PER_CHARACTER = 10


class _Plain(msgspec.Struct):
    """What these requests have in common."""

    model: Name
    stream: bool | None = None
    lobby: Options | None = None

    choices = 1
    wants_usage = False
    prompt = None

    @property
    def streams(self) -> bool:
        return bool(self.stream)

    @property
    def max_output(self) -> int | None:
        return 0


class RerankRequest(_Plain, kw_only=True):
    """``POST /v1/rerank``."""

    query: Any
    documents: Annotated[list[Any], Meta(min_length=1, max_length=10_000)]
    top_n: Annotated[int, Meta(ge=1)] | None = None

    operation: ClassVar[Operation] = "rerank"


class ImageRequest(_Plain, kw_only=True):
    """``POST /v1/images/generations``; ``prompt`` is what is to be drawn."""

    text: Annotated[str, Meta(min_length=1)] = msgspec.field(name="prompt")
    n: Annotated[int, Meta(ge=1, le=10)] | None = None

    operation: ClassVar[Operation] = "images.generations"

    @property
    def max_output(self) -> int | None:
        return TOKENS_PER_DRAWN_IMAGE * (self.n or 1)


class SpeechRequest(_Plain, kw_only=True):
    """``POST /v1/audio/speech``."""

    input: Annotated[str, Meta(min_length=1)]
    voice: Any = None

    operation: ClassVar[Operation] = "audio.speech"

    @property
    def streams(self) -> bool:
        """As events or, without them, as sound that is passed on while it is made."""
        return True

    @property
    def max_output(self) -> int | None:
        return AUDIO_TOKENS_PER_CHARACTER * len(self.input)


class ModerationRequest(_Plain, kw_only=True):
    """``POST /v1/moderations``."""

    input: Any

    operation: ClassVar[Operation] = "moderations"


class TranscriptionRequest(_Plain, kw_only=True):
    """``POST /v1/audio/transcriptions``, a form. ``seconds`` is the longest that the sound can be."""

    seconds: int = 0

    operation: ClassVar[Operation] = "audio.transcriptions"

    @property
    def max_output(self) -> int | None:
        return AUDIO_TOKENS_PER_SECOND * self.seconds


class OpaqueFront(OpenAIErrors):
    """Of a JSON body."""

    media_types = frozenset({JSON})

    def __init__(self, request: type[RerankRequest | ImageRequest | SpeechRequest | ModerationRequest]) -> None:
        self.operation: Operation = request.operation
        self._decode = msgspec.json.Decoder(request).decode

    def parse(self, arrived: Arrived) -> Parsed:
        request, fields = parse_json(self._decode, arrived.body)
        return Parsed(request, fields, units=_units(request, len(arrived.body)))

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        """Moderations cost nothing, and an image in a body is no text; the rest is bounded by its bytes."""
        size = sum(len(bytes(raw)) for name, raw in parsed.fields.items() if name not in ("model", "lobby"))
        return (0, 0) if self.operation == "moderations" else (size, max(1, size // 4))


def _units(request: RerankRequest | ImageRequest | SpeechRequest | ModerationRequest, size: int) -> int:
    match request:
        case RerankRequest():
            pieces = len(request.documents) + size // BYTES_PER_DOCUMENT
            return -(-pieces // DOCUMENTS_PER_SEARCH)
        case ImageRequest():
            return request.n or 1
        case SpeechRequest():
            return len(request.input)
    return 0


class TranscriptionsFront(OpenAIErrors):
    operation: Operation = "audio.transcriptions"
    media_types = frozenset({b"multipart/form-data"})

    def parse(self, arrived: Arrived) -> Parsed:
        content_type = arrived.headers.get(b"content-type", b"").decode("latin-1")
        body = arrived.body
        if not content_type.isascii():
            raise InvalidRequest("The form's Content-Type holds a character outside ASCII.", code="invalid_form")
        try:
            parts = read_form(content_type, body)
        except MalformedForm as error:
            raise InvalidRequest(str(error), code="invalid_form") from None
        model = field_of(parts, body, "model")
        if not model or len(model) > 200:
            raise InvalidRequest("'model' is missing: name one in the form.", param="model", code="missing_field")
        size = sum(part.end - part.start for part in parts if part.name == "file" and part.is_file)
        if not size:
            raise InvalidRequest("'file' is missing: send the sound in the form.", param="file", code="missing_field")
        request = TranscriptionRequest(
            model=model,
            stream=field_of(parts, body, "stream") in ("true", "True", "1"),
            seconds=-(-size // FEWEST_BYTES_PER_SECOND),
        )
        usual = -(-size // USUAL_BYTES_PER_SECOND)
        return Parsed(request, {}, body, content_type, units=request.seconds, usual_units=usual)

    def bounds(self, parsed: Parsed) -> tuple[int, int]:
        assert isinstance(parsed.request, TranscriptionRequest)
        usual = parsed.request.seconds * FEWEST_BYTES_PER_SECOND // USUAL_BYTES_PER_SECOND
        return parsed.request.seconds * AUDIO_TOKENS_PER_SECOND, usual


FRONTS: dict[str, Front] = {
    "/v1/rerank": OpaqueFront(RerankRequest),
    "/v1/images/generations": OpaqueFront(ImageRequest),
    "/v1/audio/speech": OpaqueFront(SpeechRequest),
    "/v1/audio/transcriptions": TranscriptionsFront(),
    "/v1/moderations": OpaqueFront(ModerationRequest),
}
