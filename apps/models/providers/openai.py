"""The OpenAI dialect: chat completions and embeddings, for OpenAI and every server that speaks like it.

Front and upstream speak the same here, so the caller's fields pass as they are and the answer's bytes pass untouched;
only the model's name is put in, usage is asked for, and usage is read.
"""

from __future__ import annotations

import re

import httpx
import msgspec

from apps.models.providers.base import Answer, ErrorKind, ProviderError, Target, UpstreamCall, Usage

PATHS = {"chat.completions": "/chat/completions", "embeddings": "/embeddings"}
MAX_EVENT_BYTES = 8 * 1024 * 1024
MAX_ERROR_TEXT = 2_000
MAX_ERROR_WORD = 200
# A count above this, a hundred times any model's context, is a fault of the upstream and no usage.
MAX_TOKENS = 100_000_000

# Fields that are Lobby's own and mean nothing upstream.
OWN_FIELDS = ("lobby", "prompt")

CALLER_STATUSES = frozenset({400, 404, 405, 409, 413, 415, 422})
CREDENTIAL_STATUSES = frozenset({401, 402, 403})

_encode = msgspec.json.Encoder().encode
_USAGE_ON = msgspec.Raw(b'{"include_usage":true}')


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None

    def normalised(self) -> Usage | None:
        """None when the counts cannot be true."""
        inputs, outputs = self.prompt_tokens_details, self.completion_tokens_details
        usage = Usage(
            input_tokens=max(self.prompt_tokens or 0, 0),
            output_tokens=max(self.completion_tokens or 0, 0),
            cached_tokens=max((inputs.cached_tokens if inputs else 0) or 0, 0),
            cache_write_tokens=max((inputs.cache_write_tokens if inputs else 0) or 0, 0),
            reasoning_tokens=max((outputs.reasoning_tokens if outputs else 0) or 0, 0),
        )
        counts = (
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )
        return usage if max(counts) <= MAX_TOKENS else None


class _Answer(msgspec.Struct):
    """Just what we read of an answer: the rest stays bytes."""

    usage: _Usage | None = None


class _Event(msgspec.Struct):
    usage: _Usage | None = None
    choices: list[msgspec.Raw] | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class _ErrorDetail(msgspec.Struct):
    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail | str | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_error = msgspec.json.Decoder(_ErrorBody).decode
_decode_detail = msgspec.json.Decoder(_ErrorDetail | str).decode


