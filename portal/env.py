"""Reading the environment: every malformed or missing variable is a start-up error that names it and the remedy."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})


def load_dotenv(path: Path, environ: dict[str, str] | os._Environ[str] = os.environ) -> None:
    """Read ``KEY=value`` lines of a ``.env`` file; what the environment already says wins."""
    if not path.is_file():
        return
    try:
        # A byte order mark, which some editors put first, is no part of the first name.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImproperlyConfigured(
            f"{path.name} is not UTF-8 text (byte {error.start + 1}). Save it as UTF-8."
        ) from None
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error.strerror}.") from None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip().removeprefix("export ")
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator or not key.strip().isidentifier():
            raise ImproperlyConfigured(f"{path.name}, line {number}: expected KEY=value, got {key.strip()!r}.")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        else:
            value = value.split(" #", 1)[0].rstrip()
        environ.setdefault(key.strip(), value)


# Inside ``Env`` the built-in types' names are its methods'.
_str: TypeAlias = str
_bool: TypeAlias = bool
_int: TypeAlias = int
_float: TypeAlias = float
_list: TypeAlias = list


class Env:
    """Typed access to environment variables."""

    def __init__(self, environ: Mapping[_str, _str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def has(self, name: _str) -> _bool:
        return bool(self._environ.get(name, "").strip())

    def str(self, name: _str, default: _str | None = None) -> _str:
        """The variable's text; without a default a missing one raises ``ImproperlyConfigured``."""
        value = self._environ.get(name, "").strip()
        if value:
            return value
        if default is None:
            raise ImproperlyConfigured(f"{name} is not set. Set it in the environment or in .env.")
        return default

    def _parse(self, name: _str, default: T, parse: Callable[[_str], T], expected: _str) -> T:
        value = self._environ.get(name, "").strip()
        if not value:
            return default
        try:
            return parse(value)
        except ValueError:
            raise ImproperlyConfigured(f"{name}={value!r} is not {expected}.") from None

    def bool(self, name: _str, default: _bool = False) -> _bool:
        def parse(value: _str) -> _bool:
            if value.lower() in TRUE_WORDS:
                return True
            if value.lower() in FALSE_WORDS:
                return False
            raise ValueError(value)

        return self._parse(name, default, parse, "a yes or no; use true or false")

    def int(self, name: _str, default: _int, *, minimum: _int = 0, maximum: _int | None = None) -> _int:
        def parse(value: _str) -> _int:
            number = int(value)
            if number < minimum or (maximum is not None and number > maximum):
                raise ValueError(value)
            return number

        bounds = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        return self._parse(name, default, parse, f"a whole number {bounds}")

    def float(self, name: _str, default: _float) -> _float:
        def parse(value: _str) -> _float:
            number = float(value)
            if not math.isfinite(number):
                raise ValueError(value)
            return number

        return self._parse(name, default, parse, "a number")

    def choice(self, name: _str, default: _str, choices: tuple[_str, ...]) -> _str:
        """One of ``choices``, written in any case."""

        def parse(value: _str) -> _str:
            for choice in choices:
                if value.lower() == choice.lower():
                    return choice
            raise ValueError(value)

        return self._parse(name, default, parse, f"one of {', '.join(choices)}")

    def list(self, name: _str, default: _list[_str] | None = None) -> _list[_str]:
        value = self._environ.get(name, "")
        items = [item.strip() for item in value.split(",") if item.strip()]
        return items or list(default or [])

    def url(self, name: _str, default: _str = "", *, schemes: tuple[_str, ...]) -> _str:
        """A URL of one of the named schemes. The message never repeats the value: it may hold a password."""
        value = self._environ.get(name, "").strip()
        if not value:
            return default
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ImproperlyConfigured(f"{name} is not a URL: its port or host is malformed.") from None
        if parts.scheme not in schemes:
            wanted = ", ".join(f"{scheme}://" for scheme in schemes)
            raise ImproperlyConfigured(f"{name} has the scheme {parts.scheme or 'none'!r}; it takes {wanted}.")
        return value


def ollama_url(name: str, value: str) -> str:
    """Ollama's OpenAI-compatible URL from what ``OLLAMA_HOST`` may hold: ``host``, ``host:port`` or a URL."""
    default_port = "" if "://" in value else ":11434"
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in {"http", "https"}:
        raise ImproperlyConfigured(f"{name} is not a host, host:port or URL.")
    # The server's own setting may say "on every address"; its client is then found on this machine.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{parts.scheme}://{host}{f':{port}' if port else default_port}/v1"


def mail_config(url: str) -> dict[str, Any]:
    """Django's settings for ``smtp://user:password@host:587`` (with STARTTLS) or ``smtps://user:password@host:465``."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ImproperlyConfigured("EMAIL_URL names no host; write smtp://user:password@host:587.")
    implicit = parts.scheme == "smtps"
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if implicit else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": implicit,
        # A password is never sent in the clear.
        "EMAIL_USE_TLS": not implicit and bool(parts.username),
        "EMAIL_TIMEOUT": 10,
    }


# A host that is gone says nothing, and a thread would wait for it for a quarter of an hour: the one that reads the
# control plane would hear of no revocation, long after another host has taken the database over. In seconds, and
# (``tcp_user_timeout``) milliseconds.
_DEAD_PEER = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}


def database_config(url: str) -> dict[str, Any]:
    """Django's ``DATABASES`` entry for ``sqlite:///path`` or ``postgres://user:password@host:port/name?option=…``."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = unquote(parts.path.removeprefix("/"))
        if not path:
            raise ImproperlyConfigured(
                "DATABASE_URL names no file; write sqlite:///relative.db or sqlite:////absolute.db."
            )
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": path,
            "OPTIONS": {
                # Several processes share the file: take the write lock when a transaction begins, and wait for it.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": (
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
                    "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=134217728; PRAGMA cache_size=-16000;"
                ),
            },
        }
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ImproperlyConfigured("DATABASE_URL names no database; write postgres://user:password@host:5432/name.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, **_DEAD_PEER, **dict(parse_qsl(parts.query))},
    }
