"""The dialect of Hugging Face's Text Generation Inference (``inputs`` and ``parameters``): an upstream's side alone.

It takes one text and knows neither roles nor tools, so a conversation is written by the template of the model's family
(the endpoint's setting ``chat_template``: ``plain``, ``chatml``, ``llama3`` or ``mistral``).

Source: the public documentation of Text Generation Inference, "Consuming TGI", and its OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import msgspec

from apps.models.providers.aws.errors import read_error
from apps.models.providers.base import (
    Answer,
    Operation,
    ProviderError,
    StreamDecoder,
    Target,
    Unreadable,
    UpstreamCall,
    Usage,
)
from apps.models.providers.conversation import (
    Block,
    BlockEnded,
    BlockStarted,
    Conversation,
    Delta,
    Document,
    Event,
    Refusal,
    Reply,
    Role,
    Started,
    Stopped,
    StopReason,
    Text,
    Thinking,
    Used,
    Written,
)
from apps.models.providers.dialects.base import EventReader, EventWriter
from apps.models.providers.dialects.chat.wire import checked
from apps.models.providers.framing import ServerSentEvents

_STOPS: dict[str, StopReason] = {"length": "length", "stop_sequence": "stop_sequence"}
# What begins and ends a message of each role, and what asks for the answer.
_TEMPLATES: dict[str, tuple[str, str, str]] = {
    "plain": ("{role}: ", "\n\n", "Assistant:"),
    "chatml": ("<|im_start|>{role}\n", "<|im_end|>\n", "<|im_start|>assistant\n"),
    "llama3": (
        "<|start_header_id|>{role}<|end_header_id|>\n\n",
        "<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
}


class _Details(msgspec.Struct):
    finish_reason: str = ""
    generated_tokens: int = 0
    prefill: list[msgspec.Raw] | None = None
    input_length: int | None = None

    def usage(self) -> Usage | None:
        """None where the input's length is not told."""
        inputs = self.input_length if self.input_length is not None else len(self.prefill or [])
        return checked(Usage(inputs, max(self.generated_tokens, 0))) if inputs > 0 else None


class _Answer(msgspec.Struct):
    generated_text: str
    details: _Details | None = None


class _Token(msgspec.Struct):
    text: str = ""
    special: bool = False


class _Chunk(msgspec.Struct):
    token: _Token | None = None
    generated_text: str | None = None
    details: _Details | None = None
    error: str | None = None


