"""Where a call is sent, and which credential is shown there: the address and authentication of a provider's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol
from urllib.parse import quote

import httpx

from apps.models.providers.base import Operation, Target, UpstreamCall

# The newest that is no preview.
AZURE_API_VERSION = "2024-10-21"
AZURE_RESPONSES_SINCE = "2025-03-01-preview"
ATTEMPT_HEADER = "x-lobby-attempt-id"
# What the caches below keep at the most: targets of past snapshots are let go.
MAX_PREPARED = 10_000

Address = Callable[[Target, Operation, bool], str]


class Service(Protocol):
    def request(
        self, target: Target, operation: Operation, call: UpstreamCall, body: bytes, *, attempt_id: str
    ) -> httpx.Request:
        """``operation`` is the upstream's, in whose dialect ``body`` is written; ``call`` is the caller's."""
        ...


class HeaderService:
    """One header shows the credential: ``authorization`` (as a bearer token) or another (bare).

    ``address`` gives the URL; ``headers`` go with every call, the caller's own in the place of those of the same name.
    """

    def __init__(
        self,
        address: Address,
        *,
        credential: Literal["authorization", "api-key", "x-api-key"] = "authorization",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._address = address
        self._credential = credential
        self._headers = tuple((headers or {}).items())
        self._prepared: dict[tuple[Target, Operation, bool], tuple[httpx.URL, list[tuple[str, str]]]] = {}

    def request(
        self, target: Target, operation: Operation, call: UpstreamCall, body: bytes, *, attempt_id: str
    ) -> httpx.Request:
        key = (target, operation, call.stream)
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            prepared = self._prepared[key] = self._prepare(target, operation, call.stream)
        url, headers = prepared
        if call.headers and operation == call.operation:  # else they speak of another dialect
            headers = [*(each for each in headers if each[0] not in call.headers), *call.headers.items()]
        return httpx.Request(
            "POST",
            url,
            headers=[*headers, ("content-type", call.content_type), (ATTEMPT_HEADER, attempt_id)],
            content=body,
        )

    def _prepare(self, target: Target, operation: Operation, stream: bool) -> tuple[httpx.URL, list[tuple[str, str]]]:
        url = httpx.URL(self._address(target, operation, stream))
        headers = [
            ("host", url.netloc.decode("ascii")),
            ("accept-encoding", "identity"),
            ("user-agent", "lobby"),
            *self._headers,
        ]
        if target.credential:
            bearer = self._credential == "authorization"
            headers.append((self._credential, f"Bearer {target.credential}" if bearer else target.credential))
        return url, headers


OPENAI_PATHS: Mapping[Operation, str] = {
    "chat.completions": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "rerank": "/rerank",
    "images.generations": "/images/generations",
    "audio.transcriptions": "/audio/transcriptions",
    "audio.speech": "/audio/speech",
    "moderations": "/moderations",
}


def openai_address(target: Target, operation: Operation, stream: bool) -> str:
    return target.base_url.rstrip("/") + OPENAI_PATHS[operation]


def azure_address(target: Target, operation: Operation, stream: bool) -> str:
    """A deployment's own address with the version of the API, or the one that names the deployment in the body, as
    OpenAI's own API does: that of version 1, and of responses."""
    version = target.setting("api_version", AZURE_API_VERSION)
    base = target.base_url.rstrip("/").removesuffix("/v1").removesuffix("/openai") + "/openai"
    path = OPENAI_PATHS[operation]
    if version in ("v1", "preview"):
        return f"{base}/v1{path}" + ("?api-version=preview" if version == "preview" else "")
    deployment = "" if operation == "responses" else f"/deployments/{quote(target.upstream_model, safe='')}"
    return f"{base}{deployment}{path}?api-version={quote(version, safe='')}"


def azure_native(target: Target) -> str:
    """The conversations that this version of Azure's API knows, as the setting ``native`` says it."""
    version = target.setting("api_version", AZURE_API_VERSION)
    has_responses = version in ("v1", "preview") or version >= AZURE_RESPONSES_SINCE
    return "chat.completions, responses" if has_responses else "chat.completions"


# The version that every model takes: the next one, 2026-10-21, refuses what older models can still be told.
ANTHROPIC_VERSION = "2023-06-01"
ANTHROPIC_PATHS: Mapping[Operation, str] = {"messages": "/messages", "count_tokens": "/messages/count_tokens"}


def anthropic_address(target: Target, operation: Operation, stream: bool) -> str:
    """The official client's base URL has no version; ours may have it, as OpenAI's has."""
    return target.base_url.rstrip("/").removesuffix("/v1") + "/v1" + ANTHROPIC_PATHS[operation]
