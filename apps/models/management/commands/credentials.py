"""Stored credentials at the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.models.services import rotate_credentials
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError


class Command(BaseCommand):
    help = (
        "`rotate`: encrypt every stored provider credential with the present CREDENTIALS_KEY. Name the old key in "
        "CREDENTIALS_KEY_PREVIOUS meanwhile, and remove it once this has said that nothing failed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("rotate", help="Encrypt every stored credential anew.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rotation = rotate_credentials(actor=Actor.system("command line"))
        except DomainError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Encrypted anew: {rotation.renewed}. With the present key already: {rotation.current}.")
        if rotation.failed:
            lines = "\n".join(f"  {slug}: {reason}" for slug, reason in rotation.failed.items())
            raise CommandError(f"These could not be opened and were left as they are:\n{lines}")
