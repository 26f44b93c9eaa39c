"""Chat completions: which kind of answer a request gets, cut, counted and written in OpenAI's dialect."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
import struct
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import msgspec

from apps.models.providers.sandbox import judge, tokens, tools
from apps.models.providers.sandbox.cards import Cards
from apps.models.providers.sandbox.filler import Facts, Filler, SchemaError
from apps.models.providers.sandbox.replies import Writer, filler_text
from apps.models.providers.sandbox.tools import Call, ToolError
from apps.models.providers.sandbox.wire import ChatRequest, Message, WireError

FINGERPRINT: Final = "fp_sandbox_1"
REASONER: Final = "sandbox-reasoner"
JUDGE: Final = "sandbox-judge"
CHAT_MODELS: Final = ("sandbox-chat", REASONER, JUDGE)
MAX_OUTPUT: Final = 100_000
REFUSAL: Final = "I'm sorry, but I can't help with that. (A simulated refusal, asked for by a test card.)"
# Shorter prompts are not cached, as with real providers (OpenAI's least is 1,024).
LEAST_CACHED: Final = 64
_PREFIXES_KEPT: Final = 10_000

_encode = msgspec.json.Encoder().encode
_QUOTED_KEY: Final = re.compile(r"[\"'`](\w{1,40})[\"'`]\s*:|[\"'`](\w{1,40})[\"'`]")


@dataclass(slots=True)
class Choice:
    """One answer, as the tokens of its parts."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    finish: str = "stop"

    @property
    def size(self) -> int:
        called = sum(tokens.count(call.name) + tokens.count(call.arguments) for call in self.calls)
        return len(self.text) + len(self.reasoning) + len(self.refusal) + called


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream. ``is_chunk``: it carries a piece of the answer, and takes its time."""

    data: bytes
    is_chunk: bool


class PrefixCache:
    """Which beginnings of prompts were seen before, as a provider's prompt cache knows them. Bounded, oldest out."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def cached(self, parts: list[tuple[bytes, int]]) -> int:
        """Tokens of the longest known run of leading ``parts`` (content, tokens), which is known from now on."""
        digest = b""
        size = hit = 0
        for content, count in parts:
            digest = blake2b(content, key=digest, digest_size=16).digest()
            size += count
            if size < LEAST_CACHED:
                continue
            if digest in self._seen:
                hit = size
                self._seen.move_to_end(digest)
            else:
                self._seen[digest] = None
                if len(self._seen) > _PREFIXES_KEPT:
                    self._seen.popitem(last=False)
        return hit


