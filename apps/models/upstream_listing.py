"""Reading a provider's own list of models: ``GET {base_url}/models`` of an OpenAI-compatible server; the others'
lists are read in ``kind_listings.py`` by the same means.

The answer is a stranger's: it is bounded in time, bytes and entries, redirects are not followed, and the connection
goes to the very address that the guard has checked.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx
import msgspec

from apps.models.errors import DiscoveryFailed
from apps.models.names import is_model_name
from apps.models.trust import tls_context
from apps.models.types import Capability, ModelKind
from apps.models.urls_guard import CheckedUrl, check_url, resolve

MAX_BYTES: Final = 8 * 1024**2
MAX_MODELS: Final = 2_000
CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 3.0
TOTAL_TIMEOUT_S: Final = 5.0
# Codes of a DiscoveryFailed.
UNRESOLVED: Final = "host_unknown"
UNREACHED: Final = "host_unreachable"
REFUSED: Final = "credential_refused"
MAY_NOT_LIST: Final = "credential_may_not_list"
NO_TLS: Final = "tls_not_spoken"
UNTRUSTED: Final = "certificate_not_trusted"

# What is said of a credential that is known and may not do this, and of one that is none: both come as 401 and as 403.
_SCOPES: Final = ("missing scopes", "insufficient permissions")
_NO_CREDENTIAL: Final = re.compile(
    rb"unrecognizedclient|signature|security token|expired|clienttokenid"
    rb"|(invalid|incorrect|unknown|wrong)[ _](x-)?api[ _-]?key|api[ _-]?key (is )?(not valid|invalid|incorrect)",
    re.I,
)
_MAX_WORDS: Final = 20_000

# OpenSSL's reasons where the other side answered in something that is no TLS.
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})

_EMBEDDING: Final = re.compile(
    r"embed|(^|[/-])(bge|gte|e5|minilm|all-mpnet|ada-002)([-.:]|$)|sentence-transformers", re.I
)
_OTHERS: Final = (
    (ModelKind.RERANK, re.compile(r"rerank", re.I)),
    (ModelKind.TRANSCRIPTION, re.compile(r"whisper|transcri", re.I)),
    (ModelKind.SPEECH, re.compile(r"(^|[/-])tts|kokoro|orpheus", re.I)),
    (ModelKind.IMAGE, re.compile(r"dall-e|gpt-image|imagen|stable-diffusion|flux|(^|/)gemini-.*-image", re.I)),
    (ModelKind.MODERATION, re.compile(r"moderation", re.I)),
)
_NEITHER: Final = re.compile(r"realtime|sora|(^|[/-])(babbage|davinci)-|turbo-instruct|computer-use", re.I)
_OPENAI: Final = re.compile(r"(chatgpt-)?(gpt-4o|gpt-4\.1|gpt-5|o[134])(?!.*(audio|search))")
_CLAUDE: Final = re.compile(r"(^|[./])claude-(3|sonnet|opus|haiku)")
_GEMINI: Final = re.compile(r"(^|/)gemini-")
_TOOL_USERS: Final = re.compile(r"nova-(micro|lite|pro|premier)|llama[3-4]|mistral-(large|small)|pixtral|command-r")
_REASONING: Final = re.compile(r"(^|[/-])(o[1-9]|gpt-5|gpt-oss|qwq|deepseek-r|magistral)|reason|think", re.I)


class _Entry(msgspec.Struct):
    id: str
    owned_by: str | None = None
    max_model_len: int | None = None  # vLLM
    context_length: int | None = None  # several routers
    context_window: int | None = None  # Groq


class _Listing(msgspec.Struct):
    data: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class ListedModel:
    """``priced_as`` is the name that price lists know it by, where that is not ``upstream_model``."""

    upstream_model: str
    kind: ModelKind
    owner: str = ""
    context_tokens: int | None = None
    name: str = ""
    priced_as: str = ""
    capabilities: tuple[str, ...] = ()
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class UpstreamListing:
    """``skipped`` counts entries that Lobby does not serve: sessions, films, names it cannot take."""

    models: tuple[ListedModel, ...]
    skipped: int


def guess_kind(upstream_model: str) -> ModelKind | None:
    """From the name, the only thing that such a list tells; None for what Lobby does not serve."""
    for kind, names in _OTHERS:
        if names.search(upstream_model):
            return kind
    if _EMBEDDING.search(upstream_model):
        return ModelKind.EMBEDDING
    return None if _NEITHER.search(upstream_model) else ModelKind.CHAT


def guess_capabilities(upstream_model: str, kind: ModelKind) -> list[str]:
    """What a model of that name most likely takes: nothing is refused on this ground, people are told."""
    if kind != ModelKind.CHAT:
        return []
    found = [Capability.STREAMING]
    if _OPENAI.match(upstream_model) or _GEMINI.search(upstream_model):
        found += [Capability.TOOLS, Capability.JSON_SCHEMA, Capability.VISION]
    elif _CLAUDE.search(upstream_model):
        found += [Capability.TOOLS, Capability.VISION]
    elif _TOOL_USERS.search(upstream_model):
        found += [Capability.TOOLS]
    if _REASONING.search(upstream_model):
        found.append(Capability.REASONING)
    return [capability.value for capability in found]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a provider's list is read, and with which credential: what ``Provider`` says of it."""

    kind: str
    base_url: str
    credential: str | None = field(default=None, repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float = CONNECT_TIMEOUT_S


def read_listing(place: Place) -> UpstreamListing:
    """The provider's models now. Blocks for at most about ``TOTAL_TIMEOUT_S``. Raises DiscoveryFailed, UrlRefused.

    No message of either holds the credential or anything the server said beyond its status.
    """
    from apps.models import kind_listings  # which reads by means of this module

    return kind_listings.READERS.get(place.kind, _read_openai)(place)


def _read_openai(place: Place) -> UpstreamListing:
    headers = {"Authorization": f"Bearer {place.credential}"} if place.credential is not None else {}
    return parse_listing(get(place, f"{place.base_url}/models", headers))


def parse_listing(body: bytes) -> UpstreamListing:
    """The models of a ``/models`` answer; a malformed entry is skipped, a malformed answer is DiscoveryFailed."""
    try:
        raw = msgspec.json.decode(body, type=_Listing).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DiscoveryFailed("The answer to GET /models is not a list of models.") from None
    models: dict[str, ListedModel] = {}
    skipped = max(0, len(raw) - MAX_MODELS)
    for item in raw[:MAX_MODELS]:
        try:
            entry = msgspec.json.decode(item, type=_Entry)
        except (msgspec.DecodeError, UnicodeDecodeError):
            skipped += 1
            continue
        entry.id = entry.id.removeprefix("models/")  # Gemini's
        kind = guess_kind(entry.id)
        if kind is None or not is_model_name(entry.id):
            skipped += 1
            continue
        context = entry.max_model_len or entry.context_length or entry.context_window
        models[entry.id] = ListedModel(
            upstream_model=entry.id,
            kind=kind,
            owner=plain(entry.owned_by or ""),
            context_tokens=context if context and 0 < context < 2**31 else None,
        )
    return UpstreamListing(tuple(models.values()), skipped)


def plain(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:100]


def get(place: Place, address: str, headers: Mapping[str, str]) -> bytes:
    """The body of ``address``, which may have a query. Raises DiscoveryFailed, UrlRefused."""
    plain, _, query = address.partition("?")
    checked = check_url(plain)
    try:
        found = resolve(checked)[0]
    except (OSError, IndexError):
        raise DiscoveryFailed(f"The name {checked.host} does not resolve.", code=UNRESOLVED) from None
    # Connect to the address that was checked, and still speak TLS and HTTP with the host that was named.
    named = httpx.URL(checked.url)
    url = named.copy_with(host=found, query=query.encode() or None)
    headers = {
        **headers,
        "Host": named.netloc.decode("ascii"),
        "Accept": "application/json",
        "Accept-Encoding": "identity",
    }
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=place.connect_timeout)
    body = bytearray()
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False, verify=tls_context()) as client,
            client.stream("GET", url, headers=headers, extensions={"sni_hostname": checked.host}) as response,
        ):
            if response.status_code != 200:
                raise _refusal(response)
            if response.headers.get("content-encoding", "identity") != "identity":
                raise DiscoveryFailed("The server compressed its answer although it was asked not to.")
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise DiscoveryFailed(f"The list of models is longer than {MAX_BYTES // 1024**2} MB.")
                if time.monotonic() > deadline:
                    raise DiscoveryFailed(f"The list of models took longer than {TOTAL_TIMEOUT_S:g} s.")
    except httpx.HTTPError as error:
        raise unreached(error, checked) from None
    return bytes(body)


