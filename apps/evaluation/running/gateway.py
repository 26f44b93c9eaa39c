"""Models as a run calls them: through Lobby's own gateway, with its limits, budgets, access and ledger."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import msgspec

from apps.evaluation.running.streamed import BrokenOff, whole
from apps.gateway import job_tokens
from apps.tenants.models import ApiKey, Project, User

# What one call is tried for by itself, where the upstream or the way to it failed.
MOST_TRIES: Final = 4
FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 30.0
CALL_SECONDS: Final = 620.0  # the gateway ends a call long before
_RETRIED: Final = frozenset({408, 409, 425, 500, 502, 503, 504, 529})
# The project's budget: no call of this run would be let through.
_BUDGET: Final = frozenset({"budget_exceeded", "insufficient_quota"})
_WITHDRAWN: Final = frozenset(
    {"model_not_found", "licence_not_accepted", "prompt_not_found", "prompt_version_not_found", "job_ended"}
)
# The gateway learns a moment later of what was saved just now. Until then such a refusal may be of something new.
NEWS_SECONDS: Final = 5.0
_PERHAPS_NEW: Final = frozenset({"model_not_found", "prompt_not_found", "prompt_version_not_found"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and what it took."""

    text: str
    tool_calls: tuple[Mapping[str, Any], ...]
    finish_reason: str
    request_id: str
    duration_ms: int
    input_tokens: int
    output_tokens: int
    cost_picousd: int
    tries: int = 1
    first_token_ms: int | None = None  # of a streamed one


@dataclass(frozen=True, slots=True)
class Embedded:
    vectors: tuple[tuple[float, ...], ...]
    cost_picousd: int


class CallFailed(Exception):
    """This call has no answer, and trying again would not give one."""

    def __init__(self, code: str, message: str, *, request_id: str = "", tries: int = 1) -> None:
        super().__init__(message)
        self.code = code[:60]
        self.message = message[:500]
        self.request_id = request_id[:64]
        self.tries = tries


class Halted(Exception):
    """No call of this run can be made now: the run pauses, and says why."""


class Interrupted(Exception):
    """The worker gives its items back: nothing is wrong with this one."""


class Pace:
    """How fast a run may go now: shared by its threads. A 429 halves the calls at once, and answers win them back."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._allowed = float(most)
        self._resume_at = 0.0
        self._stop = threading.Event()
        self.trouble = ""
        """Why it waits, for the run's page; empty while it does not."""

    @property
    def allowed(self) -> int:
        return max(1, int(self._allowed))

    def stop(self) -> None:
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def wait(self) -> None:
        """Until calls may go out. Raises ``Interrupted`` when the worker stops."""
        while True:
            left = self._resume_at - time.monotonic()
            if self._stop.wait(max(0.0, left)):
                raise Interrupted
            if self._resume_at <= time.monotonic():
                return

    def pause(self, seconds: float) -> None:
        """One call's own patience. Raises ``Interrupted``."""
        if self._stop.wait(seconds):
            raise Interrupted

    def held(self, seconds: float, why: str) -> None:
        with self._lock:
            resume_at = time.monotonic() + seconds
            if resume_at > self._resume_at:
                if self._resume_at <= time.monotonic():  # of several refusals of one moment the first one counts
                    self._allowed = max(1.0, self._allowed / 2)
                self._resume_at = resume_at
            self.trouble = why

    def answered(self) -> None:
        with self._lock:
            self._allowed = min(self.most, self._allowed + 1 / max(self._allowed, 1.0))
            if self._resume_at <= time.monotonic():
                self.trouble = ""


class Token:
    """A job's token, made anew before it expires."""

    def __init__(self, project: Project, *, user: User | None, api_key: ApiKey | None, purpose: str) -> None:
        self._facts = {
            "project_id": project.pk,
            "user_id": 0 if api_key is not None or user is None else user.pk,
            "key_prefix": "" if api_key is None else api_key.prefix,
            "purpose": purpose,
        }
        self._made_at = 0.0
        self._text = ""
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            if not self._text or time.monotonic() - self._made_at > job_tokens.LIFETIME_SECONDS / 3:
                self._text = job_tokens.issue(**self._facts)  # type: ignore[arg-type]
                self._made_at = time.monotonic()
            return self._text


