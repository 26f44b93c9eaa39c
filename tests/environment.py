"""The environment of a test run: nothing of the developer's in it, its own data directory, loopback alone.

``LOBBY_TEST_BACKENDS=servers`` runs the tests on PostgreSQL and Redis, started for the run, not on SQLite and memory.
``LOBBY_TEST_SOAK=1`` makes the reliability tests long.
``LOBBY_TEST_NETWORK=open`` leaves the kernel's network as it is; Python's connections stay blocked.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import ipaddress
import os
import re
import shutil
import socket
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.servers import PostgresServer, RedisServer

ROOT = Path(__file__).resolve().parent.parent

READ_BY_LOBBY = re.compile(
    r"LOBBY_(?!TEST_).*|DATA_DIR|DEBUG|HOST|PORT|WEB_.*|DEMO.*|SECRET_KEY|API_KEY_PEPPER|CREDENTIALS_KEY.*|ALLOWED_HOSTS"
    r"|CSRF_.*|SECURE_.*|DATABASE_URL|REDIS_URL|CELERY_.*|MLFLOW_.*|ARCHIVE_URL|EMAIL_.*|LOG_.*|SPOOL_.*|GATEWAY_.*|OIDC_.*|EVALUATION_.*"
    r"|OPENAI_.*|ANTHROPIC_.*|AWS_.*|OLLAMA_.*|VLLM_.*|DJANGO_.*|(https?|all|no)_proxy",
    re.IGNORECASE,
)

MIGRATED = "migrated"  # the database that the tests' own are copies of, where they run on PostgreSQL

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


class NetworkBlocked(OSError):
    """A test tried to leave this machine."""


def prepare() -> None:
    """Make the process ready to import the settings. Called once per process, before Django's settings load."""
    for name in list(os.environ):
        if READ_BY_LOBBY.fullmatch(name):
            del os.environ[name]
    os.environ["LOBBY_ENV_FILE"] = os.devnull
    # A run starts hundreds of processes, each of which would compile anew whatever it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    data_dir = Path(tempfile.mkdtemp(prefix="lobby-tests-"))
    atexit.register(shutil.rmtree, data_dir, ignore_errors=True)
    os.environ["DATA_DIR"] = str(data_dir)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker:
        _leave_the_network()
    _block_connections()
    if os.environ.get("LOBBY_TEST_BACKENDS") == "servers":
        if not worker:
            _start_servers(data_dir)
        os.environ["DATABASE_URL"] = os.environ["LOBBY_TEST_DATABASE_URL"]
        # A database of Redis' own for each of xdist's workers.
        os.environ["REDIS_URL"] = f"{os.environ['LOBBY_TEST_REDIS_URL']}/{int(worker.removeprefix('gw') or 0)}"


def _start_servers(data_dir: Path) -> None:
    """One PostgreSQL and one Redis for the run, whose addresses xdist's workers inherit."""
    postgres, redis = PostgresServer(data_dir / "postgres"), RedisServer(data_dir / "redis")
    for server in (postgres, redis):
        server.start()
        atexit.register(server.remove)
    from tests import template

    cache = ROOT / ".pytest_cache" / "d" / "lobby"  # pytest's own: it is not there to be asked yet
    cache.mkdir(parents=True, exist_ok=True)
    template.migrated_postgres(cache, postgres, MIGRATED)
    os.environ["LOBBY_TEST_DATABASE_URL"] = postgres.create_database("lobby")
    os.environ["LOBBY_TEST_REDIS_URL"] = redis.url


def _leave_the_network() -> None:
    """Move this process, and so all that it starts, into a network namespace that holds loopback alone.

    Linux lets root do so, and others where user namespaces are on. Elsewhere only Python's own connections are blocked.
    """
    if not sys.platform.startswith("linux") or os.environ.get("LOBBY_TEST_NETWORK") == "open":
        return
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET if uid == 0 else CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))


def _is_here(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or host in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _is_number(host: object) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0] if isinstance(host, str) else "")
    except ValueError:
        return False
    return True


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        if isinstance(address, tuple) and not _is_here(address[0]):
            raise NetworkBlocked(f"Tests reach loopback only, not {address[0]}:{address[1]}.")
    elif event == "socket.getaddrinfo":
        # To parse a numeric address asks nobody.
        if not _is_here(arguments[0]) and not _is_number(arguments[0]):
            raise socket.gaierror(socket.EAI_NONAME, f"Tests resolve no names, not {arguments[0]!r} either.")
    elif event == "socket.gethostbyname" and not _is_here(arguments[0]) and arguments[0] != socket.gethostname():
        raise socket.gaierror(socket.EAI_NONAME, f"Tests resolve no names, not {arguments[0]!r} either.")


def _block_connections() -> None:
    sys.addaudithook(_guard)
