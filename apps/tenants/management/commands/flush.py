"""Django's ``flush``, for a database whose audit trail refuses to be emptied by an ordinary DELETE."""

from __future__ import annotations

from typing import Any

from django.core.management.commands.flush import Command as FlushCommand
from django.db import connections

from apps.tenants import audit_triggers


class Command(FlushCommand):
    help = f"{FlushCommand.help} The audit trail goes too: a database emptied as a whole starts a new one."

    def handle(self, **options: Any) -> None:
        with audit_triggers.lifted(connections[options["database"]]):
            super().handle(**options)