class Gateway:
    """Chat completions and embeddings for one run. Safe to use from many threads; close it when the worker ends."""

    def __init__(self, base_url: str, token: Callable[[], str], pace: Pace) -> None:
        self._token = token
        self._pace = pace
        self._news_until = time.monotonic() + NEWS_SECONDS
        self._client = httpx.Client(
            base_url=base_url,
            timeout=httpx.Timeout(CALL_SECONDS, connect=10.0),
            limits=httpx.Limits(max_connections=pace.most * 2, max_keepalive_connections=pace.most * 2),
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def chat(self, body: Mapping[str, Any], *, halts: bool = True, streams: bool = False) -> Answer:
        """Raises ``CallFailed``, ``Halted`` or ``Interrupted``. With ``halts`` a model that may not be called ends more
        than this call. With ``streams`` the time of the first token is known."""
        if streams:
            body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        tries = 0
        while True:
            response, more = self._post("/v1/chat/completions", body, halts=halts)
            tries += more
            try:
                return _streamed(response, tries) if streams else _answer(response, response.json(), tries)
            except BrokenOff as broken:
                if tries >= MOST_TRIES:
                    raise CallFailed(broken.code, str(broken), request_id=_request_id(response), tries=tries) from None
                self._pace.pause(_backoff(tries))
            except (ValueError, KeyError, TypeError, IndexError, AttributeError):
                raise CallFailed(
                    "unreadable_answer",
                    "The answer is no chat completion.",
                    request_id=_request_id(response),
                    tries=tries,
                ) from None

    def embed(self, model: str, texts: tuple[str, ...]) -> Embedded:
        """Raises as ``chat`` does."""
        response, tries = self._post("/v1/embeddings", {"model": model, "input": list(texts)}, halts=False)
        try:
            rows = sorted(response.json()["data"], key=lambda row: row["index"])
            vectors = tuple(tuple(float(value) for value in row["embedding"]) for row in rows)
        except (ValueError, KeyError, TypeError):
            raise CallFailed("unreadable_answer", "The answer holds no embeddings.", tries=tries) from None
        if len(vectors) != len(texts):
            raise CallFailed("unreadable_answer", f"{len(texts)} texts have {len(vectors)} embeddings.", tries=tries)
        return Embedded(vectors, _number(response, "x-lobby-cost-picousd"))

    def _post(self, path: str, body: Mapping[str, Any], *, halts: bool) -> tuple[httpx.Response, int]:
        content = msgspec.json.encode(body)
        tries = 0
        while True:
            self._pace.wait()
            tries += 1
            try:
                response = self._client.post(
                    path,
                    content=content,
                    headers={"authorization": f"Bearer {self._token()}", "content-type": "application/json"},
                )
            except httpx.ConnectError:
                tries -= 1  # nothing was asked
                self._pace.held(
                    min(LONGEST_BACKOFF, 2.0), "Lobby's gateway does not answer; the run goes on when it does."
                )
                continue
            except httpx.TransportError as error:
                if tries >= MOST_TRIES:
                    raise CallFailed(
                        "connection_broken", f"The call broke off ({type(error).__name__}).", tries=tries
                    ) from None
                self._pace.pause(_backoff(tries))
                continue
            if response.status_code == 200:
                self._pace.answered()
                return response, tries
            tries -= self._refused(response, tries, halts=halts)

    def _refused(self, response: httpx.Response, tries: int, *, halts: bool) -> int:
        """Wait, where the call may be tried again: 1 where that try does not count. Raises where it may not."""
        code, kind, message = _error(response)
        if response.status_code == 402 or code in _BUDGET or kind in _BUDGET:
            raise Halted(message)
        if response.status_code == 429 and code != "request_over_limit":
            wait = _retry_after(response) or _backoff(tries)
            self._pace.held(min(wait, LONGEST_BACKOFF), message)
            return 1
        if code in _PERHAPS_NEW and time.monotonic() < self._news_until:
            self._pace.pause(_backoff(tries))
            return 1
        if response.status_code == 401 or (halts and (response.status_code == 403 or code in _WITHDRAWN)):
            raise Halted(message)
        if response.status_code in _RETRIED and tries < MOST_TRIES:
            self._pace.pause(min(_retry_after(response) or _backoff(tries), LONGEST_BACKOFF))
            return 0
        raise CallFailed(code or f"http_{response.status_code}", message, request_id=_request_id(response), tries=tries)


def _streamed(response: httpx.Response, tries: int) -> Answer:
    body, figures = whole(response.text)
    answer = _answer(response, body, tries)
    first = figures.get("first_token_ms")
    return replace(
        answer,
        duration_ms=int(figures.get("duration_ms") or 0),
        cost_picousd=int(figures.get("cost_picousd") or 0),
        first_token_ms=None if first is None else int(first),
    )


def _answer(response: httpx.Response, body: Mapping[str, Any], tries: int) -> Answer:
    choice = body["choices"][0]
    message, usage = choice["message"], body.get("usage") or {}
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    return Answer(
        text=content or "",
        tool_calls=tuple(_tool_call(each) for each in message.get("tool_calls") or ()),
        finish_reason=str(choice.get("finish_reason") or "")[:40],
        request_id=_request_id(response),
        duration_ms=_number(response, "x-lobby-duration-ms"),
        input_tokens=int(usage.get("prompt_tokens") or 0),
        output_tokens=int(usage.get("completion_tokens") or 0),
        cost_picousd=_number(response, "x-lobby-cost-picousd"),
        tries=tries,
    )


def _tool_call(call: Mapping[str, Any]) -> dict[str, str]:
    function = call.get("function") or {}
    return {"name": str(function.get("name") or ""), "arguments": str(function.get("arguments") or "")}


def _request_id(response: httpx.Response) -> str:
    return str(response.headers.get("x-lobby-request-id", ""))[:64]


def _number(response: httpx.Response, name: str) -> int:
    text = response.headers.get(name, "")
    return int(text) if text.isdigit() else 0


def _error(response: httpx.Response) -> tuple[str, str, str]:
    """(code, type, message)."""
    try:
        error = response.json()["error"]
        return str(error.get("code") or ""), str(error.get("type") or ""), str(error.get("message") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", "", f"The gateway answered with the status {response.status_code}."


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0


def _backoff(tries: int) -> float:
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** (tries - 1)) * random.uniform(0.8, 1.2)  # noqa: S311
