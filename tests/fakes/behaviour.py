"""How one request to a fake upstream is to be answered, read from a directive such as ``chunks=50 delay_ms=20``.

A directive is a list of ``key=value`` pairs divided by commas, semicolons or blanks. It is found, each later place
overriding the earlier ones, in

1. the model's name, behind its first ``@``: ``fake-chat@fail=503,retry_after=2``;
2. the request's ``metadata.fake``: ``{"metadata": {"fake": "chunks=50"}}``;
3. any message's text, in double brackets: ``Hello [[chunks=50 delay_ms=20]]`` (its words count as prompt, too);
4. the server's mode, set by ``POST /__control`` (or started with ``--mode``).

An unknown key or a malformed value is answered with a 400 that names it: a typing error must not look like a passing
test.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Final

STATUSES: Final = frozenset({400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529})
FAULTS: Final = frozenset(
    {
        "close",  # the connection is closed before any header
        "reset",  # the same, by a TCP reset
        "close_headers",  # closed after the headers
        "close_mid",  # closed after `at` chunks, without the body's end
        "reset_mid",  # the same, by a TCP reset
        "error_event",  # an error event after `at` chunks, then the stream's regular end, without [DONE]
        "cut_event",  # after `at` chunks half an event, then the connection closes
        "cut_event_clean",  # after `at` chunks half an event, then a well-formed end of the HTTP body
        "cut_utf8",  # after `at` chunks an event cut inside a UTF-8 character, then the connection closes
        "no_done",  # all chunks, a well-formed end of the HTTP body, but no [DONE]
        "malformed_json",  # a body (or, after `at` chunks, an event) that is no JSON
        "empty",  # 200 with an empty body
        "error_200",  # 200 with an error in the place of the answer, or of the stream
    }
)
STALLS: Final = frozenset({"headers", "first", "mid"})
USAGES: Final = frozenset({"normal", "missing", "zero", "every"})
BODIES: Final = frozenset({"openai", "html", "text", "empty"})

_BRACKETS: Final = re.compile(r"\[\[([^\[\]]*)\]\]")
_DIVIDER: Final = re.compile(r"[,;\s]+")


class DirectiveError(ValueError):
    """A directive holds an unknown key or a value of the wrong form."""


@dataclasses.dataclass(frozen=True, slots=True)
class Behaviour:
    """What the upstream does with one request. Delays are in milliseconds; the defaults answer at once and in full."""

    chunks: int = 8
    """Content chunks (= completion tokens) of a text answer, per choice."""
    size: int = 0
    """Bytes of text in each content chunk; 0 for a short word. ``chunks=1 size=20000000`` is a huge answer."""
    headers_ms: float = 0
    """Delay before the response's headers."""
    ttft_ms: float = 0
    """Delay between the headers and the first byte of the body."""
    delay_ms: float = 0
    """Delay between two events of a stream."""
    fail: str = ""
    """A status (``503``) answered instead of the completion, or one of FAULTS."""
    at: int = 1
    """After how many content chunks a fault or stall inside a stream happens."""
    stall: str = ""
    """Where the answer stops for good, the connection staying open: before the ``headers``, the ``first`` byte, or
    ``mid`` stream.
    """
    first: int = 0
    """With N > 0 the faults and stalls befall only the first N requests bearing the same ``key``."""
    every: int = 0
    """With N > 0 the faults and stalls befall only each Nth request bearing the same ``key``."""
    key: str = ""
    """The name under which ``first`` and ``every`` count."""
    body: str = "openai"
    """The form of a failure's body: one of BODIES."""
    retry_after: str = ""
    """The ``Retry-After`` header of a failure; a 429 has 1 unless told otherwise, ``none`` leaves it out."""
    code: str = ""
    """The ``code`` in a failure's error object."""
    usage: str = "normal"
    """One of USAGES: ``missing`` leaves usage out, ``zero`` sends explicit zeros, ``every`` sends it cumulatively on
    each chunk.
    """
    prompt_tokens: int = -1
    """Overrides the count of prompt words where it is 0 or more."""
    cached: int = 0
    """``prompt_tokens_details.cached_tokens``; elsewhere what was read of a cache."""
    cache_write: int = 0
    """Tokens of the prompt written to a cache for five minutes, where the API tells them."""
    cache_write_1h: int = 0
    """The same for an hour."""
    reasoning: int = 0
    """``completion_tokens_details.reasoning_tokens``; they are billed within completion_tokens, on top of the
    chunks.
    """
    split: int = 0
    """Writes the answer in pieces of so many bytes, each a TCP segment of its own."""
    drip_ms: float = 0
    """Delay between the pieces of ``split``."""
    crlf: bool = False
    """SSE lines end in CR LF."""
    comments: bool = False
    """An SSE comment before each event."""
    utf8: bool = False
    """Content of multi-byte characters."""
    stamp: bool = False
    """Each content chunk is ``<index>@<CLOCK_MONOTONIC in ns at its sending> ``."""
    gzip: bool = False
    """The body is gzip-encoded, whether or not the client accepts that."""
    content_type: str = ""
    """Overrides the response's content type."""
    each: bool = False
    """Every event of an undelayed stream is sent in its own turn of the event loop instead of all in one write."""
    parrot: str = ""
    """Repeats all messages as its answer where the last one holds this word, in any case."""
    choice: int = 0
    """Which value of an ``enum`` a structured answer has, counted from 0."""
    tool: str = ""
    """Calls the tool of this name (``tool`` alone: the first) even where ``tool_choice`` leaves it open, if it stands
    in the last message; once the tool has answered, its words are the answer.
    """

    @property
    def instant(self) -> bool:
        """Whether the whole answer can be written in one go."""
        return not (
            self.headers_ms or self.ttft_ms or self.delay_ms or self.fail or self.stall or self.split or self.gzip
        ) and not (self.each or self.stamp)

    @property
    def paced(self) -> bool:
        """Whether a stream needs nothing but a clock: no fault, no rewriting of its bytes."""
        return not (self.headers_ms or self.ttft_ms or self.fail or self.stall or self.split or self.gzip)

    def without_faults(self) -> Behaviour:
        """The same answer, without its failures and stalls."""
        return dataclasses.replace(self, fail="", stall="")


