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


class _CalledFunction(msgspec.Struct):
    name: str | None = None


class _Call(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _CalledFunction | None = None


class _Delta(msgspec.Struct):
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    index: int = 0


class _Calls(msgspec.Struct):
    choices: list[_Choice]


_decode_calls = msgspec.json.Decoder(_Calls).decode
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

    __slots__ = ("_calls", "_content", "_null", "_wants_usage")

    def __init__(self, *, wants_usage: bool) -> None:
        super().__init__()
        self._wants_usage = wants_usage
        self._content = _UNKNOWN
        self._null = _UNKNOWN
        # By choice: the id of the call that was begun last, its number, and whether several calls bear one.
        self._calls: dict[int, tuple[str, int, bool]] = {}

    def feed(self, block: bytes) -> bytes:
        block, events = self._whole(block)
        if self._content is _UNKNOWN:
            self._learn_style(block)
        content, null = self._content, self._null
        unwanted: list[int] = []
        renumbered = False
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
            elif b'"tool_calls"' in event and (told := self._with_own_numbers(event)) is not None:
                events[number] = told
                renumbered = True
        if renumbered and not unwanted:
            return b"".join(event + self._separator for event in events)
        return self._without(unwanted, block, events)

    def _with_own_numbers(self, event: bytes) -> bytes | None:
        """Calls side by side that bear one number, as Gemini's do, each with the number of its own by which clients put
        their pieces together; None where nothing is to be changed."""
        try:
            chunk = _decode_calls(data_of(event))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        numbers: list[list[int]] = []
        changed = False
        for choice in chunk.choices:
            last, number, shared = self._calls.get(choice.index, ("", -1, False))
            numbers.append([])
            for call in choice.delta.tool_calls or []:
                named = call.function is not None and bool(call.function.name)
                if named and last and call.id and call.id != last and call.index <= number:
                    number, shared = number + 1, True  # another call under a number that was taken
                elif call.index > number:
                    number = call.index
                last = (call.id or last) if named else last
                numbers[-1].append(number if shared else call.index)
                changed = changed or numbers[-1][-1] != call.index
            self._calls[choice.index] = (last, number, shared)
        if not changed:
            return None
        whole = msgspec.json.decode(data_of(event))
        for choice, given in zip(whole["choices"], numbers, strict=True):
            for call, number in zip(choice["delta"].get("tool_calls") or [], given, strict=True):
                call["index"] = number
        return b"data: " + _encode(whole)

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
