"""Chat completions between two sides that both speak them: the bytes pass, the usage is read.

Only the model's name is put in, usage is asked for, and what is Lobby's own is taken out.
"""

from __future__ import annotations

import re

import msgspec

from apps.models.providers.base import Target, UpstreamCall
from apps.models.providers.dialects.chat.wire import ChatUsage
from apps.models.providers.dialects.openai_errors import read_error_event
from apps.models.providers.framing import PassingEvents, data_of

# Fields that are Lobby's own and mean nothing upstream.
OWN_FIELDS = ("lobby", "prompt")

_encode = msgspec.json.Encoder().encode
_USAGE_ON = msgspec.Raw(b'{"include_usage":true}')


class _Event(msgspec.Struct):
    usage: ChatUsage | None = None
    choices: list[msgspec.Raw] | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_decode_event = msgspec.json.Decoder(_Event).decode


def request_body(target: Target, call: UpstreamCall, max_tokens_field: str) -> bytes:
    fields = {**call.fields, "model": msgspec.Raw(_encode(target.upstream_model))}
    for name in OWN_FIELDS:
        fields.pop(name, None)
    if call.stream:
        fields["stream_options"] = _with_usage(fields.get("stream_options"))
    if call.max_output_tokens is not None:
        fields[max_tokens_field] = msgspec.Raw(b"%d" % call.max_output_tokens)
    return _encode(fields)


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


class PassingStream(PassingEvents):
    """Passes whole events on as they come, and reads usage, errors and the end on the way.

    An event that is only the usage we asked for is taken out when the caller did not ask for it, and so is an error
    event: what the caller is told of it is not for the decoder to say. Nearly all events are a piece of text and
    nothing else; they are told by their bytes, and only the others are parsed.
    """

    __slots__ = ("_content", "_null", "_wants_usage")

    def __init__(self, *, wants_usage: bool) -> None:
        super().__init__()
        self._wants_usage = wants_usage
        self._content = _UNKNOWN
        self._null = _UNKNOWN

    def feed(self, block: bytes) -> bytes:
        block, events = self._whole(block)
        if self._content is _UNKNOWN:
            self._learn_style(block)
        content, null = self._content, self._null
        unwanted: list[int] = []
        for number, event in enumerate(events):
            start = event.find(content)
            if (
                start >= 0
                and event.endswith(b"}")  # else it was cut short
                and event[start + len(content) : start + len(content) + 1] != b'"'
                and (event.endswith(null) or b'"usage"' not in event)
            ):
                self.output_tokens += 1
            elif not self._read(event):
                unwanted.append(number)
                if self.error is not None:
                    unwanted.extend(range(number + 1, len(events)))
                    break
        return self._without(unwanted, block, events)

    def _learn_style(self, block: bytes) -> None:
        """A server writes all its events alike: the first key's colon shows how."""
        colon = block.find(b'":')
        if colon >= 0:
            space = b" " if block[colon + 2 : colon + 3] == b" " else b""
            self._content = b'"content":%s"' % space
            self._null = b'"usage":%snull}' % space

    def _read(self, event: bytes) -> bool:
        """Read an event that is more, or less, than a piece of text; False when it is not for the caller."""
        data = data_of(event)
        if data == b"[DONE]":
            self.finished = True
        if not data or self.finished:
            return True
        try:
            parsed = _decode_event(data)
        except msgspec.ValidationError:
            return True  # not ours to judge: it passes as it came
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return self._unreadable()
        if parsed.usage is not None:
            self.usage = parsed.usage.normalised()
        if bytes(parsed.error) != b"null":
            self.error = read_error_event(parsed.error)
            return False
        if _OTHER_TEXT(data):
            self.output_tokens += 1
        return parsed.usage is None or self._wants_usage or bool(parsed.choices)