_FIELDS: Final = {field.name: field for field in dataclasses.fields(Behaviour)}
_CHOICES: Final = {"stall": STALLS | {""}, "usage": USAGES, "body": BODIES}


def parse(directive: str, base: Behaviour | None = None) -> Behaviour:
    """Reads one directive on top of `base`.

    Raises DirectiveError for an unknown key and for a value of the wrong form.
    """
    base = base or Behaviour()
    changes: dict[str, Any] = {}
    for pair in _DIVIDER.split(directive.strip()):
        if pair:
            name, _, text = pair.partition("=")
            changes[name] = _value(name, text)
    return dataclasses.replace(base, **changes) if changes else base


def _value(name: str, text: str) -> Any:
    field = _FIELDS.get(name)
    if field is None:
        raise DirectiveError(f"unknown directive {name!r}")
    try:
        if field.type == "int":
            return int(text)
        if field.type == "float":
            return float(text)
    except ValueError:
        raise DirectiveError(f"directive {name} wants a number, not {text!r}") from None
    if field.type == "bool":
        if text not in {"", "0", "1"}:
            raise DirectiveError(f"directive {name} wants 0 or 1, not {text!r}")
        return text != "0"
    if name == "tool":
        return {"": "1", "0": ""}.get(text, text)
    if name == "fail" and text and text not in FAULTS and not (text.isdigit() and int(text) in STATUSES):
        raise DirectiveError(f"directive fail wants one of {sorted(STATUSES)} or {sorted(FAULTS)}, not {text!r}")
    if name in _CHOICES and text not in _CHOICES[name]:
        raise DirectiveError(f"directive {name} wants one of {sorted(_CHOICES[name])}, not {text!r}")
    return text


def directives_in(text: str) -> list[str]:
    """The directives in double brackets in a text, in their order."""
    return _BRACKETS.findall(text) if "[[" in text else []