def unreached(error: Exception, checked: CheckedUrl) -> DiscoveryFailed:
    """Why there was no answer at all, in a sentence of its own; the code is UNREACHED, NO_TLS or UNTRUSTED."""
    where = f"{checked.host}:{checked.port}"
    if isinstance(error, httpx.TimeoutException):
        return DiscoveryFailed(f"{where} did not answer in time.", code=UNREACHED)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return DiscoveryFailed(
                f"The certificate of {where} is not trusted: {cause.verify_message}.", code=UNTRUSTED
            )
        if isinstance(cause, ssl.SSLError):
            if cause.reason in _NOT_TLS:
                return DiscoveryFailed(f"{where} answers, but does not speak TLS.", code=NO_TLS)
            return DiscoveryFailed(f"{where} answers, but no TLS connection could be agreed on.", code=NO_TLS)
        if isinstance(cause, ConnectionRefusedError):
            return DiscoveryFailed(f"{where} cannot be reached: nothing listens there.", code=UNREACHED)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return DiscoveryFailed(f"{where} closed the connection without an answer in HTTP.", code=UNREACHED)
    return DiscoveryFailed(f"{where} cannot be reached from this machine.", code=UNREACHED)


def _refusal(response: httpx.Response) -> DiscoveryFailed:
    status = response.status_code
    if status in (401, 403):
        words = response.headers.get("x-amzn-errortype", "").encode()
        for chunk in response.iter_raw():
            words += chunk
            if len(words) > _MAX_WORDS:
                break
        if any(scope.encode() in words.lower() for scope in _SCOPES) or (
            status == 403 and not _NO_CREDENTIAL.search(words)
        ):
            message = f"The credential may not read the list of models ({status}). Name the models yourself."
            return DiscoveryFailed(message, code=MAY_NOT_LIST)
        return DiscoveryFailed(f"The server refused the credential ({status}).", code=REFUSED)
    if 300 <= status < 400:
        return DiscoveryFailed(f"The server redirects elsewhere ({status}). Enter the URL that it redirects to.")
    return DiscoveryFailed(f"The server answered the question for its models with {status}.")
