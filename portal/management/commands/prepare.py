"""``manage.py prepare``: migrates the database, registers what the environment offers, makes the demonstration.

Writes JSON lines for the supervisor: ``{"step": …}`` while it works, ``{"facts": …}`` as it knows them: of the
demonstration before any provider is asked, which may take its time. Running it again changes nothing.
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from apps.models.discovery import register_from_environment
from portal.demo.cast import PEOPLE
from portal.demo.control_plane import demo_password, is_seeded, printed_key
from portal.preparation import set_prepared

DEMO_MODEL = "sandbox-chat"


class Command(BaseCommand):
    help = "Migrate the database, register what the environment offers, and make the demonstration."
    requires_system_checks: list[str] = []  # noqa: RUF012  the base class has it so  # they cost half a second, and CI runs them

    def handle(self, *args: Any, **options: Any) -> None:
        self._migrate()
        if settings.DEMO and not is_seeded():
            self._say("step", "Making the demonstration: five lines of business and two months of usage.")
            call_command("demo", "seed", verbosity=0)
        if settings.DEMO:
            facts = {
                "logins": [{"email": person.email, "role": person.shown} for person in PEOPLE if person.shown],
                "password": demo_password(),
                "api_key": printed_key(),
                "model": DEMO_MODEL,
            }
            self._say("facts", facts)
        found = [found.line for found in register_from_environment()]
        set_prepared(settings.BASE_DIR, settings.DATA_DIR, settings.DATABASE_URL, demo=settings.DEMO)
        self._say("facts", {"found": found})

    def _migrate(self) -> None:
        try:
            executor = MigrationExecutor(connection)
        except OperationalError as error:
            raise CommandError(f"The database named by DATABASE_URL does not answer: {str(error).strip()}") from None
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            new = not executor.loader.applied_migrations
            self._say("step", "Making the database." if new else f"Updating the database: {len(plan)} migrations.")
            call_command("migrate", interactive=False, verbosity=0)

    def _say(self, kind: str, value: Any) -> None:
        self.stdout.write(json.dumps({kind: value}))
        self.stdout.flush()
