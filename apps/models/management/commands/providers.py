"""Providers at the command line."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.models import discovery, selectors
from apps.models.services import set_credential
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError


class Command(BaseCommand):
    help = "List providers, discover their models, or enter a credential (read from standard input)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="The providers, where their credentials come from, and what is wrong with them.")
        discover = verbs.add_parser("discover", help="Register what the environment offers, or ask one provider.")
        discover.add_argument("slug", nargs="?", help="Only this provider.")
        credential = verbs.add_parser("credential", help="Encrypt and store the credential given on standard input.")
        credential.add_argument("slug")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor.system("command line")
        try:
            match options["verb"]:
                case "discover":
                    self._discover(actor, options["slug"])
                case "credential":
                    self._credential(actor, options["slug"])
                case _:
                    self._list(actor)
        except DomainError as error:
            raise CommandError(str(error)) from None

    def _discover(self, actor: Actor, slug: str | None) -> None:
        if slug is None:
            for found in discovery.register_from_environment():
                self.stdout.write(found.line)
            return
        result = discovery.discover_provider(actor=actor, provider=selectors.get_provider_for(actor, slug))
        for word in ("added", "returned", "vanished"):
            names = getattr(result, word)
            self.stdout.write(f"{word}: {len(names)}{''.join(f'{chr(10)}  {name}' for name in names)}")
        self.stdout.write(f"left out: {result.skipped}")

    def _credential(self, actor: Actor, slug: str) -> None:
        provider = selectors.get_provider_for(actor, slug)
        if sys.stdin.isatty():
            raise CommandError("Give the credential on standard input, so that no shell history keeps it.")
        set_credential(actor=actor, provider=provider, secret=sys.stdin.read())
        self.stdout.write(f"Stored the credential of {provider}.")

    def _list(self, actor: Actor) -> None:
        for provider in selectors.providers_for(actor):
            state = "enabled" if provider.is_enabled else "disabled"
            source = provider.credential_env or provider.get_credential_source_display()
            self.stdout.write(f"{provider.slug:<20} {state:<9} {provider.base_url:<40} {source}")
            if provider.last_error:
                self.stdout.write(f"{'':<20} {provider.last_error}")
