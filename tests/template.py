"""A migrated SQLite database for tests to copy: to migrate an empty one takes a good part of a minute."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.live import ROOT, LiveLobby

# What a migrated database depends on: the migrations, the models (whose permissions are rows), and others' migrations.
SOURCES = (
    "apps/*/migrations/*.py",
    "apps/*/models.py",
    "apps/*/models/*.py",
    "requirements.lock",
    "portal/settings.py",
)


def migrated_database(cache: Path) -> Path:
    """The file in ``cache``, made by the first process that asks."""
    database = cache / f"migrated-{_fingerprint()}.db"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            for old in cache.glob("migrated-*.db"):
                old.unlink()
            with tempfile.TemporaryDirectory() as directory:
                LiveLobby(Path(directory)).manage("migrate", "--verbosity=0")
                made = database.with_suffix(".new")
                shutil.copyfile(Path(directory) / "lobby.db", made)
                os.replace(made, database)
    return database


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
