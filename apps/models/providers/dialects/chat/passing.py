"""Chat completions between two sides that both speak them: the bytes pass, the usage is read.

Only the model's name is put in, usage is asked for, and what is Lobby's own is taken out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apps.models.providers.base import Target, UpstreamCall
from apps.models.providers.dialects.chat.wire import ChatUsage
from apps.models.providers.framing import PassingEvents, data_of
from apps.models.providers.openai_errors import read_error_event

# Fields that are Lobby's own and mean nothing upstream.
OWN_FIELDS = ("lobby", "prompt")

_encode = msgspec.json.Encoder().encode
_NONE = msgspec.Raw(b"null")
_USAGE_ON = msgspec.Raw(b'{"include_usage":true}')


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _Call(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    """Where servers put text, under each name that they give it."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    function_call: _Function | None = None
    tool_calls: list[_Call] | None = None

    @property
    def says_more(self) -> bool:
        """Whether there is text beside the ``content``."""
        if self.reasoning_content or self.reasoning or self.refusal:
            return True
        functions = [self.function_call, *(call.function for call in self.tool_calls or ())]
        return any(function is not None and function.arguments for function in functions)


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    index: int = 0


class _Event(msgspec.Struct):
    usage: ChatUsage | None = None
    choices: list[_Choice] | None = None
    error: msgspec.Raw = _NONE


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


class PassingStream(PassingEvents):
    """Passes whole events on as they come, and reads usage, errors and the end on the way.

    An event that is only the usage we asked for is taken out when the caller did not ask for it, and so is an error
    event: what the caller is told of it is not for the decoder to say.
    """

    __slots__ = ("_calls", "_wants_usage")

    def __init__(self, *, wants_usage: bool) -> None:
        super().__init__()
        self._wants_usage = wants_usage
        # By choice: the id of the call that was begun last, its number, and whether several calls bear one.
        self._calls: dict[int, tuple[str, int, bool]] = {}

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
        if parsed.error is not _NONE and bytes(parsed.error) != b"null":
            self.error = read_error_event(parsed.error)
            return b""
        says_something = calls = False
        for choice in parsed.choices or ():
            if (delta := choice.delta) is not None:
                says_something = says_something or bool(delta.content) or delta.says_more
                calls = calls or delta.tool_calls is not None
        if says_something:
            self.output_tokens += 1
        if parsed.usage is not None:
            self.usage = parsed.usage.normalised()
            if not parsed.choices and not self._wants_usage:
                return b""
        if calls:
            return self._with_own_numbers(event, data, parsed.choices or [])
        return event

    def _with_own_numbers(self, event: bytes, data: bytes, choices: list[_Choice]) -> bytes:
        """Calls side by side that bear one number, as Gemini's do, each with the number of its own by which clients put
        their pieces together."""
        numbers: list[list[int]] = []
        changed = False
        for choice in choices:
            last, number, shared = self._calls.get(choice.index, ("", -1, False))
            numbers.append([])
            for call in (choice.delta.tool_calls if choice.delta is not None else None) or []:
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
            return event
        whole = msgspec.json.decode(data)
        for choice, given in zip(whole["choices"], numbers, strict=True):
            for call, number in zip((choice.get("delta") or {}).get("tool_calls") or [], given, strict=True):
                call["index"] = number
        return b"data: " + _encode(whole)