class OpenAIAdapter:
    """``auth_header`` is ``authorization`` (bearer) or ``api-key`` (bare)."""

    def __init__(self, auth_header: str = "authorization") -> None:
        self._auth_header = auth_header
        self._prepared: dict[tuple[Target, str], tuple[httpx.URL, list[tuple[str, str]], msgspec.Raw]] = {}

    def _prepare(self, target: Target, operation: str) -> tuple[httpx.URL, list[tuple[str, str]], msgspec.Raw]:
        url = httpx.URL(target.base_url.rstrip("/") + PATHS[operation])
        headers = [
            ("host", url.netloc.decode("ascii")),
            ("content-type", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", "lobby"),
        ]
        if target.credential:
            value = f"Bearer {target.credential}" if self._auth_header == "authorization" else target.credential
            headers.append((self._auth_header, value))
        return url, headers, msgspec.Raw(_encode(target.upstream_model))

    def build_request(self, target: Target, call: UpstreamCall, *, attempt_id: str) -> httpx.Request:
        key = (target, call.operation)
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) > 10_000:  # targets of past snapshots
                self._prepared.clear()
            prepared = self._prepared[key] = self._prepare(target, call.operation)
        url, headers, model = prepared
        fields = {**call.fields, "model": model}
        for name in OWN_FIELDS:
            fields.pop(name, None)
        if call.stream:
            fields["stream_options"] = _with_usage(fields.get("stream_options"))
        if call.max_output_tokens is not None:
            name = dict(target.settings).get("max_tokens_field", "max_completion_tokens")
            fields[name] = msgspec.Raw(b"%d" % call.max_output_tokens)
        return httpx.Request(
            "POST", url, headers=[*headers, ("x-lobby-attempt-id", attempt_id)], content=_encode(fields)
        )

    def parse(self, call: UpstreamCall, body: bytes) -> Answer:
        try:
            answer = _decode_answer(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
        return Answer(body, answer.usage.normalised() if answer.usage is not None else None)

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        detail = _ErrorDetail()
        try:
            parsed = _decode_error(body).error
            detail = _ErrorDetail(message=parsed) if isinstance(parsed, str) else parsed or detail
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            pass  # not JSON (an HTML page of some proxy): the status alone speaks
        message = detail.message[:MAX_ERROR_TEXT] or f"The upstream answered {status}."
        return ProviderError(
            _kind_of(status),
            message,
            status=status,
            retry_after=_retry_after(headers),
            code=_word(detail.code),
            type=_word(detail.type),
            param=_word(detail.param),
        )

    def stream_decoder(self, call: UpstreamCall, *, wants_usage: bool) -> OpenAIStreamDecoder:
        return OpenAIStreamDecoder(wants_usage=wants_usage)


def _kind_of(status: int) -> ErrorKind:
    if status in CALLER_STATUSES:
        return "caller"
    if status in CREDENTIAL_STATUSES:
        return "credential"
    return "rate_limited" if status == 429 else "timeout" if status in (408, 504) else "overloaded"


def _retry_after(headers: httpx.Headers) -> float | None:
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    """The caller's ``stream_options`` with usage asked for, whatever else they hold."""
    if options is None or bytes(options) == b"null":
        return _USAGE_ON
    merged = msgspec.json.decode(options, type=dict[str, msgspec.Raw])
    merged["include_usage"] = msgspec.Raw(b"true")
    return msgspec.Raw(_encode(merged))


# Where a delta carries text, under each name that servers give it. Within a JSON string every quote is escaped, so no
# text of a model can look like one of these. The byte after tells an empty text: a quote.
_OTHER_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning|arguments|refusal)": ?"(?!")').search


# Stands in for a mark until the stream has shown its style: no event holds it.
_UNKNOWN = b"\x00"


class OpenAIStreamDecoder:
    """Passes whole events on as they come, and reads usage, errors and the end on the way.

    An event that is only the usage we asked for is taken out when the caller did not ask for it, and so is an error
    event: what the caller is told of it is not for the decoder to say. Nearly all events are a piece of text and
    nothing else; they are told by their bytes, and only the others are parsed.
    """

    __slots__ = (
        "_content",
        "_null",
        "_separator",
        "_tail",
        "_wants_usage",
        "error",
        "finished",
        "output_tokens",
        "usage",
    )

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._tail = bytearray()
        self._separator = b""
        self._content = _UNKNOWN
        self._null = _UNKNOWN
        self.usage: Usage | None = None
        self.finished = False
        self.output_tokens = 0
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> bytes:
        tail = self._tail
        if tail:
            if b"\n" not in block:
                tail += block
                self._check_size()
                return b""
            block = bytes(tail) + block
            tail.clear()
        if not self._separator or self._content is _UNKNOWN:
            self._learn_style(block)
        separator = self._separator or b"\n\n"
        events = block.split(separator)
        rest = events.pop()
        if rest:
            tail += rest
            self._check_size()
            block = block[: len(block) - len(rest)]
        content, null = self._content, self._null
        unwanted: list[int] = []
        for number, event in enumerate(events):
            start = event.find(content)
            if (
                start >= 0
                and event[start + len(content) : start + len(content) + 1] != b'"'
                and (event.endswith(null) or b'"usage"' not in event)
            ):
                self.output_tokens += 1
            elif not self._read(event):
                unwanted.append(number)
        if unwanted:
            return b"".join(event + separator for number, event in enumerate(events) if number not in unwanted)
        return block

    def _learn_style(self, block: bytes) -> None:
        """A server writes all its events alike: the first line's end and the first key's colon show how."""
        line = block.find(b"\n")
        if line > 0 and not self._separator:
            self._separator = b"\r\n\r\n" if block[line - 1 : line] == b"\r" else b"\n\n"
        colon = block.find(b'":')
        if colon >= 0:
            space = b" " if block[colon + 2 : colon + 3] == b" " else b""
            self._content = b'"content":%s"' % space
            self._null = b'"usage":%snull}' % space

    def _check_size(self) -> None:
        if len(self._tail) > MAX_EVENT_BYTES:
            raise ProviderError("malformed", f"The upstream sent an event of more than {MAX_EVENT_BYTES:,} bytes.")

    def _read(self, event: bytes) -> bool:
        """Read an event that is more, or less, than a piece of text; False when it is not for the caller."""
        lines = event.replace(b"\r\n", b"\n").split(b"\n")
        data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
        if data == b"[DONE]":
            self.finished = True
        if not data or self.finished:
            return True
        try:
            parsed = _decode_event(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return True  # not ours to judge: it passes as it came
        if parsed.usage is not None:
            self.usage = parsed.usage.normalised()
        if bytes(parsed.error) != b"null":
            self.error = _error_event(parsed.error)
            return False
        if _OTHER_TEXT(data):
            self.output_tokens += 1
        return parsed.usage is None or self._wants_usage or bool(parsed.choices)


def _error_event(raw: msgspec.Raw) -> ProviderError:
    try:
        detail = _decode_detail(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        detail = ""
    if isinstance(detail, str):
        detail = _ErrorDetail(message=detail)
    return ProviderError(
        "overloaded",
        detail.message[:MAX_ERROR_TEXT] or "The upstream reported an error in the stream.",
        code=_word(detail.code),
        type=_word(detail.type),
        param=_word(detail.param),
        phase="stream",
    )


def _word(value: str | int | None) -> str | None:
    return None if value is None else str(value)[:MAX_ERROR_WORD]
