"""Triggers that make the database itself refuse to change or delete an audit entry.

They stop a mistake or a query by hand; whoever may drop triggers is caught by the hash chain instead (``audit.py``).
Installed by the first migration. On SQLite a later migration that rebuilds the table drops them unasked: it has to call
``install`` again, and ``manage.py audit verify`` reports their absence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "tenants_auditentry"
NAMES = ("audit_refuse_update", "audit_refuse_delete")
MESSAGE = "audit entries are append-only"


def install(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
            )
            cursor.execute(
                f"CREATE TRIGGER audit_refuse_update BEFORE UPDATE ON {TABLE} "
                "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
            )
            cursor.execute(
                f"CREATE TRIGGER audit_refuse_delete BEFORE DELETE OR TRUNCATE ON {TABLE} "
                "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
            )
            return
        for name in NAMES:
            event = name.rpartition("_")[2].upper()
            cursor.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {TABLE} BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
            )


def remove(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for name in NAMES:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {TABLE}")
            cursor.execute("DROP FUNCTION IF EXISTS audit_refuse()")
            return
        for name in NAMES:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of the triggers that ought to be there and are not (or are switched off)."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgenabled <> 'D'", [TABLE]
            )
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [TABLE])
        found = {row[0] for row in cursor.fetchall()}
    return [name for name in NAMES if name not in found]


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Without the triggers inside. For emptying a whole database (``flush``), and for tests that play the intruder."""
    remove(connection)
    try:
        yield
    finally:
        install(connection)
