"""The sandbox as an httpx transport: the OpenAI adapter calls it like any upstream, and no byte leaves the process."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
import time
import uuid
from collections.abc import AsyncIterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from apps.models.providers.sandbox import cards as test_cards
from apps.models.providers.sandbox import tokens
from apps.models.providers.sandbox.cards import CardError, Cards
from apps.models.providers.sandbox.chat import CHAT_MODELS, Completion, Event, PrefixCache
from apps.models.providers.sandbox.embedding import DIMENSIONS, embed
from apps.models.providers.sandbox.library import REPOSITORY, Library
from apps.models.providers.sandbox.replies import Writer
from apps.models.providers.sandbox.wire import ChatRequest, EmbeddingsRequest, WireError, read

EMBED_MODEL: Final = "sandbox-embed"
MODELS: Final = (*CHAT_MODELS, EMBED_MODEL)
FIRST_TOKEN_SECONDS: Final = 0.12
TOKENS_PER_SECOND: Final = 120.0
NEVER_SECONDS: Final = 3_600.0
_MAX_INPUTS: Final = 2_048

_encode = msgspec.json.Encoder().encode


class SandboxTransport(httpx.AsyncBaseTransport):
    """Answers ``POST …/chat/completions``, ``POST …/embeddings`` and ``GET …/models``, whatever the host.

    An answer begins after ``first_token_seconds`` and comes at ``tokens_per_second`` (``math.inf``: at once); test
    cards in a request change that. ``docs`` is the directory that holds ``README.md`` and ``docs/``.
    """

    def __init__(
        self,
        *,
        first_token_seconds: float = FIRST_TOKEN_SECONDS,
        tokens_per_second: float = TOKENS_PER_SECOND,
        docs: Path = REPOSITORY,
    ) -> None:
        self._first = first_token_seconds
        self._per_token = 0.0 if math.isinf(tokens_per_second) else 1.0 / tokens_per_second
        self._docs = docs
        self._cache = PrefixCache()

    @cached_property
    def _writer(self) -> Writer:
        return Writer(Library(self._docs))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.rstrip("/")
        headers = {"x-request-id": f"sandbox-{uuid.uuid4().hex}", "openai-version": "sandbox"}
        try:
            if path.endswith("/chat/completions") and request.method == "POST":
                response = await self._chat(await request.aread())
            elif path.endswith("/embeddings") and request.method == "POST":
                response = await self._embeddings(await request.aread())
            elif path.endswith("/models") and request.method == "GET":
                response = _json(_models())
            else:
                raise WireError(404, f"The sandbox has no {request.method} {path}.", code="unknown_url")
        except CardError as error:
            response = _refused(WireError(400, str(error), code="invalid_test_card"))
        except WireError as error:
            response = _refused(error)
        response.headers.update(headers)
        response.request = request
        return response

    async def _chat(self, body: bytes) -> httpx.Response:
        chat = read(body, ChatRequest)
        cards = Cards()
        model = test_cards.take_from_model(chat.model, cards)
        _known(model, CHAT_MODELS)
        for message in reversed(chat.messages):
            if message.role == "user":
                if isinstance(message.content, str):
                    message.content = test_cards.take(message.content, cards)
                for part in message.parts:
                    if part.text:
                        part.text = test_cards.take(part.text, cards)
                break
        # Earlier cards have played; their words are no part of the conversation.
        for message in chat.messages[:-1]:
            if message.role == "user" and isinstance(message.content, str):
                message.content = _without_cards(message.content)
        await self._fail(cards)
        completion = Completion(chat, model, cards, self._writer, self._cache)
        first = self._first if cards.first is None else cards.first
        per_token = self._per_token if cards.chunk is None else cards.chunk
        if chat.stream:
            await _sleep(first)
            stream = _Stream(completion.events(), per_token, cards)
            return httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, stream=stream)
        await _sleep(first + per_token * completion.output_tokens)
        answer = completion.body()
        if cards.cut is not None or cards.stall is not None:
            half = _Stream([Event(answer[: len(answer) // 2], True)], 0.0, cards, after=1)
            return httpx.Response(200, headers={"content-type": "application/json"}, stream=half)
        return _json(answer)

    async def _embeddings(self, body: bytes) -> httpx.Response:
        asked = read(body, EmbeddingsRequest)
        cards = Cards()
        model = test_cards.take_from_model(asked.model, cards)
        _known(model, (EMBED_MODEL,))
        texts = [test_cards.take(text, cards) for text in _texts(asked.input)]
        await self._fail(cards)
        if not texts or len(texts) > _MAX_INPUTS or not all(texts):
            raise WireError(400, f"input is 1 to {_MAX_INPUTS:,} texts, none of them empty.", param="input")
        await _sleep(self._first if cards.first is None else cards.first)
        data: list[dict[str, Any]] = []
        for index, text in enumerate(texts):
            vector: list[float] | str = embed(text, asked.dimensions or DIMENSIONS)
            if asked.encoding_format == "base64":
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
            if index % 32 == 31:
                await asyncio.sleep(0)  # a long list of inputs must not hold up the others on this loop
        answer: dict[str, Any] = {"object": "list", "data": data, "model": model}
        if not cards.no_usage:
            count = sum(tokens.count(text) for text in texts)
            answer["usage"] = {"prompt_tokens": count, "total_tokens": count}
        return _json(_encode(answer))

    async def _fail(self, cards: Cards) -> None:
        if cards.timeout:
            await asyncio.sleep(NEVER_SECONDS)
            raise httpx.ReadTimeout("The sandbox was told not to answer.")
        if cards.status:
            await _sleep(self._first if cards.first is None else cards.first)
            message = f"A simulated error {cards.status}, asked for by a test card."
            code = None if cards.status in (401, 429) else "simulated_error"
            raise WireError(cards.status, message, code=code, retry_after=cards.retry_after)


class _Stream(httpx.AsyncByteStream):
    """Events at their pace, up to where a card breaks them off."""

    def __init__(self, events: list[Event], per_chunk: float, cards: Cards, *, after: int | None = None) -> None:
        self._events = events
        self._per_chunk = per_chunk
        self._cut = after if after is not None and cards.cut is not None else cards.cut
        self._stall = after if after is not None and cards.stall is not None else cards.stall

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        due = loop.time()
        chunks = 0
        for event in self._events:
            if event.is_chunk:
                if chunks == self._cut:
                    break
                if chunks == self._stall:
                    await asyncio.sleep(NEVER_SECONDS)
                if self._per_chunk and chunks:
                    # By the clock rather than by a sleep each: a late chunk does not make all the others late.
                    due = max(due + self._per_chunk, loop.time() - 1.0)
                    await _sleep(due - loop.time())
                chunks += 1
            yield event.data
        if self._stall is not None and chunks <= self._stall:
            await asyncio.sleep(NEVER_SECONDS)
        if self._cut is not None:
            raise httpx.RemoteProtocolError("The sandbox was told to break off its answer.")


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _known(model: str, models: tuple[str, ...]) -> None:
    if model not in models:
        raise WireError(
            404,
            f"The sandbox has no model {model!r} for this; it has {', '.join(models)}.",
            param="model",
            code="model_not_found",
        )


def _texts(given: str | list[str | int | list[int]]) -> list[str]:
    """Lists of token numbers are embedded as the words that their digits make."""
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(item, int) for item in given):
        return [" ".join(map(str, given))]
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in given if not isinstance(item, int)]


def _without_cards(text: str) -> str:
    try:
        return test_cards.take(text, Cards())
    except CardError:
        return text


def _models() -> bytes:
    created = int(time.time()) // 86_400 * 86_400
    listed = [{"id": name, "object": "model", "created": created, "owned_by": "lobby-sandbox"} for name in MODELS]
    return _encode({"object": "list", "data": listed})


def _json(body: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/json"}, content=body)


def _refused(error: WireError) -> httpx.Response:
    headers = {"content-type": "application/json"}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return httpx.Response(error.status, headers=headers, content=error.body)
