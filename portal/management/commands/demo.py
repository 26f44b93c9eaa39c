"""``manage.py demo seed``: the demonstration's tenants and two months of their usage."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from portal.demo.control_plane import demo_password, is_seeded, seed_control_plane


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
        seed_control_plane()
        if options["verbosity"]:
            self.stdout.write(f"Made the demonstration. Everybody's password is {demo_password()}")
