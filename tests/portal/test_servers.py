"""The servers that other tests rely on, and the wall around the tests."""

from __future__ import annotations

import socket
import subprocess
import sys

import psycopg
import pytest
import redis

from tests.environment import NetworkBlocked
from tests.servers import PostgresServer, RedisServer

# TEST-NET-1 of RFC 5737: an address that belongs to nobody.
NOWHERE = "192.0.2.1"


@pytest.mark.postgres
def test_postgres_is_stopped_and_comes_back_with_its_data(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database("survivor")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t (n int)")
        connection.execute("INSERT INTO t VALUES (7)")
    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)
    postgres_server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM t").fetchone() == (7,)
    postgres_server.drop_database("survivor")


@pytest.mark.redis
def test_redis_is_frozen_and_killed_and_comes_back_empty(redis_server: RedisServer) -> None:
    client = redis.Redis.from_url(redis_server.url, socket_timeout=0.2)
    client.set("a", "1")
    redis_server.freeze()
    with pytest.raises(redis.TimeoutError):
        client.get("a")
    redis_server.thaw()
    redis_server.kill()
    with pytest.raises(redis.ConnectionError):
        client.get("a")
    redis_server.start()
    assert client.get("a") is None
    client.close()


def test_a_connection_out_of_this_machine_is_refused() -> None:
    with socket.socket() as sock, pytest.raises(NetworkBlocked):
        sock.connect((NOWHERE, 80))
    with pytest.raises(socket.gaierror, match="resolve no names"):
        socket.create_connection(("lobby.invalid", 80))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")
def test_programs_that_tests_start_have_no_network_either() -> None:
    source = f"import socket; socket.create_connection(('{NOWHERE}', 80), timeout=5)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    if "unreachable" not in done.stderr:
        pytest.skip("the kernel does not let this user make a network namespace")