_decode_answer = msgspec.json.Decoder(_Answer | list[_Answer]).decode
_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class TgiDialect:
    """No front speaks it, so only what an upstream is asked and answers is written and read."""

    operation: Operation = "chat.completions"
    stream_type = "text/event-stream"

    def write(
        self, conversation: Conversation, target: Target, *, stream: bool, max_output_tokens: int | None
    ) -> Written:
        dropped = conversation.unsaid(
            "tools", "tool_choice", "parallel_tool_calls", "output_format", "reasoning", "user", "presence_penalty"
        )
        if conversation.cached:
            dropped.append(conversation.name("cache"))
        if conversation.reasoning is not None and conversation.reasoning.summary is not None:
            dropped.append(conversation.name("reasoning.summary"))
        said = [block for message in conversation.messages for block in message.content]
        if any(isinstance(block, Thinking) for block in said):
            dropped.append(conversation.name("thinking"))
        if any(message.name for message in conversation.messages):
            dropped.append("messages.name")
        most = conversation.max_tokens if conversation.max_tokens is not None else max_output_tokens
        sampled = conversation.temperature != 0
        given = {
            "max_new_tokens": most,
            "temperature": conversation.temperature if sampled else None,
            "top_p": conversation.top_p if conversation.top_p is not None and conversation.top_p < 1 else None,
            "top_k": conversation.top_k,
            "stop": conversation.stop or None,
            "seed": conversation.seed,
            "frequency_penalty": conversation.frequency_penalty,
        }
        parameters: dict[str, object] = {name: value for name, value in given.items() if value is not None}
        parameters |= {"return_full_text": False, "details": True}
        if conversation.temperature is not None:
            parameters["do_sample"] = sampled
        if not stream:
            parameters["decoder_input_details"] = True  # so that the input's tokens can be counted
        return Written(
            {"inputs": _prompt(conversation, target), "parameters": parameters, "stream": stream}, tuple(dropped)
        )

    def read(self, body: bytes) -> Reply:
        try:
            answer = _decode_answer(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
        if isinstance(answer, list):
            if not answer:
                raise ProviderError("malformed", "The upstream's answer is empty.")
            answer = answer[0]
        details = answer.details or _Details()
        return Reply("", "", [Text(answer.generated_text)], _STOPS.get(details.finish_reason, "stop"), details.usage())

    def reader(self) -> EventReader:
        return TgiReader()

    def error(self, status: int, headers: httpx.Headers, body: bytes) -> ProviderError:
        return read_error(status, headers, body)

    # What only a front's dialect is asked.

    def body(self, target: Target, call: UpstreamCall) -> bytes:
        raise NotImplementedError

    def passed(self, body: bytes) -> Answer:
        raise NotImplementedError

    def passing(self, call: UpstreamCall) -> StreamDecoder:
        raise NotImplementedError

    def conversation(self, call: UpstreamCall) -> Conversation:
        raise NotImplementedError

    def reply(self, reply: Reply, call: UpstreamCall) -> bytes:
        raise NotImplementedError

    def writer(self, call: UpstreamCall) -> EventWriter:
        raise NotImplementedError


class TgiReader:
    """One text, token by token; the last event tells why it stopped."""

    def __init__(self) -> None:
        self._events = ServerSentEvents()
        self._started = False
        self.finished = False
        self.error: ProviderError | None = None

    def feed(self, block: bytes) -> list[Event]:
        events: list[Event] = []
        for event in self._events.feed(block):
            if self.finished:
                break
            try:
                chunk = _decode_chunk(event.data)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                self.error = ProviderError("malformed", "The upstream sent an event that is no token.")
                break
            if chunk.error is not None:
                self.error = ProviderError("overloaded", chunk.error[:2_000], phase="stream")
                break
            self._read(chunk, events)
        return events

    def _read(self, chunk: _Chunk, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events += [Started("", ""), BlockStarted(0, "text")]
        if chunk.token is not None and chunk.token.text and not chunk.token.special:
            events.append(Delta(0, chunk.token.text))
        if chunk.generated_text is None:
            return
        details = chunk.details or _Details()
        events += [BlockEnded(0), Stopped(_STOPS.get(details.finish_reason, "stop"))]
        usage = details.usage()
        if usage is not None:
            events.append(Used(usage))
        self.finished = True

    def end(self) -> list[Event]:
        raise ProviderError("disconnected", "The upstream ended its stream too early.", phase="stream")


def _prompt(conversation: Conversation, target: Target) -> str:
    template = target.setting("chat_template", "plain")
    turns = [(message.role, _text(message.content)) for message in conversation.messages]
    if template == "mistral":
        return _mistral(turns)
    begin, end, ask = _TEMPLATES.get(template, _TEMPLATES["plain"])
    plain = template not in _TEMPLATES or template == "plain"
    said = [begin.format(role=role.capitalize() if plain else role) + text + end for role, text in turns]
    return "".join(said) + ask


def _mistral(turns: Sequence[tuple[Role, str]]) -> str:
    """It has no system role: what the system says stands before the user's next words."""
    prompt, before = "<s>", ""
    for role, text in turns:
        if role == "system":
            before += text + "\n\n"
        elif role == "user":
            prompt += f"[INST] {before}{text} [/INST]"
            before = ""
        else:
            prompt += f" {text}</s>"
    return prompt


def _text(content: Sequence[Block]) -> str:
    texts = []
    for block in content:
        match block:
            case Text(text) | Refusal(text):
                texts.append(text)
            case Document(name, text=text) if text:
                texts.append(f"{name}\n\n{text}" if name else text)
            case Thinking():
                continue
            case _:
                kind = type(block).__name__
                raise Unreadable(f"A model behind TGI's generate API reads text alone, and no {kind}.")
    return "\n".join(texts)
