"""Private PostgreSQL and Redis servers on free loopback ports, which a test may stop, freeze, kill and start again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import redis

STARTS_WITHIN = 60.0
STOPS_WITHIN = 30.0
PR_SET_PDEATHSIG = 1


class ProgramMissing(Exception):
    """A server program is not installed; the message says which package has it."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """For ``preexec_fn``: on Linux the child gets ``number`` when the tests are killed, so that nothing is left behind.

    The kernel means the thread that starts the child, so this works in the main thread alone.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") and in_main_thread else None

    def ask() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, int(number))

    return ask


def postgres_programs() -> Path:
    """The directory of PostgreSQL's server programs, the newest where there are several."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not versions:
        raise ProgramMissing("PostgreSQL's server is not installed (Debian: apt install postgresql)")
    return max(versions, key=lambda path: float(path.parent.name))


def redis_program() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if not found:
        raise ProgramMissing("Redis' server is not installed (Debian: apt install redis-server)")
    return found


class Server:
    """A server process and its directory. ``start`` returns when it answers; its port stays the same over restarts."""

    name = "server"
    starts_within = STARTS_WITHIN

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def create(self) -> None:
        """Make what the server needs on disk, once."""

    def answers(self) -> bool:
        raise NotImplementedError

    @property
    def user(self) -> str | None:
        return None

    @property
    def environment(self) -> dict[str, str] | None:
        """None: as the tests' own."""
        return None

    @property
    def log(self) -> Path:
        return self.directory.with_name(self.directory.name + ".server-log")

    def start(self) -> None:
        if self.process is not None:
            return
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            self.create()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGQUIT),
                cwd="/",
                env=self.environment,
            )
        deadline = time.monotonic() + self.starts_within
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        os.kill(process.pid, signal.SIGCONT)
        os.kill(process.pid, number)
        try:
            process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """An orderly stop; connections are refused afterwards."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Connections are accepted by the kernel, and nothing answers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.thaw()
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.log.unlink(missing_ok=True)


class PostgresServer(Server):
    """A cluster of its own. It trusts every connection, and its durability is off: no test here cuts the power."""

    name = "PostgreSQL"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.programs = postgres_programs()

    @property
    def user(self) -> str | None:
        """PostgreSQL refuses to run as root."""
        if os.getuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name).pw_name
            except KeyError:
                continue
        raise ProgramMissing("there is no user to run PostgreSQL as")

    def create(self) -> None:
        if self.user is not None:
            shutil.chown(self.directory, self.user)
            for parent in self.directory.parents:
                # mkdtemp's directories are closed to others; the server's user has to pass through.
                if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        done = subprocess.run(
            [
                str(self.programs / "initdb"),
                "--pgdata",
                str(self.directory),
                "--username=lobby",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ],
            user=self.user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            shutil.rmtree(self.directory)
            raise RuntimeError(f"initdb failed: {done.stderr}")

    def freeze(self) -> None:
        super().freeze()
        self._signal_backends(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_backends(signal.SIGCONT)
        super().thaw()

    def _signal_backends(self, number: signal.Signals) -> None:
        """Each is the leader of a group of its own."""
        if self.process is not None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            for child in children.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), number)

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "max_connections": "200",
            "log_min_messages": "warning",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.directory), "-p", str(self.port), *settings]

    def url(self, database: str = "postgres") -> str:
        return f"postgres://lobby@127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_database(self, name: str, template: str = "template1") -> str:
        """Make an empty database, or a copy of ``template``, and return its URL."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def dump(self, database: str, file: Path) -> None:
        self._client("pg_dump", "--no-owner", f"--file={file}", self.url(database))

    def restore(self, database: str, file: Path) -> None:
        """Into an empty one."""
        options = ("--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--single-transaction")
        self._client("psql", *options, f"--file={file}", self.url(database))

    def _client(self, program: str, *arguments: str) -> None:
        subprocess.run([str(self.programs / program), *arguments], check=True, stdout=subprocess.DEVNULL)

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class RedisServer(Server):
    """A Redis that keeps nothing on disk: a restart forgets everything, as a lost node would."""

    name = "Redis"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.program = redis_program()

    def command(self) -> list[str]:
        return [
            self.program,
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--dir", str(self.directory)),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--loglevel", "warning"),
        ]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def flush(self) -> None:
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            client.flushall()
