"""Migrations run forward, can be undone to nothing, and run forward again, on both databases."""

from __future__ import annotations

import json

import pytest

from tests.live import LiveLobby, LobbyFactory
from tests.servers import PostgresServer

OWN_APPS = ("tenants", "registry", "gateway", "prompts", "evaluation", "playground")

SCHEMA = """
import json
from django.db import connection
with connection.cursor() as cursor:
    names = [table.name for table in connection.introspection.get_table_list(cursor)]
    tables = {
        name: {
            "columns": sorted(column.name for column in connection.introspection.get_table_description(cursor, name)),
            "constraints": sorted(connection.introspection.get_constraints(cursor, name)),
        }
        for name in names
    }
    if connection.vendor == "sqlite":
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    else:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
    triggers = sorted(row[0] for row in cursor.fetchall())
print(json.dumps({"tables": tables, "triggers": triggers}))
"""


# In one pass, as ``migrate APP zero`` does it one after the other.
AWAY = f"""
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
MigrationExecutor(connection).migrate([(app, None) for app in {OWN_APPS}])
"""
AGAIN = """
call_command("migrate", verbosity=0)
"""


def schema(lobby: LiveLobby) -> dict[str, dict[str, object]]:
    found = json.loads(lobby.python(SCHEMA))
    assert isinstance(found, dict)
    return found


def own_tables(found: dict[str, dict[str, object]]) -> list[str]:
    return sorted(name for name in found["tables"] if name.partition("_")[0] in OWN_APPS)


def forward_back_forward(lobby: LiveLobby) -> None:
    before = schema(lobby)
    assert len(own_tables(before)) > 10
    nothing, after = map(json.loads, lobby.python(AWAY + SCHEMA + AGAIN + SCHEMA).strip().splitlines())
    assert own_tables(nothing) == []
    assert not nothing["triggers"]
    assert after["triggers"] == before["triggers"]
    assert after["tables"].keys() == before["tables"].keys()
    for name, table in before["tables"].items():
        assert after["tables"][name] == table, name


def test_on_sqlite(live_lobby: LobbyFactory) -> None:
    forward_back_forward(live_lobby(start=False))


@pytest.mark.postgres
def test_on_postgres(live_lobby: LobbyFactory, postgres_server: PostgresServer) -> None:
    forward_back_forward(live_lobby(postgres=postgres_server, start=False))


def test_the_models_have_no_change_without_a_migration(live_lobby: LobbyFactory) -> None:
    assert "No changes detected" in live_lobby(start=False).manage("makemigrations", "--check", "--dry-run")
