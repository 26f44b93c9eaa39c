"""What is passed on without being understood: rerank, images, sound, moderations. Only the usage is read.

An upstream of the same API answers, or none: these operations are not translated. Each is metered in its own units,
which the upstream tells, or which are counted from what was sent and what came back.

Source: the public API references of OpenAI (images, audio, moderations) and of Cohere, Jina and vLLM (rerank).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

import httpx
import msgspec
from msgspec import Raw

from apps.models.providers.base import Answer, Operation, ProviderError, StreamDecoder, Target, UpstreamCall, Usage
from apps.models.providers.dialects.chat.passing import OWN_FIELDS
from apps.models.providers.dialects.chat.wire import MAX_TOKENS
from apps.models.providers.dialects.multipart import read_form, replaced
from apps.models.providers.framing import NoStream, PassingEvents, data_of
from apps.models.providers.openai_errors import read_error, read_error_answer, read_error_event

# What an answer may come as: nothing else is passed on to a caller.
_SOUNDS = ("audio/", "application/octet-stream")
_WORDS = ("application/json", "text/plain", "text/vtt", "application/x-subrip")
_ANSWERED_AS: dict[Operation, tuple[str, ...]] = {
    "rerank": ("application/json",),
    "images.generations": ("application/json",),
    "audio.speech": _SOUNDS,
    "audio.transcriptions": _WORDS,
    "moderations": ("application/json",),
}
# Sound without a length: what a second of it takes at the bit rates that speech is usually kept in.
USUAL_BYTES_PER_SECOND = 4_000

_encode = msgspec.json.Encoder().encode


class _Details(msgspec.Struct):
    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0


class _Usage(msgspec.Struct):
    """Of images and of sound, by tokens or (``seconds``) by duration; of rerank, ``total_tokens`` alone."""

    type: str = ""
    seconds: float = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _BilledUnits(msgspec.Struct):
    search_units: float | None = None
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    billed_units: _BilledUnits | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None
    meta: _Meta | None = None
    duration: float | str | None = None
    data: list[Raw] | None = None


class _Failure(msgspec.Struct):
    error: Raw = Raw(b"null")


class _Event(msgspec.Struct):
    type: str = ""
    usage: _Usage | None = None
    error: Raw = Raw(b"null")


_decode = msgspec.json.Decoder(_Answer).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_text = msgspec.json.Decoder(str).decode


class OpaqueDialect:
    """``operation``'s. A call whose body is a form has it in ``content``."""

    stream_type = "text/event-stream"

    def __init__(self, operation: Operation) -> None:
        self.operation: Operation = operation

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        if call.content:
            parts = read_form(call.content_type, call.content)
            return replaced(parts, call.content, {"model": target.upstream_model})
        fields = {name: raw for name, raw in call.fields.items() if name not in OWN_FIELDS or name == "prompt"}
        return _encode({**fields, "model": target.upstream_model})

    def passed(self, body: bytes) -> Answer:
        raise NotImplementedError("An opaque answer is read knowing its call: see answered().")

    def answered(self, call: UpstreamCall, headers: httpx.Headers, body: bytes) -> Answer:
        """Raises ``ProviderError`` (malformed)."""
        content_type = headers.get("content-type", "application/json")
        is_json = content_type.lower().startswith("application/json")
        if is_json:
            _check(body)
        if not content_type.lower().startswith(_ANSWERED_AS[self.operation]):
            raise ProviderError("malformed", f"The upstream answered as {content_type[:100]}.")
        told = _Answer()
        if is_json:
            try:
                told = _decode(body)
            except msgspec.ValidationError:
                pass  # it tells its usage in some way of its own
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
                message = f"The upstream's answer is not what its API promises: {error}"
                raise ProviderError("malformed", message) from None
        return Answer(body, self._usage(call, told, body), content_type)

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        return OpaqueStream(self, call)

    def streaming(self, call: UpstreamCall, headers: httpx.Headers) -> StreamDecoder:
        """Events, or speech itself as it is spoken. Raises ``ProviderError`` (malformed)."""
        content_type = headers.get("content-type", "")
        if content_type.lower().startswith(self.stream_type):
            return self.passing(call)
        if self.operation == "audio.speech" and content_type.lower().startswith(_SOUNDS):
            return SoundStream(call, content_type)
        if content_type.lower().startswith("application/json"):
            return NoStream(_check)
        raise ProviderError("malformed", f"The upstream answered a stream as {content_type[:100] or 'nothing known'}.")

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)

    def _usage(self, call: UpstreamCall, told: _Answer, body: bytes) -> Usage | None:
        usage = self.tokens(told.usage)
        match self.operation:
            case "rerank":
                billed = told.meta.billed_units if told.meta is not None else None
                searches = billed.search_units if billed is not None else None
                return _with_units(usage, _whole(searches) if searches is not None else 1)
            case "images.generations":
                return _with_units(usage, len(told.data or []))
            case "audio.speech":
                return _with_units(usage, characters(call.fields))
            case "audio.transcriptions":
                if usage is not None and told.usage is not None and told.usage.input_tokens is not None:
                    return usage
                seconds = seconds_told(told, body) or sound_seconds(call)
                return _with_units(usage, seconds)
        return usage or Usage()

    def tokens(self, told: _Usage | None) -> Usage | None:
        """What an upstream tells in tokens; None where it tells nothing, or what cannot be true."""
        if told is None:
            return None
        inputs = told.input_tokens_details or told.input_token_details or _Details()
        outputs = told.output_tokens_details or _Details()
        given = told.input_tokens if told.input_tokens is not None else told.prompt_tokens
        if given is None:
            given = told.total_tokens or 0
        drawn = (told.output_tokens or 0) if self.operation == "images.generations" else 0
        usage = Usage(
            input_tokens=max(given, 0),
            output_tokens=max(told.output_tokens or 0, 0),
            cached_tokens=max(inputs.cached_tokens, 0),
            audio_input_tokens=max(inputs.audio_tokens, 0),
            audio_output_tokens=max(
                outputs.audio_tokens or (told.output_tokens or 0 if self.operation == "audio.speech" else 0), 0
            ),
            image_input_tokens=max(inputs.image_tokens, 0),
            image_output_tokens=max(outputs.image_tokens or drawn, 0),
        )
        return usage if max(usage.input_tokens, usage.output_tokens) <= MAX_TOKENS else None


