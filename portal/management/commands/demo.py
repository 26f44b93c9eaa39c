"""``manage.py demo seed``: the demonstration's tenants and two months of their usage."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from portal.demo.control_plane import demo_password, is_seeded, seed_control_plane
from portal.demo.datasets import seed_datasets
from portal.demo.gates import seed_gates
from portal.demo.history import write_history
from portal.demo.monitors import seed_monitors
from portal.demo.playground import seed_playground
from portal.demo.prompts import seed_prompts
from portal.demo.redteam import seed_red_team


class Command(BaseCommand):
    help = "Make the demonstration (once)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("seed")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("The demonstration is not for production: its people and figures are made up.")
        if is_seeded():
            self.stdout.write("The demonstration is there already.")
            return
        now = timezone.now()
        # The spool last: lines that name rows which were never committed must not be.
        with transaction.atomic():
            rows = seed_control_plane(now)
            seed_prompts(now)
            seed_datasets(now)
            seed_gates(now)
            seed_monitors(now)
            seed_red_team(now)
            seed_playground(now)
            requests = write_history(rows, settings.SPOOL_DIR, now)
        if options["verbosity"]:
            self.stdout.write(
                f"Made the demonstration, with {requests:,} requests. Everybody's password is {demo_password()}"
            )
