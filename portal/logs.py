"""Logging: one JSON object per line for machines (production), short lines for people (embedded).

Log by ``structlog.get_logger(__name__).warning("breaker_opened", endpoint=7)``, or by ``logging`` with ``extra``.
Whatever an event holds (line breaks, lone surrogates, bytes, cycles, objects whose ``repr`` fails, arguments that do
not fit the message), it becomes exactly one object, and no credential of a form that we can recognise is in it.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
import re
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any

MAX_TEXT = 16_384
MAX_DEPTH = 6
MAX_ITEMS = 200

SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(lby_[a-z0-9]{10}_)[A-Za-z0-9]+"), r"\1***"),  # the prefix names the key and is no secret
    (re.compile(r"\b(sk-)[A-Za-z0-9_-]{8,}"), r"\1***"),
    (re.compile(r"\b(Bearer\s+)(?!lby_)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), r"\1***"),
    (re.compile(r"\b([a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,200}:)[^\s/@]+@"), r"\1***@"),  # a URL's password
)

FACTS = "lobby_facts"
# What every record has. The rest of its attributes came in by ``extra``.
_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


def masked(text: str) -> str:
    """``text`` with every credential of a recognisable form cut out."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _text(value: str) -> str:
    # Cut first, generously: the patterns then look at a bounded text, and a secret at the cut is masked or gone.
    text = masked(value[: 2 * MAX_TEXT])
    return text if len(value) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(value)} characters)"


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as what JSON can hold; never raises, and ends on cycles and huge collections."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str(value))
    if isinstance(value, int):
        # Beyond this, converting to decimal digits is slow, and refused past 4,300 digits.
        return int(value) if value.bit_length() <= 1024 else hex(value)[:MAX_TEXT]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray)):
        return _text(bytes(value[:MAX_TEXT]).decode("utf-8", "backslashreplace"))
    try:
        if depth < MAX_DEPTH:
            if isinstance(value, Mapping):
                items = list(value.items())[:MAX_ITEMS]
                return {_text(str(key)): plain(item, depth + 1) for key, item in items}
            if isinstance(value, (list, tuple, set, frozenset)):
                return [plain(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
        return _text(str(value) if isinstance(value, BaseException) else repr(value))
    except Exception as error:
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


class Formatter(logging.Formatter):
    """``as_json`` picks between the two forms; both hold the same facts."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def event(self, record: logging.LogRecord) -> dict[str, Any]:
        """The record's facts, ready for JSON."""
        facts: dict[str, Any] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        try:
            facts["event"] = _text(record.getMessage())
        except Exception as error:
            # Arguments that do not fit the message: say both rather than lose the event.
            facts["event"], facts["arguments"] = plain(record.msg), plain(record.args)
            facts["malformed"] = "".join(traceback.format_exception_only(error)).strip()
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        given.update(given.pop(FACTS, {}))
        for name, value in given.items():
            facts[f"{name}_" if name in facts else _text(name)] = plain(value)
        if record.exc_info and record.exc_info[1] is not None:
            try:
                trace = self.formatException(record.exc_info)
            except Exception as error:
                trace = f"{type(record.exc_info[1]).__name__}, whose trace cannot be shown: {type(error).__name__}"
            facts["exception"] = masked(trace[-MAX_TEXT:])
        if record.stack_info:
            facts["stack"] = _text(record.stack_info)
        return facts

    def format(self, record: logging.LogRecord) -> str:
        facts = self.event(record)
        if self._as_json:
            # JSON's escapes keep line breaks and lone surrogates inside their strings.
            return json.dumps(facts, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        time, level, logger = facts.pop("at")[11:19], facts.pop("level"), facts.pop("logger")
        message, trace = facts.pop("event"), facts.pop("exception", "")
        pairs = "".join(f" {name}={value}" for name, value in facts.items())
        line = f"{time} {level} {logger}: {message}{pairs}"
        # A person's line stays one line, too, and sends no control codes to their terminal; a trace is many lines.
        line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
        return f"{line}\n{trace}".encode("utf-8", "backslashreplace").decode() if trace else line


def hand_over(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The last of structlog's processors: the event as arguments of a standard logger's method.

    The facts travel under one name: ``extra`` refuses names that a record has itself, such as ``name`` and ``args``.
    """
    arguments = {name: event.pop(name) for name in ("exc_info", "stack_info", "stacklevel") if name in event}
    message, positional = event.pop("event", ""), event.pop("positional_args", ())
    return (message, *positional), {"extra": {FACTS: dict(event)}, **arguments}


def configure_structlog() -> None:
    """Send structlog's events through the standard library's handlers, so that there is one form and one place."""
    # Imported here: the supervisor reads the settings, and does without.
    import structlog

    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.contextvars.merge_contextvars, hand_over],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def configuration(*, as_json: bool, level: str) -> dict[str, Any]:
    """Django's ``LOGGING``: everything to standard error through one formatter."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lobby": {"()": Formatter, "as_json": as_json}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lobby"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers would print the same event a second time, in another form.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # 4xx answers are the callers' mistakes; they are in the request log.
            "django.request": {"level": "ERROR"},
            "django.security.DisallowedHost": {"level": "ERROR"},
            "uvicorn": {"handlers": [], "propagate": True},
            "uvicorn.access": {"level": "ERROR"},
            # At DEBUG they print what they send and get: secrets of Secrets Manager, keys of assumed roles.
            **{name: {"level": "WARNING"} for name in ("boto3", "botocore", "urllib3", "httpcore", "httpx")},
        },
    }