class OpaqueStream(PassingEvents):
    """The last of the events tells the usage."""

    __slots__ = ("_call", "_dialect")

    def __init__(self, dialect: OpaqueDialect, call: UpstreamCall) -> None:
        super().__init__()
        self._dialect = dialect
        self._call = call

    def _passed(self, event: bytes) -> bytes:
        data = data_of(event)
        if data == b"[DONE]":
            self.finished = True
        if not data or self.finished:
            return event
        try:
            parsed = _decode_event(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return self._unread(event, data)
        if bytes(parsed.error) != b"null":
            self.error = read_error_event(parsed.error)
            return b""
        self.output_tokens += 1
        if parsed.type.endswith((".done", ".completed")) and parsed.type != "transcript.text.segment.done":
            self._end(parsed.usage)
        return event

    def _end(self, told: _Usage | None) -> None:
        self.finished = True
        usage = self._dialect.tokens(told)
        match self._dialect.operation:
            case "audio.speech":
                self.usage = _with_units(usage, characters(self._call.fields))
            case "audio.transcriptions" if usage is None or not usage.input_tokens:
                seconds = told.seconds if told is not None and told.seconds else None
                self.usage = _with_units(usage, _whole(seconds) if seconds else sound_seconds(self._call))
            case "images.generations":
                self.usage = _with_units(usage, 1)
            case _:
                self.usage = usage

    def end(self) -> bytes:
        if not self.finished:
            raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")
        return b""


class SoundStream:
    """Passes speech on as it comes. Its price is that of the text, and is due as soon as some of it was heard."""

    begun: Usage | None = None
    error: ProviderError | None = None
    finished = False  # it ends where the body ends

    def __init__(self, call: UpstreamCall, media_type: str) -> None:
        self._call = call
        self.media_type = media_type
        self.usage: Usage | None = None
        self.output_tokens = 0

    def feed(self, block: bytes) -> bytes:
        if self.usage is None and block:
            self.usage = _with_units(None, characters(self._call.fields))
            self.output_tokens = 1
        return block

    def end(self) -> bytes:
        if self.usage is None:
            raise ProviderError("malformed", "The upstream answered without a sound.")
        return b""


OPAQUE: Mapping[Operation, OpaqueDialect] = {
    operation: OpaqueDialect(operation)
    for operation in ("rerank", "images.generations", "audio.transcriptions", "audio.speech", "moderations")
}


def _check(body: bytes) -> None:
    """Raises what an error says that stands in the place of an answer."""
    try:
        failure = _decode_failure(body).error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return
    if bytes(failure) != b"null":
        raise read_error_answer(failure)


def _with_units(usage: Usage | None, units: int) -> Usage:
    base = usage or Usage()
    return base.plus(Usage(units=min(max(units, 0), MAX_TOKENS)))


def _whole(number: float) -> int:
    """Rounded up: a part of a second or of a search is charged as a whole one."""
    bounded = min(max(number, 0.0), float(MAX_TOKENS)) if number == number else 0.0
    return int(bounded) + (bounded % 1 > 0)


def characters(fields: Mapping[str, Raw]) -> int:
    """Of the text that is to be spoken."""
    try:
        return len(_decode_text(fields.get("input", b'""')))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0


def seconds_told(told: _Answer, body: bytes) -> int:
    """The length of the sound as the answer tells it: in its usage, as its duration, or by its last subtitle; 0 where
    it does not."""
    if told.usage is not None and told.usage.seconds:
        return _whole(told.usage.seconds)
    if told.duration is not None:
        try:
            return _whole(float(told.duration))
        except ValueError:
            return 0
    ends = _SUBTITLE.findall(body)
    if not ends:
        return 0
    hours, minutes, seconds, parts = (int(number or 0) for number in ends[-1])
    return hours * 3600 + minutes * 60 + seconds + (parts > 0)


_SUBTITLE = re.compile(rb"--> (?:(\d\d):)?(\d\d):(\d\d)[.,](\d{3})")


def sound_seconds(call: UpstreamCall) -> int:
    """The length of an uploaded sound: exactly for WAV, else by its size."""
    parts = read_form(call.content_type, call.content) if call.content else []
    seconds = 0
    for part in parts:
        if part.is_file:
            head = call.content[part.start : part.start + 4096]
            size = part.end - part.start
            seconds += wav_seconds(head, size) or -(-size // USUAL_BYTES_PER_SECOND)
    return seconds


def wav_seconds(head: bytes, size: int) -> int:
    """Of a RIFF file of ``size`` bytes that begins with ``head``; 0 where it is none."""
    at = head.find(b"fmt ")
    if not head.startswith(b"RIFF") or at < 0 or len(head) < at + 20:
        return 0
    (rate,) = struct.unpack_from("<I", head, at + 16)
    data = head.find(b"data", at)
    return -(-(size - (data + 8 if data > 0 else 0)) // rate) if rate else 0
