"""What is made once and copied by tests: a migrated database, and the data directory of the demonstration.

To migrate an empty database takes a good part of a minute, and to make the demonstration half as long.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.live import ROOT, LiveLobby
from tests.servers import PostgresServer

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


def migrated_postgres(cache: Path, server: PostgresServer, name: str) -> str:
    """Make the database ``name``, migrated, out of a dump in ``cache``, which the first process that asks makes. Its
    URL."""
    url = server.create_database(name)
    dump = cache / f"migrated-{_fingerprint()}.sql"
    with (cache / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not dump.exists():
            for old in cache.glob("migrated-*.sql"):
                old.unlink()
            with tempfile.TemporaryDirectory() as directory:
                LiveLobby(Path(directory), {"DATABASE_URL": url}).manage("migrate", "--verbosity=0")
            made = dump.with_suffix(".new")
            server.dump(name, made)
            made.replace(dump)
            return url
    server.restore(name, dump)
    return url


def demonstration(shared: Path, database: Path) -> Path:
    """A data directory as ``manage.py prepare`` leaves it, in ``shared``, made by the first process that asks. What the
    command said is in its ``prepared.json``. For one run only: the demonstration ends today."""
    made = shared / "demonstration"
    with (shared / "demonstration.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            making = shared / "demonstration.new"
            making.mkdir()
            shutil.copyfile(database, making / "lobby.db")
            said = LiveLobby(making).manage("prepare")
            (making / "prepared.json").write_text(said)
            making.rename(made)
    return made


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
