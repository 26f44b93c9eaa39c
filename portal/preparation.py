"""Whether the database is prepared, known without starting Django: what makes the second start quick.

``manage.py prepare`` leaves a stamp in ``DATA_DIR`` when it has finished. The stamp holds while the migrations that the
code brings, and those that the database has, are the ones it was made of.
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from portal.env import database_config

STAMP = "prepared"


def _migrations_in(database: Path) -> list[tuple[str, str]] | None:
    """The applied migrations; None when there is no readable database of ours."""
    if not database.is_file():
        return None
    try:
        connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=2)
    except sqlite3.Error:
        return None
    try:
        return sorted(connection.execute("SELECT app, name FROM django_migrations"))
    except sqlite3.Error:
        return None
    finally:
        connection.close()


def fingerprint(base_dir: Path, database_url: str, *, demo: bool) -> str:
    """What a prepared database is made of; empty when it cannot be told cheaply (another database than SQLite)."""
    config = database_config(database_url)
    if not config["ENGINE"].endswith("sqlite3"):
        return ""
    applied = _migrations_in(Path(config["NAME"]))
    if applied is None:
        return ""
    own = sorted(str(path.relative_to(base_dir)) for path in base_dir.glob("apps/*/migrations/[0-9]*.py"))
    lock = (base_dir / "requirements.lock").read_bytes()
    return hashlib.sha256(repr((own, hashlib.sha256(lock).digest(), applied, demo)).encode()).hexdigest()


def is_prepared(base_dir: Path, data_dir: Path, database_url: str, *, demo: bool) -> bool:
    try:
        stamp = (data_dir / STAMP).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return False
    return bool(stamp) and stamp == fingerprint(base_dir, database_url, demo=demo)


def set_prepared(base_dir: Path, data_dir: Path, database_url: str, *, demo: bool) -> None:
    (data_dir / STAMP).write_text(fingerprint(base_dir, database_url, demo=demo), encoding="ascii")
