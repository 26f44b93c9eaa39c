"""Start-up secrets: made once and kept privately on the embedded profile, demanded strong in production."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

MIN_SECRET_LENGTH = 32
MIN_DISTINCT_CHARACTERS = 10
WEAK_WORDS = ("changeme", "change-me", "insecure", "example", "password", "default")


def new_secret() -> str:
    return secrets.token_urlsafe(48)


def embedded_secret(data_dir: Path, name: str, make: Callable[[], str] = new_secret) -> str:
    """The secret kept in ``data_dir/secrets/name``; made on first use, readable by its owner alone."""
    path = data_dir / "secrets" / name
    try:
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            _keep(path, make())
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"DATA_DIR={data_dir} cannot be used ({error.strerror}: {error.filename}). "
            "Set DATA_DIR to a directory that this user may write to."
        ) from None


def replace_secret(data_dir: Path, name: str, value: str) -> None:
    """Put ``value`` in the place of the secret kept in ``data_dir/secrets/name``."""
    path = data_dir / "secrets" / name
    draft = _draft(path, value)
    draft.replace(path)


def _keep(path: Path, value: str) -> None:
    # Write aside and link into place: of two processes that start together one wins, and both read the winner's.
    draft = _draft(path, value)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _draft(path: Path, value: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    return draft


def require_strong(name: str, value: str) -> str:
    """``value``, or ``ImproperlyConfigured`` naming the variable when it is short, repetitive or a placeholder."""
    lowered = value.lower()
    if (
        len(value) < MIN_SECRET_LENGTH
        or len(set(value)) < MIN_DISTINCT_CHARACTERS
        or any(word in lowered for word in WEAK_WORDS)
    ):
        raise ImproperlyConfigured(
            f"{name} is too weak: use at least {MIN_SECRET_LENGTH} random characters, for example the output of "
            "python -c 'import secrets; print(secrets.token_urlsafe(48))'."
        )
    return value