class Completion:
    """The whole answer to one request. Raises WireError for what cannot be answered."""

    def __init__(self, request: ChatRequest, model: str, cards: Cards, writer: Writer, cache: PrefixCache) -> None:
        self.request = request
        self._writer = writer
        self._cards = cards
        self._model = model
        self._turns = [message.text for message in request.messages if message.role == "user"]
        self._asked = self._turns[-1] if self._turns else ""
        self.id = f"chatcmpl-sandbox-{uuid.uuid4().hex[:24]}"
        self.created = int(time.time())
        try:
            self._tools = tools.read(request.tools or [])
            self.choices = [self._choice(index) for index in range(request.n or 1)]
        except ToolError as error:
            raise WireError(400, str(error), param="tools") from None
        except SchemaError as error:
            param = "response_format" if request.response_format else "tools"
            raise WireError(400, str(error), param=param, code="invalid_json_schema") from None
        self._count(cache)

    @property
    def output_tokens(self) -> int:
        return sum(choice.size for choice in self.choices)

    def body(self) -> bytes:
        answer = self._head("chat.completion")
        answer["choices"] = [
            {
                "index": index,
                "message": self._message(choice),
                "logprobs": self._logprobs(choice.text),
                "finish_reason": choice.finish,
            }
            for index, choice in enumerate(self.choices)
        ]
        if not self._cards.no_usage:
            answer["usage"] = self.usage
        return _encode(answer)

    def events(self) -> list[Event]:
        options = self.request.stream_options
        wants_usage = bool(options and options.include_usage) and not self._cards.no_usage
        head = self._head("chat.completion.chunk")
        if wants_usage:
            head["usage"] = None

        def event(index: int, delta: dict[str, Any], *, finish: str | None = None, piece: str | None = None) -> Event:
            logprobs = None if piece is None else self._logprobs([piece])
            choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            return Event(_event({**head, "choices": [choice]}), bool(delta) and "role" not in delta)

        events: list[Event] = []
        for index, choice in enumerate(self.choices):
            events.append(event(index, {"role": "assistant", "content": None if choice.calls else ""}))
            events += [event(index, {"reasoning_content": piece}) for piece in choice.reasoning]
            events += [event(index, {"refusal": piece}) for piece in choice.refusal]
            events += [event(index, {"content": piece}, piece=piece) for piece in choice.text]
            for number, call in enumerate(choice.calls):
                key, text = ("arguments", call.arguments) if call.kind == "function" else ("input", call.arguments)
                opening = {
                    "index": number,
                    "id": _call_id(),
                    "type": call.kind,
                    call.kind: {"name": call.name, key: ""},
                }
                events.append(event(index, {"tool_calls": [opening]}))
                events += [
                    event(index, {"tool_calls": [{"index": number, call.kind: {key: piece}}]})
                    for piece in tokens.split(text)
                ]
            events.append(event(index, {}, finish=choice.finish))
        if wants_usage:
            events.append(Event(_event({**head, "choices": [], "usage": self.usage}), False))
        return [*events, Event(b"data: [DONE]\n\n", False)]

    # What is answered.

    def _choice(self, index: int) -> Choice:
        request = self.request
        cards = self._cards
        chance = self._chance(index)
        choice = Choice()
        if cards.refuse:
            choice.refusal = tokens.split(REFUSAL)
            return choice
        thought = ""
        if cards.long:
            text = "".join(tokens.split(filler_text(cards.long))[: cards.long])
        elif calls := self._calls():
            choice.calls, text, choice.finish = calls, "", "tool_calls"
            thought = f"A tool fits what is asked: {', '.join(call.name for call in calls)}. I call it."
        else:
            text, thought = self._text(chance)
        if self._model == REASONER or request.reasoning_effort not in (None, "none"):
            topic = ", ".join(list(dict.fromkeys(tokens.terms(self._asked)))[:6]) or "nothing in particular"
            choice.reasoning = tokens.split(f"The user's last message is about {topic}. {thought or 'I answer.'}")
        for stop in [request.stop] if isinstance(request.stop, str) else request.stop or []:
            if stop and stop in text:
                text = text[: text.index(stop)]
        choice.text = tokens.split(text)
        self._cap(choice)
        return choice

    def _cap(self, choice: Choice) -> None:
        """Stop where the request's maximum is reached; reasoning counts, as it does with real models."""
        most = min(self.request.max_completion_tokens or self.request.max_tokens or MAX_OUTPUT, MAX_OUTPUT)
        if choice.size <= most:
            return
        choice.finish = "length"
        choice.reasoning = choice.reasoning[:most]
        left = most - len(choice.reasoning)
        choice.text = choice.text[:left]
        kept: list[Call] = []
        for call in choice.calls:
            left -= tokens.count(call.name)
            if left <= 0:
                break
            pieces = tokens.split(call.arguments)[:left]
            left -= len(pieces)
            kept.append(Call(call.kind, call.name, "".join(pieces)))
        choice.calls = kept

    def _calls(self) -> list[Call]:
        request = self.request
        answering = request.messages[-1].role in ("tool", "function")
        forced = request.tool_choice == "required" or isinstance(request.tool_choice, dict)
        if answering and not forced:
            return []
        chosen = tools.choose(self._tools, request.tool_choice, self._asked)
        return tools.call(chosen, Facts(self._asked), parallel=request.parallel_tool_calls is not False)

    def _text(self, chance: random.Random) -> tuple[str, str]:
        """The answer in words or as JSON, and the thought behind it."""
        results = self._tool_results()
        if results:
            text, thought = tools.tell(results), "The tools have answered; I tell what they said."
            facts = Facts(self._asked + "\n" + "\n".join(content for _, content in results), text)
        else:
            text = thought = ""
            facts = Facts(self._asked)
        wanted = self.request.response_format
        verdict = None
        if self._model == JUDGE:
            everything = "\n\n".join(message.text for message in self.request.messages)
            verdict = judge.judge(everything)
            thought = verdict.reason
            if wanted is None or wanted.type == "text":
                return self._verdict_text(verdict, everything), thought
        elif not text:
            pictures = self._pictures()
            reply = self._writer.reply(self._turns, pictures, chance)
            text, thought = reply.text, reply.thought
        if wanted is None or wanted.type == "text":
            return text, thought
        facts.answer = verdict.reason if verdict else " ".join(text.split())[:600]
        return json.dumps(self._object(wanted.json_schema, facts, verdict), ensure_ascii=False), thought

    def _object(self, json_schema: dict[str, Any] | None, facts: Facts, verdict: judge.Verdict | None) -> Any:
        def prefer(name: str, schema: dict[str, Any]) -> Any:
            return judge.decide(verdict, name, schema) if verdict else None

        if json_schema is not None:
            schema = json_schema.get("schema")
            if not isinstance(schema, dict | bool):
                raise SchemaError("response_format.json_schema.schema is missing")
            return Filler(schema, facts, prefer=prefer).fill()
        system = "\n".join(message.text for message in self.request.messages if message.role != "assistant")
        names = list(dict.fromkeys(one or other for one, other in _QUOTED_KEY.findall(system)))[:20]
        if verdict is not None:
            return _verdict_object(verdict, names or ["score", "reason"])
        if not names:
            return {"answer": facts.answer, "simulated": True}
        return Filler({"type": "object", "properties": {name: {"type": "string"} for name in names}}, facts).fill()

    @staticmethod
    def _verdict_text(verdict: judge.Verdict, instructions: str) -> str:
        if "json" in instructions.lower():
            names = list(dict.fromkeys(filter(None, (one for one, _ in _QUOTED_KEY.findall(instructions)))))
            return json.dumps(_verdict_object(verdict, names or ["score", "reason"]), ensure_ascii=False)
        low, high = verdict.scale
        score = verdict.scaled(low, high, whole=high - low >= 4)
        lines = [f"Score: {score:g}", f"Reason: {verdict.reason}"]
        if verdict.winner:
            lines.insert(0, f"Winner: {verdict.winner}")
        return "\n".join(lines)

    def _tool_results(self) -> list[tuple[str, str]]:
        """(tool, content) of the results that the conversation ends with."""
        names: dict[str, str] = {}
        results: list[Message] = []
        for message in self.request.messages:
            if message.role in ("tool", "function"):
                results.append(message)
                continue
            results = []
            for made in message.tool_calls or ():
                body = made.get(str(made.get("type") or "function"))
                if isinstance(body, dict):
                    names[str(made.get("id"))] = str(body.get("name"))
        return [(names.get(message.tool_call_id or "", message.name or ""), message.text) for message in results]

    def _pictures(self) -> list[str]:
        last = next((message for message in reversed(self.request.messages) if message.role == "user"), None)
        parts = last.parts if last else []
        return [_picture(str((part.image_url or {}).get("url", ""))) for part in parts if part.type == "image_url"]

    def _chance(self, index: int) -> random.Random:
        """The same for the same request, unless it asks for variety (a temperature, and no seed)."""
        request = self.request
        if request.temperature and request.seed is None:
            return random.Random()  # noqa: S311
        choice = 0 if request.temperature == 0 else index
        return random.Random(f"{request.seed}:{choice}:{self._model}:{self._asked}")  # noqa: S311

    # How it is counted and written.

    def _count(self, cache: PrefixCache) -> None:
        parts: list[tuple[bytes, int]] = []
        if self.request.tools:
            written = _encode(self.request.tools)
            parts.append((self._model.encode() + written, tokens.count(written.decode())))
        else:
            parts.append((self._model.encode(), 0))
        for message in self.request.messages:
            written = _encode(message)
            size = tokens.PER_MESSAGE + tokens.count(message.text)
            size += tokens.PER_IMAGE * sum(part.type == "image_url" for part in message.parts)
            if message.tool_calls:
                size += tokens.count(_encode(message.tool_calls).decode())
            parts.append((written, size))
        prompt = sum(size for _, size in parts) + tokens.PER_REPLY
        completion = self.output_tokens
        reasoning = sum(len(choice.reasoning) for choice in self.choices)
        self.usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cache.cached(parts), "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
        }

    @staticmethod
    def _message(choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(choice.text) if choice.text or not (choice.calls or choice.refusal) else None,
            "refusal": "".join(choice.refusal) or None,
        }
        if choice.reasoning:
            message["reasoning_content"] = "".join(choice.reasoning)
        if choice.calls:
            message["tool_calls"] = [
                {
                    "id": _call_id(),
                    "type": call.kind,
                    call.kind: {
                        "name": call.name,
                        "arguments" if call.kind == "function" else "input": call.arguments,
                    },
                }
                for call in choice.calls
            ]
        return message

    def _logprobs(self, pieces: list[str]) -> dict[str, Any] | None:
        """Made up, and the same for the same token: there is no distribution behind a simulated answer."""
        if not self.request.logprobs:
            return None
        content = []
        for piece in pieces:
            likely = -(blake2b(piece.encode(), digest_size=1).digest()[0] + 1) / 1_000
            others = [
                (f"{piece.rstrip()}{'~' * rank}", likely - rank) for rank in range(self.request.top_logprobs or 0)
            ]
            content.append({**_logprob(piece, likely), "top_logprobs": [_logprob(*other) for other in others]})
        return {"content": content, "refusal": None}


def _verdict_object(verdict: judge.Verdict, names: list[str]) -> dict[str, Any]:
    made = {}
    for name in names:
        value = None
        if judge.is_number(name) and name.lower() != "result":
            value = judge.decide(verdict, name, {"type": "number"})
        made[name] = judge.decide(verdict, name, None) if value is None else value
        if made[name] is None:
            made[name] = verdict.passed
    return made


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"


def _call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _logprob(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": round(value, 6), "bytes": list(token.encode())}


def _picture(url: str) -> str:
    """What an image is, as far as its first bytes tell. An image elsewhere is not fetched."""
    if not url.startswith("data:"):
        return "one at an address, which I do not fetch"
    kind, _, encoded = url[5:].partition(";base64,")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return "one that is not valid base64"
    size = ""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        size = "{} × {} pixels, ".format(*struct.unpack(">II", content[16:24]))
    elif content[:6] in (b"GIF87a", b"GIF89a") and len(content) >= 10:
        size = "{} × {} pixels, ".format(*struct.unpack("<HH", content[6:10]))
    return f"{re.sub(r'[^a-z0-9/+.-]', '', kind.lower())[:40] or 'unknown type'}, {size}{len(content):,} bytes"
